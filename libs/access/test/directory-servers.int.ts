import type { DirectoryChange } from '@gantry/access';
import { testContext } from '@gantry/platform/testing';
import { makeCorp, type Corp } from '../testing/corp';
import { group, makeWorld, setAttribute, visitor, type World } from '../testing/directory-world';
import { startSlapd, type Slapd } from '../testing/slapd';

const ctx = testContext();
const search = (searchBase: string): NonNullable<DirectoryChange['userSearches']>[number] => ({ searchBase, scope: 'sub', usernameAttribute: 'uid', fullNameAttribute: null, filter: null, matchGroup: null });

describe('servers and searches', () => {
  let corp: Corp;
  let slapd: Slapd;
  let world: World;
  beforeAll(async () => {
    corp = makeCorp({ base: 'dc=corp,dc=test', users: 30, groups: 4, password: 'a staff password' });
    slapd = await startSlapd({ ldif: corp.ldif });
  });
  afterAll(() => slapd.close());
  beforeEach(async () => {
    world = await makeWorld(slapd, corp);
  });
  afterEach(() => world.close());
  const signIn = (username: string, password: string): Promise<{ account: { name: string } }> => world.stack.sessions.signIn(visitor(), { username, password });

  it('the longest domain decides which server is asked, each with its own reader', async () => {
    const other = await startSlapd();
    try {
      await other.addPerson({ uid: 'remote', password: 'a remote password' });
      await other.addPerson({ uid: 'u00001', password: 'not the same' });
      const place = { url: `ldaps://127.0.0.1:${other.tlsPort}`, startTls: false, caPem: other.caPem, bindDn: other.readerDn };
      const domains = [{ domain: 'ou=people,dc=corp,dc=test', ...place, bindPassword: other.readerPassword }, { domain: 'dc=test', ...place, url: 'ldap://127.0.0.1:1', bindPassword: 'nobody listens' }];
      const own = { domain: 'dc=corp,dc=test', url: slapd.settings().url, startTls: false, caPem: null, bindDn: slapd.readerDn, bindPassword: slapd.readerPassword };
      await world.configure({ domains: [...domains, own], userSearches: [search(corp.peopleBase), search('ou=people,dc=corp,dc=test')] });
      const run = await world.sync();
      expect(run).toMatchObject({ state: 'succeeded' });
      expect(await world.stack.accounts.find(ctx, 'remote')).toMatchObject({ source: 'ldap', active: true });
      // The first search has somebody of this name, and the second one's password is not theirs.
      expect((await world.log(run)).map(({ message }) => message)).toContainEqual(expect.stringContaining('which an earlier search found'));
      await expect(signIn('u00001', 'not the same')).rejects.toMatchObject({ code: 'access.wrong-credentials' });
      expect((await signIn('u00001', 'a staff password')).account.name).toBe('u00001');
      expect((await signIn('remote', 'a remote password')).account.name).toBe('remote');

      // Reader passwords are kept while they go to the same place, and never shown.
      const shown = await world.stack.directory.settings(ctx);
      expect(JSON.stringify(shown)).not.toContain(other.readerPassword);
      const { version, ...rest } = shown;
      await world.stack.directory.update(ctx, version, rest);
      expect(await world.sync()).toMatchObject({ state: 'succeeded', counts: { created: 0 } });
      const moved = rest.domains.map((domain, index) => (index === 0 ? { ...domain, url: 'ldaps://127.0.0.2' } : domain));
      await expect(world.stack.directory.update(ctx, version + 1, { ...rest, domains: moved })).rejects.toMatchObject({ code: 'access.directory-password-needed', errors: [{ pointer: '/domains/0/bindPassword' }] });

      // One server that is away fails the whole run, and nobody is gone by that.
      await other.stop();
      expect(await world.sync()).toMatchObject({ state: 'failed', error: { code: 'access.directory-unavailable' } });
      expect(await world.stack.accounts.find(ctx, 'remote')).toMatchObject({ active: true });
    } finally {
      await other.close();
    }
  });

  it('a certificate of another authority is refused in a synchronisation too; LDAPS and StartTLS work', async () => {
    await world.configure({ url: `ldaps://127.0.0.1:${slapd.tlsPort}`, caPem: slapd.otherCaPem });
    expect(await world.sync()).toMatchObject({ state: 'failed', error: { code: 'access.directory-unavailable', detail: expect.stringContaining('authority') as string } });
    await world.configure({ url: `ldaps://127.0.0.1:${slapd.tlsPort}`, caPem: slapd.caPem });
    expect(await world.sync()).toMatchObject({ state: 'succeeded', counts: { people: 30, created: 30 } });
    await world.configure({ startTls: true, caPem: slapd.caPem });
    expect(await world.sync()).toMatchObject({ state: 'succeeded', counts: { people: 30, created: 0, deactivated: 0 } });
  });

  it('a team whose base the server refuses stays as it is, and the others go on', async () => {
    await world.configure();
    await world.follow('a', group(corp, 1, false));
    await world.follow('b', { kind: 'search', searchBase: corp.peopleBase, scope: 'one', filter: '(uid=u0000*)' });
    await world.sync();
    await world.follow('a', { kind: 'search', searchBase: 'ou=nowhere,dc=corp,dc=test', scope: 'one', filter: '(uid=*)' });
    await world.follow('b', { kind: 'search', searchBase: corp.peopleBase, scope: 'one', filter: '(uid=u0001*)' });
    await world.configure({ safetySharePercent: 100 });
    const before = await world.members('a');
    const run = await world.sync();
    expect(run).toMatchObject({ state: 'succeeded', counts: { warnings: 1, membersRemoved: 10, membersAdded: 10 } });
    expect(await world.members('a')).toEqual(before);
    expect(await world.stack.directoryTargets.getTeam(ctx, 'acme', 'a')).toMatchObject({ error: expect.stringContaining('does not exist') as string });
    expect(await world.members('b')).toEqual(Array.from({ length: 10 }, (_, n) => `u0001${n}`));
  });

  it('groups of user names work as groups of DNs do', async () => {
    await slapd.asRoot((client) =>
      client.add(`cn=posix,${corp.groupsBase}`, { objectClass: 'posixGroup', cn: 'posix', gidNumber: '100', memberUid: ['u00003', 'U00004', 'nobody'] }));
    await world.configure();
    await world.follow('posix', { kind: 'group', groupDn: `cn=posix,${corp.groupsBase}`, memberAttribute: 'memberUid', nested: false });
    await world.sync();
    expect(await world.members('posix')).toEqual(['u00003', 'u00004']);
    await setAttribute(slapd, `cn=posix,${corp.groupsBase}`, 'memberUid', ['u00003']);
    await world.configure({ userSearches: [{ ...search(corp.peopleBase), matchGroup: { groupDn: `cn=posix,${corp.groupsBase}`, memberAttribute: 'memberUid', nested: false } }] });
    expect((await signIn('u00003', 'a staff password')).account.name).toBe('u00003');
    await expect(signIn('u00004', 'a staff password')).rejects.toMatchObject({ code: 'access.wrong-credentials' });
  });

  it('Active Directory’s rule is not asked of a server that would answer nothing to it', async () => {
    await world.configure({ nestedGroups: 'matching-rule' });
    await world.follow('a', group(corp, 0));
    const run = await world.sync();
    expect(run).toMatchObject({ state: 'succeeded', counts: { warnings: 1, membersAdded: 0 } });
    expect((await world.log(run)).find(({ level }) => level === 'error')?.message).toContain('not Active Directory');
  });

  it('what can’t work is refused with its place', async () => {
    const faults = async (changes: Partial<DirectoryChange>): Promise<unknown> => world.configure(changes).then(() => null, (error: { errors?: unknown }) => error.errors);
    expect(await faults({ filter: '(&(uid=*)(mail=*)' })).toEqual([{ pointer: '/filter', detail: expect.stringContaining('at character 18') as string }]);
    expect(await faults({ userSearches: [search(corp.peopleBase), { ...search('people'), filter: '(uid=a(b)' }] })).toEqual([
      { pointer: '/userSearches/1/searchBase', detail: 'not a DN' }, { pointer: '/userSearches/1/filter', detail: expect.stringContaining('at character 7') as string },
    ]);
    expect(await faults({ schedule: '61 * * * *' })).toEqual([{ pointer: '/schedule', detail: expect.stringContaining('minute') as string }]);
    expect(await faults({ adminSync: { kind: 'search', searchBase: 'dc=x', scope: 'sub', filter: 'nonsense' } })).toEqual([{ pointer: '/adminSync/filter', detail: expect.stringContaining('at character 9') as string }]);
    await world.configure();
    await expect(world.follow('a', { kind: 'group', groupDn: 'nobody', memberAttribute: 'member', nested: false })).rejects.toMatchObject({ errors: [{ pointer: '/groupDn', detail: 'not a DN' }] });
  });

  it('runs by its schedule, once per time, and not beside another', async () => {
    await world.configure({ schedule: '30 4 * * *' });
    await world.stack.directorySync.tick(ctx);
    const runs = async (): Promise<unknown[]> => (await world.stack.directorySync.list(ctx, { limit: 10 })).items.map(({ reason, state }) => `${reason} ${state}`);
    expect(await runs()).toEqual([]);
    world.clock.advanceHours(24);
    await Promise.all([world.stack.directorySync.tick(ctx), world.stack.directorySync.tick(ctx)]);
    await world.stack.directorySync.tick(ctx);
    expect(await runs()).toEqual(['schedule queued']);
    const { id } = await world.stack.directorySync.start(ctx, { dryRun: false });
    const jobs = (): Promise<{ due: Date }[]> => world.database.db.query<{ due: Date }>(ctx, `select due_at as due from platform_outbox where name = 'access.sync-directory' order by due_at`);
    const [before, began] = [await jobs(), Date.now()];
    await Promise.all([world.stack.directorySync.run(ctx, { runId: id }), world.stack.directorySync.run(ctx, { runId: id })]);
    expect(await runs()).toEqual(['schedule succeeded']);
    // The one that met the other comes again, a while after it was turned away.
    const after = await jobs();
    expect(after).toHaveLength(before.length + 1);
    expect(after.at(-1)!.due.getTime()).toBeGreaterThan(began + 1_000);
    await world.stack.directorySync.tick(ctx);
    expect(await runs()).toHaveLength(1);
    world.clock.advanceHours(24);
    await world.stack.directorySync.tick(ctx);
    expect(await runs()).toEqual(['schedule queued', 'schedule succeeded']);
  });
});

