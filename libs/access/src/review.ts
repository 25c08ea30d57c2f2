import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Db, requestProblem, type Context } from '@gantry/platform';
import { Access } from './access';
import {
  chainOf, collectionOf, groundsOf, isGrantable, rightsIn, rightsOn, subjectName, type AccountFacts, type Facts, type GrantFacts, type Ground, type ResourceRef, type RoleFacts,
} from './decide';
import { Grants } from './grants';
import { has, numberOf, operations, toList, toSet, type Operation, type OperationSet } from './operations';
import { accessProblem } from './problems';
import { Roles } from './roles';

/** An edit whose effect is asked for before it is made. */
export type WishedChange =
  /** The role (id or name) would hold exactly these operations. */
  | { type: 'role'; role: string; operations: string[] }
  /** The subject would be given the role on the collection. */
  | { type: 'grant'; subject: string; role: string; collection: string }
  /** The grant would be taken back. */
  | { type: 'revoke'; grant: string };

/** What an account would gain and lose in one place, and, unless another grant below says otherwise, in everything under it. */
export interface Effect {
  account: { id: string; name: string };
  collection: { id: string; path: string } | null;
  repositoryId: string | null;
  gains: Operation[];
  loses: Operation[];
}

/** One way by which somebody may do something, for people who review rights. */
export interface ReviewRow {
  account: string;
  accountKind: 'user' | 'organization';
  source: string;
  active: boolean;
  /** `administrator`, `owner`, `organization-admin`, `member` or `grant`. */
  by: Ground['type'];
  /** The team (`acme/developers`) or organization by which it comes; empty when given to the account itself. */
  through: string;
  role: string;
  /** Path of the collection, or `repository <id>`. */
  on: string;
  grantId: string;
  grantedBy: string;
  /** ISO 8601, UTC; empty where nobody granted it. */
  grantedAt: string;
  operations: number;
}

/** Somebody who may do an operation, and why. */
export interface Holder {
  account: { id: string; name: string; kind: AccountFacts['kind'] };
  grounds: Ground[];
}

const effectLimit = 1_000;
const batch = 500;

/** Questions about many accounts' rights: who can, what would change, who can do what where. Nothing here changes a right. */
@Injectable()
export class Review {
  constructor(
    private readonly db: Db,
    private readonly access: Access,
    private readonly grants: Grants,
    private readonly roles: Roles,
    private readonly audit: Audit,
  ) {}

  /** Users (and organizations, for their robots) that may do the operation on the resource, by name; administrators last. At most `limit` of them. */
  whoCan(operation: Operation, resource: ResourceRef, limit: number): { holders: Holder[]; more: boolean } {
    const facts = this.access.facts();
    const number = numberOf(operation);
    const holders: AccountFacts[] = [];
    for (const id of this.candidates(facts, resource)) {
      const account = facts.accounts.get(id);
      if (account?.active && !(account.kind === 'user' && account.admin) && has(rightsOn(facts, id, resource), number)) holders.push(account);
    }
    holders.sort(byName);
    const admins = [...facts.accounts.values()].filter((account) => account.kind === 'user' && account.admin && account.active).sort(byName);
    const all = [...holders, ...admins];
    return {
      holders: all.slice(0, limit).map((account) => ({ account: { id: account.id, name: account.name, kind: account.kind }, grounds: groundsOf(facts, account, operation, resource) })),
      more: all.length > limit,
    };
  }

  /** Everybody whom an ownership, membership or grant connects with the resource. */
  private candidates(facts: Facts, resource: ResourceRef): Set<string> {
    const found = new Set<string>();
    const targets: string[] = [];
    for (let current: ResourceRef | undefined = resource; current; current = current.parent) {
      if (current.kind === 'repository') targets.push(current.id);
      if (current.kind === 'team') for (const userId of this.access.teamMembers(current.id)) found.add(userId);
    }
    const start = collectionOf(facts, resource);
    for (const collection of start === null ? [] : chainOf(facts, start)) {
      targets.push(collection.id);
      if (collection.ownerId === null) continue;
      found.add(collection.ownerId);
      for (const userId of facts.members.get(collection.ownerId)?.keys() ?? []) found.add(userId);
    }
    for (const target of targets) {
      for (const grants of facts.grants.get(target)?.values() ?? []) for (const grant of grants) for (const id of this.reached(facts, grant)) found.add(id);
    }
    return found;
  }

