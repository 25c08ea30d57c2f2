import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import {
  Clock, CONFIG, Db, decodeCursor, isUniqueViolation, isUuid, LOGGER, requestProblem, toPage, uuidv7, type Config, type Context, type Logger, type Page,
} from '@gantry/platform';
import { Access, organizationsCollectionId, privateCollectionId, sharedCollectionId } from './access';
import type { AccountFacts, CollectionFacts, ResourceRef } from './decide';
import { Account, type AccountKind, type AccountSource, type MemberRole } from './entities';
import { adminName, assertLocalName, assertNamespace, isDirectoryName, isReservedName, nameKey, namespaceOf } from './names';
import { assertPasswordRule, hashPassword, verifyPassword } from './passwords';
import { accessProblem } from './problems';
import { SignInLimits } from './sign-in-limits';
import type { Change } from './snapshot';

/** Advisory lock under which the first administrator is made. */
const adminLock = 7_263_004;

/** A member of an organization as lists show it. */
export interface MemberView {
  user: { id: string; name: string };
  role: MemberRole;
  createdAt: Date;
}

interface NewAccount {
  source: AccountSource;
  /** Null: the account's own id. */
  externalId: string | null;
  kind: AccountKind;
  name: string;
  displayName?: string | null;
  mail?: string | null;
  passwordHash?: string | null;
  admin?: boolean;
  ownerId?: string | null;
}

/** Users, robots and organizations, and who belongs to which organization. Callers have judged the operation; every change writes its audit row. */
@Injectable()
export class Accounts {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly limits: SignInLimits,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** A local user. Without a password it can't sign in until one is set. @throws access.name-taken, name-invalid, name-reserved, password-rule */
  async createUser(ctx: Context, input: { name: string; password?: string; admin?: boolean; displayName?: string | null; mail?: string | null }): Promise<Account> {
    assertLocalName(input.name);
    if (input.password !== undefined) assertPasswordRule(input.password);
    const passwordHash = input.password === undefined ? null : await hashPassword(input.password);
    const { name, displayName, mail, admin } = input;
    return this.create(ctx, { source: 'local', externalId: null, kind: 'user', name, passwordHash, admin, displayName, mail }, 'user.create');
  }

  /** An organization: owns things, has members. @throws access.name-taken, name-invalid, name-reserved */
  async createOrganization(ctx: Context, input: { name: string; displayName?: string | null }): Promise<Account> {
    assertLocalName(input.name);
    return this.create(ctx, { source: 'local', externalId: null, kind: 'organization', name: input.name, displayName: input.displayName }, 'organization.create');
  }

  /** A robot `<owner>+<name>` that acts for its owner; `Tokens` makes it together with its token. @throws access.name-taken, name-invalid */
  async createRobot(ctx: Context, owner: Account, name: string): Promise<Account> {
    assertLocalName(name);
    if (owner.kind === 'robot') throw accessProblem('not-a-user', { detail: 'A robot can’t own robots.' });
    return this.create(ctx, { source: 'local', externalId: null, kind: 'robot', name: `${owner.name}+${name}`, ownerId: owner.id }, 'robot.create');
  }

  /** The account of a directory entry on its first sign-in; it has no rights until some are given. @throws access.name-taken */
  async createFromDirectory(ctx: Context, entry: { externalId: string; username: string; displayName: string | null; mail: string | null }): Promise<Account> {
    const { externalId, username: name, displayName, mail } = entry;
    // `admin` and the like belong to this system, whoever bears them in the directory.
    if (!isDirectoryName(name) || isReservedName(name)) throw accessProblem('name-taken', { detail: 'The name that the directory gives can’t be used here; ask an administrator.' });
    return this.create(ctx, { source: 'ldap', externalId, kind: 'user', name, displayName, mail }, 'user.create');
  }

