import { Injectable } from '@nestjs/common';
import { Access } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { Clock, Db, decodeCursor, isUuid, requestProblem, toPage, type Context, type Page } from '@gantry/platform';
import type { Cluster } from '../cluster.entity';
import { Clusters } from '../clusters';
import { Ownership } from '../gateway/ownership';
import { clustersProblem } from '../problems';
import { findingsChannel, type FindingKind, type FindingState } from './compare';

/** What a cluster has without Gantry having made it (`unknown`), or of somebody's and against the policies that count there (`image-refused`). */
export interface Finding {
  id: string;
  kind: FindingKind;
  reason: 'unknown' | 'image-refused';
  /** The engine's id; a volume's name. */
  engineId: string;
  /** Node on which it is; '' for what is the swarm's. */
  nodeId: string;
  name: string;
  image: string;
  /** Why an image is refused; else empty. */
  detail: string;
  state: Exclude<FindingState, 'seen'>;
  /** What somebody said of it. */
  note: string;
  /** What was done to it; empty: nothing. */
  done: string;
  /** Why what was to be done could not be. */
  fault: string;
  firstSeen: Date;
  /** To five minutes. */
  lastSeen: Date;
  changedAt: Date;
}

/** What narrows a list of findings. */
export interface FindingFilter {
  state?: Finding['state'] | undefined;
  kind?: FindingKind | undefined;
  reason?: Finding['reason'] | undefined;
  /** A part of the name, the image or the engine's id. */
  text?: string | undefined;
}

const columns = `id, kind, reason, engine_id as "engineId", node_id as "nodeId", name, image, detail, state, note, done, fault, first_seen as "firstSeen", last_seen as "lastSeen", changed_at as "changedAt"`;

