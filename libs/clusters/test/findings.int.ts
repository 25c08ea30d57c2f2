import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Access, accessEntities, sharedCollectionId } from '@gantry/access';
import { Audit, auditEntities, AuditKey } from '@gantry/audit';
import { Db, Leases, Outbox, Problem, SystemClock, uuidv7, type Context } from '@gantry/platform';
import { eventually, openTestDatabase, testConfig, testContext, testLogger, testSealer, type TestDatabase } from '@gantry/platform/testing';
import { migrations } from '../../../migrations';
import { pushImage, savedImage, startEngine, startRegistry, webImage, type LabEngine, type LabRegistry } from '../../../test/lab';
import {
  Apply, claimLabel, Clusters, clustersEntities, Findings, GatewayImages, ImageAdmission, Judge, KeptServices, Made, Ownership, Relay, Watcher, type Admission, type Cluster, type EngineService, type Finding, type FindingKind,
} from '../src';

const entities = [...accessEntities, ...auditEntities, ...clustersEntities];
const system = testContext();

/** What trust and delivery would say: one repository, one policy, and whether it is met. */
class Images extends GatewayImages {
  digests = new Set<string>();
  scopes: string[] = [];
  resolve(_ctx: Context, path: string, reference: string) {
    return Promise.resolve(this.digests.has(reference) ? { repository: { kind: 'repository', id: 'r' }, path, digest: reference } : null);
  }
  policyScopes() {
    return Promise.resolve(this.scopes);
  }
  pullable() {
    return Promise.resolve(new Set<string>());
  }
  search() {
    return Promise.resolve([]);
  }
  mayPush() {
    return Promise.resolve(false);
  }
  triggers() {
    return Promise.resolve([]);
  }
}

class Admissions extends ImageAdmission {
  allowed = true;
  /** A scope whose policy refuses everything. */
  refusing = '';
  readonly stored: (boolean | undefined)[] = [];
  admit(_ctx: Context, { scope }: { scope: string }, options: { store?: boolean } = {}): Promise<Admission> {
    this.stored.push(options.store);
    const allowed = this.allowed && scope !== this.refusing;
    return Promise.resolve({ allowed, reason: allowed ? null : 'trust.unsigned', explanation: allowed ? '' : 'nobody signed it', verdictId: null });
  }
}

const images = new Images();
const admissions = new Admissions();
let dir: string;
let test: TestDatabase;
let engine: LabEngine;
let registry: LabRegistry;
let cluster: Cluster;
/** An image of the registry, and one that was loaded into the engine, by what containers are made of. */
let pulled: string;
const loaded = 'loaded:1';

/** What one process has. */
function processOn(db: Db) {
  const clock = new SystemClock();
  const access = new Access(db, testLogger());
  const audit = new Audit(db, clock, AuditKey.fromPem(null));
  const config = testConfig({ GANTRY_REGISTRY_PUBLIC_HOST: registry.host });
  const clusters = new Clusters(db, testSealer(), clock, access, audit, config, new Relay(db, new Outbox(db), testSealer(), config));
  const kept = new KeptServices(db, clock, access, clusters);
  const ownership = new Ownership(db, clock, access, testSealer(), testLogger());
  const made = new Made(db, clock, testLogger());
  const watcher = new Watcher(db, clock, new Leases(db), access, audit, clusters, ownership, images, admissions, made, config, testLogger());
  return {
    access, audit, clusters, ownership, made, watcher, findings: new Findings(db, clock, access, audit, clusters, ownership),
    judge: new Judge(db, clock, clusters, access, audit, admissions, kept, config), apply: new Apply(db, clock, clusters, audit, kept),
  };
}

let house: ReturnType<typeof processOn>;

const call = <T = { Id: string; ID: string }>(method: string, path: string, body?: unknown): Promise<T> => engine.call<T>(method, `/v1.41${path}`, body);
const run = async (name: string, more: Record<string, unknown> = {}, image = loaded): Promise<string> => {
  const { Id } = await call('POST', `/containers/create?name=${name}`, { Image: image, HostConfig: { NetworkMode: 'none', RestartPolicy: { Name: 'always' } }, ...more });
  await call('POST', `/containers/${Id}/start`);
  return Id;
};
const serve = async (name: string, Mode: object, more: Record<string, unknown> = {}): Promise<string> =>
  (await call('POST', '/services/create', { Name: name, Mode, TaskTemplate: { ContainerSpec: { Image: loaded }, RestartPolicy: { Condition: 'any' } }, EndpointSpec: { Mode: 'dnsrr' }, ...more })).ID;
