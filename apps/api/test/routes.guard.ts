import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { builtInRoles, operations } from '@gantry/access';
import { allProblems, problemStatus, uuidv7 } from '@gantry/platform';
import { operationRows } from '../src/access/rights.controller';
import { controllers } from '../src/api.module';
import { declaredRoutes, undeclaredHandlers } from '../src/http/openapi';
import { makeHarness, adminPassword, type ApiHarness } from './harness';

const routes = declaredRoutes(controllers);
const mutating = routes.filter((route) => route.options.method !== 'GET');

/** Changes that nobody would look for in the audit record, each with its reason. */
const withoutAudit: Record<string, string> = {};

describe('every route', () => {
  it('is declared, once, with a summary', () => {
    expect(undeclaredHandlers(controllers)).toEqual([]);
    const names = routes.map((route) => `${route.options.method} ${route.path}`);
    expect(names.length).toBeGreaterThan(40);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    expect(routes.filter((route) => route.options.summary.length < 4)).toEqual([]);
  });

  it('names an operation of the catalogue, or says that it is open', () => {
    const open = routes.filter((route) => route.options.operation === null);
    expect(open.map((route) => `${route.options.method} ${route.path}`).sort()).toEqual(
      ['GET /api/docs', 'GET /api/openapi.json', 'GET /api/v1/operations', 'GET /healthz', 'GET /readyz', 'POST /api/v1/sessions', 'POST /hooks/:trigger'].sort(),
    );
    expect(open.every((route) => route.options.scope === 'public' || route.options.scope === 'signed')).toBe(true);
    for (const route of routes) if (route.options.operation !== null) expect(operations).toContain(route.options.operation);
  });

  it('validates every path parameter and writes an audit row when it changes something', () => {
    for (const route of routes) {
      const named = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1]);
      expect([route.path, Object.keys(route.options.params?.shape ?? {}).sort()]).toEqual([route.path, named.sort()]);
    }
    const silent = mutating.filter((route) => route.options.audit === undefined).map((route) => `${route.options.method} ${route.path}`);
    expect(silent).toEqual(Object.keys(withoutAudit));
  });

  it('describes its answer, and asks for If-Match where it edits', () => {
    const blind = routes.filter((route) => route.options.method === 'GET' && route.options.response === undefined && route.path !== '/api/docs');
    expect(blind).toEqual([]);
    const careless = routes.filter((route) => route.options.method === 'PATCH' && !route.options.ifMatch).map((route) => route.path);
    expect(careless).toEqual([]);
  });
});

describe('every problem', () => {
  it('has a code, a title and a remedy, and is in docs/problems.md (npm run generate)', () => {
    const file = join(__dirname, '../../../docs/problems.md');
    const rows = [...allProblems()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([code, { kind, title, description }]) => `| \`${code}\` | ${problemStatus[kind]} | ${title} | ${description} |`);
    const page = ['# Problems', '', 'Every refusal has a code. The answer’s `detail` and `errors` say more about the case at hand.', '', '| code | status | title | what to do |', '|---|---|---|---|', ...rows, ''].join('\n');
    if (process.env['GANTRY_TEST_GENERATE'] === '1') writeFileSync(file, page);
    expect(readFileSync(file, 'utf8')).toBe(page);
    for (const [code, declaration] of allProblems()) {
      expect(code).toMatch(/^[a-z]+\.[a-z0-9-]+$/);
      expect([code, declaration.title.length > 3 && declaration.description.length > 10]).toEqual([code, true]);
    }
  });
});

describe('every operation', () => {
  it('is in docs/operations.md (npm run generate), with its grade', () => {
    const file = join(__dirname, '../../../docs/operations.md');
    const meaning: Record<string, string> = {
      view: 'looks', control: 'changes what does not reach the node or the host', full: 'the rest of Docker’s Full Control', host: 'reaches the host, or past one’s own objects',
      schedule: 'places work on nodes', own: 'comes with owning something; custom roles may hold it', system: 'belongs to the installation: custom roles, granted on `/`', admin: 'administrators alone, in no role',
    };
    const shown = ['viewonly', 'restrictedcontrol', 'scheduler', 'fullcontrol'];
    const rows = operationRows().map(({ operation, grade, roles }) => `| \`${operation}\` | ${grade} | ${shown.map((role) => (roles.includes(role) ? '✓' : '')).join(' | ')} |`);
    const page = [
      '# Operations', '', 'The smallest permissions. Roles are sets of them; a grant gives a role on a collection and everything below. `GET /api/v1/operations` answers the same.', '',
      '| grade | meaning |', '|---|---|', ...Object.entries(meaning).map(([grade, text]) => `| ${grade} | ${text} |`), '',
      `| operation | grade | ${shown.join(' | ')} |`, `|---|---|${shown.map(() => '---').join('|')}|`, ...rows, '', '## Built-in roles', '', '| role | what it does |', '|---|---|',
      ...builtInRoles.map((role) => `| \`${role.id}\` | ${role.description} |`), '',
    ].join('\n');
    if (process.env['GANTRY_TEST_GENERATE'] === '1') writeFileSync(file, page);
    expect(readFileSync(file, 'utf8')).toBe(page);
    expect(operationRows().filter(({ grade }) => meaning[grade] === undefined)).toEqual([]);
  });
});

