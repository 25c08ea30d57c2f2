import { isIPv6 } from 'node:net';
import { Injectable } from '@nestjs/common';
import { storableText } from '@gantry/audit';
import { Clock, Db, type Context } from '@gantry/platform';
import { accessProblem } from './problems';

const windowSeconds = 600;
const perAccountAndAddress = 10;
const perAddress = 100;

/**
 * Limits failed sign-ins: 10 per account and address, 100 per address (IPv6: per /64), within 10 minutes. Nobody can lock an account for
 * others: the recovery administrator can always sign in from another address.
 */
@Injectable()
export class SignInLimits {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
  ) {}

  /**
   * Counts an attempt as failed before it is checked, in one statement, so that parallel attempts can't slip through; `succeeded` takes it back.
   * @throws access.too-many-failures with `Retry-After`
   */
  async attempt(ctx: Context, name: string): Promise<{ succeeded(): Promise<void>; notChecked(): Promise<void> }> {
    const free: Context = { ...ctx, tx: null, afterCommit: null };
    const address = addressKey(ctx.address);
    const pair = `${address} ${storableText(name, 300)}`;
    const now = this.clock.now();
    const rows = await this.db.query<{ key: string; count: number; window_ends_at: Date }>(
      free,
      `insert into access_sign_in_failures as f (key, count, window_ends_at)
       select key, 1, $2::timestamptz + make_interval(secs => $3) from unnest($1::text[]) as key order by key
       on conflict (key) do update set
         count = case when f.window_ends_at <= $2 then 1 else f.count + 1 end,
         window_ends_at = case when f.window_ends_at <= $2 then excluded.window_ends_at else f.window_ends_at end
       returning key, count, window_ends_at`,
      [[address, pair], now, windowSeconds],
    );
    const over = rows.filter((row) => row.count > (row.key === pair ? perAccountAndAddress : perAddress));
    if (over.length > 0) {
      const seconds = Math.max(...over.map((row) => Math.ceil((row.window_ends_at.getTime() - now.getTime()) / 1000)), 1);
      throw accessProblem('too-many-failures', { headers: { 'retry-after': String(seconds) } });
    }
    const giveBack = async (keys: string[]): Promise<void> => {
      await this.db.query(free, 'update access_sign_in_failures set count = greatest(count - 1, 0) where key = any($1) returning 1', [keys]);
    };
    return {
      succeeded: async () => {
        await this.db.query(free, 'delete from access_sign_in_failures where key = $1 returning 1', [pair]);
        await giveBack([address]);
      },
      notChecked: () => giveBack([address, pair]),
    };
  }

  /** Forgets windows that are over. */
  async expire(ctx: Context): Promise<void> {
    await this.db.query(ctx, 'delete from access_sign_in_failures where window_ends_at < $1 returning 1', [this.clock.now()]);
  }
}

/** What counts as one address: IPv4 as it is, IPv6 by its first 64 bits, `-` where there is none. */
export function addressKey(address: string | null): string {
  if (address === null) return '-';
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = '', tail] = address.split('%')[0]!.toLowerCase().split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = tail === undefined ? left : [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right];
  return `${groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(':')}::/64`;
}
