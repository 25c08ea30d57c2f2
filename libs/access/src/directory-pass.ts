import { Problem, uuidv7, type Clock, type Context, type Db, type Lease } from '@gantry/platform';
import type { Accounts } from './accounts';
import { DirectoryReader, type DirectoryEntry, type DirectoryPlan, type MemberSelection, type Roster } from './directory';
import { compareAccounts, isEmptyAnswer, judgeLosses, type KnownPerson } from './directory/changes';
import type { DirectoryPeople } from './directory-people';
import type { DirectoryTargets } from './directory-targets';
import { accessProblem } from './problems';
import type { Teams } from './teams';

/** How far a synchronisation is, and what it changed (or would change). */
export interface SyncCounts {
  /** People whom the directory has. */
  people: number;
  created: number;
  returned: number;
  deactivated: number;
  renamed: number;
  updated: number;
  /** People who could not get an account. */
  skipped: number;
  /** Teams that follow the directory, and how many are done. */
  teams: number;
  teamsDone: number;
  membersAdded: number;
  membersRemoved: number;
  adminsAdded: number;
  adminsRemoved: number;
  /** Removals that wait for their hold to end. */
  held: number;
  warnings: number;
}

/** A line of a synchronisation's log. `code` says what happened (`user.create`, `team.remove-members`, …), `detail` to whom. */
export interface SyncLine {
  level: 'info' | 'warning' | 'error';
  code: string;
  message: string;
  detail: Record<string, unknown>;
}

/** What a pass needs of the service that runs it. */
export interface PassTools {
  db: Db;
  clock: Clock;
  accounts: Accounts;
  teams: Teams;
  people: DirectoryPeople;
  targets: DirectoryTargets;
  lease: Lease;
  /** Writes lines, counts and the phase where people can read them. */
  report(ctx: Context, phase: string, counts: SyncCounts, lines: SyncLine[]): Promise<void>;
  /** Called between steps that are committed one by one; tests end a run here. */
  checkpoint(step: string): Promise<void>;
}

interface Target {
  id: string;
  team_id: string | null;
  organization_id: string;
  name: string;
  selection: MemberSelection;
  group_id: string | null;
}

interface Member {
  id: string;
  name: string;
  externalId: string;
  active: boolean;
}

type Scope = 'team' | 'organization-admins' | 'system-admins';

/** Removals that are put off, as they stand. */
interface Hold {
  id: string;
  user_ids: string[];
  /** Confirmed or expired: its removals go ahead. */
  over: boolean;
}

interface TeamPlan {
  target: Target & { team_id: string };
  groupId: string | null;
  groupDn: string | null;
  add: Member[];
  /** Removals that go ahead whatever their number: of closed accounts, and those whose hold is over. */
  remove: Member[];
  /** Removals that count for the safety stop. */
  doubtful: Member[];
  members: number;
  /** Removals that an earlier hold still keeps from happening. */
  held: Member[];
  holds: Hold[];
}

const batchSize = 50;
const namesPerLine = 200;

/** One synchronisation, from the first search to the last administrator. Each step compares and commits on its own, so that a run that was cut short is simply run again. */
export class DirectoryPass {
  readonly counts: SyncCounts = {
    people: 0, created: 0, returned: 0, deactivated: 0, renamed: 0, updated: 0, skipped: 0, teams: 0, teamsDone: 0, membersAdded: 0, membersRemoved: 0, adminsAdded: 0, adminsRemoved: 0, held: 0, warnings: 0,
  };
  private lines: SyncLine[] = [];
  private phase = 'reading';
  /** The directory's people who have an account, or would have one after this run, by external id. */
  private readonly accountsOf = new Map<string, Member>();

  constructor(private readonly tools: PassTools, private readonly plan: DirectoryPlan, private readonly runId: string, private readonly dryRun: boolean) {}

