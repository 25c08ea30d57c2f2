import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The two authorities of the engine gateway, and the certificates with which people and robots come to it. */
export class ClientCertificates1763690135000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table access_authorities (
        kind text primary key check (kind in ('client', 'gateway')),
        certificate text not null,
        sealed_key text not null,
        created_at timestamptz not null
      );
      create table access_client_certificates (
        id uuid primary key,
        account_id uuid not null references access_accounts (id) on delete cascade,
        token_id uuid references access_tokens (id) on delete set null,
        serial text not null unique,
        fingerprint text not null unique,
        name text not null,
        limits jsonb,
        cluster_id uuid,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        revoked_at timestamptz,
        last_used_at timestamptz
      );
      create index access_client_certificates_account_id on access_client_certificates (account_id);
      create index access_client_certificates_token_id on access_client_certificates (token_id) where token_id is not null;
      create index access_client_certificates_expires_at on access_client_certificates (expires_at);
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
