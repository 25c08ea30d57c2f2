import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, Db, requestProblem, uuidv7, type Context } from '@gantry/platform';
import { Accounts } from './accounts';
import { findSelectionFaults, type MemberSelection } from './directory';
import { Teams } from './teams';

/** Whom the directory makes members of a team, or administrators of an organization. */
export interface SyncTarget {
  id: string;
  selection: MemberSelection;
  /** When a synchronisation last went through it, and what was wrong then. */
  syncedAt: Date | null;
  error: string | null;
  /** Grows with each change (ETag); 0: nothing is set. */
  version: number;
}

interface Row {
  id: string;
  selection: MemberSelection;
  synced_at: Date | null;
  error: string | null;
  version: number;
}

type Of = { teamId: string } | { organizationId: string };

/** What of the directory teams and organizations follow. Callers have judged the operation; every change writes its audit row. */
@Injectable()
export class DirectoryTargets {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly accounts: Accounts,
    private readonly teams: Teams,
    private readonly audit: Audit,
  ) {}

  /** Whom the directory makes members of a team. @throws request.not-found */
  async getTeam(ctx: Context, organization: string, team: string): Promise<SyncTarget> {
    return this.get(ctx, { teamId: (await this.teams.get(ctx, organization, team)).id });
  }

  /** Who of the directory administers an organization. @throws request.not-found */
  async getOrganization(ctx: Context, organization: string): Promise<SyncTarget> {
    return this.get(ctx, { organizationId: (await this.accounts.getOfKind(ctx, organization, 'organization')).id });
  }

  /** Sets it for a team; it takes effect with the next synchronisation. `version` is that of what is set, 0 for the first time. @throws request.not-found, request.invalid, request.precondition-failed */
  async putTeam(ctx: Context, organization: string, team: string, version: number, selection: MemberSelection): Promise<SyncTarget> {
    const { id, name, organizationId } = await this.teams.get(ctx, organization, team);
    const owner = await this.accounts.get(ctx, organizationId);
    return this.put(ctx, { teamId: id }, version, selection, { kind: 'team', id, name: `${owner.name}/${name}` });
  }

  /** Sets it for an organization's administrators. Throws as `putTeam`. */
  async putOrganization(ctx: Context, organization: string, version: number, selection: MemberSelection): Promise<SyncTarget> {
    const { id, name } = await this.accounts.getOfKind(ctx, organization, 'organization');
    return this.put(ctx, { organizationId: id }, version, selection, { kind: 'account', id, name });
  }

  /** Ends it for a team, and the memberships that came through it; who is there by hand stays. @throws request.not-found */
  async deleteTeam(ctx: Context, organization: string, team: string): Promise<void> {
    const { id, name, organizationId } = await this.teams.get(ctx, organization, team);
    await this.db.transaction(ctx, async (tx) => {
      const owner = await this.accounts.get(tx, organizationId);
      const ended = await this.db.query(tx, 'delete from access_directory_targets where team_id = $1 returning 1', [id]);
      if (ended.length === 0) throw requestProblem('not-found');
      await this.db.query(tx, `update access_sync_holds set state = 'dropped', decided_at = $2 where team_id = $1 and state in ('open', 'confirmed') returning 1`, [id, this.clock.now()]);
      await this.teams.syncMembers(tx, id, []);
      await this.endJoins(tx, organizationId);
      await this.audit.record(tx, { action: 'directory.unset-team-sync', outcome: 'success', resource: { kind: 'team', id, name: `${owner.name}/${name}` } });
    });
  }

  /** Ends it for an organization; its administrators stay as they are. @throws request.not-found */
  async deleteOrganization(ctx: Context, organization: string): Promise<void> {
    const { id, name } = await this.accounts.getOfKind(ctx, organization, 'organization');
    await this.db.transaction(ctx, async (tx) => {
      const ended = await this.db.query(tx, 'delete from access_directory_targets where organization_id = $1 returning 1', [id]);
      if (ended.length === 0) throw requestProblem('not-found');
      await this.db.query(
        tx, `update access_sync_holds set state = 'dropped', decided_at = $2 where organization_id = $1 and scope = 'organization-admins' and state in ('open', 'confirmed') returning 1`, [id, this.clock.now()]);
      await this.audit.record(tx, { action: 'directory.unset-admin-sync', outcome: 'success', resource: { kind: 'account', id, name } });
    });
  }

  /**
   * Ends memberships of an organization that came with a team, or with administering it, by the directory and that nothing holds any more.
   * Answers whose.
   */
  async endJoins(ctx: Context, organizationId: string): Promise<string[]> {
    return this.db.transaction(ctx, async (tx) => {
      const leavers = await this.db.query<{ user_id: string; member: boolean }>(
        tx,
        `delete from access_directory_joins j where organization_id = $1
           and not exists (select 1 from access_team_members m join access_teams t on t.id = m.team_id where t.organization_id = j.organization_id and m.user_id = j.user_id)
           and not exists (select 1 from access_members m where m.organization_id = j.organization_id and m.user_id = j.user_id and m.role = 'admin')
         returning user_id, exists (select 1 from access_members m where m.organization_id = j.organization_id and m.user_id = j.user_id) as member`,
        [organizationId],
      );
      const ended = leavers.filter(({ member }) => member).map(({ user_id }) => user_id);
      for (const userId of ended) await this.accounts.removeMember(tx, organizationId, userId);
      return ended;
    });
  }

  private async get(ctx: Context, of: Of): Promise<SyncTarget> {
    const row = await this.find(ctx, of);
    if (!row) throw requestProblem('not-found', { detail: 'Nothing of the directory is followed here.' });
    return toTarget(row);
  }

  private async find(ctx: Context, of: Of): Promise<Row | null> {
    const [row] = await this.db.query<Row>(
      ctx, `select id, selection, synced_at, error, version from access_directory_targets where ${'teamId' in of ? 'team_id' : 'organization_id'} = $1`, ['teamId' in of ? of.teamId : of.organizationId]);
    return row ?? null;
  }

  private async put(ctx: Context, of: Of, version: number, selection: MemberSelection, resource: { kind: string; id: string; name: string }): Promise<SyncTarget> {
    const faults = findSelectionFaults(selection);
    if (faults.length > 0) throw requestProblem('invalid', { detail: faults[0]!.detail, errors: faults });
    return this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'lock table access_directory_targets in share row exclusive mode');
      if (((await this.find(tx, of))?.version ?? 0) !== version) throw requestProblem('precondition-failed');
      const column = 'teamId' in of ? 'team_id' : 'organization_id';
      await this.db.query(
        tx,
        `insert into access_directory_targets (id, ${column}, selection, updated_at, version) values ($1, $2, $3, $4, $5)
         on conflict (${column}) do update set selection = excluded.selection, group_id = null, synced_at = null, error = null, updated_at = excluded.updated_at, version = excluded.version`,
        [uuidv7(), resource.id, JSON.stringify(selection), this.clock.now(), version + 1],
      );
      await this.audit.record(tx, { action: 'teamId' in of ? 'directory.set-team-sync' : 'directory.set-admin-sync', outcome: 'success', resource, detail: { selection } });
      return this.get(tx, of);
    });
  }
}

function toTarget(row: Row): SyncTarget {
  return { id: row.id, selection: row.selection, syncedAt: row.synced_at, error: row.error, version: row.version };
}
