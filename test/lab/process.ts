import { execFile, type ExecFileOptions } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** Runs a program to its end (at most 120 s) and answers its output; throws with its error text. */
export function run(file: string, args: string[], options: ExecFileOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, args, { timeout: 120_000, ...options, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${file} ${args.join(' ')}: ${String(stderr).trim() || error.message}`));
      else resolve(String(stdout));
    });
  });
}

/** Thrown by a probe of `until` when waiting longer is of no use. */
export class Hopeless extends Error {}

/** Polls every 25 ms until `probe` answers something truthy; throws at the deadline, with the last error as cause. */
export async function until<T>(what: string, seconds: number, probe: () => Promise<T | false | null | undefined> | T | false | null | undefined): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}${last instanceof Error ? ` (${last.message})` : ''}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** A TCP port on `address` that was free a moment ago. */
export function freePort(address = '127.0.0.1'): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, address, () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound ? bound.port : 0));
    });
  });
}

/** A process as it can be recognised later: a pid is used again, a pid with its start time is not. */
export interface ProcessId {
  pid: number;
  startTime: string;
}

/** Null when there is no such process. */
export function identify(pid: number): ProcessId | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : { pid, startTime: fields[19] ?? '' };
  } catch {
    return null;
  }
}

/** Whether the very process is still there. */
export function isAlive(id: ProcessId): boolean {
  return identify(id.pid)?.startTime === id.startTime;
}

/** Kills the very process, if it is still there, and waits until it is gone. */
export async function end(id: ProcessId, signal: NodeJS.Signals = 'SIGKILL', seconds = 60): Promise<void> {
  if (!isAlive(id)) return;
  process.kill(id.pid, signal);
  await until(`process ${id.pid} ends`, seconds, () => !isAlive(id));
}

/** Pids of the direct children. */
export function childrenOf(pid: number): number[] {
  const children: number[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid) children.push(Number(entry));
    } catch {
      continue; // it ended meanwhile
    }
  }
  return children;
}

/** Programs of Debian packages that the lab needs. */
const packages: Record<string, string> = {
  dockerd: 'docker.io', 'docker-init': 'docker.io', containerd: 'docker.io', 'docker-registry': 'docker-registry', ip: 'iproute2', iptables: 'iptables',
  unshare: 'util-linux', nsenter: 'util-linux', busybox: 'busybox-static', sshd: 'openssh-server', 'ssh-keygen': 'openssh-client',
};

/** Full path of a program of ours to start. Throws, naming the package, when it is missing. */
export function binary(name: string): string {
  const path = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'].map((dir) => join(dir, name)).find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (!path) throw new Error(`${name} is missing: \`npm test\` installs it, or run apt-get install --no-install-recommends ${packages[name] ?? name}`);
  return path;
}

/** The lab makes namespaces, mounts and network links. */
export function assertRoot(): void {
  if (process.getuid?.() !== 0) throw new Error('the lab makes namespaces and network links: run it as root');
}