  /** Does it. Throws what makes the whole run fail; then everything that is not yet committed is as it was. */
  async run(ctx: Context): Promise<SyncCounts> {
    await DirectoryReader.use(this.plan, async (reader) => {
      const roster = await reader.readRoster();
      this.counts.people = roster.people.size;
      for (const warning of roster.warnings) this.warn('directory.warning', warning);
      await this.syncPeople(ctx, roster);
      await this.syncTeams(ctx, reader, roster);
      await this.syncOrganizationAdmins(ctx, reader, roster);
      await this.syncSystemAdmins(ctx, reader, roster);
    });
    await this.flush(ctx, 'done');
    return this.counts;
  }

  private async syncPeople(ctx: Context, roster: Roster): Promise<void> {
    const { db, people } = this.tools;
    const known = await db.query<KnownPerson>(
      ctx,
      `select a.id as "accountId", a.external_id as "externalId", a.name, a.display_name as "displayName", a.mail, a.active, p.dn, p.username, p.left_at is not null as "left"
       from access_accounts a left join access_directory_people p on p.account_id = a.id where a.source = 'ldap' and a.kind = 'user' order by a.id`,
    );
    if (isEmptyAnswer(known, roster)) {
      throw accessProblem('directory-misconfigured', { detail: 'The directory shows nobody, while several of its people have accounts: nothing was changed. Check what the reader account may see.' });
    }
    const changes = compareAccounts(known, roster, this.plan.sync.createOnSync);
    for (const person of known) this.accountsOf.set(person.externalId, { id: person.accountId, name: person.name, externalId: person.externalId, active: person.active });
    const mark = (externalId: string, active: boolean): void => {
      const member = this.accountsOf.get(externalId);
      if (member) member.active = active;
    };

    await this.batches(ctx, 'people', changes.leave, async (tx, { person, reason }) => {
      if (!this.dryRun) await people.leave(tx, person.accountId, reason);
      mark(person.externalId, false);
      this.counts.deactivated += 1;
      return this.info('user.deactivate', `${person.name} has left: ${reasons[reason]}`, { user: person.name, userId: person.accountId, reason });
    });
    await this.batches(ctx, 'people', changes.comeBack, async (tx, { person, entry }) => {
      if (!this.dryRun) await people.comeBack(tx, person.accountId, entry);
      mark(person.externalId, true);
      this.counts.returned += 1;
      return this.info('user.return', `${person.name} is back`, { user: person.name, userId: person.accountId });
    });
    await this.batches(ctx, 'people', changes.rename, async (tx, { person, entry }) => {
      if (!this.dryRun) await people.note(tx, person.accountId, entry);
      this.counts.renamed += 1;
      return this.info('user.rename', `${person.name} is now ${entry.dn}`, { user: person.name, userId: person.accountId, from: person.dn, to: entry.dn, username: entry.username });
    });
    await this.batches(ctx, 'people', changes.profile, async (tx, { person, entry }) => {
      if (!this.dryRun) await people.updateProfile(tx, person.accountId, entry);
      this.counts.updated += 1;
      return this.info('user.update', `${person.name} has another name or mail address`, { user: person.name, userId: person.accountId });
    });
    if (!this.dryRun) await people.noteAll(ctx, changes.note.map(({ person, entry }) => ({ accountId: person.accountId, dn: entry.dn, username: entry.username })));
    // Of two people of one name the one whom an earlier search found; the roster has told of the other.
    const wanted = changes.create.filter((entry) => roster.byName.get(entry.username.toLowerCase()) === entry.externalId);
    this.counts.skipped += changes.create.length - wanted.length;
    for (let at = 0; at < wanted.length; at += batchSize) await this.create(ctx, wanted.slice(at, at + batchSize), at);
  }

