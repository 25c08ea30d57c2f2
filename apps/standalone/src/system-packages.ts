import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask, canAsk } from './ask';
import { lastLines } from './logs';
import { findProcess, isErrno } from './proc';
import { StartError } from './start-error';

/** A program that is needed, the names it goes by, and the Debian package it comes in. */
export interface Requirement {
  program: string;
  names: readonly string[];
  debianPackage: string;
  /** Package that brings this one along, so that it needn't be named when that one is installed too. */
  broughtBy?: string;
}

const dockerd: Requirement = { program: 'Docker engine', names: ['dockerd'], debianPackage: 'docker.io' };
/** CNCF Distribution; Debian calls the binary `docker-registry`, upstream `registry`. */
export const registryProgram: Requirement = {
  program: 'CNCF Distribution registry',
  names: ['docker-registry', 'registry'],
  debianPackage: 'docker-registry',
};
const ownEnginePrograms: readonly Requirement[] = [
  dockerd,
  { program: 'containerd', names: ['containerd'], debianPackage: 'containerd', broughtBy: 'docker.io' },
  { program: 'runc', names: ['runc', 'crun'], debianPackage: 'runc', broughtBy: 'docker.io' },
  { program: 'iptables', names: ['iptables'], debianPackage: 'iptables', broughtBy: 'docker.io' },
  { program: 'ip', names: ['ip'], debianPackage: 'iproute2' },
  { program: 'unshare', names: ['unshare'], debianPackage: 'util-linux' },
  { program: 'mount', names: ['mount'], debianPackage: 'mount' },
];

/** What the plan is decided from; all of it can be told beforehand. */
export interface PackageFacts {
  missing: readonly Requirement[];
  /** `ID` and `ID_LIKE` of os-release. */
  systemIds: readonly string[];
  isRoot: boolean;
  hasAptGet: boolean;
  /** False under `--no-install`. */
  installAllowed: boolean;
  /** stdin and stdout are a terminal and nobody said `--yes`. */
  canAsk: boolean;
  /** APT has no candidate for one of the packages yet. */
  listsMissing: boolean;
}

/** One command that changes the system. With `guarded`, no service may be started by it. */
export interface PackageCommand {
  argv: readonly [string, ...string[]];
  guarded: boolean;
}

/** What to do about missing programs. */
export type PackagePlan =
  | { kind: 'nothing' }
  | { kind: 'install'; commands: readonly PackageCommand[]; ask: boolean }
  | { kind: 'refuse'; message: string };

const aptOptions = ['-o', 'DPkg::Lock::Timeout=300'] as const;
const update: PackageCommand = { argv: ['apt-get', ...aptOptions, 'update'], guarded: false };

/**
 * Decides about missing programs, without doing anything. docker.io is installed as Debian does it: where a service
 * manager runs, its service starts and is the engine. Everything else is installed with service starts held back.
 */
export function planPackages(facts: PackageFacts): PackagePlan {
  if (facts.missing.length === 0) return { kind: 'nothing' };
  const wanted = new Set(facts.missing.map((each) => each.debianPackage));
  const packages = [...new Set(facts.missing.filter((each) => !(each.broughtBy && wanted.has(each.broughtBy))).map((each) => each.debianPackage))];
  const commands: PackageCommand[] = facts.listsMissing ? [update] : [];
  if (packages.includes('docker.io')) commands.push({ argv: installCommand(['docker.io']), guarded: false });
  const others = packages.filter((name) => name !== 'docker.io');
  if (others.length > 0) commands.push({ argv: installCommand(others), guarded: true });
  const programs = facts.missing.map((each) => each.program).join(', ');
  const isDebian = facts.systemIds.some((id) => id === 'debian' || id === 'ubuntu') && facts.hasAptGet;
  if (!isDebian) {
    const names = facts.missing.map((each) => `${each.program} (${each.names.join(' or ')}; Debian: ${each.debianPackage})`).join(', ');
    return { kind: 'refuse', message: `Missing: ${names}. Install them so that they are on PATH, then start again.` };
  }
  const typed = commands.map((command) => `  ${command.argv.filter((word) => word !== '-y').join(' ')}`).join('\n');
  if (!facts.isRoot) return { kind: 'refuse', message: `Missing: ${programs}. As root, run:\n${typed}\nthen start again.` };
  if (!facts.installAllowed) {
    return { kind: 'refuse', message: `Missing: ${programs}, and --no-install forbids to install. Run:\n${typed}\nthen start again.` };
  }
  return { kind: 'install', commands, ask: facts.canAsk };
}

