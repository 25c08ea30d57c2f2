import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Access, type ResourceRef } from '@gantry/access';
import { Clock, constantTimeEqual, Db, delay, isUniqueViolation, LOGGER, Problem, requestProblem, Sealer, systemContext, uuidv7, type Context, type Logger } from '@gantry/platform';
import { EngineError, type EngineClient } from '../engine.client';
import { clustersProblem } from '../problems';
import { isPlaceholder, OwnedObjects, OwnershipIndex, placeholder, type ClusterOwnership, type OwnedKind, type OwnedObject } from './ownership-index';

/** NOTIFY channel on which processes learn which rows of `clusters_engine_objects` and `clusters_objects` have changed; triggers write to it. */
export const engineObjectsChannel = 'gantry_engine_objects';

/** Label with a claim's id, on what is made for that claim. By it alone an object finds its claim after a crash. */
export const claimLabel = 'io.gantry.claim';

/** A claim for which the engine has made nothing for this long is given up. */
export const claimSeconds = 900;

/** Rows that are read at a time, so that nothing else waits long. */
const batch = 2_000;
/** With more changed rows than this, all of the cluster's are read. */
const maxChanged = 5_000;
const retryMillis = 1_000;
const defaultGraceMillis = 3_000;

/** What is claimed before the engine is asked to make it. */
export interface ClaimWish {
  clusterId: string;
  /** The node for what is known on one node only (containers, local volumes and networks); '' for what is the cluster's. */
  nodeId: string;
  kind: OwnedKind;
  /** Null: the engine will choose it; give it to `bind`. */
  name: string | null;
  /** Where the object will lie. */
  collectionId: string;
  /** Account; null: nobody in particular. */
  createdBy: string | null;
  /**
   * Asks the engine whether it still has the object of this id. Where another's object had the name and is gone (a container that removed
   * itself), the name is free. Not asked inside a transaction.
   */
  isThere?: (engineId: string) => Promise<boolean>;
}

/** What a sweep did, by row. */
export interface Swept {
  bound: OwnedName[];
  renamed: OwnedName[];
  forgotten: OwnedName[];
}

/** One row, for people. */
export interface OwnedName {
  kind: string;
  /** The row's id, by which `access` knows the object. */
  id: string;
  name: string;
  engineId: string | null;
}

/** An engine's object as a sweep sees it. */
interface Seen {
  name: string;
  claim: string | undefined;
}

interface Known {
  index: OwnershipIndex;
  loaded: boolean;
  /** Everything is to be read. */
  reload: boolean;
  /** Keys of rows that have changed since they were read. */
  changed: Set<string>;
  /** Reading is one at a time; never rejects. */
  last: Promise<void>;
  retry: NodeJS.Timeout | null;
}

interface OwnRow {
  id: string;
  nodeId: string;
  kind: OwnedKind;
  name: string;
  engineId: string | null;
  createdAt: Date;
}

const ownColumns = 'id, node_id as "nodeId", kind, name, engine_id as "engineId", created_at as "createdAt"';

/**
 * Whose the objects on engines are. What is made through the gateway has a row in `clusters_engine_objects`, whose id is placed in a collection;
 * what delivery makes has its row in `clusters_objects`. Both are kept in memory by cluster, and followed by NOTIFY: whoever is told of a
 * row reads it anew, so that the order in which word comes does not matter. After a lost connection everything is read.
 *
 * A create goes: `claim` (the name is the caller's, nobody sees anything) → the engine, with the label `io.gantry.claim` → `bind`, or `release` when
 * the engine refused. A process that dies in between leaves an unbound claim, which `sweep` resumes: an object with the label exists: it is bound,
 * as the dead process would have; there is none `claimSeconds` later: the claim goes. Until then the object is nobody's, and so for
 * administrators only. A volume's create succeeds, too, when the volume exists: only where the answer bears the claim's label is it the
 * claim's; else release it. Methods judge no rights and write no audit rows: that is their callers' part.
 */
