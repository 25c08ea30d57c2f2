import { Access, Accounts, Grants, Roles, systemResource, Teams } from '@gantry/access';
import { requestProblem, systemContext, uuidv7 } from '@gantry/platform';
import { Repositories } from '@gantry/registry';
import { controllers } from '../src/api.module';
import { declaredRoutes, type DeclaredRoute } from '../src/http/openapi';
import { adminPassword, makeHarness, type ApiHarness } from './harness';

type Place = 'acme' | 'zeta' | 'none';
type Ids = Record<'release' | 'plan' | 'deployment' | 'trigger' | 'policy' | 'token' | 'sync', string>;
interface Entry { operation: string; grade: string; kind: string; roles: string[] }
interface Sent { status: number; body: unknown }

const password = 'a long enough password';
const compose = 'services:\n  web:\n    image: acme/web:1\n';
const digest = `sha256:${'0'.repeat(64)}`;

/** Where a route’s object lies, for the rule: in an organization’s collection, in `/System`, on the system itself, or in the caller’s own. */
type Lies = 'organization' | 'cluster' | 'system';

/** What stands in paths, queries and bodies for the objects of an organization (`acme`, `zeta`) or for none. */
function fill(route: DeclaredRoute, at: Place, ids: Record<Place, Ids>): { path: string; body: unknown } {
  const x = at === 'none' ? 'nosuch' : at;
  const id = ids[at];
  const [, , , noun = ''] = route.path.split('/');
  const params: Record<string, string> = {
    org: x, team: 'dev', user: 'outsider', namespace: x, name: route.path.includes('/secrets/') ? 'token' : 'web', tag: '1', digest, app: `${x}-app`, revision: '1', environment: `${x}-env`,
    key: `${x}-key`, policy: id.policy, token: id.token, cluster: at === 'acme' ? 'c1' : 'nosuch', collection: encodeURIComponent(`/Organizations/${x}/sub`), kind: 'repository', resource: `${x}%2Fweb`,
    role: 'viewonly', grant: uuidv7(), session: uuidv7(), certificate: uuidv7(), finding: uuidv7(), id: ({ releases: id.release, plans: id.plan, deployments: id.deployment, triggers: id.trigger, ldap: id.sync } as Record<string, string>)[noun] ?? uuidv7(),
  };
  if (noun === 'users') params['user'] = at === 'acme' ? 'outsider' : 'nosuch';
  const queries: Record<string, string> = {
    '/api/v1/access/explain': `?subject=${x}&operation=account:view&kind=account&resource=${x}`, '/api/v1/access/holders': `?operation=repository:pull&kind=repository&resource=${x}/web`,
    '/api/v1/images/:namespace/:name/:digest/verdict': `?environment=${x}-env`,
  };
  const bodies: Record<string, unknown> = {
    'PUT /api/v1/me/password': { current: password, next: password },
    'POST /api/v1/tokens': { name: 'x', expiresAt: new Date(Date.now() + 86_400_000).toISOString() },
    'POST /api/v1/users': { name: 'fresh' }, 'PATCH /api/v1/users/:user': { displayName: 'x' }, 'PUT /api/v1/users/:user/password': { password },
    'POST /api/v1/organizations': { name: 'fresh' }, 'PATCH /api/v1/organizations/:org': { displayName: 'x' }, 'PUT /api/v1/organizations/:org/members/:user': { role: 'member' },
    'POST /api/v1/organizations/:org/teams': { name: 'fresh' }, 'PATCH /api/v1/organizations/:org/teams/:team': { description: 'x' },
    'PUT /api/v1/organizations/:org/teams/:team/members/:user': { admin: false }, 'PUT /api/v1/organizations/:org/repository-levels/:team': { level: 'read-only' },
    'POST /api/v1/roles': { name: 'fresh', operations: [] }, 'POST /api/v1/roles/:role/clone': { name: 'fresh' }, 'PATCH /api/v1/roles/:role': { description: 'x' },
    'POST /api/v1/grants': { subject: 'outsider', role: 'none', collection: '/' }, 'PATCH /api/v1/access/settings': { defaultRole: 'none' },
    'POST /api/v1/collections': { parent: `/Organizations/${x}`, name: 'fresh' }, 'PATCH /api/v1/collections/:collection': { name: 'fresh' }, 'PUT /api/v1/placements/:kind/:resource': { collection: '/Shared' },
    'POST /api/v1/access/what-if': { changes: [{ type: 'revoke', grant: uuidv7() }] },
    'PUT /api/v1/ldap': { url: 'ldap://127.0.0.1:9', bindDn: 'cn=r', searchBase: 'dc=x', bindPassword: 'secret-of-the-reader' }, 'POST /api/v1/ldap/test': {}, 'POST /api/v1/ldap/preview': { url: 'ldap://127.0.0.1:9', bindDn: 'cn=r', searchBase: 'dc=x', bindPassword: 'secret-of-the-reader' },
    'PUT /api/v1/organizations/:org/teams/:team/sync': { selection: { kind: 'group', groupDn: 'cn=g,dc=x' } },
    'PUT /api/v1/organizations/:org/admin-sync': { selection: { kind: 'search', searchBase: 'dc=x', filter: '(uid=*)' } },
    'POST /api/v1/repositories': { namespace: x, name: 'fresh' }, 'PATCH /api/v1/repositories/:namespace/:name': { description: 'x' }, 'PUT /api/v1/repositories/:namespace/:name/teams/:team': { level: 'admin' },
    'POST /api/v1/signing-keys': { name: 'fresh', account: x, generate: true }, 'PATCH /api/v1/signing-keys/:key': { name: 'fresh' }, 'POST /api/v1/signing-keys/:key/signatures': { repository: `${x}/web`, tag: '1' },
    'POST /api/v1/signature-policies': { name: 'fresh', environment: `${x}-env`, mode: 'off', keys: [] }, 'PATCH /api/v1/signature-policies/:policy': { mode: 'off' },
    'PUT /api/v1/clusters/:cluster/nodes/:node/collection': { collection: '/Shared' },
    'POST /api/v1/clusters': { name: 'fresh', endpoint: { kind: 'socket', path: '/run/nosuch.sock' } }, 'PATCH /api/v1/clusters/:cluster': { name: 'fresh' },
    'POST /api/v1/clusters/:cluster/findings/:finding/acknowledge': { note: 'x' }, 'POST /api/v1/clusters/:cluster/findings/:finding/adopt': { collection: '/Shared' },
    'POST /api/v1/environments': { name: 'fresh', account: x, cluster: 'c1' }, 'PATCH /api/v1/environments/:environment': { variables: {} },
    'POST /api/v1/applications': { name: 'fresh', account: x }, 'PATCH /api/v1/applications/:app': { autoRedeploy: null }, 'POST /api/v1/applications/:app/revisions': { compose },
    'PUT /api/v1/applications/:app/secrets/:name': { environment: `${x}-env`, value: 'v' }, 'POST /api/v1/plans': { application: `${x}-app`, environment: `${x}-env` },
    'POST /api/v1/deployments': { application: `${x}-app`, environment: `${x}-env` }, 'POST /api/v1/triggers': { application: `${x}-app`, environment: `${x}-env` },
  };
  const path = route.path.replace(/:(\w+)/g, (_match, name: string) => params[name] ?? 'nosuch') + (queries[route.path] ?? '');
  return { path, body: bodies[`${route.options.method} ${route.path}`] };
}

