import { Inject, Injectable } from '@nestjs/common';
import { Audit, storableText } from '@gantry/audit';
import { Clock, CONFIG, Db, decodeCursor, isUuid, randomSecret, requestProblem, Sealer, toPage, uuidv7, type Config, type Context, type Page } from '@gantry/platform';
import { Access } from './access';
import { Accounts } from './accounts';
import { actorOf } from './authenticator';
import { Credentials, wrongCredentials } from './credentials';
import { Account, Session } from './entities';
import { tokenPrefixes } from './passwords';
import { SecondFactors } from './second-factors';
import { SignInLimits } from './sign-in-limits';

/** Changes stay as long as a process may be without the database and still catch up step by step. */
const keepChangesSeconds = 3_600;
const maxUserAgent = 300;

/** A session as lists show it. */
export interface SessionView extends Session {
  /** The one with which the list was asked for. */
  current: boolean;
}

/** Signing in with user name and password, for people. */
@Injectable()
export class Sessions {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly sealer: Sealer,
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly accounts: Accounts,
    private readonly credentials: Credentials,
    private readonly secondFactors: SecondFactors,
    private readonly limits: SignInLimits,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Starts a session. The token is shown this once and kept only as a keyed hash. Where the account has too many sessions then, those that were used
   * least recently end. `code` is of the second factor, where the account has one.
   * @throws access.wrong-credentials, access.too-many-failures, access.second-factor-required, access.wrong-code, access.name-taken,
   * access.directory-misconfigured, access.directory-unavailable
   */
  async signIn(
    ctx: Context,
    input: { username: string; password: string; code?: string; userAgent?: string },
  ): Promise<{ id: string; token: string; expiresAt: Date; account: Account }> {
    const proven = await this.credentials.check(ctx, input.username, input.password, { code: input.code ?? null });
    if (!proven) throw wrongCredentials();
    const { account, factor } = proven;
    const id = uuidv7();
    const token = randomSecret(tokenPrefixes.session);
    const createdAt = this.clock.now();
    const expiresAt = new Date(createdAt.getTime() + this.config.sessionMinutes * 60_000);
    return this.db.transaction(ctx, async (tx) => {
      // Deactivated, given another password or a second factor while this one was looked at: what was proven is void.
      const [still] = await this.db.query(tx, 'select 1 from access_accounts where id = $1 and active and sign_in_epoch = $2 for no key update', [account.id, account.signInEpoch]);
      if (!still) throw wrongCredentials();
      await this.db.repo(tx, Session).insert({
        id, accountId: account.id, hash: this.sealer.hash(token, 'session'), address: ctx.address,
        userAgent: input.userAgent === undefined ? null : storableText(input.userAgent, maxUserAgent), createdAt, expiresAt, lastUsedAt: createdAt,
      });
      const as = { ...tx, actor: actorOf(account, id, null) };
      await this.audit.record(as, {
        action: 'session.create', resource: { kind: 'account', id: account.id, name: account.name }, outcome: 'success',
        detail: { source: account.source, ...(factor === null ? {} : { secondFactor: factor }) },
      });
      await this.endSurplus(as, account.id, id);
      return { id, token, expiresAt, account };
    });
  }

  /** Ends what is over the limit; the account's row is locked, so that sign-ins at the same moment count each other. */
  private async endSurplus(tx: Context, accountId: string, newest: string): Promise<void> {
    if (this.config.sessionLimit === 0) return;
    const ended = await this.db.query<{ id: string }>(
      tx,
      `delete from access_sessions where id in (
         select id from access_sessions where account_id = $1 and id <> $2 and expires_at > $3 order by last_used_at desc, id desc offset $4) returning id`,
      [accountId, newest, this.clock.now(), this.config.sessionLimit - 1],
    );
    if (ended.length === 0) return;
    for (const { id } of ended) {
      await this.audit.record(tx, { action: 'session.end', resource: { kind: 'session', id }, outcome: 'success', detail: { accountId, reason: 'limit', limit: this.config.sessionLimit } });
    }
    await this.access.publish(tx, ended.map(({ id }) => ({ type: 'credentials' as const, credentialId: id })));
  }

