// Webhook → service update acknowledged by the engine, beside a bare inspect + update of the same engine.
import { createHmac, randomUUID } from 'node:crypto';
import Docker, { type Service } from 'dockerode';
import { generateSigningKey, parseSigningKey, signLegacy } from '@gantry/trust';
import { makeSampleImage } from '../apps/standalone/src/sample-image';
import { bench, cleanUp, fullRounds, interleave, judge, median, percentile, progress, ratios, show, showSpread, spreadOf, type Findings, type Row } from './lib';
import { Product, push, registryToken, startRedis, waitFor, type Rest } from './product';

const limits = { default: { p50: 100, p99: 300 }, redis: { p50: 50, p99: 150 } };
type Queue = keyof typeof limits;

/** Milliseconds from sending the webhook; the product's own record and the engine's say when things happened, on this machine's one clock. */
interface Sample {
  accepted: number;
  committed: number;
  acknowledged: number;
}

const repository = 'bench/web';
const finished = ['succeeded', 'failed', 'rolled-back', 'cancelled', 'superseded', 'refused'];

bench(20, async (options) => {
  const perRound = Number(options.get('samples', '5'));
  const replicas = Number(options.get('replicas', '0'));
  const only = options.get('queue', 'both');
  const rows: Row[] = [];
  for (const queue of ['default', 'redis'] as const) {
    if (only !== 'both' && only !== queue) continue;
    rows.push(...(await measure(queue, { rounds: options.rounds, perRound, replicas })));
    if (!(await cleanUp())) throw new Error('what was started could not be ended');
  }
  return {
    title: 'Webhook accepted → service update acknowledged by the engine',
    rows,
    notes: [
      `${options.rounds} rounds of ${perRound} samples per arm${options.rounds < fullRounds ? ' (a smoke test: not enough to quote)' : ''}; arms interleaved, their order turned each round. Below 100 samples p99 is the slowest one.`,
      'Each sample: an image of its own, pushed and signed (P-256, made before) before the timed part; policy `enforce`; the service is checked to be pinned at that digest afterwards.',
      '"acknowledged" is when the deployment recorded the step `services` as done, after the engine’s answer and the audit row; "committed" is the engine’s own UpdatedAt. Both count from sending the webhook. Records are in whole milliseconds.',
      `Replicas ${replicas}${replicas === 0 ? ': the update is a whole one for the managers (new spec and version); tasks that start and stop would only disturb the next sample, as the engine acknowledges before any of them moves' : ''}.`,
      'Bare: dockerode inspect, then update to another digest, of a service with the same spec on the same engine; A/A compares two such arms of the same run.',
    ],
  } satisfies Findings;
});

