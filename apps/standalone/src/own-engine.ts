import { createHash } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Child, Children, ChildSpec } from './children';
import { callEngine, getEngineInfo, messageOf, probeEngine, type EngineEndpoint } from './engine-api';
import { EngineNetworking, engineNetworkLock, removeControlGroups } from './engine-network';
import { withLock } from './lock';
import { listProcesses } from './proc';
import { StartError } from './start-error';
import { findProgram } from './system-packages';

/** What an engine of our own needs to be told. */
export interface OwnEngineOptions {
  home: string;
  /** Address on which containers publish their ports. */
  bind: string;
  path: string;
  proxyEnv: Readonly<Record<string, string>>;
}

/** unix(7): a socket's path has at most 107 bytes; containerd's is the longest below the engine's run folder. */
const longestSocketPath = 107;
const longestSocketBelowRun = '/containerd/containerd-debug.sock.ttrpc';

/**
 * Runs inside the engine's own mount and process namespaces. It hides the fixed paths that engines would share
 * (/run/containerd, /run/docker, and /etc/docker with the engine's identity), then becomes the engine under an init that
 * reaps what containers leave. The namespaces are why nothing can be left behind: when the init ends, the kernel ends
 * every process and undoes every mount of theirs.
 */
const initScript = `#!/bin/sh
set -eu
ulimit -c 0
etc=$1
shift
mount -t tmpfs -o mode=711 tmpfs /run/containerd
mount -t tmpfs -o mode=711 tmpfs /run/docker
if [ -d /etc/docker/certs.d ]; then
  mkdir -p "$etc/certs.d"
  mount --bind /etc/docker/certs.d "$etc/certs.d"
fi
mount --rbind "$etc" /etc/docker
exec "$@"
`;

/** A Docker engine below GANTRY_HOME, for machines where none runs and no service manager could start one. */
export class OwnEngine {
  readonly endpoint: EngineEndpoint;
  private readonly folder: string;
  private readonly runFolder: string;
  private readonly socket: string;
  private readonly controlGroup: string;
  private readonly networking: EngineNetworking;

  constructor(
    private readonly options: OwnEngineOptions,
    private readonly children: Children,
  ) {
    if (process.getuid?.() !== 0) throw new StartError('an engine of our own needs root; run "npm start" as root, or set DOCKER_HOST to an engine that you may use');
    this.folder = join(options.home, 'engine');
    const tag = createHash('sha256').update(options.home).digest('hex').slice(0, 12);
    const isShort = Buffer.byteLength(join(this.folder, 'run') + longestSocketBelowRun) <= longestSocketPath;
    // a socket's path is short by the kernel's rule, a home's needn't be
    this.runFolder = isShort ? join(this.folder, 'run') : `/run/gantry-${tag}`;
    this.socket = isShort ? join(this.folder, 'docker.sock') : join(this.runFolder, 'docker.sock');
    this.controlGroup = `gantry-${tag}`;
    this.endpoint = { host: `unix://${this.socket}` };
    mkdirSync(this.folder, { recursive: true, mode: 0o711 });
    this.networking = new EngineNetworking(options.home, this.folder, { ip: this.program('ip'), iptables: this.program('iptables') });
  }

  /** Starts the engine, or adopts the one that a killed run left, with a swarm of one node in it. */
  async start(): Promise<Child> {
    const spec = this.spec();
    const isRunning = this.children.hasOrphan(spec.name) && (await probeEngine(this.endpoint)) === null;
    if (!isRunning) {
      await this.children.endOrphan(spec);
      this.clearRunState();
    }
    this.prepareFiles();
    return withLock(engineNetworkLock, 120, async () => {
      this.networking.setUp();
      const child = await this.children.start(spec);
      await this.children.waitReady(child, 60, async () => (await probeEngine(this.endpoint)) === null);
      await this.ensureSwarm(child);
      return child;
    });
  }

  /** Ends the engine with all its containers, and takes back what it had on the machine. */
  async stop(): Promise<void> {
    const otherBridges = await this.listBridges();
    await this.children.stop('engine');
    this.clearRunState();
    removeControlGroups(this.controlGroup);
    await withLock(engineNetworkLock, 120, () => this.networking.takeDown(otherBridges));
  }

  private spec(): ChildSpec {
    const script = join(this.folder, 'init.sh');
    const init = findProgram(['docker-init', 'tini'], this.options.path);
    return {
      name: 'engine',
      file: this.program('unshare'),
      args: [
        ...['--mount', '--propagation', 'slave', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc', '/bin/sh', script, join(this.folder, 'etc')],
        ...(init === null ? [] : [init, '--']),
        this.program('dockerd'),
        ...['--config-file', join(this.folder, 'daemon.json'), '--data-root', join(this.folder, 'data'), '--exec-root', this.runFolder],
        ...['--pidfile', join(this.runFolder, 'docker.pid'), '-H', this.endpoint.host, '--cgroup-parent', `/${this.controlGroup}`],
        ...['--exec-opt', 'native.cgroupdriver=cgroupfs', '--bridge', this.networking.network.bridge, '--ip', publishAddress(this.options.bind)],
      ],
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: this.folder, ...this.options.proxyEnv },
      cwd: this.folder,
      ownArgument: script,
      // unshare waits for its child and passes no signal on; a daemon that stops by itself stops its containers first
      stop: { signal: 'SIGTERM', graceSeconds: 25, findTarget: findDaemon },
      adopt: true,
    };
  }