  private async create(ctx: Context, entries: DirectoryEntry[], at: number): Promise<void> {
    const { db, accounts, people, lease } = this.tools;
    await this.step(`create:${at}`);
    const made = this.dryRun ? await this.foresee(ctx, entries) : await db.transaction(ctx, async (tx) => {
      await lease.assertHeld(tx);
      const created = await accounts.createManyFromDirectory(tx, entries);
      await people.noteAll(tx, entries.flatMap((entry, index) => (created[index] ? [{ accountId: created[index].id, dn: entry.dn, username: entry.username }] : [])));
      return created.map((account) => account?.id ?? null);
    });
    for (const [index, entry] of entries.entries()) {
      const id = made[index];
      if (id == null) {
        this.counts.skipped += 1;
        this.warn('user.skip', `${entry.username} gets no account: the name belongs to another account or can’t be used here`, { user: entry.username, dn: entry.dn });
        continue;
      }
      this.accountsOf.set(entry.externalId, { id, name: entry.username, externalId: entry.externalId, active: true });
      this.counts.created += 1;
      this.lines.push(this.info('user.create', `${entry.username} gets an account`, { user: entry.username, dn: entry.dn, ...(this.dryRun ? {} : { userId: id }) }));
    }
    await this.flush(ctx, 'people');
  }

  /** Who would get an account: an empty id, or null for names that are taken or can't be used. */
  private async foresee(ctx: Context, entries: DirectoryEntry[]): Promise<(string | null)[]> {
    const taken = await this.tools.accounts.findTakenNames(ctx, entries.map(({ username }) => username));
    return entries.map(({ username }) => (taken.has(username) ? null : ''));
  }

  /** Applies items in transactions of some dozens; an item that is refused is told and left out. */
  private async batches<T>(ctx: Context, phase: string, items: T[], apply: (tx: Context, item: T) => Promise<SyncLine | null>): Promise<void> {
    for (let at = 0; at < items.length; at += batchSize) {
      const batch = items.slice(at, at + batchSize);
      await this.step(`${phase}:${at}`);
      const work = async (tx: Context): Promise<SyncLine[]> => {
        const lines: SyncLine[] = [];
        for (const item of batch) {
          try {
            const line = await apply(tx, item);
            if (line) lines.push(line);
          } catch (error) {
            if (!(error instanceof Problem) || error.code.startsWith('access.directory-')) throw error;
            this.counts.skipped += 1;
            lines.push(this.warning('user.skip', `${describe(item)}: ${error.message} (${error.code})`, { code: error.code }));
          }
        }
        return lines;
      };
      const lines = this.dryRun ? await work(ctx) : await this.tools.db.transaction(ctx, async (tx) => {
        await this.tools.lease.assertHeld(tx);
        return work(tx);
      });
      this.lines.push(...lines);
      await this.flush(ctx, phase);
    }
  }

  private async syncTeams(ctx: Context, reader: DirectoryReader, roster: Roster): Promise<void> {
    const { db } = this.tools;
    const targets = await db.query<Target & { team_id: string }>(
      ctx,
      `select t.id, t.team_id, m.organization_id, o.name || '/' || m.name as name, t.selection, t.group_id from access_directory_targets t
       join access_teams m on m.id = t.team_id join access_accounts o on o.id = m.organization_id order by o.name_key, m.name`,
    );
    this.counts.teams = targets.length;
    for (const organizationId of new Set(targets.map((target) => target.organization_id))) {
      const own = targets.filter((target) => target.organization_id === organizationId);
      // Everything of an organization is read before anything of it changes: the safety stop looks at all its teams together.
      const plans: TeamPlan[] = [];
      for (const target of own) {
        const plan = await this.planTeam(ctx, reader, roster, target);
        if (plan) plans.push(plan);
        else this.counts.teamsDone += 1;
        await this.flush(ctx, 'teams');
      }
      const held = judgeLosses(plans.map((plan) => ({ id: plan.target.team_id, members: plan.members, removals: plan.doubtful.map(({ id }) => id) })), this.plan.sync.safetySharePercent);
      // What is held is written down before anything is changed, so that a run that takes this one's place holds the same.
      if (!this.dryRun && held.size > 0) {
        await db.transaction(ctx, async (tx) => {
          for (const { target, doubtful, members } of plans) {
            if (held.has(target.team_id)) {
              await this.hold(tx, { scope: 'team', teamId: target.team_id, organizationId, name: target.name, members, users: doubtful });
            }
          }
        });
      }
      for (const plan of plans) {
        await this.step(`team:${plan.target.name}`);
        try {
          await this.applyTeam(ctx, plan, held.has(plan.target.team_id));
        } catch (error) {
          if (!(error instanceof Problem) || error.code !== 'request.not-found') throw error;
          this.warn('team.gone', `${plan.target.name} was deleted meanwhile.`, { team: plan.target.name });
        }
        this.counts.teamsDone += 1;
        await this.flush(ctx, 'teams');
      }
      await this.step(`joins:${own[0]!.name.split('/')[0]}`);
      if (!this.dryRun) await this.tools.targets.endJoins(ctx, organizationId);
    }
  }

