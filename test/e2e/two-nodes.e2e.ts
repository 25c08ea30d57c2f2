import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { eventually } from '@gantry/platform/testing';
import { makePki, savedImage, startMachines, webImage, type LabMachines, type LabNode } from '../lab';
import { Api, DockerCli, freePorts, Gantry, type Answer } from './gantry';

/** The product's public names. Only the nodes' hosts files and this file's client know where they are. */
const apiName = 'gantry.test';
const registryName = 'registry.gantry.test';

interface Deployment {
  id: string;
  state: string;
  reason: { code: string; detail: string } | null;
}

interface PullCredential {
  username: string;
  password: string;
  serveraddress: string;
}

interface Call {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** HTTPS to one address under the public names, with one authority trusted and every certificate checked. */
class Https {
  constructor(private readonly address: string, private readonly ca: string) {}

  send(url: string, { method = 'GET', headers = {}, body }: Call = {}): Promise<{ status: number; headers: Headers; text: string }> {
    return new Promise((resolve, reject) => {
      const sent = request(url, {
        method, ca: this.ca, agent: false, timeout: 60_000,
        headers: { ...headers, 'content-length': String(Buffer.byteLength(body ?? '')) },
        lookup: (_name, { all }, found) => (all ? found(null, [{ address: this.address, family: 4 }]) : found(null, this.address, 4)),
      }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const received = new Headers();
          for (const [name, value] of Object.entries(answer.headers)) if (typeof value === 'string') received.set(name, value);
          resolve({ status: answer.statusCode ?? 0, headers: received, text: Buffer.concat(chunks).toString() });
        });
      });
      sent.on('timeout', () => sent.destroy(new Error(`${method} ${url}: no answer in 60 s`)));
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

/** The REST client over such a connection. */
class TlsApi extends Api {
  constructor(private readonly https: Https, base: string, token: string | null) {
    super(base, token);
  }