const routes = declaredRoutes(controllers).filter((route) => route.path.startsWith('/api/v1/') && !['public', 'signed'].includes(route.options.scope as string));

describe('every route for every role, on one’s own, on others’ and on nothing', () => {
  let harness: ApiHarness;
  let access: Access;
  let catalogue: Map<string, Entry>;
  let dry = false;
  const ids = { acme: {}, zeta: {}, none: {} } as Record<Place, Ids>;
  const tokens = new Map<string, string>();
  const ctx = systemContext('test');

  /** What each actor has: operations by role on acme’s collection or on the root, or a membership. */
  const actors: Record<string, { role?: string; on?: 'acme' | 'root'; member?: 'member' | 'admin'; teamAdmin?: boolean; level?: 'repository-write'; admin?: boolean; limits?: string[] }> = {
    stranger: {}, administrator: { admin: true }, member: { member: 'member' }, 'organization-admin': { member: 'admin' }, 'team-admin': { member: 'member', teamAdmin: true },
    ...Object.fromEntries(['none', 'viewonly', 'restrictedcontrol', 'scheduler', 'fullcontrol', 'repository-read', 'repository-write', 'repository-admin'].map((role) => [role, { role, on: 'acme' as const }])),
    everything: { role: 'everything', on: 'root' }, onlooker: { role: 'viewonly', on: 'root' }, pusher: { member: 'member', level: 'repository-write' },
    'limited-token': { member: 'admin', limits: ['repository:view', 'application:view', 'account:view'] },
  };

  beforeAll(async () => {
    harness = await makeHarness();
    const { app, db } = harness;
    access = app.get(Access);
    const [accounts, teams, grants] = [app.get(Accounts), app.get(Teams), app.get(Grants)];
    const query = (sql: string, values: unknown[]): Promise<unknown> => db.query(ctx, `${sql} returning 1`, values);
    const cluster = uuidv7();
    await query(
      `insert into clusters_clusters (id, name, endpoint, api_version, engine_version, swarm_id, node_count, state, checked_at, created_at, version) values ($1, 'c1', '{"kind":"socket","path":"/run/nosuch.sock"}', '1.41', '20.10', 's', 1, 'unreachable', now(), now(), 1)`,
      [cluster]);
    await access.place(ctx, { kind: 'cluster', id: cluster }, access.systemCollection());
    await accounts.createUser(ctx, { name: 'outsider', password });
    const expiresAt = new Date(Date.now() + 86_400_000);
    tokens.set('admin', await harness.signIn('admin', adminPassword));
    const make = async (path: string, body: unknown): Promise<string> => {
      const answer = await harness.send('POST', `/api/v1${path}`, { token: tokens.get('admin') ?? '', body });
      if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${answer.text}`);
      return (answer.body as { id: string }).id;
    };
    for (const org of ['acme', 'zeta'] as const) {
      await make('/organizations', { name: org });
      await make(`/organizations/${org}/teams`, { name: 'dev' });
      await make('/collections', { parent: `/Organizations/${org}`, name: 'sub' });
      await make('/repositories', { namespace: org, name: 'web' });
      await make('/signing-keys', { name: `${org}-key`, account: org, generate: true });
      const environment = await make('/environments', { name: `${org}-env`, account: org, cluster: 'c1' });
      const application = await make('/applications', { name: `${org}-app`, account: org, compose });
      const policy = await make('/signature-policies', { name: `${org}-policy`, environment: `${org}-env`, mode: 'audit', keys: [`${org}-key`] });
      const trigger = await make('/triggers', { application: `${org}-app`, environment: `${org}-env` });
      const token = await make('/tokens', { name: 'ci', kind: 'robot', owner: org, expiresAt: expiresAt.toISOString(), limits: { operations: ['repository:pull'] } });
      const [release, plan, deployment, sync] = [uuidv7(), uuidv7(), uuidv7(), uuidv7()];
      const by = '{"kind":"user","id":null,"name":"x"}';
      await query(
        `insert into delivery_releases (id, application_id, fingerprint, images, revision_id) values ($1, $2, 'f', '{}', (select id from delivery_revisions where application_id = $2))`, [release, application]);
      await query(
        `insert into delivery_plans (id, application_id, environment_id, release_id, allowed, changes, created_by, expires_at, inputs, notices, stack, verdicts)
         values ($1, $2, $3, $4, true, '[]', $5, now(), '{}', '[]', '{}', '[]')`, [plan, application, environment, release, by]);
      await query(
        `insert into delivery_deployments (id, application_id, environment_id, cluster_id, actor, images, origin, planned, request_id, state, finished_at)
         values ($1, $2, $3, $4, $5, '{}', 'request', false, 'r', 'failed', now())`, [deployment, application, environment, cluster, by]);
      await query(`insert into access_sync_runs (id, state, reason, dry_run, requested_by, created_at, updated_at) values ($1, 'succeeded', 'request', false, 'x', now(), now())`, [sync]);
      const selection = '{"kind":"search","searchBase":"dc=x","scope":"sub","filter":"(uid=*)"}';
      await query(
        `insert into access_directory_targets (id, team_id, organization_id, selection, updated_at) select gen_random_uuid(), t.id, null::uuid, $2::jsonb, now() from access_teams t join access_accounts o on o.id = t.organization_id where o.name = $1
         union all select gen_random_uuid(), null, o.id, $2::jsonb, now() from access_accounts o where o.name = $1`, [org, selection]);
      ids[org] = { release, plan, deployment, trigger, policy, token, sync };
    }
    ids.none = Object.fromEntries(Object.keys(ids.acme).map((name) => [name, uuidv7()])) as Ids;
    catalogue = new Map(((await harness.send('GET', '/api/v1/operations')).body as { items: Entry[] }).items.map((entry) => [entry.operation, entry]));
    await app.get(Roles).create(ctx, { name: 'everything', operations: [...catalogue.values()].filter(({ grade }) => grade !== 'admin').map(({ operation }) => operation) });
    for (const [label, actor] of Object.entries(actors)) {
      const name = `as-${label}`;
      await accounts.createUser(ctx, { name, password, ...(actor.admin ? { admin: true } : {}) });
      if (actor.member) await accounts.addMember(ctx, 'acme', name, actor.member);
      if (actor.teamAdmin) await teams.putMember(ctx, (await teams.get(ctx, 'acme', 'dev')).id, name, true);
      if (actor.role !== undefined) await grants.create(ctx, { subject: name, role: actor.role, collection: actor.on === 'root' ? '/' : '/Organizations/acme' });
      if (actor.level) {
        const team = await teams.create(ctx, 'acme', { name: 'pushers' });
        await teams.putMember(ctx, team.id, name, false);
        const repository = await app.get(Repositories).get(ctx, 'acme/web');
        await grants.putLevel(ctx, { repositoryId: repository.id, name: 'acme/web' }, repository.accountId, 'pushers', 'read-write');
      }
      const session = await harness.signIn(name, password);
      if (!actor.limits) tokens.set(label, session);
      else {
        const made = await harness.send('POST', '/api/v1/tokens', { token: session, body: { name: 'narrow', expiresAt: expiresAt.toISOString(), limits: { operations: actor.limits } } });
        tokens.set(label, (made.body as { token: string }).token);
      }
    }
    // What is let through is stopped here, after the guard has decided, and before anything is changed.
    const decide = access.assertCan.bind(access);
    access.assertCan = (...question) => {
      decide(...question);
      if (dry) throw requestProblem('precondition-failed', { detail: 'let through' });
    };
  }, 300_000);
  afterAll(async () => harness.close());

  /** The rule, from the published catalogue and the manual alone: may this actor do that there? */
  const may = (name: string, operation: string, lies: Lies, at: Place, kind: string): boolean => {
    const actor = actors[name]!;
    const entry = catalogue.get(operation);
    if (!entry || (at === 'none')) return false;
    if (actor.limits && !actor.limits.includes(operation)) return false;
    if (actor.admin) return true;
    if (entry.grade === 'admin') return false;
    const byRole = actor.role === 'everything' || entry.roles.includes(actor.role ?? 'no role');
    if (actor.on === 'root' && byRole) return true;
    if (lies !== 'organization' || at !== 'acme') return false;
    if (actor.on === 'acme' && byRole) return true;
    if (actor.member === 'admin' && ['view', 'control', 'full', 'own'].includes(entry.grade)) return true;
    if (actor.member !== undefined && (entry.grade === 'view' || operation === 'account:view' || operation === 'team:view')) return true;
    if (actor.teamAdmin && kind === 'team' && ['team:update', 'team:manage-members'].includes(operation)) return true;
    return actor.level !== undefined && kind === 'repository' && entry.roles.includes(actor.level);
  };
  /** Whether the actor may know of the object: it may look at it, or at what the operation is about. A token’s limits hide nothing that its owner sees. */
  const sees = (name: string, operation: string, lies: Lies, at: Place, kind: string): boolean => {
    const { limits: _limits, ...whole } = actors[name]!;
    actors[`${name} itself`] = whole;
    return [operation, `${operation.split(':')[0]}:view`, `${kind}:view`].some((view) => may(`${name} itself`, view, lies, at, kind));
  };
  const liesAt = (route: DeclaredRoute): Lies => (route.options.scope === 'system' ? 'system' : route.path.startsWith('/api/v1/clusters/') ? 'cluster' : 'organization');
  const kindOf = (route: DeclaredRoute): string => {
    const { scope } = route.options;
    if (scope === 'system') return systemResource.kind;
    if (typeof scope === 'object') return scope.kind;
    if (/\/teams\/:team/.test(route.path) && route.path.includes('/organizations/')) return 'team';
    if (route.path.endsWith('/explain')) return 'account';
    if (route.path.endsWith('/signature-policies')) return 'environment';
    return route.path.endsWith('/plans') || route.path.endsWith('/deployments') ? 'application' : 'repository';
  };
  const ask = async (route: DeclaredRoute, name: string, at: Place): Promise<Sent> => {
    const { path, body } = fill(route, at, ids);
    const answer = await harness.send(route.options.method, path, { token: tokens.get(name) ?? '', body, ...(route.options.ifMatch ? { headers: { 'if-match': '"999999"' } } : {}) });
    return { status: answer.status, body: answer.body };
  };
  const plain = ({ status, body }: Sent): unknown => ({ status, ...(body as object), instance: '', requestId: '' });

  it('the rule and the routes agree: let through, forbidden or hidden, and what is hidden is as if it were not', async () => {
    const wrong: unknown[] = [];
    const seen = { through: 0, forbidden: 0, hidden: 0 };
    dry = true;
    try {
      for (const route of routes) {
        if (['each', 'own'].includes(route.options.scope as string)) continue;
        // A person’s own account lies in its own collection: looked at below.
        if (route.path === '/api/v1/users/:user') continue;
        const { body } = fill(route, 'acme', ids);
        expect([route.options.method, route.path, route.options.body?.safeParse(body).error?.issues ?? null]).toEqual([route.options.method, route.path, null]);
        const [operation, lies, kind] = [route.options.operation as string, liesAt(route), kindOf(route)];
        for (const name of Object.keys(actors).filter((actor) => !actor.endsWith(' itself'))) {
          const nothing = lies === 'system' ? null : await ask(route, name, 'none');
          for (const at of lies === 'system' || lies === 'cluster' ? (['acme'] as const) : (['acme', 'zeta'] as const)) {
            const got = await ask(route, name, at);
            const wanted = may(name, operation, lies, at, kind) ? 412 : lies === 'system' || sees(name, operation, lies, at, kind) ? 403 : 404;
            if (got.status !== wanted) wrong.push([name, route.options.method, route.path, at, { wanted, got: got.status, said: JSON.stringify(got.body).slice(0, 160) }]);
            if (wanted === 404 && nothing && JSON.stringify(plain(got)) !== JSON.stringify(plain(nothing))) wrong.push([name, route.options.method, route.path, at, 'differs from nothing', plain(got), plain(nothing)]);
            seen[wanted === 412 ? 'through' : wanted === 403 ? 'forbidden' : 'hidden'] += 1;
          }
        }
      }
    } finally {
      dry = false;
    }
    expect(wrong).toEqual([]);
    expect(Math.min(seen.through, seen.forbidden, seen.hidden)).toBeGreaterThan(100);
  });

  it('reading answers 200 with the object where the rule allows it', async () => {
    // These need an engine, content that only a push makes, or a minute of the sealer.
    const elsewhere = /\/clusters\/:cluster\/|\/manifests\/|\/verdict$|\/events$|\/grants\/:grant$|\/audit\/checkpoint$/;
    let read = 0;
    for (const route of routes.filter(({ path, options }) => options.method === 'GET' && !['each', 'own'].includes(options.scope as string) && !elsewhere.test(path) && path !== '/api/v1/users/:user')) {
      for (const name of ['administrator', 'organization-admin', 'viewonly', 'everything']) {
        if (!may(name, route.options.operation as string, liesAt(route), 'acme', kindOf(route))) continue;
        const got = await ask(route, name, 'acme');
        expect([name, route.path, got.status, got.status === 200 ? '' : got.body]).toEqual([name, route.path, 200, '']);
        read += 1;
      }
    }
    expect(read).toBeGreaterThan(50);
  });

  it('lists hold what the rule lets one see, and nothing else', async () => {
    const lists: Record<string, { view: string; kind: string; lies: Lies; named: (item: Record<string, unknown>) => Place | null }> = {
      organizations: { view: 'account:view', kind: 'account', lies: 'organization', named: (item) => item['name'] as Place },
      repositories: { view: 'repository:view', kind: 'repository', lies: 'organization', named: (item) => item['namespace'] as Place },
      'signing-keys': { view: 'signing-key:view', kind: 'signing-key', lies: 'organization', named: (item) => String(item['name']).slice(0, 4) as Place },
      'signature-policies': { view: 'signature-policy:view', kind: 'signature-policy', lies: 'organization', named: (item) => String(item['name']).slice(0, 4) as Place },
      environments: { view: 'environment:view', kind: 'environment', lies: 'organization', named: (item) => String(item['name']).slice(0, 4) as Place },
      applications: { view: 'application:view', kind: 'application', lies: 'organization', named: (item) => String(item['name']).slice(0, 4) as Place },
      collections: { view: 'collection:view', kind: 'collection', lies: 'organization', named: (item) => (/^\/Organizations\/(\w+)\/sub$/.exec(String(item['path']))?.[1] as Place | undefined) ?? null },
      releases: { view: 'release:view', kind: 'application', lies: 'organization', named: (item) => (['acme', 'zeta'] as const).find((at) => ids[at].release === item['id']) ?? null },
      deployments: { view: 'deployment:view', kind: 'application', lies: 'organization', named: (item) => (['acme', 'zeta'] as const).find((at) => ids[at].deployment === item['id']) ?? null },
      triggers: { view: 'trigger:view', kind: 'application', lies: 'organization', named: (item) => (['acme', 'zeta'] as const).find((at) => ids[at].trigger === item['id']) ?? null },
      clusters: { view: 'cluster:view', kind: 'cluster', lies: 'cluster', named: () => 'acme' },
    };
    // The rest of what is filtered one by one: what everybody may read, and what is about persons.
    const others = ['roles', 'roles/:role', 'roles/:role/versions', 'registries', 'users'];
    expect(routes.filter(({ options }) => options.scope === 'each').map(({ path }) => path.slice('/api/v1/'.length)).sort()).toEqual([...Object.keys(lists), ...others].sort());
    for (const name of Object.keys(actors).filter((actor) => !actor.endsWith(' itself'))) {
      for (const [noun, { view, kind, lies, named }] of Object.entries(lists)) {
        const answer = await harness.send('GET', `/api/v1/${noun}?limit=200`, { token: tokens.get(name) ?? '' });
        const found = answer.status === 200 ? [...new Set((answer.body as { items: Record<string, unknown>[] }).items.map(named).filter((at) => at !== null))].sort() : answer.status;
        const limits = actors[name]?.limits;
        const wanted = limits && !limits.includes(view) ? 403 : (['acme', 'zeta'] as const).filter((at) => (lies === 'cluster' ? at === 'acme' : true) && may(name, view, lies, at, kind));
        expect([name, noun, found]).toEqual([name, noun, wanted]);
      }
    }
  });

  it('a person is seen by itself, and by those whom a role on its collection or above lets look', async () => {
    for (const name of Object.keys(actors).filter((actor) => !actor.endsWith(' itself'))) {
      const of = async (user: string): Promise<number> => (await harness.send('GET', `/api/v1/users/${user}`, { token: tokens.get(name) ?? '' })).status;
      const all = name === 'administrator' || name === 'everything';
      expect([name, await of(`as-${name}`), await of('outsider'), await of('nosuch')]).toEqual([name, 200, all ? 200 : 404, 404]);
    }
  });
});
