// Whether what npm and the build have made still fits the sources.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const lockMark = 'node_modules/.gantry-lock';
const buildMark = 'dist/.gantry-build';

/** True when node_modules holds just what package-lock.json says. */
export function areDependenciesFresh(root) {
  const npmRecord = join(root, 'node_modules/.package-lock.json');
  const lockFile = join(root, 'package-lock.json');
  if (!existsSync(npmRecord)) return false;
  if (!existsSync(lockFile)) return true;
  // npm writes its record at the end of an installation, also of one that was typed by hand
  return readMark(root, lockMark) === hashFile(lockFile) || statSync(npmRecord).mtimeMs >= statSync(lockFile).mtimeMs;
}

export function markDependencies(root) {
  const lockFile = join(root, 'package-lock.json');
  if (existsSync(lockFile)) writeFileSync(join(root, lockMark), hashFile(lockFile));
}

/** True when dist was built from the sources as they are; a build removes dist first, so one that failed isn't. */
export function isBuildFresh(root) {
  return existsSync(join(root, 'dist/apps/standalone/src/main.js')) && readMark(root, buildMark) === hashSources(root);
}

/** @param hash of the sources before they were built: what was edited meanwhile must be built again */
export function markBuild(root, hash) {
  writeFileSync(join(root, buildMark), hash);
}

export function hashSources(root) {
  const hash = createHash('sha256');
  for (const folder of ['apps', 'libs', 'migrations']) hashFolder(root, folder, hash);
  for (const file of ['.swcrc', 'package-lock.json', 'scripts/build.mjs']) if (existsSync(join(root, file))) hash.update(`${file}\0`).update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

function hashFolder(root, folder, hash) {
  if (!existsSync(join(root, folder))) return;
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      if (entry.name !== 'node_modules') hashFolder(root, path, hash);
    } else if (/\.(ts|json|js|sql)$/.test(entry.name) && !/\.(spec|int|guard)\.ts$/.test(entry.name)) {
      hash.update(`${path}\0`).update(readFileSync(join(root, path)));
    }
  }
}

function hashFile(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

function readMark(root, name) {
  const file = join(root, name);
  return existsSync(file) ? readFileSync(file, 'utf8') : null;
}

/** Two starts on one checkout must not install or build at the same time: runs `work` while holding `.cache/start.lock`. */
export async function withCheckout(root, work) {
  mkdirSync(join(root, '.cache'), { recursive: true });
  const file = join(root, '.cache/start.lock');
  const deadline = Date.now() + 600_000;
  for (;;) {
    try {
      const descriptor = openSync(file, 'wx');
      writeFileSync(descriptor, String(process.pid));
      closeSync(descriptor);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const holder = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
    // an empty file is one that is just being written, unless it stays so
    const isGone = holder > 0 ? !existsSync(`/proc/${holder}`) : existsSync(file) && Date.now() - statSync(file).mtimeMs > 5_000;
    if (isGone && existsSync(file)) unlinkSync(file);
    else if (Date.now() > deadline) throw new Error(`process ${holder} has been installing or building here for 10 minutes; see what it waits for`);
    else await wait(200);
  }
  try {
    return await work();
  } finally {
    unlinkSync(file);
  }
}
