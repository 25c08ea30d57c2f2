import type { DirectoryChange, SyncRun } from '@gantry/access';
import { testContext } from '@gantry/platform/testing';
import { failingPeer } from '../testing/bad-peers';
import { makeCorp, type Corp } from '../testing/corp';
import { CutSync, group, makeWorld, type World } from '../testing/directory-world';
import { startSlapd, type Slapd } from '../testing/slapd';

const ctx = testContext();

afterEach(() => {
  CutSync.cutAt = null;
  CutSync.steps = [];
});

describe('a company of 2,000 people and 100 nested groups', () => {
  const followed = [0, 1, 3, 9, 20, 50, 99];
  let slapd: Slapd;
  let corp: Corp;
  beforeAll(async () => {
    corp = makeCorp({ base: 'dc=corp,dc=test', users: 2000, groups: 100 });
    slapd = await startSlapd({ ldif: corp.ldif, limits: 'size.soft=500 size.hard=500 size.pr=500 size.prtotal=unlimited' });
  });
  afterAll(() => slapd.close());

  it('comes over whole, and a second time nothing changes', async () => {
    const world = await makeWorld(slapd, corp);
    try {
      await world.configure();
      for (const index of followed) await world.follow(`team-${index}`, group(corp, index));
      await world.follow('direct', group(corp, 0, false));
      await world.follow('found', { kind: 'search', searchBase: corp.peopleBase, scope: 'sub', filter: '(mail=u0000*)' });
      const run = await world.sync();
      expect(run).toMatchObject({ state: 'succeeded', error: null, phase: 'done', counts: { people: 2000, created: 2000, teams: 9, teamsDone: 9, warnings: 0 } });
      for (const index of followed) expect(await world.members(`team-${index}`)).toEqual([...corp.membersOf(index, true)].sort());
      expect(await world.members('direct')).toEqual([...corp.membersOf(0, false)].sort());
      expect(await world.members('found')).toEqual(Array.from({ length: 10 }, (_, n) => `u0000${n}`));

      const before = await world.state();
      const audited = async (): Promise<unknown[]> => world.database.db.query(ctx, `select count(*) from audit_rows where action not like 'directory.sync%'`);
      const auditedBefore = await audited();
      const again = await world.sync();
      expect(again.counts).toEqual({ ...run.counts, created: 0, membersAdded: 0 });
      expect(await world.state()).toEqual(before);
      expect(await audited()).toEqual(auditedBefore);
      expect(await world.log(again)).toEqual([]);
    } finally {
      await world.close();
    }
  });

  it('says what other settings would change, before they are saved, and changes nothing', async () => {
    const world = await makeWorld(slapd, corp);
    try {
      const some = (filter: string) => ({ userSearches: [{ searchBase: corp.peopleBase, scope: 'one' as const, usernameAttribute: 'uid', fullNameAttribute: 'cn', filter, matchGroup: null }] });
      await world.configure(some('(uid=u0000*)'));
      await world.sync();
      const [before, settings] = [await world.state(), await world.stack.directory.settings(ctx)];
      const { version: _version, domains: _domains, ...saved } = settings;
      const preview = async (change: Partial<DirectoryChange>): Promise<SyncRun> => {
        const { id } = await world.stack.directorySync.preview(ctx, { ...saved, ...change });
        await world.stack.directorySync.run(ctx, { runId: id });
        return world.stack.directorySync.get(ctx, id);
      };
      const wider = await preview(some('(|(uid=u0000*)(uid=u00010))'));
      expect(wider).toMatchObject({ state: 'succeeded', dryRun: true, counts: { people: 11, created: 1, deactivated: 0 } });
      expect((await world.log(wider)).map(({ code, detail }) => [code, detail['user']])).toEqual([['user.create', 'u00010']]);
      const narrower = await preview(some('(|(uid=u00000)(uid=u00001))'));
      expect(narrower.counts).toMatchObject({ people: 2, created: 0, deactivated: 8 });
      await expect(preview(some('(uid=u00'))).rejects.toMatchObject({ code: 'request.invalid', errors: [{ pointer: '/userSearches/0/filter' }] });
      await expect(preview({ url: 'ldap://127.0.0.2:9' })).rejects.toMatchObject({ code: 'access.directory-password-needed' });
      expect([await world.state(), await world.stack.directory.settings(ctx)]).toEqual([before, settings]);
      // Saved, they do what was said.
      await world.configure(some('(|(uid=u0000*)(uid=u00010))'));
      expect((await world.sync()).counts).toMatchObject({ people: 11, created: 1 });
      const kept = await world.database.db.query(ctx, 'select 1 from access_sync_runs where proposal_sealed is not null');
      expect(kept).toEqual([]);
    } finally {
      await world.close();
    }
  });

  it('ends the same when it is killed between any two steps and run again', async () => {
    const build = async (): Promise<World> => {
      const world = await makeWorld(slapd, corp);
      await world.configure({ userSearches: [{ searchBase: corp.peopleBase, scope: 'one', usernameAttribute: 'uid', fullNameAttribute: 'cn', filter: '(uid=u000*)', matchGroup: null }], safetySharePercent: 50 });
      for (const index of [0, 1, 20]) await world.follow(`team-${index}`, group(corp, index));
      await world.stack.directoryTargets.putOrganization(ctx, 'acme', 0, group(corp, 50, false));
      await world.sync();
      // What the next run has to do: two teams lose people, one of them too many; another gets some; somebody leaves for good.
      await world.follow('team-0', { kind: 'search', searchBase: corp.peopleBase, scope: 'one', filter: '(uid=u0000*)' });
      await world.follow('team-1', { kind: 'search', searchBase: corp.peopleBase, scope: 'one', filter: '(|(uid=u0001*)(uid=u0002*)(uid=u0003*)(uid=u0004*)(uid=u0005*))' });
      await world.follow('team-20', { kind: 'search', searchBase: corp.peopleBase, scope: 'one', filter: '(uid=u00*)' });
      const { version, bindPassword: _none, ...settings } = { bindPassword: undefined, ...(await world.stack.directory.settings(ctx)) };
      await world.stack.directory.update(ctx, version, { ...settings, userSearches: [{ ...settings.userSearches[0]!, filter: '(&(uid=u000*)(!(uid=u00000)))' }] });
      return world;
    };
    const whole = await build();
    CutSync.steps = [];
    expect(await whole.sync()).toMatchObject({ state: 'succeeded' });
    const steps = [...CutSync.steps];
    const expected = await whole.state();
    await whole.close();
    expect(steps).toEqual(expect.arrayContaining(['people:0', 'team:acme/team-0', 'team:acme/team-1', 'team:acme/team-20', 'organization-admins:acme']));
    expect(expected).toMatchObject({ holds: expect.arrayContaining([expect.objectContaining({ state: 'open' })]) as unknown });
    for (const step of steps) {
      const world = await build();
      try {
        CutSync.cutAt = step;
        expect(await world.sync()).toMatchObject({ state: 'failed', error: { code: 'request.internal' } });
        CutSync.cutAt = null;
        expect(await world.sync()).toMatchObject({ state: 'succeeded' });
        expect([step, await world.state()]).toEqual([step, expected]);
      } finally {
        CutSync.cutAt = null;
        await world.close();
      }
    }
  });

  it('changes nothing by an answer that is cut short, limited or empty', async () => {
    const world = await makeWorld(slapd, corp);
    try {
      await world.configure({ userSearches: [{ searchBase: corp.peopleBase, scope: 'sub', usernameAttribute: 'uid', fullNameAttribute: null, filter: '(uid=u000*)', matchGroup: null }] });
      for (const index of [1, 20]) await world.follow(`team-${index}`, group(corp, index));
      await world.sync();
      const before = await world.state();
      // The server lists 500 at most without paging; with a filter that finds more, the answer is a part.
      await world.configure({ paging: false });
      expect(await world.sync()).toMatchObject({ state: 'failed', error: { code: 'access.directory-misconfigured', detail: expect.stringContaining('only a part') as string } });
      expect(await world.state()).toEqual(before);
      await world.configure({ filter: '(uid=nobody)' });
      expect(await world.sync()).toMatchObject({ state: 'failed', error: { detail: expect.stringContaining('shows nobody') as string } });
      expect(await world.state()).toEqual(before);
      await world.configure({ searchBase: `ou=nowhere,${corp.peopleBase}` });
      expect(await world.sync()).toMatchObject({ state: 'failed', error: { detail: expect.stringContaining('does not exist') as string } });
      await world.configure({ searchBase: `ou=remote,ou=people,dc=corp,dc=test` });
      expect(await world.sync()).toMatchObject({ state: 'failed', error: { detail: expect.stringContaining('another server') as string } });
      expect(await world.state()).toEqual(before);

      // Everybody but the first ten is to go; the line breaks after every number of answers.
      const outcomes = new Set<string>();
      for (const afterReplies of [0, 1, 2, 3, 5, 8, 13, 40, 100]) {
        const peer = await failingPeer(slapd.port, afterReplies, 'cut');
        await world.configure({ url: `ldap://127.0.0.1:${peer.port}`, timeoutSeconds: 5, userSearches: [{ searchBase: corp.peopleBase, scope: 'sub', usernameAttribute: 'uid', fullNameAttribute: null, filter: '(uid=u000*)', matchGroup: null }] });
        const run = await world.sync();
        outcomes.add(run.state === 'failed' ? run.error!.code : run.state);
        expect(await world.state()).toEqual(before);
        // One connection, bound once: a second one would be an anonymous one.
        expect(peer.connections()).toBe(1);
        await peer.close();
      }
      expect(outcomes).toContain('access.directory-unavailable');
    } finally {
      await world.close();
    }
  });
});
