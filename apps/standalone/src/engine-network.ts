import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, renameSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from './proc';
import { StartError } from './start-error';

/**
 * What an engine of our own takes from the machine's one network stack, chosen once per home so that several homes get
 * along: the engine's usual names and addresses (docker0, docker_gwbridge, port 7946, VXLAN port 4789) exist only once.
 */
export interface EngineNetwork {
  /** Bridge of `docker run`, in place of docker0. */
  bridge: string;
  bridgeAddress: string;
  /** Bridge through which swarm tasks reach out and publish ports, in place of docker_gwbridge. */
  gateway: string;
  gatewaySubnet: string;
  /** Where the one-node swarm listens: all of 127.0.0.0/8 is this machine's loopback. */
  swarmAddress: string;
  /** UDP port of overlay networks; the kernel refuses the same VXLAN id twice on one port. */
  dataPathPort: number;
}

/** Derives names and addresses from the home's path, avoiding the subnets that the machine already routes. */
export function chooseNetwork(home: string, routedNetworks: readonly string[]): EngineNetwork {
  const hash = createHash('sha256').update(home).digest();
  const tag = hash.toString('hex').slice(0, 8);
  const byte = (index: number): number => hash[index] ?? 0;
  const taken = new Set(routedNetworks.map((network) => network.split('.').slice(0, 2).join('.')));
  const candidates = Array.from({ length: 15 }, (_, index) => `172.${17 + ((byte(8) + index) % 15)}`);
  const prefix = candidates.find((candidate) => !taken.has(candidate));
  if (prefix === undefined) throw new StartError('all of 172.17.0.0/16 to 172.31.0.0/16 is in use on this machine; an engine of our own finds no addresses: start one yourself and set DOCKER_HOST');
  return {
    bridge: `gty${tag}b`,
    bridgeAddress: `${prefix}.0.1/20`,
    gateway: `gty${tag}g`,
    gatewaySubnet: `${prefix}.16.0/20`,
    swarmAddress: `127.${64 + (byte(9) % 64)}.${byte(10)}.${1 + (byte(11) % 254)}`,
    dataPathPort: 20_000 + ((byte(12) * 256 + byte(13)) % 12_000),
  };
}

/** Destinations of `/proc/net/route` as dotted addresses; the default route is left out. */
export function parseRoutes(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t')[1] ?? '')
    .filter((hex) => /^[0-9A-F]{8}$/.test(hex) && hex !== '00000000')
    .map((hex) => (hex.match(/../g) ?? []).reverse().map((pair) => Number.parseInt(pair, 16)).join('.'));
}

/** The settings of the machine that a Docker engine changes and doesn't put back. */
interface HostState {
  ipForward: string;
  forwardPolicy: string;
}

/**
 * Kept per machine, not per home: the last engine of ours to stop puts back what the first one met. In /run, since a
 * reboot puts it back too.
 */
const hostStateFile = '/run/gantry-network.json';

/** Held while an engine of ours starts or its traces are removed: rules that one removes, another may be about to use. */
export const engineNetworkLock = '/run/gantry-network.lock';
const ipForwardFile = '/proc/sys/net/ipv4/ip_forward';

/** Sets up, and takes back, what an engine of our own has on the machine's network. */
export class EngineNetworking {
  private readonly file: string;
  /** The names and addresses of this home. */
  readonly network: EngineNetwork;

  constructor(
    home: string,
    folder: string,
    private readonly programs: { ip: string; iptables: string },
  ) {
    this.file = join(folder, 'network.json');
    this.network = existsSync(this.file)
      ? (JSON.parse(readFileSync(this.file, 'utf8')) as EngineNetwork)
      : chooseNetwork(home, parseRoutes(readFileSync('/proc/net/route', 'utf8')));
  }

  /** Before the engine starts: makes the bridge, and remembers what the engine will change, unless another one's rules are there. */
  setUp(): void {
    const { bridge, bridgeAddress } = this.network;
    replaceFile(this.file, this.network);
    if (!existsSync(hostStateFile) && !this.listRules('filter').includes('-N DOCKER')) {
      replaceFile(hostStateFile, { ipForward: readFileSync(ipForwardFile, 'utf8').trim(), forwardPolicy: this.readForwardPolicy() });
    }
    if (hasLink(bridge)) return;
    this.run(this.programs.ip, ['link', 'add', 'name', bridge, 'type', 'bridge']);
    this.run(this.programs.ip, ['address', 'add', bridgeAddress, 'dev', bridge]);
    this.run(this.programs.ip, ['link', 'set', bridge, 'up']);
  }