/** The findings of clusters for people: looking, and deciding what becomes of each. The route's guard judges the rights on the cluster. */
@Injectable()
export class Findings {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly clusters: Clusters,
    private readonly ownership: Ownership,
  ) {}

  /** Newest first. @throws request.not-found */
  async list(ctx: Context, idOrName: string, page: FindingFilter & { limit: number; cursor?: string | undefined }): Promise<Page<Finding>> {
    const cluster = await this.clusters.get(ctx, idOrName);
    const before = decodeCursor(page.cursor, 1)?.[0] ?? null;
    if (before !== null && !isUuid(before)) throw requestProblem('invalid', { errors: [{ pointer: 'query/cursor', detail: 'not a cursor of this list' }] });
    const rows = await this.db.query<Finding>(
      ctx,
      `select ${columns} from clusters_findings where cluster_id = $1 and state <> 'seen' and ($2::uuid is null or id < $2)
         and ($3::text is null or state = $3) and ($4::text is null or kind = $4) and ($5::text is null or reason = $5)
         and ($6::text is null or strpos(name, $6) > 0 or strpos(image, $6) > 0 or strpos(engine_id, $6) > 0)
       order by id desc limit $7`,
      [cluster.id, before, page.state ?? null, page.kind ?? null, page.reason ?? null, page.text?.replaceAll('\0', '') ?? null, page.limit + 1],
    );
    return toPage(rows, page.limit, ({ id }) => [id]);
  }

  /** @throws request.not-found */
  async get(ctx: Context, idOrName: string, id: string): Promise<Finding> {
    return this.read(ctx, await this.clusters.get(ctx, idOrName), id);
  }

  /** It is known, and no alarm: listed, and never stopped. Again: the note is changed. @throws request.not-found, clusters.finding-state */
  async acknowledge(ctx: Context, idOrName: string, id: string, note: string): Promise<Finding> {
    return this.decide(ctx, idOrName, id, 'cluster.finding.acknowledge', { note }, (tx) =>
      this.db.query(tx, `update clusters_findings set state = 'acknowledged', note = $2, changed_at = $3 where id = $1 and undo is null and state in ('baseline', 'flagged', 'acknowledged') returning 1`, [id, note, this.clock.now()]));
  }

  /** A worker is to bring it back to how it was; after that it is acknowledged. @throws request.not-found, clusters.finding-state */
  async release(ctx: Context, idOrName: string, id: string): Promise<Finding> {
    return this.decide(ctx, idOrName, id, 'cluster.finding.release', {}, (tx) =>
      this.db.query(tx, `update clusters_findings set state = 'releasing', changed_at = $2 where id = $1 and (state in ('quarantined', 'releasing') or (state = 'flagged' and undo is not null)) returning 1`, [id, this.clock.now()]));
  }

  /**
   * Lets the watcher stop what it has held back: all that has been found until now. What is found later counts anew.
   * @throws request.not-found, clusters.not-braked
   */
  async releaseBrake(ctx: Context, idOrName: string): Promise<{ stopping: number }> {
    const cluster = await this.clusters.get(ctx, idOrName);
    return this.db.transaction(ctx, async (tx) => {
      const now = this.clock.now();
      const released = await this.db.query(tx, `update clusters_clusters set watch_braked_at = null, watch_brake_released_at = $2 where id = $1 and watch_braked_at is not null returning 1`, [cluster.id, now]);
      if (released.length === 0) throw clustersProblem('not-braked');
      const [row] = await this.db.query<{ stopping: number }>(
        tx, `select count(*)::int as stopping from clusters_findings where cluster_id = $1 and reason = 'unknown' and state = 'flagged' and kind in ('container', 'service')`, [cluster.id]);
      const stopping = row?.stopping ?? 0;
      await this.audit.record(tx, { action: 'cluster.brake.release', resource: { kind: 'cluster', id: cluster.id, name: cluster.name }, outcome: 'success', detail: { stopping } });
      await this.db.notify(tx, findingsChannel, cluster.id);
      return { stopping };
    });
  }

  /**
   * Gives it to a collection, as if it had been made through the gateway: from now on who has rights there has them on it. Nothing is changed on the
   * engine. The caller must be allowed to make such things in the collection.
   * @throws request.not-found, request.forbidden, clusters.finding-state, clusters.finding-not-adoptable, clusters.name-claimed
   */
  async adopt(ctx: Context, idOrName: string, id: string, collection: string): Promise<Finding> {
    const place = this.access.findCollection(ctx, collection);
    if (!place) throw requestProblem('not-found', { detail: 'There is no such collection.' });
    const finding = await this.get(ctx, idOrName, id);
    const { kind, reason } = finding;
    if (kind === 'image' || reason !== 'unknown') throw clustersProblem('finding-not-adoptable');
    this.access.assertCan(ctx, `${kind}:create`, place);
    return this.decide(ctx, idOrName, id, 'cluster.finding.adopt', { collection: place.id }, async (tx, cluster) => {
      const changed = await this.db.query(tx, `update clusters_findings set state = 'owned', changed_at = $2 where id = $1 and undo is null and state in ('baseline', 'flagged', 'acknowledged') returning 1`, [id, this.clock.now()]);
      if (changed.length === 0) return changed;
      // As the gateway does: containers and networks are known on one node, names of all else in the whole cluster.
      const nodeId = kind === 'container' || kind === 'network' ? finding.nodeId : '';
      const claim = await this.ownership.claim(tx, { clusterId: cluster.id, nodeId, kind, name: finding.name === '' ? null : finding.name, collectionId: place.id, createdBy: ctx.actor.id });
      await this.ownership.bind(tx, claim, finding.engineId);
      return changed;
    });
  }

  private async read(ctx: Context, cluster: Cluster, id: string): Promise<Finding> {
    const [row] = isUuid(id) ? await this.db.query<Finding>(ctx, `select ${columns} from clusters_findings where cluster_id = $1 and id = $2 and state <> 'seen'`, [cluster.id, id]) : [];
    if (!row) throw requestProblem('not-found', { detail: 'There is no such finding.' });
    return row;
  }

  /** One transaction: the decision, its row in the record, and word to the worker. */
  private async decide(ctx: Context, idOrName: string, id: string, action: string, detail: Record<string, unknown>, change: (tx: Context, cluster: Cluster) => Promise<unknown[]>): Promise<Finding> {
    const cluster = await this.clusters.get(ctx, idOrName);
    return this.db.transaction(ctx, async (tx) => {
      const before = await this.read(tx, cluster, id);
      if ((await change(tx, cluster)).length === 0) throw clustersProblem('finding-state', { detail: `It is ${before.state}.` });
      await this.audit.record(tx, { action, resource: { kind: 'cluster', id: cluster.id, name: cluster.name }, outcome: 'success', detail: { finding: id, kind: before.kind, name: before.name, id: before.engineId, ...detail } });
      await this.db.notify(tx, findingsChannel, cluster.id);
      return this.read(tx, cluster, id);
    });
  }
}
