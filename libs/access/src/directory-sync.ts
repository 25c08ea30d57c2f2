import { Inject, Injectable } from '@nestjs/common';
import { z } from 'zod';
import { Audit } from '@gantry/audit';
import {
  Clock, Db, decodeCursor, defineJob, isUuid, Leases, LOGGER, Outbox, Problem, requestProblem, toPage, uuidv7, type Context, type Lease, type Logger, type Page,
} from '@gantry/platform';
import { Accounts } from './accounts';
import { parseSchedule } from './directory';
import { DirectoryPass, type SyncCounts, type SyncLine } from './directory-pass';
import { DirectoryPeople } from './directory-people';
import { Directory, type DirectoryChange } from './directory-settings';
import { DirectoryTargets } from './directory-targets';
import { accessProblem } from './problems';
import { Teams } from './teams';

export type { SyncCounts, SyncLine } from './directory-pass';

/** Brings people and groups over from the directory, as the run says. */
export const syncDirectory = defineJob('access.sync-directory', z.strictObject({ runId: z.uuid() }));

const leaseName = 'access.directory-sync';
const leaseSeconds = 30;
/** How long a run that waits for another, or whose worker died, waits. */
const retrySeconds = 5;
const lostSeconds = 120;
const keepDays = 90;

/** A synchronisation: waiting, running, or what came of it. */
export interface SyncRun {
  id: string;
  state: 'queued' | 'running' | 'succeeded' | 'failed';
  /** `request`: somebody asked; `schedule`: its time had come; `hold`: a hold had ended. */
  reason: 'request' | 'schedule' | 'hold';
  /** Only says what it would change. */
  dryRun: boolean;
  requestedBy: string;
  /** `reading`, `people`, `teams`, `administrators`, `done`; null before it began. */
  phase: string | null;
  counts: Partial<SyncCounts>;
  error: { code: string; detail: string } | null;
  createdAt: Date;
  startedAt: Date | null;
  finishedAt: Date | null;
}

/** A line of a run's log with its place and time. */
export interface SyncLogLine extends SyncLine {
  line: number;
  at: Date;
}

/** Removals that the safety stop keeps from happening until they are confirmed or their time is over. */
export interface SyncHold {
  id: string;
  scope: 'team' | 'organization-admins' | 'system-admins';
  /** `organization/team`, the organization, or `the system`. */
  name: string;
  users: { id: string; name: string }[];
  /** How many there were when it was made. */
  members: number;
  state: 'open' | 'confirmed' | 'applied' | 'dropped';
  runId: string | null;
  createdAt: Date;
  expiresAt: Date;
  decidedBy: string | null;
}

interface RunRow {
  id: string;
  state: SyncRun['state'];
  reason: SyncRun['reason'];
  dry_run: boolean;
  requested_by: string;
  phase: string | null;
  counts: Partial<SyncCounts>;
  error_code: string | null;
  error_detail: string | null;
  created_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
}

const runColumns = 'id, state, reason, dry_run, requested_by, phase, counts, error_code, error_detail, created_at, started_at, finished_at';

