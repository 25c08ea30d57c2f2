import { Inject, Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, CONFIG, Db, decodeCursor, isUuid, randomSecret, requestProblem, Sealer, toPage, uuidv7, type Config, type Context, type Page } from '@gantry/platform';
import { Access } from './access';
import { actorOf } from './authenticator';
import { Credentials, wrongCredentials } from './credentials';
import { Account, Session } from './entities';
import { tokenPrefixes } from './passwords';
import { SignInLimits } from './sign-in-limits';

/** Changes stay as long as a process may be without the database and still catch up step by step. */
const keepChangesSeconds = 3_600;

/** Signing in with user name and password, for people. */
@Injectable()
export class Sessions {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly sealer: Sealer,
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly credentials: Credentials,
    private readonly limits: SignInLimits,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Starts a session. The token is shown this once and kept only as a keyed hash.
   * @throws access.wrong-credentials, access.too-many-failures, access.name-taken, access.directory-misconfigured, access.directory-unavailable
   */
  async signIn(ctx: Context, input: { username: string; password: string }): Promise<{ id: string; token: string; expiresAt: Date; account: Account }> {
    const account = await this.credentials.check(ctx, input.username, input.password);
    if (!account) throw wrongCredentials();
    const id = uuidv7();
    const token = randomSecret(tokenPrefixes.session);
    const createdAt = this.clock.now();
    const expiresAt = new Date(createdAt.getTime() + this.config.sessionHours * 3_600_000);
    return this.db.transaction(ctx, async (tx) => {
      await this.db.repo(tx, Session).insert({ id, accountId: account.id, hash: this.sealer.hash(token, 'session'), address: ctx.address, createdAt, expiresAt });
      await this.audit.record(
        { ...tx, actor: actorOf(account, id, null) },
        { action: 'session.create', resource: { kind: 'account', id: account.id, name: account.name }, outcome: 'success', detail: { source: account.source } },
      );
      return { id, token, expiresAt, account };
    });
  }

  /** Ends the actor's own session: the one it came with, or the named one. @throws request.not-found */
  async end(ctx: Context, id: string | null = ctx.actor.credentialId): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      if (id === null || !isUuid(id)) throw requestProblem('not-found');
      const ended = await this.db.query(tx, 'delete from access_sessions where id = $1 and account_id = $2 returning 1', [id, ctx.actor.id]);
      if (ended.length === 0) throw requestProblem('not-found', { detail: 'There is no such session of yours; tokens are ended under /api/v1/tokens.' });
      await this.audit.record(tx, { action: 'session.end', resource: { kind: 'session', id }, outcome: 'success' });
      await this.access.publish(tx, [{ type: 'credentials', credentialId: id }]);
    });
  }

  /** The actor's own sessions that still run, newest first. */
  async list(ctx: Context, options: { limit: number; cursor?: string }): Promise<Page<Session & { current: boolean }>> {
    const query = this.db
      .repo(ctx, Session)
      .createQueryBuilder('session')
      .where('session.accountId = :account and session.expiresAt > :now', { account: ctx.actor.id, now: this.clock.now() })
      .orderBy('session.id', 'DESC')
      .limit(options.limit + 1);
    const after = decodeCursor(options.cursor, 1)?.[0];
    if (after !== undefined) query.andWhere('session.id::text < :after', { after });
    const page = toPage(await query.getMany(), options.limit, (session) => [session.id]);
    return { ...page, items: page.items.map((session) => ({ ...session, current: session.id === ctx.actor.credentialId })) };
  }

  /** Hourly sweep: forgets sessions and service credentials that are over, old counts of failures, and changes that every process has seen. */
  async expire(ctx: Context): Promise<void> {
    const now = this.clock.now();
    await this.db.query(ctx, 'delete from access_sessions where expires_at < $1 returning 1', [now]);
    await this.db.query(ctx, `delete from access_service_credentials where expires_at < $1::timestamptz - interval '7 days' or revoked_at < $1::timestamptz - interval '7 days' returning 1`, [now]);
    await this.limits.expire(ctx);
    // The newest change stays: the next version is counted from it.
    await this.db.query(
      ctx, `delete from access_changes where at < now() - make_interval(secs => $1) and version < (select max(version) from access_changes) returning 1`, [keepChangesSeconds]);
  }
}
