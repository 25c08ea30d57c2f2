import { createPrivateKey, X509Certificate } from 'node:crypto';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Access, type ResourceRef } from '@gantry/access';
import { Audit } from '@gantry/audit';
import {
  Clock, CONFIG, Db, decodeCursor, isLoopback, isUniqueViolation, isUuid, Problem, requestProblem, Sealer, systemContext, toPage, uuidv7, type Config, type Context, type Page,
} from '@gantry/platform';
import { Cluster, type ClusterState, type StoredEndpoint, type WatchMode } from './cluster.entity';
import { EngineClient, EngineError, type Endpoint } from './engine.client';
import { openEngine, type RawEngine } from './engine.raw';
import { findingsChannel } from './findings/compare';
import { clustersProblem } from './problems';
import { Relay } from './relay';
import { checkPrivateKey, parseHostKey, parseSshAddress, writeHostKey } from './ssh/keys';
import { closeSshWays } from './ssh/link';

const tlsPurpose = 'clusters.tls';
const sshPurpose = 'clusters.ssh';
const recentMillis = 1_000;

/** What a check of an engine found. */
interface Findings {
  swarmId: string;
  engineVersion: string;
  apiVersion: string;
  nodeCount: number;
  warning: string;
}

/** The registered swarms and the way to their engines. */
@Injectable()
export class Clusters implements OnApplicationShutdown {
  /** Clients by cluster id, as long as endpoint and API version stay the same. */
  private readonly clients = new Map<string, { key: string; client: EngineClient }>();
  /** The same as bytes, for the gateway. */
  private recently: { clusters: Promise<readonly Cluster[]>; until: number } | null = null;
  private readonly raws = new Map<string, { key: string; engine: RawEngine }>();
  private readonly keys = new WeakMap<Cluster, string>();

  constructor(
    private readonly db: Db,
    private readonly sealer: Sealer,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly audit: Audit,
    @Inject(CONFIG) private readonly config: Config,
    private readonly relay: Relay,
  ) {}

  /** For `access`: clusters belong to operations, in `/System`. */
  ref(cluster: { id: string }): ResourceRef {
    return { kind: 'cluster', id: cluster.id };
  }

  /** Reference by id or name, or null. */
  async findRef(ctx: Context, idOrName: string): Promise<ResourceRef | null> {
    const cluster = await this.find(ctx, idOrName);
    return cluster && this.ref(cluster);
  }

  /**
   * Registers a swarm by one of its managers, after asking it.
   * @throws clusters.unreachable, clusters.tls-failed, clusters.host-key, clusters.ssh-refused, clusters.bad-credentials, clusters.too-old, clusters.not-a-manager,
   * clusters.registry-unreachable, clusters.already-registered, request.name-taken
   */
  async register(ctx: Context, input: { name: string; endpoint: Endpoint }): Promise<Cluster> {
    const findings = await this.ask(input.endpoint);
    const now = this.clock.now();
    const cluster: Cluster = {
      id: uuidv7(),
      name: input.name,
      ...this.store(input.endpoint),
      ...stored(findings),
      state: 'ready',
      watch: 'flag',
      watchBrakeCount: 5,
      watchBrakePercent: 50,
      watchBrakedAt: null,
      watchBrakeReleasedAt: null,
      checkedAt: now,
      createdAt: now,
      version: 1,
    };
    await this.named(ctx, input.name, findings.swarmId, () =>
      this.db.transaction(ctx, async (tx) => {
        await this.db.repo(tx, Cluster).insert(cluster);
        await this.access.place(tx, this.ref(cluster), this.access.systemCollection());
        await this.audit.record(tx, { action: 'cluster.create', resource: { kind: 'cluster', id: cluster.id, name: cluster.name }, outcome: 'success', detail: { endpoint: cluster.endpoint, swarm: cluster.swarmId, engine: cluster.engineVersion } });
      }),
    );
    return cluster;
  }

  /** Clusters that the actor may see, by name. */
  async list(ctx: Context, page: { limit: number; cursor?: string }): Promise<Page<Cluster>> {
    const [after] = decodeCursor(page.cursor, 1) ?? [''];
    const rows = await this.db.repo(ctx, Cluster).createQueryBuilder('c').where('c.name > :after', { after }).orderBy('c.name').getMany();
    return toPage(this.access.filter(ctx, 'cluster:view', rows, (cluster) => this.ref(cluster)).slice(0, page.limit + 1), page.limit, (cluster) => [cluster.name]);
  }

  /** All clusters, whoever asks, as they were a second ago at most: for who asks with every call to an engine. */
  async recent(): Promise<readonly Cluster[]> {
    const now = Date.now();
    if (this.recently && this.recently.until > now) return this.recently.clusters;
    const clusters = this.db.repo(systemContext('clusters.recent'), Cluster).createQueryBuilder('c').orderBy('c.name').getMany();
    this.recently = { clusters, until: now + recentMillis };
    clusters.catch(() => (this.recently = null));
    return clusters;
  }

