import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Inventory, NodeScheduling } from '@gantry/clusters';
import { idOrName, In, listOf, page, Route, type Input, type RouteOptions } from '../http/route';

const params = z.strictObject({ cluster: idOrName });
const labels = z.record(z.string(), z.string());
const common = { id: z.string(), name: z.string(), labels };
const node = z.object({
  id: z.string(), hostname: z.string(), role: z.string(), leader: z.boolean(), availability: z.string(), state: z.string(), message: z.string(), address: z.string(),
  engineVersion: z.string(), os: z.string(), architecture: z.string(), cpus: z.number(), memoryBytes: z.number(), labels,
  collection: z.string().nullable().describe('path of the collection in which the node lies itself; null: it takes work of everybody'),
});
const nodeParams = z.strictObject({ cluster: idOrName, node: idOrName });
const nodePlace = z.strictObject({ collection: idOrName.describe('id or path') });
const nodePlaced = z.object({ kind: z.string(), id: z.string(), collection: z.object({ id: z.string(), path: z.string() }) });
const service = z.object({
  ...common, stack: z.string().nullable(), image: z.string(), mode: z.string(), replicas: z.number().nullable(), updateState: z.string().nullable(), updateMessage: z.string(),
  environment: z.array(z.string()), ports: z.array(z.object({ protocol: z.string(), target: z.number(), published: z.number().nullable(), mode: z.string() })),
  versionIndex: z.number(), createdAt: z.string(), updatedAt: z.string(),
});
const task = z.object({
  id: z.string(), serviceId: z.string(), nodeId: z.string().nullable(), slot: z.number().nullable(), image: z.string(), state: z.string(), desiredState: z.string(),
  message: z.string(), error: z.string(), exitCode: z.number().nullable(), createdAt: z.string(), stateSince: z.string(),
});
const network = z.object({ ...common, driver: z.string(), scope: z.string(), internal: z.boolean(), attachable: z.boolean(), ingress: z.boolean() });
const volume = z.object({ ...common, driver: z.string() });
const file = z.object({ ...common, createdAt: z.string(), updatedAt: z.string() });
const stack = z.object({ id: z.string(), name: z.string(), services: z.number() });

/** What the routes below share; engine objects belong to operations until collections hold them. */
function listing(noun: string, item: z.ZodType, description?: string): RouteOptions {
  return {
    method: 'GET', path: `:cluster/${noun}`, summary: `List a cluster’s ${noun}`, operation: 'cluster:view', scope: { kind: 'cluster', param: 'cluster' },
    params, query: page, response: listOf(item), ...(description ? { description } : {}),
  };
}

type Listing = Input<z.output<typeof params>, z.output<typeof page>>;

/** What is on a cluster, as its engine tells it now. */
@Controller('api/v1/clusters')
export class InventoryController {
  constructor(
    @Inject(Inventory) private readonly inventory: Inventory,
    @Inject(NodeScheduling) private readonly scheduling: NodeScheduling,
  ) {}

  @Route(listing('nodes', node))
  async nodes(@In() { ctx, params: { cluster }, query }: Listing): Promise<unknown> {
    const { items, next } = await this.inventory.nodes(ctx, cluster, query);
    return { items: items.map((each) => ({ ...each, collection: this.scheduling.findCollection(each.id)?.path ?? null })), next };
  }

  @Route({
    method: 'PUT', path: ':cluster/nodes/:node/collection', summary: 'Put a node into a collection',
    description: 'From then on it takes the work of those who have `node:schedule` there; needs the right to place there and where the cluster and the node are. A node that was never put anywhere takes everybody’s.',
    operation: 'collection:place', scope: { kind: 'cluster', param: 'cluster' }, params: nodeParams, body: nodePlace, response: nodePlaced, audit: 'resource.move',
  })
  place(@In() { ctx, params: { cluster, node: id }, body }: Input<z.output<typeof nodeParams>, unknown, z.output<typeof nodePlace>>): Promise<unknown> {
    return this.scheduling.place(ctx, cluster, id, body.collection);
  }

  @Route(listing('services', service, 'Environment variables are named; their values are not shown.'))
  services(@In() { ctx, params: { cluster }, query }: Listing): Promise<unknown> {
    return this.inventory.services(ctx, cluster, query);
  }

  @Route(listing('tasks', task))
  tasks(@In() { ctx, params: { cluster }, query }: Listing): Promise<unknown> {
    return this.inventory.tasks(ctx, cluster, query);
  }

  @Route(listing('networks', network))
  networks(@In() { ctx, params: { cluster }, query }: Listing): Promise<unknown> {
    return this.inventory.networks(ctx, cluster, query);
  }

  @Route(listing('volumes', volume, 'Volumes live on nodes; these are the ones of the node that Gantry talks to.'))
  volumes(@In() { ctx, params: { cluster }, query }: Listing): Promise<unknown> {
    return this.inventory.volumes(ctx, cluster, query);
  }

  @Route(listing('secrets', file, 'Names and labels only.'))
  secrets(@In() { ctx, params: { cluster }, query }: Listing): Promise<unknown> {
    return this.inventory.secrets(ctx, cluster, query);
  }

  @Route(listing('configs', file, 'Names and labels only.'))
  configs(@In() { ctx, params: { cluster }, query }: Listing): Promise<unknown> {
    return this.inventory.configs(ctx, cluster, query);
  }

  @Route(listing('stacks', stack))
  stacks(@In() { ctx, params: { cluster }, query }: Listing): Promise<unknown> {
    return this.inventory.stacks(ctx, cluster, query);
  }
}
