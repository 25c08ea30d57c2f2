import fc from 'fast-check';
import { auditEntities } from '@gantry/audit';
import { makeContext, uuidv7, type Context } from '@gantry/platform';
import { eventually, openTestDatabase, testContext, type TestDatabase } from '@gantry/platform/testing';
import { accessEntities, inScope, operations, type Operation, type ResourceRef } from '@gantry/access';
import { makeAccess, makeUser, type AccessStack } from '../testing';

const entities = [...auditEntities, ...accessEntities];
const root = { kind: 'collection', id: '00000000-0000-7000-8000-000000000001' };

describe('rights', () => {
  const ctx = testContext();
  let database: TestDatabase;
  let stack: AccessStack;

  beforeEach(async () => {
    database = await openTestDatabase(entities);
    stack = await makeAccess(database.db);
  });
  afterEach(async () => {
    await stack.close();
    await database.close();
  });

  const lastAudit = async (action: string): Promise<Record<string, unknown> | undefined> => (await stack.audit.list(ctx, { limit: 1, action })).items[0]?.detail;
  const place = async (kind: string, collection: string): Promise<ResourceRef> => {
    const ref = { kind, id: uuidv7() };
    await stack.access.place(ctx, ref, collection);
    return ref;
  };
  const may = (as: Context, operation: Operation, ref: ResourceRef): boolean => stack.access.can(as, operation, ref).allowed;

  describe('teams', () => {
    it('belong to one organization, and whoever is in one is in the organization', async () => {
      const [ann, bob] = [await makeUser(stack, 'ann'), await makeUser(stack, 'bob')];
      const acme = await stack.accounts.createOrganization(ctx, { name: 'acme' });
      await stack.accounts.createOrganization(ctx, { name: 'other' });
      const dev = await stack.teams.create(ctx, 'acme', { name: 'dev' });
      await stack.teams.create(ctx, 'other', { name: 'dev' });
      await expect(stack.teams.create(ctx, 'acme', { name: 'dev' })).rejects.toMatchObject({ code: 'access.team-name-taken' });
      await expect(stack.teams.create(ctx, 'acme', { name: 'Dev Team' })).rejects.toMatchObject({ code: 'request.invalid', errors: [{ pointer: '/name' }] });
      await stack.teams.putMember(ctx, dev.id, 'ann', true);
      expect(await stack.teams.putMember(ctx, dev.id, 'bob', false)).toEqual({ user: { id: bob.account.id, name: 'bob' }, admin: false, origins: ['manual'] });
      expect((await stack.accounts.organizationsOf(ctx, bob.account.id)).map(({ name }) => name)).toEqual(['acme']);
      expect(await stack.teams.teamsOf(ctx, ann.account.id)).toEqual([{ id: dev.id, name: 'dev', organization: 'acme', admin: true }]);
      const ref = { kind: 'team', id: dev.id, parent: { kind: 'account', id: acme.id } };
      expect([may(ann.ctx, 'team:manage-members', ref), may(bob.ctx, 'team:manage-members', ref), may(bob.ctx, 'team:view', ref), may(ann.ctx, 'team:delete', ref)]).toEqual([true, false, true, false]);
      await stack.accounts.removeMember(ctx, 'acme', 'ann');
      expect(await stack.teams.teamsOf(ctx, ann.account.id)).toEqual([]);
      expect(stack.access.can(ann.ctx, 'team:manage-members', ref)).toMatchObject({ allowed: false, visible: false });
      await stack.teams.removeMember(ctx, dev.id, 'bob');
      await expect(stack.teams.removeMember(ctx, dev.id, 'bob')).rejects.toMatchObject({ code: 'request.not-found' });
    });

    it('take what the directory says and keep what was done by hand', async () => {
      const users = await Promise.all(['u1', 'u2', 'u3'].map((name) => makeUser(stack, name)));
      const [u1, u2, u3] = users.map(({ account }) => account.id) as [string, string, string];
      await stack.accounts.createOrganization(ctx, { name: 'acme' });
      const team = await stack.teams.create(ctx, 'acme', { name: 'dev' });
      await stack.teams.putMember(ctx, team.id, 'u1', false);
      expect(await stack.teams.syncMembers(ctx, team.id, [u1, u2, uuidv7()])).toEqual({ added: expect.arrayContaining([u1, u2]), removed: [] });
      expect(await stack.teams.syncMembers(ctx, team.id, [u1, u2])).toEqual({ added: [], removed: [] });
      await expect(stack.teams.removeMember(ctx, team.id, 'u2')).rejects.toMatchObject({ code: 'access.member-of-directory' });
      expect(await stack.teams.syncMembers(ctx, team.id, [u3])).toEqual({ added: [u3], removed: expect.arrayContaining([u1, u2]) });
      const { items } = await stack.teams.listMembers(ctx, team.id, { limit: 10 });
      expect(items.map(({ user, origins }) => [user.name, origins])).toEqual([['u1', ['manual']], ['u3', ['directory']]]);
      const ref = { kind: 'team', id: team.id };
      expect(users.map((user) => may(user.ctx, 'team:view', ref))).toEqual([true, false, true]);
    });
  });

  describe('roles', () => {
    it('are made, cloned, edited by one at a time, and not deleted while granted', async () => {
      const role = await stack.roles.create(ctx, { name: 'deployer', operations: ['service:update', 'service:view', 'service:view'] });
      expect(role).toMatchObject({ builtIn: false, operations: ['service:view', 'service:update'], version: 1 });
      await expect(stack.roles.create(ctx, { name: 'deployer', operations: [] })).rejects.toMatchObject({ code: 'access.role-name-taken' });
      await expect(stack.roles.create(ctx, { name: 'x', operations: ['service:view', 'grant:create', 'no:such'] })).rejects.toMatchObject({
        code: 'access.role-operation', errors: [{ pointer: '/operations/1', detail: expect.stringContaining('administrators') }, { pointer: '/operations/2', detail: expect.stringContaining('catalogue') }],
      });
      const clone = await stack.roles.clone(ctx, 'viewonly', { name: 'looker' });
      expect(clone.operations).toContain('container:logs');
      await expect(stack.roles.update(ctx, 'viewonly', 1, { name: 'mine' })).rejects.toMatchObject({ code: 'access.role-built-in' });

      const ann = await makeUser(stack, 'ann');
      const prod = await stack.collections.create(ctx, { parent: '/', name: 'prod' });
      const service = await place('service', prod.id);
      const { grant } = await stack.grants.create(ctx, { subject: 'ann', role: 'deployer', collection: '/prod' });
      expect([may(ann.ctx, 'service:update', service), may(ann.ctx, 'service:logs', service)]).toEqual([true, false]);
      // Two edit at once: one gets through, the other is told.
      const both = await Promise.allSettled([
        stack.roles.update(ctx, 'deployer', 1, { operations: ['service:view', 'service:logs'] }), stack.roles.update(ctx, 'deployer', 1, { operations: ['service:view', 'service:logs'] }),
      ]);
      expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'request.precondition-failed' } });
      expect([may(ann.ctx, 'service:update', service), may(ann.ctx, 'service:logs', service)]).toEqual([false, true]);
      expect(await lastAudit('role.update')).toEqual({ version: 2, added: ['service:logs'], removed: ['service:update'] });
      expect((await stack.roles.versions(ctx, 'deployer')).map(({ version, operations: list }) => [version, list])).toEqual([[2, ['service:view', 'service:logs']], [1, ['service:view', 'service:update']]]);

      await expect(stack.roles.delete(ctx, 'deployer', 2)).rejects.toMatchObject({ code: 'access.role-granted', detail: expect.stringContaining('1 grant') });
      await stack.grants.delete(ctx, grant.id);
      expect(may(ann.ctx, 'service:view', service)).toBe(false);
      await stack.roles.delete(ctx, 'deployer', 2);
      await expect(stack.roles.get(ctx, 'deployer')).rejects.toMatchObject({ code: 'request.not-found' });
    });

    it('mean what they meant in Docker Datacenter', async () => {
      const of = async (name: string): Promise<Operation[]> => (await stack.roles.get(ctx, name)).operations;
      expect(await of('none')).toEqual([]);
      expect((await of('scheduler')).sort()).toEqual(['node:schedule', 'node:view']);
      const docker = (list: Operation[]): Operation[] => list.filter((operation) => /^(?:config|container|image|network|node|secret|service|volume):/.test(operation));
      // The View Only role of the Universal Control Plane, with what the engine has had to look at since.
      expect(docker(await of('viewonly'))).toEqual(expect.arrayContaining([
        'config:view', 'container:logs', 'container:stats', 'container:top', 'container:view', 'image:history', 'image:view', 'network:view', 'node:view', 'secret:view',
        'service:logs', 'service:view', 'service:view-tasks', 'volume:view',
      ]));
      expect(docker(await of('viewonly')).filter((operation) => /:(?:create|update|remove|exec|attach|start|stop|kill|use|push|build|prune|export|filesystem)/.test(operation))).toEqual([]);
      const restricted = await of('restrictedcontrol');
      for (const missing of ['container:exec', 'container:create:privileged', 'container:create:bind', 'container:create:capabilities', 'service:create:bind', 'node:update'] as const) {
        expect([missing, restricted.includes(missing)]).toEqual([missing, false]);
        expect([missing, (await of('fullcontrol')).includes(missing)]).toEqual([missing, true]);
      }
      for (const there of ['container:create', 'service:create', 'service:update', 'volume:create', 'network:create', 'secret:use', 'node:schedule', 'node:view'] as const) expect(restricted).toContain(there);
      expect(operations.filter((operation) => /^(?:grant|role|account|access):/.test(operation)).filter((operation) => restricted.includes(operation))).toEqual([]);
    });
  });

  describe('collections', () => {
    it('form a tree that people make, rename and clear away', async () => {
      const ann = await makeUser(stack, 'ann');
      const prod = await stack.collections.create(ctx, { parent: '/', name: 'prod' });
      const payments = await stack.collections.create(ctx, { parent: '/prod', name: 'payments' });
      expect(payments).toMatchObject({ path: '/prod/payments', parentId: prod.id, builtIn: false, version: 1 });
      await expect(stack.collections.create(ctx, { parent: '/prod', name: 'payments' })).rejects.toMatchObject({ code: 'access.collection-taken' });
      await expect(stack.collections.create(ctx, { parent: '/nowhere', name: 'x' })).rejects.toMatchObject({ code: 'request.invalid', errors: [{ pointer: '/parent' }] });
      await expect(stack.collections.create(ctx, { parent: '/prod', name: 'a/b' })).rejects.toMatchObject({ code: 'request.invalid', errors: [{ pointer: '/name' }] });
      await expect(stack.collections.create(ctx, { parent: '/Shared/Private', name: 'x' })).rejects.toMatchObject({ code: 'request.invalid' });
      await expect(stack.collections.create(ann.ctx, { parent: '/prod', name: 'x' })).rejects.toMatchObject({ code: 'request.invalid', errors: [{ detail: 'no such collection' }] });
      expect((await stack.collections.create(ann.ctx, { parent: '/Shared/Private/ann', name: 'mine' })).path).toBe('/Shared/Private/ann/mine');
      for (const fixed of ['/', '/System', '/Shared', '/Shared/Private', '/Shared/Private/ann']) {
        await expect(stack.collections.delete(ctx, fixed, 1)).rejects.toMatchObject({ code: 'access.collection-built-in' });
      }
      const service = await place('service', payments.id);
      await stack.grants.create(ctx, { subject: 'ann', role: 'viewonly', collection: '/prod' });
      expect(await stack.collections.rename(ctx, '/prod', 1, 'production')).toMatchObject({ path: '/production', version: 2 });
      expect((await stack.collections.get(ctx, payments.id)).path).toBe('/production/payments');
      expect(stack.access.listCollections(ann.ctx).map(({ path }) => path)).toEqual(['/Shared/Private/ann', '/Shared/Private/ann/mine', '/production', '/production/payments']);
      expect(may(ann.ctx, 'service:view', service)).toBe(true);
      await expect(stack.collections.delete(ctx, '/production', 2)).rejects.toMatchObject({ code: 'access.collection-not-empty', extra: { content: { collection: 1 } } });
      await expect(stack.collections.delete(ctx, '/production/payments', 1)).rejects.toMatchObject({ code: 'access.collection-not-empty', detail: expect.stringContaining('1 service') });
      await stack.access.unplace(ctx, service);
      await stack.collections.delete(ctx, '/production/payments', 1);
      await stack.collections.delete(ctx, '/production', 2);
      expect((await stack.grants.list(ctx, { limit: 10, subject: 'ann' })).items).toEqual([]);
      let deep = '/';
      const refused = async (): Promise<unknown> => {
        for (let level = 0; level < 40; level += 1) deep = (await stack.collections.create(ctx, { parent: deep, name: `l${level}` })).path;
        return deep;
      };
      await expect(refused()).rejects.toMatchObject({ code: 'access.collection-depth' });
    });

    it('give a resource away only to whom both ends allow', async () => {
      const [ann, bob] = [await makeUser(stack, 'ann'), await makeUser(stack, 'bob')];
      const prod = await stack.collections.create(ctx, { parent: '/', name: 'prod' });
      const repository = { ...(await place('repository', ann.account.id)), parent: { kind: 'account', id: ann.account.id } };
      const move = (as: Context, to: string): Promise<unknown> => stack.collections.move(as, repository, 'ann/web', to);
      await expect(move(ann.ctx, '/prod')).rejects.toMatchObject({ code: 'request.invalid', errors: [{ pointer: '/collection', detail: 'no such collection' }] });
      const role = await stack.roles.create(ctx, { name: 'placer', operations: ['collection:view', 'collection:place'] });
      await stack.grants.create(ctx, { subject: 'bob', role: role.name, collection: '/prod' });
      await expect(move(bob.ctx, '/prod')).rejects.toMatchObject({ code: 'request.not-found' });
      await stack.grants.create(ctx, { subject: 'ann', role: role.name, collection: '/prod' });
      await move(ann.ctx, '/prod');
      expect(stack.access.findPlacement(repository)?.id).toBe(prod.id);
      expect(await lastAudit('resource.move')).toEqual({ from: '/Shared/Private/ann', to: '/prod' });
      expect([may(ann.ctx, 'repository:push', repository), may(ctx, 'repository:push', repository)]).toEqual([false, true]);
      await expect(move(bob.ctx, '/Shared/Private/bob')).rejects.toMatchObject({ code: 'access.foreign-collection' });
      await move(ann.ctx, '/Shared/Private/ann');
      expect(may(ann.ctx, 'repository:push', repository)).toBe(true);
    });
  });

  describe('grants', () => {
    it('are in force for the writer’s next question at once, and in every process within a second', async () => {
      const other = await makeAccess(database.db);
      try {
        const ann = await makeUser(stack, 'ann');
        const prod = await stack.collections.create(ctx, { parent: '/', name: 'prod' });
        const service = await place('service', prod.id);
        await stack.accounts.createOrganization(ctx, { name: 'acme' });
        const team = await stack.teams.create(ctx, 'acme', { name: 'ops' });
        await stack.teams.putMember(ctx, team.id, 'ann', false);
        const { grant, made } = await stack.grants.create(ctx, { subject: 'acme/ops', role: 'restrictedcontrol', collection: prod.id });
        expect([made, may(ann.ctx, 'service:update', service)]).toEqual([true, true]);
        expect(await stack.grants.create(ctx, { subject: team.id, role: 'restrictedcontrol', collection: '/prod' })).toEqual({ grant, made: false });
        await eventually('the other process knows the grant', () => other.access.can(ann.ctx, 'service:update', service).allowed);
        await stack.grants.delete(ctx, grant.id);
        expect(may(ann.ctx, 'service:update', service)).toBe(false);
        await eventually('the other process knows that it is gone', () => !other.access.can(ann.ctx, 'service:update', service).allowed);
        await expect(stack.grants.create(ctx, { subject: 'nobody', role: 'nothing', collection: '/nowhere' })).rejects.toMatchObject({
          errors: [{ pointer: '/subject' }, { pointer: '/role' }, { pointer: '/collection' }],
        });
        await stack.grants.create(ctx, { subject: 'acme/ops', role: 'fullcontrol', collection: '/' });
        expect(may(ann.ctx, 'service:remove', service)).toBe(true);
        await stack.teams.delete(ctx, team.id);
        expect(may(ann.ctx, 'service:remove', service)).toBe(false);
        expect((await stack.grants.list(ctx, { limit: 10 })).items).toEqual([]);
      } finally {
        await other.close();
      }
    });

    it('give teams the registry’s levels on a repository and on a namespace', async () => {
      const ann = await makeUser(stack, 'ann');
      const acme = await stack.accounts.createOrganization(ctx, { name: 'acme' });
      await stack.accounts.createOrganization(ctx, { name: 'other' });
      await stack.teams.create(ctx, 'other', { name: 'theirs' });
      const team = await stack.teams.create(ctx, 'acme', { name: 'dev' });
      await stack.teams.putMember(ctx, team.id, 'ann', false);
      const [web, db] = [{ ...(await place('repository', acme.id)), parent: { kind: 'account', id: acme.id } }, { ...(await place('repository', acme.id)), parent: { kind: 'account', id: acme.id } }];
      const target = { repositoryId: web.id, name: 'acme/web' };
      const rights = (): boolean[] => [web, db].flatMap((ref) => (['repository:pull', 'repository:push', 'repository:delete'] as const).map((operation) => may(ann.ctx, operation, ref)));
      expect(rights()).toEqual([true, false, false, true, false, false]);
      await stack.grants.putLevel(ctx, target, acme.id, 'dev', 'read-write');
      expect(rights()).toEqual([true, true, false, true, false, false]);
      expect(await stack.grants.putLevel(ctx, target, acme.id, 'dev', 'admin')).toEqual({ team: { id: team.id, name: 'acme/dev' }, level: 'admin' });
      expect(await stack.grants.listLevels(ctx, target)).toEqual([{ team: { id: team.id, name: 'acme/dev' }, level: 'admin' }]);
      expect(rights()).toEqual([true, true, true, true, false, false]);
      await expect(stack.grants.putLevel(ctx, target, acme.id, 'theirs', 'admin')).rejects.toMatchObject({ code: 'request.not-found' });
      await stack.grants.deleteLevel(ctx, target, acme.id, 'dev');
      await stack.grants.putLevel(ctx, { organizationId: acme.id, name: 'acme' }, acme.id, 'dev', 'read-write');
      expect(rights()).toEqual([true, true, false, true, true, false]);
      await stack.grants.putLevel(ctx, target, acme.id, 'dev', 'admin');
      await database.db.transaction(ctx, (tx) => stack.grants.forgetRepository(tx, web.id));
      expect(rights()).toEqual([true, true, false, true, true, false]);
    });

    it('give new users the default role on /Shared, and nothing at first', async () => {
      const shared = await place('service', stack.access.findCollection(ctx, '/Shared')!.id);
      expect(await stack.grants.defaultRole(ctx)).toEqual({ role: 'none', version: 1 });
      const early = await makeUser(stack, 'early');
      await expect(stack.grants.setDefaultRole(ctx, 1, 'nosuch')).rejects.toMatchObject({ errors: [{ pointer: '/role' }] });
      await stack.grants.setDefaultRole(ctx, 1, 'viewonly');
      await expect(stack.grants.setDefaultRole(ctx, 1, 'fullcontrol')).rejects.toMatchObject({ code: 'request.precondition-failed' });
      const late = await makeUser(stack, 'late');
      expect([may(early.ctx, 'service:view', shared), may(late.ctx, 'service:view', shared), may(late.ctx, 'service:update', shared)]).toEqual([false, true, false]);
    });
  });

  it('the snapshot that followed random changes is the one that is loaded anew, and lists agree with decisions', async () => {
    const users = await Promise.all(['u1', 'u2', 'u3'].map((name) => makeUser(stack, name)));
    const orgs = await Promise.all(['o1', 'o2'].map((name) => stack.accounts.createOrganization(ctx, { name })));
    const teams = await Promise.all([0, 1, 0].map((org, at) => stack.teams.create(ctx, orgs[org]!.id, { name: `t${at}` })));
    const places = [...users.map(({ account }) => account.id), ...orgs.map(({ id }) => id)];
    for (const [parent, name] of [['/', 'a'], ['/a', 'b'], ['/Organizations/o1', 'c']] as const) places.push((await stack.collections.create(ctx, { parent, name })).id);
    const role = await stack.roles.create(ctx, { name: 'r', operations: ['repository:push'] });
    await database.db.query(ctx, 'create table things (id uuid primary key, account_id uuid not null)');
    const things: ResourceRef[] = [];
    for (let at = 0; at < 12; at += 1) {
      const account = [...users.map((user) => user.account.id), ...orgs.map(({ id }) => id)][at % 5]!;
      const ref = { kind: 'repository', id: uuidv7(), parent: { kind: 'account', id: account } };
      await database.db.query(ctx, 'insert into things values ($1, $2) returning 1', [ref.id, account]);
      await stack.access.place(ctx, ref, account);
      things.push(ref);
    }
    const subjects = ['u1', 'u2', 'o1', 'o2', 'o1/t0', 'o2/t1'];
    const step = fc.record({ what: fc.constantFrom('grant', 'revoke', 'move', 'member', 'leave', 'role', 'level'), n: fc.nat(1_000), m: fc.nat(1_000) });
    const seed = Date.now();
    const [changes] = fc.sample(fc.array(step, { minLength: 60, maxLength: 60 }), { seed, numRuns: 1 });
    const given: string[] = [];
    let version = 1;
    for (const { what, n, m } of changes ?? []) {
      if (what === 'grant') given.push((await stack.grants.create(ctx, { subject: subjects[n % 6]!, role: ['viewonly', 'fullcontrol', 'r'][m % 3]!, collection: [...places, root.id][n % (places.length + 1)]! })).grant.id);
      if (what === 'revoke' && given.length > 0) await stack.grants.delete(ctx, given.splice(n % given.length, 1)[0]!).catch(() => undefined);
      if (what === 'move') await stack.access.place(ctx, things[n % 12]!, places[5 + (m % 3)]!);
      if (what === 'member') await stack.teams.putMember(ctx, teams[n % 3]!.id, ['u1', 'u2', 'u3'][m % 3]!, n % 2 === 0);
      if (what === 'leave') await stack.teams.syncMembers(ctx, teams[n % 3]!.id, m % 2 === 0 ? [] : [users[m % 3]!.account.id]);
      if (what === 'role') version = (await stack.roles.update(ctx, role.id, version, { operations: m % 2 === 0 ? ['repository:push'] : ['repository:view', 'repository:delete'] })).version;
      if (what === 'level') await stack.grants.putLevel(ctx, { repositoryId: things[n % 12]!.id, name: 'x' }, orgs[0]!.id, 't0', m % 2 === 0 ? 'read-only' : 'read-write');
    }
    const fresh = await makeAccess(database.db);
    try {
      let allowed = 0;
      for (const user of users) {
        for (const operation of ['repository:view', 'repository:push', 'repository:delete'] as const) {
          const here = things.filter((ref) => stack.access.can(user.ctx, operation, ref).allowed).map(({ id }) => id);
          const anew = things.filter((ref) => fresh.access.can(user.ctx, operation, ref).allowed).map(({ id }) => id);
          expect([seed, anew]).toEqual([seed, here]);
          const scope = stack.access.listScope(user.ctx, operation, 'repository');
          const sql = scope ? inScope('t.account_id', 't.id').replace(':owners', '$1').replace(':moved', '$2').replace(':ids', '$3') : 'true';
          const listed = await database.db.query<{ id: string }>(ctx, `select id from things t where ${sql}`, scope ? [scope.owners, scope.moved, scope.ids] : []);
          expect([seed, listed.map(({ id }) => id).sort()]).toEqual([seed, here.sort()]);
          allowed += here.length;
        }
      }
      expect(allowed).toBeGreaterThan(0);
    } finally {
      await fresh.close();
    }
  });

  describe('questions about rights', () => {
    it('tell who can and why, as the decision does', async () => {
      const [ann, bob, pat] = [await makeUser(stack, 'ann'), await makeUser(stack, 'bob'), await makeUser(stack, 'pat')];
      const chief = await makeUser(stack, 'chief', { admin: true });
      await stack.accounts.createOrganization(ctx, { name: 'acme' });
      const team = await stack.teams.create(ctx, 'acme', { name: 'ops' });
      await stack.teams.putMember(ctx, team.id, 'bob', false);
      const prod = await stack.collections.create(ctx, { parent: '/', name: 'prod' });
      const service = await place('service', prod.id);
      const { grant } = await stack.grants.create(ctx, { subject: 'acme/ops', role: 'restrictedcontrol', collection: '/' });
      await stack.grants.create(ctx, { subject: 'pat', role: 'viewonly', collection: '/prod' });
      const found = stack.review.whoCan('service:update', service, 10);
      expect(found).toMatchObject({
        more: false,
        holders: [
          { account: { name: 'bob' }, grounds: [{ type: 'grant', grantId: grant.id, subject: { kind: 'team', name: 'acme/ops' }, role: { name: 'restrictedcontrol' }, collection: { path: '/' } }] },
          { account: { name: 'chief' }, grounds: [{ type: 'administrator' }] },
        ],
      });
      expect([ann, bob, pat, chief].map((user) => may(user.ctx, 'service:update', service))).toEqual([false, true, false, true]);
      expect(stack.review.whoCan('service:view', service, 1)).toMatchObject({ holders: [{ account: { name: 'bob' } }], more: true });
    });

    it('foretell what an edit changes, and change nothing by asking', async () => {
      const [ann, bob] = [await makeUser(stack, 'ann'), await makeUser(stack, 'bob')];
      await stack.accounts.createOrganization(ctx, { name: 'acme' });
      const team = await stack.teams.create(ctx, 'acme', { name: 'ops' });
      await stack.teams.putMember(ctx, team.id, 'bob', false);
      const prod = await stack.collections.create(ctx, { parent: '/', name: 'prod' });
      const service = await place('service', prod.id);
      const role = await stack.roles.create(ctx, { name: 'r', operations: ['service:view', 'service:update'] });
      const { grant } = await stack.grants.create(ctx, { subject: 'acme/ops', role: 'r', collection: '/prod' });
      await stack.grants.create(ctx, { subject: 'bob', role: 'viewonly', collection: '/prod' });
      const ask = stack.review.whatIf.bind(stack.review, ctx);
      // bob looks by another grant all the same: only the change is lost.
      expect(await ask([{ type: 'revoke', grant: grant.id }])).toEqual({
        more: false, effects: [{ account: { id: bob.account.id, name: 'bob' }, collection: { id: prod.id, path: '/prod' }, repositoryId: null, gains: [], loses: ['service:update'] }],
      });
      expect(await ask([{ type: 'role', role: 'r', operations: ['service:remove'] }, { type: 'grant', subject: 'ann', role: 'r', collection: '/prod' }])).toMatchObject({
        effects: [{ account: { name: 'bob' }, gains: ['service:remove'], loses: ['service:update'] }, { account: { name: 'ann' }, gains: ['service:remove'], loses: [] }],
      });
      expect([may(bob.ctx, 'service:update', service), may(ann.ctx, 'service:remove', service)]).toEqual([true, false]);
      await stack.roles.update(ctx, role.id, 1, { operations: ['service:remove'] });
      await stack.grants.create(ctx, { subject: 'ann', role: 'r', collection: '/prod' });
      expect([may(bob.ctx, 'service:update', service), may(bob.ctx, 'service:remove', service), may(ann.ctx, 'service:remove', service)]).toEqual([false, true, true]);
      await expect(ask([{ type: 'revoke', grant: uuidv7() }])).rejects.toMatchObject({ errors: [{ pointer: '/changes/0/grant' }] });
      await expect(ask([{ type: 'role', role: 'viewonly', operations: [] }])).rejects.toMatchObject({ code: 'access.role-built-in' });
    });

    it('review every way to every right', async () => {
      await makeUser(stack, 'ann');
      await makeUser(stack, 'chief', { admin: true });
      await stack.accounts.createOrganization(ctx, { name: 'acme' });
      const team = await stack.teams.create(ctx, 'acme', { name: 'ops' });
      await stack.teams.putMember(ctx, team.id, 'ann', false);
      await stack.collections.create(ctx, { parent: '/', name: 'prod' });
      const { grant } = await stack.grants.create(ctx, { subject: 'acme/ops', role: 'scheduler', collection: '/prod' });
      const rows = [];
      for await (const row of stack.review.rows(ctx)) rows.push(row);
      expect(rows.map(({ account, by, through, role, on }) => [account, by, through, role, on].join(' | ')).sort()).toEqual([
        'acme | owner |  | owner | /Organizations/acme', 'ann | grant | acme/ops | scheduler | /prod', 'ann | member | acme | member | /Organizations/acme',
        'ann | owner |  | owner | /Shared/Private/ann', 'chief | administrator |  | administrator | /', 'chief | owner |  | owner | /Shared/Private/chief',
      ]);
      expect(rows.find(({ by }) => by === 'grant')).toMatchObject({ grantId: grant.id, grantedBy: ctx.actor.name, operations: 2, active: true, source: 'local' });
      expect(await lastAudit('access.review')).toBeDefined();
    });
  });

  it('refuse everything when the database has been away for too long, and go on when it is back', async () => {
    const ann = await makeUser(stack, 'ann');
    const own = await place('repository', ann.account.id);
    stack.access.maxStaleMillis = 5_000;
    const { query } = database.db;
    database.db.query = () => Promise.reject(new Error('the database is away'));
    try {
      expect(may(ann.ctx, 'repository:push', own)).toBe(true);
      await eventually('the snapshot is too old', () => !may(ann.ctx, 'repository:push', own));
      expect(stack.access.can(makeContext({ kind: 'system', id: null, name: 'system', admin: false, credentialId: null, limits: null }), 'repository:push', own).allowed).toBe(true);
    } finally {
      database.db.query = query;
    }
    await eventually('the snapshot is true again', () => may(ann.ctx, 'repository:push', own));
  });
});
