import { closeSync, existsSync, fstatSync, openSync, readSync, renameSync, statSync } from 'node:fs';

/** A child's log is set aside at the next start once it is larger than this; one older log is kept. */
const rotateAtBytes = 10 * 1024 * 1024;

/** Opens a log for appending after setting aside one that has grown large. The caller closes the descriptor. */
export function openLog(file: string): number {
  if (existsSync(file) && statSync(file).size > rotateAtBytes) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o600);
}

/** The last lines of a log, for an error message; reads at most its last 16 KiB. Empty when there is no log. */
export function lastLines(file: string, count: number): string {
  if (!existsSync(file)) return '';
  const descriptor = openSync(file, 'r');
  try {
    const size = fstatSync(descriptor).size;
    const buffer = Buffer.alloc(Math.min(size, 16 * 1024));
    readSync(descriptor, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString('utf8').trimEnd().split('\n').slice(-count).map((line) => `  ${line.slice(0, 400)}`).join('\n');
  } finally {
    closeSync(descriptor);
  }
}
