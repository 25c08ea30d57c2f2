import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { prepareHome } from '../src/checks';
import { Children, type ChildSpec } from '../src/children';
import { callEngine, getEngineInfo } from '../src/engine-api';
import { lockHome } from '../src/lock';
import { OwnEngine } from '../src/own-engine';
import { startPostgres } from '../src/postgres';
import { identify, isAlive, listProcesses, readArguments } from '../src/proc';
import { startRegistry } from '../src/registry';
import { findProgram, holdServices, listMissing, repairServiceGuard } from '../src/system-packages';

const path = process.env.PATH ?? '';
const isRoot = process.getuid?.() === 0;
const canRunEngine = isRoot && listMissing({ registry: true, engine: true }, path).length === 0;

let home: string;
let deaths: string[];
const open = (): Children => new Children(home, (name) => deaths.push(name));

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'gantry-home-'));
  prepareHome(home);
  deaths = [];
});

afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

/** Kills what may have ended meanwhile, or been ended by the product. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function until(what: () => boolean | Promise<boolean>, seconds = 60): Promise<void> {
  for (const deadline = Date.now() + seconds * 1000; !(await what()); await wait(20)) {
    if (Date.now() > deadline) throw new Error(`not so after ${seconds} s: ${String(what)}`);
  }
}

const sleeper = (change: Partial<ChildSpec> = {}): ChildSpec => ({
  name: 'sleeper',
  file: '/bin/sh',
  args: ['-c', 'sleep 600 & wait', join(home, 'mark')],
  env: {},
  cwd: home,
  ownArgument: join(home, 'mark'),
  stop: { signal: 'SIGTERM', graceSeconds: 2 },
  adopt: false,
  ...change,
});
const processesOf = (text: string): number[] => listProcesses().filter((each) => each.pid !== process.pid && readArguments(each.pid).some((arg) => arg.includes(text))).map((each) => each.pid);

describe('children', () => {
  it('runs a child in a session of its own and ends all of that session', async () => {
    const children = open();
    const child = await children.start(sleeper());
    expect(listProcesses().find((each) => each.pid === child.pid)?.session).toBe(child.pid);
    await until(() => listProcesses().filter((each) => each.session === child.pid).length === 2);
    await children.stopAll();
    expect(listProcesses().filter((each) => each.session === child.pid)).toEqual([]);
    expect(readdirSync(join(home, 'run'))).toEqual([]);
    expect(deaths).toEqual([]);
  });

  it('waits until the last of a session is gone, which a busy machine puts off', async () => {
    // a helper of the lowest class on a processor that another program keeps for itself: once killed, it waits for its turn to end
    const others = Array.from({ length: 8 }, () => spawn('taskset', ['-c', '0', process.execPath, '-e', 'for (;;);'], { stdio: 'ignore' }));
    try {
      const children = open();
      const child = await children.start(sleeper({ args: ['-c', 'chrt --idle 0 taskset -c 0 sleep 600 & wait', join(home, 'mark')] }));
      await until(() => listProcesses().some((each) => each.session === child.pid && each.comm === 'sleep'));
      await children.stop('sleeper');
      expect(listProcesses().filter((each) => each.session === child.pid)).toEqual([]);
    } finally {
      for (const each of others) each.kill('SIGKILL');
    }
  });

  it('kills one that does not listen once its time is over', async () => {
    const children = open();
    const child = await children.start(sleeper({ args: ['-c', 'trap "" TERM; echo armed; while :; do sleep 1; done', join(home, 'mark')], stop: { signal: 'SIGTERM', graceSeconds: 0.3 } }));
    await until(() => readFileSync(child.logFile, 'utf8').includes('armed'));
    await children.stop('sleeper');
    expect(child.isRunning()).toBe(false);
  });

  it('tells of a death that nobody asked for', async () => {
    const children = open();
    const child = await children.start(sleeper());
    process.kill(child.pid, 'SIGKILL');
    await until(() => deaths.length > 0);
    expect(deaths).toEqual(['sleeper']);
    for (const each of listProcesses().filter((member) => member.session === child.pid)) kill(each.pid);
  });

  it('ends the orphan of an earlier run, with a record or without', async () => {
    const first = await open().start(sleeper());
    const next = open();
    const second = await next.start(sleeper());
    expect(first.isRunning()).toBe(false);
    rmSync(join(home, 'run/sleeper.json'));
    const last = open();
    await last.start(sleeper());
    expect(second.isRunning()).toBe(false);
    await last.stopAll();
    expect(processesOf(home)).toEqual([]);
  });

  it('adopts an orphan that was started alike, and only that', async () => {
    const first = await open().start(sleeper({ adopt: true }));
    const next = open();
    const adopted = await next.start(sleeper({ adopt: true }));
    expect(adopted).toMatchObject({ pid: first.pid, adopted: true });
    process.kill(adopted.pid, 'SIGKILL');
    await until(() => deaths.length > 0); // an adopted child is watched as well
    const other = await next.start(sleeper({ adopt: true }));
    const last = open();
    const changed = await last.start(sleeper({ adopt: true, args: ['-c', 'sleep 601 & wait', join(home, 'mark')] }));
    expect(other.isRunning()).toBe(false);
    expect(changed.adopted).toBe(false);
    await last.stopAll();
    for (const pid of processesOf(home)) kill(pid);
  });

  it('leaves a process alone that merely has the recorded pid', async () => {
    const bystander = spawn('/bin/sleep', ['600'], { stdio: 'ignore' });
    const identity = identify(bystander.pid ?? 0);
    const children = open();
    writeFileSync(join(home, 'run/sleeper.json'), JSON.stringify({ ...identity, startTime: '1', name: 'sleeper', argv0: '/bin/sh', fingerprint: '' }));
    await children.start(sleeper());
    await children.stopAll();
    expect(identity !== null && isAlive(identity)).toBe(true);
    bystander.kill('SIGKILL');
  });

  it('says what the log ends with when a program does not come up', async () => {
    const children = open();
    const failing = async (): Promise<void> => {
      // it may have ended before it was even looked at: the words are the same
      const child = await children.start(sleeper({ args: ['-c', 'echo no space on the moon; exit 3'] }));
      await children.waitReady(child, 10, () => Promise.resolve(false));
    };
    await expect(failing()).rejects.toThrow('no space on the moon');
    await expect(children.start(sleeper({ file: '/nowhere' }))).rejects.toThrow("sleeper: can't run /nowhere");
  });
});

describe('the lock of a home', () => {
  it('refuses a second start, and takes over from a dead one', () => {
    const unlock = lockHome(home);
    expect(() => lockHome(home)).toThrow(`Gantry already runs on ${home} (process ${process.pid})`);
    unlock();
    writeFileSync(join(home, 'lock'), JSON.stringify({ pid: process.pid, startTime: '1', bootId: 'x' }));
    lockHome(home)();
    expect(readdirSync(home).filter((name) => name.startsWith('lock'))).toEqual([]);
  });
});

describe('holding services back', () => {
  it.each<[string, string | null]>([
    ["the machine's own policy", '#!/bin/sh\nexit 0\n'],
    ['no policy', null],
  ])('puts back %s, also after a crash', (_, before) => {
    const file = join(home, 'policy-rc.d');
    const now = (): string | null => (existsSync(file) ? readFileSync(file, 'utf8') : null);
    const isHeld = (): boolean => spawnSync(file, ['docker-registry', 'start']).status === 101;
    if (before !== null) writeFileSync(file, before, { mode: 0o755 });
    const release = holdServices(file);
    expect(isHeld()).toBe(true);
    release();
    expect(now()).toBe(before);
    holdServices(file);
    repairServiceGuard(file);
    expect(now()).toBe(before);
    holdServices(file);
    writeFileSync(file, (now() ?? '').replace(String(process.pid), String(process.ppid)));
    expect(() => repairServiceGuard(file)).toThrow(/is installing packages/); // its holder lives
    expect(isHeld()).toBe(true);
    writeFileSync(file, (now() ?? '').replace(String(process.ppid), '4194305')); // beyond the largest pid: nobody
    repairServiceGuard(file);
    expect(now()).toBe(before);
    expect(existsSync(`${file}.before-gantry`)).toBe(false);
  });
});

describe('PostgreSQL', () => {
  const query = async (url: string, sql: string): Promise<unknown[]> => {
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query({ text: sql, rowMode: 'array' })).rows.flat();
    } finally {
      await client.end();
    }
  };

  it('keeps its data, port and password over a stop, a killed supervisor and a killed server', async () => {
    const first = open();
    const one = await startPostgres(home, first);
    expect(await query(one.databaseUrl, 'show data_checksums')).toEqual(['on']);
    expect(await query(one.databaseUrl, 'show password_encryption')).toEqual(['scram-sha-256']);
    expect(await query(one.databaseUrl, "select rolsuper from pg_roles where rolname = 'gantry'")).toEqual([false]);
    await query(one.databaseUrl, 'create table kept as select 7 as x');
    await first.stopAll();
    expect(processesOf(home)).toEqual([]);

    const two = await startPostgres(home, open());
    expect(two).toEqual({ ...one, adopted: false });
    const three = await startPostgres(home, open());
    expect(three).toEqual({ ...one, adopted: true });
    const { pid } = JSON.parse(readFileSync(join(home, 'run/postgres.json'), 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
    const last = open();
    await until(() => identify(pid) === null);
    const four = await startPostgres(home, last);
    expect(await query(four.databaseUrl, 'select x from kept')).toEqual([7]);
    await expect(query(four.databaseUrl.replace(/:[^:@]+@/, ':wrong@'), 'select 1')).rejects.toThrow(/password authentication failed/);
    await last.stopAll();
    expect(statSync(join(home, 'postgres-password')).mode & 0o777).toBe(0o600);
    await until(() => processesOf(home).length === 0);
  });

  it('waits for the kernel to forget a killed server, which PostgreSQL would take for one that runs', async () => {
    const first = open();
    await startPostgres(home, first);
    await first.stopAll();
    // A process that has ended, and whose parent looks the other way for two seconds: it lives until the shell, which would reap it, is gone.
    const parent = spawn('/bin/sh', ['-c', 'me=$$; (while read -r name < /proc/$me/comm && [ "$name" != sleep ]; do :; done) & echo $!; exec sleep 2'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const pid = Number(await new Promise((resolve) => parent.stdout.once('data', (text: Buffer) => resolve(text.toString()))));
    await until(() => readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '));
    writeFileSync(join(home, 'postgres/data/postmaster.pid'), `${pid}\n`);
    const children = open();
    const again = await startPostgres(home, children);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(await query(again.databaseUrl, 'select 1')).toEqual([1]);
    await children.stopAll();
  });
});

const withRegistry = findProgram(['docker-registry', 'registry'], path) === null ? describe.skip : describe;
withRegistry('registry', () => {
  it('demands tokens of the given realm, and is started anew where an orphan holds its port', async () => {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(home, 'k'), '-out', join(home, 'c.pem'), '-subj', '/CN=t'], { stdio: 'ignore' });
    const auth = { realm: 'http://127.0.0.1:1/auth/token', service: 'gantry', issuer: 'gantry', rootCertBundle: join(home, 'c.pem') };
    const one = await startRegistry(home, auth, path, open());
    const orphan = JSON.parse(readFileSync(join(home, 'run/registry.json'), 'utf8')) as { pid: number };
    const last = open();
    const two = await startRegistry(home, auth, path, last);
    expect(two.url).toBe(one.url);
    expect(identify(orphan.pid)).toBeNull();
    const header = await new Promise((resolve, reject) => {
      get(`${two.url}/v2/`, { agent: false }, (response) => resolve(response.resume().headers['www-authenticate'])).once('error', reject);
    });
    expect(header).toBe('Bearer realm="http://127.0.0.1:1/auth/token",service="gantry"');
    await last.stopAll();
    expect(processesOf(home)).toEqual([]);
  });
});

const withEngine = canRunEngine ? describe : describe.skip;
withEngine('an engine of our own', () => {
  const links = (): string[] => readdirSync('/sys/class/net').filter((name) => /^(gty|br-|docker)/.test(name));
  const traces = (): unknown => ({
    links: links(),
    mounts: readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((line) => line.includes(home)),
    processes: processesOf(home),
  });
  const start = async (children: Children): Promise<OwnEngine> => {
    const engine = new OwnEngine({ home, bind: '127.0.0.1', path, proxyEnv: {} }, children);
    await engine.start();
    return engine;
  };

  it('is a swarm manager, survives our death, comes back after its own, and leaves nothing', async () => {
    const before = traces();
    const one = await start(open());
    const info = await getEngineInfo(one.endpoint);
    expect(info).toMatchObject({ swarmState: 'active', isManager: true });
    expect((await callEngine(one.endpoint, 'POST', '/networks/create', { Name: 'mine', Driver: 'bridge' })).status).toBe(201);

    const adopter = open();
    const two = await start(adopter);
    expect((await getEngineInfo(two.endpoint)).id).toBe(info.id);
    const { pid } = JSON.parse(readFileSync(join(home, 'run/engine.json'), 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
    await until(() => deaths.includes('engine'));

    const last = open();
    const three = await start(last);
    expect(await getEngineInfo(three.endpoint)).toMatchObject({ id: info.id, swarmState: 'active', isManager: true });
    await three.stop();
    await until(() => processesOf(home).length === 0);
    // The kernel takes links away in its own time.
    await until(() => JSON.stringify(traces()) === JSON.stringify(before)).catch(() => expect(traces()).toEqual(before));
  });

  it('works from a home whose path is too long for a socket', async () => {
    const outer = home;
    home = join(outer, 'long'.repeat(20));
    mkdirSync(home);
    const children = open();
    const engine = await start(children);
    expect(engine.endpoint.host).toMatch(/^unix:\/\/\/run\/gantry-/);
    expect((await getEngineInfo(engine.endpoint)).isManager).toBe(true);
    await engine.stop();
    expect(existsSync(join(engine.endpoint.host.slice('unix://'.length), '..'))).toBe(false);
    home = outer;
  });
});
