import fc from 'fast-check';
import type { Actor, ActorLimits } from '@gantry/platform';
import {
  rootCollectionId, systemResource, type AccountFacts, type CollectionFacts, type Facts, type GrantFacts, type ResourceRef, type RoleFacts, type TeamFacts,
} from '../src/decide';
import type { MemberRole } from '../src/entities';
import { gradeOf, operations, toSet, type Operation } from '../src/operations';
import { builtInRoles } from '../src/built-in-roles';

const account = (id: string, kind: AccountFacts['kind'], more: Partial<AccountFacts> = {}): AccountFacts => ({ id, kind, name: id, namespace: id, admin: false, active: true, ownerId: null, ...more });

interface World {
  accounts: AccountFacts[];
  members?: [organization: string, user: string, role: MemberRole][];
  placements?: [kind: string, id: string, collection: string][];
  collections?: [id: string, parent: string][];
  teams?: [id: string, organization: string][];
  teamMembers?: [team: string, user: string, administers: boolean][];
  roles?: [id: string, operations: readonly string[]][];
  grants?: [subjectKind: GrantFacts['subjectKind'], subject: string, role: string, target: { collection: string } | { repository: string }][];
}

function nest<T>(rows: readonly (readonly [string, string, T])[]): Map<string, Map<string, T>> {
  const made = new Map<string, Map<string, T>>();
  for (const [outer, inner, value] of rows) made.set(outer, (made.get(outer) ?? new Map<string, T>()).set(inner, value));
  return made;
}

function makeFacts(input: World): Facts {
  const collections = new Map<string, CollectionFacts>([
    [rootCollectionId, { id: rootCollectionId, parentId: null, path: '/', ownerId: null }],
    ['/System', { id: '/System', parentId: rootCollectionId, path: '/System', ownerId: null }],
    ...input.accounts.filter((item) => item.kind !== 'robot').map((item) => [item.id, { id: item.id, parentId: rootCollectionId, path: `/${item.id}`, ownerId: item.id }] as const),
    ['sub', { id: 'sub', parentId: 'acme', path: '/acme/sub', ownerId: null }],
    ...(input.collections ?? []).map(([id, parentId]) => [id, { id, parentId, path: `/${id}`, ownerId: null }] as const),
  ]);
  const grants = new Map<string, Map<string, GrantFacts[]>>();
  for (const [index, [subjectKind, subjectId, roleId, target]] of (input.grants ?? []).entries()) {
    const [collectionId, repositoryId] = 'collection' in target ? [target.collection, null] : [null, target.repository];
    const there = grants.get(collectionId ?? repositoryId ?? '') ?? new Map<string, GrantFacts[]>();
    there.set(subjectId, [...(there.get(subjectId) ?? []), { id: `g${index}`, subjectKind, subjectId, roleId, collectionId, repositoryId }]);
    grants.set(collectionId ?? repositoryId ?? '', there);
  }
  const roles = [...builtInRoles.map((role) => [role.id, role.operations] as const), ...(input.roles ?? [])];
  return {
    accounts: new Map(input.accounts.map((item) => [item.id, item])), members: nest(input.members ?? []), collections, placements: nest(input.placements ?? []), grants,
    memberships: nest((input.members ?? []).map(([organization, user, role]) => [user, organization, role])),
    teams: new Map((input.teams ?? []).map(([id, organizationId]): [string, TeamFacts] => [id, { id, organizationId, name: id }])),
    teamsOf: nest((input.teamMembers ?? []).map(([team, user, administers]) => [user, team, administers])),
    roles: new Map(roles.map(([id, list]): [string, RoleFacts] => [id, { id, name: id, operations: toSet(list) }])),
    memo: new Map(),
  };
}

