import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { lastLines, openLog } from './logs';
import { findProcess, identify, isAlive, isErrno, listProcesses, readArguments, readBootId, type ProcessIdentity, type ProcessStat } from './proc';
import { StartError } from './start-error';

/** A program that Gantry runs beside itself. */
export interface ChildSpec {
  /** Also the name of its record and its log. */
  name: string;
  file: string;
  args: readonly string[];
  /** The whole environment: nothing of ours is inherited. */
  env: Readonly<Record<string, string>>;
  cwd: string;
  uid?: number;
  gid?: number;
  /** An argument that no other installation uses; an orphan without a record is found by it. */
  ownArgument: string;
  stop: StopWay;
  /** Keep a matching orphan instead of ending it. */
  adopt: boolean;
}

/** How a program is asked to end, and after how long it is killed. */
export interface StopWay {
  signal: 'SIGTERM' | 'SIGINT';
  graceSeconds: number;
  /** Which process takes the signal, when it isn't the one that was started. */
  findTarget?: (pid: number) => number | null;
}

interface ChildRecord extends ProcessIdentity {
  name: string;
  argv0: string;
  /** Hash of what it was started with: an orphan started otherwise isn't adopted. */
  fingerprint: string;
}

/** A running child. */
export interface Child {
  readonly name: string;
  readonly pid: number;
  readonly adopted: boolean;
  readonly logFile: string;
  isRunning(): boolean;
}

interface Entry extends Child {
  identity: ProcessIdentity;
  spec: ChildSpec;
  stopping: boolean;
  watch: NodeJS.Timeout | null;
}

const pollMs = 20;
/** An adopted process isn't our child, so the kernel doesn't tell us of its end: we look this often. */
const adoptedPollMs = 500;
/** A killed process that is still there after this long hangs in the kernel. */
const killSeconds = 10;

/**
 * Supervises child processes. Each runs in a session of its own, so that a Ctrl-C at the terminal reaches only us, and
 * is recorded with its start time and boot id in `<home>/run/<name>.json`. After `kill -9` of the supervisor the next
 * start finds what still runs by that record, or by an argument that is this home's alone, and adopts or ends it.
 */
export class Children {
  private readonly entries: Entry[] = [];

  /** @param onDeath told once when a child ends that nobody asked to end */
  constructor(
    private readonly home: string,
    private readonly onDeath: (name: string, message: string) => void,
  ) {
    mkdirSync(join(home, 'run'), { recursive: true, mode: 0o700 });
    mkdirSync(join(home, 'log'), { recursive: true, mode: 0o700 });
  }

  /** Adopts the orphan that was started in just this way, or ends any orphan of that name and starts the program. */
  async start(spec: ChildSpec): Promise<Child> {
    const fingerprint = fingerprintOf(spec);
    const record = this.findRecord(spec.name);
    if (record !== null && isAlive(record) && spec.adopt && record.fingerprint === fingerprint) return this.keep(spec, record, null);
    await this.endOrphan(spec);
    const logFile = this.logFile(spec.name);
    const log = openLog(logFile);
    let child: ChildProcess;
    try {
      child = spawn(spec.file, spec.args, {
        cwd: spec.cwd,
        env: spec.env,
        stdio: ['ignore', log, log],
        detached: true,
        ...(spec.uid === undefined ? {} : { uid: spec.uid }),
        ...(spec.gid === undefined ? {} : { gid: spec.gid }),
      });
    } finally {
      closeSync(log);
    }
    const failed = new Promise<never>((_, reject) => {
      child.once('error', (cause) => reject(new StartError(`${spec.name}: can't run ${spec.file}: ${cause.message}`, { cause })));
    });
    if (child.pid === undefined) return failed;
    failed.catch(() => undefined); // with a pid, a later 'error' is a failed kill, which the stop's deadline covers
    const identity = identify(child.pid);
    if (identity === null) throw new StartError(this.deathMessage(spec.name));
    this.writeRecord({ ...identity, name: spec.name, argv0: spec.file, fingerprint });
    return this.keep(spec, identity, child);
  }

  /** Waits until `ready` says so. Throws StartError with the log's end when the child ends first or the time is over. */
  async waitReady(child: Child, timeoutSeconds: number, ready: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + timeoutSeconds * 1000;
    while (!(await ready())) {
      if (!child.isRunning()) throw new StartError(this.deathMessage(child.name));
      if (Date.now() > deadline) {
        throw new StartError(`${child.name} isn't ready after ${timeoutSeconds} s. Its log ${child.logFile} ends with:\n${lastLines(child.logFile, 8)}`);
      }
      await wait(pollMs);
    }
  }

  /** Stops one child and forgets it: its signal, its time, then SIGKILL to its whole session. Nothing happens when it isn't running. */
  async stop(name: string): Promise<void> {
    const index = this.entries.findIndex((entry) => entry.name === name);
    const entry = this.entries[index];
    if (entry === undefined) return;
    entry.stopping = true;
    if (entry.watch) clearInterval(entry.watch);
    await this.end(entry.identity, entry.spec.stop);
    this.entries.splice(index, 1);
    this.removeRecord(name);
  }

  /** Stops every child, the last started first. */
  async stopAll(): Promise<void> {
    for (const entry of [...this.entries].reverse()) await this.stop(entry.name);
  }

  /** Kills every child at once, for an impatient second Ctrl-C. */
  killAll(): void {
    for (const entry of this.entries) {
      entry.stopping = true;
      killSession(entry.pid);
    }
  }

  /** Whether a record of an earlier run names a process that still runs. */
  hasOrphan(name: string): boolean {
    const record = this.findRecord(name);
    return record !== null && isAlive(record);
  }

