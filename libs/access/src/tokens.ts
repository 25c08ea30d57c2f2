import { Inject, Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, CONFIG, Db, decodeCursor, isUuid, randomSecret, requestProblem, Sealer, toPage, uuidv7, type ActorLimits, type Config, type Context, type Page } from '@gantry/platform';
import { Access } from './access';
import { accountRef, Accounts } from './accounts';
import { Account, Token } from './entities';
import { isOperation } from './operations';
import { tokenPrefixes } from './passwords';
import { accessProblem } from './problems';
import { newToken } from './token-format';

/** A token as lists show it: never the token itself. */
export interface TokenView {
  id: string;
  kind: 'personal' | 'robot';
  name: string;
  /** Who acts with it: the user, or the robot `<owner>+<name>`; this is the user name for `docker login`. */
  account: { id: string; name: string };
  limits: ActorLimits | null;
  createdAt: Date;
  expiresAt: Date;
  lastUsedAt: Date | null;
}

/** What a service pulls with. */
export interface ServiceCredential {
  id: string;
  subject: string;
  username: string;
  repositoryIds: string[];
  createdAt: Date;
  expiresAt: Date;
}

/** Tokens of people and robots, and the pull credentials of services. Secrets are shown once and kept as keyed hashes. */
@Injectable()
export class Tokens {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly sealer: Sealer,
    private readonly access: Access,
    private readonly accounts: Accounts,
    private readonly audit: Audit,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * A personal token acts as its user, narrowed by `limits`. A robot token makes the robot account `<owner>+<name>`, which acts for its owner (a user or an
   * organization; default the actor) within `limits.operations`, and never as system administrator. Nobody can make a token that allows more than the
   * credential with which it is asked for. Collections may be named by id or path; the token keeps their ids.
   * @throws access.token-expiry, token-limits, limits-exceeded, name-taken, name-invalid, not-a-user, request.not-found, request.forbidden
   */
  async create(
    ctx: Context,
    input: { name: string; kind: 'personal' | 'robot'; owner?: string; expiresAt: Date; limits: ActorLimits | null },
  ): Promise<TokenView & { token: string }> {
    const now = this.clock.now();
    const days = (input.expiresAt.getTime() - now.getTime()) / 86_400_000;
    if (!(days > 0 && days <= this.config.tokenMaxDays)) {
      throw accessProblem('token-expiry', { errors: [{ pointer: '/expiresAt', detail: `in the future, at most ${this.config.tokenMaxDays} days away` }] });
    }
    const limits = this.withCollectionIds(ctx, input.limits);
    assertLimits(ctx, input.kind, limits);
    return this.db.transaction(ctx, async (tx) => {
      const account = input.kind === 'personal' ? await this.ownAccount(tx, input.owner) : await this.accounts.createRobot(tx, await this.robotOwner(tx, input.owner), input.name);
      const token = newToken(input.kind);
      const row: Token = {
        id: uuidv7(), kind: input.kind, accountId: account.id, name: input.name, hash: this.sealer.hash(token, 'token'), limits,
        createdAt: now, expiresAt: input.expiresAt, lastUsedAt: null,
      };
      await this.db.repo(tx, Token).insert(row);
      await this.audit.record(tx, {
        action: 'token.create',
        resource: { kind: 'token', id: row.id, name: row.name },
        outcome: 'success',
        detail: { kind: row.kind, account: account.name, limits: row.limits, expiresAt: row.expiresAt },
      });
      return { ...viewOf(row, account), token };
    });
  }

  private withCollectionIds(ctx: Context, limits: ActorLimits | null): ActorLimits | null {
    if (limits?.collections === undefined) return limits;
    const ids = limits.collections.map((idOrPath, index) => {
      const found = this.access.findCollection(ctx, idOrPath);
      if (found && this.access.can(ctx, 'collection:view', found).visible) return found.id;
      throw requestProblem('invalid', { errors: [{ pointer: `/limits/collections/${index}`, detail: 'no such collection, or you may not see it' }] });
    });
    return { ...limits, collections: [...new Set(ids)] };
  }

  private async ownAccount(tx: Context, owner: string | undefined): Promise<Account> {
    if (tx.actor.kind !== 'user' || tx.actor.id === null) throw accessProblem('not-a-user');
    const account = await this.accounts.get(tx, tx.actor.id);
    if (owner !== undefined && (await this.accounts.find(tx, owner))?.id !== account.id) {
      throw requestProblem('invalid', { errors: [{ pointer: '/owner', detail: 'a personal token is always your own; leave this out' }] });
    }
    return account;
  }

