import { readdirSync, readFileSync } from 'node:fs';

/** What we use of `/proc/<pid>/stat` (proc(5)). `startTime` is in clock ticks since boot: with the boot id it names one process for ever. */
export interface ProcessStat {
  pid: number;
  comm: string;
  state: string;
  parentPid: number;
  group: number;
  session: number;
  startTime: string;
}

/** One process, told apart from a later one with the same pid. */
export interface ProcessIdentity {
  pid: number;
  startTime: string;
  bootId: string;
}

/** Parses `/proc/<pid>/stat`; the command name may itself hold spaces and brackets, so its end is the last `)`. Null when it isn't that format. */
export function parseStat(text: string): ProcessStat | null {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return null;
  const rest = text.slice(close + 1).trim().split(/\s+/);
  const pid = Number(text.slice(0, open).trim());
  const [state, parentPid, group, session] = rest;
  const startTime = rest[19]; // field 22 of the line; the state is field 3
  if (!Number.isInteger(pid) || pid <= 0 || state === undefined || startTime === undefined || !/^\d+$/.test(startTime)) return null;
  return { pid, comm: text.slice(open + 1, close), state, parentPid: Number(parentPid), group: Number(group), session: Number(session), startTime };
}

/** This boot's id: a start time from another boot says nothing. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** The process' stat, or null when there is none (gone between two looks is ordinary). A zombie has ended: null too. */
export function findProcess(pid: number): ProcessStat | null {
  const text = readProcFile(`/proc/${pid}/stat`);
  const stat = text === null ? null : parseStat(text);
  return stat === null || stat.state === 'Z' || stat.state === 'X' ? null : stat;
}

/** Names a live process; null when it is gone. */
export function identify(pid: number): ProcessIdentity | null {
  const stat = findProcess(pid);
  return stat && { pid, startTime: stat.startTime, bootId: readBootId() };
}

/** Whether exactly this process, not another one with its pid, still runs. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identity.bootId === readBootId() && findProcess(identity.pid)?.startTime === identity.startTime;
}

/** All processes that can be seen now. */
export function listProcesses(): ProcessStat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => findProcess(Number(name)))
    .filter((stat) => stat !== null);
}

/** A process' arguments; empty when it is gone or a kernel thread. */
export function readArguments(pid: number): string[] {
  return (readProcFile(`/proc/${pid}/cmdline`) ?? '').split('\0').slice(0, -1);
}

function readProcFile(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    // ESRCH: the process ended between opening the file and reading it
    if (isErrno(error, 'ENOENT', 'ESRCH', 'EACCES')) return null;
    throw error;
  }
}

/** Whether a caught value is a system error with one of these codes (`ENOENT`, …). */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  const code = errnoOf(error);
  return code !== null && codes.includes(code);
}

/** The code of a system error (`ECONNREFUSED`, …), or null. By shape, since an error of another realm is no instance of our Error. */
export function errnoOf(error: unknown): string | null {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : null;
}
