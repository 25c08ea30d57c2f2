import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { Machine } from './machine';
import type { Generation } from './newer';
import { binary, freePort, Hopeless, run, until } from './process';

/** What `startEngine` takes. */
export interface EngineOptions {
  /** Data, socket and log; kept short, since a socket's path has at most 107 characters. */
  dir: string;
  /** Host name of the node. Default `lab-engine`. */
  name?: string;
  /** Make it a swarm of one (default). */
  swarm?: boolean;
  /** A bridge of its own, so that containers have a network and host-mode ports answer on 127.0.0.1. Default true. */
  bridge?: boolean;
  /** More arguments for dockerd. */
  args?: string[];
  /** Another generation's programs in place of the system's (newer.ts). */
  generation?: Generation;
}

/** A real engine that this process started. */
export interface LabEngine {
  socketPath: string;
  dir: string;
  /** dockerd's pid as seen from here. */
  pid: number;
  machine: Machine;
  /** One bare request to the engine, for oracles. */
  call: <T = unknown>(method: string, path: string, body?: unknown) => Promise<T>;
  /** Kills it with all that runs on it. Removes `dir` unless `keep`. */
  stop: (options?: { keep?: boolean }) => Promise<void>;
}

/** One bare HTTP request to an engine's socket; throws on a status of 400 or more. Bodies that are buffers are sent as tar. */
export function callEngine<T = unknown>(socketPath: string, method: string, path: string, body?: unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const headers = data ? { 'content-type': Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json', 'content-length': String(data.length) } : {};
    const sent = request({ socketPath, method, path, headers, timeout: 120_000, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if ((response.statusCode ?? 500) >= 400) return reject(new Error(`${method} ${path}: ${response.statusCode} ${text.trim()}`));
        try {
          resolve(JSON.parse(text) as T);
        } catch {
          resolve(text as T);
        }
      });
    });
    sent.on('timeout', () => sent.destroy(new Error(`${method} ${path}: no answer in 120 s`)));
    sent.on('error', reject);
    sent.end(data);
  });
}

/**
 * Starts one real dockerd with its own containerd, data, /run and cgroups in the network of this machine, by default as a swarm of one on
 * loopback. It changes no iptables rule. Started again on a kept directory, it finds its data.
 */
export async function startEngine(options: EngineOptions): Promise<LabEngine> {
  const { dir } = options;
  mkdirSync(dir, { recursive: true });
  const machine = await Machine.start({ dir, name: options.name ?? 'lab-engine', network: 'host' });
  const socketPath = join(dir, 'docker.sock');
  const stop = async ({ keep = false } = {}): Promise<void> => {
    const isLinkOf = await linksOf(socketPath);
    await machine.kill();
    for (const link of readdirSync('/sys/class/net').filter(isLinkOf)) await run(binary('ip'), ['link', 'del', link]).catch(() => 'gone already');
    if (!keep) rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    machine.ownLink(linkName(machine, 'g'));
    const network = options.bridge === false ? ['--bridge=none'] : [`--bridge=${await ownBridge(machine)}`];
    const noRules = ['--iptables=false', ...(options.generation ? ['--ip6tables=false'] : []), '--ip-forward=false', '--ip-masq=false'];
    const pid = await startDaemon(machine, socketPath, [...noRules, ...network, ...(options.args ?? [])], options.generation);
    if (options.swarm !== false) await ensureSwarm(machine, socketPath);
    return { socketPath, dir, pid, machine, call: (method, path, body) => callEngine(socketPath, method, path, body), stop };
  } catch (error) {
    await stop({ keep: true });
    throw error;
  }
}

/** Tells which links are of the engine's networks: of an engine that is killed they stay, with the addresses that they take from the next one. */
async function linksOf(socketPath: string): Promise<(link: string) => boolean> {
  const networks = await callEngine<{ Id: string; Driver: string }[]>(socketPath, 'GET', '/networks').catch(() => []);
  const bridges = new Set(networks.filter(({ Driver }) => Driver === 'bridge').map(({ Id }) => `br-${Id.slice(0, 12)}`));
  const overlays = new Set(networks.filter(({ Driver }) => Driver === 'overlay').map(({ Id }) => Id.slice(0, 5)));
  return (link) => bridges.has(link) || overlays.has(/^vx-[0-9a-f]{6}-([0-9a-z]{5})$/.exec(link)?.[1] ?? '');
}