  async find(ctx: Context, idOrName: string): Promise<Cluster | null> {
    if (idOrName.includes('\0')) return null; // which PostgreSQL takes in no text
    return isUuid(idOrName) ? this.db.find(ctx, Cluster, idOrName) : this.db.repo(ctx, Cluster).findOneBy({ name: idOrName });
  }

  /** @throws request.not-found */
  async get(ctx: Context, idOrName: string): Promise<Cluster> {
    const cluster = await this.find(ctx, idOrName);
    if (!cluster) throw requestProblem('not-found', { detail: 'There is no such cluster.' });
    return cluster;
  }

  /**
   * Renames it, changes how it is reached (a new endpoint must lead to the same swarm) or what becomes of what appears on it without Gantry.
   * @throws request.precondition-failed, request.name-taken, clusters.other-swarm, and what `register` throws for the endpoint
   */
  async update(ctx: Context, idOrName: string, version: number, input: { name?: string; endpoint?: Endpoint; watch?: WatchMode; watchBrakeCount?: number; watchBrakePercent?: number }): Promise<Cluster> {
    const before = await this.get(ctx, idOrName);
    if (before.version !== version) throw requestProblem('precondition-failed');
    const changes: Partial<Cluster> = { version: version + 1 };
    if (input.name !== undefined) changes.name = input.name;
    if (input.watch !== undefined) changes.watch = input.watch;
    // The brake is of the quarantine that it holds up, and begins anew with the next.
    if (input.watch !== undefined && input.watch !== before.watch) Object.assign(changes, { watchBrakedAt: null, watchBrakeReleasedAt: null });
    if (input.watchBrakeCount !== undefined) changes.watchBrakeCount = input.watchBrakeCount;
    if (input.watchBrakePercent !== undefined) changes.watchBrakePercent = input.watchBrakePercent;
    if (input.endpoint !== undefined) {
      const findings = await this.ask(input.endpoint);
      if (findings.swarmId !== before.swarmId) throw clustersProblem('other-swarm', { detail: `${before.name} is swarm ${before.swarmId}; this engine belongs to ${findings.swarmId}.` });
      Object.assign(changes, this.store(input.endpoint), stored(findings), { state: 'ready', checkedAt: this.clock.now() });
    }
    await this.named(ctx, input.name ?? before.name, before.swarmId, () =>
      this.db.transaction(ctx, async (tx) => {
        const result = await this.db.repo(tx, Cluster).update({ id: before.id, version }, changes);
        if (result.affected !== 1) throw requestProblem('precondition-failed');
        await this.audit.record(tx, { action: 'cluster.update', resource: { kind: 'cluster', id: before.id, name: changes.name ?? before.name }, outcome: 'success', detail: { changed: Object.keys(input), ...(changes.endpoint ? { endpoint: changes.endpoint } : {}), ...(changes.watch ? { watch: changes.watch } : {}), ...(input.watchBrakeCount === undefined ? {} : { watchBrakeCount: input.watchBrakeCount }), ...(input.watchBrakePercent === undefined ? {} : { watchBrakePercent: input.watchBrakePercent }) } });
        await this.db.notify(tx, findingsChannel, before.id);
      }),
    );
    return { ...before, ...changes };
  }

  /** Forgets the cluster; nothing on it is touched. @throws clusters.in-use while environments deploy to it, request.precondition-failed */
  async remove(ctx: Context, idOrName: string, version: number): Promise<void> {
    const cluster = await this.get(ctx, idOrName);
    try {
      await this.db.transaction(ctx, async (tx) => {
        // The lock waits for those who are just now placing something on the cluster, and keeps out the next.
        await this.db.query(tx, 'select 1 from clusters_clusters where id = $1 for update', [cluster.id]);
        const objects = await this.db.query<{ kind: string; id: string }>(tx, 'delete from clusters_engine_objects where cluster_id = $1 returning kind, id', [cluster.id]);
        const nodes = await this.db.query<{ id: string }>(tx, 'delete from clusters_placed_nodes where cluster_id = $1 returning node_id as id', [cluster.id]);
        const result = await this.db.repo(tx, Cluster).delete({ id: cluster.id, version });
        if (result.affected !== 1) throw requestProblem('precondition-failed');
        await this.access.unplaceAll(tx, [this.ref(cluster), ...objects, ...nodes.map(({ id }) => ({ kind: 'node', id }))]);
        await this.audit.record(tx, { action: 'cluster.delete', resource: { kind: 'cluster', id: cluster.id, name: cluster.name }, outcome: 'success' });
      });
    } catch (error) {
      // 23503: another room's row refers to the cluster.
      if ((error as { driverError?: { code?: string } }).driverError?.code === '23503') throw clustersProblem('in-use', { detail: `Environments still deploy to ${cluster.name}.`, cause: error });
      throw error;
    }
    this.clients.delete(cluster.id);
    this.raws.get(cluster.id)?.engine.close();
    this.raws.delete(cluster.id);
  }

