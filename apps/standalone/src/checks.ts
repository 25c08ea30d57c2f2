import { mkdirSync, statfsSync } from 'node:fs';
import { createServer } from 'node:net';
import { errnoOf, isErrno } from './proc';
import { StartError } from './start-error';

/** A port that a listener of ours needs, and the setting that moves it. */
export interface PortWish {
  port: number;
  address: string;
  setting: string;
}

/** The one line about a port that can't be had; `code` is the system's error code. */
export function portMessage(wish: PortWish, code: string): string {
  const other = wish.setting === 'GANTRY_BIND' ? 'set GANTRY_BIND to an address of this machine' : `set ${wish.setting} to another port`;
  if (code === 'EADDRINUSE') return `port ${wish.port} (${wish.setting}) is taken by another program; stop it or set ${wish.setting}`;
  if (code === 'EACCES') return `port ${wish.port} (${wish.setting}) needs root; ${other} above 1023`;
  if (code === 'EADDRNOTAVAIL') return `${wish.address} (GANTRY_BIND) is no address of this machine; set GANTRY_BIND to one that is`;
  return `port ${wish.port} (${wish.setting}) can't be opened: ${code}; ${other}`;
}

/** Throws StartError about the first port that can't be had. */
export async function checkPorts(wishes: readonly PortWish[]): Promise<void> {
  for (const wish of wishes) {
    const code = await tryPort(wish.port, wish.address);
    if (code !== null) throw new StartError(portMessage(wish, code));
  }
}

/** Opens and closes a TCP port. @returns null when that works, else the system's error code */
export function tryPort(port: number, address: string): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(errnoOf(error) ?? 'error'));
    server.listen({ port, host: address, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

/** A loopback port that is free now, and none of those that are kept for others. */
export async function pickFreePort(kept: readonly number[] = []): Promise<number> {
  for (;;) {
    const port = await anyFreePort();
    if (!kept.includes(port)) return port;
  }
}

function anyFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

const oneGib = 1024 ** 3;

/** The one line about a disk that is too full, or null when there is room. */
export function diskMessage(home: string, freeBytes: number): string | null {
  if (freeBytes >= oneGib) return null;
  return `only ${Math.floor(freeBytes / 1024 ** 2)} MiB are free on the disk of ${home} (GANTRY_HOME); Gantry needs 1024 MiB: free some, or set GANTRY_HOME to a folder on another disk`;
}

/** Creates GANTRY_HOME and checks that its disk has room. Others may pass through it (PostgreSQL runs as another user), not list it. */
export function prepareHome(home: string): void {
  try {
    mkdirSync(home, { recursive: true, mode: 0o711 });
    const { bavail, bsize } = statfsSync(home);
    const message = diskMessage(home, bavail * bsize);
    if (message !== null) throw new StartError(message);
  } catch (cause) {
    if (isErrno(cause, 'EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'ENOSPC')) {
      throw new StartError(`${home} (GANTRY_HOME) can't be used (${errnoOf(cause)}); set GANTRY_HOME to a folder that you may write to`, { cause });
    }
    throw cause;
  }
}