@Injectable()
export class Ownership implements OnModuleDestroy {
  private readonly known = new Map<string, Known>();
  private listening: Promise<() => void> | null = null;
  private timer: NodeJS.Timeout | null = null;
  private readonly beat = `beat ${uuidv7()}`;
  private heard = true;
  private ended = false;
  /** How often the way of notifications is tried: a connection that has silently died tells nothing. */
  beatMillis = 5_000;

  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly sealer: Sealer,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async onModuleDestroy(): Promise<void> {
    this.ended = true;
    if (this.timer) clearInterval(this.timer);
    const unlisten = await this.listening?.catch(() => null);
    unlisten?.();
    for (const known of this.known.values()) if (known.retry) clearTimeout(known.retry);
    await Promise.all([...this.known.values()].map((known) => known.last));
  }

  /** Whose the cluster's objects are; reads them at the first call. The cluster is one that is known to be there. @throws when the database does not answer */
  async ofCluster(_ctx: Context, clusterId: string): Promise<ClusterOwnership> {
    let known = this.known.get(clusterId);
    if (known?.loaded) return known.index;
    await this.listen();
    known = this.known.get(clusterId);
    if (!known) {
      known = { index: new OwnershipIndex(clusterId), loaded: false, reload: true, changed: new Set(), last: Promise.resolve(), retry: null };
      this.known.set(clusterId, known);
    }
    if (!known.loaded) await this.settle(known);
    return known.index;
  }

  /** Clusters on which anything belongs to somebody by a row of its own. */
  async clusterIds(ctx: Context): Promise<string[]> {
    const rows = await this.db.query<{ id: string }>(ctx, 'select distinct cluster_id as id from clusters_engine_objects');
    return rows.map(({ id }) => id);
  }

  // ---- writes

  /**
   * Takes a name for what the engine is asked for next; answers the claim's id, which goes into the label `io.gantry.claim` and is the id by which
   * `access` knows the object.
   * @throws clusters.name-claimed (somebody has the name, the same caller included), request.not-found (no such collection or cluster), request.invalid
   */
  async claim(ctx: Context, wish: ClaimWish): Promise<string> {
    if (wish.name !== null && (wish.name === '' || wish.name.includes('\0') || isPlaceholder(wish.name))) throw requestProblem('invalid', { errors: [{ pointer: '/name', detail: 'not a name' }] });
    const taken = (): Error => clustersProblem('name-claimed', { errors: [{ pointer: '/name', detail: `${wish.name} is taken` }] });
    const first = await this.insert(ctx, wish);
    if (first !== null) return first;
    if (ctx.tx || !wish.isThere) throw taken();
    const [holder] = await this.db.query<OwnRow>(
      ctx, `select ${ownColumns} from clusters_engine_objects where cluster_id = $1 and node_id = $2 and kind = $3 and name = $4`, [wish.clusterId, wish.nodeId, wish.kind, wish.name]);
    if (holder) {
      if (holder.engineId === null || (await wish.isThere(holder.engineId))) throw taken();
      await this.remove(ctx, wish.clusterId, [holder]);
    }
    const second = await this.insert(ctx, wish);
    if (second === null) throw taken();
    return second;
  }

  private async insert(ctx: Context, wish: ClaimWish): Promise<string | null> {
    const id = uuidv7();
    try {
      return await this.write(ctx, async (tx, touch) => {
        const made = await this.db.query(
          tx,
          `insert into clusters_engine_objects (id, cluster_id, node_id, kind, name, created_by, created_at) values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing returning 1`,
          [id, wish.clusterId, wish.nodeId, wish.kind, wish.name ?? placeholder(id), wish.createdBy, this.clock.now()],
        );
        if (made.length === 0) return null;
        await this.access.place(tx, { kind: wish.kind, id }, wish.collectionId);
        touch(wish.clusterId, id);
        return id;
      });
    } catch (error) {
      throw unknownPlace(error);
    }
  }