  /** As `createFromDirectory`, for many at once; answers in order each one's account, or null where the name is taken or can't be used. */
  async createManyFromDirectory(ctx: Context, entries: readonly { externalId: string; username: string; displayName: string | null; mail: string | null }[]): Promise<(Account | null)[]> {
    const usable = entries.filter(({ username }) => isDirectoryName(username) && !isReservedName(username));
    const made = await this.db.transaction(ctx, (tx) =>
      this.insertAll(tx, usable.map(({ externalId, username: name, displayName, mail }) => ({ source: 'ldap', externalId, kind: 'user', name, displayName, mail })), 'user.create'));
    const byEntry = new Map(usable.map((entry, index) => [entry, made[index] ?? null]));
    return entries.map((entry) => byEntry.get(entry) ?? null);
  }

  /** Of these names of the directory's those that no new account can get. */
  async findTakenNames(ctx: Context, names: readonly string[]): Promise<Set<string>> {
    const keys = names.map(nameKey);
    const rows = await this.db.query<{ name_key: string; namespace: string | null }>(
      ctx, 'select name_key, namespace from access_accounts where name_key = any($1) or namespace = any($1)', [keys]);
    const used = new Set(rows.flatMap((row) => [row.name_key, row.namespace]));
    return new Set(names.filter((name, index) => !isDirectoryName(name) || isReservedName(name) || used.has(keys[index]!) || used.has(namespaceOf(name))));
  }

  private async create(ctx: Context, input: NewAccount, action: string): Promise<Account> {
    return this.db.transaction(ctx, async (tx) => {
      const [account] = await this.insertAll(tx, [input], action);
      if (!account) throw accessProblem('name-taken', { errors: [{ pointer: '/name', detail: 'taken' }] });
      return account;
    });
  }

  /** Makes accounts with what belongs to them; null for those whose name is taken. */
  private async insertAll(tx: Context, inputs: NewAccount[], action: string): Promise<(Account | null)[]> {
    if (inputs.length === 0) return [];
    const rows = inputs.map((input) => {
      const id = uuidv7();
      return {
        id, source: input.source, external_id: input.externalId ?? id, kind: input.kind, name: input.name, name_key: nameKey(input.name), namespace: input.kind === 'robot' ? null : namespaceOf(input.name),
        display_name: input.displayName ?? null, mail: input.mail ?? null, password_hash: input.passwordHash ?? null, admin: input.admin ?? false, owner_id: input.ownerId ?? null,
      };
    });
    // A name is never shared or merged, whatever the other account's source and kind: the unique index on the key decides.
    await this.db.query(
      tx,
      `insert into access_accounts (id, source, external_id, kind, name, name_key, namespace, display_name, mail, password_hash, admin, owner_id, created_at)
       select r.*, $2::timestamptz from jsonb_to_recordset($1::jsonb) as r(id uuid, source text, external_id text, kind text, name text, name_key text, namespace text, display_name text, mail text,
         password_hash text, admin boolean, owner_id uuid) on conflict do nothing`,
      [JSON.stringify(rows), this.clock.now()],
    );
    const made = new Map((await this.db.load(tx, Account, 'where id = any($1)', [rows.map(({ id }) => id)])).map((account) => [account.id, account]));
    const accounts = rows.map(({ id }) => made.get(id) ?? null);
    const changes: Change[] = [];
    for (const account of accounts) {
      if (!account) continue;
      await this.audit.record(tx, {
        action,
        resource: { kind: 'account', id: account.id, name: account.name },
        outcome: 'success',
        detail: { kind: account.kind, source: account.source, admin: account.admin, ownerId: account.ownerId },
      });
      changes.push({ type: 'account', account: factsOf(account) });
    }
    for (const collection of await this.createCollections(tx, [...made.values()])) changes.push({ type: 'collection', collection });
    await this.access.publish(tx, changes);
    await this.giveDefaultRole(tx, [...made.values()].filter(({ kind }) => kind === 'user'));
    return accounts;
  }

