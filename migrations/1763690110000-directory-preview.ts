import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Dry runs with settings that are not saved. */
export class DirectoryPreview1763690110000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('alter table access_sync_runs add column proposal_sealed text');
  }

  async down(): Promise<void> {
    // Migrations go forward only; a backup is the way back.
  }
}
