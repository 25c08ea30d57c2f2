import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { startMachines, until, type LabMachines, type LabNode } from '../lab';
import { startConnectProxy } from './connect-proxy';
import { runProgram, tryProgram, type Ended } from './program';
import { makeStandIns } from './standins';

const root = join(__dirname, '../..');
const image = 'gantry:under-test';
const project = 'gantry';
const gatewayPort = 2378;

/** An answer of the REST API through the edge. */
export interface Answer<T = Record<string, unknown>> {
  status: number;
  body: T;
}

/** What `docker inspect` says of a container, as far as it is looked at here. */
export interface Container {
  Id: string;
  Name: string;
  State: { Status: string; ExitCode: number; Health?: { Status: string; Log: { Output: string }[] } };
  Mounts: { Source: string; Destination: string }[];
  Config: { Labels: Record<string, string>; User: string };
  HostConfig: { ReadonlyRootfs: boolean };
}

/**
 * The production form as an operator brings it up: the image built from the Dockerfile, docker-compose.yml with the secrets of
 * deploy/init-secrets.sh, on a machine of the lab's with a network and a firewall of its own. That machine and another are the swarm that Gantry manages.
 * The public images are stand-ins (standins.ts).
 */
export class ProductionStack {
  /** The folder of docker-compose.yml. */
  readonly folder: string;
  /** Compose program, `docker-compose` 1.29 unless changed. */
  compose = 'docker-compose';
  token = '';

  private constructor(
    private readonly home: string,
    private readonly machines: LabMachines,
    /** Where Gantry runs; manager of the swarm. */
    readonly engine: LabNode,
    /** Another machine, the swarm's worker. */
    readonly other: LabNode,
  ) {
    this.folder = join(home, 'gantry');
  }

  /** Starts the machine and builds all images. Nothing of the production form runs yet, and it has no settings and no secrets. */
  static async prepare(): Promise<ProductionStack> {
    const home = mkdtempSync(join(scratch(), 'gantry-prod-'));
    const machines = await startMachines({ dir: join(home, 'lab'), nodes: 2 }).catch((error: unknown) => {
      rmSync(home, { recursive: true, force: true });
      throw error;
    });
    const stack = new ProductionStack(home, machines, machines.nodes[0]!, machines.nodes[1]!);
    try {
      await makeStandIns(stack.env);
      await stack.build();
      cpSync(join(root, 'docker-compose.yml'), join(stack.folder, 'docker-compose.yml'));
      cpSync(join(root, 'deploy'), join(stack.folder, 'deploy'), { recursive: true });
      return stack;
    } catch (error) {
      await stack.remove();
      throw error;
    }
  }

  /** Builds the image by the classic builder. The machine has no way out but one to the npm registry. */
  private async build(): Promise<void> {
    const registry = new URL((await runProgram('npm', ['config', 'get', 'registry'])).trim());
    const proxy = await startConnectProxy(this.machines.uplink, registry.hostname);
    try {
      await this.docker(['build', '-q', '--build-arg', `HTTPS_PROXY=${proxy.url}`, '-t', image, root], { DOCKER_BUILDKIT: '0' }, 600);
    } finally {
      await proxy.close();
    }
  }

  private get env(): Record<string, string> {
    return { DOCKER_HOST: `unix://${this.engine.socketPath}`, DOCKER_CONFIG: join(this.home, 'docker-cli') };
  }

  /** Where the edge is. */
  get address(): string {
    return this.engine.address;
  }

  /** `registry:port` as people and nodes write it. */
  get registryHost(): string {
    return `${this.address}:5000`;
  }

  /** Where the engine gateway is, as DOCKER_HOST. */
  get gatewayHost(): string {
    return `tcp://${this.address}:${gatewayPort}`;
  }

  /** The stock docker CLI by those files of a fresh client bundle of whoever is signed in. */
  async throughGateway(argv: string[], { input = '', files = /\.pem$/ } = {}): Promise<Ended> {
    const folder = mkdtempSync(join(this.home, 'bundle-'));
    const zip = await this.download('/api/v1/me/bundle');
    for (const [name, bytes] of Object.entries(unzipSync(zip))) if (files.test(name)) writeFileSync(join(folder, name), bytes, { mode: 0o600 });
    return tryProgram('docker', argv, { env: { DOCKER_HOST: this.gatewayHost, DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: folder, DOCKER_CONFIG: join(this.home, 'docker-cli') }, input });
  }

  /** Writes .env as docs/operating.md says. */
  writeSettings(more: Record<string, string> = {}): void {
    const settings = {
      COMPOSE_PROJECT_NAME: project,
      GANTRY_IMAGE: image,
      GANTRY_PUBLIC_URL: `https://${this.address}`,
      GANTRY_REGISTRY_PUBLIC_HOST: this.registryHost,
      // 2376 is the engine's own here.
      GANTRY_ENGINE_PORT: String(gatewayPort),
      ...more,
    };
    writeFileSync(join(this.folder, '.env'), Object.entries(settings).map(([name, value]) => `${name}=${value}\n`).join(''));
  }