/** Some facts that the cases below are about. */
export const facts = makeFacts({
  accounts: [
    account('root', 'user', { admin: true }), account('ann', 'user'), account('bob', 'user'), account('eve', 'user'), account('gone', 'user', { active: false }),
    account('acme', 'organization'), account('other', 'organization'), account('acme+ci', 'robot', { ownerId: 'acme' }), account('root+ci', 'robot', { ownerId: 'root' }),
    account('pat', 'user'), account('oda', 'user'), account('aud', 'user'), account('full', 'user'), account('odd', 'user'), account('pat+ci', 'robot', { ownerId: 'pat' }),
  ],
  members: [['acme', 'ann', 'admin'], ['acme', 'bob', 'member'], ['acme', 'gone', 'admin'], ['acme', 'pat', 'member'], ['other', 'oda', 'member']],
  placements: [
    ['repository', 'web', 'acme'], ['repository', 'deep', 'sub'], ['repository', 'annas', 'ann'], ['cluster', 'local', '/System'], ['trigger', 'hook', 'acme'],
    ['repository', 'moved', '/System'], ['repository', 'shared', 'payments'], ['service', 'till', 'payments'], ['node', 'n1', 'prod'],
  ],
  collections: [['prod', rootCollectionId], ['payments', 'prod']],
  teams: [['dev', 'acme'], ['ops', 'acme']],
  teamMembers: [['dev', 'bob', false], ['ops', 'pat', true]],
  roles: [['auditor', ['audit:view', 'account:view']], ['deployer', ['service:update', 'service:create:bind']], ['stale', ['gone:operation', 'account:administer', 'grant:create']]],
  grants: [
    ['team', 'dev', 'restrictedcontrol', { collection: 'prod' }], ['organization', 'other', 'viewonly', { collection: 'payments' }], ['user', 'pat', 'scheduler', { collection: 'prod' }],
    ['user', 'aud', 'auditor', { collection: rootCollectionId }], ['user', 'pat', 'deployer', { collection: 'payments' }], ['team', 'ops', 'repository-write', { repository: 'annas' }],
    ['user', 'full', 'fullcontrol', { collection: rootCollectionId }], ['user', 'odd', 'stale', { collection: rootCollectionId }], ['user', 'odd', 'deleted-role', { collection: rootCollectionId }], ['user', 'odd', 'deleted-role', { repository: 'annas' }],
  ],
});

/** An actor of those facts. */
export const who = (id: string, limits: ActorLimits | null = null, kind: Actor['kind'] = 'user'): Actor => ({ kind, id, name: id, admin: facts.accounts.get(id)?.admin ?? false, credentialId: 'c', limits });
/** A repository of those facts. */
export const repo = (id: string): ResourceRef => ({ kind: 'repository', id });

/** Why, who asks, what, on what; allowed? visible? */
export type Case = [why: string, actor: Actor, operation: Operation, resource: ResourceRef, allowed: boolean, visible: boolean];

