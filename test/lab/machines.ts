import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { callEngine, freeSubnet, startDaemon } from './engine';
import { Machine } from './machine';
import { makePki, type LabPki, type Pem } from './pki';
import { assertRoot, binary, end, identify, isAlive, run, until, type ProcessId } from './process';

/** What `startMachines` takes. */
export interface MachinesOptions {
  dir: string;
  /** How many; the first is the swarm's manager. Default 2. */
  nodes?: number;
  /** Engines listen on TCP 2376 with mutual TLS. Default true; else they are reached through their sockets alone. */
  tls?: boolean;
}

/** One machine of the lab's network, with an engine. */
export interface LabNode {
  name: string;
  /** Its address in the lab's network; host-mode ports answer there. */
  address: string;
  socketPath: string;
  machine: Machine;
  /** The engine over mutual TLS, as `Clusters.register` takes it; null without TLS. */
  endpoint: { kind: 'tls'; host: string; port: number; ca: string; cert: string; key: string } | null;
  call: <T = unknown>(method: string, path: string, body?: unknown) => Promise<T>;
}

/** A swarm of several machines in a network of their own. */
export interface LabMachines {
  /** This machine's address in the lab's network: where to listen for what the nodes must reach. */
  uplink: string;
  nodes: LabNode[];
  pki: LabPki;
  /** A client certificate of the lab's authority. */
  client: Pem;
  /** Makes every engine trust an authority (PEM) for a registry, `host:port`. */
  trustRegistry: (host: string, ca: string) => void;
  /** Powers off and removes everything; `keep` leaves `dir`. */
  stop: (options?: { keep?: boolean }) => Promise<void>;
}

interface NetworkState {
  switch: ProcessId;
  uplink: string;
}

/**
 * Machines in network namespaces on one switch, itself in a namespace so that no rule of this machine's firewall meets their frames:
 *
 *     here <uplink>.1 == veth == [switch: bridge] == veth == eth0 <node>.11, .12, …
 *
 * Overlay networks work between them (VXLAN). Kernels without IPVS have no virtual IPs and no routing mesh: use `dnsrr` and host-mode ports.
 */
export async function startMachines(options: MachinesOptions): Promise<LabMachines> {
  assertRoot();
  const { dir, nodes: count = 2, tls = true } = options;
  mkdirSync(dir, { recursive: true });
  const stop = async ({ keep = false } = {}): Promise<void> => {
    await takeDownMachines(dir, count);
    if (!keep) rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  };
  await takeDownMachines(dir, count);
  try {
    const pki = await makePki();
    const client = await pki.client('gantry');
    const network = await makeNetwork(dir);
    const nodes = await Promise.all(Array.from({ length: count }, (_, index) => startNode(dir, index, network, tls, pki, client)));
    await makeSwarm(nodes);
    const trustRegistry = (host: string, ca: string): void => {
      for (const node of nodes) {
        const certs = join(node.machine.dir, 'etc-docker/certs.d', host);
        mkdirSync(certs, { recursive: true });
        writeFileSync(join(certs, 'ca.crt'), ca);
      }
    };
    return { uplink: `${network.prefix}.1`, nodes, pki, client, trustRegistry, stop };
  } catch (error) {
    await stop({ keep: true });
    throw error;
  }
}

/** Powers off the machines of a directory and takes their network down, from whatever process. Safe to repeat. */
export async function takeDownMachines(dir: string, count = 16): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, index) => Machine.takeDown(join(dir, nodeName(index)))));
  const file = join(dir, 'network.json');
  if (!existsSync(file)) return;
  const state = JSON.parse(readFileSync(file, 'utf8')) as NetworkState;
  await end(state.switch);
  // With the switch's namespace its end of the uplink goes, and this end with it, though not at once.
  await until('the uplink is gone', 10, () => !existsSync(`/sys/class/net/${state.uplink}`)).catch(() => run(binary('ip'), ['link', 'del', state.uplink]));
  rmSync(file);
}

const nodeName = (index: number): string => `node${index + 1}`;

interface Network {
  prefix: string;
  switchPid: number;
}

