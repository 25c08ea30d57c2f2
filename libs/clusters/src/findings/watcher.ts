import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Access, type ResourceRef } from '@gantry/access';
import { Audit, type AuditEntry } from '@gantry/audit';
import { Clock, CONFIG, Db, delay, Leases, LOGGER, Problem, uuidv7, type Config, type Context, type Lease, type Logger } from '@gantry/platform';
import type { Cluster } from '../cluster.entity';
import { Clusters } from '../clusters';
import { EngineError, type EngineClient } from '../engine.client';
import { Made } from '../gateway/made';
import { deliveryRef, Ownership } from '../gateway/ownership';
import { isPlaceholder } from '../gateway/ownership-index';
import { GatewayImages } from '../gateway/ports';
import { parseReference } from '../gateway/references';
import { digestsOf, judgeStanding } from '../gateway/standing';
import { ImageAdmission } from '../judgement';
import { clustersProblem } from '../problems';
import { isFresh, isTooMuch } from './brake';
import { canStop, compare, findingKinds, findingsChannel, type FindingKind, type FindingRow, type Grace, type Plan, type Records, type SeenObject } from './compare';
import { lookAt } from './look';
import { describe, hold, letGo, readUndo, type Undo } from './quarantine';

/** How patient the watcher is. Tests are less so than people. */
export interface WatcherPatience extends Grace {
  leaseSeconds: number;
  /** Between two looks for clusters that are to be watched. */
  pollMillis: number;
  /** Between two comparisons of everything, whatever the engine tells of itself. */
  fullMillis: number;
  /** Between two comparisons of one cluster at least, and after one that failed. */
  restMillis: number;
  failedMillis: number;
  /** How long an image must be refused: a registry that is away for a moment is no alarm. */
  refusedMillis: number;
}

const patience: WatcherPatience = { leaseSeconds: 15, pollMillis: 2_000, fullMillis: 25_000, restMillis: 1_500, failedMillis: 5_000, settleMillis: 3_000, arrivingMillis: 40_000, refusedMillis: 15_000 };

/** What an engine tells of that can make or unmake a finding. */
const actions = ['create', 'start', 'unpause', 'restart', 'rename', 'update', 'destroy', 'delete', 'remove', 'load', 'import', 'pull', 'tag', 'untag', 'commit'];
const everything: ReadonlySet<FindingKind> = new Set(findingKinds);
/** Of one look, so many are put on record one by one; of the rest their number. */
const maxRecorded = 20;
/** What is over is forgotten after so long. */
const keptDays = 30;
/** `last_seen` is this exact: what is quiet is not written down with every comparison. */
const lastSeenMillis = 300_000;

/** What the records say, with whose each object is. */
interface KnownObjects extends Records {
  owners: ReadonlyMap<string, ResourceRef>;
}

/** What wakes the watcher of one cluster, and what it is to look at. */
class Bell {
  private kinds = new Set<FindingKind>();
  private wake: (() => void) | null = null;

  ring(kinds: Iterable<FindingKind>): void {
    for (const kind of kinds) this.kinds.add(kind);
    if (this.kinds.size > 0) this.wake?.();
  }

  take(): Set<FindingKind> {
    const { kinds } = this;
    this.kinds = new Set();
    return kinds;
  }

  /** Until it rings, has rung, or the time is over. */
  wait(millis: number, signal: AbortSignal): Promise<void> {
    if (this.kinds.size > 0 || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.wake = null;
        resolve();
      };
      const timer = setTimeout(done, millis);
      signal.addEventListener('abort', done, { once: true });
      this.wake = done;
    });
  }
}

/**
 * Finds what is on clusters without Gantry having made it, and stops it where the cluster says so. One process at a time does it (lease
 * `clusters.watch`); each cluster is followed on its own, so that one that hangs holds up no other. The engine's events say when to look; that all is compared
 * every 25 s makes up for those that were lost. The rows of `clusters_findings` and what engines have are all there is: who dies anywhere is resumed by
 * the next comparison. The records of whose things are are read from the database after the engine was asked, so that they are never older than
 * what they are held against; without a database nothing is flagged, and nothing stopped.
 */
