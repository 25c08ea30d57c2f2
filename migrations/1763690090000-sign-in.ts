import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What sessions were used for last and by what, second factors, and the number by which a sign-in notices that the account has changed under it. */
export class SignIn1763690090000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table access_accounts add column sign_in_epoch integer not null default 0;
      alter table access_sessions add column last_used_at timestamptz not null default now();
      alter table access_sessions add column user_agent text;
      create table access_second_factors (
        account_id uuid primary key references access_accounts (id) on delete cascade,
        secret_sealed text not null,
        created_at timestamptz not null,
        confirmed_at timestamptz,
        last_step bigint,
        recovery_hashes text[] not null default '{}'
      );
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
