import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { migrations } from '../../../migrations';
import { makeContext, systemActor, type Context } from '../src/context';
import { Db, type DbOptions } from '../src/db';
import { loadConfig, type Config } from '../src/config';
import { makeLogger, type Logger } from '../src/log';
import { Sealer } from '../src/secrets';

/** A database of a test file's own, cloned from the migrated template. */
export interface TestDatabase {
  db: Db;
  url: string;
  /** Closes the pool and drops the database. */
  close(): Promise<void>;
}

/** Clones the template database (see test/global-setup.ts) and opens it with the given entities. */
export async function openTestDatabase(entities: DbOptions['entities'] = []): Promise<TestDatabase> {
  const { url, drop } = await cloneTemplate();
  const db = await Db.open({ url, entities, migrations, logger: testLogger() });
  return {
    db,
    url,
    close: async () => {
      await db.close();
      await drop();
    },
  };
}

/** Clones the template without opening it, for tests that start processes. */
export async function cloneTemplate(): Promise<{ url: string; drop: () => Promise<void> }> {
  const server = process.env['GANTRY_TEST_POSTGRES_URL'];
  if (!server) throw new Error('no test database server: run the tests through Jest’s int, guard or e2e project');
  const name = `t_${randomBytes(8).toString('hex')}`;
  await admin(server, `create database ${name} template gantry_template`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => admin(server, `drop database if exists ${name} with (force)`) };
}

async function admin(url: string, sql: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      await client.query(sql);
      return;
    } catch (error) {
      // Two clones of one template at once: PostgreSQL refuses the later one (55006).
      if ((error as { code?: string }).code !== '55006' || Date.now() > deadline) throw error;
    } finally {
      await client.end();
    }
  }
}

/** A silent logger; GANTRY_TEST_LOG=debug makes it talk. */
export function testLogger(): Logger {
  return makeLogger(process.env['GANTRY_TEST_LOG'] ?? 'silent');
}

/** Default settings with overrides, as the loader makes them. */
export function testConfig(env: Record<string, string> = {}, overrides: Partial<Config> = {}): Config {
  return { ...loadConfig({ GANTRY_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'), ...env }), ...overrides };
}

/** A sealer with a fixed test key. */
export function testSealer(): Sealer {
  return new Sealer([Buffer.alloc(32, 7).toString('base64')]);
}

/** A context of the system actor. */
export function testContext(name = 'test'): Context {
  return makeContext(systemActor(name));
}

/**
 * Waits as `eventually` does, and keeps how long that took: what is promised within a time is asserted of the fastest of several, since a busy
 * machine can only make it look slower than it is.
 */
export class Delays {
  private readonly seconds: number[] = [];

  async until(what: string, probe: Parameters<typeof eventually>[1]): Promise<void> {
    const began = performance.now();
    await eventually(what, probe);
    this.seconds.push((performance.now() - began) / 1000);
  }

  /** Seconds that the fastest took; of fewer than three there is none. */
  get fastest(): number {
    return this.seconds.length < 3 ? Infinity : Math.min(...this.seconds);
  }
}

/** Polls `probe` every 25 ms until it answers something truthy; fails with `what` at the deadline. */
export async function eventually<T>(what: string, probe: () => Promise<T | null | undefined | false> | T | null | undefined | false, seconds = 60): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
