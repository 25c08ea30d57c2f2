import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Bringing people and groups over from the directory: its settings, whom it knows, what follows it, runs with their logs, and what is held. */
export class DirectorySync1763690080000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table access_directory add column options jsonb not null default '{}';
      create table access_directory_people (
        account_id uuid primary key references access_accounts (id) on delete cascade,
        dn text not null,
        username text not null,
        left_at timestamptz,
        left_reason text check (left_reason in ('disabled', 'expired', 'not-found', 'out-of-scope')),
        check ((left_at is null) = (left_reason is null))
      );
      create table access_directory_joins (
        organization_id uuid not null references access_accounts (id) on delete cascade,
        user_id uuid not null references access_accounts (id) on delete cascade,
        primary key (organization_id, user_id)
      );
      create index access_directory_joins_user_id on access_directory_joins (user_id);
      create table access_directory_targets (
        id uuid primary key,
        team_id uuid unique references access_teams (id) on delete cascade,
        organization_id uuid unique references access_accounts (id) on delete cascade,
        selection jsonb not null,
        group_id text,
        synced_at timestamptz,
        error text,
        updated_at timestamptz not null,
        version integer not null default 1,
        check (num_nonnulls(team_id, organization_id) = 1)
      );
      create table access_sync_runs (
        id uuid primary key,
        state text not null check (state in ('queued', 'running', 'succeeded', 'failed')),
        reason text not null check (reason in ('request', 'schedule', 'hold')),
        dry_run boolean not null,
        requested_by text not null,
        phase text,
        counts jsonb not null default '{}',
        error_code text,
        error_detail text,
        created_at timestamptz not null,
        started_at timestamptz,
        updated_at timestamptz not null,
        finished_at timestamptz
      );
      create unique index access_sync_runs_queued on access_sync_runs (dry_run) where state = 'queued';
      create index access_sync_runs_created_at on access_sync_runs (created_at);
      create table access_sync_log (
        run_id uuid not null references access_sync_runs (id) on delete cascade,
        line integer not null,
        at timestamptz not null,
        level text not null check (level in ('info', 'warning', 'error')),
        code text not null,
        message text not null,
        detail jsonb not null,
        primary key (run_id, line)
      );
      create table access_sync_holds (
        id uuid primary key,
        scope text not null check (scope in ('team', 'organization-admins', 'system-admins')),
        team_id uuid references access_teams (id) on delete cascade,
        organization_id uuid references access_accounts (id) on delete cascade,
        name text not null,
        user_ids uuid[] not null,
        members integer not null,
        state text not null check (state in ('open', 'confirmed', 'applied', 'dropped')),
        run_id uuid,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        decided_by text,
        decided_at timestamptz
      );
      create index access_sync_holds_waiting on access_sync_holds (expires_at) where state in ('open', 'confirmed');
      create index access_sync_holds_team_id on access_sync_holds (team_id);
      create index access_sync_holds_organization_id on access_sync_holds (organization_id);
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
