import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Accounts } from '@gantry/access';
import { codeOf } from '@gantry/access/testing';
import { Audit } from '@gantry/audit';
import { makeLogger, uuidv7, type Db } from '@gantry/platform';
import { cloneTemplate, testConfig, testContext } from '@gantry/platform/testing';
import { makeTokenCertificate } from '@gantry/registry';
import { openDatabase } from '../../../../rooms';
import { createApi } from '../../start';

interface Answer {
  status: number;
  headers: Headers;
  body: { items?: Record<string, unknown>[]; [field: string]: unknown };
}

/** Sessions, tokens and second factors over HTTP, as the API's own listener serves them, with everything that it logs. */
describe('signing in over HTTP', () => {
  const ctx = testContext();
  const password = 'a first long password';
  const minute = 60_000;
  let app: NestFastifyApplication;
  let db: Db;
  let origin: string;
  let admin: string;
  let log = '';
  const undo: (() => Promise<void> | void)[] = [];
  /** What must be found nowhere. */
  const secrets = new Set<string>([password]);

  const call = async (method: string, path: string, options: { headers?: Record<string, string>; payload?: string } = {}): Promise<Answer> => {
    const answer = await fetch(`${origin}${path}`, { method, headers: { connection: 'close', ...options.headers }, ...(options.payload === undefined ? {} : { body: options.payload }) });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: text === '' ? {} : (JSON.parse(text) as Answer['body']) };
  };
  const send = (method: string, path: string, options: { token?: string; body?: unknown; headers?: Record<string, string> } = {}): Promise<Answer> =>
    call(method, `/api/v1${path}`, {
      headers: {
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { payload: JSON.stringify(options.body) }),
    });
  const attempt = (username: string, more: Record<string, unknown> = {}): Promise<Answer> => send('POST', '/sessions', { body: { username, password, ...more } });
  const signIn = async (username: string, more: Record<string, unknown> = {}): Promise<string> => {
    const answer = await attempt(username, more);
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
    const token = String(answer.body['token']);
    secrets.add(token);
    return token;
  };
  const dockerLogin = (username: string, secret: string): Promise<Answer> =>
    call('GET', '/auth/token?service=gantry-registry&account=x', { headers: { authorization: `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}` } });
  const makeUser = async (name: string): Promise<string> => {
    await app.get(Accounts).createUser(ctx, { name, password });
    return signIn(name);
  };

  beforeAll(async () => {
    const { url, drop } = await cloneTemplate();
    const home = mkdtempSync(join(tmpdir(), 'gantry-sign-in-api-'));
    undo.push(drop, () => rmSync(home, { recursive: true, force: true }));
    const token = await makeTokenCertificate();
    writeFileSync(join(home, 'token.key'), token.key, { mode: 0o600 });
    writeFileSync(join(home, 'token.crt'), token.certificate);
    writeFileSync(join(home, 'audit.key'), generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const config = testConfig({
      DATABASE_URL: url, GANTRY_HOME: home, GANTRY_REGISTRY_BACKEND_URL: 'http://127.0.0.1:9', GANTRY_TOKEN_KEY_FILE: join(home, 'token.key'),
      GANTRY_TOKEN_CERT_FILE: join(home, 'token.crt'), GANTRY_AUDIT_KEY_FILE: join(home, 'audit.key'),
    });
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        log += chunk.toString();
        done();
      },
    });
    const logger = makeLogger('trace', stream);
    db = await openDatabase(config, logger);
    undo.unshift(() => db.close());
    app = await createApi({ config, logger, db });
    undo.unshift(() => app.close());
    await app.get(Accounts).ensureAdmin(ctx, password);
    await app.listen(0, '127.0.0.1');
    origin = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
    admin = await signIn('admin');
  });
  afterAll(async () => {
    for (const step of undo) await step();
  });

  it('lists and ends sessions, one’s own and, for administrators, those of others', async () => {
    const ann = await makeUser('ann');
    const other = await send('POST', '/sessions', { body: { username: 'ann', password }, headers: { 'user-agent': 'gantry-test/1' } });
    const second = String(other.body['token']);
    secrets.add(second);
    const listed = (await send('GET', '/sessions', { token: ann })).body.items!;
    expect(listed).toMatchObject([
      { current: false, userAgent: 'gantry-test/1', address: '127.0.0.1', lastUsedAt: expect.stringMatching(/Z$/), expiresAt: expect.stringMatching(/Z$/) },
      { current: true },
    ]);
    expect(Object.keys(listed[0]!).sort()).toEqual(['address', 'createdAt', 'current', 'expiresAt', 'id', 'lastUsedAt', 'userAgent']);
    const id = String(listed[0]!['id']);
    const bob = await makeUser('bob');
    for (const [method, path] of [['GET', '/users/ann/sessions'], ['DELETE', '/users/ann/sessions'], ['DELETE', `/users/ann/sessions/${id}`], ['GET', '/users/ann/second-factor'], ['DELETE', '/users/ann/second-factor']] as const) {
      expect([path, (await send(method, path, { token: bob })).status]).toEqual([path, 403]);
    }
    expect((await send('DELETE', `/sessions/${id}`, { token: bob })).status).toBe(404);
    expect((await send('GET', '/users/ann/sessions', { token: admin })).body.items).toMatchObject([{ id, current: false }, { current: false }]);
    expect((await send('GET', '/users/ann/sessions?limit=1', { token: admin })).body).toMatchObject({ items: [{ id }], next: expect.any(String) });
    expect((await send('DELETE', `/users/bob/sessions/${id}`, { token: admin })).status).toBe(404);
    expect((await send('DELETE', `/users/ann/sessions/${id}`, { token: admin })).status).toBe(204);
    expect((await send('GET', '/me', { token: second })).status).toBe(401);
    expect((await send('DELETE', '/users/ann/sessions', { token: admin })).status).toBe(204);
    expect((await send('GET', '/me', { token: ann })).status).toBe(401);
    expect((await send('GET', '/users/nobody/sessions', { token: admin })).status).toBe(404);
  });

  it('makes tokens of collections, shows one, and hides those of others', async () => {
    const cleo = await makeUser('cleo');
    const dan = await makeUser('dan');
    const expiresAt = new Date(Date.now() + 24 * 60 * minute).toISOString();
    const made = await send('POST', '/tokens', { token: cleo, body: { name: 'ci', expiresAt, limits: { operations: ['account:view'], collections: ['/Shared/Private/cleo'] } } });
    expect(made).toMatchObject({ status: 201, body: { token: expect.stringMatching(/^gpat_[0-9A-Za-z]{49}$/), limits: { collections: [expect.stringMatching(/^[0-9a-f-]{36}$/)] } } });
    secrets.add(String(made.body['token']));
    const path = `/tokens/${String(made.body['id'])}`;
    expect(await send('GET', path, { token: cleo })).toMatchObject({ status: 200, body: { name: 'ci', lastUsedAt: null } });
    expect((await send('GET', path, { token: admin })).status).toBe(200);
    expect((await send('GET', path, { token: dan })).status).toBe(404);
    expect((await send('DELETE', path, { token: dan })).status).toBe(404);
    expect((await send('GET', `/tokens/${uuidv7()}`, { token: cleo })).status).toBe(404);
    for (const owner of ['cleo', 'nobody']) expect((await send('GET', `/tokens?owner=${owner}`, { token: dan })).status).toBe(404);
    expect((await send('POST', '/tokens', { token: cleo, body: { name: 'x', expiresAt, limits: { collections: ['/Shared/Private/dan'] } } })).body).toMatchObject({
      code: 'request.invalid', errors: [{ pointer: '/limits/collections/0' }],
    });
    expect((await send('POST', '/tokens', { token: cleo, body: { name: 'x', expiresAt: '2199-01-01T00:00:00Z' } })).body).toMatchObject({ code: 'access.token-expiry' });
    expect((await send('DELETE', path, { token: admin })).status).toBe(204);
    expect((await send('GET', '/me', { token: String(made.body['token']) })).status).toBe(401);
  });

  it('gives a namespace to who has none', async () => {
    const jane = await app.get(Accounts).createFromDirectory(ctx, { externalId: uuidv7(), username: 'jane@corp.example', displayName: null, mail: null });
    const patch = (namespace: string, version: number): Promise<Answer> => send('PATCH', `/users/${jane.id}`, { token: admin, body: { namespace }, headers: { 'if-match': `"${version}"` } });
    expect((await patch('Admin', 1)).body).toMatchObject({ status: 400, code: 'access.namespace-invalid' });
    expect(await patch('Jane.Doe', 1)).toMatchObject({ status: 200, body: { namespace: 'jane.doe', version: 2 } });
    expect((await patch('jane', 2)).body).toMatchObject({ status: 409, code: 'access.namespace-set' });
  });

  it('asks for a second factor, everywhere, and lets go of it', async () => {
    const eve = await makeUser('eve');
    expect((await dockerLogin('eve', password)).status).toBe(200);
    expect((await send('GET', '/me/second-factor', { token: eve })).body).toEqual({ enabled: false, since: null, recoveryCodesLeft: 0 });
    expect((await send('POST', '/me/second-factor', { token: eve, body: { password: 'wrong' } })).body).toMatchObject({ status: 403, code: 'access.wrong-current-password' });
    const begun = await send('POST', '/me/second-factor', { token: eve, body: { password } });
    expect(begun).toMatchObject({ status: 201, body: { uri: expect.stringMatching(/^otpauth:\/\/totp\/Gantry:eve\?secret=[A-Z2-7]{32}&/) } });
    const secret = String(begun.body['secret']);
    secrets.add(secret);
    // The real clock goes on: a step is used up by each code, so that the next one is of the next step, one early.
    const code = (steps = 0): string => codeOf(secret, new Date(Date.now() + steps * 30_000));
    const confirmed = await send('POST', '/me/second-factor/confirm', { token: eve, body: { code: code() } });
    expect(confirmed).toMatchObject({ status: 200, body: { recoveryCodes: expect.any(Array) } });
    const recovery = confirmed.body['recoveryCodes'] as string[];
    for (const item of recovery) secrets.add(item);
    expect((await send('GET', '/me/second-factor', { token: eve })).body).toMatchObject({ enabled: true, recoveryCodesLeft: 10 });
    expect((await send('GET', '/users/eve/second-factor', { token: admin })).body).toMatchObject({ enabled: true });

    expect((await attempt('eve')).body).toMatchObject({ status: 401, code: 'access.second-factor-required' });
    expect((await attempt('eve', { code: '000000' })).body).toMatchObject({ status: 401, code: 'access.wrong-code' });
    expect((await attempt('eve', { password: 'wrong', code: code() })).body).toMatchObject({ status: 401, code: 'access.wrong-credentials' });
    const key = { 'idempotency-key': 'again' };
    const used = { username: 'eve', password, code: code(1) };
    const first = await send('POST', '/sessions', { body: used, headers: key });
    expect(first.status).toBe(201);
    secrets.add(String(first.body['token']));
    // Nobody gets a session by sending once more what was seen.
    expect((await send('POST', '/sessions', { body: used, headers: key })).body).toMatchObject({ status: 401, code: 'access.wrong-code' });

    const refused = await dockerLogin('eve', password);
    expect(refused).toMatchObject({ status: 401, body: { errors: [{ code: 'UNAUTHORIZED', message: expect.stringContaining('personal token'), detail: { code: 'access.token-needed' } }] } });
    expect(refused.headers.get('www-authenticate')).toBe('Basic realm="gantry"');
    expect((await dockerLogin('eve', 'wrong')).body).toMatchObject({ errors: [{ message: 'incorrect username or password' }] });
    const made = await send('POST', '/tokens', { token: eve, body: { name: 'docker', expiresAt: new Date(Date.now() + 60 * minute).toISOString() } });
    secrets.add(String(made.body['token']));
    expect((await dockerLogin('eve', String(made.body['token']))).status).toBe(200);

    const renewed = await send('POST', '/me/second-factor/recovery-codes', { token: eve, body: { password, code: recovery[0] } });
    expect(renewed.status).toBe(200);
    const fresh = renewed.body['recoveryCodes'] as string[];
    for (const item of fresh) secrets.add(item);
    expect((await attempt('eve', { code: recovery[1] })).body).toMatchObject({ code: 'access.wrong-code' });
    await signIn('eve', { code: fresh[0]! });
    expect((await send('POST', '/me/second-factor/disable', { token: eve, body: { password, code: 'x' } })).body).toMatchObject({ status: 403, code: 'access.wrong-current-code' });
    expect((await send('POST', '/me/second-factor/disable', { token: eve, body: { password, code: fresh[1] } })).status).toBe(204);
    await signIn('eve');
    expect((await dockerLogin('eve', password)).status).toBe(200);
  });

  it('lets administrators take a second factor away, but not their own', async () => {
    const finn = await makeUser('finn');
    for (const [name, token] of [['finn', finn], ['admin', admin]] as const) {
      const begun = await send('POST', '/me/second-factor', { token, body: { password } });
      secrets.add(String(begun.body['secret']));
      expect((await send('POST', '/me/second-factor/confirm', { token, body: { code: codeOf(String(begun.body['secret']), new Date()) } })).status).toBe(200);
      expect((await attempt(name)).body).toMatchObject({ code: 'access.second-factor-required' });
    }
    expect((await send('DELETE', '/users/admin/second-factor', { token: admin })).status).toBe(403);
    expect((await send('DELETE', '/users/finn/second-factor', { token: admin })).status).toBe(204);
    expect((await send('DELETE', '/users/finn/second-factor', { token: admin })).body).toMatchObject({ status: 409, code: 'access.second-factor-off' });
    await signIn('finn');
  });

  it('puts all of it on record, and no secret there, in the log or in the database', async () => {
    const audit = app.get(Audit);
    await audit.flushRepeats();
    const { items } = await audit.list(ctx, { limit: 500 });
    for (const action of [
      'session.create', 'session.end', 'token.create', 'token.revoke', 'account.update', 'second-factor.begin', 'second-factor.enable', 'second-factor.renew-recovery-codes',
      'second-factor.use-recovery-code', 'second-factor.disable', 'second-factor.remove',
    ]) expect(items).toContainEqual(expect.objectContaining({ action, outcome: 'success' }));
    expect(items).toContainEqual(expect.objectContaining({ action: 'second-factor.remove', outcome: 'refused', actorName: 'bob' }));
    const tables = await db.query<{ name: string }>(ctx, `select table_name as name from information_schema.tables where table_schema = 'public'`);
    let stored = '';
    for (const { name } of tables) stored += (await db.query<{ text: string }>(ctx, `select coalesce(string_agg(to_jsonb(t)::text, ' '), '') as text from ${name} t`))[0]!.text;
    expect(log.length).toBeGreaterThan(0);
    expect(secrets.size).toBeGreaterThan(30);
    for (const secret of secrets) expect([secret, log.includes(secret), stored.includes(secret)]).toEqual([secret, false, false]);
  });
});
