import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { Db, LOGGER, requestProblem, systemContext, type Actor, type ActorLimits, type Context, type Logger } from '@gantry/platform';
import {
  chainOf, collectionOf, decide, decideMany, groundsOf, ownerOf, rootCollectionId, subjectOf, withinLimits, type AccountFacts, type CollectionFacts, type Decision, type Facts,
  type Ground, type ResourceRef,
} from './decide';
import { triggerOperations, type Operation } from './operations';
import { Snapshot, type Change } from './snapshot';

/** NOTIFY channel on which processes learn that facts have changed. */
export const accessChannel = 'gantry_access';

/** Transaction-level advisory lock around the allocation of a version, so that versions become visible in order. */
const versionLock = 7_263_003;
/** A lost NOTIFY is caught up within this time. */
const pollMillis = 1_000;

const systemId = '00000000-0000-7000-8000-000000000002';
/** `/Shared`. */
export const sharedCollectionId = '00000000-0000-7000-8000-000000000003';
/** Parent of users' own collections, `/Shared/Private`. */
export const privateCollectionId = '00000000-0000-7000-8000-000000000004';
/** Parent of organizations' collections, `/Organizations`. */
export const organizationsCollectionId = '00000000-0000-7000-8000-000000000005';

/**
 * Decides who may do what, synchronously, from a snapshot in memory. Every change of an account, membership, collection or placement is
 * a numbered row written in the same transaction; each process applies them in order, at NOTIFY. Without the database the
 * snapshot goes on as it is for five minutes; then nothing is allowed until the database answers.
 */
@Injectable()
export class Access implements OnModuleInit, OnModuleDestroy {
  private snapshot = Snapshot.empty();
  private timer: NodeJS.Timeout | null = null;
  private unlisten: (() => void) | null = null;
  private running: Promise<void> | null = null;
  private queued: Promise<void> | null = null;
  private readonly listeners = new Set<(change: Change | null) => void>();
  /** When the facts were last known to be those of the database (ms since 1970), and whether that is too long ago. */
  private trueAt = 0;
  private stale = false;
  /** How often the snapshot has changed. */
  private changes = 0;
  /** How long decisions go on without the database; after that all but the system's own are refused. */
  maxStaleMillis = 300_000;

  constructor(
    private readonly db: Db,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.start();
  }

  async onModuleDestroy(): Promise<void> {
    this.stop();
    await this.running?.catch(() => undefined);
  }

  /** Loads the snapshot and follows its changes. */
  async start(): Promise<void> {
    this.unlisten = await this.db.listen(accessChannel, () => void this.follow());
    await this.refresh(systemContext('access.start'));
    this.timer = setInterval(() => void this.follow(), pollMillis);
    this.timer.unref();
  }

  /** Stops following changes. */
  stop(): void {
    this.unlisten?.();
    if (this.timer) clearInterval(this.timer);
    this.timer = null;
  }

  /** The decision on one resource; see `decide` for the rules. */
  can(ctx: Context, operation: Operation, resource: ResourceRef): Decision {
    if (this.stale && ctx.actor.kind !== 'system') return tooOld;
    return decide(this.snapshot, ctx.actor, operation, resource);
  }

  /** What `can` would say to somebody else who comes with a credential of these limits. */
  explain(account: Pick<AccountFacts, 'id' | 'kind' | 'name' | 'admin'>, limits: ActorLimits | null, operation: Operation, resource: ResourceRef): Decision {
    return decide(this.snapshot, actorOf(account, limits), operation, resource);
  }

  /** All that lets the account (a robot: its owner) do the operation, or with null anything, on the resource. */
  grounds(account: Pick<AccountFacts, 'id'>, operation: Operation | null, resource: ResourceRef): Ground[] {
    const facts = this.snapshot.accounts.get(account.id);
    const subject = facts && subjectOf(this.snapshot, facts);
    if (!facts?.active || !subject?.active) return [];
    // A robot never acts as administrator, though its owner be one.
    return groundsOf(this.snapshot, facts.kind === 'robot' ? { ...subject, admin: false } : subject, operation, resource);
  }

  /** Ids of a team's members. */
  teamMembers(teamId: string): string[] {
    return [...(this.snapshot.teamMembers.get(teamId)?.keys() ?? [])];
  }