  private async planTeam(ctx: Context, reader: DirectoryReader, roster: Roster, target: Target & { team_id: string }): Promise<TeamPlan | null> {
    const wanted = await this.select(ctx, reader, roster, target);
    if (wanted === 'failed') return null;
    const current = await this.members(ctx, `select m.user_id from access_team_members m where m.team_id = $1 and m.origin = 'directory'`, [target.team_id]);
    const have = new Set(current.map(({ id }) => id));
    const keep = new Set(wanted.people.map(({ id }) => id));
    const leaving = current.filter(({ id }) => !keep.has(id));
    const holds = await this.findHolds(ctx, 'team', target.team_id);
    const put = this.sort(leaving, holds);
    return {
      target, groupId: wanted.groupId, groupDn: wanted.groupDn, add: wanted.people.filter(({ id }) => !have.has(id)), remove: put.free, doubtful: put.doubtful, held: put.held, holds,
      members: current.filter(({ active }) => active).length,
    };
  }

  /** Who of those that are to be removed goes at once, whose removal counts for the safety stop, and who is held already. */
  private sort(leaving: Member[], holds: Hold[]): { free: Member[]; doubtful: Member[]; held: Member[] } {
    const over = new Set(holds.flatMap((hold) => (hold.over ? hold.user_ids : [])));
    const waiting = new Set(holds.flatMap((hold) => (hold.over ? [] : hold.user_ids)));
    const result = { free: [] as Member[], doubtful: [] as Member[], held: [] as Member[] };
    for (const member of leaving) {
      if (!member.active || over.has(member.id)) result.free.push(member);
      else if (waiting.has(member.id)) result.held.push(member);
      else result.doubtful.push(member);
    }
    return result;
  }

  private async applyTeam(ctx: Context, plan: TeamPlan, holds: boolean): Promise<void> {
    const { target } = plan;
    const stay = [...plan.held, ...(holds ? plan.doubtful : [])];
    const go = [...plan.remove, ...(holds ? [] : plan.doubtful)];
    if (!this.dryRun) {
      await this.tools.db.transaction(ctx, async (tx) => {
        await this.tools.lease.assertHeld(tx);
        if (go.length + plan.add.length > 0) await this.changeMembers(tx, target, go, plan.add);
        await this.settleHolds(tx, plan.holds, plan.held);
        await this.noteTarget(tx, target, plan.groupId, plan.groupDn, null);
      });
    }
    this.counts.membersRemoved += go.length;
    this.counts.membersAdded += plan.add.length;
    this.counts.held += stay.length;
    this.tell('team.remove-members', `${target.name} loses`, go, { team: target.name, teamId: target.team_id });
    this.tell('team.add-members', `${target.name} gets`, plan.add, { team: target.name, teamId: target.team_id });
    this.tell('team.hold-members', `${target.name} would lose more than ${this.plan.sync.safetySharePercent} % at once, so these stay for now:`, stay, { team: target.name, teamId: target.team_id }, 'warning');
  }