async function measure(queue: Queue, plan: { rounds: number; perRound: number; replicas: number }): Promise<Row[]> {
  const product = await Product.prepare({ env: queue === 'redis' ? { REDIS_URL: await startRedis() } : {} });
  progress(`${queue}: starting Gantry`);
  await product.start();
  const stage = await prepare(product, plan.replicas, plan.rounds * plan.perRound + 6);
  const bare = await bareService(product, stage.digests);
  const times = <T>(work: () => Promise<T>) => async (): Promise<T[]> => {
    const results: T[] = [];
    for (let index = 0; index < plan.perRound; index += 1) results.push(await work());
    product.assertRuns();
    return results;
  };
  for (let index = 0; index < 5; index += 1) {
    await stage.sample();
    await bare();
  }
  progress(`${queue}: measuring`);
  const hooks: Sample[][] = [];
  const found = await interleave<number[]>(plan.rounds, {
    gantry: async () => {
      const samples = await times(stage.sample)();
      hooks.push(samples);
      return samples.map(({ acknowledged }) => acknowledged);
    },
    bareA: times(bare),
    bareB: times(bare),
  });
  const medians = (arm: string): number[] => found[arm]!.map(median);
  const all = { gantry: found['gantry']!.flat(), bareA: found['bareA']!.flat(), bareB: found['bareB']!.flat() };
  const aa = ratios(medians('bareA'), medians('bareB'));
  const spread = { p50: spreadOf(aa), p99: Math.max(spreadOf(aa), Math.abs(percentile(all.bareA, 99) / percentile(all.bareB, 99) - 1)) };
  const of = (pick: (sample: Sample) => number): number[] => hooks.flat().map(pick);
  const row = (what: string, values: number[]): Row => ({ what: `${queue}: ${what}`, value: `p50 ${show(percentile(values, 50), 'ms')}, p99 ${show(percentile(values, 99), 'ms')}, n ${values.length}` });
  return [
    ...(['p50', 'p99'] as const).map((name): Row => {
      const value = percentile(all.gantry, Number(name.slice(1)));
      const limit = limits[queue][name];
      return { what: `${queue}: acknowledged, ${name}`, value: show(value, 'ms'), limit: `< ${limit} ms`, verdict: judge({ value, limit, good: 'below', spread: spread[name] }) };
    }),
    row('committed', of(({ committed }) => committed)),
    row('answered 202', of(({ accepted }) => accepted)),
    row('bare inspect + update', [...all.bareA, ...all.bareB]),
    { what: `${queue}: acknowledged / bare, medians`, value: `${show(median(ratios(medians('gantry'), medians('bareA'))))} ×` },
    { what: `${queue}: A/A (bare / bare)`, value: `${show(median(aa))} × ${showSpread(spread.p50)}, p99 ${showSpread(spread.p99)}` },
  ];
}

interface Stage {
  /** Digests of all images, in the order in which they are used. */
  digests: string[];
  /** One webhook, followed to its end. */
  sample: () => Promise<Sample>;
}

/** Everything before the timed part: rights, policy, application, and as many signed images as there will be samples. */
async function prepare(product: Product, replicas: number, count: number): Promise<Stage> {
  const rest = await product.admin();
  await rest.call('POST', '/api/v1/organizations', { name: 'bench' });
  await rest.call('POST', '/api/v1/repositories', { namespace: 'bench', name: 'web' });
  const pair = generateSigningKey();
  const key = parseSigningKey(pair.privateKeyPem);
  await rest.call('POST', '/api/v1/signing-keys', { name: 'bench', account: 'bench', publicKeyPem: pair.publicKeyPem });
  await rest.call('POST', '/api/v1/environments', { name: 'bench', account: 'bench', cluster: 'local' });
  await rest.call('POST', '/api/v1/signature-policies', { name: 'bench', environment: 'bench', mode: 'enforce', keys: ['bench'] });
  const digests: string[] = [];
  let token = '';
  for (let index = 0; index < count; index += 1) {
    if (index % 100 === 0) token = await registryToken(product, repository, 'pull,push');
    const { blobs, manifest } = await makeSampleImage(`<title>${index}</title>${randomUUID()}\n`);
    await push(product, repository, token, { blobs, manifest, tag: `v${index}` });
    const signed = signLegacy({ image: { digest: manifest.digest, mediaType: manifest.mediaType, sizeBytes: manifest.size }, dockerReference: `${product.ready.registry}/${repository}`, key });
    await push(product, repository, token, signed);
    digests.push(manifest.digest);
    if (index % 50 === 49) progress(`pushed and signed ${index + 1} of ${count}`);
  }
  const compose = `services:\n  web:\n    image: ${repository}:v0\n    deploy:\n      replicas: ${replicas}\n      update_config: { order: stop-first, monitor: 1s }\n`;
  await rest.call('POST', '/api/v1/applications', { name: 'bench', account: 'bench', compose });
  const { id } = await rest.call<{ id: string }>('POST', '/api/v1/deployments', { application: 'bench', environment: 'bench' });
  await ended(rest, `/api/v1/deployments/${id}`);
  const trigger = await rest.call<{ url: string; secret: string }>('POST', '/api/v1/triggers', { application: 'bench', environment: 'bench' });
  const docker = new Docker({ socketPath: engineSocket(product) });
  const service = await productService(docker, digests[0]!);
  let next = 0;
  return {
    digests,
    sample: async () => {
      next += 1;
      const digest = digests[next];
      if (digest === undefined) throw new Error('more samples than images');
      const body = JSON.stringify({ repository, tag: `v${next}`, digest });
      const signature = `sha256=${createHmac('sha256', trigger.secret).update(body).digest('hex')}`;
      const sentAt = performance.timeOrigin + performance.now();
      const answer = await rest.send('POST', trigger.url, body, { 'x-hub-signature-256': signature, 'x-gantry-delivery': randomUUID() });
      const accepted = performance.timeOrigin + performance.now() - sentAt;
      if (answer.status !== 202 || answer.location === undefined) throw new Error(`the webhook was answered ${answer.status}`);
      await ended(rest, answer.location);
      const events = await rest.call<{ items: { at: string; type: string; data: Record<string, unknown> }[] }>('GET', `${answer.location}/events`);
      const done = events.items.find(({ type, data }) => type === 'step' && data['step'] === 'services' && data['state'] === 'done');
      const live = (await service.inspect()) as EngineService;
      if (!live.Spec.TaskTemplate.ContainerSpec.Image.endsWith(`@${digest}`)) throw new Error(`the service is not at ${digest} but at ${live.Spec.TaskTemplate.ContainerSpec.Image}`);
      if (!done) throw new Error('the deployment has updated no service');
      return { accepted, committed: Date.parse(live.UpdatedAt) - sentAt, acknowledged: Date.parse(done.at) - sentAt };
    },
  };
}

