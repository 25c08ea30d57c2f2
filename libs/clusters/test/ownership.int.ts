import { mkdtempSync, rmSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from 'pg';
import { Access, accessEntities, sharedCollectionId } from '@gantry/access';
import { Audit, auditEntities, AuditKey } from '@gantry/audit';
import { Clock, Db, Outbox, uuidv7, type Context } from '@gantry/platform';
import { Delays, eventually, openTestDatabase, testConfig, testContext, testLogger, testSealer, type TestDatabase } from '@gantry/platform/testing';
import { migrations } from '../../../migrations';
import { savedImage, startEngine, webImage, type LabEngine } from '../../../test/lab';
import { Apply, claimLabel, claimSeconds, Clusters, clustersEntities, ImageAdmission, Judge, KeptServices, Ownership, Relay, type Admission, type ClaimWish, type Cluster, type OwnedKind } from '../src';

const entities = [...accessEntities, ...auditEntities, ...clustersEntities];
const system = testContext();

/** A clock that can be set ahead. */
class TestClock extends Clock {
  aheadSeconds = 0;
  now(): Date {
    return new Date(Date.now() + this.aheadSeconds * 1000);
  }
}

class Admissions extends ImageAdmission {
  admit(): Promise<Admission> {
    return Promise.resolve({ allowed: true, reason: null, explanation: '', verdictId: null });
  }
}

/** What one process has. */
function processOn(db: Db) {
  const clock = new TestClock();
  const access = new Access(db, testLogger());
  const audit = new Audit(db, clock, AuditKey.fromPem(null));
  const config = testConfig();
  const clusters = new Clusters(db, testSealer(), clock, access, audit, config, new Relay(db, new Outbox(db), testSealer(), config));
  const kept = new KeptServices(db, clock, access, clusters);
  const ownership = new Ownership(db, clock, access, testSealer(), testLogger());
  return { db, clock, access, audit, clusters, ownership, judge: new Judge(db, clock, clusters, access, audit, new Admissions(), kept, config), apply: new Apply(db, clock, clusters, audit, kept) };
}

type House = ReturnType<typeof processOn>;

let test: TestDatabase;
let here: House;
/** Another process on the same database. */
let there: House;

beforeAll(async () => {
  test = await openTestDatabase(entities);
  here = processOn(test.db);
  there = processOn(await Db.open({ url: test.url, entities, migrations, logger: testLogger() }));
  for (const house of [here, there]) await house.access.start();
});

afterAll(async () => {
  for (const house of [here, there]) {
    house?.access.stop();
    await house?.ownership.onModuleDestroy();
  }
  await there?.db.close();
  await test?.close();
});

/** A cluster without an engine. */
async function clusterRow(): Promise<string> {
  const id = uuidv7();
  await test.db.query(
    system,
    `insert into clusters_clusters (id, name, endpoint, swarm_id, engine_version, api_version, node_count, state, checked_at, created_at, version)
     values ($1::uuid, $1::text, '{"kind": "socket", "path": "/none"}', $1::text, '28.5', '1.51', 1, 'ready', now(), now(), 1)`,
    [id],
  );
  await here.access.place(system, { kind: 'cluster', id }, here.access.systemCollection());
  return id;
}

const wish = (clusterId: string, name: string | null, more: Partial<ClaimWish> = {}): ClaimWish => ({ clusterId, nodeId: '', kind: 'container', name, collectionId: sharedCollectionId, createdBy: null, ...more });

/** Claims and binds; answers the row's id. */
async function made(clusterId: string, name: string, engineId: string, more: Partial<ClaimWish> = {}): Promise<string> {
  const id = await here.ownership.claim(system, wish(clusterId, name, more));
  await here.ownership.bind(system, id, engineId);
  return id;
}

/** What another process finds, once word is there. */
async function soon(clusterId: string, kind: string, id: string, expected: string | null): Promise<void> {
  const index = await there.ownership.ofCluster(system, clusterId);
  await eventually(`${kind} ${id} is ${expected}`, () => (index.find(kind, { id })?.id ?? null) === expected);
}

const placed = (house: House, kind: string, id: string): string | null => house.access.findPlacement({ kind, id })?.id ?? null;

async function problemOf(work: Promise<unknown>): Promise<string> {
  return work.then(() => 'none', (error: { code?: string }) => error.code ?? String(error));
}

async function delivers(db: Db, clusterId: string, kind: string, name: string, engineId: string | null, scope: string): Promise<boolean> {
  const rows = await db.query(system, 'insert into clusters_objects (cluster_id, kind, name, engine_id, scope) values ($1, $2, $3, $4, $5) on conflict do nothing returning 1', [clusterId, kind, name, engineId, `environment:${scope}`]);
  return rows.length > 0;
}

describe('whose an object is', () => {
  it('is known in every process from bind to forget, and nowhere before', async () => {
    const cluster = await clusterRow();
    const [mine, theirs] = [await here.ownership.ofCluster(system, cluster), await there.ownership.ofCluster(system, cluster)];
    const id = await here.ownership.claim(system, wish(cluster, 'web'));
    expect(placed(here, 'container', id)).toBe(sharedCollectionId);
    expect(mine.find('container', { name: 'web' })).toBeNull();
    expect(mine.findHolder('container', 'web')).toEqual({ kind: 'container', id });
    await here.ownership.bind(system, id, 'e1');
    expect(mine.find('container', { id: 'e1' })).toEqual({ kind: 'container', id });
    await soon(cluster, 'container', 'e1', id);
    await eventually('the placement is known there', () => placed(there, 'container', id) === sharedCollectionId);
    await here.ownership.bind(system, id, 'e1');
    expect(await problemOf(here.ownership.bind(system, id, 'e2'))).toBe('clusters.claim-lost');

    expect(await here.ownership.rename(system, { clusterId: cluster, kind: 'container', engineId: 'e1', name: 'shop' })).toBe(true);
    expect([mine.find('container', { name: 'shop' })?.id, mine.find('container', { name: 'web' })]).toEqual([id, null]);
    expect(await here.ownership.rename(system, { clusterId: cluster, kind: 'container', engineId: 'none', name: 'x' })).toBe(false);
    await here.ownership.move(system, { kind: 'container', id }, here.access.systemCollection());
    expect(placed(here, 'container', id)).toBe(here.access.systemCollection());
    expect(await problemOf(here.ownership.move(system, { kind: 'container', id: 'no-row' }, sharedCollectionId))).toBe('request.not-found');
    expect(await problemOf(here.ownership.move(system, { kind: 'container', id }, uuidv7()))).toBe('request.not-found');

    expect(await here.ownership.forget(system, { clusterId: cluster, kind: 'container', engineId: ['e1', 'e9'] })).toBe(1);
    expect([mine.find('container', { id: 'e1' }), mine.size, placed(here, 'container', id)]).toEqual([null, 0, null]);
    await soon(cluster, 'container', 'e1', null);
    expect(theirs.size).toBe(0);
  });

  it('leaves nothing of what was released, or rolled back', async () => {
    const cluster = await clusterRow();
    const index = await here.ownership.ofCluster(system, cluster);
    const id = await here.ownership.claim(system, wish(cluster, 'web'));
    await here.ownership.release(system, id);
    await here.ownership.release(system, id);
    expect([index.size, placed(here, 'container', id)]).toEqual([0, null]);
    expect(await problemOf(here.ownership.bind(system, id, 'late'))).toBe('clusters.claim-lost');
    const kept = await made(cluster, 'web', 'e1');
    await here.ownership.release(system, kept);
    expect(index.find('container', { id: 'e1' })?.id).toBe(kept);
    const undone = test.db.transaction(system, async (tx: Context) => {
      await here.ownership.claim(tx, wish(cluster, 'other'));
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    expect(index.size).toBe(1);
    expect(await problemOf(here.ownership.claim(system, wish(cluster, 'x', { collectionId: uuidv7() })))).toBe('request.not-found');
    expect(await problemOf(here.ownership.claim(system, wish(uuidv7(), 'x')))).toBe('request.not-found');
    for (const name of ['', 'a\0b', ':x']) expect(await problemOf(here.ownership.claim(system, wish(cluster, name)))).toBe('request.invalid');
  });

  it('is one claimant’s, however many come at once', async () => {
    const cluster = await clusterRow();
    const results = await Promise.allSettled(Array.from({ length: 24 }, (_, at) => (at % 2 === 0 ? here : there).ownership.claim(system, wish(cluster, 'web'))));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'clusters.name-claimed' });
    const placements = await test.db.query(system, `select 1 from access_placements p join clusters_engine_objects o on o.id::text = p.id and o.kind = p.kind where o.cluster_id = $1`, [cluster]);
    expect(placements).toHaveLength(1);
    // The same name of another kind, on another node and in another cluster is another name.
    for (const other of [wish(cluster, 'web', { kind: 'volume' }), wish(cluster, 'web', { nodeId: 'n2' }), wish(await clusterRow(), 'web')]) await here.ownership.claim(system, other);
  });

  it('is known in another process within a second', async () => {
    const cluster = await clusterRow();
    const index = await there.ownership.ofCluster(system, cluster);
    const [people, delivery] = [new Delays(), new Delays()];
    for (let round = 0; round < 5; round += 1) {
      await made(cluster, `web${round}`, `e${round}`);
      await people.until('a person’s object is known', () => index.find('container', { id: `e${round}` }));
      await delivers(here.db, cluster, 'service', `shop${round}`, `s${round}`, uuidv7());
      await delivery.until('delivery’s row is known', () => index.find('service', { id: `s${round}` }));
    }
    expect([people.fastest, delivery.fastest].filter((seconds) => seconds >= 1)).toEqual([]);
  });

  it('is delivery’s or a person’s, never both', async () => {
    const cluster = await clusterRow();
    const index = await here.ownership.ofCluster(system, cluster);
    const scope = uuidv7();
    expect(await delivers(there.db, cluster, 'service', 'shop_web', 's1', scope)).toBe(true);
    await eventually('delivery’s row is known', () => index.find('service', { id: 's1' }));
    expect(index.find('service', { id: 's1' })).toEqual({ kind: 'service', id: `${cluster}/service/shop_web`, parent: { kind: 'environment', id: scope } });
    expect(await problemOf(here.ownership.claim(system, wish(cluster, 'shop_web', { kind: 'service' })))).toBe('clusters.name-claimed');
    await there.db.query(system, `update clusters_objects set engine_id = 's2' where cluster_id = $1 returning 1`, [cluster]);
    await eventually('the new id is known', () => index.find('service', { id: 's2' }) !== null && index.find('service', { id: 's1' }) === null);
    await there.db.query(system, 'delete from clusters_objects where cluster_id = $1 returning 1', [cluster]);
    await eventually('delivery’s row is gone', () => index.size === 0);

    expect(await delivers(there.db, cluster, 'volume', 'shop_data', null, scope)).toBe(true);
    await eventually('delivery’s volume is known by name', () => index.find('volume', { id: 'shop_data', nodeId: 'n1' }));
    expect(await delivers(there.db, cluster, 'network', 'shop_default', null, scope)).toBe(true);
    await eventually('delivery’s claim is known', () => index.findHolder('network', 'shop_default'));
    expect(index.find('network', { name: 'shop_default' })).toBeNull();

    for (let round = 0; round < 10; round += 1) {
      const [person, environment] = await Promise.all([
        here.ownership.claim(system, wish(cluster, `n${round}`, { kind: 'network' })).then(() => true, () => false),
        delivers(there.db, cluster, 'network', `n${round}`, null, scope),
      ]);
      expect([person, environment].filter(Boolean)).toHaveLength(1);
    }
  });

  it('is heeded by delivery: a person’s volume, network or name is foreign to every environment', async () => {
    const cluster = await clusterRow();
    const image = `${testConfig().registryPublicHost}/acme/web@sha256:${'0'.repeat(64)}`;
    const spec = {
      Name: 'shop_web', Labels: { 'com.docker.stack.namespace': 'shop' }, Mode: { Replicated: { Replicas: 1 } },
      TaskTemplate: { ContainerSpec: { Image: image, Mounts: [{ Type: 'volume' as const, Source: 'shop_data', Target: '/data' }] } },
    };
    const judged = () => here.judge.judge(system, { cluster, scope: uuidv7(), resource: { kind: 'cluster', id: cluster }, operation: 'cluster:deploy', change: { type: 'service.create', spec, registryAuth: null } });
    await judged();
    await made(cluster, 'shop_data', 'shop_data', { kind: 'volume', nodeId: 'n1' });
    await expect(judged()).rejects.toMatchObject({ code: 'clusters.host-option', extra: { operations: ['service:create:external-volume'] } });
    await made(cluster, 'shop_web', 's1', { kind: 'service' });
    expect(await problemOf(judged())).toBe('clusters.name-claimed');
  });

  it('does not stay with what is gone, where the engine says so', async () => {
    const cluster = await clusterRow();
    const index = await here.ownership.ofCluster(system, cluster);
    const first = await made(cluster, 'job', 'e1');
    const asked: string[] = [];
    const isThere = (answer: boolean) => (engineId: string): Promise<boolean> => {
      asked.push(engineId);
      return Promise.resolve(answer);
    };
    expect(await problemOf(here.ownership.claim(system, wish(cluster, 'job', { isThere: isThere(true) })))).toBe('clusters.name-claimed');
    const second = await here.ownership.claim(system, wish(cluster, 'job', { isThere: isThere(false) }));
    expect(asked).toEqual(['e1', 'e1']);
    expect([index.find('container', { id: 'e1' }), placed(here, 'container', first), index.findHolder('container', 'job')?.id]).toEqual([null, null, second]);
    // A claim that is on its way is nobody else's, whatever the engine says.
    expect(await problemOf(here.ownership.claim(system, wish(cluster, 'job', { isThere: isThere(false) })))).toBe('clusters.name-claimed');
  });

  it('follows the engine where names move', async () => {
    const cluster = await clusterRow();
    const index = await here.ownership.ofCluster(system, cluster);
    const [a, unnamed] = [await made(cluster, 'a', 'e1'), await here.ownership.claim(system, wish(cluster, null))];
    await here.ownership.bind(system, unnamed, 'e2', 'a');
    expect([index.find('container', { name: 'a' })?.id, index.find('container', { id: 'e1' })?.id]).toEqual([unnamed, a]);
    await here.ownership.rename(system, { clusterId: cluster, kind: 'container', engineId: 'e1', name: 'b' });
    expect(index.find('container', { name: 'b' })?.id).toBe(a);
    const other = await here.ownership.claim(system, wish(cluster, 'c'));
    expect(await problemOf(here.ownership.bind(system, other, 'e1'))).toBe('clusters.claim-lost');
    const volume = await here.ownership.claim(system, wish(cluster, null, { kind: 'volume', nodeId: 'n1' }));
    await here.ownership.bind(system, volume, 'f00d');
    expect(index.find('volume', { id: 'f00d', nodeId: 'n1' })?.id).toBe(volume);
    expect(await here.ownership.forget(system, { clusterId: cluster, kind: 'volume', engineId: 'f00d', nodeId: 'n2' })).toBe(0);
    expect(await here.ownership.forget(system, { clusterId: cluster, kind: 'volume', engineId: 'f00d', nodeId: 'n1' })).toBe(1);
  });

  it('goes with the cluster, placements and all', async () => {
    const cluster = await clusterRow();
    const ids: string[] = [];
    for (let at = 0; at < 3; at += 1) ids.push(await made(cluster, `c${at}`, `e${at}`));
    await soon(cluster, 'container', 'e2', ids[2]!);
    await here.clusters.remove(system, cluster, 1);
    expect(await test.db.query(system, 'select 1 from access_placements where id = any($1)', [[...ids, cluster]])).toEqual([]);
    await soon(cluster, 'container', 'e2', null);
    expect(placed(here, 'container', ids[0]!)).toBeNull();
  });

  it('is sealed in the label for one object and collection alone', () => {
    const seal = here.ownership.collectionSeal('c', 'container', 'web', 'k');
    expect(there.ownership.isCollectionSeal('c', 'container', 'web', 'k', seal)).toBe(true);
    const others = [['d', 'container', 'web', 'k'], ['c', 'volume', 'web', 'k'], ['c', 'container', 'web2', 'k'], ['c', 'container', 'web', 'l']] as const;
    for (const [cluster, kind, name, collection] of others) expect(here.ownership.isCollectionSeal(cluster, kind, name, collection, seal)).toBe(false);
    expect(here.ownership.isCollectionSeal('c', 'container', 'web', 'k', '')).toBe(false);
  });
});

describe('the index', () => {
  /** Writes without word of it. */
  async function silently(cluster: string, name: string, engineId: string): Promise<void> {
    await test.db.transaction(system, async (tx) => {
      await test.db.query(tx, 'alter table clusters_engine_objects disable trigger user');
      await test.db.query(tx, `insert into clusters_engine_objects (id, cluster_id, kind, name, engine_id, created_at) values ($1, $2, 'container', $3, $4, now())`, [uuidv7(), cluster, name, engineId]);
      await test.db.query(tx, 'alter table clusters_engine_objects enable trigger user');
    });
  }

  it('is read anew after the connection was lost', async () => {
    const cluster = await clusterRow();
    const indexes = [await here.ownership.ofCluster(system, cluster), await there.ownership.ofCluster(system, cluster)];
    await silently(cluster, 'a', 'e1');
    expect(indexes.map((index) => index.find('container', { id: 'e1' }))).toEqual([null, null]);
    const ended = await test.db.query(system, `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'gantry:listen'`);
    expect(ended).toHaveLength(2);
    await eventually('both have read it', () => indexes.every((index) => index.find('container', { id: 'e1' }) !== null), 30);
    await made(cluster, 'b', 'e2');
    await soon(cluster, 'container', 'e2', indexes[0]!.find('container', { id: 'e2' })!.id);
  });

  it('notices that no word comes any more, though the connection seems to stand', async () => {
    const db = await Db.open({ url: test.url, entities, migrations, logger: testLogger() });
    const ownership = new Ownership(db, new TestClock(), here.access, testSealer(), testLogger());
    try {
      ownership.beatMillis = 100;
      const cluster = await clusterRow();
      const index = await ownership.ofCluster(system, cluster);
      await (Reflect.get(db, 'listener') as Client).query('unlisten *');
      await made(cluster, 'a', 'e1');
      await eventually('it is read all the same', () => index.find('container', { id: 'e1' }), 30);
    } finally {
      await ownership.onModuleDestroy();
      await db.close();
    }
  });

  it('misses nothing that changes while it is being read', async () => {
    const cluster = await clusterRow();
    await fill(cluster, 20_000);
    const fresh = new Ownership(there.db, there.clock, there.access, testSealer(), testLogger());
    try {
      const loading = fresh.ofCluster(system, cluster);
      const ids: string[] = [];
      for (let at = 0; at < 10; at += 1) ids.push(await made(cluster, `aaa${at}`, `late${at}`));
      await here.ownership.forget(system, { clusterId: cluster, kind: 'container', engineId: ['e1', 'e19999'] });
      const index = await loading;
      await eventually('what came late is there', () => ids.every((id, at) => index.find('container', { id: `late${at}` })?.id === id));
      await eventually('what went is not', () => index.find('container', { id: 'e1' }) === null && index.find('container', { id: 'e19999' }) === null);
      expect(index.size).toBe(20_008);
    } finally {
      await fresh.onModuleDestroy();
    }
  });

  it('takes 100,000 objects, and finds each of them', async () => {
    const cluster = await clusterRow();
    await fill(cluster, 100_000);
    const delays = monitorEventLoopDelay({ resolution: 5 });
    delays.enable();
    const began = performance.now();
    const index = await there.ownership.ofCluster(system, cluster);
    const loadMillis = performance.now() - began;
    delays.disable();
    expect(index.size).toBe(100_000);
    const asked = Array.from({ length: 1_000 }, (_, at) => ({ id: `e${at * 97 + 1}` }));
    let found = 0;
    const start = performance.now();
    for (let round = 0; round < 200; round += 1) for (const object of asked) if (index.find('container', object) !== null) found += 1;
    const findNanos = ((performance.now() - start) * 1e6) / 200_000;
    expect(found).toBe(200_000);
    testLogger().info({ loadMillis, findNanos, blockedMillis: delays.max / 1e6 }, 'ownership of 100,000 objects');
  });

  /** Many rows at once: without the triggers, of which each row would take a lock. */
  async function fill(cluster: string, count: number): Promise<void> {
    await test.db.transaction(system, async (tx) => {
      await test.db.query(tx, 'alter table clusters_engine_objects disable trigger user');
      await test.db.query(
        tx,
        `insert into clusters_engine_objects (id, cluster_id, kind, name, engine_id, created_at) select gen_random_uuid(), $1, 'container', 'c' || i, 'e' || i, now() from generate_series(1, $2::int) i`,
        [cluster, count],
      );
      await test.db.query(tx, 'alter table clusters_engine_objects enable trigger user');
    });
  }
});

describe('with an engine', () => {
  const image = 'lab/web:one';
  let dir: string;
  let engine: LabEngine;
  let cluster: Cluster;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'go-'));
    engine = await startEngine({ dir: join(dir, 'e') });
    await engine.call('POST', '/images/load', await savedImage(await webImage({ version: 'one' }), image));
    cluster = await here.clusters.register(system, { name: 'swept', endpoint: { kind: 'socket', path: engine.socketPath } });
  });

  afterAll(async () => {
    await engine?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  afterEach(async () => {
    for (const house of [here, there]) house.clock.aheadSeconds = 0;
    await test.db.query(system, 'delete from clusters_engine_objects where cluster_id = $1 returning 1', [cluster.id]);
  });

  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const makers: Record<OwnedKind, (name: string, labels: Record<string, string>) => Promise<string>> = {
    container: async (name, labels) => (await engine.call<{ Id: string }>('POST', `/containers/create?name=${name}`, { Image: image, Labels: labels })).Id,
    network: async (name, labels) => (await engine.call<{ Id: string }>('POST', '/networks/create', { Name: name, Driver: 'overlay', Labels: labels })).Id,
    volume: async (name, labels) => (await engine.call<{ Name: string }>('POST', '/volumes/create', { Name: name, Labels: labels })).Name,
    service: async (name, labels) => (await engine.call<{ ID: string }>('POST', '/services/create', { Name: name, Labels: labels, TaskTemplate: { ContainerSpec: { Image: image } }, Mode: { Replicated: { Replicas: 0 } } })).ID,
    secret: async (name, labels) => (await engine.call<{ ID: string }>('POST', '/secrets/create', { Name: name, Labels: labels, Data: base64('x') })).ID,
    config: async (name, labels) => (await engine.call<{ ID: string }>('POST', '/configs/create', { Name: name, Labels: labels, Data: base64('x') })).ID,
  };
  const kinds = Object.keys(makers) as OwnedKind[];
  const sweep = async (house: House) => house.ownership.sweep(system, cluster.id, await house.clusters.engine(system, cluster), { graceMillis: 50 });

  it('finishes what a process began that died before it could bind', async () => {
    const index = await here.ownership.ofCluster(system, cluster.id);
    const claims = new Map<string, string>();
    for (const kind of kinds) {
      const id = await there.ownership.claim(system, wish(cluster.id, kind === 'container' ? null : `dead-${kind}`, { kind }));
      claims.set(await makers[kind](`dead-${kind}`, { [claimLabel]: id }), id);
    }
    const { bound, forgotten } = await sweep(here);
    expect([bound.length, forgotten.length]).toEqual([kinds.length, 0]);
    for (const [engineId, id] of claims) {
      const ref = kinds.map((kind) => index.find(kind, { id: engineId })).find((found) => found !== null);
      expect(ref?.id).toBe(id);
    }
    expect(index.find('container', { name: 'dead-container' })).not.toBeNull();
    expect(await sweep(there)).toEqual({ bound: [], renamed: [], forgotten: [] });
  });

  it('forgets what is gone, and nothing that is there or was just claimed', async () => {
    const index = await here.ownership.ofCluster(system, cluster.id);
    const ids = new Map<OwnedKind, string[]>();
    for (const kind of kinds) {
      const pair: string[] = [];
      for (const what of ['stays', 'goes']) {
        const engineId = await makers[kind](`${what}-${kind}`, {});
        await made(cluster.id, `${what}-${kind}`, engineId, { kind });
        pair.push(engineId);
      }
      ids.set(kind, pair);
    }
    const young = await here.ownership.claim(system, wish(cluster.id, 'young'));
    const elsewhere = await made(cluster.id, 'elsewhere', 'e-on-another-node', { nodeId: 'another-node' });
    expect(await sweep(here)).toEqual({ bound: [], renamed: [], forgotten: [] });

    for (const [kind, [, goes]] of ids) await engine.call('DELETE', `/${kind}s/${goes}`);
    const swept = await sweep(here);
    // A volume of the cluster may be on any of its nodes: that this one does not have it says nothing, and a name that is let go could be taken.
    expect(swept.forgotten.map(({ name }) => name).sort()).toEqual(kinds.filter((kind) => kind !== 'volume').map((kind) => `goes-${kind}`).sort());
    for (const [kind, [stays, goes]] of ids) expect([kind, index.find(kind, { id: stays }) !== null, index.find(kind, { id: goes }) !== null]).toEqual([kind, true, kind === 'volume']);
    for (const { kind, id } of swept.forgotten) expect(placed(here, kind, id)).toBeNull();
    expect(index.findHolder('container', 'young')?.id).toBe(young);
    expect(index.find('container', { id: 'e-on-another-node' })?.id).toBe(elsewhere);

    here.clock.aheadSeconds = claimSeconds + 1;
    expect((await sweep(here)).forgotten).toEqual([{ kind: 'container', id: young, name: 'young', engineId: null }]);
    expect(index.findHolder('container', 'young')).toBeNull();
  });

  it('believes no copied label, and follows names', async () => {
    const index = await here.ownership.ofCluster(system, cluster.id);
    const [copied, doubled] = [await here.ownership.claim(system, wish(cluster.id, 'mine')), await here.ownership.claim(system, wish(cluster.id, null))];
    await makers.container('not-mine', { [claimLabel]: copied });
    for (const name of ['one', 'two']) await makers.container(name, { [claimLabel]: doubled });
    const [a, b] = [await makers.container('aa', {}), await makers.container('bb', {})];
    const rows = [await made(cluster.id, 'aa', a), await made(cluster.id, 'bb', b)];
    for (const [from, to] of [['aa', 'xx'], ['bb', 'aa'], ['xx', 'bb']]) await engine.call('POST', `/containers/${from}/rename?name=${to}`);
    const swept = await sweep(here);
    expect(swept.bound).toEqual([]);
    await sweep(here);
    expect([index.find('container', { name: 'bb' })?.id, index.find('container', { name: 'aa' })?.id]).toEqual(rows);
    expect([index.find('container', { id: a })?.id, index.find('container', { id: b })?.id]).toEqual(rows);
  });

  it('changes nothing when the engine fails or is another swarm’s', async () => {
    const index = await here.ownership.ofCluster(system, cluster.id);
    await made(cluster.id, 'ghost', 'no-such-id');
    await test.db.query(system, `update clusters_clusters set swarm_id = 'other' where id = $1 returning 1`, [cluster.id]);
    expect(await problemOf(sweep(here))).toBe('clusters.other-swarm');
    await test.db.query(system, `update clusters_clusters set swarm_id = $2 where id = $1 returning 1`, [cluster.id, cluster.swarmId]);
    const away = await here.clusters.engine(system, { ...cluster, id: uuidv7(), endpoint: { kind: 'socket', path: join(dir, 'none.sock') } });
    expect(await problemOf(here.ownership.sweep(system, cluster.id, away))).toBe('clusters.unreachable');
    expect(index.find('container', { id: 'no-such-id' })).not.toBeNull();
    await expect(test.db.transaction(system, (tx) => here.ownership.sweep(tx, cluster.id, away))).rejects.toThrow('transaction');
    expect((await sweep(here)).forgotten.map(({ name }) => name)).toEqual(['ghost']);
  });

  it('leaves delivery no name that a person has, and tells of what delivery makes', async () => {
    const index = await there.ownership.ofCluster(system, cluster.id);
    const environment = uuidv7();
    const judged = (name: string) =>
      here.judge.judge(system, { cluster: cluster.id, scope: environment, resource: here.clusters.ref(cluster), operation: 'cluster:deploy', change: { type: 'network.create', spec: { Name: name, Driver: 'overlay', Labels: { 'io.gantry.deployment': 'd1' } } } });
    const late = await judged('taken');
    await made(cluster.id, 'taken', 'n-1', { kind: 'network' });
    expect(await problemOf(judged('taken'))).toBe('clusters.name-claimed');
    expect(await here.apply.apply(system, late)).toEqual({ conflict: true, reason: 'name-taken', id: null });
    const outcome = await here.apply.apply(system, await judged('free'));
    if (outcome.conflict) throw new Error(outcome.reason);
    const ref = await eventually('the network is delivery’s', () => index.find('network', { id: outcome.id }));
    expect(ref.parent).toEqual({ kind: 'environment', id: environment });
  });
});
