import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Signing keys, signature policies, verdicts with the bytes they rest on, and when each signature was first seen. */
export class Trust1763690050000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table trust_signing_keys (
        id uuid primary key,
        name text collate "C" not null constraint trust_signing_keys_name unique,
        account_id uuid not null references access_accounts (id),
        public_pem text not null,
        fingerprint text not null constraint trust_signing_keys_fingerprint unique,
        algorithm text not null,
        status text not null default 'active' check (status in ('active', 'retired', 'revoked')),
        retired_at timestamptz,
        revoked_at timestamptz,
        reason text,
        sealed_private text,
        can_sign boolean not null generated always as (sealed_private is not null) stored,
        created_at timestamptz not null,
        version integer not null default 1,
        check ((status = 'revoked') = (revoked_at is not null)),
        check (status <> 'retired' or retired_at is not null),
        check (status = 'active' or sealed_private is null)
      );
      create index trust_signing_keys_account_id on trust_signing_keys (account_id);
      create table trust_policies (
        id uuid primary key,
        scope text not null constraint trust_policies_scope unique,
        name text collate "C" not null constraint trust_policies_name unique,
        mode text not null check (mode in ('off', 'audit', 'enforce')),
        key_ids uuid[] not null,
        threshold integer not null check (threshold >= 1),
        claims jsonb not null default '{}',
        created_at timestamptz not null,
        updated_at timestamptz not null,
        version integer not null default 1,
        check (mode = 'off' or cardinality(key_ids) >= threshold)
      );
      create index trust_policies_key_ids on trust_policies using gin (key_ids);
      create table trust_signatures_seen (
        image_digest text not null,
        payload_digest text not null,
        fingerprint text not null,
        first_seen_at timestamptz not null,
        primary key (image_digest, payload_digest, fingerprint)
      );
      create table trust_evidence (
        digest text primary key,
        bytes bytea not null
      );
      create table trust_verdicts (
        id uuid primary key,
        at timestamptz not null,
        repository text not null,
        digest text not null,
        scope text not null,
        policy_id uuid,
        policy_version integer,
        mode text not null,
        allowed boolean not null,
        reason text,
        explanation text not null,
        rule jsonb,
        keys jsonb not null,
        signers text[] not null,
        findings jsonb not null,
        evidence jsonb,
        request_id text not null
      );
      create index trust_verdicts_digest on trust_verdicts (digest, id);
      create index trust_verdicts_at on trust_verdicts (at);
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
