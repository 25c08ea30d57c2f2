import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Global, Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Access, accessEntities, AccessModule, Accounts, Collections, Grants } from '@gantry/access';
import { contextOf } from '@gantry/access/testing';
import { Audit, auditEntities, AuditModule } from '@gantry/audit';
import { PlatformModule, Problem, uuidv7, type Context } from '@gantry/platform';
import { eventually, openTestDatabase, testConfig, testContext, testLogger, type TestDatabase } from '@gantry/platform/testing';
import { savedImage, startEngine, webImage, type LabEngine } from '../../../test/lab';
import { Clusters, clustersEntities, ClustersModule, EngineGateway, GatewayImages, ImageAdmission, Made, matchEngineCall, newestMinor, NodeScheduling, Ownership, type Admission, type Cluster, type Passage } from '../src';

const system = testContext();
const v = '/v1.41';
const imageName = '127.0.0.1:5000/acme/web:one';

class Admissions extends ImageAdmission {
  admit(): Promise<Admission> {
    return Promise.resolve({ allowed: true, reason: null, explanation: '', verdictId: null });
  }
}

interface Reply {
  status: number;
  body: Record<string, unknown>;
}

// What the gateway decides for people with few rights, carried to a real engine as the listener would; the engine itself is the oracle.
describe('rights at the gateway', () => {
  const dir = mkdtempSync(join(tmpdir(), 'gr-'));
  let engine: LabEngine;
  let test: TestDatabase;
  let app: INestApplicationContext;
  let gateway: EngineGateway;
  let clusters: Clusters;
  let access: Access;
  let cluster: Cluster;
  let ann: Context;
  let bob: Context;
  let image: string;
  let mayPush = false;
  const raw = <T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> => engine.call<T>(method, `${v}${path}`, body);

  beforeAll(async () => {
    [engine, test] = await Promise.all([startEngine({ dir: join(dir, 'e') }), openTestDatabase([...accessEntities, ...auditEntities, ...clustersEntities])]);
    const config = testConfig();
    image = `${config.registryPublicHost}/acme/web:one`;
    const [repositoryId, otherRepositoryId, digest] = [uuidv7(), uuidv7(), `sha256:${'0'.repeat(64)}`];
    let accountId = '';
    class Images extends GatewayImages {
      async resolve(_ctx: Context, path: string): ReturnType<GatewayImages['resolve']> {
        return { repository: { kind: 'repository', id: path === 'acme/web' ? repositoryId : otherRepositoryId, parent: { kind: 'account', id: accountId } }, path, digest };
      }
      async policyScopes(): Promise<string[]> {
        return [];
      }
      async pullable(): Promise<ReadonlySet<string>> {
        return new Set(['acme/web']);
      }
      async search(_ctx: Context, text: string, limit: number): ReturnType<GatewayImages['search']> {
        return [{ path: 'acme/web', description: `${text} ${limit}` }];
      }
      async mayPush(): Promise<boolean> {
        return mayPush;
      }
      async triggers(): Promise<string[]> {
        return [];
      }
    }
    @Global()
    @Module({ providers: [{ provide: ImageAdmission, useClass: Admissions }, { provide: GatewayImages, useClass: Images }], exports: [ImageAdmission, GatewayImages] })
    class Ports {}
    @Module({ imports: [PlatformModule.forRoot({ config: config, logger: testLogger(), db: test.db }), AuditModule, AccessModule, ClustersModule, Ports] })
    class Rooms {}
    app = await NestFactory.createApplicationContext(Rooms, { logger: false, abortOnError: false });
    [gateway, clusters, access] = [app.get(EngineGateway), app.get(Clusters), app.get(Access)];
    cluster = await clusters.register(system, { name: 'local', endpoint: { kind: 'socket', path: engine.socketPath } });
    const accounts = app.get(Accounts);
    const [annsAccount, bobsAccount] = [await accounts.createUser(system, { name: 'ann' }), await accounts.createUser(system, { name: 'bob' })];
    accountId = annsAccount.id;
    [ann, bob] = [contextOf(annsAccount), contextOf(bobsAccount)];
    await access.place(system, { kind: 'cluster', id: cluster.id }, annsAccount.id);
    // bob sees the cluster, and all that ann has.
    await app.get(Grants).create(system, { subject: 'bob', role: 'viewonly', collection: '/Shared/Private/ann' });
    await raw('POST', '/images/load', await savedImage(await webImage({ version: 'one', behaviour: 'ok' }), imageName));
  }, 300_000);
  afterAll(async () => {
    await app?.close();
    await test?.close();
    await engine?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  /** One call as the listener makes it; the cluster is given, whoever may see it. */
  async function call(ctx: Context, method: string, target: string, body?: unknown, version = v): Promise<Reply> {
    const match = matchEngineCall(method, `${version}${target}`);
    if (match.row === null) throw new Error(match.message);
    const passage = await gateway.decide(ctx, cluster, { match, body: body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body)), registryAuth: undefined });
    expect(await passage.stillAllowed()).toBe(true);
    if (passage.answer) {
      const { status, body: bytes } = await passage.answer(new AbortController().signal);
      return { status, body: JSON.parse(bytes.toString()) as Record<string, unknown> };
    }
    return new Promise((resolve, reject) => {
      const bytes = Buffer.isBuffer(passage.body) ? passage.body : Buffer.alloc(0);
      const sent = clusters.raw(cluster).request({ method: passage.method, target: passage.target, headers: { ...passage.headers, 'content-length': bytes.length } });
      sent.on('error', reject);
      sent.on('response', (message) => {
        const chunks: Buffer[] = [];
        message.on('data', (chunk: Buffer) => chunks.push(chunk));
        message.on('end', () => {
          const answer = { status: message.statusCode ?? 0, body: Buffer.concat(chunks) };
          (passage.whole ? passage.whole(answer.status, answer.body) : Promise.resolve(answer)).then(
            (last) => {
              passage.ended?.(last.status);
              resolve({ status: last.status, body: last.body.length === 0 ? {} : (JSON.parse(last.body.toString()) as Record<string, unknown>) });
            }, reject);
        });
      });
      sent.end(bytes);
    });
  }

  const refused = (work: Promise<unknown>): Promise<string> => work.then(() => 'passed', (error: unknown) => {
    if (error instanceof Problem) return error.code;
    throw error;
  });

  /** Makes it on the engine and puts it into somebody's own collection. */
  async function owned(who: Context, kind: 'container' | 'network' | 'volume', name: string, engineId: string): Promise<void> {
    const ownership = app.get(Ownership);
    const node = kind === 'volume' ? '' : String((await raw<{ Swarm: { NodeID: string } }>('GET', '/info')).Swarm.NodeID);
    const id = await ownership.claim(system, { clusterId: cluster.id, nodeId: node, kind, name, collectionId: access.accountCollection(who.actor.id!), createdBy: who.actor.id });
    await ownership.bind(system, id, engineId);
  }

  async function container(who: Context | null, name: string, more: Record<string, unknown> = {}): Promise<string> {
    const { Id } = await raw<{ Id: string }>('POST', `/containers/create?name=${name}`, { Image: imageName, Cmd: ['/bin/sleep', '1000'], HostConfig: { NetworkMode: 'none' }, ...more });
    if (who) await owned(who, 'container', name, Id);
    return Id;
  }

  async function network(who: Context | null, name: string, more: Record<string, unknown> = {}): Promise<string> {
    const { Id } = await raw<{ Id: string }>('POST', '/networks/create', { Name: name, ...more });
    if (who) await owned(who, 'network', name, Id);
    return Id;
  }

  async function volume(who: Context | null, name: string, more: Record<string, unknown> = {}): Promise<void> {
    await raw('POST', '/volumes/create', { Name: name, ...more });
    if (who) await owned(who, 'volume', name, name);
  }

  const there = async (kind: 'container' | 'network' | 'volume'): Promise<string[]> => {
    if (kind === 'container') return (await raw<{ Id: string }[]>('GET', '/containers/json?all=1')).map(({ Id }) => Id).sort();
    if (kind === 'network') return (await raw<{ Name: string }[]>('GET', '/networks')).map(({ Name }) => Name).sort();
    return ((await raw<{ Volumes: { Name: string }[] | null }>('GET', '/volumes')).Volumes ?? []).map(({ Name }) => Name).sort();
  };

  const recorded = async (action: string): Promise<{ outcome: string; actorName: string; detail: Record<string, unknown> }[]> => (await app.get(Audit).list(system, { limit: 50, action })).items;

  it('prunes of containers what is stopped and the caller’s', async () => {
    const [mine, labelled, foreign, stray, running, paused] = [await container(ann, 'mine'), await container(ann, 'labelled', { Labels: { keep: '1' } }), await container(bob, 'bobs'), await container(null, 'stray'), await container(ann, 'running'), await container(ann, 'paused')];
    for (const id of [running, paused]) await raw('POST', `/containers/${id}/start`);
    await raw('POST', `/containers/${paused}/pause`);
    await raw('PUT', `/containers/${mine}/archive?path=/`, await savedImage(await webImage({ version: 'more', behaviour: 'ok' }), 'more:one'));
    expect(await refused(call(ann, 'POST', `/containers/prune?filters=${encodeURIComponent('{"id":["x"]}')}`))).toBe('clusters.spec-invalid');
    expect((await call(ann, 'POST', `/containers/prune?filters=${encodeURIComponent('{"until":["24h"]}')}`)).body).toEqual({ ContainersDeleted: [], SpaceReclaimed: 0 });
    const spared = await call(ann, 'POST', `/containers/prune?filters=${encodeURIComponent('{"label!":["keep=1"]}')}`);
    expect(spared).toEqual({ status: 200, body: { ContainersDeleted: [mine], SpaceReclaimed: expect.any(Number) as number } });
    expect(spared.body['SpaceReclaimed']).toBeGreaterThan(1_000);
    expect(await there('container')).toEqual([labelled, foreign, stray, running, paused].sort());
    expect((await call(ann, 'POST', '/containers/prune')).body).toEqual({ ContainersDeleted: [labelled], SpaceReclaimed: 0 });
    expect((await app.get(Ownership).ofCluster(system, cluster.id)).find('container', { id: mine })).toBeNull();
    expect((await recorded('engine.container.prune')).map(({ outcome, actorName, detail }) => ({ outcome, actorName, removed: detail['removed'] }))).toEqual([
      { outcome: 'success', actorName: 'ann', removed: [labelled] }, { outcome: 'success', actorName: 'ann', removed: [mine] }, { outcome: 'success', actorName: 'ann', removed: [] },
      { outcome: 'refused', actorName: 'ann', removed: undefined },
    ]);
    // What somebody else prunes meanwhile touches neither.
    expect((await call(bob, 'POST', '/containers/prune')).body).toMatchObject({ ContainersDeleted: [foreign] });
    expect(await there('container')).toEqual([stray, running, paused].sort());
    for (const id of [stray, running, paused]) await raw('DELETE', `/containers/${id}?force=1`);
  }, 300_000);

  it('prunes of networks what nothing is in and the caller’s, and never the engine’s own', async () => {
    const before = await there('network');
    await network(ann, 'anns');
    await network(ann, 'joined');
    await network(ann, 'overlaid', { Driver: 'overlay' });
    await network(bob, 'bobs');
    await network(null, 'stray');
    const inside = await container(ann, 'inside', { HostConfig: { NetworkMode: 'joined' } });
    await raw('POST', `/containers/${inside}/start`);
    const { ID } = await raw<{ ID: string }>('POST', '/services/create', { Name: 'user', TaskTemplate: { ContainerSpec: { Image: imageName }, Networks: [{ Target: 'overlaid' }] }, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' } });
    expect((await call(ann, 'POST', '/networks/prune')).body).toEqual({ NetworksDeleted: ['anns'] });
    expect(await there('network')).toEqual([...before, 'joined', 'overlaid', 'bobs', 'stray'].sort());
    await raw('DELETE', `/services/${ID}`);
    await raw('DELETE', `/containers/${inside}?force=1`);
    expect((await call(ann, 'POST', '/networks/prune')).body['NetworksDeleted']).toEqual(expect.arrayContaining(['joined']));
    for (const name of ['bobs', 'stray']) await raw('DELETE', `/networks/${name}`);
  }, 300_000);

  it('prunes of volumes what nothing mounts and the caller’s', async () => {
    await volume(ann, 'anns');
    await volume(ann, 'used');
    await volume(ann, 'optioned', { DriverOpts: { type: 'tmpfs', device: 'tmpfs' } });
    await volume(bob, 'bobs');
    await volume(null, 'stray');
    const user = await container(ann, 'mounts', { HostConfig: { NetworkMode: 'none', Mounts: [{ Type: 'volume', Source: 'used', Target: '/data' }] } });
    await raw('PUT', `/containers/${user}/archive?path=/data`, await savedImage(await webImage({ version: 'more', behaviour: 'ok' }), 'more:one'));
    expect((await call(ann, 'POST', '/volumes/prune')).body).toMatchObject({ VolumesDeleted: ['anns'] });
    await raw('DELETE', `/containers/${user}`);
    const { body } = await call(ann, 'POST', '/volumes/prune');
    expect(body['VolumesDeleted']).toEqual(['used']);
    expect(body['SpaceReclaimed']).toBeGreaterThan(1_000);
    expect(await there('volume')).toEqual(['bobs', 'optioned', 'stray']);
    expect((await app.get(Ownership).ofCluster(system, cluster.id)).find('volume', { name: 'used' })).toBeNull();
    for (const name of ['bobs', 'optioned', 'stray']) await raw('DELETE', `/volumes/${name}`);
  }, 300_000);

  it('lists what the caller may see now, whatever it was that changed since the last list', async () => {
    const spec = (name: string): object => ({ Name: name, TaskTemplate: { ContainerSpec: { Image: image } }, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' } });
    const made = async (who: Context, name: string): Promise<string> => String((await call(who, 'POST', '/services/create', spec(name))).body['ID']);
    const seen = async (who: Context): Promise<string[]> => {
      const match = matchEngineCall('GET', `${v}/services`);
      if (match.row === null) throw new Error(match.message);
      const passage = await gateway.decide(who, cluster, { match, body: Buffer.alloc(0), registryAuth: undefined });
      const { answer } = clusters.raw(cluster).send({ method: passage.method, target: passage.target, headers: {}, body: null });
      const told = await answer;
      const whole = 'body' in told ? Readable.from([told.body], { objectMode: false }) : told;
      const filter = passage.filter!();
      whole.pipe(filter);
      const chunks: Buffer[] = [];
      for await (const chunk of filter) chunks.push(chunk as Buffer);
      return (JSON.parse(Buffer.concat(chunks).toString()) as { Spec: { Name: string } }[]).map(({ Spec }) => Spec.Name).sort();
    };
    const other = contextOf(await app.get(Accounts).createUser(system, { name: 'lister' }));
    const [grants, accounts] = [app.get(Grants), app.get(Accounts)];
    const entry = (await app.get(Collections).create(system, { parent: '/', name: 'entry' })).path;
    for (const subject of ['lister', 'ann']) await grants.create(system, { subject, role: 'viewonly', collection: entry });
    await access.place(system, { kind: 'cluster', id: cluster.id }, access.findCollection(system, '/entry')!.id);
    const ids = [await made(ann, 'listed-1'), await made(ann, 'listed-2'), (await raw<{ ID: string }>('POST', '/services/create', spec('nobodys'))).ID];
    try {
      // Twice each: the second time from what was decided the first time.
      for (const _ of [1, 2]) expect([await seen(ann), await seen(other)]).toEqual([['listed-1', 'listed-2'], []]);
      const { grant } = await grants.create(system, { subject: 'lister', role: 'viewonly', collection: '/Shared/Private/ann' });
      for (const _ of [1, 2]) expect(await seen(other)).toEqual(['listed-1', 'listed-2']);
      await grants.delete(system, grant.id);
      for (const _ of [1, 2]) expect(await seen(other)).toEqual([]);
      // One of them goes to where the other may look.
      const ref = (await app.get(Ownership).ofCluster(system, cluster.id)).find('service', { id: ids[0]! })!;
      await access.place(system, ref, access.findCollection(system, '/entry')!.id);
      for (const _ of [1, 2]) expect([await seen(ann), await seen(other)]).toEqual([['listed-1', 'listed-2'], ['listed-1']]);
      // What was nobody's is somebody's, once that is bound to it.
      const claim = await app.get(Ownership).claim(system, { clusterId: cluster.id, kind: 'service', name: 'nobodys', nodeId: '', collectionId: other.actor.id!, createdBy: other.actor.id! });
      for (const _ of [1, 2]) expect(await seen(other)).toEqual(['listed-1']);
      await app.get(Ownership).bind(system, claim, ids[2]!, 'nobodys');
      for (const _ of [1, 2]) expect(await seen(other)).toEqual(['listed-1', 'nobodys']);
      await accounts.update(system, 'lister', (await accounts.get(system, 'lister')).version, { active: false });
      await expect(seen(other)).rejects.toMatchObject({ code: expect.stringMatching(/clusters\.no-such-object/) });
    } finally {
      await access.place(system, { kind: 'cluster', id: cluster.id }, ann.actor.id!);
      for (const id of ids) await raw('DELETE', `/services/${id}`);
    }
  }, 300_000);

  it('keeps the name of a volume for who has it as long as another node may have one of that name', async () => {
    // A real engine that says to be one of several.
    let nodes = 1;
    const server = createServer((from, to) => {
      const passed = request({ socketPath: engine.socketPath, method: from.method, path: from.url!, headers: from.headers }, (answer) => {
        if (!from.url!.includes('/info')) {
          to.writeHead(answer.statusCode!, answer.headers);
          answer.pipe(to);
          return;
        }
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk)).once('end', () => {
          const info = JSON.parse(Buffer.concat(chunks).toString()) as { Swarm: { Nodes: number } };
          info.Swarm.Nodes = nodes;
          to.end(JSON.stringify(info));
        });
      });
      passed.on('error', () => to.destroy());
      from.pipe(passed);
    });
    await new Promise<void>((resolve) => server.listen(join(dir, 'nodes'), resolve));
    const goBy = async (path: string): Promise<void> => {
      cluster = await clusters.update(system, cluster.id, (await clusters.get(system, cluster.id)).version, { endpoint: { kind: 'socket', path } });
    };
    const owner = async (name: string): Promise<unknown> => (await app.get(Ownership).ofCluster(system, cluster.id)).find('volume', { name });
    const mounting = (Name: string, Source: string): object => ({ Name, TaskTemplate: { ContainerSpec: { Image: image, Mounts: [{ Type: 'volume', Source, Target: '/x' }] } }, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' } });
    await goBy(join(dir, 'nodes'));
    try {
      nodes = 2;
      for (const name of ['removed', 'pruned']) expect((await call(ann, 'POST', '/volumes/create', { Name: name })).status).toBe(201);
      expect((await call(ann, 'DELETE', '/volumes/removed')).status).toBe(204);
      expect((await call(ann, 'POST', '/volumes/prune')).body).toMatchObject({ VolumesDeleted: ['pruned'] });
      expect(await there('volume')).toEqual([]);
      for (const name of ['removed', 'pruned']) {
        expect(await owner(name)).not.toBeNull();
        expect(await refused(call(bob, 'POST', '/services/create', mounting('takes', name)))).toMatch(/no-such-object|request\.forbidden|call-forbidden/);
        expect(await refused(call(bob, 'POST', '/volumes/create', { Name: name }))).toBe('clusters.name-claimed');
        // They are still hers to make, here too.
        expect((await call(ann, 'POST', '/volumes/create', { Name: name })).status).toBe(201);
      }
      const root = contextOf(await app.get(Accounts).createUser(system, { name: 'keeper', admin: true }));
      expect((await call(root, 'DELETE', '/volumes/removed')).status).toBe(204);
      nodes = 1;
      expect((await call(ann, 'DELETE', '/volumes/pruned')).status).toBe(204);
      for (const name of ['removed', 'pruned']) expect(await owner(name)).toBeNull();
    } finally {
      await goBy(engine.socketPath);
      server.close().closeAllConnections();
    }
  }, 300_000);

  it('gives who changes a service the volumes that come with the change', async () => {
    const spec = (...names: string[]): object => ({ Name: 'grows', TaskTemplate: { ContainerSpec: { Image: image, Mounts: names.map((Source) => ({ Type: 'volume', Source, Target: `/${Source}` })) } }, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' } });
    const owner = async (name: string): Promise<unknown> => (await app.get(Ownership).ofCluster(system, cluster.id)).find('volume', { name });
    const id = String((await call(ann, 'POST', '/services/create', spec('first'))).body['ID']);
    const version = async (): Promise<number> => (await raw<{ Version: { Index: number } }>('GET', `/services/${id}`)).Version.Index;
    const index = await version();
    expect((await call(ann, 'POST', `/services/${id}/update?version=${index}`, spec('first', 'second'))).status).toBe(200);
    expect(await owner('second')).toEqual(expect.objectContaining({ kind: 'volume' }));
    // What the engine refuses leaves no name taken.
    expect((await call(ann, 'POST', `/services/${id}/update?version=${index}`, spec('first', 'second', 'third'))).status).toBeGreaterThanOrEqual(400);
    expect(await owner('third')).toBeNull();
    expect(await refused(call(bob, 'POST', '/containers/create', { Image: image, HostConfig: { NetworkMode: 'none', Binds: ['second:/x'] } }))).toMatch(/no-such-object|request\.forbidden|call-forbidden/);
    expect((await call(ann, 'POST', `/services/${id}/update?version=${await version()}&rollback=previous`, spec('first'))).status).toBe(200);
    await call(ann, 'DELETE', `/services/${id}`);
  }, 300_000);

  it('lets volumes that came with what was refused be their maker’s, and frees names where nothing has come of a call', async () => {
    const owner = async (kind: 'volume' | 'container', name: string): Promise<unknown> => (await app.get(Ownership).ofCluster(system, cluster.id)).findHolder(kind, name);
    const twice = { Image: imageName, HostConfig: { NetworkMode: 'none', Binds: ['twice:/x', 'other:/x'] } };
    // Whether engines leave one behind is theirs; whatever is there is somebody's.
    expect((await call(ann, 'POST', '/containers/create?name=refused', { ...twice, Image: image })).status).toBeGreaterThanOrEqual(400);
    for (const name of ['twice', 'other']) expect([name, (await owner('volume', name)) !== null]).toEqual([name, (await there('volume')).includes(name)]);
    expect(await owner('container', 'refused')).toBeNull();
    for (const name of await there('volume')) await call(ann, 'DELETE', `/volumes/${name}`);
    const match = matchEngineCall('POST', `${v}/containers/create?name=quit`);
    if (match.row === null) throw new Error(match.message);
    const decide = (): Promise<Passage> => gateway.decide(ann, cluster, { match, body: Buffer.from(JSON.stringify({ Image: image, HostConfig: { NetworkMode: 'none', Binds: ['quits:/x'] } })), registryAuth: undefined });
    const passage = await decide();
    expect(await refused(decide())).toBe('clusters.name-claimed');
    passage.unasked!();
    await eventually('the names are free', async () => (await owner('volume', 'quits')) === null && (await owner('container', 'quit')) === null);
    (await decide()).unasked!();
    await eventually('the names are free again', async () => (await owner('volume', 'quits')) === null && (await owner('container', 'quit')) === null);
  }, 300_000);

  it('lets who sees all volumes free their names', async () => {
    const owner = async (name: string): Promise<unknown> => (await app.get(Ownership).ofCluster(system, cluster.id)).find('volume', { name });
    const [root] = [contextOf(await app.get(Accounts).createUser(system, { name: 'frees', admin: true }))];
    for (const name of ['unused', 'mounted', 'vanished']) expect((await call(ann, 'POST', '/volumes/create', { Name: name })).status).toBe(201);
    const user = String((await call(ann, 'POST', '/services/create', { Name: 'mounts', TaskTemplate: { ContainerSpec: { Image: image, Mounts: [{ Type: 'volume', Source: 'mounted', Target: '/x' }] } }, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' } })).body['ID']);
    await raw('DELETE', '/volumes/vanished');
    expect((await call(root, 'POST', '/volumes/prune')).body['VolumesDeleted']).toEqual(expect.arrayContaining(['unused', 'mounted']));
    // What a service mounts it makes again where it runs next.
    expect([await owner('unused'), await owner('mounted') !== null, await owner('vanished') !== null]).toEqual([null, true, true]);
    expect(await refused(call(ann, 'DELETE', '/volumes/vanished'))).toBe('clusters.no-such-object');
    expect(await owner('vanished')).not.toBeNull();
    for (const name of ['vanished', 'mounted']) {
      expect(await refused(call(root, 'DELETE', `/volumes/${name}`))).toBe('clusters.no-such-object');
      expect(await owner(name)).toBeNull();
    }
    await call(ann, 'DELETE', `/services/${user}`);
  }, 300_000);

  it('gives a process that died the volumes of what it had made', async () => {
    const ownership = app.get(Ownership);
    const claim = (name: string): Promise<string> => ownership.claim(system, { clusterId: cluster.id, nodeId: '', kind: 'volume', name, collectionId: access.accountCollection(ann.actor.id!), createdBy: ann.actor.id });
    const ids = [await claim('there'), await claim('meant'), await claim('nowhere')];
    await raw('POST', '/volumes/create', { Name: 'there' });
    const { ID } = await raw<{ ID: string }>('POST', '/services/create', { Name: 'means', TaskTemplate: { ContainerSpec: { Image: imageName, Mounts: [{ Type: 'volume', Source: 'meant', Target: '/x' }] } }, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' } });
    await test.db.query(system, `update clusters_engine_objects set created_at = now() - interval '1 hour' where id = any ($1) returning 1`, [ids]);
    await ownership.sweep(system, cluster.id, await clusters.engine(system, cluster), { graceMillis: 0 });
    const owners = await ownership.ofCluster(system, cluster.id);
    expect(['there', 'meant', 'nowhere'].map((name) => owners.find('volume', { name })?.id ?? null)).toEqual([ids[0], ids[1], null]);
    expect((await call(ann, 'DELETE', '/volumes/there')).status).toBe(204);
    await raw('DELETE', `/services/${ID}`);
    await ownership.forget(system, { clusterId: cluster.id, kind: 'volume', engineId: 'meant' });
  }, 300_000);

  it('goes on with the ids of what was judged, whatever has their names later', async () => {
    const node = [await container(ann, 'near'), await network(ann, 'yard'), await network(ann, 'swarmed', { Driver: 'overlay', Attachable: true })];
    const [near, yard, swarmed] = node as [string, string, string];
    const sent = async (method: string, target: string, body: unknown): Promise<{ body: unknown; target: string }> => {
      const match = matchEngineCall(method, `${v}${target}`);
      if (match.row === null) throw new Error(match.message);
      const passage = await gateway.decide(ann, cluster, { match, body: body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body)), registryAuth: undefined });
      passage.unasked?.();
      return { body: Buffer.isBuffer(passage.body) ? JSON.parse(passage.body.toString()) : null, target: passage.target };
    };
    const create = async (HostConfig: object, more: object = {}): Promise<unknown> => (await sent('POST', '/containers/create', { Image: image, HostConfig, ...more })).body;
    const endpoints = (of: object): unknown => expect.objectContaining({ NetworkingConfig: { EndpointsConfig: of } });
    const options = (of: object): unknown => expect.objectContaining({ HostConfig: expect.objectContaining(of) as unknown });
    expect(await create({ NetworkMode: 'yard' })).toEqual(endpoints({ yard: { NetworkID: yard } }));
    expect(await create({ NetworkMode: yard })).toEqual(endpoints({ yard: { NetworkID: yard } }));
    expect(await create({ NetworkMode: 'swarmed' })).toEqual(endpoints({ swarmed: { NetworkID: swarmed } }));
    expect(await create({ NetworkMode: 'yard' }, { NetworkingConfig: { EndpointsConfig: { yard: { Aliases: ['a'], NetworkID: '' } } } })).toEqual(endpoints({ yard: { Aliases: ['a'], NetworkID: yard } }));
    expect(await create({ NetworkMode: 'yard' }, { NetworkingConfig: { EndpointsConfig: { yard: null } } })).toEqual(endpoints({ yard: { NetworkID: yard } }));
    expect(await create({ NetworkMode: 'yard' }, { NetworkingConfig: { EndpointsConfig: { yard: { NetworkID: 'yard' } } } })).toEqual(endpoints({ yard: { NetworkID: yard } }));
    for (const mode of ['NetworkMode', 'PidMode', 'IpcMode']) expect(await create({ NetworkMode: 'none', [mode]: 'container:near' })).toEqual(options({ [mode]: `container:${near}` }));
    expect(await create({ NetworkMode: 'none', Links: ['near', 'near:db', '/near:/other/db'] })).toEqual(options({ Links: [`${near}:near`, `${near}:db`, `${near}:db`] }));
    expect((await sent('POST', '/networks/yard/connect', { Container: 'near' })).body).toEqual({ Container: near, EndpointConfig: { NetworkID: yard } });
    expect((await sent('POST', '/networks/yard/disconnect', { Container: 'near' })).body).toEqual({ Container: near });
    const service = { Name: 'pinned', TaskTemplate: { ContainerSpec: { Image: image }, Networks: [{ Target: 'swarmed', Aliases: ['a'] }] } };
    expect((await sent('POST', '/services/create', service)).body).toMatchObject({ TaskTemplate: { Networks: [{ Target: swarmed, Aliases: ['a'] }] } });
    mayPush = true;
    for (const [mode, meant] of [['container:near', `container:${near}`], ['yard', yard]]) expect((await sent('POST', `/build?t=${encodeURIComponent(image)}&networkmode=${mode}`, undefined)).target).toContain(`networkmode=${encodeURIComponent(meant!)}&`);
    mayPush = false;
    await raw('DELETE', `/containers/${near}?force=1`);
    for (const id of [yard, swarmed]) await raw('DELETE', `/networks/${id}`);
  }, 300_000);

  it('starts nothing in a network that has its name since, and was never judged', async () => {
    const first = await network(ann, 'lobby');
    const waiting = await container(ann, 'waiting', { HostConfig: { NetworkMode: 'lobby' } });
    const linked = await container(ann, 'linked', { HostConfig: { NetworkMode: 'lobby' }, NetworkingConfig: { EndpointsConfig: { lobby: { NetworkID: first } } } });
    expect((await call(ann, 'DELETE', `/networks/${first}`)).status).toBe(204);
    const second = await network(bob, 'lobby');
    expect(await refused(call(ann, 'POST', `/containers/${waiting}/start`))).toBe('clusters.no-such-object');
    expect(await refused(call(ann, 'POST', `/containers/${waiting}/restart`))).toBe('clusters.no-such-object');
    // The engine goes by the id where there is one, and has no network of that any more.
    expect((await call(ann, 'POST', `/containers/${linked}/start`)).status).toBeGreaterThanOrEqual(400);
    expect((await raw<{ Containers: object }>('GET', `/networks/${second}`)).Containers).toEqual({});
    await app.get(Grants).create(system, { subject: 'ann', role: 'fullcontrol', collection: '/Shared/Private/bob' });
    expect((await call(ann, 'POST', `/containers/${waiting}/start`)).status).toBe(204);
    expect(Object.keys((await raw<{ Containers: object }>('GET', `/networks/${second}`)).Containers)).toEqual([waiting]);
    for (const id of [waiting, linked]) await raw('DELETE', `/containers/${id}?force=1`);
    await raw('DELETE', `/networks/${second}`);
  }, 300_000);

  it('takes the engine’s own networks for what they are, by whatever they are called', async () => {
    const networks = await raw<{ Id: string; Name: string }[]>('GET', '/networks');
    const id = (name: string): string => networks.find(({ Name }) => Name === name)!.Id;
    const yard = await container(ann, 'yard');
    // The cluster is ann's, and so is the right to connect to what belongs to it as such.
    const service = (Target: string): object => ({ Name: 'hosted', TaskTemplate: { ContainerSpec: { Image: image }, Networks: [{ Target }] } });
    for (const target of ['host', id('host'), id('host').slice(0, 12)]) {
      expect([target, await refused(call(ann, 'POST', '/services/create', service(target)))]).toEqual([target, 'clusters.host-option']);
      expect([target, await refused(call(ann, 'POST', '/services/create', { ...service('none'), TaskTemplate: { ContainerSpec: { Image: image } }, Networks: [{ Target: target }] }))]).toEqual([target, 'clusters.host-option']);
      expect([target, await refused(call(ann, 'POST', '/containers/create', { Image: image, HostConfig: { NetworkMode: target } }))]).toEqual([target, 'clusters.host-option']);
    }
    const roleless = await refused(call(ann, 'POST', '/containers/create', { Image: image, HostConfig: { NetworkMode: 'bridge' } }));
    expect(await refused(call(ann, 'POST', '/containers/create', { Image: image, HostConfig: { NetworkMode: id('bridge') } }))).toBe(roleless);
    expect(await refused(call(ann, 'POST', `/networks/${id('host')}/connect`, { Container: yard }))).toBe('clusters.host-option');
    for (const name of ['ingress', 'docker_gwbridge']) expect([name, await refused(call(ann, 'DELETE', `/networks/${id(name)}`))]).toEqual([name, 'clusters.host-option']);
    await raw('DELETE', `/containers/${yard}?force=1`);
  }, 300_000);

  it('forgets what was made and is gone, also where nobody watches', async () => {
    const [{ Id: kept }] = (await raw<{ Id: string }[]>('GET', '/images/json')) as [{ Id: string }];
    const node = (await raw<{ Swarm: { NodeID: string } }>('GET', '/info')).Swarm.NodeID;
    const made = (): Promise<{ id: string }[]> => test.db.query(system, 'select engine_id as id from clusters_made where cluster_id = $1 order by 1', [cluster.id]);
    const remember = (id: string): Promise<void> => app.get(Made).remember(system, { clusterId: cluster.id, nodeId: node, kind: 'image', id, how: 'load', since: new Date() });
    const gone = `sha256:${'d'.repeat(64)}`;
    for (const id of [kept, gone]) await remember(id);
    const watch = (mode: string): Promise<unknown> => test.db.query(system, 'update clusters_clusters set watch = $1 where id = $2 returning 1', [mode, cluster.id]);
    await gateway.sweep(system, 0);
    expect(await made()).toHaveLength(2);
    await watch('off');
    await gateway.sweep(system, 0);
    expect(await made()).toEqual([{ id: kept }]);
    // Engines are not asked for all of their images time and again.
    await remember(gone);
    await gateway.sweep(system);
    expect(await made()).toEqual([{ id: gone }, { id: kept }].sort((one, other) => (one.id < other.id ? -1 : 1)));
    await gateway.sweep(system, 0);
    expect(await made()).toEqual([{ id: kept }]);
    await watch(cluster.watch);
  }, 300_000);

  it('renews the credential with which a service pulls what it runs, and no other', async () => {
    const other = image.replace('acme/web', 'acme/other');
    const spec = (Image: string): object => ({ Name: 'renewed', TaskTemplate: { ContainerSpec: { Image } }, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' } });
    const id = String((await call(ann, 'POST', '/services/create', spec(image))).body['ID']);
    const version = async (): Promise<number> => (await raw<{ Version: { Index: number } }>('GET', `/services/${id}`)).Version.Index;
    const rows = (): Promise<{ repository: string; credential: string; days: number }[]> =>
      test.db.query(system, `select repository_id as repository, credential_id as credential, extract(day from expires_at - now())::int as days from clusters_pull_credentials where cluster_id = $1 order by expires_at, credential_id`, [cluster.id]);
    const dueIn = (days: number, of: 'all' | 'due'): Promise<unknown> =>
      test.db.query(system, `update clusters_pull_credentials set expires_at = now() + make_interval(days => $1) where $2 = 'all' or expires_at < now() + interval '2 days' returning 1`, [days, of]);
    const [first] = await rows();
    await dueIn(1, 'all');
    const before = await version();
    await gateway.sweep(system);
    const [again] = await rows();
    expect([again!.repository, again!.credential === first!.credential, again!.days > 80, (await version()) > before]).toEqual([first!.repository, false, true, true]);
    expect((await call(ann, 'POST', `/services/${id}/update?version=${await version()}`, spec(other))).status).toBe(200);
    await dueIn(1, 'all');
    await gateway.sweep(system);
    // What it ran before is due, too, but not what it runs.
    const [kept, renewed] = await rows();
    expect([kept, renewed!.days > 80]).toEqual([expect.objectContaining({ repository: first!.repository, credential: again!.credential }), true]);
    const then = await version();
    await dueIn(-1, 'due');
    await gateway.sweep(system);
    expect([await rows(), await version()]).toEqual([[renewed], then]);
    await call(ann, 'DELETE', `/services/${id}`);
    expect(await rows()).toEqual([]);
  }, 300_000);

  it('gives nothing of a service’s own to the registry of another’s image', async () => {
    const spec = (Image: string): Buffer => Buffer.from(JSON.stringify({ Name: 'moves', TaskTemplate: { ContainerSpec: { Image } }, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' } }));
    const root = contextOf(await app.get(Accounts).createUser(system, { name: 'mover', admin: true }));
    const id = String((await call(ann, 'POST', '/services/create', JSON.parse(spec(image).toString()))).body['ID']);
    const auth = async (target: string, body: Buffer): Promise<unknown> => {
      const match = matchEngineCall('POST', `${v}${target}`);
      if (match.row === null) throw new Error(match.message);
      const header = (await gateway.decide(root, cluster, { match, body, registryAuth: undefined })).headers['x-registry-auth'];
      return header === undefined ? null : (JSON.parse(Buffer.from(header, 'base64url').toString()) as unknown);
    };
    const update = `/services/${id}/update?version=1`;
    expect(await auth(update, spec(image))).toMatchObject({ username: expect.any(String) as string, serveraddress: testConfig().registryPublicHost });
    // Without a header the engine would go on with what the service had.
    expect(await auth(update, spec('evil.example.com/x/y:1'))).toEqual({});
    await call(ann, 'DELETE', `/services/${id}`);
  }, 300_000);

  it('knows an image by none of the names that may not be pulled', async () => {
    const { registryPublicHost: host } = testConfig();
    const [own, hidden] = [`${host}/acme/web`, `${host}/bob/secret`];
    const { Id } = await raw<{ Id: string }>('GET', `/images/${imageName}/json`);
    for (const [repo, tag] of [[hidden, 'v1'], [hidden, 'latest']]) await raw('POST', `/images/${imageName}/tag?repo=${encodeURIComponent(repo!)}&tag=${tag}`);
    const target = async (path: string): Promise<string> => {
      const match = matchEngineCall('GET', `${v}${path}`);
      if (match.row === null) throw new Error(match.message);
      return (await gateway.decide(ann, cluster, { match, body: Buffer.alloc(0), registryAuth: undefined })).target;
    };
    for (const name of [hidden, `${hidden}:v1`]) {
      for (const path of [`/images/${name}/json`, `/images/${name}/get`, `/images/get?names=${encodeURIComponent(name)}`]) expect([path, await refused(target(path))]).toEqual([path, 'clusters.no-such-object']);
    }
    expect(await target(`/images/get?names=${encodeURIComponent(`${own}:one`)}`)).toContain(encodeURIComponent(`${own}:one`));
    expect(await target(`/images/get?names=${Id}`)).toContain(encodeURIComponent(Id));
    for (const name of [`${hidden}:v1`, `${hidden}:latest`]) await raw('DELETE', `/images/${name}`);
  });

  it('lets no events go out as they come to whom something is hidden by now', async () => {
    const accounts = app.get(Accounts);
    const [hearer] = [contextOf(await accounts.createUser(system, { name: 'hearer', admin: true })), await accounts.createUser(system, { name: 'stays', admin: true, password: 'stays for a long while' })];
    const { grant } = await app.get(Grants).create(system, { subject: 'hearer', role: 'viewonly', collection: '/Shared/Private/ann' });
    const match = matchEngineCall('GET', `${v}/events`);
    if (match.row === null) throw new Error(match.message);
    const passage = await gateway.decide(hearer, cluster, { match, body: Buffer.alloc(0), registryAuth: undefined });
    expect([passage.filter, await passage.stillAllowed()]).toEqual([null, true]);
    await accounts.update(system, 'hearer', (await accounts.get(system, 'hearer')).version, { admin: false });
    expect(await passage.stillAllowed()).toBe(false);
    const again = await gateway.decide(contextOf(await accounts.get(system, 'hearer')), cluster, { match, body: Buffer.alloc(0), registryAuth: undefined });
    expect([typeof again.filter, await again.stillAllowed()]).toEqual(['function', true]);
    await app.get(Grants).delete(system, grant.id);
    expect(await again.stillAllowed()).toBe(false);
  });

  it('keeps services to the nodes on which their makers may schedule', async () => {
    const scheduling = app.get(NodeScheduling);
    const [{ ID: node }] = await raw<[{ ID: string }]>('GET', '/nodes');
    const labels = async (): Promise<Record<string, string>> => (await raw<{ Spec: { Labels: Record<string, string> } }>('GET', `/nodes/${node}`)).Spec.Labels;
    const constraints = async (id: string): Promise<string[]> => (await raw<{ Spec: { TaskTemplate: { Placement?: { Constraints?: string[] } } } }>('GET', `/services/${id}`)).Spec.TaskTemplate.Placement?.Constraints ?? [];
    const spec = (name: string, given?: string[]): Record<string, unknown> => ({ Name: name, TaskTemplate: { ContainerSpec: { Image: image }, ...(given ? { Placement: { Constraints: given } } : {}) }, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' } });
    const made = async (who: Context, name: string, given?: string[]): Promise<string> => String((await call(who, 'POST', '/services/create', spec(name, given))).body['ID']);
    const updated = async (who: Context, id: string, given?: string[], query = ''): Promise<number> => {
      const { Version: { Index }, Spec } = await raw<{ Version: { Index: number }; Spec: { Name: string } }>('GET', `/services/${id}`);
      return (await call(who, 'POST', `/services/${id}/update?version=${Index}${query}`, query === '' ? spec(Spec.Name, given) : Spec)).status;
    };
    const collection = async (name: string): Promise<string> => (await app.get(Collections).create(system, { parent: '/', name })).path;
    // Nobody has put a node anywhere: all goes on as ever.
    const early = await made(ann, 'early', ['node.role==manager']);
    expect([await constraints(early), await labels()]).toEqual([['node.role==manager'], {}]);
    const [closed, open] = [await collection('closed'), await collection('open')];
    expect(await refused(scheduling.place(ann, cluster.id, node, closed))).toMatch(/request\.(?:not-found|forbidden|invalid)/);
    expect(await refused(scheduling.place(system, cluster.id, 'nosuch', closed))).toBe('request.not-found');
    const before = await container(ann, 'before', { HostConfig: { NetworkMode: 'none' } });
    const act = async (what: string): Promise<number> => (await call(ann, 'POST', `/containers/${before}/${what}`)).status;
    expect([await act('start'), await act('pause')]).toEqual([204, 204]);
    await scheduling.place(system, cluster.id, node, closed);
    expect(await labels()).toEqual({});
    // What ran goes on, and can be ended; it is not begun again there.
    for (const what of ['start', 'restart', 'unpause']) expect([what, await refused(act(what))]).toEqual([what, 'clusters.no-node']);
    await raw('POST', `/containers/${before}/unpause`);
    expect([await act('stop?t=0'), await refused(act('start'))]).toEqual([204, 'clusters.no-node']);
    expect(await refused(call(ann, 'POST', '/services/create', spec('none')))).toBe('clusters.no-node');
    expect(await refused(updated(ann, early, []))).toBe('clusters.no-node');
    expect(await refused(call(ann, 'POST', '/containers/create', { Image: image, HostConfig: { NetworkMode: 'none' } }))).toBe('clusters.no-node');
    mayPush = true;
    expect(await refused(call(ann, 'POST', `/build?t=${encodeURIComponent(image)}`))).toBe('clusters.no-node');
    mayPush = false;
    expect((await call(ann, 'GET', '/services')).status).toBe(200);

    await app.get(Grants).create(system, { subject: 'ann', role: 'scheduler', collection: open });
    await scheduling.place(system, cluster.id, node, open);
    expect([await act('start'), await act('restart?t=0')]).toEqual([204, 204]);
    await raw('DELETE', `/containers/${before}?force=1`);
    const kept = await made(ann, 'kept', ['node.role==manager']);
    const [, own] = await constraints(kept) as [string, string];
    expect(own).toMatch(/^node\.labels\.io\.gantry\.nodes\.[0-9a-f]{24}==true$/);
    const [label] = Object.keys(await labels());
    expect(own).toBe(`node.labels.${label}==true`);
    // The engine was asked; it does not have the image.
    expect((await call(ann, 'POST', '/containers/create', { Image: image, HostConfig: { NetworkMode: 'none' } })).status).toBe(404);
    // What clients leave out comes back, what they add of ours does not pass, and what they bring back stays once.
    expect([await updated(ann, kept, []), await constraints(kept)]).toEqual([200, [own]]);
    expect([await updated(ann, kept, [own, 'node.role==manager']), await constraints(kept)]).toEqual([200, ['node.role==manager', own]]);
    for (const forged of ['node.labels.io.gantry.nodes.other==true', `node.labels.${label}!=true`, ` Node.Labels.io.gantry.x == 1`]) {
      expect([forged, await refused(updated(ann, kept, [forged]))]).toEqual([forged, 'clusters.spec-invalid']);
      expect([forged, await refused(made(ann, 'forged', [forged]))]).toEqual([forged, 'clusters.spec-invalid']);
    }
    // A rollback goes back to a spec that was kept to the same nodes, or nowhere.
    expect(await updated(ann, kept, undefined, '&rollback=previous')).toBe(200);
    expect(await updated(ann, early, ['node.role==manager'])).toBe(200);
    expect(await constraints(early)).toEqual(['node.role==manager', own]);
    expect(await refused(updated(ann, early, undefined, '&rollback=previous'))).toBe('clusters.spec-invalid');

    // Gantry's labels on a node are Gantry's: who may update nodes leaves them as they are, and what is edited behind our back is put right.
    const { Version: { Index }, Spec } = await raw<{ Version: { Index: number }; Spec: Record<string, unknown> }>('GET', `/nodes/${node}`);
    await app.get(Grants).create(system, { subject: 'ann', role: 'fullcontrol', collection: open });
    expect(await refused(call(ann, 'POST', `/nodes/${node}/update?version=${Index}`, { ...Spec, Labels: { 'io.gantry.nodes.x': 'true' } }))).toBe('clusters.spec-invalid');
    expect((await call(ann, 'POST', `/nodes/${node}/update?version=${Index}`, { ...Spec, Labels: { zone: 'a' } })).status).toBe(200);
    expect(await labels()).toEqual({ zone: 'a', [label!]: 'true' });
    const now = await raw<{ Version: { Index: number } }>('GET', `/nodes/${node}`);
    await raw('POST', `/nodes/${node}/update?version=${now.Version.Index}`, { ...Spec, Labels: { zone: 'a', 'io.gantry.nodes.forged': 'true' } });
    await gateway.sweep(system);
    expect(await labels()).toEqual({ zone: 'a', [label!]: 'true' });
    // Put elsewhere, the node is out of the set at once; the owner of everything is kept to nothing, and takes nothing away.
    await scheduling.place(system, cluster.id, node, closed);
    expect(await labels()).toEqual({ zone: 'a' });
    expect(await refused(updated(ann, kept, []))).toBe('clusters.no-node');
    expect([await updated(system, kept, []), await constraints(kept)]).toEqual([200, [own]]);
    const free = await call(system, 'POST', '/services/create', { ...spec('free'), Labels: { 'io.gantry.collection': '/Shared' } });
    expect(await constraints(String(free.body['ID']))).toEqual([]);
    for (const id of [early, kept, String(free.body['ID'])]) await raw('DELETE', `/services/${id}`);
  }, 300_000);

  it('forgets no node that is placed while it looks for those that are gone', async () => {
    const engine = await clusters.engine(system, cluster);
    const nodes = engine.nodes.bind(engine);
    const placed = (): Promise<{ id: string }[]> => test.db.query(system, 'select node_id as id from clusters_placed_nodes where cluster_id = $1 and node_id in ($2, $3) order by 1', [cluster.id, 'gone', 'joining']);
    const place = (id: string): Promise<unknown> => test.db.query(system, 'insert into clusters_placed_nodes (cluster_id, node_id) values ($1, $2) returning 1', [cluster.id, id]);
    await place('gone');
    const asked = jest.spyOn(engine, 'nodes').mockImplementationOnce(async (...given) => {
      const found = await nodes(...given);
      await place('joining');
      return found;
    });
    await app.get(NodeScheduling).reconcile(system, cluster.id);
    expect(await placed()).toEqual([{ id: 'joining' }]);
    // A swarm without nodes is none.
    asked.mockImplementationOnce(async () => []);
    await app.get(NodeScheduling).reconcile(system, cluster.id);
    expect(await placed()).toEqual([{ id: 'joining' }]);
    asked.mockRestore();
    await app.get(NodeScheduling).reconcile(system, cluster.id);
    expect(await placed()).toEqual([]);
  }, 300_000);

  it('passes on what changes the swarm, for who may, and says why where it does not', async () => {
    const { Version: { Index }, Spec } = await raw<{ Version: { Index: number }; Spec: Record<string, unknown> }>('GET', '/swarm');
    const update = (who: Context): Promise<Reply> => call(who, 'POST', `/swarm/update?version=${Index}`, { ...Spec, Orchestration: { TaskHistoryRetentionLimit: 3 } });
    expect(await refused(update(ann))).toMatch(/clusters\.(?:call-forbidden|no-such-object)/);
    expect(await refused(call(ann, 'GET', '/swarm/unlockkey'))).toMatch(/clusters\.(?:call-forbidden|no-such-object)/);
    expect(await refused(call(ann, 'POST', '/swarm/unlock', { UnlockKey: 'x' }))).toMatch(/clusters\.(?:call-forbidden|no-such-object)/);
    const root = contextOf(await app.get(Accounts).createUser(system, { name: 'operator', admin: true }));
    expect((await update(root)).status).toBe(200);
    expect((await raw<{ Spec: { Orchestration: unknown } }>('GET', '/swarm')).Spec.Orchestration).toEqual({ TaskHistoryRetentionLimit: 3 });
    expect((await call(root, 'GET', '/swarm/unlockkey')).body).toEqual({ UnlockKey: '' });
    expect((await call(root, 'POST', '/swarm/unlock', { UnlockKey: 'a-key' })).status).toBeGreaterThanOrEqual(400); // it is not locked
    expect(JSON.stringify((await app.get(Audit).list(system, { limit: 200 })).items)).not.toContain('a-key');
    const said = (work: Promise<unknown>): Promise<string> => work.then(() => 'passed', (error: unknown) => (error as Problem).detail);
    for (const who of [ann, root]) {
      for (const [path, body] of [['/swarm/leave?force=1'], ['/swarm/init', {}], ['/swarm/join', {}]] as const) expect(await said(call(who, 'POST', path, body))).toContain('on the engine itself');
      expect(await said(call(who, 'POST', '/plugins/pull?remote=x/y', []))).toContain('root on the host');
    }
    expect((await call(root, 'GET', '/plugins')).status).toBe(200);
    expect(await refused(call(ann, 'GET', '/plugins'))).toBe('clusters.no-such-object');
    expect(await refused(call(ann, 'GET', '/plugins/x/y:latest/json'))).toBe('clusters.no-such-object');
    expect(await refused(call(root, 'GET', '/plugins/x/y:latest/json'))).toBe('clusters.no-such-object');
    const [{ ID: node }] = await raw<[{ ID: string }]>('GET', '/nodes');
    expect(await refused(call(ann, 'DELETE', `/nodes/${node}?force=1`))).toMatch(/clusters\.(?:call-forbidden|no-such-object)/);
    // The engine keeps the node that it is itself.
    expect((await call(root, 'DELETE', `/nodes/${node}`)).status).toBe(400);
    expect(app.get(NodeScheduling).findCollection(node)).not.toBeNull();
    expect(await refused(call(ann, 'PUT', '/volumes/nosuch?version=1', { Spec: {} }, '/v1.42'))).toMatch(/clusters\.(?:no-such-object|call-too-new)/);
  }, 300_000);

  it('asks an engine in the newest version that it speaks and that is known here', async () => {
    // A real engine that says to be newer than it is; it is asked in the version that it has.
    const asked: string[] = [];
    const front = async (says: string): Promise<Server> => {
      const server = createServer((from, to) => {
        asked.push(from.url!);
        const passed = request({ socketPath: engine.socketPath, method: from.method, path: from.url!.replace(/^\/v1\.\d+/, v), headers: from.headers }, (answer) => {
          to.writeHead(answer.statusCode!, { ...answer.headers, 'api-version': says });
          answer.pipe(to);
        });
        passed.on('error', () => to.destroy());
        from.pipe(passed);
      });
      await new Promise<void>((resolve) => server.listen(join(dir, says), resolve));
      cluster = await clusters.update(system, cluster.id, (await clusters.get(system, cluster.id)).version, { endpoint: { kind: 'socket', path: join(dir, says) } });
      return server;
    };
    const servers: Server[] = [];
    try {
      servers.push(await front('1.53'));
      expect(cluster.apiVersion).toBe('1.51');
      expect((await call(ann, 'GET', '/containers/json', undefined, '/v1.53')).status).toBe(200);
      expect((await call(ann, 'GET', '/containers/json', undefined, '')).status).toBe(200);
      expect(asked.filter((path) => path.startsWith('/v1.53/containers/json'))).toHaveLength(2);
      expect(await call(ann, 'GET', '/containers/json', undefined, '/v1.54').then(() => '', (error: Problem) => `${error.code} ${error.detail}`)).toBe('clusters.call-too-new client version 1.54 is too new. Maximum supported API version is 1.53');
      servers.push(await front('1.99'));
      expect((await call(ann, 'GET', '/version', undefined, `/v1.${newestMinor}`)).status).toBe(200);
      expect(asked.at(-1)).toBe(`/v1.${newestMinor}/version`);
      // Nobody at the gateway is told where the engine was.
      servers.at(-1)!.close().closeAllConnections();
      expect(await call(ann, 'GET', '/containers/nosuch/json').then(() => '', (error: Problem) => `${error.code} ${error.detail}`)).toBe('clusters.unreachable The cluster’s engine does not answer.');
    } finally {
      cluster = await clusters.update(system, cluster.id, (await clusters.get(system, cluster.id)).version, { endpoint: { kind: 'socket', path: engine.socketPath } });
      for (const server of servers) server.close().closeAllConnections();
    }
  }, 300_000);

  it('searches our own registry itself, and another through the engine for who may pull from there', async () => {
    const found = async (who: Context, query: string): Promise<unknown> => (await call(who, 'GET', `/images/search?${query}`)).body;
    const { registryPublicHost: host } = testConfig();
    expect(await found(bob, 'term=web')).toEqual([{ name: `${host}/acme/web`, description: 'web 25', star_count: 0, is_official: false, is_automated: false }]);
    expect(await found(bob, `term=${encodeURIComponent(`${host}/acme`)}&limit=7`)).toMatchObject([{ description: 'acme 7' }]);
    expect(await found(bob, `term=web&filters=${encodeURIComponent('{"is-official":["true"]}')}`)).toEqual([]);
    for (const query of ['term=web&limit=101', `term=web&filters=${encodeURIComponent('{"label":["x"]}')}`]) expect(await refused(call(bob, 'GET', `/images/search?${query}`))).toBe('clusters.spec-invalid');
    const elsewhere = '/images/search?term=127.0.0.1%3A1%2Fx';
    expect(await refused(call(bob, 'GET', elsewhere))).toBe('clusters.image-foreign');
    const root = contextOf(await app.get(Accounts).createUser(system, { name: 'searcher', admin: true }));
    const match = matchEngineCall('GET', `${v}${elsewhere}`);
    if (match.row === null) throw new Error(match.message);
    const passage = await gateway.decide(root, cluster, { match, body: Buffer.alloc(0), registryAuth: Buffer.from('{"username":"a","password":"b"}').toString('base64') });
    expect([passage.answer, passage.target, passage.headers]).toEqual([undefined, `${v}${elsewhere}`, {}]);
    expect((await call(root, 'GET', elsewhere)).status).toBeGreaterThanOrEqual(400); // nobody is there
  });

  it('removes no images and no caches for who does not see everything', async () => {
    expect((await call(ann, 'POST', '/images/prune')).body).toEqual({ ImagesDeleted: [], SpaceReclaimed: 0 });
    expect((await call(ann, 'POST', '/build/prune?all=1')).body).toEqual({ CachesDeleted: [], SpaceReclaimed: 0 });
  });
});
