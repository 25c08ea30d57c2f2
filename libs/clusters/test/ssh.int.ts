import { execFile } from 'node:child_process';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Access, accessEntities } from '@gantry/access';
import { Audit, auditEntities, AuditKey } from '@gantry/audit';
import { Outbox, Problem, SystemClock, type Config } from '@gantry/platform';
import { eventually, openTestDatabase, testConfig, testContext, testLogger, testSealer, type TestDatabase } from '@gantry/platform/testing';
import { binary, freePort, startEngine, startSshd, type LabEngine, type LabSshd } from '../../../test/lab';
import { closeSshWays, Clusters, clustersEntities, connectEngine, EngineClient, openEngine, Relay, type Cluster, type Endpoint } from '../src';

const system = testContext();
/** What docs/operating.md says to write in front of the key and into sshd_config. */
const keyOptions = 'restrict,port-forwarding,command="/usr/sbin/nologin"';
const hostSettings = ['AllowTcpForwarding local', 'AllowStreamLocalForwarding local', 'MaxSessions 0', 'PermitTTY no', 'X11Forwarding no', 'AllowAgentForwarding no'];

let dir: string;
let test: TestDatabase;
let engine: LabEngine;
let sshd: LabSshd;
let clusters: Clusters;
let access: Access;
let audit: Audit;

function rooms(config: Config): Clusters {
  return new Clusters(test.db, testSealer(), new SystemClock(), access, audit, config, new Relay(test.db, new Outbox(test.db), testSealer(), config));
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gs-'));
  [engine, sshd, test] = await Promise.all([
    startEngine({ dir: join(dir, 'e'), bridge: false }), startSshd({ dir: join(dir, 's'), settings: hostSettings }), openTestDatabase([...accessEntities, ...auditEntities, ...clustersEntities]),
  ]);
  sshd.authorize(keyOptions);
  access = new Access(test.db, testLogger());
  audit = new Audit(test.db, new SystemClock(), AuditKey.fromPem(null));
  await access.start();
  clusters = rooms(testConfig());
});

