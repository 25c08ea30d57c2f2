import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { eventually } from '@gantry/platform/testing';
import { callEngine, savedImage, webImage } from '../lab';
import { catchUp, DockerCli, Gantry, run, type Api } from './gantry';

interface Certificate {
  id: string;
}

/** A person with a client bundle: the stock CLI, told where to go by nothing but the bundle's files. */
class Bundle {
  readonly folder = mkdtempSync(join(tmpdir(), 'gantry-bundle-'));
  readonly config = mkdtempSync(join(tmpdir(), 'gantry-docker-'));
  readonly env: Record<string, string>;

  private constructor(zip: Buffer, host: string) {
    for (const [name, bytes] of Object.entries(unzipSync(zip))) {
      const file = join(this.folder, name);
      mkdirSync(dirname(file), { recursive: true });
      if (!name.endsWith('/')) writeFileSync(file, bytes, { mode: 0o600 });
    }
    this.env = { DOCKER_HOST: host, DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: this.folder, DOCKER_CONFIG: this.config };
  }

  static async of(api: Api, gantry: Gantry): Promise<Bundle> {
    await catchUp();
    const answer = await fetch(`${gantry.ready!.http}/api/v1/me/bundle`, { headers: { authorization: `Bearer ${api.token}` } });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/zip']);
    return new Bundle(Buffer.from(await answer.arrayBuffer()), gantry.ready!.gateway);
  }

  run(...argv: string[]): { code: number | null; stdout: string; stderr: string } {
    return run('docker', argv, { env: this.env });
  }

  ok(...argv: string[]): string {
    const result = this.run(...argv);
    if (result.code !== 0) throw new Error(`docker ${argv.join(' ')}: exit ${result.code}\n${result.stdout}${result.stderr}`);
    return result.stdout.trim();
  }

  /** What the CLI says where it fails. */
  refused(...argv: string[]): string {
    const result = this.run(...argv);
    expect([argv.join(' '), result.code]).not.toEqual([argv.join(' '), 0]);
    return result.stderr;
  }

  remove(): void {
    for (const folder of [this.folder, this.config]) rmSync(folder, { recursive: true, force: true });
  }
}

