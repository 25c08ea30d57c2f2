import { Problem } from '@gantry/platform';
import { eventually } from '@gantry/platform/testing';
import { openHouse, type House } from './house';

let house: House;

beforeAll(async () => {
  house = await openHouse();
  await house.accounts.createOrganization(house.admin, { name: 'acme' });
  await house.repositories.create(house.admin, { namespace: 'acme', name: 'web' });
  await house.repositories.create(house.admin, { namespace: 'acme', name: 'db' });
  await house.clusters.register(house.admin, { name: 'local', endpoint: { kind: 'socket', path: house.engine.socketPath } });
  await house.push('acme/web', '1');
  await house.push('acme/web', '2');
  await house.push('acme/web', 'bad', 'exits');
  await house.push('acme/db', '1');
});

afterAll(async () => {
  await house?.close();
});

const compose = (web: string, more = ''): string => `
services:
  web:
    image: acme/web:${web}
    environment: { GREETING: "\${GREETING:-hello}" }
    networks: [front]
    configs: [{ source: page, target: /www/page.txt }]
    secrets: [token]
    deploy:
      endpoint_mode: dnsrr
      restart_policy: { condition: any, delay: 100ms }
      update_config: { monitor: 500ms, order: stop-first, failure_action: rollback }
  db:
    image: acme/db:1
    networks: [front]
    volumes: [data:/data]
    deploy:
      endpoint_mode: dnsrr
      restart_policy: { condition: any, delay: 100ms }
      update_config: { monitor: 500ms, order: stop-first }
networks: { front: {} }
volumes: { data: {} }
configs: { page: { content: "page of ${web}" } }
secrets: { token: {} }
${more}`;

/** Code of the problem that `work` throws. */
async function refusal(work: Promise<unknown>): Promise<Problem> {
  const error = await work.then(() => null, (thrown: unknown) => thrown);
  if (!(error instanceof Problem)) throw new Error('expected a Problem', { cause: error });
  return error;
}

async function pair(name: string, file = compose('1')): Promise<{ application: string; environment: string; stack: string }> {
  const { admin } = house;
  const environment = `${name}-env`.slice(0, 16);
  await house.environments.create(admin, { name: environment, account: 'acme', cluster: 'local' });
  await house.applications.create(admin, { name, account: 'acme', compose: file });
  await house.applications.setSecret(admin, name, 'token', { environment, value: 'first secret' });
  return { application: name, environment, stack: `${name}-${environment}` };
}

async function credentials(stack: string): Promise<string[]> {
  const rows = await house.db.query<{ service: string }>(house.system, 'select service from delivery_credentials where service like $1 order by 1', [`${stack}_%`]);
  return rows.map(({ service }) => service);
}

