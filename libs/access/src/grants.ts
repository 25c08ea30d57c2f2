import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, Db, decodeCursor, isUuid, requestProblem, toPage, uuidv7, type Context, type Page } from '@gantry/platform';
import { Access } from './access';
import { Accounts } from './accounts';
import type { CollectionFacts, GrantFacts } from './decide';
import { accessProblem } from './problems';
import { Roles, type Role } from './roles';
import { Teams, type Team } from './teams';

/** A grant as answers show it. */
export interface GrantView {
  id: string;
  subject: { kind: GrantFacts['subjectKind']; id: string; name: string };
  role: { id: string; name: string };
  /** Where it holds, with everything below; null for a level on one repository. */
  collection: { id: string; path: string } | null;
  repositoryId: string | null;
  createdBy: string;
  createdAt: Date;
}

/** The registry's own levels that teams can have on repositories, with the role behind each. */
export const repositoryLevels = { 'read-only': 'repository-read', 'read-write': 'repository-write', admin: 'repository-admin' } as const;
/** `read-only`, `read-write` or `admin`. */
export type RepositoryLevel = keyof typeof repositoryLevels;

/** What a level is given on: one repository, or everything in an organization's namespace. */
export type LevelTarget = { repositoryId: string; name: string } | { organizationId: string; name: string };

/** A team's level on a repository or namespace. */
export interface LevelView {
  team: { id: string; name: string };
  level: RepositoryLevel;
}

interface Row {
  id: string;
  subject_kind: GrantFacts['subjectKind'];
  subject_id: string;
  subject_name: string;
  role_id: string;
  role_name: string;
  collection_id: string | null;
  collection_path: string | null;
  repository_id: string | null;
  created_by: string;
  created_at: Date;
}

const selection = `
  select g.id, g.subject_kind, g.subject_id, case when g.subject_kind = 'team' then o.name || '/' || t.name else a.name end as subject_name,
         g.role_id, r.name as role_name, g.collection_id, c.path as collection_path, g.repository_id, g.created_by, g.created_at
  from access_grants g join access_roles r on r.id = g.role_id left join access_collections c on c.id = g.collection_id
  left join access_accounts a on g.subject_kind <> 'team' and a.id = g.subject_id
  left join access_teams t on g.subject_kind = 'team' and t.id = g.subject_id left join access_accounts o on o.id = t.organization_id`;

