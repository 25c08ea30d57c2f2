// What every script needs before it can run: npm dependencies as locked, and a build of the current sources.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Installs npm dependencies where `node_modules` is not what the lock file says. */
export function ensureDependencies() {
  const mark = join(root, 'node_modules/.gantry-lock');
  const wanted = createHash('sha256').update(readFileSync(join(root, 'package-lock.json'))).digest('hex');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === wanted) return false;
  const result = spawnSync('npm', ['ci', '--no-progress', '--loglevel=error'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (result.status !== 0) throw new Error('npm ci failed; see its message above');
  writeFileSync(mark, wanted);
  return true;
}

function sources() {
  const files = [];
  const walk = (folder) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (entry.name.endsWith('.ts')) files.push(path);
    }
  };
  for (const folder of ['apps', 'libs', 'migrations']) walk(folder);
  return files.sort();
}

/** Builds where a source is newer or other than at the last build. */
export function ensureBuild() {
  const mark = join(root, 'dist/.gantry-sources');
  const hash = createHash('sha256');
  for (const file of [...sources(), '.swcrc']) {
    const { mtimeMs, size } = statSync(join(root, file));
    hash.update(`${file} ${mtimeMs} ${size}\n`);
  }
  const wanted = hash.digest('hex');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === wanted) return false;
  const result = spawnSync(process.execPath, [join(root, 'scripts/build.mjs')], { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) throw new Error('the build failed; see the messages above');
  writeFileSync(mark, wanted);
  return true;
}