function installCommand(packages: readonly string[]): readonly [string, ...string[]] {
  return ['apt-get', ...aptOptions, 'install', '-y', '--no-install-recommends', ...packages];
}

/** Finds a program on PATH, then in the system folders that a user's PATH may lack. Null when it is nowhere. */
export function findProgram(names: readonly string[], path: string): string | null {
  const folders = [...path.split(':').filter((folder) => folder.startsWith('/')), '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  for (const name of names) {
    for (const folder of folders) {
      const file = join(folder, name);
      if (isExecutable(file)) return file;
    }
  }
  return null;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EACCES', 'ENOTDIR', 'ELOOP')) return false;
    throw error;
  }
}

/** The programs that are not there, for a registry of our own and, where wanted, an engine of our own. */
export function listMissing(wants: { registry: boolean; engine: boolean }, path: string): Requirement[] {
  const required = [...(wants.engine ? ownEnginePrograms : []), ...(wants.registry ? [registryProgram] : [])];
  // a kernel with AppArmor on refuses every container until the profile can be loaded
  if (wants.engine && existsSync('/sys/module/apparmor/parameters/enabled') && readFileSync('/sys/module/apparmor/parameters/enabled', 'utf8').startsWith('Y')) {
    required.push({ program: 'apparmor_parser', names: ['apparmor_parser'], debianPackage: 'apparmor' });
  }
  return required.filter((each) => findProgram(each.names, path) === null);
}

