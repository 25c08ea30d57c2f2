import type { Db } from '@gantry/platform';
import type { EntityManager } from 'typeorm';
import { isGrantable, type AccountFacts, type CollectionFacts, type Facts, type GrantFacts, type RoleFacts, type TeamFacts } from './decide';
import type { MemberRole } from './entities';
import { toSet, type OperationSet } from './operations';
import { builtInRoles } from './built-in-roles';

const batch = 20_000;

/** One change of the facts, as it stands in `access_changes`. Applying it twice is harmless. */
export type Change =
  | { type: 'account'; account: AccountFacts }
  | { type: 'account-removed'; id: string }
  | { type: 'member'; organizationId: string; userId: string; role: MemberRole | null }
  | { type: 'team'; team: TeamFacts }
  | { type: 'team-removed'; id: string }
  /** `administers` null: not in the team (any more). */
  | { type: 'team-member'; teamId: string; userId: string; administers: boolean | null }
  | { type: 'collection'; collection: CollectionFacts }
  | { type: 'collection-removed'; id: string }
  | { type: 'role'; role: { id: string; name: string; operations: string[] } }
  | { type: 'role-removed'; id: string }
  | { type: 'grant'; grant: GrantFacts }
  | { type: 'grant-removed'; id: string }
  | { type: 'placement'; kind: string; id: string; collectionId: string | null }
  /** Something remembered of an account's credentials is void: its password, or one session, token, certificate or service credential. */
  | { type: 'credentials'; accountId?: string; credentialId?: string }
  /** The directory's settings have changed. */
  | { type: 'directory' };

/** The facts in memory, at a version of `access_changes`. */
export class Snapshot implements Facts {
  readonly accounts = new Map<string, AccountFacts>();
  readonly namespaces = new Map<string, AccountFacts>();
  readonly members = new Map<string, Map<string, MemberRole>>();
  /** user id → organization id → role */
  readonly memberships = new Map<string, Map<string, MemberRole>>();
  readonly teams = new Map<string, TeamFacts>();
  readonly teamsOf = new Map<string, Map<string, boolean>>();
  /** team id → user id → whether it administers the team */
  readonly teamMembers = new Map<string, Map<string, boolean>>();
  readonly collections = new Map<string, CollectionFacts>();
  readonly placements = new Map<string, Map<string, string>>();
  /** kind → id → collection, of what does not lie in an account's own collection but was moved elsewhere. */
  readonly moved = new Map<string, Map<string, string>>();
  readonly roles = new Map<string, RoleFacts>();
  readonly grants = new Map<string, Map<string, GrantFacts[]>>();
  readonly grantsById = new Map<string, GrantFacts>();
  /** subject id → grant id → grant */
  readonly grantsOf = new Map<string, Map<string, GrantFacts>>();
  /** path → collection id */
  readonly paths = new Map<string, string>();
  readonly memo = new Map<string, Map<string, OperationSet>>();

  private constructor(public version: number | null) {
    for (const role of builtInRoles) this.roles.set(role.id, { id: role.id, name: role.name, operations: toSet(role.operations) });
  }

  /** Knows nothing, so nothing is allowed but to the system. */
  static empty(): Snapshot {
    return new Snapshot(null);
  }

  /** Reads everything as of one moment. */
  static async load(db: Db): Promise<Snapshot> {
    return db.dataSource.transaction('REPEATABLE READ', async (em: EntityManager) => {
      const rows = <T>(sql: string): Promise<T[]> => em.query<T[]>(sql);
      const [last] = await rows<{ version: string }>('select coalesce(max(version), 0) as version from access_changes');
      const snapshot = new Snapshot(Number(last?.version ?? 0));
      const apply = (change: Change): void => snapshot.apply(change, snapshot.version ?? 0);
      for (const account of await rows<AccountFacts>('select id, kind, name, namespace, admin, active, owner_id as "ownerId" from access_accounts')) apply({ type: 'account', account });
      for (const row of await rows<{ organizationId: string; userId: string; role: MemberRole }>(
        'select organization_id as "organizationId", user_id as "userId", role from access_members')) apply({ type: 'member', ...row });
      for (const collection of await rows<CollectionFacts>('select id, parent_id as "parentId", path, owner_id as "ownerId" from access_collections')) apply({ type: 'collection', collection });
      for (const team of await rows<TeamFacts>('select id, organization_id as "organizationId", name from access_teams')) apply({ type: 'team', team });
      for (const row of await rows<{ teamId: string; userId: string; administers: boolean }>(
        'select team_id as "teamId", user_id as "userId", bool_or(administers) as administers from access_team_members group by team_id, user_id')) apply({ type: 'team-member', ...row });
      for (const role of await rows<{ id: string; name: string; operations: string[] }>('select id, name, operations from access_roles where not built_in')) apply({ type: 'role', role });
      for (const grant of await rows<GrantFacts>(
        `select id, subject_kind as "subjectKind", subject_id as "subjectId", role_id as "roleId", collection_id as "collectionId", repository_id as "repositoryId"
         from access_grants`)) apply({ type: 'grant', grant });
      await snapshot.loadPlacements(em);
      return snapshot;
    });
  }

  /** In batches, and each collection's id once: there may be a million of them. */
  private async loadPlacements(em: EntityManager): Promise<void> {
    let [kind, id] = ['', ''];
    for (;;) {
      const rows = await em.query<{ kind: string; id: string; collectionId: string }[]>(
        'select kind, id, collection_id as "collectionId" from access_placements where (kind, id) > ($1, $2) order by kind, id limit $3', [kind, id, batch]);
      for (const row of rows) {
        this.apply({ type: 'placement', kind: row.kind, id: row.id, collectionId: this.collections.get(row.collectionId)?.id ?? row.collectionId }, this.version ?? 0);
      }
      const last = rows.at(-1);
      if (!last || rows.length < batch) return;
      ({ kind, id } = last);
    }
  }