  private async changeMembers(tx: Context, target: TeamPlan['target'], go: Member[], add: Member[]): Promise<void> {
    const current = await this.tools.db.query<{ user_id: string }>(tx, `select user_id from access_team_members where team_id = $1 and origin = 'directory'`, [target.team_id]);
    const leaving = new Set(go.map(({ id }) => id));
    const final = [...new Set([...current.map(({ user_id }) => user_id).filter((id) => !leaving.has(id)), ...add.map(({ id }) => id)])];
    const before = await this.tools.db.query<{ user_id: string }>(
      tx, 'select user_id from access_members where organization_id = $1 and user_id = any($2)', [target.organization_id, add.map(({ id }) => id)]);
    const result = await this.tools.teams.syncMembers(tx, target.team_id, final);
    const already = new Set(before.map(({ user_id }) => user_id));
    await this.markJoins(tx, target.organization_id, result.added.filter((id) => !already.has(id)));
  }

  private async markJoins(tx: Context, organizationId: string, userIds: string[]): Promise<void> {
    await this.tools.db.query(tx, 'insert into access_directory_joins (organization_id, user_id) select $1, id from unnest($2::uuid[]) id on conflict do nothing', [organizationId, userIds]);
  }

  private async syncOrganizationAdmins(ctx: Context, reader: DirectoryReader, roster: Roster): Promise<void> {
    const { db, accounts, targets } = this.tools;
    const all = await db.query<Target>(
      ctx,
      `select t.id, t.team_id, t.organization_id, o.name, t.selection, t.group_id from access_directory_targets t join access_accounts o on o.id = t.organization_id order by o.name_key`);
    for (const target of all) {
      const wanted = await this.select(ctx, reader, roster, target);
      if (wanted === 'failed') continue;
      const current = await this.members(ctx, `select m.user_id from access_members m where m.organization_id = $1 and m.role = 'admin'`, [target.organization_id]);
      const holds = await this.findHolds(ctx, 'organization-admins', target.organization_id);
      await this.replaceAdmins(ctx, { scope: 'organization-admins', organizationId: target.organization_id, name: target.name, wanted: wanted.people, current, holds }, async (tx, member, admin) => {
        const [known] = await db.query(tx, 'select 1 from access_members where organization_id = $1 and user_id = $2', [target.organization_id, member.id]);
        await accounts.addMember(tx, target.organization_id, member.id, admin ? 'admin' : 'member');
        if (!known) await this.markJoins(tx, target.organization_id, [member.id]);
      }, async (tx) => {
        await targets.endJoins(tx, target.organization_id);
        await this.noteTarget(tx, target, wanted.groupId, wanted.groupDn, null);
      });
    }
  }

  private async syncSystemAdmins(ctx: Context, reader: DirectoryReader, roster: Roster): Promise<void> {
    const { adminSync } = this.plan.sync;
    if (adminSync === null) return;
    const wanted = await this.select(ctx, reader, roster, { id: '', team_id: null, organization_id: '', name: 'the system', selection: adminSync, group_id: null });
    if (wanted === 'failed') return;
    // Only people of the directory: local administrators, the recovery admin among them, are none of its business.
    const current = await this.members(ctx, 'select a.id as user_id from access_accounts a where a.admin', []);
    const holds = await this.findHolds(ctx, 'system-admins', null);
    await this.replaceAdmins(ctx, { scope: 'system-admins', organizationId: null, name: 'the system', wanted: wanted.people, current, holds }, async (tx, member, admin) => {
      await this.tools.people.setAdmin(tx, member.id, admin);
    }, async () => undefined);
  }