  /**
   * The engine made it: from now on the object is found. `name` where the engine chose it. Again with the same id: nothing happens.
   * @throws clusters.claim-lost (released or given up meanwhile, bound to another object, or the id is another's): the object is nobody's
   */
  async bind(ctx: Context, claimId: string, engineId: string, name?: string): Promise<void> {
    await this.named(ctx, async (tx, touch) => {
      const [row] = await this.db.query<OwnRow & { clusterId: string }>(tx, `select ${ownColumns}, cluster_id as "clusterId" from clusters_engine_objects where id = $1 for update`, [claimId]);
      if (row?.engineId === engineId) return;
      if (!row || row.engineId !== null) throw clustersProblem('claim-lost');
      const now = name ?? (row.kind === 'volume' ? engineId : row.name);
      if (now !== row.name) await this.evict(tx, touch, { ...row, name: now });
      await this.db.query(tx, 'update clusters_engine_objects set engine_id = $2, name = $3 where id = $1 returning 1', [claimId, engineId, now]);
      touch(row.clusterId, claimId);
    });
  }

  /** The engine refused: the claim goes. Does nothing where there is none, or it is bound already. */
  async release(ctx: Context, claimId: string): Promise<void> {
    await this.write(ctx, async (tx, touch) => {
      const [row] = await this.db.query<{ kind: string; clusterId: string }>(tx, 'delete from clusters_engine_objects where id = $1 and engine_id is null returning kind, cluster_id as "clusterId"', [claimId]);
      if (!row) return;
      await this.access.unplace(tx, { kind: row.kind, id: claimId });
      touch(row.clusterId, claimId);
    });
  }

  /** These objects (full ids; of volumes: names) were removed. Answers how many of them had been somebody's. Names of delivery's stay delivery's. */
  async forget(ctx: Context, object: { clusterId: string; kind: OwnedKind; engineId: string | readonly string[]; nodeId?: string }): Promise<number> {
    const ids = typeof object.engineId === 'string' ? [object.engineId] : object.engineId;
    return this.write(ctx, async (tx, touch) => {
      const gone = await this.db.query<{ kind: string; id: string }>(
        tx,
        `delete from clusters_engine_objects where cluster_id = $1 and kind = $2 and engine_id = any($3) and (kind <> 'volume' or node_id = $4) returning kind, id`,
        [object.clusterId, object.kind, ids, object.nodeId ?? ''],
      );
      await this.access.unplaceAll(tx, gone);
      for (const { id } of gone) touch(object.clusterId, id);
      return gone.length;
    });
  }

  /** The engine gave the object another name. Answers false when it is nobody's. */
  async rename(ctx: Context, object: { clusterId: string; kind: OwnedKind; engineId: string; name: string }): Promise<boolean> {
    return this.named(ctx, async (tx, touch) => {
      const [row] = await this.db.query<OwnRow>(
        tx, `select ${ownColumns} from clusters_engine_objects where cluster_id = $1 and kind = $2 and engine_id = $3 for update`, [object.clusterId, object.kind, object.engineId]);
      if (!row) return false;
      await this.evict(tx, touch, { ...row, clusterId: object.clusterId, name: object.name });
      await this.db.query(tx, 'update clusters_engine_objects set name = $2 where id = $1 returning 1', [row.id, object.name]);
      touch(object.clusterId, row.id);
      return true;
    });
  }

  /** Puts an object that has a row of its own (`find` answered it without a parent) into another collection. @throws request.not-found */
  async move(ctx: Context, ref: ResourceRef, collectionId: string): Promise<void> {
    try {
      await this.db.transaction(ctx, async (tx) => {
        const [row] = await this.db.query(tx, 'select 1 from clusters_engine_objects where id::text = $1 and kind = $2 for share', [ref.id, ref.kind]);
        if (!row) throw requestProblem('not-found');
        await this.access.place(tx, { kind: ref.kind, id: ref.id }, collectionId);
      });
    } catch (error) {
      throw unknownPlace(error);
    }
  }

