import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { accessSync, chmodSync, constants } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A program of one Debian package, at one version. */
export interface ToolPin {
  package: string;
  /** Upstream version, for people. */
  version: string;
  debVersion: string;
  suites: string[];
  program: string;
  /** SHA-256 of the amd64 package; other architectures rely on apt's own signature check. */
  sha256Amd64: string;
}

/** A program that can be run. */
export interface Tool {
  path: string;
  version: string;
  debVersion: string;
  /** SHA-256 of the package it came from; null for a program of the system. */
  sha256: string | null;
}

/** The two cosigns whose behaviour our verifiers follow: the last that writes `.sig` tags by default, and one that writes bundles. */
export const COSIGN_PINS: ToolPin[] = [
  {
    package: 'cosign',
    version: '2.5.0',
    debVersion: '2.5.0-2+b4',
    suites: ['trixie'],
    program: 'usr/bin/cosign',
    sha256Amd64: 'aef4fb6635710fd369ef73c07dde35540f45c877984e20f37aa11e181bb597c3',
  },
  {
    package: 'cosign',
    version: '3.1.1',
    debVersion: '3.1.1-2',
    suites: ['forky', 'sid'],
    program: 'usr/bin/cosign',
    sha256Amd64: 'd8622ebffce1d69197288fc030ff06a4c247af5507107f85c5a878870b686b23',
  },
];

/** CNCF Distribution, used where the system has no registry program. */
export const REGISTRY_PIN: ToolPin = {
  package: 'docker-registry',
  version: '2.8.3',
  debVersion: '2.8.3+ds1-2+b8',
  suites: ['trixie'],
  program: 'usr/bin/docker-registry',
  sha256Amd64: 'f0577a2581fbf090716d8bd57f14d0b25a25eba6c87c3a8c252ddbf1a6bd0470',
};

const CACHE = join(__dirname, cacheDepth(), 'node_modules', '.cache', 'gantry', 'tools');
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const FALLBACK_MIRROR = 'http://deb.debian.org/debian';

/** The fixture script runs a compiled copy of this file from the cache itself, so the repository's root is found, not counted. */
function cacheDepth(): string {
  for (let up = '..'; up.length < 60; up = join(up, '..')) {
    try {
      accessSync(join(__dirname, up, 'package-lock.json'), constants.R_OK);
      return up;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error('the repository root was not found above this file');
}

/** What a finished program left behind. */
export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end, without a shell. `env` is the whole environment besides PATH. */
export function run(file: string, argv: string[], options: { env?: Record<string, string>; cwd?: string } = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...options.env };
    const child = spawn(file, argv, { cwd: options.cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }));
  });
}

async function mustRun(file: string, argv: string[], options: { env?: Record<string, string>; cwd?: string } = {}): Promise<string> {
  const { code, stdout, stderr } = await run(file, argv, options);
  if (code !== 0) throw new Error(`${file} ${argv.join(' ')} ended with ${code}:\n${stderr.slice(-2000)}`);
  return stdout;
}

/**
 * The pinned program, unpacked (not installed) below `node_modules/.cache/gantry`; fetched on first use with an APT configuration of our
 * own, so the system's package lists and cache stay as they are. Null when the archive no longer has exactly this version.
 *
 * @throws Error when the archive cannot be reached or gives another package than the pinned one
 */
export async function findTool(pin: ToolPin): Promise<Tool | null> {
  const home = join(CACHE, `${pin.package}_${pin.debVersion}`);
  const record = await readRecord(join(home, 'tool.json'));
  if (record !== null) return record;
  const work = await mkdtemp(join(tmpdir(), 'gantry-apt-'));
  try {
    const deb = await download(pin, work);
    if (deb === null) return null;
    const sha256 = createHash('sha256')
      .update(await readFile(deb))
      .digest('hex');
    const amd64 = (await mustRun('dpkg', ['--print-architecture'])).trim() === 'amd64';
    if (amd64 && sha256 !== pin.sha256Amd64) throw new Error(`${pin.package} ${pin.debVersion} has sha256 ${sha256}, not the pinned one`);
    const unpacked = join(CACHE, `.${randomUUID()}`);
    await mkdir(unpacked, { recursive: true });
    await mustRun('dpkg', ['-x', deb, unpacked]);
    const tool: Tool = { path: join(home, pin.program), version: pin.version, debVersion: pin.debVersion, sha256 };
    await writeFile(join(unpacked, 'tool.json'), JSON.stringify(tool));
    // Somebody else may have been quicker; theirs is the same package.
    await rename(unpacked, home).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
      return rm(unpacked, { recursive: true });
    });
    return tool;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function readRecord(path: string): Promise<Tool | null> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  return text === null ? null : (JSON.parse(text) as Tool);
}