  /** After the engine has ended: removes its bridges and rules; where no other engine has rules, also what all engines share. */
  takeDown(otherBridges: readonly string[]): void {
    const bridges = [this.network.bridge, this.network.gateway, ...otherBridges];
    for (const table of ['filter', 'nat']) this.deleteRules(table, (rule) => bridges.some((bridge) => rule.includes(bridge)));
    for (const bridge of bridges.filter(hasLink)) this.run(this.programs.ip, ['link', 'delete', bridge]);
    if (!existsSync(hostStateFile) || usesSharedChains(this.listRules('filter'))) return;
    const before = JSON.parse(readFileSync(hostStateFile, 'utf8')) as HostState;
    this.removeSharedRules();
    this.run(this.programs.iptables, ['-w', '10', '-P', 'FORWARD', before.forwardPolicy]);
    writeFileSync(ipForwardFile, before.ipForward);
    unlinkSync(hostStateFile);
  }

  private removeSharedRules(): void {
    for (const table of ['filter', 'nat']) {
      const rules = this.listRules(table);
      const chains = rules.map((rule) => /^-N (DOCKER(?:-[A-Z0-9-]+)?)$/.exec(rule)?.[1]).filter((chain) => chain !== undefined);
      // a DOCKER-USER chain with rules of the owner's stays
      const kept = rules.some((rule) => rule.startsWith('-A DOCKER-USER ') && rule !== '-A DOCKER-USER -j RETURN') ? ['DOCKER-USER'] : [];
      const removed = chains.filter((chain) => !kept.includes(chain));
      this.deleteRules(table, (rule) => removed.some((chain) => rule.endsWith(` -j ${chain}`)));
      for (const chain of removed) this.run(this.programs.iptables, ['-w', '10', '-t', table, '-F', chain]);
      for (const chain of removed) this.run(this.programs.iptables, ['-w', '10', '-t', table, '-X', chain]);
    }
  }

  private deleteRules(table: string, matches: (rule: string) => boolean): void {
    for (const rule of this.listRules(table)) {
      // words with spaces are quoted by iptables -S; the engine's rules have none
      if (rule.startsWith('-A ') && !rule.includes('"') && matches(rule)) {
        this.run(this.programs.iptables, ['-w', '10', '-t', table, '-D', ...rule.split(' ').slice(1)]);
      }
    }
  }

  private listRules(table: string): string[] {
    return this.run(this.programs.iptables, ['-w', '10', '-t', table, '-S']).split('\n');
  }

  private readForwardPolicy(): string {
    return this.listRules('filter').map((rule) => /^-P FORWARD (\w+)$/.exec(rule)?.[1]).find((policy) => policy !== undefined) ?? 'ACCEPT';
  }

  private run(file: string, args: string[]): string {
    const { status, stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8', env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } });
    if (error ?? status !== 0) throw new StartError(`an engine of our own can't be set up: "${file} ${args.join(' ')}" says: ${error?.message ?? stderr.trim()}; start an engine yourself and set DOCKER_HOST`);
    return stdout;
  }
}

function hasLink(name: string): boolean {
  return existsSync(`/sys/class/net/${name}`);
}

/** Whether, of the rules in the form of `iptables -S`, one still ties a bridge to the chains that Docker engines share. */
export function usesSharedChains(rules: readonly string[]): boolean {
  return rules.some((rule) => / -[io] \S/.test(rule) && (/^-A FORWARD .* -j DOCKER/.test(rule) || rule.startsWith('-A DOCKER')));
}

function replaceFile(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, JSON.stringify(value), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** Removes the empty control groups that a killed engine leaves, in every hierarchy. */
export function removeControlGroups(parent: string): void {
  const root = '/sys/fs/cgroup';
  if (!existsSync(root)) return;
  for (const hierarchy of ['.', ...readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name)]) {
    const top = join(root, hierarchy, parent);
    if (existsSync(top)) removeEmptyTree(top);
  }
}

function removeEmptyTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmptyTree(join(folder, entry.name));
  }
  try {
    rmdirSync(folder); // the kernel's own files in it don't count
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'EBUSY')) throw error; // just removed, or its last process is still being reaped: the next stop gets it
  }
}
