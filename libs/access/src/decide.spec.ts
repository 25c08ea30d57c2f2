import fc from 'fast-check';
import type { Actor, ActorLimits } from '@gantry/platform';
import { decide, systemResource, withinLimits, type AccountFacts, type CollectionFacts, type Facts, type ResourceRef } from './decide';
import type { MemberRole } from './entities';
import { operations, type Operation } from './operations';

const account = (id: string, kind: AccountFacts['kind'], more: Partial<AccountFacts> = {}): AccountFacts => ({ id, kind, name: id, namespace: id, admin: false, active: true, ownerId: null, ...more });

function makeFacts(input: { accounts: AccountFacts[]; members?: [string, string, MemberRole][]; placements?: [string, string, string][] }): Facts {
  const members = new Map<string, Map<string, MemberRole>>();
  for (const [org, user, role] of input.members ?? []) members.set(org, (members.get(org) ?? new Map<string, MemberRole>()).set(user, role));
  const placements = new Map<string, Map<string, string>>();
  for (const [kind, id, collection] of input.placements ?? []) placements.set(kind, (placements.get(kind) ?? new Map<string, string>()).set(id, collection));
  const collections = new Map<string, CollectionFacts>([
    ['/', { id: '/', parentId: null, path: '/', ownerId: null }],
    ['/System', { id: '/System', parentId: '/', path: '/System', ownerId: null }],
    ...input.accounts.filter((item) => item.kind !== 'robot').map((item) => [item.id, { id: item.id, parentId: '/', path: `/${item.id}`, ownerId: item.id }] as const),
    ['sub', { id: 'sub', parentId: 'acme', path: '/acme/sub', ownerId: null }],
  ]);
  return { accounts: new Map(input.accounts.map((item) => [item.id, item])), members, collections, placements };
}

const facts = makeFacts({
  accounts: [
    account('root', 'user', { admin: true }), account('ann', 'user'), account('bob', 'user'), account('eve', 'user'), account('gone', 'user', { active: false }),
    account('acme', 'organization'), account('other', 'organization'), account('acme+ci', 'robot', { ownerId: 'acme' }), account('root+ci', 'robot', { ownerId: 'root' }),
  ],
  members: [['acme', 'ann', 'admin'], ['acme', 'bob', 'member'], ['acme', 'gone', 'admin']],
  placements: [
    ['repository', 'web', 'acme'], ['repository', 'deep', 'sub'], ['repository', 'annas', 'ann'], ['cluster', 'local', '/System'], ['trigger', 'hook', 'acme'],
    ['repository', 'moved', '/System'],
  ],
});

const who = (id: string, limits: ActorLimits | null = null, kind: Actor['kind'] = 'user'): Actor => ({ kind, id, name: id, admin: facts.accounts.get(id)?.admin ?? false, credentialId: 'c', limits });
const repo = (id: string): ResourceRef => ({ kind: 'repository', id });

