// `npm run check`: everything but tests. Lint (oxlint, then typed ESLint), types, walls between the rooms (and that the walls notice a
// planted violation), generated documents.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = (name) => join(root, 'node_modules/.bin', name);

function run(file, argv, { quiet = false, cwd = root } = {}) {
  return new Promise((resolve) => {
    const child = spawn(file, argv, { cwd, stdio: quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit' });
    let output = '';
    child.stdout?.on('data', (chunk) => (output += chunk));
    child.stderr?.on('data', (chunk) => (output += chunk));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** One violation of each wall, planted, seen by the tool, and removed. A wall that sees nothing protects nothing. */
const plants = [
  ['direction-platform', 'libs/platform/src/planted-wall.ts', "import type { Audit } from '@gantry/audit';\nexport type Planted = Audit;\n"],
  ['direction-registry', 'libs/registry/src/planted-wall.ts', "import { Clusters } from '@gantry/clusters';\nexport const planted = Clusters;\n"],
  ['only-through-index', 'apps/worker/src/planted-wall.ts', "import type { Outbox } from '../../../libs/platform/src/outbox';\nexport type Planted = Outbox;\n"],
  ['libs-not-apps', 'libs/delivery/src/planted-wall.ts', "import type { RouteOptions } from '../../../apps/api/src/http/route';\nexport type Planted = RouteOptions;\n"],
  ['no-circular', 'libs/audit/src/planted-wall.ts', "import { planted } from './planted-wall-b';\nexport const other = planted;\n", 'libs/audit/src/planted-wall-b.ts', "import { other } from './planted-wall';\nexport const planted = (): unknown => other;\n"],
  ['migrations-alone', 'migrations/planted-wall.ts', "import { uuidv7 } from '../libs/platform/src/ids';\nexport const planted = uuidv7;\n"],
  ['no-http-in-libs', 'libs/access/src/planted-wall.ts', "import type { FastifyRequest } from 'fastify';\nexport type Planted = FastifyRequest;\n"],
];

/** Runs in a copy of the sources, so that an interrupted check leaves nothing planted here. */
async function walls() {
  const cruise = (cwd) => run(bin('depcruise'), ['--config', '.dependency-cruiser.cjs', 'apps', 'libs', 'migrations'], { quiet: true, cwd });
  const clean = await cruise(root);
  if (clean.code !== 0) {
    process.stdout.write(clean.output);
    return 1;
  }
  const copy = mkdtempSync(join(tmpdir(), 'gantry-walls-'));
  try {
    for (const part of ['apps', 'libs', 'migrations', 'tsconfig.json', '.dependency-cruiser.cjs', 'package.json']) cpSync(join(root, part), join(copy, part), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    for (const [, ...rest] of plants) for (let index = 0; index < rest.length; index += 2) writeFileSync(join(copy, rest[index]), rest[index + 1]);
    const planted = await cruise(copy);
    const missed = plants.filter(([rule, file]) => !planted.output.split('\n').some((line) => line.includes(`${rule}:`) && line.includes(file.replace('.ts', ''))));
    if (planted.code === 0 || missed.length > 0) {
      process.stdout.write(`the walls did not notice: ${missed.map(([rule]) => rule).join(', ')}\n${planted.output}`);
      return 1;
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  process.stdout.write(`walls hold, and notice ${plants.length} planted violations\n`);
  return 0;
}

const steps = [
  ['oxlint', async () => (await run(bin('oxlint'), ['--quiet'])).code],
  ['eslint', async () => (await run(bin('eslint'), ['.'])).code],
  ['types', async () => (await run(bin('tsc'), ['--noEmit', '-p', '.'])).code],
  ['walls', walls],
];

let failed = false;
for (const [name, step] of steps) {
  const started = Date.now();
  const code = await step();
  process.stdout.write(`${code === 0 ? 'ok  ' : 'FAIL'} ${name} ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
  failed ||= code !== 0;
}
process.exit(failed ? 1 : 0);