/** The engine's API behind the gateway, with the stock docker CLI and client bundles; the engine itself, on its own socket, is the oracle. */
describe('the engine gateway', () => {
  let gantry: Gantry;
  let admin: Api;
  let anns: Api;
  let raw: DockerCli;
  let ann: Bundle;
  let bob: Bundle;
  let boss: Bundle;
  let image: string;
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-gateway-'));

  beforeAll(async () => {
    gantry = await Gantry.prepare({ flags: ['--no-sample'], env: { GANTRY_AUDIT_ENGINE_READS: 'attach,copy' } });
    await gantry.start();
    admin = await gantry.api('admin', gantry.adminPassword());
    raw = new DockerCli(gantry.ready!.engine);
    const made = async (path: string, body: unknown): Promise<void> => {
      const { status, body: answer } = await admin.post(path, body);
      if (status !== 201) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`);
    };
    for (const name of ['ann', 'bob']) await made('/api/v1/users', { name, password: `${name} has a long password` });
    await made('/api/v1/organizations', { name: 'acme' });
    expect((await admin.send('PUT', '/api/v1/organizations/acme/members/ann', { role: 'member' })).status).toBe(200);
    await made('/api/v1/repositories', { namespace: 'acme', name: 'web' });
    await made('/api/v1/collections', { name: 'floor', parent: '/' });
    expect((await admin.send('PUT', '/api/v1/placements/cluster/local', { collection: '/floor' })).status).toBe(200);
    for (const subject of ['ann', 'bob']) await made('/api/v1/grants', { subject, role: 'viewonly', collection: '/floor' });
    image = `${gantry.ready!.registry}/acme/web:one`;
    raw.ok(['login', '-u', 'admin', '--password-stdin', gantry.ready!.registry], { input: gantry.adminPassword() });
    const file = join(scratch, 'image.tar');
    writeFileSync(file, await savedImage(await webImage({ version: 'one', behaviour: 'ok' }), image));
    raw.ok(['load', '-q', '-i', file]);
    raw.ok(['push', image]);
    raw.ok(['run', '-d', '--name', 'raw', '--network', 'none', image]);
    anns = await gantry.api('ann', 'ann has a long password');
    ann = await Bundle.of(anns, gantry);
    bob = await Bundle.of(await gantry.api('bob', 'bob has a long password'), gantry);
    boss = await Bundle.of(admin, gantry);
    for (const [name, { env }] of [['ann', ann], ['bob', bob]] as const) {
      expect(run('docker', ['login', '-u', name, '--password-stdin', gantry.ready!.registry], { env, input: `${name} has a long password` }).stdout).toContain('Login Succeeded');
    }
  }, 600_000);
  afterAll(async () => {
    for (const bundle of [ann, bob, boss]) bundle?.remove();
    raw?.remove();
    await gantry.remove();
    rmSync(scratch, { recursive: true, force: true });
  }, 300_000);

  const names = (text: string): string[] => text.split('\n').filter(Boolean).sort();
  /** Engines tell mounts in any order. */
  const sorted = <T>(items: T): T => JSON.parse(JSON.stringify(items, (key, value: unknown) => (key === 'Mounts' && Array.isArray(value) ? value.map((each) => JSON.stringify(each)).sort() : value))) as T;
  const inspect = (name: string): unknown => sorted(JSON.parse(raw.ok(['inspect', name])));
  /** All containers, as the engine tells of them on its own socket. */
  const everything = async (): Promise<unknown> =>
    sorted((await callEngine<Record<string, unknown>[]>(gantry.ready!.engine.replace('unix://', ''), 'GET', '/v1.41/containers/json?all=1')).map((each) => ({ ...each, Status: '' })));

  it('lets a person work on what is theirs with the stock CLI', () => {
    expect(ann.ok('ps', '-aq')).toBe('');
    const id = ann.ok('run', '-d', '--name', 'web', '--network', 'none', image);
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(names(ann.ok('ps', '-a', '--format', '{{.Names}}'))).toEqual(['web']);
    const [seen] = inspect('web') as [{ Image: string; Config: { Image: string; Labels: Record<string, string> } }];
    expect(seen.Config.Image).toMatch(/\/acme\/web@sha256:[0-9a-f]{64}$/);
    expect(seen.Config.Labels).toMatchObject({ 'io.gantry.collection': '/Shared/Private/ann' });
    expect(ann.ok('inspect', '-f', '{{.State.Running}}', 'web')).toBe('true');
    expect(ann.ok('exec', 'web', '/bin/sh', '-c', 'echo $VERSION')).toBe('one');
    expect(run('docker', ['exec', '-i', 'web', '/bin/sh', '-c', 'read line; echo got $line'], { env: ann.env, input: 'a line\n' }).stdout).toBe('got a line\n');
    expect(ann.run('exec', 'web', '/bin/sh', '-c', 'exit 7').code).toBe(7);
    writeFileSync(join(scratch, 'note'), 'a note');
    ann.ok('cp', join(scratch, 'note'), 'web:/note');
    ann.ok('cp', 'web:/note', join(scratch, 'back'));
    ann.ok('logs', 'web');
    expect(run('cat', [join(scratch, 'back')]).stdout).toBe('a note');
    expect(ann.ok('top', 'web')).toContain('httpd');
    ann.ok('rename', 'web', 'site');
    expect(names(ann.ok('ps', '--format', '{{.Names}}'))).toEqual(['site']);
    ann.ok('stop', '-t', '0', 'site');
    ann.ok('start', 'site');
    ann.ok('kill', 'site');
    expect(ann.ok('wait', 'site')).toBe('137');
    ann.ok('rm', 'site');
    expect(names(raw.ok(['ps', '-a', '--format', '{{.Names}}']))).toEqual(['raw']);
  });

  it('tells of an engine what is one’s own', () => {
    const since = String(Math.floor(Date.now() / 1000) - 1);
    // It stays until it was told of: whose a thing was that is gone is soon forgotten.
    ann.ok('run', '--name', 'short', '--network', 'none', '--entrypoint', '/bin/true', image);
    raw.ok(['restart', '-t', '0', 'raw']);
    const events = (bundle: Bundle): string[] => names(bundle.ok('events', '--since', since, '--until', String(Math.floor(Date.now() / 1000) + 1), '--format', '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'));
    expect(events(boss)).toEqual(expect.arrayContaining(['container start raw', 'container start short']));
    // That a container of one's own was connected to the engine's network is told; that another was, is not.
    expect(events(ann).filter((line) => !line.endsWith(' short'))).toEqual(['network connect none', 'network disconnect none']);
    expect(events(ann)).toContain('container start short');
    expect(events(bob)).toEqual([]);
    ann.ok('rm', 'short');
    const facts = (bundle: Bundle): Record<string, unknown> => JSON.parse(bundle.ok('info', '--format', '{{json .}}')) as Record<string, unknown>;
    expect(facts(boss)).toMatchObject({ Containers: 1, Name: expect.stringMatching(/./) as unknown });
    expect(facts(ann)).toMatchObject({ Containers: 0, Name: '', ServerVersion: facts(boss)['ServerVersion'], Swarm: { LocalNodeState: 'active', ControlAvailable: true } });
    expect(JSON.parse(ann.ok('system', 'df', '-v', '--format', '{{json .}}'))).toMatchObject({ Containers: [], Volumes: [] });
  });

  it('keeps networks, volumes, secrets and configs apart too', () => {
    for (const kind of ['network', 'volume']) {
      ann.ok(kind, 'create', `anns-${kind}`);
      expect(names(ann.ok(kind, 'ls', '--format', '{{.Name}}'))).toContain(`anns-${kind}`);
      expect(names(bob.ok(kind, 'ls', '--format', '{{.Name}}'))).not.toContain(`anns-${kind}`);
      expect(bob.refused(kind, 'inspect', `anns-${kind}`)).toMatch(/not found|no such/i);
      expect(bob.refused(kind, 'rm', `anns-${kind}`)).toMatch(/not found|no such/i);
    }
    for (const kind of ['secret', 'config']) {
      writeFileSync(join(scratch, 'value'), 'a value');
      ann.ok(kind, 'create', `anns-${kind}`, join(scratch, 'value'));
      expect(names(bob.ok(kind, 'ls', '--format', '{{.Name}}'))).toEqual([]);
      expect(bob.refused(kind, 'rm', `anns-${kind}`)).toMatch(/not found|no such/i);
      ann.ok(kind, 'rm', `anns-${kind}`);
    }
    ann.ok('run', '-d', '--name', 'joined', '--network', 'anns-network', '-v', 'anns-volume:/data', '-v', 'fresh:/fresh', image);
    expect(names(ann.ok('volume', 'ls', '-q'))).toEqual(['anns-volume', 'fresh']);
    const before = inspect('joined');
    expect(bob.refused('run', '-d', '-v', 'anns-volume:/data', '--network', 'none', image)).toMatch(/no such|not found/i);
    expect(bob.refused('network', 'connect', 'anns-network', 'joined')).toMatch(/no such|not found/i);
    expect(inspect('joined')).toEqual(before);
    ann.ok('rm', '-f', 'joined');
    ann.ok('volume', 'rm', 'anns-volume', 'fresh');
    ann.ok('network', 'rm', 'anns-network');
  });

  it('pulls with the caller’s own sign-in, and runs services with a credential of their own', async () => {
    const service = ['service', 'create', '-q', '--detach', '--with-registry-auth', '--endpoint-mode', 'dnsrr', '--restart-condition', 'none'];
    ann.ok('pull', '-q', image);
    expect(ann.ok('images', '--format', '{{.Repository}}:{{.Tag}}')).toContain(image);
    expect(bob.ok('images', '-q')).toBe('');
    expect(bob.refused('pull', '-q', image)).toMatch(/No such image|denied|not found/i);
    ann.ok(...service, '--name', 'shop', '--replicas', '1', image);
    const [made] = await callEngine<[{ Spec: { TaskTemplate: { ContainerSpec: { Image: string } } } }]>(gantry.ready!.engine.replace('unix://', ''), 'GET', '/v1.41/services');
    expect(made.Spec.TaskTemplate.ContainerSpec.Image).toMatch(/\/acme\/web@sha256:[0-9a-f]{64}$/);
    await eventually('the task runs', () => ann.ok('service', 'ps', 'shop', '--format', '{{.CurrentState}}').startsWith('Running'), 120);
    expect(ann.ok('service', 'ls', '--format', '{{.Name}} {{.Replicas}}')).toBe('shop 1/1');
    expect(names(ann.ok('ps', '--format', '{{.Names}}'))).toEqual([expect.stringMatching(/^shop\.1\./)]);
    expect(bob.ok('service', 'ls', '-q') + bob.ok('ps', '-q')).toBe('');
    expect(bob.refused('service', 'rm', 'shop')).toContain('not found');
    expect(bob.refused('service', 'scale', '--detach', 'shop=0')).toContain('not found');
    expect(ann.refused('service', 'update', '--detach', '--mount-add', 'type=bind,source=/,target=/host', 'shop')).toContain('service:create:bind');
    expect(ann.refused('service', 'update', '--detach', '--image', 'alpine', 'shop')).toContain('is not from');
    for (const change of [['update', '--detach', '--env-add', 'A=1', 'shop'], ['rollback', '--detach', 'shop'], ['scale', '--detach', 'shop=0']]) {
      // What the swarm writes down of the change before makes another version of the service, also between the CLI's look at it and its change.
      await eventually(`service ${change[0]}`, () => {
        const { code, stdout, stderr } = ann.run('service', ...change);
        if (code !== 0 && !stderr.includes('out of sequence')) return { stdout, stderr };
        return code === 0;
      }, 60).then((outcome) => expect(outcome).toBe(true));
    }
    const credentials = async (): Promise<string[]> => (await admin.get<{ items: { action: string }[] }>('/api/v1/audit?limit=200')).body.items.map(({ action }) => action).filter((action) => action.startsWith('service-credential.'));
    expect(await credentials()).toEqual(['service-credential.create']);
    ann.ok('service', 'rm', 'shop');
    expect(await credentials()).toEqual(['service-credential.revoke', 'service-credential.create']);
  });

  it('deploys stacks', async () => {
    const file = join(scratch, 'stack.yml');
    writeFileSync(file, `version: "3.8"\nservices:\n  web:\n    image: ${image}\n    networks: [back]\n    configs: [note]\n    deploy: { replicas: 1, endpoint_mode: dnsrr }\nnetworks: { back: { driver: overlay } }\nconfigs: { note: { file: ${join(scratch, 'value')} } }\n`);
    ann.ok('stack', 'deploy', '--with-registry-auth', '-c', file, 'tower');
    ann.ok('stack', 'deploy', '--with-registry-auth', '-c', file, 'tower');
    expect(ann.ok('stack', 'services', 'tower', '--format', '{{.Name}}')).toBe('tower_web');
    expect(bob.ok('stack', 'ls', '--format', '{{.Name}}')).toBe('');
    // What is removed while its container is being made can leave that behind for a while.
    await eventually('the task runs', () => raw.ok(['ps', '--format', '{{.Names}}']).includes('tower_web.1.'), 120);
    ann.ok('stack', 'rm', 'tower');
    expect(raw.ok(['service', 'ls', '-q'])).toBe('');
    await eventually('the tasks are gone', () => raw.ok(['ps', '-a', '--format', '{{.Names}}']) === 'raw', 120);
  });

  it('says of what is hidden what it says of what is not there', async () => {
    const before = await everything();
    for (const [verb, ...rest] of [['inspect'], ['stop'], ['rm'], ['exec'], ['logs'], ['start'], ['kill'], ['export']] as const) {
      const tail = verb === 'exec' ? ['true'] : [];
      const hidden = ann.refused(verb, ...rest, 'raw', ...tail).replaceAll('raw', 'X');
      const missing = ann.refused(verb, ...rest, 'nothing', ...tail).replaceAll('nothing', 'X');
      expect(hidden).toBe(missing);
    }
    const [{ Id }] = inspect('raw') as [{ Id: string }];
    expect(ann.refused('inspect', Id.slice(0, 12))).toContain('No such');
    expect(ann.refused('run', '-d', '--name', 'raw', '--network', 'none', image)).not.toContain(Id.slice(0, 12));
    expect(await everything()).toEqual(before);
    expect(names(boss.ok('ps', '-a', '--format', '{{.Names}}'))).toEqual(['raw']);
  });

  it('refuses what reaches the host, and images that may not run', async () => {
    const before = await everything();
    const plain = ['run', '-d', '--network', 'none'];
    for (const flags of [['--privileged'], ['-v', '/:/host'], ['--mount', 'type=bind,source=/etc,target=/x'], ['--cap-add', 'SYS_ADMIN'], ['--pid', 'host'], ['--ipc', 'host'], ['--uts', 'host'], ['--device', '/dev/null'],
      ['--security-opt', 'seccomp=unconfined'], ['--cgroupns', 'host'], ['--runtime', 'other'], ['--volumes-from', 'raw'], ['--mount', 'type=volume,target=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/']]) {
      expect(ann.refused(...plain, ...flags, image)).toMatch(/container:create:|No such container/);
    }
    expect(ann.refused('run', '-d', '--network', 'host', image)).toContain('container:create:host-network');
    expect(ann.refused('run', '-d', '--network', 'container:raw', image)).toContain('No such container: raw');
    expect(ann.refused(...plain, 'alpine')).toContain('is not from');
    expect(ann.refused(...plain, raw.ok(['images', '-q', image]))).toContain('is not from');
    // bob may not pull it, though the node holds it.
    expect(bob.refused(...plain, image)).toMatch(/No such image|denied|not found/i);
    expect(ann.refused('swarm', 'leave', '--force')).toMatch(/not passed on/);
    expect(ann.refused('build', scratch)).not.toBe('');
    expect(await everything()).toEqual(before);
  });

  it('judges signatures by the policies that count where it would run', async () => {
    const made = async (path: string, body: unknown): Promise<void> => expect([(await admin.post(path, body)).status, path]).toEqual([201, path]);
    const publicKeyPem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString();
    await made('/api/v1/signing-keys', { name: 'release', account: 'acme', publicKeyPem });
    await made('/api/v1/environments', { name: 'lab', account: 'ann', cluster: 'local' });
    await made('/api/v1/signature-policies', { name: 'lab', environment: 'lab', mode: 'enforce', keys: ['release'] });
    const before = await everything();
    expect(ann.refused('run', '-d', '--network', 'none', image)).toContain('sign');
    expect(await everything()).toEqual(before);
    const [policy] = (await admin.get<{ items: { id: string; version: number }[] }>('/api/v1/signature-policies?environment=lab')).body.items;
    expect((await admin.send('DELETE', `/api/v1/signature-policies/${policy!.id}`, undefined, { 'if-match': `"${policy!.version}"` })).status).toBe(204);
    const runs = ['run', '--rm', '--network', 'none', '--entrypoint', '/bin/sh', image, '-c', 'echo runs'];
    expect(ann.ok(...runs)).toBe('runs');
    for (const [kind, id] of [['collection', '/Shared/Private'], ['repository', 'acme/web']] as const) {
      await made('/api/v1/signature-policies', { name: 'strict', [kind]: id, mode: 'enforce', keys: ['release'] });
      const listed = (await admin.get<{ items: Record<string, unknown>[] }>(`/api/v1/signature-policies?${kind}=${encodeURIComponent(id)}`)).body.items;
      expect(listed).toMatchObject([{ name: 'strict', environmentId: null, [`${kind}Id`]: expect.any(String) as string }]);
      expect(ann.refused(...runs)).toContain('sign');
      expect((await admin.send('DELETE', '/api/v1/signature-policies/strict', undefined, { 'if-match': '"1"' })).status).toBe(204);
    }
    expect((await admin.post('/api/v1/signature-policies', { name: 'both', environment: 'lab', repository: 'acme/web', mode: 'off', keys: [] })).status).toBe(400);
    expect(ann.ok(...runs)).toBe('runs');
  });

  it('prunes for each person what is theirs', () => {
    const made = (bundle: Bundle, owner: string): void => {
      bundle.ok('network', 'create', `${owner}-net`);
      bundle.ok('volume', 'create', `${owner}-volume`);
    };
    made(ann, 'anns');
    made(bob, 'bobs');
    raw.ok(['network', 'create', 'raw-net']);
    raw.ok(['volume', 'create', 'raw-volume']);
    ann.ok('create', '--name', 'anns-stopped', '--network', 'none', image);
    ann.ok('run', '-d', '--name', 'anns-running', '--network', 'none', '-v', 'anns-kept:/data', image);
    raw.ok(['create', '--name', 'raw-stopped', '--network', 'none', image]);
    const left = (): string[][] => [['ps', '-a', '--format', '{{.Names}}'], ['volume', 'ls', '-q'], ['network', 'ls', '--filter', 'type=custom', '--format', '{{.Name}}']].map((argv) => names(raw.ok(argv)));
    const [, volumes, networks] = left();
    const said = ann.ok('system', 'prune', '--volumes', '-f');
    for (const each of ['anns-net', 'anns-volume', 'Total reclaimed space']) expect(said).toContain(each);
    expect(said).not.toMatch(/raw-|bobs-|anns-kept/);
    expect(left()).toEqual([['anns-running', 'raw', 'raw-stopped'], volumes!.filter((each) => each !== 'anns-volume'), networks!.filter((each) => each !== 'anns-net')]);
    expect(raw.ok(['images', '-q', image])).not.toBe('');
    expect(bob.ok('volume', 'prune', '-f')).toContain('bobs-volume');
    expect(bob.ok('network', 'prune', '-f')).toContain('bobs-net');
    expect(left()).toEqual([['anns-running', 'raw', 'raw-stopped'], volumes!.filter((each) => !/^(?:ann|bob)s-volume$/.test(each)), networks!.filter((each) => !/^(?:ann|bob)s-net$/.test(each))]);
    ann.ok('rm', '-f', 'anns-running');
    ann.ok('volume', 'rm', 'anns-kept');
    for (const argv of [['rm', 'raw-stopped'], ['volume', 'rm', 'raw-volume'], ['network', 'rm', 'raw-net']]) raw.ok(argv);
  });

  it('ends what runs within 2 s of the certificate’s end', async () => {
    ann.ok('run', '-d', '--name', 'long', '--network', 'none', image);
    // A busy machine can only make it look slower than it is: the best of three counts.
    let fastest = Infinity;
    for (let round = 0; round < 3 && fastest >= 2_000; round += 1) {
      const bundle = await Bundle.of(anns, gantry);
      const child = spawn('docker', ['exec', '-i', 'long', '/bin/sh', '-c', 'echo begun; while read line; do echo $line; done'], { env: { ...process.env, ...bundle.env }, stdio: ['pipe', 'pipe', 'ignore'] });
      try {
        let out = '';
        child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
        await eventually('the exec runs', () => out.includes('begun'), 120);
        const { items } = (await anns.get<{ items: Certificate[] }>('/api/v1/me/certificates')).body;
        const began = performance.now();
        for (const { id } of items) expect((await anns.send('DELETE', `/api/v1/me/certificates/${id}`)).status).toBe(204);
        await eventually('the exec has ended', () => child.exitCode !== null, 120);
        fastest = Math.min(fastest, performance.now() - began);
        expect(bundle.refused('ps')).toContain('authentication required');
      } finally {
        child.kill('SIGKILL');
        bundle.remove();
      }
    }
    expect(fastest).toBeLessThan(2_000);
  });

  it('puts on record who did what', async () => {
    const rows = (await admin.get<{ items: { action: string; outcome: string; actorName: string; detail: Record<string, unknown> }[] }>('/api/v1/audit?limit=200')).body.items;
    const hers = (await admin.get<{ items: typeof rows }>('/api/v1/audit?limit=200&actor=ann')).body.items;
    const said = hers.map(({ action, outcome }) => `${action} ${outcome}`);
    for (const each of ['engine.container.create success', 'engine.container.create refused', 'engine.container.exec success', 'engine.container.remove success', 'engine.network.create success', 'certificate.revoke success']) expect(said).toContain(each);
    // Copies are put on record by this installation's settings, logs are not.
    expect(said).toContain('engine.container.filesystem-read success');
    expect(said.filter((each) => each.includes('logs'))).toEqual([]);
    expect(JSON.stringify([rows, hers])).not.toContain('a value');
  });

  it('asks the policies again when what was made before runs again', async () => {
    ann.remove();
    ann = await Bundle.of(anns, gantry);
    const plain = ['--network', 'none', image];
    for (const name of ['older', 'oldest']) ann.ok('run', '-d', '--name', name, ...plain);
    ann.ok('stop', '-t', '0', 'older');
    ann.ok('pause', 'oldest');
    ann.ok('service', 'create', '-q', '--detach', '--endpoint-mode', 'dnsrr', '--name', 'elder', '--replicas', '0', image);
    const { body } = await admin.post<{ id: string; version: number }>('/api/v1/signature-policies', { name: 'later', environment: 'lab', mode: 'enforce', keys: ['release'] });
    const before = [await everything(), inspect('elder')];
    for (const again of [['start', 'older'], ['restart', '-t', '0', 'older'], ['unpause', 'oldest'], ['restart', '-t', '0', 'oldest'], ['service', 'update', '--detach', '--force', 'elder'], ['service', 'scale', '--detach', 'elder=1']]) expect(ann.refused(...again)).toContain('sign');
    expect([await everything(), inspect('elder')]).toEqual(before);
    expect((await admin.send('DELETE', `/api/v1/signature-policies/${body.id}`, undefined, { 'if-match': `"${body.version}"` })).status).toBe(204);
    ann.ok('start', 'older');
    ann.ok('unpause', 'oldest');
    ann.ok('rm', '-f', 'older', 'oldest');
    ann.ok('service', 'rm', 'elder');
  });

  it('finds what appears beside it, stops it where that is asked for, and lets it go again', async () => {
    interface Finding { id: string; kind: string; name: string; state: string; engineId: string; done: string }
    const path = '/api/v1/clusters/local';
    const findings = async (): Promise<Finding[]> => (await admin.get<{ items: Finding[] }>(`${path}/findings?limit=200`)).body.items;
    const named = async (name: string): Promise<Finding | undefined> => (await findings()).find((each) => each.kind === 'container' && each.name === name);
    const watch = async (mode: string): Promise<void> => {
      const { version } = (await admin.get<{ version: number }>(path)).body;
      expect((await admin.send('PATCH', path, { watch: mode }, { 'if-match': `"${version}"` })).status).toBe(200);
    };
    const state = (name: string): string => raw.ok(['inspect', '-f', '{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}', name]);
    const always = ['run', '-d', '--restart', 'always', '--network', 'none'];
    ann.ok('run', '-d', '--name', 'mine', '--network', 'none', image);
    raw.ok([...always, '--name', 'stray', '--label', `io.gantry.claim=${crypto.randomUUID()}`, '--label', 'io.gantry.collection=/Shared/Private/ann', image]);
    const stray = await eventually('it is flagged', async () => {
      const found = await named('stray');
      return found?.state === 'flagged' ? found : null;
    }, 120);
    expect((await anns.get(`${path}/findings`)).status).toBe(403);
    expect((await anns.post(`${path}/findings/${stray.id}/adopt`, { collection: '/Shared/Private/ann' })).status).toBe(403);
    const known = await named('raw');
    expect((await admin.post<Finding>(`${path}/findings/${known!.id}/acknowledge`, { note: 'ours' })).body.state).toBe('acknowledged');
    const before = inspect('raw');
    await watch('quarantine');
    await eventually('it is stopped', async () => state('stray') === 'false no' && (await named('stray'))?.state === 'quarantined', 120);
    raw.ok(['start', 'stray']);
    await eventually('it is stopped again', () => state('stray') === 'false no', 120);
    expect([inspect('raw'), state('mine')]).toEqual([before, 'true no']);
    expect((await admin.post<Finding>(`${path}/findings/${stray.id}/release`)).status).toBe(202);
    await eventually('it runs as before', async () => state('stray') === 'true always' && (await named('stray'))?.state === 'acknowledged', 120);
    await watch('flag');
    expect((await admin.post<Finding>(`${path}/findings/${stray.id}/adopt`, { collection: '/Shared/Private/ann' })).body.state).toBe('owned');
    await eventually('it is ann’s', () => names(ann.ok('ps', '--format', '{{.Names}}')).includes('stray'), 120);
    ann.ok('rm', '-f', 'stray', 'mine');
    // Of all that people have done through the gateway up to here, nothing was taken for somebody else's. The image was loaded before it was pushed.
    const rows = (await admin.get<{ items: { detail: { name: string } }[] }>('/api/v1/audit?limit=200&action=cluster.finding')).body.items;
    expect([...new Set(rows.map(({ detail }) => detail.name))].filter((name) => !['raw', 'raw-net', 'raw-volume', 'stray', image].includes(name))).toEqual([]);
  }, 600_000);

  it('keeps what a person runs to the nodes on which that person may schedule', async () => {
    expect((await admin.post('/api/v1/collections', { name: 'metal', parent: '/' })).status).toBe(201);
    const [node] = (await admin.get<{ items: { id: string; collection: string | null }[] }>('/api/v1/clusters/local/nodes')).body.items;
    expect(node!.collection).toBeNull();
    const placed = `/api/v1/clusters/local/nodes/${node!.id}/collection`;
    expect((await anns.send('PUT', placed, { collection: '/Shared/Private/ann' })).status).toBe(403);
    expect(await admin.send('PUT', placed, { collection: '/metal' })).toMatchObject({ status: 200, body: { collection: { path: '/metal' } } });
    // Her former certificates have been revoked.
    ann.remove();
    ann = await Bundle.of(anns, gantry);
    const service = ['service', 'create', '-q', '--detach', '--endpoint-mode', 'dnsrr', '--replicas', '1', '--name', 'kept', image];
    const before = await everything();
    expect(ann.refused(...service)).toContain('node:schedule');
    expect(ann.refused('run', '-d', '--network', 'none', image)).toContain('node:schedule');
    expect([raw.ok(['service', 'ls', '-q']), await everything()]).toEqual(['', before]);
    const grant = { subject: 'ann', role: 'scheduler', collection: '/metal' };
    const { body: { id: granted } } = await admin.post<{ id: string }>('/api/v1/grants', grant);
    ann.ok('run', '-d', '--network', 'none', '--name', 'there', image);
    ann.ok('restart', '-t', '0', 'there');
    expect((await admin.send('DELETE', `/api/v1/grants/${granted}`)).status).toBe(204);
    await eventually('what is there is not begun again', () => ann.refused('restart', '-t', '0', 'there').includes('node:schedule'), 120);
    ann.ok('stop', '-t', '0', 'there');
    expect(ann.refused('start', 'there')).toContain('node:schedule');
    ann.ok('rm', 'there');
    expect((await admin.post('/api/v1/grants', grant)).status).toBe(201);
    ann.ok(...service);
    const constraints = (): string[] => JSON.parse(raw.ok(['service', 'inspect', '-f', '{{json .Spec.TaskTemplate.Placement.Constraints}}', 'kept'])) as string[];
    expect(constraints()).toEqual([expect.stringMatching(/^node\.labels\.io\.gantry\.nodes\.[0-9a-f]+==true$/)]);
    const [own] = constraints() as [string];
    expect(raw.ok(['node', 'inspect', '-f', '{{json .Spec.Labels}}', node!.id])).toContain(`"${own.slice('node.labels.'.length, -'==true'.length)}":"true"`);
    await eventually('the task runs', () => ann.ok('service', 'ps', 'kept', '--format', '{{.CurrentState}}').startsWith('Running'), 120);
    ann.ok('service', 'update', '--detach', '--constraint-rm', own, '--constraint-add', 'node.role==manager', 'kept');
    expect(constraints()).toEqual(['node.role==manager', own]);
    expect(ann.refused('service', 'update', '--detach', '--constraint-add', 'node.labels.io.gantry.nodes.x==true', 'kept')).toContain('come from Gantry');
    expect(bob.refused('service', 'create', '--detach', image)).not.toBe('');
    ann.ok('service', 'rm', 'kept');
  });

  it('shows what was deployed to an environment to those who may see that', async () => {
    expect((await admin.post('/api/v1/environments', { name: 'team', account: 'ann', cluster: 'local' })).status).toBe(201);
    const compose = 'services: { web: { image: "acme/web:one", deploy: { endpoint_mode: dnsrr, replicas: 0 } } }';
    expect((await admin.post('/api/v1/applications', { name: 'shop', account: 'ann', compose })).status).toBe(201);
    const { body: { id } } = await admin.post<{ id: string }>('/api/v1/deployments', { application: 'shop', environment: 'team' });
    await eventually('it is deployed', async () => (await admin.get<{ state: string }>(`/api/v1/deployments/${id}`)).body.state === 'succeeded', 120);
    const [service] = names(raw.ok(['service', 'ls', '--filter', 'label=com.docker.stack.namespace=shop-team', '--format', '{{.Name}}']));
    expect(names(ann.ok('service', 'ls', '--format', '{{.Name}}'))).toEqual([service]);
    expect(ann.refused('service', 'scale', '--detach', `${service}=1`)).toContain('deploy a release');
    expect([bob.ok('service', 'ls', '-q'), bob.refused('service', 'inspect', service!)]).toEqual(['', expect.stringContaining('no such service')]);
  }, 600_000);
});
