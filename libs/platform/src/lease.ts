import type { Context } from './context';
import type { Db } from './db';
import { uuidv7 } from './ids';

/** A held lease: `signal` aborts when it was lost; `assertHeld` before each write that must not be done by two. */
export interface Lease {
  readonly name: string;
  /** Grows with each holder: a fencing token. */
  readonly fence: number;
  readonly signal: AbortSignal;
  /** Throws when the lease is no longer ours. */
  assertHeld(ctx: Context): Promise<void>;
}

/**
 * Leases as rows (`platform_leases`): one holder at a time, for `ttlSeconds` after its last renewal (every third of that).
 * A killed holder's lease runs out by itself; a holder that lost the database aborts its signal before anybody else can hold it.
 */
export class Leases {
  constructor(private readonly db: Db) {}

  /** Runs `work` while holding the lease; answers null without running it when somebody else holds it. */
  async withLease<T>(ctx: Context, name: string, ttlSeconds: number, work: (lease: Lease) => Promise<T>): Promise<T | null> {
    const holder = uuidv7();
    const free: Context = { ...ctx, tx: null, afterCommit: null };
    const taken = await this.db.query<{ fence: string }>(
      free,
      `insert into platform_leases (name, holder, fence, expires_at) values ($1, $2, 1, now() + make_interval(secs => $3))
       on conflict (name) do update set holder = excluded.holder, fence = platform_leases.fence + 1, expires_at = excluded.expires_at
         where platform_leases.expires_at < now()
       returning fence`,
      [name, holder, ttlSeconds],
    );
    const fence = taken[0]?.fence;
    if (fence === undefined) return null;
    const lost = new AbortController();
    let renewedAt = performance.now();
    const renew = async (): Promise<void> => {
      try {
        const startedAt = performance.now();
        const rows = await this.db.query(free, 'update platform_leases set expires_at = now() + make_interval(secs => $3) where name = $1 and holder = $2 returning 1', [name, holder, ttlSeconds]);
        if (rows.length === 0) lost.abort(new Error(`lease ${name} was taken over`));
        else renewedAt = startedAt;
      } catch (error) {
        // The database may be away for a moment; the lease is given up only when it may have run out.
        if (performance.now() - renewedAt > ttlSeconds * 900) lost.abort(new Error(`lease ${name} could not be renewed`, { cause: error }));
      }
    };
    const timer = setInterval(() => void renew(), (ttlSeconds * 1000) / 3);
    try {
      return await work({
        name,
        fence: Number(fence),
        signal: lost.signal,
        assertHeld: async (inner) => {
          const rows = await this.db.query(inner, 'select 1 from platform_leases where name = $1 and holder = $2 and expires_at > now()', [name, holder]);
          if (rows.length === 0) {
            const error = new Error(`lease ${name} is lost`);
            lost.abort(error);
            throw error;
          }
        },
      });
    } finally {
      clearInterval(timer);
      await this.db.query(free, 'update platform_leases set expires_at = to_timestamp(0) where name = $1 and holder = $2 returning 1', [name, holder]).catch(() => {
        /* it runs out by itself */
      });
    }
  }
}
