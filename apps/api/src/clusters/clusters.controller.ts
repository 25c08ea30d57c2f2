import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Clusters, sshAddressForm, watchModes } from '@gantry/clusters';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, name, page, Route, time, type Input } from '../http/route';

const pem = z.string().min(1).max(100_000);
const endpoint = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('socket'), path: z.string().max(107).regex(/^\/[\x21-\x7e]+$/, 'an absolute path') }),
  z.strictObject({
    kind: z.literal('tls'),
    host: z.string().max(253).regex(/^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|[0-9a-fA-F:.]+)$/, 'a host name or address, without scheme and port'),
    port: z.int().min(1).max(65_535).default(2376),
    ca: pem.describe('PEM of the authority that signed the engine’s certificate'),
    cert: pem.describe('PEM of the client certificate'),
    key: pem.describe('PEM of its private key; write-only'),
  }),
  z.strictObject({
    kind: z.literal('ssh'),
    address: z.string().max(500).regex(sshAddressForm, 'of the form ssh://user@host[:port][/path/to/docker.sock], without a password'),
    key: pem.describe('private key, Ed25519 or ECDSA, unencrypted, as ssh-keygen writes it; write-only'),
    hostKey: z.string().max(4_000).default('').describe('the host’s public key, the line of /etc/ssh/ssh_host_ed25519_key.pub; without it nothing is connected, and the problem shows the fingerprint that was seen'),
  }),
]);
const newCluster = z.strictObject({ name, endpoint });
const watch = z.enum(watchModes).describe('what becomes of what appears on it without Gantry: nobody looks, it is flagged, or flagged and stopped');
const brakeCount = z.int().min(1).max(100_000).describe('under `quarantine`: when more would be stopped at once, nothing is, until the brake is released');
const brakePercent = z.int().min(1).max(100).describe('the same, by the share of all that runs; only where it is more than three things');
const clusterChange = z.strictObject({ name: name.optional(), endpoint: endpoint.optional(), watch: watch.optional(), watchBrakeCount: brakeCount.optional(), watchBrakePercent: brakePercent.optional() });
const cluster = z.object({
  id: z.string(),
  name: z.string(),
  endpoint: z.union([z.object({ kind: z.literal('socket'), path: z.string() }), z.object({ kind: z.literal('tls'), host: z.string(), port: z.number() }), z.object({ kind: z.literal('ssh'), address: z.string(), hostKey: z.string() })]),
  swarmId: z.string(),
  engineVersion: z.string(),
  apiVersion: z.string(),
  nodeCount: z.number().int(),
  state: z.enum(['ready', 'unreachable', 'not-a-manager']),
  stateDetail: z.string(),
  watch,
  watchBrakeCount: brakeCount,
  watchBrakePercent: brakePercent,
  watchBrakedAt: time.nullable().describe('since when nothing more is stopped, because it would have been too much at once'),
  checkedAt: time,
  createdAt: time,
  version: z.number().int(),
});
const params = z.strictObject({ cluster: idOrName });
const one = { kind: 'cluster', param: 'cluster' } as const;

/** Swarms that releases can go to. */
@Controller('api/v1/clusters')
export class ClustersController {
  constructor(@Inject(Clusters) private readonly clusters: Clusters, @Inject(Resources) resources: Resources) {
    resources.register('cluster', (ctx, value) => clusters.findRef(ctx, value));
  }

  @Route({
    method: 'POST', summary: 'Register a cluster', description: 'Asks the engine first: it must be a manager of a swarm that is not registered yet, and whose nodes can reach the registry.',
    operation: 'cluster:create', scope: 'system', body: newCluster, response: cluster, audit: 'cluster.create',
  })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof newCluster>>): Promise<unknown> {
    return this.clusters.register(ctx, body);
  }

  @Route({ method: 'GET', summary: 'List clusters', operation: 'cluster:view', scope: 'each', query: page, response: listOf(cluster) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): Promise<unknown> {
    return this.clusters.list(ctx, query);
  }

  @Route({ method: 'GET', path: ':cluster', summary: 'Get a cluster', operation: 'cluster:view', scope: one, params, response: cluster })
  get(@In() { ctx, params: { cluster: value } }: Input<z.output<typeof params>>): Promise<unknown> {
    return this.clusters.get(ctx, value);
  }

  @Route({
    method: 'PATCH', path: ':cluster', summary: 'Rename a cluster, change how it is reached or how it is watched', description: 'A new endpoint must lead to the same swarm.',
    operation: 'cluster:update', scope: one, params, body: clusterChange, response: cluster, ifMatch: true, audit: 'cluster.update',
  })
  update(@In() { ctx, params: { cluster: value }, body, version }: Input<z.output<typeof params>, unknown, z.output<typeof clusterChange>>): Promise<unknown> {
    return this.clusters.update(ctx, value, version, body);
  }

  @Route({
    method: 'DELETE', path: ':cluster', summary: 'Forget a cluster', description: 'Nothing on it is touched. Refused while environments deploy to it.',
    operation: 'cluster:delete', scope: one, params, ifMatch: true, audit: 'cluster.delete',
  })
  async remove(@In() { ctx, params: { cluster: value }, version }: Input<z.output<typeof params>>): Promise<void> {
    await this.clusters.remove(ctx, value, version);
  }

  @Route({
    method: 'POST', path: ':cluster/check', summary: 'Ask the engine how it is', description: 'Stores and answers what it says; an engine that does not answer is state `unreachable`, not an error.',
    operation: 'cluster:update', scope: one, params, response: cluster, status: 200, audit: 'cluster.check',
  })
  check(@In() { ctx, params: { cluster: value } }: Input<z.output<typeof params>>): Promise<unknown> {
    return this.clusters.check(ctx, value);
  }
}