  /** The facts as of now, for questions about many accounts at once. Not to be kept, nor changed. */
  facts(): Facts {
    return this.snapshot;
  }

  /** @throws request.unauthenticated (nobody), request.not-found (not visible), request.forbidden (visible, not allowed) */
  assertCan(ctx: Context, operation: Operation, resource: ResourceRef): void {
    const decision = this.can(ctx, operation, resource);
    if (decision.allowed) return;
    if (ctx.actor.kind === 'anonymous') throw requestProblem('unauthenticated');
    // The system itself is no secret: what only administrators do is refused, not hidden.
    if (!decision.visible && resource.kind !== 'system') throw requestProblem('not-found');
    throw requestProblem('forbidden', { detail: `${operation} is not allowed here: ${decision.reason}.` });
  }

  /** The items on which the actor may do the operation. */
  filter<T>(ctx: Context, operation: Operation, items: T[], ref: (item: T) => ResourceRef): T[] {
    const may = this.judge(ctx, operation);
    return items.filter((item) => may(ref(item)));
  }

  /** As `can(…).allowed` for many resources: what is the same for all is looked up once. What it answers holds as long as `revision` is the same. */
  judge(ctx: Context, operation: Operation): (resource: ResourceRef) => boolean {
    if (this.stale && ctx.actor.kind !== 'system') return () => false;
    return decideMany(this.snapshot, ctx.actor, operation);
  }

  /** Whether the operation is within the limits of the actor's credential at all; false for nobody. */
  mayUse(ctx: Context, operation: Operation): boolean {
    return withinLimits(ctx.actor, operation);
  }

  /**
   * Where the actor may do the operation on resources of a kind that lie in their account's collection unless somebody moved them, to be put into
   * a list's SQL with `inScope`; null = everywhere. Exact but for a token's limits: `filter` what comes back where they narrow further.
   */
  listScope(ctx: Context, operation: Operation, kind: string): ListScope | null {
    const { actor } = ctx;
    const nowhere: ListScope = { owners: [], moved: [], ids: [] };
    if (actor.kind === 'system') return null;
    if (!withinLimits(actor, operation) || actor.id === null) return nowhere;
    if (actor.limits?.repositories !== undefined && kind !== 'repository') return nowhere;
    if (actor.kind === 'trigger' && !triggerOperations.has(operation)) return nowhere;
    const account = this.snapshot.accounts.get(actor.kind === 'trigger' ? (ownerOf(this.snapshot, { kind: 'trigger', id: actor.id }) ?? '') : actor.id);
    const subject = account && subjectOf(this.snapshot, account);
    if (!account?.active || !subject?.active) return nowhere;
    const limited = actor.limits?.collections !== undefined;
    if (account.kind === 'user' && account.admin && actor.kind === 'user' && !limited) return null;
    const may = (collectionId: string): boolean => this.can(ctx, operation, { kind: 'collection', id: collectionId }).allowed;
    // Grants only add on the way down, so what is allowed on the root is allowed everywhere.
    if (!limited && may(rootCollectionId)) return null;
    const owners: string[] = [];
    // Most accounts are strangers: their collections are asked about only where a grant could reach them from above.
    const everywhere = limited || may(privateCollectionId) || may(organizationsCollectionId);
    if (everywhere) for (const { id } of this.snapshot.accounts.values()) if (this.snapshot.collections.has(id) && may(id)) owners.push(id);
    if (!everywhere) for (const id of this.reachable(subject.id)) if (may(id)) owners.push(id);
    const moved: string[] = [];
    const ids: string[] = [];
    for (const [id, collectionId] of this.snapshot.moved.get(kind) ?? []) (may(collectionId) ? ids : moved).push(id);
    if (kind === 'repository') for (const id of this.levelled(subject.id)) if (this.can(ctx, operation, { kind: 'repository', id }).allowed) ids.push(id);
    return { owners, moved, ids };
  }

  /** Accounts whose collections the subject owns, is a member of, or has a grant on. */
  private *reachable(subjectId: string): Generator<string> {
    const { snapshot } = this;
    yield subjectId;
    yield* snapshot.memberships.get(subjectId)?.keys() ?? [];
    const subjects = [subjectId, ...(snapshot.memberships.get(subjectId)?.keys() ?? []), ...(snapshot.teamsOf.get(subjectId)?.keys() ?? [])];
    const seen = new Set([subjectId, ...(snapshot.memberships.get(subjectId)?.keys() ?? [])]);
    for (const subject of subjects) {
      for (const grant of snapshot.grantsOf.get(subject)?.values() ?? []) {
        if (grant.collectionId === null || !snapshot.accounts.has(grant.collectionId) || seen.has(grant.collectionId)) continue;
        seen.add(grant.collectionId);
        yield grant.collectionId;
      }
    }
  }

