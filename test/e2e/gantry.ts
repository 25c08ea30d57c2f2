import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@gantry/platform/testing';

const root = join(__dirname, '../..');

/** What `npm start` says when it is ready (`$GANTRY_HOME/ready.json`). */
export interface Ready {
  http: string;
  engine: string;
  registry: string;
  gateway: string;
  adminPasswordFile: string;
  sampleUrl: string | null;
  seconds: Record<string, number>;
}

/** An answer of the REST API. */
export interface Answer<T = Record<string, unknown>> {
  status: number;
  headers: Headers;
  body: T;
}

/** Several ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve(server));
    })),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  return ports;
}

/** The product as a user starts it: `npm start` with a home and ports of its own. */
export class Gantry {
  private child: ChildProcess | null = null;
  private output = '';
  /** False for a start on somebody else's home. */
  private owns = true;
  ready: Ready | null = null;

  private constructor(readonly home: string, private readonly env: Record<string, string>, private readonly flags: string[]) {}

  /** Prepares a home; nothing runs yet. */
  static async prepare(options: { env?: Record<string, string>; flags?: string[] } = {}): Promise<Gantry> {
    const [http, registry, engine, sample] = await freePorts(4);
    const home = options.env?.['GANTRY_HOME'] ?? mkdtempSync(join(tmpdir(), 'gantry-e2e-'));
    const gantry = new Gantry(
      home,
      { GANTRY_HOME: home, GANTRY_HTTP_PORT: String(http), GANTRY_REGISTRY_PORT: String(registry), GANTRY_ENGINE_PORT: String(engine), GANTRY_SAMPLE_PORT: String(sample), ...options.env },
      options.flags ?? [],
    );
    gantry.owns = options.env?.['GANTRY_HOME'] === undefined;
    return gantry;
  }

  /** Starts and waits until `ready.json` is there. */
  async start(extra: Record<string, string> = {}, seconds = 240): Promise<Ready> {
    this.launch(extra);
    const file = join(this.home, 'ready.json');
    const child = this.child!;
    const seen = await eventually('ready.json is written', () => {
      if (child.exitCode !== null || child.signalCode !== null) return 'ended';
      return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Ready) : null;
    }, seconds).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.output.slice(-4000)}\n${this.log().slice(-4000)}`, { cause: error });
    });
    if (seen === 'ended') throw new Error(`npm start ended with ${child.exitCode ?? child.signalCode}:\n${this.output.slice(-4000)}\n${this.log().slice(-4000)}`);
    this.ready = seen;
    return seen;
  }

  /** Starts without waiting. */
  launch(extra: Record<string, string> = {}): void {
    // A start that was killed could not take it away.
    if (this.owns) rmSync(join(this.home, 'ready.json'), { force: true });
    const env: Record<string, string | undefined> = { ...process.env, ...this.env, ...extra };
    delete env['DOCKER_HOST'];
    delete env['NODE_OPTIONS'];
    delete env['GANTRY_TEST_POSTGRES_URL'];
    this.child = spawn(process.execPath, [join(root, 'scripts/start.mjs'), ...this.flags], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const collect = (chunk: Buffer): void => {
      this.output += chunk.toString();
    };
    this.child.stdout!.on('data', collect);
    this.child.stderr!.on('data', collect);
  }

  /** Process id of the one Node process. */
  get pid(): number {
    return this.child!.pid!;
  }

  /** Waits until it has printed this: a pipe's text may come after the file or the end that it goes with. */
  async says(pattern: RegExp, seconds = 60): Promise<void> {
    await eventually(`it prints ${pattern.source}`, () => pattern.test(this.output), seconds).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.output.slice(-4000)}`, { cause: error });
    });
  }

  /** What it printed. */
  get printed(): string {
    return this.output;
  }

  /** The application's log file. */
  log(): string {
    const file = join(this.home, 'log/gantry.log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** Waits until the process has ended, and answers its exit code or signal. */
  async ended(seconds = 120): Promise<number | string> {
    const child = this.child!;
    await eventually('the process ends', () => child.exitCode !== null || child.signalCode !== null, seconds);
    return child.exitCode ?? child.signalCode ?? 0;
  }

  /** Ctrl-C, and waits for the orderly end. */
  async stop(): Promise<number | string> {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return 0;
    this.child.kill('SIGINT');
    return this.ended();
  }

  /** kill -9 of the Node process alone. */
  async kill(): Promise<void> {
    this.child!.kill('SIGKILL');
    await this.ended();
  }

  /** Stops, ends what a killed start left behind (by a last start and stop), and removes the home. */
  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }

  /** The recovery admin's password. */
  adminPassword(): string {
    return readFileSync(this.ready!.adminPasswordFile, 'utf8').trim();
  }

  /** A REST client, signed in where a name is given. */
  async api(username?: string, password?: string): Promise<Api> {
    const api = new Api(this.ready!.http, null);
    if (username === undefined) return api;
    const session = await api.post<{ token: string }>('/api/v1/sessions', { username, password });
    if (session.status !== 201) throw new Error(`sign-in of ${username}: ${session.status} ${JSON.stringify(session.body)}`);
    return new Api(this.ready!.http, session.body.token);
  }
}

