import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Clusters and what Gantry made on them. */
export class Clusters1763690040000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table clusters_clusters (
        id uuid primary key,
        name text not null,
        endpoint jsonb not null,
        sealed_tls text,
        swarm_id text not null,
        engine_version text not null,
        api_version text not null,
        node_count integer not null,
        state text not null check (state in ('ready', 'unreachable', 'not-a-manager')),
        state_detail text not null default '',
        checked_at timestamptz not null,
        created_at timestamptz not null,
        version integer not null
      );
      create unique index clusters_clusters_name on clusters_clusters (name);
      create unique index clusters_clusters_swarm on clusters_clusters (swarm_id);
      create table clusters_objects (
        cluster_id uuid not null references clusters_clusters (id) on delete cascade,
        kind text not null check (kind in ('network', 'secret', 'config', 'service', 'volume')),
        name text not null,
        engine_id text,
        scope text not null,
        created_at timestamptz not null default now(),
        primary key (cluster_id, kind, name)
      );
      create index clusters_objects_engine_id on clusters_objects (cluster_id, kind, engine_id);
      create table clusters_relay_calls (
        id uuid primary key,
        request text not null,
        answer text,
        created_at timestamptz not null default now()
      );
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
