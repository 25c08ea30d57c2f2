import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram, parseSystemIds, planPackages, registryProgram, type PackageFacts, type Requirement } from './system-packages';

const docker: Requirement = { program: 'Docker engine', names: ['dockerd'], debianPackage: 'docker.io' };
const runc: Requirement = { program: 'runc', names: ['runc'], debianPackage: 'runc', broughtBy: 'docker.io' };
const facts = (change: Partial<PackageFacts> = {}): PackageFacts => ({
  missing: [docker, runc, registryProgram],
  systemIds: ['debian'],
  isRoot: true,
  hasAptGet: true,
  installAllowed: true,
  canAsk: false,
  listsMissing: false,
  ...change,
});
const typed = (plan: ReturnType<typeof planPackages>): string[] =>
  plan.kind === 'install' ? plan.commands.map((command) => `${command.argv.join(' ')}${command.guarded ? ' (guarded)' : ''}`) : [];

describe('planPackages', () => {
  it('does nothing when nothing is missing', () => {
    expect(planPackages(facts({ missing: [] }))).toEqual({ kind: 'nothing' });
  });

  it('installs docker.io as Debian does and the registry without its service', () => {
    expect(typed(planPackages(facts()))).toEqual([
      'apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends docker.io',
      'apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends docker-registry (guarded)',
    ]);
  });

  it('names a package that would have come along when it alone is missing', () => {
    expect(typed(planPackages(facts({ missing: [runc] })))).toEqual(['apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends runc (guarded)']);
  });

  it('updates the lists only where APT knows no candidate', () => {
    expect(typed(planPackages(facts({ listsMissing: true })))[0]).toBe('apt-get -o DPkg::Lock::Timeout=300 update');
    expect(typed(planPackages(facts())).some((command) => command.endsWith('update'))).toBe(false);
  });

  it('asks only at a terminal', () => {
    expect(planPackages(facts({ canAsk: true }))).toMatchObject({ kind: 'install', ask: true });
    expect(planPackages(facts())).toMatchObject({ kind: 'install', ask: false });
  });

  it('takes Ubuntu and its like for what they are', () => {
    expect(planPackages(facts({ systemIds: ['linuxmint', 'ubuntu', 'debian'] })).kind).toBe('install');
  });

  it.each<[string, Partial<PackageFacts>, RegExp]>([
    ['--no-install', { installAllowed: false }, /--no-install forbids.*\n {2}apt-get .*install --no-install-recommends docker\.io\n/],
    ['no root', { isRoot: false }, /^Missing: Docker engine, runc, CNCF Distribution registry\. As root, run:\n {2}apt-get /],
    ['another system', { systemIds: ['fedora'] }, /Docker engine \(dockerd; Debian: docker\.io\).*Install them so that they are on PATH/],
    ['no apt-get', { hasAptGet: false }, /on PATH/],
  ])('says exactly what to install: %s', (_, change, words) => {
    const plan = planPackages(facts(change));
    expect(plan).toEqual({ kind: 'refuse', message: expect.stringMatching(words) as string });
  });
});

describe('parseSystemIds', () => {
  it('reads ID and ID_LIKE, quoted or not', () => {
    expect(parseSystemIds('NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="21"\n')).toEqual(['linuxmint', 'ubuntu', 'debian']);
    expect(parseSystemIds('ID="arch"\n')).toEqual(['arch']);
    expect(parseSystemIds('')).toEqual([]);
  });
});

describe('findProgram', () => {
  it('takes only what can be executed, and ignores relative folders of PATH', () => {
    const folder = mkdtempSync(join(tmpdir(), 'gantry-path-'));
    try {
      writeFileSync(join(folder, 'gantry-no'), '', { mode: 0o644 });
      writeFileSync(join(folder, 'gantry-yes'), '', { mode: 0o755 });
      expect(findProgram(['gantry-no', 'gantry-yes'], folder)).toBe(join(folder, 'gantry-yes'));
      expect(findProgram(['gantry-no'], folder)).toBeNull();
      expect(findProgram(['gantry-yes'], '.')).toBeNull();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
