import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { eventually } from '@gantry/platform/testing';
import { COSIGN_PINS, findTool } from '@gantry/trust/testing';
import { container, exchange, service, v, type Attempt, type Credentials, type Images, type Json, type Reply, type Things, type World } from '../bypass/book';
import { callEngine, makePki, savedImage, webImage } from '../lab';
import { DockerCli, Gantry, run, type Api } from './gantry';

const folder = join(__dirname, '../bypass');
const names = readdirSync(folder).filter((name) => name !== 'book.ts').sort();

/** All that an engine has, by kind and id, as it tells on its own socket; without what changes by itself. */
type View = Map<string, string>;

interface Listed {
  Id: string;
  ID: string;
  Name: string;
}

/** One person's way to the gateway: a client bundle, and nothing else. */
type Caller = (method: string, target: string, body?: unknown, headers?: Record<string, string>) => Promise<Reply>;

describe('the book of bypasses', () => {
  let gantry: Gantry;
  let admin: Api;
  let raw: DockerCli;
  let socket: string;
  let world: World;
  /** Strings that ann must not get to see. */
  const hidden = new Set<string>();
  let first: View;
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-bypass-'));
  const engine = <T = Json>(method: string, path: string, body?: unknown): Promise<T> => callEngine<T>(socket, method, `${v}${path}`, body);
  const canary = (): string => {
    const text = `canary-${randomBytes(8).toString('hex')}`;
    hidden.add(text).add(Buffer.from(text).toString('base64'));
    return text;
  };

  async function view(): Promise<View> {
    const seen: View = new Map();
    const put = (kind: string, id: string, value: unknown): void => void seen.set(`${kind} ${id}`, JSON.stringify(value));
    for (const { Id } of await engine<Listed[]>('GET', '/containers/json?all=1')) {
      const { ExecIDs, ...rest } = await engine<{ ExecIDs: string[] | null }>('GET', `/containers/${Id}/json`);
      put('container', Id, { ...rest, ExecIDs: ExecIDs?.sort() ?? null }); // in no order
      put('changes of container', Id, await engine('GET', `/containers/${Id}/changes`));
    }
    for (const { Id } of await engine<Listed[]>('GET', '/networks')) put('network', Id, await engine('GET', `/networks/${Id}`));
    for (const each of (await engine<{ Volumes: Listed[] | null }>('GET', '/volumes')).Volumes ?? []) put('volume', each.Name, each);
    for (const each of await engine<Listed[]>('GET', '/images/json?all=1&digests=1')) put('image', each.Id, each);
    for (const each of await engine<Listed[]>('GET', '/services')) put('service', each.ID, each);
    for (const { ID, ServiceID, Spec, DesiredState } of await engine<(Listed & Json)[]>('GET', '/tasks')) put('task', ID, { ServiceID, Spec,
      DesiredState });
    for (const kind of ['secret', 'config']) for (const each of await engine<Listed[]>('GET', `/${kind}s`)) put(kind, each.ID, each);
    for (const { ID, Spec } of await engine<(Listed & Json)[]>('GET', '/nodes')) put('node', ID, Spec);
    for (const each of await engine<Listed[]>('GET', '/plugins')) put('plugin', each.Id, each);
    const { ID, Spec, JoinTokens, RootRotationInProgress } = await engine('GET', '/swarm');
    put('swarm', ID as string, { Spec, JoinTokens, RootRotationInProgress });
    return seen;
  }

  const differences = (before: View, after: View): string[] =>
    [...new Set([...before.keys(),
      ...after.keys()])].filter((key) => before.get(key) !== after.get(key)).map((key) => `${key}: ${difference(before.get(key) ?? '', after.get(key) ?? '')}`);

  /** The parts in which two texts differ, with a little around them. */
  function difference(before: string, after: string): string {
    const at = [...before].findIndex((character, index) => character !== after[index]);
    const from = Math.max(0, at - 80);
    return `${before.slice(from, from + 400) || 'nothing'} → ${after.slice(from, from + 400) || 'nothing'}`;
  }

  /** Takes away what an attempt has made, so that the next one is judged by itself. */
  async function takeAway(before: View, after: View): Promise<void> {
    const paths: Record<string, string> = { container: '/containers', network: '/networks', volume: '/volumes', service: '/services',
      secret: '/secrets', config: '/configs' };
    for (const key of after.keys()) {
      const [kind = '', id = ''] = key.split(' ');
      if (!before.has(key) && kind === 'image') await engine('DELETE', `/images/${id}?force=1`);
      if (!before.has(key) && kind in paths) await engine('DELETE', `${paths[kind]}/${id}${kind === 'container' ? '?force=1' : ''}`);
    }
  }

  const ok = async (reply: Promise<Reply>): Promise<Json> => {
    const { status, body, sent } = await reply;
    if (status < 200 || status > 299) throw new Error(`${sent.slice(0, 300)}: ${status} ${body}`);
    return body === '' ? {} : (JSON.parse(body) as Json);
  };

  const bundle = async (api: Api): Promise<Credentials & { ca: string }> => {
    const answer = await fetch(`${gantry.ready!.http}/api/v1/me/bundle`, { headers: { authorization: `Bearer ${api.token}` } });
    const files = unzipSync(Buffer.from(await answer.arrayBuffer()));
    const file = (name: string): string => Buffer.from(files[name]!).toString();
    return { ca: file('ca.pem'), cert: file('cert.pem'), key: file('key.pem') };
  };

  /** A container and all that goes with it, made by whoever `call` speaks for. */
  async function things(owner: string, call: Caller, image: string, replicas: number): Promise<Things> {
    const name = (kind: string): string => `${owner}-${kind}-${randomBytes(4).toString('hex')}`;
    const made = async (path: string, body: Json): Promise<string> => {
      const answer = await ok(call('POST', `${v}${path}`, body));
      return String(answer['Id'] ?? answer['ID'] ?? answer['Name']);
    };
    const [network, volume, secret, config, service1, container1] = ['network', 'volume', 'secret', 'config', 'service',
      'container'].map(name) as [string, string, string, string, string, string];
    const networkId = await made('/networks/create', { Name: network });
    await made('/volumes/create', { Name: volume, Labels: { note: canary() } });
    const secretId = await made('/secrets/create', { Name: secret, Data: Buffer.from(canary()).toString('base64'),
      Labels: { note: canary() } });
    const configId = await made('/configs/create', { Name: config, Data: Buffer.from(canary()).toString('base64') });
    const listen = `echo ${canary()}; while read line; do echo "$line" >> /heard; done; exec sleep 1000000 # ${canary()}`;
    const containerId = await made(`/containers/create?name=${container1}`, {
      Image: image, OpenStdin: true, Entrypoint: ['/bin/sh', '-c', listen], Env: [`NOTE=${canary()}`], Labels: { note: canary() },
        HostConfig: { NetworkMode: network, Mounts: [{ Type: 'volume', Source: volume, Target: '/data' }] },
    });
    await ok(call('POST', `${v}/containers/${containerId}/start`));
    const exec = await made(`/containers/${containerId}/exec`, { Cmd: ['/bin/sleep', '1000000'] });
    const started = await call('POST', `${v}/exec/${exec}/start`, { Detach: true });
    if (started.status !== 200) throw new Error(started.text);
    const serviceId = await made('/services/create', {
      Name: service1, TaskTemplate: { ContainerSpec: { Image: image, Env: [`NOTE=${canary()}`] } },
        Mode: { Replicated: { Replicas: replicas } }, EndpointSpec: { Mode: 'dnsrr' },
    });
    return {
      container: { id: containerId, name: container1 }, exec, network: { id: networkId, name: network }, volume, secret: { id: secretId,
        name: secret }, config: { id: configId, name: config },
      service: { id: serviceId, name: service1 }, serviceVersion: 0, task: '',
    };
  }

  /** What is known of a service only when its tasks have come to rest. */
  async function settle(of: Things): Promise<void> {
    const { Spec } = await engine<{ Spec: { Mode: { Replicated: { Replicas: number } } } }>('GET', `/services/${of.service.id}`);
    const filters = encodeURIComponent(JSON.stringify({ service: [of.service.id], 'desired-state': ['running'] }));
    if (Spec.Mode.Replicated.Replicas > 0) {
      of.task = await eventually(`a task of ${of.service.name} runs`,
        async () => (await engine<{ ID: string; Status: { State: string } }[]>('GET',
        `/tasks?filters=${filters}`)).find(({ Status }) => Status.State === 'running')?.ID ?? null, 60);
    }
    of.serviceVersion = (await engine<{ Version: { Index: number } }>('GET', `/services/${of.service.id}`)).Version.Index;
  }

  async function push(reference: string, version: string): Promise<string> {
    await load(reference, version);
    return /digest: (sha256:[0-9a-f]{64})/.exec(raw.ok(['push', reference]))![1]!;
  }

  async function load(reference: string, version: string): Promise<void> {
    const file = join(scratch, 'image.tar');
    writeFileSync(file, await savedImage(await webImage({ version }), reference));
    raw.ok(['load', '-q', '-i', file]);
  }

  /** Signs as a release would be, and answers the public key. */
  async function sign(reference: string): Promise<string> {
    const tool = await findTool(COSIGN_PINS[0]!);
    if (!tool) throw new Error('cosign 2.5.0 is not in the archive any more; give the test another version');
    const env = { COSIGN_PASSWORD: '', DOCKER_CONFIG: raw.config, HOME: scratch };
    for (const argv of [['generate-key-pair', '--output-key-prefix', join(scratch, 'release')], ['sign', '--yes', '--tlog-upload=false',
      '--allow-http-registry', '--key', join(scratch, 'release.key'), reference]]) {
      const result = run(tool.path, argv, { env });
      if (result.code !== 0) throw new Error(`cosign ${argv[0]}: ${result.stderr}`);
    }
    return readFileSync(join(scratch, 'release.pub'), 'utf8');
  }

  beforeAll(async () => {
    gantry = await Gantry.prepare({ flags: ['--no-sample'] });
    await gantry.start();
    const { registry, gateway } = gantry.ready!;
    socket = gantry.ready!.engine.replace('unix://', '');
    admin = await gantry.api('admin', gantry.adminPassword());
    raw = new DockerCli(gantry.ready!.engine);
    const made = async (path: string, body: unknown): Promise<void> => {
      const { status, body: answer } = await admin.post(path, body);
      if (status !== 201) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
    };
    for (const name of ['ann', 'bob']) await made('/api/v1/users', { name, password: `${name} has a long password` });
    for (const name of ['acme', 'other']) await made('/api/v1/organizations', { name });
    for (const name of ['ann', 'bob']) expect((await admin.send('PUT', `/api/v1/organizations/acme/members/${name}`,
      { role: 'member' })).status).toBe(200);
    await made('/api/v1/repositories', { namespace: 'acme', name: 'web' });
    await made('/api/v1/repositories', { namespace: 'other', name: 'hidden-app' });
    await made('/api/v1/collections', { name: 'floor', parent: '/' });
    expect((await admin.send('PUT', '/api/v1/placements/cluster/local', { collection: '/floor' })).status).toBe(200);
    for (const subject of ['ann', 'bob']) await made('/api/v1/grants', { subject, role: 'viewonly', collection: '/floor' });

    raw.ok(['login', '-u', 'admin', '--password-stdin', registry], { input: gantry.adminPassword() });
    const web = `${registry}/acme/web`;
    const images: Images = {
      signed: `${web}:signed`, signedDigest: await push(`${web}:signed`, 'signed'), unsigned: `${web}:one`,
        unsignedDigest: await push(`${web}:one`, 'one'), unsignedId: raw.ok(['image', 'inspect', '-f', '{{.Id}}', `${web}:one`]),
      onNode: `${web}:only-here`, nameless: 'nameless-image:only-here', hidden: `${registry}/other/hidden-app:one`,
        hiddenDigest: await push(`${registry}/other/hidden-app:one`, 'hidden'), hiddenId: raw.ok(['image', 'inspect', '-f', '{{.Id}}',
        `${registry}/other/hidden-app:one`]),
    };
    await load(images.onNode, 'only here');
    await load(images.nameless, 'only here, without a name');
    for (const text of ['hidden-app', 'nameless-image', images.hiddenDigest, images.hiddenId]) hidden.add(text);
    const publicKeyPem = await sign(`${web}@${images.signedDigest}`);

    const anns = await gantry.api('ann', 'ann has a long password');
    const [ann, bob] = [await bundle(anns), await bundle(await gantry.api('bob', 'bob has a long password'))];
    const { hostname: host, port } = new URL(gateway.replace('tcp:', 'http:'));
    const to = { host, port: Number(port), ca: ann.ca };
    const address = `${host}:${port}`;
    const as = (who: Credentials): Caller => (method, target, body, headers = {}) => {
      const bytes = body === undefined ? null : Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
      const lines = { Host: address, Connection: 'close', ...(bytes === null ? {} : { 'Content-Type': 'application/json',
        'Content-Length': String(bytes.length) }), ...(bytes === null && method === 'POST' ? { 'Content-Length': '0' } : {}), ...headers };
      const head = `${method} ${target} HTTP/1.1\r\n${Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
      return exchange(to, { cert: who.cert!, key: who.key! }, Buffer.concat([Buffer.from(head, 'latin1'), bytes ?? Buffer.alloc(0)]));
    };
    const onSocket: Caller = async (method, target, body) => {
      const answer = await callEngine<unknown>(socket, method, target, body);
      return { sent: '', status: 200, statuses: [200], headers: {}, body: typeof answer === 'string' ? answer : JSON.stringify(answer),
        text: '' };
    };

    const own = await things('own', as(ann), images.unsigned, 0);
    const old = await ok(as(ann)('POST', `${v}/services/create`, { Name: 'own-old',
      TaskTemplate: { ContainerSpec: { Image: images.unsigned } }, Mode: { Replicated: { Replicas: 0 } },
      EndpointSpec: { Mode: 'dnsrr' } }));
    hidden.clear(); // what is ann's own she may see
    for (const text of ['hidden-app', 'nameless-image', images.hiddenDigest, images.hiddenId]) hidden.add(text);
    const foreign = [await things('raw', onSocket, images.unsigned, 1), await things('bob', as(bob), images.unsigned, 1)];
    // Her service goes on to the signed image, so that its former spec is of the other one.
    const before = await engine<{ Version: { Index: number }; Spec: { TaskTemplate: { ContainerSpec: Json } } }>('GET',
      `/services/${own.service.id}`);
    before.Spec.TaskTemplate.ContainerSpec['Image'] = images.signed;
    await ok(as(ann)('POST', `${v}/services/${own.service.id}/update?version=${before.Version.Index}`, before.Spec));
    for (const each of [own, ...foreign]) await settle(each);
    // Somebody with the engine's socket has joined her network: she may not see who.
    await engine('POST', `/networks/${own.network.id}/connect`, { Container: foreign[0]!.container.id });
    for (const { container: c, exec, network, volume, secret, config, service: s, task } of foreign) {
      for (const thing of [c, network, secret, config, s]) hidden.add(thing.id).add(thing.name);
      for (const text of [exec, volume, task]) hidden.add(text);
      for (const { Id } of await engine<Listed[]>('GET',
        `/containers/json?filters=${encodeURIComponent(JSON.stringify({ label: [`com.docker.swarm.service.id=${s.id}`] }))}`)) hidden.add(Id);
    }
    const { JoinTokens, Version } = await engine<{ JoinTokens: { Worker: string; Manager: string }; Version: { Index: number } }>('GET',
      '/swarm');
    hidden.add(JoinTokens.Worker).add(JoinTokens.Manager);
    const [node] = await engine<{ ID: string; Version: { Index: number } }[]>('GET', '/nodes');

    await made('/api/v1/signing-keys', { name: 'release', account: 'acme', publicKeyPem });
    await made('/api/v1/environments', { name: 'lab', account: 'ann', cluster: 'local' });
    await made('/api/v1/signature-policies', { name: 'lab', environment: 'lab', mode: 'enforce', keys: ['release'] });
    // From here on the node's own tag lies about what is signed.
    raw.ok(['tag', images.unsigned, images.signed]);

    let count = 0;
    const call = as(ann);
    world = {
      registry, address, images, own, oldService: String(old['ID']), foreign, node: node!.ID, nodeVersion: node!.Version.Index,
        swarmVersion: Version.Index, token: admin.token!, forged: await (await makePki()).client('admin'),
      count: () => ++count,
      registryAuth: Buffer.from(JSON.stringify({ username: 'ann', password: 'ann has a long password',
        serveraddress: registry })).toString('base64url'),
      send: (bytes, who = ann, end = false) => exchange(to, { ...(who.cert === undefined ? {} : { cert: who.cert, key: who.key! }) }, bytes,
        end),
      call,
      async service(id) {
        const { Version: { Index }, Spec } = (await ok(call('GET', `${v}/services/${id}`))) as { Version: { Index: number }; Spec: Json };
        return { version: Index, spec: Spec };
      },
    };
    first = await view();
  }, 400_000);
  afterAll(async () => {
    raw?.remove();
    await gantry.remove();
    rmSync(scratch, { recursive: true, force: true });
  }, 120_000);

  // --- the controls: without them, an engine that is not there would pass

  it('lets the same person do the same things without the tricks', async () => {
    const before = await view();
    const { own, images, count, call } = world;
    const id = async (reply: Promise<Reply>): Promise<string> => {
      const answer = await ok(reply);
      return String(answer['Id'] ?? answer['ID'] ?? answer['Name']);
    };
    const made = await id(call('POST', `${v}/containers/create?name=tried-${count()}`, container(world)));
    const { Config, Image } = await engine<{ Config: { Image: string }; Image: string }>('GET', `/containers/${made}/json`);
    expect(Config.Image).toBe(`${images.signed.slice(0, images.signed.lastIndexOf(':'))}@${images.signedDigest}`);
    // What runs is what is signed, whatever the node calls by that tag.
    expect(Image).not.toBe(images.unsignedId);
    await ok(call('POST', `${v}/containers/${made}/rename?name=tried-${count()}`));
    await ok(call('POST', `${v}/containers/${made}/update`, { Memory: 100_000_000, MemorySwap: -1 }));
    await ok(call('DELETE', `${v}/containers/${made}`));
    const joined = await id(call('POST', `${v}/containers/create`, container(world, { HostConfig: { NetworkMode: own.network.name,
      Binds: [`${own.volume}:/x`], VolumesFrom: [] } })));
    await ok(call('DELETE', `${v}/containers/${joined}`));
    const file = { Name: 'x', UID: '0', GID: '0', Mode: 292 };
    const served = await id(call('POST', `${v}/services/create`, service(world, { Secrets: [{ File: file, SecretID: own.secret.id,
      SecretName: own.secret.name }], Configs: [{ File: file, ConfigID: own.config.id, ConfigName: own.config.name }],
      Mounts: [{ Type: 'volume', Source: own.volume, Target: '/x' }] })));
    const { version, spec } = await world.service(served);
    await ok(call('POST', `${v}/services/${served}/update?version=${version}`, { ...spec, Labels: { ...(spec['Labels'] as Json),
      a: 'b' } }));
    await ok(call('DELETE', `${v}/services/${served}`));
    for (const [kind, body] of [['volumes', {}], ['networks', {}], ['secrets', { Data: 'YQ==' }], ['configs', { Data: 'YQ==' }]] as const) {
      const one = await id(call('POST', `${v}/${kind}/create`, { Name: `tried-${count()}`, ...body }));
      await ok(call('DELETE', `${v}/${kind}/${one}`));
    }
    for (const path of [`/containers/${own.container.id}/json`, `/containers/${own.container.id}/top`, `/networks/${own.network.id}`,
      `/volumes/${own.volume}`, `/services/${own.service.id}`, `/secrets/${own.secret.id}`, `/exec/${own.exec}/json`,
      `/images/${images.unsigned}/json`]) await ok(call('GET', `${v}${path}`));
    const lists = await Promise.all(['containers/json?all=1', `events?since=1&until=${Math.floor(Date.now() / 1000)}`, 'services',
      'secrets', 'configs', 'networks', 'volumes'].map((path) => call('GET', `${v}/${path}`)));
    for (const [index, thing] of [own.container.id, own.container.id, own.service.id, own.secret.id, own.config.id, own.network.id,
      own.volume].entries()) expect(lists[index]!.body).toContain(thing);
    const pulled = await call('POST', `${v}/images/create?fromImage=${encodeURIComponent(images.unsigned)}`, undefined,
      { 'X-Registry-Auth': world.registryAuth });
    expect([pulled.status, pulled.body]).toEqual([200, expect.stringContaining(images.unsignedDigest)]);
    await eventually('nothing of it is left', async () => differences(before, await view()).length === 0, 20);
  });

  it('notices what the engine is made to do', async () => {
    const before = await view();
    const { Id } = await engine<Listed>('POST', '/containers/create', { ...container(world), Image: world.images.unsigned });
    await engine('POST', `/containers/${world.foreign[0]!.container.id}/rename?name=renamed`);
    const changed = differences(before, await view()).map((line) => line.slice(0, line.indexOf(':')));
    expect(changed).toEqual(expect.arrayContaining([`container ${Id}`, `container ${world.foreign[0]!.container.id}`]));
    await engine('POST', `/containers/${world.foreign[0]!.container.id}/rename?name=${world.foreign[0]!.container.name}`);
    await engine('DELETE', `/containers/${Id}`);
    expect(differences(before, await view())).toEqual([]);
  });

  // --- the attempts

  const isSuccess = ({ statuses }: Reply): boolean => statuses.some((status) => status === 101 || (status >= 200 && status < 300));
  const tell = (reply: Reply): string => `${reply.sent.slice(0, 600)} ⇒ ${reply.status} ${reply.body.slice(0, 300)}`;

  /** Hidden strings in a reply that were not in the request. The beginning of an id is as good as the whole. */
  function leaks({ sent, text, body }: Reply): string[] {
    const asked = `${sent}${sent.replace(/(?:%[0-9a-f]{2})+/gi, (text) => Buffer.from(text.replaceAll('%', ''), 'hex').toString('latin1'))}`;
    const told = (each: string): boolean => !asked.includes(each) && (body.includes(each) || text.includes(each));
    return [...hidden].filter((each) => told(each) || (/^[0-9a-z]{25,64}$/.test(each) && !asked.includes(each.slice(0,
      12)) && told(each.slice(0, 12))));
  }

  /** A reply in words in which hidden and missing things are called the same. */
  function alike(reply: Reply): string {
    const { status } = reply;
    // Lists of engines are in no order.
    const body = reply.body.startsWith('[') ? JSON.stringify((JSON.parse(reply.body) as unknown[]).map((each) => JSON.stringify(each)).sort()) : reply.body;
    const { hidden: image } = world.images;
    const things = [image, image.replace(/:[^:/]*$/, ':nothing'), ...world.foreign.flatMap(({ container: c, exec, network, volume, secret,
      config, service: s, task }) => [...[c, network, secret, config, s].flatMap(({ id, name }) => [id, name]), exec, volume, task])];
    return `${status} ${[...things, '0'.repeat(64), '0'.repeat(25), 'nothing'].reduce((text, each) => text.replaceAll(each, 'X'), body)}`;
  }

  it.each(names)('%s', async (name) => {
    const { attempt } = jest.requireActual<{ attempt?: Attempt }>(join(folder, name));
    if (!attempt) throw new Error(`test/bypass/${name} has no attempt`);
    const before = await view();
    const replies = await attempt.try(world).catch((error: Error) => {
      throw new Error(`${error.message}\n${gantry.printed.slice(-3_000)}\n${gantry.log().slice(-3_000)}`, { cause: error });
    });
    const after = await view();
    const changed = differences(before, after);
    if (changed.length > 0) await takeAway(before, after);
    expect(replies.length).toBeGreaterThan(0);
    expect({
      attempt: attempt.title,
      succeeded: attempt.harmless === undefined ? replies.filter(isSuccess).map(tell) : [],
      told: replies.flatMap((reply) => leaks(reply).map((each) => `${each} by ${tell(reply)}`)),
      differ: attempt.alike ? replies.flatMap((reply,
        index) => (index % 2 === 1 && alike(replies[index - 1]!) !== alike(reply) ? [`${tell(replies[index - 1]!)} and ${tell(reply)}`] : [])) : [],
      broken: replies.filter(({ body }) => body.includes('"internal error"')).map(tell),
      changed,
    }).toEqual({ attempt: attempt.title, succeeded: [], told: [], differ: [], broken: [], changed: [] });
  });

  it('has left the engine as it was', async () => {
    expect(differences(first, await view())).toEqual([]);
  });
});