/** Waits for a deployment's end, at first without asking, so that the timed part is not disturbed. */
async function ended(rest: Rest, path: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 300));
  await waitFor('the deployment ends', 120, async () => {
    const { state, reason } = await rest.call<{ state: string; reason: { code: string; detail: string } | null }>('GET', path);
    if (finished.includes(state) && state !== 'succeeded') throw new Error(`a deployment is ${state}: ${reason?.code} ${reason?.detail}`);
    return state === 'succeeded' ? true : null;
  }, 50);
}

interface EngineService {
  UpdatedAt: string;
  Version: { Index: number };
  Spec: { Name: string; Labels: Record<string, string>; TaskTemplate: { ContainerSpec: { Image: string } } };
}

async function productService(docker: Docker, digest: string): Promise<Service> {
  const services = (await docker.listServices()) as unknown as (EngineService & { ID: string })[];
  const own = services.find(({ Spec }) => Spec.TaskTemplate.ContainerSpec.Image.endsWith(`@${digest}`));
  if (!own) throw new Error('the application’s service is not on the engine');
  return docker.getService(own.ID);
}

/** A copy of the application's service that nobody but this bench touches. @returns one timed inspect + update, in milliseconds */
async function bareService(product: Product, digests: string[]): Promise<() => Promise<number>> {
  const docker = new Docker({ socketPath: engineSocket(product) });
  const { Spec } = (await (await productService(docker, digests[0]!)).inspect()) as EngineService;
  const { id } = await docker.createService({ ...Spec, Name: 'bench-bare', Labels: {} } as never);
  const service = docker.getService(id);
  const [host] = Spec.TaskTemplate.ContainerSpec.Image.split('@');
  let turn = 0;
  return async () => {
    turn += 1;
    const begin = performance.now();
    const { Version, Spec: spec } = (await service.inspect()) as EngineService;
    spec.TaskTemplate.ContainerSpec.Image = `${host}@${digests[turn % digests.length]}`;
    await service.update({ version: Version.Index, ...spec });
    return performance.now() - begin;
  };
}

function engineSocket(product: Product): string {
  const { engine } = product.ready;
  if (!engine.startsWith('unix://')) throw new Error(`this bench speaks to the engine over its socket, not over ${engine}`);
  return engine.slice('unix://'.length);
}
