import type { Db } from '@gantry/platform';
import type { EntityManager } from 'typeorm';
import type { AccountFacts, CollectionFacts, Facts } from './decide';
import type { MemberRole } from './entities';

/** One change of the facts, as it stands in `access_changes`. Applying it twice is harmless. */
export type Change =
  | { type: 'account'; account: AccountFacts }
  | { type: 'account-removed'; id: string }
  | { type: 'member'; organizationId: string; userId: string; role: MemberRole | null }
  | { type: 'collection'; collection: CollectionFacts }
  | { type: 'placement'; kind: string; id: string; collectionId: string | null }
  /** Something remembered of an account's credentials is void: its password, or one session, token or service credential. */
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
  readonly collections = new Map<string, CollectionFacts>();
  readonly placements = new Map<string, Map<string, string>>();

  private constructor(public version: number | null) {}

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
      for (const row of await rows<{ kind: string; id: string; collectionId: string }>('select kind, id, collection_id as "collectionId" from access_placements')) apply({ type: 'placement', ...row });
      return snapshot;
    });
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
        break;
      case 'collection':
        this.collections.set(change.collection.id, change.collection);
        break;
      case 'placement':
        setOrDelete(this.placements, change.kind, change.id, change.collectionId);
        break;
      case 'credentials':
      case 'directory':
        break; // for those who remember credentials
    }
    this.version = version;
  }

  private removeAccount(id: string): void {
    const account = this.accounts.get(id);
    if (account?.namespace != null) this.namespaces.delete(account.namespace);
    this.accounts.delete(id);
    for (const userId of this.members.get(id)?.keys() ?? []) this.memberships.get(userId)?.delete(id);
    for (const organizationId of this.memberships.get(id)?.keys() ?? []) this.members.get(organizationId)?.delete(id);
    this.members.delete(id);
    this.memberships.delete(id);
    this.collections.delete(id);
  }
}

function setOrDelete<T>(map: Map<string, Map<string, T>>, outer: string, inner: string, value: T | null): void {
  const known = map.get(outer);
  if (value === null) known?.delete(inner);
  else if (known) known.set(inner, value);
  else map.set(outer, new Map([[inner, value]]));
}
