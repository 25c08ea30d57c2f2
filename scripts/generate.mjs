// `npm run generate`: writes what is generated and committed: migrations/schema.sql, docs/settings.md, docs/problems.md, docs/operations.md, docs/engine-api.md.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const env = { ...process.env, GANTRY_TEST_GENERATE: '1' };
for (const [file, project] of [['libs/platform/test/schema.int.ts', 'int'], ['apps/api/test/routes.guard.ts', 'guard'], ['libs/clusters/src/engine-api/page.spec.ts', 'unit']]) {
  const result = spawnSync(process.execPath, [join(root, 'node_modules/jest/bin/jest.js'), file, '--selectProjects', project, '-t', 'generate'], { cwd: root, env, stdio: 'inherit' });
  if (result.status !== 0) process.exit(result.status ?? 1);
}