/** Synchronisation with the directory: asks for runs, runs them one at a time, keeps their logs and what they hold back. */
@Injectable()
export class DirectorySync {
  constructor(
    protected readonly db: Db,
    private readonly clock: Clock,
    private readonly accounts: Accounts,
    private readonly teams: Teams,
    private readonly directory: Directory,
    private readonly people: DirectoryPeople,
    private readonly targets: DirectoryTargets,
    private readonly audit: Audit,
    private readonly outbox: Outbox,
    private readonly leases: Leases,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Asks for a run; where one of its kind still waits, that is the answer. @throws access.directory-off */
  async start(ctx: Context, options: { dryRun: boolean; reason?: SyncRun['reason'] }): Promise<SyncRun> {
    const { dryRun, reason = 'request' } = options;
    if (!(await this.directory.settings(ctx)).enabled) throw accessProblem('directory-off');
    return this.db.transaction(ctx, async (tx) => {
      const now = this.clock.now();
      await this.db.query(tx, `delete from access_sync_runs where created_at < $1::timestamptz - make_interval(days => ${keepDays}) returning 1`, [now]);
      const [made] = await this.db.query<RunRow>(
        tx,
        `insert into access_sync_runs (id, state, reason, dry_run, requested_by, created_at, updated_at) values ($1, 'queued', $2, $3, $4, $5, $5)
         on conflict (dry_run) where state = 'queued' do nothing returning ${runColumns}`,
        [uuidv7(), reason, dryRun, tx.actor.name, now],
      );
      const [row] = made ? [made] : await this.db.query<RunRow>(tx, `select ${runColumns} from access_sync_runs where state = 'queued' and dry_run = $1`, [dryRun]);
      // The one that waited has just begun: it may have read already what has changed since.
      if (!row) return this.start(tx, options);
      if (made) await this.outbox.enqueue(tx, syncDirectory, { runId: row.id });
      await this.audit.record(tx, { action: 'directory.sync', outcome: 'success', resource: { kind: 'directory-sync', id: row.id }, detail: { dryRun, reason } });
      return toRun(row);
    });
  }

  /**
   * Asks what a synchronisation would change if these settings were saved: a dry run of its own, whose log says it.
   * @throws request.invalid, access.directory-password-needed
   */
  async preview(ctx: Context, change: DirectoryChange): Promise<SyncRun> {
    const proposal = await this.directory.propose(ctx, change);
    return this.db.transaction(ctx, async (tx) => {
      // Never one with another that waits: each has settings of its own. The job takes it up from `running`, as after a crash.
      const [row] = await this.db.query<RunRow>(
        tx,
        `insert into access_sync_runs (id, state, reason, dry_run, requested_by, created_at, updated_at, proposal_sealed) values ($1, 'running', 'request', true, $2, $3, $3, $4)
         returning ${runColumns}`,
        [uuidv7(), tx.actor.name, this.clock.now(), proposal],
      );
      if (!row) throw new Error('the run was not written');
      await this.outbox.enqueue(tx, syncDirectory, { runId: row.id });
      await this.audit.record(tx, { action: 'directory.preview', outcome: 'success', resource: { kind: 'directory-sync', id: row.id } });
      return toRun(row);
    });
  }

  /** Does what a run asks for. Handler of `syncDirectory`; safe to repeat. A run that meets another waits for it. */
  async run(ctx: Context, payload: { runId: string }): Promise<void> {
    const done = await this.leases.withLease(ctx, leaseName, leaseSeconds, async (lease) => {
      const [row] = await this.db.query<RunRow>(
        ctx, `update access_sync_runs set state = 'running', started_at = coalesce(started_at, $2), updated_at = $2 where id = $1 and state in ('queued', 'running') returning ${runColumns}`,
        [payload.runId, this.clock.now()]);
      if (row) await this.perform(ctx, row, lease);
      return true;
    });
    if (done === null) await this.db.transaction(ctx, (tx) => this.outbox.enqueue(tx, syncDirectory, payload, { delaySeconds: retrySeconds }));
  }

  private async perform(ctx: Context, row: RunRow, lease: Lease): Promise<void> {
    try {
      const [{ proposal } = { proposal: null }] = await this.db.query<{ proposal: string | null }>(ctx, 'select proposal_sealed as proposal from access_sync_runs where id = $1', [row.id]);
      const plan = proposal === null ? await this.directory.plan(ctx) : this.directory.openProposal(proposal);
      if (plan === null) throw accessProblem('directory-off');
      const pass = new DirectoryPass(
        {
          db: this.db, clock: this.clock, accounts: this.accounts, teams: this.teams, people: this.people, targets: this.targets, lease,
          report: (reportCtx, phase, counts, lines) => this.report(reportCtx, row.id, phase, counts, lines),
          checkpoint: (step) => this.checkpoint(row.id, step),
        },
        plan, row.id, row.dry_run,
      );
      await pass.run(ctx);
      await this.finish(ctx, row.id, 'succeeded', null);
    } catch (error) {
      // Somebody else holds the lease and does this run: what becomes of it is theirs to say.
      if (lease.signal.aborted) throw error;
      const known = error instanceof Problem;
      if (!known) this.logger.error({ err: error, run: row.id }, 'a synchronisation with the directory failed');
      // What can't be written now is tried again with the job.
      await this.finish(ctx, row.id, 'failed', known ? { code: error.code, detail: error.detail } : { code: 'request.internal', detail: 'Something went wrong here; the log of the worker says what.' });
    }
  }

  /** Called between steps that are committed one by one, with the step's name; it only exists to be replaced where a run is to end there. */
  protected async checkpoint(_runId: string, _step: string): Promise<void> {
    // Nothing to do between steps.
  }

  private async report(ctx: Context, runId: string, phase: string, counts: SyncCounts, lines: SyncLine[]): Promise<void> {
    const now = this.clock.now();
    await this.db.query(ctx, 'update access_sync_runs set phase = $2, counts = $3, updated_at = $4 where id = $1 returning 1', [runId, phase, JSON.stringify(counts), now]);
    if (lines.length === 0) return;
    await this.db.query(
      ctx,
      `insert into access_sync_log (run_id, line, at, level, code, message, detail)
       select $1, coalesce((select max(line) from access_sync_log where run_id = $1), 0) + item.position, $3, item.line ->> 'level', item.line ->> 'code', item.line ->> 'message', item.line -> 'detail'
       from jsonb_array_elements($2::jsonb) with ordinality as item(line, position)`,
      [runId, JSON.stringify(lines), now],
    );
  }

  private async finish(ctx: Context, runId: string, state: 'succeeded' | 'failed', error: { code: string; detail: string } | null): Promise<void> {
    const now = this.clock.now();
    await this.db.transaction(ctx, async (tx) => {
      const [row] = await this.db.query<RunRow>(
        tx, `update access_sync_runs set state = $2, error_code = $3, error_detail = $4, finished_at = $5, updated_at = $5, proposal_sealed = null where id = $1 returning ${runColumns}`,
        [runId, state, error?.code ?? null, error?.detail ?? null, now]);
      if (!row) return;
      await this.audit.record(tx, {
        action: 'directory.sync-finished', outcome: state === 'succeeded' ? 'success' : 'failed', resource: { kind: 'directory-sync', id: runId },
        detail: { dryRun: row.dry_run, counts: row.counts, ...(error ? { code: error.code } : {}) },
      });
    });
  }

  /** Runs, newest first. */
  async list(ctx: Context, options: { limit: number; cursor?: string }): Promise<Page<SyncRun>> {
    const after = decodeCursor(options.cursor, 1)?.[0] ?? null;
    const rows = await this.db.query<RunRow>(ctx, `select ${runColumns} from access_sync_runs where ($1::text is null or id::text < $1) order by id desc limit $2`, [after, options.limit + 1]);
    return toPage(rows.map(toRun), options.limit, (run) => [run.id]);
  }

  /** A run, how far it is, and what it changed or would change so far. @throws request.not-found */
  async get(ctx: Context, id: string): Promise<SyncRun> {
    const [row] = isUuid(id) ? await this.db.query<RunRow>(ctx, `select ${runColumns} from access_sync_runs where id = $1`, [id]) : [];
    if (!row) throw requestProblem('not-found');
    return toRun(row);
  }

  /** The log of a run, oldest line first. */
  async listLog(ctx: Context, id: string, options: { limit: number; cursor?: string }): Promise<Page<SyncLogLine>> {
    const after = decodeCursor(options.cursor, 1)?.[0] ?? '0';
    if (!/^\d{1,9}$/.test(after)) throw requestProblem('invalid', { errors: [{ pointer: 'query/cursor', detail: 'not a cursor of this list' }] });
    const rows = await this.db.query<SyncLogLine>(
      ctx, 'select line, at, level, code, message, detail from access_sync_log where run_id = $1 and line > $2::integer order by line limit $3', [id, after, options.limit + 1]);
    return toPage(rows, options.limit, (row) => [String(row.line)]);
  }

  /** Holds, newest first; only those that wait where `waiting`. */
  async listHolds(ctx: Context, options: { limit: number; cursor?: string; waiting?: boolean }): Promise<Page<SyncHold>> {
    const after = decodeCursor(options.cursor, 1)?.[0] ?? null;
    const rows = await this.db.query<SyncHold>(
      ctx,
      `select h.id, h.scope, h.name, h.members, h.state, h.run_id as "runId", h.created_at as "createdAt", h.expires_at as "expiresAt", h.decided_by as "decidedBy",
         coalesce((select jsonb_agg(jsonb_build_object('id', a.id, 'name', a.name) order by a.name_key) from access_accounts a where a.id = any(h.user_ids)), '[]') as users
       from access_sync_holds h where ($1::text is null or h.id::text < $1) and (not $3 or h.state in ('open', 'confirmed')) order by h.id desc limit $2`,
      [after, options.limit + 1, options.waiting ?? false],
    );
    return toPage(rows, options.limit, (hold) => [hold.id]);
  }

  /** Lets held removals happen: a run is asked for, which looks at the directory again and removes who is still to go. @throws request.not-found, access.hold-over, access.directory-off */
  async confirmHold(ctx: Context, id: string): Promise<SyncRun> {
    return this.db.transaction(ctx, async (tx) => {
      const [hold] = isUuid(id) ? await this.db.query<{ name: string; state: string; scope: string; user_ids: string[] }>(tx, 'select name, state, scope, user_ids from access_sync_holds where id = $1 for update', [id]) : [];
      if (!hold) throw requestProblem('not-found');
      if (hold.state !== 'open') throw accessProblem('hold-over');
      await this.db.query(tx, `update access_sync_holds set state = 'confirmed', decided_by = $2, decided_at = $3 where id = $1 returning 1`, [id, tx.actor.name, this.clock.now()]);
      await this.audit.record(tx, {
        action: 'directory.confirm-hold', outcome: 'success', resource: { kind: 'directory-hold', id, name: hold.name }, detail: { scope: hold.scope, users: hold.user_ids.length },
      });
      return this.start(tx, { dryRun: false });
    });
  }

  /** Sweep: asks for the runs whose time has come by the schedule or by a hold that ended, and again for those that were lost. */
  async tick(ctx: Context): Promise<void> {
    const settings = await this.directory.settings(ctx);
    if (!settings.enabled) return;
    const now = this.clock.now();
    const lost = await this.db.query<{ id: string }>(
      ctx,
      `update access_sync_runs set updated_at = $1 where state in ('queued', 'running') and updated_at < $1::timestamptz - make_interval(secs => ${lostSeconds})
         and not exists (select 1 from platform_leases where name = $2 and expires_at > now()) returning id`,
      [now, leaseName],
    );
    for (const { id } of lost) await this.db.transaction(ctx, (tx) => this.outbox.enqueue(tx, syncDirectory, { runId: id }));
    const [waiting] = await this.db.query(ctx, `select 1 from access_sync_runs where state in ('queued', 'running') and not dry_run limit 1`);
    if (waiting) return;
    if (settings.schedule !== null) {
      const schedule = parseSchedule(settings.schedule);
      const [last] = await this.db.query<{ since: Date }>(
        ctx, `select greatest((select max(created_at) from access_sync_runs where reason = 'schedule'), (select updated_at from access_directory where id = 1)) as since`);
      if (!('fault' in schedule) && last && schedule.next(last.since) <= now) {
        await this.start(ctx, { dryRun: false, reason: 'schedule' });
        return;
      }
    }
    const [over] = await this.db.query(ctx, `select 1 from access_sync_holds where state = 'open' and expires_at <= $1
      and not exists (select 1 from access_sync_runs r where r.reason = 'hold' and r.created_at > access_sync_holds.expires_at and r.created_at > $1::timestamptz - interval '1 hour') limit 1`, [now]);
    if (over) await this.start(ctx, { dryRun: false, reason: 'hold' });
  }
}

function toRun(row: RunRow): SyncRun {
  return {
    id: row.id, state: row.state, reason: row.reason, dryRun: row.dry_run, requestedBy: row.requested_by, phase: row.phase, counts: row.counts,
    error: row.error_code === null ? null : { code: row.error_code, detail: row.error_detail ?? '' }, createdAt: row.created_at, startedAt: row.started_at, finishedAt: row.finished_at,
  };
}
