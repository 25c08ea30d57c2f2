import { createPostgresBackend, createRedisBackend, runMigrations, withBackend } from 'bullmq';
import { Redis } from 'ioredis';
import { Pool } from 'pg';
import type { Logger } from './log';

/** One entry for the queue. The id makes adding it twice harmless. */
export interface QueueEntry {
  id: string;
  name: string;
  payload: unknown;
  requestId: string;
  attempts: number;
}

/** The queue that wakes workers up. Two adapters (PostgreSQL, Redis) pass one contract suite. Our tables stay the truth. */
export interface QueueBackend {
  /** Adds entries; those whose id is already known are left as they are. */
  add(entries: QueueEntry[]): Promise<void>;
  /** Starts handling entries, `concurrency` at a time. A handler that throws is tried again with back-off, up to its attempts. */
  work(concurrency: number, handler: (entry: QueueEntry) => Promise<void>): Promise<void>;
  /** Entries waiting, running, delayed or failed for good. */
  counts(): Promise<{ waiting: number; active: number; delayed: number; failed: number }>;
  /** Stops taking entries, waits up to 10 s for the running ones, and disconnects. */
  close(): Promise<void>;
}

const queueName = 'gantry';
/** A worker that died is noticed after at most lock + check interval; the default of 30 s each is long for a deployment. */
const lockDuration = 10_000;
const stalledInterval = 5_000;

interface Data {
  payload: unknown;
  requestId: string;
}

/**
 * Opens the queue on Redis where `redisUrl` is given, else on PostgreSQL (BullMQ's own schema `bullmq`, migrated here under
 * BullMQ's advisory lock). Failed entries are kept to 1,000: they are a place to look, not state.
 */
export async function openQueue(options: { databaseUrl: string; redisUrl: string | null; logger: Logger; name?: string }): Promise<QueueBackend> {
  const name = options.name ?? queueName;
  if (options.redisUrl !== null) {
    const connection = new Redis(options.redisUrl, { maxRetriesPerRequest: null, lazyConnect: true });
    connection.on('error', (error) => options.logger.warn({ error: error.message }, 'redis'));
    try {
      await connection.connect();
    } catch (error) {
      connection.disconnect(); // else it tries again for ever, unseen
      throw error;
    }
    const { Queue, Worker } = withBackend(createRedisBackend);
    const queue = new Queue<Data>(name, { connection });
    return adapt(queue as never, (handler, concurrency) => new Worker<Data>(name, handler as never, { connection, concurrency, lockDuration, stalledInterval }) as never, options.logger, async () => {
      await connection.quit();
    });
  }
  const pool = new Pool({ connectionString: options.databaseUrl, max: 1 });
  try {
    const client = await pool.connect();
    try {
      await runMigrations(client);
    } finally {
      client.release();
    }
  } finally {
    await pool.end();
  }
  const connection = { connectionString: options.databaseUrl, max: 4 };
  const { Queue, Worker } = withBackend(createPostgresBackend);
  const queue = new Queue<Data>(name, { connection: connection });
  return adapt(queue as never, (handler, concurrency) => new Worker<Data>(name, handler as never, { connection: connection, concurrency, lockDuration, stalledInterval }) as never, options.logger, async () => {
    // each class owns its pool and closes it
  });
}

interface BullQueue {
  add(name: string, data: Data, opts: object): Promise<unknown>;
  addBulk(jobs: { name: string; data: Data; opts: object }[]): Promise<unknown>;
  getJobCounts(...types: string[]): Promise<Record<string, number>>;
  on(event: 'error', handler: (error: Error) => void): unknown;
  close(): Promise<void>;
}
interface BullWorker {
  on(event: 'error', handler: (error: Error) => void): unknown;
  on(event: 'failed', handler: (job: { name: string; attemptsMade: number } | undefined, error: Error) => void): unknown;
  waitUntilReady(): Promise<unknown>;
  close(force?: boolean): Promise<void>;
}
interface BullJob {
  id?: string;
  name: string;
  data: Data;
  opts: { attempts?: number };
}

function adapt(queue: BullQueue, makeWorker: (handler: (job: BullJob) => Promise<void>, concurrency: number) => BullWorker, logger: Logger, done: () => Promise<void>): QueueBackend {
  const workers: BullWorker[] = [];
  queue.on('error', (error) => logger.warn({ error: error.message }, 'queue'));
  return {
    async add(entries) {
      const jobs = entries.map((entry) => ({
        name: entry.name,
        data: { payload: entry.payload, requestId: entry.requestId },
        opts: { jobId: entry.id, attempts: entry.attempts, backoff: { type: 'exponential', delay: 1000 }, removeOnComplete: { count: 1000, age: 3600 }, removeOnFail: { count: 1000 } },
      }));
      const [first] = jobs;
      // One alone is the usual case, and on PostgreSQL the statement for many takes some 5 ms where that for one takes 1.
      if (first && jobs.length === 1) await queue.add(first.name, first.data, first.opts);
      else if (first) await queue.addBulk(jobs);
    },
    async work(concurrency, handler) {
      const worker = makeWorker(
        async (job) => handler({ id: job.id ?? '', name: job.name, payload: job.data.payload, requestId: job.data.requestId, attempts: job.opts.attempts ?? 1 }),
        concurrency,
      );
      worker.on('error', (error) => logger.warn({ error: error.message }, 'worker'));
      worker.on('failed', (job, error) => logger.warn({ job: job?.name, attempt: job?.attemptsMade, error: error.message }, 'a job failed'));
      workers.push(worker);
      await worker.waitUntilReady();
    },
    async counts() {
      const counts = await queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'failed');
      return { waiting: (counts['waiting'] ?? 0) + (counts['prioritized'] ?? 0), active: counts['active'] ?? 0, delayed: counts['delayed'] ?? 0, failed: counts['failed'] ?? 0 };
    },
    async close() {
      await Promise.all(
        workers.map(async (worker) => {
          let timer: NodeJS.Timeout | undefined;
          const late = new Promise<'late'>((resolve) => {
            timer = setTimeout(() => resolve('late'), 10_000);
          });
          const outcome = await Promise.race([worker.close(), late]);
          clearTimeout(timer);
          if (outcome === 'late') await worker.close(true);
        }),
      );
      await queue.close();
      await done();
    },
  };
}