describe('deploying', () => {
  it('makes the stack, pinned, healthy, and audited; then changes only what changed', async () => {
    const { application, environment, stack } = await pair('shop');
    const first = await house.finish(await house.deployments.create(house.admin, { application, environment }));
    expect(first.reason).toBeNull();
    expect(first.state).toBe('succeeded');
    expect(await house.objects(stack)).toEqual({
      services: [`${stack}_db`, `${stack}_web`], networks: [`${stack}_front`],
      configs: [expect.stringMatching(`^${stack}_page_[0-9a-f]{10}$`)], secrets: [expect.stringMatching(`^${stack}_token_[0-9a-f]{10}$`)],
    });
    const web = await house.inspect(`${stack}_web`);
    const db = await house.inspect(`${stack}_db`);
    expect(web?.Spec.TaskTemplate.ContainerSpec?.Image).toMatch(new RegExp(`^${house.config.registryPublicHost}/acme/web@sha256:[0-9a-f]{64}$`));
    expect(web?.Spec.Labels).toMatchObject({ 'com.docker.stack.namespace': stack, 'com.docker.stack.image': 'acme/web:1', 'io.gantry.deployment': first.id });
    expect(web?.Spec.UpdateConfig).toMatchObject({ FailureAction: 'pause' });
    expect((await house.tasks(`${stack}_web`)).filter(({ Status }) => Status.State === 'running')).toHaveLength(1);
    expect(await credentials(stack)).toEqual([`${stack}_db`, `${stack}_web`]);

    await house.applications.createRevision(house.admin, application, compose('2'));
    const plan = await house.plans.create(house.admin, { application, environment });
    expect(plan.changes.filter(({ action }) => action !== 'unchanged').map(({ kind, action }) => `${kind} ${action}`)).toEqual(['config create', 'service update', 'config remove']);
    const second = await house.finish(await house.deployments.create(house.admin, { planId: plan.id }));
    expect(second).toMatchObject({ state: 'succeeded', reason: null, previousDeploymentId: first.id });
    // The other service was not touched at all.
    expect((await house.inspect(`${stack}_db`))?.Version.Index).toBe(db?.Version.Index);
    expect((await house.inspect(`${stack}_web`))?.Spec.Labels?.['com.docker.stack.image']).toBe('acme/web:2');
    // The earlier config stays for the way back.
    expect((await house.objects(stack)).configs).toHaveLength(2);

    const stale = await refusal(house.deployments.create(house.admin, { planId: plan.id }));
    expect(stale.code).toBe('delivery.plan-stale');

    const back = await house.finish(await house.deployments.rollback(house.admin, second.id));
    expect(back).toMatchObject({ state: 'succeeded', origin: 'rollback', releaseId: first.releaseId });
    expect((await house.inspect(`${stack}_web`))?.Spec.TaskTemplate.ContainerSpec).toEqual(web?.Spec.TaskTemplate.ContainerSpec);

    const actions = (await house.audit.list(house.system, { limit: 200, requestId: 'house' })).items.map(({ action }) => action);
    for (const action of ['plan.create', 'deployment.create', 'engine.network.create', 'engine.config.create', 'engine.secret.create', 'engine.service.create', 'engine.service.update', 'deployment.finish', 'deployment.rollback']) expect(actions).toContain(action);
    const repository = await house.repositories.get(house.admin, 'acme/web');
    expect(await house.use.usedDigests(house.system, repository.id)).toHaveLength(2);
  });

  it('removes a service that is no longer in the file, and its credential', async () => {
    const { application, environment, stack } = await pair('fewer');
    await house.finish(await house.deployments.create(house.admin, { application, environment }));
    await house.applications.createRevision(house.admin, application, `services:\n  db:\n    image: acme/db:1\n    deploy: { endpoint_mode: dnsrr, update_config: { monitor: 500ms } }\n`);
    const second = await house.finish(await house.deployments.create(house.admin, { application, environment }));
    expect(second).toMatchObject({ state: 'succeeded', reason: null });
    expect((await house.objects(stack)).services).toEqual([`${stack}_db`]);
    expect(await credentials(stack)).toEqual([`${stack}_db`]);
  });

  it('returns every service to the previous release when an image exits, with the task’s own error', async () => {
    const { application, environment, stack } = await pair('broken');
    const first = await house.finish(await house.deployments.create(house.admin, { application, environment }));
    const before = { web: await house.inspect(`${stack}_web`), db: await house.inspect(`${stack}_db`) };
    await house.applications.setSecret(house.admin, application, 'token', { environment, value: 'second secret' });
    await house.applications.createRevision(house.admin, application, compose('bad').replace('acme/db:1', 'acme/db:1\n    command: ["-f", "-p", "8081", "-h", "/www"]'));
    const failed = await house.finish(await house.deployments.create(house.admin, { application, environment }));
    expect(failed).toMatchObject({ state: 'rolled-back', reason: { code: 'delivery.unhealthy' } });
    expect(failed.reason?.detail).toContain('non-zero exit (3)');
    for (const name of ['web', 'db'] as const) expect((await house.inspect(`${stack}_${name}`))?.Spec).toEqual(before[name]?.Spec);
    expect(await house.objects(stack)).toMatchObject({ configs: [expect.any(String)], secrets: [expect.any(String)] });
    expect((await house.deployments.current(house.system, first.applicationId, first.environmentId))?.id).toBe(first.id);
  });

  it('gives up at the deadline, says what it waited for, and returns to the previous release', async () => {
    const { application, environment, stack } = await pair('late');
    const first = await house.finish(await house.deployments.create(house.admin, { application, environment }));
    const before = await house.inspect(`${stack}_web`);
    // No node has the label, so that the new task waits for ever.
    await house.applications.createRevision(house.admin, application, compose('2').replace('endpoint_mode: dnsrr', 'endpoint_mode: dnsrr\n      placement: { constraints: [node.labels.nosuch == yes] }'));
    const config = house.config as { deployDeadlineSeconds: number };
    const usual = config.deployDeadlineSeconds;
    config.deployDeadlineSeconds = 4;
    try {
      const late = await house.deployments.create(house.admin, { application, environment });
      const ending = house.finish(late);
      // The way back has the usual time.
      await eventually('the deadline is set', async () => (await house.deployments.get(house.admin, late.id)).deadlineAt !== null);
      config.deployDeadlineSeconds = usual;
      const ended = await ending;
      expect(ended).toMatchObject({ state: 'rolled-back', reason: { code: 'delivery.deadline-exceeded', detail: expect.stringContaining('Not healthy within') } });
      expect(ended.reason?.detail).toContain(`${stack}_web`);
    } finally {
      config.deployDeadlineSeconds = usual;
    }
    expect((await house.inspect(`${stack}_web`))?.Spec).toEqual(before?.Spec);
    expect((await house.deployments.current(house.system, first.applicationId, first.environmentId))?.id).toBe(first.id);
  });

  it('removes what a failed first deployment made, but volumes', async () => {
    const { application, environment, stack } = await pair('never', compose('bad'));
    const failed = await house.finish(await house.deployments.create(house.admin, { application, environment }));
    expect(failed).toMatchObject({ state: 'failed', reason: { code: 'delivery.unhealthy' } });
    expect(failed.reason?.detail).toContain('non-zero exit (3)');
    expect(await house.objects(stack)).toEqual({ services: [], networks: [], configs: [], secrets: [] });
    expect(await credentials(stack)).toEqual([]);
    const { Volumes } = await house.engine.call<{ Volumes: { Name: string }[] | null }>('GET', '/v1.41/volumes');
    expect(Volumes?.map(({ Name }) => Name)).toContain(`${stack}_data`);
  });

  it('cancels: what waits is dropped, what runs is undone', async () => {
    // Watched for long enough to be cancelled meanwhile.
    const { application, environment, stack } = await pair('cancelled', compose('1').replaceAll('monitor: 500ms', 'monitor: 10s'));
    const waiting = await house.deployments.create(house.admin, { application, environment });
    expect((await house.deployments.cancel(house.admin, waiting.id)).state).toBe('cancelled');
    const running = await house.deployments.create(house.admin, { application, environment });
    house.faults.passed = [];
    const work = house.finish(running);
    while (!house.faults.passed.some((point) => point.startsWith('watch after'))) await new Promise((resolve) => setImmediate(resolve));
    await house.deployments.cancel(house.admin, running.id);
    expect((await work).state).toBe('cancelled');
    expect((await house.objects(stack)).services).toEqual([]);
  });

  it('refuses an unsigned image before anything is changed, and takes it once it is signed', async () => {
    const { application, environment, stack } = await pair('signed');
    const found = await house.environments.get(house.admin, environment);
    const key = await house.keys.generate(house.admin, { name: 'release', account: 'acme' });
    await house.policies.create(house.admin, { scope: house.environments.scope(found), name: 'signed', mode: 'enforce', keyIds: [key.id], threshold: 1, claims: {} });
    const problem = await refusal(house.deployments.create(house.admin, { application, environment }));
    expect(problem).toMatchObject({ code: 'delivery.image-refused', status: 422, extra: { reason: 'NO_SIGNATURE' } });
    expect(await house.objects(stack)).toEqual({ services: [], networks: [], configs: [], secrets: [] });
    for (const repository of ['acme/web', 'acme/db']) {
      const plan = await house.plans.create(house.admin, { application, environment });
      const digest = plan.verdicts.find((verdict) => verdict.repository === repository)?.digest ?? '';
      await house.signer.sign(house.admin, { keyId: key.id, repository, digest, forms: ['cosign-sig'] });
    }
    expect(await house.finish(await house.deployments.create(house.admin, { application, environment }))).toMatchObject({ state: 'succeeded', reason: null });
  });
});

