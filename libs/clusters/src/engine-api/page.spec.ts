import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { engineApiPage } from './page';
import { engineTable } from './table';

describe('docs/engine-api.md', () => {
  it('is what the table says (npm run generate)', () => {
    const file = join(__dirname, '../../../../docs/engine-api.md');
    const page = engineApiPage();
    if (process.env['GANTRY_TEST_GENERATE'] === '1') writeFileSync(file, page);
    expect(readFileSync(file, 'utf8')).toBe(page);
    for (const row of engineTable) expect(page).toContain(`| \`${row.name}\` | 1.${row.since} | `);
    expect(page).toContain('| `HostConfig.Privileged` | `container:create:privileged` |');
    expect(page).not.toMatch(/undefined|\[object/);
  });
});