  private reached(facts: Facts, grant: Pick<GrantFacts, 'subjectKind' | 'subjectId'>): string[] {
    if (grant.subjectKind === 'team') return this.access.teamMembers(grant.subjectId);
    return [grant.subjectId, ...(grant.subjectKind === 'organization' ? (facts.members.get(grant.subjectId)?.keys() ?? []) : [])];
  }

  /**
   * What would change for whom if these edits were made together, at most 1,000 entries (`more` says that there are others). Administrators are
   * left out: they do everything before and after. @throws request.invalid, access.role-operation, access.role-built-in
   */
  async whatIf(ctx: Context, changes: WishedChange[]): Promise<{ effects: Effect[]; more: boolean }> {
    const before: Facts = { ...this.access.facts(), memo: new Map<string, Map<string, OperationSet>>() };
    const roles = new Map(before.roles);
    const grants = new Map([...before.grants].map(([target, there]) => [target, new Map(there)] as const));
    const touched = new Map<string, { grant: GrantFacts; users: Set<string> }>();
    const touch = (grant: GrantFacts): void => {
      const target = grant.collectionId ?? grant.repositoryId ?? '';
      const entry = touched.get(target) ?? { grant, users: new Set<string>() };
      for (const id of this.reached(before, grant)) entry.users.add(id);
      touched.set(target, entry);
    };
    for (const [index, change] of changes.entries()) {
      const at = `/changes/${index}`;
      if (change.type === 'role') {
        const role = await this.wishedRole(ctx, change, at);
        roles.set(role.id, role);
        for (const there of grants.values()) for (const list of there.values()) for (const grant of list) if (grant.roleId === role.id) touch(grant);
      } else if (change.type === 'grant') {
        const grant = await this.grants.resolve(ctx, change, at);
        const there = grants.get(grant.collectionId ?? '') ?? new Map<string, readonly GrantFacts[]>();
        there.set(grant.subjectId, [...(there.get(grant.subjectId) ?? []), grant]);
        grants.set(grant.collectionId ?? '', there);
        touch(grant);
      } else {
        const grant = [...grants.values()].flatMap((there) => [...there.values()].flat()).find(({ id }) => id === change.grant);
        if (!grant) throw requestProblem('invalid', { errors: [{ pointer: `${at}/grant`, detail: 'no such grant' }] });
        const there = grants.get(grant.collectionId ?? grant.repositoryId ?? '');
        there?.set(grant.subjectId, (there.get(grant.subjectId) ?? []).filter(({ id }) => id !== grant.id));
        touch(grant);
      }
    }
    const after: Facts = { ...before, roles, grants, memo: new Map() };
    const effects: Effect[] = [];
    for (const [target, { grant, users }] of touched) {
      for (const id of users) {
        const account = before.accounts.get(id);
        if (!account || (account.kind === 'user' && account.admin)) continue;
        const effect = compare(before, after, account, grant, target);
        if (!effect) continue;
        if (effects.length >= effectLimit) return { effects, more: true };
        effects.push(effect);
      }
    }
    return { effects, more: false };
  }

  private async wishedRole(ctx: Context, change: { role: string; operations: string[] }, at: string): Promise<RoleFacts> {
    const role = await this.roles.find(ctx, change.role);
    if (!role) throw requestProblem('invalid', { errors: [{ pointer: `${at}/role`, detail: 'no such role' }] });
    if (role.builtIn) throw accessProblem('role-built-in', { errors: [{ pointer: `${at}/role`, detail: 'is built in' }] });
    const errors = change.operations.flatMap((operation, place) => (isGrantable(operation) ? [] : [{ pointer: `${at}/operations/${place}`, detail: 'no role can hold this' }]));
    if (errors.length > 0) throw accessProblem('role-operation', { errors });
    return { id: role.id, name: role.name, operations: toSet(change.operations) };
  }