  private async giveDefaultRole(tx: Context, accounts: Account[]): Promise<void> {
    const [settings] = await this.db.query<{ role: string }>(tx, `select default_role_id as role from access_settings where default_role_id <> 'none'`);
    if (!settings) return;
    for (const account of accounts) {
      const id = uuidv7();
      await this.db.query(
        tx, `insert into access_grants (id, subject_kind, subject_id, role_id, collection_id, created_by, created_at) values ($1, 'user', $2, $3, $4, 'default role', $5)`,
        [id, account.id, settings.role, sharedCollectionId, this.clock.now()]);
      await this.audit.record(tx, {
        action: 'grant.create', outcome: 'success', resource: { kind: 'grant', id, name: `${account.name}: ${settings.role} on /Shared` },
        detail: { subject: { kind: 'user', id: account.id, name: account.name }, role: settings.role, collectionId: sharedCollectionId, repositoryId: null },
      });
      await this.access.publish(tx, [
        { type: 'grant', grant: { id, subjectKind: 'user', subjectId: account.id, roleId: settings.role, collectionId: sharedCollectionId, repositoryId: null } },
      ]);
    }
  }

  private async createCollections(tx: Context, accounts: Account[]): Promise<CollectionFacts[]> {
    const collections = accounts.filter(({ kind }) => kind !== 'robot').map((account): CollectionFacts => {
      const organization = account.kind === 'organization';
      return {
        id: this.access.accountCollection(account.id), parentId: organization ? organizationsCollectionId : privateCollectionId,
        path: `${organization ? '/Organizations' : '/Shared/Private'}/${account.name}`, ownerId: account.id,
      };
    });
    await this.db.query(
      tx,
      `insert into access_collections (id, parent_id, path, owner_id)
       select * from jsonb_to_recordset($1::jsonb) as r(id uuid, "parentId" uuid, path text, "ownerId" uuid)`, [JSON.stringify(collections)]);
    return collections;
  }

  /** By id or name (without regard to case). @throws request.not-found */
  async get(ctx: Context, idOrName: string): Promise<Account> {
    const account = await this.find(ctx, idOrName);
    if (!account) throw requestProblem('not-found');
    return account;
  }

  /** By id or name (without regard to case), or null. */
  async find(ctx: Context, idOrName: string): Promise<Account | null> {
    if (isUuid(idOrName)) return this.db.repo(ctx, Account).findOneBy({ id: idOrName });
    if (idOrName.includes('\0')) return null;
    return this.db.repo(ctx, Account).createQueryBuilder('account').where('account.name_key = :key', { key: nameKey(idOrName) }).getOne();
  }

  /** Reference for `can`, or null. */
  async findRef(ctx: Context, idOrName: string): Promise<ResourceRef | null> {
    const account = await this.find(ctx, idOrName);
    return account ? accountRef(account.id) : null;
  }

  /** By id or name, if it is of that kind. @throws request.not-found */
  async getOfKind(ctx: Context, idOrName: string, kind: AccountKind): Promise<Account> {
    const account = await this.get(ctx, idOrName);
    if (account.kind !== kind) throw requestProblem('not-found');
    return account;
  }

  /** The account that a source knows by its immutable id, or null. */
  async findExternal(ctx: Context, source: AccountSource, externalId: string): Promise<Account | null> {
    return this.db.repo(ctx, Account).findOneBy({ source, externalId });
  }

  /** Accounts that the actor may see, oldest first. */
  async list(ctx: Context, options: { limit: number; cursor?: string; kind?: AccountKind; owner?: string }): Promise<Page<Account>> {
    const scope = this.access.listScope(ctx, 'account:view', 'account');
    const query = this.db.repo(ctx, Account).createQueryBuilder('account').orderBy('account.id', 'ASC').limit(options.limit + 1);
    if (scope) query.andWhere('(account.id = any(:owners) or account.ownerId = any(:owners))', { owners: scope.owners });
    if (options.kind) query.andWhere('account.kind = :kind', { kind: options.kind });
    if (options.owner !== undefined) query.andWhere('account.ownerId = :owner', { owner: options.owner });
    const after = decodeCursor(options.cursor, 1)?.[0];
    if (after !== undefined && !isUuid(after)) throw requestProblem('invalid', { errors: [{ pointer: 'query/cursor', detail: 'not a cursor of this list' }] });
    if (after !== undefined) query.andWhere('account.id > :after', { after });
    const page = toPage(await query.getMany(), options.limit, (account) => [account.id]);
    return { ...page, items: this.access.filter(ctx, 'account:view', page.items, (account) => accountRef(account.id)) };
  }

