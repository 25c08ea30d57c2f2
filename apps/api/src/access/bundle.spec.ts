import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { strFromU8, unzipSync } from 'fflate';
import { bundleZip, contextZip, dockerHost, type BundleParts } from './bundle';

const parts: BundleParts = {
  host: 'gantry.example.org', port: 2376, ca: 'CA\n', cert: 'CERT\n', key: 'KEY\n', account: 'jürgen', cluster: 'prod', certificateId: '0198c0de-0000-7000-8000-000000000001',
  now: new Date('2030-05-06T07:08:10Z'), expiresAt: new Date('2030-06-05T07:08:09Z'),
};
const textsOf = (archive: Uint8Array): Record<string, string> => Object.fromEntries(Object.entries(unzipSync(archive)).map(([name, bytes]) => [name, strFromU8(bytes)]));

describe('a client bundle', () => {
  let folder: string;
  const unpack = (archive: Uint8Array, name: string): string => {
    const at = join(folder, name);
    mkdirSync(at);
    writeFileSync(join(at, 'b.zip'), archive);
    execFileSync('unzip', ['-q', 'b.zip'], { cwd: at });
    return at;
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'gantry-bundle-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('holds the files of Docker’s clients, the key for its owner alone', () => {
    const at = unpack(bundleZip(parts), 'bundle');
    expect(Object.keys(textsOf(bundleZip(parts))).sort()).toEqual(['README.txt', 'ca.pem', 'cert.pem', 'context.zip', 'env.cmd', 'env.ps1', 'env.sh', 'key.pem']);
    expect(textsOf(bundleZip(parts))).toMatchObject({ 'ca.pem': 'CA\n', 'cert.pem': 'CERT\n', 'key.pem': 'KEY\n' });
    expect(['key.pem', 'context.zip', 'cert.pem', 'env.sh'].map((name) => [name, statSync(join(at, name)).mode & 0o777, statSync(join(at, name)).isFile()])).toEqual([
      ['key.pem', 0o600, true], ['context.zip', 0o600, true], ['cert.pem', 0o644, true], ['env.sh', 0o644, true],
    ]);
    expect(textsOf(bundleZip(parts))['README.txt']).toMatch(/jürgen.*prod[^]*2030-06-05T07:08:09[^]*0198c0de/);
  });

  it('holds a context, which may have no further files', () => {
    const context = textsOf(contextZip(parts));
    expect(Object.keys(context)).toEqual(['meta.json', 'tls/docker/ca.pem', 'tls/docker/cert.pem', 'tls/docker/key.pem']);
    expect(JSON.parse(context['meta.json']!)).toEqual({
      Name: 'gantry', Metadata: { Description: 'Gantry, as jürgen, cluster prod' }, Endpoints: { docker: { Host: 'tcp://gantry.example.org:2376', SkipTLSVerify: false } },
    });
    expect(textsOf(unzipSync(bundleZip(parts))['context.zip']!)).toEqual(context);
  });

  /** What a shell has in its environment after the script. */
  const after = (shell: string, script: string, cwd: string): { host?: string; verify?: string; folder?: string; said: string; rest: string } => {
    const { stdout, stderr } = spawnSync(shell, ['-c', `set -u; ${script}\nenv; set`], { cwd, env: { PATH: process.env['PATH'] ?? '' }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    const of = (name: string): string | undefined => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1];
    return { host: of('DOCKER_HOST'), verify: of('DOCKER_TLS_VERIFY'), folder: of('DOCKER_CERT_PATH'), said: stderr, rest: /^gantry_\w+/m.exec(stdout)?.[0] ?? '' };
  };

  it.each([
    ['bash', 'eval "$(<env.sh)"', true], ['bash', 'eval $(<env.sh)', true], ['bash', 'source env.sh', true], ['bash', 'source ./env.sh', true], ['bash', 'source "../my bundle/env.sh"', true],
    ['bash', 'cd /; source "$OLDPWD/env.sh"', true], ['bash', 'read_it() { source "../my bundle/env.sh"; }; read_it', true], ['dash', '. ./env.sh', true], ['dash', 'eval "$(cat env.sh)"', true],
    ['bash', 'cd /; eval "$(cat "$OLDPWD/env.sh")"', false], ['dash', 'cd /; . "$OLDPWD/env.sh"', false],
  ])('%s: %s', (shell, script, found) => {
    const at = unpack(bundleZip(parts), 'my bundle');
    const { host, verify, folder: path, said, rest } = after(shell, script, at);
    expect([host, verify, path, said, rest]).toEqual(found ? ['tcp://gantry.example.org:2376', '1', at, '', ''] : [undefined, undefined, undefined, 'env.sh: no key.pem here; go to the folder of the bundle first\n', '']);
  });

  it('takes a host for a host, whatever it looks like to a shell', () => {
    const host = "a'$(touch${IFS}x)`touch${IFS}x`.example";
    const at = unpack(bundleZip({ ...parts, host }), 'bundle');
    expect(after('bash', 'eval "$(<env.sh)"', at).host).toBe(`tcp://${host}:2376`);
    expect(spawnSync('ls', [at], { encoding: 'utf8' }).stdout.split('\n')).not.toContain('x');
  });

  it('has scripts for Windows, which read them by their own rules', () => {
    const texts = textsOf(bundleZip({ ...parts, host: "it's" }));
    expect(texts['env.ps1']!.split('\r\n')).toContain("$Env:DOCKER_HOST = 'tcp://it''s:2376'");
    expect(textsOf(bundleZip(parts))['env.cmd']).toBe('@set "DOCKER_HOST=tcp://gantry.example.org:2376"\r\n@set "DOCKER_TLS_VERIFY=1"\r\n@set "DOCKER_CERT_PATH=%~dp0"\r\n');
  });

  it('names addresses as Docker’s clients read them', () => {
    expect([dockerHost({ host: '::1', port: 1 }), dockerHost({ host: '10.0.0.1', port: 2376 })]).toEqual(['tcp://[::1]:1', 'tcp://10.0.0.1:2376']);
  });
});
