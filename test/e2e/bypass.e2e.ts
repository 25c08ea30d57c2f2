import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@gantry/platform/testing';
import { container, exchange, kitBuild, service, v, type Attempt, type Credentials, type Images, type Json, type Reply, type World } from '../bypass/book';
import { callEngine, makePki } from '../lab';
import { BuildClient, ControlClient } from '../lab/build-client';
import { differences, engineAt, removeSeen, viewEngine, type Listed, type View } from './engine-view';
import { DockerCli, Gantry, type Api } from './gantry';
import { bundleOf, ImageShop, makeThings, ok, settle, type Caller } from './seeds';

const folder = join(__dirname, '../bypass');
const names = readdirSync(folder).filter((name) => name !== 'book.ts').sort();

describe('the book of bypasses', () => {
  let gantry: Gantry;
  let admin: Api;
  let raw: DockerCli;
  let socket: string;
  let world: World;
  /** Strings that ann must not get to see. */
  const hidden = new Set<string>();
  let first: View;
  /** bob's, whose files are his. */
  let kit: BuildClient | undefined;
  let bobs: Caller;
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-bypass-'));
  const engine = <T = Json>(method: string, path: string, body?: unknown): Promise<T> => engineAt(socket)<T>(method, path, body);
  const view = (): Promise<View> => viewEngine(engine);
  const canary = (): string => {
    const text = `canary-${randomBytes(8).toString('hex')}`;
    hidden.add(text).add(Buffer.from(text).toString('base64'));
    return text;
  };

  /** Takes away what an attempt has made, so that the next one is judged by itself. */
  async function takeAway(before: View, after: View): Promise<void> {
    for (const key of after.keys()) if (!before.has(key)) await removeSeen(engine, key);
  }

  beforeAll(async () => {
    gantry = await Gantry.prepare({ flags: ['--no-sample'] });
    await gantry.start();
    const { registry, gateway } = gantry.ready!;
    socket = gantry.ready!.engine.replace('unix://', '');
    admin = await gantry.api('admin', gantry.adminPassword());
    raw = new DockerCli(gantry.ready!.engine);
    const shop = new ImageShop(raw, scratch);
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
      signed: `${web}:signed`, signedDigest: await shop.push(`${web}:signed`, 'signed'), unsigned: `${web}:one`,
        unsignedDigest: await shop.push(`${web}:one`, 'one'), unsignedId: raw.ok(['image', 'inspect', '-f', '{{.Id}}', `${web}:one`]),
      onNode: `${web}:only-here`, nameless: 'nameless-image:only-here', hidden: `${registry}/other/hidden-app:one`,
        hiddenDigest: await shop.push(`${registry}/other/hidden-app:one`, 'hidden'), hiddenId: raw.ok(['image', 'inspect', '-f', '{{.Id}}',
        `${registry}/other/hidden-app:one`]),
    };
    await shop.load(images.onNode, 'only here');
    await shop.load(images.nameless, 'only here, without a name');
    for (const text of ['hidden-app', 'nameless-image', images.hiddenDigest, images.hiddenId]) hidden.add(text);
    const publicKeyPem = await shop.sign(`${web}@${images.signedDigest}`);

    const anns = await gantry.api('ann', 'ann has a long password');
    const [ann, bob] = [await bundleOf(anns), await bundleOf(await gantry.api('bob', 'bob has a long password'))];
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

    const own = await makeThings('own', as(ann), images.unsigned, 0, canary);
    const old = await ok(as(ann)('POST', `${v}/services/create`, { Name: 'own-old',
      TaskTemplate: { ContainerSpec: { Image: images.unsigned } }, Mode: { Replicated: { Replicas: 0 } },
      EndpointSpec: { Mode: 'dnsrr' } }));
    hidden.clear(); // what is ann's own she may see
    for (const text of ['hidden-app', 'nameless-image', images.hiddenDigest, images.hiddenId]) hidden.add(text);
    const foreign = [await makeThings('raw', onSocket, images.unsigned, 1, canary), await makeThings('bob', as(bob), images.unsigned, 1, canary)];
    // Her service goes on to the signed image, so that its former spec is of the other one.
    const before = await engine<{ Version: { Index: number }; Spec: { TaskTemplate: { ContainerSpec: Json } } }>('GET',
      `/services/${own.service.id}`);
    before.Spec.TaskTemplate.ContainerSpec['Image'] = images.signed;
    await ok(as(ann)('POST', `${v}/services/${own.service.id}/update?version=${before.Version.Index}`, before.Spec));
    for (const each of [own, ...foreign]) await settle(engine, each);
    const takenPort = 30_080;
    const ported = { Name: 'raw-has-a-port', TaskTemplate: { ContainerSpec: { Image: images.unsigned } }, Mode: { Replicated: { Replicas: 0 } },
      EndpointSpec: { Mode: 'dnsrr', Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: takenPort, PublishMode: 'host' }] } };
    hidden.add(ported.Name).add((await engine<{ ID: string }>('POST', '/services/create', ported)).ID);
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
    bobs = as(bob);
    const secret = canary();
    world = {
      async foreignSession() {
        kit?.close();
        const session = randomBytes(12).toString('hex');
        ({ client: kit } = await BuildClient.open({ ...to, ...bob }, session, () => ({ Dockerfile: `FROM scratch\nLABEL secret=${secret}\nCOPY Dockerfile /\n` })));
        return session;
      },
      async build(folders, query = `networkmode=none&t=${encodeURIComponent(`${registry}/ann/kit:${++count}`)}`) {
        const session = randomBytes(12).toString('hex');
        const { status, client } = await BuildClient.open({ ...to, ...ann }, session, folders);
        try {
          expect(status).toBe('101');
          const has = (name: string): string => (new RegExp(`(?:^|&)${name}=`).test(query) ? '' : name);
          const rest = Object.entries({ version: '2', remote: 'client-session', session }).filter(([name]) => has(name)).map(([name, value]) => `&${name}=${value}`).join('');
          const reply = await call('POST', `${v}/build?${query}${rest}`);
          return { ...reply, sent: `${reply.sent}${Object.values(folders('dockerfile', 0)).join('\n')}` };
        } finally {
          client.close();
        }
      },
      async buildkit(asks, dockerfile = `FROM ${images.signed}\nCOPY Dockerfile /\n`) {
        const session = randomBytes(12).toString('hex');
        const { client } = await BuildClient.open({ ...to, ...ann }, session, () => ({ Dockerfile: dockerfile }));
        const { status, client: control } = await ControlClient.open({ ...to, ...ann });
        expect([status, control]).toEqual(['101', expect.any(ControlClient)]);
        try {
          const sent: { lasts: boolean; reply: Promise<Reply> }[] = [];
          for (const [path, message, build] of asks(session)) {
            const lasts = path === 'Control/Solve' || path === 'Control/Status';
            const reply = control!.ask(`/moby.buildkit.v1.${path}`, message, build).then((answer): Reply => {
              const [grpc, body] = [answer.status, `${answer.message}${answer.body.toString('latin1')}`];
              return { sent: `${path} ${message.toString('latin1')} ${build ?? ''} ${dockerfile}`, status: grpc === '0' ? 200 : 400, statuses: [grpc === '0' ? 200 : 400], headers: { 'grpc-status': grpc }, body, text: body };
            });
            sent.push({ lasts, reply });
            if (!lasts && path !== 'frontend.LLBBridge/Ping') await reply;
          }
          await Promise.all(sent.flatMap(({ lasts, reply }) => (lasts ? [] : [reply])));
          // What was announced is answered by now, on the same connection, or is not: nothing more comes after this.
          await control!.ask('/moby.buildkit.v1.Control/ListWorkers', Buffer.alloc(0));
          control!.close();
          return await Promise.all(sent.map(({ reply }) => reply));
        } finally {
          control!.close();
          client.close();
        }
      },
      registry, address, images, own, oldService: String(old['ID']), takenPort, foreign, node: node!.ID, nodeVersion: node!.Version.Index,
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
  }, 900_000);
  afterAll(async () => {
    kit?.close();
    raw?.remove();
    await gantry.remove();
    rmSync(scratch, { recursive: true, force: true });
  }, 300_000);

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
    // A volume that an update names first is hers from then on, whether or not anything has been started.
    const added = `tried-${count()}`;
    const present = await world.service(served);
    const { TaskTemplate } = present.spec as { TaskTemplate: { ContainerSpec: Json } };
    TaskTemplate.ContainerSpec['Mounts'] = [{ Type: 'volume', Source: added, Target: '/added' }];
    await ok(call('POST', `${v}/services/${served}/update?version=${present.version}`, present.spec));
    expect((await bobs('POST', `${v}/volumes/create`, { Name: added })).status).toBe(409);
    expect(await id(call('POST', `${v}/volumes/create`, { Name: added }))).toBe(added);
    await ok(call('DELETE', `${v}/services/${served}`));
    await ok(call('DELETE', `${v}/volumes/${added}`));
    // The engine makes volumes for what it then refuses: they are hers, to use and to remove.
    const twice = `tried-${count()}`;
    expect((await call('POST', `${v}/containers/create`, container(world, { HostConfig: { Binds: [`${twice}-a:/x`, `${twice}-b:/x`] } }))).status).toBe(400);
    const left = (await engine<{ Volumes: { Name: string }[] }>('GET', '/volumes')).Volumes.map(({ Name }) => Name).filter((name) => name.startsWith(twice));
    expect(left).not.toEqual([]);
    for (const name of left) {
      expect((await bobs('POST', `${v}/volumes/create`, { Name: name })).status).toBe(409);
      await ok(call('DELETE', `${v}/volumes/${name}`));
    }
    for (const [kind, body] of [['volumes', {}], ['networks', {}], ['secrets', { Data: 'YQ==' }], ['configs', { Data: 'YQ==' }]] as const) {
      const one = await id(call('POST', `${v}/${kind}/create`, { Name: `tried-${count()}`, ...body }));
      await ok(call('DELETE', `${v}/${kind}/${one}`));
    }
    for (const path of [`/containers/${own.container.id}/json`, `/containers/${own.container.id}/top`, `/networks/${own.network.id}`,
      `/volumes/${own.volume}`, `/services/${own.service.id}`, `/secrets/${own.secret.id}`, `/exec/${own.exec}/json`,
      `/images/${images.unsigned}/json`, `/images/${images.unsigned}/history`]) await ok(call('GET', `${v}${path}`));
    expect(JSON.parse((await call('GET', `${v}/containers/json?limit=1`)).body)).toEqual([expect.objectContaining({ Id: own.container.id })]);
    expect((await call('GET', `${v}/images/${'a'.repeat(300)}/json`)).status).toBe(404);
    const lists = await Promise.all(['containers/json?all=1', `events?since=1&until=${Math.floor(Date.now() / 1000)}`, 'services',
      'secrets', 'configs', 'networks', 'volumes'].map((path) => call('GET', `${v}/${path}`)));
    for (const [index, thing] of [own.container.id, own.container.id, own.service.id, own.secret.id, own.config.id, own.network.id,
      own.volume].entries()) expect(lists[index]!.body).toContain(thing);
    const pulled = await call('POST', `${v}/images/create?fromImage=${encodeURIComponent(images.unsigned)}`, undefined,
      { 'X-Registry-Auth': world.registryAuth });
    expect([pulled.status, pulled.body]).toEqual([200, expect.stringContaining(images.unsignedDigest)]);
    await eventually('nothing of it is left', async () => differences(before, await view()).length === 0);
  });

  it('builds from sessions', async () => {
    const before = await view();
    const { images } = world;
    const reply = await world.build(() => ({ Dockerfile: `FROM ${images.signed}\nCOPY Dockerfile /\n` }));
    expect([reply.status, reply.body]).toEqual([200, expect.stringContaining('moby.image.id')]);
    const after = await view();
    expect(differences(before, after)).not.toEqual([]);
    await takeAway(before, after);
    await eventually('nothing of it is left', async () => differences(before, await view()).length === 0);
    const name = `${world.registry}/ann/kit:own`;
    const replies = await world.buildkit((session) => kitBuild('own', session, name));
    expect(replies.map(({ status, body }) => [status, status === 200 ? '' : body])).toEqual([[200, ''], [200, ''], [200, '']]);
    expect(replies[0]!.body).toContain('containerimage.digest');
    const more = await view();
    expect(differences(before, more)).not.toEqual([]);
    await takeAway(before, more);
    await eventually('nothing of it is left', async () => differences(before, await view()).length === 0);
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
    const short = things.filter((each) => /^[0-9a-z]{25,64}$/.test(each)).map((each) => each.slice(0, 12));
    return `${status} ${[...things, ...short, '0'.repeat(64), '0'.repeat(25), '0'.repeat(12), 'nothing'].reduce((text, each) => text.replaceAll(each, 'X'), body)}`;
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
