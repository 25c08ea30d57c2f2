import { isIPv6 } from 'node:net';
import { Injectable } from '@nestjs/common';
import { storableText } from '@gantry/audit';
import { Clock, Db, type Context } from '@gantry/platform';
import { accessProblem } from './problems';

const windowSeconds = 600;
const perAccountAndAddress = 10;
const perAddress = 100;
/** Failures of one account from all addresses together, beyond which each address has few attempts left. */
const perAccount = 100;
const perAddressUnderAttack = 2;
/** Codes are short. Who may try them knows the password already, so here the account itself can be limited. */
const codeWindowSeconds = 3_600;
const perAccountCodes = 10;

/** An attempt that was counted as a failure before it was checked. */
export interface Attempt {
  /** It was none: takes it back, and forgets the failures before it. */
  succeeded(): Promise<void>;
  /** Nothing came out of it: takes it back. */
  notChecked(): Promise<void>;
}

interface Count {
  key: string;
  count: number;
  window_ends_at: Date;
}

/**
 * Limits failed sign-ins within 10 minutes: 10 per account and address, 100 per address (IPv6: per /64). When an account has had 100 from
 * everywhere, each address has two attempts at it. Nobody can lock an account for others: the recovery administrator can always sign in from an
 * address that has not failed. Wrong codes of a second factor are limited per account, 10 an hour.
 */
@Injectable()
export class SignInLimits {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
  ) {}

  /**
   * Counts an attempt as failed before it is checked, in one statement, so that parallel attempts can't slip through.
   * @throws access.too-many-failures with `Retry-After`
   */
  async attempt(ctx: Context, name: string): Promise<Attempt> {
    const address = addressKey(ctx.address);
    const pair = `${address} ${storableText(name, 300)}`;
    const everywhere = everywhereKey(name);
    const counts = await this.count(ctx, [address, pair, everywhere], windowSeconds);
    const attacked = counts.some((row) => row.key === everywhere && row.count > perAccount);
    const limits = new Map([[address, perAddress], [pair, attacked ? perAddressUnderAttack : perAccountAndAddress]]);
    this.assertBelow(counts, limits);
    return {
      succeeded: async () => {
        await this.forgetKeys(ctx, [pair]);
        await this.giveBack(ctx, [address, everywhere]);
      },
      notChecked: () => this.giveBack(ctx, [address, pair, everywhere]),
    };
  }

  /** The same for a code of the account's second factor. @throws access.too-many-failures with `Retry-After` */
  async attemptCode(ctx: Context, accountId: string): Promise<Attempt> {
    const key = codeKey(accountId);
    this.assertBelow(await this.count(ctx, [key], codeWindowSeconds), new Map([[key, perAccountCodes]]));
    return { succeeded: () => this.forgetKeys(ctx, [key]), notChecked: () => this.giveBack(ctx, [key]) };
  }

  /** Forgets the failures of one account, from wherever; in the context's transaction. */
  async forget(ctx: Context, account: { id: string; name: string }): Promise<void> {
    await this.db.query(ctx, `delete from access_sign_in_failures where key = $1 or substr(key, strpos(key, ' ') + 1) = $2 returning 1`, [
      codeKey(account.id), storableText(account.name, 300),
    ]);
  }

  /** Forgets windows that are over. */
  async expire(ctx: Context): Promise<void> {
    await this.db.query(ctx, 'delete from access_sign_in_failures where window_ends_at < $1 returning 1', [this.clock.now()]);
  }

  private async count(ctx: Context, keys: string[], seconds: number): Promise<Count[]> {
    return this.db.query<Count>(
      apart(ctx),
      `insert into access_sign_in_failures as f (key, count, window_ends_at)
       select key, 1, $2::timestamptz + make_interval(secs => $3) from unnest($1::text[]) as key order by key
       on conflict (key) do update set
         count = case when f.window_ends_at <= $2 then 1 else f.count + 1 end,
         window_ends_at = case when f.window_ends_at <= $2 then excluded.window_ends_at else f.window_ends_at end
       returning key, count, window_ends_at`,
      [keys, this.clock.now(), seconds],
    );
  }

  private assertBelow(counts: Count[], limits: ReadonlyMap<string, number>): void {
    const over = counts.filter((row) => row.count > (limits.get(row.key) ?? Infinity));
    if (over.length === 0) return;
    const now = this.clock.now().getTime();
    const seconds = Math.max(...over.map((row) => Math.ceil((row.window_ends_at.getTime() - now) / 1000)), 1);
    throw accessProblem('too-many-failures', { headers: { 'retry-after': String(seconds) } });
  }

  private async giveBack(ctx: Context, keys: string[]): Promise<void> {
    // Locked in the order in which they are counted: rows that many attempts share would else be waited for crosswise.
    await this.db.query(
      apart(ctx),
      `with mine as (select key from access_sign_in_failures where key = any($1) order by key for update)
       update access_sign_in_failures f set count = greatest(f.count - 1, 0) from mine where f.key = mine.key returning 1`,
      [keys],
    );
  }

  private async forgetKeys(ctx: Context, keys: string[]): Promise<void> {
    await this.db.query(apart(ctx), 'delete from access_sign_in_failures where key = any($1) returning 1', [keys]);
  }
}

/** Counts stay whatever becomes of the request's transaction. */
function apart(ctx: Context): Context {
  return { ...ctx, tx: null, afterCommit: null };
}

function everywhereKey(name: string): string {
  return `* ${storableText(name, 300)}`;
}

function codeKey(accountId: string): string {
  return `code:${accountId}`;
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
  if (groups.length === 8 && groups.slice(0, 5).every((group) => parseInt(group, 16) === 0) && groups[5] === 'ffff') {
    return groups.slice(6).flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]).join('.');
  }
  return `${groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(':')}::/64`;
}