  /** Ends the actor's own session: the one it came with, or the named one. @throws request.not-found */
  async end(ctx: Context, id: string | null = ctx.actor.credentialId): Promise<void> {
    const ended = ctx.actor.id === null || id === null ? [] : await this.endOf(ctx, ctx.actor.id, id);
    if (ended.length === 0) throw requestProblem('not-found', { detail: 'There is no such session of yours; tokens are ended under /api/v1/tokens.' });
  }

  /** Ends one session of a user, or all; for administrators. @throws request.not-found for a session that the user has not */
  async endFor(ctx: Context, user: string, id: string | null): Promise<void> {
    const account = await this.accounts.getOfKind(ctx, user, 'user');
    const ended = await this.endOf(ctx, account.id, id);
    if (id !== null && ended.length === 0) throw requestProblem('not-found');
  }

  private async endOf(ctx: Context, accountId: string, id: string | null): Promise<string[]> {
    if (id !== null && !isUuid(id)) return [];
    return this.db.transaction(ctx, async (tx) => {
      const rows = await this.db.query<{ id: string }>(tx, 'delete from access_sessions where account_id = $1 and ($2::uuid is null or id = $2) returning id', [accountId, id]);
      const ended = rows.map((row) => row.id);
      for (const session of ended) await this.audit.record(tx, { action: 'session.end', resource: { kind: 'session', id: session }, outcome: 'success', detail: { accountId } });
      if (ended.length > 0) await this.access.publish(tx, ended.map((session) => ({ type: 'credentials' as const, credentialId: session })));
      return ended;
    });
  }

  /** The actor's own sessions that still run, newest first. */
  async list(ctx: Context, options: { limit: number; cursor?: string }): Promise<Page<SessionView>> {
    return ctx.actor.id === null ? { items: [], next: null } : this.listOf(ctx, ctx.actor.id, options);
  }

  /** The same of a user; for administrators. @throws request.not-found */
  async listFor(ctx: Context, user: string, options: { limit: number; cursor?: string }): Promise<Page<SessionView>> {
    return this.listOf(ctx, (await this.accounts.getOfKind(ctx, user, 'user')).id, options);
  }

  private async listOf(ctx: Context, accountId: string, options: { limit: number; cursor?: string }): Promise<Page<SessionView>> {
    const query = this.db
      .repo(ctx, Session)
      .createQueryBuilder('session')
      .where('session.accountId = :account and session.expiresAt > :now', { account: accountId, now: this.clock.now() })
      .orderBy('session.id', 'DESC')
      .limit(options.limit + 1);
    const after = decodeCursor(options.cursor, 1)?.[0];
    if (after !== undefined) query.andWhere('session.id::text < :after', { after });
    const page = toPage(await query.getMany(), options.limit, (session) => [session.id]);
    return { ...page, items: page.items.map((session) => ({ ...session, current: session.id === ctx.actor.credentialId })) };
  }

  /** Hourly sweep: forgets sessions, service credentials and certificates that are over, old counts of failures, and changes that every process has seen. */
  async expire(ctx: Context): Promise<void> {
    const now = this.clock.now();
    await this.db.query(ctx, 'delete from access_sessions where expires_at < $1 returning 1', [now]);
    await this.db.query(ctx, `delete from access_service_credentials where expires_at < $1::timestamptz - interval '7 days' or revoked_at < $1::timestamptz - interval '7 days' returning 1`, [now]);
    await this.db.query(ctx, `delete from access_client_certificates where expires_at < $1::timestamptz - interval '7 days' or revoked_at < $1::timestamptz - interval '7 days' returning 1`, [now]);
    await this.limits.expire(ctx);
    await this.secondFactors.expire(ctx);
    // The newest change stays: the next version is counted from it.
    await this.db.query(
      ctx, `delete from access_changes where at < now() - make_interval(secs => $1) and version < (select max(version) from access_changes) returning 1`, [keepChangesSeconds]);
  }
}
