import { Inject, Injectable } from '@nestjs/common';
import { Access, systemResource, type Operation, type ResourceRef } from '@gantry/access';
import { Audit, type AuditEntry } from '@gantry/audit';
import { CONFIG, LOGGER, Problem, writeStrictJson, type Config, type Context, type FieldError, type Logger } from '@gantry/platform';
import type { Cluster } from '../cluster.entity';
import { Clusters } from '../clusters';
import { collectionLabel } from '../engine-api/bodies';
import type { EngineMatch } from '../engine-api/match';
import { ruleOnCall, writeFilters, type EngineRuling } from '../engine-api/rule';
import type { EngineKind, ImageName, Need, Value } from '../engine-api/shape';
import type { EngineRow } from '../engine-api/table';
import { EngineError, type EngineClient, type RegistryAuth } from '../engine.client';
import type { RawEngine } from '../engine.raw';
import { ImageAdmission } from '../judgement';
import { clustersProblem } from '../problems';
import { plainName } from '../rules';
import { AnswerFilters, type AnswerWish } from './filters';
import { Made, type Teller } from './made';
import { NodeScheduling } from './node-scheduling';
import { canInspect, inspectPath, missingMessage, readSeen, type Seen } from './objects';
import { claimLabel, freeNames, Ownership } from './ownership';
import type { ClusterOwnership, OwnedKind } from './ownership-index';
import type { Passage } from './passage';
import { KitBuilds, type KitPull } from './buildkit/kit-builds';
import { isKitBuild, kitQuery, readKitBuild, type KitBuild } from './buildkit/parameters';
import { platformArgs, type KitOptions } from './buildkit/instructions';
import { sessionMethods, type SessionKey } from './buildkit/sessions';
import { dockerfilePaths, judgedContext } from './build-context';
import { maxDockerfileBytes, readDockerfile, readTriggers } from './dockerfile';
import { buildArgsOf, namingRows, parseForeign, remedy } from './images';
import { GatewayImages } from './ports';
import { OwnPrune } from './prune';
import { PullCredentials } from './pull-credentials';
import { filteredQuery, limitOf, queryValues, withQuery } from './query';
import { pin, pinEndpoint } from './pins';
import { parseReference } from './references';
import { isOwnedKind, isOwnNetwork, refOf } from './refs';
import { authHeader, checkedAuth, checkedConfig, isRegistry, noAuth } from './registry-auth';
import { readSearch, searchResults } from './search';
import { digestsOf, judgeStanding } from './standing';
import { isPlain, memberText, put } from './values';
import { EngineVersions, knownVersions, versionFor } from './versions';
import { howPassed, whyRefused, type Way } from './ways';

/** Labels that the gateway writes on what is made through it, besides `io.gantry.collection`. They are a copy for people and for a rebuild: rights are never read from them. */
export const sealLabel = 'io.gantry.seal';

/** One request to the gateway, after its row was found and its body read. */
export interface GatewayRequest {
  match: EngineMatch;
  /** The whole body of rows whose policy is `json` or `none`; empty for streams. */
  body: Buffer;
  /** `X-Registry-Auth` as sent. */
  registryAuth: string | undefined;
  /** `X-Registry-Config` as sent. */
  registryConfig?: string | undefined;
  /** `X-Docker-Expose-Session-Uuid` as sent. */
  session?: string;
}

interface Check {
  operation: Operation;
  ref: ResourceRef;
}

/** What is found out about one call on the way to its passage. */
interface Call {
  ctx: Context;
  cluster: Cluster;
  engine: EngineClient;
  owners: ClusterOwnership;
  match: EngineMatch;
  ruling: EngineRuling;
  way: Way;
  /** All that was asked of the caller's rights, to be asked again while bytes flow. */
  checks: Check[];
  target: Seen | null;
  /** In which collection what is made lies. */
  collectionId: string | null;
  /** Minor of the API version in which the engine is asked. */
  version: number;
  /** Node on which images are made. */
  nodeId: string;
  /** When it came. */
  since: Date;
  /** What was claimed for it, the object itself first; `name` is what it is bound by where the engine tells no id of it. */
  claims: { id: string; name: string }[];
  images: { repository: string; digest: string; repositoryId: string }[];
  /** Credentials of the service's own, for the engine to pull with; `none`: not those that it had either. */
  auth: RegistryAuth | 'none' | null;
  /** Repositories of ours that the caller may pull, where that was asked. */
  pullable: { has(path: string): boolean };
  /** Names that an image gets, each with the path of its repository, to which the caller may push. */
  written: { reference: string; path: string }[];
  /** The query that goes on, where it is another than the ruling's. */
  query: string | null;
  /** A build by BuildKit. */
  kit: KitBuild | null;
  /** What is judged: the call itself, or for a rollback the spec that it goes back to. */
  judged: EngineRuling;
}

