import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Environments, applications and their revisions, releases, plans, deployments with their journal, triggers. */
export class Delivery1763690060000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table delivery_environments (
        id uuid primary key,
        name text not null unique,
        account_id uuid not null references access_accounts (id),
        cluster_id uuid not null references clusters_clusters (id),
        variables jsonb not null,
        version integer not null default 1,
        created_at timestamptz not null default now()
      );
      create index delivery_environments_account_id on delivery_environments (account_id);
      create index delivery_environments_cluster_id on delivery_environments (cluster_id);

      create table delivery_applications (
        id uuid primary key,
        name text not null unique,
        account_id uuid not null references access_accounts (id),
        auto_redeploy jsonb,
        version integer not null default 1,
        created_at timestamptz not null default now()
      );
      create index delivery_applications_account_id on delivery_applications (account_id);
      create index delivery_applications_auto_redeploy on delivery_applications ((auto_redeploy ->> 'repository')) where auto_redeploy is not null;

      create table delivery_revisions (
        id uuid primary key,
        application_id uuid not null references delivery_applications (id),
        number integer not null,
        compose text not null,
        warnings jsonb not null,
        created_by jsonb not null,
        created_at timestamptz not null default now(),
        unique (application_id, number)
      );

      create table delivery_secrets (
        application_id uuid not null references delivery_applications (id),
        environment_id uuid not null references delivery_environments (id),
        name text not null,
        number integer not null,
        sealed text not null,
        created_at timestamptz not null default now(),
        primary key (application_id, environment_id, name, number)
      );

      create table delivery_releases (
        id uuid primary key,
        application_id uuid not null references delivery_applications (id),
        revision_id uuid not null references delivery_revisions (id),
        images jsonb not null,
        fingerprint text not null,
        created_at timestamptz not null default now(),
        unique (application_id, fingerprint)
      );

      create table delivery_plans (
        id uuid primary key,
        application_id uuid not null references delivery_applications (id),
        environment_id uuid not null references delivery_environments (id),
        release_id uuid not null references delivery_releases (id),
        base_deployment_id uuid,
        inputs jsonb not null,
        stack jsonb not null,
        changes jsonb not null,
        verdicts jsonb not null,
        notices jsonb not null,
        allowed boolean not null,
        created_by jsonb not null,
        created_at timestamptz not null default now(),
        expires_at timestamptz not null
      );
      create index delivery_plans_pair on delivery_plans (application_id, environment_id);

      create table delivery_deployments (
        id uuid primary key,
        application_id uuid not null references delivery_applications (id),
        environment_id uuid not null references delivery_environments (id),
        cluster_id uuid not null,
        origin text not null check (origin in ('request', 'hook', 'push', 'rollback', 'renewal')),
        cause text,
        revision_id uuid references delivery_revisions (id),
        images jsonb not null,
        plan_id uuid references delivery_plans (id),
        planned boolean not null,
        release_id uuid references delivery_releases (id),
        previous_deployment_id uuid references delivery_deployments (id),
        rollback_of uuid references delivery_deployments (id),
        state text not null check (state in ('queued', 'planning', 'applying', 'watching', 'succeeded', 'rolling-back', 'rolled-back', 'failed', 'cancelled', 'superseded')),
        reason jsonb,
        cancel_requested boolean not null default false,
        actor jsonb not null,
        request_id text not null,
        created_at timestamptz not null default now(),
        woken_at timestamptz,
        started_at timestamptz,
        deadline_at timestamptz,
        rollback_deadline_at timestamptz,
        finished_at timestamptz,
        unique (application_id, environment_id, cause)
      );
      create index delivery_deployments_pair on delivery_deployments (application_id, environment_id, id desc);
      create index delivery_deployments_unfinished on delivery_deployments (id) where finished_at is null;
      create unique index delivery_deployments_active on delivery_deployments (application_id, environment_id)
        where state in ('planning', 'applying', 'watching', 'rolling-back');

      create table delivery_steps (
        deployment_id uuid not null references delivery_deployments (id),
        ordinal integer not null generated always as identity,
        phase text not null check (phase in ('apply', 'rollback')),
        name text not null,
        object text not null,
        state text not null check (state in ('running', 'done', 'failed')),
        wish jsonb not null,
        result jsonb,
        started_at timestamptz not null default now(),
        finished_at timestamptz,
        primary key (deployment_id, phase, name, object)
      );

      create table delivery_events (
        id bigint generated always as identity primary key,
        deployment_id uuid not null references delivery_deployments (id),
        at timestamptz not null default clock_timestamp(),
        type text not null,
        data jsonb not null
      );
      create index delivery_events_deployment on delivery_events (deployment_id, id);

      create table delivery_credentials (
        cluster_id uuid not null,
        service text not null,
        repository_id uuid not null,
        application_id uuid not null references delivery_applications (id),
        environment_id uuid not null references delivery_environments (id),
        credential_id uuid not null,
        username text not null,
        sealed text not null,
        expires_at timestamptz not null,
        primary key (cluster_id, service, repository_id)
      );
      create index delivery_credentials_pair on delivery_credentials (application_id, environment_id);

      create table delivery_triggers (
        id uuid primary key,
        application_id uuid not null references delivery_applications (id),
        environment_id uuid not null references delivery_environments (id),
        service text,
        repository text,
        secret_sealed text not null,
        created_by jsonb not null,
        created_at timestamptz not null default now()
      );
      create index delivery_triggers_application_id on delivery_triggers (application_id);

      create table delivery_hook_deliveries (
        trigger_id uuid not null references delivery_triggers (id) on delete cascade,
        delivery_id text not null,
        deployment_id uuid not null references delivery_deployments (id),
        received_at timestamptz not null default now(),
        primary key (trigger_id, delivery_id)
      );
      create index delivery_hook_deliveries_received_at on delivery_hook_deliveries (received_at);

      create table delivery_awaited (
        application_id uuid not null references delivery_applications (id),
        environment_id uuid not null references delivery_environments (id),
        repository text not null,
        digest text not null,
        tag text not null,
        reason text not null,
        created_at timestamptz not null default now(),
        primary key (application_id, environment_id, repository)
      );
      create index delivery_awaited_digest on delivery_awaited (repository, digest);
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
