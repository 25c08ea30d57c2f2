import { Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accessEntities, AccessModule, Accounts } from '@gantry/access';
import { testAuditKey } from '@gantry/access/testing';
import { Audit, auditEntities, AuditModule } from '@gantry/audit';
import { LOGGER, NestLogger, PlatformModule, type Logger } from '@gantry/platform';
import { openTestDatabase, testConfig, testContext, testLogger, type TestDatabase } from '@gantry/platform/testing';
import { auditControllers } from '../../audit';
import { AnswerInterceptor } from '../../http/answer.interceptor';
import { AuthGuard } from '../../http/auth.guard';
import { installBodyParser } from '../../http/body';
import { ProblemFilter } from '../../http/problem.filter';
import { Resources } from '../../http/resources';
import { accessControllers } from '../index';

interface Answer {
  status: number;
  headers: Record<string, unknown>;
  body: { items?: Record<string, unknown>[]; [field: string]: unknown };
}

/** The routes of accounts, signing in and the audit log over HTTP, with the real guard and faces. */
describe('accounts over HTTP', () => {
  const ctx = testContext();
  const password = 'a first long password';
  let database: TestDatabase;
  let app: NestFastifyApplication;
  let home: string;
  let admin: string;

  const send = async (method: string, path: string, options: { token?: string; body?: unknown; headers?: Record<string, string> } = {}): Promise<Answer> => {
    const answer = await app.inject({
      method: method as 'GET',
      url: `/api/v1${path}`,
      headers: {
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { payload: JSON.stringify(options.body) }),
    });
    return { status: answer.statusCode, headers: answer.headers, body: answer.body === '' ? {} : answer.json<Answer['body']>() };
  };
  const signIn = async (username: string, secret = password): Promise<string> => {
    const answer = await send('POST', '/sessions', { body: { username, password: secret } });
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
    return String(answer.body['token']);
  };

  beforeAll(async () => {
    database = await openTestDatabase([...auditEntities, ...accessEntities]);
    home = mkdtempSync(join(tmpdir(), 'gantry-access-api-'));
    writeFileSync(join(home, 'audit.key'), testAuditKey(), { mode: 0o600 });
    const config = testConfig({ GANTRY_HOME: home, GANTRY_AUDIT_KEY_FILE: join(home, 'audit.key') });
    const logger = testLogger();
    @Module({
      imports: [PlatformModule.forRoot({ config, logger, db: database.db }), AuditModule, AccessModule],
      controllers: [...accessControllers, ...auditControllers],
      providers: [
        Resources,
        { provide: APP_GUARD, useClass: AuthGuard },
        { provide: APP_INTERCEPTOR, useClass: AnswerInterceptor },
        { provide: APP_FILTER, useFactory: (log: Logger) => new ProblemFilter(log), inject: [LOGGER] },
      ],
    })
    class AccessApi {}
    const adapter = new FastifyAdapter();
    app = await NestFactory.create<NestFastifyApplication>(AccessApi, adapter, { logger: new NestLogger(logger), bodyParser: false, abortOnError: false });
    installBodyParser(adapter.getInstance<FastifyInstance>());
    await app.init();
    await app.get(Accounts).ensureAdmin(ctx, password);
    admin = await signIn('admin');
  });
  afterAll(async () => {
    await app.close();
    await database.close();
    rmSync(home, { recursive: true, force: true });
  });

  it('signs in, says who one is, and signs out', async () => {
    const started = await send('POST', '/sessions', { body: { username: 'admin', password } });
    expect(started).toMatchObject({ status: 201, body: { user: { name: 'admin', admin: true, kind: 'user' }, expiresAt: expect.stringMatching(/Z$/) } });
    const token = String(started.body['token']);
    expect((await send('GET', '/me', { token })).body).toMatchObject({ name: 'admin', organizations: [], credential: { limits: null } });
    expect((await send('GET', '/sessions', { token })).body.items).toEqual(expect.arrayContaining([expect.objectContaining({ current: true })]));
    expect((await send('DELETE', '/sessions', { token })).status).toBe(204);
    expect(await send('GET', '/me', { token })).toMatchObject({ status: 401, body: { code: 'request.unauthenticated' }, headers: { 'www-authenticate': 'Bearer realm="gantry"' } });
    expect((await send('POST', '/sessions', { body: { username: 'admin', password: 'wrong' } })).body).toMatchObject({ status: 401, code: 'access.wrong-credentials' });
    expect((await send('POST', '/sessions', { body: { username: 'admin', password, extra: 1 } })).body).toMatchObject({ code: 'request.invalid', errors: [{ pointer: '/extra' }] });
    expect(JSON.stringify(started.body)).not.toContain('hash');
  });

  it('lets administrators make users and organizations, organization administrators keep members, and others see nothing', async () => {
    for (const name of ['ann', 'bob', 'eve']) {
      expect(await send('POST', '/users', { token: admin, body: { name, password } })).toMatchObject({ status: 201, body: { name, namespace: name, version: 1 }, headers: { etag: '"1"' } });
    }
    expect((await send('POST', '/users', { token: admin, body: { name: 'Ann', password } })).body).toMatchObject({ status: 409, code: 'access.name-taken' });
    expect((await send('POST', '/users', { token: admin, body: { name: 'system', password } })).body).toMatchObject({ status: 400, code: 'access.name-reserved', errors: [{ pointer: '/name' }] });
    expect((await send('POST', '/organizations', { token: admin, body: { name: 'acme' } })).status).toBe(201);
    expect((await send('PUT', '/organizations/acme/members/ann', { token: admin, body: { role: 'admin' } })).body).toMatchObject({ user: { name: 'ann' }, role: 'admin' });

    const [ann, bob, eve] = [await signIn('ann'), await signIn('bob'), await signIn('eve')];
    expect((await send('PUT', '/organizations/acme/members/bob', { token: ann, body: { role: 'member' } })).status).toBe(200);
    expect((await send('PUT', '/organizations/acme/members/eve', { token: bob, body: { role: 'member' } })).body).toMatchObject({ status: 403, code: 'request.forbidden' });
    expect((await send('GET', '/organizations/acme/members', { token: bob })).body.items).toMatchObject([{ user: { name: 'ann' } }, { user: { name: 'bob' } }]);
    expect((await send('GET', '/organizations', { token: bob })).body.items).toMatchObject([{ name: 'acme' }]);
    expect((await send('GET', '/organizations', { token: eve })).body.items).toEqual([]);
    const hidden = await send('GET', '/organizations/acme', { token: eve });
    const absent = await send('GET', '/organizations/nowhere', { token: eve });
    expect(hidden.status).toBe(404);
    expect({ ...hidden.body, instance: '' }).toEqual({ ...absent.body, instance: '' });
    expect((await send('GET', '/users', { token: eve })).body.items).toMatchObject([{ name: 'eve' }]);
    expect((await send('POST', '/users', { token: ann, body: { name: 'mallory', password } })).status).toBe(403);
    expect((await send('PATCH', '/users/ann', { token: ann, body: { admin: true }, headers: { 'if-match': '"1"' } })).status).toBe(403);
    expect((await send('PATCH', '/organizations/acme', { token: ann, body: { displayName: 'Acme Inc.' } })).body).toMatchObject({ status: 428 });
    expect((await send('PATCH', '/organizations/acme', { token: ann, body: { displayName: 'Acme Inc.' }, headers: { 'if-match': '"1"' } })).body).toMatchObject({ displayName: 'Acme Inc.', version: 2 });
    expect((await send('GET', '/collections', { token: bob })).body.items).toMatchObject([{ path: '/Organizations/acme' }, { path: '/Shared/Private/bob' }]);
    expect((await send('GET', '/collections?limit=1', { token: bob })).body).toMatchObject({ items: [{ path: '/Organizations/acme' }], next: expect.any(String) });
    expect((await send('DELETE', '/organizations/acme/members/bob', { token: ann })).status).toBe(204);
    expect((await send('GET', '/organizations/acme', { token: bob })).status).toBe(404);

    expect((await send('PATCH', '/users/eve', { token: admin, body: { active: false }, headers: { 'if-match': '"1"' } })).body).toMatchObject({ active: false });
    expect((await send('GET', '/me', { token: eve })).status).toBe(401);
    expect((await send('PUT', '/users/bob/password', { token: admin, body: { password: 'short' } })).body).toMatchObject({ code: 'access.password-rule' });
    expect((await send('PUT', '/users/bob/password', { token: admin, body: { password: 'quite another password' } })).status).toBe(204);
    expect((await send('GET', '/me', { token: bob })).status).toBe(401);
    const again = await signIn('bob', 'quite another password');
    expect((await send('PUT', '/me/password', { token: again, body: { current: 'quite another password', next: password } })).status).toBe(204);
    expect((await send('GET', '/me', { token: again })).status).toBe(200);
  });

  it('makes tokens and robots, shown once, and ends them', async () => {
    await app.get(Accounts).createOrganization(ctx, { name: 'robots' });
    const expiresAt = new Date(Date.now() + 86_400_000).toISOString();
    const own = await send('POST', '/tokens', { token: admin, body: { name: 'laptop', expiresAt, limits: { operations: ['account:view'] } } });
    expect(own).toMatchObject({ status: 201, body: { kind: 'personal', token: expect.stringMatching(/^gpat_/), account: { name: 'admin' } } });
    const narrow = String(own.body['token']);
    expect((await send('GET', '/me', { token: narrow })).status).toBe(200);
    expect((await send('POST', '/users', { token: narrow, body: { name: 'x', password } })).status).toBe(403);
    expect((await send('GET', '/tokens', { token: narrow })).status).toBe(403);
    const robot = await send('POST', '/tokens', { token: admin, body: { name: 'ci', kind: 'robot', owner: 'robots', expiresAt, limits: { operations: ['account:view'] } } });
    expect(robot).toMatchObject({ status: 201, body: { account: { name: 'robots+ci' }, token: expect.stringMatching(/^grob_/) } });
    const list = await send('GET', '/tokens?owner=robots', { token: admin });
    expect(list.body.items).toMatchObject([{ name: 'ci' }]);
    expect(JSON.stringify(list.body)).not.toContain('grob_');
    expect((await send('GET', '/organizations/robots', { token: String(robot.body['token']) })).status).toBe(200);
    expect((await send('DELETE', `/tokens/${String(robot.body['id'])}`, { token: admin })).status).toBe(204);
    expect((await send('GET', '/organizations/robots', { token: String(robot.body['token']) })).status).toBe(401);
    expect((await send('POST', '/tokens', { token: admin, body: { name: 'x', expiresAt: 'soon' } })).body).toMatchObject({ code: 'request.invalid', errors: [{ pointer: '/expiresAt' }] });
  });

  it('explains rights', async () => {
    await app.get(Accounts).createUser(ctx, { name: 'dora', password });
    await app.get(Accounts).createOrganization(ctx, { name: 'secretive' });
    const dora = await signIn('dora');
    const ask = async (token: string, subject: string, resource: string): Promise<Answer> => send('GET', `/access/explain?subject=${subject}&operation=account:view&kind=account&resource=${resource}`, { token });
    expect((await ask(admin, 'dora', 'secretive')).body).toEqual({ allowed: false, visible: false, reason: expect.stringContaining('nothing allows it'), grounds: [], collections: ['/Organizations/secretive', '/Organizations', '/'] });
    expect((await ask(dora, 'dora', 'dora')).body).toMatchObject({ allowed: true, grounds: [{ type: 'owner', collection: { path: '/Shared/Private/dora' } }] });
    expect((await ask(dora, 'dora', 'secretive')).body).toEqual((await ask(dora, 'dora', 'nowhere')).body);
    expect((await ask(dora, 'admin', 'dora')).status).toBe(404);
    expect((await send('GET', '/operations')).body.items).toContainEqual({ operation: 'repository:push', kind: 'repository', grade: 'control', roles: ['restrictedcontrol', 'fullcontrol', 'repository-write', 'repository-admin'] });
  });

  it('keeps the directory for administrators, and its password to itself', async () => {
    const settings = { url: 'ldap://127.0.0.1:9', bindDn: 'cn=reader', searchBase: 'dc=example', bindPassword: 'reader-secret' };
    const before = await send('GET', '/ldap', { token: admin });
    expect(before).toMatchObject({ status: 200, headers: { etag: '"0"' }, body: { enabled: false } });
    const put = await send('PUT', '/ldap', { token: admin, body: settings, headers: { 'if-match': '"0"' } });
    expect(put).toMatchObject({ status: 200, body: { enabled: true, url: settings.url, usernameAttribute: 'uid', version: 1 } });
    expect(JSON.stringify([put.body, (await send('GET', '/ldap', { token: admin })).body])).not.toContain('reader-secret');
    expect(await send('POST', '/ldap/test', { token: admin, body: {} })).toMatchObject({ status: 200, body: { ok: false, code: 'access.directory-unavailable' } });
    expect((await send('POST', '/sessions', { body: { username: 'somebody', password } })).body).toMatchObject({ status: 503, code: 'access.directory-unavailable' });
    expect((await send('GET', '/ldap', { token: await signIn('dora') })).status).toBe(403);
  });

  it('shows the audit log to administrators, and puts the reading on record', async () => {
    const audit = app.get(Audit);
    await audit.flushRepeats();
    await audit.sealPending(ctx);
    const first = await send('GET', '/audit?limit=3', { token: admin });
    expect(first.body.items).toHaveLength(3);
    const next = await send('GET', `/audit?limit=200&cursor=${String(first.body['next'])}`, { token: admin });
    const rows = [...(first.body.items ?? []), ...(next.body.items ?? [])];
    for (const action of ['session.create', 'session.end', 'user.create', 'organization.create', 'organization.add-member', 'organization.remove-member', 'account.update', 'account.change-password', 'token.create', 'token.revoke', 'robot.create', 'robot.delete', 'directory.update', 'directory.test']) {
      expect(rows).toContainEqual(expect.objectContaining({ action, outcome: expect.any(String), requestId: expect.any(String), seq: expect.any(Number) }));
    }
    expect(rows).toContainEqual(expect.objectContaining({ action: 'account.update', outcome: 'refused', actorName: 'ann', detail: { code: 'request.forbidden', operation: 'account:administer' } }));
    expect(JSON.stringify(rows)).not.toMatch(/a first long password|reader-secret|gpat_|grob_|gses_/);
    expect((await send('GET', '/audit?action=audit.read', { token: admin })).body.items).toMatchObject([{ detail: { limit: 200 } }, { detail: { limit: 3, rows: 3 } }]);
    expect((await send('GET', '/audit', { token: await signIn('dora') })).status).toBe(403);
    expect((await send('GET', '/audit?from=yesterday', { token: admin })).body).toMatchObject({ code: 'request.invalid', errors: [{ pointer: 'query/from' }] });
    expect((await send('GET', '/audit/key', { token: admin })).body).toMatchObject({ pem: expect.stringContaining('PUBLIC KEY') });
    expect((await send('GET', '/audit/checkpoint', { token: admin })).body).toMatchObject({ seq: expect.any(Number), keyId: audit.publicKey().id });
    expect(await audit.verify(ctx)).toMatchObject({ ok: true });
  });
});
