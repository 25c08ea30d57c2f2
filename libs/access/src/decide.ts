import type { Actor } from '@gantry/platform';
import type { AccountKind, MemberRole } from './entities';
import {
  addTo, adminOperations, gradeOf, has, isOperation, kindViewNumber, memberOperations, nothing, numberOf, ownerOperations, teamAdminOperations, toSet, triggerOperations,
  viewNumber, type Operation, type OperationSet,
} from './operations';

/** What is acted on. Children name their parent (`tag` → `repository` → `account`) and inherit its placement. */
export interface ResourceRef {
  kind: string;
  id: string;
  parent?: ResourceRef;
}

/** `system` is the resource of what belongs to the installation as such; grants on `/` reach it. */
export const systemResource: ResourceRef = { kind: 'system', id: 'system' };

/** The root of the collection tree, `/`. */
export const rootCollectionId = '00000000-0000-7000-8000-000000000001';

/** The one answer to "may this actor do that". `visible`: the actor may know that the resource exists (403 instead of 404). */
export interface Decision {
  allowed: boolean;
  visible: boolean;
  /** One sentence for `explain` and the log. */
  reason: string;
}

/** What is known of an account in memory. */
export interface AccountFacts {
  id: string;
  kind: AccountKind;
  name: string;
  namespace: string | null;
  admin: boolean;
  active: boolean;
  /** A robot's owner. */
  ownerId: string | null;
}

/** What is known of a collection in memory. */
export interface CollectionFacts {
  id: string;
  parentId: string | null;
  path: string;
  ownerId: string | null;
}

/** What is known of a team in memory. */
export interface TeamFacts {
  id: string;
  organizationId: string;
  name: string;
}

/** What is known of a role in memory. */
export interface RoleFacts {
  id: string;
  name: string;
  operations: OperationSet;
}

/** Subject × role × target. The target is a collection, whose content inherits the grant, or one repository. */
export interface GrantFacts {
  id: string;
  subjectKind: 'user' | 'team' | 'organization';
  subjectId: string;
  roleId: string;
  collectionId: string | null;
  repositoryId: string | null;
}

/** The facts on which decisions rest. */
export interface Facts {
  accounts: ReadonlyMap<string, AccountFacts>;
  /** organization id → user id → role */
  members: ReadonlyMap<string, ReadonlyMap<string, MemberRole>>;
  /** user id → organization id → role */
  memberships: ReadonlyMap<string, ReadonlyMap<string, MemberRole>>;
  teams: ReadonlyMap<string, TeamFacts>;
  /** user id → team id → whether the user administers the team */
  teamsOf: ReadonlyMap<string, ReadonlyMap<string, boolean>>;
  collections: ReadonlyMap<string, CollectionFacts>;
  /** kind → resource id → collection id */
  placements: ReadonlyMap<string, ReadonlyMap<string, string>>;
  roles: ReadonlyMap<string, RoleFacts>;
  /** collection or repository id → subject id → grants */
  grants: ReadonlyMap<string, ReadonlyMap<string, readonly GrantFacts[]>>;
  /** account id → collection id → what the account may do there; whoever holds the facts empties it when they change. */
  memo: Map<string, Map<string, OperationSet>>;
}

const no = (reason: string, visible = false): Decision => ({ allowed: false, visible, reason });
const yes = (reason: string): Decision => ({ allowed: true, visible: true, reason });
/** How deep chains of parents and collections may be. */
export const maxDepth = 32;

const ownerSet = toSet(ownerOperations);
const memberSet = toSet(memberOperations);
const teamSet = toSet(['team:view']);
const teamAdminSet = toSet(teamAdminOperations);

/** Whether the credential by which the actor came allows the operation at all, on whatever resource. Anonymous actors may nothing. */
export function withinLimits(actor: Actor, operation: Operation): boolean {
  if (actor.kind === 'anonymous') return false;
  if (actor.kind === 'service') return operation === 'repository:pull';
  return actor.limits?.operations === undefined || actor.limits.operations.includes(operation);
}

/**
 * The decision, default deny. Who may: the system itself; administrators; the account that owns the collection in which the resource (or the
 * nearest placed parent) lies, administrators and, for looking and pulling, members of an owning organization; and whom a grant on that collection,
 * on one above it, or on the repository gives the operation: the user itself, one of its teams or organizations. Grants only add. Robots act for
 * their owner, but never as system administrator. A credential's limits only take away.
 */
