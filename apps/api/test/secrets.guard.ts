import { createHmac, randomBytes } from 'node:crypto';
import { strFromU8, unzipSync } from 'fflate';
import { z } from 'zod';
import { codeOf } from '@gantry/access/testing';
import { Audit } from '@gantry/audit';
import { makeLogger, uuidv7 } from '@gantry/platform';
import { testContext } from '@gantry/platform/testing';
import { tokenService } from '@gantry/registry';
import { controllers } from '../src/api.module';
import { declaredRoutes } from '../src/http/openapi';
import { adminPassword, makeHarness, type ApiHarness } from './harness';

interface JsonSchema {
  type?: string | string[];
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
  enum?: unknown[];
  const?: unknown;
}

/** Names of fields that hold secrets. */
const secretName = /pass|secret|token|key|credential|private|pem$|code|^value$|^current$|^next$|^compose$/i;

/** Fields with such a name that hold none, with the reason. */
const harmless: Record<string, string> = {
  'POST /api/v1/signing-keys publicKeyPem': 'a public key',
  'PUT /api/v1/ldap caPem': 'a public certificate',
  'POST /api/v1/ldap/preview caPem': 'a public certificate',
  'POST /api/v1/ldap/preview domains/caPem': 'a public certificate',
  'PUT /api/v1/ldap domains/caPem': 'a public certificate',
  'POST /api/v1/clusters endpoint/hostKey': 'a public key',
  'PATCH /api/v1/clusters/:cluster endpoint/hostKey': 'a public key',
  'POST /api/v1/signature-policies keys': 'names of keys',
  'PATCH /api/v1/signature-policies/:policy keys': 'names of keys',
};

/** Every field that holds a secret. Who adds one sends it below, where it is accepted and where it is refused, and then names it here. */
const covered = [
  'POST /api/v1/sessions password',
  'POST /api/v1/sessions code',
  'POST /api/v1/me/second-factor password',
  'POST /api/v1/me/second-factor/confirm code',
  'POST /api/v1/me/second-factor/recovery-codes password',
  'POST /api/v1/me/second-factor/recovery-codes code',
  'POST /api/v1/me/second-factor/disable password',
  'POST /api/v1/me/second-factor/disable code',
  'PUT /api/v1/me/password current',
  'PUT /api/v1/me/password next',
  'POST /api/v1/users password',
  'PUT /api/v1/users/:user/password password',
  'PUT /api/v1/ldap bindPassword',
  'PUT /api/v1/ldap domains/bindPassword',
  'POST /api/v1/ldap/preview bindPassword',
  'POST /api/v1/ldap/preview domains/bindPassword',
  'POST /api/v1/ldap/test password',
  'POST /api/v1/clusters endpoint/key',
  'PATCH /api/v1/clusters/:cluster endpoint/key',
  'POST /api/v1/applications compose',
  'POST /api/v1/applications/:app/revisions compose',
  'PUT /api/v1/applications/:app/secrets/:name value',
];

/** Answers that show a secret once, or to whom it belongs: nothing else may. */
const shownOnce = new Set([
  'POST /api/v1/sessions', 'POST /api/v1/tokens', 'POST /api/v1/triggers', 'POST /api/v1/me/second-factor', 'POST /api/v1/me/second-factor/confirm', 'POST /api/v1/me/second-factor/recovery-codes',
  'GET /api/v1/me/bundle',
]);

/** Paths of all fields of a body. */
function fields(schema: JsonSchema, path = ''): string[] {
  const inner = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? []), ...(schema.items ? [schema.items] : [])].flatMap((part) => fields(part, path));
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, part]) => [`${path}${name}`, ...fields(part, `${path}${name}/`)]);
  return [...new Set([...inner, ...own])];
}

/** A body that follows the schema roughly, with a canary in each field that is named like a secret. */
function sample(schema: JsonSchema, canary: () => string, name = ''): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const options = schema.anyOf ?? schema.oneOf;
  const last = options?.find((part) => part.properties?.['key']) ?? options?.[0];
  if (last) return sample(last, canary, name);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === 'object') return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([field, part]) => [field, sample(part, canary, field)]));
  if (type === 'array') return schema.items ? [sample(schema.items, canary, name)] : [];
  if (type === 'integer' || type === 'number') return 1;
  if (type === 'boolean') return true;
  return secretName.test(name) ? canary() : 'acme';
}