  /** Removals first, then additions, in one transaction; all at once are held. */
  private async replaceAdmins(
    ctx: Context,
    of: { scope: 'organization-admins' | 'system-admins'; organizationId: string | null; name: string; wanted: Member[]; current: Member[]; holds: Hold[] },
    set: (tx: Context, member: Member, admin: boolean) => Promise<void>,
    finish: (tx: Context) => Promise<void>,
  ): Promise<void> {
    const { db, lease } = this.tools;
    const keep = new Set(of.wanted.map(({ id }) => id));
    const have = new Set(of.current.map(({ id }) => id));
    const put = this.sort(of.current.filter(({ id }) => !keep.has(id)), of.holds);
    const active = of.current.filter((member) => member.active);
    const holds = put.doubtful.length > 0 && put.doubtful.length + put.held.length === active.length;
    const stay = [...put.held, ...(holds ? put.doubtful : [])];
    const go = [...put.free, ...(holds ? [] : put.doubtful)];
    const add = of.wanted.filter(({ id, active: usable }) => usable && !have.has(id));
    await this.step(`${of.scope}:${of.name}`);
    if (!this.dryRun) {
      await db.transaction(ctx, async (tx) => {
        await lease.assertHeld(tx);
        await this.settleHolds(tx, of.holds, put.held);
        if (holds) await this.hold(tx, { scope: of.scope, teamId: null, organizationId: of.organizationId, name: of.name, members: active.length, users: put.doubtful });
        for (const member of go) {
          try {
            await set(tx, member, false);
          } catch (error) {
            if (!(error instanceof Problem)) throw error;
            this.warn('admins.skip', `${member.name} stays administrator of ${of.name}: ${error.message} (${error.code})`, { user: member.name, code: error.code });
          }
        }
        for (const member of add) await set(tx, member, true);
        await finish(tx);
      });
    }
    this.counts.adminsRemoved += go.length;
    this.counts.adminsAdded += add.length;
    this.counts.held += stay.length;
    const detail = { scope: of.scope, name: of.name, ...(of.organizationId === null ? {} : { organizationId: of.organizationId }) };
    this.tell('admins.remove', `no longer administrators of ${of.name}:`, go, detail);
    this.tell('admins.add', `now administrators of ${of.name}:`, add, detail);
    this.tell('admins.hold', `${of.name} would lose all administrators whom the directory gave, so these stay for now:`, stay, detail, 'warning');
    await this.flush(ctx, 'administrators');
  }

