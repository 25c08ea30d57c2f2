import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Repositories, what was pushed to them, and pushes that are not yet known to have succeeded. */
export class Registry1763690030000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table registry_repositories (
        id uuid primary key,
        account_id uuid not null references access_accounts (id),
        namespace text not null,
        name text not null,
        path text collate "C" not null generated always as (namespace || '/' || name) stored,
        description text not null default '',
        immutable_tags boolean not null default false,
        deleting boolean not null default false,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        version integer not null default 1,
        constraint registry_repositories_path unique (path)
      );
      create index registry_repositories_account_id on registry_repositories (account_id);
      create table registry_manifests (
        repository_id uuid not null references registry_repositories (id) on delete cascade,
        digest text not null,
        media_type text not null,
        size_bytes bigint not null,
        content_bytes bigint not null,
        subject_digest text,
        artifact_type text,
        config_digest text,
        annotations jsonb,
        pushed_at timestamptz not null default now(),
        pushed_by text not null,
        primary key (repository_id, digest)
      );
      create index registry_manifests_subject on registry_manifests (repository_id, subject_digest) where subject_digest is not null;
      create table registry_tags (
        repository_id uuid not null references registry_repositories (id) on delete cascade,
        name text collate "C" not null,
        digest text not null,
        updated_at timestamptz not null default now(),
        updated_by text not null,
        primary key (repository_id, name),
        foreign key (repository_id, digest) references registry_manifests (repository_id, digest) on delete cascade
      );
      create index registry_tags_digest on registry_tags (repository_id, digest);
      create table registry_pushes (
        id uuid primary key,
        repository_id uuid not null references registry_repositories (id) on delete cascade,
        tag text,
        digest text not null,
        facts jsonb not null,
        actor jsonb not null,
        request_id text not null,
        created_at timestamptz not null default clock_timestamp()
      );
      create index registry_pushes_created_at on registry_pushes (created_at);
      create table registry_events (
        id uuid primary key,
        repository_id uuid not null references registry_repositories (id) on delete cascade,
        type text not null check (type in ('pushed', 'tag-deleted', 'manifest-deleted')),
        tag text,
        digest text not null,
        actor_name text not null,
        at timestamptz not null default now()
      );
      create index registry_events_repository on registry_events (repository_id, id);
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
