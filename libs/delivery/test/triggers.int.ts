import { createHmac } from 'node:crypto';
import { makeContext, anonymous, Problem, uuidv7, type Context } from '@gantry/platform';
import { openHouse, type House } from './house';

let house: House;
let digests: Record<string, string>;

beforeAll(async () => {
  house = await openHouse();
  await house.accounts.createOrganization(house.admin, { name: 'acme' });
  await house.repositories.create(house.admin, { namespace: 'acme', name: 'web' });
  await house.repositories.create(house.admin, { namespace: 'acme', name: 'other' });
  await house.clusters.register(house.admin, { name: 'local', endpoint: { kind: 'socket', path: house.engine.socketPath } });
  await house.environments.create(house.admin, { name: 'dev', account: 'acme', cluster: 'local' });
  digests = { one: await house.push('acme/web', '1'), two: await house.push('acme/web', '2'), other: await house.push('acme/other', '1') };
});

afterAll(async () => {
  await house?.close();
});

const compose = `services:\n  web:\n    image: acme/web:1\n    deploy: { replicas: 0, endpoint_mode: dnsrr }\n`;
const stranger = (): Context => makeContext(anonymous, { address: '192.0.2.7' });

function call(trigger: { id: string; secret: string }, body: unknown, more: { deliveryId?: string | undefined; signature?: string | undefined } = {}) {
  const rawBody = Buffer.from(JSON.stringify(body));
  const signature = `sha256=${createHmac('sha256', trigger.secret).update(rawBody).digest('hex')}`;
  return house.triggers.receive(stranger(), { triggerId: trigger.id, rawBody, body, deliveryId: uuidv7(), signature, ...more });
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(() => null, (thrown: unknown) => thrown);
  if (!(error instanceof Problem)) throw new Error('expected a Problem', { cause: error });
  return `${error.status} ${error.code}`;
}

describe('webhooks', () => {
  it('start one deployment for one delivery, of exactly the digest that the tag had', async () => {
    await house.applications.create(house.admin, { name: 'hooked', account: 'acme', compose });
    const trigger = await house.triggers.create(house.admin, { application: 'hooked', environment: 'dev' });
    const stored = await house.db.query<{ text: string }>(house.system, 'select t::text as text from delivery_triggers t where id = $1', [trigger.id]);
    expect(stored[0]?.text).not.toContain(trigger.secret);

    const body = { repository: 'acme/web', tag: '2' };
    const twice = await Promise.all([call(trigger, body, { deliveryId: 'd-1' }), call(trigger, body, { deliveryId: 'd-1' })]);
    expect(twice.map(({ repeated }) => repeated).sort()).toEqual([false, true]);
    expect(twice[0]?.deploymentId).toBe(twice[1]?.deploymentId);
    expect(await call(trigger, body, { deliveryId: 'd-1' })).toEqual({ deploymentId: twice[0]?.deploymentId, repeated: true });
    const done = await house.finish({ id: twice[0]?.deploymentId ?? '' });
    expect(done).toMatchObject({ state: 'succeeded', reason: null, origin: 'hook', actor: { kind: 'trigger', id: trigger.id } });
    expect((await house.inspect('hooked-dev_web'))?.Spec.TaskTemplate.ContainerSpec?.Image).toContain(`acme/web@${digests['two']}`);

    const hub = await call(trigger, { repository: { repo_name: 'acme/web', star_count: 0 }, push_data: { tag: '1', pusher: 'ci' } });
    expect(await house.finish({ id: hub.deploymentId })).toMatchObject({ state: 'succeeded', reason: null });
    expect((await house.inspect('hooked-dev_web'))?.Spec.TaskTemplate.ContainerSpec?.Image).toContain(`acme/web@${digests['one']}`);
    expect((await house.deployments.list(house.admin, { limit: 50, application: 'hooked' })).items).toHaveLength(2);
  });

  it('refuse what is not signed, not matched or not true, and audit it', async () => {
    await house.applications.create(house.admin, { name: 'strict', account: 'acme', compose });
    const trigger = await house.triggers.create(house.admin, { application: 'strict', environment: 'dev' });
    const body = { repository: 'acme/web', tag: '2' };
    for (const signature of [undefined, '', 'sha256=', `sha256=${'0'.repeat(64)}`, `sha1=${'0'.repeat(40)}`]) expect(await refusal(call(trigger, body, { signature }))).toBe('401 delivery.hook-signature');
    expect(await refusal(call({ ...trigger, secret: 'another' }, body))).toBe('401 delivery.hook-signature');
    for (const id of [uuidv7(), 'no-uuid']) expect(await refusal(call({ ...trigger, id }, body))).toBe('401 delivery.hook-signature');
    expect(await refusal(call(trigger, body, { deliveryId: undefined }))).toBe('400 request.invalid');
    expect(await refusal(call(trigger, { repository: 'acme/web' }))).toBe('400 request.invalid');
    expect(await refusal(call(trigger, { ...body, surprise: 1 }))).toBe('400 request.invalid');
    expect(await refusal(call(trigger, { repository: 'acme/other', tag: '1' }))).toBe('422 delivery.hook-unmatched');
    expect(await refusal(call(trigger, { repository: 'acme/web', tag: 'none' }))).toBe('422 delivery.image-unknown');
    expect(await refusal(call(trigger, { ...body, digest: digests['one'] }))).toBe('422 delivery.digest-mismatch');
    expect((await house.deployments.list(house.admin, { limit: 50, application: 'strict' })).items).toEqual([]);
    const refused = await house.audit.list(house.system, { limit: 50, action: 'trigger.receive', outcome: 'refused' });
    expect(refused.items.length).toBeGreaterThan(0);
  });

  it('wait in line together: the newest of each service, and only one deployment', async () => {
    await house.applications.create(house.admin, { name: 'line', account: 'acme', compose: `${compose}  other:\n    image: acme/other:1\n    deploy: { replicas: 0, endpoint_mode: dnsrr }\n` });
    const trigger = await house.triggers.create(house.admin, { application: 'line', environment: 'dev' });
    const first = await call(trigger, { repository: 'acme/web', tag: '2' });
    const second = await call(trigger, { repository: 'acme/other', tag: '1' });
    expect(await house.finish({ id: second.deploymentId })).toMatchObject({ state: 'succeeded', images: { web: `acme/web:2@${digests['two']}`, other: `acme/other:1@${digests['other']}` } });
    expect((await house.deployments.get(house.admin, first.deploymentId)).state).toBe('superseded');
    expect((await house.inspect('line-dev_web'))?.Spec.TaskTemplate.ContainerSpec?.Image).toContain(digests['two']);
  });
});

