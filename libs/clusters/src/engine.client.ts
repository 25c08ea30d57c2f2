import type { Readable } from 'node:stream';
import Docker from 'dockerode';
import { Problem } from '@gantry/platform';
import type {
  EngineConfig, EngineContainer, EngineContainerDetail, EngineFilters, EngineImage, EngineInfo, EngineNetwork, EngineNode, EngineSecret, EngineService, EngineStack, EngineTask, EngineVersion, EngineVolume, SwarmInfo,
} from './engine.types';
import { clustersProblem } from './problems';
import type { ConfigSpec, NetworkSpec, SecretSpec, ServiceSpec } from './specs';
import type { SshEndpoint } from './ssh/keys';
import { sshWay, type SshErrorCode } from './ssh/link';

/** The newest Engine API that this client was written against; engines that offer more are spoken to in this version. */
export const newestApiVersion = '1.51';
/** The oldest Engine API that has what we need (Docker 20.10). */
export const oldestApiVersion = '1.41';

/** Label by which the docker CLI and Gantry group the objects of a stack. */
export const stackLabel = 'com.docker.stack.namespace';

/** How to reach an engine. For `tls`, `ca`, `cert` and `key` are PEM texts. */
export type Endpoint = { kind: 'socket'; path: string } | { kind: 'tls'; host: string; port: number; ca: string; cert: string; key: string } | SshEndpoint;

/** Credentials that a node pulls an image with; travels in `X-Registry-Auth`. */
export interface RegistryAuth {
  username: string;
  password: string;
  serverAddress: string;
}

/** One request to an engine. `path` begins with the API version, except `/_ping`; `signal` aborts it. */
export interface EngineCall {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  query?: Record<string, string>;
  body?: unknown;
  registryAuth?: RegistryAuth;
  signal: AbortSignal;
}

/** The engine answered, but not with success. `status` is its HTTP status, `message` its own words. */
export class EngineError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
    this.name = 'EngineError';
  }

  /** True when an update was made from a version of the object that is no longer the newest. */
  get outOfSequence(): boolean {
    return /update out of sequence/i.test(this.message);
  }

  /** The same as a `Problem` for people, code `clusters.engine-failed`. */
  toProblem(): Problem {
    return clustersProblem('engine-failed', { detail: `The engine answered ${this.status}: ${this.message}`, cause: this });
  }
}

/**
 * The way to one engine: socket, mutual TLS and SSH here; what dials out from the nodes fits the same seam. Failures of the way are the
 * adapter's own errors; `EngineClient` turns them into problems.
 */
export abstract class EngineConnection {
  /** For messages, e.g. `unix:///var/run/docker.sock` or `https://10.0.0.1:2376`. */
  abstract readonly address: string;
  /** Answers the parsed JSON body, or bytes where it is none. @throws EngineError when the engine refuses */
  abstract call(call: EngineCall): Promise<unknown>;
  /** Answers the response as a stream with its headers (names in lower case). @throws EngineError when the engine refuses */
  abstract stream(call: EngineCall): Promise<Readable & { headers: Record<string, string | string[] | undefined> }>;
}

const succeeded = { 200: true, 201: true, 204: true };

/**
 * Socket, TLS or SSH, through dockerode's transport. For the first two it is given no agent of its own: docker-modem inspects its request options on
 * every call, and walking an agent with all its sockets costs more than the request. Node's global agent keeps connections alive anyway. What
 * opens its connections otherwise needs an agent, which hides its inside.
 */
class DockerodeConnection extends EngineConnection {
  readonly address: string;
  private readonly docker: Docker;

  constructor(endpoint: Endpoint) {
    super();
    // Everything is given, so that DOCKER_HOST and its companions in our own environment have no say.
    if (endpoint.kind === 'socket') {
      this.address = `unix://${endpoint.path}`;
      this.docker = new Docker({ socketPath: endpoint.path, protocol: 'http', host: undefined, port: undefined, ca: undefined, cert: undefined, key: undefined });
    } else if (endpoint.kind === 'ssh') {
      const { address, agent } = sshWay(endpoint);
      this.address = address;
      const options = { socketPath: undefined, protocol: 'http' as const, host: 'http://docker', port: 80, ca: undefined, cert: undefined, key: undefined, agent };
      this.docker = new Docker(options);
    } else {
      const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
      this.address = `https://${host}:${endpoint.port}`;
      this.docker = new Docker({ socketPath: undefined, protocol: 'https', host: `https://${host}`, port: endpoint.port, ca: endpoint.ca, cert: endpoint.cert, key: endpoint.key });
    }
  }