@Injectable()
export class Watcher implements OnModuleDestroy {
  private readonly stopping = new AbortController();
  /** Containers that were seen to be the swarm's tasks, by cluster. */
  private readonly tasks = new Map<string, Set<string>>();
  /** Ids of images that are in the registry, by cluster. */
  private readonly pulled = new Map<string, Set<string>>();
  readonly patience: WatcherPatience = { ...patience };

  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly leases: Leases,
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly clusters: Clusters,
    private readonly ownership: Ownership,
    private readonly images: GatewayImages,
    private readonly admission: ImageAdmission,
    private readonly made: Made,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Watches until `stop`, or until the lease is lost; returns at once where another process does. */
  async run(ctx: Context): Promise<void> {
    if (this.stopping.signal.aborted) return;
    await this.leases.withLease(ctx, 'clusters.watch', this.patience.leaseSeconds, (lease) => this.watch(ctx, lease));
  }

  /** Ends `run` after the comparison at hand. */
  stop(): void {
    this.stopping.abort();
  }

  onModuleDestroy(): void {
    this.stop();
  }

  private async watch(ctx: Context, lease: Lease): Promise<void> {
    const signal = AbortSignal.any([lease.signal, this.stopping.signal]);
    const followed = new Map<string, { bell: Bell; end: AbortController; done: Promise<void> }>();
    const unlisten = await this.db.listen(findingsChannel, (clusterId) => {
      for (const [id, { bell }] of followed) if (clusterId === '' || clusterId === id) bell.ring(everything);
    });
    try {
      while (!signal.aborted) {
        try {
          const wanted = new Set((await this.db.query<{ id: string }>(ctx, `select id from clusters_clusters where watch <> 'off'`)).map(({ id }) => id));
          for (const [id, { end }] of followed) {
            if (wanted.has(id)) continue;
            end.abort();
            followed.delete(id);
          }
          for (const id of wanted) {
            if (followed.has(id)) continue;
            const [bell, end] = [new Bell(), new AbortController()];
            followed.set(id, { bell, end, done: this.follow(ctx, lease, id, bell, AbortSignal.any([signal, end.signal])) });
          }
        } catch (error) {
          this.logger.warn({ error: (error as Error).message }, 'the clusters that are to be watched could not be read');
        }
        await pause(this.patience.pollMillis, signal);
      }
    } finally {
      unlisten();
      for (const { end } of followed.values()) end.abort();
      await Promise.all([...followed.values()].map(({ done }) => done));
    }
  }

  /** Never rejects. */
  private async follow(ctx: Context, lease: Lease, clusterId: string, bell: Bell, signal: AbortSignal): Promise<void> {
    const hearing = this.hear(ctx, clusterId, bell, signal);
    const { fullMillis, restMillis, failedMillis } = this.patience;
    let fullAt = -Infinity;
    while (!signal.aborted) {
      const began = performance.now();
      const isFull = began - fullAt >= fullMillis;
      const kinds = bell.take();
      let due: Plan['due'] = null;
      try {
        if (isFull || kinds.size > 0) due = await this.look(ctx, clusterId, isFull ? everything : kinds, lease);
        if (isFull) fullAt = began;
      } catch (error) {
        this.logger[error instanceof Problem || error instanceof EngineError ? 'debug' : 'warn']({ cluster: clusterId, error: (error as Error).message }, 'a cluster could not be compared with what was made on it');
        await pause(failedMillis, signal);
        bell.ring(kinds);
        continue;
      }
      await pause(restMillis, signal);
      const left = fullAt + fullMillis - performance.now();
      await bell.wait(Math.max(0, Math.min(left, due?.millis ?? left)), signal);
      if (due) bell.ring(due.kinds);
    }
    await hearing;
  }