  /** Runs deploy/init-secrets.sh, and has the engines trust the edge's certificate for the registry. */
  async makeSecrets(): Promise<void> {
    await runProgram('sh', [join(this.folder, 'deploy/init-secrets.sh'), '--self-signed', this.address]);
    this.machines.trustRegistry(this.registryHost, this.secret('tls.crt'));
  }

  secret(name: string): string {
    return readFileSync(join(this.folder, 'secrets', name), 'utf8').trim();
  }

  /** Runs Compose in its folder. */
  runCompose(argv: string[], seconds = 240): Promise<Ended> {
    return tryProgram(this.compose, argv, { cwd: this.folder, env: this.env, seconds });
  }

  /** `up -d`, and waits until every service that has a health check is healthy. */
  async up(): Promise<void> {
    const { code, stdout, stderr } = await this.runCompose(['up', '-d']);
    if (code !== 0) throw new Error(`compose up ended with ${code}:\n${stdout}\n${stderr}\n${await this.logs()}`);
    await until('all services are healthy', 300, async () => {
      const containers = await this.containers();
      const services = Object.keys(containers).filter((name) => name !== 'migrate');
      return services.length === 9 && services.every((name) => containers[name]!.State.Health?.Status === 'healthy');
    }).catch(async (error: Error) => {
      throw new Error(`${error.message}\n${await this.logs()}`, { cause: error });
    });
  }

  /** Containers by service. */
  async containers(): Promise<Record<string, Container>> {
    const list = await this.engine.call<{ Id: string }[]>('GET', `/containers/json?all=true&filters=${encodeURIComponent(JSON.stringify({ label: [`com.docker.compose.project=${project}`] }))}`);
    const all = await Promise.all(list.map(({ Id }) => this.engine.call<Container>('GET', `/containers/${Id}/json`)));
    return Object.fromEntries(all.map((container) => [container.Config.Labels['com.docker.compose.service']!, container]));
  }

  /** The last lines of all containers, and what the health checks said, for messages. */
  async logs(): Promise<string> {
    const { stdout } = await this.runCompose(['logs', '--no-color', '--tail', '15']);
    const health = Object.entries(await this.containers()).map(([name, { State }]) => `${name}: ${State.Status} ${State.Health?.Status ?? `exit ${State.ExitCode}`} ${State.Health?.Log.at(-1)?.Output ?? ''}`);
    return `${health.join('\n')}\n${stdout.slice(-12_000)}`;
  }

  /** Runs a program in a service's container. */
  async exec(service: string, argv: string[]): Promise<Ended> {
    const { Id } = (await this.containers())[service]!;
    return tryProgram('docker', ['exec', Id, ...argv], { env: this.env });
  }

  /** A power cut of one service's container; it stays down. */
  async kill(service: string): Promise<void> {
    const { Id } = (await this.containers())[service]!;
    await this.engine.call('POST', `/containers/${Id}/kill?signal=SIGKILL`);
  }

  /** The stock docker CLI on the engine. */
  docker(argv: string[], env: Record<string, string> = {}, seconds = 120, input = ''): Promise<string> {
    return runProgram('docker', argv, { env: { ...this.env, ...env }, seconds, input });
  }

  /** One request through the edge, whose certificate is checked; signed in once `token` is set. */
  async send<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    const { status, bytes, isJson } = await this.exchange(method, path, body);
    const text = bytes.toString();
    return { status, body: (isJson ? JSON.parse(text) : text) as T };
  }

  private async download(path: string): Promise<Buffer> {
    const { status, bytes } = await this.exchange('GET', path);
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${bytes.toString()}`);
    return bytes;
  }

  private exchange(method: string, path: string, body?: unknown): Promise<{ status: number; bytes: Buffer; isJson: boolean }> {
    const data = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = { ...(this.token ? { authorization: `Bearer ${this.token}` } : {}), ...(data ? { 'content-type': 'application/json', 'content-length': String(data.length) } : {}) };
    return new Promise((resolve, reject) => {
      const call = request({ host: this.address, method, path, headers, ca: this.secret('tls.crt'), agent: false, timeout: 120_000 }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, bytes: Buffer.concat(chunks), isJson: /json/.test(response.headers['content-type'] ?? '') }));
      });
      call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer in 120 s`)));
      call.on('error', reject);
      call.end(data);
    });
  }

  /** Sends, and throws unless the answer is a success; answers its body. */
  async ask<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.send<T>(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** Signs in as the recovery admin. */
  async signIn(): Promise<void> {
    this.token = '';
    const { token } = await this.ask<{ token: string }>('POST', '/api/v1/sessions', { username: 'admin', password: this.secret('admin_password') });
    this.token = token;
  }

  /** Powers the machines off, with all that runs on them, and removes everything. */
  async remove(): Promise<void> {
    await this.machines.stop();
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Images and containers take about 3 GB in 200,000 files: in memory where there is plenty of it, since that halves the time. */
function scratch(): string {
  const memory = '/dev/shm';
  if (!existsSync(memory) || freemem() < 10 * 2 ** 30) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize >= 8 * 2 ** 30 ? memory : tmpdir();
}