export function decide(facts: Facts, actor: Actor, operation: Operation, resource: ResourceRef): Decision {
  if (actor.kind === 'system') return yes('the system acts');
  if (actor.kind === 'anonymous') return no('not signed in');
  if (actor.kind === 'service') return decideService(actor, operation, resource);
  const related = actor.kind === 'trigger' ? decideTrigger(facts, actor, operation, resource) : decideAccount(facts, actor, operation, resource);
  const { limits } = actor;
  if (!related.visible || limits === null) return related;
  if (limits.repositories !== undefined && !withinRepositories(resource, limits.repositories)) return no('the token is limited to other repositories');
  if (limits.collections !== undefined && !withinCollections(facts, resource, limits.collections)) return no('the token is limited to other collections');
  if (!withinLimits(actor, operation)) return no(`the token does not allow ${operation}`, true);
  return related;
}

function decideService(actor: Actor, operation: Operation, resource: ResourceRef): Decision {
  if (operation !== 'repository:pull' || resource.kind !== 'repository') return no('a service credential only pulls');
  return actor.limits?.repositories?.includes(resource.id) === true ? yes('the service credential names the repository') : no('the service credential names other repositories');
}

function decideTrigger(facts: Facts, actor: Actor, operation: Operation, resource: ResourceRef): Decision {
  const owner = actor.id === null ? null : ownerOf(facts, { kind: 'trigger', id: actor.id });
  const account = owner === null ? undefined : facts.accounts.get(owner);
  if (account?.active !== true) return no('the trigger has no active owner');
  const related = decideRights(facts, account, operation, resource);
  if (!related.visible) return no('the trigger’s account has no rights here');
  return triggerOperations.has(operation) ? related : no(`a trigger does not do ${operation}`, true);
}

function decideAccount(facts: Facts, actor: Actor, operation: Operation, resource: ResourceRef): Decision {
  const account = actor.id === null ? undefined : facts.accounts.get(actor.id);
  if (!account?.active) return no('the account is not active');
  if (account.kind === 'user' && account.admin) return yes('administrator');
  const subject = account.kind === 'robot' ? subjectOf(facts, account) : account;
  if (!subject?.active) return no('the robot’s owner is not active');
  return decideRights(facts, subject, operation, resource);
}

/** For whom an account acts: a robot for its owner, whoever else for itself. */
export function subjectOf(facts: Pick<Facts, 'accounts'>, account: AccountFacts): AccountFacts | undefined {
  if (account.kind !== 'robot') return account;
  return account.ownerId === null ? undefined : facts.accounts.get(account.ownerId);
}

const granted = yes('an ownership, a membership or a grant allows it');
const unrelated = no('nothing allows it: no ownership, membership or grant reaches it');
const forAdministrators = no('only administrators do this', true);
const notGranted = no('no ownership, membership or grant allows this operation', true);

function decideRights(facts: Facts, subject: AccountFacts, operation: Operation, resource: ResourceRef): Decision {
  const number = numberOf(operation);
  const set = rightsOn(facts, subject.id, resource);
  if (has(set, number)) return granted;
  if (!has(set, viewNumber(number)) && !has(set, kindViewNumber(resource.kind))) return unrelated;
  return adminOperations.has(operation) ? forAdministrators : notGranted;
}

/**
 * Everything that the subject (a user or an organization, not a robot) may do with the resource by ownership, membership and grants. For an
 * administrator that says too little: administrators do everything.
 */
export function rightsOn(facts: Facts, subjectId: string, resource: ResourceRef): OperationSet {
  const collection = collectionOf(facts, resource);
  const there = collection === null ? nothing : rightsIn(facts, subjectId, collection);
  const own = directRights(facts, subjectId, resource);
  if (own === null) return there;
  addTo(own, there);
  return own;
}

/** What is given on the very resource, or a parent of it, and not on a collection: levels on a repository, places in a team. Null: nothing. */
function directRights(facts: Facts, subjectId: string, resource: ResourceRef): OperationSet | null {
  let set: OperationSet | null = null;
  let current: ResourceRef | undefined = resource;
  for (let depth = 0; current && depth < maxDepth; depth += 1, current = current.parent) {
    if (current.kind === 'repository') {
      const grants = facts.grants.get(current.id);
      if (!grants) continue;
      for (const grant of grantsFor(facts, subjectId, grants)) addTo((set ??= toSet([])), facts.roles.get(grant.roleId)?.operations ?? nothing);
    } else if (current.kind === 'team') {
      const administers = facts.teamsOf.get(subjectId)?.get(current.id);
      if (administers !== undefined) addTo((set ??= toSet([])), administers ? teamAdminSet : teamSet);
    }
  }
  return set;
}