describe('the decision', () => {
  it.each<[string, Actor, Operation, ResourceRef, boolean, boolean]>([
    ['administrators do everything', who('root'), 'cluster:delete', { kind: 'cluster', id: 'local' }, true, true],
    ['what is not placed is for administrators alone', who('ann'), 'cluster:view', { kind: 'cluster', id: 'unknown' }, false, false],
    ['/System is for administrators alone', who('ann'), 'cluster:view', { kind: 'cluster', id: 'local' }, false, false],
    ['a placement counts more than the parent', who('ann'), 'repository:view', { kind: 'repository', id: 'moved', parent: { kind: 'account', id: 'acme' } }, false, false],
    ['the system resource too', who('ann'), 'audit:view', systemResource, false, false],
    ['owners do everything with their own', who('ann'), 'repository:delete', repo('annas'), true, true],
    ['but not what belongs to the system', who('ann'), 'account:delete', { kind: 'account', id: 'ann' }, false, true],
    ['organization administrators too', who('ann'), 'repository:push', repo('web'), true, true],
    ['also in collections below', who('ann'), 'repository:push', repo('deep'), true, true],
    ['and with children of what is placed', who('ann'), 'deployment:cancel', { kind: 'deployment', id: 'd', parent: { kind: 'application', id: 'a', parent: { kind: 'account', id: 'acme' } } }, true, true],
    ['members look', who('bob'), 'repository:view', repo('web'), true, true],
    ['and pull', who('bob'), 'repository:pull', repo('web'), true, true],
    ['and no more', who('bob'), 'repository:push', repo('web'), false, true],
    ['strangers don’t see', who('eve'), 'repository:pull', repo('web'), false, false],
    ['members of one see nothing of another', who('ann'), 'repository:view', { kind: 'repository', id: 'x', parent: { kind: 'account', id: 'other' } }, false, false],
    ['inactive accounts do nothing', who('gone'), 'repository:view', repo('web'), false, false],
    ['accounts that are gone do nothing', who('nobody'), 'repository:view', repo('web'), false, false],
    ['limits take away operations', who('ann', { operations: ['repository:pull'] }), 'repository:push', repo('web'), false, true],
    ['limits leave what they name', who('ann', { operations: ['repository:pull'] }), 'repository:pull', repo('web'), true, true],
    ['limits give nothing', who('eve', { operations: ['repository:pull'], repositories: ['web'] }), 'repository:pull', repo('web'), false, false],
    ['limits hide other repositories', who('ann', { repositories: ['deep'] }), 'repository:pull', repo('web'), false, false],
    ['and all that is no repository', who('ann', { repositories: ['web'] }), 'account:view', { kind: 'account', id: 'acme' }, false, false],
    ['an empty list allows nothing', who('root', { operations: [] }), 'repository:view', repo('web'), false, true],
    ['tags are in their repository', who('ann', { repositories: ['web'] }), 'repository:delete', { kind: 'tag', id: 't', parent: repo('web') }, true, true],
    ['robots act for their organization', who('acme+ci', { operations: ['repository:push'] }, 'robot'), 'repository:push', repo('web'), true, true],
    ['never as administrator', who('root+ci', null, 'robot'), 'repository:push', repo('web'), false, false],
    ['whatever the actor says of itself', { ...who('eve'), admin: true }, 'repository:view', repo('web'), false, false],
    ['a service credential pulls what it names', who('s', { operations: ['repository:pull'], repositories: ['web'] }, 'service'), 'repository:pull', repo('web'), true, true],
    ['nothing else', who('s', { operations: ['repository:pull'], repositories: ['web'] }, 'service'), 'repository:pull', repo('deep'), false, false],
    ['and does nothing else', who('s', { operations: ['repository:push'], repositories: ['web'] }, 'service'), 'repository:push', repo('web'), false, false],
    ['without a list, nothing', who('s', null, 'service'), 'repository:pull', repo('web'), false, false],
    ['a trigger deploys what its account owns', who('hook', null, 'trigger'), 'application:deploy', { kind: 'application', id: 'a', parent: { kind: 'account', id: 'acme' } }, true, true],
    ['no more than that', who('hook', null, 'trigger'), 'application:update', { kind: 'application', id: 'a', parent: { kind: 'account', id: 'acme' } }, false, true],
    ['nor what others own', who('hook', null, 'trigger'), 'application:deploy', { kind: 'application', id: 'a', parent: { kind: 'account', id: 'other' } }, false, false],
    ['a deleted trigger does nothing', who('removed', null, 'trigger'), 'application:deploy', { kind: 'application', id: 'a', parent: { kind: 'account', id: 'acme' } }, false, false],
    ['nobody does nothing', { ...who('x', null, 'anonymous'), id: null }, 'repository:pull', repo('web'), false, false],
    ['the system does everything', { ...who('x', null, 'system'), id: null }, 'cluster:delete', { kind: 'cluster', id: 'local' }, true, true],
  ])('%s', (_why, actor, operation, resource, allowed, visible) => {
    expect(decide(facts, actor, operation, resource)).toMatchObject({ allowed, visible });
  });

  it('ends on a parent chain that bites its tail', () => {
    const loop: ResourceRef = { kind: 'x', id: 'x' };
    loop.parent = loop;
    expect(decide(facts, who('ann'), 'repository:view', loop)).toMatchObject({ allowed: false, visible: false });
  });

  it('agrees with a naive reading of the rules on random facts', () => {
    const users = ['u1', 'u2', 'u3'];
    const orgs = ['o1', 'o2'];
    const owners = [...users, ...orgs];
    const resources = ['r1', 'r2', 'r3', 'r4'];
    const world = fc.record({
      admin: fc.constantFrom(...users, null),
      inactive: fc.subarray([...users, ...orgs]),
      members: fc.array(fc.tuple(fc.constantFrom(...orgs), fc.constantFrom(...users), fc.constantFrom<MemberRole>('member', 'admin')), { maxLength: 5 }),
      placed: fc.array(fc.tuple(fc.constantFrom(...resources), fc.constantFrom(...owners, '/', '/System')), { maxLength: 6 }),
      parents: fc.dictionary(fc.constantFrom(...resources), fc.constantFrom(...owners)),
      robotOwner: fc.constantFrom(...owners),
    });
    const ask = fc.record({
      actor: fc.constantFrom(...users, 'robot'),
      operation: fc.constantFrom(...operations),
      resource: fc.constantFrom(...resources),
      limits: fc.option(fc.record({ operations: fc.option(fc.subarray([...operations]), { nil: undefined }), repositories: fc.option(fc.subarray(resources), { nil: undefined }) })),
    });
    fc.assert(
      fc.property(world, ask, (w, q) => {
        const active = (id: string): boolean => !w.inactive.includes(id);
        const placedAt = new Map(w.placed);
        const roles = new Map(w.members.map(([org, user, role]) => [`${org} ${user}`, role]));
        const made = makeFacts({
          accounts: [
            ...users.map((id) => account(id, 'user', { admin: id === w.admin, active: active(id) })), ...orgs.map((id) => account(id, 'organization', { active: active(id) })),
            account('robot', 'robot', { ownerId: w.robotOwner }),
          ],
          members: [...roles].map(([key, role]) => [key.split(' ')[0]!, key.split(' ')[1]!, role]),
          placements: [...placedAt].map(([id, collection]) => ['repository', id, collection]),
        });
        const parent = w.parents[q.resource];
        const ref: ResourceRef = { kind: 'repository', id: q.resource, ...(parent === undefined ? {} : { parent: { kind: 'account', id: parent } }) };
        const got = decide(made, { kind: q.actor === 'robot' ? 'robot' : 'user', id: q.actor, name: q.actor, admin: false, credentialId: null, limits: q.limits }, q.operation, ref);

        // The rules once more, in the order of the manual, without any of the code's own sets.
        const place = placedAt.get(q.resource) ?? parent;
        const owner = place === undefined || place.startsWith('/') ? null : place;
        const subject = q.actor === 'robot' ? w.robotOwner : q.actor;
        const alive = active(q.actor) && active(subject);
        const isAdmin = q.actor === w.admin && alive;
        const role = owner === null || !alive ? null : owner === subject ? 'owner' : (roles.get(`${owner} ${subject}`) ?? null);
        const looks = q.operation.endsWith(':view') || q.operation === 'repository:pull' || q.operation === 'image:verdict';
        const adminOnly = ['account:create', 'account:delete', 'cluster:create', 'cluster:update', 'cluster:delete', 'audit:view', 'directory:view', 'directory:update'].includes(q.operation);
        const withinRepositories = q.limits?.repositories === undefined || q.limits.repositories.includes(q.resource);
        const withinOperations = q.limits?.operations === undefined || q.limits.operations.includes(q.operation);
        const right = isAdmin || (role !== null && !adminOnly && (role !== 'member' || looks));
        expect(got.allowed).toBe(right && withinRepositories && withinOperations);
        expect(got.visible).toBe((isAdmin || role !== null) && withinRepositories);
      }),
      { numRuns: 3000 },
    );
  });

  it('lets nobody and services use almost nothing', () => {
    expect(withinLimits({ ...who('x', null, 'anonymous'), id: null }, 'repository:pull')).toBe(false);
    expect(operations.filter((operation) => withinLimits(who('s', null, 'service'), operation))).toEqual(['repository:pull']);
  });
});