async function makeNetwork(dir: string): Promise<Network> {
  const prefix = (await freeSubnet(24)).replace(/\.0\/24$/, '');
  const uplink = `gl${createHash('sha256').update(dir).digest('hex').slice(0, 10)}u`;
  const holder = spawn(binary('unshare'), ['--net', '--', binary('sleep'), 'infinity'], { stdio: 'ignore', detached: true, cwd: '/' });
  holder.unref();
  const id = holder.pid === undefined ? null : identify(holder.pid);
  if (!id) throw new Error('unshare did not start');
  const state: NetworkState = { switch: id, uplink };
  writeFileSync(join(dir, 'network.json'), JSON.stringify(state));
  const ip = binary('ip');
  const inSwitch = (...args: string[]): Promise<string> => run(binary('nsenter'), ['--target', String(id.pid), '--net', '--', ...args]);
  const own = await run('readlink', ['/proc/self/ns/net']);
  await until('the switch has a network of its own', 60, async () => isAlive(id) && (await run('readlink', [`/proc/${id.pid}/ns/net`])) !== own);
  await run(ip, ['link', 'add', uplink, 'type', 'veth', 'peer', 'name', 'up0', 'netns', String(id.pid)]);
  await run(ip, ['addr', 'add', `${prefix}.1/24`, 'dev', uplink]);
  await run(ip, ['link', 'set', uplink, 'up']);
  await inSwitch(ip, 'link', 'add', 'br0', 'type', 'bridge');
  // Frames between machines must not meet iptables, where this kernel would make them.
  await inSwitch('sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=0').catch(() => 'no bridge filter');
  await inSwitch(ip, 'link', 'set', 'up0', 'master', 'br0');
  await inSwitch(ip, 'link', 'set', 'up0', 'up');
  await inSwitch(ip, 'link', 'set', 'br0', 'up');
  return { prefix, switchPid: id.pid };
}

async function startNode(dir: string, index: number, network: Network, tls: boolean, pki: LabPki, client: Pem): Promise<LabNode> {
  const name = nodeName(index);
  const address = `${network.prefix}.${11 + index}`;
  const machine = await Machine.start({ dir: join(dir, name), name, network: 'own' });
  const ip = binary('ip');
  const cable = `p${index}`;
  await run(binary('nsenter'), ['--target', String(network.switchPid), '--net', '--', ip, 'link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(machine.initPid)]);
  for (const args of [['link', 'set', cable, 'master', 'br0'], ['link', 'set', cable, 'up']]) await run(binary('nsenter'), ['--target', String(network.switchPid), '--net', '--', ip, ...args]);
  for (const args of [['link', 'set', 'lo', 'up'], ['addr', 'add', `${address}/24`, 'dev', 'eth0'], ['link', 'set', 'eth0', 'up'], ['route', 'add', 'default', 'via', `${network.prefix}.1`]]) await machine.run(ip, args);
  const args: string[] = [];
  if (tls) {
    const server = await pki.server(name, [address, name]);
    const file = (path: string, text: string): string => {
      const full = join(machine.dir, path);
      writeFileSync(full, text, { mode: 0o600 });
      return full;
    };
    args.push('-H', 'tcp://0.0.0.0:2376', '--tlsverify', '--tlscacert', file('ca.pem', pki.ca), '--tlscert', file('server.pem', server.cert), '--tlskey', file('server.key', server.key));
  }
  const socketPath = join(machine.dir, 'docker.sock');
  await startDaemon(machine, socketPath, args);
  return {
    name,
    address,
    socketPath,
    machine,
    endpoint: tls ? { kind: 'tls', host: address, port: 2376, ca: pki.ca, ...client } : null,
    call: (method, path, body) => callEngine(socketPath, method, path, body),
  };
}

async function makeSwarm(nodes: LabNode[]): Promise<void> {
  const [first, ...others] = nodes;
  if (!first) return;
  const pool = await freeSubnet(16);
  await first.call('POST', '/swarm/init', { ListenAddr: `${first.address}:2377`, AdvertiseAddr: first.address, DefaultAddrPool: [pool], SubnetSize: 24, Spec: { Dispatcher: { HeartbeatPeriod: 1_000_000_000 } } });
  const swarm = await first.call<{ JoinTokens: { Worker: string } }>('GET', '/swarm');
  await Promise.all(others.map((node) => node.call('POST', '/swarm/join', { ListenAddr: `${node.address}:2377`, AdvertiseAddr: node.address, RemoteAddrs: [`${first.address}:2377`], JoinToken: swarm.JoinTokens.Worker })));
  await until('all nodes are ready', 120, async () => (await first.call<{ Status: { State: string } }[]>('GET', '/nodes')).filter((node) => node.Status.State === 'ready').length === nodes.length);
}