  /** Follows the engine's events as long as the signal lets it. Never rejects. */
  private async hear(ctx: Context, clusterId: string, bell: Bell, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const engine = await this.clusters.engine(ctx, clusterId);
        const stream = await engine.events({ type: [...findingKinds], event: actions }, signal);
        // What came before the stream was opened is not in it.
        bell.ring(everything);
        const close = (): void => void stream.destroy();
        signal.addEventListener('abort', close, { once: true });
        try {
          // One line each; what is cut in two by a chunk's end is told by its first or its second part, or by the next comparison.
          for await (const chunk of stream) {
            const text = String(chunk);
            bell.ring(findingKinds.filter((kind) => text.includes(`"Type":"${kind}"`)));
          }
        } finally {
          signal.removeEventListener('abort', close);
          stream.destroy();
        }
      } catch (error) {
        if (!signal.aborted) this.logger.debug({ cluster: clusterId, error: (error as Error).message }, 'the events of a cluster are not heard; it is looked at now and then');
      }
      await pause(this.patience.failedMillis, signal);
    }
  }

  /**
   * One comparison of these kinds, and what follows from it; answers when something will be ripe. Network I/O: not inside a transaction.
   * @param lease asserted before an engine is asked to stop something
   * @throws clusters.other-swarm, clusters.unreachable, EngineError, request.not-found
   */
  async look(ctx: Context, clusterId: string, kinds: ReadonlySet<FindingKind> = everything, lease: Lease | null = null): Promise<Plan['due']> {
    const cluster = await this.clusters.get(ctx, clusterId);
    if (cluster.watch === 'off') return null;
    const engine = await this.clusters.engine(ctx, cluster);
    const { Swarm: swarm } = await engine.info();
    const nodeId = swarm?.NodeID ?? '';
    if (nodeId === '' || swarm?.Cluster?.ID !== cluster.swarmId) throw clustersProblem('other-swarm');
    const watched = new Set((await this.db.query<{ nodeId: string }>(ctx, 'select node_id as "nodeId" from clusters_watched where cluster_id = $1', [clusterId])).map((row) => row.nodeId));
    const isNew = !watched.has('') || !watched.has(nodeId);
    const looked = isNew || kinds.size === everything.size ? everything : together(kinds, cluster);
    const seen = await lookAt(engine, nodeId, looked, ensure(this.tasks, clusterId));
    if (looked.has('image')) await this.made.sweep(ctx, clusterId, nodeId, engine, new Set(seen.map(({ id }) => id)));
    let plan = await this.compare(ctx, cluster, nodeId, looked, seen, watched);
    if (plan.flagged.some(({ object }) => object.claim !== null)) {
      // A process may have died between making it and putting that on record: the sweep does what it would have done.
      await this.ownership.sweep(ctx, clusterId, engine);
      plan = await this.compare(ctx, cluster, nodeId, looked, seen, watched);
    }
    await this.write(ctx, cluster, plan, isNew ? ['', nodeId] : []);
    for (const { row, object } of await this.brake(ctx, cluster, plan.stop, seen)) await this.quarantine(ctx, cluster, engine, row, object, lease);
    for (const row of plan.undo) await this.release(ctx, cluster, engine, row, lease);
    if (looked === everything) {
      const waiting = await this.judgeRunning(ctx, cluster, engine, nodeId, seen);
      if (waiting && !plan.due) plan.due = { millis: this.patience.refusedMillis, kinds: new Set(everything) };
      else if (waiting && plan.due) plan.due.kinds = new Set(everything);
      await this.db.query(ctx, `delete from clusters_findings where state in ('owned', 'gone') and changed_at < $1 returning 1`, [new Date(this.clock.now().getTime() - keptDays * 86_400_000)]);
    }
    return plan.due;
  }

  private async compare(ctx: Context, cluster: Cluster, nodeId: string, kinds: ReadonlySet<FindingKind>, seen: readonly SeenObject[], watched: ReadonlySet<string>): Promise<Plan> {
    const rows = await this.db.query<FindingRow>(
      ctx,
      `select id, kind, node_id as "nodeId", engine_id as "engineId", state, first_seen as "firstSeen" from clusters_findings
       where cluster_id = $1 and reason = 'unknown' and kind = any ($2) and node_id = any ($3) and state not in ('owned', 'gone')`,
      [cluster.id, [...kinds], ['', nodeId]],
    );
    const records = await this.known(ctx, cluster.id, nodeId, seen, rows);
    const { settleMillis, arrivingMillis } = this.patience;
    return compare({ seen, records, rows, watched, mode: cluster.watch, now: this.clock.now(), grace: { settleMillis, arrivingMillis } });
  }

  /** What our records say of these objects. Must be asked after the engine was. */
  private async known(ctx: Context, clusterId: string, nodeId: string, seen: readonly SeenObject[], rows: readonly FindingRow[]): Promise<KnownObjects> {
    const [kinds, ids] = [seen.map(({ kind }) => kind), seen.map(({ id }) => id)];
    const own = await this.db.query<{ id: string; kind: string; name: string; engineId: string | null }>(
      ctx,
      `select id, kind, name, engine_id as "engineId" from clusters_engine_objects where cluster_id = $1
         and (engine_id is null or ((kind, engine_id) in (select * from unnest ($2::text[], $3::text[])) and (kind <> 'volume' or node_id in ('', $4))))`,
      [clusterId, kinds, ids, nodeId],
    );
    const delivery = await this.db.query<{ kind: string; name: string; engineId: string | null; scope: string }>(
      ctx,
      `select kind, name, engine_id as "engineId", scope from clusters_objects where cluster_id = $1
         and ((kind, name) in (select * from unnest ($2::text[], $3::text[])) or (kind, engine_id) in (select * from unnest ($2::text[], $4::text[])))`,
      [clusterId, kinds, seen.map(({ name }) => name), ids],
    );
    const owners = new Map<string, ResourceRef>();
    const claims = new Map<string, string>();
    const names = new Set<string>();
    for (const { id, kind, name, engineId } of own) {
      if (engineId !== null) owners.set(`${kind} ${engineId}`, { kind, id });
      else claims.set(id, kind);
      if (engineId === null && !isPlaceholder(name)) names.add(`${kind} ${name}`);
    }
    const promised = new Map<string, ResourceRef>();
    for (const row of delivery) {
      const { kind, name, engineId } = row;
      const ref = deliveryRef(clusterId, row);
      if (kind === 'volume') owners.set(`volume ${name}`, ref);
      else if (engineId !== null) owners.set(`${kind} ${engineId}`, ref);
      // A deployment that was killed, and found its object again, leaves no id; names of a swarm's objects are unique.
      else promised.set(`${kind} ${name}`, ref);
      names.add(`${kind} ${name}`);
    }
    for (const { kind, nodeId: at, name, id } of seen) {
      const ref = at === '' ? promised.get(`${kind} ${name}`) : undefined;
      if (ref) owners.set(`${kind} ${id}`, ref);
    }
    const bound = new Set(owners.keys());
    for (const id of await this.ours(ctx, clusterId, seen, rows)) bound.add(`image ${id}`);
    for (const each of await this.made.among(ctx, clusterId, nodeId, seen.flatMap(({ kind, id }) => (kind === 'image' || kind === 'container' ? [id] : [])))) bound.add(each);
    return { bound, claims, names, owners };
  }

  /** Ids of the images that are in our registry, by a digest that was pulled or pushed. A name alone is given by anybody. */
  private async ours(ctx: Context, clusterId: string, seen: readonly SeenObject[], rows: readonly FindingRow[]): Promise<Set<string>> {
    const quiet = new Set(rows.filter(({ kind, state }) => kind === 'image' && (state === 'baseline' || state === 'acknowledged')).map(({ engineId }) => engineId));
    const known = ensure(this.pulled, clusterId);
    const images = seen.filter(({ kind }) => kind === 'image');
    if (images.length > 0) for (const id of known) if (!images.some((image) => image.id === id)) known.delete(id);
    for (const { id, digests } of images) {
      if (known.has(id) || quiet.has(id)) continue;
      for (const reference of digests) {
        const named = parseReference(reference, this.config.registryPublicHost);
        if (!named?.digest || !(await this.images.resolve(ctx, named.path, named.digest))) continue;
        known.add(id);
        break;
      }
    }
    return known;
  }

  /** One transaction: what was found, and that it is on record. */
  private async write(ctx: Context, cluster: Cluster, plan: Plan, begun: readonly string[]): Promise<void> {
    const now = this.clock.now();
    const set = (rows: readonly FindingRow[], state: string) => async (tx: Context): Promise<void> => {
      if (rows.length === 0) return;
      // Somebody may have decided on it meanwhile.
      await this.db.query(
        tx,
        `update clusters_findings f set state = $3, changed_at = $4 from unnest ($1::uuid[], $2::text[]) as was (id, state) where f.id = was.id and f.state = was.state returning 1`,
        [rows.map(({ id }) => id), rows.map((row) => row.state), state, now],
      );
    };
    await this.db.transaction(ctx, async (tx) => {
      await this.insert(tx, cluster, 'unknown', plan.baseline, 'baseline');
      await this.insert(tx, cluster, 'unknown', plan.appeared, 'seen');
      await set(plan.flagged.map(({ row }) => row), 'flagged')(tx);
      await set(plan.owned, 'owned')(tx);
      await set(plan.gone, 'gone')(tx);
      if (plan.forgotten.length > 0) await this.db.query(tx, `delete from clusters_findings where id = any ($1) and state = 'seen' returning 1`, [plan.forgotten.map(({ id }) => id)]);
      if (plan.still.length > 0) {
        await this.db.query(tx, 'update clusters_findings set last_seen = $2 where id = any ($1) and last_seen < $3 returning 1', [plan.still.map(({ id }) => id), now, new Date(now.getTime() - lastSeenMillis)]);
      }
      for (const nodeId of begun) await this.db.query(tx, 'insert into clusters_watched (cluster_id, node_id, since) values ($1, $2, $3) on conflict do nothing', [cluster.id, nodeId, now]);
      await this.say(tx, cluster, plan.flagged);
    });
  }

  private async insert(tx: Context, cluster: Cluster, reason: string, objects: readonly (SeenObject & { detail?: string })[], state: string): Promise<void> {
    const now = this.clock.now();
    for (let at = 0; at < objects.length; at += 500) {
      const some = objects.slice(at, at + 500);
      const column = (read: (object: (typeof some)[number]) => string): string[] => some.map((object) => read(object).replaceAll('\0', '').slice(0, 4_096));
      await this.db.query(
        tx,
        `insert into clusters_findings (id, cluster_id, node_id, kind, engine_id, reason, name, image, detail, state, first_seen, last_seen, changed_at)
         select o.id, $1, o.node_id, o.kind, o.engine_id, $2, o.name, o.image, o.detail, $3, $4, $4, $4
           from unnest ($5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) as o (id, node_id, kind, engine_id, name, image, detail)
         on conflict (cluster_id, reason, kind, node_id, engine_id) do update
           set id = excluded.id, name = excluded.name, image = excluded.image, detail = excluded.detail, state = excluded.state, note = '', done = '', undo = null, fault = '',
               first_seen = excluded.first_seen, last_seen = excluded.last_seen, changed_at = excluded.changed_at
           where clusters_findings.state in ('owned', 'gone')`,
        [cluster.id, reason, state, now, some.map(() => uuidv7()), column(({ nodeId }) => nodeId), column(({ kind }) => kind), column(({ id }) => id), column(({ name }) => name), column(({ image }) => image), column(({ detail }) => detail ?? '')],
      );
    }
  }

  /** On record, and in the log for who follows that. */
  private async say(tx: Context, cluster: Cluster, found: readonly { row: FindingRow; object: SeenObject; detail?: string }[]): Promise<void> {
    for (const { row, object, detail } of found.slice(0, maxRecorded)) {
      await this.audit.record(tx, entry(cluster, 'cluster.finding', 'success', { finding: row.id, ...told(object), ...(detail === undefined ? {} : { reason: detail }) }));
    }
    if (found.length > maxRecorded) await this.audit.record(tx, entry(cluster, 'cluster.finding', 'success', { more: found.length - maxRecorded }));
    if (found.length > 0) this.logger.warn({ cluster: cluster.name, objects: found.slice(0, maxRecorded).map(({ object }) => told(object)), count: found.length }, 'a cluster has what Gantry did not make or does not let run');
  }

  // ---- stopping

  /**
   * What of this may be stopped. Where it is so much at once that rather the records are wrong, all is flagged and nothing is stopped any more, which is put on
   * record once, until somebody releases the brake or ends the quarantine.
   */
  private async brake(ctx: Context, cluster: Cluster, stop: Plan['stop'], seen: readonly SeenObject[]): Promise<Plan['stop']> {
    const again = stop.filter(({ row }) => !isFresh(row));
    if (again.length === stop.length || cluster.watchBrakedAt !== null) return again;
    const { watchBrakeCount: count, watchBrakePercent: percent, watchBrakeReleasedAt: releasedAt } = cluster;
    const running = seen.filter(({ kind, active }) => canStop(kind) && active).length;
    if (!isTooMuch(stop.map(({ row }) => row), running, { count, percent, releasedAt })) return stop;
    await this.db.transaction(ctx, async (tx) => {
      const braked = await this.db.query(tx, `update clusters_clusters set watch_braked_at = $2 where id = $1 and watch = 'quarantine' and watch_braked_at is null returning 1`, [cluster.id, this.clock.now()]);
      if (braked.length === 0) return;
      const detail = { held: stop.length - again.length, running, count, percent, release: `POST /api/v1/clusters/${cluster.name}/brake/release` };
      await this.audit.record(tx, entry(cluster, 'cluster.brake', 'failed', detail));
      this.logger.warn({ cluster: cluster.name, ...detail }, 'so much is unknown at once that nothing is stopped: look whether the records are those of this cluster, then release the brake');
    });
    return again;
  }

  /** What it takes to undo it is written down first; who dies after that stops it again. */
  private async quarantine(ctx: Context, cluster: Cluster, engine: EngineClient, row: FindingRow, object: SeenObject, lease: Lease | null): Promise<void> {
    try {
      const undo = await readUndo(engine, object.kind as 'container' | 'service', object.id);
      if (!undo) return;
      // Only what is still flagged: it may have been acknowledged, or adopted, a moment ago.
      const [held] = await this.db.query<{ undo: Undo }>(
        ctx, `update clusters_findings set undo = coalesce(undo, $2) where id = $1 and state in ('flagged', 'quarantined') returning undo`, [row.id, JSON.stringify(undo)]);
      if (!held) return;
      await lease?.assertHeld(ctx);
      await hold(engine, object.id, held.undo);
      await this.db.transaction(ctx, async (tx) => {
        const done = await this.db.query(
          tx, `update clusters_findings set state = 'quarantined', done = $2, fault = '', changed_at = $3 where id = $1 and state in ('flagged', 'quarantined') returning 1`, [row.id, describe(held.undo), this.clock.now()]);
        if (done.length > 0) await this.audit.record(tx, entry(cluster, 'cluster.quarantine', 'success', { finding: row.id, ...told(object), done: describe(held.undo) }));
      });
    } catch (error) {
      await this.fail(ctx, cluster, row, error);
    }
  }

  private async release(ctx: Context, cluster: Cluster, engine: EngineClient, row: FindingRow, lease: Lease | null): Promise<void> {
    try {
      const [held] = await this.db.query<{ undo: Undo | null }>(ctx, `select undo from clusters_findings where id = $1 and state = 'releasing'`, [row.id]);
      if (!held) return;
      await lease?.assertHeld(ctx);
      if (held.undo) await letGo(engine, row.engineId, held.undo);
      await this.db.transaction(ctx, async (tx) => {
        await this.db.query(tx, `update clusters_findings set state = 'acknowledged', undo = null, done = done || '; released', fault = '', changed_at = $2 where id = $1 and state = 'releasing' returning 1`, [row.id, this.clock.now()]);
        await this.audit.record(tx, entry(cluster, 'cluster.release', 'success', { finding: row.id, kind: row.kind, id: row.engineId }));
      });
    } catch (error) {
      await this.fail(ctx, cluster, row, error);
    }
  }

  /** Tried again by the next comparison; on record once as long as it stays the same. */
  private async fail(ctx: Context, cluster: Cluster, row: FindingRow, error: unknown): Promise<void> {
    if (!(error instanceof EngineError) && !(error instanceof Problem)) throw error;
    const fault = error instanceof Problem ? error.detail : error.message;
    const changed = await this.db.query(ctx, 'update clusters_findings set fault = $2 where id = $1 and fault <> $2 returning 1', [row.id, fault.replaceAll('\0', '').slice(0, 1_000)]);
    if (changed.length > 0) await this.audit.record(ctx, entry(cluster, row.state === 'releasing' ? 'cluster.release' : 'cluster.quarantine', 'failed', { finding: row.id, kind: row.kind, id: row.engineId, error: fault }));
  }

  // ---- what is somebody's, and runs what may not run

  /**
   * Flags what belongs to somebody and runs an image that the policies in force refuse where it lies. It is not stopped: that is its owner's to do.
   * Answers whether anything is refused that is not told of yet, and is to be looked at again.
   */
  private async judgeRunning(ctx: Context, cluster: Cluster, engine: EngineClient, nodeId: string, seen: readonly SeenObject[]): Promise<boolean> {
    const running = seen.filter(({ kind, active }) => (kind === 'container' || kind === 'service') && active);
    const { owners } = await this.known(ctx, cluster.id, nodeId, running, []);
    const { access, images, admission, config: { registryPublicHost } } = this;
    // The same image in the same place, and of the same environment, is asked once.
    const answers = new Map<string, Promise<string | null>>();
    const refused: (SeenObject & { detail: string })[] = [];
    for (const object of running) {
      const place = owners.get(`${object.kind} ${object.id}`);
      if (!place) continue;
      const key = `${place.parent?.kind === 'environment' ? place.parent.id : ''} ${access.collectionsAbove(place)[0]?.id ?? ''} ${object.image}`;
      const answer = answers.get(key) ?? judgeStanding({ access, images, admission, registryPublicHost }, ctx, {
        clusterId: cluster.id, place, image: object.image, store: false, digests: async () => digestsOf(engine, object.image),
      }).then((refusal) => refusal?.explanation ?? null);
      answers.set(key, answer);
      const detail = await answer;
      if (detail !== null) refused.push({ ...object, detail });
    }
    return this.writeRefused(ctx, cluster, nodeId, refused);
  }

  private async writeRefused(ctx: Context, cluster: Cluster, nodeId: string, refused: readonly (SeenObject & { detail: string })[]): Promise<boolean> {
    const now = this.clock.now();
    return this.db.transaction(ctx, async (tx) => {
      const rows = await this.db.query<FindingRow>(
        tx, `select id, kind, node_id as "nodeId", engine_id as "engineId", state, first_seen as "firstSeen" from clusters_findings
             where cluster_id = $1 and reason = 'image-refused' and node_id = any ($2) and state not in ('owned', 'gone') for update`, [cluster.id, ['', nodeId]]);
      const objects = new Map(refused.map((object) => [`${object.kind} ${object.id}`, object]));
      const flagged: { row: FindingRow; object: SeenObject; detail: string }[] = [];
      let waiting = false;
      for (const row of rows) {
        const object = objects.get(`${row.kind} ${row.engineId}`);
        objects.delete(`${row.kind} ${row.engineId}`);
        if (object) {
          const state = row.state === 'seen' && now.getTime() - row.firstSeen.getTime() >= this.patience.refusedMillis ? 'flagged' : row.state;
          if (state !== row.state) flagged.push({ row, object, detail: object.detail });
          else waiting ||= state === 'seen';
          await this.db.query(
            tx, `update clusters_findings set state = $2, detail = $3, image = $4, last_seen = $5, changed_at = case when state = $2 then changed_at else $5 end
                 where id = $1 and (state <> $2 or detail <> $3 or image <> $4 or last_seen < $6) returning 1`,
            [row.id, state, object.detail, object.image, now, new Date(now.getTime() - lastSeenMillis)]);
        } else if (row.state === 'seen') {
          await this.db.query(tx, 'delete from clusters_findings where id = $1 returning 1', [row.id]);
        } else {
          await this.db.query(tx, `update clusters_findings set state = 'gone', changed_at = $2 where id = $1 returning 1`, [row.id, now]);
        }
      }
      await this.insert(tx, cluster, 'image-refused', [...objects.values()], 'seen');
      await this.say(tx, cluster, flagged);
      return waiting || objects.size > 0;
    });
  }
}

/** How much is to be stopped at once is told from all that can be. */
function together(kinds: ReadonlySet<FindingKind>, { watch }: Cluster): ReadonlySet<FindingKind> {
  return watch === 'quarantine' && [...kinds].some(canStop) ? new Set([...kinds, ...findingKinds.filter(canStop)]) : kinds;
}

function entry(cluster: Cluster, action: string, outcome: AuditEntry['outcome'], detail: Record<string, unknown>): AuditEntry {
  return { action, resource: { kind: 'cluster', id: cluster.id, name: cluster.name }, outcome, detail };
}

function told({ kind, name, id, image }: SeenObject): Record<string, string> {
  return { kind, name, id, ...(image === '' ? {} : { image }) };
}

function ensure(sets: Map<string, Set<string>>, key: string): Set<string> {
  let set = sets.get(key);
  if (!set) sets.set(key, (set = new Set()));
  return set;
}

async function pause(millis: number, signal: AbortSignal): Promise<void> {
  await delay(millis, signal).catch(() => {
    // aborted: the loop looks
  });
}
