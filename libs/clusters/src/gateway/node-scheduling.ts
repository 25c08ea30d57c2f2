import { Inject, Injectable } from '@nestjs/common';
import { Access, Collections, type CollectionFacts, type ResourceRef } from '@gantry/access';
import { Clock, CONFIG, Db, LOGGER, Problem, requestProblem, type Config, type Context, type Logger } from '@gantry/platform';
import type { Cluster } from '../cluster.entity';
import { Clusters } from '../clusters';
import type { Value } from '../engine-api/shape';
import { EngineError, type EngineClient } from '../engine.client';
import { clustersProblem } from '../problems';
import { KeptServices } from './kept-services';
import { constraintOf, isOwnConstraint, nodeSetOf, placedNodes, type NodeSet } from './node-sets';
import { inspectPath, readSeen } from './objects';

/** A set that no service has named for this long is forgotten, half of it at least after the last one was seen. */
const unusedSeconds = 86_400;

/** A call that would run something. */
export interface ScheduleWish {
  ctx: Context;
  cluster: Cluster;
  engine: EngineClient;
  /** Its body, to which a service's constraint is added. */
  body: Value;
  /** The service's present spec, or null where it is made. */
  present: unknown;
  /** The spec to which a rollback goes back; null: it is none. */
  former: unknown;
}

/**
 * Which nodes somebody's work may run on. A node that lies in no collection of its own takes everybody's, as a swarm does; one that was put into a
 * collection takes that of those who have `node:schedule` there. Swarm's constraints know no "or", so each set of collections in which somebody may schedule
 * has a label, which Gantry writes on the nodes that are in it, and to which the service is kept. What was made before stays as it is until
 * its next update. Who may schedule everywhere is kept to nothing.
 *
 * Placements are the truth, labels follow them: at the placement, whenever a service needs them, and by the sweep, which also takes up what a process left
 * half done. A node has no label until it is written, so what is late only keeps work away.
 */
@Injectable()
export class NodeScheduling {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly collections: Collections,
    private readonly clusters: Clusters,
    private readonly kept: KeptServices,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** For `access`. */
  ref(clusterId: string, nodeId: string): ResourceRef {
    return { kind: 'node', id: nodeId, parent: { kind: 'cluster', id: clusterId } };
  }

  /** The collection in which a node lies itself; null: none. */
  findCollection(nodeId: string): CollectionFacts | null {
    return this.access.findPlacement({ kind: 'node', id: nodeId });
  }