describe('autoRedeploy', () => {
  it('deploys a push that matches, once, and waits for the signature where the policy demands one', async () => {
    const environment = await house.environments.create(house.admin, { name: 'auto', account: 'acme', cluster: 'local' });
    await house.applications.create(house.admin, { name: 'auto', account: 'acme', compose, autoRedeploy: { environment: 'auto', repository: 'acme/web', tag: 'v*' } });
    const deployments = async () => (await house.deployments.list(house.admin, { limit: 50, application: 'auto' })).items;
    const digest = await house.push('acme/web', 'v1');
    const event = { repository: 'acme/web', digest };
    await house.events.onImagePushed(house.system, { ...event, tag: 'latest' });
    await house.events.onImagePushed(house.system, { ...event, tag: null });
    expect(await deployments()).toEqual([]);
    await house.events.onImagePushed(house.system, { ...event, tag: 'v1' });
    await house.events.onImagePushed(house.system, { ...event, tag: 'v1' });
    const [started, ...more] = await deployments();
    expect(more).toEqual([]);
    expect(await house.finish({ id: started?.id ?? '' })).toMatchObject({ state: 'succeeded', reason: null, origin: 'push' });

    const key = await house.keys.generate(house.admin, { name: 'auto', account: 'acme' });
    await house.policies.create(house.admin, { scope: house.environments.scope(environment), name: 'auto', mode: 'enforce', keyIds: [key.id], threshold: 1, claims: {} });
    const next = await house.push('acme/web', 'v2');
    await house.events.onImagePushed(house.system, { repository: 'acme/web', tag: 'v2', digest: next });
    expect(await deployments()).toHaveLength(1);
    await house.events.onSignaturePushed(house.system, { repository: 'acme/web', subject: next });
    expect(await deployments()).toHaveLength(1);
    await house.signer.sign(house.admin, { keyId: key.id, repository: 'acme/web', digest: next, forms: ['bundle'] });
    await house.events.onSignaturePushed(house.system, { repository: 'acme/web', subject: next });
    await house.events.onSignaturePushed(house.system, { repository: 'acme/web', subject: next });
    const [latest, ...earlier] = await deployments();
    expect(earlier).toHaveLength(1);
    expect(await house.finish({ id: latest?.id ?? '' })).toMatchObject({ state: 'succeeded', reason: null });
    expect((await house.inspect('auto-auto_web'))?.Spec.TaskTemplate.ContainerSpec?.Image).toContain(next);
  });
});

describe('pull credentials', () => {
  it('end with a service that somebody removed behind our back', async () => {
    await house.applications.create(house.admin, { name: 'gone', account: 'acme', compose });
    await house.finish(await house.deployments.create(house.admin, { application: 'gone', environment: 'dev' }));
    const count = async (): Promise<number> => (await house.db.query(house.system, `select 1 from access_service_credentials where subject like '%/gone-dev_web' and revoked_at is null`)).length;
    expect(await count()).toBe(1);
    await house.engine.call('DELETE', '/v1.41/services/gone-dev_web');
    await house.deployments.sweep(house.system);
    expect(await count()).toBe(0);
  });
});
