import { systemActor, makeContext, type Context } from './context';
import type { Db } from './db';
import { allEvents, allJobs, type Event, type Job } from './jobs';
import type { Logger } from './log';
import { outboxChannel } from './outbox';
import type { QueueBackend, QueueEntry } from './queue';

type Handler = (ctx: Context, payload: unknown) => Promise<unknown>;

/** One line of the worker's table: a job or an event's subscriber, and the library method that it calls. */
export interface Handling {
  source: Job<unknown> | Event<unknown>;
  /** Names the subscriber of an event; empty for jobs. */
  subscriber: string;
  handler: Handler;
}

/** `handle(job, method)`: exactly one per job. */
export function handle<P>(job: Job<P>, handler: (ctx: Context, payload: P) => Promise<unknown>): Handling {
  return { source: job, subscriber: '', handler: handler as Handler };
}

/** `on(event, subscriber, method)`: each subscriber of an event is tried on its own. The name is stable: it is in queue entries. */
export function on<P>(event: Event<P>, subscriber: string, handler: (ctx: Context, payload: P) => Promise<unknown>): Handling {
  return { source: event, subscriber, handler: handler as Handler };
}

/** A recurring piece of work that catches up with lost wake-ups. Runs in every worker process; it must be safe to run twice. */
export interface Sweep {
  name: string;
  everySeconds: number;
  run: (ctx: Context) => Promise<unknown>;
}

/** How long an outbox row may lie undispatched when a NOTIFY is lost. */
const sweepMillis = 5_000;
const dispatchBatch = 200;

/**
 * Runs a worker process: dispatches the outbox into the queue, handles entries, runs sweeps. Construction fails when a declared job
 * has no handler or two. A crash at any line costs delay only: an outbox row is deleted after the queue took it, and the entry's id is
 * the row's id, so that taking it twice makes one entry.
 */
export class Worker {
  private readonly handlers = new Map<string, Handling>();
  private readonly subscribers = new Map<string, Handling[]>();
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly running = new Set<Promise<void>>();
  private dispatching: Promise<void> | null = null;
  private again = false;
  private stopping = false;
  private unlisten: (() => void) | null = null;

  constructor(private readonly db: Db, private readonly queue: QueueBackend, private readonly logger: Logger, handlings: Handling[], private readonly sweeps: Sweep[]) {
    for (const handling of handlings) {
      const key = handling.source.type === 'job' ? handling.source.name : `${handling.source.name}>${handling.subscriber}`;
      if (this.handlers.has(key)) throw new Error(`${handling.source.type} ${key} has two handlers`);
      this.handlers.set(key, handling);
      if (handling.source.type === 'event') {
        const list = this.subscribers.get(handling.source.name) ?? [];
        list.push(handling);
        this.subscribers.set(handling.source.name, list);
      }
    }
    for (const name of allJobs().keys()) if (!this.handlers.has(name)) throw new Error(`job ${name} has no handler`);
  }

  /** Starts dispatching, handling and sweeping. */
  async start(concurrency: number): Promise<void> {
    await this.queue.work(concurrency, (entry) => this.handleEntry(entry));
    this.unlisten = await this.db.listen(outboxChannel, () => this.wake());
    this.every(sweepMillis, () => this.wake());
    this.every(3_600_000, () => this.track(this.expire()));
    for (const sweep of this.sweeps) {
      let busy = false;
      this.every(sweep.everySeconds * 1000, () => {
        if (busy || this.stopping) return;
        busy = true;
        this.track(
          sweep
            .run(makeContext(systemActor(sweep.name)))
            .catch((error: unknown) => this.logger.error({ err: error, sweep: sweep.name }, 'a sweep failed'))
            .finally(() => {
              busy = false;
            }),
        );
      });
    }
    this.wake();
  }

  /** Stops taking work, lets running work end (10 s), and leaves the queue open for its owner to close. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.unlisten?.();
    for (const timer of this.timers) clearInterval(timer);
    await this.dispatching;
    await Promise.race([Promise.all(this.running), new Promise((resolve) => setTimeout(resolve, 10_000).unref())]);
  }

  /** Forgets what has served its time: leases a day after, idempotency keys after 24 h. */
  private async expire(): Promise<void> {
    const ctx = makeContext(systemActor('platform.expire'));
    await this.db.query(ctx, `delete from platform_leases where expires_at < now() - interval '1 day' returning 1`);
    await this.db.query(ctx, `delete from platform_idempotency where created_at < now() - interval '24 hours' returning 1`);
  }

  private every(millis: number, run: () => void): void {
    this.timers.push(setInterval(run, millis));
  }

  private track(work: Promise<unknown>): void {
    const entry = work.then(
      () => undefined,
      () => undefined,
    );
    this.running.add(entry);
    void entry.finally(() => this.running.delete(entry));
  }

  private wake(): void {
    if (this.stopping) return;
    if (this.dispatching) {
      this.again = true;
      return;
    }
    this.dispatching = this.dispatchAll()
      .catch((error: unknown) => this.logger.error({ err: error }, 'dispatching the outbox failed; it is tried again'))
      .finally(() => {
        this.dispatching = null;
        if (this.again) {
          this.again = false;
          this.wake();
        }
      });
  }

  private async dispatchAll(): Promise<void> {
    while (!this.stopping && (await this.dispatchOnce()) === dispatchBatch);
  }

  private async dispatchOnce(): Promise<number> {
    const ctx = makeContext(systemActor('platform.dispatcher'));
    return this.db.transaction(ctx, async (tx) => {
      const rows = await this.db.query<{ id: string; kind: 'job' | 'event'; name: string; payload: unknown; request_id: string }>(
        tx,
        `delete from platform_outbox where id = any(array(select id from platform_outbox where due_at <= now() order by id limit $1 for update skip locked))
         returning id, kind, name, payload, request_id`,
        [dispatchBatch],
      );
      if (rows.length === 0) return 0;
      rows.sort((a, b) => (a.id < b.id ? -1 : 1));
      const entries: QueueEntry[] = [];
      for (const row of rows) {
        if (row.kind === 'job') {
          const attempts = allJobs().get(row.name)?.attempts;
          if (attempts === undefined) this.logger.error({ job: row.name }, 'an outbox row names an unknown job; it is dropped');
          else entries.push({ id: row.id, name: row.name, payload: row.payload, requestId: row.request_id, attempts });
        } else {
          for (const subscriber of this.subscribers.get(row.name) ?? []) {
            entries.push({ id: `${row.id}.${subscriber.subscriber}`, name: `${row.name}>${subscriber.subscriber}`, payload: row.payload, requestId: row.request_id, attempts: 10 });
          }
          if (!allEvents().has(row.name)) this.logger.error({ event: row.name }, 'an outbox row names an unknown event; it is dropped');
        }
      }
      // the rows are gone only when this is committed, after the queue has taken them
      await this.queue.add(entries);
      return rows.length;
    });
  }

  private async handleEntry(entry: QueueEntry): Promise<void> {
    const handling = this.handlers.get(entry.name);
    if (!handling) throw new Error(`no handler for ${entry.name}`);
    const payload = handling.source.schema.parse(entry.payload);
    const work = handling.handler(makeContext(systemActor(entry.name), { requestId: entry.requestId }), payload);
    this.track(work);
    await work;
  }
}
