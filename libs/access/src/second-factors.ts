import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, Db, requestProblem, Sealer, type Context } from '@gantry/platform';
import { Access } from './access';
import { Accounts } from './accounts';
import type { Account } from './entities';
import { accessProblem } from './problems';
import { SignInLimits } from './sign-in-limits';
import { base32, findTotpStep, newTotpSecret, otpauthUri } from './totp';

const recoveryCodes = 10;
/** 80 bits: too many to be guessed, so that they need no limit of their own. */
const recoveryCodeBytes = 10;
/** A secret that was begun waits so long for its first code. */
const beginningSeconds = 3_600;

/** What is known of an account's second factor, without its secrets. */
export interface SecondFactorView {
  enabled: boolean;
  /** When it was confirmed; null while there is none. */
  since: Date | null;
  recoveryCodesLeft: number;
}

/** What proved the second factor at a sign-in. */
export type SecondFactorKind = 'totp' | 'recovery-code';

/**
 * One-time codes (TOTP, RFC 6238: HMAC-SHA-1, six digits, 30 s, one step of drift) as a second factor of local accounts, and ten recovery codes
 * for the day on which the device is lost. Secrets are sealed at rest, recovery codes are kept as keyed hashes; a code is accepted once.
 */
@Injectable()
export class SecondFactors {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly sealer: Sealer,
    private readonly access: Access,
    private readonly accounts: Accounts,
    private readonly audit: Audit,
    private readonly limits: SignInLimits,
  ) {}

  /** Whether an account (id) has a second factor. */
  async view(ctx: Context, accountId: string): Promise<SecondFactorView> {
    const [row] = await this.db.query<{ since: Date; left: number }>(
      ctx, 'select confirmed_at as since, cardinality(recovery_hashes) as left from access_second_factors where account_id = $1 and confirmed_at is not null', [accountId]);
    return { enabled: row !== undefined, since: row?.since ?? null, recoveryCodesLeft: row?.left ?? 0 };
  }

  /**
   * Makes a secret for the actor's own device and shows it this once; it asks for no code until `confirm` has seen one. Beginning again replaces it.
   * @throws access.wrong-current-password, too-many-failures, second-factor-on, second-factor-not-local, not-a-user
   */
  async begin(ctx: Context, input: { password: string }): Promise<{ secret: string; uri: string }> {
    const account = await this.self(ctx);
    if ((await this.view(ctx, account.id)).enabled) throw accessProblem('second-factor-on');
    await this.accounts.assertCurrentPassword(ctx, account, input.password, { action: 'second-factor.begin', pointer: '/password' });
    const secret = newTotpSecret();
    await this.db.transaction(ctx, async (tx) => {
      const begun = await this.db.query(
        tx,
        `insert into access_second_factors as f (account_id, secret_sealed, created_at) values ($1, $2, $3)
         on conflict (account_id) do update set secret_sealed = excluded.secret_sealed, created_at = excluded.created_at where f.confirmed_at is null returning 1`,
        [account.id, this.sealer.seal(secret, sealPurpose(account.id)), this.clock.now()],
      );
      if (begun.length === 0) throw accessProblem('second-factor-on');
      await this.record(tx, account, 'second-factor.begin');
    });
    return { secret: base32(secret), uri: otpauthUri(secret, 'Gantry', account.name) };
  }

  /**
   * Turns the second factor on with the first code of the device: from now on sign-ins ask for one, the password alone is refused by Basic and
   * `docker login`, and the actor's other sessions have ended. The recovery codes are shown this once.
   * @throws access.wrong-current-code, too-many-failures, second-factor-on, second-factor-not-begun, not-a-user
   */
  async confirm(ctx: Context, input: { code: string }): Promise<{ recoveryCodes: string[] }> {
    const account = await this.self(ctx);
    const [row] = await this.db.query<{ secret_sealed: string; created_at: Date; confirmed_at: Date | null }>(
      ctx, 'select secret_sealed, created_at, confirmed_at from access_second_factors where account_id = $1', [account.id]);
    if (row?.confirmed_at) throw accessProblem('second-factor-on');
    const now = this.clock.now();
    if (!row || row.created_at.getTime() + beginningSeconds * 1000 < now.getTime()) throw accessProblem('second-factor-not-begun');
    const attempt = await this.limits.attemptCode(ctx, account.id);
    const step = findTotpStep(this.open(account.id, row.secret_sealed), plain(input.code), now);
    if (step === null) throw await this.wrongCode(ctx, account, 'second-factor.enable');
    await attempt.succeeded();
    const codes = newRecoveryCodes();
    await this.db.transaction(ctx, async (tx) => {
      const confirmed = await this.db.query(
        tx,
        `update access_second_factors set confirmed_at = $3, last_step = $4, recovery_hashes = $5 where account_id = $1 and secret_sealed = $2 and confirmed_at is null returning 1`,
        [account.id, row.secret_sealed, now, step, this.hashes(account.id, codes)],
      );
      if (confirmed.length === 0) throw accessProblem('second-factor-not-begun');
      await this.accounts.endSessions(tx, account.id, ctx.actor.credentialId);
      await this.record(tx, account, 'second-factor.enable');
    });
    return { recoveryCodes: codes };
  }

  /** Replaces the actor's recovery codes; shown this once. @throws as `disable` */
  async renewRecoveryCodes(ctx: Context, input: { password: string; code: string }): Promise<{ recoveryCodes: string[] }> {
    const account = await this.prove(ctx, input, 'second-factor.renew-recovery-codes');
    const codes = newRecoveryCodes();
    await this.db.transaction(ctx, async (tx) => {
      const renewed = await this.db.query(
        tx, 'update access_second_factors set recovery_hashes = $2 where account_id = $1 and confirmed_at is not null returning 1', [account.id, this.hashes(account.id, codes)]);
      if (renewed.length === 0) throw accessProblem('second-factor-off');
      await this.record(tx, account, 'second-factor.renew-recovery-codes');
    });
    return { recoveryCodes: codes };
  }

  /**
   * Turns the actor's own second factor off.
   * @throws access.wrong-current-password, wrong-current-code, too-many-failures, second-factor-off, not-a-user
   */
  async disable(ctx: Context, input: { password: string; code: string }): Promise<void> {
    const account = await this.prove(ctx, input, 'second-factor.disable');
    await this.delete(ctx, account, 'second-factor.disable');
  }

  /** Takes another user's second factor away, for an administrator whom the user has convinced. @throws request.not-found, request.forbidden, access.second-factor-off */
  async remove(ctx: Context, idOrName: string): Promise<void> {
    const account = await this.accounts.getOfKind(ctx, idOrName, 'user');
    if (account.id === ctx.actor.id) throw requestProblem('forbidden', { detail: 'Disable your own with your password and a code: POST /api/v1/me/second-factor/disable.' });
    await this.delete(ctx, account, 'second-factor.remove');
  }

  /**
   * Whether the code is right for an account that has a second factor, and which kind it is; null when wrong. It is used up by that, on every replica.
   * @throws access.too-many-failures after too many wrong codes; recovery codes are accepted even then
   */
  async accept(ctx: Context, account: Account, code: string): Promise<SecondFactorKind | null> {
    const text = plain(code);
    if (/^[0-9]{6}$/.test(text)) return (await this.acceptTotp(ctx, account.id, text)) ? 'totp' : null;
    return (await this.acceptRecoveryCode(ctx, account, text)) ? 'recovery-code' : null;
  }

  /** Hourly sweep: forgets secrets that were begun and never confirmed. */
  async expire(ctx: Context): Promise<void> {
    await this.db.query(ctx, 'delete from access_second_factors where confirmed_at is null and created_at < $1 returning 1', [
      new Date(this.clock.now().getTime() - beginningSeconds * 1000),
    ]);
  }

  private async acceptTotp(ctx: Context, accountId: string, code: string): Promise<boolean> {
    const attempt = await this.limits.attemptCode(ctx, accountId);
    const [row] = await this.db.query<{ secret_sealed: string }>(
      ctx, 'select secret_sealed from access_second_factors where account_id = $1 and confirmed_at is not null', [accountId]);
    const step = row ? findTotpStep(this.open(accountId, row.secret_sealed), code, this.clock.now()) : null;
    if (step === null) return false;
    // Steps only go up: a code that was seen once, and any before it, is worth nothing to who saw it.
    const used = await this.db.query(
      ctx,
      'update access_second_factors set last_step = $2 where account_id = $1 and confirmed_at is not null and (last_step is null or last_step < $2) returning 1',
      [accountId, step],
    );
    if (used.length === 0) return false;
    await attempt.succeeded();
    return true;
  }

  private async acceptRecoveryCode(ctx: Context, account: Account, code: string): Promise<boolean> {
    return this.db.transaction(ctx, async (tx) => {
      const [row] = await this.db.query<{ left: number }>(
        tx,
        `update access_second_factors set recovery_hashes = array_remove(recovery_hashes, $2)
         where account_id = $1 and confirmed_at is not null and $2 = any(recovery_hashes) returning cardinality(recovery_hashes) as left`,
        [account.id, this.hash(account.id, code)],
      );
      if (!row) return false;
      await this.record(tx, account, 'second-factor.use-recovery-code', { left: row.left });
      return true;
    });
  }

  private async self(ctx: Context): Promise<Account> {
    const account = await this.accounts.getSelf(ctx);
    if (account.source !== 'local') throw accessProblem('second-factor-not-local');
    return account;
  }

  /** Asks the actor for both factors. */
  private async prove(ctx: Context, input: { password: string; code: string }, action: string): Promise<Account> {
    const account = await this.self(ctx);
    if (!(await this.view(ctx, account.id)).enabled) throw accessProblem('second-factor-off');
    await this.accounts.assertCurrentPassword(ctx, account, input.password, { action, pointer: '/password' });
    if ((await this.accept(ctx, account, input.code)) === null) throw await this.wrongCode(ctx, account, action);
    return account;
  }

  private async delete(ctx: Context, account: Account, action: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const deleted = await this.db.query(tx, 'delete from access_second_factors where account_id = $1 and confirmed_at is not null returning 1', [account.id]);
      if (deleted.length === 0) throw accessProblem('second-factor-off');
      await this.record(tx, account, action);
      await this.access.publish(tx, [{ type: 'credentials', accountId: account.id }]);
    });
  }

  private async wrongCode(ctx: Context, account: Account, action: string): Promise<Error> {
    await this.audit.recordRefusal(ctx, { action, resource: { kind: 'account', id: account.id, name: account.name }, outcome: 'refused', detail: { code: 'access.wrong-current-code' } });
    return accessProblem('wrong-current-code', { errors: [{ pointer: '/code', detail: 'not a code of this moment, or used already' }] });
  }

  private async record(tx: Context, account: Account, action: string, detail: Record<string, unknown> = {}): Promise<void> {
    await this.audit.record(tx, { action, resource: { kind: 'account', id: account.id, name: account.name }, outcome: 'success', detail });
  }

  private open(accountId: string, sealed: string): Buffer {
    return this.sealer.open(sealed, sealPurpose(accountId));
  }

  private hashes(accountId: string, codes: string[]): string[] {
    return codes.map((code) => this.hash(accountId, plain(code)));
  }

  private hash(accountId: string, code: string): string {
    return this.sealer.hash(`${accountId}:${code}`, 'recovery-code');
  }
}

/** Bound to the account, so that a secret copied to another's row does not open. */
function sealPurpose(accountId: string): string {
  return `access.second-factor:${accountId}`;
}

/** A code without what people put between its parts. */
function plain(code: string): string {
  return code.replace(/[\s-]/g, '').toLowerCase();
}

function newRecoveryCodes(): string[] {
  return Array.from({ length: recoveryCodes }, () => base32(randomBytes(recoveryCodeBytes)).toLowerCase().replace(/.{4}(?=.)/g, '$&-'));
}
