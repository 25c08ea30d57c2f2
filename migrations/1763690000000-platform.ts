import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Outbox, leases and idempotency keys. */
export class Platform1763690000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table platform_outbox (
        id uuid primary key,
        kind text not null check (kind in ('job', 'event')),
        name text not null,
        payload jsonb not null,
        request_id text not null,
        due_at timestamptz not null default now()
      );
      create table platform_leases (
        name text primary key,
        holder uuid not null,
        fence bigint not null,
        expires_at timestamptz not null
      );
      create table platform_idempotency (
        actor text not null,
        key text not null,
        request_hash text not null,
        status integer,
        headers jsonb,
        body jsonb,
        created_at timestamptz not null default now(),
        primary key (actor, key)
      );
      create index platform_idempotency_created_at on platform_idempotency (created_at);
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