describe('the guard', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await makeHarness();
  });
  afterAll(async () => harness.close());

  const fill = (path: string): string => path.replace(/:(\w+)/g, (_match, name: string) => (name === 'digest' ? `sha256:${'0'.repeat(64)}` : name === 'namespace' || name === 'name' ? 'nobody' : uuidv7()));

  it('answers 401 to nobody, on every route that is not open', async () => {
    for (const route of routes) {
      if (route.options.scope === 'public' || route.options.scope === 'signed') continue;
      for (const token of [undefined, 'gses_forged', 'x'.repeat(600)]) {
        const answer = await harness.send(route.options.method, fill(route.path), token === undefined ? {} : { token });
        expect([route.options.method, route.path, answer.status]).toEqual([route.options.method, route.path, 401]);
        expect(answer.body).toMatchObject({ code: 'request.unauthenticated', status: 401 });
      }
    }
  });

  it('lets a stranger see and change nothing', async () => {
    const admin = await harness.signIn('admin', adminPassword);
    const created = await harness.send('POST', '/api/v1/users', { token: admin, body: { name: 'stranger', password: 'a long enough password' } });
    expect(created.status).toBe(201);
    const stranger = await harness.signIn('stranger', 'a long enough password');
    const org = await harness.send('POST', '/api/v1/organizations', { token: admin, body: { name: 'acme' } });
    expect(org.status).toBe(201);
    for (const route of routes) {
      if (['public', 'signed', 'own', 'each'].includes(route.options.scope as string)) continue;
      const answer = await harness.send(route.options.method, fill(route.path), { token: stranger, headers: { 'if-match': '"1"' } });
      // 400: the body was refused before the object was looked for, which says nothing about the object.
      expect([route.options.method, route.path, [400, 403, 404].includes(answer.status) ? 'refused' : answer.status]).toEqual([route.options.method, route.path, 'refused']);
      if (route.options.scope !== 'system') expect([route.path, answer.status]).not.toEqual([route.path, 403]);
    }
    // A foreign object that exists answers as one that does not.
    const missing = await harness.send('GET', '/api/v1/organizations/nosuch', { token: stranger });
    const foreign = await harness.send('GET', '/api/v1/organizations/acme', { token: stranger });
    expect(missing.status).toBe(404);
    expect(foreign.status).toBe(404);
    expect({ ...(foreign.body as object), instance: '' }).toEqual({ ...(missing.body as object), instance: '' });
  });

  it('asks for If-Match before it changes an object', async () => {
    const admin = await harness.signIn('admin', adminPassword);
    for (const route of routes.filter((candidate) => candidate.options.ifMatch && !candidate.options.body)) {
      const answer = await harness.send(route.options.method, fill(route.path), { token: admin });
      expect([route.path, answer.status]).toEqual([route.path, 428]);
    }
  });

  it('replays a POST with the same Idempotency-Key and refuses another body under it', async () => {
    const admin = await harness.signIn('admin', adminPassword);
    const headers = { 'idempotency-key': 'k1' };
    const first = await harness.send('POST', '/api/v1/organizations', { token: admin, body: { name: 'once' }, headers });
    const again = await harness.send('POST', '/api/v1/organizations', { token: admin, body: { name: 'once' }, headers });
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.body).toEqual(first.body);
    expect(again.headers['idempotency-replayed']).toBe('true');
    const other = await harness.send('POST', '/api/v1/organizations', { token: admin, body: { name: 'twice' }, headers });
    expect(other.status).toBe(409);
    expect(other.body).toMatchObject({ code: 'request.idempotency-conflict' });
  });

  it('serves the OpenAPI document, the page for people and health without a sign-in', async () => {
    const document = await harness.send('GET', '/api/openapi.json');
    expect(document.status).toBe(200);
    expect(Object.keys((document.body as { paths: object }).paths).length).toBe(new Set(routes.map((route) => route.path)).size);
    expect((await harness.send('GET', '/api/docs')).text).toContain('/api/v1/deployments');
    expect((await harness.send('GET', '/readyz')).body).toEqual({ status: 'ok' });
    const lost = await harness.send('GET', '/no/such/page');
    expect([lost.status, lost.headers['content-type']]).toEqual([404, expect.stringMatching(/^application\/problem\+json/)]);
  });
});
