import { Injectable } from '@nestjs/common';
import { Access, type ResourceRef } from '@gantry/access';
import { Clock, Db, Problem, type Context } from '@gantry/platform';
import { Clusters } from '../clusters';
import { EngineError, type EngineClient } from '../engine.client';
import type { EngineNode } from '../engine.types';
import { clustersProblem } from '../problems';
import { constraintOf, isOwnConstraint, labelOf, labelsFor, nodeSetOf, placedNodes, type NodeSet } from './node-sets';

/** How often an update that somebody was faster with is tried. */
const attempts = 5;

/**
 * The sets of nodes to which services are kept: remembered before anything names them, and written on the nodes as labels. What is deployed is kept to the
 * nodes that are open to the account for which it is deployed, whoever asks for it and whatever asks (a push, a webhook): so the same plan comes out
 * each time. That is told from our own records; the engine is asked when it is applied.
 */
@Injectable()
export class KeptServices {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly clusters: Clusters,
  ) {}

  /**
   * The constraints of Gantry's own that services get which are deployed for a resource: those of the account that it belongs to (of who asks where it belongs to
   * none). Empty where no node lies in a collection of its own, or all are open. Asks no engine.
   * @throws clusters.no-node
   */
  async constraintsFor(ctx: Context, clusterId: string, resource: ResourceRef): Promise<string[]> {
    const placements = this.access.facts().placements.get('node');
    if (!placements || placements.size === 0) return [];
    const rows = await this.db.query<{ id: string }>(ctx, 'select node_id as id from clusters_placed_nodes where cluster_id = $1', [clusterId]);
    const placed = rows.flatMap(({ id }) => {
      const collectionId = placements.get(id);
      return collectionId === undefined ? [] : [{ id, collectionId }];
    });
    if (placed.length === 0) return [];
    const may = this.rightsOf(ctx, resource);
    if (may({ kind: 'collection', id: this.access.rootCollection() })) return [];
    const open = placed.filter(({ id }) => may({ kind: 'node', id, parent: { kind: 'cluster', id: clusterId } }));
    // A node that has joined since the cluster was last looked at is not counted yet.
    if (open.length === 0 && placed.length >= (await this.clusters.get(ctx, clusterId)).nodeCount) throw noNodeFor();
    const set = nodeSetOf(open.map(({ collectionId }) => collectionId));
    await this.remember(ctx, clusterId, set);
    return [constraintOf(set)];
  }

  /** Who may schedule: the account to which the resource belongs, as itself and with no credential's limits. */
  private rightsOf(ctx: Context, resource: ResourceRef): (ref: ResourceRef) => boolean {
    let at: ResourceRef | undefined = resource;
    while (at && at.kind !== 'account') at = at.parent;
    if (!at) return (ref) => this.access.can(ctx, 'node:schedule', ref).allowed;
    const account = this.access.findAccount(at.id);
    return (ref) => account !== undefined && this.access.explain(account, null, 'node:schedule', ref).allowed;
  }

  /**
   * Makes the nodes have the labels that a spec names, right before it is sent. Network I/O.
   * @throws clusters.no-node where no node has them, EngineError
   */
  async prepare(ctx: Context, clusterId: string, engine: EngineClient, constraints: readonly string[]): Promise<void> {
    const own = constraints.filter(isOwnConstraint);
    if (own.length === 0) return;
    const labels = await this.label(ctx, clusterId, engine, await engine.nodes());
    if (!labels.some((each) => own.every((constraint) => each[labelOf(constraint)] === 'true'))) throw noNodeFor();
  }

  /** Written down before a service names it. */
  async remember(ctx: Context, clusterId: string, set: NodeSet): Promise<void> {
    await this.db.query(ctx, `insert into clusters_node_sets (cluster_id, hash, collections, used_at) values ($1, $2, $3, $4) on conflict (cluster_id, hash) do update set used_at = excluded.used_at returning 1`, [
      clusterId, set.hash, set.collections, this.clock.now(),
    ]);
  }

  /** Makes the labels on nodes what placements say; answers what each has then. @throws EngineError */
  async label(ctx: Context, clusterId: string, engine: EngineClient, nodes: readonly EngineNode[]): Promise<Record<string, string>[]> {
    const sets = await this.db.query<NodeSet>(ctx, 'select hash, collections from clusters_node_sets where cluster_id = $1', [clusterId]);
    const written: Record<string, string>[] = [];
    for (const node of nodes) {
      let current: EngineNode | undefined = node;
      for (let attempt = 1; current; attempt += 1) {
        const [placed] = placedNodes([current], this.access.facts().placements.get('node'));
        const present = current.Spec.Labels ?? {};
        const labels = labelsFor(placed!, present, sets);
        if (labels === null) {
          written.push(present);
          break;
        }
        try {
          await engine.updateNode(current.ID, current.Version.Index, { ...current.Spec, Labels: labels });
          written.push(labels);
          break;
        } catch (error) {
          if (!(error instanceof EngineError) || !error.outOfSequence || attempt === attempts) throw error;
          current = (await engine.nodes({ id: [node.ID] })).find(({ ID }) => ID === node.ID);
        }
      }
    }
    return written;
  }
}

/**
 * Refuses constraints of Gantry's own that are not the ones that a service is to have.
 * @throws clusters.spec-invalid
 */
export function assertKept(constraints: readonly string[] | undefined, wanted: readonly string[]): void {
  const own = (constraints ?? []).filter(isOwnConstraint);
  if (own.length === wanted.length && wanted.every((each) => own.includes(each))) return;
  throw clustersProblem('spec-invalid', {
    detail: 'The nodes on which this may run are others than those to which it is kept; plan it anew.', errors: [{ pointer: '/spec/TaskTemplate/Placement/Constraints', detail: 'constraints on labels of Gantry’s own come from Gantry' }],
  });
}

function noNodeFor(): Problem {
  return clustersProblem('no-node', { detail: 'Every node of this cluster lies in a collection in which the account of the environment may not schedule (node:schedule).' });
}
