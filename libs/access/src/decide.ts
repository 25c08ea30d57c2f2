import type { Actor } from '@gantry/platform';
import type { AccountKind, MemberRole } from './entities';
import { memberOperations, systemOperations, triggerOperations, type Operation } from './operations';

/** What is acted on. Children name their parent (`tag` → `repository` → `account`) and inherit its placement. */
export interface ResourceRef {
  kind: string;
  id: string;
  parent?: ResourceRef;
}

/** `system` is the resource of what only administrators do. */
export const systemResource: ResourceRef = { kind: 'system', id: 'system' };

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

/** The facts on which decisions rest. */
export interface Facts {
  accounts: ReadonlyMap<string, AccountFacts>;
  /** organization id → user id → role */
  members: ReadonlyMap<string, ReadonlyMap<string, MemberRole>>;
  collections: ReadonlyMap<string, CollectionFacts>;
  /** kind → resource id → collection id */
  placements: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

const no = (reason: string, visible = false): Decision => ({ allowed: false, visible, reason });
const yes = (reason: string): Decision => ({ allowed: true, visible: true, reason });
const maxDepth = 32;

/** Whether the credential by which the actor came allows the operation at all, on whatever resource. Anonymous actors may nothing. */
export function withinLimits(actor: Actor, operation: Operation): boolean {
  if (actor.kind === 'anonymous') return false;
  if (actor.kind === 'service') return operation === 'repository:pull';
  return actor.limits?.operations === undefined || actor.limits.operations.includes(operation);
}

/**
 * The decision, default deny. Who may: the system itself; administrators; the account that owns the collection in which the resource (or the
 * nearest placed parent) lies; administrators and, for looking and pulling, members of an owning organization. Robots act for their owner,
 * but never as system administrator. A credential's limits only take away.
 */
export function decide(facts: Facts, actor: Actor, operation: Operation, resource: ResourceRef): Decision {
  if (actor.kind === 'system') return yes('the system acts');
  if (actor.kind === 'anonymous') return no('not signed in');
  if (actor.kind === 'service') return decideService(actor, operation, resource);
  const related = actor.kind === 'trigger' ? decideTrigger(facts, actor, operation, resource) : decideAccount(facts, actor, operation, resource);
  if (!related.visible) return related;
  const { limits } = actor;
  if (limits?.repositories !== undefined && !withinRepositories(resource, limits.repositories)) return no('the token is limited to other repositories');
  if (!withinLimits(actor, operation)) return no(`the token does not allow ${operation}`, true);
  return related;
}

function decideService(actor: Actor, operation: Operation, resource: ResourceRef): Decision {
  if (operation !== 'repository:pull' || resource.kind !== 'repository') return no('a service credential only pulls');
  return actor.limits?.repositories?.includes(resource.id) === true ? yes('the service credential names the repository') : no('the service credential names other repositories');
}

function decideTrigger(facts: Facts, actor: Actor, operation: Operation, resource: ResourceRef): Decision {
  const owner = actor.id === null ? null : ownerOf(facts, { kind: 'trigger', id: actor.id });
  if (owner === null || facts.accounts.get(owner)?.active !== true) return no('the trigger has no active owner');
  if (ownerOf(facts, resource) !== owner) return no('the trigger’s account does not own the resource');
  return triggerOperations.has(operation) ? yes('the trigger’s account owns the resource') : no(`a trigger does not do ${operation}`, true);
}

function decideAccount(facts: Facts, actor: Actor, operation: Operation, resource: ResourceRef): Decision {
  const account = actor.id === null ? undefined : facts.accounts.get(actor.id);
  if (!account?.active) return no('the account is not active');
  if (account.kind === 'user' && account.admin) return yes('administrator');
  const subject = account.kind === 'robot' ? (account.ownerId === null ? undefined : facts.accounts.get(account.ownerId)) : account;
  if (!subject?.active) return no('the robot’s owner is not active');
  const owner = ownerOf(facts, resource);
  if (owner === null) return no('only administrators see this');
  const role = subject.id === owner ? 'owner' : facts.members.get(owner)?.get(subject.id);
  if (role === undefined) return no('neither owner nor member');
  if (systemOperations.has(operation)) return no('only administrators do this', true);
  if (role !== 'member') return yes(role === 'owner' ? 'owner' : 'administrator of the owning organization');
  return memberOperations.has(operation) ? yes('member of the owning organization') : no('members of the owning organization look and pull only', true);
}

/** Account that owns the resource: by the placement of the resource, else of its nearest placed parent. An account owns itself. Null when nobody does. */
export function ownerOf(facts: Facts, resource: ResourceRef): string | null {
  let current: ResourceRef | undefined = resource;
  for (let depth = 0; current && depth < maxDepth; depth += 1, current = current.parent) {
    if (current.kind === 'account') {
      const account = facts.accounts.get(current.id);
      return account?.kind === 'robot' ? account.ownerId : (account?.id ?? null);
    }
    const placed = current.kind === 'collection' ? current.id : facts.placements.get(current.kind)?.get(current.id);
    if (placed !== undefined) return collectionOwner(facts, placed);
  }
  return null;
}

function collectionOwner(facts: Facts, id: string): string | null {
  let collection = facts.collections.get(id);
  for (let depth = 0; collection && depth < maxDepth; depth += 1) {
    if (collection.ownerId !== null) return collection.ownerId;
    collection = collection.parentId === null ? undefined : facts.collections.get(collection.parentId);
  }
  return null;
}

function withinRepositories(resource: ResourceRef, repositories: readonly string[]): boolean {
  let current: ResourceRef | undefined = resource;
  for (let depth = 0; current && depth < maxDepth; depth += 1, current = current.parent) {
    if (current.kind === 'repository') return repositories.includes(current.id);
  }
  return false;
}
