import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Pull credentials of services that are made through the engine gateway. */
export class GatewayCredentials1763690140000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table clusters_pull_credentials (
        cluster_id uuid not null references clusters_clusters (id) on delete cascade,
        holder_id uuid not null,
        repository_id uuid not null,
        credential_id uuid not null,
        username text not null,
        sealed text not null,
        expires_at timestamptz not null,
        primary key (cluster_id, holder_id, repository_id)
      );
      create index clusters_pull_credentials_expiry on clusters_pull_credentials (expires_at);
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
