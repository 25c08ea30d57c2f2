import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, closeSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { assertRoot, binary, childrenOf, end, identify, isAlive, run, until, type ProcessId } from './process';

/** How a machine is made. */
export interface MachineOptions {
  /** Everything of it is here; made when missing. */
  dir: string;
  /** Host name, and so the node's name in a swarm. */
  name: string;
  /** `host`: the network of this machine itself; `own`: an empty network of its own, to be linked. */
  network: 'host' | 'own';
}

/** What must be known to take a machine down from another process; kept in `<dir>/machine.json`. */
interface MachineState {
  processes: ProcessId[];
  cgroup: string;
  /** Links in the host's network that this machine brought about and that did not exist before. */
  links: string[];
  madeEtcDocker: boolean;
}

/**
 * Something like a computer in which an engine runs with its default paths: mount, process, host-name and IPC namespaces, own /run,
 * /etc/docker and cgroups. Killing its first process takes all of it down at once, like a power cut: nothing can stay behind.
 */
export class Machine {
  private constructor(readonly dir: string, readonly name: string, private readonly network: MachineOptions['network'], readonly initPid: number, private readonly state: MachineState) {}

  static async start(options: MachineOptions): Promise<Machine> {
    assertRoot();
    const { dir, name, network } = options;
    for (const folder of ['etc-docker', 'data', 'cgroups']) mkdirSync(join(dir, folder), { recursive: true });
    await Machine.takeDown(dir);
    const holder = spawn(
      binary('unshare'),
      ['--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child=SIGKILL', ...(network === 'own' ? ['--net'] : []), '--', binary('docker-init'), '-s', '-g', '--', binary('sleep'), 'infinity'],
      { stdio: 'ignore', detached: true, cwd: '/' },
    );
    holder.unref();
    if (holder.pid === undefined) throw new Error('unshare did not start');
    const holderPid = holder.pid;
    const init = await until(`machine ${name} starts`, 60, () => childrenOf(holderPid)[0]);
    const madeEtcDocker = !existsSync('/etc/docker');
    if (madeEtcDocker) mkdirSync('/etc/docker');
    const state: MachineState = { processes: [identify(holderPid)!], cgroup: `gantry-lab-${basename(dir).replace(/[^\w-]/g, '')}-${holderPid}`, links: [], madeEtcDocker };
    const machine = new Machine(dir, name, network, init, state);
    machine.save();
    await machine.mount();
    return machine;
  }

  /** cgroup parent of the machine's containers, an absolute cgroup path. */
  get cgroupParent(): string {
    return `/${this.state.cgroup}`;
  }

  private async mount(): Promise<void> {
    const inside = (...args: string[]): Promise<string> => this.run(args[0]!, args.slice(1));
    await inside('hostname', this.name);
    // Copies of other machines' network namespaces would keep those alive.
    const mounts = readFileSync(`/proc/${this.initPid}/mounts`, 'utf8').split('\n').map((line) => line.split(' ')[1] ?? '');
    for (const point of mounts.filter((path) => /\/netns(\/|$)/.test(path)).reverse()) await inside('umount', '-l', point);
    await inside('mount', '-t', 'proc', 'proc', '/proc');
    if (this.network === 'own') {
      // /sys shows the network of whoever mounted it; the cgroup mounts beneath it are kept.
      const kept = join(this.dir, 'cgroups');
      await inside('mount', '--rbind', '/sys/fs/cgroup', kept);
      await inside('umount', '-l', '/sys');
      await inside('mount', '-t', 'sysfs', 'sysfs', '/sys');
      await inside('mount', '--rbind', kept, '/sys/fs/cgroup');
      await inside('umount', '-l', kept);
      await inside('sysctl', '-qw', 'net.ipv4.ip_forward=1');
    }
    await inside('mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', '/run');
    await inside('mkdir', '-p', '/run/lock');
    await inside('mount', '--bind', join(this.dir, 'etc-docker'), '/etc/docker');
  }

  private enter(): string[] {
    return ['--target', String(this.initPid), '--mount', '--uts', '--ipc', '--pid', ...(this.network === 'own' ? ['--net'] : []), '--'];
  }

  /** Runs a program inside to its end. */
  run(file: string, args: string[]): Promise<string> {
    return run(binary('nsenter'), [...this.enter(), file, ...args]);
  }

  /** Starts a program inside; its output is appended to `log` in the machine's directory. `programs`: folders that go before the system's in PATH. Answers the pid as seen from outside. */
  async spawn(file: string, args: string[], log: string, programs: readonly string[] = []): Promise<number> {
    const output = openSync(join(this.dir, log), 'a');
    const child = spawn(binary('nsenter'), [...this.enter(), file, ...args], {
      stdio: ['ignore', output, output],
      detached: true,
      cwd: '/',
      env: { PATH: [...programs, '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'].join(':') },
    });
    closeSync(output);
    child.unref();
    const { pid } = child;
    if (pid === undefined) throw new Error(`${file} did not start`);
    const id = identify(pid);
    if (id) {
      this.state.processes.push(id);
      this.save();
    }
    return until(`${file} runs`, 60, () => childrenOf(pid)[0]);
  }

  /** Tells that a link in the host's network is this machine's to remove. */
  ownLink(name: string): void {
    this.state.links.push(name);
    this.save();
  }

  private save(): void {
    writeFileSync(join(this.dir, 'machine.json'), JSON.stringify(this.state));
  }

  /** Whether the machine's first process is alive. */
  get alive(): boolean {
    return this.state.processes[0] !== undefined && isAlive(this.state.processes[0]);
  }

  /** Power cut; the disk (`dir`) stays. */
  async kill(): Promise<void> {
    await Machine.takeDown(this.dir);
  }

  /** Ends what `machine.json` in a directory tells of, from whatever process. Safe to repeat. */
  static async takeDown(dir: string): Promise<void> {
    const file = join(dir, 'machine.json');
    if (!existsSync(file)) return;
    const state = JSON.parse(readFileSync(file, 'utf8')) as MachineState;
    const holder = state.processes[0];
    const inside = holder && isAlive(holder) ? childrenOf(holder.pid) : [];
    const first = inside.map((pid) => identify(pid)).find((id) => id !== null);
    for (const id of [...state.processes].reverse()) await end(id);
    // The namespace's first process goes last, when all others are dead.
    if (first) await until('the machine is off', 60, () => !isAlive(first));
    for (const link of state.links) await run(binary('ip'), ['link', 'del', link]).catch(() => 'gone already');
    for (const root of cgroupRoots()) await removeCgroup(join(root, state.cgroup));
    if (state.madeEtcDocker && existsSync('/etc/docker') && readdirSync('/etc/docker').length === 0) rmdirSync('/etc/docker');
    rmSync(file);
  }
}

/** Every hierarchy's root: one with cgroup v2, one a controller with v1. */
function cgroupRoots(): string[] {
  return readFileSync('/proc/mounts', 'utf8').split('\n').map((line) => line.split(' ')).filter(([, , type]) => type === 'cgroup' || type === 'cgroup2').map(([, point]) => point!);
}

async function removeCgroup(dir: string): Promise<void> {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true })) if (entry.isDirectory()) await removeCgroup(join(dir, entry.name));
  await until(`cgroup ${dir} is empty`, 60, () => {
    rmdirSync(dir);
    return true;
  });
}
