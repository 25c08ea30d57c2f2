import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { eventually } from '@gantry/platform/testing';
import { savedImage, webImage } from '../lab';
import { catchUp, run, type Api, type DockerCli, type Gantry } from './gantry';

/** What is in a person's client bundle, by name. */
export async function bundleFiles(api: Api, cluster?: string): Promise<Record<string, Uint8Array>> {
  await catchUp();
  const answer = await fetch(`${api.base}/api/v1/me/bundle${cluster === undefined ? '' : `?cluster=${cluster}`}`, { headers: { authorization: `Bearer ${api.token}` } });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/zip']);
  return unzipSync(Buffer.from(await answer.arrayBuffer()));
}

/** A docker CLI, of whatever generation, that is told by its own settings alone where to go. */
export class Client {
  /** DOCKER_CERT_PATH: what the client believes and, where it has a certificate, shows. */
  readonly folder = mkdtempSync(join(tmpdir(), 'gantry-client-'));
  /** DOCKER_CONFIG */
  readonly config = mkdtempSync(join(tmpdir(), 'gantry-docker-'));
  readonly env: Record<string, string>;

  /**
   * @param files of a bundle that it has
   * @param settings its config.json
   * @param program path of the CLI; that of PATH unless given
   */
  constructor(host: string, files: Record<string, Uint8Array>, readonly program = 'docker', settings: object = {}) {
    for (const [name, bytes] of Object.entries(files)) {
      const file = join(this.folder, name);
      mkdirSync(dirname(file), { recursive: true });
      if (!name.endsWith('/')) writeFileSync(file, bytes, { mode: 0o600 });
    }
    writeFileSync(join(this.config, 'config.json'), JSON.stringify(settings), { mode: 0o600 });
    this.env = { DOCKER_HOST: host, DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: this.folder, DOCKER_CONFIG: this.config };
  }

  run(argv: string[], options: { input?: string; env?: Record<string, string>; seconds?: number } = {}): { code: number | null; stdout: string; stderr: string } {
    return run(this.program, argv, { ...options, env: { ...this.env, ...options.env } });
  }

  ok(...argv: string[]): string {
    const result = this.run(argv);
    if (result.code !== 0) throw new Error(`${this.program} ${argv.join(' ')}: exit ${result.code}\n${result.stdout}${result.stderr}`);
    return result.stdout.trim();
  }

  /** What the CLI says where it fails. */
  refused(...argv: string[]): string {
    const result = this.run(argv);
    expect([argv.join(' '), result.code]).not.toEqual([argv.join(' '), 0]);
    return result.stderr;
  }

  /** Begins something that lasts. */
  begin(...argv: string[]): Lasting {
    return this.beginWith({}, ...argv);
  }

  /** The same with more in its environment. */
  beginWith(env: Record<string, string>, ...argv: string[]): Lasting {
    return new Lasting(this.program, argv, { ...this.env, ...env });
  }

  login(registry: string, username: string, password: string): void {
    const { stdout, stderr } = this.run(['login', '-u', username, '--password-stdin', registry], { input: password });
    if (!stdout.includes('Login Succeeded')) throw new Error(`docker login: ${stdout}${stderr}`);
  }

  remove(): void {
    for (const folder of [this.folder, this.config]) rmSync(folder, { recursive: true, force: true });
  }
}

/** A program that goes on until something ends it. */
export class Lasting {
  private readonly child;
  out = '';
  err = '';

  constructor(program: string, argv: string[], env: Record<string, string>) {
    this.child = spawn(program, argv, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.on('data', (chunk: Buffer) => (this.out += chunk.toString()));
    this.child.stderr.on('data', (chunk: Buffer) => (this.err += chunk.toString()));
  }

  /** Waits until it has said something. */
  async says(text: string, seconds = 120): Promise<void> {
    await eventually(`it says ${text}`, () => this.out.includes(text), seconds).catch((error: Error) => {
      throw new Error(`${error.message}; it said:\n${this.out}${this.err}`, { cause: error });
    });
  }

  async ended(seconds = 120): Promise<void> {
    await eventually('it has ended', () => this.child.exitCode !== null || this.child.signalCode !== null, seconds);
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.child.kill(signal);
  }
}

/** The people and things that tests of clients need: ann and bob, members of acme, who may use the clusters in `/floor`; `acme/web:one`, pushed. */
export async function furnish(gantry: Gantry, raw: DockerCli, clusters: string[] = ['local']): Promise<{ admin: Api; ann: Api; bob: Api; image: string; password: (name: string) => string }> {
  const { registry } = gantry.ready!;
  const admin = await gantry.api('admin', gantry.adminPassword());
  const password = (name: string): string => `${name} has a long password`;
  const made = async (path: string, body: unknown): Promise<void> => {
    const { status, body: answer } = await admin.post(path, body);
    if (status !== 201) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
  };
  for (const name of ['ann', 'bob']) await made('/api/v1/users', { name, password: password(name) });
  await made('/api/v1/organizations', { name: 'acme' });
  expect((await admin.send('PUT', '/api/v1/organizations/acme/members/ann', { role: 'member' })).status).toBe(200);
  await made('/api/v1/repositories', { namespace: 'acme', name: 'web' });
  await made('/api/v1/collections', { name: 'floor', parent: '/' });
  for (const cluster of clusters) expect((await admin.send('PUT', `/api/v1/placements/cluster/${cluster}`, { collection: '/floor' })).status).toBe(200);
  for (const subject of ['ann', 'bob']) await made('/api/v1/grants', { subject, role: 'viewonly', collection: '/floor' });
  const image = `${registry}/acme/web:one`;
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-image-'));
  try {
    raw.ok(['login', '-u', 'admin', '--password-stdin', registry], { input: gantry.adminPassword() });
    writeFileSync(join(scratch, 'image.tar'), await savedImage(await webImage({ version: 'one', behaviour: 'ok' }), image));
    raw.ok(['load', '-q', '-i', join(scratch, 'image.tar')]);
    raw.ok(['push', image]);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return { admin, ann: await gantry.api('ann', password('ann')), bob: await gantry.api('bob', password('bob')), image, password };
}

/** Newest version of the Engine API that a CLI speaks, as minor number. */
export function newestOf(program: string): number {
  // Without an engine the command fails, after it has told of itself.
  const { stdout } = spawnSync(program, ['version', '--format', '{{.Client.DefaultAPIVersion}}'], { encoding: 'utf8', timeout: 120_000, env: { PATH: process.env['PATH'] ?? '', DOCKER_HOST: 'unix:///nowhere' } });
  const minor = /^1\.(\d+)/.exec(stdout)?.[1];
  if (minor === undefined) throw new Error(`${program} does not tell its API version: ${stdout}`);
  return Number(minor);
}