/** How often what was made on a cluster that nobody watches is compared with what it has: the engine lists all of its images for that. */
const madeMillis = 3_600_000;
/** For so long it is believed which node of its swarm an engine is. */
const nodeMillis = 60_000;
/** What calls by an operation read, in the words of the setting GANTRY_AUDIT_ENGINE_READS. */
const readBy: Record<string, 'attach' | 'copy' | 'export' | 'logs'> = { attach: 'attach', 'filesystem-read': 'copy', export: 'export', logs: 'logs' };
const nothing: { has(path: string): boolean } = new Set<string>();
/** Problems of the way to an engine: they tell its address. */
const waysTo: ReadonlySet<string> = new Set(['clusters.unreachable', 'clusters.tls-failed', 'clusters.host-key', 'clusters.ssh-refused']);
/** Rows by whose body something runs. */
const running = new Set(['POST /containers/create', 'POST /services/create', 'POST /services/{id}/update']);
/** Rows by which what was made before runs again: a policy may have become stricter since. */
const starting = new Set(['POST /containers/{id}/start', 'POST /containers/{id}/restart', 'POST /containers/{id}/unpause']);
/** Words for what every engine has, which no network's name is. */
const engineNetworks: ReadonlySet<string> = new Set(['default', 'bridge', 'host', 'none']);
/** What an id of the engine's, or the short form that the CLI shows of it, looks like. */
const idForm = /^(?:[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-z]{25})$/;
/** Rows whose answers tell of images that are made, and how, by their query. */
const tellers: Partial<Record<string, (query: string, isKit: boolean) => Teller>> = {
  'POST /build': (query, isKit) => (isKit || queryValues(query, 'q')[0] === undefined ? 'build' : 'quiet-build'),
  'POST /images/load': () => 'load',
  'POST /images/create': (query) => ((queryValues(query, 'fromSrc')[0] ?? '') === '' ? 'pull' : 'import'),
};
/** What an image's or a plugin's name is made of; its slashes stand in a path as they are. */
const referenceName = /^(?!.*(?:\/\/|\.\.))[[a-zA-Z0-9][\][a-zA-Z0-9_.:/@-]{0,511}$/;

/**
 * Rules on every call of the Docker Engine API that comes through the gateway: which objects it touches, whether the caller may, whether its
 * images may run, and in which words it goes on. What it answers is the only thing that the transport passes to an engine.
 *
 * A create is claimed in our records before the engine is asked and bound to the engine's id after it answered. A process that dies between the two
 * leaves a claim with a name; the sweep binds it by the label `io.gantry.claim`, or forgets it where the engine has no such object.
 */
@Injectable()
export class EngineGateway {
  /** Node ids of engines, and until when they are believed: who leaves a swarm and joins again is another node. */
  private readonly nodes = new WeakMap<EngineClient, { id: Promise<string>; until: number }>();
  private readonly versions = new EngineVersions();
  /** When what was made on a cluster was last compared with what it has; by a clock that only goes on. */
  private readonly madeSweptAt = new Map<string, number>();

  constructor(
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly clusters: Clusters,
    private readonly ownership: Ownership,
    private readonly images: GatewayImages,
    private readonly admission: ImageAdmission,
    private readonly filters: AnswerFilters,
    private readonly credentials: PullCredentials,
    private readonly prunes: OwnPrune,
    private readonly scheduling: NodeScheduling,
    private readonly makings: Made,
    private readonly kits: KitBuilds,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * The cluster that a caller means: by id or name, or the only one that they may see.
   * @throws clusters.no-such-object, clusters.choose-cluster
   */
  async chooseCluster(ctx: Context, wanted: string | null): Promise<Cluster> {
    const items = (await this.clusters.recent()).filter((cluster) => this.access.can(ctx, 'cluster:view', this.clusters.ref(cluster)).allowed);
    if (wanted !== null) {
      const cluster = items.find(({ id, name }) => id === wanted || name === wanted);
      if (!cluster) throw clustersProblem('no-such-object', { detail: `There is no cluster ${wanted.slice(0, 64)} that you may see.` });
      return cluster;
    }
    const [only] = items;
    if (!only) throw clustersProblem('choose-cluster', { detail: 'There is no cluster that you may see. Ask for a role with cluster:view on one.' });
    if (items.length > 1) throw clustersProblem('choose-cluster', { detail: 'You may see several clusters: say which one, by a client bundle made for it (`?cluster=`) or by the header X-Gantry-Cluster.' });
    return only;
  }

  /**
   * Rules on one call. Refusals of what would change something are audited.
   * @throws clusters.no-such-object, clusters.not-passed-on, clusters.host-option, clusters.spec-invalid, clusters.image-foreign, clusters.image-refused,
   * clusters.name-claimed, clusters.call-forbidden, clusters.call-too-new, clusters.engine-failed, clusters.unreachable
   */
  async decide(ctx: Context, cluster: Cluster, request: GatewayRequest): Promise<Passage> {
    try {
      return await this.rule(ctx, cluster, request);
    } catch (caught) {
      const error = await this.refused(ctx, cluster, request.match, caught);
      this.refuseSession(ctx, cluster, request.match);
      throw error;
    }
  }

  /** A client whose build is refused before its session has begun waits for the end of the session, which it leaves to the engine. */
  private refuseSession(ctx: Context, cluster: Cluster, { row, query }: EngineMatch): void {
    const given = (name: string): string => query.find(([each]) => each === name)?.[1] ?? '';
    if (row.name === 'POST /build' && given('version') === '2' && given('session') !== '') this.kits.sessions.refuse({ accountId: ctx.actor.id ?? '', clusterId: cluster.id, id: given('session') });
  }

  /** Puts a refusal on record where the call would have changed something; answers what is thrown. */
  private async refused(ctx: Context, cluster: Cluster, match: EngineMatch, caught: unknown): Promise<unknown> {
    const { row } = match;
    const told = caught instanceof EngineError ? caught.toProblem() : caught;
    // Where the engine is, and how it is reached, is for those who have registered it.
    const error = told instanceof Problem && waysTo.has(told.code) ? clustersProblem('unreachable', { detail: 'The cluster’s engine does not answer.', cause: told }) : told;
    if (error instanceof Problem && row.mutating) {
      await this.audit.recordRefusal(ctx, {
        action: actionOf(row.operations[0], row.target.kind), resource: { kind: 'cluster', id: cluster.id, name: cluster.name }, outcome: 'refused',
        detail: { code: error.code, call: row.name, ...(match.name === '' ? {} : { object: match.name }), reason: error.extra['reason'] ?? null, errors: error.errors.slice(0, 10).map(recorded) },
      });
    }
    return error;
  }

  /**
   * Sweep: settles claims of processes that died, follows what was removed or renamed on the engines themselves, renews pull credentials. Run it
   * now and then; a cluster that does not answer is left for the next time.
   * @param rest how long what was made on clusters that nobody watches is left alone after it was looked at, in milliseconds
   */
  async sweep(ctx: Context, rest = madeMillis): Promise<void> {
    const each = async (clusterIds: readonly string[], work: (clusterId: string) => Promise<unknown>, left: string): Promise<void> => {
      for (const clusterId of clusterIds) {
        try {
          await work(clusterId);
        } catch (error) {
          if (!(error instanceof Problem || error instanceof EngineError)) throw error;
          this.logger.debug({ cluster: clusterId, error: error.message }, left);
        }
      }
    };
    await each(await this.ownership.clusterIds(ctx), async (clusterId) => this.ownership.sweep(ctx, clusterId, await this.clusters.engine(ctx, clusterId)), 'whose the objects of a cluster are could not be compared with what it has');
    await each(await this.scheduling.clusterIds(ctx), (clusterId) => this.scheduling.reconcile(ctx, clusterId), 'the labels of a cluster’s nodes could not be compared with where they lie');
    const unwatched = (await this.makings.unwatched(ctx)).filter((id) => (this.madeSweptAt.get(id) ?? -Infinity) <= performance.now() - rest);
    await each(unwatched, async (clusterId) => {
      this.madeSweptAt.set(clusterId, performance.now());
      const engine = await this.clusters.engine(ctx, clusterId);
      await this.makings.sweep(ctx, clusterId, await this.nodeOf(engine), engine, new Set());
    }, 'what was made on a cluster could not be compared with what it has');
    await this.credentials.sweep(ctx);
  }

  private async rule(ctx: Context, cluster: Cluster, request: GatewayRequest): Promise<Passage> {
    const { match } = request;
    const { row } = match;
    this.demand(ctx, { operation: 'cluster:view', ref: this.clusters.ref(cluster) }, () => `There is no cluster ${cluster.name} that you may see.`);
    const way = howPassed(row.name);
    if (way === null) {
      // `docker inspect` looks for a name among all kinds, one after the other.
      if (row.method === 'GET' && row.target.how === 'one') throw clustersProblem('no-such-object', { detail: missingMessage(row.target.kind, match.name) });
      throw clustersProblem('not-passed-on', { detail: `${row.name} is not passed on.${withReason(row.name)}` });
    }
    for (const operation of row.operations) {
      if (!this.access.mayUse(ctx, operation)) throw forbidden(`This credential does not allow ${operation}.`);
    }
    const ruling = ruleOnCall(match, request.body);
    // Everything else is asked of the engine only for calls that it can take.
    const engine = await this.clusters.engine(ctx, cluster);
    const version = versionFor(match, await this.versions.newestOf(engine));
    const call: Call = {
      ctx, cluster, version, match, ruling, way, engine, owners: await this.ownership.ofCluster(ctx, cluster.id), checks: [], target: null, collectionId: null, nodeId: '', since: new Date(), claims: [], images: [], auth: null, judged: ruling, pullable: nothing, written: [], query: null,
      kit: isKitBuild(row.name, ruling.query) ? readKitBuild(ruling.query) : null,
    };
    call.checks.push({ operation: 'cluster:view', ref: this.clusters.ref(cluster) });
    await this.judgeTarget(call);
    if (row.target.how === 'prune' && !pruneOperations(row).every((operation) => this.seesAll(ctx, operation, row.target.kind))) return this.prunePassage(call);
    if (row.name === 'GET /images/search') return this.searchPassage(call, request);
    this.judgeLabels(call);
    this.judgeRollback(call);
    this.judgeRegistries(call);
    this.judgeNeeds(call);
    const fresh = await this.judgeUses(call);
    await this.judgeImages(call);
    if (starting.has(row.name)) {
      await this.judgeStart(call);
      await this.judgeNetworks(call);
    }
    await this.judgeNodes(call);
    if (namingRows.has(row.name) || row.name === 'POST /images/load') call.nodeId = await this.nodeFor(call, 'container');
    try {
      await this.claim(call, fresh);
      await this.exchangeAuth(call);
      // What may last is put on record when it begins: it may end with this process.
      if (this.isRecorded(row) && row.connection !== 'plain') await this.record(call, null);
      return this.passage(call, request);
    } catch (error) {
      await this.release(call);
      throw error;
    }
  }

  // --- rights

  /** @throws as if it were not there where the caller may not know of it; request.forbidden otherwise */
  private demand(ctx: Context, check: Check, missing: () => string): void {
    const decision = this.access.can(ctx, check.operation, check.ref);
    if (decision.allowed) return;
    if (!decision.visible) throw clustersProblem('no-such-object', { detail: missing() });
    throw forbidden(`${check.operation} is not allowed here: ${decision.reason}.`);
  }

  /** Whether all of this is allowed, now. */
  private holds(ctx: Context, checks: readonly Check[]): boolean {
    return checks.every(({ operation, ref }) => this.access.can(ctx, operation, ref).allowed);
  }

  private require(call: Call, check: Check, missing: () => string): void {
    this.demand(call.ctx, check, missing);
    call.checks.push(check);
  }

  private async judgeTarget(call: Call): Promise<void> {
    const { ctx, cluster, ruling, match: { row } } = call;
    const clusterRef = this.clusters.ref(cluster);
    switch (row.target.how) {
      case 'engine':
        for (const operation of row.operations) this.require(call, { operation, ref: clusterRef }, () => 'page not found');
        return;
      case 'list':
        // Plugins are the host's, and nobody's on it.
        if (row.target.kind === 'plugin') this.require(call, { operation: 'plugin:view', ref: systemResource }, () => 'page not found');
        await this.judgeNeighbours(call);
        if (row.target.kind === 'image') call.pullable = await this.images.pullable(ctx);
        return;
      case 'prune':
        // The engine prunes all that is unused, whoever's it is: `prunePassage` does it for who does not see everything.
        return;
      case 'create':
        call.collectionId = this.collectionFor(call);
        for (const operation of row.operations) {
          this.require(call, { operation, ref: { kind: 'collection', id: call.collectionId } }, () => 'There is no such collection.');
        }
        return;
      case 'one': {
        // The registry is asked, not the node.
        if (row.name === 'GET /distribution/{name}/json') return;
        if (row.name === 'POST /build/cancel') {
          this.requireAtHome(call);
          // Builds are known by names of ours, made of the account and of what it calls them.
          const { build } = this.kits.salt(ctx.actor.id ?? '', cluster.id, queryValues(ruling.query, 'id')[0] ?? '');
          if (!this.kits.isUnderWay(build)) throw clustersProblem('no-such-object', { detail: 'No such build of yours is under way.' });
          call.query = withQuery(ruling.query, { id: build });
          return;
        }
        const target = ruling.target!;
        const seen = await this.look(call, target.kind, row.name === 'POST /images/{name}/push' ? pushed(call) : target.id);
        if (!seen) {
          await this.freeName(call, target.id);
          throw clustersProblem('no-such-object', { detail: missingMessage(target.kind, target.id) });
        }
        call.target = seen;
        if (target.kind === 'image') {
          await this.judgeNamedImage(call, seen);
          return;
        }
        const ref = this.refOf(call, seen);
        for (const operation of row.operations) this.require(call, { operation, ref }, () => missingMessage(target.kind, target.id));
        if (row.name === 'POST /services/{id}/update' && ref.parent?.kind === 'environment') throw forbidden('This service belongs to an environment: deploy a release of its application to change it.');
      }
    }
  }

  /** Who sees all volumes frees the name of one that is gone by removing it. */
  private async freeName({ ctx, cluster, owners, match: { row } }: Call, name: string): Promise<void> {
    if (row.name !== 'DELETE /volumes/{name}' || !row.operations.every((operation) => this.seesAll(ctx, operation, 'volume'))) return;
    if (owners.find('volume', { name })) await this.ownership.forget(ctx, { clusterId: cluster.id, kind: 'volume', engineId: name });
  }

  /** Lists that begin or end at an object, or are an object's: engines say where there is none, and so whether there is one. */
  private async judgeNeighbours(call: Call): Promise<void> {
    const { ctx, match: { row, query }, ruling } = call;
    const { kind } = row.target;
    if (kind === 'task') await this.judgeTasksOf(call);
    if (kind !== 'container' && kind !== 'image') return;
    const given = [...query.filter(([name]) => name === 'since' || name === 'before').map(([, value]) => value), ...(ruling.filters?.['since'] ?? []), ...(ruling.filters?.['before'] ?? [])].filter((name) => name !== '');
    if (given.length === 0 || row.operations.every((operation) => this.seesAll(ctx, operation, kind))) return;
    if (kind === 'image') throw clustersProblem('not-passed-on', { detail: 'Images are not listed by which came before or after another.' });
    for (const name of given) await this.requireNamed(call, kind, name, row.operations);
  }

  /** The object of that name or id, on which the caller has these operations. */
  private async requireNamed(call: Call, kind: EngineKind, name: string, operations: readonly Operation[]): Promise<Seen> {
    const seen = await this.look(call, kind, name);
    if (!seen) throw clustersProblem('no-such-object', { detail: missingMessage(kind, name) });
    for (const operation of operations) this.require(call, { operation, ref: this.refOf(call, seen) }, () => missingMessage(kind, name));
    return seen;
  }

  private async judgeTasksOf(call: Call): Promise<void> {
    const { ctx, match: { row }, ruling: { filters, query } } = call;
    if (!filters || row.operations.every((operation) => this.seesAll(ctx, operation, 'task'))) return;
    const resolved = { ...filters };
    for (const [kind, operations] of [['service', row.operations], ['node', ['node:view']]] as const) {
      if (!filters[kind]) continue;
      resolved[kind] = [];
      for (const name of filters[kind]) resolved[kind].push((await this.requireNamed(call, kind, name, operations)).id);
    }
    call.query = withQuery(query, { filters: writeFilters(resolved) });
  }

  /** An image on a node is nobody's; who may pull it by one of its names may look at it, and do with its content what they may do where they work. */
  private async judgeNamedImage(call: Call, seen: Seen, name = call.ruling.target!.id): Promise<void> {
    const { ctx, match: { row } } = call;
    if (call.pullable === nothing) call.pullable = await this.images.pullable(ctx);
    const named = parseReference(name, this.config.registryPublicHost);
    // A name that may not be pulled stays hidden, though the image has another one.
    if (!this.filters.seesImage({ pullable: call.pullable }, named ? [name] : namesOf(seen))) {
      for (const operation of row.operations) this.require(call, { operation, ref: this.refOf(call, seen) }, () => missingMessage('image', name));
      return;
    }
    if (row.name === 'GET /images/{name}/json' || row.name === 'GET /images/{name}/history') return;
    this.requireAtHome(call);
    if (row.name === 'DELETE /images/{name}') await this.judgeRemoval(call, seen);
  }

  /** The row's operations, on the caller's own collection: what they are asked for belongs to nobody. */
  private requireAtHome(call: Call): void {
    const ref = { kind: 'collection', id: this.homeOf(call.ctx) };
    for (const operation of call.match.row.operations) this.require(call, { operation, ref }, () => 'page not found');
  }

  /** Who sees everything removes what they like; others take away names that they could give. By its id, an image goes with all of its names. */
  private async judgeRemoval(call: Call, seen: Seen): Promise<void> {
    if (this.seesAll(call.ctx, 'image:remove', 'image')) return;
    const { registryPublicHost } = this.config;
    const name = call.ruling.target!.id;
    for (const each of parseReference(name, registryPublicHost) ? [name] : namesOf(seen)) {
      const named = parseReference(each, registryPublicHost);
      if (!named || !(await this.images.mayPush(call.ctx, named.path))) throw forbidden('Names are taken from images by who may push to their repository; this image has one that you may not take away.');
      call.written.push({ reference: each, path: named.path });
    }
  }

  /** The collection that the label asks for, or the caller's own: the user's, or the robot's owner's. */
  private collectionFor({ ctx, ruling }: Call): string {
    if (ruling.asksFor !== null) {
      const found = this.access.findCollection(ctx, ruling.asksFor);
      if (!found) throw clustersProblem('no-such-object', { detail: 'There is no such collection.' });
      return found.id;
    }
    return this.homeOf(ctx);
  }

  private homeOf(ctx: Context): string {
    const account = ctx.actor.id === null ? undefined : this.access.findAccount(ctx.actor.id);
    const owner = account?.kind === 'robot' ? account.ownerId : account?.id;
    if (!owner) throw forbidden('Only accounts make objects through the gateway.');
    return this.access.accountCollection(owner);
  }

  /** Gantry's own labels come from Gantry: a create may ask for a collection, an update must leave them as they are. */
  private judgeLabels(call: Call): void {
    for (const label of call.ruling.labels) {
      if (call.ruling.row.target.how === 'create' && label.name === collectionLabel && label.pointer.startsWith('/Labels/')) continue;
      const own = label.pointer.startsWith('/Labels/') ? call.target?.labels[label.name] : undefined;
      if (own !== undefined && own === label.value) continue;
      throw clustersProblem('spec-invalid', { detail: `The label ${label.name} is Gantry’s own; leave it as it is.`, errors: [{ pointer: label.pointer, detail: 'a label of Gantry’s own' }] });
    }
  }

  /** A rollback runs the former spec, not the one that comes with the call: that one is judged. */
  private judgeRollback(call: Call): void {
    const { ruling, target, match } = call;
    if (!ruling.rollback) return;
    const former = target?.raw['PreviousSpec'];
    if (typeof former !== 'object' || former === null) throw clustersProblem('spec-invalid', { detail: 'The service has no former spec to go back to.' });
    call.judged = ruleOnCall({ ...match, query: [] }, Buffer.from(JSON.stringify(former)));
  }

  /** The engine speaks to no registry but ours. */
  private judgeRegistries({ ruling }: Call): void {
    const { registryPublicHost } = this.config;
    for (const { address, pointer } of ruling.registries) {
      if (ruling.row.target.kind === 'image' && parseReference(address, registryPublicHost)) continue;
      if (isRegistry(address, registryPublicHost)) continue;
      throw clustersProblem('not-passed-on', { detail: `${address.slice(0, 256) || 'Docker Hub'} is not ${registryPublicHost}; the engine signs in nowhere else.`, errors: [{ pointer, detail: 'another registry' }] });
    }
  }

  private judgeNeeds(call: Call, needs: readonly Need[] = call.judged.needs): void {
    const { ctx, judged: ruling, target, collectionId } = call;
    const ref: ResourceRef = collectionId !== null ? { kind: 'collection', id: collectionId } : target ? this.refOf(call, target) : this.clusters.ref(call.cluster);
    const refused = needs.filter((need) => {
      if (need.ifChanged && target && !changes(need.pointer, ruling.body, target.raw['Spec'])) return false;
      if (!this.access.can(ctx, need.operation, ref).allowed) return true;
      call.checks.push({ operation: need.operation, ref });
      return false;
    });
    if (refused.length === 0) return;
    const operations = [...new Set(refused.map(({ operation }) => operation))];
    throw clustersProblem('host-option', {
      detail: `This needs ${operations.join(', ')}, which you have not been given here.`, errors: refused.map(({ operation, pointer }) => ({ pointer, detail: `needs ${operation}` })), extra: { operations },
    });
  }

  /** The engine's own networks are what their names say, by whatever they are called: an engine, and swarm, know them by their ids as well. */
  private judgeOwnNetwork(call: Call, { name, raw }: Seen, pointer: string): void {
    const { kind } = call.match.row.target;
    const on = kind === 'service' ? 'service:create' : kind === 'build' ? 'image:build' : 'container:create';
    if (raw['Driver'] === 'host') this.judgeNeeds(call, [{ operation: `${on}:host-network` as Operation, pointer }]);
    if (name === 'bridge' && on === 'container:create') this.judgeNeeds(call, [{ operation: 'container:create:bridge-network', pointer }]);
  }

  /** Answers the named volumes that do not exist yet: whoever mounts one first makes it. */
  private async judgeUses(call: Call): Promise<string[]> {
    const fresh = new Set<string>();
    // A network that a container joins is named twice in its body, and asked for once.
    const looked = new Map<string, Seen | null>();
    const saved: string[] = [];
    for (const use of call.judged.uses) {
      const key = `${use.kind} ${use.id}`;
      // The volume of a service is made on each node; what one engine knows of it is not all.
      const seen = looked.has(key) ? (looked.get(key) ?? null) : await this.look(call, use.kind, use.id);
      looked.set(key, seen);
      if (seen && use.kind === 'image') {
        await this.judgeNamedImage(call, seen, use.id);
        saved.push(parseReference(use.id, this.config.registryPublicHost) ? use.id : seen.id);
        call.query = withQuery(call.ruling.query, { names: saved });
        continue;
      }
      if (!seen && use.kind === 'volume') {
        if (!plainName.test(use.id)) throw clustersProblem('no-such-object', { detail: missingMessage('volume', use.id) });
        const owned = call.owners.find('volume', { name: use.id });
        if (owned) {
          this.require(call, { operation: use.operation, ref: owned }, () => missingMessage('volume', use.id));
          continue;
        }
        const place = this.placeOfVolumes(call);
        if (place === null) throw clustersProblem('no-such-object', { detail: missingMessage('volume', use.id) });
        this.require(call, { operation: 'volume:create', ref: { kind: 'collection', id: place } }, () => missingMessage('volume', use.id));
        fresh.add(use.id);
        continue;
      }
      if (!seen) throw clustersProblem('no-such-object', { detail: missingMessage(use.kind, use.id) });
      this.require(call, { operation: use.operation, ref: this.refOf(call, seen) }, () => missingMessage(use.kind, use.id));
      if (use.kind === 'network') this.judgeOwnNetwork(call, seen, use.pointer);
      if (call.match.row.name === 'POST /commit') call.query = withQuery(call.ruling.query, { container: seen.id });
      // Of what is gone back to, the body says nothing.
      if (call.judged === call.ruling) pin(call.ruling, use, seen);
    }
    const { ruling, target, match: { row } } = call;
    if (row.name === 'POST /networks/{id}/connect') {
      this.judgeOwnNetwork(call, target!, '{id}');
      pinEndpoint(ruling.body, 'EndpointConfig', target!.id);
    }
    if (row.name === 'DELETE /networks/{id}' && isOwnNetwork(target!)) this.judgeNeeds(call, [{ operation: 'network:create:ingress', pointer: '{id}' }]);
    return [...fresh];
  }

  /** Where volumes lie that come with what mounts them first: beside what is made, or where the service lies that is changed. */
  private placeOfVolumes(call: Call): string | null {
    const { ctx, collectionId, target, match: { row } } = call;
    if (collectionId !== null || row.name !== 'POST /services/{id}/update') return collectionId;
    return this.access.collectionsAbove(this.refOf(call, target!))[0]?.id ?? this.homeOf(ctx);
  }

  /** What runs, runs where its maker may schedule, and so does what is made to run again by whoever does that. */
  private async judgeNodes(call: Call): Promise<void> {
    const { ctx, cluster, engine, ruling, target, match: { row } } = call;
    if (!running.has(row.name) && !starting.has(row.name) && row.name !== 'POST /build') return;
    if (row.target.kind !== 'service') {
      this.scheduling.judgeContainer(ctx, cluster, await this.nodeFor(call, 'container'));
      return;
    }
    await this.scheduling.judgeService({ ctx, cluster, engine, body: ruling.body, present: target?.raw['Spec'] ?? null, former: ruling.rollback ? target?.raw['PreviousSpec'] : null });
  }

  // --- images

  private async judgeImages(call: Call): Promise<void> {
    const { row, images } = call.judged;
    this.judgeNaming(call);
    if (row.name === 'POST /images/{name}/push') await this.judgeWritten(call, { reference: pushed(call), how: 'write', pointer: '{name}' });
    if (row.name === 'POST /build') await this.judgeBuild(call);
    if (row.name === 'GET /images/get' && call.ruling.uses.length === 0) throw clustersProblem('spec-invalid', { detail: 'Name the images that are to be saved.', errors: [{ pointer: '?names', detail: 'an image that you may pull' }] });
    if (row.name === 'POST /images/load' && !this.seesAll(call.ctx, 'image:load', 'image')) {
      throw clustersProblem('not-passed-on', { detail: `An archive names its images itself, so only who sees all images may load one; push from where the archive is, or import it: ${remedy(this.config.registryPublicHost)}.` });
    }
    // What names no image is not judged: an empty one would run whatever is copied into it.
    if (running.has(row.name) && !images.some(({ how, reference }) => how === 'run' && reference !== '')) {
      const pointer = row.target.kind === 'container' ? '/Image' : '/TaskTemplate/ContainerSpec/Image';
      throw clustersProblem('spec-invalid', { detail: 'Name the image that is to run.', errors: [{ pointer, detail: 'an image of this registry' }] });
    }
    for (const image of images) {
      // A cache that is not there, or hidden, is left out.
      if (row.name === 'POST /build' && image.how === 'pull') continue;
      await this.judgeImage(call, image);
    }
  }

  /** What makes an image gives it a name, by which it is known whose it is. */
  private judgeNaming(call: Call): void {
    const { ctx, kit, ruling: { row, images } } = call;
    if (!namingRows.has(row.name)) return;
    // What goes back to the client needs no name.
    if (kit && !kit.makesImage) return;
    if (images.some(({ how }) => how === 'write' || (how === 'pull' && row.name === 'POST /images/create'))) return;
    if (row.name === 'POST /images/create' && this.seesAll(ctx, 'image:load', 'image')) return;
    const pointer = row.name === 'POST /build' ? '?t' : '?repo';
    throw clustersProblem('spec-invalid', { detail: `An image without a name would be nobody’s: ${remedy(this.config.registryPublicHost)}.`, errors: [{ pointer, detail: 'a name in this registry' }] });
  }

  /** Names are of our own registry, of repositories to which the caller may push. The registry says the same whether or not one exists; so does this. */
  private async judgeWritten(call: Call, image: ImageName): Promise<void> {
    const { registryPublicHost } = this.config;
    const named = parseReference(image.reference, registryPublicHost);
    const errors = [{ pointer: image.pointer, detail: 'a name in this registry' }];
    if (!named || named.digest !== null) throw clustersProblem('image-foreign', { detail: `${image.reference.slice(0, 256)} can’t be given to an image here: ${remedy(registryPublicHost)}.`, errors });
    if (!(await this.images.mayPush(call.ctx, named.path))) throw forbidden(`You may not push to ${named.path}, so no image gets its name: ${remedy(registryPublicHost)}.`);
    call.written.push({ reference: image.reference, path: named.path });
  }

  /**
   * A build begins with what the registry has, by the caller's own sign-in, never with what the node holds. Its cache is what the images of
   * the names that it gives, or that it asks for, were made of: what others have built under the same words is not looked at.
   */
  private async judgeBuild(call: Call): Promise<void> {
    const { ctx, ruling: { images, query } } = call;
    const [remote = ''] = queryValues(query, 'remote');
    if (call.kit) {
      // Of what it has made itself, BuildKit has the cache.
      const cache = (await this.judgeCache(call)).filter((name) => !images.some(({ reference, how }) => how === 'write' && reference === name));
      call.query = kitQuery(query, this.kits.salt(ctx.actor.id ?? '', call.cluster.id, queryValues(query, 'buildid')[0] ?? ''), cache);
      return;
    }
    if (remote !== '' && (await this.policyScopes(call, null)).length > 0) throw clustersProblem('not-passed-on', { detail: 'Where a signature policy counts, the build context comes with the call: what it begins with is judged.' });
    if (remote === 'client-session') throw clustersProblem('not-passed-on', { detail: 'A session’s context is for BuildKit alone.' });
    const cache = await this.judgeCache(call);
    const [dockerfile = ''] = queryValues(query, 'dockerfile');
    call.query = withQuery(query, { pull: '1', rm: '1', forcerm: '1', cachefrom: JSON.stringify(cache), dockerfile: remote === '' ? dockerfilePaths(dockerfile)[0]! : dockerfile });
  }

  /** Names whose images may be the build's cache. */
  private async judgeCache({ ctx, ruling: { images } }: Call): Promise<string[]> {
    const cache: string[] = [];
    for (const { reference, how } of images) {
      const named = parseReference(reference, this.config.registryPublicHost);
      if (how === 'write') cache.push(reference);
      else if (named && (await this.pullableImage(ctx, named))) cache.push(reference);
    }
    return cache;
  }

  /** A Dockerfile as it may be built: its images are ones that may be pulled, and begin builds only where they may run; each pinned to its digest. */
  private async judgeDockerfile(call: Call, text: string, kit: (KitOptions & { place(image: KitPull): Promise<string>; platform: string | null; signal: AbortSignal }) | null = null): Promise<string> {
    const { ctx, collectionId } = call;
    const plan = readDockerfile(text, buildArgsOf(call.ruling.query), kit);
    const hostNetworks = [...plan.hostNetworks];
    const pins = new Map<string, string>();
    const fetches = [...plan.fetches];
    for (const { reference, how } of plan.images) {
      const image: ImageName = { reference, how: how === 'base' ? 'run' : 'pull', pointer: 'Dockerfile' };
      const named = parseReference(reference, this.config.registryPublicHost);
      let triggers: string[] | null;
      if (!named) {
        const foreign = await this.judgeForeign(call, image);
        const placed = kit || how === 'base' ? await this.placeForeign(call, foreign, kit ? kit.platform : queryValues(call.ruling.query, 'platform')[0] || null, kit?.signal ?? new AbortController().signal) : null;
        pins.set(reference, placed?.pinned ?? foreign);
        if (how === 'copy') continue;
        triggers = placed?.triggers ?? null;
      } else {
        const { path, digest, repository } = await this.admit(call, image, named);
        const pinned = `${this.config.registryPublicHost}/${path}@${digest}`;
        pins.set(reference, kit ? await kit.place({ reference: pinned, repositoryId: repository.id }) : pinned);
        if (how === 'copy') continue;
        triggers = await this.images.triggers(ctx, path, digest);
      }
      if (!triggers) throw clustersProblem('spec-invalid', { detail: `What ${reference} makes a build do (ONBUILD) can’t be told.` });
      const asked = readTriggers(triggers, kit);
      fetches.push(...asked.fetches);
      hostNetworks.push(...asked.hostNetworks);
      // They can't be written anew, and BuildKit takes what the node calls so.
      if (kit && asked.images.length > 0) throw clustersProblem('not-passed-on', { detail: `What ${reference} makes a build do (ONBUILD) names other images; write it into the Dockerfile, or build with DOCKER_BUILDKIT=0.` });
      for (const each of asked.images) {
        const from = parseReference(each.reference, this.config.registryPublicHost);
        const copied: ImageName = { reference: each.reference, how: 'pull', pointer: 'Dockerfile' };
        if (from) await this.admit(call, copied, from);
        else await this.judgeForeign(call, copied);
      }
    }
    const needs = (operation: Operation, lines: readonly string[], why: string): void => {
      const [first] = lines;
      if (first === undefined || this.access.can(ctx, operation, { kind: 'collection', id: collectionId! }).allowed) return;
      throw clustersProblem('host-option', {
        detail: `${first.slice(0, 120)}: ${why}.`, extra: { operations: [operation] }, errors: lines.slice(0, 10).map((line) => ({ pointer: 'Dockerfile', detail: `${line.slice(0, 120)} needs ${operation}` })),
      });
    };
    needs('image:build:remote', fetches, 'the engine itself would fetch it, which needs image:build:remote; COPY what is in the context, or RUN what fetches it');
    needs('image:build:host-network', hostNetworks, 'the host’s network needs image:build:host-network, which you have not been given here');
    return plan.write((reference) => pins.get(reference)!);
  }

  /**
   * What precedes a build by BuildKit: the Dockerfile is fetched from the client's session and judged, what it begins with is put on the node, and
   * the engine gets a session of ours, through which it may ask for what the build may have.
   */
  private async prepareKit(call: Call, kit: KitBuild, raw: RawEngine, signal: AbortSignal): Promise<{ target: string; release: () => void }> {
    const { ctx, cluster, engine, version } = call;
    const accountId = ctx.actor.id ?? '';
    const ended = this.kits.begin(this.kits.salt(accountId, cluster.id, queryValues(call.ruling.query, 'buildid')[0] ?? '').build);
    let done = ended;
    try {
      const taken = await this.kits.sessions.take({ accountId, clusterId: cluster.id, id: kit.session }, signal);
      done = () => {
        taken.done();
        ended();
      };
      const { session } = taken;
      const ignoring = `${kit.dockerfile}.dockerignore`;
      const files = await session.fetch('dockerfile', [kit.dockerfile, ignoring], maxDockerfileBytes, signal);
      let text = files.get(kit.dockerfile);
      if (text === undefined && kit.dockerfile === 'Dockerfile') text = (await session.fetch('dockerfile', ['dockerfile'], maxDockerfileBytes, signal)).get('dockerfile');
      if (text === undefined) throw clustersProblem('spec-invalid', { detail: `There is no ${kit.dockerfile}.` });
      const { os, arch } = platformOf(await engine.version());
      const pulls: KitPull[] = [];
      const place = async (image: KitPull): Promise<string> => {
        if (kit.platform !== null || !(await this.look(call, 'image', image.reference))) pulls.push(image);
        return image.reference;
      };
      const judged = await this.judgeDockerfile(call, text.toString(), { args: platformArgs({ os, arch }, kit.platform), place, platform: kit.platform, signal });
      await this.kits.pull(ctx, engine, cluster.id, pulls, kit.platform, signal);
      const ignored = files.get(ignoring);
      const open = await session.open(raw, {
        dockerfile: [{ name: 'Dockerfile', bytes: Buffer.from(judged) }, ...(ignored ? [{ name: 'Dockerfile.dockerignore', bytes: ignored }] : [])],
        methods: sessionMethods(kit.sends), sharedKey: this.kits.sharedKey(accountId, cluster.id, session.sharedKey), target: `/v1.${version}/session`,
      }, signal);
      return {
        target: `/v1.${version}/build${withQuery(call.query ?? '', { session: open.id })}`,
        release: () => {
          open.close();
          done();
        },
      };
    } catch (error) {
      done();
      throw await this.refused(ctx, cluster, call.match, error);
    }
  }

  /** Another registry's image is pulled at once: only then is known which one it is, and what it makes a build do. */
  private async placeForeign(call: Call, reference: string, platform: string | null, signal: AbortSignal): Promise<{ pinned: string; triggers: string[] }> {
    const { ctx, cluster, engine } = call;
    await this.kits.pull(ctx, engine, cluster.id, [{ reference, repositoryId: null }], platform, signal);
    const seen = await this.look(call, 'image', reference);
    const repository = parseForeign(reference, this.config.registryPublicHost)?.repository ?? '';
    const pinned = seen && namesOf(seen).find((name) => name.startsWith(`${repository}@`));
    if (!pinned) throw clustersProblem('no-such-object', { detail: missingMessage('image', reference) });
    await this.makings.remember(ctx, { clusterId: cluster.id, nodeId: call.nodeId, kind: 'image', id: seen.id, how: 'pull', since: call.since });
    const { OnBuild: triggers } = (seen.raw['Config'] ?? {}) as { OnBuild?: string[] | null };
    return { pinned: `${reference.replace(/(?::[\w.-]+)?(?:@.*)?$/, '')}${pinned.slice(repository.length)}`, triggers: triggers ?? [] };
  }

  /** An image of another registry, which no policy can judge: who may use such images does so where none counts. Answers its name, written out. */
  private async judgeForeign(call: Call, image: ImageName): Promise<string> {
    const { registryPublicHost } = this.config;
    const foreign = parseForeign(image.reference, registryPublicHost);
    const place: ResourceRef = call.collectionId !== null ? { kind: 'collection', id: call.collectionId } : this.refOf(call, call.target!);
    if (foreign && (await this.usesForeign(call, place))) {
      if (call.ruling.row.name === 'POST /containers/create') {
        // What the node calls so came from there: a name alone anybody could have given who speaks to the engine itself.
        const seen = await this.look(call, 'image', foreign.reference);
        if (seen && !namesOf(seen).some((name) => name.startsWith(`${foreign.repository}@`))) throw clustersProblem('no-such-object', { detail: missingMessage('image', image.reference) });
      }
      return foreign.reference;
    }
    throw clustersProblem('image-foreign', { detail: `${image.reference.slice(0, 256)} is not from ${registryPublicHost}.`, errors: [{ pointer: image.pointer, detail: 'push it to this registry first' }] });
  }

  /** Whether images of other registries may be used there: by who may, where no policy counts. */
  private async usesForeign(call: Call, ref: ResourceRef): Promise<boolean> {
    const check: Check = { operation: 'image:use:foreign', ref };
    if (!this.holds(call.ctx, [check]) || (await this.policyScopes(call, null)).length > 0) return false;
    call.checks.push(check);
    return true;
  }

  /** The image that a reference names, where the caller may pull it. */
  private async pullableImage(ctx: Context, named: { path: string; tag: string; digest: string | null }): Promise<{ repository: ResourceRef; path: string; digest: string } | null> {
    const found = await this.images.resolve(ctx, named.path, named.digest ?? named.tag);
    // The registry says the same whether or not the repository exists; so does this.
    return found && this.access.can(ctx, 'repository:pull', found.repository).allowed ? found : null;
  }

  private async judgeImage(call: Call, image: ImageName): Promise<void> {
    const { judged: ruling } = call;
    const { registryPublicHost } = this.config;
    if (image.how === 'write') {
      await this.judgeWritten(call, image);
      return;
    }
    const named = parseReference(image.reference, registryPublicHost);
    if (!named) {
      // What runs already may go on where no policy says otherwise: scaling it is no new image.
      if (image.reference === presentImage(call.target) && (await this.policyScopes(call, null)).length === 0) return;
      // The registry of another is asked by pulls alone.
      const isAsked = ruling.row.name === 'POST /images/create' && !image.allTags;
      if (image.how === 'pull' && !isAsked) throw clustersProblem('image-foreign', { detail: `${image.reference.slice(0, 256)} is not from ${registryPublicHost}.`, errors: [{ pointer: image.pointer, detail: 'push it to this registry first' }] });
      const foreign = await this.judgeForeign(call, image);
      if (image.how === 'run') put(ruling.body, image.pointer, foreign);
      else call.query = withQuery(call.ruling.query, { fromImage: foreign, tag: null });
      return;
    }
    if (image.allTags) throw clustersProblem('not-passed-on', { detail: 'Pull one tag or digest at a time.' });
    const found = await this.admit(call, image, named);
    if (image.how === 'pull') return;
    if (call.ruling.rollback && named.digest === null) throw clustersProblem('image-not-pinned', { detail: `The former spec runs ${image.reference}, which is not pinned; deploy it anew.` });
    put(ruling.body, image.pointer, `${registryPublicHost}/${found.path}@${found.digest}`);
  }

  /** The image of ours that is named, where the caller may pull it and, if it is to run, all policies let it. */
  private async admit(call: Call, image: ImageName, named: { path: string; tag: string; digest: string | null }): Promise<{ repository: ResourceRef; path: string; digest: string }> {
    const { ctx } = call;
    const found = await this.pullableImage(ctx, named);
    if (!found) throw clustersProblem('no-such-object', { detail: missingMessage('image', image.reference) });
    call.checks.push({ operation: 'repository:pull', ref: found.repository });
    call.images.push({ repository: found.path, digest: found.digest, repositoryId: found.repository.id });
    if (image.how === 'pull') return found;
    for (const scope of await this.policyScopes(call, found.repository)) {
      const admission = await this.admission.admit(ctx, { repository: found.path, digest: found.digest, scope });
      if (!admission.allowed) {
        throw clustersProblem('image-refused', {
          detail: `${found.path}@${found.digest}: ${admission.explanation}`, extra: { reason: admission.reason, repository: found.path, digest: found.digest, verdictId: admission.verdictId },
        });
      }
    }
    return found;
  }

  /** By the digest that the container was made of. */
  private async judgeStart({ ctx, cluster, engine, owners, target }: Call): Promise<void> {
    const { Config: config, Image: imageId } = target!.raw as { Config?: { Image?: unknown }; Image?: unknown };
    const { access, images, admission, config: { registryPublicHost } } = this;
    const refused = await judgeStanding({ access, images, admission, registryPublicHost }, ctx, {
      clusterId: cluster.id, place: refOf(owners, cluster.id, target!), image: String(config?.Image ?? ''), store: true,
      digests: async () => digestsOf(engine, String(imageId)),
    });
    if (!refused) return;
    const { explanation, ...extra } = refused;
    throw clustersProblem('image-refused', { detail: explanation, extra });
  }

  /**
   * Engines look for the networks of a container when it starts, by the names that it was made with, where nobody wrote their ids: what has such a name by
   * then need not be what was judged.
   */
  private async judgeNetworks(call: Call): Promise<void> {
    const { NetworkSettings: settings } = call.target!.raw as { NetworkSettings?: { Networks?: Record<string, { NetworkID?: string } | null> | null } };
    for (const [name, endpoint] of Object.entries(settings?.Networks ?? {})) {
      if (engineNetworks.has(name) || (endpoint?.NetworkID ?? '') !== '') continue;
      const seen = await this.look(call, 'network', name);
      if (!seen) continue;
      const missing = (): string => missingMessage('network', name);
      // By the beginning of an id nobody means a network who has given it a name.
      if (seen.name !== name && seen.id !== name) throw clustersProblem('no-such-object', { detail: missing() });
      this.require(call, { operation: 'network:connect', ref: this.refOf(call, seen) }, missing);
      this.judgeOwnNetwork(call, seen, '{id}');
    }
  }

  private policyScopes(call: Call, repository: ResourceRef | null): Promise<string[]> {
    const place: ResourceRef = call.collectionId !== null ? { kind: 'collection', id: call.collectionId } : this.refOf(call, call.target!);
    return this.images.policyScopes(call.ctx, { clusterId: call.cluster.id, collectionIds: this.access.collectionsAbove(place).map(({ id }) => id), repository });
  }

  /** A service gets a pull credential of its own in place of whatever the caller sent. */
  private async exchangeAuth(call: Call): Promise<void> {
    const { ctx, cluster, ruling, target } = call;
    if (ruling.row.target.kind !== 'service' || ruling.body === null) return;
    const [image] = call.images;
    if (ruling.rollback) return;
    const holder = target ? this.refOf(call, target) : { kind: 'service', id: call.claims[0]!.id };
    // A service that is nobody's keeps what it has.
    if (holder.kind !== 'service' || holder.parent !== undefined) return;
    // What was given to it for a repository of ours is nothing for the registry of another's image.
    if (!image) call.auth = target ? 'none' : null;
    else call.auth = await this.credentials.ensure(ctx, { clusterId: cluster.id, holderId: holder.id, repositoryId: image.repositoryId });
  }

  // --- objects

  /** Asks the engine; null where it has no such object, or more than one that the name could mean. */
  private async look(call: Call, kind: EngineKind, id: string): Promise<Seen | null> {
    if (!canInspect(kind)) throw new Error(`calls on one ${kind} are not passed on`);
    // An empty or a stranger name would make another path of it: that of the list, for one.
    if (!(kind === 'image' || kind === 'plugin' ? referenceName : plainName).test(id)) return null;
    const answer = await call.engine.inspect(inspectPath(kind, id));
    const seen = answer === null ? null : readSeen(kind, answer);
    // Engines find a cluster volume by the beginning of its id, too; who mounts one says its name.
    if (kind === 'volume' && seen?.id !== id) return null;
    if (kind !== 'exec' || !seen?.partOf) return seen;
    // An exec is judged by its container, and that, where swarm runs it, by its service.
    const container = await this.look(call, 'container', seen.partOf.id);
    if (!container) return null;
    const isOwned = call.owners.find('container', { id: container.id }) !== null;
    return isOwned || !container.partOf ? seen : { ...seen, partOf: container.partOf };
  }

  /** The resource by which rights on an object are judged. */
  private refOf(call: Call, seen: Seen): ResourceRef {
    return refOf(call.owners, call.cluster.id, seen);
  }

  /** Whether nothing of the kind is hidden from the caller, so that answers go out as they come. */
  private seesAll(ctx: Context, operation: Operation, kind: EngineKind): boolean {
    return this.access.listScope(ctx, operation, kind) === null;
  }

  // --- creating

  private async claim(call: Call, volumes: string[]): Promise<void> {
    const { ctx, cluster, ruling } = call;
    if (call.collectionId !== null) await this.claimMade(call, call.collectionId);
    else {
      if (ruling.row.name === 'POST /containers/{id}/rename') await this.judgeNames(call);
      this.keepLabels(call);
    }
    const place = this.placeOfVolumes(call);
    for (const name of volumes) call.claims.push({ id: await this.named(name, () => this.ownership.claim(ctx, { clusterId: cluster.id, nodeId: '', kind: 'volume', name, collectionId: place!, createdBy: ctx.actor.id })), name });
  }

  private async claimMade(call: Call, collectionId: string): Promise<void> {
    const { ctx, cluster, ruling } = call;
    const createdBy = ctx.actor.id;
    await this.judgeNames(call);
    for (const made of ruling.creates) {
      if (!isOwnedKind(made.kind)) continue;
      if (made.kind === 'volume' && (await this.isThere(call, made.name))) continue;
      const { kind } = made;
      // A volume may be on another node: that it is not on this one frees no name.
      const isThere = kind === 'volume' ? {} : { isThere: async (id: string): Promise<boolean> => (await this.look(call, kind, id)) !== null };
      const nodeId = await this.nodeFor(call, kind);
      const claim = await this.named(made.name, () => this.ownership.claim(ctx, { clusterId: cluster.id, nodeId, kind, name: made.name === '' ? null : made.name, collectionId, createdBy, ...isThere }));
      call.claims.push({ id: claim, name: made.name });
      const name = made.name === '' ? claim : made.name;
      const labels = labelsOf(ruling.body);
      if (!labels) continue;
      labels[collectionLabel] = this.access.listCollectionFacts().get(collectionId)?.path ?? collectionId;
      labels[claimLabel] = claim;
      labels[sealLabel] = this.ownership.collectionSeal(cluster.id, made.kind, name, collectionId);
    }
  }

  /** A name that an engine could take for something else's id, or that something else has, would lead others to the wrong object. */
  private async judgeNames(call: Call): Promise<void> {
    for (const { kind, name, pointer } of call.ruling.creates) {
      if (name === '' || kind === 'volume') continue;
      if (idForm.test(name)) throw clustersProblem('spec-invalid', { detail: `${name} looks like an id; choose another name.`, errors: [{ pointer, detail: 'looks like an id' }] });
      if (await this.look(call, kind, name)) throw nameTaken(name);
    }
    // Engines allow two networks of one name unless told otherwise, and then tell of the other.
    if (call.ruling.row.name === 'POST /networks/create') (call.ruling.body as Record<string, Value>)['CheckDuplicate'] = true;
  }

  /** Containers, and networks that are not the swarm's, are known on one node; names of all else, volumes included, are one owner's in the whole cluster. */
  private async nodeFor({ engine, ruling }: Call, kind: OwnedKind): Promise<string> {
    if (kind === 'network' && (memberText(ruling.body, 'Driver') === 'overlay' || memberText(ruling.body, 'Scope') === 'swarm')) return '';
    return kind === 'container' || kind === 'network' ? this.nodeOf(engine) : '';
  }

  /** Empty where the engine is in no swarm. */
  private async nodeOf(engine: EngineClient): Promise<string> {
    let node = this.nodes.get(engine);
    if (!node || node.until < performance.now()) {
      const id = engine.info().then((info) => info.Swarm?.NodeID ?? '');
      id.catch(() => this.nodes.delete(engine));
      node = { id, until: performance.now() + nodeMillis };
      this.nodes.set(engine, node);
    }
    return node.id;
  }

  /** Whose a taken name is, is nobody's business. */
  private async named<T>(name: string, claim: () => Promise<T>): Promise<T> {
    try {
      return await claim();
    } catch (error) {
      if (error instanceof Problem && error.code === 'clusters.name-claimed') throw nameTaken(name);
      throw error;
    }
  }

  /** Clients that write a spec anew (`docker stack deploy`) leave out our labels: they stay as they are. */
  private keepLabels({ ruling, target }: Call): void {
    const kept = Object.entries(target?.labels ?? {}).filter(([name]) => name.startsWith('io.gantry.'));
    if (kept.length === 0 || !['service', 'secret', 'config', 'node'].includes(ruling.row.target.kind) || !ruling.row.name.endsWith('/update')) return;
    const labels = labelsOf(ruling.body);
    if (labels) for (const [name, value] of kept) labels[name] = value;
  }

  /**
   * A volume that is there is not made again: the engine answers the one that there is, so it must be the caller's to see. One that somebody has on
   * another node, or had on this one, is theirs to make here.
   */
  private async isThere(call: Call, name: string): Promise<boolean> {
    if (name === '') return false;
    const seen = await this.look(call, 'volume', name);
    const ref = seen ? this.refOf(call, seen) : call.owners.find('volume', { name });
    if (!ref) return false;
    if (!this.access.can(call.ctx, 'volume:use', ref).allowed) throw nameTaken(name);
    call.checks.push({ operation: 'volume:use', ref });
    return true;
  }

  /** @param kept claims that something came of */
  private async release(call: Call, kept: ReadonlySet<string> = new Set()): Promise<void> {
    for (const claim of call.claims) {
      if (kept.has(claim.id)) continue;
      await this.ownership.release(call.ctx, claim.id);
      if (call.auth) await this.credentials.end(call.ctx, call.cluster.id, claim.id);
    }
  }

  // --- the passage

  private passage(call: Call, request: GatewayRequest): Passage {
    const { ctx, ruling, way, match, match: { row } } = call;
    // A Dockerfile adds to them while it goes by.
    const { checks } = call;
    // The engine is asked for the object that was judged, not for whatever the name means by then.
    const path = call.target && (call.target.kind !== 'image' || this.isMeantById(call)) ? row.path.replace(/\{\w+\}/, call.target.kind === 'image' ? call.target.id : encodeURIComponent(call.target.id)) : match.path;
    const written = [...new Set(call.written.map((each) => each.path))];
    const isBuild = row.name === 'POST /build';
    const isRemote = isBuild && (queryValues(ruling.query, 'remote')[0] ?? '') !== '';
    const { kit } = call;
    const key: SessionKey | null = row.name === 'POST /session' ? { accountId: ctx.actor.id ?? '', clusterId: call.cluster.id, id: request.session ?? '' } : null;
    if (key) this.kits.sessions.check(key);
    const body = ruling.stream && !isRemote ? 'stream' : ruling.body === null ? null : Buffer.from(writeStrictJson(ruling.body));
    const seesAll = row.operations.every((operation) => this.seesAll(ctx, operation, row.target.kind));
    const registryAuth = call.auth === 'none' ? noAuth : call.auth ? authHeader(call.auth) : way.registryAuth && !call.kit && request.registryAuth !== undefined ? checkedAuth(request.registryAuth) : null;
    const wish: AnswerWish = { ctx, row, owners: call.owners, clusterId: call.cluster.id, seesAll, pullable: call.pullable, limit: limitOf(row, ruling.query), allowed: (operation) => this.access.can(ctx, operation, this.clusters.ref(call.cluster)).allowed };
    const filter = this.filters.make(wish);
    // Events that go out as they come do so only as long as nothing is hidden from who hears them.
    const isWhole = (): boolean => row.response.is !== 'events' || filter !== null || this.filters.make(wish) === null;
    const registryConfig = isBuild && !kit && request.registryConfig !== undefined ? checkedConfig(request.registryConfig, this.config.registryPublicHost) : null;
    const { version } = call;
    return {
      method: row.method,
      target: `/v1.${version}${path}${call.query ?? (filter ? filteredQuery(row, version, ruling.query) : ruling.query)}`,
      body,
      ...(isBuild && body === 'stream' ? { upload: (from) => judgedContext(from, queryValues(ruling.query, 'dockerfile')[0] ?? '', (text) => this.uploaded(call, text)) } : {}),
      headers: {
        ...(Buffer.isBuffer(body) ? { 'content-type': 'application/json' } : {}), ...(registryAuth === null ? {} : { 'x-registry-auth': registryAuth }),
        // BuildKit takes credentials from the session alone.
        ...(registryConfig === null ? {} : { 'x-registry-config': registryConfig }),
      },
      ...(kit ? { prepare: (raw: RawEngine, signal: AbortSignal) => this.prepareKit(call, kit, raw, signal) } : {}),
      ...(key ? { session: (session) => this.kits.sessions.keep(key, session) } : {}),
      ...(row.name === 'POST /grpc' ? { control: { version, platform: async () => platformOf(await call.engine.version()), keep: () => this.kits.attend(ctx.actor.id ?? '') } } : {}),
      connection: row.connection,
      filter: filter ?? this.tapOf(call),
      whole: this.wholeOf(call, seesAll),
      ...(call.claims.length > 0 ? { unasked: () => void this.abandon(call) } : {}),
      stillAllowed: async () => this.holds(ctx, checks) && isWhole() && (await Promise.all(written.map((each) => this.images.mayPush(ctx, each)))).every(Boolean),
      ended: !this.isRecorded(row) || row.connection !== 'plain' ? null : (status) => void this.record(call, status),
    };
  }

  /** Answers that tell of images which are made are heard: such images are nobody's, and not made beside Gantry. */
  private tapOf({ ctx, cluster, engine, nodeId, kit, ruling: { query }, query: asked, match: { row } }: Call): Passage['filter'] {
    const teller = tellers[row.name]?.(query, kit !== null);
    if (teller === undefined) return null;
    const [reference = ''] = queryValues(asked ?? query, 'fromImage');
    return this.makings.tap({ ctx, clusterId: cluster.id, nodeId, engine, teller, reference });
  }

  /** Whether an image that gets another name is in the registry. One that was not made through Gantry is not made so by a name. */
  private async isRegistered(call: Call): Promise<boolean> {
    for (const reference of namesOf(call.target!)) {
      const named = parseReference(reference, this.config.registryPublicHost);
      if (named?.digest && (await this.images.resolve(call.ctx, named.path, named.digest))) return true;
    }
    return false;
  }

  /** Whether an image is asked for by its id, or must be so that it is the one that was judged. */
  private isMeantById({ match: { row, name } }: Call): boolean {
    if (row.name === 'POST /images/{name}/tag') return true;
    return (row.name === 'DELETE /images/{name}' || row.name === 'GET /images/{name}/get') && parseReference(name, this.config.registryPublicHost) === null;
  }

  private async uploaded(call: Call, text: string): Promise<string> {
    try {
      return await this.judgeDockerfile(call, text);
    } catch (error) {
      throw await this.refused(call.ctx, call.cluster, call.match, error);
    }
  }

  /** A prune that the engine is not asked for: what the caller may remove is removed one by one. */
  private prunePassage({ ctx, cluster, engine, owners, ruling, checks, match, version }: Call): Passage {
    const { row } = match;
    const prune = this.prunes.prepare({ ctx, cluster, engine, owners, kind: row.target.kind, operations: row.operations, call: row.name, filters: ruling.filters, minor: version });
    return {
      method: row.method, target: match.path, body: null, headers: {}, connection: row.connection, filter: null, whole: null, ended: null,
      answer: async (signal) => ({ status: 200, body: await prune(signal) }),
      stillAllowed: async () => this.holds(ctx, checks),
    };
  }

  /** What names no other registry is answered from our own; another one is asked by the engine, for who may pull from there, and without credentials. */
  private async searchPassage(call: Call, request: GatewayRequest): Promise<Passage> {
    const { ctx, ruling, checks, match } = call;
    const { registryPublicHost } = this.config;
    const { host, text, limit, anyOfOurs } = readSearch(ruling.query, ruling.filters, registryPublicHost);
    if (host !== null) {
      call.collectionId = this.homeOf(ctx);
      if (!(await this.usesForeign(call, { kind: 'collection', id: call.collectionId }))) throw clustersProblem('image-foreign', { detail: `${host.slice(0, 256)} is not ${registryPublicHost}.`, errors: [{ pointer: '?term', detail: 'another registry' }] });
      return this.passage(call, request);
    }
    const answer = async (): Promise<{ status: number; body: Buffer }> => ({
      status: 200, body: Buffer.from(JSON.stringify(anyOfOurs ? searchResults(await this.images.search(ctx, text, limit), registryPublicHost) : [])),
    });
    return {
      method: match.row.method, target: match.path, body: null, headers: {}, connection: match.row.connection, filter: null, whole: null, ended: null, answer,
      stillAllowed: async () => this.holds(ctx, checks),
    };
  }

  private wholeOf(call: Call, seesAll: boolean): Passage['whole'] {
    const { ctx, cluster, ruling, match: { row } } = call;
    if (call.claims.length > 0) return async (status, body) => this.made(call, status, body);
    if (row.method === 'DELETE' && call.target && isOwnedKind(call.target.kind)) {
      const { kind, id } = call.target;
      return async (status, body) => {
        if (status < 300 && (kind !== 'volume' || seesAll || (await freeNames(call.engine, [id])).has(id))) {
          const ref = this.refOf(call, call.target!);
          await this.ownership.forget(ctx, { clusterId: cluster.id, kind, engineId: id });
          if (kind === 'service' && ref.parent === undefined) await this.credentials.end(ctx, cluster.id, ref.id);
        }
        return { status, body: status >= 400 && !seesAll ? refusalFor(kind, status, body) : body };
      };
    }
    // By the engine itself, for who sees everything: their names are free, unless something else may still have one.
    if (row.name === 'POST /volumes/prune') {
      return async (status, body) => {
        const { VolumesDeleted: gone } = (status < 300 ? JSON.parse(body.toString()) : {}) as { VolumesDeleted?: string[] | null };
        if (gone && gone.length > 0) await this.ownership.forget(ctx, { clusterId: cluster.id, kind: 'volume', engineId: [...(await freeNames(call.engine, gone))] });
        return { status, body };
      };
    }
    if (row.name === 'POST /services/{id}/update' && !this.seesAll(ctx, 'service:view', 'service')) return async (status, body) => ({ status, body: status >= 400 ? withoutServices(body) : body });
    if (row.name === 'GET /version') return async (status, body) => ({ status, body: status < 300 ? knownVersions(body) : body });
    const remember = (id: string, how: string): Promise<void> => this.makings.remember(ctx, { clusterId: cluster.id, nodeId: call.nodeId, kind: 'image', id, how, since: call.since });
    if (row.name === 'POST /commit') {
      return async (status, body) => {
        const id = status < 300 ? memberText(JSON.parse(body.toString()) as Value, 'Id') : null;
        if (id !== null) await remember(id, 'commit');
        return { status, body };
      };
    }
    if (row.name === 'POST /images/{name}/tag' && call.target) {
      const { id } = call.target;
      return async (status, body) => {
        if (status < 300 && (await this.isRegistered(call))) await remember(id, 'tag');
        return { status, body };
      };
    }
    // Engines say which containers use an image.
    if (row.name === 'DELETE /images/{name}' && !seesAll) return async (status, body) => ({ status, body: status >= 400 ? refusalFor('image', status, body) : body });
    if (row.name === 'DELETE /nodes/{id}' && call.target) {
      const { id } = call.target;
      return async (status, body) => {
        if (status < 300) await this.scheduling.forget(ctx, cluster.id, [id]);
        return { status, body };
      };
    }
    if (row.name === 'POST /containers/{id}/rename' && call.target) {
      const { id } = call.target;
      return async (status, body) => {
        if (status < 300) await this.ownership.rename(ctx, { clusterId: cluster.id, kind: 'container', engineId: id, name: ruling.creates[0]?.name ?? id });
        return { status, body: status === 409 && !seesAll ? message('The name is taken.') : body };
      };
    }
    return null;
  }

  /** After a create: binds what was claimed to the engine's id, or lets it go. */
  private async made(call: Call, status: number, body: Buffer): Promise<{ status: number; body: Buffer }> {
    const { ctx, ruling } = call;
    const own = ruling.creates.length > 0 ? 1 : 0;
    if (status >= 300) {
      await this.release(call, await this.leftBehind(call, own));
      // The engine's own words name whose the name is, or the port.
      if (status === 409 && own === 1) return { status, body: message(nameTaken(ruling.creates[0]!.name).detail) };
      return { status, body: this.seesAll(ctx, 'service:view', 'service') ? body : withoutServices(body) };
    }
    const answer = own === 1 ? (JSON.parse(body.toString()) as Record<string, unknown>) : {};
    const id = answer['Id'] ?? answer['ID'] ?? answer['Name'] ?? '';
    if (own === 1 && (typeof id !== 'string' || id === '')) throw clustersProblem('engine-failed', { detail: 'The engine answered without an id.' });
    if (ruling.creates[0]?.kind === 'volume' && memberText(answer['Labels'] as Value, claimLabel) !== call.claims[0]!.id) {
      // Somebody made it a moment ago: the engine answers the volume that there is.
      await this.release(call);
      return { status: 409, body: message(nameTaken(ruling.creates[0].name).detail) };
    }
    for (const [index, claim] of call.claims.entries()) {
      if (index < own) await this.ownership.bind(ctx, claim.id, id as string, ...(claim.name === '' ? [] : [claim.name]));
      else await this.ownership.bind(ctx, claim.id, claim.name, claim.name);
    }
    return { status, body };
  }

  /** Volumes that the engine has made for what it then refused: they stay, and are their maker's. */
  private async leftBehind(call: Call, own: number): Promise<Set<string>> {
    const kept = new Set<string>();
    for (const { id, name } of call.claims.slice(own)) {
      if (!(await this.look(call, 'volume', name))) continue;
      await this.ownership.bind(call.ctx, id, name, name);
      kept.add(id);
    }
    return kept;
  }

  /** The engine was not asked after all: names that were taken for the call are free again. */
  private async abandon(call: Call): Promise<void> {
    try {
      await this.release(call);
    } catch (error) {
      this.logger.warn({ cluster: call.cluster.id, error: (error as Error).message }, 'names that a call had taken could not be freed; the sweep does it');
    }
  }

  /** Whether calls of a row are put on record: what only reads, as the installation's settings say. */
  private isRecorded({ audit, operations: [operation] }: EngineMatch['row']): boolean {
    if (audit !== 'policy') return audit === 'always';
    const read = operation === undefined ? undefined : readBy[operation.slice(operation.indexOf(':') + 1)];
    return read === undefined || this.config.auditEngineReads.has(read);
  }

  /** @param status what the engine answered; null: it did not, or has not yet where the call may last */
  private async record(call: Call, status: number | null): Promise<void> {
    const { cluster, ruling, match, match: { row }, target } = call;
    const entry: AuditEntry = {
      action: actionOf(row.operations[0], row.target.kind),
      resource: { kind: 'cluster', id: cluster.id, name: cluster.name },
      outcome: row.connection !== 'plain' || (status !== null && status < 400) ? 'success' : 'failed',
      detail: {
        call: row.name, status, object: target ? target.name || target.id : (ruling.creates[0]?.name ?? (match.name === '' ? null : match.name)), ...(target ? { id: target.id } : {}),
        ...(call.collectionId === null ? {} : { collection: call.collectionId }), ...(call.images.length === 0 ? {} : { images: call.images.map(({ repository, digest }) => `${repository}@${digest}`) }),
        ...(call.written.length === 0 ? {} : { names: call.written.map(({ reference }) => reference) }),
        ...(ruling.needs.length === 0 ? {} : { options: [...new Set(ruling.needs.map(({ operation }) => operation))] }),
      },
    };
    try {
      await this.audit.record(call.ctx, entry);
    } catch (error) {
      this.logger.error({ error: (error as Error).message, entry }, 'an engine call could not be put on record');
    }
  }
}

/** What a push sends: a name with its tag. */
function pushed({ match }: Call): string {
  const tag = match.query.find(([name]) => name === 'tag')?.[1] ?? '';
  const hasTag = match.name.slice(match.name.lastIndexOf('/') + 1).includes(':');
  if ((tag === '') !== hasTag) throw clustersProblem('not-passed-on', { detail: 'Push one tag at a time.' });
  return hasTag ? match.name : `${match.name}:${tag}`;
}

/** All names of an image, with tags and with digests. */
function namesOf(seen: Seen): string[] {
  return [seen.raw['RepoTags'], seen.raw['RepoDigests']].flat().filter((name) => typeof name === 'string');
}

/** What of an error goes on record: lines of a Dockerfile may hold what nobody is to read there, and names of members are the caller's. */
function recorded({ pointer, detail }: FieldError): FieldError {
  return { pointer: pointer.slice(0, 256), detail: pointer === 'Dockerfile' ? (/needs [a-z:-]+$/.exec(detail)?.[0] ?? 'refused') : detail.slice(0, 256) };
}

function withReason(row: string): string {
  const why = whyRefused(row);
  return why === null ? '' : ` ${why}`;
}

function platformOf({ Os: os = 'linux', Arch: arch = 'amd64' }: { Os?: string; Arch?: string }): { os: string; arch: string } {
  return { os, arch };
}

function forbidden(detail: string): Problem {
  return clustersProblem('call-forbidden', { detail });
}

function nameTaken(name: string): Problem {
  return clustersProblem('name-claimed', { detail: `The name ${JSON.stringify(name)} is taken.` });
}

function message(text: string): Buffer {
  return Buffer.from(JSON.stringify({ message: text }));
}

/** A refusal without the service that it names: engines say which one has a port. */
function withoutServices(body: Buffer): Buffer {
  const text = body.toString();
  if (!/ by service /i.test(text)) return body;
  const port = /port '?(\d{1,5})'? is already in use/.exec(text)?.[1];
  return message(port === undefined ? 'Something that this asks for is already in use.' : `port '${port}' is already in use`);
}

/** Why something can't be removed, without whose things keep it. */
function refusalFor(kind: EngineKind, status: number, body: Buffer): Buffer {
  if (status === 404) return body;
  return message(`The ${kind} could not be removed: it is in use, or the engine refused.`);
}

/** `engine.container.create`, from the operation that the call needs. */
function actionOf(operation: Operation | undefined, kind: EngineKind): string {
  return operation === undefined ? `engine.${kind}` : `engine.${operation.replaceAll(':', '.')}`;
}

/** The labels of the object itself, made where it has none; null where the call has no body. */
function labelsOf(body: Value): Record<string, Value> | null {
  if (typeof body !== 'object' || body === null || Array.isArray(body) || !isPlain(body)) return null;
  const present = body['Labels'];
  if (typeof present === 'object' && present !== null && !Array.isArray(present) && isPlain(present)) return present;
  const made = Object.create(null) as Record<string, Value>;
  body['Labels'] = made;
  return made;
}

/** What who prunes everybody's may do: what is pruned is removed. */
function pruneOperations({ operations, target: { kind } }: EngineRow): readonly Operation[] {
  return kind === 'build' ? operations : [...operations, `${kind}:remove` as Operation];
}

/** Whether a body's value at a pointer is another than the object has. */
function changes(pointer: string, body: Value, present: unknown): boolean {
  const read = (from: unknown): unknown => pointer.split('/').slice(1).reduce<unknown>((at, step) => (typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[step] : undefined), from);
  return read(body) !== read(present);
}

/** The image that a service runs now; null for anything else. */
function presentImage(target: Seen | null): string | null {
  const at = (from: unknown, key: string): unknown => (typeof from === 'object' && from !== null ? (from as Record<string, unknown>)[key] : undefined);
  const image = at(at(at(at(target?.raw, 'Spec'), 'TaskTemplate'), 'ContainerSpec'), 'Image');
  return typeof image === 'string' ? image : null;
}
