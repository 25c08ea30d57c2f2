import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { later, root } from './lib';

/** Asks again and again, every `everyMillis`, until the answer is not null; throws at the deadline. */
export async function waitFor<T>(what: string, seconds: number, probe: () => Promise<T | null> | T | null, everyMillis = 25): Promise<T> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await probe();
    if (answer !== null) return answer;
    if (performance.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await wait(everyMillis);
  }
}

/** Loopback ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** A new folder under the system's temporary one, removed when the bench ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gbench-'));
  later(folder, () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** What `ready.json` says. */
export interface Ready {
  http: string;
  engine: string;
  registry: string;
  gateway: string;
  adminPasswordFile: string;
  sampleUrl: string | null;
  seconds: Record<string, number>;
}

/** Gantry as a user starts it, with a home and ports of its own. */
export class Product {
  ready!: Ready;
  private child: ChildProcess | null = null;
  private output = '';

  private constructor(readonly home: string, private readonly checkout: string, private readonly env: Record<string, string>) {}

  /** A home and ports; nothing runs yet. It is stopped and its home removed when the bench ends. */
  static async prepare(options: { env?: Record<string, string>; checkout?: string } = {}): Promise<Product> {
    const home = temporaryFolder();
    const [http, registry, engine, sample] = await freePorts(4);
    const env = { GANTRY_HOME: home, GANTRY_HTTP_PORT: String(http), GANTRY_REGISTRY_PORT: String(registry), GANTRY_ENGINE_PORT: String(engine), GANTRY_SAMPLE_PORT: String(sample) };
    const product = new Product(home, options.checkout ?? root, { ...env, ...options.env });
    later(`Gantry of ${home}`, () => product.stop());
    return product;
  }

  /** Starts and waits for `ready.json`, which is written after the sample's page has answered. @returns seconds from the start of the process */
  async start(limitSeconds = 180): Promise<number> {
    // Settings of the caller's shell would make another product of it.
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(GANTRY_.*|DATABASE_URL.*|REDIS_URL.*|DOCKER_.*|NODE_OPTIONS|npm_lifecycle_event)$/.test(name)));
    this.output = '';
    const begin = performance.now();
    // A session of its own: Ctrl-C ends the bench, which then ends what it started, in order.
    const child = spawn(process.execPath, [join(this.checkout, 'scripts/start.mjs')], { cwd: this.checkout, env: { ...inherited, ...this.env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (this.output = (this.output + chunk.toString()).slice(-20_000)));
    const file = join(this.home, 'ready.json');
    await waitFor('Gantry is ready', limitSeconds, () => {
      this.assertRuns();
      return existsSync(file) ? true : null;
    }, 10);
    const took = (performance.now() - begin) / 1000;
    this.ready = JSON.parse(readFileSync(file, 'utf8')) as Ready;
    return took;
  }

  /** @throws when it has ended by itself: whatever was measured meanwhile is void */
  assertRuns(): void {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) throw new Error(`Gantry has ended by itself:\n${this.output.slice(-3000)}`);
  }

  /** Ctrl-C, and waits for the orderly end of all that it started. */
  async stop(): Promise<void> {
    const { child } = this;
    this.child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGINT');
    const inTime = await Promise.race([ended.then(() => true), wait(120_000, false, { ref: false })]);
    if (!inTime) throw new Error(`process ${child.pid} did not end within 120 s of SIGINT; its home is ${this.home}`);
  }

  /** CPU seconds that the Node process has used so far, in steps of 10 ms. Other load on the machine stretches wall time much more than this. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.child?.pid}/stat`, 'utf8');
    const [user, system] = stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 13);
    return (Number(user) + Number(system)) / 100;
  }

  /** Resident bytes of all Node processes of this start, and of everything else that belongs to its home. */
  memory(): { nodeBytes: number; nodes: number; otherBytes: number } {
    const processes = listProcesses();
    const own = new Set([this.child?.pid ?? -1]);
    for (let before = 0; before !== own.size; ) {
      before = own.size;
      for (const { pid, parent } of processes) if (own.has(parent)) own.add(pid);
    }
    const found = { nodeBytes: 0, nodes: 0, otherBytes: 0 };
    for (const { pid, executable, commandLine, rssBytes } of processes) {
      // The embedded servers are in sessions of their own, below this process or, adopted, below another.
      if (!own.has(pid) && !commandLine.includes(this.home)) continue;
      if (executable.endsWith('/node')) {
        found.nodeBytes += rssBytes;
        found.nodes += 1;
      } else found.otherBytes += rssBytes;
    }
    return found;
  }

  /** A REST client of the first administrator. */
  async admin(): Promise<Rest> {
    const rest = new Rest(this.ready.http, null);
    const { token } = await rest.call<{ token: string }>('POST', '/api/v1/sessions', { username: 'admin', password: this.adminPassword() });
    return new Rest(this.ready.http, token);
  }

  adminPassword(): string {
    return readFileSync(this.ready.adminPasswordFile, 'utf8').trim();
  }
}

