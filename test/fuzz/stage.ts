import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { eventually } from '@gantry/platform/testing';
import { exchange, v, type Json, type Things } from '../bypass/book';
import { engineAt, removeSeen, viewEngine, type EngineCall, type View } from '../e2e/engine-view';
import { DockerCli, Gantry, isAlive, type Api } from '../e2e/gantry';
import { bundleOf, ImageShop, makeThings, ok, settle, type Caller } from '../e2e/seeds';
import { callEngine } from '../lab';
import { Judge } from './judge';
import type { Account, Own, Pool } from './world';

/** The product with an engine, people of different rights, and things that are none of their business. */
export class Stage {
  readonly gantry: Gantry;
  /** What an account must not be told: ids and names of strangers' things, and where they keep secrets. */
  readonly hidden = new Set<string>();
  pool!: Pool;
  judge!: Judge;
  engine!: EngineCall;
  admin!: Account;
  /** By account, for those who come without their certificate. */
  readonly tokens = new Map<string, string>();
  private raw!: DockerCli;
  private api!: Api;
  private base!: View;
  /** Keys of what the accounts have had from the start. */
  private readonly kept = new Set<string>();
  private readonly scratch = mkdtempSync(join(tmpdir(), 'gantry-fuzz-'));

  private constructor(gantry: Gantry) {
    this.gantry = gantry;
  }