  private async robotOwner(tx: Context, owner: string | undefined): Promise<Account> {
    const account = owner === undefined ? await this.ownAccount(tx, undefined) : await this.accounts.get(tx, owner);
    this.access.assertCan(tx, 'token:manage', accountRef(account.id));
    return account;
  }

  /**
   * The actor's own tokens, its robots', and those of robots whose owner it administers; administrators of the system see everybody's. Newest first;
   * `owner` narrows to one account and its robots. @throws request.not-found for an owner that the actor can't see
   */
  async list(ctx: Context, options: { limit: number; cursor?: string; owner?: string }): Promise<Page<TokenView>> {
    const allowed = this.access.listScope(ctx, 'token:manage', 'account')?.owners ?? null;
    const owner = options.owner === undefined ? null : (await this.accounts.get(ctx, options.owner)).id;
    if (owner !== null && !this.access.can(ctx, 'token:manage', accountRef(owner)).visible) throw requestProblem('not-found');
    const rows = await this.db.query<TokenRow>(
      ctx,
      `${selectToken} where ($1::uuid[] is null or coalesce(a.owner_id, a.id) = any($1)) and ($2::uuid is null or coalesce(a.owner_id, a.id) = $2)
       and ($3::text is null or t.id::text < $3) order by t.id desc limit $4`,
      [allowed, owner, decodeCursor(options.cursor, 1)?.[0] ?? null, options.limit + 1],
    );
    const page = toPage(rows, options.limit, (row) => [row.id]);
    return { ...page, items: page.items.map(fromRow) };
  }

  /** One token. @throws request.not-found */
  async get(ctx: Context, id: string): Promise<TokenView> {
    const [row] = isUuid(id) ? await this.db.query<TokenRow>(ctx, `${selectToken} where t.id = $1`, [id]) : [];
    if (!row) throw requestProblem('not-found');
    return fromRow(row);
  }

  /** Owner of a token (the user, or the robot's owner) as `can` sees it, or null. */
  async findRef(ctx: Context, id: string): Promise<{ kind: string; id: string; parent: { kind: string; id: string } } | null> {
    if (!isUuid(id)) return null;
    const [row] = await this.db.query<{ owner: string }>(
      ctx, 'select coalesce(a.owner_id, a.id) as owner from access_tokens t join access_accounts a on a.id = t.account_id where t.id = $1', [id]);
    return row ? { kind: 'token', id, parent: accountRef(row.owner) } : null;
  }

  /** What a robot's token is limited to; an empty list of operations where it has no token. */
  async findRobotLimits(ctx: Context, accountId: string): Promise<ActorLimits> {
    const token = await this.db.repo(ctx, Token).findOneBy({ accountId });
    return token?.limits ?? { operations: [] };
  }

