import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { auditEntities } from '@gantry/audit';
import { anonymous, Clock, Db, makeContext, uuidv7, type Context } from '@gantry/platform';
import { Delays, eventually, openTestDatabase, testConfig, testContext, testLogger, type TestDatabase } from '@gantry/platform/testing';
import { migrations } from '../../../migrations';
import { accessEntities, accountRef, operations, type ResourceRef } from '@gantry/access';
import { contextOf, makeAccess, makeUser, type AccessStack } from '../testing';

const entities = [...auditEntities, ...accessEntities];

/** A clock that stands still until it is told to move. */
class TestClock extends Clock {
  private millis = Date.now();
  now(): Date {
    return new Date(this.millis);
  }
  advance(seconds: number): void {
    this.millis += seconds * 1000;
  }
}

function visitor(address = '192.0.2.1'): Context {
  return makeContext(anonymous, { address });
}

describe('access', () => {
  let database: TestDatabase;
  let clock: TestClock;
  let stack: AccessStack;
  let home: string;
  const ctx = testContext();

  beforeEach(async () => {
    database = await openTestDatabase(entities);
    clock = new TestClock();
    home = mkdtempSync(join(tmpdir(), 'gantry-access-'));
    stack = await makeAccess(database.db, { clock, config: testConfig({ GANTRY_HOME: home }) });
  });
  afterEach(async () => {
    await stack.close();
    await database.close();
    rmSync(home, { recursive: true, force: true });
  });

  const rows = async (action: string): Promise<{ outcome: string; actor: string; resource: string | null; detail: Record<string, unknown>; count: number }[]> => {
    await stack.audit.flushRepeats();
    const { items } = await stack.audit.list(ctx, { limit: 100, action });
    return items.reverse().map((row) => ({ outcome: row.outcome, actor: row.actorName, resource: row.resourceName, detail: row.detail, count: row.count }));
  };
  const placeRepository = async (account: string): Promise<ResourceRef> => {
    const ref = { kind: 'repository', id: uuidv7() };
    await stack.access.place(ctx, ref, stack.access.accountCollection(account));
    return ref;
  };

  describe('accounts', () => {
    it('are one per name, over kinds and sources, without regard to case', async () => {
      await stack.accounts.createUser(ctx, { name: 'Ann' });
      await stack.accounts.createOrganization(ctx, { name: 'acme' });
      for (const name of ['ann', 'ANN', 'Acme']) {
        await expect(stack.accounts.createUser(ctx, { name })).rejects.toMatchObject({ code: 'access.name-taken' });
        await expect(stack.accounts.createOrganization(ctx, { name })).rejects.toMatchObject({ code: 'access.name-taken' });
      }
      const entry = { externalId: uuidv7(), displayName: null, mail: null };
      for (const username of ['ann', 'ACME', 'admin', 'ａｄｍｉｎ', 'system', 'a:b']) {
        await expect(stack.accounts.createFromDirectory(ctx, { ...entry, username })).rejects.toMatchObject({ code: 'access.name-taken' });
      }
      expect(await stack.accounts.find(ctx, 'aNN')).toMatchObject({ name: 'Ann', namespace: 'ann', source: 'local' });
      await expect(stack.accounts.createUser(ctx, { name: 'admin' })).rejects.toMatchObject({ code: 'access.name-reserved' });
      await expect(stack.accounts.createUser(ctx, { name: 'bob', password: 'short' })).rejects.toMatchObject({ code: 'access.password-rule' });
      await expect(stack.accounts.createUser(ctx, { name: 'bob', password: 'gpat_0123456789abcdef' })).rejects.toMatchObject({ code: 'access.password-rule' });
      expect((await rows('user.create')).map((row) => row.resource)).toEqual(['Ann']);
    });

    it('are made once when two ask at the same moment', async () => {
      const made = await Promise.allSettled(Array.from({ length: 6 }, () => stack.accounts.createUser(ctx, { name: 'ann' })));
      expect(made.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
      expect(await rows('user.create')).toHaveLength(1);
    });

    it('have the recovery admin from the first boot, once, and keep the last one', async () => {
      const made = await Promise.all([stack.accounts.ensureAdmin(ctx, 'a first long password'), stack.accounts.ensureAdmin(ctx, 'another long password')]);
      expect(made.sort()).toEqual([false, true]);
      expect(await stack.accounts.ensureAdmin(ctx, 'yet another password')).toBe(false);
      const admin = await stack.accounts.get(ctx, 'admin');
      expect(admin).toMatchObject({ kind: 'user', admin: true, active: true });
      await expect(stack.accounts.update(ctx, 'admin', admin.version, { active: false })).rejects.toMatchObject({ code: 'access.last-admin' });
      await expect(stack.accounts.update(ctx, 'admin', admin.version, { admin: false })).rejects.toMatchObject({ code: 'access.last-admin' });
      await makeUser(stack, 'ann', { admin: true });
      await expect(stack.accounts.update(ctx, 'admin', admin.version + 1, { active: false })).rejects.toMatchObject({ code: 'request.precondition-failed' });
      expect(await stack.accounts.update(ctx, 'admin', admin.version, { active: false })).toMatchObject({ active: false, version: admin.version + 1 });
    });

    it('change their own password with the current one, which ends other sessions and removes the first password’s file', async () => {
      const file = join(home, 'admin-password');
      writeFileSync(file, 'a first long password');
      await stack.accounts.ensureAdmin(ctx, 'a first long password');
      const sessions = await Promise.all([1, 2].map(() => stack.sessions.signIn(visitor(), { username: 'admin', password: 'a first long password' })));
      const actor = await stack.authenticator.bearer(visitor(), sessions[0]!.token);
      const own = { ...visitor(), actor: actor! };
      await expect(stack.accounts.changePassword(own, { current: 'a wrong password', next: 'a second long password' })).rejects.toMatchObject({ code: 'access.wrong-current-password' });
      await expect(stack.accounts.changePassword(own, { current: 'a first long password', next: 'short' })).rejects.toMatchObject({ code: 'access.password-rule' });
      expect(existsSync(file)).toBe(true);
      await stack.accounts.changePassword(own, { current: 'a first long password', next: 'a second long password' });
      expect(existsSync(file)).toBe(false);
      expect(await stack.authenticator.bearer(visitor(), sessions[0]!.token)).not.toBeNull();
      expect(await stack.authenticator.bearer(visitor(), sessions[1]!.token)).toBeNull();
      await expect(stack.sessions.signIn(visitor(), { username: 'admin', password: 'a first long password' })).rejects.toMatchObject({ code: 'access.wrong-credentials' });
      await stack.sessions.signIn(visitor(), { username: 'Admin', password: 'a second long password' });
      expect((await rows('account.change-password')).map((row) => row.outcome)).toEqual(['refused', 'success']);
    });

    it('are listed to those who may see them, page by page', async () => {
      const ann = await makeUser(stack, 'ann');
      await makeUser(stack, 'bob');
      const acme = await stack.accounts.createOrganization(ctx, { name: 'acme' });
      await stack.accounts.createOrganization(ctx, { name: 'other' });
      await stack.accounts.addMember(ctx, 'acme', 'ann', 'member');
      expect((await stack.accounts.list(ann.ctx, { limit: 10 })).items.map((item) => item.name)).toEqual(['ann', 'acme']);
      const first = await stack.accounts.list(ctx, { limit: 3 });
      expect(first.items.map((item) => item.name)).toEqual(['ann', 'bob', 'acme']);
      expect((await stack.accounts.list(ctx, { limit: 3, cursor: first.next! })).items.map((item) => item.name)).toEqual(['other']);
      expect(await stack.accounts.organizationsOf(ctx, ann.account.id)).toEqual([{ id: acme.id, name: 'acme', role: 'member' }]);
      expect(stack.access.listCollections(ann.ctx).map((item) => item.path)).toEqual(['/Organizations/acme', '/Shared/Private/ann']);
      await expect(stack.accounts.addMember(ctx, 'acme', 'other', 'member')).rejects.toMatchObject({ code: 'access.not-a-user' });
      await expect(stack.accounts.addMember(ctx, 'ann', 'bob', 'member')).rejects.toMatchObject({ code: 'request.not-found' });
    });
  });

  describe('the snapshot', () => {
    it('shows a change to the process that made it at once, to another within a second', async () => {
      const db = await Db.open({ url: database.url, entities, migrations, logger: testLogger() });
      const other = await makeAccess(db, { clock });
      try {
        const ann = await makeUser(stack, 'ann');
        const acme = await stack.accounts.createOrganization(ctx, { name: 'acme' });
        const repository = await placeRepository(acme.id);
        const mine = (operation: 'repository:view' | 'repository:push'): boolean => stack.access.can(ann.ctx, operation, repository).allowed;
        const theirs = (operation: 'repository:view' | 'repository:push'): boolean => other.access.can(ann.ctx, operation, repository).allowed;
        const delays = new Delays();
        expect(mine('repository:view')).toBe(false);

        const steps: [string, () => Promise<unknown>, boolean, boolean][] = [
          ['member', () => stack.accounts.addMember(ctx, 'acme', 'ann', 'member'), true, false],
          ['admin', () => stack.accounts.addMember(ctx, 'acme', 'ann', 'admin'), true, true],
          ['moved away', () => stack.access.place(ctx, repository, stack.access.systemCollection()), false, false],
          ['moved to her own', () => stack.access.place(ctx, repository, stack.access.accountCollection(ann.account.id)), true, true],
          ['unplaced', () => stack.access.unplace(ctx, repository), false, false],
          ['placed again', () => stack.access.place(ctx, repository, stack.access.accountCollection(acme.id)), true, true],
          ['no member', () => stack.accounts.removeMember(ctx, 'acme', 'ann'), false, false],
        ];
        for (const [what, step, views, pushes] of steps) {
          await step();
          expect([what, mine('repository:view'), mine('repository:push')]).toEqual([what, views, pushes]);
          await delays.until(`the other process sees: ${what}`, () => theirs('repository:view') === views && theirs('repository:push') === pushes);
        }
        await stack.accounts.addMember(ctx, 'acme', 'ann', 'member');
        await delays.until('seen', () => theirs('repository:view'));
        await stack.accounts.update(ctx, 'ann', ann.account.version, { active: false });
        expect(mine('repository:view')).toBe(false);
        await delays.until('the deactivation is seen', () => !theirs('repository:view'));
        expect(delays.fastest).toBeLessThan(1);
      } finally {
        await other.close();
        await db.close();
      }
    });

    it('is the same after many changes at once as one that is loaded anew', async () => {
      const db = await Db.open({ url: database.url, entities, migrations, logger: testLogger() });
      const other = await makeAccess(db, { clock });
      try {
        const users = await Promise.all(['u1', 'u2', 'u3', 'u4'].map((name) => stack.accounts.createUser(ctx, { name })));
        const orgs = await Promise.all(['o1', 'o2'].map((name) => other.accounts.createOrganization(ctx, { name })));
        const repositories = Array.from({ length: 8 }, () => ({ kind: 'repository', id: uuidv7() }));
        await Promise.all(
          Array.from({ length: 60 }, async (_item, n) => {
            const { accounts, access } = n % 2 ? stack : other;
            if (n % 3 === 0) await accounts.addMember(ctx, orgs[n % 2]!.name, users[n % 4]!.name, n % 5 ? 'member' : 'admin');
            else await access.place(ctx, repositories[n % 8]!, access.accountCollection([...users, ...orgs][n % 6]!.id));
          }),
        );
        const fresh = await makeAccess(db, { clock });
        const answers = (from: AccessStack): boolean[] =>
          users.flatMap((user) => repositories.flatMap((ref) => (['repository:view', 'repository:push'] as const).map((operation) => from.access.can(contextOf(user), operation, ref).allowed)));
        const expected = answers(fresh);
        await fresh.close();
        expect(expected).toContain(true);
        for (const one of [stack, other]) await eventually('the same answers', () => JSON.stringify(answers(one)) === JSON.stringify(expected));
      } finally {
        await other.close();
        await db.close();
      }
    });

    it('forgets nothing of a transaction that is rolled back, since it never knew it', async () => {
      const ann = await makeUser(stack, 'ann');
      const ref = { kind: 'repository', id: uuidv7() };
      await expect(
        database.db.transaction(ctx, async (tx) => {
          await stack.access.place(tx, ref, stack.access.accountCollection(ann.account.id));
          throw new Error('roll back');
        }),
      ).rejects.toThrow('roll back');
      await stack.access.refresh(ctx);
      expect(stack.access.can(ann.ctx, 'repository:view', ref).visible).toBe(false);
    });

    it('loads everything anew when it was away for longer than changes are kept', async () => {
      const ann = await makeUser(stack, 'ann');
      stack.access.stop();
      await database.db.query(ctx, `insert into access_placements values ('repository', 'r', $1)`, [ann.account.id]);
      await database.db.query(ctx, `insert into access_changes (version, change) select max(version) + 5, '{"type":"directory"}' from access_changes`);
      await stack.access.refresh(ctx);
      expect(stack.access.can(ann.ctx, 'repository:view', { kind: 'repository', id: 'r' }).allowed).toBe(true);
    });

    it('goes on deciding while the database is away', async () => {
      const db = await Db.open({ url: database.url, entities, migrations, logger: testLogger() });
      const other = await makeAccess(db, { clock });
      const ann = await makeUser(stack, 'ann');
      const repository = await placeRepository(ann.account.id);
      await eventually('seen', () => other.access.can(ann.ctx, 'repository:push', repository).allowed);
      await other.close();
      await db.close();
      await expect(other.access.refresh(ctx)).rejects.toThrow();
      expect(other.access.can(ann.ctx, 'repository:push', repository).allowed).toBe(true);
    });

    it('says not found, forbidden or sign in first', async () => {
      const ann = await makeUser(stack, 'ann');
      const acme = await stack.accounts.createOrganization(ctx, { name: 'acme' });
      const repository = await placeRepository(acme.id);
      const attempt = (as: Context): (() => void) => () => stack.access.assertCan(as, 'repository:push', repository);
      expect(attempt(visitor())).toThrow(expect.objectContaining({ code: 'request.unauthenticated' }));
      expect(attempt(ann.ctx)).toThrow(expect.objectContaining({ code: 'request.not-found' }));
      await stack.accounts.addMember(ctx, 'acme', 'ann', 'member');
      expect(attempt(ann.ctx)).toThrow(expect.objectContaining({ code: 'request.forbidden' }));
      await stack.accounts.addMember(ctx, 'acme', 'ann', 'admin');
      expect(attempt(ann.ctx)).not.toThrow();
      expect(() => stack.access.assertCan(ann.ctx, 'audit:view', { kind: 'system', id: 'system' })).toThrow(expect.objectContaining({ code: 'request.forbidden' }));
      expect(stack.access.listScope(ann.ctx, 'repository:push', 'repository')).toEqual({ owners: [ann.account.id, acme.id], moved: [], ids: [] });
      expect(stack.access.listScope(ctx, 'repository:push', 'repository')).toBeNull();
      expect(stack.access.listScope(visitor(), 'repository:pull', 'repository')).toEqual({ owners: [], moved: [], ids: [] });
    });
  });

  describe('sessions', () => {
    it('start with name and password, are kept as a hash, end, and run out', async () => {
      const ann = await makeUser(stack, 'ann');
      const { token, expiresAt, account } = await stack.sessions.signIn(visitor(), { username: 'ANN', password: ann.password });
      expect(account.name).toBe('ann');
      expect(expiresAt.getTime() - clock.now().getTime()).toBe(12 * 3_600_000);
      expect(token).toMatch(/^gses_[\w-]{43}$/);
      expect(JSON.stringify(await database.db.query(ctx, 'select * from access_sessions'))).not.toContain(token.slice(5));
      const actor = await stack.authenticator.bearer(visitor(), token);
      expect(actor).toMatchObject({ kind: 'user', id: ann.account.id, name: 'ann', admin: false, limits: null });
      const own = { ...visitor(), actor: actor! };
      expect((await stack.sessions.list(own, { limit: 5 })).items).toMatchObject([{ current: true, address: '192.0.2.1' }]);

      const second = await stack.sessions.signIn(visitor(), { username: 'ann', password: ann.password });
      expect(await stack.authenticator.bearer(visitor(), second.token)).not.toBeNull();
      await stack.sessions.end(own);
      expect(await stack.authenticator.bearer(visitor(), token)).toBeNull();
      await expect(stack.sessions.end(own)).rejects.toMatchObject({ code: 'request.not-found' });
      clock.advance(12 * 3600 + 1);
      expect(await stack.authenticator.bearer(visitor(), second.token)).toBeNull();
      await stack.sessions.expire(ctx);
      expect(await database.db.query(ctx, 'select 1 from access_sessions')).toEqual([]);
      expect((await rows('session.create')).map((row) => [row.outcome, row.actor])).toEqual([['success', 'ann'], ['success', 'ann']]);
      expect(await rows('session.end')).toHaveLength(1);
    });

    it('of somebody else can’t be ended', async () => {
      const ann = await makeUser(stack, 'ann');
      const bob = await makeUser(stack, 'bob');
      const session = await stack.sessions.signIn(visitor(), { username: 'ann', password: ann.password });
      await expect(stack.sessions.end(bob.ctx, session.id)).rejects.toMatchObject({ code: 'request.not-found' });
      expect(await stack.authenticator.bearer(visitor(), session.token)).not.toBeNull();
    });

    it('are void in another process within a second of a deactivation', async () => {
      const db = await Db.open({ url: database.url, entities, migrations, logger: testLogger() });
      const other = await makeAccess(db, { clock });
      try {
        const ann = await makeUser(stack, 'ann');
        const { token } = await stack.sessions.signIn(visitor(), { username: 'ann', password: ann.password });
        await eventually('the other process knows her', () => other.authenticator.bearer(visitor(), token));
        expect(await other.authenticator.basic(visitor(), 'ann', ann.password)).not.toBeNull();
        await stack.accounts.update(ctx, 'ann', ann.account.version, { active: false });
        expect(await stack.authenticator.bearer(visitor(), token)).toBeNull();
        await eventually('void there too', async () => (await other.authenticator.bearer(visitor(), token)) === null);
        expect(await other.authenticator.basic(visitor(), 'ann', ann.password)).toBeNull();
      } finally {
        await other.close();
        await db.close();
      }
    });

    it('refuse unknown users, wrong passwords and inactive users alike, on record', async () => {
      const ann = await makeUser(stack, 'ann');
      await stack.accounts.createUser(ctx, { name: 'nopass' });
      await stack.accounts.createOrganization(ctx, { name: 'acme' });
      await makeUser(stack, 'old');
      await stack.accounts.update(ctx, 'old', 1, { active: false });
      const problems = [];
      for (const [username, password] of [['nobody', ann.password], ['ann', 'a wrong password'], ['old', 'old-password-1'], ['acme', 'x'], ['nopass', ''], ['nopass', 'x'], ['a\u0000b', 'x'], [ann.password + ' !', 'ann']] as const) {
        problems.push(await stack.sessions.signIn(visitor(), { username, password }).catch((error: unknown) => error));
      }
      for (const problem of problems) expect(problem).toMatchObject({ code: 'access.wrong-credentials', detail: (problems[0] as { detail: string }).detail });
      const refused = await rows('session.create');
      expect(refused.map((row) => [row.outcome, row.actor, row.resource])).toEqual(expect.arrayContaining([['refused', 'anonymous', null], ['refused', 'anonymous', 'ann']]));
      expect(JSON.stringify(refused)).not.toContain(ann.password);
    });
  });

  describe('the limit of failures', () => {
    it('stops guessing at one account from one address, also in parallel, and nobody else', async () => {
      const ann = await makeUser(stack, 'ann');
      const guesses = await Promise.all(
        Array.from({ length: 16 }, (_item, n) => stack.sessions.signIn(visitor(), { username: 'ann', password: `guess number ${n}` }).then(() => 'in', (error: { code: string }) => error.code)));
      expect(guesses.filter((code) => code === 'access.wrong-credentials')).toHaveLength(10);
      expect(guesses.filter((code) => code === 'access.too-many-failures')).toHaveLength(6);
      const problem = await stack.sessions.signIn(visitor(), { username: 'Ann', password: ann.password }).catch((error: unknown) => error);
      expect(problem).toMatchObject({ code: 'access.too-many-failures', status: 429, headers: { 'retry-after': '600' } });
      await expect(stack.authenticator.basic(visitor(), 'ann', ann.password)).rejects.toMatchObject({ code: 'access.too-many-failures' });
      await stack.sessions.signIn(visitor('192.0.2.2'), { username: 'ann', password: ann.password });
      clock.advance(601);
      await stack.sessions.signIn(visitor(), { username: 'ann', password: ann.password });
    });

    it('stops guessing at many accounts from one address, and forgets at success', async () => {
      await stack.accounts.ensureAdmin(ctx, 'a first long password');
      await database.db.query(ctx, `insert into access_sign_in_failures values ('192.0.2.1', 99, $1)`, [new Date(clock.now().getTime() + 60_000)]);
      for (let n = 0; n < 3; n += 1) await stack.sessions.signIn(visitor(), { username: 'admin', password: 'a first long password' });
      await expect(stack.sessions.signIn(visitor(), { username: 'someone', password: 'x' })).rejects.toMatchObject({ code: 'access.wrong-credentials' });
      await expect(stack.sessions.signIn(visitor(), { username: 'another', password: 'x' })).rejects.toMatchObject({ code: 'access.too-many-failures', headers: { 'retry-after': '60' } });
      await stack.sessions.signIn(visitor('192.0.2.9'), { username: 'admin', password: 'a first long password' });
    });
  });

  describe('tokens', () => {
    const expiry = (days = 30): Date => new Date(clock.now().getTime() + days * 86_400_000);

    it('act as their user within their limits, as bearer and as password, until they end', async () => {
      const ann = await makeUser(stack, 'ann');
      const repository = await placeRepository(ann.account.id);
      const made = await stack.tokens.create(ann.ctx, { name: 'laptop', kind: 'personal', expiresAt: expiry(), limits: { operations: ['repository:pull'] } });
      expect(made.token).toMatch(/^gpat_/);
      const actor = await stack.authenticator.bearer(visitor(), made.token);
      expect(actor).toMatchObject({ kind: 'user', id: ann.account.id, credentialId: made.id, limits: { operations: ['repository:pull'] } });
      expect(await stack.authenticator.basic(visitor(), 'ANN', made.token)).toEqual(actor);
      expect(await stack.authenticator.basic(visitor(), 'bob', made.token)).toBeNull();
      expect(stack.access.can({ ...visitor(), actor: actor! }, 'repository:pull', repository).allowed).toBe(true);
      expect(stack.access.can({ ...visitor(), actor: actor! }, 'repository:push', repository)).toMatchObject({ allowed: false, visible: true });

      const [listed] = (await stack.tokens.list(ann.ctx, { limit: 5 })).items;
      expect(listed).toMatchObject({ id: made.id, name: 'laptop', lastUsedAt: clock.now() });
      expect(JSON.stringify(listed)).not.toContain('gpat_');
      await stack.tokens.revoke(ann.ctx, made.id);
      expect(await stack.authenticator.bearer(visitor(), made.token)).toBeNull();

      const short = await stack.tokens.create(ann.ctx, { name: 'short', kind: 'personal', expiresAt: expiry(1), limits: null });
      expect(await stack.authenticator.bearer(visitor(), short.token)).not.toBeNull();
      clock.advance(86_401);
      expect(await stack.authenticator.bearer(visitor(), short.token)).toBeNull();
      const log = JSON.stringify(await stack.audit.list(ctx, { limit: 50 }));
      expect(log).toContain('token.create');
      expect(log).not.toContain(made.token);
    });

    it('can’t allow more than the token with which they are asked for', async () => {
      const ann = await makeUser(stack, 'ann');
      const narrow = contextOf(ann.account, { limits: { operations: ['token:manage', 'repository:pull'], repositories: ['0197f0c0-0000-7000-8000-00000000000a'] } });
      const ask = (limits: { operations?: string[]; repositories?: string[] } | null): Promise<unknown> => stack.tokens.create(narrow, { name: 'x', kind: 'personal', expiresAt: expiry(), limits });
      for (const limits of [null, {}, { operations: ['repository:pull'] }, { operations: ['repository:push'], repositories: [] }, { operations: ['repository:pull'], repositories: ['0197f0c0-0000-7000-8000-00000000000b'] }]) {
        await expect(ask(limits)).rejects.toMatchObject({ code: 'access.limits-exceeded' });
      }
      await ask({ operations: ['repository:pull'], repositories: ['0197f0c0-0000-7000-8000-00000000000a'] });
      await expect(stack.tokens.create(ann.ctx, { name: 'x', kind: 'personal', expiresAt: expiry(), limits: { operations: ['repository:fly'] } })).rejects.toMatchObject({ code: 'request.invalid' });
      for (const days of [-1, 0, 800]) {
        await expect(stack.tokens.create(ann.ctx, { name: 'x', kind: 'personal', expiresAt: expiry(days), limits: null })).rejects.toMatchObject({ code: 'access.token-expiry' });
      }
    });

    it('of robots act for an organization, are made and ended by its administrators', async () => {
      const ann = await makeUser(stack, 'ann');
      const bob = await makeUser(stack, 'bob');
      const acme = await stack.accounts.createOrganization(ctx, { name: 'acme' });
      await stack.accounts.addMember(ctx, 'acme', 'ann', 'admin');
      await stack.accounts.addMember(ctx, 'acme', 'bob', 'member');
      const repository = await placeRepository(acme.id);
      const wish = { name: 'ci', kind: 'robot' as const, owner: 'acme', expiresAt: expiry(), limits: { operations: ['repository:pull', 'repository:push'] } };
      await expect(stack.tokens.create(bob.ctx, wish)).rejects.toMatchObject({ code: 'request.forbidden' });
      await expect(stack.tokens.create(ann.ctx, { ...wish, limits: null })).rejects.toMatchObject({ code: 'access.token-limits' });
      const robot = await stack.tokens.create(ann.ctx, wish);
      expect(robot).toMatchObject({ account: { name: 'acme+ci' } });
      await expect(stack.tokens.create(ann.ctx, wish)).rejects.toMatchObject({ code: 'access.name-taken' });
      const actor = await stack.authenticator.basic(visitor(), 'acme+ci', robot.token);
      expect(actor).toMatchObject({ kind: 'robot', name: 'acme+ci', admin: false });
      const as = { ...visitor(), actor: actor! };
      expect(stack.access.can(as, 'repository:push', repository).allowed).toBe(true);
      expect(stack.access.can(as, 'repository:delete', repository)).toMatchObject({ allowed: false, visible: true });
      expect((await stack.tokens.list(ann.ctx, { limit: 5, owner: 'acme' })).items.map((item) => item.id)).toEqual([robot.id]);
      expect((await stack.tokens.list(bob.ctx, { limit: 5 })).items).toEqual([]);
      const ref = await stack.tokens.findRef(ctx, robot.id);
      expect(ref).toEqual({ kind: 'token', id: robot.id, parent: accountRef(acme.id) });
      expect(stack.access.can(ann.ctx, 'token:manage', ref!).allowed).toBe(true);
      expect(stack.access.can(bob.ctx, 'token:manage', ref!).allowed).toBe(false);
      await stack.tokens.revoke(ann.ctx, robot.id);
      expect(await stack.authenticator.basic(visitor(), 'acme+ci', robot.token)).toBeNull();
      await stack.tokens.create(ann.ctx, wish);
    });

    it('of services pull the listed repositories, nothing else, until they are revoked or over', async () => {
      const acme = await stack.accounts.createOrganization(ctx, { name: 'acme' });
      const [web, other] = [await placeRepository(acme.id), await placeRepository(acme.id)];
      const made = await stack.tokens.createServiceCredential(ctx, { subject: 'c1/web', repositoryIds: [web.id], expiresAt: expiry() });
      expect(made.username).toMatch(/^service-[0-9a-f]{12}$/);
      const actor = await stack.authenticator.basic(visitor(), made.username, made.password);
      expect(actor).toMatchObject({ kind: 'service', admin: false });
      const as = { ...visitor(), actor: actor! };
      expect(stack.access.can(as, 'repository:pull', web).allowed).toBe(true);
      expect(stack.access.can(as, 'repository:pull', other).allowed).toBe(false);
      expect(operations.filter((operation) => stack.access.can(as, operation, web).allowed)).toEqual(['repository:pull']);
      expect(await stack.authenticator.basic(visitor(), 'service-000000000000', made.password)).toBeNull();
      expect(await stack.authenticator.bearer(visitor(), made.password)).toBeNull();
      expect(await stack.tokens.listServiceCredentials(ctx, 'c1/web')).toMatchObject([{ id: made.id, repositoryIds: [web.id] }]);
      await stack.tokens.revokeServiceCredential(ctx, made.id);
      await stack.tokens.revokeServiceCredential(ctx, made.id);
      expect(await stack.authenticator.basic(visitor(), made.username, made.password)).toBeNull();
      expect(await rows('service-credential.revoke')).toHaveLength(1);
      const short = await stack.tokens.createServiceCredential(ctx, { subject: 'c1/web', repositoryIds: [web.id], expiresAt: expiry(1) });
      clock.advance(86_401);
      expect(await stack.authenticator.basic(visitor(), short.username, short.password)).toBeNull();
    });

    it('don’t work when they are forged', async () => {
      for (const token of ['gses_x', 'gpat_', 'grob_' + 'a'.repeat(43), 'gsvc_x', '', 'x']) {
        expect(await stack.authenticator.bearer(visitor(), token)).toBeNull();
      }
    });
  });

  describe('remembered passwords', () => {
    /** Takes the stored password away behind everybody's back: only what is remembered can still be right. */
    const breakPassword = (): Promise<unknown> => database.db.query(ctx, `update access_accounts set password_hash = null where name = 'ann' returning 1`);

    it('are trusted for 60 s from when they were verified, and use does not prolong it', async () => {
      const ann = await makeUser(stack, 'ann');
      expect(await stack.authenticator.basic(visitor(), 'ann', ann.password)).toMatchObject({ name: 'ann', credentialId: null });
      await breakPassword();
      for (let n = 0; n < 5; n += 1) {
        clock.advance(11);
        expect(await stack.authenticator.basic(visitor(), 'ann', ann.password)).not.toBeNull();
        expect(await stack.authenticator.basic(visitor(), 'ann', `${ann.password}x`)).toBeNull();
      }
      clock.advance(6);
      expect(await stack.authenticator.basic(visitor(), 'ann', ann.password)).toBeNull();
    });

    it('are dropped on any change of the account, also one that came while it was verified', async () => {
      const ann = await makeUser(stack, 'ann');
      await stack.authenticator.basic(visitor(), 'ann', ann.password);
      await stack.accounts.resetPassword(ctx, 'ann', 'quite another password');
      expect(await stack.authenticator.basic(visitor(), 'ann', ann.password)).toBeNull();
      const verifying = stack.authenticator.basic(visitor(), 'ann', 'quite another password');
      await stack.access.publish(ctx, [{ type: 'credentials', accountId: ann.account.id }]);
      await verifying;
      await breakPassword();
      expect(await stack.authenticator.basic(visitor(), 'ann', 'quite another password')).toBeNull();
    });

    it('follow the rights of the account as they are now', async () => {
      const ann = await makeUser(stack, 'ann');
      expect(await stack.authenticator.basic(visitor(), 'ann', ann.password)).toMatchObject({ admin: false });
      await stack.accounts.update(ctx, 'ann', 1, { admin: true });
      expect(await stack.authenticator.basic(visitor(), 'ann', ann.password)).toMatchObject({ admin: true });
    });
  });

  it('keeps the directory’s password sealed, and does not send it elsewhere', async () => {
    const settings = { enabled: false, url: 'ldap://directory.example', startTls: true, caPem: null, bindDn: 'cn=reader', searchBase: 'dc=example', usernameAttribute: 'uid', filter: null, timeoutSeconds: 2 };
    expect(await stack.directory.settings(ctx)).toMatchObject({ enabled: false, version: 0 });
    await expect(stack.directory.update(ctx, 0, settings)).rejects.toMatchObject({ code: 'access.directory-password-needed' });
    const set = await stack.directory.update(ctx, 0, { ...settings, bindPassword: 'reader-secret' });
    const unset = {
      domains: [], userSearches: [], paging: true, nestedGroups: 'auto', adminSync: null, schedule: null, jitProvisioning: true, createOnSync: false, safetySharePercent: 50, holdHours: 72,
    };
    expect(set).toEqual({ ...settings, ...unset, version: 1 });
    expect(JSON.stringify(await database.db.query(ctx, 'select * from access_directory'))).not.toContain('reader-secret');
    expect(await stack.directory.update(ctx, 1, { ...settings, searchBase: 'dc=other' })).toMatchObject({ version: 2 });
    for (const change of [{ url: 'ldap://elsewhere.example' }, { startTls: false }, { bindDn: 'cn=other' }]) {
      await expect(stack.directory.update(ctx, 2, { ...settings, ...change })).rejects.toMatchObject({ code: 'access.directory-password-needed' });
    }
    await expect(stack.directory.update(ctx, 1, settings)).rejects.toMatchObject({ code: 'request.precondition-failed' });
    await expect(stack.directory.update(ctx, 2, { ...settings, enabled: true, filter: '(((' })).rejects.toMatchObject({ code: 'request.invalid' });
    expect(JSON.stringify(await stack.audit.list(ctx, { limit: 50 }))).not.toContain('reader-secret');
  });
});