  private prepareFiles(): void {
    for (const folder of ['/run/containerd', '/run/docker', '/etc/docker']) mkdirSync(folder, { recursive: true, mode: 0o755 });
    mkdirSync(join(this.folder, 'etc'), { recursive: true, mode: 0o755 });
    mkdirSync(this.runFolder, { recursive: true, mode: 0o700 });
    replaceFile(join(this.folder, 'daemon.json'), '{}\n');
    replaceFile(join(this.folder, 'init.sh'), initScript);
  }

  // A pid file of an earlier process namespace names some process of the new one, and the engine would refuse to start.
  private clearRunState(): void {
    rmSync(this.runFolder, { recursive: true, force: true });
    rmSync(this.socket, { force: true });
  }

  private async ensureSwarm(child: Child): Promise<void> {
    const { network } = this.networking;
    const info = await getEngineInfo(this.endpoint);
    if (info.swarmState === 'inactive') {
      await this.ensureGatewayNetwork();
      const answer = await callEngine(this.endpoint, 'POST', '/swarm/init', {
        ListenAddr: `${network.swarmAddress}:2377`,
        AdvertiseAddr: network.swarmAddress,
        DataPathPort: network.dataPathPort,
      });
      if (answer.status !== 200) throw new StartError(`the engine can't make a swarm: ${messageOf(answer)}`);
    }
    // after a restart the manager needs a moment until it leads again
    await this.children.waitReady(child, 30, async () => (await callEngine(this.endpoint, 'GET', '/nodes')).status === 200);
  }

  /** Swarm uses a network of this name when there is one; made by the engine itself, every engine's would have the same bridge. */
  private async ensureGatewayNetwork(): Promise<void> {
    const { network } = this.networking;
    const found = await callEngine(this.endpoint, 'GET', '/networks/docker_gwbridge');
    if (found.status === 200) return;
    const answer = await callEngine(this.endpoint, 'POST', '/networks/create', {
      Name: 'docker_gwbridge',
      Driver: 'bridge',
      CheckDuplicate: true,
      IPAM: { Config: [{ Subnet: network.gatewaySubnet }] },
      Options: {
        'com.docker.network.bridge.name': network.gateway,
        'com.docker.network.bridge.enable_icc': 'false',
        'com.docker.network.bridge.enable_ip_masquerade': 'true',
        'com.docker.network.bridge.host_binding_ipv4': publishAddress(this.options.bind),
      },
    });
    if (answer.status !== 201) throw new StartError(`the engine can't make its gateway network: ${messageOf(answer)}`);
  }

  /** The bridges of networks that were made in the engine; it names them after the network's id and leaves them behind. */
  private async listBridges(): Promise<string[]> {
    if ((await probeEngine(this.endpoint)) !== null) return [];
    const { status, body } = await callEngine(this.endpoint, 'GET', '/networks');
    if (status !== 200 || !Array.isArray(body)) return [];
    const networks = body as { Id: string; Driver: string; Options?: Record<string, string> | null }[];
    return networks
      .filter((network) => network.Driver === 'bridge')
      .map((network) => network.Options?.['com.docker.network.bridge.name'] ?? `br-${network.Id.slice(0, 12)}`)
      .filter((name) => name !== this.networking.network.bridge && name !== this.networking.network.gateway);
  }

  private program(name: string): string {
    const file = findProgram([name], this.options.path);
    if (file === null) throw new StartError(`an engine of our own needs the program ${name}, which isn't on PATH`);
    return file;
  }
}

/** Where containers publish ports: as narrow as our own listeners, in the only form that the engine's bridges know, IPv4. */
function publishAddress(bind: string): string {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(bind)) return bind;
  return bind === '::' ? '0.0.0.0' : '127.0.0.1';
}

// unshare's child is the namespace's init; dockerd is below it, or is it where there is no init program.
function findDaemon(leader: number): number | null {
  const processes = listProcesses();
  const init = processes.find((each) => each.parentPid === leader);
  if (init === undefined) return null;
  return init.comm === 'dockerd' ? init.pid : (processes.find((each) => each.parentPid === init.pid && each.comm === 'dockerd')?.pid ?? init.pid);
}

function replaceFile(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o700 });
  renameSync(`${file}.new`, file);
}
