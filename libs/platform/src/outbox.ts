import type { Context } from './context';
import type { Db } from './db';
import { uuidv7 } from './ids';
import type { Event, Job } from './jobs';

/** NOTIFY channel on which the dispatcher wakes. */
export const outboxChannel = 'gantry_outbox';

/**
 * Where a transaction says what is to be done after it. Rows become queue entries when the transaction commits; a rolled back
 * transaction leaves none. Delivery is at least once: handlers are idempotent.
 */
export class Outbox {
  constructor(private readonly db: Db) {}

  /** Asks for a job. Call it inside `db.transaction` with the state change it belongs to. `delaySeconds` postpones it. */
  async enqueue<P>(ctx: Context, job: Job<P>, payload: P, options: { delaySeconds?: number } = {}): Promise<void> {
    await this.insert(ctx, 'job', job.name, job.schema.parse(payload), options.delaySeconds ?? 0);
  }

  /** Tells that something happened. Call it inside the transaction that made it so. */
  async emit<P>(ctx: Context, event: Event<P>, payload: P): Promise<void> {
    await this.insert(ctx, 'event', event.name, event.schema.parse(payload), 0);
  }

  private async insert(ctx: Context, kind: 'job' | 'event', name: string, payload: unknown, delaySeconds: number): Promise<void> {
    await this.db.query(
      ctx,
      `with row as (
         insert into platform_outbox (id, kind, name, payload, request_id, due_at)
         values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6)) returning 1)
       select pg_notify('${outboxChannel}', '') from row`,
      [uuidv7(), kind, name, JSON.stringify(payload), ctx.requestId, delaySeconds],
    );
  }
}