/** `ID` and `ID_LIKE` of an os-release file (os-release(5)). */
export function parseSystemIds(osRelease: string): string[] {
  const value = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(osRelease)?.[1]?.replace(/^["']|["']$/g, '') ?? '';
  return `${value('ID')} ${value('ID_LIKE')}`.split(' ').filter((id) => id !== '');
}

/** How `ensurePackages` may act. */
export interface PackageOptions {
  installAllowed: boolean;
  assumeYes: boolean;
  path: string;
  /** Where apt's output goes. */
  logFile: string;
  /** Environment that apt gets, such as proxies. */
  env: Readonly<Record<string, string>>;
  say: (text: string) => void;
}

/**
 * Sees to it that the programs are there: shows each command, asks once at a terminal, installs.
 * Throws StartError with the commands to type where that is forbidden or impossible.
 */
export async function ensurePackages(wants: { registry: boolean; engine: boolean }, options: PackageOptions): Promise<void> {
  const isRoot = process.getuid?.() === 0;
  if (isRoot) repairServiceGuard();
  const missing = listMissing(wants, options.path);
  if (missing.length === 0) return;
  const hasAptGet = findProgram(['apt-get'], options.path) !== null;
  const plan = planPackages({
    missing,
    systemIds: existsSync('/etc/os-release') ? parseSystemIds(readFileSync('/etc/os-release', 'utf8')) : [],
    isRoot,
    hasAptGet,
    installAllowed: options.installAllowed,
    canAsk: !options.assumeYes && canAsk(),
    listsMissing: hasAptGet && !(await haveCandidates(missing, options)),
  });
  if (plan.kind === 'nothing') return;
  if (plan.kind === 'refuse') throw new StartError(plan.message);
  options.say(`Missing: ${missing.map((each) => each.program).join(', ')}. To be run as root:`);
  for (const command of plan.commands) options.say(`  ${command.argv.join(' ')}${command.guarded ? '   (starts no service, now or at boot)' : ''}`);
  if (plan.ask && !/^(y(es)?)?$/i.test(await ask('Run this now? [Y/n] '))) {
    throw new StartError('Nothing was installed. Run the commands above yourself, then start again.');
  }
  for (const command of plan.commands) await runCommand(command, options);
  const still = listMissing(wants, options.path);
  if (still.length > 0) throw new StartError(`Still missing after the installation: ${still.map((each) => each.program).join(', ')}. See ${options.logFile}.`);
}

async function haveCandidates(missing: readonly Requirement[], options: PackageOptions): Promise<boolean> {
  const packages = [...new Set(missing.map((each) => each.debianPackage))];
  const output = await capture('apt-cache', ['policy', ...packages], options);
  return (output.match(/^ {2}Candidate: (?!\(none\))\S/gm) ?? []).length === packages.length;
}

async function runCommand(command: PackageCommand, options: PackageOptions): Promise<void> {
  const release = command.guarded ? holdServices() : null;
  try {
    let code = await runLogged(command.argv, options);
    if (code !== 0 && command !== update) {
      // the package lists may be older than what the mirror still has
      await runLogged(update.argv, options);
      code = await runLogged(command.argv, options);
    }
    if (code !== 0) throw new StartError(`"${command.argv.join(' ')}" failed (exit ${code}). Its last lines:\n${lastLines(options.logFile, 8)}`);
    if (command.guarded && command.argv.includes(registryProgram.debianPackage)) await keepRegistryServiceOff(options);
  } finally {
    release?.();
  }
}

/**
 * Debian enables the service of the package that we have just installed: at the next boot it would listen on port 5000
 * of every address, without authentication. It is switched off as part of the same installation.
 */
async function keepRegistryServiceOff(options: PackageOptions): Promise<void> {
  const systemctl = findProgram(['systemctl'], options.path);
  const updateRc = findProgram(['update-rc.d'], options.path);
  const argv: readonly [string, ...string[]] | null =
    systemctl !== null && existsSync('/lib/systemd/system/docker-registry.service')
      ? [systemctl, 'disable', 'docker-registry.service']
      : updateRc !== null && existsSync('/etc/init.d/docker-registry')
        ? [updateRc, 'docker-registry', 'disable']
        : null;
  if (argv === null) return;
  const code = await runLogged(argv, options);
  if (code !== 0) options.say(`Note: "${argv.join(' ')}" failed; docker-registry may start by itself at the next boot.`);
}

const policyFile = '/usr/sbin/policy-rc.d';
const guardMark = '# held back by Gantry, process ';
const savedName = (file: string): string => `${file}.before-gantry`;

/**
 * Keeps package scripts from starting services (the policy-rc.d interface of invoke-rc.d(8): exit 101 forbids).
 * The machine's own file is set aside and put back by the function that is returned; `repairServiceGuard` does it after a crash.
 */
export function holdServices(file = policyFile): () => void {
  repairServiceGuard(file);
  if (existsSync(file)) renameSync(file, savedName(file));
  writeFileSync(file, `#!/bin/sh\n${guardMark}${process.pid}\nexit 101\n`, { mode: 0o755, flag: 'wx' });
  return () => restorePolicy(file);
}

/** Undoes what a killed installation left of `holdServices`. Throws StartError while the one that holds them still runs. */
export function repairServiceGuard(file = policyFile): void {
  const holder = existsSync(file) ? new RegExp(`^${guardMark}(\\d+)$`, 'm').exec(readFileSync(file, 'utf8'))?.[1] : undefined;
  if (holder !== undefined) {
    if (Number(holder) !== process.pid && findProcess(Number(holder)) !== null) throw new StartError(`Another Gantry (process ${holder}) is installing packages; wait for it, then start again.`);
    restorePolicy(file);
  } else if (existsSync(savedName(file)) && !existsSync(file)) {
    renameSync(savedName(file), file); // killed between setting aside and writing ours
  }
}

function restorePolicy(file: string): void {
  if (existsSync(savedName(file))) renameSync(savedName(file), file);
  else if (existsSync(file) && readFileSync(file, 'utf8').includes(guardMark)) unlinkSync(file);
}

function childEnv(options: PackageOptions): Record<string, string> {
  return { ...options.env, PATH: options.path, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' };
}

async function runLogged(argv: readonly [string, ...string[]], options: PackageOptions): Promise<number> {
  const log = openSync(options.logFile, 'a', 0o600);
  try {
    const [file, ...args] = argv;
    // its own session: Ctrl-C must not tear dpkg apart half-way
    const child = spawn(file, args, { stdio: ['ignore', log, log], env: childEnv(options), detached: true });
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    closeSync(log);
  }
}

async function capture(file: string, args: string[], options: PackageOptions): Promise<string> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'], env: childEnv(options) });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve(output));
  });
}

/** The service managers that could run a Docker service here. */
export type ServiceManager = 'systemd' | 'openrc' | 'sysvinit';

/** The service manager that runs this machine, or null: in most containers and small virtual machines there is none. */
export function findServiceManager(): ServiceManager | null {
  if (existsSync('/run/systemd/system')) return 'systemd'; // sd_booted(3)
  if (existsSync('/run/openrc/softlevel')) return 'openrc';
  const first = findProcess(1)?.comm;
  return first === 'init' && existsSync('/etc/inittab') ? 'sysvinit' : null;
}

/** The command with which the machine's owner starts the Docker service, or null when no service manager could. */
export function findServiceStartCommand(): string | null {
  const manager = findServiceManager();
  if (manager === 'systemd') {
    const folders = ['/etc/systemd/system', '/run/systemd/system', '/usr/local/lib/systemd/system', '/lib/systemd/system', '/usr/lib/systemd/system'];
    return folders.some((folder) => existsSync(folder) && readdirSync(folder).includes('docker.service')) ? 'systemctl start docker' : null;
  }
  return manager !== null && existsSync('/etc/init.d/docker') ? 'service docker start' : null;
}