const container = (id: string) => call<{ State: { Running: boolean; Paused: boolean }; HostConfig: { RestartPolicy: { Name: string } } }>('GET', `/containers/${id}/json`);
const service = (id: string) => call<EngineService>('GET', `/services/${id}`);
const all = async (): Promise<Finding[]> => (await house.findings.list(system, cluster.id, { limit: 200 })).items;
const find = async (engineId: string, reason = 'unknown'): Promise<Finding | undefined> => (await all()).find((finding) => finding.engineId === engineId && finding.reason === reason);
const look = () => house.watcher.look(system, cluster.id);
const audited = async (action: string, outcome: 'success' | 'failed' = 'success') => (await house.audit.list(system, { action, outcome, limit: 200 })).items.map(({ detail }) => detail);
const watchMode = async (watch: Cluster['watch']): Promise<void> => {
  cluster = await house.clusters.update(system, cluster.id, cluster.version, { watch });
};
const problemOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'none', (error: unknown) => (error instanceof Problem ? error.code : Promise.reject(error as Error)));

/** Makes an object and claims it, as the gateway does. */
async function owned(kind: 'container' | 'service', name: string, make: () => Promise<string>): Promise<string> {
  const claim = await house.ownership.claim(system, { clusterId: cluster.id, nodeId: '', kind, name, collectionId: sharedCollectionId, createdBy: null });
  const id = await make();
  await house.ownership.bind(system, claim, id);
  return id;
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gl-'));
  [engine, registry, test] = await Promise.all([startEngine({ dir: join(dir, 'e') }), startRegistry({ dir: join(dir, 'r') }), openTestDatabase(entities)]);
  house = processOn(test.db);
  await house.access.start();
  cluster = await house.clusters.register(system, { name: 'local', endpoint: { kind: 'socket', path: engine.socketPath } });
  const image = await webImage({ version: 'pulled', behaviour: 'ok' });
  await pushImage(image, { url: registry.url, repository: 'acme/web', reference: '1' });
  pulled = `${registry.host}/acme/web@${image.digest}`;
  images.digests.add(image.digest);
  await engine.call('POST', '/images/load', await savedImage(await webImage({ version: 'loaded', behaviour: 'ok' }), loaded));
});

afterAll(async () => {
  house?.watcher.stop();
  house?.access.stop();
  await house?.ownership.onModuleDestroy();
  await test?.close();
  await engine?.stop();
  await registry?.stop();
  rmSync(dir, { recursive: true, force: true });
});

