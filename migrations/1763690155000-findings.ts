import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What is on clusters without Gantry having made it, or against the policies that count where it runs; and since when each cluster is watched. */
export class Findings1763690155000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table clusters_clusters add column watch text not null default 'flag' constraint clusters_clusters_watch check (watch in ('off', 'flag', 'quarantine'));
      -- node_id '': the swarm itself. What was there before the first comparison is a baseline.
      create table clusters_watched (
        cluster_id uuid not null references clusters_clusters (id) on delete cascade,
        node_id text not null,
        since timestamptz not null,
        primary key (cluster_id, node_id)
      );
      create table clusters_findings (
        id uuid primary key,
        cluster_id uuid not null references clusters_clusters (id) on delete cascade,
        node_id text not null,
        kind text not null check (kind in ('container', 'network', 'volume', 'service', 'secret', 'config', 'image')),
        engine_id text not null,
        reason text not null check (reason in ('unknown', 'image-refused')),
        name text not null,
        image text not null,
        detail text not null default '',
        state text not null check (state in ('seen', 'baseline', 'flagged', 'acknowledged', 'quarantined', 'releasing', 'owned', 'gone')),
        note text not null default '',
        done text not null default '',
        undo jsonb,
        fault text not null default '',
        first_seen timestamptz not null,
        last_seen timestamptz not null,
        changed_at timestamptz not null,
        constraint clusters_findings_object unique (cluster_id, reason, kind, node_id, engine_id)
      );
      create index clusters_findings_listed on clusters_findings (cluster_id, id);
      create index clusters_findings_over on clusters_findings (changed_at) where state in ('owned', 'gone');
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