/** Grants: who has which role where. Callers have judged the operation; every change writes its audit row. */
@Injectable()
export class Grants {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly accounts: Accounts,
    private readonly teams: Teams,
    private readonly roles: Roles,
    private readonly audit: Audit,
  ) {}

  /**
   * Gives a user, team or organization a role on a collection and everything below. Asking again for what is there answers it as it is.
   * `subject`: id or name; teams as `organization/team`. `collection`: id or path.
   * @throws request.invalid naming the field that names nothing, access.not-a-user
   */
  async create(ctx: Context, input: { subject: string; role: string; collection: string }): Promise<{ grant: GrantView; made: boolean }> {
    const { subject, role, collection } = await this.read(ctx, input, '');
    return this.put(ctx, { subject, roleId: role.id, roleName: role.name, collectionId: collection.id, repositoryId: null, on: collection.path });
  }

  /** What `create` would make, without making it. `at` stands before the pointers of errors. @throws as `create` */
  async resolve(ctx: Context, input: { subject: string; role: string; collection: string }, at: string): Promise<GrantFacts> {
    const { subject, role, collection } = await this.read(ctx, input, at);
    return { id: uuidv7(), subjectKind: subject.kind, subjectId: subject.id, roleId: role.id, collectionId: collection.id, repositoryId: null };
  }

  private async read(
    ctx: Context, input: { subject: string; role: string; collection: string }, at: string,
  ): Promise<{ subject: GrantView['subject']; role: Role; collection: CollectionFacts }> {
    const [subject, role] = await Promise.all([this.findSubject(ctx, input.subject), this.roles.find(ctx, input.role)]);
    const collection = this.access.listCollectionFacts().get(this.access.findCollection(ctx, input.collection)?.id ?? '');
    const errors = [
      ...(subject ? [] : [{ pointer: `${at}/subject`, detail: 'no such user or organization; teams are named organization/team' }]),
      ...(role ? [] : [{ pointer: `${at}/role`, detail: 'no such role; GET /api/v1/roles lists them' }]),
      ...(collection ? [] : [{ pointer: `${at}/collection`, detail: 'no such collection; GET /api/v1/collections lists them' }]),
    ];
    if (!subject || !role || !collection) throw requestProblem('invalid', { errors });
    return { subject, role, collection };
  }

  /** @throws request.not-found */
  async get(ctx: Context, id: string): Promise<GrantView> {
    const [row] = isUuid(id) ? await this.db.query<Row>(ctx, `${selection} where g.id = $1`, [id]) : [];
    if (!row) throw requestProblem('not-found');
    return toView(row);
  }

  /** Grants in the order in which they were given, narrowed by subject, role and collection (each id or name). */
  async list(ctx: Context, options: { limit: number; cursor?: string; subject?: string; role?: string; collection?: string }): Promise<Page<GrantView>> {
    const subject = options.subject === undefined ? null : await this.findSubject(ctx, options.subject);
    const role = options.role === undefined ? null : await this.roles.find(ctx, options.role);
    const collection = options.collection === undefined ? null : this.access.findCollection(ctx, options.collection);
    if ((options.subject !== undefined && !subject) || (options.role !== undefined && !role) || (options.collection !== undefined && !collection)) return { items: [], next: null };
    const after = decodeCursor(options.cursor, 1)?.[0] ?? null;
    if (after !== null && !isUuid(after)) throw requestProblem('invalid', { errors: [{ pointer: 'query/cursor', detail: 'not a cursor of this list' }] });
    const rows = await this.db.query<Row>(
      ctx,
      `${selection} where ($1::uuid is null or g.id > $1) and ($2::uuid is null or g.subject_id = $2) and ($3::text is null or g.role_id = $3) and ($4::uuid is null or g.collection_id = $4)
       order by g.id limit $5`,
      [after, subject?.id ?? null, role?.id ?? null, collection?.id ?? null, options.limit + 1],
    );
    return toPage(rows.map(toView), options.limit, (grant) => [grant.id]);
  }

  /** Takes a grant back. @throws request.not-found */
  async delete(ctx: Context, id: string): Promise<void> {
    const grant = await this.get(ctx, id);
    await this.db.transaction(ctx, async (tx) => this.remove(tx, grant, grant.collection?.path ?? `repository ${grant.repositoryId ?? ''}`));
  }

  /** Levels that teams have on a repository or namespace, by the team's name. */
  async listLevels(ctx: Context, target: LevelTarget): Promise<LevelView[]> {
    const rows = await this.levels(ctx, target, null);
    return rows.map((row) => ({ team: { id: row.subject_id, name: row.subject_name }, level: levelOf(row.role_id) }));
  }

  /**
   * Gives a team a level on a repository, or on all repositories of its organization's namespace; it takes the place of another.
   * `organizationId`: who owns the target; only its teams can have levels. @throws request.not-found (no such team there)
   */
  async putLevel(ctx: Context, target: LevelTarget, organizationId: string, team: string, level: RepositoryLevel): Promise<LevelView> {
    return this.db.transaction(ctx, async (tx) => {
      const found = await this.teams.get(tx, organizationId, team);
      const subject = await this.teamSubject(tx, found);
      for (const row of await this.levels(tx, target, found.id)) if (row.role_id !== repositoryLevels[level]) await this.remove(tx, toView(row), target.name);
      await this.put(tx, {
        subject, roleId: repositoryLevels[level], roleName: repositoryLevels[level], on: target.name,
        collectionId: 'organizationId' in target ? target.organizationId : null, repositoryId: 'repositoryId' in target ? target.repositoryId : null,
      });
      return { team: { id: found.id, name: subject.name }, level };
    });
  }

  /** Takes a team's level back. @throws request.not-found when it has none */
  async deleteLevel(ctx: Context, target: LevelTarget, organizationId: string, team: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const found = await this.teams.get(tx, organizationId, team);
      const rows = await this.levels(tx, target, found.id);
      if (rows.length === 0) throw requestProblem('not-found');
      for (const row of rows) await this.remove(tx, toView(row), target.name);
    });
  }

  /** Ends the levels on a repository, in the transaction that deletes it. */
  async forgetRepository(tx: Context, repositoryId: string): Promise<void> {
    const rows = await this.db.query<{ id: string }>(tx, 'delete from access_grants where repository_id = $1 returning id', [repositoryId]);
    if (rows.length > 0) await this.access.publish(tx, rows.map(({ id }) => ({ type: 'grant-removed' as const, id })));
  }

  /** The role that a new user gets on `/Shared`; `none` for nothing. */
  async defaultRole(ctx: Context): Promise<{ role: string; version: number }> {
    const [row] = await this.db.query<{ role: string; version: number }>(
      ctx, 'select r.name as role, s.version from access_settings s join access_roles r on r.id = s.default_role_id where s.id = 1');
    if (!row) throw new Error('access_settings has no row');
    return row;
  }

  /** Changes the role that new users get; those who are there keep what they have. @throws request.invalid, request.precondition-failed */
  async setDefaultRole(ctx: Context, version: number, name: string): Promise<{ role: string; version: number }> {
    return this.db.transaction(ctx, async (tx) => {
      const role = await this.roles.find(tx, name);
      if (!role) throw requestProblem('invalid', { errors: [{ pointer: '/role', detail: 'no such role; GET /api/v1/roles lists them' }] });
      const changed = await this.db.query(tx, 'update access_settings set default_role_id = $1, version = version + 1 where id = 1 and version = $2 returning 1', [role.id, version]);
      if (changed.length === 0) throw requestProblem('precondition-failed');
      await this.audit.record(tx, { action: 'access.update-settings', outcome: 'success', resource: { kind: 'role', id: role.id, name: role.name }, detail: { defaultRole: role.name } });
      return this.defaultRole(tx);
    });
  }

  private async put(
    ctx: Context, wish: { subject: GrantView['subject']; roleId: string; roleName: string; collectionId: string | null; repositoryId: string | null; on: string },
  ): Promise<{ grant: GrantView; made: boolean }> {
    return this.db.transaction(ctx, async (tx) => {
      const { subject, roleId, collectionId, repositoryId } = wish;
      if (collectionId !== null) {
        const [locked] = await this.db.query(tx, 'select 1 from access_collections where id = $1 for share', [collectionId]);
        if (!locked) throw requestProblem('invalid', { errors: [{ pointer: '/collection', detail: 'no such collection' }] });
      }
      const [role] = await this.db.query(tx, 'select 1 from access_roles where id = $1 for share', [roleId]);
      if (!role) throw requestProblem('invalid', { errors: [{ pointer: '/role', detail: 'no such role' }] });
      const [made] = await this.db.query<{ id: string }>(
        tx,
        `insert into access_grants (id, subject_kind, subject_id, role_id, collection_id, repository_id, created_by, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict do nothing returning id`,
        [uuidv7(), subject.kind, subject.id, roleId, collectionId, repositoryId, tx.actor.name, this.clock.now()],
      );
      if (!made) {
        const [known] = await this.db.query<Row>(
          tx, `${selection} where g.subject_id = $1 and g.role_id = $2 and g.collection_id is not distinct from $3 and g.repository_id is not distinct from $4`, [subject.id, roleId, collectionId, repositoryId]);
        if (!known) throw requestProblem('precondition-failed', { detail: 'The grant was taken back at this moment; try again.' });
        return { grant: toView(known), made: false };
      }
      await this.audit.record(tx, {
        action: 'grant.create', outcome: 'success', resource: { kind: 'grant', id: made.id, name: `${subject.name}: ${wish.roleName} on ${wish.on}` },
        detail: { subject, role: wish.roleName, collectionId, repositoryId },
      });
      await this.access.publish(tx, [{ type: 'grant', grant: { id: made.id, subjectKind: subject.kind, subjectId: subject.id, roleId, collectionId, repositoryId } }]);
      return { grant: await this.get(tx, made.id), made: true };
    });
  }

  private async remove(tx: Context, grant: GrantView, on: string): Promise<void> {
    const removed = await this.db.query(tx, 'delete from access_grants where id = $1 returning 1', [grant.id]);
    if (removed.length === 0) throw requestProblem('not-found');
    await this.audit.record(tx, {
      action: 'grant.delete', outcome: 'success', resource: { kind: 'grant', id: grant.id, name: `${grant.subject.name}: ${grant.role.name} on ${on}` },
      detail: { subject: grant.subject, role: grant.role.name, collectionId: grant.collection?.id ?? null, repositoryId: grant.repositoryId },
    });
    await this.access.publish(tx, [{ type: 'grant-removed', id: grant.id }]);
  }

  private async levels(ctx: Context, target: LevelTarget, teamId: string | null): Promise<Row[]> {
    const [column, id] = 'organizationId' in target ? ['collection_id', target.organizationId] : ['repository_id', target.repositoryId];
    return this.db.query<Row>(
      ctx, `${selection} where g.${column} = $1 and g.subject_kind = 'team' and g.role_id = any($2) and ($3::uuid is null or g.subject_id = $3) order by subject_name`,
      [id, Object.values(repositoryLevels), teamId]);
  }

  private async teamSubject(ctx: Context, team: Team): Promise<GrantView['subject']> {
    const org = await this.accounts.get(ctx, team.organizationId);
    return { kind: 'team', id: team.id, name: `${org.name}/${team.name}` };
  }

  private async findSubject(ctx: Context, name: string): Promise<GrantView['subject'] | null> {
    const account = name.includes('/') ? null : await this.accounts.find(ctx, name);
    if (account?.kind === 'robot') throw accessProblem('not-a-user', { detail: 'A robot acts for its owner: give the role to the owner, and narrow the robot by its limits.' });
    if (account) return { kind: account.kind === 'organization' ? 'organization' : 'user', id: account.id, name: account.name };
    const team = await this.teams.findByPath(ctx, name);
    return team && this.teamSubject(ctx, team);
  }
}

function levelOf(roleId: string): RepositoryLevel {
  const [level] = Object.entries(repositoryLevels).find(([, role]) => role === roleId) ?? [];
  if (level === undefined) throw new Error(`${roleId} is no level`);
  return level as RepositoryLevel;
}

function toView(row: Row): GrantView {
  return {
    id: row.id, subject: { kind: row.subject_kind, id: row.subject_id, name: row.subject_name }, role: { id: row.role_id, name: row.role_name },
    collection: row.collection_id === null ? null : { id: row.collection_id, path: row.collection_path ?? '' }, repositoryId: row.repository_id,
    createdBy: row.created_by, createdAt: row.created_at,
  };
}
