import { Inject, Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, CONFIG, Db, decodeCursor, isUuid, requestProblem, Secret, toPage, uuidv7, type ActorLimits, type Config, type Context, type Page } from '@gantry/platform';
import { Access } from './access';
import { Accounts } from './accounts';
import { Authorities } from './authorities';
import { issueCertificate, lastMoment, readClientCertificate } from './certificate-format';
import { accessProblem } from './problems';

const daySeconds = 86_400;
const minSeconds = 60;
/** When a certificate was used last is written so often at most. */
const lastUseMillis = 60_000;
/** Certificates with a cluster that are remembered before those that are over are looked for. */
const firstCleaning = 1_000;

/** A client certificate as lists show it. */
export interface CertificateView {
  id: string;
  name: string;
  /** Who acts with it. */
  account: { id: string; name: string };
  /** As tools show it: 32 hexadecimal digits. */
  serial: string;
  /** SHA-256 of the DER form: 64 hexadecimal digits. */
  fingerprint: string;
  /** Those of the token through which it was issued. */
  limits: ActorLimits | null;
  /** The cluster to which its holder's calls go, where one was chosen. */
  clusterId: string | null;
  createdAt: Date;
  expiresAt: Date;
  lastUsedAt: Date | null;
}

/** A new certificate, and the one time that its private key is seen. */
export interface IssuedCertificate {
  certificate: CertificateView;
  /** PEM. */
  certificatePem: string;
  /** PEM (PKCS #8). */
  keyPem: Secret;
}

/**
 * Certificates with which people and robots come to the engine gateway. They are signed by an authority that signs nothing else; which of them are good
 * is what the database says. Private keys are handed out and never kept.
 */
@Injectable()
export class ClientCertificates {
  /** The cluster of each certificate that was found here and has one, until that is over: whom `find` found is asked about for a minute after. */
  private readonly clusters = new Map<string, { clusterId: string; until: number }>();
  private cleaningAt = firstCleaning;

  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly accounts: Accounts,
    private readonly authorities: Authorities,
    private readonly audit: Audit,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** PEM of the authority that signs them: what a listener asks its clients for. */
  async authority(ctx: Context): Promise<string> {
    return (await this.authorities.ensure(ctx, 'client')).pem;
  }

