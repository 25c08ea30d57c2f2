// `npm run bench [name…] [-- --rounds N] [--record]`: builds if need be, runs the benches one after the other and prints their tables.
// With --record, tables with date, commit and machine go to the end of bench/RESULTS.md. Never part of `npm test`.
import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { areDependenciesFresh, hashSources, isBuildFresh, markBuild, withCheckout } from './lib/fresh.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const shared = ['lib', 'product'];
const all = readdirSync(join(root, 'bench')).filter((file) => file.endsWith('.ts')).map((file) => file.slice(0, -3)).filter((name) => !shared.includes(name)).sort();

const usage = `usage: npm run bench [${all.join('|')}]... [-- --rounds N] [--record]

  --rounds N      how often each arm is measured; below 15 it is a smoke test
  --record        append the tables to bench/RESULTS.md
webhook: --samples N (per round), --replicas N, --queue default|redis
start:   --cold (also clones, installs and builds), --idle SECONDS
blobs:   --megabytes N
tokens:  --seconds N (per arm and round)
directory: --small (2,000 people only)
engine-gateway: --only ping,lists,streams,filtered,idle, --nginx PROGRAM, --nginx-stream MODULE

Exit code 0: no limit is missed; 1: one is; 2: a run is void.`;

const argv = process.argv.slice(2);
const names = [];
for (const argument of argv) {
  if (argument.startsWith('-')) break;
  names.push(argument);
}
const rest = argv.slice(names.length).filter((argument) => argument !== '--record' && argument !== '--');
const unknown = names.find((name) => !all.includes(name));
if (unknown !== undefined || rest.includes('--help')) {
  console.error(unknown === undefined ? usage : `no bench "${unknown}"\n${usage}`);
  process.exit(unknown === undefined ? 0 : 2);
}

const run = (argv) => new Promise((resolve) => spawn(process.execPath, argv, { cwd: root, stdio: 'inherit' }).on('close', (code) => resolve(code ?? 2)));
// The bench ends what it started, and this process then ends with it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);

await withCheckout(root, async () => {
  if (!areDependenciesFresh(root)) throw new Error('the dependencies are not what package-lock.json says: run npm ci');
  if (!isBuildFresh(root)) {
    const hash = hashSources(root);
    if ((await run([join(root, 'scripts/build.mjs')])) !== 0) throw new Error('the build failed; see the messages above');
    markBuild(root, hash);
  }
  const swc = join(dirname(createRequire(import.meta.url).resolve('@swc/cli/package.json')), 'bin/swc.js');
  if ((await run([swc, 'bench', '-d', 'dist', '--config-file', '.swcrc', '-q'])) !== 0) throw new Error('the benches do not compile; see the messages above');
});

const scratch = mkdtempSync(join(tmpdir(), 'gantry-bench-'));
let worst = 0;
try {
  for (const name of names.length > 0 ? names : all) {
    console.error(`\n${name}`);
    const out = join(scratch, `${name}.json`);
    const code = await run(['--no-deprecation', join(root, `dist/bench/${name}.js`), ...rest, '--out', out]);
    worst = Math.max(worst, code);
    if (code > 2) break; // interrupted
    if (existsSync(out) && argv.includes('--record')) record(name, JSON.parse(readFileSync(out, 'utf8')));
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(worst);

function record(name, { title, rows, notes, rounds, machine }) {
  const file = join(root, 'bench/RESULTS.md');
  if (!existsSync(file)) writeFileSync(file, '# Results\n\nWritten by `npm run bench -- --record`. Figures hold for the machine that is named; compare ratios and verdicts, not milliseconds.\n');
  const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout.trim();
  const changed = git('status', '--porcelain', '--', 'apps', 'libs', 'migrations', 'scripts', 'bench', 'package-lock.json') !== '';
  const cells = rows.map(({ what, value, limit = '', verdict = '' }) => `| ${what} | ${value} | ${limit} | ${verdict} |`);
  const lines = [
    '', `## ${new Date().toISOString().slice(0, 10)}: ${title}`, '',
    `\`npm run bench ${name} -- --rounds ${rounds}\`, commit ${git('rev-parse', '--short', 'HEAD')}${changed ? ' with uncommitted changes' : ''}; ${machine}.`, '',
    '| | measured | limit | |', '|---|---|---|---|', ...cells, '', ...notes.map((note) => `- ${note}`), '',
  ];
  appendFileSync(file, lines.join('\n'));
}
