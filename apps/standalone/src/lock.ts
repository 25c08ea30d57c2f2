import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { identify, isAlive, isErrno, type ProcessIdentity } from './proc';
import { StartError } from './start-error';

/**
 * Takes the home's lock, so that one home has one supervisor.
 * @returns a function that gives it back
 */
export function lockHome(home: string): () => void {
  const lock = takeLock(join(home, 'lock'));
  if (typeof lock === 'function') return lock;
  throw new StartError(`Gantry already runs on ${home} (process ${lock.pid}); stop it, or set GANTRY_HOME and the ports for a second one`);
}

/** Runs `work` while holding a lock that others hold for seconds only; waits for it. */
export async function withLock<T>(file: string, timeoutSeconds: number, work: () => T | Promise<T>): Promise<T> {
  const deadline = Date.now() + timeoutSeconds * 1000;
  let lock = takeLock(file);
  while (typeof lock !== 'function') {
    if (Date.now() > deadline) throw new StartError(`process ${lock.pid} holds ${file} for more than ${timeoutSeconds} s; see what it waits for, then start again`);
    await wait(50);
    lock = takeLock(file);
  }
  try {
    return await work();
  } finally {
    lock();
  }
}

/**
 * Takes a lock file. One whose holder is gone, also by kill -9 or a reboot, is taken over.
 * @returns a function that gives the lock back, or who holds it
 */
function takeLock(file: string): (() => void) | ProcessIdentity {
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, JSON.stringify(identify(process.pid)), { mode: 0o600 });
  try {
    for (;;) {
      try {
        linkSync(mine, file); // whole and atomic, unlike creating it and writing then
        return () => {
          if (readHolder(file)?.pid === process.pid) unlinkSync(file);
        };
      } catch (error) {
        if (!isErrno(error, 'EEXIST')) throw error;
      }
      const holder = readHolder(file);
      if (holder !== null && isAlive(holder)) return holder;
      takeAway(file, holder);
    }
  } finally {
    unlinkSync(mine);
  }
}

// Two starts may both find a dead holder: the one that is late must not remove the other's new lock.
function takeAway(file: string, seen: ProcessIdentity | null): void {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  const taken = readHolder(aside);
  try {
    if (taken !== null && (taken.pid !== seen?.pid || taken.startTime !== seen.startTime)) linkSync(aside, file);
  } finally {
    unlinkSync(aside);
  }
}

function readHolder(file: string): ProcessIdentity | null {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return isIdentity(value) ? value : null;
  } catch (error) {
    if (isErrno(error, 'ENOENT') || error instanceof SyntaxError) return null;
    throw error;
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startTime, bootId } = value as Partial<Record<keyof ProcessIdentity, unknown>>;
  return typeof pid === 'number' && typeof startTime === 'string' && typeof bootId === 'string';
}