  /** Removes the records of processes that are gone, such as those of before a reboot. */
  dropStaleRecords(): void {
    for (const file of readdirSync(join(this.home, 'run'))) {
      const name = /^(.+)\.json$/.exec(file)?.[1];
      if (name !== undefined && !this.hasOrphan(name)) this.removeRecord(name);
    }
  }

  /** Where a child's output goes. */
  logFile(name: string): string {
    return join(this.home, 'log', `${name}.log`);
  }

  private keep(spec: ChildSpec, identity: ProcessIdentity, child: ChildProcess | null): Child {
    const entry: Entry = {
      name: spec.name,
      pid: identity.pid,
      adopted: child === null,
      logFile: this.logFile(spec.name),
      isRunning: () => isAlive(identity),
      identity,
      spec,
      stopping: false,
      watch: null,
    };
    const died = (how = ''): void => {
      if (entry.stopping) return;
      entry.stopping = true;
      if (entry.watch) clearInterval(entry.watch);
      this.entries.splice(this.entries.indexOf(entry), 1);
      this.removeRecord(spec.name);
      this.onDeath(spec.name, this.deathMessage(spec.name, how));
    };
    if (child === null) {
      entry.watch = setInterval(() => {
        if (!isAlive(identity)) died();
      }, adoptedPollMs);
    } else {
      child.once('exit', (code, cause) => died(cause === null ? ` (exit ${code})` : ` (${cause})`));
    }
    this.entries.push(entry);
    return entry;
  }

  private deathMessage(name: string, how = ''): string {
    const file = this.logFile(name);
    return `${name} ended by itself${how}. Its log ${file} ends with:\n${lastLines(file, 8)}`;
  }

  /** Ends what an earlier run left of this program, so that its port is free again. */
  async endOrphan(spec: ChildSpec): Promise<void> {
    const record = this.findRecord(spec.name);
    if (record !== null && isAlive(record)) await this.end(record, spec.stop);
    else if (record !== null) await killRemains(record);
    this.removeRecord(spec.name);
    // killed between starting a child and recording it: the child is known by what it was started with
    for (const { pid } of listProcesses()) {
      if (pid === process.pid || !isOwnArgv(readArguments(pid), spec)) continue;
      const identity = identify(pid);
      if (identity !== null) await this.end(identity, spec.stop);
    }
  }

  private async end(identity: ProcessIdentity, way: StopWay): Promise<void> {
    const target = isAlive(identity) ? (way.findTarget ? way.findTarget(identity.pid) : identity.pid) : null;
    if (target !== null) {
      signal(target, way.signal);
      await waitGone(identity, way.graceSeconds);
    }
    // also where it ended well: a helper that outlived it must not hold a port or a file
    await killAllOf(() => sessionOf(identity.pid));
  }

  private recordFile(name: string): string {
    return join(this.home, 'run', `${name}.json`);
  }

  private findRecord(name: string): ChildRecord | null {
    const file = this.recordFile(name);
    if (!existsSync(file)) return null;
    const record: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return isRecord(record) ? record : null;
  }

  private writeRecord(record: ChildRecord): void {
    const file = this.recordFile(record.name);
    writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  private removeRecord(name: string): void {
    if (existsSync(this.recordFile(name))) unlinkSync(this.recordFile(name));
  }
}

function isRecord(value: unknown): value is ChildRecord {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Partial<Record<keyof ChildRecord, unknown>>;
  return Number.isInteger(record.pid) && [record.startTime, record.bootId, record.name, record.argv0, record.fingerprint].every((each) => typeof each === 'string');
}

function fingerprintOf(spec: ChildSpec): string {
  return createHash('sha256').update(JSON.stringify([spec.file, spec.args, spec.cwd, spec.uid ?? null, spec.gid ?? null])).digest('hex');
}

function isOwnArgv(argv: readonly string[], spec: ChildSpec): boolean {
  return argv[0] === spec.file && argv.includes(spec.ownArgument);
}

async function waitGone(identity: ProcessIdentity, seconds: number): Promise<boolean> {
  const deadline = Date.now() + seconds * 1000;
  while (isAlive(identity)) {
    if (Date.now() > deadline) return false;
    await wait(pollMs);
  }
  return true;
}

/** The living processes of the session that a detached child leads. */
function sessionOf(leader: number): ProcessStat[] {
  return listProcesses().filter((member) => member.session === leader);
}

function killSession(leader: number): void {
  for (const member of sessionOf(leader)) signal(member.pid, 'SIGKILL');
}

/**
 * Kills what outlives a leader that is gone, such as the backends of a killed postmaster, which still hold its memory.
 * While one lives, the kernel gives the leader's number to nobody else; the name is a second proof.
 */
async function killRemains(record: ChildRecord): Promise<void> {
  if (record.bootId !== readBootId() || findProcess(record.pid) !== null) return;
  const comm = basename(record.argv0).slice(0, 15); // TASK_COMM_LEN
  await killAllOf(() => sessionOf(record.pid).filter((member) => member.comm === comm));
}

/**
 * Kills until none is left. SIGKILL only marks a process: it holds its ports and files until the kernel next runs it,
 * which a busy machine may put off; and one of them may have forked while we looked.
 */
async function killAllOf(find: () => ProcessStat[]): Promise<void> {
  const deadline = Date.now() + killSeconds * 1000;
  for (let left = find(); left.length > 0; left = find()) {
    const [first] = left;
    if (first && Date.now() > deadline) throw new StartError(`Process ${first.pid} (${readArguments(first.pid).join(' ').slice(0, 120)}) doesn't end even when killed; look for a hung disk, then try again.`);
    for (const member of left) signal(member.pid, 'SIGKILL');
    await wait(pollMs);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error; // already gone is what was wanted
  }
}