/** Decisions that the manual settles one by one. */
export const cases: Case[] = [
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
  ['a team’s role reaches what lies below', who('bob'), 'service:update', { kind: 'service', id: 'till' }, true, true],
  ['and what comes with the role alone', who('bob'), 'service:create:bind', { kind: 'service', id: 'till' }, false, true],
  ['restricted control doesn’t enter containers', who('bob'), 'container:exec', { kind: 'container', id: 'c', parent: { kind: 'service', id: 'till' } }, false, true],
  ['an organization’s role reaches its members', who('oda'), 'service:logs', { kind: 'service', id: 'till' }, true, true],
  ['and changes nothing', who('oda'), 'service:remove', { kind: 'service', id: 'till' }, false, true],
  ['but not above', who('oda'), 'node:view', { kind: 'node', id: 'n1' }, false, false],
  ['a user’s own role', who('pat'), 'node:schedule', { kind: 'node', id: 'n1' }, true, true],
  ['roles add up', who('pat'), 'service:update', { kind: 'service', id: 'till' }, true, true],
  ['an option of the host by its own operation', who('pat'), 'service:create:bind', { kind: 'service', id: 'till' }, true, true],
  ['what may be done without being seen stays hidden otherwise', who('pat'), 'service:remove', { kind: 'service', id: 'till' }, false, false],
  ['robots have their owner’s roles', who('pat+ci', null, 'robot'), 'node:schedule', { kind: 'node', id: 'n1' }, true, true],
  ['a level on one repository', who('pat'), 'repository:push', repo('annas'), true, true],
  ['with what is in it', who('pat'), 'repository:push', { kind: 'tag', id: 't', parent: repo('annas') }, true, true],
  ['and no more of it', who('pat'), 'repository:delete', repo('annas'), false, true],
  ['nor others of the same owner', who('pat'), 'repository:pull', { kind: 'repository', id: 'x', parent: { kind: 'account', id: 'ann' } }, false, false],
  ['a team’s administrator', who('pat'), 'team:manage-members', { kind: 'team', id: 'ops', parent: { kind: 'account', id: 'acme' } }, true, true],
  ['of that team alone', who('pat'), 'team:manage-members', { kind: 'team', id: 'dev', parent: { kind: 'account', id: 'acme' } }, false, true],
  ['nor one of its members', who('bob'), 'team:manage-members', { kind: 'team', id: 'dev', parent: { kind: 'account', id: 'acme' } }, false, true],
  ['the installation by a role on the root', who('aud'), 'audit:view', systemResource, true, true],
  ['of which full control has nothing', who('full'), 'audit:view', systemResource, false, false],
  ['full control reaches the host', who('full'), 'container:create:privileged', { kind: 'container', id: 'c', parent: { kind: 'service', id: 'till' } }, true, true],
  ['but no account', who('full'), 'account:manage-members', { kind: 'account', id: 'acme' }, false, false],
  ['no role gives what is for administrators', who('full'), 'account:administer', systemResource, false, false],
  ['a token for collections, inside', who('full', { collections: ['prod'] }), 'service:update', { kind: 'service', id: 'till' }, true, true],
  ['a token for collections, outside', who('full', { collections: ['payments'] }), 'node:view', { kind: 'node', id: 'n1' }, false, false],
  ['also for administrators', who('root', { collections: ['payments'] }), 'cluster:view', { kind: 'cluster', id: 'local' }, false, false],
  ['nor on a repository', who('odd'), 'repository:view', repo('annas'), false, false],
  ['a deleted role gives nothing', who('odd'), 'service:view', { kind: 'service', id: 'till' }, false, false],
  ['the system does everything', { ...who('x', null, 'system'), id: null }, 'cluster:delete', { kind: 'cluster', id: 'local' }, true, true],
];

/** What is compared with the naive reading: the decision, and its slow explanation. */
export type Implementation = Pick<typeof import('../src/decide'), 'decide' | 'groundsOf' | 'withinLimits'> & Partial<Pick<typeof import('../src/decide'), 'decideMany'>>;

/** A decision beside what the rules say when they are read naively. */
export interface Compared {
  got: { allowed: boolean; visible: boolean; grounds: boolean };
  wanted: { allowed: boolean; visible: boolean; grounds: boolean };
}

