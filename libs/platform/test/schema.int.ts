import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { printSchema, settingsReference } from '@gantry/platform';
import { openTestDatabase } from '@gantry/platform/testing';

const root = join(__dirname, '../../..');

/** Compares a generated text with its file; `npm run generate` writes the file instead. */
function compare(file: string, text: string): void {
  if (process.env['GANTRY_TEST_GENERATE'] === '1') writeFileSync(join(root, file), text);
  expect(readFileSync(join(root, file), 'utf8')).toBe(text);
}

describe('generated files are up to date', () => {
  it('migrations/schema.sql is what the migrations make (npm run generate)', async () => {
    const database = await openTestDatabase();
    try {
      compare('migrations/schema.sql', await printSchema(database.db));
    } finally {
      await database.close();
    }
  });

  it('docs/settings.md lists every setting (npm run generate)', () => {
    compare('docs/settings.md', settingsReference());
  });
});