  /** On an engine names are unique: whoever had this one does not have it any more, or will be refused. */
  private async evict(tx: Context, touch: Touch, row: { id: string; clusterId: string; nodeId: string; kind: string; name: string }): Promise<void> {
    const others = await this.db.query<{ id: string }>(
      tx,
      `update clusters_engine_objects set name = ':' || id where cluster_id = $1 and node_id = $2 and kind = $3 and name = $4 and id <> $5 returning id`,
      [row.clusterId, row.nodeId, row.kind, row.name, row.id],
    );
    for (const { id } of others) touch(row.clusterId, id);
  }

  /** Removes rows that are still as they were read. */
  private async remove(ctx: Context, clusterId: string, rows: readonly OwnRow[]): Promise<OwnRow[]> {
    return this.write(ctx, async (tx, touch) => {
      const gone = await this.db.query<{ id: string; kind: string }>(
        tx,
        `delete from clusters_engine_objects using unnest($2::uuid[], $3::text[]) as gone (id, engine_id)
         where cluster_id = $1 and clusters_engine_objects.id = gone.id and clusters_engine_objects.engine_id is not distinct from gone.engine_id
         returning clusters_engine_objects.id, clusters_engine_objects.kind`,
        [clusterId, rows.map(({ id }) => id), rows.map(({ engineId }) => engineId)],
      );
      await this.access.unplaceAll(tx, gone);
      for (const { id } of gone) touch(clusterId, id);
      const ids = new Set(gone.map(({ id }) => id));
      return rows.filter(({ id }) => ids.has(id));
    });
  }

  /** A transaction after which this process's own index has the rows that were touched. */
  private async write<T>(ctx: Context, work: (tx: Context, touch: Touch) => Promise<T>): Promise<T> {
    return this.db.transaction(ctx, async (tx) => {
      const touched = new Map<string, string[]>();
      const result = await work(tx, (clusterId, id) => touched.set(clusterId, [...(touched.get(clusterId) ?? []), `own ${id}`]));
      await this.db.afterCommit(tx, async () => {
        for (const [clusterId, keys] of touched) await this.follow(clusterId, keys);
      });
      return result;
    });
  }