  /** Repositories on which the subject has a level of its own. */
  private *levelled(subjectId: string): Generator<string> {
    const { snapshot } = this;
    for (const subject of [subjectId, ...(snapshot.memberships.get(subjectId)?.keys() ?? []), ...(snapshot.teamsOf.get(subjectId)?.keys() ?? [])]) {
      for (const grant of snapshot.grantsOf.get(subject)?.values() ?? []) if (grant.repositoryId !== null) yield grant.repositoryId;
    }
  }

  /** Account that owns a resource by its placement; null when nobody does. */
  findOwner(resource: ResourceRef): string | null {
    return ownerOf(this.snapshot, resource);
  }

  /** What the snapshot knows of an account; undefined when it is not (yet) there. */
  findAccount(id: string): AccountFacts | undefined {
    return this.snapshot.accounts.get(id);
  }

  /** Account whose repositories have this first path component, from the snapshot. */
  findNamespace(namespace: string): AccountFacts | undefined {
    return this.snapshot.namespaces.get(namespace);
  }

  /** Reference of a collection by id or path, or null. */
  findCollection(_ctx: Context, idOrPath: string): ResourceRef | null {
    const id = this.snapshot.collections.has(idOrPath) ? idOrPath : this.snapshot.paths.get(idOrPath);
    return id === undefined ? null : { kind: 'collection', id };
  }

  /** Collection in which the resource itself lies; null when it lies nowhere of its own. */
  findPlacement(resource: ResourceRef): CollectionFacts | null {
    return this.snapshot.collections.get(this.snapshot.placements.get(resource.kind)?.get(resource.id) ?? '') ?? null;
  }

  /** The collection by which the resource is judged and those above it, nearest first. */
  collectionsAbove(resource: ResourceRef): CollectionFacts[] {
    const id = collectionOf(this.snapshot, resource);
    return id === null ? [] : [...chainOf(this.snapshot, id)];
  }

  /** Every collection by id, whoever asks. */
  listCollectionFacts(): ReadonlyMap<string, CollectionFacts> {
    return this.snapshot.collections;
  }