async function download(pin: ToolPin, work: string): Promise<string | null> {
  const env = { APT_CONFIG: await writeAptConfig(pin, work), LC_ALL: 'C' };
  await mustRun('apt-get', ['-q', 'update'], { env, cwd: work });
  const known = await mustRun('apt-cache', ['madison', pin.package], { env, cwd: work });
  if (!known.split('\n').some((line) => line.split('|')[1]?.trim() === pin.debVersion)) return null;
  await mustRun('apt-get', ['-q', 'download', `${pin.package}=${pin.debVersion}`], { env, cwd: work });
  const name = (await readdir(work)).find((entry) => entry.endsWith('.deb'));
  return name === undefined ? null : join(work, name);
}

/**
 * Own state, cache and sources; of the system's configuration only how to reach the network and which mirrors may be stale, since its
 * hooks may clean the system's cache.
 */
async function writeAptConfig(pin: ToolPin, work: string): Promise<string> {
  for (const folder of ['state/lists/partial', 'cache/archives/partial', 'empty']) await mkdir(join(work, folder), { recursive: true });
  await writeFile(join(work, 'state/status'), '');
  const mirror = await debianMirror();
  await writeFile(join(work, 'sources.list'), pin.suites.map((suite) => `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`).join(''));
  const network = (await mustRun('apt-config', ['dump']))
    .split('\n')
    .filter((line) => /^Acquire::(http|https|ForceIPv4|Check-Valid-Until)\b/.test(line));
  const config = [
    `Dir::State "${work}/state";`,
    `Dir::State::status "${work}/state/status";`,
    `Dir::Cache "${work}/cache";`,
    `Dir::Etc::sourcelist "${work}/sources.list";`,
    `Dir::Etc::sourceparts "${work}/empty";`,
    `Dir::Etc::preferencesparts "${work}/empty";`,
    `Dir::Etc::parts "${work}/empty";`,
    'Dir::Etc::main "/dev/null";',
    'APT::Sandbox::User "";',
    'Acquire::Languages "none";',
    'Acquire::Retries "5";',
    'APT::Update::Error-Mode "any";',
    ...network,
  ];
  const path = join(work, 'apt.conf');
  await writeFile(path, `${config.join('\n')}\n`, { mode: 0o600 });
  return path;
}

async function debianMirror(): Promise<string> {
  const targets = await mustRun('apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI)',
    'Origin: Debian',
    'Label: Debian',
    'Created-By: Packages',
  ]);
  return (
    targets
      .split('\n')
      .find((line) => line.startsWith('http'))
      ?.replace(/\/$/, '') ?? FALLBACK_MIRROR
  );
}

/** A registry program: the system's, or the pinned one. Null when neither is to be had. */
export async function findRegistryProgram(): Promise<Tool | null> {
  for (const folder of ['/usr/local/bin', '/usr/bin']) {
    const path = join(folder, 'docker-registry');
    try {
      accessSync(path, constants.X_OK);
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      continue;
    }
    const version = (await mustRun(path, ['--version'])).trim().split(' ').at(-1) ?? '';
    return { path, version, debVersion: 'as installed', sha256: null };
  }
  return findTool(REGISTRY_PIN);
}

/** One cosign with a home of its own: nothing of the user's keys, registry logins or trust cache is seen or changed. */
export class Cosign {
  constructor(
    readonly tool: Tool,
    private readonly home: string,
    private readonly password = '',
  ) {
    chmodSync(home, 0o700);
  }

  /** Runs cosign and answers how it ended. */
  run(argv: string[]): Promise<Finished> {
    const env = { HOME: this.home, DOCKER_CONFIG: this.home, TUF_ROOT: join(this.home, 'tuf'), COSIGN_PASSWORD: this.password };
    return run(this.tool.path, argv, { env, cwd: this.home });
  }

  /** Runs cosign and fails unless it succeeds. */
  async must(argv: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(argv);
    if (code !== 0) throw new Error(`cosign ${this.tool.version} ${argv.join(' ')} ended with ${code}:\n${stderr.slice(-2000)}`);
    return stdout;
  }

  /** Whether this cosign takes the image as signed by the key, without any transparency log. */
  async verifies(reference: string, publicKeyFile: string, claims: Record<string, string> = {}): Promise<boolean> {
    const demanded = Object.entries(claims).flatMap(([name, value]) => ['-a', `${name}=${value}`]);
    const { code } = await this.run(['verify', '--key', publicKeyFile, '--insecure-ignore-tlog=true', ...demanded, reference]);
    return code === 0;
  }
}