  /** As `write`, again where somebody took the same name at the same moment. */
  private async named<T>(ctx: Context, work: (tx: Context, touch: Touch) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.write(ctx, work);
      } catch (error) {
        if (isUniqueViolation(error, 'clusters_engine_objects_engine_id')) throw clustersProblem('claim-lost', { cause: error });
        if (ctx.tx || attempt === 3 || !isUniqueViolation(error, 'clusters_engine_objects_name')) throw error;
      }
    }
  }

  // ---- crashes, and what happens behind our back

  /**
   * Compares the rows with what the engine has: binds claims whose object bears their label, follows names, forgets claims that came to nothing and
   * rows whose object is gone. Of what is known on one node only, the rows of this engine's node and those without a node are looked at. Rows are
   * read before the engine is asked, and what is missing is looked for again after `graceMillis`: nothing that was just made is forgotten.
   * An engine that fails, or belongs to another swarm, changes nothing. Network I/O: not inside a transaction. Any number of processes may sweep.
   * @throws clusters.other-swarm, clusters.unreachable, clusters.engine-failed, request.not-found
   */
  async sweep(ctx: Context, clusterId: string, engine: EngineClient, options: { graceMillis?: number; signal?: AbortSignal } = {}): Promise<Swept> {
    if (ctx.tx) throw new Error('an engine is never called inside a transaction');
    try {
      const node = await this.nodeOf(ctx, clusterId, engine);
      const rows = (await this.ownRows(ctx, clusterId)).filter(({ nodeId, kind, engineId }) =>
        // A volume of the whole cluster may be on any node: that it is not on this one says nothing.
        (nodeId === '' ? kind !== 'volume' || engineId === null : nodeId === node));
      const swept: Swept = { bound: [], renamed: [], forgotten: [] };
      if (rows.length === 0) return swept;
      const seen = await look(engine, kindsOf(rows));
      const missing = await this.bindMounted(ctx, await this.compare(ctx, rows, seen, swept, clusterId), engine, seen, swept);
      if (missing.length === 0) return swept;
      await delay(options.graceMillis ?? defaultGraceMillis, options.signal);
      const gone = await this.compare(ctx, missing, await look(engine, kindsOf(missing)), swept, clusterId);
      for (let at = 0; at < gone.length; at += 500) swept.forgotten.push(...(await this.remove(ctx, clusterId, gone.slice(at, at + 500))).map(plain));
      return swept;
    } catch (error) {
      throw error instanceof EngineError ? error.toProblem() : error;
    }
  }

  /** Id of the node that the engine is. */
  private async nodeOf(ctx: Context, clusterId: string, engine: EngineClient): Promise<string> {
    const [cluster] = await this.db.query<{ swarmId: string }>(ctx, 'select swarm_id as "swarmId" from clusters_clusters where id = $1', [clusterId]);
    if (!cluster) throw requestProblem('not-found');
    const { Swarm: swarm } = await engine.info();
    if (swarm?.Cluster?.ID !== cluster.swarmId) throw clustersProblem('other-swarm', { detail: `The engine at ${engine.connection.address} belongs to another swarm, or to none.` });
    return swarm.NodeID ?? '';
  }

  /** Acts on what is there; answers the rows whose object is not, but for claims that may still be on their way. */
  private async compare(ctx: Context, rows: readonly OwnRow[], seen: Map<string, Map<string, Seen>>, swept: Swept, clusterId: string): Promise<OwnRow[]> {
    const missing: OwnRow[] = [];
    const claims = claimed(seen);
    for (const row of rows) {
      if (row.engineId !== null) {
        const there = seen.get(row.kind)?.get(row.engineId);
        if (!there) missing.push(row);
        else if (there.name !== '' && there.name !== row.name && (await this.rename(ctx, { clusterId, kind: row.kind, engineId: row.engineId, name: there.name }))) swept.renamed.push(plain({ ...row, name: there.name }));
        continue;
      }
      const object = claims.get(`${row.kind} ${row.id}`);
      // Labels can be copied: what bears another name, or what two objects bear, proves nothing.
      if (object && (isPlaceholder(row.name) || row.name === object.name)) {
        if (await this.bound(ctx, row.id, object)) swept.bound.push(plain({ ...row, ...object }));
      } else if (row.createdAt.getTime() + claimSeconds * 1000 < this.clock.now().getTime()) {
        missing.push(row);
      }
    }
    return missing;
  }

  /**
   * A volume that came with a mount bears no label of ours. Of a claim that a dying process left, it is the one of that name that is there, or that a service
   * mounts wherever it runs. Answers the other rows.
   */
  private async bindMounted(ctx: Context, missing: readonly OwnRow[], engine: EngineClient, seen: Map<string, Map<string, Seen>>, swept: Swept): Promise<OwnRow[]> {
    const isLost = ({ kind, engineId, name }: OwnRow): boolean => kind === 'volume' && engineId === null && !isPlaceholder(name);
    if (!missing.some(isLost)) return [...missing];
    const mounted = await namesMounted(engine);
    const others: OwnRow[] = [];
    for (const row of missing) {
      const isThere = isLost(row) && (mounted.has(row.name) || seen.get('volume')?.has(row.name) === true);
      if (!isThere) others.push(row);
      else if (await this.bound(ctx, row.id, { engineId: row.name, name: row.name })) swept.bound.push(plain({ ...row, engineId: row.name }));
    }
    return others;
  }

  /** Binds, unless the claim was released or the object bound meanwhile. */
  private async bound(ctx: Context, claimId: string, object: { engineId: string; name: string }): Promise<boolean> {
    try {
      await this.bind(ctx, claimId, object.engineId, object.name);
      return true;
    } catch (error) {
      if (error instanceof Problem && error.code === 'clusters.claim-lost') return false;
      throw error;
    }
  }

  // ---- the label that tells the collection

  /**
   * MAC for the label that mirrors an object's collection on the engine (hex). `name`: as claimed; where the engine chooses the name, the claim's
   * id. The label is for people and other tools: where an object lies is only ever what our own table says.
   */
  collectionSeal(clusterId: string, kind: string, name: string, collectionId: string): string {
    return this.sealer.hash(JSON.stringify([clusterId, kind, name, collectionId]), 'clusters.collection-label');
  }

  /** Whether we wrote this seal for this very object and collection. */
  isCollectionSeal(clusterId: string, kind: string, name: string, collectionId: string, seal: string): boolean {
    return constantTimeEqual(this.collectionSeal(clusterId, kind, name, collectionId), seal);
  }

  // ---- the index

  private async listen(): Promise<void> {
    this.listening ??= this.db.listen(engineObjectsChannel, (payload) => this.hear(payload));
    try {
      await this.listening;
    } catch (error) {
      this.listening = null;
      throw error;
    }
    if (this.timer || this.ended) return;
    this.timer = setInterval(() => void this.tryWay(), this.beatMillis);
    this.timer.unref();
  }

  private hear(payload: string): void {
    if (payload === this.beat || payload === '') this.heard = true;
    if (payload.startsWith('beat ')) return;
    if (payload === '') {
      for (const clusterId of this.known.keys()) void this.follow(clusterId, null);
      return;
    }
    const [clusterId, key] = [payload.slice(0, 36), payload.slice(37)];
    void this.follow(clusterId, key === '' ? null : [key]);
  }

  /** Word to ourselves that does not come back means that other word did not come either. */
  private async tryWay(): Promise<void> {
    if (!this.heard) {
      this.logger.warn({}, 'no word of changed engine objects comes through; reading all of them');
      for (const clusterId of this.known.keys()) void this.follow(clusterId, null);
    }
    this.heard = false;
    try {
      await this.db.notify(systemContext('ownership.beat'), engineObjectsChannel, this.beat);
    } catch (error) {
      this.logger.warn({ error: (error as Error).message }, 'the database takes no notifications');
    }
  }

  /** Reads what has changed (null: everything), where somebody has asked for the cluster; on failure again until it succeeds. */
  private async follow(clusterId: string, keys: readonly string[] | null): Promise<void> {
    const known = this.known.get(clusterId);
    if (!known || this.ended) return;
    if (keys === null) known.reload = true;
    else for (const key of keys) known.changed.add(key);
    try {
      await this.settle(known);
    } catch (error) {
      this.logger.warn({ error: (error as Error).message, cluster: clusterId }, 'engine objects could not be read; trying again in 1 s');
      known.retry ??= setTimeout(() => {
        known.retry = null;
        void this.follow(clusterId, []);
      }, retryMillis).unref();
    }
  }

  /** Resolves when what was marked before the call has been read. */
  private settle(known: Known): Promise<void> {
    const done = known.last.then(() => this.catchUp(known));
    known.last = done.catch(() => undefined);
    return done;
  }

  private async catchUp(known: Known): Promise<void> {
    const { clusterId } = known.index;
    while (known.reload || known.changed.size > 0) {
      const all = known.reload || known.changed.size > maxChanged;
      const keys = [...known.changed];
      known.reload = false;
      known.changed.clear();
      try {
        if (all) known.index.objects = await this.readAll(clusterId);
        else await this.read(known.index, keys);
      } catch (error) {
        known.reload ||= all;
        for (const key of keys) known.changed.add(key);
        throw error;
      }
    }
    known.loaded = true;
  }

  private async read(index: OwnershipIndex, keys: readonly string[]): Promise<void> {
    const ctx = systemContext('ownership.follow');
    const own = keys.filter((key) => key.startsWith('own ')).map((key) => key.slice(4));
    const names = keys.filter((key) => key.startsWith('delivery ')).map((key) => key.slice(9));
    const found: OwnedObject[] = [];
    if (own.length > 0) {
      const rows = await this.db.query<OwnRow>(ctx, `select ${ownColumns} from clusters_engine_objects where cluster_id = $1 and id = any($2)`, [index.clusterId, own]);
      found.push(...rows.map(ownObject));
    }
    if (names.length > 0) {
      const rows = await this.db.query<DeliveryRow>(
        ctx, `select kind, name, engine_id as "engineId", scope from clusters_objects where cluster_id = $1 and (kind, name) in (select * from unnest($2::text[], $3::text[]))`,
        [index.clusterId, names.map((name) => name.slice(0, name.indexOf(' '))), names.map((name) => name.slice(name.indexOf(' ') + 1))]);
      found.push(...rows.map((row) => deliveryObject(index.clusterId, row)));
    }
    for (const key of keys) index.objects.drop(key);
    for (const object of found) index.objects.put(object);
  }

  /** In batches. They are of different moments: of what changes meanwhile there is word, and it is read again. */
  private async readAll(clusterId: string): Promise<OwnedObjects> {
    const ctx = systemContext('ownership.load');
    const objects = new OwnedObjects();
    for await (const rows of this.ownBatches(ctx, clusterId)) for (const row of rows) objects.put(ownObject(row));
    let [kind, name] = ['', ''];
    for (;;) {
      const rows = await this.db.query<DeliveryRow>(
        ctx, 'select kind, name, engine_id as "engineId", scope from clusters_objects where cluster_id = $1 and (kind, name) > ($2, $3) order by kind, name limit $4', [clusterId, kind, name, batch]);
      for (const row of rows) objects.put(deliveryObject(clusterId, row));
      const last = rows.at(-1);
      if (!last || rows.length < batch) return objects;
      ({ kind, name } = last);
    }
  }

  private async ownRows(ctx: Context, clusterId: string): Promise<OwnRow[]> {
    const all: OwnRow[] = [];
    for await (const rows of this.ownBatches(ctx, clusterId)) all.push(...rows);
    return all;
  }

  private async *ownBatches(ctx: Context, clusterId: string): AsyncGenerator<OwnRow[]> {
    let after: [string, string, string] = ['', '', ''];
    for (;;) {
      const rows = await this.db.query<OwnRow>(
        ctx, `select ${ownColumns} from clusters_engine_objects where cluster_id = $1 and (node_id, kind, name) > ($2, $3, $4) order by node_id, kind, name limit $5`, [clusterId, ...after, batch]);
      yield rows;
      const last = rows.at(-1);
      if (!last || rows.length < batch) return;
      after = [last.nodeId, last.kind, last.name];
    }
  }
}