/** Everything that the subject may do in a collection, from there up to the root. Remembered in `facts.memo`. */
export function rightsIn(facts: Facts, subjectId: string, collectionId: string): OperationSet {
  let known = facts.memo.get(subjectId);
  const found = known?.get(collectionId);
  if (found) return found;
  const set = toSet([]);
  for (const collection of chainOf(facts, collectionId)) {
    addTo(set, ownership(facts, subjectId, collection));
    const grants = facts.grants.get(collection.id);
    if (grants) for (const grant of grantsFor(facts, subjectId, grants)) addTo(set, facts.roles.get(grant.roleId)?.operations ?? nothing);
  }
  if (!known) facts.memo.set(subjectId, (known = new Map()));
  known.set(collectionId, set);
  return set;
}

/** A collection and those above it, nearest first. */
export function* chainOf(facts: Pick<Facts, 'collections'>, collectionId: string): Generator<CollectionFacts> {
  let collection = facts.collections.get(collectionId);
  for (let depth = 0; collection && depth < maxDepth; depth += 1) {
    yield collection;
    collection = collection.parentId === null ? undefined : facts.collections.get(collection.parentId);
  }
}

function ownership(facts: Facts, subjectId: string, collection: CollectionFacts): OperationSet {
  if (collection.ownerId === null) return nothing;
  if (collection.ownerId === subjectId) return ownerSet;
  const role = facts.members.get(collection.ownerId)?.get(subjectId);
  return role === undefined ? nothing : role === 'admin' ? ownerSet : memberSet;
}

/** Of the grants on one target those that reach the subject: its own, its organizations', its teams'. */
export function* grantsFor(facts: Facts, subjectId: string, grants: ReadonlyMap<string, readonly GrantFacts[]>): Generator<GrantFacts> {
  yield* grants.get(subjectId) ?? [];
  for (const organizationId of facts.memberships.get(subjectId)?.keys() ?? []) yield* grants.get(organizationId) ?? [];
  for (const teamId of facts.teamsOf.get(subjectId)?.keys() ?? []) yield* grants.get(teamId) ?? [];
}

/**
 * Collection by which a resource is judged: where it, or its nearest placed parent, is placed; an account lies in its own collection, a robot
 * in its owner's; the system is `/`. Null when it is placed nowhere.
 */
export function collectionOf(facts: Facts, resource: ResourceRef): string | null {
  let current: ResourceRef | undefined = resource;
  for (let depth = 0; current && depth < maxDepth; depth += 1, current = current.parent) {
    if (current.kind === 'system') return rootCollectionId;
    if (current.kind === 'collection') return current.id;
    if (current.kind === 'account') {
      const account = facts.accounts.get(current.id);
      return account === undefined ? null : account.kind === 'robot' ? account.ownerId : account.id;
    }
    const placed = facts.placements.get(current.kind)?.get(current.id);
    if (placed !== undefined) return placed;
  }
  return null;
}

/** Account that owns the resource: whose collection it lies in. An account owns itself, a robot's owner the robot. Null when nobody does. */
export function ownerOf(facts: Facts, resource: ResourceRef): string | null {
  const collection = collectionOf(facts, resource);
  if (collection === null) return null;
  for (const { ownerId } of chainOf(facts, collection)) if (ownerId !== null) return ownerId;
  return null;
}

function withinRepositories(resource: ResourceRef, repositories: readonly string[]): boolean {
  let current: ResourceRef | undefined = resource;
  for (let depth = 0; current && depth < maxDepth; depth += 1, current = current.parent) {
    if (current.kind === 'repository') return repositories.includes(current.id);
  }
  return false;
}

/** Whether the resource lies in one of the collections or below. */
function withinCollections(facts: Facts, resource: ResourceRef, collections: readonly string[]): boolean {
  const collection = collectionOf(facts, resource);
  if (collection === null) return false;
  for (const { id } of chainOf(facts, collection)) if (collections.includes(id)) return true;
  return false;
}

/** Why somebody may (not) do something: each right that reaches the resource and holds the operation. */
export interface Ground {
  /** `owner`, `organization-admin`, `member`, `team-admin`, `team-member`: by being that; `grant`: by one that was given. */
  type: 'administrator' | 'owner' | 'organization-admin' | 'member' | 'team-admin' | 'team-member' | 'grant';
  grantId: string | null;
  role: { id: string; name: string } | null;
  /** The user itself, or the team or organization by which it comes. */
  subject: { kind: 'user' | 'team' | 'organization'; id: string; name: string };
  /** Where it was given. */
  collection: { id: string; path: string } | null;
  repositoryId: string | null;
}

/**
 * All grounds on which the subject (a user or an organization) may do the operation; with null all its grounds on the resource, whatever they
 * give. Slower than `decide`, which has the same outcome.
 */
