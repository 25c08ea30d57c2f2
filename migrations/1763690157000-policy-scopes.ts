import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The policy of a collection or a repository goes with it. */
export class PolicyScopes1763690157000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table trust_policies
        add column collection_id uuid generated always as (case when scope like 'collection:%' then substr(scope, 12)::uuid end) stored references access_collections (id) on delete cascade,
        add column repository_id uuid generated always as (case when scope like 'repository:%' then substr(scope, 12)::uuid end) stored references registry_repositories (id) on delete cascade;
      create index trust_policies_collection_id on trust_policies (collection_id);
      create index trust_policies_repository_id on trust_policies (repository_id);
    `);
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