/**
 * Programs that were waited for have stopped this process: connections that were closed meanwhile must be seen as closed before another request
 * goes out on them. Whoever asks may be in the middle of a turn of the event loop: only the second turn from here on looks at all sockets.
 */
export async function catchUp(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise(setImmediate);
}

/** A thin REST client: answers status, headers and body, and throws on nothing. */
export class Api {
  constructor(readonly base: string, readonly token: string | null) {}

  async send<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer<T>> {
    await catchUp();
    const answer = await fetch(`${this.base}${path}`, {
      method,
      headers: { ...(this.token === null ? {} : { authorization: `Bearer ${this.token}` }), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    let parsed: unknown = text;
    try {
      parsed = JSON.parse(text);
    } catch {
      // an answer without a JSON body is handed out as text
    }
    return { status: answer.status, headers: answer.headers, body: parsed as T };
  }
  get<T = Record<string, unknown>>(path: string): Promise<Answer<T>> {
    return this.send('GET', path);
  }
  post<T = Record<string, unknown>>(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer<T>> {
    return this.send('POST', path, body, headers);
  }
}

/** Runs a program to its end, bounded; `input` goes to its standard input. */
export function run(file: string, argv: string[], options: { env?: Record<string, string>; input?: string; seconds?: number } = {}): { code: number | null; stdout: string; stderr: string } {
  const result = spawnSync(file, argv, { encoding: 'utf8', timeout: (options.seconds ?? 180) * 1000, killSignal: 'SIGKILL', env: { ...process.env, ...options.env }, input: options.input ?? '' });
  if (result.error) throw new Error(`${file} ${argv.join(' ')}: ${result.error.message}`);
  return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

/** The stock docker CLI with a configuration folder of its own. */
export class DockerCli {
  readonly config = mkdtempSync(join(tmpdir(), 'gantry-docker-'));
  constructor(private readonly host: string) {}

  run(argv: string[], options: { input?: string; seconds?: number } = {}): { code: number | null; stdout: string; stderr: string } {
    return run('docker', argv, { ...options, env: { DOCKER_HOST: this.host, DOCKER_CONFIG: this.config } });
  }

  /** Runs and fails loudly unless the exit code is 0; answers standard output. */
  ok(argv: string[], options: { input?: string; seconds?: number } = {}): string {
    const result = this.run(argv, options);
    if (result.code !== 0) throw new Error(`docker ${argv.join(' ')}: exit ${result.code}\n${result.stdout}${result.stderr}`);
    return result.stdout.trim();
  }

  remove(): void {
    rmSync(this.config, { recursive: true, force: true });
  }
}

/** True while a process with this id lives and is not a zombie. */
export function isAlive(pid: number): boolean {
  const file = `/proc/${pid}/stat`;
  return existsSync(file) && !/\) Z /.test(readFileSync(file, 'utf8'));
}

/** Processes whose command line or root names a folder, and mounts below it. */
export function leftovers(folder: string): string[] {
  const processes = run('ps', ['-eo', 'pid=,args=']).stdout.split('\n').filter((line) => line.includes(folder) && !line.includes('ps -eo'));
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((line) => line.includes(folder));
  return [...processes, ...mounts];
}