it('takes what was there for a baseline, and follows what comes, flagged within the minute', async () => {
  const before = await run('before');
  const running = house.watcher.run(system);
  try {
    await eventually('there is a baseline', async () => (await find(before))?.state === 'baseline', 60);
    // One process does it.
    await processOn(test.db).watcher.run(system);
    const made: Record<FindingKind, () => Promise<string>> = {
      container: () => run('raw'),
      service: () => serve('raw-service', { Replicated: { Replicas: 1 } }),
      network: async () => (await call('POST', '/networks/create', { Name: 'raw-network' })).Id,
      volume: async () => (await call<{ Name: string }>('POST', '/volumes/create', { Name: 'raw-volume' })).Name,
      secret: async () => (await call('POST', '/secrets/create', { Name: 'raw-secret', Data: 'eA==' })).ID,
      config: async () => (await call('POST', '/configs/create', { Name: 'raw-config', Data: 'eA==' })).ID,
      image: async () => {
        await engine.call('POST', '/images/load', await savedImage(await webImage({ version: 'raw', behaviour: 'ok' }), `${registry.host}/acme/web:1`));
        return (await call('GET', `/images/${registry.host}/acme/web:1/json`)).Id;
      },
    };
    const latencies: Record<string, number> = {};
    await Promise.all(Object.entries(made).map(async ([kind, make]) => {
      const id = await make();
      const began = performance.now();
      const seen = await eventually(`the ${kind} is flagged`, async () => {
        const finding = await find(id);
        return finding?.state === 'flagged' ? finding : null;
      }, 60);
      latencies[kind] = Math.round(performance.now() - began);
      expect(seen).toMatchObject({ kind, reason: 'unknown', done: '', note: '' });
    }));
    testLogger().warn({ latencies }, 'from there to flagged, in milliseconds');
    // The tasks' containers are the service's; the engine's own networks are nobody's business; labels were not asked.
    expect((await all()).filter(({ state }) => state === 'flagged').map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual(
      ['config raw-config', 'container raw', `image ${registry.host}/acme/web:1`, 'network raw-network', 'secret raw-secret', 'service raw-service', 'volume raw-volume']);
    expect(await audited('cluster.finding')).toHaveLength(7);
    await call('DELETE', '/volumes/raw-volume');
    await eventually('it is gone', async () => (await find('raw-volume'))?.state === 'gone', 60);
    expect((await find(before))?.state).toBe('baseline');
    expect((await container(before)).State.Running).toBe(true);
  } finally {
    house.watcher.stop();
    await running;
  }
}, 300_000);

it('never flags what was made through Gantry, though its tasks, nameless volumes and images come with it', async () => {
  Object.assign(house.watcher.patience, { settleMillis: 0, refusedMillis: 0, arrivingMillis: 600_000 });
  await engine.call('POST', `/images/create?fromImage=${encodeURIComponent(pulled)}`);
  const web = await owned('container', 'own', () => run('own', { Volumes: { '/data': {} } }, pulled));
  const shop = await owned('service', 'own-service', () => serve('own-service', { Replicated: { Replicas: 2 } }));
  const judged = await house.judge.judge(system, {
    cluster: cluster.id, scope: `environment:${uuidv7()}`, resource: house.clusters.ref(cluster), operation: 'cluster:deploy', change: { type: 'network.create', spec: { Name: 'shop_back', Driver: 'overlay', Labels: { 'io.gantry.deployment': 'd' } } },
  });
  const network = await house.apply.apply(system, judged);
  // A deployment that was killed between the engine and the record, and found its service again.
  const found = await serve('found-again', { Replicated: { Replicas: 1 } });
  await test.db.query(system, `insert into clusters_objects (cluster_id, kind, name, scope) values ($1, 'service', 'found-again', $2)`, [cluster.id, `environment:${uuidv7()}`]);
  await eventually('both tasks run', async () => (await call<{ Id: string }[]>('GET', `/containers/json?filters=${encodeURIComponent(JSON.stringify({ label: ['com.docker.swarm.service.name=own-service'] }))}`)).length === 2, 60);
  const [claim, doubled] = [
    await house.ownership.claim(system, { clusterId: cluster.id, nodeId: '', kind: 'container', name: 'late', collectionId: sharedCollectionId, createdBy: null }),
    await house.ownership.claim(system, { clusterId: cluster.id, nodeId: '', kind: 'container', name: null, collectionId: sharedCollectionId, createdBy: null }),
  ];
  // Under way; of a process that died before it had put it on record; and one that only says so.
  const late = await run('late');
  const dead = await run('dead', { Labels: { [claimLabel]: doubled } });
  const forged = await run('forged', { Labels: { [claimLabel]: uuidv7(), 'io.gantry.seal': 'ab'.repeat(32), 'io.gantry.collection': '/System', 'com.docker.swarm.service.id': shop } });
  for (let round = 0; round < 3; round += 1) await look();
  expect((await find(forged))?.state).toBe('flagged');
  for (const id of [web, shop, late, dead, found, network.conflict ? '' : network.id]) expect(await find(id)).toBeUndefined();
  house.watcher.patience.arrivingMillis = 0;
  await look();
  // The claim that was waited for is not there in time; the one of the dead process was bound before anybody was told.
  expect([(await find(late))?.state, (await find(dead))?.state]).toEqual(['flagged', undefined]);
  // A task's container is there before the swarm tells whose it is.
  house.watcher.patience.arrivingMillis = 600_000;
  await house.ownership.bind(system, claim, late);
  await look();
  expect((await find(late))?.state).toBe('owned');
  await call('DELETE', `/services/${shop}`);
  await house.ownership.forget(system, { clusterId: cluster.id, kind: 'service', engineId: shop });
  for (let round = 0; round < 3; round += 1) await look();
  const names = (await all()).filter(({ state }) => state === 'flagged').map(({ name }) => name).sort();
  expect(names).toEqual(['forged', 'raw', 'raw-config', 'raw-network', 'raw-secret', 'raw-service', `${registry.host}/acme/web:1`].sort());
}, 300_000);

it('remembers images that were made through the gateway as long as they are there, and takes no others for them', async () => {
  const { Swarm: { NodeID: nodeId } } = await call<{ Swarm: { NodeID: string } }>('GET', '/info');
  const load = async (version: string): Promise<string> => {
    await engine.call('POST', '/images/load', await savedImage(await webImage({ version, behaviour: 'ok' }), `${version}:1`));
    return (await call('GET', `/images/${version}:1/json`)).Id;
  };
  const remember = (id: string, since: Date): Promise<void> => house.made.remember(system, { clusterId: cluster.id, nodeId, kind: 'image', id, how: 'load', since });
  const since = new Date();
  const [made, beside] = [await load('made'), await load('beside')];
  await remember(made, since);
  for (let round = 0; round < 2; round += 1) await look();
  expect([(await find(made))?.state, (await find(beside))?.state]).toEqual([undefined, 'flagged']);
  // What was found before a call began was not made by it.
  await remember(beside, new Date());
  await look();
  expect((await find(beside))?.state).toBe('flagged');
  // Gone, and brought back by somebody else.
  await call('DELETE', '/images/made:1');
  await look();
  expect(await load('made')).toBe(made);
  for (let round = 0; round < 2; round += 1) await look();
  expect((await find(made))?.state).toBe('flagged');
  for (const name of ['made', 'beside']) await call('DELETE', `/images/${name}:1`);
  await look();
}, 300_000);

it('stops what is flagged where the cluster says so, nothing else, and brings it back as it was', async () => {
  const known = await run('known');
  for (let round = 0; round < 2; round += 1) await look();
  await house.findings.acknowledge(system, cluster.id, (await find(known))!.id, 'the backup of the database');
  const everywhere = await serve('everywhere', { Global: {} });
  const fleeting = await run('fleeting', { HostConfig: { NetworkMode: 'none', AutoRemove: true } });
  const [raw, shop] = [(await all()).find(({ name }) => name === 'raw')!.engineId, (await all()).find(({ name }) => name === 'raw-service')!.engineId];
  const untouched = async () => [await container(known), await container((await all()).find(({ name }) => name === 'before')!.engineId), await container((await all()).find(({ name }) => name === 'late')!.engineId)];
  const before = { others: await untouched(), shop: (await service(shop)).Spec, everywhere: (await service(everywhere)).Spec };
  await look();
  await watchMode('quarantine');
  await look();
  const stopped = await container(raw);
  expect([stopped.State.Running, stopped.HostConfig.RestartPolicy.Name]).toEqual([false, 'no']);
  expect((await container(fleeting)).State).toMatchObject({ Running: true, Paused: true });
  expect((await service(shop)).Spec.Mode).toEqual({ Replicated: { Replicas: 0 } });
  await eventually('no task runs', async () => (await call<unknown[]>('GET', `/containers/json?filters=${encodeURIComponent(JSON.stringify({ label: ['com.docker.swarm.service.name=everywhere'] }))}`)).length === 0, 60);
  expect(await untouched()).toEqual(before.others);
  const done = await audited('cluster.quarantine');
  expect(done.map(({ name }) => name).sort()).toEqual(['everywhere', 'fleeting', 'forged', 'raw', 'raw-service']);
  expect(await find(raw)).toMatchObject({ state: 'quarantined', done: 'stopped; its restart policy was always', fault: '' });
  // Nothing happens again, until somebody starts it; and a process that died before it could say so does not forget how it was.
  await look();
  expect(await audited('cluster.quarantine')).toHaveLength(done.length);
  await call('POST', `/containers/${raw}/start`);
  await test.db.query(system, `update clusters_findings set state = 'flagged' where id = $1 returning 1`, [(await find(raw))!.id]);
  await look();
  expect([(await container(raw)).State.Running, (await find(raw))?.state, await problemOf(house.findings.acknowledge(system, cluster.id, (await find(raw))!.id, ''))]).toEqual([false, 'quarantined', 'clusters.finding-state']);
  for (const id of [raw, shop, everywhere, fleeting]) expect((await house.findings.release(system, cluster.id, (await find(id))!.id)).state).toBe('releasing');
  await look();
  const back = await container(raw);
  expect([back.State.Running, back.HostConfig.RestartPolicy.Name, (await find(raw))?.state]).toEqual([true, 'always', 'acknowledged']);
  expect((await container(fleeting)).State).toMatchObject({ Running: true, Paused: false });
  expect((await service(shop)).Spec).toEqual(before.shop);
  expect((await service(everywhere)).Spec.TaskTemplate.Placement?.Constraints ?? []).toEqual(before.everywhere.TaskTemplate.Placement?.Constraints ?? []);
  await look();
  expect((await container(raw)).State.Running).toBe(true);
  expect(await audited('cluster.release')).toHaveLength(4);
}, 300_000);

it('stops nothing where so much is unknown at once that rather the records are wrong, until somebody says so', async () => {
  for (let round = 0; round < 2; round += 1) await look();
  const running = async (ids: string[]): Promise<number> => (await Promise.all(ids.map(async (id) => (await container(id)).State.Running))).filter(Boolean).length;
  const stopped = (await audited('cluster.quarantine')).length;
  // As after the database was restored: what people have made is in no record any more.
  const restored = await Promise.all(Array.from({ length: 6 }, (_, index) => run(`restored-${index}`)));
  for (let round = 0; round < 3; round += 1) await look();
  expect([await running(restored), (await audited('cluster.quarantine')).length]).toEqual([6, stopped]);
  for (const id of restored) expect((await find(id))?.state).toBe('flagged');
  const said = await audited('cluster.brake', 'failed');
  expect(said).toEqual([expect.objectContaining({ held: 6, count: 5, percent: 50, release: 'POST /api/v1/clusters/local/brake/release' })]);
  expect((await house.clusters.get(system, 'local')).watchBrakedAt).not.toBeNull();
  // It stays so for what comes after, and when little is left of it; what was stopped before is stopped again.
  const [kept, ...others] = restored as [string, ...string[]];
  await house.findings.acknowledge(system, cluster.id, (await find(kept))!.id, 'the shop');
  await call('DELETE', `/containers/${others.pop()!}?force=1`);
  const later = await run('later');
  const forged = (await all()).find(({ name, kind, state }) => name === 'forged' && kind === 'container' && state === 'quarantined')!.engineId;
  await call('POST', `/containers/${forged}/start`);
  for (let round = 0; round < 2; round += 1) await look();
  expect([await running([kept, ...others, later]), await running([forged]), (await audited('cluster.brake', 'failed')).length]).toEqual([6, 0, 1]);
  // By the numbers alone nothing is released.
  cluster = await house.clusters.update(system, cluster.id, cluster.version, { watchBrakeCount: 100, watchBrakePercent: 100 });
  await look();
  expect(await running([kept, ...others, later])).toBe(6);
  cluster = await house.clusters.update(system, cluster.id, cluster.version, { watchBrakeCount: 1, watchBrakePercent: 1 });
  expect((await house.findings.releaseBrake(system, cluster.id)).stopping).toBe(5);
  await look();
  expect([await running([kept]), await running([...others, later])]).toEqual([1, 0]);
  expect(await problemOf(house.findings.releaseBrake(system, cluster.id))).toBe('clusters.not-braked');
  // What comes after that counts anew; a switch ends it.
  const more = await Promise.all(['more-1', 'more-2'].map((name) => run(name)));
  for (let round = 0; round < 2; round += 1) await look();
  expect([await running(more), (await audited('cluster.brake', 'failed')).length]).toEqual([2, 2]);
  await watchMode('flag');
  expect([cluster.watchBrakedAt, (await house.clusters.get(system, 'local')).watchBrakedAt]).toEqual([null, null]);
  cluster = await house.clusters.update(system, cluster.id, cluster.version, { watch: 'quarantine', watchBrakeCount: 5, watchBrakePercent: 50 });
  await look();
  expect(await running(more)).toBe(0);
  for (const id of [...restored.filter((each) => each !== kept), later, ...more]) await engine.call('DELETE', `/v1.41/containers/${id}?force=1`).catch(() => undefined);
}, 300_000);

it('changes nothing while the database does not answer', async () => {
  const id = await run('unlucky');
  await look();
  const before = await container(id);
  const away = await Db.open({ url: test.url, entities, migrations, logger: testLogger() });
  const blind = processOn(away);
  await away.close();
  await expect(blind.watcher.look(system, cluster.id)).rejects.toThrow();
  expect(await container(id)).toEqual(before);
  await look();
  expect((await container(id)).State.Running).toBe(false);
});

it('is given to a collection, and is somebody’s from then on', async () => {
  const id = (await all()).find(({ name }) => name === 'known')!;
  const [late, image] = [(await all()).find(({ name }) => name === 'late')!, (await all()).find(({ kind, state }) => kind === 'image' && state === 'flagged')!];
  expect(await problemOf(house.findings.adopt(system, cluster.id, late.id, '/Shared'))).toBe('clusters.finding-state');
  expect(await problemOf(house.findings.adopt(system, cluster.id, image.id, '/Shared'))).toBe('clusters.finding-not-adoptable');
  expect(await problemOf(house.findings.adopt(system, cluster.id, id.id, '/nowhere'))).toBe('request.not-found');
  expect((await house.findings.adopt(system, cluster.id, id.id, '/Shared')).state).toBe('owned');
  const ref = (await house.ownership.ofCluster(system, cluster.id)).find('container', { id: id.engineId });
  expect(house.access.findPlacement(ref!)?.path).toBe('/Shared');
  await look();
  expect(await find(id.engineId)).toMatchObject({ state: 'owned', note: 'the backup of the database' });
  expect(await audited('cluster.finding.adopt')).toHaveLength(1);
});

it('flags what is somebody’s and runs what may not run any more, and stops it not', async () => {
  const own = (await call<{ Id: string }>('GET', '/containers/own/json')).Id;
  images.scopes = ['collection:shared'];
  for (let round = 0; round < 2; round += 1) await look();
  expect(await find(own, 'image-refused')).toBeUndefined();
  admissions.allowed = false;
  await look();
  expect(await find(own, 'image-refused')).toBeUndefined();
  await look();
  expect(await find(own, 'image-refused')).toMatchObject({ state: 'flagged', image: pulled, detail: expect.stringContaining('nobody signed it') as unknown });
  // Not of our registry at all, where signatures are demanded.
  expect((await find((await all()).find(({ name }) => name === 'late')!.engineId, 'image-refused'))?.detail).toContain('no image of');
  expect((await container(own)).State.Running).toBe(true);
  expect(admissions.stored.every((store) => store === false)).toBe(true);
  admissions.allowed = true;
  await look();
  expect((await find(own, 'image-refused'))?.state).toBe('gone');
});

it('judges what was deployed by its own environment, also beside another one that runs the same', async () => {
  const deployed = async (name: string, environment: string): Promise<string> => {
    await test.db.query(system, `insert into clusters_objects (cluster_id, kind, name, scope) values ($1, 'service', $2, $3)`, [cluster.id, name, `environment:${environment}`]);
    return serve(name, { Replicated: { Replicas: 1 } }, { TaskTemplate: { ContainerSpec: { Image: pulled } } });
  };
  const [first, second] = [uuidv7(), uuidv7()];
  const ids = [await deployed('in-one', first), await deployed('in-another', second)];
  images.scopes = [`environment:${first}`, `environment:${second}`];
  const states = async (): Promise<(string | undefined)[]> => Promise.all(ids.map(async (id) => (await find(id, 'image-refused'))?.state));
  for (const [refusing, expected] of [[second, [undefined, 'flagged']], [first, ['flagged', 'gone']]] as const) {
    admissions.refusing = `environment:${refusing}`;
    for (let round = 0; round < 2; round += 1) await look();
    expect(await states()).toEqual(expected);
  }
  [images.scopes, admissions.refusing] = [[], ''];
  for (const id of ids) await call('DELETE', `/services/${id}`);
  await look();
}, 300_000);

it('pages and filters', async () => {
  const whole = await all();
  const paged: Finding[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await house.findings.list(system, cluster.id, { limit: 3, ...(cursor === undefined ? {} : { cursor }) });
    paged.push(...page.items);
    if (page.next === null) break;
    cursor = page.next;
  }
  expect(paged).toEqual(whole);
  expect(whole.some(({ state }) => (state as string) === 'seen')).toBe(false);
  const narrow = await house.findings.list(system, cluster.id, { limit: 50, kind: 'container', state: 'acknowledged', text: 'ra' });
  expect(narrow.items.map(({ name }) => name)).toEqual(['raw']);
  expect(await problemOf(house.findings.list(system, cluster.id, { limit: 5, cursor: 'x' }))).toBe('request.invalid');
});
