import { auditEntities } from '@gantry/audit';
import { anonymous, Clock, makeContext, type Context } from '@gantry/platform';
import { openTestDatabase, testContext, type TestDatabase } from '@gantry/platform/testing';
import { accessEntities, type DirectoryChange } from '@gantry/access';
import { makeAccess, makeUser, type AccessStack } from '../testing';
import { startSlapd, type Slapd } from '../testing/slapd';

class TestClock extends Clock {
  private millis = Date.now();
  now(): Date {
    return new Date(this.millis);
  }
  advance(seconds: number): void {
    this.millis += seconds * 1000;
  }
}

const visitor = (): Context => makeContext(anonymous, { address: '192.0.2.1' });

describe('people of a directory', () => {
  let slapd: Slapd;
  let database: TestDatabase;
  let clock: TestClock;
  let stack: AccessStack;
  const ctx = testContext();
  const signIn = (username: string, password: string): ReturnType<AccessStack['sessions']['signIn']> => stack.sessions.signIn(visitor(), { username, password });
  const configure = async (changes: Partial<DirectoryChange> = {}): Promise<void> => {
    const { version } = await stack.directory.settings(ctx);
    await stack.directory.update(ctx, version, { ...slapd.settings(), enabled: true, ...changes });
  };

  beforeAll(async () => {
    slapd = await startSlapd();
    await slapd.addPerson({ uid: 'jane', password: 'janes password', cn: 'Jane Doe', mail: 'jane@corp.test' });
    for (const uid of ['admin', 'acme', 'carol', 'library']) await slapd.addPerson({ uid, password: 'directory password' });
  });
  afterAll(() => slapd.close());
  beforeEach(async () => {
    database = await openTestDatabase([...auditEntities, ...accessEntities]);
    clock = new TestClock();
    stack = await makeAccess(database.db, { clock });
    await stack.accounts.ensureAdmin(ctx, 'a first long password');
  });
  afterEach(async () => {
    await slapd.start();
    await stack.close();
    await database.close();
  });

  it('don’t sign in while no directory is enabled', async () => {
    await expect(signIn('jane', 'janes password')).rejects.toMatchObject({ code: 'access.wrong-credentials' });
    await configure({ enabled: false });
    await expect(signIn('jane', 'janes password')).rejects.toMatchObject({ code: 'access.wrong-credentials' });
    expect(await stack.accounts.find(ctx, 'jane')).toBeNull();
  });

  it('get an account at their first sign-in, keyed by entryUUID, with no rights until some are given', async () => {
    await configure();
    const first = await signIn('jane', 'janes password');
    expect(first.account).toMatchObject({ source: 'ldap', kind: 'user', name: 'jane', namespace: 'jane', displayName: 'Jane Doe', mail: 'jane@corp.test', admin: false });
    expect(first.account.externalId).toMatch(/^[0-9a-f-]{36}$/);
    expect((await signIn('JANE', 'janes password')).account.id).toBe(first.account.id);
    await expect(signIn('jane', 'another password')).rejects.toMatchObject({ code: 'access.wrong-credentials' });

    const organization = await stack.accounts.createOrganization(ctx, { name: 'corp' });
    const as = { ...visitor(), actor: (await stack.authenticator.bearer(visitor(), first.token))! };
    const repository = { kind: 'repository', id: 'r', parent: { kind: 'account', id: organization.id } };
    expect(stack.access.can(as, 'repository:view', repository).visible).toBe(false);
    await stack.accounts.addMember(ctx, 'corp', 'jane', 'member');
    expect(stack.access.can(as, 'repository:pull', repository).allowed).toBe(true);
    expect((await stack.audit.list(ctx, { limit: 10, action: 'user.create' })).items.find((row) => row.resourceName === 'jane')?.detail).toMatchObject({ source: 'ldap' });
    await expect(stack.accounts.resetPassword(ctx, 'jane', 'a local long password')).rejects.toMatchObject({ code: 'access.password-not-local' });
  });

  it('keep their account when the directory calls them by another name', async () => {
    await configure();
    const first = await signIn('jane', 'janes password');
    await configure({ usernameAttribute: 'mail' });
    const renamed = await signIn('jane@corp.test', 'janes password');
    expect(renamed.account).toMatchObject({ id: first.account.id, name: 'jane' });
  });

  it('get no new account for an entry that took the name of one who left', async () => {
    await configure();
    const dn = await slapd.addPerson({ uid: 'joe', password: 'joes password' });
    await signIn('joe', 'joes password');
    await slapd.remove(dn);
    await slapd.addPerson({ uid: 'joe', password: 'other joes password' });
    await expect(signIn('joe', 'other joes password')).rejects.toMatchObject({ code: 'access.name-taken' });
  });

  it('take over nothing: not admin, not an organization, not a local user, no reserved name', async () => {
    await configure();
    const acme = await stack.accounts.createOrganization(ctx, { name: 'Acme' });
    const carol = await makeUser(stack, 'carol');
    await expect(signIn('admin', 'directory password')).rejects.toMatchObject({ code: 'access.wrong-credentials' });
    await expect(signIn('carol', 'directory password')).rejects.toMatchObject({ code: 'access.wrong-credentials' });
    for (const name of ['acme', 'library']) {
      await expect(signIn(name, 'directory password')).rejects.toMatchObject({ code: 'access.name-taken', status: 409 });
      await expect(signIn(name, 'not the password')).rejects.toMatchObject({ code: 'access.wrong-credentials' });
    }
    expect((await signIn('carol', carol.password)).account.source).toBe('local');
    expect(await stack.accounts.get(ctx, 'acme')).toEqual(acme);
    expect(await database.db.query(ctx, `select 1 from access_accounts where source = 'ldap'`)).toEqual([]);
  });

  it('and a refused reader is 503, a server that is down too, while the local admin signs in', async () => {
    await configure({ bindPassword: 'not the reader’s' });
    await expect(signIn('jane', 'janes password')).rejects.toMatchObject({ code: 'access.directory-misconfigured', status: 503 });
    expect(await stack.directory.test(ctx, {})).toMatchObject({ ok: false, code: 'access.directory-misconfigured' });
    await configure({ bindPassword: slapd.readerPassword });
    expect(await stack.directory.test(ctx, { username: 'jane', password: 'janes password' })).toMatchObject({ ok: true, entry: { username: 'jane' } });
    expect(await stack.directory.test(ctx, { username: 'jane', password: 'wrong' })).toMatchObject({ ok: false, code: 'wrong-credentials' });
    await slapd.stop();
    // Not their fault, so it does not count as their failure either.
    for (let n = 0; n < 12; n += 1) await expect(signIn('jane', 'janes password')).rejects.toMatchObject({ code: 'access.directory-unavailable', status: 503 });
    await signIn('admin', 'a first long password');
    await slapd.start();
    await signIn('jane', 'janes password');
    await stack.audit.flushRepeats();
    const failed = (await stack.audit.list(ctx, { limit: 20, action: 'session.create', outcome: 'failed' })).items;
    expect(failed.filter((row) => row.detail['code'] === 'access.directory-unavailable').reduce((sum, row) => sum + row.count, 0)).toBe(12);
  });

  it('are remembered for a minute, not longer while the directory is down, nor over a change of its settings', async () => {
    await configure();
    const basic = (): ReturnType<AccessStack['authenticator']['basic']> => stack.authenticator.basic(visitor(), 'jane', 'janes password');
    await signIn('jane', 'janes password');
    expect(await basic()).toMatchObject({ name: 'jane' });
    await slapd.stop();
    for (let n = 0; n < 5; n += 1) {
      clock.advance(11);
      expect(await basic()).toMatchObject({ name: 'jane' });
    }
    clock.advance(6);
    await expect(basic()).rejects.toMatchObject({ code: 'access.directory-unavailable' });
    await slapd.start();
    expect(await basic()).toMatchObject({ name: 'jane' });
    await slapd.stop();
    await configure({ timeoutSeconds: 2 });
    await expect(basic()).rejects.toMatchObject({ code: 'access.directory-unavailable' });
  });
});
