import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import { z } from 'zod';
import { defineEvent, defineJob, handle, Leases, on, openQueue, Outbox, Worker, type QueueBackend } from '@gantry/platform';
import { eventually, openTestDatabase, testContext, testLogger, type TestDatabase } from '@gantry/platform/testing';

const greet = defineJob('test.greet', z.object({ name: z.string() }), { attempts: 3 });
const greeted = defineEvent('test.greeted', z.object({ name: z.string() }));

async function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

const redisBinary = spawnSync('redis-server', ['--version']).status === 0;

/** The contract that both queue adapters keep. */
describe.each([['postgres'], ['redis']] as const)('queue on %s', (kind) => {
  let database: TestDatabase;
  let redis: ChildProcess | null = null;
  let redisUrl: string | null = null;
  const open: QueueBackend[] = [];

  beforeAll(async () => {
    database = await openTestDatabase();
    if (kind === 'redis') {
      if (!redisBinary) throw new Error('redis-server is needed for this test; `npm test` installs it');
      const port = await freePort();
      redis = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: 'ignore' });
      redisUrl = `redis://127.0.0.1:${port}`;
      const url = redisUrl;
      await eventually('redis answers', () => openQueue({ databaseUrl: database.url, redisUrl: url, logger: testLogger() }).then((queue) => queue.close().then(() => true)));
    }
  });
  afterAll(async () => {
    await Promise.all(open.map((queue) => queue.close()));
    redis?.kill('SIGTERM');
    await database.close();
  });
  const openOne = async (name: string): Promise<QueueBackend> => {
    const queue = await openQueue({ databaseUrl: database.url, redisUrl, logger: testLogger(), name });
    open.push(queue);
    return queue;
  };

  it('handles an entry once though it is added twice', async () => {
    const queue = await openOne('once');
    const seen: string[] = [];
    const entry = { id: 'a', name: 'x', payload: { n: 1 }, requestId: 'r1', attempts: 1 };
    await queue.add([entry]);
    await queue.add([entry, { ...entry, id: 'b' }]);
    await queue.work(2, async (got) => {
      expect(got.payload).toEqual({ n: 1 });
      expect(got.requestId).toBe('r1');
      seen.push(got.id);
    });
    await eventually('both handled', () => seen.length >= 2);
    await eventually('queue is empty', async () => {
      const counts = await queue.counts();
      return counts.waiting + counts.active + counts.delayed === 0;
    });
    expect(seen.sort()).toEqual(['a', 'b']);
  });

  it('tries a failing entry again, up to its attempts, and keeps it as failed', async () => {
    const queue = await openOne('retry');
    let tries = 0;
    await queue.work(1, async () => {
      tries += 1;
      throw new Error('no');
    });
    await queue.add([{ id: 'f', name: 'x', payload: null, requestId: 'r', attempts: 2 }]);
    await eventually('failed for good', async () => (await queue.counts()).failed === 1);
    expect(tries).toBe(2);
  });

  it('delivers the outbox after commit, nothing after rollback, to the job’s handler and each subscriber', async () => {
    const queue = await openOne(`outbox`);
    const { db } = database;
    const outbox = new Outbox(db);
    const got: string[] = [];
    const worker = new Worker(
      db,
      queue,
      testLogger(),
      [
        handle(greet, async (ctx, { name }) => void got.push(`job ${name} ${ctx.requestId}`)),
        on(greeted, 'one', async (_ctx, { name }) => void got.push(`one ${name}`)),
        on(greeted, 'two', async (_ctx, { name }) => void got.push(`two ${name}`)),
      ],
      [],
    );
    await worker.start(4);
    try {
      const ctx = { ...testContext(), requestId: 'req-1' };
      await expect(
        db.transaction(ctx, async (tx) => {
          await outbox.enqueue(tx, greet, { name: 'lost' });
          throw new Error('roll back');
        }),
      ).rejects.toThrow('roll back');
      await db.transaction(ctx, async (tx) => {
        await outbox.enqueue(tx, greet, { name: 'ann' });
        await outbox.emit(tx, greeted, { name: 'bob' });
      });
      await eventually('all three', () => got.length === 3);
      expect(got.sort()).toEqual(['job ann req-1', 'one bob', 'two bob']);
      // An entry may be handled before its row is taken away.
      await eventually('the outbox is empty', async () => (await db.query(ctx, 'select 1 from platform_outbox')).length === 0);
    } finally {
      await worker.stop();
    }
  });

  it('refuses to start without a handler, or with two', async () => {
    const queue = await openOne('boot');
    expect(() => new Worker(database.db, queue, testLogger(), [], [])).toThrow('job test.greet has no handler');
    const one = handle(greet, async () => undefined);
    expect(() => new Worker(database.db, queue, testLogger(), [one, one], [])).toThrow('two handlers');
  });
});

describe('leases', () => {
  it('are held by one, run out when the holder is gone, and tell a holder that lost', async () => {
    const database = await openTestDatabase();
    try {
      const leases = new Leases(database.db);
      const ctx = testContext();
      const inner = await leases.withLease(ctx, 'a', 5, async (lease) => {
        expect(await leases.withLease(ctx, 'a', 5, async () => 'second')).toBeNull();
        await lease.assertHeld(ctx);
        return lease.fence;
      });
      expect(inner).toBe(1);
      await database.db.query(ctx, `update platform_leases set holder = gen_random_uuid(), expires_at = now() - interval '1 second' where name = 'a' returning 1`);
      expect(await leases.withLease(ctx, 'a', 5, async (lease) => lease.fence)).toBe(2);
      await leases.withLease(ctx, 'b', 5, async (lease) => {
        await database.db.query(ctx, `update platform_leases set holder = gen_random_uuid() where name = 'b' returning 1`);
        await expect(lease.assertHeld(ctx)).rejects.toThrow('lost');
        expect(lease.signal.aborted).toBe(true);
      });
    } finally {
      await database.close();
    }
  });
});