afterAll(async () => {
  closeSshWays();
  access?.stop();
  await test?.close();
  await sshd?.stop();
  await engine?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const endpoint = (more: Partial<Extract<Endpoint, { kind: 'ssh' }>> = {}): Extract<Endpoint, { kind: 'ssh' }> => ({ kind: 'ssh', address: sshd.address(engine.socketPath), key: sshd.key, hostKey: sshd.hostKeys.ed25519, ...more });

async function refusal(work: Promise<unknown>): Promise<Problem> {
  const error = await work.then(() => null, (thrown: unknown) => thrown);
  if (!(error instanceof Problem)) throw new Error('expected a Problem', { cause: error });
  return error;
}
const registered = (more: Parameters<typeof endpoint>[0]): Promise<Cluster> => clusters.register(system, { name: 'far', endpoint: endpoint(more) });

describe('a host', () => {
  it('is never believed for the first key that it shows: the problem tells the fingerprint', async () => {
    const problem = await refusal(registered({ hostKey: '' }));
    expect(problem).toMatchObject({ code: 'clusters.host-key', status: 422 });
    expect(problem.detail).toContain(await sshd.fingerprint(sshd.hostKeys.ed25519));
    expect((await clusters.list(system, { limit: 10 })).items).toEqual([]);
  });

  it('is not believed with another key than the known one; nobody signs in', async () => {
    const other = await startSshd({ dir: join(dir, 'o') });
    try {
      const problem = await refusal(registered({ hostKey: other.hostKeys.ed25519 }));
      expect(problem.code).toBe('clusters.host-key');
      expect(problem.detail).toContain(await sshd.fingerprint(sshd.hostKeys.ed25519));
      expect(problem.detail).toContain(await sshd.fingerprint(other.hostKeys.ed25519));
    } finally {
      await other.stop();
    }
  });

  it('says what is wrong with the material, and never shows it', async () => {
    for (const [more, pointer] of [
      [{ address: 'ssh://ops:secret@127.0.0.1' }, '/endpoint/address'], [{ key: sshd.hostKeys.ed25519 }, '/endpoint/key'], [{ hostKey: 'SHA256:abc' }, '/endpoint/hostKey'],
    ] as const) {
      expect(await refusal(registered(more))).toMatchObject({ code: 'clusters.bad-credentials', errors: [{ pointer, detail: expect.any(String) }] });
    }
    const denied = await refusal(registered({ key: sshd.otherKey }));
    expect(denied).toMatchObject({ code: 'clusters.ssh-refused', detail: expect.stringContaining('does not let') });
    expect(await refusal(registered({ address: sshd.address(join(dir, 'none.sock')) }))).toMatchObject({ code: 'clusters.unreachable', detail: expect.stringContaining('none.sock') });
    expect(await refusal(registered({ address: `ssh://a@127.0.0.1:${await freePort()}` }))).toMatchObject({ code: 'clusters.unreachable', detail: expect.stringContaining('ECONNREFUSED') });
  });

  it.each([['only old ciphers', 'Ciphers aes128-cbc,aes256-ctr'], ['only an old exchange of keys', 'KexAlgorithms diffie-hellman-group14-sha1']])('that has %s is refused', async (_what, setting) => {
    const old = await startSshd({ dir: join(dir, 'o'), settings: [setting] });
    try {
      expect(await refusal(registered({ address: old.address(engine.socketPath), key: old.key, hostKey: old.hostKeys.ed25519 }))).toMatchObject({ code: 'clusters.ssh-refused', detail: expect.stringContaining('no matching') });
    } finally {
      await old.stop();
    }
  });

  it('lets the key do nothing else, set up as docs/operating.md says', async () => {
    writeFileSync(join(dir, 'key'), sshd.key, { mode: 0o600 });
    const ssh = (...more: string[]): Promise<{ code: number; out: string }> =>
      new Promise((resolve) => {
        const argv = ['-F', '/dev/null', '-i', join(dir, 'key'), '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'ExitOnForwardFailure=yes', '-p', String(sshd.port), ...more];
        execFile(binary('ssh'), argv, { timeout: 60_000 }, (error, stdout) => resolve({ code: error ? 1 : 0, out: stdout }));
      });
    expect(await ssh(`${sshd.user}@127.0.0.1`, 'echo', 'ran')).toEqual({ code: 1, out: '' });
    expect((await ssh('-N', '-R', `${await freePort()}:127.0.0.1:${sshd.port}`, `${sshd.user}@127.0.0.1`)).code).toBe(1);
    expect((await ssh('-N', '-R', `${join(dir, 'back.sock')}:127.0.0.1:${sshd.port}`, `${sshd.user}@127.0.0.1`)).code).toBe(1);
    expect((await EngineClient.negotiate(connectEngine(endpoint()), 30)).apiVersion).toMatch(/^1\./);
  });

  it('that forwards nothing says so', async () => {
    const shut = await startSshd({ dir: join(dir, 'o'), settings: ['DisableForwarding yes'] });
    try {
      const problem = await refusal(registered({ address: shut.address(engine.socketPath), key: shut.key, hostKey: shut.hostKeys.ed25519 }));
      expect(problem.code).toMatch(/^clusters\.(ssh-refused|unreachable)$/);
      expect(problem.detail).toContain('forward');
    } finally {
      await shut.stop();
    }
  });
});

describe('a cluster by SSH', () => {
  let cluster: Cluster;

  it('is registered, its key sealed and in no record', async () => {
    cluster = await registered({ hostKey: `somewhere ${sshd.hostKeys.ed25519}` });
    expect(cluster).toMatchObject({ state: 'ready', endpoint: { kind: 'ssh', address: sshd.address(engine.socketPath), hostKey: sshd.hostKeys.ed25519.split(' ').slice(0, 2).join(' ') } });
    const secret = sshd.key.split('\n')[2]!;
    const rows = await test.db.query(system, 'select * from clusters_clusters');
    expect(rows).toHaveLength(1);
    for (const seen of [rows, await audit.list(system, { limit: 100 }), (await clusters.get(system, 'far')).endpoint]) expect(JSON.stringify(seen)).not.toContain(secret);
  });

  it('changes key and host key as TLS material is changed: asked first, and kept as it was where that fails', async () => {
    expect((await refusal(clusters.update(system, 'far', 1, { endpoint: endpoint({ key: sshd.otherKey }) }))).code).toBe('clusters.ssh-refused');
    expect((await refusal(clusters.update(system, 'far', 1, { endpoint: endpoint({ hostKey: '' }) }))).code).toBe('clusters.host-key');
    expect((await clusters.get(system, 'far')).version).toBe(1);
    // The host would show its Ed25519 key first; it is asked for the one that is known.
    cluster = await clusters.update(system, 'far', 1, { endpoint: endpoint({ hostKey: sshd.hostKeys.ecdsa }) });
    expect(cluster.endpoint).toMatchObject({ hostKey: expect.stringMatching(/^ecdsa-sha2-nistp256 /) });
    expect((await clusters.check(system, 'far')).state).toBe('ready');
  });

  it('signs in once for all that is asked, and anew after it was thrown out', async () => {
    closeSshWays();
    await eventually('nobody is signed in', () => sshd.signIns() === 0);
    const [client, raw] = [await clusters.engine(system, cluster), clusters.raw(cluster)];
    const own = await engine.call<{ ID: string }>('GET', '/swarm');
    await Promise.all(Array.from({ length: 20 }, async () => expect((await client.swarm()).ID).toBe(own.ID)));
    const events = raw.request({ method: 'GET', target: '/v1.41/events', headers: {}, fresh: true });
    events.end();
    const [stream] = (await once(events, 'response')) as [IncomingMessage];
    stream.resume();
    expect(sshd.signIns()).toBe(1);
    const broke = new Promise((resolve) => events.once('error', resolve));
    stream.on('error', () => undefined);
    await sshd.cut();
    expect(await broke).toMatchObject({ code: 'ECONNRESET' });
    expect((await client.swarm()).ID).toBe(own.ID);
    expect(sshd.signIns()).toBe(1);
  });

  it('is read through a worker by processes that may not reach engines, with the same words', async () => {
    const config = testConfig({ GANTRY_ROLE: 'api' });
    const relay = new Relay(test.db, new Outbox(test.db), testSealer(), config);
    const worker = new Relay(test.db, new Outbox(test.db), testSealer(), testConfig());
    let over = false;
    const work = eventually('all is asked', async () => {
      for (const { id } of await test.db.query<{ id: string }>(system, 'select id from clusters_relay_calls where answer is null')) await worker.answer(system, { callId: id });
      return over;
    }, 60);
    try {
      expect((await EngineClient.negotiate(relay.connect(endpoint()), 30)).apiVersion).toMatch(/^1\./);
      const problem = await refusal(EngineClient.negotiate(relay.connect(endpoint({ hostKey: '' })), 30));
      expect(problem.code).toBe('clusters.host-key');
      expect(problem.detail).toContain(await sshd.fingerprint(sshd.hostKeys.ed25519));
    } finally {
      over = true;
      await work;
      await relay.onApplicationShutdown();
    }
  });

  it('takes no more calls at once than a host has room for', async () => {
    const raw = openEngine(endpoint({ address: `ssh://a@127.0.0.1:${await freePort()}` }));
    const ends = Array.from({ length: 901 }, async () => {
      const request = raw.request({ method: 'GET', target: '/_ping', headers: {}, fresh: true });
      request.end();
      const [error] = (await once(request, 'error')) as [NodeJS.ErrnoException];
      return error.code;
    });
    const codes = await Promise.all(ends);
    expect([codes.filter((code) => code === 'ESSHFULL').length, codes.filter((code) => code === 'ECONNREFUSED').length]).toEqual([1, 900]);
  });
});