  call(call: EngineCall): Promise<unknown> {
    return this.dial(call, false);
  }

  stream(call: EngineCall): Promise<Readable & { headers: Record<string, string | string[] | undefined> }> {
    return this.dial(call, true) as Promise<Readable & { headers: Record<string, string | string[] | undefined> }>;
  }

  private dial(call: EngineCall, isStream: boolean): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const auth = call.registryAuth;
      // docker-modem may call back late or not at all once a response body was cut off: the signal settles the promise itself.
      const onAbort = (): void => reject(call.signal.reason as Error);
      call.signal.addEventListener('abort', onAbort, { once: true });
      const modem = this.docker.modem as { dial(options: object, callback: (error: unknown, data: unknown) => void): void };
      modem.dial(
        {
          path: `${call.path}?`,
          method: call.method,
          abortSignal: call.signal,
          isStream,
          statusCodes: succeeded,
          options: { _query: call.query ?? {}, _body: call.body ?? {} },
          ...(auth ? { authconfig: { username: auth.username, password: auth.password, serveraddress: auth.serverAddress } } : {}),
        },
        (error, data) => {
          if (!isStream || error) call.signal.removeEventListener('abort', onAbort);
          if (error) reject(toEngineError(error));
          else resolve(data);
        },
      );
    });
  }
}

function toEngineError(error: unknown): unknown {
  const { statusCode, json } = error as { statusCode?: unknown; json?: unknown };
  if (typeof statusCode !== 'number') return error;
  const message = (json as { message?: unknown } | null | undefined)?.message;
  return new EngineError(statusCode, typeof message === 'string' ? message : Buffer.isBuffer(json) ? json.toString().trim() : String((error as Error).message));
}

/** Opens the way to an engine; sends nothing yet. */
export function connectEngine(endpoint: Endpoint): EngineConnection {
  return new DockerodeConnection(endpoint);
}

/**
 * Typed calls to one engine, each with a deadline (`timeoutSeconds`, from GANTRY_ENGINE_TIMEOUT_SECONDS). Errors of every method:
 * `EngineError` when the engine answered and refused; `clusters.unreachable` when it did not answer in time or at all; for changes the
 * outcome is then unknown; `clusters.tls-failed` when the two do not trust each other.
 */
export class EngineClient {
  constructor(readonly connection: EngineConnection, readonly apiVersion: string, private readonly timeoutSeconds: number) {}

  /** Asks the engine for its API version and settles on the lower of its and ours. @throws clusters.too-old */
  static async negotiate(connection: EngineConnection, timeoutSeconds: number): Promise<EngineClient> {
    const probe = new EngineClient(connection, oldestApiVersion, timeoutSeconds);
    const { apiVersion } = await probe.ping();
    if (compareVersions(apiVersion, oldestApiVersion) < 0) throw clustersProblem('too-old', { detail: `${connection.address} speaks Engine API ${apiVersion}; Gantry needs ${oldestApiVersion} or newer (Docker 20.10).` });
    return new EngineClient(connection, compareVersions(apiVersion, newestApiVersion) > 0 ? newestApiVersion : apiVersion, timeoutSeconds);
  }

  /** The engine's newest API version, e.g. `1.41`. */
  async ping(): Promise<{ apiVersion: string }> {
    return this.bounded('GET', async (signal) => {
      const answer = await this.connection.stream({ method: 'GET', path: '/_ping', signal });
      answer.resume();
      const version = answer.headers['api-version'];
      if (typeof version !== 'string' || !/^\d+\.\d+$/.test(version)) throw new EngineError(502, 'what answers here is not a Docker engine');
      return { apiVersion: version };
    });
  }

  info(): Promise<EngineInfo> {
    return this.get('/info');
  }

  version(): Promise<EngineVersion> {
    return this.get('/version');
  }

  /** The swarm, seen from a manager. */
  swarm(): Promise<SwarmInfo> {
    return this.get('/swarm');
  }

  /** What the engine tells of one object at this path, without the version; null where it knows none, or more than one, or takes the name for none. @throws EngineError */
  async inspect(path: string): Promise<unknown> {
    try {
      return await this.get(path);
    } catch (error) {
      // 400: no object has such a name; 400 and 500 with these words: the name is the beginning of several ids.
      if (error instanceof EngineError && (error.status === 404 || error.status === 400 || /multiple|ambiguous|more than one/i.test(error.message))) return null;
      throw error;
    }
  }

