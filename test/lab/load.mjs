// Compiles the lab, TypeScript that the tests use too, and loads it into plain Node.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What test/lab/index.ts exports. */
export function loadLab() {
  const require = createRequire(import.meta.url);
  const { transformFileSync } = require('@swc/core');
  const here = dirname(fileURLToPath(import.meta.url));
  const out = join(here, `../../node_modules/.cache/gantry-lab-${process.pid}`);
  mkdirSync(out, { recursive: true });
  try {
    for (const file of readdirSync(here).filter((name) => name.endsWith('.ts'))) {
      const { code } = transformFileSync(join(here, file), { swcrc: false, module: { type: 'commonjs' }, jsc: { target: 'es2022', parser: { syntax: 'typescript' } } });
      writeFileSync(join(out, file.replace(/\.ts$/, '.js')), code);
    }
    return require(join(out, 'index.js'));
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
