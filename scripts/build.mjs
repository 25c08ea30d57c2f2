// `npm run build`: compiles apps, libs and migrations to dist/ with swc (types are checked by `npm run check`).
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cli = join(dirname(createRequire(import.meta.url).resolve('@swc/cli/package.json')), 'bin/swc.js');
rmSync(join(root, 'dist'), { recursive: true, force: true });
const result = spawnSync(process.execPath, [cli, 'apps', 'libs', 'migrations', '-d', 'dist', '--config-file', '.swcrc', '-q'], { cwd: root, stdio: 'inherit' });
process.exit(result.status ?? 1);