  /** Asks the engine again and stores what it says: state, versions, number of nodes. Does not throw when the engine is away; the state tells. */
  async check(ctx: Context, idOrName: string): Promise<Cluster> {
    const cluster = await this.get(ctx, idOrName);
    let changes: Partial<Cluster>;
    try {
      const findings = await this.ask(this.endpointOf(cluster), true);
      if (findings.swarmId !== cluster.swarmId) changes = { state: 'not-a-manager', stateDetail: `The engine now belongs to another swarm, ${findings.swarmId}.` };
      else changes = { ...stored(findings), state: 'ready' };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const state: ClusterState = error.code === 'clusters.not-a-manager' ? 'not-a-manager' : 'unreachable';
      changes = { state, stateDetail: error.detail };
    }
    changes.checkedAt = this.clock.now();
    await this.db.transaction(ctx, async (tx) => {
      await this.db.repo(tx, Cluster).update({ id: cluster.id }, changes);
      // Sweeps ask often; of theirs only what changed is worth a row.
      if (changes.state !== cluster.state || ctx.actor.kind !== 'system') {
        await this.audit.record(tx, { action: 'cluster.check', resource: { kind: 'cluster', id: cluster.id, name: cluster.name }, outcome: changes.state === 'ready' ? 'success' : 'failed', detail: { from: cluster.state, to: changes.state, reason: changes.stateDetail } });
      }
    });
    return { ...cluster, ...changes };
  }

  /** Typed client of the cluster's engine; connects on first use. Accepts an id too. @throws request.not-found */
  async engine(ctx: Context, cluster: Cluster | string): Promise<EngineClient> {
    const row = typeof cluster === 'string' ? await this.get(ctx, cluster) : cluster;
    const key = this.keyOf(row);
    const known = this.clients.get(row.id);
    if (known?.key === key) return known.client;
    const client = new EngineClient(this.relay.connect(this.endpointOf(row)), row.apiVersion, this.config.engineTimeoutSeconds);
    this.clients.set(row.id, { key, client });
    return client;
  }

  /** All by which an engine is reached; made once for each row as it was read. */
  private keyOf(row: Cluster): string {
    const known = this.keys.get(row);
    if (known !== undefined) return known;
    const key = `${row.apiVersion} ${JSON.stringify(row.endpoint)} ${row.sealedTls ?? ''}`;
    this.keys.set(row, key);
    return key;
  }

  /** The raw way to a cluster's engine, kept as long as its endpoint stays the same. Only for processes that may reach engines. */
  raw(cluster: Cluster): RawEngine {
    const key = this.keyOf(cluster);
    const known = this.raws.get(cluster.id);
    if (known?.key === key) return known.engine;
    known?.engine.close();
    const engine = openEngine(this.endpointOf(cluster));
    this.raws.set(cluster.id, { key, engine });
    return engine;
  }

  onApplicationShutdown(): void {
    closeSshWays();
  }

  private async ask(endpoint: Endpoint, grown = false): Promise<Findings> {
    checkCredentials(endpoint);
    try {
      const client = await EngineClient.negotiate(this.relay.connect(endpoint), this.config.engineTimeoutSeconds);
      const info = await client.info();
      const { swarmId, nodeCount } = await this.askSwarm(client, info.Swarm ?? {});
      const warning = this.registryWarning(endpoint, nodeCount);
      // A swarm that is registered may grow; refusing to know it would not help anybody.
      if (nodeCount > 1 && warning !== '' && !grown) throw clustersProblem('registry-unreachable', { detail: warning });
      return { swarmId, engineVersion: info.ServerVersion ?? '', apiVersion: client.apiVersion, nodeCount, warning };
    } catch (error) {
      throw error instanceof EngineError ? error.toProblem() : error;
    }
  }

  private async askSwarm(client: EngineClient, swarm: { LocalNodeState?: string; ControlAvailable?: boolean; Error?: string; Nodes?: number }): Promise<{ swarmId: string; nodeCount: number }> {
    const { address } = client.connection;
    if (swarm.LocalNodeState !== 'active') throw clustersProblem('not-a-manager', { detail: `${address} is in no swarm (${swarm.LocalNodeState ?? 'unknown'}). Run \`docker swarm init --advertise-addr <address>\` on it.` });
    if (!swarm.ControlAvailable) throw clustersProblem('not-a-manager', { detail: `${address} is a worker. Give the address of a manager of its swarm.` });
    if (swarm.Error) throw clustersProblem('not-a-manager', { detail: `${address} is a manager, but its swarm is not in order: ${swarm.Error}` });
    const { ID } = await client.swarm();
    return { swarmId: ID, nodeCount: swarm.Nodes ?? 1 };
  }