/** A property over random trees, roles, grants, memberships and limits: calls `compare` with what the implementation and the naive reading say. */
export function randomDecisions(implementation: Implementation, compare: (compared: Compared) => void): ReturnType<typeof fc.property<[never, never]>> {
  const users = ['u1', 'u2', 'u3'];
  const orgs = ['o1', 'o2'];
  const owners = [...users, ...orgs];
  const teams: [string, string][] = [['t1', 'o1'], ['t2', 'o1'], ['t3', 'o2']];
  const places = ['c1', 'c2', 'c3', 'c4'];
  const resources = ['r1', 'r2', 'r3', 'r4'];
  const anywhere = fc.constantFrom(rootCollectionId, '/System', ...places, ...owners);
  const world = fc.record({
    admin: fc.constantFrom(...users, null),
    inactive: fc.subarray([...users, ...orgs]),
    members: fc.array(fc.tuple(fc.constantFrom(...orgs), fc.constantFrom(...users), fc.constantFrom<MemberRole>('member', 'admin')), { maxLength: 5 }),
    placed: fc.array(fc.tuple(fc.constantFrom(...resources), fc.constantFrom(rootCollectionId, '/System', ...places, ...owners)), { maxLength: 6 }),
    parents: fc.dictionary(fc.constantFrom(...resources), fc.constantFrom(...owners)),
    robotOwner: fc.constantFrom(...owners),
    // Each collection lies below an account, the root, or one that was made before it.
    tree: fc.tuple(...places.map((_id, at) => fc.constantFrom(rootCollectionId, ...owners, ...places.slice(0, at)))),
    teamMembers: fc.array(fc.tuple(fc.constantFrom('t1', 't2', 't3'), fc.constantFrom(...users), fc.boolean()), { maxLength: 5 }),
    roles: fc.tuple(fc.subarray([...operations]), fc.subarray([...operations]), fc.constantFrom([...operations], [], ['repository:view'], ['repository:push'])),
    grants: fc.array(
      fc.tuple(
        fc.oneof(fc.constantFrom(...users).map((id) => ['user', id] as const), fc.constantFrom(...orgs).map((id) => ['organization', id] as const), fc.constantFrom('t1', 't2', 't3').map((id) => ['team', id] as const)),
        fc.constantFrom('role0', 'role1', 'role2', 'viewonly', 'none', 'repository-read'),
        fc.oneof(anywhere.map((collection) => ({ collection })), fc.constantFrom(...resources).map((repository) => ({ repository }))),
      ),
      { maxLength: 6 },
    ),
  });
  const ask = fc.record({
    actor: fc.constantFrom(...users, 'robot'),
    operation: fc.oneof(fc.constantFrom(...operations), fc.constantFrom<Operation>('repository:view', 'repository:push', 'repository:delete', 'team:manage-members')),
    kind: fc.constantFrom('repository', 'service', 'team'),
    resource: fc.constantFrom(...resources),
    limits: fc.option(
      fc.record({
        operations: fc.option(fc.subarray([...operations]), { nil: undefined }), repositories: fc.option(fc.subarray(resources), { nil: undefined }),
        collections: fc.option(fc.subarray([rootCollectionId, ...places, ...owners]), { nil: undefined }),
      }),
    ),
  });
  return fc.property(world, ask, (w, q) => {
    const active = (id: string): boolean => !w.inactive.includes(id);
    const placedAt = new Map(w.placed);
    const roles = new Map(w.members.map(([org, user, role]) => [`${org} ${user}`, role]));
    const teamRoles = new Map(w.teamMembers.map(([team, user, administers]) => [`${team} ${user}`, administers]));
    const made = makeFacts({
      accounts: [
        ...users.map((id) => account(id, 'user', { admin: id === w.admin, active: active(id) })), ...orgs.map((id) => account(id, 'organization', { active: active(id) })),
        account('robot', 'robot', { ownerId: w.robotOwner }),
      ],
      members: [...roles].map(([key, role]) => [key.split(' ')[0]!, key.split(' ')[1]!, role]),
      placements: [...placedAt].flatMap(([id, collection]): [string, string, string][] => [['repository', id, collection], ['service', id, collection]]),
      collections: places.map((id, at) => [id, w.tree[at]!]), teams, teamMembers: [...teamRoles].map(([key, administers]) => [key.split(' ')[0]!, key.split(' ')[1]!, administers]),
      roles: w.roles.map((list, at) => [`role${at}`, list.filter((operation) => gradeOf(operation) !== 'admin')]),
      grants: w.grants.map(([[kind, id], role, target]) => [kind, id, role, target]),
    });
    const parent = w.parents[q.resource];
    const ref: ResourceRef = q.kind === 'team'
      ? { kind: 'team', id: 't1', parent: { kind: 'account', id: 'o1' } }
      : { kind: q.kind, id: q.resource, ...(parent === undefined ? {} : { parent: { kind: 'account', id: parent } }) };
    const actor: Actor = { kind: q.actor === 'robot' ? 'robot' : 'user', id: q.actor, name: q.actor, admin: false, credentialId: null, limits: q.limits };
    const got = implementation.decide(made, actor, q.operation, ref);

    // The rules once more, in the order of the manual, without any of the code's own sets but the catalogue's grades.
    const place = q.kind === 'team' ? 'o1' : (placedAt.get(q.resource) ?? parent);
    const above: string[] = [];
    for (let at = place; at !== undefined; ) {
      above.push(at);
      const index = places.indexOf(at);
      at = index >= 0 ? w.tree[index] : at === rootCollectionId ? undefined : rootCollectionId;
    }
    const subject = q.actor === 'robot' ? w.robotOwner : q.actor;
    const alive = active(q.actor) && active(subject);
    const isAdmin = q.actor === w.admin && alive;
    const reaches = ([kind, id]: readonly [string, string]): boolean =>
      id === subject || (kind === 'organization' && roles.has(`${id} ${subject}`)) || (kind === 'team' && teamRoles.has(`${id} ${subject}`));
    const may = (operation: Operation): boolean => {
      const grade = gradeOf(operation);
      if (grade === 'admin') return false;
      const byOwning = above.some((id) => {
        if (!owners.includes(id)) return false;
        const role = id === subject ? 'admin' : roles.get(`${id} ${subject}`);
        if (role === undefined) return false;
        return role === 'admin' ? ['view', 'control', 'full', 'own'].includes(grade) : grade === 'view' || operation === 'account:view' || operation === 'team:view';
      });
      const byGrant = w.grants.some(([who_, role, target]) => {
        if (!reaches(who_)) return false;
        if ('collection' in target ? !above.includes(target.collection) : q.kind !== 'repository' || target.repository !== q.resource) return false;
        if (role === 'none') return false;
        if (role === 'viewonly') return grade === 'view' || operation === 'node:view';
        if (role === 'repository-read') return ['repository:view', 'repository:pull', 'image:verdict'].includes(operation);
        return (w.roles[Number(role.slice(4))] as readonly string[]).includes(operation);
      });
      const administers = q.kind === 'team' ? teamRoles.get(`t1 ${subject}`) : undefined;
      const byTeam = administers !== undefined && (operation === 'team:view' || (administers && (operation === 'team:update' || operation === 'team:manage-members')));
      return byOwning || byGrant || byTeam;
    };
    const within = (q.limits?.repositories === undefined || (q.kind === 'repository' && q.limits.repositories.includes(q.resource)))
      && (q.limits?.collections === undefined || above.some((id) => q.limits!.collections!.includes(id)));
    const withinOperations = q.limits?.operations === undefined || q.limits.operations.includes(q.operation);
    const right = isAdmin || (alive && may(q.operation));
    const kindOf = q.operation.split(':')[0]!;
    const sees = right || (alive && [`${kindOf}:view`, `${q.kind}:view`].some((view) => (operations as readonly string[]).includes(view) && may(view as Operation)));
    // The slow explanation has the same outcome as the quick decision.
    const asSubject = made.accounts.get(subject)!;
    const grounds = alive ? implementation.groundsOf(made, q.actor === 'robot' ? { ...asSubject, admin: false } : asSubject, q.operation, ref) : [];
    if (implementation.decideMany) {
      const many = implementation.decideMany(made, actor, q.operation);
      // What is nobody's lies in the system, placed or not.
      const others = [ref, { kind: q.kind, id: q.resource, parent: systemResource }, { kind: 'service', id: 'nobodys', parent: systemResource }];
      // Turned, too: an answer must not rest on what was asked before.
      for (const each of [...others, ...others.reverse()]) if (many(each) !== implementation.decide(made, actor, q.operation, each).allowed) throw new Error('many are decided otherwise than one');
    }
    compare({
      got: { allowed: got.allowed, visible: got.visible, grounds: grounds.length > 0 },
      wanted: { allowed: right && within && withinOperations, visible: sees && within, grounds: right },
    });
  }) as never;
}
