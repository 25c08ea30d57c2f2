import { isFinal } from '../src';
import { Killed, openHouse, type House } from './house';

let house: House;

beforeAll(async () => {
  house = await openHouse();
  await house.accounts.createOrganization(house.admin, { name: 'acme' });
  await house.repositories.create(house.admin, { namespace: 'acme', name: 'web' });
  await house.clusters.register(house.admin, { name: 'local', endpoint: { kind: 'socket', path: house.engine.socketPath } });
  for (const tag of ['1', '2']) await house.push('acme/web', tag);
  await house.push('acme/web', 'bad', 'exits');
});

afterAll(async () => {
  await house?.close();
});

/** One service of everything; a second one, which no longer is in the file of version 2. No task, so that what is watched is there at once. */
const compose = (version: string, replicas = 0): string => `
services:
  web:
    image: acme/web:${version}
    configs: [page]
    secrets: [token]
    deploy: { replicas: ${replicas}, endpoint_mode: dnsrr, restart_policy: { condition: any, delay: 100ms }, update_config: { monitor: 500ms, order: stop-first } }
${version === '1' ? `  old:\n    image: acme/web:1\n    deploy: { replicas: 0, endpoint_mode: dnsrr }\n` : ''}
configs: { page: { content: "page of ${version}" } }
secrets: { token: {} }
`;

async function pair(name: string): Promise<{ application: string; environment: string; stack: string }> {
  const environment = `e-${name}`;
  await house.environments.create(house.admin, { name: environment, account: 'acme', cluster: 'local' });
  await house.applications.create(house.admin, { name, account: 'acme', compose: compose('1') });
  await house.applications.setSecret(house.admin, name, 'token', { environment, value: `secret of ${name}` });
  return { application: name, environment, stack: `${name}-${environment}` };
}

/** Runs a deployment, dying at its n-th point; then as often as it takes. Answers the point, or null when it was through before. */
async function dieAt(id: string, n: number): Promise<string | null> {
  house.faults.passed = [];
  house.faults.dieAt = n;
  const thrown = await house.deployments.run(house.system, { deploymentId: id }).then(() => null, (error: unknown) => error);
  house.faults.dieAt = null;
  if (thrown !== null && !(thrown instanceof Killed)) throw thrown instanceof Error ? thrown : new Error(String(thrown));
  await house.finish({ id });
  return thrown instanceof Killed ? thrown.message : null;
}

interface Stack {
  services: unknown[];
  networks: string[];
  configs: string[];
  secrets: string[];
  credentials: number;
}

/** What the stack is, without what differs from one pair to the next. */
async function shape(stack: string): Promise<Stack> {
  const { services, ...rest } = await house.objects(stack);
  const plain = (text: string): string => text.replaceAll(stack, 'S').replace(/_[0-9a-f]{10}$/, '');
  const specs = await Promise.all(
    services.map(async (name) => {
      const found = await house.inspect(name);
      const container = found?.Spec.TaskTemplate.ContainerSpec;
      return [plain(name), container?.Image, (container?.Secrets ?? []).map(({ SecretName }) => plain(SecretName)), (container?.Configs ?? []).map(({ ConfigName }) => plain(ConfigName ?? ''))];
    }),
  );
  const credentials = await house.db.query(house.system, 'select 1 from delivery_credentials where service like $1', [`${stack}_%`]);
  return { services: specs, networks: rest.networks.map(plain), configs: rest.configs.map(plain), secrets: rest.secrets.map(plain), credentials: credentials.length };
}

async function deploy(pairOf: { application: string; environment: string }): Promise<string> {
  return (await house.deployments.create(house.admin, pairOf)).id;
}

