import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What was made through the gateway and is nobody's, and when the watcher of a cluster stops nothing more by itself. */
export class Watching1763690162000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table clusters_made (
        cluster_id uuid not null references clusters_clusters (id) on delete cascade,
        node_id text not null,
        kind text not null check (kind in ('image', 'container')),
        engine_id text not null,
        account_id uuid,
        how text not null,
        made_at timestamptz not null,
        primary key (cluster_id, node_id, kind, engine_id)
      );
      alter table clusters_clusters
        add column watch_brake_count integer not null default 5 constraint clusters_clusters_brake_count check (watch_brake_count between 1 and 100000),
        add column watch_brake_percent integer not null default 50 constraint clusters_clusters_brake_percent check (watch_brake_percent between 1 and 100),
        add column watch_braked_at timestamptz,
        add column watch_brake_released_at timestamptz;
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
