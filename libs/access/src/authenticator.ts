import { hash, randomBytes } from 'node:crypto';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Clock, CONFIG, constantTimeEqual, Db, Sealer, type Actor, type ActorLimits, type Config, type Context } from '@gantry/platform';
import { Access } from './access';
import { ClientCertificates } from './client-certificates';
import { Credentials } from './credentials';
import type { AccountFacts } from './decide';
import { nameKey } from './names';
import { tokenPrefixes } from './passwords';
import type { Change } from './snapshot';
import { accountTokenPrefixes, isPossibleToken } from './token-format';

/** A verified credential is trusted for this long at most, counted from when it was verified. */
const rememberMillis = 60_000;
const maxRemembered = 20_000;
/** When something was used last is written so often at most. */
const lastUseMillis = 60_000;

interface Remembered {
  /** Null for service credentials. */
  accountId: string | null;
  credentialId: string | null;
  limits: ActorLimits | null;
  serviceName: string | null;
  /** When it has to be verified again, or is over; milliseconds of the epoch. */
  until: number;
}

/**
 * Turns what a client shows into an actor. Verified credentials are remembered in memory for at most 60 s (by its hash with a key of this
 * process), and dropped as soon as this process learns of any change of them; using them does not extend it, so a directory that is down or a
 * password that was changed there is noticed after a minute.
 */