  static async open(): Promise<Stage> {
    const stage = new Stage(await Gantry.prepare({ flags: ['--no-sample'] }));
    try {
      await stage.build();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.raw?.remove();
    await this.gantry.remove();
    rmSync(this.scratch, { recursive: true, force: true });
  }

  /** The engine as it is; files that changed in containers only of what was there before the requests. What goes away while it is looked at is looked for again. */
  view(): Promise<View> {
    return eventually('a view of the engine', () => viewEngine(this.engine, (id) => this.base.has(`container ${id}`)), 60);
  }

  /** Waits until builds whose caller has gone have ended, and taken their containers with them. */
  async settle(): Promise<void> {
    let before = '';
    let since = Date.now();
    await eventually('nothing is made any more', async () => {
      const containers = await this.engine<{ Id: string; Labels: Record<string, string> | null }[]>('GET', '/containers/json?all=1');
      const images = await this.engine<{ Id: string }[]>('GET', '/images/json?all=1');
      const now = [...containers.filter(({ Labels }) => Labels?.['com.docker.swarm.task.id'] === undefined), ...images].map(({ Id }) => Id).sort().join();
      if (now !== before) since = Date.now();
      before = now;
      return Date.now() - since > 1_000;
    }, 60);
  }

  /** Takes away all that the requests have made, through the engine's own socket, and makes anew what they have removed. */
  async tidy(): Promise<void> {
    const order = ['container', 'service', 'network', 'volume', 'secret', 'config'];
    const isOld = (key: string): boolean => this.base.has(key) || this.kept.has(key) || !order.includes(key.split(' ')[0]!);
    let round = 0;
    await eventually('what was made is gone', async () => {
      const left = [...(await this.view())].filter(([key, value]) => !isOld(key) && !this.isOfTasks(key, value)).map(([key]) => key);
      round += 1;
      // What the accounts keep may use what they have made since: then it is made anew as well.
      if (round > 2) for (const { own } of this.pool.accounts) for (const key of own ? this.keysOf(own) : []) this.kept.delete(key);
      for (const kind of ['service', 'container', 'network', 'volume', 'secret', 'config']) {
        for (const key of left.filter((each) => each.startsWith(`${kind} `))) await removeSeen(this.engine, key).catch(() => undefined); // tried again
      }
      if (left.length > 0) throw new Error(left.join(', '));
      return true;
    }, 300);
    await this.tidyImages();
    const view = await this.view();
    for (const account of this.pool.accounts) if (account.own) await this.restore(account, view);
    this.pool.batch += 1;
  }

  /** Takes away the images that were made, and the names that were given. */
  private async tidyImages(): Promise<void> {
    await eventually('the images are gone', async () => {
      let left = 0;
      for (const { Id, RepoTags, RepoDigests } of await this.engine<{ Id: string; RepoTags: string[] | null; RepoDigests: string[] | null }[]>('GET', '/images/json?all=1')) {
        const names = [...(RepoTags ?? []), ...(RepoDigests ?? [])].filter((name) => this.pool.accounts.some(({ repository }) => name.startsWith(`${repository}:`) || name.startsWith(`${repository}@`)));
        for (const name of this.base.has(`image ${Id}`) ? names : [Id]) {
          left += 1;
          await this.engine('DELETE', `/images/${name}?force=1`).catch(() => undefined); // gone with another, or tried again
        }
      }
      if (left > 0) throw new Error(`${left} names of images`);
      return true;
    }, 120);
  }

  /** The tags of the repositories to which none of the accounts may push, with their digests. */
  async protectedTags(): Promise<string> {
    const tags = await Promise.all(['acme/web', 'other/hidden-app'].map(async (path) => (await this.api.get(`/api/v1/repositories/${path}/tags`)).body));
    return JSON.stringify(tags);
  }

  isUp(): boolean {
    return isAlive(this.gantry.pid);
  }

  /** Sockets that the product's process has open. */
  openSockets(): number {
    const folder = `/proc/${this.gantry.pid}/fd`;
    return readdirSync(folder).filter((fd) => {
      try {
        return readlinkSync(join(folder, fd)).startsWith('socket:');
      } catch {
        return false; // closed in the meantime
      }
    }).length;
  }

  /** Milliseconds for which the product's process has worked. */
  workedMillis(): number {
    const [user, system] = readFileSync(`/proc/${this.gantry.pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ').slice(11, 13);
    return (Number(user) + Number(system)) * 10;
  }

  /** Bytes of memory that the product's process holds. */
  residentBytes(): number {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.gantry.pid}/status`, 'utf8'))![1]) * 1024;
  }

  /** One plain request as an account. */
  ask(account: Account, method: string, target: string, body?: unknown): ReturnType<Caller> {
    return this.caller(account)(method, target, body);
  }

  private caller({ peer, token }: Pick<Account, 'peer' | 'token'>): Caller {
    return (method, target, body, headers = {}) => {
      const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body));
      const lines = { Host: `${peer.host}:${peer.port}`, Connection: 'close', 'Content-Length': String(bytes.length), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...(token === null ? {} : { Authorization: `Bearer ${token}` }), ...headers };
      const head = `${method} ${target} HTTP/1.1\r\n${Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
      return exchange(peer, peer.cert === undefined || peer.key === undefined ? {} : { cert: peer.cert, key: peer.key }, Buffer.concat([Buffer.from(head, 'latin1'), bytes]));
    };
  }

  /** The container of a task is swarm's, as long as its service is there. */
  private isOfTasks(key: string, value: string): boolean {
    return key.startsWith('container ') && this.kept.has(`service ${String((JSON.parse(value) as { Config: { Labels: Record<string, string> | null } }).Config.Labels?.['com.docker.swarm.service.id'] ?? '')}`);
  }

  private async build(): Promise<void> {
    const { gantry } = this;
    await gantry.start();
    const { registry, gateway, engine: engineUrl } = gantry.ready!;
    const socket = engineUrl.replace('unix://', '');
    this.engine = engineAt(socket);
    const admin = await gantry.api('admin', gantry.adminPassword());
    this.api = admin;
    this.raw = new DockerCli(engineUrl);
    const shop = new ImageShop(this.raw, this.scratch);
    const made = async (path: string, body: unknown): Promise<void> => {
      const { status, body: answer } = await admin.post(path, body);
      if (status !== 201) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
    };
    const put = async (path: string, body: unknown): Promise<void> => {
      const { status, body: answer } = await admin.send('PUT', path, body);
      if (status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
    };
    const people = ['nora', 'rita', 'sam', 'fay', 'bob'];
    for (const name of people) await made('/api/v1/users', { name, password: `${name} has a long password` });
    for (const name of ['acme', 'other']) await made('/api/v1/organizations', { name });
    for (const name of people.filter((each) => each !== 'nora')) await put(`/api/v1/organizations/acme/members/${name}`, { role: 'member' });
    await made('/api/v1/repositories', { namespace: 'acme', name: 'web' });
    await made('/api/v1/repositories', { namespace: 'other', name: 'hidden-app' });
    for (const name of people) await made('/api/v1/repositories', { namespace: name, name: 'own' });
    for (const [name, parent] of [['floor', '/'], ['shop', '/'], ['rita', '/shop'], ['fay', '/shop']]) await made('/api/v1/collections', { name, parent });
    await put('/api/v1/placements/cluster/local', { collection: '/floor' });
    for (const [subject, role, collection] of [['rita', 'viewonly', '/floor'], ['sam', 'viewonly', '/floor'], ['fay', 'viewonly', '/floor'], ['bob', 'viewonly', '/floor'], ['sam', 'scheduler', '/floor'], ['rita', 'restrictedcontrol', '/shop/rita'],
      ['fay', 'fullcontrol', '/shop/fay']]) await made('/api/v1/grants', { subject, role, collection });

    this.raw.ok(['login', '-u', 'admin', '--password-stdin', registry], { input: gantry.adminPassword() });
    const web = `${registry}/acme/web`;
    const signedDigest = await shop.push(`${web}:signed`, 'signed');
    const unsignedDigest = await shop.push(`${web}:one`, 'one');
    const hiddenDigest = await shop.push(`${registry}/other/hidden-app:one`, 'hidden');
    const idOf = (reference: string): string => this.raw.ok(['image', 'inspect', '-f', '{{.Id}}', reference]);
    const [signedId, unsignedId, hiddenId] = [`${web}:signed`, `${web}:one`, `${registry}/other/hidden-app:one`].map(idOf) as [string, string, string];
    await shop.load(`${web}:only-here`, 'only here');
    await shop.load('nameless-image:only-here', 'only here, without a name');
    const key = await shop.sign(`${web}@${signedDigest}`);
    await made('/api/v1/signing-keys', { name: 'release', account: 'acme', publicKeyPem: key });

    const { hostname: host, port } = new URL(gateway.replace('tcp:', 'http:'));
    const address = `${host}:${port}`;
    const canaryOf = (owner: string) => (): string => `canary-${owner}-${randomBytes(8).toString('hex')}`;
    const bob = await this.account('bob', `${host}:${port}`, true);
    const onSocket: Caller = async (method, target, body) => {
      const answer = await callEngine<unknown>(socket, method, target, body);
      return { sent: '', status: 200, statuses: [200], headers: {}, body: typeof answer === 'string' ? answer : JSON.stringify(answer), text: '' };
    };
    const foreign: Things[] = [await makeThings('raw', onSocket, `${web}:one`, 1, canaryOf('raw'), '10.213.1.0/24'), await makeThings('bob', this.caller(bob), `${web}:one`, 1, canaryOf('bob'))];
    for (const each of foreign) await settle(this.engine, each);
    for (const { container, network, secret, config, service, exec, volume, task } of foreign) {
      for (const { id, name } of [container, network, secret, config, service]) this.hidden.add(id.slice(0, 12)).add(name);
      this.hidden.add(exec.slice(0, 12)).add(volume).add(task);
    }
    for (const text of ['hidden-app', 'nameless-image', hiddenDigest.slice(7, 19), hiddenId.slice(7, 19)]) this.hidden.add(text);
    const { JoinTokens } = await this.engine<{ JoinTokens: { Worker: string; Manager: string } }>('GET', '/swarm');
    this.hidden.add(JoinTokens.Worker).add(JoinTokens.Manager);

    // From here on only what is signed may run, wherever it lies.
    await made('/api/v1/environments', { name: 'lab', account: 'acme', cluster: 'local' });
    await put('/api/v1/placements/environment/lab', { collection: '/' });
    await made('/api/v1/signature-policies', { name: 'lab', environment: 'lab', mode: 'enforce', keys: ['release'] });

    const { Id: plainId } = await this.engine<{ Id: string }>('POST', '/containers/create', { Image: `${web}:signed`, HostConfig: { NetworkMode: 'none' } });
    const plain = await this.engine('GET', `/containers/${plainId}/json`);
    await this.engine('DELETE', `/containers/${plainId}`);
    const [node] = await this.engine<{ ID: string }[]>('GET', '/nodes');
    const folder = join(this.scratch, 'host');
    this.base = await viewEngine(this.engine);

    const shared = (name: string): Record<string, boolean> => ({ [`/Shared/Private/${name}`]: false });
    const accounts: Account[] = [
      { ...(await this.account('nora', address, true)), collections: shared('nora') },
      { ...(await this.account('rita', address, true)), collections: { ...shared('rita'), '/shop/rita': false } },
      { ...(await this.account('sam', address, false)), collections: shared('sam') },
      { ...(await this.account('fay', address, true)), collections: { ...shared('fay'), '/shop/fay': true } },
    ];
    for (const { name } of accounts) mkdirSync(join(folder, name), { recursive: true });
    this.pool = {
      address, registry, node: node!.ID, foreign, accounts, host: { folder }, batch: 0, archive: await archive({ 'put-by-archive': 'x' }), contexts: await contexts(`${web}:signed`, `${web}:one`, `${registry}/other/hidden-app:one`),
      images: {
        signed: `${web}:signed`, signedDigest: `${web}@${signedDigest}`,
        others: [`${web}:one`, `${web}@${unsignedDigest}`, `${web}:only-here`, 'nameless-image:only-here', `${registry}/other/hidden-app:one`, `${registry}/other/hidden-app@${hiddenDigest}`, unsignedId, unsignedId.slice(7, 19), signedId, hiddenId,
          `${web}:one@${signedDigest}`, `${web}:signed@${unsignedDigest}`, `${registry}/acme/../acme/web:one`, `${registry}//acme/web:one`, `localhost:${registry.split(':')[1]}/acme/web:signed`, `${registry}/acme/web`, 'busybox', `${registry}/acme/nothing:one`],
      },
    };
    this.admin = { ...(await this.account('admin', address, false)), token: admin.token };
    this.judge = new Judge(this.pool, this.base, plain, { reference: `${web}@${signedDigest}`, id: signedId });
    for (const account of accounts.slice(1)) await this.restore(account, new Map());
  }

  /** What an account has to work with, where it is not there (any more). */
  private async restore(account: Account, view: View): Promise<void> {
    const { own } = account;
    const keys = own ? this.keysOf(own) : [];
    const restarted = own && (await this.engine<{ State: { Running: boolean; Paused: boolean } }>('GET', `/containers/${own.container.id}/json`).then(({ State }) => State.Running && !State.Paused, () => false));
    if (!own || !restarted || keys.some((key) => !view.has(key))) {
      for (const key of keys) {
        this.kept.delete(key);
        await removeSeen(this.engine, key).catch(() => undefined); // gone already
      }
      const call = this.caller(account);
      const canary = (): string => `canary-${account.name}-${randomBytes(8).toString('hex')}`;
      const things = await makeThings(account.name, call, this.pool.images.signed, 0, canary);
      let task = own?.task;
      if (task === undefined) {
        const { ID } = await ok(call('POST', `${v}/services/create`, { Name: `${account.name}-works`, TaskTemplate: { ContainerSpec: { Image: this.pool.images.signed } }, Mode: { Replicated: { Replicas: 1 } }, EndpointSpec: { Mode: 'dnsrr' } }));
        const service = { id: String(ID), name: '' };
        this.kept.add(`service ${service.id}`);
        const running = { ...things, service };
        await settle(this.engine, running);
        ({ task } = running);
      }
      account.own = { ...things, task, versions: {} };
      account.execs.length = 0;
      for (const key of this.keysOf(account.own)) this.kept.add(key);
    }
    // Something to push, and to take a name from.
    await this.engine('POST', `/images/${this.pool.images.signed}/tag?repo=${account.repository}&tag=kept`);
    await this.readVersions(account);
  }

  /** Reads what an update must tell. */
  async readVersions({ own }: Account): Promise<void> {
    if (!own) return;
    for (const kind of ['service', 'secret', 'config'] as const) {
      const answer = await this.engine<{ Version?: { Index: number } }>('GET', `/${kind}s/${own[kind].id}`).catch((): Json => ({}));
      own.versions[kind] = (answer as { Version?: { Index: number } }).Version?.Index ?? 1;
    }
  }

  private keysOf(own: Own): string[] {
    return [`container ${own.container.id}`, `network ${own.network.id}`, `volume ${own.volume}`, `secret ${own.secret.id}`, `config ${own.config.id}`, `service ${own.service.id}`];
  }

  private async account(name: string, address: string, withCertificate: boolean): Promise<Account> {
    const api = await this.gantry.api(name, name === 'admin' ? this.gantry.adminPassword() : `${name} has a long password`);
    const { ca, cert, key } = await bundleOf(api);
    this.tokens.set(name, api.token!);
    const [host = '', port] = address.split(':');
    const credentials = { username: name, password: name === 'admin' ? this.gantry.adminPassword() : `${name} has a long password`, serveraddress: this.gantry.ready!.registry };
    return { name, repository: `${this.gantry.ready!.registry}/${name}/own`, registryAuth: Buffer.from(JSON.stringify(credentials)).toString('base64url'), collections: {}, peer: { host, port: Number(port), ca, ...(withCertificate ? { cert, key } : {}) }, token: withCertificate ? null : api.token, own: null, execs: [] };
  }
}

