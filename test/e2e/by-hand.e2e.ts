import { createHmac, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@gantry/platform/testing';
import { COSIGN_PINS, findTool } from '@gantry/trust/testing';
import { savedImage, webImage, type Behaviour } from '../lab';
import { DockerCli, freePorts, Gantry, run, type Api } from './gantry';

interface Deployment {
  id: string;
  state: string;
  reason: { code: string; detail: string } | null;
}

/** What a developer and an operator do by hand, with the stock docker CLI, curl's protocol and real cosign. */
describe('the main job, by hand', () => {
  let gantry: Gantry;
  let admin: Api;
  let docker: DockerCli;
  let registry: string;
  let port: number;
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-hand-'));

  beforeAll(async () => {
    gantry = await Gantry.prepare({ flags: ['--no-sample'] });
    await gantry.start();
    admin = await gantry.api('admin', gantry.adminPassword());
    docker = new DockerCli(gantry.ready!.engine);
    registry = gantry.ready!.registry;
    [port] = (await freePorts(1)) as [number];
  });
  afterAll(async () => {
    docker.remove();
    await gantry.remove();
    rmSync(scratch, { recursive: true, force: true });
  });

  const load = async (tag: string, version: string, behaviour: Behaviour = 'ok'): Promise<void> => {
    const file = join(scratch, 'image.tar');
    writeFileSync(file, await savedImage(await webImage({ version, behaviour }), `${registry}/acme/web:${tag}`));
    docker.ok(['load', '-q', '-i', file]);
  };
  const push = (tag: string): string => {
    const out = docker.ok(['push', `${registry}/acme/web:${tag}`]);
    return /digest: (sha256:[0-9a-f]{64})/.exec(out)![1]!;
  };
  const finished = (id: string, api: Api = admin): Promise<Deployment> =>
    eventually('the deployment is finished', async () => {
      const { body } = await api.get<Deployment>(`/api/v1/deployments/${id}`);
      return ['succeeded', 'failed', 'rolled-back', 'refused', 'cancelled', 'superseded'].includes(body.state) ? body : null;
    }, 240);
  const page = (): Promise<string> => eventually('the page answers', async () => (await fetch(`http://127.0.0.1:${port}/`)).text());
  const cosignSign = async (digest: string, key: string): Promise<void> => {
    const tool = await findTool(COSIGN_PINS[0]!);
    if (!tool) throw new Error('cosign 2.5.0 is not in the archive any more; give the test another version');
    const env = { COSIGN_PASSWORD: '', DOCKER_CONFIG: docker.config, HOME: scratch };
    const signed = run(tool.path, ['sign', '--yes', '--tlog-upload=false', '--allow-http-registry', '--key', key, `${registry}/acme/web@${digest}`], { env });
    if (signed.code !== 0) throw new Error(`cosign: ${signed.stderr}`);
  };
  const cosignKey = async (name: string): Promise<{ key: string; publicPem: string }> => {
    const tool = await findTool(COSIGN_PINS[0]!);
    if (!tool) throw new Error('cosign 2.5.0 is not in the archive any more; give the test another version');
    const made = run(tool.path, ['generate-key-pair', '--output-key-prefix', join(scratch, name)], { env: { COSIGN_PASSWORD: '', HOME: scratch } });
    if (made.code !== 0) throw new Error(`cosign: ${made.stderr}`);
    return { key: join(scratch, `${name}.key`), publicPem: readFileSync(join(scratch, `${name}.pub`), 'utf8') };
  };
  let release: { key: string; publicPem: string };
  let first: string;

  it('an administrator makes organization, users and repository', async () => {
    for (const name of ['ann', 'eve']) expect((await admin.post('/api/v1/users', { name, password: `${name} has a long password` })).status).toBe(201);
    expect((await admin.post('/api/v1/organizations', { name: 'acme' })).status).toBe(201);
    expect((await admin.send('PUT', '/api/v1/organizations/acme/members/ann', { role: 'admin' })).status).toBe(200);
    const ann = await gantry.api('ann', 'ann has a long password');
    expect((await ann.post('/api/v1/repositories', { namespace: 'acme', name: 'web' })).status).toBe(201);
  });

  it('docker login, push and pull work for those who may, and are denied alike for those who may not', async () => {
    await load('1.0', 'one');
    docker.ok(['login', '-u', 'ann', '--password-stdin', registry], { input: 'ann has a long password' });
    first = push('1.0');
    docker.ok(['rmi', `${registry}/acme/web:1.0`]);
    expect(docker.ok(['pull', '-q', `${registry}/acme/web:1.0`])).toContain('acme/web:1.0');
    expect(docker.run(['login', '-u', 'ann', '--password-stdin', registry], { input: 'wrong' }).code).not.toBe(0);

    const eve = new DockerCli(gantry.ready!.engine);
    try {
      eve.ok(['login', '-u', 'eve', '--password-stdin', registry], { input: 'eve has a long password' });
      docker.ok(['tag', `${registry}/acme/web:1.0`, `${registry}/acme/nosuch:1.0`]);
      const words = (argv: string[]): string => {
        const result = eve.run(argv);
        expect(result.code).not.toBe(0);
        return result.stderr.trim().split('\n').at(-1)!.replace(/acme\/(web|nosuch)/g, 'acme/x');
      };
      const pulls = ['web', 'nosuch'].map((name) => words(['pull', `${registry}/acme/${name}:1.0`]));
      expect(pulls[0]).toMatch(/denied/);
      expect(pulls[0]).toBe(pulls[1]);
      const pushes = ['web', 'nosuch'].map((name) => words(['push', `${registry}/acme/${name}:1.0`]));
      expect(pushes[0]).toMatch(/denied/);
      expect(pushes[0]).toBe(pushes[1]);
    } finally {
      eve.remove();
    }
    const stranger = await gantry.api('eve', 'eve has a long password');
    const [known, unknown] = await Promise.all(['web', 'nosuch'].map((name) => stranger.get(`/api/v1/repositories/acme/${name}`)));
    expect([known!.status, unknown!.status]).toEqual([404, 404]);
    expect({ ...known!.body, instance: '' }).toEqual({ ...unknown!.body, instance: '' });
    expect((await stranger.get<{ items: unknown[] }>('/api/v1/repositories')).body.items).toEqual([]);
  });

  it('an unsigned image is refused by an enforcing environment, and nothing changes on the cluster', async () => {
    release = await cosignKey('release');
    expect((await admin.post('/api/v1/signing-keys', { name: 'release', account: 'acme', publicKeyPem: release.publicPem })).status).toBe(201);
    expect((await admin.post('/api/v1/environments', { name: 'prod', account: 'acme', cluster: 'local' })).status).toBe(201);
    expect((await admin.post('/api/v1/signature-policies', { name: 'prod', environment: 'prod', mode: 'enforce', keys: ['release'] })).status).toBe(201);
    const compose = `services:\n  web:\n    image: acme/web:1.0\n    ports:\n      - { target: 8080, published: ${port}, mode: host }\n    configs: [{ source: note, target: /note }]\n    secrets: [pass]\n    deploy:\n      endpoint_mode: dnsrr\n      restart_policy: { delay: 200ms }\n      update_config: { order: stop-first }\nconfigs:\n  note: { content: first }\nsecrets:\n  pass: {}\n`;
    const ann = await gantry.api('ann', 'ann has a long password');
    const created = await ann.post('/api/v1/applications', { name: 'shop', account: 'acme', compose });
    expect([created.status, created.body]).toEqual([201, expect.objectContaining({ name: 'shop' })]);
    expect((await ann.send('PUT', '/api/v1/applications/shop/secrets/pass', { environment: 'prod', value: 'hunter2-canary' })).status).toBe(200);
    const before = docker.ok(['service', 'ls', '-q']) + docker.ok(['network', 'ls', '-q']) + docker.ok(['config', 'ls', '-q']);
    const refused = await ann.post<{ code: string; detail: string }>('/api/v1/deployments', { application: 'shop', environment: 'prod' });
    if (refused.status === 202) expect((await finished((refused.body as unknown as Deployment).id)).reason?.code).toMatch(/NO_SIGNATURE|image-refused/);
    else expect([refused.status, JSON.stringify(refused.body)]).toEqual([422, expect.stringContaining('NO_SIGNATURE')]);
    expect(docker.ok(['service', 'ls', '-q']) + docker.ok(['network', 'ls', '-q']) + docker.ok(['config', 'ls', '-q'])).toBe(before);
  });

  it('signed by real cosign with the required key it runs, pinned by digest, and the stack commands show it', async () => {
    const wrong = await cosignKey('wrong');
    await cosignSign(first, wrong.key);
    const ann = await gantry.api('ann', 'ann has a long password');
    const plan = await ann.post<{ allowed: boolean; verdicts: { reason: string | null }[] }>('/api/v1/plans', { application: 'shop', environment: 'prod' });
    expect([plan.status, plan.body.allowed, plan.body.verdicts[0]?.reason]).toEqual([201, false, 'UNTRUSTED_KEY']);
    await cosignSign(first, release.key);
    const verdict = await ann.get<{ allowed: boolean }>(`/api/v1/images/acme/web/${first}/verdict?environment=prod`);
    expect([verdict.status, verdict.body.allowed]).toEqual([200, true]);

    const started = await ann.post<Deployment>('/api/v1/deployments', { application: 'shop', environment: 'prod' });
    expect(started.status).toBe(202);
    expect(started.headers.get('location')).toBe(`/api/v1/deployments/${started.body.id}`);
    // The stream ends by itself when the deployment does.
    const stream = await fetch(`${gantry.ready!.http}/api/v1/deployments/${started.body.id}/events`, { headers: { authorization: `Bearer ${ann.token}`, accept: 'text/event-stream' } });
    const text = await stream.text();
    expect(text).toMatch(/event: state\ndata: .*"succeeded"/);
    expect(text).toContain('"healthy"');
    expect(await page()).toBe('one\n');
    expect(docker.ok(['service', 'ls', '--format', '{{.Name}} {{.Image}}'])).toMatch(new RegExp(`^shop-prod_web .*acme/web.*@${first}$`));
    expect(docker.ok(['stack', 'ls', '--format', '{{.Name}} {{.Services}}'])).toBe('shop-prod 1');
    expect(docker.ok(['stack', 'ps', 'shop-prod', '--format', '{{.CurrentState}}'])).toMatch(/^Running/);
    const container = docker.ok(['ps', '-q']);
    expect(docker.ok(['exec', container, '/bin/busybox', 'cat', '/note', '/run/secrets/pass'])).toBe('firsthunter2-canary');
  });

  it('a webhook deploys once, whatever is repeated, and refuses what is not signed', async () => {
    await load('1.1', 'two');
    const digest = push('1.1');
    await cosignSign(digest, release.key);
    const made = await admin.post<{ id: string; secret: string; url: string }>('/api/v1/triggers', { application: 'shop', environment: 'prod' });
    expect(made.status).toBe(201);
    expect(JSON.stringify((await admin.get(`/api/v1/triggers/${made.body.id}`)).body)).not.toContain(made.body.secret);
    const api = await gantry.api();
    const call = (body: string, secret: string, delivery: string | null): ReturnType<Api['post']> =>
      api.send('POST', made.body.url, body, {
        'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
        ...(delivery === null ? {} : { 'x-gantry-delivery': delivery }),
      });
    const body = JSON.stringify({ repository: 'acme/web', tag: '1.1', digest });
    const delivery = randomUUID();
    expect((await call(body, 'not the secret', delivery)).status).toBe(401);
    expect((await call(body, made.body.secret, null)).status).toBe(400);
    const accepted = await call(body, made.body.secret, delivery);
    expect(accepted.status).toBe(202);
    const location = accepted.headers.get('location')!;
    const repeated = await call(body, made.body.secret, delivery);
    expect([repeated.status, repeated.headers.get('location')]).toEqual([200, location]);
    expect((await finished(location.split('/').at(-1)!)).state).toBe('succeeded');
    expect(await page()).toBe('two\n');
    const hub = JSON.stringify({ repository: { repo_name: 'acme/web' }, push_data: { tag: '1.0' } });
    const back = await call(hub, made.body.secret, randomUUID());
    expect(back.status).toBe(202);
    expect((await finished(back.headers.get('location')!.split('/').at(-1)!)).state).toBe('succeeded');
    expect(await page()).toBe('one\n');
    const audit = await admin.get<{ items: { action: string; outcome: string }[] }>('/api/v1/audit?limit=200');
    expect(audit.body.items).toEqual(expect.arrayContaining([expect.objectContaining({ action: 'trigger.receive', outcome: 'refused' })]));
  });

  it('an image that exits is rolled back by the previous release, with its config and secret, for the task’s own error', async () => {
    const before = JSON.parse(docker.ok(['service', 'inspect', 'shop-prod_web'])) as [{ ID: string; Spec: { TaskTemplate: { ContainerSpec: { Image: string; Configs: unknown; Secrets: unknown } } } }];
    await load('bad', 'three', 'exits');
    await cosignSign(push('bad'), release.key);
    const compose = (await admin.get<{ compose: string }>('/api/v1/applications/shop/revisions/1')).body.compose.replace('content: first', 'content: second');
    expect((await admin.post('/api/v1/applications/shop/revisions', { compose })).status).toBe(201);
    const started = await admin.post<Deployment>('/api/v1/deployments', { application: 'shop', environment: 'prod', images: { web: 'acme/web:bad' } });
    expect(started.status).toBe(202);
    const done = await finished(started.body.id);
    expect(done.state).toBe('rolled-back');
    expect(JSON.stringify(done.reason)).toMatch(/exit|non-zero/);
    const after = JSON.parse(docker.ok(['service', 'inspect', 'shop-prod_web'])) as typeof before;
    expect(after[0].ID).toBe(before[0].ID);
    expect(after[0].Spec.TaskTemplate.ContainerSpec).toEqual(before[0].Spec.TaskTemplate.ContainerSpec);
    expect(await page()).toBe('one\n');
  });

  it('a failed first deployment removes what it created', async () => {
    expect((await admin.post('/api/v1/environments', { name: 'stage', account: 'acme', cluster: 'local' })).status).toBe(201);
    const [other] = (await freePorts(1)) as [number];
    const compose = `services:\n  web:\n    image: acme/web:bad\n    ports: [{ target: 8080, published: ${other}, mode: host }]\n    configs: [{ source: note, target: /note }]\n    volumes: ["data:/data"]\n    deploy: { endpoint_mode: dnsrr, restart_policy: { delay: 100ms } }\nconfigs:\n  note: { content: x }\nvolumes:\n  data: {}\n`;
    expect((await admin.post('/api/v1/applications', { name: 'broken', account: 'acme', compose })).status).toBe(201);
    const started = await admin.post<Deployment>('/api/v1/deployments', { application: 'broken', environment: 'stage' });
    expect(started.status).toBe(202);
    const done = await finished(started.body.id);
    expect(['failed', 'rolled-back']).toContain(done.state);
    const label = 'label=com.docker.stack.namespace=broken-stage';
    expect(docker.ok(['service', 'ls', '-q', '--filter', label])).toBe('');
    expect(docker.ok(['config', 'ls', '-q', '--filter', label])).toBe('');
    await eventually('the network is gone', () => docker.ok(['network', 'ls', '-q', '--filter', label]) === '');
    expect(docker.ok(['volume', 'ls', '-q', '--filter', 'name=broken-stage_data'])).not.toBe('');
  });

  it('a push alone deploys where the application asks for it', async () => {
    const shop = await admin.get<{ version: number }>('/api/v1/applications/shop');
    const asked = await admin.send('PATCH', '/api/v1/applications/shop', { autoRedeploy: { environment: 'prod', repository: 'acme/web', tag: '2.*' } }, { 'if-match': shop.headers.get('etag')! });
    expect(asked.status).toBe(200);
    await load('2.0', 'auto');
    await cosignSign(push('2.0'), release.key);
    await eventually('the push is deployed', async () => (await (await fetch(`http://127.0.0.1:${port}/`)).text()) === 'auto\n', 180);
  });

  it('writes no secret into log or audit', async () => {
    const audit = JSON.stringify((await admin.get('/api/v1/audit?limit=200')).body);
    for (const canary of ['hunter2-canary', 'ann has a long password']) {
      expect(audit).not.toContain(canary);
      expect(gantry.log()).not.toContain(canary);
      expect(gantry.printed).not.toContain(canary);
    }
  });

  it('takes nothing of all that for what appeared without Gantry', async () => {
    // Images were loaded, tagged and built on the engine's own socket.
    const rows = (await admin.get<{ items: { detail: { kind: string; name: string } }[] }>('/api/v1/audit?limit=200&action=cluster.finding')).body.items;
    expect(rows.filter(({ detail }) => detail.kind !== 'image')).toEqual([]);
    const { items } = (await admin.get<{ items: { kind: string; state: string; reason: string }[] }>('/api/v1/clusters/local/findings?limit=200')).body;
    expect(items.filter(({ kind, state }) => kind !== 'image' && !['baseline', 'owned', 'gone'].includes(state))).toEqual([]);
  });
});
