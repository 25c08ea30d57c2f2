import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { eventually } from '@gantry/platform/testing';
import { callEngine } from '../lab';
import { bundleFiles, Client, furnish } from './client';
import { DockerCli, Gantry, run, type Api } from './gantry';

/** Other ways to the gateway than the stock CLI with a client bundle: tokens in place of certificates, docker-compose 1 (docker-py), dockerode. */
describe('clients of the engine gateway', () => {
  let gantry: Gantry;
  let raw: DockerCli;
  let ann: Api;
  let image: string;
  let files: Record<string, Uint8Array>;
  let password: (name: string) => string;
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-clients-'));
  const clients: Client[] = [];

  beforeAll(async () => {
    gantry = await Gantry.prepare({ flags: ['--no-sample'] });
    await gantry.start();
    raw = new DockerCli(gantry.ready!.engine);
    ({ ann, image, password } = await furnish(gantry, raw));
    files = await bundleFiles(ann);
    raw.ok(['run', '-d', '--name', 'raw', '--network', 'none', image]);
  }, 600_000);
  afterAll(async () => {
    for (const client of clients) client.remove();
    raw?.remove();
    await gantry.remove();
    rmSync(scratch, { recursive: true, force: true });
  }, 300_000);

  const client = (with_: Record<string, Uint8Array>, settings: object = {}): Client => {
    const made = new Client(gantry.ready!.gateway, with_, 'docker', settings);
    clients.push(made);
    return made;
  };
  const token = async (name: string): Promise<{ id: string; token: string }> => {
    const { status, body } = await ann.post<{ id: string; token: string }>('/api/v1/tokens', { name, expiresAt: new Date(Date.now() + 86_400_000).toISOString() });
    expect(status).toBe(201);
    return body;
  };
  const bearer = (text: string): object => ({ HttpHeaders: { Authorization: `Bearer ${text}` } });
  const containers = async (): Promise<string[]> =>
    (await callEngine<{ Names: string[] }[]>(gantry.ready!.engine.replace('unix://', ''), 'GET', '/v1.41/containers/json?all=1')).flatMap(({ Names }) => Names).sort();

  describe('the stock CLI with a token in its configuration', () => {
    it('works without a client certificate, and believes only the authority of the bundle', async () => {
      const { token: text } = await token('laptop');
      const ca = { 'ca.pem': files['ca.pem']! };
      const cli = client(ca, bearer(text));
      expect(cli.ok('ps', '-aq')).toBe('');
      cli.login(gantry.ready!.registry, 'ann', password('ann'));
      cli.ok('run', '-d', '--name', 'site', '--network', 'none', image);
      expect(cli.ok('ps', '--format', '{{.Names}}')).toBe('site');
      expect(cli.ok('exec', 'site', '/bin/sh', '-c', 'echo $VERSION')).toBe('one');
      expect(cli.run(['exec', '-i', 'site', '/bin/cat'], { input: 'a line\n' }).stdout).toBe('a line\n');
      // Another account has another view; none has none, whatever the certificate.
      expect(client(ca).refused('ps')).toContain('authentication required');
      expect(client(ca, bearer('gpat_wrong')).refused('ps')).toContain('authentication required');
      expect(client(files, bearer('gpat_wrong')).refused('ps')).toContain('authentication required');
      // The client's own authority for itself is not the gateway's: without ca.pem of the bundle nothing is believed.
      expect(client({ 'ca.pem': files['cert.pem']! }, bearer(text)).refused('ps')).toMatch(/x509|certificate/);
      cli.ok('rm', '-f', 'site');
    });

    it('is cut off within 2 s of the token’s end', async () => {
      const keeper = client(files);
      keeper.login(gantry.ready!.registry, 'ann', password('ann'));
      keeper.ok('run', '-d', '--name', 'talker', '--network', 'none', '--entrypoint', '/bin/sh', image, '-c', 'while true; do echo talk; sleep 1; done');
      // A busy machine can only make it look slower than it is: the best of three counts.
      let fastest = Infinity;
      for (let round = 0; round < 3 && fastest >= 2_000; round += 1) {
        const { id, token: text } = await token(`round-${round}`);
        const cli = client({ 'ca.pem': files['ca.pem']! }, bearer(text));
        const logs = cli.begin('logs', '-f', 'talker');
        try {
          await logs.says('talk');
          const began = performance.now();
          expect((await ann.send('DELETE', `/api/v1/tokens/${id}`)).status).toBe(204);
          await logs.ended();
          fastest = Math.min(fastest, performance.now() - began);
          expect(cli.refused('ps')).toContain('authentication required');
        } finally {
          logs.kill();
        }
      }
      expect(fastest).toBeLessThan(2_000);
      keeper.ok('rm', '-f', 'talker');
    });
  });

  it('docker-compose 1 brings an application up, looks after it and takes it down', async () => {
    const cli = client(files);
    cli.login(gantry.ready!.registry, 'ann', password('ann'));
    const folder = mkdtempSync(join(scratch, 'shop-'));
    writeFileSync(join(folder, 'docker-compose.yml'), [
      'version: "3.8"', 'services:', `  web: { image: "${image}", networks: [back], volumes: ["data:/data"], environment: { COLOUR: green } }`,
      `  client: { image: "${image}", networks: [back], depends_on: [web], entrypoint: [/bin/sh, -c, "echo here; exec /bin/busybox httpd -f -p 8080 -h /www"] }`, 'networks: { back: {} }', 'volumes: { data: {} }', '',
    ].join('\n'));
    // These two would take the place of the bundle's authority.
    const env = { ...cli.env, REQUESTS_CA_BUNDLE: '', CURL_CA_BUNDLE: '', COMPOSE_PROJECT_NAME: 'shop' };
    const compose = (...argv: string[]): string => {
      const { code, stdout, stderr } = run('docker-compose', ['-f', join(folder, 'docker-compose.yml'), ...argv], { env, seconds: 180 });
      if (code !== 0) throw new Error(`docker-compose ${argv.join(' ')}: exit ${code}\n${stdout}${stderr}`);
      return stdout;
    };
    compose('up', '-d');
    expect(compose('ps')).toMatch(/shop_client_1 .* Up[^]*shop_web_1 .* Up/);
    const [seen] = JSON.parse(raw.ok(['inspect', 'shop_web_1'])) as [{ Config: { Image: string; Labels: Record<string, string> }; Mounts: { Name: string }[] }];
    expect(seen.Config.Image).toMatch(/\/acme\/web@sha256:[0-9a-f]{64}$/);
    expect(seen.Config.Labels).toMatchObject({ 'io.gantry.collection': '/Shared/Private/ann', 'com.docker.compose.project': 'shop' });
    expect(seen.Mounts).toMatchObject([{ Name: 'shop_data' }]);
    await eventually('the log is there', () => compose('logs', '--no-color', 'client').includes('here'), 60);
    // It says so before it listens.
    const answers = await eventually('the other one answers', () => compose('exec', '-T', 'web', '/bin/sh', '-c', 'echo $COLOUR; wget -q -O - http://client:8080/'), 60);
    expect(answers).toBe('green\none\n');
    compose('down', '-v', '-t', '0');
    expect(await containers()).toEqual(['/raw']);
    expect(cli.ok('network', 'ls', '--filter', 'name=shop', '-q') + cli.ok('volume', 'ls', '-q')).toBe('');
    writeFileSync(join(folder, 'docker-compose.yml'), `version: "3.8"\nservices: { web: { image: "${image}", network_mode: none, privileged: true } }\n`);
    expect(() => compose('up', '-d')).toThrow(/container:create:privileged/);
    expect(await containers()).toEqual(['/raw']);
  });

  it('dockerode makes, runs and removes containers', async () => {
    const { hostname, port } = new URL(gantry.ready!.gateway.replace('tcp:', 'https:'));
    const text = (name: string): string => Buffer.from(files[name]!).toString();
    const docker = new Docker({ protocol: 'https', host: hostname, port, ca: text('ca.pem'), cert: text('cert.pem'), key: text('key.pem') });
    const options = { name: 'ode', Image: image, Entrypoint: ['/bin/sh', '-c'], Cmd: ['echo one; echo two >&2; sleep 600'], Env: ['A=b&c=d'], Labels: { 'a label': 'x' }, HostConfig: { NetworkMode: 'none', AutoRemove: false } };
    const container = await docker.createContainer(options);
    await container.start();
    const [seen] = JSON.parse(raw.ok(['inspect', 'ode'])) as [{ Id: string; Config: Record<string, unknown> }];
    expect(seen).toMatchObject({ Id: container.id, Config: { Cmd: options.Cmd, Env: expect.arrayContaining(['A=b&c=d']) as unknown, Labels: { 'a label': 'x', 'io.gantry.collection': '/Shared/Private/ann' } } });
    expect((await docker.listContainers({ all: true })).map(({ Names }) => Names)).toEqual([['/ode']]);
    expect((await container.inspect()).State.Running).toBe(true);
    await eventually('both lines are in the log', async () => {
      const log = (await container.logs({ stdout: true, stderr: true })).toString();
      return log.includes('one\n') && log.includes('two\n');
    }, 30);
    const exec = await container.exec({ Cmd: ['/bin/echo', 'through the exec'], AttachStdout: true });
    const stream = await exec.start({ Detach: false });
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    await eventually('the exec answers', () => Buffer.concat(chunks).includes('through the exec\n'), 30);
    await container.remove({ force: true });
    expect(await containers()).toEqual(['/raw']);

    await expect(docker.createContainer({ ...options, HostConfig: { NetworkMode: 'none', Privileged: true } })).rejects.toMatchObject({ statusCode: 403, message: expect.stringContaining('container:create:privileged') as unknown });
    await expect(docker.createContainer({ ...options, Priviledged: true } as Docker.ContainerCreateOptions)).rejects.toMatchObject({ statusCode: 400, message: expect.stringContaining('Priviledged') as unknown });
    await expect(docker.getContainer('raw').inspect()).rejects.toMatchObject({ statusCode: 404 });
    expect(await containers()).toEqual(['/raw']);
  });
});