const routes = declaredRoutes(controllers);
const bodyOf = (options: { body?: z.ZodType }): JsonSchema => (options.body ? (z.toJSONSchema(options.body, { io: 'input', unrepresentable: 'any' }) as JsonSchema) : {});

describe('secrets', () => {
  let harness: ApiHarness;
  let base: string;
  let token: string;
  const log: string[] = [];
  /** What was sent or given as a secret, and where. */
  const canaries = new Map<string, string>();
  const answers: { route: string; text: string }[] = [];

  beforeAll(async () => {
    const logger = makeLogger('trace', { write: (text: string) => log.push(text) > 0 } as unknown as NodeJS.WritableStream);
    harness = await makeHarness({ logger });
    await harness.app.listen(0, '127.0.0.1');
    base = await harness.app.getUrl();
    canaries.set(adminPassword, 'the admin’s password');
    token = String((await send('POST', '/sessions', { body: { username: 'admin', password: adminPassword } })).body['token']);
    canaries.set(token, 'the admin’s session');
  }, 300_000);
  afterAll(async () => harness?.close());

  /** A secret that nobody would guess, and that looks like nothing else. */
  const canary = (what: string): string => {
    const text = `Kanarie-${randomBytes(12).toString('hex')}`;
    canaries.set(text, what);
    return text;
  };

  interface Sent {
    status: number;
    body: Record<string, unknown>;
    etag: string;
  }
  const request = async (route: string, path: string, init: RequestInit): Promise<Sent> => {
    const answer = await fetch(`${base}${path}`, init);
    const text = await answer.text();
    answers.push({ route, text: `${text}\n${JSON.stringify([...answer.headers])}` });
    return { status: answer.status, etag: answer.headers.get('etag') ?? '', body: text.startsWith('{') ? ((text.includes('\n{') ? {} : JSON.parse(text)) as Record<string, unknown>) : {} };
  };
  const send = (method: string, path: string, options: { as?: string; body?: unknown; raw?: string; headers?: Record<string, string>; route?: string } = {}): Promise<Sent> => {
    const as = options.as ?? token;
    const body = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    return request(`${method} /api/v1${options.route ?? path.split('?')[0]}`, `/api/v1${path}`, {
      method,
      headers: { ...(as ? { authorization: `Bearer ${as}` } : {}), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...options.headers },
      ...(body === undefined ? {} : { body }),
    });
  };

  it('are in the fields that are known to hold them, and in no others', () => {
    const found = routes.flatMap((route) => fields(bodyOf(route.options)).filter((field) => secretName.test(field.split('/').pop() ?? '')).map((field) => `${route.options.method} ${route.path} ${field}`));
    expect(found.filter((field) => !(field in harmless)).sort()).toEqual([...covered].sort());
    expect(Object.keys(harmless).filter((field) => !found.includes(field))).toEqual([]);
    for (const route of routes) for (const name of Object.keys(route.options.query?.shape ?? {})) expect([route.path, name, secretName.test(name)]).toEqual([route.path, name, false]);
  });

  it('are taken by the routes that need them', async () => {
    // accounts
    const password = canary('password of a new user');
    expect((await send('POST', '/users', { body: { name: 'una', password } })).status).toBe(201);
    const session = await send('POST', '/sessions', { as: '', body: { username: 'una', password } });
    expect(session.status).toBe(201);
    const una = String(session.body['token']);
    canaries.set(una, 'session token');
    expect((await send('POST', '/sessions', { as: '', body: { username: 'una', password: canary('wrong password') } })).status).toBe(401);
    expect((await send('POST', '/sessions', { as: '', body: { username: canary('password typed as a name'), password: canary('wrong password') } })).status).toBe(401);
    const next = canary('next password');
    expect((await send('PUT', '/me/password', { as: una, body: { current: canary('wrong current password'), next: canary('next password that is not taken') } })).status).toBeGreaterThanOrEqual(400);
    expect((await send('PUT', '/me/password', { as: una, body: { current: password, next } })).status).toBe(204);
    expect((await send('PUT', '/users/una/password', { body: { password: canary('password that an admin gave') } })).status).toBe(204);
    expect((await send('PUT', '/users/una/password', { as: una, body: { password: canary('password that was refused') } })).status).toBeGreaterThanOrEqual(400);
    // a second factor: its secret and the recovery codes are secrets too, a code of six digits is too short to look for
    const owned = canary('password of who has a second factor');
    expect((await send('POST', '/users', { body: { name: 'duo', password: owned } })).status).toBe(201);
    const duo = String((await send('POST', '/sessions', { as: '', body: { username: 'duo', password: owned } })).body['token']);
    canaries.set(duo, 'session token');
    expect((await send('POST', '/me/second-factor', { as: duo, body: { password: canary('wrong password for a second factor') } })).status).toBeGreaterThanOrEqual(400);
    const factor = String((await send('POST', '/me/second-factor', { as: duo, body: { password: owned } })).body['secret']);
    canaries.set(factor, 'secret of a second factor');
    const confirmed = await send('POST', '/me/second-factor/confirm', { as: duo, body: { code: codeOf(factor, new Date()) } });
    expect([confirmed.status, confirmed.body['recoveryCodes']]).toEqual([200, expect.any(Array)]);
    const [first, second] = confirmed.body['recoveryCodes'] as [string, string];
    const renewed = await send('POST', '/me/second-factor/recovery-codes', { as: duo, body: { password: owned, code: first } });
    const [third, fourth] = renewed.body['recoveryCodes'] as [string, string];
    for (const code of [first, second, third, fourth]) canaries.set(code, 'recovery code');
    const again = await send('POST', '/sessions', { as: '', body: { username: 'duo', password: owned, code: third } });
    expect(again.status).toBe(201);
    canaries.set(String(again.body['token']), 'session token');
    expect((await send('POST', '/me/second-factor/disable', { as: String(again.body['token']), body: { password: canary('wrong password to end it'), code: fourth } })).status).toBeGreaterThanOrEqual(400);
    expect((await send('POST', '/me/second-factor/disable', { as: String(again.body['token']), body: { password: owned, code: fourth } })).status).toBe(204);
    // tokens
    for (const kind of ['personal', 'robot']) {
      const made = await send('POST', '/tokens', { body: { name: `t-${kind}`, kind, expiresAt: new Date(Date.now() + 3_600_000).toISOString(), limits: { operations: ['account:view', 'repository:pull'] } }, headers: { 'idempotency-key': `k-${kind}` } });
      expect([kind, made.status, JSON.stringify(made.body)]).toEqual([kind, 201, expect.any(String)]);
      const secret = String(made.body['token']);
      canaries.set(secret, `${kind} token`);
      expect((await send('GET', '/organizations', { as: secret })).status).toBe(200);
      expect((await request('GET /auth/token', `/auth/token?service=${tokenService}`, { headers: { authorization: `Basic ${Buffer.from(`${kind === 'robot' ? 'admin+t-robot' : 'admin'}:${secret}`).toString('base64')}` } })).status).toBe(200);
    }
    const basic = canary('password at the token service');
    expect((await request('GET /auth/token', `/auth/token?service=${tokenService}`, { headers: { authorization: `Basic ${Buffer.from(`una:${basic}`).toString('base64')}` } })).status).toBe(401);
    expect((await request('POST /auth/token', '/auth/token', { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams({ grant_type: 'password', service: tokenService, username: 'una', password: basic }) })).status).toBeGreaterThanOrEqual(400);
    expect((await send('GET', '/me', { as: canary('token that nobody has') })).status).toBe(401);
    // the directory, which does not answer
    const ldap = await send('GET', '/ldap');
    const directory = {
      url: 'ldap://127.0.0.1:9', bindDn: 'cn=reader', searchBase: 'dc=example', bindPassword: canary('bind password'),
      domains: [{ domain: 'dc=other', url: 'ldap://127.0.0.1:9', bindDn: 'cn=reader', bindPassword: canary('bind password of a domain') }],
    };
    expect((await send('POST', '/ldap/preview', { body: { ...directory, bindPassword: canary('bind password of a preview'), domains: [{ ...directory.domains[0], bindPassword: canary('bind password of a domain in a preview') }] } })).status).toBe(202);
    expect((await send('PUT', '/ldap', { body: directory, headers: { 'if-match': ldap.etag } })).status).toBe(200);
    expect((await send('POST', '/ldap/test', { body: { username: 'somebody', password: canary('password of a trial') } })).status).toBe(200);
    expect((await send('POST', '/sessions', { as: '', body: { username: 'somebody', password: canary('password for a directory') } })).status).toBe(503);
    // clusters: nobody answers at the end, so that the key is read, used and refused
    const tls = (what: string): unknown => ({ kind: 'tls', host: '127.0.0.1', port: 9, ca: 'x', cert: 'x', key: `-----BEGIN PRIVATE KEY-----\n${canary(what)}\n-----END PRIVATE KEY-----\n` });
    const ssh = (what: string): unknown => ({ kind: 'ssh', address: 'ssh://ops@127.0.0.1:9', key: `-----BEGIN OPENSSH PRIVATE KEY-----\n${canary(what)}\n-----END OPENSSH PRIVATE KEY-----\n`, hostKey: '' });
    for (const endpoint of [tls('key of a cluster'), ssh('SSH key of a cluster')]) {
      const refused = await send('POST', '/clusters', { body: { name: 'far', endpoint } });
      expect([refused.status >= 400, refused.body['code'] === 'request.internal']).toEqual([true, false]);
    }
    await harness.db.query(testContext(), `insert into clusters_clusters (id, name, endpoint, swarm_id, engine_version, api_version, node_count, state, checked_at, created_at, version)
      values ($1, 'local', '{"kind":"socket","path":"/nowhere"}', 's', '1', '1.41', 1, 'ready', now(), now(), 1)`, [uuidv7()]);
    for (const endpoint of [tls('new key of a cluster'), ssh('new SSH key of a cluster')]) {
      const changed = await send('PATCH', '/clusters/local', { route: '/clusters/:cluster', body: { endpoint }, headers: { 'if-match': '"1"' } });
      expect([changed.status >= 400, changed.body['code'] === 'request.internal']).toEqual([true, false]);
    }
    // applications
    expect((await send('POST', '/environments', { body: { name: 'prod', account: 'admin', cluster: 'local' } })).status).toBe(201);
    const compose = (what: string, spoil = ''): string => `services:\n  web:\n    image: admin/web:1\n    environment:\n      DB_PASSWORD: ${canary(what)}\n${spoil}`;
    expect((await send('POST', '/applications', { body: { name: 'shop', account: 'admin', compose: compose('environment in a Compose file') } })).status).toBe(201);
    expect((await send('POST', '/applications/shop/revisions', { route: '/applications/:app/revisions', body: { compose: compose('environment in another revision') } })).status).toBe(201);
    for (const spoil of ['    nosuch: 1\n', '   bad indent: [\n', '    ports: ["x"]\n']) {
      const broken = await send('POST', '/applications/shop/revisions', { route: '/applications/:app/revisions', body: { compose: compose(`environment in a Compose file that is refused (${spoil.trim()})`, spoil) } });
      expect([spoil, broken.status >= 400 && broken.status < 500]).toEqual([spoil, true]);
    }
    expect((await send('POST', '/applications/shop/revisions', { route: '/applications/:app/revisions', body: { compose: `services: "${canary('a Compose file that breaks off')}` } })).status).toBeLessThan(500);
    expect((await send('PUT', '/applications/shop/secrets/db', { route: '/applications/:app/secrets/:name', body: { environment: 'prod', value: canary('value of a secret') } })).status).toBe(200);
    expect((await send('PUT', '/applications/shop/secrets/db', { route: '/applications/:app/secrets/:name', body: { environment: 'nowhere', value: canary('value that is refused') } })).status).toBeGreaterThanOrEqual(400);
    expect((await send('POST', '/plans', { body: { application: 'shop', environment: 'prod' } })).status).toBeLessThan(500);
    expect((await send('POST', '/deployments', { body: { application: 'shop', environment: 'prod' } })).status).toBeLessThan(500);
    // triggers
    const trigger = await send('POST', '/triggers', { body: { application: 'shop', environment: 'prod' } });
    expect(trigger.status).toBe(201);
    const secret = String(trigger.body['secret']);
    canaries.set(secret, 'secret of a trigger');
    const hook = `/hooks/${String(trigger.body['id'])}`;
    for (const key of [secret, canary('wrong secret of a hook')]) {
      const body = JSON.stringify({ repository: 'admin/web', tag: '1' });
      const signature = createHmac('sha256', key).update(body).digest('hex');
      expect((await request('POST /hooks/:trigger', hook, { method: 'POST', headers: { 'content-type': 'application/json', 'x-hub-signature-256': `sha256=${signature}`, 'x-gantry-signature': `sha256=${signature}`, authorization: `Bearer ${key}` }, body })).status).toBeLessThan(500);
    }
    // the key of a client bundle, which lies packed in the answer
    for (const format of ['zip', 'context']) {
      const bundle = await fetch(`${base}/api/v1/me/bundle?format=${format}&cluster=local`, { headers: { authorization: `Bearer ${token}` } });
      expect([format, bundle.status, bundle.headers.get('content-type')]).toEqual([format, 200, 'application/zip']);
      const archive = new Uint8Array(await bundle.arrayBuffer());
      const key = strFromU8(unzipSync(archive)[format === 'zip' ? 'key.pem' : 'tls/docker/key.pem']!).split('\n');
      expect(key[0]).toBe('-----BEGIN PRIVATE KEY-----');
      // What every such key begins with is no secret.
      canaries.set(key[1]!.slice(-16), 'key of a client bundle');
      canaries.set(key[2]!, 'key of a client bundle');
      answers.push({ route: 'the headers of GET /api/v1/me/bundle', text: JSON.stringify([...bundle.headers]) });
    }
    // keys that are made here
    const generated = await send('POST', '/signing-keys', { body: { name: 'ci', account: 'admin', generate: true } });
    expect(generated.status).toBe(201);
    expect(JSON.stringify(generated.body)).not.toMatch(/PRIVATE KEY/);
  }, 300_000);

  it('are sent to every route that has a field for one, in requests that are refused', async () => {
    for (const route of routes) {
      const schema = bodyOf(route.options);
      if (!fields(schema).some((field) => secretName.test(field.split('/').pop() ?? ''))) continue;
      const name = `${route.options.method} ${route.path}`;
      const path = route.path.replace(/:(\w+)/g, 'nobody').replace('/api/v1', '');
      const make = (): unknown => sample(schema, () => canary(`${name}, refused`));
      const headers = { 'if-match': '"99"' };
      const as = [token, '', canary('a token that is none')];
      for (const who of as) await send(route.options.method, path, { route: route.path.replace('/api/v1', ''), as: who, headers, body: make() });
      await send(route.options.method, path, { route: route.path.replace('/api/v1', ''), headers, body: { ...(make() as object), zz: canary(`${name}, a field that is none`) } });
      await send(route.options.method, path, { route: route.path.replace('/api/v1', ''), headers, raw: `{"password": "${canary(`${name}, JSON that breaks off`)}` });
      await send(route.options.method, path, { route: route.path.replace('/api/v1', ''), headers, raw: `{"password": ${canary(`${name}, JSON without quotes`)}}` });
      await send(route.options.method, `${path}?password=${canary(`${name}, in the address`)}`, { route: route.path.replace('/api/v1', ''), headers, body: make() });
    }
    expect(canaries.size).toBeGreaterThan(80);
  }, 300_000);

  it('are read back by nothing', async () => {
    const audit = harness.app.get(Audit);
    for (const route of routes) {
      if (route.options.method !== 'GET' || route.path === '/api/docs') continue;
      const path = route.path.replace(':app', 'shop').replace(':environment', 'prod').replace(':cluster', 'local').replace(':user', 'una').replace(':key', 'ci').replace(':revision', '1').replace(/:\w+/g, uuidv7());
      await request(`GET ${route.path}`, path, { headers: { authorization: `Bearer ${token}` } });
    }
    await audit.flushRepeats();
    const rows = await harness.db.query<{ text: string }>(testContext(), 'select to_jsonb(r)::text as text from audit_rows r');
    expect(rows.length).toBeGreaterThan(30);
    expect(log.length).toBeGreaterThan(5);
    const everywhere = [
      ...rows.map(({ text }) => ({ where: 'an audit row', text })),
      ...log.map((text) => ({ where: 'the log', text })),
      // Who may see an application reads its Compose file.
      ...answers.filter(({ route }) => !shownOnce.has(route) && route !== 'GET /api/v1/applications/:app/revisions/:revision').map(({ route, text }) => ({ where: `the answer of ${route}`, text })),
    ];
    const leaks: string[] = [];
    for (const [secret, what] of canaries) {
      const forms = [secret.startsWith('Kanarie-') ? secret.slice(0, 16) : secret, Buffer.from(secret).toString('base64').replace(/=+$/, '').slice(2, -2), encodeURIComponent(secret)];
      for (const { where, text } of everywhere) if (forms.some((form) => text.includes(form))) leaks.push(`${what}: in ${where}: ${text.slice(0, 300)}`);
    }
    expect(leaks).toEqual([]);
  }, 300_000);
});