type Touch = (clusterId: string, id: string) => void;

interface DeliveryRow {
  kind: string;
  name: string;
  engineId: string | null;
  scope: string;
}

/**
 * Those of these names of volumes that nothing can have any more when the engine has no volume of that name. A name is one owner's in the whole cluster, and
 * each node may have a volume of that name; a service that mounts it makes it again where it runs next.
 */
export async function freeNames(engine: EngineClient, names: readonly string[]): Promise<Set<string>> {
  try {
    const { Swarm: swarm } = await engine.info();
    if (swarm?.ControlAvailable !== true || swarm.Nodes !== 1) return new Set();
    const mounted = await namesMounted(engine);
    return new Set(names.filter((name) => !mounted.has(name)));
  } catch (error) {
    if (error instanceof EngineError) return new Set();
    throw error;
  }
}

/** Names of volumes that services mount, or did before their last change. */
async function namesMounted(engine: EngineClient): Promise<Set<string>> {
  const specs = (await engine.services()).flatMap(({ Spec, PreviousSpec }) => [Spec, PreviousSpec]);
  return new Set(specs.flatMap((spec) => {
    const mounts = (spec?.TaskTemplate.ContainerSpec?.['Mounts'] ?? []) as { Type?: string; Source?: string }[];
    return mounts.flatMap(({ Type, Source }) => (Type === 'volume' && Source ? [Source] : []));
  }));
}

