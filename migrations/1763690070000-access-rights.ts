import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Teams, roles with their versions, grants, and collections that people make. */
export class AccessRights1763690070000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table access_teams (
        id uuid primary key,
        organization_id uuid not null references access_accounts (id) on delete cascade,
        name text not null,
        description text not null default '',
        created_at timestamptz not null,
        version integer not null default 1,
        constraint access_teams_name unique (organization_id, name)
      );
      create table access_team_members (
        team_id uuid not null references access_teams (id) on delete cascade,
        user_id uuid not null references access_accounts (id) on delete cascade,
        origin text not null check (origin in ('manual', 'directory')),
        administers boolean not null,
        created_at timestamptz not null,
        primary key (team_id, user_id, origin)
      );
      create index access_team_members_user_id on access_team_members (user_id);
      create table access_roles (
        id text primary key,
        name text not null constraint access_roles_name unique,
        description text not null default '',
        built_in boolean not null,
        operations jsonb not null,
        created_at timestamptz not null,
        version integer not null default 1
      );
      insert into access_roles (id, name, built_in, operations, created_at)
        select id, id, true, '[]', now() from unnest(array['none', 'viewonly', 'restrictedcontrol', 'scheduler', 'fullcontrol', 'repository-read', 'repository-write', 'repository-admin']) id;
      create table access_role_versions (
        role_id text not null references access_roles (id) on delete cascade,
        version integer not null,
        name text not null,
        description text not null,
        operations jsonb not null,
        changed_by text not null,
        changed_at timestamptz not null,
        primary key (role_id, version)
      );
      create table access_grants (
        id uuid primary key,
        subject_kind text not null check (subject_kind in ('user', 'team', 'organization')),
        subject_id uuid not null,
        role_id text not null references access_roles (id),
        collection_id uuid references access_collections (id),
        repository_id uuid,
        created_by text not null,
        created_at timestamptz not null,
        check ((collection_id is null) <> (repository_id is null)),
        constraint access_grants_once unique nulls not distinct (subject_id, role_id, collection_id, repository_id)
      );
      create index access_grants_role_id on access_grants (role_id);
      create index access_grants_collection_id on access_grants (collection_id);
      create index access_grants_repository_id on access_grants (repository_id);
      alter table access_collections add column created_at timestamptz not null default now(), add column version integer not null default 1;
      create table access_settings (
        id integer primary key check (id = 1),
        default_role_id text not null references access_roles (id),
        version integer not null default 1
      );
      insert into access_settings (id, default_role_id) values (1, 'none');
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
