import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Accounts and how they sign in, the collection tree with its placements, and the log of changes that feeds every process's snapshot. */
export class Access1763690020000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table access_accounts (
        id uuid primary key,
        source text not null check (source in ('local', 'ldap')),
        external_id text not null,
        kind text not null check (kind in ('user', 'robot', 'organization')),
        name text not null,
        name_key text not null constraint access_accounts_name unique,
        namespace text constraint access_accounts_namespace unique,
        display_name text,
        mail text,
        password_hash text,
        admin boolean not null default false,
        active boolean not null default true,
        owner_id uuid references access_accounts (id) on delete cascade,
        created_at timestamptz not null,
        version integer not null default 1,
        constraint access_accounts_source unique (source, external_id),
        check ((kind = 'robot') = (owner_id is not null)),
        check (not admin or kind = 'user')
      );
      create index access_accounts_owner_id on access_accounts (owner_id);
      create table access_members (
        organization_id uuid not null references access_accounts (id) on delete cascade,
        user_id uuid not null references access_accounts (id) on delete cascade,
        role text not null check (role in ('member', 'admin')),
        created_at timestamptz not null,
        primary key (organization_id, user_id)
      );
      create index access_members_user_id on access_members (user_id);
      create table access_sessions (
        id uuid primary key,
        account_id uuid not null references access_accounts (id) on delete cascade,
        hash text not null unique,
        address text,
        created_at timestamptz not null,
        expires_at timestamptz not null
      );
      create index access_sessions_account_id on access_sessions (account_id);
      create index access_sessions_expires_at on access_sessions (expires_at);
      create table access_tokens (
        id uuid primary key,
        kind text not null check (kind in ('personal', 'robot')),
        account_id uuid not null references access_accounts (id) on delete cascade,
        name text not null,
        hash text not null unique,
        limits jsonb,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        last_used_at timestamptz
      );
      create index access_tokens_account_id on access_tokens (account_id);
      create table access_service_credentials (
        id uuid primary key,
        subject text not null,
        username text not null unique,
        repository_ids uuid[] not null,
        secret_hash text not null unique,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        revoked_at timestamptz
      );
      create index access_service_credentials_subject on access_service_credentials (subject);
      create table access_collections (
        id uuid primary key,
        parent_id uuid references access_collections (id),
        path text not null unique,
        owner_id uuid unique references access_accounts (id) on delete cascade
      );
      create index access_collections_parent_id on access_collections (parent_id);
      insert into access_collections (id, parent_id, path) values
        ('00000000-0000-7000-8000-000000000001', null, '/'),
        ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001', '/System'),
        ('00000000-0000-7000-8000-000000000003', '00000000-0000-7000-8000-000000000001', '/Shared'),
        ('00000000-0000-7000-8000-000000000004', '00000000-0000-7000-8000-000000000003', '/Shared/Private'),
        ('00000000-0000-7000-8000-000000000005', '00000000-0000-7000-8000-000000000001', '/Organizations');
      create table access_placements (
        kind text not null,
        id text not null,
        collection_id uuid not null references access_collections (id),
        primary key (kind, id)
      );
      create index access_placements_collection_id on access_placements (collection_id);
      create table access_changes (
        version bigint primary key,
        change jsonb not null,
        at timestamptz not null default now()
      );
      create table access_sign_in_failures (
        key text primary key,
        count integer not null,
        window_ends_at timestamptz not null
      );
      create index access_sign_in_failures_window on access_sign_in_failures (window_ends_at);
      create table access_directory (
        id integer primary key,
        enabled boolean not null,
        url text not null,
        start_tls boolean not null,
        ca_pem text,
        bind_dn text not null,
        bind_password_sealed text not null,
        search_base text not null,
        username_attribute text not null,
        filter text,
        timeout_seconds integer not null,
        updated_at timestamptz not null,
        version integer not null
      );
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