  /** All collections whose content the actor may see, by path. */
  listCollections(ctx: Context): CollectionFacts[] {
    const all = [...this.snapshot.collections.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
    return this.filter(ctx, 'collection:view', all, (collection) => ({ kind: 'collection', id: collection.id }));
  }

  /** Puts a resource into a collection (or moves it), in the caller's transaction. The resource decides by it as soon as that commits. */
  async place(ctx: Context, resource: { kind: string; id: string }, collectionId: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      await this.db.query(
        tx,
        `insert into access_placements (kind, id, collection_id) values ($1, $2, $3) on conflict (kind, id) do update set collection_id = excluded.collection_id`,
        [resource.kind, resource.id, collectionId],
      );
      await this.publish(tx, [{ type: 'placement', kind: resource.kind, id: resource.id, collectionId }]);
    });
  }

  /** Takes a resource out of its collection, in the transaction that deletes it. */
  async unplace(ctx: Context, resource: { kind: string; id: string }): Promise<void> {
    await this.unplaceAll(ctx, [resource]);
  }

  /** As `unplace`, of many at once. */
  async unplaceAll(ctx: Context, resources: readonly { kind: string; id: string }[]): Promise<void> {
    if (resources.length === 0) return;
    await this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'delete from access_placements using unnest($1::text[], $2::text[]) as gone (kind, id) where access_placements.kind = gone.kind and access_placements.id = gone.id returning 1', [
        resources.map(({ kind }) => kind), resources.map(({ id }) => id),
      ]);
      await this.publish(tx, resources.map(({ kind, id }) => ({ type: 'placement' as const, kind, id, collectionId: null })));
    });
  }

  /** The collection that an account owns: `/Organizations/<name>` or `/Shared/Private/<name>`. It has the account's id. */
  accountCollection(accountId: string): string {
    return accountId;
  }

  /** Id of `/System`: what belongs to operations alone. */
  systemCollection(): string {
    return systemId;
  }

  /** Id of `/`. */
  rootCollection(): string {
    return rootCollectionId;
  }

  /** Calls back for each change as it is applied, with null when everything was loaded anew. Returns the undo. */
  onChange(listener: (change: Change | null) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Appends changes in the context's transaction; this process has applied them when the outermost `transaction` returns. */
  async publish(ctx: Context, changes: Change[]): Promise<void> {
    await this.db.query(ctx, 'select pg_advisory_xact_lock($1)', [versionLock]);
    await this.db.query(
      ctx,
      `with last as (select coalesce(max(version), 0) as version from access_changes),
         added as (insert into access_changes (version, change)
           select last.version + item.position, item.change from last, jsonb_array_elements($1::jsonb) with ordinality as item(change, position) returning 1)
       select pg_notify('${accessChannel}', '') from added limit 1`,
      [JSON.stringify(changes)],
    );
    await this.db.afterCommit(ctx, () => this.follow());
  }

  /** Applies what was committed before the call. @throws when the database does not answer */
  async refresh(ctx: Context): Promise<void> {
    const free: Context = { ...ctx, tx: null, afterCommit: null };
    this.queued ??= (async () => {
      await this.running?.catch(() => undefined);
      this.queued = null;
      this.running = this.catchUp(free);
      await this.running;
    })();
    return this.queued;
  }

  private async follow(): Promise<void> {
    try {
      await this.refresh(systemContext('access.refresh'));
    } catch (error) {
      this.stale = Date.now() - this.trueAt > this.maxStaleMillis;
      this.logger.warn({ error: (error as Error).message }, this.stale ? 'the access snapshot is too old: nothing is allowed until the database answers' : 'the access snapshot could not be refreshed; it goes on as it is');
    }
  }

  private async catchUp(ctx: Context): Promise<void> {
    const asked = Date.now();
    await this.readChanges(ctx);
    this.trueAt = asked;
    this.stale = false;
  }

  private async readChanges(ctx: Context): Promise<void> {
    if (this.snapshot.version !== null) {
      const rows = await this.db.query<{ version: string; change: Change }>(ctx, 'select version, change from access_changes where version > $1 order by version', [
        this.snapshot.version,
      ]);
      if (rows.length === 0) return;
      if (Number(rows[0]!.version) === this.snapshot.version + 1) {
        for (const row of rows) {
          this.snapshot.apply(row.change, Number(row.version));
          this.tell(row.change);
        }
        return;
      }
      // Changes are kept for an hour; who was away longer loads everything.
    }
    this.snapshot = await Snapshot.load(this.db);
    this.tell(null);
  }

  /** Another number whenever somebody may do something else than before; null while nobody may do anything. What was decided at one number holds as long as it is the same. */
  get revision(): number | null {
    return this.stale ? null : this.changes;
  }

  private tell(change: Change | null): void {
    this.changes += 1;
    for (const listener of this.listeners) listener(change);
  }
}

const tooOld: Decision = { allowed: false, visible: false, reason: 'the database has not answered for too long to know who may do what' };

/** Of a kind of resources those on which an operation is allowed: what belongs to `owners` and was not `moved` away, and the `ids`. */
export interface ListScope {
  /** Account ids. */
  owners: string[];
  /** Ids of resources that lie elsewhere than in their account's collection, where the operation is not allowed. */
  moved: string[];
  /** Ids of resources on which the operation is allowed wherever they lie. */
  ids: string[];
}

/**
 * The condition of a list that keeps to a scope, with the parameters `:owners`, `:moved` and `:ids`. The arguments are column names of the caller's
 * own table.
 */
export function inScope(accountColumn: string, idColumn: string): string {
  return `((${accountColumn} = any(cast(:owners as uuid[])) and not ${idColumn} = any(cast(:moved as uuid[]))) or ${idColumn} = any(cast(:ids as uuid[])))`;
}

function actorOf(account: Pick<AccountFacts, 'id' | 'kind' | 'name' | 'admin'>, limits: ActorLimits | null): Actor {
  return { kind: account.kind === 'robot' ? 'robot' : 'user', id: account.id, name: account.name, admin: account.admin, credentialId: null, limits };
}
