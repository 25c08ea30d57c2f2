// `npm start`: dependencies, build, then the embedded default (apps/standalone) in this same process.
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { areDependenciesFresh, hashSources, isBuildFresh, markBuild, markDependencies, withCheckout } from './lib/fresh.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const args = process.argv.slice(2);

const help = `npm start -- [options]

Starts Gantry with everything it needs on this machine: PostgreSQL, a registry, a Docker engine where none runs,
the API and its workers, and a sample application. Ctrl-C stops all that it started.

  --no-install            install no system packages; say what is missing and stop
  --yes                   don't ask before system packages are installed
  --no-sample             don't deploy the sample application
  --init-swarm[=ADDRESS]  make the engine found here a swarm of one node, advertised as ADDRESS
  --help                  this text

Settings are environment variables (GANTRY_HOME, GANTRY_HTTP_PORT, ...): docs/settings.md.
`;

function stop(message) {
  process.stderr.write(`\nGantry can't start: ${message}\n`);
  process.exit(1);
}

const seconds = {};
async function step(name, work) {
  const isTty = process.stdout.isTTY;
  const begin = performance.now();
  process.stdout.write(isTty ? `  ..      ${name}` : '');
  const timer = setInterval(() => isTty || process.stdout.write(`  ..      ${name}: ${Math.round((performance.now() - begin) / 1000)} s so far\n`), 10_000);
  try {
    await work();
  } finally {
    clearInterval(timer);
    if (isTty) process.stdout.write('\r\x1b[K');
  }
  const took = (performance.now() - begin) / 1000;
  seconds[name] = Math.round(took * 1000) / 1000;
  process.stdout.write(`  ok      ${name.padEnd(24)} ${took.toFixed(2).padStart(7)} s\n`);
}

/** Runs a tool with its output in a log, which the error quotes when it fails: npm says the reason first, others last. */
async function run(name, file, argv) {
  mkdirSync(join(root, '.cache'), { recursive: true });
  const logFile = join(root, '.cache', `${name}.log`);
  const log = openSync(logFile, 'w');
  const child = spawn(file, argv, { cwd: root, stdio: ['ignore', log, log] });
  const forward = (signal) => child.kill(signal);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  let interrupted = false;
  const onSignal = (signal) => {
    interrupted = true;
    forward(signal);
  };
  for (const signal of signals) process.on(signal, onSignal);
  try {
    const code = await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (exit) => resolve(exit ?? 1));
    });
    if (interrupted) process.exit(130);
    if (code !== 0) {
      const lines = readFileSync(logFile, 'utf8').trim().split('\n');
      const told = (name === 'npm' ? lines.slice(0, 12) : lines.slice(-12)).map((line) => `  ${line}`).join('\n');
      throw new Error(`"${[file, ...argv].join(' ')}" failed (exit ${code}). From ${logFile}:\n${told}`);
    }
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
    closeSync(log);
  }
}

function runNpm(name, argv) {
  const script = process.env.npm_execpath;
  return script && /\.c?js$/.test(script) && existsSync(script) ? run(name, process.execPath, [script, ...argv]) : run(name, 'npm', argv);
}

/**
 * Installs what the lock file says. `npm ci` refuses a lock file that lacks the packages of other systems, which is what
 * npm writes when its registry mirror doesn't have them; then `npm install` takes the same versions from the same file.
 */
async function installDependencies() {
  const common = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  if (existsSync(join(root, 'package-lock.json'))) {
    try {
      await runNpm('npm', ['ci', ...common]);
      return;
    } catch (error) {
      if (!error.message.includes('EUSAGE')) throw error;
    }
  }
  await runNpm('npm', ['install', '--no-save', ...common]);
}

const [major, minor] = process.versions.node.split('.').map(Number);
if (!((major === 20 && minor >= 19) || (major === 22 && minor >= 13) || major > 22)) {
  stop(`Node ${process.versions.node} is too old; Gantry needs Node 20.19 or newer of 20, or 22.13 or newer. Install it, then start again.`);
}
if (process.platform !== 'linux') stop(`Gantry runs on Linux, not on ${process.platform}; use a Linux machine or virtual machine.`);
if (args.includes('--help') || args.includes('-h')) {
  process.stdout.write(help);
  process.exit(0);
}
// before minutes of installing: the rest of the arguments is checked by the application
const unknown = args.find((arg) => !/^--(no-install|yes|no-sample|init-swarm(=.+)?)$/.test(arg));
if (unknown !== undefined) stop(`unknown argument ${unknown}; "npm start -- --help" lists what there is`);

try {
  await withCheckout(root, async () => {
    if (!areDependenciesFresh(root)) {
      await step('npm dependencies', installDependencies);
      markDependencies(root);
    }
    if (!isBuildFresh(root)) {
      const hash = hashSources(root);
      await step('build', () => run('build', process.execPath, [join(root, 'scripts/build.mjs')]));
      markBuild(root, hash);
    }
  });
} catch (error) {
  stop(error.message);
}

// npm passes a SIGTERM on to its shell, which dies of it without a word to us; that parent's end is then our signal.
if (process.env.npm_lifecycle_event) {
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 250);
  watch.unref();
}

// In this process, not in one more below it: a kill of this one is then a kill of Gantry, and no second Node waits in memory.
const { main } = createRequire(import.meta.url)(join(root, 'dist/apps/standalone/src/main.js'));
process.exit(await main({ args, env: process.env, secondsBefore: seconds }));