  /** Applies one change and moves to its version. */
  apply(change: Change, version: number): void {
    switch (change.type) {
      case 'account': {
        const before = this.accounts.get(change.account.id);
        if (before?.namespace != null) this.namespaces.delete(before.namespace);
        this.accounts.set(change.account.id, change.account);
        if (change.account.namespace !== null) this.namespaces.set(change.account.namespace, change.account);
        break;
      }
      case 'account-removed':
        this.removeAccount(change.id);
        break;
      case 'member':
        setOrDelete(this.members, change.organizationId, change.userId, change.role);
        setOrDelete(this.memberships, change.userId, change.organizationId, change.role);
        this.memo.delete(change.userId);
        break;
      case 'team':
        this.teams.set(change.team.id, change.team);
        break;
      case 'team-removed':
        this.removeTeam(change.id);
        break;
      case 'team-member':
        setOrDelete(this.teamsOf, change.userId, change.teamId, change.administers);
        setOrDelete(this.teamMembers, change.teamId, change.userId, change.administers);
        this.memo.delete(change.userId);
        break;
      case 'collection':
        this.removeCollection(change.collection.id);
        this.collections.set(change.collection.id, change.collection);
        this.paths.set(change.collection.path, change.collection.id);
        break;
      case 'collection-removed':
        this.removeCollection(change.id);
        break;
      case 'role': {
        const { id, name, operations } = change.role;
        this.roles.set(id, { id, name, operations: toSet(operations.filter(isGrantable)) });
        this.memo.clear();
        break;
      }
      case 'role-removed':
        this.roles.delete(change.id);
        this.memo.clear();
        break;
      case 'grant':
        this.removeGrant(change.grant.id);
        this.addGrant(change.grant);
        break;
      case 'grant-removed':
        this.removeGrant(change.id);
        break;
      case 'placement':
        setOrDelete(this.placements, change.kind, change.id, change.collectionId);
        // An account's own collection has the account's id.
        setOrDelete(this.moved, change.kind, change.id, change.collectionId !== null && this.accounts.has(change.collectionId) ? null : change.collectionId);
        break;
      case 'credentials':
      case 'directory':
        break; // for those who remember credentials
    }
    this.version = version;
  }

  private addGrant(grant: GrantFacts): void {
    const target = grant.collectionId ?? grant.repositoryId ?? '';
    const there = this.grants.get(target) ?? new Map<string, GrantFacts[]>();
    there.set(grant.subjectId, [...(there.get(grant.subjectId) ?? []), grant]);
    this.grants.set(target, there);
    this.grantsById.set(grant.id, grant);
    setOrDelete(this.grantsOf, grant.subjectId, grant.id, grant);
    this.forget(grant);
  }

  private removeGrant(id: string): void {
    const grant = this.grantsById.get(id);
    if (!grant) return;
    this.grantsById.delete(id);
    setOrDelete(this.grantsOf, grant.subjectId, grant.id, null);
    const target = grant.collectionId ?? grant.repositoryId ?? '';
    const there = this.grants.get(target);
    const left = (there?.get(grant.subjectId) ?? []).filter((item) => item.id !== id);
    if (left.length > 0) there?.set(grant.subjectId, left);
    else there?.delete(grant.subjectId);
    if (there?.size === 0) this.grants.delete(target);
    this.forget(grant);
  }

  /** What was remembered of those whom a grant reaches is void. */
  private forget(grant: GrantFacts): void {
    this.memo.delete(grant.subjectId);
    if (grant.subjectKind === 'team') for (const userId of this.teamMembers.get(grant.subjectId)?.keys() ?? []) this.memo.delete(userId);
    if (grant.subjectKind === 'organization') for (const userId of this.members.get(grant.subjectId)?.keys() ?? []) this.memo.delete(userId);
  }

  private removeCollection(id: string): void {
    const known = this.collections.get(id);
    if (known && this.paths.get(known.path) === id) this.paths.delete(known.path);
    this.collections.delete(id);
    this.memo.clear();
  }

  private removeTeam(id: string): void {
    for (const userId of this.teamMembers.get(id)?.keys() ?? []) {
      this.teamsOf.get(userId)?.delete(id);
      this.memo.delete(userId);
    }
    this.teamMembers.delete(id);
    this.teams.delete(id);
    for (const grantId of [...(this.grantsOf.get(id)?.keys() ?? [])]) this.removeGrant(grantId);
  }

  private removeAccount(id: string): void {
    const account = this.accounts.get(id);
    if (account?.namespace != null) this.namespaces.delete(account.namespace);
    this.accounts.delete(id);
    for (const userId of this.members.get(id)?.keys() ?? []) this.memberships.get(userId)?.delete(id);
    for (const organizationId of this.memberships.get(id)?.keys() ?? []) this.members.get(organizationId)?.delete(id);
    this.members.delete(id);
    this.memberships.delete(id);
    for (const teamId of this.teamsOf.get(id)?.keys() ?? []) this.teamMembers.get(teamId)?.delete(id);
    this.teamsOf.delete(id);
    for (const team of [...this.teams.values()]) if (team.organizationId === id) this.removeTeam(team.id);
    for (const grant of [...this.grantsById.values()]) if (grant.subjectId === id || grant.collectionId === id) this.removeGrant(grant.id);
    this.removeCollection(id);
  }
}

function setOrDelete<T>(map: Map<string, Map<string, T>>, outer: string, inner: string, value: T | null): void {
  const known = map.get(outer);
  if (value === null) known?.delete(inner);
  else if (known) known.set(inner, value);
  else map.set(outer, new Map([[inner, value]]));
}
