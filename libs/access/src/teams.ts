import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, Db, decodeCursor, isUuid, requestProblem, toPage, uuidv7, type Context, type Page } from '@gantry/platform';
import { Access } from './access';
import { accountRef, Accounts } from './accounts';
import type { ResourceRef } from './decide';
import type { Change } from './snapshot';
import { accessProblem } from './problems';

/** Some members of one organization. */
export interface Team {
  id: string;
  organizationId: string;
  name: string;
  description: string;
  createdAt: Date;
  /** Grows with each change (ETag). */
  version: number;
}

/** How somebody came into a team: by hand, or by a group of the directory. Who came both ways stays until both have ended. */
export type TeamOrigin = 'manual' | 'directory';

/** A member of a team as lists show it. */
export interface TeamMemberView {
  user: { id: string; name: string };
  /** May change the team and its members. */
  admin: boolean;
  origins: TeamOrigin[];
}

interface Row {
  id: string;
  organization_id: string;
  name: string;
  description: string;
  created_at: Date;
  version: number;
}

const teamName = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;
const columns = 'id, organization_id, name, description, created_at, version';

/** Teams of organizations and who is in them. Callers have judged the operation; every change writes its audit row. */
@Injectable()
export class Teams {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly accounts: Accounts,
    private readonly audit: Audit,
  ) {}

  /** @throws request.not-found, access.team-name-taken, request.invalid */
  async create(ctx: Context, organization: string, input: { name: string; description?: string }): Promise<Team> {
    checkName(input.name);
    return this.db.transaction(ctx, async (tx) => {
      const org = await this.accounts.getOfKind(tx, organization, 'organization');
      const id = uuidv7();
      const made = await this.db.query(
        tx, 'insert into access_teams (id, organization_id, name, description, created_at) values ($1, $2, $3, $4, $5) on conflict do nothing returning 1',
        [id, org.id, input.name, input.description ?? '', this.clock.now()]);
      if (made.length === 0) throw accessProblem('team-name-taken', { errors: [{ pointer: '/name', detail: 'taken' }] });
      await this.audit.record(tx, { action: 'team.create', outcome: 'success', resource: { kind: 'team', id, name: `${org.name}/${input.name}` }, detail: { organizationId: org.id } });
      await this.access.publish(tx, [{ type: 'team', team: { id, organizationId: org.id, name: input.name } }]);
      return this.get(tx, org.id, id);
    });
  }

  /** A team of the organization, by id or name. @throws request.not-found */
  async get(ctx: Context, organization: string, idOrName: string): Promise<Team> {
    const team = await this.find(ctx, organization, idOrName);
    if (!team) throw requestProblem('not-found');
    return team;
  }

  /** A team of the organization, by id or name, or null. */
  async find(ctx: Context, organization: string, idOrName: string): Promise<Team | null> {
    const org = await this.accounts.find(ctx, organization);
    if (org?.kind !== 'organization' || idOrName.includes('\0')) return null;
    const [row] = await this.db.query<Row>(ctx, `select ${columns} from access_teams where organization_id = $1 and ${isUuid(idOrName) ? 'id' : 'name'} = $2`, [org.id, idOrName]);
    return row ? toTeam(row) : null;
  }

  /** By its id, or by `organization/team`, or null. */
  async findByPath(ctx: Context, idOrPath: string): Promise<Team | null> {
    const [organization = '', name, ...rest] = idOrPath.split('/');
    if (name !== undefined) return rest.length > 0 || name === '' || organization === '' ? null : this.find(ctx, organization, name);
    if (!isUuid(idOrPath)) return null;
    const [row] = await this.db.query<Row>(ctx, `select ${columns} from access_teams where id = $1`, [idOrPath]);
    return row ? toTeam(row) : null;
  }

  /** Reference for `can`, or null. */
  async findRef(ctx: Context, organization: string, idOrName: string): Promise<ResourceRef | null> {
    const team = await this.find(ctx, organization, idOrName);
    return team && teamRef(team);
  }

  /** Teams of an organization that the actor sees, by name. @throws request.not-found */
  async list(ctx: Context, organization: string, options: { limit: number; cursor?: string }): Promise<Page<Team>> {
    const org = await this.accounts.getOfKind(ctx, organization, 'organization');
    const rows = await this.db.query<Row>(
      ctx, `select ${columns} from access_teams where organization_id = $1 and ($2::text is null or name > $2) order by name limit $3`,
      [org.id, decodeCursor(options.cursor, 1)?.[0] ?? null, options.limit + 1]);
    const page = toPage(rows.map(toTeam), options.limit, (team) => [team.name]);
    return { ...page, items: this.access.filter(ctx, 'team:view', page.items, teamRef) };
  }

  /** Teams of which a user is a member. */
  async teamsOf(ctx: Context, userId: string): Promise<{ id: string; name: string; organization: string; admin: boolean }[]> {
    return this.db.query<{ id: string; name: string; organization: string; admin: boolean }>(
      ctx,
      `select t.id, t.name, o.name as organization, bool_or(m.administers) as admin from access_team_members m join access_teams t on t.id = m.team_id
       join access_accounts o on o.id = t.organization_id where m.user_id = $1 group by t.id, t.name, o.name order by o.name, t.name`,
      [userId],
    );
  }

  /** @throws request.not-found, request.precondition-failed, access.team-name-taken, request.invalid */
  async update(ctx: Context, id: string, version: number, change: { name?: string; description?: string }): Promise<Team> {
    if (change.name !== undefined) checkName(change.name);
    return this.db.transaction(ctx, async (tx) => {
      const before = await this.lock(tx, id);
      if (before.version !== version) throw requestProblem('precondition-failed');
      const after = { ...before, name: change.name ?? before.name, description: change.description ?? before.description };
      const taken = await this.db.query(tx, 'select 1 from access_teams where organization_id = $1 and name = $2 and id <> $3', [before.organizationId, after.name, id]);
      if (taken.length > 0) throw accessProblem('team-name-taken', { errors: [{ pointer: '/name', detail: 'taken' }] });
      await this.db.query(tx, 'update access_teams set name = $2, description = $3, version = version + 1 where id = $1 returning 1', [id, after.name, after.description]);
      await this.audit.record(tx, { action: 'team.update', outcome: 'success', resource: await this.named(tx, after), detail: { ...change } });
      await this.access.publish(tx, [{ type: 'team', team: { id, organizationId: before.organizationId, name: after.name } }]);
      return { ...after, version: before.version + 1 };
    });
  }

  /** Removes a team with its grants; its members stay in the organization. @throws request.not-found */
  async delete(ctx: Context, id: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const team = await this.lock(tx, id);
      const resource = await this.named(tx, team);
      const grants = await this.db.query<{ id: string }>(tx, `delete from access_grants where subject_kind = 'team' and subject_id = $1 returning id`, [id]);
      await this.db.query(tx, 'delete from access_teams where id = $1 returning 1', [id]);
      await this.audit.record(tx, { action: 'team.delete', outcome: 'success', resource, detail: { grantsEnded: grants.length } });
      await this.access.publish(tx, [{ type: 'team-removed', id }]);
    });
  }

  /** Members of a team by name. */
  async listMembers(ctx: Context, id: string, options: { limit: number; cursor?: string }): Promise<Page<TeamMemberView>> {
    const rows = await this.db.query<{ id: string; name: string; name_key: string; admin: boolean; origins: TeamOrigin[] }>(
      ctx,
      `select a.id, a.name, a.name_key, bool_or(m.administers) as admin, array_agg(m.origin order by m.origin) as origins
       from access_team_members m join access_accounts a on a.id = m.user_id
       where m.team_id = $1 and ($2::text is null or a.name_key > $2) group by a.id, a.name, a.name_key order by a.name_key limit $3`,
      [id, decodeCursor(options.cursor, 1)?.[0] ?? null, options.limit + 1],
    );
    const page = toPage(rows, options.limit, (row) => [row.name_key]);
    return { ...page, items: page.items.map(({ id: userId, name, admin, origins }) => ({ user: { id: userId, name }, admin, origins })) };
  }

  /**
   * Makes a user a member by hand, or changes whether it administers the team. Who is not yet in the organization becomes its member.
   * @throws request.not-found, access.not-a-user
   */
  async putMember(ctx: Context, id: string, user: string, admin: boolean): Promise<TeamMemberView> {
    return this.db.transaction(ctx, async (tx) => {
      const team = await this.lock(tx, id);
      const account = await this.accounts.get(tx, user);
      if (account.kind !== 'user') throw accessProblem('not-a-user');
      await this.db.query(
        tx,
        `insert into access_team_members (team_id, user_id, origin, administers, created_at) values ($1, $2, 'manual', $3, $4)
         on conflict (team_id, user_id, origin) do update set administers = excluded.administers returning 1`,
        [id, account.id, admin, this.clock.now()],
      );
      const joined = await this.joinOrganization(tx, team.organizationId, [account.id]);
      await this.audit.record(tx, {
        action: 'team.add-member', outcome: 'success', resource: await this.named(tx, team), detail: { user: account.name, userId: account.id, admin, joinedOrganization: joined.length > 0 },
      });
      await this.access.publish(tx, [...joined, { type: 'team-member', teamId: id, userId: account.id, administers: admin }]);
      const origins = await this.db.query<{ origin: TeamOrigin }>(tx, 'select origin from access_team_members where team_id = $1 and user_id = $2 order by origin', [id, account.id]);
      return { user: { id: account.id, name: account.name }, admin, origins: origins.map(({ origin }) => origin) };
    });
  }

  /** Ends a membership that was given by hand; who is also there by the directory stays. @throws request.not-found, access.member-of-directory */
  async removeMember(ctx: Context, id: string, user: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const team = await this.lock(tx, id);
      const account = await this.accounts.get(tx, user);
      const removed = await this.db.query(tx, `delete from access_team_members where team_id = $1 and user_id = $2 and origin = 'manual' returning 1`, [id, account.id]);
      const [left] = await this.db.query<{ administers: boolean }>(tx, 'select administers from access_team_members where team_id = $1 and user_id = $2', [id, account.id]);
      if (removed.length === 0) throw left ? accessProblem('member-of-directory') : requestProblem('not-found');
      await this.audit.record(tx, { action: 'team.remove-member', outcome: 'success', resource: await this.named(tx, team), detail: { user: account.name, userId: account.id } });
      await this.access.publish(tx, [{ type: 'team-member', teamId: id, userId: account.id, administers: left?.administers ?? null }]);
    });
  }

  /**
   * Makes the members that the directory gives a team exactly these; members by hand stay. One transaction: removals and additions happen
   * together or not at all. Answers who came and who went. @throws request.not-found
   */
  async syncMembers(ctx: Context, id: string, userIds: readonly string[]): Promise<{ added: string[]; removed: string[] }> {
    return this.db.transaction(ctx, async (tx) => {
      const team = await this.lock(tx, id);
      const removed = await this.db.query<{ user_id: string }>(
        tx, `delete from access_team_members where team_id = $1 and origin = 'directory' and not user_id = any($2::uuid[]) returning user_id`, [id, userIds]);
      const added = await this.db.query<{ user_id: string }>(
        tx,
        `insert into access_team_members (team_id, user_id, origin, administers, created_at)
         select $1, a.id, 'directory', false, $3 from access_accounts a where a.id = any($2::uuid[]) and a.kind = 'user' on conflict do nothing returning user_id`,
        [id, userIds, this.clock.now()],
      );
      if (removed.length + added.length === 0) return { added: [], removed: [] };
      const joined = await this.joinOrganization(tx, team.organizationId, added.map((row) => row.user_id));
      const touched = [...removed, ...added].map((row) => row.user_id);
      const rows = await this.db.query<{ user_id: string; administers: boolean }>(
        tx, 'select user_id, bool_or(administers) as administers from access_team_members where team_id = $1 and user_id = any($2) group by user_id', [id, touched]);
      const now = new Map(rows.map((row) => [row.user_id, row.administers]));
      await this.audit.record(tx, {
        action: 'team.sync-members', outcome: 'success', resource: await this.named(tx, team), detail: { added: added.map((row) => row.user_id), removed: removed.map((row) => row.user_id) },
      });
      await this.access.publish(tx, [...joined, ...touched.map((userId): Change => ({ type: 'team-member', teamId: id, userId, administers: now.get(userId) ?? null }))]);
      return { added: added.map((row) => row.user_id), removed: removed.map((row) => row.user_id) };
    });
  }

  private async joinOrganization(tx: Context, organizationId: string, userIds: string[]): Promise<Change[]> {
    const joined = await this.db.query<{ user_id: string }>(
      tx,
      `insert into access_members (organization_id, user_id, role, created_at) select $1, id, 'member', $3 from unnest($2::uuid[]) id on conflict do nothing returning user_id`,
      [organizationId, userIds, this.clock.now()],
    );
    return joined.map(({ user_id }) => ({ type: 'member', organizationId, userId: user_id, role: 'member' }));
  }

  private async lock(tx: Context, id: string): Promise<Team> {
    const [row] = await this.db.query<Row>(tx, `select ${columns} from access_teams where id = $1 for update`, [id]);
    if (!row) throw requestProblem('not-found');
    return toTeam(row);
  }

  private async named(tx: Context, team: Team): Promise<{ kind: string; id: string; name: string }> {
    const org = await this.accounts.get(tx, team.organizationId);
    return { kind: 'team', id: team.id, name: `${org.name}/${team.name}` };
  }
}

/** Reference of a team for `can`: below its organization. */
export function teamRef(team: Pick<Team, 'id' | 'organizationId'>): ResourceRef {
  return { kind: 'team', id: team.id, parent: accountRef(team.organizationId) };
}

function toTeam(row: Row): Team {
  return { id: row.id, organizationId: row.organization_id, name: row.name, description: row.description, createdAt: row.created_at, version: row.version };
}

function checkName(name: string): void {
  if (teamName.test(name) && !isUuid(name)) return;
  throw requestProblem('invalid', { errors: [{ pointer: '/name', detail: 'lower-case letters, digits and ._- inside; 1 to 63 characters; not a UUID' }] });
}
