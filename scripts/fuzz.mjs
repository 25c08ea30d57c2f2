// `npm run fuzz [-- --minutes N | --requests N] [--seed N] [--clients N] [--batch N]`: the grammar fuzzer of the engine gateway against a real
// engine, with a seed that it prints, for as long as there is time. `npm test` runs the same with one fixed seed.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { areDependenciesFresh, hashSources, isBuildFresh, markBuild, withCheckout } from './lib/fresh.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const usage = `usage: npm run fuzz -- [options]

  --minutes N    stop after so long (60, where --requests is not given)
  --requests N   stop after so many requests
  --seed N       decide as a former run did; without it, one is drawn and printed
  --clients N    requests that are under way at once (24)
  --batch N      requests between two looks at the engine (5000)

Exit code 0: nothing was found; 1: something was, and the smallest request that shows it is printed.`;

const settings = {};
const argv = process.argv.slice(2);
for (let index = 0; index < argv.length; index += 2) {
  const name = /^--(minutes|requests|seed|clients|batch)$/.exec(argv[index])?.[1];
  if (name === undefined || !/^\d+(\.\d+)?$/.test(argv[index + 1] ?? '')) {
    console.error(usage);
    process.exit(argv[index] === '--help' ? 0 : 2);
  }
  settings[name] = argv[index + 1];
}
settings.seed ??= String(randomInt(2 ** 31));
settings.minutes ??= settings.requests === undefined ? '60' : String(7 * 24 * 60);
settings.requests ??= String(10 ** 12);

const run = (args, env = process.env) => new Promise((resolve) => spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] }).on('close', (code) => resolve(code ?? 1)));
// The test ends what it started, and this process then ends with it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);

await withCheckout(root, async () => {
  if (!areDependenciesFresh(root)) throw new Error('the dependencies are not what package-lock.json says: run npm ci');
  if (isBuildFresh(root)) return;
  const hash = hashSources(root);
  if ((await run([join(root, 'scripts/build.mjs')])) !== 0) throw new Error('the build failed; see the messages above');
  markBuild(root, hash);
});

console.log(`seed ${settings.seed}`);
const env = { ...process.env, ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [`FUZZ_${name.toUpperCase()}`, value])) };
process.exit(await run(['--no-deprecation', join(root, 'node_modules/jest/bin/jest.js'), 'test/e2e/fuzz.e2e.ts', '--selectProjects', 'e2e', '--runInBand'], env));