  nodes(filters: EngineFilters = {}): Promise<EngineNode[]> {
    return this.list('/nodes', filters);
  }

  services(filters: EngineFilters = {}): Promise<EngineService[]> {
    return this.list('/services', filters);
  }

  /** One service by id or name. @throws EngineError 404 */
  service(id: string): Promise<EngineService> {
    return this.get(`/services/${encodeURIComponent(id)}`);
  }

  tasks(filters: EngineFilters = {}): Promise<EngineTask[]> {
    return this.list('/tasks', filters);
  }

  /** Containers of the node that this engine runs on, ended ones too. */
  containers(filters: EngineFilters = {}): Promise<EngineContainer[]> {
    return this.list('/containers/json', filters, { all: 'true' });
  }

  /** One container; null where there is none. */
  async findContainer(id: string): Promise<EngineContainerDetail | null> {
    return (await this.inspect(`/containers/${encodeURIComponent(id)}/json`)) as EngineContainerDetail | null;
  }

  /** Images of the node that this engine runs on; `all`: with the steps between them. */
  images({ all = false }: { all?: boolean } = {}): Promise<EngineImage[]> {
    return this.list('/images/json', {}, all ? { all: 'true' } : {});
  }

  /** What happens on the engine from now on, as it writes it: JSON objects, one a line. No deadline: ends with the signal or the connection. */
  events(filters: EngineFilters, signal: AbortSignal): Promise<Readable> {
    return this.connection.stream({ method: 'GET', path: `/v${this.apiVersion}/events`, query: { filters: JSON.stringify(filters) }, signal });
  }

  networks(filters: EngineFilters = {}): Promise<EngineNetwork[]> {
    return this.list('/networks', filters);
  }

  network(id: string): Promise<EngineNetwork> {
    return this.get(`/networks/${encodeURIComponent(id)}`);
  }

  /** Volumes of the node that this engine runs on; those of other nodes are not seen from here. */
  async volumes(filters: EngineFilters = {}): Promise<EngineVolume[]> {
    const answer = await this.get<{ Volumes?: EngineVolume[] | null }>('/volumes', filters);
    return answer.Volumes ?? [];
  }

  /** Bytes that a container has written over its image. */
  async containerSize(id: string): Promise<number> {
    return (await this.get<{ SizeRw?: number }>(`/containers/${encodeURIComponent(id)}/json`, {}, { size: '1' })).SizeRw ?? 0;
  }

  /** Bytes of volumes by name, where the engine knows. Before API 1.42 it measures everything else with them. */
  async volumeSizes(): Promise<Map<string, number>> {
    const more: Record<string, string> = compareVersions(this.apiVersion, '1.42') < 0 ? {} : { type: 'volume' };
    const { Volumes } = await this.get<{ Volumes?: EngineVolume[] | null }>('/system/df', {}, more);
    return new Map((Volumes ?? []).map(({ Name, UsageData }) => [Name, Math.max(0, UsageData?.Size ?? 0)]));
  }

  secrets(filters: EngineFilters = {}): Promise<EngineSecret[]> {
    return this.list('/secrets', filters);
  }

  configs(filters: EngineFilters = {}): Promise<EngineConfig[]> {
    return this.list('/configs', filters);
  }