function ownObject({ id, nodeId, kind, name, engineId }: OwnRow): OwnedObject {
  return { key: `own ${id}`, kind, nodeId, name, engineId, ref: Object.freeze({ kind, id }) };
}

/** What rights on an object of a deployment are judged by: the environment that it was deployed to. `scope` is written by delivery, `environment:<id>`. */
export function deliveryRef(clusterId: string, { kind, name, scope }: { kind: string; name: string; scope: string }): ResourceRef {
  return Object.freeze({ kind, id: `${clusterId}/${kind}/${name}`, parent: Object.freeze({ kind: 'environment', id: scope.replace(/^environment:/, '') }) });
}

function deliveryObject(clusterId: string, row: DeliveryRow): OwnedObject {
  const { kind, name, engineId } = row;
  const ref = deliveryRef(clusterId, row);
  // Delivery's volumes are made by the engine, at the first mount: the name is all that there is.
  return { key: `delivery ${kind} ${name}`, kind, nodeId: '', name, engineId: kind === 'volume' ? name : engineId, ref };
}

function plain({ kind, id, name, engineId }: OwnRow): OwnedName {
  return { kind, id, name: isPlaceholder(name) ? '' : name, engineId };
}

function kindsOf(rows: readonly OwnRow[]): Set<OwnedKind> {
  return new Set(rows.map(({ kind }) => kind));
}