  private registryWarning(endpoint: Endpoint, nodeCount: number): string {
    const { registryPublicHost } = this.config;
    if (!isLoopback(registryPublicHost.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1'))) return '';
    const remedy = 'Set GANTRY_REGISTRY_PUBLIC_HOST to a name or address that every node reaches.';
    if (nodeCount > 1) return `The registry’s public host is ${registryPublicHost}, which each of the ${nodeCount} nodes takes for itself. ${remedy}`;
    const host = endpoint.kind === 'tls' ? endpoint.host : endpoint.kind === 'ssh' ? parseSshAddress(endpoint.address)?.host : undefined;
    if (host !== undefined && !isLoopback(host)) return `The registry’s public host is ${registryPublicHost}, which works only if the engine runs on this machine. ${remedy}`;
    return '';
  }

  private store(endpoint: Endpoint): { endpoint: StoredEndpoint; sealedTls: string | null } {
    if (endpoint.kind === 'socket') return { endpoint: { kind: 'socket', path: endpoint.path }, sealedTls: null };
    if (endpoint.kind === 'ssh') {
      const { address, key, hostKey } = endpoint;
      return { endpoint: { kind: 'ssh', address, hostKey: writeHostKey(parseHostKey(hostKey)) }, sealedTls: this.sealer.seal(JSON.stringify({ key }), sshPurpose) };
    }
    const { host, port, ca, cert, key } = endpoint;
    return { endpoint: { kind: 'tls', host, port }, sealedTls: this.sealer.seal(JSON.stringify({ ca, cert, key }), tlsPurpose) };
  }

  private endpointOf(cluster: Cluster): Endpoint {
    if (cluster.endpoint.kind === 'socket') return cluster.endpoint;
    if (cluster.endpoint.kind === 'ssh') return { ...cluster.endpoint, ...(JSON.parse(this.sealer.open(cluster.sealedTls ?? '', sshPurpose).toString()) as { key: string }) };
    const tls = JSON.parse(this.sealer.open(cluster.sealedTls ?? '', tlsPurpose).toString()) as { ca: string; cert: string; key: string };
    return { ...cluster.endpoint, ...tls };
  }

  private async named<T>(ctx: Context, name: string, swarmId: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (isUniqueViolation(error, 'clusters_clusters_name')) throw requestProblem('name-taken', { errors: [{ pointer: '/name', detail: `there is a cluster ${name} already` }], cause: error });
      if (!isUniqueViolation(error, 'clusters_clusters_swarm')) throw error;
      const other = await this.db.repo({ ...ctx, tx: null, afterCommit: null }, Cluster).findOneBy({ swarmId });
      throw clustersProblem('already-registered', { detail: `This swarm is cluster ${other?.name ?? swarmId}.`, cause: error });
    }
  }
}

function stored(findings: Findings): Pick<Cluster, 'swarmId' | 'engineVersion' | 'apiVersion' | 'nodeCount' | 'stateDetail'> {
  const { warning, ...rest } = findings;
  return { ...rest, stateDetail: warning };
}

function checkCredentials(endpoint: Endpoint): void {
  if (endpoint.kind === 'socket') return;
  const fault = (pointer: string, detail: string, cause?: unknown): Problem => clustersProblem('bad-credentials', { errors: [{ pointer: `/endpoint/${pointer}`, detail }], cause });
  const read = <T>(pointer: string, what: string, parse: () => T): T => {
    try {
      return parse();
    } catch (error) {
      throw fault(pointer, `not ${what}`, error);
    }
  };
  if (endpoint.kind === 'ssh') {
    const check = (pointer: string, parse: () => unknown): void => {
      try {
        parse();
      } catch (error) {
        throw fault(pointer, (error as Error).message, error);
      }
    };
    if (!parseSshAddress(endpoint.address)) throw fault('address', 'not of the form ssh://user@host[:port][/path/to/docker.sock]');
    check('key', () => checkPrivateKey(endpoint.key));
    // None: the host is asked for its key, and the problem says which it shows.
    if (endpoint.hostKey !== '') check('hostKey', () => parseHostKey(endpoint.hostKey));
    return;
  }
  read('ca', 'a PEM certificate', () => new X509Certificate(endpoint.ca));
  const cert = read('cert', 'a PEM certificate', () => new X509Certificate(endpoint.cert));
  const key = read('key', 'an unencrypted PEM private key', () => createPrivateKey(endpoint.key));
  if (!cert.checkPrivateKey(key)) throw fault('key', 'the private key does not belong to `cert`');
}