/** Starts dockerd, the system's or another generation's, in a machine and waits until it answers. */
export async function startDaemon(machine: Machine, socketPath: string, args: string[], generation?: Generation): Promise<number> {
  rmSync(socketPath, { force: true });
  const settings = join(machine.dir, 'etc-docker/daemon.json');
  if (!existsSync(settings)) writeFileSync(settings, '{}');
  const pid = await machine.spawn(
    generation ? join(generation.programs[0]!, 'dockerd') : binary('dockerd'),
    [
      '-H', `unix://${socketPath}`, '--data-root', join(machine.dir, 'data'), '--config-file', settings,
      '--cgroup-parent', machine.cgroupParent, '--exec-opt', 'native.cgroupdriver=cgroupfs', '--shutdown-timeout', '2', '--group', '0', ...args,
    ],
    'dockerd.log',
    generation?.programs,
  );
  const tail = (): string => readFileSync(join(machine.dir, 'dockerd.log'), 'utf8').split('\n').slice(-8).join('\n');
  await until('dockerd answers', 120, async () => {
    if (!existsSync(`/proc/${pid}`)) throw new Hopeless(`dockerd ended: ${tail()}`);
    return callEngine(socketPath, 'GET', '/_ping');
  });
  return pid;
}

async function ensureSwarm(machine: Machine, socketPath: string): Promise<void> {
  const info = await callEngine<{ Swarm?: { LocalNodeState?: string } }>(socketPath, 'GET', '/info');
  if (info.Swarm?.LocalNodeState !== 'inactive') {
    await until('the swarm is in order', 120, async () => (await callEngine<{ Swarm?: { ControlAvailable?: boolean } }>(socketPath, 'GET', '/info')).Swarm?.ControlAvailable);
    return;
  }
  // Swarm's gateway bridge is found by its network's name: made before, its link has a name of our own, so that engines do not meet on it.
  const subnet = await freeSubnet(24);
  await callEngine(socketPath, 'POST', '/networks/create', {
    Name: 'docker_gwbridge',
    Driver: 'bridge',
    Options: { 'com.docker.network.bridge.name': linkName(machine, 'g'), 'com.docker.network.bridge.enable_icc': 'false' },
    IPAM: { Config: [{ Subnet: subnet, Gateway: gatewayOf(subnet) }] },
  });
  await callEngine(socketPath, 'POST', '/swarm/init', {
    ListenAddr: `127.0.0.1:${await freePort()}`,
    AdvertiseAddr: '127.0.0.1',
    // Engines in one network namespace must not meet on the default port of the overlay.
    DataPathPort: 20_000 + Math.floor(Math.random() * 20_000),
    DefaultAddrPool: [await freeSubnet(16)],
    SubnetSize: 24,
  });
}

/** Makes a bridge with an unused /24 for containers that ask for no other network; answers its name. */
async function ownBridge(machine: Machine): Promise<string> {
  const name = linkName(machine, 'b');
  machine.ownLink(name);
  await run(binary('ip'), ['link', 'add', name, 'type', 'bridge']);
  await run(binary('ip'), ['addr', 'add', `${gatewayOf(await freeSubnet(24))}/24`, 'dev', name]);
  await run(binary('ip'), ['link', 'set', name, 'up']);
  return name;
}

/** The same for the same directory, so that an engine started again finds its links; at most 15 characters. */
function linkName(machine: Machine, suffix: string): string {
  return `gl${createHash('sha256').update(machine.dir).digest('hex').slice(0, 10)}${suffix}`;
}

function gatewayOf(subnet: string): string {
  return subnet.replace(/\.0\/24$/, '.1');
}

/** A range of private addresses (`10.x.0.0/16` or `10.x.y.0/24`) to which no route leads yet. */
export async function freeSubnet(bits: 16 | 24): Promise<string> {
  const routes = await run(binary('ip'), ['-4', 'route', 'show', 'table', 'all']);
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const second = 64 + Math.floor(Math.random() * 128);
    const third = Math.floor(Math.random() * 256);
    if (!routes.includes(`10.${second}.`)) return bits === 16 ? `10.${second}.0.0/16` : `10.${second}.${third}.0/24`;
  }
  throw new Error('no free range of addresses in 10.64.0.0/10 or above');
}