  /**
   * Changes a user or organization. Deactivating ends its sessions; its tokens do nothing from then on, on every replica within a second.
   * A namespace is set where there is none, in lower case, and stays.
   * @throws request.not-found, request.precondition-failed, access.last-admin, access.not-a-user, access.namespace-set, namespace-invalid, name-taken
   */
  async update(
    ctx: Context,
    idOrName: string,
    version: number,
    change: { active?: boolean; admin?: boolean; displayName?: string | null; mail?: string | null; namespace?: string },
  ): Promise<Account> {
    return this.db.transaction(ctx, async (tx) => {
      const before = await this.lock(tx, (await this.get(tx, idOrName)).id);
      if (before.version !== version) throw requestProblem('precondition-failed');
      if (change.admin === true && before.kind !== 'user') throw accessProblem('not-a-user', { errors: [{ pointer: '/admin', detail: 'only users' }] });
      const wish = { ...definedOnly(change), ...(change.namespace === undefined ? {} : { namespace: newNamespace(before, change.namespace) }) };
      const after: Account = { ...before, ...wish, version: before.version + 1 };
      if (before.admin && before.active && !(after.admin && after.active)) await this.assertOtherAdmin(tx, before.id);
      await this.write(tx, after);
      if (!after.active) await this.endSessions(tx, after.id, null);
      // Who opens or closes an account takes the decision away from the directory.
      if (change.active !== undefined) await this.db.query(tx, 'update access_directory_people set left_at = null, left_reason = null where account_id = $1 returning 1', [after.id]);
      await this.audit.record(tx, { action: 'account.update', resource: { kind: 'account', id: after.id, name: after.name }, outcome: 'success', detail: wish });
      await this.access.publish(tx, [{ type: 'account', account: factsOf(after) }]);
      return after;
    });
  }

  private async write(tx: Context, account: Account): Promise<void> {
    try {
      await this.db.query(
        tx,
        `update access_accounts set active = $2, admin = $3, display_name = $4, mail = $5, namespace = $6, version = $7 where id = $1 returning 1`,
        [account.id, account.active, account.admin, account.displayName, account.mail, account.namespace, account.version],
      );
    } catch (error) {
      if (isUniqueViolation(error, 'access_accounts_namespace')) throw accessProblem('name-taken', { errors: [{ pointer: '/namespace', detail: 'taken' }], cause: error });
      throw error;
    }
  }