describe('a group of 10,000', () => {
  it('comes over whole, with somebody in it by a group in it', async () => {
    const corp = makeCorp({ base: 'dc=corp,dc=test', users: 10_000, groups: 3, everybody: true });
    const slapd = await startSlapd({ ldif: corp.ldif });
    const world = await makeWorld(slapd, corp);
    try {
      // Accounts for a few suffice: the others are read, and have none.
      await world.configure({ createOnSync: false });
      for (const uid of ['u00000', 'u05000', 'u09999']) await world.stack.accounts.createFromDirectory(ctx, { externalId: corp.people[Number(uid.slice(1))]!.id, username: uid, displayName: null, mail: null });
      const everybody = corp.groups.length - 1;
      await setAttribute(slapd, corp.groups[2]!.dn, 'member', [corp.groups[everybody]!.dn, corp.groups[2]!.dn]);
      await world.follow('direct', group(corp, everybody, false));
      await world.follow('nested', group(corp, 2, true));
      await world.follow('not-nested', group(corp, 2, false));
      expect(await world.sync()).toMatchObject({ state: 'succeeded', counts: { people: 10_000 } });
      expect(await world.members('direct')).toEqual(['u00000', 'u05000', 'u09999']);
      expect(await world.members('nested')).toEqual(['u00000', 'u05000', 'u09999']);
      expect(await world.members('not-nested')).toEqual([]);
    } finally {
      await world.close();
      await slapd.close();
    }
  });
});