  /**
   * Puts a node into a collection. Needs `collection:place` there, and where it lies now (in none of its own: where its cluster lies).
   * @throws request.not-found, request.forbidden, request.invalid, access.foreign-collection, clusters.unreachable, clusters.engine-failed
   */
  async place(ctx: Context, idOrName: string, node: string, collection: string): Promise<{ kind: string; id: string; collection: CollectionFacts }> {
    const cluster = await this.clusters.get(ctx, idOrName);
    const engine = await this.clusters.engine(ctx, cluster);
    const seen = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(node) ? await asked(() => engine.inspect(inspectPath('node', node))) : null;
    const id = seen === null ? null : (readSeen('node', seen)?.id ?? null);
    if (id === null) throw requestProblem('not-found', { detail: 'There is no such node.' });
    const placed = await this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'insert into clusters_placed_nodes (cluster_id, node_id) values ($1, $2) on conflict do nothing returning 1', [cluster.id, id]);
      return this.collections.move(tx, this.ref(cluster.id, id), id, collection, true);
    });
    // A process that may not change engines leaves it to the sweep.
    if (this.config.role !== 'api') await this.tryReconcile(ctx, cluster.id);
    return placed;
  }

  /** Forgets where a node lay that is no more. */
  async forget(ctx: Context, clusterId: string, nodeIds: readonly string[]): Promise<void> {
    if (nodeIds.length === 0) return;
    await this.db.transaction(ctx, async (tx) => {
      const gone = await this.db.query<{ id: string }>(tx, 'delete from clusters_placed_nodes where cluster_id = $1 and node_id = any($2) returning node_id as id', [clusterId, nodeIds]);
      await this.access.unplaceAll(tx, gone.map(({ id }) => ({ kind: 'node', id })));
    });
  }

  /**
   * Keeps a service to the nodes on which the caller may schedule. Who may everywhere leaves it as it is kept.
   * @throws clusters.no-node, clusters.spec-invalid (constraints on our own labels), clusters.image-not-pinned for a rollback to a spec that is not kept so
   */
  async judgeService(wish: ScheduleWish): Promise<void> {
    const present = constraintsIn(wish.present);
    const given = constraintsIn(wish.body);
    for (const each of given) {
      if (!isOwnConstraint(each) || present.includes(each)) continue;
      throw clustersProblem('spec-invalid', { detail: 'Constraints on labels of Gantry’s own come from Gantry.', errors: [{ pointer: '/TaskTemplate/Placement/Constraints', detail: 'names a label of Gantry’s own' }] });
    }
    const set = await this.setFor(wish);
    const own = set === 'everywhere' ? present.filter(isOwnConstraint) : set === null ? [] : [constraintOf(set)];
    if (wish.former !== null) {
      const former = constraintsIn(wish.former).filter(isOwnConstraint);
      if (own.every((each) => former.includes(each))) return;
      throw clustersProblem('spec-invalid', { detail: 'The former spec may run on nodes on which this service may not; update it instead.' });
    }
    if (own.length === 0 && !given.some(isOwnConstraint)) return;
    setConstraints(wish.body, [...given.filter((each) => !isOwnConstraint(each)), ...own]);
  }

  /** Whether a plain container may be made, or started: it runs on the engine's own node. @throws clusters.no-node */
  judgeContainer(ctx: Context, cluster: Cluster, nodeId: string): void {
    const ref = this.ref(cluster.id, nodeId);
    if (this.access.findPlacement(ref) && !this.access.can(ctx, 'node:schedule', ref).allowed) throw noNode('The node of this engine lies in a collection in which you may not schedule (node:schedule). Make a service, where other nodes are open to you.');
  }

  /** Null: no node of the cluster lies in a collection of its own. */
  private async setFor({ ctx, cluster, engine }: ScheduleWish): Promise<NodeSet | 'everywhere' | null> {
    const placements = this.access.facts().placements.get('node');
    if (!placements || placements.size === 0) return null;
    const nodes = await engine.nodes();
    const placed = placedNodes(nodes, placements);
    const used = new Set(placed.flatMap(({ collectionId }) => (collectionId === null ? [] : [collectionId])));
    if (used.size === 0) return null;
    if (this.access.listScope(ctx, 'node:schedule', 'node') === null) return 'everywhere';
    const open = placed.filter(({ id, collectionId }) => collectionId === null || this.access.can(ctx, 'node:schedule', this.ref(cluster.id, id)).allowed);
    if (open.length === 0) throw noNode('Every node of this cluster lies in a collection in which you may not schedule (node:schedule).');
    const set = nodeSetOf(open.flatMap(({ collectionId }) => (collectionId === null ? [] : [collectionId])));
    await this.kept.remember(ctx, cluster.id, set);
    await this.kept.label(ctx, cluster.id, engine, nodes);
    return set;
  }

  // --- labels

  /** Clusters in which any node lies in a collection of its own, or did. */
  async clusterIds(ctx: Context): Promise<string[]> {
    const rows = await this.db.query<{ id: string }>(ctx, 'select cluster_id as id from clusters_placed_nodes union select cluster_id from clusters_node_sets');
    return rows.map(({ id }) => id);
  }

  /**
   * Sweep: makes the labels on the nodes of a cluster what placements say, and forgets nodes that are gone and sets that no service names any more.
   * @throws clusters.unreachable, clusters.engine-failed
   */
  async reconcile(ctx: Context, clusterId: string): Promise<void> {
    await asked(async () => {
      const cluster = await this.clusters.get(ctx, clusterId);
      const engine = await this.clusters.engine(ctx, cluster);
      // Before the engine is asked: one that is placed meanwhile has not been missed by anybody.
      const placed = await this.db.query<{ id: string }>(ctx, 'select node_id as id from clusters_placed_nodes where cluster_id = $1', [clusterId]);
      const nodes = await engine.nodes();
      // Of another swarm's nodes nothing is concluded, and a swarm without any is none.
      if ((await engine.swarm()).ID !== cluster.swarmId || nodes.length === 0) return;
      const there = new Set(nodes.map(({ ID }) => ID));
      await this.forget(ctx, clusterId, placed.map(({ id }) => id).filter((id) => !there.has(id)));
      await this.forgetSets(ctx, clusterId, engine);
      await this.kept.label(ctx, clusterId, engine, nodes);
    });
  }

  private async tryReconcile(ctx: Context, clusterId: string): Promise<void> {
    try {
      await this.reconcile(ctx, clusterId);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.logger.warn({ cluster: clusterId, error: error.message }, 'the labels of nodes could not be written; the sweep does it');
    }
  }

  private async forgetSets(ctx: Context, clusterId: string, engine: EngineClient): Promise<void> {
    const ago = (seconds: number): Date => new Date(this.clock.now().getTime() - seconds * 1_000);
    const old = await this.db.query<{ hash: string }>(ctx, 'select hash from clusters_node_sets where cluster_id = $1 and used_at < $2', [clusterId, ago(unusedSeconds / 2)]);
    if (old.length === 0) return;
    const used = new Set((await engine.services()).flatMap((service) => [...constraintsIn(service.Spec), ...constraintsIn(service.PreviousSpec)]));
    const unused = old.map(({ hash }) => hash).filter((hash) => !used.has(constraintOf({ hash })));
    // What ran until now may come back: a deployment that fails returns to what was before.
    await this.db.query(ctx, 'update clusters_node_sets set used_at = $3 where cluster_id = $1 and hash = any($2) returning 1', [clusterId, old.map(({ hash }) => hash).filter((hash) => !unused.includes(hash)), this.clock.now()]);
    await this.db.query(ctx, 'delete from clusters_node_sets where cluster_id = $1 and hash = any($2) and used_at < $3 returning 1', [clusterId, unused, ago(unusedSeconds)]);
  }
}

function noNode(detail: string): Problem {
  return clustersProblem('no-node', { detail });
}

/** Engines' own words as a problem. */
async function asked<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof EngineError ? error.toProblem() : error;
  }
}

function member(from: unknown, name: string): unknown {
  return typeof from === 'object' && from !== null ? (from as Record<string, unknown>)[name] : undefined;
}

function constraintsIn(spec: unknown): string[] {
  const found = member(member(member(spec, 'TaskTemplate'), 'Placement'), 'Constraints');
  return Array.isArray(found) ? found.filter((each) => typeof each === 'string') : [];
}

function setConstraints(spec: Value, constraints: string[]): void {
  const within = (at: Record<string, Value>, name: string): Record<string, Value> => {
    const there = at[name];
    if (typeof there === 'object' && there !== null && !Array.isArray(there)) return there as Record<string, Value>;
    const made = Object.create(null) as Record<string, Value>;
    at[name] = made;
    return made;
  };
  within(within(spec as Record<string, Value>, 'TaskTemplate'), 'Placement')['Constraints'] = constraints;
}
