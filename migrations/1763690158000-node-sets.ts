import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Nodes that lie in collections of their own, and the sets of nodes to which services are kept. */
export class NodeSets1763690158000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table clusters_placed_nodes (
        cluster_id uuid not null references clusters_clusters (id) on delete cascade,
        node_id text not null,
        primary key (cluster_id, node_id)
      );
      create table clusters_node_sets (
        cluster_id uuid not null references clusters_clusters (id) on delete cascade,
        hash text not null,
        collections uuid[] not null,
        used_at timestamptz not null,
        primary key (cluster_id, hash)
      );
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
