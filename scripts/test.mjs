// `npm test`: everything, from a fresh clone on. Installs what the tests need (npm dependencies; on Debian as root also the system
// packages, without starting their services), checks, then runs unit, integration, guard and end-to-end tests.
// `npm test -- unit int` runs only the named parts (check, unit, int, guard, e2e).
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { areDependenciesFresh, hashSources, isBuildFresh, markBuild, markDependencies, withCheckout } from './lib/fresh.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const parts = ['check', 'unit', 'int', 'guard', 'e2e'];
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
for (const part of wanted) {
  if (!parts.includes(part)) {
    console.error(`unknown part "${part}"; the parts are ${parts.join(', ')}`);
    process.exit(2);
  }
}
const runs = (part) => wanted.length === 0 || wanted.includes(part);

/** Program → Debian package or packages, for the tests beyond unit tests. */
const programs = {
  dockerd: 'docker.io', containerd: 'docker.io', 'docker-registry': 'docker-registry', slapd: 'slapd', ldapsearch: 'ldap-utils', 'redis-server': 'redis-server', samba: ['samba-ad-dc', 'samba-ad-provision'],
  ip: 'iproute2', iptables: 'iptables', nsenter: 'util-linux', openssl: 'openssl', busybox: 'busybox-static', curl: 'curl', debootstrap: 'debootstrap', 'docker-compose': 'docker-compose', sshd: 'openssh-server',
};

function ensurePrograms() {
  const { findProgram, holdServices } = createRequire(import.meta.url)(join(root, 'dist/apps/standalone/src/system-packages.js'));
  const missing = [...new Set(Object.entries(programs).filter(([name]) => findProgram([name], process.env.PATH ?? '') === null).flatMap(([, packages]) => packages))];
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0 || findProgram(['apt-get'], process.env.PATH ?? '') === null) {
    console.error(`These tests need the packages ${missing.join(' ')}. Install them (Debian: apt-get install --no-install-recommends ${missing.join(' ')}), or run \`npm run test:unit\`.`);
    process.exit(1);
  }
  const release = holdServices();
  try {
    // Held back now, sshd would listen on every address from the next start of the machine on; tests start one of their own.
    if (missing.includes('openssh-server') && !existsSync('/etc/ssh/sshd_config')) {
      mkdirSync('/etc/ssh', { recursive: true });
      writeFileSync('/etc/ssh/sshd_not_to_be_run', '');
    }
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    for (const argv of [['update', '-q'], ['install', '-q', '-y', '--no-install-recommends', ...missing]]) {
      console.log(`apt-get ${argv.join(' ')}`);
      const result = spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=5', ...argv], { env, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
      if (result.status !== 0) {
        console.error(`${result.stdout}${result.stderr}`);
        throw new Error(`apt-get ${argv[0]} failed`);
      }
    }
  } finally {
    release();
  }
}

const run = (file, argv) => new Promise((resolve) => spawn(file, argv, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] }).on('close', (code) => resolve(code ?? 1)));

await withCheckout(root, async () => {
  if (!areDependenciesFresh(root)) {
    if ((await run('npm', ['ci', '--no-progress', '--loglevel=error'])) !== 0) throw new Error('npm ci failed; see its message above');
    markDependencies(root);
  }
  if (!isBuildFresh(root)) {
    const hash = hashSources(root);
    if ((await run(process.execPath, ['scripts/build.mjs'])) !== 0) throw new Error('the build failed; see the messages above');
    markBuild(root, hash);
  }
});
if (runs('int') || runs('guard') || runs('e2e')) ensurePrograms();

let failed = 0;
let passed = 0;
let skipped = 0;
let broken = false;
if (runs('check')) broken = (await run(process.execPath, ['scripts/check.mjs'])) !== 0;

const scratch = mkdtempSync(join(tmpdir(), 'gantry-test-'));
for (const part of parts.filter((name) => name !== 'check' && runs(name))) {
  const report = join(scratch, `${part}.json`);
  // Real engines and two cores: integration tests take two files at a time, end-to-end tests one.
  const workers = part === 'e2e' || part === 'guard' ? ['--runInBand'] : ['--maxWorkers=2'];
  const code = await run(process.execPath, ['--no-deprecation', join(root, 'node_modules/jest/bin/jest.js'), '--selectProjects', part, '--passWithNoTests', ...workers, '--json', `--outputFile=${report}`, '--testLocationInResults=false']);
  broken ||= code !== 0;
  try {
    const result = JSON.parse(readFileSync(report, 'utf8'));
    passed += result.numPassedTests;
    failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
    skipped += result.numPendingTests;
  } catch {
    broken = true;
  }
}
rmSync(scratch, { recursive: true, force: true });
if (broken && failed === 0) failed = 1;
console.log(`\nTests: ${passed + failed + skipped} in all`);
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failed > 0 || (passed === 0 && !(wanted.length === 1 && wanted[0] === 'check')) ? 1 : 0);