  /**
   * Ends a token at once here, within a second elsewhere; the certificates that were issued through it end as well, and a robot's account goes with
   * it. @throws request.not-found
   */
  async revoke(ctx: Context, id: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const [row] = isUuid(id) ? await this.db.query<TokenRow>(tx, `${selectToken} where t.id = $1`, [id]) : [];
      if (!row) throw requestProblem('not-found');
      // In the order of who issues a certificate through the token at this moment.
      await this.db.query(tx, 'select 1 from access_accounts where id = $1 for update', [row.account_id]);
      const certificates = await this.db.query<{ id: string }>(
        tx, 'update access_client_certificates set revoked_at = $2 where token_id = $1 and revoked_at is null returning id', [id, this.clock.now()]);
      await this.db.query(tx, 'delete from access_tokens where id = $1 returning 1', [id]);
      await this.audit.record(tx, {
        action: 'token.revoke', resource: { kind: 'token', id, name: row.name }, outcome: 'success',
        detail: { kind: row.kind, account: row.account_name, ...(certificates.length > 0 ? { certificates: certificates.length } : {}) },
      });
      if (row.kind === 'robot') await this.accounts.removeRobot(tx, row.account_id);
      await this.access.publish(tx, [id, ...certificates.map((certificate) => certificate.id)].map((credentialId) => ({ type: 'credentials' as const, credentialId })));
    });
  }

  /** A credential with which one service pulls the listed repositories and does nothing else. `subject` is opaque (`cluster/service`). */
  async createServiceCredential(
    ctx: Context,
    input: { subject: string; repositoryIds: string[]; expiresAt: Date },
  ): Promise<{ id: string; username: string; password: string; expiresAt: Date }> {
    const id = uuidv7();
    // The last group of a UUIDv7 is random; the first would be the same for all that are made in one moment.
    const username = `service-${id.slice(-12)}`;
    const password = randomSecret(tokenPrefixes.service);
    await this.db.transaction(ctx, async (tx) => {
      await this.db.query(
        tx,
        `insert into access_service_credentials (id, subject, username, repository_ids, secret_hash, created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7)`,
        [id, input.subject, username, input.repositoryIds, this.sealer.hash(password, 'service'), this.clock.now(), input.expiresAt],
      );
      await this.audit.record(tx, {
        action: 'service-credential.create',
        resource: { kind: 'service-credential', id, name: username },
        outcome: 'success',
        detail: { subject: input.subject, repositories: input.repositoryIds, expiresAt: input.expiresAt },
      });
    });
    return { id, username, password, expiresAt: input.expiresAt };
  }

  /** Credentials of a subject that still work, oldest first. */
  async listServiceCredentials(ctx: Context, subject: string): Promise<ServiceCredential[]> {
    return this.db.query<ServiceCredential>(
      ctx,
      `select id, subject, username, repository_ids as "repositoryIds", created_at as "createdAt", expires_at as "expiresAt" from access_service_credentials
       where subject = $1 and revoked_at is null and expires_at > $2 order by id`,
      [subject, this.clock.now()],
    );
  }

  /** Ends a service's credential; doing it again changes nothing. */
  async revokeServiceCredential(ctx: Context, id: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const [row] = await this.db.query<{ username: string; subject: string }>(
        tx, 'update access_service_credentials set revoked_at = $2 where id = $1 and revoked_at is null returning username, subject', [id, this.clock.now()]);
      if (!row) return;
      await this.audit.record(tx, { action: 'service-credential.revoke', resource: { kind: 'service-credential', id, name: row.username }, outcome: 'success', detail: { subject: row.subject } });
      await this.access.publish(tx, [{ type: 'credentials', credentialId: id }]);
    });
  }
}

interface TokenRow {
  id: string;
  kind: 'personal' | 'robot';
  name: string;
  account_id: string;
  account_name: string;
  limits: ActorLimits | null;
  created_at: Date;
  expires_at: Date;
  last_used_at: Date | null;
}

const selectToken = `select t.id, t.kind, t.name, t.account_id, a.name as account_name, t.limits, t.created_at, t.expires_at, t.last_used_at
  from access_tokens t join access_accounts a on a.id = t.account_id`;

function fromRow(row: TokenRow): TokenView {
  return {
    id: row.id, kind: row.kind, name: row.name, account: { id: row.account_id, name: row.account_name }, limits: row.limits,
    createdAt: row.created_at, expiresAt: row.expires_at, lastUsedAt: row.last_used_at,
  };
}

function viewOf(row: Token, account: Account): TokenView {
  const { id, kind, name, limits, createdAt, expiresAt, lastUsedAt } = row;
  return { id, kind, name, account: { id: account.id, name: account.name }, limits, createdAt, expiresAt, lastUsedAt };
}

function assertLimits(ctx: Context, kind: 'personal' | 'robot', limits: ActorLimits | null): void {
  const unknown = limits?.operations?.find((operation) => !isOperation(operation));
  if (unknown !== undefined) throw requestProblem('invalid', { errors: [{ pointer: '/limits/operations', detail: `${unknown} is not an operation; see /api/v1/operations` }] });
  if (limits?.repositories?.some((id) => !isUuid(id))) throw requestProblem('invalid', { errors: [{ pointer: '/limits/repositories', detail: 'repository ids, please' }] });
  if (kind === 'robot' && limits?.operations === undefined) throw accessProblem('token-limits', { errors: [{ pointer: '/limits/operations', detail: 'required for robots' }] });
  const own = ctx.actor.limits;
  const kinds = ['operations', 'repositories', 'collections'] as const;
  if (!kinds.every((of) => isSubset(limits?.[of], own?.[of]))) throw accessProblem('limits-exceeded');
}

function isSubset(wanted: string[] | undefined, allowed: string[] | undefined): boolean {
  return allowed === undefined || (wanted !== undefined && wanted.every((item) => allowed.includes(item)));
}
