import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Programs of another generation of engine, unpacked and not installed. */
export interface Generation {
  /** Newest version of the Engine API that it speaks. */
  apiVersion: string;
  /** Folders that go before the system's in PATH; `dockerd` and `containerd` are in them. The system's runc is used. */
  programs: string[];
  /** The docker CLI of the same generation. */
  docker: string;
  /** Folder of the CLI's plugins, buildx among them; for `cliPluginsExtraDirs` of its settings. */
  plugins: string;
}

/** Debian's packages of Docker 28.5. `runc` is left out: its package wants a newer C library than Debian 12 has, and the system's works. */
const suite = 'sid';
const pins = [
  { package: 'docker.io', version: '28.5.2+dfsg4-5', sha256Amd64: '69a59cc77a1fb8ee9ad6859abc2e6de5d76b70887405595c2b1307818fecf682' },
  { package: 'containerd', version: '2.1.9+ds1-5', sha256Amd64: '2dda86ce7033fd612fc50e136679d8174ccad680eb29cd4611e0d2a1b84cf591' },
  { package: 'docker-cli', version: '28.5.2+dfsg4-5', sha256Amd64: '8ea2428acdda666f41263f5a0d3a85681a696491361574eb7bd721a1194939b9' },
  { package: 'docker-buildx', version: '0.29.1+ds1-4', sha256Amd64: '6103bcc4eab8169ae679f806d3949ffc99a1545a61fddea6124da826f115f2bf' },
];

const tools = join(__dirname, '../../node_modules/.cache/gantry/tools');
// Named after all of them, so that a folder from before one was added is not taken for it.
const home = join(tools, `docker_${pins[0]!.version}_buildx_${pins.at(-1)!.version}`);

/**
 * Docker 28.5, fetched on first use from the Debian mirror that the system uses (apt checks its signature), and kept in node_modules/.cache.
 * Does not return before it is there, so that a test file can decide what it defines.
 * @returns the programs, or a sentence that says why they can't be had: the mirror is not reached, or has other versions by now
 * @throws when the mirror has another package under the pinned version
 */
export function findNewerGeneration(): Generation | string {
  if (!existsSync(home)) {
    const missing = fetchPackages();
    if (missing !== null) return missing;
  }
  return { apiVersion: '1.51', programs: [join(home, 'usr/sbin'), join(home, 'usr/bin')], docker: join(home, 'usr/bin/docker'), plugins: join(home, 'usr/libexec/docker/cli-plugins') };
}

/** @returns why they can't be had, or null */
function fetchPackages(): string | null {
  const work = mkdtempSync(join(tmpdir(), 'gantry-apt-'));
  try {
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', APT_CONFIG: writeAptConfig(work) };
    const apt = (file: string, argv: string[]): { ok: boolean; stdout: string; stderr: string } => {
      const { status, stdout, stderr, error } = spawnSync(file, argv, { cwd: work, env, encoding: 'utf8', timeout: 600_000, killSignal: 'SIGKILL' });
      return { ok: status === 0, stdout, stderr: error ? error.message : stderr };
    };
    const updated = apt('apt-get', ['-q', 'update']);
    if (!updated.ok) return `the Debian mirror was not reached (${lastLine(updated.stderr)})`;
    for (const { package: name, version } of pins) {
      const known = apt('apt-cache', ['madison', name]).stdout.split('\n').map((line) => line.split('|')[1]?.trim());
      if (!known.includes(version)) return `Debian ${suite} no longer has ${name} ${version}; pin a newer version in test/lab/newer.ts`;
    }
    const fetched = apt('apt-get', ['-q', 'download', ...pins.map(({ package: name, version }) => `${name}=${version}`)]);
    if (!fetched.ok) return `the packages of Docker 28.5 were not fetched (${lastLine(fetched.stderr)})`;
    const architecture = must('dpkg', ['--print-architecture']).trim();
    const unpacked = join(work, 'unpacked');
    mkdirSync(unpacked);
    for (const { package: name, version, sha256Amd64 } of pins) {
      const deb = join(work, `${name}_${version.replaceAll(':', '%3a')}_${architecture}.deb`);
      const sha256 = createHash('sha256').update(readFileSync(deb)).digest('hex');
      if (architecture === 'amd64' && sha256 !== sha256Amd64) throw new Error(`${name} ${version} has sha256 ${sha256}, not the pinned one`);
      must('dpkg', ['-x', deb, unpacked]);
    }
    mkdirSync(tools, { recursive: true });
    const draft = mkdtempSync(join(tools, '.docker-'));
    must('cp', ['-a', `${unpacked}/.`, draft]);
    try {
      renameSync(draft, home);
    } catch (error) {
      // Somebody else was quicker; theirs are the same packages.
      rmSync(draft, { recursive: true });
      if (!existsSync(home)) throw error;
    }
    return null;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** State, cache and sources of its own; of the system's configuration only how to reach the network and which mirrors may be stale. */
function writeAptConfig(work: string): string {
  for (const folder of ['state/lists/partial', 'cache/archives/partial', 'empty']) mkdirSync(join(work, folder), { recursive: true });
  writeFileSync(join(work, 'state/status'), '');
  const targets = must('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Origin: Debian', 'Label: Debian', 'Created-By: Packages']);
  const mirror = targets.split('\n').find((line) => line.startsWith('http'))?.replace(/\/$/, '') ?? 'http://deb.debian.org/debian';
  writeFileSync(join(work, 'sources.list'), `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} ${suite} main\n`);
  const network = must('apt-config', ['dump']).split('\n').filter((line) => /^Acquire::(http|https|ForceIPv4|Check-Valid-Until)\b/.test(line));
  const file = join(work, 'apt.conf');
  writeFileSync(file, `${[
    `Dir::State "${work}/state";`, `Dir::State::status "${work}/state/status";`, `Dir::Cache "${work}/cache";`, `Dir::Etc::sourcelist "${work}/sources.list";`, `Dir::Etc::sourceparts "${work}/empty";`,
    `Dir::Etc::preferencesparts "${work}/empty";`, `Dir::Etc::parts "${work}/empty";`, 'Dir::Etc::main "/dev/null";', 'APT::Sandbox::User "";', 'Acquire::Languages "none";', 'Acquire::Retries "5";', 'APT::Update::Error-Mode "any";', ...network,
  ].join('\n')}\n`, { mode: 0o600 });
  return file;
}

function must(file: string, argv: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(file, argv, { encoding: 'utf8', timeout: 60_000 });
  if (error ?? status !== 0) throw new Error(`${file} ${argv.join(' ')} ended with ${status}: ${error?.message ?? stderr.slice(-1000)}`);
  return stdout;
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
}
