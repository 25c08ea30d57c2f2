import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { printSchema, settingsReference } from '@gantry/platform';
import { openTestDatabase } from '@gantry/platform/testing';

const root = join(__dirname, '../../..');

describe('generated files are up to date', () => {
  it('migrations/schema.sql is what the migrations make (npm run generate)', async () => {
    const database = await openTestDatabase();
    try {
      expect(await printSchema(database.db)).toBe(readFileSync(join(root, 'migrations/schema.sql'), 'utf8'));
    } finally {
      await database.close();
    }
  });

  it('docs/settings.md lists every setting (npm run generate)', () => {
    expect(settingsReference()).toBe(readFileSync(join(root, 'docs/settings.md'), 'utf8'));
  });
});