  /** The accounts that a selection means. `failed`: the directory refused just this, which is told; everything else throws. */
  private async select(ctx: Context, reader: DirectoryReader, roster: Roster, target: Target): Promise<{ people: Member[]; groupId: string | null; groupDn: string | null } | 'failed'> {
    try {
      const selected = await reader.select(target.selection, roster, target.group_id);
      if (selected === null) this.warn('directory.no-group', `${target.name}: the group ${target.selection.kind === 'group' ? target.selection.groupDn : ''} does not exist (any more).`, { name: target.name });
      const people = [...(selected?.ids ?? [])].flatMap((id) => {
        const member = this.accountsOf.get(id);
        return member && roster.people.get(id)?.closed === undefined ? [member] : [];
      });
      return { people, groupId: selected?.groupId ?? target.group_id, groupDn: selected?.groupDn ?? null };
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'access.directory-misconfigured') throw error;
      this.lines.push({ level: 'error', code: 'directory.refused', message: `${target.name} stays as it is: ${error.detail}`, detail: { name: target.name, code: error.code } });
      this.counts.warnings += 1;
      if (!this.dryRun && target.id !== '') await this.noteTarget(ctx, target, target.group_id, null, error.detail);
      return 'failed';
    }
  }

  private async noteTarget(ctx: Context, target: Target, groupId: string | null, groupDn: string | null, error: string | null): Promise<void> {
    const { selection } = target;
    const moved = selection.kind === 'group' && groupDn !== null && groupDn !== selection.groupDn ? JSON.stringify({ ...selection, groupDn }) : null;
    if (moved !== null) this.warn('directory.group-moved', `${target.name} follows its group to ${groupDn}`, { name: target.name, from: selection.kind === 'group' ? selection.groupDn : '', to: groupDn });
    await this.tools.db.query(
      ctx, 'update access_directory_targets set group_id = $2, selection = coalesce($3::jsonb, selection), synced_at = $4, error = $5 where id = $1 returning 1',
      [target.id, groupId, moved, this.tools.clock.now(), error]);
  }

  /** People of the directory among the users that a query names, as they are after this run. */
  private async members(ctx: Context, query: string, parameters: unknown[]): Promise<Member[]> {
    const rows = await this.tools.db.query<Member>(
      ctx,
      `select a.id, a.name, a.external_id as "externalId", a.active from access_accounts a where a.source = 'ldap' and a.id in (${query}) order by a.name_key`, parameters);
    return rows.map((row) => ({ ...row, active: this.accountsOf.get(row.externalId)?.active ?? row.active }));
  }

  private async findHolds(ctx: Context, scope: Scope, of: string | null): Promise<Hold[]> {
    return this.tools.db.query<Hold>(
      ctx,
      `select id, user_ids, state = 'confirmed' or expires_at <= $3 as over from access_sync_holds
       where scope = $1 and coalesce(team_id, organization_id) is not distinct from $2 and state in ('open', 'confirmed') order by id`,
      [scope, of, this.tools.clock.now()],
    );
  }

  /** Holds these removals. An earlier hold keeps its own people and its own end. */
  private async hold(tx: Context, of: { scope: Scope; teamId: string | null; organizationId: string | null; name: string; members: number; users: Member[] }): Promise<void> {
    const { db, clock } = this.tools;
    const now = clock.now();
    const expiresAt = new Date(now.getTime() + this.plan.sync.holdHours * 3_600_000);
    await db.query(
      tx,
      `insert into access_sync_holds (id, scope, team_id, organization_id, name, user_ids, members, state, run_id, created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $9, $10)`,
      [uuidv7(), of.scope, of.teamId, of.teamId === null ? of.organizationId : null, of.name, of.users.map(({ id }) => id), of.members, this.runId, now, expiresAt],
    );
  }

  /** Ends holds whose removals have happened or of which nothing is left, and narrows the others to who is still held. */
  private async settleHolds(tx: Context, holds: Hold[], held: Member[]): Promise<void> {
    const still = new Set(held.map(({ id }) => id));
    for (const hold of holds) {
      const left = hold.over ? [] : hold.user_ids.filter((id) => still.has(id));
      if (left.length > 0 && left.length === hold.user_ids.length) continue;
      const state = left.length > 0 ? 'open' : hold.over ? 'applied' : 'dropped';
      await this.tools.db.query(
        tx,
        `update access_sync_holds set state = $2, user_ids = case when $2 = 'open' then $3::uuid[] else user_ids end, decided_at = case when $2 = 'open' then null else coalesce(decided_at, $4) end
         where id = $1 returning 1`,
        [hold.id, state, left, this.tools.clock.now()],
      );
    }
  }

  private async step(name: string): Promise<void> {
    this.tools.lease.signal.throwIfAborted();
    await this.tools.checkpoint(name);
  }

  private tell(code: string, what: string, members: Member[], detail: Record<string, unknown>, level: SyncLine['level'] = 'info'): void {
    for (let at = 0; at < members.length; at += namesPerLine) {
      const names = members.slice(at, at + namesPerLine).map(({ name }) => name);
      this.lines.push({ level, code, message: `${what} ${names.slice(0, 10).join(', ')}${names.length > 10 ? ` and ${names.length - 10} more` : ''}`, detail: { ...detail, users: names } });
    }
    if (level === 'warning') this.counts.warnings += members.length > 0 ? 1 : 0;
  }

  private info(code: string, message: string, detail: Record<string, unknown>): SyncLine {
    return { level: 'info', code, message, detail };
  }

  private warning(code: string, message: string, detail: Record<string, unknown>): SyncLine {
    this.counts.warnings += 1;
    return { level: 'warning', code, message, detail };
  }

  private warn(code: string, message: string, detail: Record<string, unknown> = {}): void {
    this.lines.push(this.warning(code, message, detail));
  }

  private async flush(ctx: Context, phase: string): Promise<void> {
    if (phase === this.phase && this.lines.length === 0 && phase !== 'done') return;
    this.phase = phase;
    const lines = this.lines.splice(0);
    await this.tools.report(ctx, phase, this.counts, lines);
  }
}

const reasons = { disabled: 'the account is disabled', expired: 'the account has expired', 'not-found': 'the searches find nobody of that id any more' } as const;

function describe(item: unknown): string {
  const { person, username } = item as { person?: KnownPerson; username?: string };
  return person?.name ?? username ?? '';
}