describe('nodes in collections', () => {
  it('are those of the environment’s account: in the plan, on the engine, and in what is found changed', async () => {
    const { admin, system } = house;
    const { application, environment, stack } = await pair('kept');
    const before = await house.finish(await house.deployments.create(admin, { application, environment }));
    const constraints = async (): Promise<string[]> => (await house.inspect(`${stack}_web`))?.Spec.TaskTemplate.Placement?.Constraints ?? [];
    expect([before.state, await constraints()]).toEqual(['succeeded', []]);
    for (const name of ['closed', 'open']) await house.collections.create(admin, { name, parent: '/' });
    const [{ ID: node }] = (await house.engine.call<[{ ID: string }]>('GET', '/v1.41/nodes'));
    await house.scheduling.place(system, 'local', node, '/closed');
    const refused = await refusal(house.plans.create(admin, { application, environment }));
    expect([refused.code, refused.detail]).toEqual(['clusters.no-node', expect.stringContaining('node:schedule')]);
    // Who deploys may schedule everywhere; it is the environment's account that counts.
    await house.grants.create(admin, { subject: 'acme', role: 'scheduler', collection: '/closed' });
    const plan = await house.plans.create(admin, { application, environment });
    const again = await house.plans.create(admin, { application, environment });
    const own = plan.stack.services[0]!.spec.TaskTemplate.Placement!.Constraints![0]!;
    expect(own).toMatch(/^node\.labels\.io\.gantry\.nodes\.[0-9a-f]+==true$/);
    expect(plan.changes.find(({ name }) => name === `${stack}_web`)).toMatchObject({ action: 'update', fields: [{ path: 'TaskTemplate.Placement.Constraints', from: null, to: [own] }] });
    expect(plan.notices.map(({ message }) => message)).toEqual(expect.arrayContaining([expect.stringContaining(own)]));
    expect(again.stack.services.map(({ hash }) => hash)).toEqual(plan.stack.services.map(({ hash }) => hash));
    const kept = await house.finish(await house.deployments.create(admin, { planId: plan.id }));
    expect(kept).toMatchObject({ state: 'succeeded', reason: null });
    expect(await constraints()).toEqual([own]);
    expect((await house.engine.call<{ Spec: { Labels: object } }>('GET', `/v1.41/nodes/${node}`)).Spec.Labels).toEqual({ [own.slice('node.labels.'.length, -'==true'.length)]: 'true' });
    // What is so is no change; what somebody took away is.
    expect((await house.plans.create(admin, { application, environment })).changes.filter(({ action }) => action !== 'unchanged')).toEqual([]);
    const live = (await house.inspect(`${stack}_web`))!;
    await house.engine.call('POST', `/v1.41/services/${live.ID}/update?version=${live.Version.Index}`, { ...live.Spec, TaskTemplate: { ...live.Spec.TaskTemplate, Placement: {} } });
    const drifted = await house.finish(await house.deployments.create(admin, { planId: (await house.plans.create(admin, { application, environment })).id }));
    expect(drifted.reason).toMatchObject({ code: 'delivery.plan-stale', detail: expect.stringContaining('TaskTemplate.Placement.Constraints') as unknown });
    expect(await house.finish(await house.deployments.create(admin, { application, environment }))).toMatchObject({ state: 'succeeded' });
    expect(await constraints()).toEqual([own]);

    // A failed one goes back to what was; a plan from before a node was moved is no longer true, and nothing that was judged by it is done.
    await house.applications.createRevision(admin, application, compose('bad'));
    expect(await house.finish(await house.deployments.create(admin, { application, environment }))).toMatchObject({ state: 'rolled-back' });
    expect(await constraints()).toEqual([own]);
    await house.applications.createRevision(admin, application, compose('2'));
    const early = await house.plans.create(admin, { application, environment });
    await house.grants.create(admin, { subject: 'acme', role: 'scheduler', collection: '/open' });
    await house.scheduling.place(system, 'local', node, '/open');
    const stale = await house.finish(await house.deployments.create(admin, { planId: early.id }));
    expect(stale).toMatchObject({ state: 'failed', reason: { code: 'delivery.plan-stale' } });
    expect((await house.inspect(`${stack}_web`))?.Spec.Labels?.['com.docker.stack.image']).toBe('acme/web:1');
    const moved = await house.finish(await house.deployments.create(admin, { application, environment }));
    expect([moved.state, (await constraints()).length, (await constraints()).includes(own)]).toEqual(['succeeded', 1, false]);

    await house.applications.createRevision(admin, application, compose('2').replace('endpoint_mode: dnsrr', `endpoint_mode: dnsrr\n      placement: { constraints: ["${own}"] }`));
    expect((await refusal(house.plans.create(admin, { application, environment }))).code).toBe('delivery.compose-invalid');
  });
});