function listProcesses(): { pid: number; parent: number; executable: string; commandLine: string; rssBytes: number }[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const status = readFileSync(`/proc/${name}/status`, 'utf8');
      const field = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
      return [{ pid: Number(name), parent: field('PPid'), rssBytes: field('VmRSS') * 1024, executable: readlinkSync(`/proc/${name}/exe`), commandLine: readFileSync(`/proc/${name}/cmdline`, 'utf8') }];
    } catch {
      return []; // it ended meanwhile, or is the kernel's
    }
  });
}

/** A REST client that throws on every answer but a good one, over one kept connection. */
export class Rest {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });
  constructor(readonly base: string, readonly token: string | null) {}

  async call<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    return (await this.send<T>(method, path, body === undefined ? undefined : JSON.stringify(body))).body;
  }

  /** `body` is sent byte for byte. */
  send<T>(method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<{ status: number; location: string | undefined; body: T }> {
    return new Promise((resolve, reject) => {
      const sent = httpRequest(`${this.base}${path}`, {
        method, agent: this.agent, timeout: 30_000,
        headers: { ...(this.token === null ? {} : { authorization: `Bearer ${this.token}` }), ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }), ...headers },
      }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).once('error', reject).once('end', () => {
          const status = answer.statusCode ?? 0;
          if (status < 200 || status > 299) reject(new Error(`${method} ${path}: ${status} ${text}`));
          else resolve({ status, location: answer.headers.location, body: (text === '' ? null : JSON.parse(text)) as T });
        });
      });
      sent.once('timeout', () => sent.destroy(new Error(`${method} ${path}: no answer in 30 s`)));
      sent.once('error', reject);
      sent.end(body);
    });
  }
}

/** A registry token of the administrator's for one repository. */
export async function registryToken(product: Product, repository: string, actions: string): Promise<string> {
  const answer = await fetch(`${product.ready.http}/auth/token?service=gantry-registry&scope=${encodeURIComponent(`repository:${repository}:${actions}`)}`, {
    headers: { authorization: `Basic ${Buffer.from(`admin:${product.adminPassword()}`).toString('base64')}` },
  });
  if (answer.status !== 200) throw new Error(`the token service refused: ${answer.status} ${await answer.text()}`);
  return ((await answer.json()) as { token: string }).token;
}

/** What is pushed: blobs first, then the manifest under a tag or, without one, its digest. */
export interface Parcel {
  blobs: { digest: string; bytes: Buffer }[];
  manifest: { digest: string; mediaType: string; bytes: Buffer };
  tag: string | null;
}

/** Pushes through the registry's listener. */
export async function push(product: Product, repository: string, token: string, parcel: Parcel): Promise<void> {
  const registry = `http://${product.ready.registry}`;
  const send = async (expected: number, method: string, url: string, type: string | null, bytes: Buffer | null): Promise<Response> => {
    const headers = { authorization: `Bearer ${token}`, ...(type === null ? {} : { 'content-type': type }) };
    const answer = await fetch(url, { method, headers, ...(bytes === null ? {} : { body: new Uint8Array(bytes) }) });
    const text = await answer.text();
    if (answer.status !== expected) throw new Error(`${method} ${url}: ${answer.status} ${text}`);
    return answer;
  };
  for (const blob of parcel.blobs) {
    const begun = await send(202, 'POST', `${registry}/v2/${repository}/blobs/uploads/`, null, null);
    const upload = new URL(begun.headers.get('location') ?? '', registry);
    upload.searchParams.set('digest', blob.digest);
    await send(201, 'PUT', upload.href, 'application/octet-stream', blob.bytes);
  }
  await send(201, 'PUT', `${registry}/v2/${repository}/manifests/${parcel.tag ?? parcel.manifest.digest}`, parcel.manifest.mediaType, parcel.manifest.bytes);
}

/** A Redis of our own on loopback, durable as a queue needs it (append-only file, synced every second). @returns its URL */
export async function startRedis(): Promise<string> {
  const folder = temporaryFolder();
  const [port] = await freePorts(1);
  const argv = ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '', '--maxmemory-policy', 'noeviction'];
  const child = spawn('redis-server', argv, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let output = '';
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? new Error('no redis-server: install the package redis-server, or measure with --queue default') : error));
    child.once('exit', () => resolve());
  });
  later('redis-server', async () => {
    child.kill('SIGTERM');
    await ended;
  });
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await Promise.race([
    waitFor('Redis is ready', 20, () => (output.includes('Ready to accept connections') ? true : null)),
    ended.then(() => Promise.reject(new Error(`redis-server ended: ${output}`))),
  ]);
  return `redis://127.0.0.1:${port}`;
}
