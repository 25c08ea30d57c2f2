import { Attribute, Change } from 'ldapts';
import { auditEntities } from '@gantry/audit';
import { anonymous, Clock, makeContext, type Context } from '@gantry/platform';
import { openTestDatabase, testContext, type TestDatabase } from '@gantry/platform/testing';
import type { MemberSelection } from '../src/directory';
import type { DirectoryChange } from '../src/directory-settings';
import { DirectorySync, type SyncRun } from '../src/directory-sync';
import { accessEntities } from '../src/entities';
import type { Corp } from './corp';
import { makeAccess, type AccessStack } from './index';
import type { Slapd } from './slapd';

/** The time, which a test can put forward. */
export class TestClock extends Clock {
  private aheadMillis = 0;
  now(): Date {
    return new Date(Date.now() + this.aheadMillis);
  }
  advanceHours(hours: number): void {
    this.aheadMillis += hours * 3_600_000;
  }
}

/** Ends a run at a step, as a process that is killed there would. */
export class CutSync extends DirectorySync {
  static cutAt: string | null = null;
  static steps: string[] = [];
  protected override async checkpoint(_runId: string, step: string): Promise<void> {
    CutSync.steps.push(step);
    if (step === CutSync.cutAt) throw new Error(`cut at ${step}`);
  }
}

/** Somebody who is not signed in. */
export const visitor = (): Context => makeContext(anonymous, { address: '192.0.2.1' });
const ctx = testContext();

/** One process on a database of its own, in front of a directory. */
export interface World {
  database: TestDatabase;
  stack: AccessStack;
  clock: TestClock;
  configure(changes?: Partial<DirectoryChange>): Promise<void>;
  sync(dryRun?: boolean): Promise<SyncRun>;
  follow(team: string, selection: MemberSelection): Promise<void>;
  /** Everything that a synchronisation decides, by names. */
  state(): Promise<unknown>;
  members(team: string): Promise<string[]>;
  log(run: SyncRun): Promise<{ code: string; level: string; detail: Record<string, unknown>; message: string }[]>;
  close(): Promise<void>;
}

/** Makes one with an organization, whose settings point to the company's people once `configure` was called. */
export async function makeWorld(slapd: Pick<Slapd, 'settings'>, corp: Pick<Corp, 'peopleBase'>, organization = 'acme'): Promise<World> {
  const database = await openTestDatabase([...auditEntities, ...accessEntities]);
  const clock = new TestClock();
  const stack = await makeAccess(database.db, { clock, directorySync: CutSync });
  await stack.accounts.ensureAdmin(ctx, 'a first long password');
  await stack.accounts.createOrganization(ctx, { name: organization });
  const rows = <T>(sql: string, parameters: unknown[] = []): Promise<T[]> => database.db.query<T>(ctx, sql, parameters);
  const world: World = {
    database, stack, clock,
    configure: async (changes = {}) => {
      const { version } = await stack.directory.settings(ctx);
      await stack.directory.update(ctx, version, { ...slapd.settings({ searchBase: corp.peopleBase, timeoutSeconds: 20 }), enabled: true, createOnSync: true, ...changes });
    },
    sync: async (dryRun = false) => {
      const { id } = await stack.directorySync.start(ctx, { dryRun });
      await stack.directorySync.run(ctx, { runId: id });
      return stack.directorySync.get(ctx, id);
    },
    follow: async (team, selection) => {
      if (!(await stack.teams.find(ctx, organization, team))) await stack.teams.create(ctx, organization, { name: team });
      const version = await stack.directoryTargets.getTeam(ctx, organization, team).then((target) => target.version, () => 0);
      await stack.directoryTargets.putTeam(ctx, organization, team, version, selection);
    },
    state: async () => ({
      accounts: await rows(`select name, case when source = 'ldap' then external_id end as external_id, active, admin, display_name, mail from access_accounts order by name_key`),
      people: await rows('select a.name, p.dn, p.username, p.left_reason from access_directory_people p join access_accounts a on a.id = p.account_id order by a.name_key'),
      members: await rows(`select o.name as organization, a.name, m.role from access_members m join access_accounts o on o.id = m.organization_id join access_accounts a on a.id = m.user_id order by 1, 2`),
      teams: await rows(`select t.name as team, a.name, m.origin, m.administers from access_team_members m join access_teams t on t.id = m.team_id join access_accounts a on a.id = m.user_id order by 1, 2, 3`),
      holds: await rows(`select h.name, h.scope, h.state, (select array_agg(a.name order by a.name) from access_accounts a where a.id = any(h.user_ids)) as users from access_sync_holds h order by h.name, h.scope, h.state`),
    }),
    members: async (team) => {
      const { id } = await stack.teams.get(ctx, organization, team);
      return (await rows<{ name: string }>(`select a.name from access_team_members m join access_accounts a on a.id = m.user_id where m.team_id = $1 and m.origin = 'directory' order by a.name`, [id])).map(({ name }) => name);
    },
    log: async (run) => {
      const lines: { code: string; level: string; detail: Record<string, unknown>; message: string }[] = [];
      let cursor: string | undefined;
      do {
        const page = await stack.directorySync.listLog(ctx, run.id, { limit: 200, ...(cursor === undefined ? {} : { cursor }) });
        lines.push(...page.items);
        cursor = page.next ?? undefined;
      } while (cursor !== undefined);
      return lines;
    },
    close: async () => {
      await stack.close();
      await database.close();
    },
  };
  return world;
}

/** A group of the company, as a selection. */
export const group = (corp: Corp, index: number, nested = true): MemberSelection => ({ kind: 'group', groupDn: corp.groups[index]!.dn, memberAttribute: 'member', nested });
/** Replaces an attribute's values on the server. */
export const setAttribute = (slapd: Slapd, dn: string, type: string, values: string[]): Promise<void> =>
  slapd.asRoot((client) => client.modify(dn, new Change({ operation: 'replace', modification: new Attribute({ type, values }) })));
/** Makes these people, and nobody else, the members of a group. */
export const setMembers = (slapd: Slapd, corp: Corp, index: number, people: number[]): Promise<void> => setAttribute(slapd, corp.groups[index]!.dn, 'member', people.map((person) => corp.people[person]!.dn));