  /**
   * The access review: every user, and every way by which it may do something, as of now; administrators, then ownerships and memberships, then grants
   * in the order in which they were given. Asking for it is an audit row. Memory stays bounded by a batch of 500 grants.
   */
  async *rows(ctx: Context): AsyncGenerator<ReviewRow> {
    await this.audit.record(ctx, { action: 'access.review', outcome: 'success', resource: { kind: 'system', id: 'system' } });
    const sources = new Map((await this.db.query<{ id: string; source: string }>(ctx, 'select id, source from access_accounts')).map(({ id, source }) => [id, source]));
    const facts = this.access.facts();
    const of = (account: AccountFacts): Pick<ReviewRow, 'account' | 'accountKind' | 'source' | 'active'> => ({
      account: account.name, accountKind: account.kind === 'organization' ? 'organization' : 'user', source: sources.get(account.id) ?? '', active: account.active,
    });
    const ungranted = { grantId: '', grantedBy: '', grantedAt: '' };
    for (const account of facts.accounts.values()) {
      if (account.kind === 'robot') continue;
      if (account.admin) yield { ...of(account), by: 'administrator', through: '', role: 'administrator', on: '/', ...ungranted, operations: operations.length };
      const own = facts.collections.get(account.id);
      if (own) yield { ...of(account), by: 'owner', through: '', role: 'owner', on: own.path, ...ungranted, operations: count(rightsIn(facts, account.id, account.id)) };
      for (const [organizationId, role] of facts.memberships.get(account.id) ?? []) {
        const organization = facts.accounts.get(organizationId);
        const collection = facts.collections.get(organizationId);
        if (!organization || !collection) continue;
        yield {
          ...of(account), by: role === 'admin' ? 'organization-admin' : 'member', through: organization.name, role, on: collection.path, ...ungranted,
          operations: count(rightsIn(facts, account.id, organizationId)),
        };
      }
    }
    for (let cursor: string | undefined; ; ) {
      const page = await this.grants.list(ctx, { limit: batch, ...(cursor === undefined ? {} : { cursor }) });
      for (const grant of page.items) {
        const role = facts.roles.get(grant.role.id);
        const subject = { subjectKind: grant.subject.kind, subjectId: grant.subject.id };
        for (const id of this.reached(facts, subject)) {
          const account = facts.accounts.get(id);
          if (!account) continue;
          yield {
            ...of(account), by: 'grant', through: id === grant.subject.id ? '' : subjectName(facts, subject), role: grant.role.name,
            on: grant.collection?.path ?? `repository ${grant.repositoryId ?? ''}`, grantId: grant.id, grantedBy: grant.createdBy, grantedAt: grant.createdAt.toISOString(),
            operations: role ? count(role.operations) : 0,
          };
        }
      }
      if (page.next === null) return;
      cursor = page.next;
    }
  }
}

function compare(before: Facts, after: Facts, account: AccountFacts, grant: GrantFacts, target: string): Effect | null {
  const resource: ResourceRef = grant.collectionId === null ? { kind: 'repository', id: target } : { kind: 'collection', id: target };
  const [was, becomes] = [rightsOn(before, account.id, resource), rightsOn(after, account.id, resource)];
  const gains = toList(becomes.map((word, at) => word & ~(was[at] ?? 0)));
  const loses = toList(was.map((word, at) => word & ~(becomes[at] ?? 0)));
  if (gains.length + loses.length === 0) return null;
  const collection = before.collections.get(target);
  return {
    account: { id: account.id, name: account.name }, collection: collection && grant.collectionId !== null ? { id: target, path: collection.path } : null,
    repositoryId: grant.repositoryId, gains, loses,
  };
}

function count(set: OperationSet): number {
  return toList(set).length;
}

function byName(a: AccountFacts, b: AccountFacts): number {
  return a.name < b.name ? -1 : 1;
}