describe('a worker that dies before or after each external call', () => {
  it('leaves what finishes a first deployment exactly once', async () => {
    const calm = await pair('calm');
    const wanted = await house.finish({ id: await deploy(calm) });
    expect(wanted).toMatchObject({ state: 'succeeded', reason: null });
    const expected = await shape(calm.stack);
    expect(expected).toMatchObject({ services: [['S_old', expect.anything(), [], []], ['S_web', expect.anything(), ['S_token'], ['S_page']]], networks: ['S_default'], credentials: 2 });
    const points: string[] = [];
    for (let n = 0; ; n += 1) {
      const crashed = await pair(`first${n}`);
      const id = await deploy(crashed);
      const point = await dieAt(id, n);
      if (point === null) break;
      points.push(point.replaceAll(crashed.stack, 'S'));
      expect([point, await house.deployments.get(house.system, id)]).toEqual([point, expect.objectContaining({ state: 'succeeded', reason: null })]);
      expect([point, await shape(crashed.stack)]).toEqual([point, expected]);
      // One credential was made for each service, whatever happened in between.
      const made = await house.db.query<{ count: string }>(house.system, 'select count(*) from access_service_credentials where subject like $1', [`%/${crashed.stack}_%`]);
      expect([point, Number(made[0]?.count)]).toEqual([point, 2]);
    }
    for (const step of ['verify', 'observe', 'networks', 'configs', 'secrets', 'pull-credential', 'services', 'watch']) {
      for (const when of ['before', 'after']) expect(points.some((point) => point.startsWith(`${step} ${when}`))).toBe(true);
    }
  }, 1_200_000);

  it('leaves what finishes an update that creates, changes, removes and prunes', async () => {
    let expected: Stack | null = null;
    const points: string[] = [];
    for (let n = -1; ; n += 1) {
      const crashed = await pair(`next${n + 1}`);
      await house.finish({ id: await deploy(crashed) });
      await house.applications.createRevision(house.admin, crashed.application, compose('2'));
      const id = await deploy(crashed);
      if (n === -1) await house.finish({ id });
      else {
        const point = await dieAt(id, n);
        if (point === null) break;
        points.push(point);
        expect([point, await house.deployments.get(house.system, id)]).toEqual([point, expect.objectContaining({ state: 'succeeded', reason: null })]);
      }
      expected ??= await shape(crashed.stack);
      expect([points.at(-1), await shape(crashed.stack)]).toEqual([points.at(-1), expected]);
    }
    expect(expected).toMatchObject({ services: [['S_web', expect.anything(), ['S_token'], ['S_page']]], credentials: 1 });
    for (const step of ['services', 'remove', 'watch']) for (const when of ['before', 'after']) expect(points.some((point) => point.startsWith(`${step} ${when}`))).toBe(true);
  }, 1_200_000);

  it('leaves what finishes a rollback', async () => {
    const points: string[] = [];
    const crashed = await pair('undone');
    await house.finish({ id: await deploy(crashed) });
    const before = { shape: await shape(crashed.stack), web: (await house.inspect(`${crashed.stack}_web`))?.Spec };
    for (let n = 0; ; n += 1) {
      await house.applications.createRevision(house.admin, crashed.application, compose('2'));
      const id = await deploy(crashed);
      // Cancelled as soon as it is watched; from there on the way back is what is killed.
      house.faults.passed = [];
      house.faults.dieAt = null;
      const ran = runUntilWatched(id);
      await ran;
      const point = await dieAt(id, n);
      const ended = await house.deployments.get(house.system, id);
      expect([point, isFinal(ended.state), ended.state]).toEqual([point, true, 'cancelled']);
      expect([point, await shape(crashed.stack)]).toEqual([point, before.shape]);
      expect([point, (await house.inspect(`${crashed.stack}_web`))?.Spec]).toEqual([point, before.web]);
      if (point === null) break;
      points.push(point);
    }
    for (const step of ['observe', 'services', 'prune']) for (const when of ['before', 'after']) expect(points.some((point) => point.startsWith(`${step} ${when}`))).toBe(true);
  }, 1_200_000);
});

/** Runs until the first look at the services, dies there, and cancels. */
async function runUntilWatched(id: string): Promise<void> {
  const point = house.faults.point.bind(house.faults);
  house.faults.point = async (step, when, object) => {
    if (step === 'watch') throw new Killed('watched');
    return point(step, when, object);
  };
  await expect(house.deployments.run(house.system, { deploymentId: id })).rejects.toThrow('watched');
  house.faults.point = point;
  await house.deployments.cancel(house.admin, id);
}
