import { X509Certificate } from 'node:crypto';
import { testContext } from '@gantry/platform/testing';
import { makeUser } from '../testing';
import { makeCorp, type Corp } from '../testing/corp';
import { CutSync, group, makeWorld, setAttribute, setMembers, visitor, type World } from '../testing/directory-world';
import { startSlapd, type Slapd } from '../testing/slapd';

const ctx = testContext();
const password = 'a staff password';

describe('who leaves a directory', () => {
  let slapd: Slapd;
  let corp: Corp;
  let world: World;
  const dnOf = (index: number): string => corp.people[index]!.dn;
  const signIn = (username: string): Promise<{ token: string }> => world.stack.sessions.signIn(visitor(), { username, password });
  const actor = (token: string): Promise<unknown> => world.stack.authenticator.bearer(visitor(), token);
  const active = async (name: string): Promise<boolean> => (await world.stack.accounts.get(ctx, name)).active;

  beforeEach(async () => {
    corp = makeCorp({ base: 'dc=corp,dc=test', users: 20, groups: 4, password });
    slapd = await startSlapd({ ldif: corp.ldif });
    world = await makeWorld(slapd, corp);
    await world.configure();
  });
  afterEach(async () => {
    CutSync.cutAt = null;
    await world.close();
    await slapd.close();
  });

  it('is out at the next synchronisation, with sessions, tokens and robots, and comes back with the entry', async () => {
    await world.sync();
    const tokens = new Map<string, string[]>();
    const certificates = new Map<string, string>();
    for (const name of ['u00001', 'u00002', 'u00003', 'u00004', 'u00005']) {
      const session = await signIn(name);
      const self = { ...visitor(), actor: (await world.stack.authenticator.bearer(visitor(), session.token))! };
      const input = { expiresAt: new Date(Date.now() + 86_400_000), limits: { operations: ['repository:view'] } };
      const own = await world.stack.tokens.create(self, { name: 'laptop', kind: 'personal', ...input });
      const robot = await world.stack.tokens.create(self, { name: 'robot', kind: 'robot', ...input });
      tokens.set(name, [session.token, own.token, robot.token]);
      certificates.set(name, (await world.stack.certificates.issue(self)).certificatePem);
    }
    const works = async (name: string): Promise<boolean[]> => {
      const [session, own, robot] = await Promise.all(tokens.get(name)!.map((token) => world.stack.authenticator.bearer(visitor(), token)));
      const { id } = await world.stack.accounts.get(ctx, name);
      const repository = { kind: 'repository', id: 'r', parent: { kind: 'account', id } };
      return [session != null, own != null, robot != null && world.stack.access.can({ ...visitor(), actor: robot }, 'repository:view', repository).allowed];
    };
    const known = async (name: string): Promise<boolean> => {
      const { fingerprint256: fingerprint, raw } = new X509Certificate(certificates.get(name)!);
      return (await world.stack.authenticator.certificate(visitor(), { fingerprint, raw })) !== null;
    };
    for (const name of tokens.keys()) expect([name, await works(name), await known(name)]).toEqual([name, [true, true, true], true]);

    await slapd.remove(dnOf(1));
    await setAttribute(slapd, dnOf(2), 'userAccountControl', ['514']);
    await setAttribute(slapd, dnOf(3), 'shadowExpire', ['10']);
    await setAttribute(slapd, dnOf(4), 'accountExpires', ['132539328000000000']);
    const run = await world.sync();
    expect(run.counts).toMatchObject({ people: 19, deactivated: 4, created: 0, held: 0 });
    for (const name of ['u00001', 'u00002', 'u00003', 'u00004']) expect([name, await works(name), await known(name)]).toEqual([name, [false, false, false], false]);
    expect([await works('u00005'), await known('u00005')]).toEqual([[true, true, true], true]);
    expect((await world.log(run)).filter(({ code }) => code === 'user.deactivate').map(({ detail }) => [detail['user'], detail['reason']])).toEqual([
      ['u00001', 'not-found'], ['u00002', 'disabled'], ['u00003', 'expired'], ['u00004', 'expired'],
    ]);

    const byHand = await world.stack.accounts.get(ctx, 'u00005');
    await world.stack.accounts.update(ctx, byHand.id, byHand.version, { active: false });
    await setAttribute(slapd, dnOf(2), 'userAccountControl', ['512']);
    await setAttribute(slapd, dnOf(3), 'shadowExpire', ['-1']);
    expect((await world.sync()).counts).toMatchObject({ returned: 2, deactivated: 0 });
    expect([await active('u00002'), await active('u00003'), await active('u00004'), await active('u00005')]).toEqual([true, true, false, false]);
    // The session and the certificate are gone for good; what does not expire with it works again.
    expect([(await works('u00002'))[0], await known('u00002')]).toEqual([false, false]);
    expect(await actor(tokens.get('u00002')![1]!)).not.toBeNull();
  });

  it('is out at the next sign-in already, and an unknown one gets no account', async () => {
    await world.configure({ userSearches: [{ searchBase: corp.peopleBase, scope: 'sub', usernameAttribute: 'uid', fullNameAttribute: null, filter: null, matchGroup: { groupDn: corp.groups[0]!.dn, memberAttribute: 'member', nested: true } }] });
    const inside = [...corp.membersOf(0, true)].sort();
    const outside = corp.people.map(({ uid }) => uid).filter((uid) => !inside.includes(uid));
    expect(outside.length).toBeGreaterThan(0);
    await expect(signIn(outside[0]!)).rejects.toMatchObject({ code: 'access.wrong-credentials' });
    expect(await world.stack.accounts.find(ctx, outside[0]!)).toBeNull();

    const sessions = await Promise.all(inside.slice(0, 4).map(signIn));
    const [gone, disabled, thrown, stays] = inside.slice(0, 4).map((uid) => corp.people.find((person) => person.uid === uid)!) as [Corp['people'][0], Corp['people'][0], Corp['people'][0], Corp['people'][0]];
    await slapd.remove(gone.dn);
    await setAttribute(slapd, disabled.dn, 'userAccountControl', ['514']);
    for (const [index, item] of corp.groups.entries()) {
      await setAttribute(slapd, item.dn, 'member', [...item.people.map((person) => corp.people[person]!.dn).filter((dn) => dn !== thrown.dn), ...item.groups.map((child) => corp.groups[child]!.dn)]);
      expect(index).toBeLessThan(4);
    }
    for (const { uid } of [gone, disabled, thrown]) {
      expect(await active(uid)).toBe(true);
      await expect(signIn(uid)).rejects.toMatchObject({ code: 'access.wrong-credentials' });
      expect([uid, await active(uid)]).toEqual([uid, false]);
    }
    expect(await Promise.all(sessions.map(({ token }) => actor(token)))).toEqual([null, null, null, expect.objectContaining({ name: stays.uid })]);
    // A wrong password of somebody who is there is a wrong password.
    await expect(world.stack.sessions.signIn(visitor(), { username: stays.uid, password: 'wrong' })).rejects.toMatchObject({ code: 'access.wrong-credentials' });
    expect(await active(stays.uid)).toBe(true);

    await setAttribute(slapd, disabled.dn, 'userAccountControl', ['512']);
    await signIn(disabled.uid);
    expect(await active(disabled.uid)).toBe(true);
    await world.configure({ jitProvisioning: false });
    await expect(signIn(corp.people.find(({ uid }) => !inside.slice(0, 4).includes(uid))!.uid)).rejects.toMatchObject({ code: 'access.wrong-credentials' });
  });

  it('is not gone when only the DN or the user name is another', async () => {
    await world.sync();
    const before = await world.stack.accounts.get(ctx, 'u00002');
    await slapd.asRoot((client) => client.modifyDN(dnOf(2), 'cn=Somebody\\, Else'));
    const moved = `cn=Somebody\\, Else,${corp.peopleBase}`;
    await setAttribute(slapd, moved, 'cn', ['Somebody, Else', before.displayName!]);
    const run = await world.sync();
    expect(run.counts).toMatchObject({ renamed: 1, deactivated: 0, created: 0 });
    await setAttribute(slapd, moved, 'uid', ['somebody']);
    expect((await world.sync()).counts).toMatchObject({ renamed: 1, deactivated: 0, created: 0 });
    expect(await world.stack.accounts.get(ctx, 'u00002')).toMatchObject({ id: before.id, name: 'u00002', active: true });
    expect((await world.stack.sessions.signIn(visitor(), { username: 'somebody', password })).token).not.toBe('');
    expect((await world.sync()).counts).toMatchObject({ renamed: 0 });
  });

  it('leaves teams and, with the last team, the organization; administrators follow too, and the recovery admin never', async () => {
    await world.follow('a', group(corp, 1, false));
    await world.follow('b', group(corp, 2, false));
    await world.stack.directoryTargets.putOrganization(ctx, 'acme', 0, group(corp, 3, false));
    await world.configure({ adminSync: group(corp, 3, false) });
    await setMembers(slapd, corp, 1, [1, 2, 3, 4]);
    await setMembers(slapd, corp, 2, [4, 5, 6]);
    await setMembers(slapd, corp, 3, [7, 8]);
    const other = await makeUser(world.stack, 'otheradmin', { admin: true });
    await world.sync();
    const roles = async (): Promise<string[]> => (await world.stack.accounts.listMembers(ctx, 'acme', { limit: 100 })).items.map(({ user, role }) => `${user.name}:${role}`);
    const admins = async (): Promise<string[]> => (await world.stack.accounts.list(ctx, { limit: 100, kind: 'user' })).items.filter(({ admin }) => admin).map(({ name }) => name).sort();
    expect(await roles()).toEqual(['u00001:member', 'u00002:member', 'u00003:member', 'u00004:member', 'u00005:member', 'u00006:member', 'u00007:admin', 'u00008:admin']);
    expect(await admins()).toEqual(['admin', 'otheradmin', 'u00007', 'u00008']);

    // One goes by itself, one is in another team, one is there by hand.
    const team = await world.stack.teams.get(ctx, 'acme', 'a');
    await world.stack.teams.putMember(ctx, team.id, 'u00002', false);
    await world.configure({ adminSync: group(corp, 3, false), safetySharePercent: 100 });
    await setMembers(slapd, corp, 1, [1]);
    await setMembers(slapd, corp, 3, [8, 9]);
    const run = await world.sync();
    expect(run.counts).toMatchObject({ membersRemoved: 3, membersAdded: 0, adminsAdded: 2, adminsRemoved: 2, held: 0 });
    expect(await roles()).toEqual(['u00001:member', 'u00002:member', 'u00004:member', 'u00005:member', 'u00006:member', 'u00008:admin', 'u00009:admin']);
    expect(await admins()).toEqual(['admin', 'otheradmin', 'u00008', 'u00009']);
    expect(await active(other.account.name)).toBe(true);

    await world.stack.directoryTargets.deleteTeam(ctx, 'acme', 'b');
    expect(await world.members('b')).toEqual([]);
    expect(await roles()).toEqual(['u00001:member', 'u00002:member', 'u00008:admin', 'u00009:admin']);
  });

  it('may only seem to: too many at once are held, for a time, and never who is disabled or deleted', async () => {
    await world.follow('a', group(corp, 1, false));
    await world.follow('b', group(corp, 2, false));
    await world.configure({ adminSync: group(corp, 3, false), holdHours: 24 });
    await setMembers(slapd, corp, 1, [1, 2, 3, 4, 5, 6]);
    await setMembers(slapd, corp, 2, [7, 8, 9, 10]);
    await setMembers(slapd, corp, 3, [11, 12]);
    await world.sync();

    await setMembers(slapd, corp, 1, [6]);
    await setMembers(slapd, corp, 2, [7, 8]);
    await setMembers(slapd, corp, 3, [13]);
    await slapd.remove(dnOf(1));
    await setAttribute(slapd, dnOf(2), 'userAccountControl', ['514']);
    const planned = await world.sync(true);
    expect(planned.counts).toMatchObject({ deactivated: 2, membersRemoved: 2, held: 7, adminsAdded: 1, adminsRemoved: 0 });
    expect(await world.members('a')).toHaveLength(6);
    const run = await world.sync();
    expect(run.counts).toEqual(planned.counts);
    // Three of four whom the directory still has, and with them more than half of all: both teams keep theirs.
    expect(await world.members('a')).toEqual(['u00003', 'u00004', 'u00005', 'u00006']);
    expect(await world.members('b')).toEqual(['u00007', 'u00008', 'u00009', 'u00010']);
    expect([await active('u00001'), await active('u00002')]).toEqual([false, false]);
    const admins = async (): Promise<string[]> => (await world.stack.accounts.list(ctx, { limit: 100, kind: 'user' })).items.filter(({ admin }) => admin).map(({ name }) => name).sort();
    expect(await admins()).toEqual(['admin', 'u00011', 'u00012', 'u00013']);
    const holds = async (): Promise<string[]> => (await world.stack.directorySync.listHolds(ctx, { limit: 10, waiting: true })).items.map(({ name, users }) => `${name}: ${users.map((user) => user.name).join(' ')}`).sort();
    expect(await holds()).toEqual(['acme/a: u00003 u00004 u00005', 'acme/b: u00009 u00010', 'the system: u00011 u00012']);
    expect((await world.log(run)).filter(({ level }) => level === 'warning').map(({ code }) => code).sort()).toEqual(['admins.hold', 'team.hold-members', 'team.hold-members']);

    // Running again neither applies nor forgets them; somebody who is back is out of the hold.
    await setMembers(slapd, corp, 1, [3, 6]);
    expect((await world.sync()).counts).toMatchObject({ held: 6, membersRemoved: 0 });
    expect(await holds()).toEqual(['acme/a: u00004 u00005', 'acme/b: u00009 u00010', 'the system: u00011 u00012']);

    const hold = (await world.stack.directorySync.listHolds(ctx, { limit: 10, waiting: true })).items.find(({ name }) => name === 'acme/a')!;
    const confirmed = await world.stack.directorySync.confirmHold(ctx, hold.id);
    await expect(world.stack.directorySync.confirmHold(ctx, hold.id)).rejects.toMatchObject({ code: 'access.hold-over' });
    await world.stack.directorySync.run(ctx, { runId: confirmed.id });
    expect(await world.members('a')).toEqual(['u00003', 'u00006']);
    expect(await holds()).toEqual(['acme/b: u00009 u00010', 'the system: u00011 u00012']);

    await world.stack.directorySync.tick(ctx);
    expect((await world.stack.directorySync.list(ctx, { limit: 1 })).items[0]).toMatchObject({ id: confirmed.id });
    world.clock.advanceHours(25);
    await world.stack.directorySync.tick(ctx);
    await world.stack.directorySync.tick(ctx);
    const [due] = (await world.stack.directorySync.list(ctx, { limit: 1 })).items;
    expect(due).toMatchObject({ reason: 'hold', state: 'queued' });
    await world.stack.directorySync.run(ctx, { runId: due!.id });
    expect(await holds()).toEqual([]);
    expect(await world.members('b')).toEqual(['u00007', 'u00008']);
    expect(await admins()).toEqual(['admin', 'u00013']);
  });

  it('by the deletion of a group goes too, which is held; a group that was renamed is followed', async () => {
    await world.follow('a', group(corp, 1, false));
    await setMembers(slapd, corp, 1, [1, 2, 3]);
    await world.sync();
    await slapd.asRoot((client) => client.modifyDN(corp.groups[1]!.dn, 'cn=renamed "group", really'.replace(/[",]/g, (char) => `\\${char}`)));
    const moved = await world.sync();
    expect(moved.counts).toMatchObject({ membersRemoved: 0, held: 0 });
    expect((await world.log(moved)).map(({ code }) => code)).toContain('directory.group-moved');
    const target = await world.stack.directoryTargets.getTeam(ctx, 'acme', 'a');
    expect(target.selection).toMatchObject({ groupDn: expect.stringContaining('renamed') as string });
    await slapd.remove((target.selection as { groupDn: string }).groupDn);
    expect((await world.sync()).counts).toMatchObject({ membersRemoved: 0, held: 3 });
    expect(await world.members('a')).toHaveLength(3);
  });

  it('is told beforehand by a dry run, which changes nothing', async () => {
    await world.follow('a', group(corp, 1, false));
    const before = await world.state();
    const run = await world.sync(true);
    expect(run).toMatchObject({ state: 'succeeded', dryRun: true, counts: { created: 20, membersAdded: corp.groups[1]!.people.length } });
    expect(await world.state()).toEqual(before);
    const log = await world.log(run);
    expect(log.filter(({ code }) => code === 'user.create').map(({ detail }) => detail['user'])).toEqual(corp.people.map(({ uid }) => uid));
    expect(log.find(({ code }) => code === 'team.add-members')?.detail['users']).toHaveLength(corp.groups[1]!.people.length);
    expect((await world.sync()).counts).toEqual(run.counts);
  });
});