  /** Stacks, from the labels of services, by name. */
  async stacks(): Promise<EngineStack[]> {
    const counts = new Map<string, number>();
    for (const service of await this.services({ label: [stackLabel] })) {
      const name = service.Spec.Labels?.[stackLabel];
      if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [...counts].map(([name, services]) => ({ name, services })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Exact name, where the engine's own filter matches prefixes. */
  async findService(name: string): Promise<EngineService | null> {
    return (await this.services({ name: [name] })).find((service) => service.Spec.Name === name) ?? null;
  }

  async findNetwork(name: string): Promise<EngineNetwork | null> {
    return (await this.networks({ name: [name] })).find((network) => network.Name === name && network.Scope === 'swarm') ?? null;
  }

  async findSecret(name: string): Promise<EngineSecret | null> {
    return (await this.secrets({ name: [name] })).find((secret) => secret.Spec.Name === name) ?? null;
  }

  async findConfig(name: string): Promise<EngineConfig | null> {
    return (await this.configs({ name: [name] })).find((config) => config.Spec.Name === name) ?? null;
  }

  /** Answers the new id. `EngineError` 409 when the name is taken. Changes are called by `Apply` alone. */
  async createNetwork(spec: NetworkSpec): Promise<string> {
    return idOf(await this.post('/networks/create', { body: { CheckDuplicate: true, ...spec } }));
  }

  async createSecret(spec: SecretSpec): Promise<string> {
    return idOf(await this.post('/secrets/create', { body: spec }));
  }

  async createConfig(spec: ConfigSpec): Promise<string> {
    return idOf(await this.post('/configs/create', { body: spec }));
  }

  async createService(spec: ServiceSpec, registryAuth: RegistryAuth | null): Promise<string> {
    return idOf(await this.post('/services/create', { body: spec, ...(registryAuth ? { registryAuth } : {}) }));
  }

  /** Replaces a service's spec, made from version `versionIndex`. @throws EngineError with `outOfSequence` when it has changed since */
  async updateService(id: string, versionIndex: number, spec: ServiceSpec, registryAuth: RegistryAuth | null): Promise<void> {
    await this.post(`/services/${encodeURIComponent(id)}/update`, { query: { version: String(versionIndex) }, body: spec, ...(registryAuth ? { registryAuth } : {}) });
  }

  /** Whether a container comes back by itself; no other of its settings is changed. For what is quarantined, and released from it, alone. */
  async setRestartPolicy(id: string, policy: { Name: string; MaximumRetryCount: number }): Promise<void> {
    await this.post(`/containers/${encodeURIComponent(id)}/update`, { body: { RestartPolicy: policy } });
  }

  /** Does nothing where it is so already. For what is quarantined, and released from it, alone. */
  async actOnContainer(id: string, verb: 'start' | 'stop' | 'pause' | 'unpause'): Promise<void> {
    try {
      await this.post(`/containers/${encodeURIComponent(id)}/${verb}`, verb === 'stop' ? { query: { t: '5' } } : {});
    } catch (error) {
      if (!(error instanceof EngineError) || error.status !== 304) throw error;
    }
  }

  /** Replaces a node's spec, made from version `versionIndex`. @throws EngineError with `outOfSequence` when it has changed since */
  async updateNode(id: string, versionIndex: number, spec: EngineNode['Spec']): Promise<void> {
    await this.post(`/nodes/${encodeURIComponent(id)}/update`, { query: { version: String(versionIndex) }, body: spec });
  }

  /** Removals answer false when there was nothing to remove. */
  removeService(id: string): Promise<boolean> {
    return this.remove(`/services/${encodeURIComponent(id)}`);
  }

  removeNetwork(id: string): Promise<boolean> {
    return this.remove(`/networks/${encodeURIComponent(id)}`);
  }

  /** A container that does not run. @throws EngineError 409 where it does */
  removeContainer(id: string): Promise<boolean> {
    return this.remove(`/containers/${encodeURIComponent(id)}`);
  }

  /** @throws EngineError 409 where it is in use */
  removeVolume(name: string): Promise<boolean> {
    return this.remove(`/volumes/${encodeURIComponent(name)}`);
  }

  removeSecret(id: string): Promise<boolean> {
    return this.remove(`/secrets/${encodeURIComponent(id)}`);
  }

  removeConfig(id: string): Promise<boolean> {
    return this.remove(`/configs/${encodeURIComponent(id)}`);
  }

  /**
   * The last `lines` lines that a task's container wrote (both streams, in the order in which they came), at most 64 KiB. What has come
   * until the deadline is answered: an engine may never end the stream of a task whose node is away.
   */
  async taskLogs(taskId: string, lines = 50): Promise<string> {
    const limit = 65_536;
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      await this.bounded('POST', async (signal) => {
        const stream = await this.connection.stream({
          method: 'GET', path: `/v${this.apiVersion}/tasks/${encodeURIComponent(taskId)}/logs`, query: { stdout: 'true', stderr: 'true', tail: String(lines) }, signal,
        });
        for await (const chunk of stream) {
          chunks.push(chunk as Buffer);
          size += (chunk as Buffer).length;
          if (size > 4 * limit) break;
        }
      });
    } catch (error) {
      if (chunks.length === 0) throw error;
    }
    const text = demultiplex(Buffer.concat(chunks));
    return text.length > limit ? text.slice(-limit) : text;
  }

  private get<T>(path: string, filters: EngineFilters = {}, more: Record<string, string> = {}): Promise<T> {
    const query: Record<string, string> = Object.keys(filters).length === 0 ? more : { ...more, filters: JSON.stringify(filters) };
    return this.bounded('GET', (signal) => this.connection.call({ method: 'GET', path: `/v${this.apiVersion}${path}`, query, signal })) as Promise<T>;
  }

  private async list<T>(path: string, filters: EngineFilters, more: Record<string, string> = {}): Promise<T[]> {
    const answer = await this.get<unknown>(path, filters, more);
    return Array.isArray(answer) ? (answer as T[]) : []; // some engines write null for none
  }

  private post(path: string, call: Pick<EngineCall, 'query' | 'body' | 'registryAuth'>): Promise<unknown> {
    return this.bounded('POST', (signal) => this.connection.call({ method: 'POST', path: `/v${this.apiVersion}${path}`, ...call, signal }));
  }

  private async remove(path: string): Promise<boolean> {
    try {
      await this.bounded('DELETE', (signal) => this.connection.call({ method: 'DELETE', path: `/v${this.apiVersion}${path}`, signal }));
      return true;
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return false;
      throw error;
    }
  }

  private async bounded<T>(method: EngineCall['method'], work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = AbortSignal.timeout(this.timeoutSeconds * 1000);
    try {
      try {
        return await work(signal);
      } catch (error) {
        // A kept connection may have been closed by the engine just as we used it; only what changes nothing is sent again.
        const { code } = error as { code?: unknown };
        if (method !== 'GET' || (code !== 'ECONNRESET' && code !== 'EPIPE') || signal.aborted) throw error;
        return await work(signal);
      }
    } catch (error) {
      throw this.toProblem(error, signal);
    }
  }

  private toProblem(error: unknown, signal: AbortSignal): unknown {
    if (error instanceof EngineError || error instanceof Problem) return error;
    const { address } = this.connection;
    if (signal.aborted) return clustersProblem('unreachable', { detail: `${address} did not answer within ${this.timeoutSeconds} s.`, cause: error });
    const code = String((error as { code?: unknown }).code ?? '');
    if (/^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|EPROTO|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code)) {
      return clustersProblem('tls-failed', { detail: `${address}: ${(error as Error).message} (${code})`, cause: error });
    }
    // By the code, not the class: a worker's error comes to others in words.
    const ssh = sshProblems[code];
    if (ssh) return clustersProblem(ssh, { detail: `${(error as Error).message}.`, cause: error });
    return clustersProblem('unreachable', { detail: `${address}: ${remedies[code] ?? 'the connection failed'}${code ? ` (${code})` : ''}`, cause: error });
  }
}

const bySsh: Record<SshErrorCode, 'host-key' | 'ssh-refused' | 'unreachable'> = {
  ESSHHOSTKEY: 'host-key',
  ESSHDENIED: 'ssh-refused',
  ESSHFORWARD: 'ssh-refused',
  ESSHFAILED: 'ssh-refused',
  ESSHENGINE: 'unreachable',
  ESSHFULL: 'unreachable',
};
const sshProblems: Partial<Record<string, (typeof bySsh)[SshErrorCode]>> = bySsh;

const remedies: Record<string, string> = {
  ENOENT: 'there is no such socket; is the engine running, and is the path right?',
  EACCES: 'Gantry may not open the socket; add its user to the socket’s group',
  ECONNREFUSED: 'nothing listens there; is the engine running, and are address and port right?',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'there is no route to the network',
  ENOTFOUND: 'the host name does not resolve',
  EAI_AGAIN: 'the name server does not answer',
  ECONNRESET: 'the connection was cut; if the engine wants a client certificate, is it the right one?',
};

function idOf(answer: unknown): string {
  const { ID, Id } = (answer ?? {}) as { ID?: unknown; Id?: unknown };
  const id = ID ?? Id;
  if (typeof id !== 'string') throw new EngineError(502, 'the engine answered without an id');
  return id;
}

/** -1, 0 or 1, by the numbers of `major.minor`. */
export function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split('.').map(Number);
  const [majorB = 0, minorB = 0] = b.split('.').map(Number);
  return Math.sign(majorA - majorB || minorA - minorB);
}

/** Takes the frames off an engine's log stream: 8 bytes of header (stream, 3 zeros, length big-endian), then the payload. A TTY's stream has none. */
function demultiplex(bytes: Buffer): string {
  const parts: Buffer[] = [];
  let offset = 0;
  while (offset + 8 <= bytes.length) {
    if (bytes[offset]! > 2 || bytes.readUIntBE(offset + 1, 3) !== 0) return bytes.toString();
    const length = bytes.readUInt32BE(offset + 4);
    parts.push(bytes.subarray(offset + 8, offset + 8 + length));
    offset += 8 + length;
  }
  return Buffer.concat(parts).toString();
}