  override async send<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer<T>> {
    const answer = await this.https.send(`${this.base}${path}`, {
      method,
      headers: {
        ...(this.token === null ? {} : { authorization: `Bearer ${this.token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { ...answer, body: (/json/.test(answer.headers.get('content-type') ?? '') ? JSON.parse(answer.text) : answer.text) as T };
  }
}

/**
 * Stands between Gantry and an engine, mutual TLS on both sides, and keeps what Gantry says: the engine's API never shows a pull
 * credential again.
 */
interface Eavesdropper {
  port: number;
  /** Credentials by the name of the service that they were sent with, the newest last. */
  credentials: () => Map<string, PullCredential>;
  close: () => Promise<void>;
}

async function eavesdrop(lab: LabMachines, node: LabNode): Promise<Eavesdropper> {
  const own = await lab.pki.server('eavesdropper', [lab.uplink]);
  const heard: Buffer[][] = [];
  const server = createServer({ ...own, ca: lab.pki.ca, requestCert: true, rejectUnauthorized: true }, (from) => {
    const to = connect({ host: node.endpoint!.host, port: node.endpoint!.port, ca: lab.pki.ca, ...lab.client });
    const chunks: Buffer[] = [];
    heard.push(chunks);
    from.on('data', (chunk: Buffer) => chunks.push(chunk));
    from.pipe(to).pipe(from);
    from.on('error', () => to.destroy());
    to.on('error', () => from.destroy());
    from.on('close', () => to.destroy());
    to.on('close', () => from.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, lab.uplink, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    credentials: () => {
      const found = new Map<string, PullCredential>();
      for (const chunks of heard) {
        // One connection carries several requests, one behind the other.
        const text = Buffer.concat(chunks).toString('latin1');
        for (const match of text.matchAll(/POST \/\S*\/services\/\S+ HTTP\/1\.1\r\n((?:[^\r\n]+\r\n)+)\r\n/g)) {
          const [head, fields = ''] = match;
          const begin = match.index + head.length;
          const field = (name: string): string => new RegExp(`^${name}: (.+)\r$`, 'im').exec(fields)?.[1] ?? '';
          const spec = JSON.parse(text.slice(begin, begin + Number(field('content-length')))) as { Name: string };
          found.set(spec.Name, JSON.parse(Buffer.from(field('x-registry-auth'), 'base64url').toString()) as PullCredential);
        }
      }
      return found;
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** A swarm of two nodes that are not this machine, as in production: engines over mutual TLS, the registry by its public name over TLS. */
describe('two nodes and TLS', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-two-'));
  let lab: LabMachines;
  let gantry: Gantry;
  let https: Https;
  let admin: TlsApi;
  let registry: string;
  let dockers: DockerCli[];
  let listener: Eavesdropper | null = null;
  let digest: string;

  beforeAll(async () => {
    lab = await startMachines({ dir: join(scratch, 'lab') });
    const { cert, key } = await lab.pki.server(apiName, [apiName, registryName]);
    const certFile = join(scratch, 'cert.pem');
    const keyFile = join(scratch, 'key.pem');
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key, { mode: 0o600 });
    const hosts = join(scratch, 'hosts');
    writeFileSync(hosts, `127.0.0.1 localhost\n${lab.uplink} ${apiName} ${registryName}\n`);
    for (const node of lab.nodes) await node.machine.run('mount', ['--bind', hosts, '/etc/hosts']);
    https = new Https(lab.uplink, lab.pki.ca);
    dockers = lab.nodes.map((node) => new DockerCli(`unix://${node.socketPath}`));

    const [http, registryPort] = await freePorts(2);
    registry = `${registryName}:${registryPort}`;
    lab.trustRegistry(registry, lab.pki.ca);
    gantry = await Gantry.prepare({
      flags: ['--no-sample'],
      env: {
        GANTRY_BIND: lab.uplink, GANTRY_HTTP_PORT: String(http), GANTRY_REGISTRY_PORT: String(registryPort),
        GANTRY_TLS_CERT_FILE: certFile, GANTRY_TLS_KEY_FILE: keyFile,
        GANTRY_PUBLIC_URL: `https://${apiName}:${http}`, GANTRY_REGISTRY_PUBLIC_HOST: registry,
      },
    });
    await gantry.start();
    admin = await signIn('admin', gantry.adminPassword());
  });
  afterAll(async () => {
    await gantry?.remove();
    await listener?.close();
    for (const docker of dockers ?? []) docker.remove();
    await lab?.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  const signIn = async (username: string, password: string): Promise<TlsApi> => {
    const session = await new TlsApi(https, gantry.ready!.http, null).post<{ token: string }>('/api/v1/sessions', { username, password });
    expect([session.status, session.body]).toEqual([201, expect.objectContaining({ token: expect.any(String) })]);
    return new TlsApi(https, gantry.ready!.http, session.body.token);
  };
  const deploy = async (compose?: string): Promise<Deployment> => {
    if (compose !== undefined) expect((await admin.post('/api/v1/applications/shop/revisions', { compose })).status).toBe(201);
    const { body: revisions } = await admin.get<{ items: { number: number }[] }>('/api/v1/applications/shop/revisions?limit=1');
    const revision = revisions.items[0]!.number;
    const started = await admin.post<Deployment>('/api/v1/deployments', { application: 'shop', environment: 'pair', revision });
    expect([started.status, started.body]).toEqual([202, expect.anything()]);
    return eventually('the deployment is finished', async () => {
      const { body } = await admin.get<Deployment>(`/api/v1/deployments/${started.body.id}`);
      return ['succeeded', 'failed', 'rolled-back', 'refused', 'cancelled', 'superseded'].includes(body.state) ? body : null;
    }, 240);
  };
  const page = (node: LabNode, port: number): Promise<string> =>
    eventually(`${node.name} answers`, async () => (await fetch(`http://${node.address}:${port}/`)).text(), 120);
  /** What runs on a node, by its own engine: the images of its containers. */
  const running = (docker: DockerCli): string[] =>
    docker.ok(['ps', '--no-trunc', '--format', '{{.Image}}']).split('\n').filter(Boolean).sort();

  const web = (more = ''): string => `  web:
    image: acme/web:1.0
    ports: [{ target: 8080, published: 8080, mode: host }]
    deploy:
      replicas: 2
      endpoint_mode: dnsrr
      placement: { max_replicas_per_node: 1 }
      restart_policy: { delay: 200ms }
${more}`;
  const guest = `  guest:
    image: acme/web:1.0
    ports: [{ target: 8080, published: 8090, mode: host }]
    deploy: { mode: global, endpoint_mode: dnsrr, restart_policy: { delay: 200ms } }
`;

  /** A registry token for credentials, as an engine asks for it; null when they are refused. */
  const tokenFor = async ({ username, password }: PullCredential, scope = 'repository:acme/web:pull'): Promise<string | null> => {
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    const url = `https://${registry}/auth/token?service=gantry-registry&scope=${scope}`;
    const answer = await https.send(url, { headers: { authorization } });
    if (answer.status === 401) return null;
    expect(answer.status).toBe(200);
    return (JSON.parse(answer.text) as { token: string }).token;
  };
  const manifest = async (token: string, repository = 'acme/web', reference = digest): Promise<number> => {
    const headers = { authorization: `Bearer ${token}`, accept: 'application/vnd.oci.image.manifest.v1+json' };
    return (await https.send(`https://${registry}/v2/${repository}/manifests/${reference}`, { headers })).status;
  };

  it('registers the swarm over mutual TLS, and only with a certificate that its engines trust', async () => {
    const stranger = await makePki();
    const { endpoint, address } = lab.nodes[0]!;
    for (const wrong of [await stranger.client('gantry'), { ca: stranger.ca }]) {
      const refused = await admin.post<{ code: string }>('/api/v1/clusters', { name: 'pair', endpoint: { ...endpoint, ...wrong } });
      expect([refused.status, refused.body.code]).toEqual([422, 'clusters.tls-failed']);
    }
    const made = await admin.post('/api/v1/clusters', { name: 'pair', endpoint });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ state: 'ready', nodeCount: 2, stateDetail: '' });
    expect(made.body['endpoint']).toEqual({ kind: 'tls', host: address, port: 2376 });
  });

  it('takes a push by its public name over TLS, and signs what was pushed', async () => {
    expect((await admin.post('/api/v1/organizations', { name: 'acme' })).status).toBe(201);
    expect((await admin.post('/api/v1/users', { name: 'ann', password: 'ann has a long password' })).status).toBe(201);
    expect((await admin.send('PUT', '/api/v1/organizations/acme/members/ann', { role: 'admin' })).status).toBe(200);
    for (const name of ['web', 'other']) expect((await admin.post('/api/v1/repositories', { namespace: 'acme', name })).status).toBe(201);
    const file = join(scratch, 'image.tar');
    const [docker] = dockers as [DockerCli];
    docker.ok(['login', '-u', 'ann', '--password-stdin', registry], { input: 'ann has a long password' });
    for (const name of ['web', 'other']) {
      const reference = `${registry}/acme/${name}:1.0`;
      writeFileSync(file, await savedImage(await webImage({ version: 'one' }), reference));
      docker.ok(['load', '-q', '-i', file]);
      digest = /digest: (sha256:[0-9a-f]{64})/.exec(docker.ok(['push', reference]))![1]!;
      docker.ok(['rmi', reference]);
    }
    docker.ok(['logout', registry]);
    const signed = await admin.post('/api/v1/signing-keys', { name: 'release', account: 'acme', generate: true });
    expect(signed.status).toBe(201);
    const signature = await admin.post('/api/v1/signing-keys/release/signatures', { repository: 'acme/web', digest });
    expect([signature.status, signature.body]).toEqual([201, expect.objectContaining({ digest })]);
  });

  it('runs a signed image on both nodes, neither of which had it, pinned by digest', async () => {
    expect((await admin.post('/api/v1/environments', { name: 'pair', account: 'acme', cluster: 'pair' })).status).toBe(201);
    const policy = { name: 'pair', environment: 'pair', mode: 'enforce', keys: ['release'] };
    expect((await admin.post('/api/v1/signature-policies', policy)).status).toBe(201);
    expect((await admin.post('/api/v1/applications', { name: 'shop', account: 'acme', compose: `services:\n${web()}` })).status).toBe(201);
    for (const docker of dockers) expect(docker.ok(['images', '-q'])).toBe('');
    expect(await deploy()).toMatchObject({ state: 'succeeded', reason: null });

    const [manager] = dockers as [DockerCli];
    const pinned = expect.stringMatching(new RegExp(`^${registry.replaceAll('.', '\\.')}/acme/web(:1\\.0)?@${digest}$`)) as string;
    expect(manager.ok(['service', 'inspect', 'shop-pair_web', '--format', '{{.Spec.TaskTemplate.ContainerSpec.Image}}'])).toEqual(pinned);
    const tasks = manager.ok(['service', 'ps', 'shop-pair_web', '--format', '{{.Node}} {{.DesiredState}}']).split('\n').sort();
    expect(tasks).toEqual(['node1 Running', 'node2 Running']);
    for (const docker of dockers) {
      expect(running(docker)).toEqual([pinned]);
      expect(docker.ok(['images', '--digests', '--format', '{{.Repository}} {{.Digest}}'])).toBe(`${registry}/acme/web ${digest}`);
    }
    for (const node of lab.nodes) expect(await page(node, 8080)).toBe('one\n');
    // From a task on one node to the task on the other, by the service's name, through the overlay.
    const container = dockers[1]!.ok(['ps', '-q']);
    const inside = (...argv: string[]): string => dockers[1]!.ok(['exec', container, '/bin/busybox', ...argv]);
    const addresses = await eventually('both tasks have a name', () => {
      const found = inside('nslookup', 'web.', '127.0.0.11').match(/(?<=Address(?: \d)?: )10[\d.]+/g) ?? [];
      return found.length === 2 ? found : null;
    }, 120);
    // A name may be known before the way to it is.
    for (const address of addresses) expect(await eventually(`${address} answers`, () => inside('timeout', '20', '/bin/busybox', 'wget', '-qO-', `http://${address}:8080/`), 60)).toBe('one');
  });

  it('gives each service a pull credential of its own, which is no person’s and is good for nothing else', async () => {
    listener = await eavesdrop(lab, lab.nodes[0]!);
    const before = await admin.get<{ version: number }>('/api/v1/clusters/pair');
    const endpoint = { ...lab.nodes[0]!.endpoint, host: lab.uplink, port: listener.port };
    const moved = await admin.send('PATCH', '/api/v1/clusters/pair', { endpoint }, { 'if-match': before.headers.get('etag')! });
    expect([moved.status, moved.body]).toEqual([200, expect.objectContaining({ state: 'ready' })]);
    expect(await deploy(`services:\n${web('    labels: { again: "yes" }\n')}${guest}`)).toMatchObject({ state: 'succeeded', reason: null });
    for (const docker of dockers) expect(running(docker)).toHaveLength(2);
    for (const node of lab.nodes) expect(await page(node, 8090)).toBe('one\n');

    const credentials = listener.credentials();
    expect([...credentials.keys()].sort()).toEqual(['shop-pair_guest', 'shop-pair_web']);
    const [first, second] = [...credentials.values()] as [PullCredential, PullCredential];
    expect(first.username).not.toBe(second.username);
    expect(first.password).not.toBe(second.password);
    const people = (await admin.get<{ items: { name: string }[] }>('/api/v1/users?limit=200')).body.items.map(({ name }) => name);
    expect(people).toEqual(expect.arrayContaining(['admin', 'ann']));
    const audit = JSON.stringify((await admin.get('/api/v1/audit?limit=200')).body);
    for (const credential of [first, second]) {
      expect(credential.username).toMatch(/^service-/);
      expect(credential.serveraddress).toBe(registry);
      expect(people).not.toContain(credential.username);
      const token = await tokenFor(credential);
      expect(await manifest(token!)).toBe(200);
      // A neighbour's repository, a push, and the REST API are closed to it.
      expect(await manifest((await tokenFor(credential, 'repository:acme/other:pull'))!, 'acme/other')).toBe(401);
      const authorization = `Bearer ${await tokenFor(credential, 'repository:acme/web:pull,push')}`;
      const push = await https.send(`https://${registry}/v2/acme/web/blobs/uploads/`, { method: 'POST', headers: { authorization } });
      expect([push.status, push.text]).toEqual([401, expect.stringContaining('DENIED')]);
      expect((await new TlsApi(https, gantry.ready!.http, credential.password).get('/api/v1/me')).status).toBe(401);
      const { username, password } = credential;
      expect((await new TlsApi(https, gantry.ready!.http, null).post('/api/v1/sessions', { username, password })).status).toBe(401);
      expect(audit).toContain(credential.username);
      expect(audit).not.toContain(credential.password);
      expect(gantry.log()).not.toContain(credential.password);
    }
    const made = await admin.get<{ items: { resourceName: string }[] }>('/api/v1/audit?action=service-credential.create');
    expect(made.body.items.map(({ resourceName }) => resourceName).sort()).toEqual([first.username, second.username].sort());
  });

  it('ends a credential, and the registry tokens made with it, when its service goes', async () => {
    const credentials = listener!.credentials();
    const ofWeb = credentials.get('shop-pair_web')!;
    const ofGuest = credentials.get('shop-pair_guest')!;
    const pull = (docker: DockerCli, { username, password }: PullCredential): { code: number | null; stderr: string } => {
      docker.run(['login', '-u', username, '--password-stdin', registry], { input: password });
      // By tag: what an engine knows by digest, it does not ask for again.
      const result = docker.run(['pull', '-q', `${registry}/acme/web:1.0`]);
      docker.run(['logout', registry]);
      return result;
    };
    expect(pull(dockers[1]!, ofGuest).code).toBe(0);
    const token = (await tokenFor(ofGuest))!;
    expect(await manifest(token)).toBe(200);

    expect(await deploy(`services:\n${web()}`)).toMatchObject({ state: 'succeeded' });
    expect(dockers[0]!.ok(['service', 'ls', '--format', '{{.Name}}'])).toBe('shop-pair_web');
    expect(await tokenFor(ofGuest)).toBeNull();
    expect(await manifest(token)).toBe(401);
    expect(pull(dockers[1]!, ofGuest)).toMatchObject({ code: 1, stderr: expect.stringMatching(/denied|unauthorized|no basic auth/i) });
    expect(await manifest((await tokenFor(ofWeb))!)).toBe(200);

    // Removed on the engine, behind Gantry's back.
    dockers[0]!.ok(['service', 'rm', 'shop-pair_web']);
    await eventually('the credential of the removed service is refused', async () => (await tokenFor(ofWeb)) === null, 60);
    const revoked = await admin.get<{ items: { resourceName: string }[] }>('/api/v1/audit?action=service-credential.revoke');
    expect(revoked.body.items.map(({ resourceName }) => resourceName)).toEqual(expect.arrayContaining([ofWeb.username, ofGuest.username]));
  });

  it('runs what is deployed on the nodes on which its account may schedule, and on no other', async () => {
    expect((await admin.post('/api/v1/collections', { name: 'edge', parent: '/' })).status).toBe(201);
    const { body: { items: nodes } } = await admin.get<{ items: { id: string; hostname: string }[] }>('/api/v1/clusters/pair/nodes');
    const edge = nodes.find(({ hostname }) => hostname === 'node2')!;
    expect((await admin.send('PUT', `/api/v1/clusters/pair/nodes/${edge.id}/collection`, { collection: '/edge' })).status).toBe(200);
    expect(await deploy(`services:\n${guest}`)).toMatchObject({ state: 'succeeded', reason: null });
    const where = (): string[] => dockers[0]!.ok(['service', 'ps', '--filter', 'desired-state=running', '--format', '{{.Node}}', 'shop-pair_guest']).split('\n').sort();
    // A node stops what the swarm has taken away in its own time.
    await eventually('node2 has stopped what it ran', () => running(dockers[1]!).length === 0);
    expect([where(), running(dockers[1]!)]).toEqual([['node1'], []]);
    expect((await admin.post('/api/v1/grants', { subject: 'acme', role: 'scheduler', collection: '/edge' })).status).toBe(201);
    expect(await deploy()).toMatchObject({ state: 'succeeded', reason: null });
    expect([where(), running(dockers[1]!)]).toEqual([['node1', 'node2'], [expect.stringContaining(digest)]]);
  });

  it('registers no swarm of two nodes while the registry’s public host is a loopback address', async () => {
    await gantry.stop();
    await gantry.start({ GANTRY_REGISTRY_PUBLIC_HOST: registry.replace(registryName, '127.0.0.1') });
    admin = await signIn('admin', gantry.adminPassword());
    const { endpoint } = lab.nodes[0]!;
    const refused = await admin.post<{ code: string; detail: string }>('/api/v1/clusters', { name: 'again', endpoint });
    expect([refused.status, refused.body.code]).toEqual([422, 'clusters.registry-unreachable']);
    expect(refused.body.detail).toContain('GANTRY_REGISTRY_PUBLIC_HOST');
  });
});