/** Small files, which reach nothing wherever they are unpacked. */
async function archive(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name, mtime: new Date(0) }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** What is built: nothing of it runs anything, so that it is quick. */
async function contexts(signed: string, unsigned: string, hidden: string): Promise<Pool['contexts']> {
  const of = (...files: string[]): Promise<Buffer[]> => Promise.all(files.map((dockerfile) => archive({ note: 'a note', Dockerfile: dockerfile })));
  return {
    plain: await of('FROM scratch\nCOPY note /\n', `FROM ${signed}\nLABEL a=b\n`, `FROM ${signed} AS base\nFROM scratch\nCOPY --from=base / /\n`),
    tricky: [
      ...(await of(`FROM ${unsigned}\nLABEL a=b\n`, `FROM ${hidden}\n`, `ARG base=${hidden}\nFROM $base\n`, `FROM ${signed}\nCOPY --from=${hidden} / /hidden\n`, 'FROM scratch\nADD http://127.0.0.1:1/x /\n', `FROM sha256:${'0'.repeat(64)}\n`, 'FROM nameless-image:only-here\n',
        `# escape=\`\nFROM scratch\nCOPY note \`\n/\n`, `FROM ${signed}\nONBUILD RUN x\n`, 'from scratch\ncopy note /\nvolume /x\n', 'FROM scratch\n', 'RUN x\n', '', `FROM ${signed}\nFR\u017fOM ${hidden}\n`, `FROM scratch\nCOPY note /\nLABEL io.gantry.collection=/floor\n`)),
      await archive({ Dockerfile: `FROM ${hidden}\n`, './Dockerfile': 'FROM scratch\n' }), await archive({ 'x/../Dockerfile': `FROM ${hidden}\n` }), await archive({ note: 'no Dockerfile' }), Buffer.from('not an archive'), Buffer.alloc(0), Buffer.alloc(1024),
    ],
  };
}