@Injectable()
export class Authenticator implements OnModuleDestroy {
  private readonly key = randomBytes(32).toString('base64');
  private readonly remembered = new Map<string, Remembered>();
  private readonly certificatesSeen = new WeakMap<Buffer, { shown: string; key: string }>();
  private readonly verifying = new Map<string, Promise<Remembered | null>>();
  /** Grows whenever something is dropped: what was being verified at that moment is not remembered. */
  private epoch = 0;
  private readonly unsubscribe: () => void;

  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly sealer: Sealer,
    private readonly access: Access,
    private readonly credentials: Credentials,
    private readonly certificates: ClientCertificates,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    this.unsubscribe = access.onChange((change) => this.forget(change));
  }

  onModuleDestroy(): void {
    this.unsubscribe();
  }

  /** The actor of a session, personal or robot token; null when it is unknown, over, or its account inactive. */
  async bearer(ctx: Context, token: string): Promise<Actor | null> {
    if (token.startsWith(tokenPrefixes.session)) return this.actor(await this.remember(`s${token}`, () => this.findSession(ctx, token)));
    if (isPossibleToken(token)) return this.actor(await this.remember(`t${token}`, () => this.findToken(ctx, token)));
    return null;
  }

  /**
   * The actor of a user name and password, where the password may be a personal or robot token (of the account with that name) or a service's
   * credential; null when wrong. A password is not enough for an account with a second factor.
   * @throws access.token-needed, access.too-many-failures, access.name-taken, access.directory-misconfigured, access.directory-unavailable
   */
  async basic(ctx: Context, username: string, password: string): Promise<Actor | null> {
    if (password.startsWith(tokenPrefixes.service)) {
      const found = await this.remember(`c${password}`, () => this.findServiceCredential(ctx, password));
      return found?.serviceName != null && constantTimeEqual(found.serviceName, username) ? this.actor(found) : null;
    }
    if (isAccountToken(password)) {
      const actor = await this.bearer(ctx, password);
      return actor && constantTimeEqual(nameKey(actor.name), nameKey(username)) ? actor : null;
    }
    return this.actor(await this.remember(`p${username}\0${password}`, () => this.checkPassword(ctx, username, password)));
  }

  /**
   * The actor of a client certificate with which a TLS connection was made (so that whoever shows it has its key); null when it is none of ours, over,
   * revoked, or its account inactive. `fingerprint` is the SHA-256 of `raw` in hexadecimal digits, with or without colons. The bytes of `raw` never
   * change: what belongs to them is found out once for each buffer, which is once for each connection.
   */
  async certificate(ctx: Context, shown: { fingerprint: string; raw: Buffer }): Promise<Actor | null> {
    let seen = this.certificatesSeen.get(shown.raw);
    if (seen?.shown !== shown.fingerprint) {
      const fingerprint = hash('sha256', shown.raw, 'hex');
      if (shown.fingerprint.replaceAll(':', '').toLowerCase() !== fingerprint) return null;
      seen = { shown: shown.fingerprint, key: this.keyOf(`x${fingerprint}`) };
      this.certificatesSeen.set(shown.raw, seen);
    }
    return this.actor(await this.rememberAs(seen.key, async () => {
      const found = await this.certificates.find(ctx, shown.raw);
      return found && this.fresh({ accountId: found.accountId, credentialId: found.id, limits: found.limits, serviceName: null }, found.expiresAt);
    }));
  }

  private keyOf(secret: string): string {
    return hash('sha256', `${this.key}${secret}`, 'base64');
  }

  private remember(secret: string, verify: () => Promise<Remembered | null>): Promise<Remembered | null> {
    return this.rememberAs(this.keyOf(secret), verify);
  }

  private async rememberAs(key: string, verify: () => Promise<Remembered | null>): Promise<Remembered | null> {
    const now = this.clock.now().getTime();
    const known = this.remembered.get(key);
    if (known && known.until > now) return known;
    if (known) this.remembered.delete(key);
    // A burst of requests with one credential (a docker push) verifies it once.
    const running = this.verifying.get(key);
    if (running) return running;
    const epoch = this.epoch;
    const work = verify()
      .then((found) => {
        if (found && this.epoch === epoch) this.keep(key, found);
        return found;
      })
      .finally(() => this.verifying.delete(key));
    this.verifying.set(key, work);
    return work;
  }

  private keep(key: string, found: Remembered): void {
    if (this.remembered.size >= maxRemembered) {
      const oldest = this.remembered.keys().next();
      if (!oldest.done) this.remembered.delete(oldest.value);
    }
    this.remembered.set(key, found);
  }

  private forget(change: Change | null): void {
    // Rights are asked of the snapshot each time; only who somebody is, and with what, is remembered here.
    if (change !== null && !(change.type === 'account' || change.type === 'account-removed' || change.type === 'credentials' || change.type === 'directory')) return;
    this.epoch += 1;
    // Verifications that run now may have read what has just changed: those who come later ask anew.
    this.verifying.clear();
    if (change === null || change.type === 'directory') {
      this.remembered.clear();
      return;
    }
    const accountId = change.type === 'account' ? change.account.id : change.type === 'account-removed' ? change.id : change.accountId;
    const credentialId = change.type === 'credentials' ? change.credentialId : undefined;
    for (const [key, entry] of this.remembered) {
      if ((accountId !== undefined && entry.accountId === accountId) || (credentialId !== undefined && entry.credentialId === credentialId)) this.remembered.delete(key);
    }
  }

  private async findSession(ctx: Context, token: string): Promise<Remembered | null> {
    const now = this.clock.now();
    const [row] = await this.db.query<{ id: string; account_id: string; expires_at: Date; last_used_at: Date }>(
      ctx, 'select id, account_id, expires_at, last_used_at from access_sessions where hash = $1 and expires_at > $2', [this.sealer.hash(token, 'session'), now]);
    if (!row) return null;
    const expiresAt = await this.useSession(ctx, row, now);
    return expiresAt && this.fresh({ accountId: row.account_id, credentialId: row.id, limits: null, serviceName: null }, expiresAt);
  }

  /** Notes the use of a session and renews it where it is near its end, writing only where one of the two is due. Null: it was ended meanwhile. */
  private async useSession(ctx: Context, session: { id: string; expires_at: Date; last_used_at: Date }, now: Date): Promise<Date | null> {
    const left = session.expires_at.getTime() - now.getTime();
    const renew = left <= this.config.sessionRenewalMinutes * 60_000;
    if (!renew && !isLongAgo(session.last_used_at, now)) return session.expires_at;
    const expiresAt = renew ? new Date(now.getTime() + this.config.sessionMinutes * 60_000) : session.expires_at;
    // Another process may have renewed it a moment ago: the later end stays.
    const [used] = await this.db.query<{ expires_at: Date }>(
      ctx, 'update access_sessions set last_used_at = greatest(last_used_at, $2), expires_at = greatest(expires_at, $3) where id = $1 returning expires_at', [session.id, now, expiresAt]);
    return used?.expires_at ?? null;
  }

  private async findToken(ctx: Context, token: string): Promise<Remembered | null> {
    const now = this.clock.now();
    const [row] = await this.db.query<{ id: string; account_id: string; limits: ActorLimits | null; expires_at: Date; last_used_at: Date | null }>(
      ctx, 'select id, account_id, limits, expires_at, last_used_at from access_tokens where hash = $1 and expires_at > $2', [this.sealer.hash(token, 'token'), now]);
    if (row && (row.last_used_at === null || isLongAgo(row.last_used_at, now))) {
      await this.db.query(ctx, 'update access_tokens set last_used_at = greatest(last_used_at, $2) where id = $1 returning 1', [row.id, now]);
    }
    return row ? this.fresh({ accountId: row.account_id, credentialId: row.id, limits: row.limits, serviceName: null }, row.expires_at) : null;
  }

  private async findServiceCredential(ctx: Context, secret: string): Promise<Remembered | null> {
    const [row] = await this.db.query<{ id: string; username: string; repository_ids: string[]; expires_at: Date }>(
      ctx,
      'select id, username, repository_ids, expires_at from access_service_credentials where secret_hash = $1 and revoked_at is null and expires_at > $2',
      [this.sealer.hash(secret, 'service'), this.clock.now()],
    );
    if (!row) return null;
    const limits: ActorLimits = { operations: ['repository:pull'], repositories: row.repository_ids };
    return this.fresh({ accountId: null, credentialId: row.id, limits, serviceName: row.username }, row.expires_at);
  }

  private async checkPassword(ctx: Context, username: string, password: string): Promise<Remembered | null> {
    const startedAt = this.clock.now();
    const proven = await this.credentials.check(ctx, username, password, 'no-codes');
    if (!proven) return null;
    return { accountId: proven.account.id, credentialId: null, limits: null, serviceName: null, until: startedAt.getTime() + rememberMillis };
  }

  private fresh(found: Omit<Remembered, 'until'>, expiresAt: Date): Remembered {
    return { ...found, until: Math.min(this.clock.now().getTime() + rememberMillis, expiresAt.getTime()) };
  }

  /** The actor as the snapshot has its account now: a rights change needs no new verification. */
  private actor(found: Remembered | null): Actor | null {
    if (!found) return null;
    if (found.serviceName !== null) return { kind: 'service', id: found.credentialId, name: found.serviceName, admin: false, credentialId: found.credentialId, limits: found.limits };
    const account = found.accountId === null ? undefined : this.access.findAccount(found.accountId);
    return account?.active ? actorOf(account, found.credentialId, found.limits) : null;
  }
}

function isAccountToken(text: string): boolean {
  return accountTokenPrefixes.some((prefix) => text.startsWith(prefix));
}

function isLongAgo(time: Date, now: Date): boolean {
  return now.getTime() - time.getTime() >= lastUseMillis;
}

/** The actor for an account that has proven itself by a credential. */
export function actorOf(account: Pick<AccountFacts, 'id' | 'kind' | 'name' | 'admin'>, credentialId: string | null, limits: ActorLimits | null): Actor {
  return { kind: account.kind === 'robot' ? 'robot' : 'user', id: account.id, name: account.name, admin: account.admin && account.kind === 'user', credentialId, limits };
}
