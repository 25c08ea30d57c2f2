import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { Db, LOGGER, requestProblem, systemContext, type Actor, type ActorLimits, type Context, type Logger } from '@gantry/platform';
import { decide, ownerOf, withinLimits, type AccountFacts, type CollectionFacts, type Decision, type ResourceRef } from './decide';
import { memberOperations, systemOperations, type Operation } from './operations';
import { Snapshot, type Change } from './snapshot';

/** NOTIFY channel on which processes learn that facts have changed. */
export const accessChannel = 'gantry_access';

/** Transaction-level advisory lock around the allocation of a version, so that versions become visible in order. */
const versionLock = 7_263_003;
/** A lost NOTIFY is caught up within this time. */
const pollMillis = 1_000;

const rootId = '00000000-0000-7000-8000-000000000001';
const systemId = '00000000-0000-7000-8000-000000000002';
/** Parent of users' own collections, `/Shared/Private`. */
export const privateCollectionId = '00000000-0000-7000-8000-000000000004';
/** Parent of organizations' collections, `/Organizations`. */
export const organizationsCollectionId = '00000000-0000-7000-8000-000000000005';

/**
 * Decides who may do what, synchronously, from a snapshot in memory. Every change of an account, membership, collection or placement is
 * a numbered row written in the same transaction; each process applies them in order, at NOTIFY. Without the database the
 * snapshot goes on as it is.
 */
@Injectable()
export class Access implements OnModuleInit, OnModuleDestroy {
  private snapshot = Snapshot.empty();
  private timer: NodeJS.Timeout | null = null;
  private unlisten: (() => void) | null = null;
  private running: Promise<void> | null = null;
  private queued: Promise<void> | null = null;
  private readonly listeners = new Set<(change: Change | null) => void>();

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
    return decide(this.snapshot, ctx.actor, operation, resource);
  }

  /** What `can` would say to somebody else who comes with a credential of these limits. */
  explain(account: Pick<AccountFacts, 'id' | 'kind' | 'name' | 'admin'>, limits: ActorLimits | null, operation: Operation, resource: ResourceRef): Decision {
    const actor: Actor = { kind: account.kind === 'robot' ? 'robot' : 'user', id: account.id, name: account.name, admin: account.admin, credentialId: null, limits };
    return decide(this.snapshot, actor, operation, resource);
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
    return items.filter((item) => this.can(ctx, operation, ref(item)).allowed);
  }

  /** Whether the operation is within the limits of the actor's credential at all; false for nobody. */
  mayUse(ctx: Context, operation: Operation): boolean {
    return withinLimits(ctx.actor, operation);
  }

  /**
   * Ids of the accounts on whose belongings the actor may do the operation, to put into a list's SQL (`account_id = any($1)`); null = all.
   * A token limited to repositories narrows further: `filter` what comes back.
   */
  ownersAllowed(ctx: Context, operation: Operation): string[] | null {
    const { actor } = ctx;
    if (actor.kind === 'system') return null;
    if (!withinLimits(actor, operation) || actor.id === null) return [];
    if (actor.kind === 'trigger') {
      const owner = ownerOf(this.snapshot, { kind: 'trigger', id: actor.id });
      return owner !== null && decide(this.snapshot, { ...actor, limits: null }, operation, { kind: 'account', id: owner }).allowed ? [owner] : [];
    }
    const account = this.snapshot.accounts.get(actor.id);
    if (!account?.active) return [];
    if (account.kind === 'user' && account.admin) return null;
    const subject = account.kind === 'robot' ? this.snapshot.accounts.get(account.ownerId ?? '') : account;
    if (!subject?.active || systemOperations.has(operation)) return [];
    const organizations = [...(this.snapshot.memberships.get(subject.id) ?? [])].filter(([, role]) => role === 'admin' || memberOperations.has(operation));
    return [subject.id, ...organizations.map(([id]) => id)];
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
    const found = this.snapshot.collections.get(idOrPath) ?? [...this.snapshot.collections.values()].find((collection) => collection.path === idOrPath);
    return found ? { kind: 'collection', id: found.id } : null;
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
    await this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'delete from access_placements where kind = $1 and id = $2 returning 1', [resource.kind, resource.id]);
      await this.publish(tx, [{ type: 'placement', kind: resource.kind, id: resource.id, collectionId: null }]);
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
    return rootId;
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
      this.logger.warn({ error: (error as Error).message }, 'the access snapshot could not be refreshed; it goes on as it is');
    }
  }

  private async catchUp(ctx: Context): Promise<void> {
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

  private tell(change: Change | null): void {
    for (const listener of this.listeners) listener(change);
  }
}