/** Foreign keys: of the placement to the collection, of the row to the cluster. */
function unknownPlace(error: unknown): unknown {
  if ((error as { driverError?: { code?: string } }).driverError?.code !== '23503') return error;
  return requestProblem('not-found', { detail: 'There is no such collection or cluster.', cause: error });
}

/** What the engine has of these kinds: kind → id → name and claim. */
async function look(engine: EngineClient, kinds: ReadonlySet<OwnedKind>): Promise<Map<string, Map<string, Seen>>> {
  const seen = new Map<string, Map<string, Seen>>();
  for (const kind of kinds) seen.set(kind, await lists[kind](engine));
  return seen;
}

type Labels = Record<string, string> | null | undefined;

const lists: Record<OwnedKind, (engine: EngineClient) => Promise<Map<string, Seen>>> = {
  // What links call a container has a second slash.
  container: async (engine) => byId(await engine.containers(), (item) => [item.Id, (item.Names ?? []).find((name) => name.lastIndexOf('/') === 0)?.slice(1) ?? '', item.Labels]),
  network: async (engine) => byId(await engine.networks(), (item) => [item.Id, item.Name, item.Labels]),
  volume: async (engine) => byId(await engine.volumes(), (item) => [item.Name, item.Name, item.Labels]),
  service: async (engine) => byId(await engine.services(), (item) => [item.ID, item.Spec.Name, item.Spec.Labels]),
  secret: async (engine) => byId(await engine.secrets(), (item) => [item.ID, item.Spec.Name, item.Spec.Labels]),
  config: async (engine) => byId(await engine.configs(), (item) => [item.ID, item.Spec.Name, item.Spec.Labels]),
};

function byId<T>(items: readonly T[], read: (item: T) => [id: string, name: string, labels: Labels]): Map<string, Seen> {
  return new Map(items.map((item) => {
    const [id, name, labels] = read(item);
    return [id, { name, claim: labels?.[claimLabel] }];
  }));
}

/** `<kind> <claim>` → the one object that bears the claim; none where several do. */
function claimed(seen: Map<string, Map<string, Seen>>): Map<string, { engineId: string; name: string }> {
  const claims = new Map<string, { engineId: string; name: string }>();
  const twice = new Set<string>();
  for (const [kind, objects] of seen) {
    for (const [engineId, { name, claim }] of objects) {
      if (claim === undefined) continue;
      const key = `${kind} ${claim}`;
      if (claims.has(key)) twice.add(key);
      claims.set(key, { engineId, name });
    }
  }
  for (const key of twice) claims.delete(key);
  return claims;
}
