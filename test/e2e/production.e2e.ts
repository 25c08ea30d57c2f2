import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { savedImage, until, webImage } from '../lab';
import { findCompose2 } from '../production/compose2';
import { ProductionStack } from '../production/stack';

jest.setTimeout(900_000);

/** The page that an image serves, on a service that is well only 3 s after its start: time in which to pull plugs. */
const compose = (tag: string): string => `
services:
  web:
    image: acme/web:${tag}
    healthcheck:
      test: [CMD, /bin/true]
      interval: 3s
      timeout: 2s
    deploy:
      replicas: 2
      update_config: {parallelism: 1, order: stop-first, monitor: 1s}
      restart_policy: {condition: any, delay: 0s}
`;

interface Deployment {
  id: string;
  state: string;
  reason: { code: string; detail: string } | null;
}

describe('the production form', () => {
  let stack: ProductionStack;

  beforeAll(async () => {
    stack = await ProductionStack.prepare();
  });
  afterAll(async () => {
    await stack?.remove();
  });

  const deploy = (tag: string): Promise<Deployment> => stack.ask<Deployment>('POST', '/api/v1/deployments', { application: 'web', environment: 'prod', images: { web: `acme/web:${tag}` } });
  const follow = (id: string, seconds = 240): Promise<Deployment> =>
    until(`deployment ${id} ends`, seconds, async () => {
      const deployment = await stack.ask<Deployment>('GET', `/api/v1/deployments/${id}`);
      return ['queued', 'planning', 'applying', 'watching', 'rolling-back'].includes(deployment.state) ? null : deployment;
    }).catch(async (error: Error) => {
      throw new Error(`${error.message}\n${await stack.logs()}`, { cause: error });
    });
  const push = async (version: string): Promise<string> => {
    const image = await webImage({ version });
    const name = `${stack.registryHost}/acme/web:${version}`;
    await stack.engine.call('POST', '/images/load', await savedImage(image, name));
    const pushed = await stack.docker(['push', name]);
    return /digest: (sha256:[0-9a-f]{64})/.exec(pushed)![1]!;
  };
  /** Image and state of the tasks that should run. */
  const tasks = async (): Promise<string[]> => {
    const list = await stack.engine.call<{ Spec: { ContainerSpec: { Image: string } }; Status: { State: string } }[]>('GET', '/tasks?filters={"desired-state":["running"]}');
    return list.map((task) => `${task.Status.State} ${task.Spec.ContainerSpec.Image}`);
  };

  it('says what is missing before anything starts: settings, then secrets', async () => {
    const unset = await stack.runCompose(['config', '-q']);
    expect(unset.code).not.toBe(0);
    expect(unset.stderr).toContain('GANTRY_PUBLIC_URL');
    stack.writeSettings();
    const bare = await stack.runCompose(['up', '-d', 'migrate']);
    expect(bare.code).not.toBe(0);
    expect(bare.stdout + bare.stderr).toMatch(/secrets\/\w+/);
    await stack.runCompose(['down', '-v']);
    await stack.makeSecrets();
    expect((await stack.runCompose(['config', '-q'])).code).toBe(0);
  });

  it('comes up: every service is healthy, migrations ran once before', async () => {
    await stack.up();
    const containers = await stack.containers();
    expect(containers['migrate']!.State).toMatchObject({ Status: 'exited', ExitCode: 0 });
    for (const service of ['api-1', 'api-2', 'worker-1', 'worker-2', 'gateway']) {
      expect(containers[service]!.HostConfig.ReadonlyRootfs).toBe(true);
      expect(containers[service]!.Config.User).toBe('10001:10001');
      expect((await stack.exec(service, ['node', '--version'])).stdout).toMatch(/^v24\./);
    }
    // No secret is in the settings that everybody with the engine can read.
    expect(JSON.stringify(containers)).not.toContain(stack.secret('database_password'));
  });

  it('answers through the edge over TLS, and signs in', async () => {
    await stack.signIn();
    expect(await stack.ask('GET', '/api/v1/me')).toMatchObject({ name: 'admin', admin: true });
  });

  it('lets nobody but workers and the gateway reach an engine', async () => {
    const connect = `const socket = require('node:net').connect(2376, '${stack.other.address}', () => done('reached'));
      const done = (text) => { console.log(text); process.exit(); };
      socket.setTimeout(3000, () => done('ETIMEDOUT')).on('error', (error) => done(error.code));`;
    for (const worker of ['worker-1', 'worker-2', 'gateway']) expect((await stack.exec(worker, ['node', '-e', connect])).stdout.trim()).toBe('reached');
    for (const api of ['api-1', 'api-2']) expect((await stack.exec(api, ['node', '-e', connect])).stdout.trim()).toMatch(/^E(NETUNREACH|HOSTUNREACH|TIMEDOUT)$/);
    const containers = await stack.containers();
    for (const [service, { Mounts }] of Object.entries(containers)) expect([service, Mounts.filter((mount) => mount.Source.endsWith('.sock'))]).toEqual([service, []]);
  });

  it('takes a push through the edge, from the stock docker CLI', async () => {
    await stack.ask('POST', '/api/v1/organizations', { name: 'acme' });
    await stack.ask('POST', '/api/v1/repositories', { namespace: 'acme', name: 'web' });
    await stack.docker(['login', '-u', 'admin', '--password-stdin', stack.registryHost], {}, 120, stack.secret('admin_password'));
    const digest = await push('1');
    const tags = await stack.ask<{ items: { name: string; digest: string }[] }>('GET', '/api/v1/repositories/acme/web/tags');
    expect(tags.items).toMatchObject([{ name: '1', digest }]);
  });

  it('deploys a signed image to the swarm, which is reached by mutual TLS', async () => {
    await stack.ask('POST', '/api/v1/clusters', { name: 'main', endpoint: stack.engine.endpoint });
    await stack.ask('POST', '/api/v1/environments', { name: 'prod', account: 'acme', cluster: 'main' });
    await stack.ask('POST', '/api/v1/signing-keys', { name: 'ci', account: 'acme', generate: true });
    await stack.ask('POST', '/api/v1/signature-policies', { name: 'prod', environment: 'prod', mode: 'enforce', keys: ['ci'] });
    await stack.ask('POST', '/api/v1/applications', { name: 'web', account: 'acme', compose: compose('1') });
    const refused = await stack.send('POST', '/api/v1/deployments', { application: 'web', environment: 'prod' });
    expect(refused).toMatchObject({ status: 422, body: { code: 'delivery.image-refused' } });

    const tags = await stack.ask<{ items: { digest: string }[] }>('GET', '/api/v1/repositories/acme/web/tags');
    const { digest } = tags.items[0]!;
    await stack.ask('POST', '/api/v1/signing-keys/ci/signatures', { repository: 'acme/web', digest });
    expect(await follow((await deploy('1')).id)).toMatchObject({ state: 'succeeded', reason: null });
    expect(await tasks()).toEqual(Array(2).fill(`running ${stack.registryHost}/acme/web@${digest}`));
    // The other machine has pulled it from the edge.
    expect(await stack.other.call<unknown[]>('GET', '/containers/json')).toHaveLength(1);
    // An API reads the engine through a worker.
    const services = await stack.ask<{ items: { name: string }[] }>('GET', '/api/v1/clusters/main/services');
    expect(services.items).toHaveLength(1);
  });

  it('serves the engine by the gateway to the stock docker CLI with a client bundle', async () => {
    const image = `${stack.registryHost}/acme/web:1`;
    expect(await stack.throughGateway(['version', '--format', '{{.Server.Version}}'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^20\.10/) as unknown });
    const ran = await stack.throughGateway(['run', '--rm', '--network', 'none', '--entrypoint', '/bin/sh', image, '-c', 'echo $VERSION']);
    expect(ran).toMatchObject({ code: 0, stdout: '1\n' });
    const listed = await stack.throughGateway(['ps', '--filter', 'label=com.docker.compose.service=gateway', '--format', '{{.Image}} {{.Ports}}']);
    expect(listed.stdout).toContain(':2378->2378/tcp');
    expect(await stack.throughGateway(['exec', '-i', 'gantry_gateway_1', 'sh', '-c', 'id -u; cat; ls /run/secrets'], { input: 'a line\n' })).toMatchObject({ code: 0, stdout: '10001\na line\ndatabase_url\nsecret_key\ntoken_cert\ntoken_key\n' });
    // Nobody is let in without a credential.
    expect(await stack.throughGateway(['ps'], { files: /^ca\.pem$/ })).toMatchObject({ code: 1, stderr: expect.stringContaining('authentication required') as unknown });
    const { code } = await stack.runCompose(['stop', 'gateway']);
    expect(code).toBe(0);
    expect((await stack.send('GET', '/readyz')).status).toBe(200);
    await stack.runCompose(['start', 'gateway']);
  });

  it('finishes a deployment whose worker is killed, and answers on with one API', async () => {
    const digest = await push('2');
    await stack.ask('POST', '/api/v1/signing-keys/ci/signatures', { repository: 'acme/web', digest });
    // With one worker it is known which one has the deployment.
    await stack.runCompose(['stop', 'worker-2']);
    const { id } = await deploy('2');
    await until('the worker changes the swarm', 120, async () => ['applying', 'watching'].includes((await stack.ask<Deployment>('GET', `/api/v1/deployments/${id}`)).state));
    await Promise.all([stack.kill('worker-1'), stack.kill('api-1')]);
    const [answers] = await Promise.all([Promise.all(Array.from({ length: 20 }, () => stack.send('GET', '/readyz'))), stack.runCompose(['start', 'worker-2'])]);
    expect(answers.map((answer) => answer.status)).toEqual(Array(20).fill(200));
    expect(await follow(id)).toMatchObject({ state: 'succeeded', reason: null });
    expect(await tasks()).toEqual(Array(2).fill(`running ${stack.registryHost}/acme/web@${digest}`));
  });

  it('keeps its queue on Redis', async () => {
    const keys = await stack.exec('redis', ['sh', '-c', `REDISCLI_AUTH=$(sed -n 's/^requirepass //p' /run/secrets/redis_config) redis-cli --scan --pattern 'bull:gantry:*'`]);
    expect(keys.stdout).toMatch(/^bull:gantry:meta$/m);
    const schema = await stack.exec('postgres', ['psql', '-h', '127.0.0.1', '-At', stack.secret('database_url').replace('@postgres:', '@127.0.0.1:'), '-c', "select count(*) from information_schema.schemata where schema_name = 'bullmq'"]);
    expect(schema.stdout.trim()).toBe('0');
  });

  it('comes up again with all its data, under Compose v2', async () => {
    const compose2 = await findCompose2();
    if (compose2 === null) {
      process.stderr.write('Compose v2 was not proven: the archive no longer has the pinned package\n');
      return;
    }
    expect((await stack.runCompose(['down', '--timeout', '10'])).code).toBe(0);
    stack.compose = compose2;
    stack.writeSettings({ COMPOSE_FILE: 'docker-compose.yml:deploy/compose.socket.yml', GANTRY_ENGINE_SOCKET: stack.engine.socketPath, GANTRY_ENGINE_GID: '0' });
    await stack.up();
    await stack.signIn();
    const deployments = await stack.ask<{ items: Deployment[] }>('GET', '/api/v1/deployments');
    expect(deployments.items.map((deployment) => deployment.state)).toEqual(['succeeded', 'succeeded']);
    const verified = await stack.runCompose(['run', '--rm', '-T', '--no-deps', 'migrate', 'audit', 'verify']);
    expect(verified.stdout).toContain('The audit record is whole');

    const ping = "require('node:http').get({ socketPath: '/var/run/docker.sock', path: '/_ping' }, (answer) => console.log(answer.statusCode)).on('error', (error) => console.log(error.code))";
    for (const service of ['worker-1', 'gateway']) expect((await stack.exec(service, ['node', '-e', ping])).stdout.trim()).toBe('200');
    expect((await stack.exec('api-1', ['node', '-e', ping])).stdout.trim()).toBe('ENOENT');

    const secrets = join(stack.folder, 'secrets');
    renameSync(join(secrets, 'token.key'), join(secrets, 'token.away'));
    const missing = await stack.runCompose(['up', '-d', '--force-recreate', '--no-deps', 'api-1']);
    expect(missing.code).not.toBe(0);
    expect(missing.stderr).toContain('token.key');
    renameSync(join(secrets, 'token.away'), join(secrets, 'token.key'));
  });

  it('leaves nothing behind', async () => {
    const { dir } = stack.engine.machine;
    await stack.remove();
    expect(existsSync(dir)).toBe(false);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(dir);
  });
});