  /** Removes a robot's account with its tokens; its name is free again. */
  async removeRobot(ctx: Context, id: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const robot = await this.getById(tx, id);
      if (robot.kind !== 'robot') throw requestProblem('not-found');
      await this.db.query(tx, 'delete from access_accounts where id = $1 returning 1', [id]);
      await this.audit.record(tx, { action: 'robot.delete', resource: { kind: 'account', id, name: robot.name }, outcome: 'success' });
      await this.access.publish(tx, [{ type: 'account-removed', id }]);
    });
  }

  /** Makes a user a member, or gives a member another role. @throws request.not-found, access.not-a-user */
  async addMember(ctx: Context, organization: string, user: string, role: MemberRole): Promise<MemberView> {
    return this.db.transaction(ctx, async (tx) => {
      const org = await this.getOfKind(tx, organization, 'organization');
      const account = await this.get(tx, user);
      if (account.kind !== 'user') throw accessProblem('not-a-user');
      const [row] = await this.db.query<{ created_at: Date }>(
        tx,
        `insert into access_members (organization_id, user_id, role, created_at) values ($1, $2, $3, $4)
         on conflict (organization_id, user_id) do update set role = excluded.role returning created_at`,
        [org.id, account.id, role, this.clock.now()],
      );
      await this.audit.record(tx, {
        action: 'organization.add-member', resource: { kind: 'account', id: org.id, name: org.name }, outcome: 'success', detail: { user: account.name, userId: account.id, role },
      });
      await this.access.publish(tx, [{ type: 'member', organizationId: org.id, userId: account.id, role }]);
      return { user: { id: account.id, name: account.name }, role, createdAt: row!.created_at };
    });
  }

  /** Ends a membership. @throws request.not-found when there is none */
  async removeMember(ctx: Context, organization: string, user: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const org = await this.getOfKind(tx, organization, 'organization');
      const account = await this.get(tx, user);
      const removed = await this.db.query(tx, 'delete from access_members where organization_id = $1 and user_id = $2 returning 1', [org.id, account.id]);
      if (removed.length === 0) throw requestProblem('not-found');
      const teams = await this.db.query<{ team_id: string }>(
        tx, 'delete from access_team_members where user_id = $2 and team_id in (select id from access_teams where organization_id = $1) returning team_id', [org.id, account.id]);
      await this.audit.record(tx, {
        action: 'organization.remove-member', resource: { kind: 'account', id: org.id, name: org.name }, outcome: 'success', detail: { user: account.name, userId: account.id, teams: teams.length },
      });
      await this.access.publish(tx, [
        { type: 'member', organizationId: org.id, userId: account.id, role: null },
        ...teams.map(({ team_id }) => ({ type: 'team-member' as const, teamId: team_id, userId: account.id, administers: null })),
      ]);
    });
  }

  /** Members of an organization by name. @throws request.not-found */
  async listMembers(ctx: Context, organization: string, options: { limit: number; cursor?: string }): Promise<Page<MemberView>> {
    const org = await this.getOfKind(ctx, organization, 'organization');
    const rows = await this.db.query<{ id: string; name: string; name_key: string; role: MemberRole; created_at: Date }>(
      ctx,
      `select a.id, a.name, a.name_key, m.role, m.created_at from access_members m join access_accounts a on a.id = m.user_id
       where m.organization_id = $1 and ($2::text is null or a.name_key > $2) order by a.name_key limit $3`,
      [org.id, decodeCursor(options.cursor, 1)?.[0] ?? null, options.limit + 1],
    );
    const page = toPage(rows, options.limit, (row) => [row.name_key]);
    return { ...page, items: page.items.map((row) => ({ user: { id: row.id, name: row.name }, role: row.role, createdAt: row.created_at })) };
  }

  /** Organizations to which a user belongs, with its role. */
  async organizationsOf(ctx: Context, accountId: string): Promise<{ id: string; name: string; role: MemberRole }[]> {
    return this.db.query<{ id: string; name: string; role: MemberRole }>(
      ctx, 'select a.id, a.name, m.role from access_members m join access_accounts a on a.id = m.organization_id where m.user_id = $1 order by a.name_key', [accountId]);
  }

  /**
   * First boot: makes the local administrator `admin` with this password, unless there is any administrator. Safe to call by several processes.
   * Answers whether it made one. @throws access.password-rule
   */
  async ensureAdmin(ctx: Context, password: string): Promise<boolean> {
    const some = await this.db.query(ctx, 'select 1 from access_accounts where admin limit 1');
    if (some.length > 0) return false;
    assertPasswordRule(password);
    const passwordHash = await hashPassword(password);
    return this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'select pg_advisory_xact_lock($1)', [adminLock]);
      const made = await this.db.query(tx, 'select 1 from access_accounts where admin limit 1');
      if (made.length > 0) return false;
      await this.create(tx, { source: 'local', externalId: null, kind: 'user', name: adminName, passwordHash, admin: true, displayName: 'Recovery administrator' }, 'user.create');
      return true;
    });
  }

  /**
   * Gives the recovery administrator a new password and all that it needs to sign in with it: it is there, active and an administrator, without a
   * second factor and without failures. For the `reset-admin` command. @throws access.password-rule
   */
  async recoverAdmin(ctx: Context, password: string): Promise<void> {
    assertPasswordRule(password);
    const passwordHash = await hashPassword(password);
    await this.db.transaction(ctx, async (tx) => {
      const known = await this.find(tx, adminName);
      const before = known
        ? await this.lock(tx, known.id)
        : await this.create(tx, { source: 'local', externalId: null, kind: 'user', name: adminName, admin: true, displayName: 'Recovery administrator' }, 'user.create');
      const after: Account = { ...before, active: true, admin: true, version: before.version + 1 };
      await this.write(tx, after);
      await this.storePassword(tx, after, passwordHash, null);
      const removed = await this.db.query(tx, 'delete from access_second_factors where account_id = $1 and confirmed_at is not null returning 1', [after.id]);
      if (removed.length > 0) await this.audit.record(tx, { action: 'second-factor.remove', resource: { kind: 'account', id: after.id, name: after.name }, outcome: 'success' });
      await this.limits.forget(tx, { id: after.id, name: nameKey(after.name) });
      await this.audit.record(tx, {
        action: 'account.recover', resource: { kind: 'account', id: after.id, name: after.name }, outcome: 'success',
        detail: { wasActive: before.active, wasAdmin: before.admin, hadSecondFactor: removed.length > 0 },
      });
      await this.access.publish(tx, [{ type: 'account', account: factsOf(after) }]);
    });
  }

  /** Sets a local user's password and ends its sessions. For administrators. @throws request.not-found, access.password-not-local, access.password-rule */
  async resetPassword(ctx: Context, idOrName: string, password: string): Promise<void> {
    const account = await this.get(ctx, idOrName);
    await this.setPassword(ctx, account, password, '/password', null);
  }

  /**
   * Changes the actor’s own password and ends its other sessions. The administrator’s password file is removed with the first change.
   * @throws access.wrong-current-password, access.password-not-local, access.password-rule, access.too-many-failures
   */
  async changePassword(ctx: Context, input: { current: string; next: string }): Promise<void> {
    const account = await this.getSelf(ctx);
    if (account.source !== 'local') throw accessProblem('password-not-local');
    await this.assertCurrentPassword(ctx, account, input.current, { action: 'account.change-password', pointer: '/current' });
    await this.setPassword(ctx, account, input.next, '/next', ctx.actor.credentialId);
  }

  /** The account of the person who acts. @throws access.not-a-user */
  async getSelf(ctx: Context): Promise<Account> {
    if (ctx.actor.kind !== 'user' || ctx.actor.id === null) throw accessProblem('not-a-user');
    return this.getById(ctx, ctx.actor.id);
  }

  /**
   * Asks for the password of somebody who is signed in, before what a stolen session must not do. `action` is what is refused, `pointer` the password's
   * field. @throws access.wrong-current-password, access.too-many-failures
   */
  async assertCurrentPassword(ctx: Context, account: Account, password: string, wish: { action: string; pointer: string }): Promise<void> {
    const [row] = await this.db.query<{ password_hash: string | null }>(ctx, 'select password_hash from access_accounts where id = $1', [account.id]);
    // Somebody with a stolen session must not be able to try passwords faster than at the sign-in.
    const attempt = await this.limits.attempt(ctx, nameKey(account.name));
    if (!(await verifyPassword(password, row?.password_hash ?? null))) {
      await this.audit.recordRefusal(ctx, {
        action: wish.action, resource: { kind: 'account', id: account.id, name: account.name }, outcome: 'refused', detail: { code: 'access.wrong-current-password' },
      });
      throw accessProblem('wrong-current-password', { errors: [{ pointer: wish.pointer, detail: 'not the current password' }] });
    }
    await attempt.succeeded();
  }

  private async setPassword(ctx: Context, account: Account, password: string, pointer: string, keepSession: string | null): Promise<void> {
    if (account.kind !== 'user' || account.source !== 'local') throw accessProblem('password-not-local');
    assertPasswordRule(password, pointer);
    const hash = await hashPassword(password);
    await this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'update access_accounts set version = version + 1 where id = $1 returning 1', [account.id]);
      await this.storePassword(tx, account, hash, keepSession);
    });
  }

  private async storePassword(tx: Context, account: Account, hash: string, keepSession: string | null): Promise<void> {
    await this.db.query(tx, 'update access_accounts set password_hash = $2 where id = $1 returning 1', [account.id, hash]);
    await this.endSessions(tx, account.id, keepSession);
    await this.audit.record(tx, { action: 'account.change-password', resource: { kind: 'account', id: account.id, name: account.name }, outcome: 'success' });
    if (nameKey(account.name) === adminName) await this.db.afterCommit(tx, () => this.removeAdminPasswordFile());
  }

  private async removeAdminPasswordFile(): Promise<void> {
    const file = this.config.adminPasswordFile ?? join(this.config.home, 'admin-password');
    // A secret mounted read-only can't be removed; it has no effect any more in any case.
    await rm(file, { force: true }).catch((error: Error) => this.logger.info({ file, error: error.message }, 'the first password’s file could not be removed'));
  }

  /**
   * Ends an account's client certificates, its sessions but one, and the sign-ins that are under way, in the context's transaction: what proves the
   * account has changed. These and remembered passwords are void at once here and within a second elsewhere.
   */
  async endSessions(tx: Context, accountId: string, keep: string | null): Promise<void> {
    await this.db.query(tx, 'update access_accounts set sign_in_epoch = sign_in_epoch + 1 where id = $1 returning 1', [accountId]);
    await this.db.query(tx, 'delete from access_sessions where account_id = $1 and ($2::uuid is null or id <> $2) returning 1', [accountId, keep]);
    await this.db.query(tx, 'update access_client_certificates set revoked_at = $2 where account_id = $1 and revoked_at is null returning 1', [accountId, this.clock.now()]);
    await this.access.publish(tx, [{ type: 'credentials', accountId }]);
  }

  private async assertOtherAdmin(tx: Context, id: string): Promise<void> {
    await this.db.query(tx, 'select pg_advisory_xact_lock($1)', [adminLock]);
    const others = await this.db.query(
      tx, `select 1 from access_accounts where admin and active and source = 'local' and password_hash is not null and id <> $1 limit 1`, [id]);
    if (others.length === 0) throw accessProblem('last-admin');
  }

  private async lock(tx: Context, id: string): Promise<Account> {
    const account = await this.db.repo(tx, Account).findOne({ where: { id }, lock: { mode: 'pessimistic_write' } });
    if (!account) throw requestProblem('not-found');
    return account;
  }

  private async getById(ctx: Context, id: string): Promise<Account> {
    const account = await this.db.repo(ctx, Account).findOneBy({ id });
    if (!account) throw requestProblem('not-found');
    return account;
  }
}

/** Reference of an account for `can`. */
export function accountRef(id: string): ResourceRef {
  return { kind: 'account', id };
}

/** The namespace that an account without one may have. @throws access.namespace-set, access.namespace-invalid, access.not-a-user */
function newNamespace(account: Account, wish: string): string {
  if (account.kind === 'robot') throw accessProblem('not-a-user', { errors: [{ pointer: '/namespace', detail: 'robots have none' }] });
  const namespace = assertNamespace(wish);
  if (account.namespace !== null && account.namespace !== namespace) throw accessProblem('namespace-set', { errors: [{ pointer: '/namespace', detail: `it is ${account.namespace}` }] });
  return namespace;
}

/** What the snapshot keeps of an account. */
export function factsOf(account: Account): AccountFacts {
  const { id, kind, name, namespace, admin, active, ownerId } = account;
  return { id, kind, name, namespace, admin, active, ownerId };
}

function definedOnly<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Partial<T>;
}