  /**
   * A certificate with which one comes as the actor. What is issued through a token has that token's limits, and ends with it at the latest. Where the
   * account has too many then, those that were used least recently end. Callers have judged whether the actor may see the cluster.
   * @param input.ttlSeconds default: the longest there is
   * @throws access.certificate-owner, access.certificate-lifetime, request.unauthenticated (the account or the credential was ended meanwhile)
   */
  async issue(ctx: Context, input: { name?: string; ttlSeconds?: number; clusterId?: string | null } = {}): Promise<IssuedCertificate> {
    const { actor } = ctx;
    if ((actor.kind !== 'user' && actor.kind !== 'robot') || actor.id === null) throw accessProblem('certificate-owner');
    const maxSeconds = this.config.certificateDays * daySeconds;
    const ttlSeconds = input.ttlSeconds ?? maxSeconds;
    if (!(ttlSeconds >= minSeconds && ttlSeconds <= maxSeconds)) {
      throw accessProblem('certificate-lifetime', { errors: [{ pointer: '/ttlSeconds', detail: `from ${minSeconds} to ${maxSeconds}` }] });
    }
    const accountId = actor.id;
    const authority = await this.authorities.ensure(ctx, 'client');
    const now = this.clock.now();
    return this.db.transaction(ctx, async (tx) => {
      // Locked, so that certificates that are issued at the same moment count each other, and what ends the account's certificates ends this one too.
      const [account] = await this.db.query<{ name: string }>(tx, 'select name from access_accounts where id = $1 and active for no key update', [accountId]);
      const through = account ? await this.credential(tx, accountId, now) : null;
      if (!account || !through) throw requestProblem('unauthenticated');
      const wanted = new Date(Math.min(now.getTime() + ttlSeconds * 1000, through.expiresAt?.getTime() ?? Infinity));
      const expiresAt = lastMoment(wanted, new Date(authority.certificate.validTo));
      const issued = await issueCertificate({ certificate: authority.pem, key: authority.openKey() }, { commonName: account.name, now, notAfter: expiresAt, use: 'client' });
      const certificate: CertificateView = {
        id: uuidv7(), name: input.name ?? 'bundle', account: { id: accountId, name: account.name }, serial: issued.serial, fingerprint: issued.fingerprint, limits: actor.limits,
        clusterId: input.clusterId ?? null, createdAt: now, expiresAt, lastUsedAt: null,
      };
      await this.endSurplus(tx, accountId, now);
      await this.db.query(
        tx,
        `insert into access_client_certificates (id, account_id, token_id, serial, fingerprint, name, limits, cluster_id, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
        [certificate.id, accountId, through.tokenId, issued.serial, issued.fingerprint, certificate.name, actor.limits, certificate.clusterId, now, expiresAt],
      );
      const { name, serial, fingerprint, limits, clusterId } = certificate;
      await this.audit.record(tx, {
        action: 'certificate.issue', resource: { kind: 'certificate', id: certificate.id, name }, outcome: 'success',
        detail: { account: account.name, serial, fingerprint, limits, clusterId, expiresAt },
      });
      return { certificate, certificatePem: issued.certificate, keyPem: new Secret(issued.key) };
    });
  }

  /** What the actor came with, if that is still good: a session, or a token, whose end is also that of what is issued through it. */
  private async credential(tx: Context, accountId: string, now: Date): Promise<{ tokenId: string | null; expiresAt: Date | null } | null> {
    const { credentialId } = tx.actor;
    if (credentialId === null) return null;
    const [token] = await this.db.query<{ expires_at: Date }>(tx, 'select expires_at from access_tokens where id = $1 and account_id = $2 and expires_at > $3', [credentialId, accountId, now]);
    if (token) return { tokenId: credentialId, expiresAt: token.expires_at };
    const sessions = await this.db.query(tx, 'select 1 from access_sessions where id = $1 and account_id = $2 and expires_at > $3', [credentialId, accountId, now]);
    return sessions.length > 0 ? { tokenId: null, expiresAt: null } : null;
  }

  private async endSurplus(tx: Context, accountId: string, now: Date): Promise<void> {
    const limit = this.config.certificateLimit;
    if (limit === 0) return;
    const ended = await this.db.query<{ id: string; name: string }>(
      tx,
      `update access_client_certificates set revoked_at = $2 where id in (
         select id from access_client_certificates where account_id = $1 and revoked_at is null and expires_at > $2
         order by coalesce(last_used_at, created_at) desc, id desc offset $3) returning id, name`,
      [accountId, now, limit - 1],
    );
    if (ended.length === 0) return;
    for (const { id, name } of ended) {
      await this.audit.record(tx, { action: 'certificate.revoke', resource: { kind: 'certificate', id, name }, outcome: 'success', detail: { accountId, reason: 'limit', limit } });
    }
    await this.access.publish(tx, ended.map(({ id }) => ({ type: 'credentials' as const, credentialId: id })));
  }

  /** The actor's own certificates that are still good, and its robots', newest first. */
  async list(ctx: Context, options: { limit: number; cursor?: string } = { limit: 200 }): Promise<Page<CertificateView>> {
    return ctx.actor.id === null ? { items: [], next: null } : this.listOf(ctx, ctx.actor.id, options);
  }

  /** The same of a user or robot; for administrators. @throws request.not-found */
  async listFor(ctx: Context, account: string, options: { limit: number; cursor?: string } = { limit: 200 }): Promise<Page<CertificateView>> {
    return this.listOf(ctx, await this.holder(ctx, account), options);
  }

  private async listOf(ctx: Context, accountId: string, options: { limit: number; cursor?: string }): Promise<Page<CertificateView>> {
    const rows = await this.db.query<CertificateRow>(
      ctx,
      `select c.id, c.name, c.account_id, a.name as account_name, c.serial, c.fingerprint, c.limits, c.cluster_id, c.created_at, c.expires_at, c.last_used_at
       from access_client_certificates c join access_accounts a on a.id = c.account_id
       where (a.id = $1 or a.owner_id = $1) and c.revoked_at is null and c.expires_at > $2 and ($3::text is null or c.id::text < $3) order by c.id desc limit $4`,
      [accountId, this.clock.now(), decodeCursor(options.cursor, 1)?.[0] ?? null, options.limit + 1],
    );
    const page = toPage(rows, options.limit, (row) => [row.id]);
    return { ...page, items: page.items.map(fromRow) };
  }

  /** Ends one of the actor's own certificates or its robots' at once here, within a second elsewhere. @throws request.not-found */
  async revoke(ctx: Context, id: string): Promise<void> {
    if (ctx.actor.id === null) throw requestProblem('not-found');
    await this.revokeOf(ctx, ctx.actor.id, id);
  }

  /** The same of a user or robot; for administrators. @throws request.not-found */
  async revokeFor(ctx: Context, account: string, id: string): Promise<void> {
    await this.revokeOf(ctx, await this.holder(ctx, account), id);
  }

  private async revokeOf(ctx: Context, accountId: string, id: string): Promise<void> {
    if (!isUuid(id)) throw requestProblem('not-found');
    await this.db.transaction(ctx, async (tx) => {
      const [row] = await this.db.query<{ name: string; serial: string; account_id: string }>(
        tx,
        `update access_client_certificates set revoked_at = $3 where id = $1 and revoked_at is null
         and account_id in (select id from access_accounts where id = $2 or owner_id = $2) returning name, serial, account_id`,
        [id, accountId, this.clock.now()],
      );
      if (!row) throw requestProblem('not-found');
      await this.audit.record(tx, {
        action: 'certificate.revoke', resource: { kind: 'certificate', id, name: row.name }, outcome: 'success', detail: { accountId: row.account_id, serial: row.serial },
      });
      await this.access.publish(tx, [{ type: 'credentials', credentialId: id }]);
    });
  }

  private async holder(ctx: Context, idOrName: string): Promise<string> {
    const account = await this.accounts.get(ctx, idOrName);
    if (account.kind === 'organization') throw requestProblem('not-found');
    return account.id;
  }

  /**
   * What these bytes (DER) stand for, or null: not signed by our authority for a client, unknown, over or revoked. Whether the account is active is the
   * caller's question. For `Authenticator`. A signature is looked at first, so that strangers cost no query.
   */
  async find(ctx: Context, raw: Buffer): Promise<{ id: string; accountId: string; limits: ActorLimits | null; expiresAt: Date } | null> {
    const shown = readClientCertificate(raw, (await this.authorities.ensure(ctx, 'client')).certificate);
    if (!shown) return null;
    const now = this.clock.now();
    const [row] = await this.db.query<{ id: string; account_id: string; limits: ActorLimits | null; cluster_id: string | null; expires_at: Date; last_used_at: Date | null }>(
      ctx,
      'select id, account_id, limits, cluster_id, expires_at, last_used_at from access_client_certificates where fingerprint = $1 and revoked_at is null and expires_at > $2',
      [shown.fingerprint256.replaceAll(':', '').toLowerCase(), now],
    );
    if (!row) return null;
    if (row.last_used_at === null || now.getTime() - row.last_used_at.getTime() >= lastUseMillis) {
      await this.db.query(ctx, 'update access_client_certificates set last_used_at = greatest(last_used_at, $2) where id = $1 returning 1', [row.id, now]);
    }
    if (row.cluster_id !== null) this.noteCluster(row.id, row.cluster_id, row.expires_at, now);
    return { id: row.id, accountId: row.account_id, limits: row.limits, expiresAt: row.expires_at };
  }

  /**
   * The cluster that was chosen for the certificate by which an actor came (`actor.credentialId`); null for one without, and for other credentials. The
   * cluster may have been removed since.
   */
  clusterOf(credentialId: string | null): string | null {
    return credentialId === null ? null : (this.clusters.get(credentialId)?.clusterId ?? null);
  }

  /** Nothing that is still good is ever dropped: without its cluster, a certificate would lead to another one. */
  private noteCluster(id: string, clusterId: string, expiresAt: Date, now: Date): void {
    this.clusters.set(id, { clusterId, until: expiresAt.getTime() });
    if (this.clusters.size < this.cleaningAt) return;
    for (const [key, { until }] of this.clusters) if (until <= now.getTime()) this.clusters.delete(key);
    this.cleaningAt = Math.max(firstCleaning, this.clusters.size * 2);
  }
}

interface CertificateRow {
  id: string;
  name: string;
  account_id: string;
  account_name: string;
  serial: string;
  fingerprint: string;
  limits: ActorLimits | null;
  cluster_id: string | null;
  created_at: Date;
  expires_at: Date;
  last_used_at: Date | null;
}

function fromRow(row: CertificateRow): CertificateView {
  return {
    id: row.id, name: row.name, account: { id: row.account_id, name: row.account_name }, serial: row.serial, fingerprint: row.fingerprint, limits: row.limits,
    clusterId: row.cluster_id, createdAt: row.created_at, expiresAt: row.expires_at, lastUsedAt: row.last_used_at,
  };
}
