import { randomBytes, scryptSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { auditEntities } from '@gantry/audit';
import { anonymous, Clock, Db, makeContext, uuidv7, type Config, type Context } from '@gantry/platform';
import { eventually, openTestDatabase, testConfig, testContext, testLogger, testSealer, type TestDatabase } from '@gantry/platform/testing';
import { migrations } from '../../../migrations';
import { accessEntities } from '@gantry/access';
import { codeOf, contextOf, makeAccess, makeUser, type AccessStack } from '../testing';

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

const code = (error: unknown): string => (error as { code?: string }).code ?? String(error);

describe('signing in', () => {
  let database: TestDatabase;
  let clock: TestClock;
  let stack: AccessStack;
  let home: string;
  let config: Config;
  const ctx = testContext();

  beforeEach(async () => {
    database = await openTestDatabase(entities);
    clock = new TestClock();
    home = mkdtempSync(join(tmpdir(), 'gantry-sign-in-'));
    config = testConfig({ GANTRY_HOME: home, GANTRY_SESSION_MINUTES: '60', GANTRY_SESSION_RENEWAL_MINUTES: '20', GANTRY_SESSION_LIMIT: '3', GANTRY_TOKEN_MAX_DAYS: '90' });
    stack = await makeAccess(database.db, { clock, config });
  });
  afterEach(async () => {
    await stack.close();
    await database.close();
    rmSync(home, { recursive: true, force: true });
  });

  /** Another process on the same database. */
  const withOther = async (work: (other: AccessStack) => Promise<void>): Promise<void> => {
    const db = await Db.open({ url: database.url, entities, migrations, logger: testLogger() });
    const other = await makeAccess(db, { clock, config });
    try {
      await work(other);
    } finally {
      await other.close();
      await db.close();
    }
  };
  const rows = async (action: string): Promise<{ outcome: string; actor: string; resource: string | null; resourceId: string | null; detail: Record<string, unknown>; count: number }[]> => {
    await stack.audit.flushRepeats();
    const { items } = await stack.audit.list(ctx, { limit: 200, action });
    return items.reverse().map((row) => ({ outcome: row.outcome, actor: row.actorName, resource: row.resourceName, resourceId: row.resourceId, detail: row.detail, count: row.count }));
  };
  const query = <T>(sql: string, parameters: unknown[] = []): Promise<T[]> => database.db.query<T>(ctx, sql, parameters);
  /** Everything that the database holds, as text. */
  const dump = async (): Promise<string> => {
    const tables = await query<{ name: string }>(`select table_name as name from information_schema.tables where table_schema = 'public'`);
    const all = await Promise.all(tables.map(({ name }) => query<{ text: string }>(`select coalesce(string_agg(to_jsonb(t)::text, ' '), '') as text from ${name} t`)));
    return all.map((found) => found[0]!.text).join('\n');
  };
  const signIn = (username: string, password: string, more: { code?: string; address?: string; userAgent?: string; from?: AccessStack } = {}): ReturnType<AccessStack['sessions']['signIn']> =>
    (more.from ?? stack).sessions.signIn(visitor(more.address), {
      username, password, ...(more.code === undefined ? {} : { code: more.code }), ...(more.userAgent === undefined ? {} : { userAgent: more.userAgent }),
    });
  /** How it ends: `in`, or the problem's code. */
  const tried = (...input: Parameters<typeof signIn>): Promise<string> => signIn(...input).then(() => 'in', code);
  const own = async (token: string): Promise<Context> => ({ ...visitor(), actor: (await stack.authenticator.bearer(visitor(), token))! });

  describe('sessions', () => {
    /** Where the row of the session stands; it is another one after each write. */
    const written = async (id: string): Promise<{ version: string; expires_at: Date; last_used_at: Date }> =>
      (await query<{ version: string; expires_at: Date; last_used_at: Date }>('select xmin::text as version, expires_at, last_used_at from access_sessions where id = $1', [id]))[0]!;
    const minutesLeft = async (id: string): Promise<number> => ((await written(id)).expires_at.getTime() - clock.now().getTime()) / 60_000;

    it('that are used near their end get a whole lifetime again, and are not written for each use', async () => {
      const ann = await makeUser(stack, 'ann');
      const { id, token } = await signIn('ann', ann.password);
      const start = await written(id);
      clock.advance(59);
      for (let n = 0; n < 5; n += 1) expect(await stack.authenticator.bearer(visitor(), token)).not.toBeNull();
      expect(await written(id)).toEqual(start);
      clock.advance(38 * 60);
      await stack.authenticator.bearer(visitor(), token);
      expect(await minutesLeft(id)).toBeCloseTo(60 - 38 - 59 / 60, 5);
      const noted = await written(id);
      expect(noted.last_used_at).toEqual(clock.now());
      clock.advance(59);
      await stack.access.publish(ctx, [{ type: 'credentials', accountId: ann.account.id }]);
      await stack.authenticator.bearer(visitor(), token);
      expect(await written(id)).toEqual(noted);
      clock.advance(62);
      await stack.authenticator.bearer(visitor(), token);
      expect(await minutesLeft(id)).toBe(60);
      for (let minute = 0; minute < 39; minute += 1) {
        clock.advance(60);
        await stack.authenticator.bearer(visitor(), token);
      }
      expect(await minutesLeft(id)).toBe(21);
      clock.advance(21 * 60 + 1);
      expect(await stack.authenticator.bearer(visitor(), token)).toBeNull();
    });

    it('that have ended are not renewed by who still remembers them, and none is where renewal is off', async () => {
      const ann = await makeUser(stack, 'ann');
      const { id, token } = await signIn('ann', ann.password);
      clock.advance(45 * 60);
      await query('delete from access_sessions where id = $1 returning 1', [id]);
      expect(await stack.authenticator.bearer(visitor(), token)).toBeNull();
      expect(await query('select 1 from access_sessions')).toEqual([]);
      config = { ...config, sessionRenewalMinutes: 0 };
      await withOther(async (other) => {
        const fixed = await signIn('ann', ann.password, { from: other });
        clock.advance(59 * 60);
        expect(await other.authenticator.bearer(visitor(), fixed.token)).not.toBeNull();
        expect(await minutesLeft(fixed.id)).toBe(1);
      });
    });

    it('are at most so many for one user: the one used least recently ends, on every replica, also when many begin at once', async () => {
      const ann = await makeUser(stack, 'ann');
      await makeUser(stack, 'bob');
      await signIn('bob', 'bob-password-1');
      await withOther(async (other) => {
        const started = [];
        for (let n = 0; n < 3; n += 1) {
          started.push(await signIn('ann', ann.password));
          clock.advance(120);
        }
        const [first, second, third] = started as [(typeof started)[0], (typeof started)[0], (typeof started)[0]];
        for (const { token } of started) expect(await other.authenticator.bearer(visitor(), token)).not.toBeNull();
        clock.advance(120);
        await stack.authenticator.bearer(visitor(), first.token);
        await stack.authenticator.bearer(visitor(), third.token);
        const fourth = await signIn('ann', ann.password);
        expect(await stack.authenticator.bearer(visitor(), second.token)).toBeNull();
        await eventually('void there too', async () => (await other.authenticator.bearer(visitor(), second.token)) === null);
        for (const { token } of [first, third, fourth]) expect(await other.authenticator.bearer(visitor(), token)).not.toBeNull();
        expect(await rows('session.end')).toMatchObject([{ actor: 'ann', resourceId: second.id, detail: { reason: 'limit', limit: 3 } }]);
      });
      const many = await Promise.all(Array.from({ length: 7 }, () => signIn('ann', ann.password)));
      const left = await query<{ id: string }>('select id from access_sessions where account_id = $1', [ann.account.id]);
      expect(left).toHaveLength(3);
      expect(many.map(({ id }) => id)).toEqual(expect.arrayContaining(left.map(({ id }) => id)));
      expect(await query('select 1 from access_sessions')).toHaveLength(4);
    });

    it('are listed with where they came from, to their user and to administrators, who can end them', async () => {
      const ann = await makeUser(stack, 'ann');
      const bob = await makeUser(stack, 'bob');
      const laptop = await signIn('ann', ann.password, { userAgent: `curl/8\0${'x'.repeat(400)}` });
      clock.advance(600);
      const phone = await signIn('ann', ann.password, { address: '2001:db8::7' });
      const mine = await own(phone.token);
      const listed = (await stack.sessions.list(mine, { limit: 5 })).items;
      expect(listed).toMatchObject([
        { id: phone.id, current: true, address: '2001:db8::7', userAgent: null, lastUsedAt: clock.now() },
        { id: laptop.id, current: false, address: '192.0.2.1', createdAt: new Date(clock.now().getTime() - 600_000) },
      ]);
      expect(listed[1]!.userAgent).toMatch(/^curl\/8\ufffdx{290,293}$/);
      expect(JSON.stringify(listed)).not.toMatch(/gses_|hash/);
      expect((await stack.sessions.listFor(ctx, 'ANN', { limit: 5 })).items.map((item) => [item.id, item.current])).toEqual([[phone.id, false], [laptop.id, false]]);
      const bobs = await signIn('bob', bob.password);
      await expect(stack.sessions.endFor(ctx, 'ann', bobs.id)).rejects.toMatchObject({ code: 'request.not-found' });
      await expect(stack.sessions.end(mine, bobs.id)).rejects.toMatchObject({ code: 'request.not-found' });
      await stack.sessions.end(mine, laptop.id);
      expect(await stack.authenticator.bearer(visitor(), laptop.token)).toBeNull();
      await stack.sessions.endFor(ctx, 'ann', phone.id);
      expect(await stack.authenticator.bearer(visitor(), phone.token)).toBeNull();
      await stack.sessions.endFor(ctx, 'bob', null);
      expect(await stack.authenticator.bearer(visitor(), bobs.token)).toBeNull();
      expect((await rows('session.end')).map((row) => row.actor)).toEqual(['ann', 'test', 'test']);
    });

    it.each(['another password', 'deactivation'])('do not begin with what was right before %s', async (what) => {
      const ann = await makeUser(stack, 'ann');
      const running: Promise<string>[] = [];
      await database.db.transaction(ctx, async (tx) => {
        if (what === 'deactivation') await stack.accounts.update(tx, 'ann', 1, { active: false });
        else await stack.accounts.resetPassword(tx, 'ann', 'quite another password');
        running.push(tried('ann', ann.password));
        // It has read the old password, found it right, and waits for this transaction with its last step.
        await eventually('the sign-in waits', async () => (await query('select 1 from pg_locks where not granted')).length > 0);
      });
      expect(await Promise.all(running)).toEqual(['access.wrong-credentials']);
      expect(await query('select 1 from access_sessions')).toEqual([]);
    });
  });

  describe('tokens', () => {
    const expiry = (days = 30): Date => new Date(clock.now().getTime() + days * 86_400_000);

    it('have a form that scanners know, end within the set time, and note their use once a minute', async () => {
      const ann = await makeUser(stack, 'ann');
      const made = await stack.tokens.create(ann.ctx, { name: 'laptop', kind: 'personal', expiresAt: expiry(90), limits: null });
      expect(made.token).toMatch(/^gpat_[0-9A-Za-z]{49}$/);
      await expect(stack.tokens.create(ann.ctx, { name: 'long', kind: 'personal', expiresAt: expiry(91), limits: null })).rejects.toMatchObject({
        code: 'access.token-expiry', errors: [{ pointer: '/expiresAt', detail: expect.stringContaining('90 days') }],
      });
      const seen = async (): Promise<unknown> => {
        await stack.access.publish(ctx, [{ type: 'credentials', credentialId: made.id }]);
        expect(await stack.authenticator.bearer(visitor(), made.token)).toMatchObject({ credentialId: made.id });
        return (await query('select xmin::text as version, last_used_at from access_tokens where id = $1', [made.id]))[0];
      };
      const first = await seen();
      expect(first).toMatchObject({ last_used_at: clock.now() });
      clock.advance(59);
      expect(await seen()).toEqual(first);
      clock.advance(1);
      expect(await seen()).toMatchObject({ last_used_at: clock.now() });
      expect(await stack.tokens.get(ann.ctx, made.id)).toEqual({
        id: made.id, kind: 'personal', name: 'laptop', account: { id: ann.account.id, name: 'ann' }, limits: null, createdAt: made.createdAt, expiresAt: made.expiresAt, lastUsedAt: clock.now(),
      });
      expect(await dump()).not.toContain(made.token.slice(5));
      await expect(stack.tokens.get(ann.ctx, uuidv7())).rejects.toMatchObject({ code: 'request.not-found' });
    });

    it('of the form without a checksum work on', async () => {
      const ann = await makeUser(stack, 'ann');
      const old = `gpat_${randomBytes(32).toString('base64url')}`;
      await query(`insert into access_tokens (id, kind, account_id, name, hash, created_at, expires_at) values ($1, 'personal', $2, 'old', $3, $4, $5)`, [
        uuidv7(), ann.account.id, testSealer().hash(old, 'token'), clock.now(), expiry(),
      ]);
      expect(await stack.authenticator.bearer(visitor(), old)).toMatchObject({ name: 'ann' });
      expect(await stack.authenticator.basic(visitor(), 'ann', old)).toMatchObject({ name: 'ann' });
    });

    it('can be limited to collections, by id or path, that their maker sees', async () => {
      const ann = await makeUser(stack, 'ann');
      const bob = await makeUser(stack, 'bob');
      const make = (as: Context, collections: string[]): ReturnType<AccessStack['tokens']['create']> =>
        stack.tokens.create(as, { name: 'x', kind: 'personal', expiresAt: expiry(), limits: { collections } });
      const made = await make(ann.ctx, ['/Shared/Private/ann', ann.account.id]);
      expect(made.limits).toEqual({ collections: [ann.account.id] });
      expect(await stack.authenticator.bearer(visitor(), made.token)).toMatchObject({ limits: { collections: [ann.account.id] } });
      const refusals = await Promise.all(['/Shared/Private/bob', bob.account.id, '/nowhere', uuidv7()].map((wish) => make(ann.ctx, [ann.account.id, wish]).catch((error: unknown) => error)));
      for (const refusal of refusals) {
        expect(refusal).toMatchObject({ code: 'request.invalid', errors: [{ pointer: '/limits/collections/1', detail: 'no such collection, or you may not see it' }] });
      }
      const narrow = contextOf(ann.account, { limits: { collections: [] } });
      await expect(make(narrow, [ann.account.id])).rejects.toMatchObject({ code: expect.stringMatching(/limits-exceeded|invalid/) });
      await expect(stack.tokens.create(narrow, { name: 'x', kind: 'personal', expiresAt: expiry(), limits: null })).rejects.toMatchObject({ code: 'access.limits-exceeded' });
    });

    it('of others are seen and ended by administrators, and nobody learns of accounts by asking for theirs', async () => {
      const ann = await makeUser(stack, 'ann');
      const bob = await makeUser(stack, 'bob');
      const root = await makeUser(stack, 'operator', { admin: true });
      const made = await stack.tokens.create(ann.ctx, { name: 'laptop', kind: 'personal', expiresAt: expiry(), limits: null });
      expect((await stack.tokens.list(root.ctx, { limit: 5, owner: 'ann' })).items).toMatchObject([{ id: made.id, account: { name: 'ann' } }]);
      expect((await stack.tokens.list(bob.ctx, { limit: 5 })).items).toEqual([]);
      for (const owner of ['ann', 'nobody']) await expect(stack.tokens.list(bob.ctx, { limit: 5, owner })).rejects.toMatchObject({ code: 'request.not-found' });
      expect((await stack.tokens.list(ann.ctx, { limit: 5, owner: 'ann' })).items).toHaveLength(1);
      await stack.tokens.revoke(root.ctx, made.id);
      expect(await stack.authenticator.bearer(visitor(), made.token)).toBeNull();
      expect(await rows('token.revoke')).toMatchObject([{ actor: 'operator', resource: 'laptop', detail: { account: 'ann' } }]);
    });
  });

  describe('accounts', () => {
    it('get a namespace once, where their name can’t be one', async () => {
      await makeUser(stack, 'ann');
      const entry = (username: string): Parameters<AccessStack['accounts']['createFromDirectory']>[1] => ({ externalId: uuidv7(), username, displayName: null, mail: null });
      const jane = await stack.accounts.createFromDirectory(ctx, entry('jané@corp.example'));
      const jack = await stack.accounts.createFromDirectory(ctx, entry('jack@corp.example'));
      expect(jane.namespace).toBeNull();
      const set = (who: string, namespace: string, version = 1): Promise<{ namespace: string | null }> => stack.accounts.update(ctx, who, version, { namespace });
      for (const namespace of ['', 'jané', 'a..b', '-a', 'a/b', 'admin', 'Library', 'service-1', 'x'.repeat(64), uuidv7()]) {
        await expect(set(jane.id, namespace)).rejects.toMatchObject({ code: 'access.namespace-invalid', errors: [{ pointer: '/namespace' }] });
      }
      for (const namespace of ['ann', 'ANN']) await expect(set(jane.id, namespace)).rejects.toMatchObject({ code: 'access.name-taken', errors: [{ pointer: '/namespace' }] });
      expect(await set(jane.id, 'Jane.Doe')).toMatchObject({ namespace: 'jane.doe', version: 2, active: true });
      expect(stack.access.findNamespace('jane.doe')).toMatchObject({ id: jane.id });
      await expect(set(jane.id, 'other', 2)).rejects.toMatchObject({ code: 'access.namespace-set' });
      await expect(set('ann', 'other')).rejects.toMatchObject({ code: 'access.namespace-set' });
      await expect(set(jack.id, 'jane.doe')).rejects.toMatchObject({ code: 'access.name-taken' });
      await expect(stack.accounts.createUser(ctx, { name: 'Jane.Doe' })).rejects.toMatchObject({ code: 'access.name-taken' });
      const both = await Promise.allSettled([set(jack.id, 'jj'), set(jane.id, 'jj', 2)]);
      expect(both.map((result) => result.status)).toEqual(['fulfilled', 'rejected']);
      expect((await rows('account.update')).map((row) => row.detail)).toEqual([{ namespace: 'jane.doe' }, { namespace: 'jj' }]);
      const fresh = await makeAccess(database.db, { clock });
      expect(fresh.access.findNamespace('jane.doe')).toMatchObject({ id: jane.id });
      await fresh.close();
    });

    it('have their password hashed anew when its cost has changed, at the next right sign-in', async () => {
      const ann = await makeUser(stack, 'ann');
      const salt = randomBytes(16);
      const old = `scrypt$14$8$1$${salt.toString('base64url')}$${scryptSync(ann.password, salt, 32, { N: 2 ** 14, r: 8, p: 1 }).toString('base64url')}`;
      await query('update access_accounts set password_hash = $2 where id = $1 returning 1', [ann.account.id, old]);
      const stored = async (): Promise<string> => (await query<{ hash: string }>('select password_hash as hash from access_accounts where id = $1', [ann.account.id]))[0]!.hash;
      expect(await tried('ann', 'a wrong password')).toBe('access.wrong-credentials');
      expect(await stored()).toBe(old);
      expect(await Promise.all([tried('ann', ann.password), tried('ann', ann.password)])).toEqual(['in', 'in']);
      const renewed = await stored();
      expect(renewed).toMatch(/^scrypt\$15\$8\$1\$/);
      expect(await tried('ann', ann.password)).toBe('in');
      expect(await stored()).toBe(renewed);
    });

    it('are recovered by `reset-admin`, whatever was done to the recovery admin', async () => {
      await stack.accounts.ensureAdmin(ctx, 'a first long password');
      const admin = await stack.accounts.get(ctx, 'admin');
      const second = await enable('admin', 'a first long password');
      await makeUser(stack, 'operator', { admin: true });
      await stack.accounts.update(ctx, 'admin', admin.version, { active: false, admin: false });
      for (let n = 0; n < 11; n += 1) await tried('admin', 'a wrong password');
      await expect(stack.accounts.recoverAdmin(ctx, 'short')).rejects.toMatchObject({ code: 'access.password-rule' });
      await stack.accounts.recoverAdmin(ctx, 'a second long password');
      expect(await stack.authenticator.bearer(visitor(), second.token)).toBeNull();
      const { account } = await signIn('admin', 'a second long password');
      expect(account).toMatchObject({ active: true, admin: true });
      expect(await rows('account.recover')).toMatchObject([{ resource: 'admin', detail: { wasActive: false, wasAdmin: false, hadSecondFactor: true } }]);
      expect(JSON.stringify(await stack.audit.list(ctx, { limit: 200 }))).not.toContain('long password');
    });

    it('have a recovery admin again where it was lost', async () => {
      await stack.accounts.recoverAdmin(ctx, 'a first long password');
      expect((await signIn('admin', 'a first long password')).account).toMatchObject({ admin: true, name: 'admin' });
    });
  });

  /** Signs in, sets a second factor up and answers all that belongs to it. */
  async function enable(name: string, password: string): Promise<{ token: string; secret: string; recoveryCodes: string[]; as: Context; code: () => string }> {
    const { token } = await signIn(name, password);
    const as = await own(token);
    const { secret } = await stack.secondFactors.begin(as, { password });
    const { recoveryCodes } = await stack.secondFactors.confirm(as, { code: codeOf(secret, clock.now()) });
    clock.advance(60);
    return { token, secret, recoveryCodes, as, code: () => codeOf(secret, clock.now()) };
  }

  describe('the limit of failures', () => {
    it('does not let anybody lock an account: with 100 failures from everywhere, each address still has two attempts', async () => {
      await stack.accounts.ensureAdmin(ctx, 'a first long password');
      const attempts = await Promise.all(Array.from({ length: 12 }, (_item, n) => tried('admin', 'a wrong password', { address: `198.51.100.${n}` })));
      expect(new Set(attempts)).toEqual(new Set(['access.wrong-credentials']));
      // The rest of the hundred, without the time that their passwords would take.
      const counted = await query<{ key: string }>('update access_sign_in_failures set count = 101 where count = $1 returning key', [attempts.length]);
      expect(counted).toEqual([{ key: '* admin' }]);
      const guesses = [];
      for (let n = 0; n < 3; n += 1) guesses.push(await tried('admin', 'a wrong password', { address: '203.0.113.1' }));
      expect(guesses).toEqual(['access.wrong-credentials', 'access.wrong-credentials', 'access.too-many-failures']);
      // From an address of her own the administrator gets in, also after a slip, and again and again.
      expect(await tried('admin', 'a slip of the finger', { address: '203.0.113.2' })).toBe('access.wrong-credentials');
      for (let n = 0; n < 4; n += 1) expect(await tried('admin', 'a first long password', { address: '203.0.113.2' })).toBe('in');
      expect(await stack.authenticator.basic(visitor('203.0.113.3'), 'admin', 'a first long password')).not.toBeNull();
      // Others are not concerned.
      await makeUser(stack, 'ann');
      for (let n = 0; n < 5; n += 1) expect(await tried('ann', 'a wrong password', { address: '203.0.113.4' })).toBe('access.wrong-credentials');
      clock.advance(601);
      for (let n = 0; n < 4; n += 1) expect(await tried('admin', 'a wrong password', { address: '203.0.113.1' })).toBe('access.wrong-credentials');
    });

    it('takes a network of 2^64 IPv6 addresses for one', async () => {
      const ann = await makeUser(stack, 'ann');
      const guesses = await Promise.all(Array.from({ length: 12 }, (_item, n) => tried('ann', 'a wrong password', { address: `2001:db8:1:2:${n}::${n}` })));
      expect(guesses.filter((guess) => guess === 'access.too-many-failures')).toHaveLength(2);
      expect(await tried('ann', ann.password, { address: '2001:db8:1:2:ffff::1' })).toBe('access.too-many-failures');
      expect(await tried('ann', ann.password, { address: '2001:db8:1:3::1' })).toBe('in');
      // What is over the limit is on record by address, whatever names were tried.
      await Promise.all(['x', 'y', 'z'].map((name) => tried(name, 'x', { address: '203.0.113.7' })));
      await query(`update access_sign_in_failures set count = 101 where key = '203.0.113.7' returning 1`);
      for (const name of ['x', 'y', 'z']) expect(await tried(name, 'x', { address: '203.0.113.7' })).toBe('access.too-many-failures');
      const refused = (await rows('session.create')).filter((row) => row.detail['code'] === 'access.too-many-failures' && row.resource === null);
      expect(refused.map((row) => row.count).reduce((sum, count) => sum + count)).toBe(6);
      expect(refused.map((row) => row.count)).toEqual(expect.arrayContaining([2]));
    });
  });

  describe('a second factor', () => {
    it('is asked for once it was confirmed, each code once, on every replica', async () => {
      const ann = await makeUser(stack, 'ann');
      const before = await signIn('ann', ann.password);
      const { token } = await signIn('ann', ann.password);
      const as = await own(token);
      await expect(stack.secondFactors.confirm(as, { code: '123456' })).rejects.toMatchObject({ code: 'access.second-factor-not-begun' });
      await expect(stack.secondFactors.begin(as, { password: 'a wrong password' })).rejects.toMatchObject({ code: 'access.wrong-current-password', errors: [{ pointer: '/password' }] });
      const forgotten = await stack.secondFactors.begin(as, { password: ann.password });
      const { secret, uri } = await stack.secondFactors.begin(as, { password: ann.password });
      expect(secret).toMatch(/^[A-Z2-7]{32}$/);
      expect(uri).toBe(`otpauth://totp/Gantry:ann?secret=${secret}&issuer=Gantry&algorithm=SHA1&digits=6&period=30`);
      expect(await tried('ann', ann.password)).toBe('in');
      expect(await stack.secondFactors.view(ctx, ann.account.id)).toEqual({ enabled: false, since: null, recoveryCodesLeft: 0 });
      await expect(stack.secondFactors.confirm(as, { code: codeOf(forgotten.secret, clock.now()) })).rejects.toMatchObject({ code: 'access.wrong-current-code' });
      const confirming = codeOf(secret, clock.now());
      const { recoveryCodes } = await stack.secondFactors.confirm(as, { code: `${confirming.slice(0, 3)} ${confirming.slice(3)}` });
      expect(new Set(recoveryCodes).size).toBe(10);
      for (const recovery of recoveryCodes) expect(recovery).toMatch(/^([a-z2-7]{4}-){3}[a-z2-7]{4}$/);
      expect(await stack.secondFactors.view(ctx, ann.account.id)).toEqual({ enabled: true, since: clock.now(), recoveryCodesLeft: 10 });
      // What began with the password alone is over; the session that set it up goes on.
      expect(await stack.authenticator.bearer(visitor(), before.token)).toBeNull();
      expect(await stack.authenticator.bearer(visitor(), token)).not.toBeNull();
      await expect(stack.secondFactors.begin(as, { password: ann.password })).rejects.toMatchObject({ code: 'access.second-factor-on' });

      expect(await tried('ann', ann.password)).toBe('access.second-factor-required');
      expect(await tried('ann', 'a wrong password', { code: confirming })).toBe('access.wrong-credentials');
      expect(await tried('ann', ann.password, { code: confirming })).toBe('access.wrong-code');
      clock.advance(30);
      const next = codeOf(secret, clock.now());
      await withOther(async (other) => {
        const both = await Promise.all([tried('ann', ann.password, { code: next }), tried('ann', ann.password, { code: next, from: other })]);
        expect(both.sort()).toEqual(['access.wrong-code', 'in']);
        // One step early and late; never one that lies before one that was used.
        const early = codeOf(secret, new Date(clock.now().getTime() + 30_000));
        expect(await tried('ann', ann.password, { code: codeOf(secret, new Date(clock.now().getTime() + 60_000)) })).toBe('access.wrong-code');
        expect(await tried('ann', ann.password, { code: early, from: other })).toBe('in');
        clock.advance(30);
        expect(await tried('ann', ann.password, { code: early })).toBe('access.wrong-code');
        clock.advance(60);
        expect(await tried('ann', ann.password, { code: codeOf(secret, new Date(clock.now().getTime() - 30_000)) })).toBe('in');
      });
      const actions = ['second-factor.begin', 'second-factor.enable', 'session.create'];
      const [begun, enabled, signedIn] = await Promise.all(actions.map(rows));
      expect(begun!.map((row) => row.outcome)).toEqual(['refused', 'success', 'success']);
      expect(enabled!.map((row) => row.outcome)).toEqual(['refused', 'success']);
      expect(signedIn!.filter((row) => row.outcome === 'success').at(-1)).toMatchObject({ detail: { secondFactor: 'totp' } });
      expect(signedIn!.map((row) => row.detail['code'])).toEqual(expect.arrayContaining(['access.second-factor-required', 'access.wrong-code']));
    });

    it('keeps a secret that is not confirmed for an hour', async () => {
      const ann = await makeUser(stack, 'ann');
      const { secret } = await stack.secondFactors.begin(ann.ctx, { password: ann.password });
      clock.advance(3_601);
      await expect(stack.secondFactors.confirm(ann.ctx, { code: codeOf(secret, clock.now()) })).rejects.toMatchObject({ code: 'access.second-factor-not-begun' });
      await stack.sessions.expire(ctx);
      expect(await query('select 1 from access_second_factors')).toEqual([]);
    });

    it('has recovery codes, each for one sign-in, kept as hashes', async () => {
      const ann = await makeUser(stack, 'ann');
      const { recoveryCodes, code: now } = await enable('ann', ann.password);
      const [first, second, third] = recoveryCodes as [string, string, string];
      expect((await Promise.all([tried('ann', ann.password, { code: first }), tried('ann', ann.password, { code: first })])).sort()).toEqual(['access.wrong-code', 'in']);
      expect(await tried('ann', ann.password, { code: second.replaceAll('-', '').toUpperCase() })).toBe('in');
      expect(await tried('ann', ann.password, { code: 'aaaa-bbbb-cccc-dddd' })).toBe('access.wrong-code');
      expect(await tried('ann', 'a wrong password', { code: third })).toBe('access.wrong-credentials');
      expect(await stack.secondFactors.view(ctx, ann.account.id)).toMatchObject({ recoveryCodesLeft: 8 });
      expect(await rows('second-factor.use-recovery-code')).toMatchObject([{ resource: 'ann', detail: { left: 9 } }, { detail: { left: 8 } }]);
      const as = contextOf(ann.account);
      await expect(stack.secondFactors.renewRecoveryCodes(as, { password: ann.password, code: '000000x' })).rejects.toMatchObject({ code: 'access.wrong-current-code' });
      const renewed = await stack.secondFactors.renewRecoveryCodes(as, { password: ann.password, code: now() });
      expect(await tried('ann', ann.password, { code: third })).toBe('access.wrong-code');
      expect(await tried('ann', ann.password, { code: renewed.recoveryCodes[0]! })).toBe('in');
      const stored = await dump();
      for (const recovery of [...recoveryCodes, ...renewed.recoveryCodes]) expect(stored).not.toMatch(new RegExp(`${recovery}|${recovery.replaceAll('-', '')}`));
    });

    it('makes the password worthless for Basic, at once and also where it is remembered, and tokens go on', async () => {
      const ann = await makeUser(stack, 'ann');
      const made = await stack.tokens.create(ann.ctx, { name: 'laptop', kind: 'personal', expiresAt: new Date(clock.now().getTime() + 86_400_000), limits: null });
      await withOther(async (other) => {
        const all = [stack, other];
        for (const one of all) expect(await one.authenticator.basic(visitor(), 'ann', ann.password)).not.toBeNull();
        const { secret } = await stack.secondFactors.begin(ann.ctx, { password: ann.password });
        for (const one of all) expect(await one.authenticator.basic(visitor(), 'ann', ann.password)).not.toBeNull();
        const { recoveryCodes } = await stack.secondFactors.confirm(ann.ctx, { code: codeOf(secret, clock.now()) });
        await expect(stack.authenticator.basic(visitor(), 'ann', ann.password)).rejects.toMatchObject({ code: 'access.token-needed', status: 401, headers: { 'www-authenticate': 'Basic realm="gantry"' } });
        await eventually('the other process refuses too', () => other.authenticator.basic(visitor(), 'ann', ann.password).then(() => false, (error: unknown) => code(error) === 'access.token-needed'));
        for (const one of all) {
          expect(await one.authenticator.basic(visitor(), 'ann', 'a wrong password')).toBeNull();
          expect(await one.authenticator.basic(visitor(), 'ann', made.token)).toMatchObject({ name: 'ann' });
        }
        await stack.secondFactors.disable(ann.ctx, { password: ann.password, code: recoveryCodes[0]! });
        for (const one of all) expect(await one.authenticator.basic(visitor(), 'ann', ann.password)).toMatchObject({ name: 'ann' });
      });
    });

    it('counts wrong codes as failures: of the account and address, and of the account from everywhere', async () => {
      const ann = await makeUser(stack, 'ann');
      const second = await enable('ann', ann.password);
      // Who does not know the password can’t use the codes up.
      for (let n = 0; n < 2; n += 1) expect(await tried('ann', 'a wrong password', { code: '000000', address: '198.51.100.1' })).toBe('access.wrong-credentials');
      for (let n = 0; n < 2; n += 1) expect(await tried('ann', ann.password, { address: '198.51.100.2' })).toBe('access.second-factor-required');
      const wrong = (offset: number): string => codeOf(second.secret, new Date(clock.now().getTime() + 3_600_000 + offset * 30_000));
      const guesses = await Promise.all(Array.from({ length: 10 }, (_item, n) => tried('ann', ann.password, { code: wrong(n), address: `203.0.113.${n}` })));
      expect(new Set(guesses)).toEqual(new Set(['access.wrong-code']));
      const problem = await signIn('ann', ann.password, { code: second.code() }).catch((error: unknown) => error);
      expect(problem).toMatchObject({ code: 'access.too-many-failures', headers: { 'retry-after': '3600' } });
      // The recovery codes can’t be guessed, so they are not held back.
      expect(await tried('ann', ann.password, { code: second.recoveryCodes[0]! })).toBe('in');
      clock.advance(3_601);
      expect(await tried('ann', ann.password, { code: second.code() })).toBe('in');

      const guess = (): Promise<string> => tried('ann', ann.password, { code: 'aaaa-aaaa-aaaa-aaaa', address: '198.51.100.9' });
      expect(new Set(await Promise.all(Array.from({ length: 10 }, guess)))).toEqual(new Set(['access.wrong-code']));
      expect(await guess()).toBe('access.too-many-failures');
    });

    it('is disabled with both factors, or taken away by another administrator', async () => {
      const ann = await makeUser(stack, 'ann');
      const root = await makeUser(stack, 'operator', { admin: true });
      const second = await enable('ann', ann.password);
      await expect(stack.secondFactors.disable(second.as, { password: 'a wrong password', code: second.code() })).rejects.toMatchObject({ code: 'access.wrong-current-password' });
      await expect(stack.secondFactors.disable(second.as, { password: ann.password, code: '12345' })).rejects.toMatchObject({ code: 'access.wrong-current-code', status: 403 });
      await stack.secondFactors.disable(second.as, { password: ann.password, code: second.code() });
      await expect(stack.secondFactors.disable(second.as, { password: ann.password, code: second.code() })).rejects.toMatchObject({ code: 'access.second-factor-off' });
      expect(await tried('ann', ann.password)).toBe('in');
      await enable('ann', ann.password);
      await stack.secondFactors.remove(root.ctx, 'ann');
      expect(await tried('ann', ann.password)).toBe('in');
      await expect(stack.secondFactors.remove(root.ctx, 'ann')).rejects.toMatchObject({ code: 'access.second-factor-off' });
      await enable('operator', root.password);
      await expect(stack.secondFactors.remove(root.ctx, 'operator')).rejects.toMatchObject({ code: 'request.forbidden' });
      expect((await rows('second-factor.disable')).map((row) => [row.outcome, row.actor])).toEqual([['refused', 'ann'], ['refused', 'ann'], ['success', 'ann']]);
      expect(await rows('second-factor.remove')).toMatchObject([{ outcome: 'success', actor: 'operator', resource: 'ann' }]);
    });

    it('is for local people only, and a secret opens in its own row only', async () => {
      const ann = await makeUser(stack, 'ann');
      const bob = await makeUser(stack, 'bob');
      const jane = await stack.accounts.createFromDirectory(ctx, { externalId: uuidv7(), username: 'jane', displayName: null, mail: null });
      await expect(stack.secondFactors.begin(contextOf(jane), { password: 'x' })).rejects.toMatchObject({ code: 'access.second-factor-not-local' });
      const robot = contextOf({ ...ann.account, kind: 'robot' });
      await expect(stack.secondFactors.begin(robot, { password: ann.password })).rejects.toMatchObject({ code: 'access.not-a-user' });
      const anns = await enable('ann', ann.password);
      const bobs = await enable('bob', bob.password);
      await query('update access_second_factors f set secret_sealed = o.secret_sealed from access_second_factors o where f.account_id = $1 and o.account_id = $2 returning 1', [ann.account.id, bob.account.id]);
      await expect(signIn('ann', ann.password, { code: bobs.code() })).rejects.toThrow();
      expect(await tried('ann', ann.password, { code: anns.recoveryCodes[0]! })).toBe('in');
    });
  });

  it('leaves no secret in the database, and none in the record or an error', async () => {
    const ann = await makeUser(stack, 'ann');
    const second = await enable('ann', ann.password);
    const made = await stack.tokens.create(second.as, { name: 'laptop', kind: 'personal', expiresAt: new Date(clock.now().getTime() + 86_400_000), limits: null });
    const session = await signIn('ann', ann.password, { code: second.code() });
    const wrong = ['my other password', 'jjjj-kkkk-llll-mmmm', 'gpat_not a token of anybody'];
    const errors: unknown[] = [];
    for (const text of wrong) {
      errors.push(await signIn('ann', text).catch((error: unknown) => error));
      errors.push(await signIn('ann', ann.password, { code: text }).catch((error: unknown) => error));
      errors.push(await stack.secondFactors.disable(second.as, { password: ann.password, code: text }).catch((error: unknown) => error));
      errors.push(await stack.authenticator.basic(visitor(), 'ann', text).catch((error: unknown) => error));
      errors.push(await stack.accounts.changePassword(second.as, { current: text, next: 'one more long password' }).catch((error: unknown) => error));
    }
    await stack.accounts.changePassword(second.as, { current: ann.password, next: 'one more long password' });
    await stack.audit.flushRepeats();
    const secrets = [ann.password, 'one more long password', second.secret, Buffer.from(second.secret).toString('hex'), made.token.slice(5), session.token.slice(5), ...second.recoveryCodes, ...wrong];
    const text = [await dump(), ...errors.map((error) => `${error instanceof Error ? error.stack : ''} ${JSON.stringify(error)}`)].join('\n');
    for (const secret of secrets) expect([secret, text.includes(secret)]).toEqual([secret, false]);
    expect(text).toContain('second-factor.enable');
  });
});
