import { parse } from 'yaml';
import { parseFlags, pickProxyEnv } from './options';
import { isPostmasterReady, pickDatabaseUser } from './postgres';
import { registryConfig } from './registry';
import { Steps } from './steps';

describe('parseFlags', () => {
  it('reads what there is', () => {
    expect(parseFlags(['--no-install', '--yes', '--no-sample', '--init-swarm=10.0.0.1'])).toEqual({ noInstall: true, yes: true, noSample: true, initSwarm: '10.0.0.1' });
    expect(parseFlags(['--init-swarm'])).toMatchObject({ initSwarm: true });
    expect(parseFlags([])).toEqual({ noInstall: false, yes: false, noSample: false, initSwarm: false });
  });

  it.each(['--noinstall', '--init-swarm=', '--init-swarm=a b', 'x'])('refuses %j', (arg) => {
    expect(parseFlags([arg])).toContain(`unknown argument ${arg}`);
  });
});

describe('pickProxyEnv', () => {
  it('passes on proxies and nothing else', () => {
    expect(pickProxyEnv({ HTTPS_PROXY: 'http://p:1', no_proxy: 'x', DATABASE_URL: 'secret' })).toEqual({ HTTPS_PROXY: 'http://p:1', no_proxy: 'x' });
  });
});

describe('isPostmasterReady', () => {
  const file = (pid: number, state: string): string => [pid, '/data', 1700000000, 5432, '/sock', '127.0.0.1', '12345 0', state, ''].join('\n');
  it('wants our process and its word', () => {
    expect(isPostmasterReady(file(42, 'ready   '), 42)).toBe(true);
    expect(isPostmasterReady(file(42, 'starting'), 42)).toBe(false);
    expect(isPostmasterReady(file(41, 'ready   '), 42)).toBe(false);
    expect(isPostmasterReady('', 42)).toBe(false);
  });
});

describe('pickDatabaseUser', () => {
  const nobody = 'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin';
  it('prefers postgres, then nobody, never root', () => {
    expect(pickDatabaseUser(`${nobody}\npostgres:x:101:104::/:/bin/sh`)).toEqual({ name: 'postgres', uid: 101, gid: 104 });
    expect(pickDatabaseUser(nobody)).toEqual({ name: 'nobody', uid: 65534, gid: 65534 });
    expect(pickDatabaseUser('postgres:x:0:0::/:/bin/sh')).toBeNull();
  });
});

describe('registryConfig', () => {
  it('listens on loopback only, answers with relative URLs and demands tokens', () => {
    const text = registryConfig({ port: 4000, data: '/d', httpSecret: 's', auth: { realm: 'http://h/auth/token', service: 'gantry', issuer: 'gantry', rootCertBundle: '/c.pem' } });
    expect(parse(text)).toMatchObject({
      http: { addr: '127.0.0.1:4000', relativeurls: true, secret: 's' },
      storage: { filesystem: { rootdirectory: '/d' }, delete: { enabled: true } },
      auth: { token: { realm: 'http://h/auth/token', service: 'gantry', issuer: 'gantry', rootcertbundle: '/c.pem' } },
    });
  });
});

describe('Steps', () => {
  const collect = (isTTY: boolean): { lines: () => string; output: { isTTY: boolean; write: (text: string) => void } } => {
    let text = '';
    return { lines: () => text, output: { isTTY, write: (more) => void (text += more) } };
  };

  it('writes one whole line a step into a log, and keeps the seconds', async () => {
    const { lines, output } = collect(false);
    const steps = new Steps(output, { build: 1.5 });
    await expect(steps.run('registry', (note) => (note('127.0.0.1:5'), 7))).resolves.toBe(7);
    expect(lines()).toMatch(/^ {2}ok {6}registry {17,}\d+\.\d\d s {2}127\.0\.0\.1:5\n$/);
    expect(Object.keys(steps.seconds)).toEqual(['build', 'registry']);
  });

  it('marks a failed step and passes its error on', async () => {
    const { lines, output } = collect(true);
    await expect(new Steps(output).run('engine', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(lines()).toContain('\r\x1b[K  FAILED  engine');
  });
});