export function groundsOf(facts: Facts, subject: AccountFacts, operation: Operation | null, resource: ResourceRef): Ground[] {
  const number = operation === null ? null : numberOf(operation);
  const gives = (set: OperationSet): boolean => (number === null ? set.some((word) => word !== 0) : has(set, number));
  const self = { kind: subject.kind === 'organization' ? 'organization' : 'user', id: subject.id, name: subject.name } as const;
  const grounds: Ground[] = [];
  const bare = { grantId: null, role: null, repositoryId: null };
  if (subject.kind === 'user' && subject.admin) grounds.push({ ...bare, type: 'administrator', subject: self, collection: null });
  const addGrants = (target: string): void => {
    const grants = facts.grants.get(target);
    if (!grants) return;
    for (const grant of grantsFor(facts, subject.id, grants)) {
      const role = facts.roles.get(grant.roleId);
      if (!role || !gives(role.operations)) continue;
      const collection = grant.collectionId === null ? undefined : facts.collections.get(grant.collectionId);
      grounds.push({
        type: 'grant', grantId: grant.id, role: { id: role.id, name: role.name }, repositoryId: grant.repositoryId,
        subject: { kind: grant.subjectKind, id: grant.subjectId, name: subjectName(facts, grant) },
        collection: collection ? { id: collection.id, path: collection.path } : null,
      });
    }
  };
  let current: ResourceRef | undefined = resource;
  for (let depth = 0; current && depth < maxDepth; depth += 1, current = current.parent) {
    if (current.kind === 'repository') addGrants(current.id);
    if (current.kind === 'team') {
      const administers = facts.teamsOf.get(subject.id)?.get(current.id);
      const team = { kind: 'team', id: current.id, name: facts.teams.get(current.id)?.name ?? current.id } as const;
      if (administers !== undefined && gives(administers ? teamAdminSet : teamSet)) grounds.push({ ...bare, type: administers ? 'team-admin' : 'team-member', subject: team, collection: null });
    }
  }
  const start = collectionOf(facts, resource);
  for (const collection of start === null ? [] : chainOf(facts, start)) {
    const place = { id: collection.id, path: collection.path };
    if (gives(ownership(facts, subject.id, collection))) {
      const role = collection.ownerId === subject.id ? 'owner' : facts.members.get(collection.ownerId ?? '')?.get(subject.id);
      const owner = facts.accounts.get(collection.ownerId ?? '');
      const by = role === 'owner' || !owner ? self : ({ kind: 'organization', id: owner.id, name: owner.name } as const);
      grounds.push({ ...bare, type: role === 'owner' ? 'owner' : role === 'admin' ? 'organization-admin' : 'member', subject: by, collection: place });
    }
    addGrants(collection.id);
  }
  return grounds;
}

/** Name of a grant's subject as people know it: `acme/developers` for a team. */
export function subjectName(facts: Facts, grant: Pick<GrantFacts, 'subjectKind' | 'subjectId'>): string {
  if (grant.subjectKind !== 'team') return facts.accounts.get(grant.subjectId)?.name ?? grant.subjectId;
  const team = facts.teams.get(grant.subjectId);
  return team ? `${facts.accounts.get(team.organizationId)?.name ?? team.organizationId}/${team.name}` : grant.subjectId;
}

/** As `decide` for one actor and operation on many resources of one kind, with the same outcome: what is the same for all is looked up once. */
export function decideMany(facts: Facts, actor: Actor, operation: Operation): (resource: ResourceRef) => boolean {
  const slow = (resource: ResourceRef): boolean => decide(facts, actor, operation, resource).allowed;
  const account = actor.id === null || (actor.kind !== 'user' && actor.kind !== 'robot') ? undefined : facts.accounts.get(actor.id);
  const subject = account && subjectOf(facts, account);
  if (!account?.active || !subject?.active || actor.limits !== null || (account.kind === 'user' && account.admin)) return slow;
  const number = numberOf(operation);
  let kind = '';
  let placements: ReadonlyMap<string, string> | undefined;
  let known = facts.memo.get(subject.id);
  return (resource) => {
    if (resource.kind !== kind) [kind, placements] = [resource.kind, facts.placements.get(resource.kind)];
    // What is nobody's is the system's, which is `/`.
    const isNobodys = resource.parent === systemResource;
    const collection = placements?.get(resource.id) ?? (isNobodys ? rootCollectionId : undefined);
    // Levels, teams, accounts and what is placed by another parent are asked about in full.
    if (collection === undefined || kind === 'repository' || kind === 'team' || kind === 'account' || kind === 'collection' || kind === 'system' || (resource.parent !== undefined && !isNobodys)) return slow(resource);
    let rights = known?.get(collection);
    if (rights === undefined) {
      rights = rightsIn(facts, subject.id, collection);
      known = facts.memo.get(subject.id);
    }
    return has(rights, number);
  };
}

/** Whether a role may hold the operation at all. */
export function isGrantable(operation: string): operation is Operation {
  return isOperation(operation) && gradeOf(operation) !== 'admin';
}
