import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'pg';
import { eventually } from '@gantry/platform/testing';
import { callEngine, savedImage, webImage } from '../lab';
import { DockerCli, Gantry, isAlive, run, type Answer, type Api } from './gantry';

/** What an application is in one version: a network, a config, a secret, and two services of which one runs a task. */
interface Version {
  image: string;
  replicas: number;
  network: string;
  second: string;
}
const versions = {
  zero: { image: 'one', replicas: 0, network: 'old', second: 'side' },
  one: { image: 'one', replicas: 1, network: 'back', second: 'side' },
  two: { image: 'two', replicas: 1, network: 'back', second: 'extra' },
  bad: { image: 'bad', replicas: 1, network: 'back', second: 'extra' },
} satisfies Record<string, Version>;
type VersionName = keyof typeof versions;

/**
 * What is deployed in peace before, and the deployment whose points are places to die at: all of them, or, where it fails, those from the
 * watch on, which come after what another scenario has gone through already.
 */
const scenarios = {
  first: { before: [], last: 'one', ends: 'succeeded', from: null },
  update: { before: ['zero', 'one'], last: 'two', ends: 'succeeded', from: null },
  rollback: { before: ['zero', 'one'], last: 'bad', ends: 'rolled-back', from: 'watch' },
  removal: { before: [], last: 'bad', ends: 'failed', from: 'watch' },
} satisfies Record<string, { before: VersionName[]; last: VersionName; ends: string; from: string | null }>;
type Scenario = keyof typeof scenarios;

/** An application of its own in the one environment. Its name is part of every object's name. */
interface Pair {
  name: string;
  scenario: Scenario;
}
/** The n-th time that a deployment reaches a call; a call that is repeated at once, as polls are, counts once. */
interface Point {
  scenario: Scenario;
  step: string;
  when: 'before' | 'after';
  n: number;
}
interface Passed {
  step: string;
  when: 'before' | 'after';
  object: string;
  isReached: boolean;
}
interface Labelled {
  Name: string;
  Labels?: Record<string, string> | null;
}
interface World {
  services: { ID: string; Spec: Labelled }[];
  tasks: { ServiceID: string; DesiredState: string; Status: { State: string }; Spec: { ContainerSpec: { Image: string } } }[];
  configs: { ID: string; Spec: Labelled & { Data: string } }[];
  secrets: { ID: string; Spec: Labelled }[];
  networks: { Id: string; Name: string; Labels: Record<string, string> }[];
}

/** Deployments that die together; each dies at a point of its own. */
const batchSize = 40;
const stackLabel = 'com.docker.stack.namespace';
const deploymentLabel = 'io.gantry.deployment';

/**
 * An image that exits is watched for long, as a busy engine tells late what ended, and tried twice: a crowd of tasks that fail again and again
 * would only slow the engine down.
 */
function compose(pair: Pair, name: VersionName): string {
  const { image, replicas, network, second }: Version = versions[name];
  const common = `networks: [${network}]`;
  return `services:
  web-${pair.name}:
    image: acme/web:${image}
    ${common}
    configs: [note]
    secrets: [pass]
    deploy: { replicas: ${replicas}, endpoint_mode: dnsrr, restart_policy: { delay: 200ms${image === 'bad' ? ', max_attempts: 1' : ''} }, update_config: { order: stop-first, monitor: ${image === 'bad' ? 120 : 1}s } }
  ${second}-${pair.name}:
    image: acme/web:one
    ${common}
    deploy: { replicas: 0, endpoint_mode: dnsrr, update_config: { monitor: 500ms } }
configs: { note: { content: "note ${name}" } }
secrets: { pass: {} }
networks: { ${network}: {} }
`;
}

/** The product is killed with -9 before and after each call that a deployment makes to something outside, and started again. */
describe('a deployment outlives the process', () => {
  let gantry: Gantry;
  let admin: Api;
  let database: Pool;
  let made = 0;
  /** Tags by digest. */
  const tags = new Map<string, string>();
  const scratch = mkdtempSync(join(tmpdir(), 'gantry-durable-'));
  const trace = join(scratch, 'points');

  beforeAll(async () => {
    gantry = await Gantry.prepare({ flags: ['--no-sample'], env: { GANTRY_WORKER_CONCURRENCY: '100', GANTRY_CLUSTER_CONCURRENCY: '100', GANTRY_ENGINE_TIMEOUT_SECONDS: '60' } });
    await start({ GANTRY_TEST_TRACE_POINTS: trace });
    admin = await gantry.api('admin', gantry.adminPassword());
    const environment = JSON.parse(readFileSync(join(gantry.home, 'environment'), 'utf8')) as { DATABASE_URL: string };
    database = new Pool({ connectionString: environment.DATABASE_URL, max: 2 });
    database.on('error', () => undefined);
    await created(admin.post('/api/v1/organizations', { name: 'acme' }));
    await created(admin.post('/api/v1/repositories', { namespace: 'acme', name: 'web' }));
    await created(admin.post('/api/v1/environments', { name: 'dev', account: 'acme', cluster: 'local' }));
    const docker = new DockerCli(gantry.ready!.engine);
    try {
      docker.ok(['login', '-u', 'admin', '--password-stdin', gantry.ready!.registry], { input: gantry.adminPassword() });
      for (const [tag, behaviour] of [['one', 'ok'], ['two', 'ok'], ['bad', 'exits']] as const) {
        const reference = `${gantry.ready!.registry}/acme/web:${tag}`;
        const file = join(scratch, 'image.tar');
        writeFileSync(file, await savedImage(await webImage({ version: tag, behaviour }), reference));
        docker.ok(['load', '-q', '-i', file]);
        tags.set(/digest: (sha256:[0-9a-f]{64})/.exec(docker.ok(['push', reference]))![1]!, tag);
      }
    } finally {
      docker.remove();
    }
  });
  afterAll(async () => {
    await database?.end();
    // What a killed process leaves running is ended by the next one.
    if (!isAlive(gantry.pid)) await start();
    await gantry.remove();
    rmSync(scratch, { recursive: true, force: true });
  });

  const start = (extra: Record<string, string> = {}): Promise<unknown> => gantry.start(extra, 240);
  const created = async <T>(answer: Promise<Answer<T>>): Promise<T> => {
    const { status, body } = await answer;
    if (status < 200 || status > 202) throw new Error(`${status}: ${JSON.stringify(body)}`);
    return body;
  };
  const rows = async <T>(sql: string, parameters: unknown[]): Promise<T[]> => (await database.query(sql, parameters)).rows as T[];
  /** Writes the next version down; it is deployed by a wish of its own. */
  const write = async (pair: Pair, version: VersionName): Promise<void> => {
    const known = await admin.get(`/api/v1/applications/${pair.name}`);
    if (known.status === 404) await created(admin.post('/api/v1/applications', { name: pair.name, account: 'acme', compose: compose(pair, version) }));
    else await created(admin.post(`/api/v1/applications/${pair.name}/revisions`, { compose: compose(pair, version) }));
    await created(admin.send('PUT', `/api/v1/applications/${pair.name}/secrets/pass`, { environment: 'dev', value: `pass ${version}` }));
  };
  const wish = (pair: Pair): Promise<Answer<{ id: string }>> => admin.post<{ id: string }>('/api/v1/deployments', { application: pair.name, environment: 'dev' });
  const deployments = (pair: Pair): Promise<{ id: string; state: string; code: string | null; detail: string | null; previous: string | null; finished: boolean }[]> =>
    rows(`select d.id, d.state, d.reason ->> 'code' as code, d.reason ->> 'detail' as detail, d.previous_deployment_id as previous, d.finished_at is not null as finished
      from delivery_deployments d join delivery_applications a on a.id = d.application_id where a.name = $1 order by d.id`, [pair.name]);
  /** What was seen of an application's services, and when. */
  const health = (pair: Pair): Promise<unknown[]> => rows(`select e.at, e.data from delivery_events e join delivery_deployments d on d.id = e.deployment_id
    join delivery_applications a on a.id = d.application_id where a.name = $1 and e.type = 'health' order by e.id`, [pair.name]);
  /** Waits until each has so many deployments, all of them finished. */
  const finished = async (wanted: [Pair, number][]): Promise<void> => {
    await eventually('all deployments are finished', async () => {
      const done = await rows<{ name: string; count: number }>(`select a.name, count(*)::integer as count from delivery_deployments d join delivery_applications a on a.id = d.application_id
        where a.name = any($1) group by a.name having bool_and(d.finished_at is not null)`, [wanted.map(([pair]) => pair.name)]);
      const missing = wanted.filter(([{ name }, count]) => count > 0 && done.find((each) => each.name === name)?.count !== count);
      if (missing.length > 0) throw new Error(missing.map(([{ name, scenario }]) => `${name} (${scenario})`).join(', '));
      return true;
    }, 480);
  };
  const whole = (pair: Pair): [Pair, number] => [pair, scenarios[pair.scenario].before.length + 1];
  /** A new application for each scenario asked for, at the scenario's beginning. */
  const prepare = async (wanted: Scenario[]): Promise<Pair[]> => {
    const pairs = wanted.map((scenario): Pair => ({ scenario, name: `p${String((made += 1)).padStart(3, '0')}` }));
    const before = ({ scenario }: Pair): VersionName[] => scenarios[scenario].before;
    for (let round = 0; ; round += 1) {
      const some = pairs.filter((pair) => before(pair).length > round);
      if (some.length === 0) break;
      await Promise.all(some.map(async (pair) => {
        await write(pair, before(pair)[round]!);
        expect((await wish(pair)).status).toBe(202);
      }));
      await finished(some.map((pair) => [pair, round + 1]));
    }
    await Promise.all(pairs.map(async (pair) => {
      expect((await deployments(pair)).map(({ state }) => state)).toEqual(before(pair).map(() => 'succeeded'));
      await write(pair, scenarios[pair.scenario].last);
    }));
    return pairs;
  };
  const passed = (): Passed[] => (existsSync(trace) ? readFileSync(trace, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line) as Passed) : []);

  /** Everything that the engine has, in its own words. */
  const look = async (): Promise<World> => {
    const socket = gantry.ready!.engine.replace('unix://', '');
    const [services, tasks, configs, secrets, networks] = await Promise.all(['services', 'tasks', 'configs', 'secrets', 'networks'].map((kind) => callEngine(socket, 'GET', `/v1.41/${kind}`)));
    return { services, tasks, configs, secrets, networks } as World;
  };
  /** What there is of an application on the engine and in the records, with names in place of all that differs from one to the next. */
  const shape = async (pair: Pair, world: World): Promise<unknown> => {
    const stack = `${pair.name}-dev`;
    const all = await deployments(pair);
    const ours = (of: { Labels?: Record<string, string> | null }): boolean => of.Labels?.[stackLabel] === stack;
    const names = new Map<string, string>(all.map(({ id }, index) => [id, `deployment ${index + 1}`]));
    const [application] = await rows<{ id: string }>('select id from delivery_applications where name = $1', [pair.name]);
    names.set(application!.id, 'application');
    for (const { ID, Spec } of [...world.configs, ...world.secrets]) if (ours(Spec)) names.set(ID, Spec.Name);
    for (const { Id, Name } of world.networks) names.set(Id, Name);
    // The engine does not tell what is in a secret; the deployment that made it does.
    const files = [...world.configs, ...world.secrets].filter(({ Spec }) => ours(Spec)).map(({ Spec }) => [Spec.Name, `${Spec.Name.replace(/_[0-9a-f]{10}$/, '')} of ${names.get(Spec.Labels![deploymentLabel]!)}`] as const);
    const plain = <T>(value: T): T => {
      let text = JSON.stringify(value).replace(/"io\.gantry\.spec-hash":"[0-9a-f]+"/g, '"io.gantry.spec-hash":"#"').replace(/[0-9a-f-]{36}|[0-9a-z]{25}/g, (id) => names.get(id) ?? id);
      for (const [name, told] of files) text = text.replaceAll(`"${name}"`, `"${told}"`);
      return JSON.parse(text.replaceAll(pair.name, 'P').replace(/_[0-9a-f]{10}"/g, '"')) as T;
    };
    const sorted = (list: string[]): string[] => plain(list).sort();
    const services = world.services.filter(({ Spec }) => ours(Spec));
    const tasks = world.tasks.filter(({ ServiceID }) => services.some(({ ID }) => ID === ServiceID));
    const [credentials, held, audit, changes, claims] = await Promise.all([
      rows<{ service: string }>('select subject as service from access_service_credentials where revoked_at is null and subject like $1', [`%/${stack}\\_%`]),
      rows<{ service: string }>('select service from delivery_credentials d join access_service_credentials a on a.id = d.credential_id and a.revoked_at is null where service like $1', [`${stack}\\_%`]),
      rows<{ id: string; action: string; outcome: string }>(`select resource_id as id, action, outcome from audit_rows where action in ('deployment.create', 'deployment.finish') and resource_id = any($1)`, [all.map(({ id }) => id)]),
      rows<{ action: string; object: string }>(`select distinct r.action, r.detail ->> 'object' as object from audit_rows r join delivery_deployments d on d.request_id = r.request_id
        where d.id = any($1) and r.action like 'engine.%' and (r.outcome = 'success' or r.detail ->> 'conflict' = 'gone')`, [all.map(({ id }) => id)]),
      rows<{ name: string }>('select name from clusters_objects where starts_with(name, $1)', [`${stack}_`]),
    ]);
    return {
      deployments: plain(all.map(({ id, state, code, previous }) => ({ id, state, code, previous }))),
      services: plain(services.map(({ Spec }) => Spec).sort((a, b) => (a.Name < b.Name ? -1 : 1))),
      running: tasks.filter(({ DesiredState }) => DesiredState === 'running').map(({ Status, Spec }) => [Status.State, tags.get(Spec.ContainerSpec.Image.split('@')[1] ?? '')]),
      // An image that exits is tried as often as there is time for.
      tasks: versions[scenarios[pair.scenario].last].image === 'bad' ? null : tasks.length,
      configs: plain(world.configs.filter(({ Spec }) => ours(Spec)).map(({ Spec }) => Spec)).map((spec) => JSON.stringify(spec)).sort(),
      secrets: sorted(world.secrets.filter(({ Spec }) => ours(Spec)).map(({ Spec }) => Spec.Name)),
      networks: sorted(world.networks.filter(ours).map(({ Name, Labels }) => `${Name} of ${Labels[deploymentLabel]}`)),
      credentials: sorted(credentials.map(({ service }) => service.split('/')[1] ?? '')),
      claims: sorted(claims.map(({ name }) => name)),
      held: sorted(held.map(({ service }) => service)),
      audit: sorted(audit.map(({ id, action, outcome }) => `${id} ${action} ${outcome}`)),
      changes: sorted(changes.map(({ action, object }) => `${action} ${object}`)),
    };
  };
  const settled = async (pairs: Pair[]): Promise<Map<Pair, unknown>> => {
    const world = await look();
    return new Map(await Promise.all(pairs.map(async (pair) => [pair, await shape(pair, world)] as const)));
  };
  /** Where two shapes differ: what was wished for, what is. */
  const difference = (wished: unknown, is: unknown): Record<string, unknown[]> => {
    const [a, b] = [wished, is] as [Record<string, unknown>, Record<string, unknown>];
    const only = (list: unknown, other: unknown): unknown => (Array.isArray(list) && Array.isArray(other) ? list.filter((each) => !other.some((one) => text(one) === text(each))) : list);
    return Object.fromEntries(Object.keys(a).filter((key) => text(a[key]) !== text(b[key])).map((key) => [key, [only(a[key], b[key]), only(b[key], a[key])]]));
  };
  const text = (value: unknown): string => JSON.stringify(value, null, 1);

  const wanted = new Map<Scenario, unknown>();
  const points: Point[] = [];

  it('shows in peace what it does, and all points that it passes', async () => {
    const names = Object.keys(scenarios) as Scenario[];
    const [runs, again] = [await prepare(names), await prepare(names)];
    const all = [...runs, ...again];
    rmSync(trace);
    for (const pair of all) expect((await wish(pair)).status).toBe(202);
    await finished(all.map(whole));
    const counts = new Map<Pair, Map<string, { all: number; left: number }>>();
    for (const pair of all) {
      const counted = new Map<string, { all: number; left: number }>();
      const { from }: { from: string | null } = scenarios[pair.scenario];
      const last = { before: '', after: '' };
      let isFrom = from === null;
      for (const { step, when, object } of passed().filter((each) => each.object.includes(pair.name))) {
        isFrom ||= step === from;
        const call = `${step} ${object}`;
        const isRepeat = last[when] === call;
        last[when] = call;
        if (isRepeat) continue;
        const count = counted.get(`${step} ${when}`) ?? { all: 0, left: 0 };
        counted.set(`${step} ${when}`, { all: count.all + 1, left: count.left + (isFrom ? 0 : 1) });
      }
      counts.set(pair, counted);
    }
    let shapes = new Map<Pair, unknown>();
    for (const [index, pair] of runs.entries()) {
      const other = again[index]!;
      // Two runs in peace end alike: then a difference is a fault's doing.
      await eventually(`two runs of ${pair.scenario} are alike`, async () => {
        shapes = await settled(all);
        return text(shapes.get(pair)) === text(shapes.get(other));
      }, 120).catch(() => expect(shapes.get(pair)).toEqual(shapes.get(other)));
      const found = shapes.get(pair) as { deployments: { state: string }[] };
      expect([pair.scenario, found.deployments.at(-1)?.state]).toEqual([pair.scenario, scenarios[pair.scenario].ends]);
      wanted.set(pair.scenario, found);
      for (const [key, count] of counts.get(pair)!) {
        const [step, when] = key.split(' ') as [string, Point['when']];
        const sure = Math.min(count.all, counts.get(other)!.get(key)?.all ?? 0);
        for (let n = count.left + 1; n <= sure; n += 1) points.push({ scenario: pair.scenario, step, when, n });
      }
    }
    expect(wanted.get('first')).toMatchObject({ held: ['P-dev_side-P', 'P-dev_web-P'], credentials: ['P-dev_side-P', 'P-dev_web-P'], networks: ['P-dev_back of deployment 1'], secrets: ['P-dev_pass of deployment 1'], tasks: 1 });
    expect(wanted.get('update')).toMatchObject({ held: ['P-dev_extra-P', 'P-dev_web-P'], tasks: 2 });
    expect(wanted.get('rollback')).toMatchObject({ held: ['P-dev_side-P', 'P-dev_web-P'], running: [['running', 'one']] });
    expect(wanted.get('removal')).toMatchObject({ services: [], configs: [], secrets: [], networks: [], held: [] });
  }, 1_800_000);

  it('finishes once, exactly as planned, wherever the process was killed', async () => {
    const began = Date.now();
    process.stderr.write(`${Object.keys(scenarios).map((name) => `${name}: ${points.filter(({ scenario }) => scenario === name).map(({ step, when, n }) => `${step}:${when}:${n}`).join(' ')}`).join('\n')}\n`);
    const cases: { point: Point; pair: Pair }[] = [];
    for (let at = 0; at < points.length; at += batchSize) {
      const some = points.slice(at, at + batchSize);
      const pairs = await prepare(some.map(({ scenario }) => scenario));
      cases.push(...some.map((point, index) => ({ point, pair: pairs[index]! })));
    }
    const says = ({ point, pair }: { point: Point; pair: Pair }): string => `${point.step}:${point.when}:${point.n}:${pair.name}`;
    await gantry.kill();
    let missed = 0;
    let retried = 0;
    let killed = 0;
    const wrong: Record<string, unknown>[] = [];
    let last: { case: (typeof cases)[number]; accepted: boolean }[] = [];
    for (let at = 0; ; at += batchSize) {
      const batch = cases.slice(at, at + batchSize);
      process.stderr.write(`${Math.round((Date.now() - began) / 1000)} s: ${at}\n`);
      await start(batch.length === 0 ? {} : { GANTRY_TEST_KILL_AT: batch.map(says).join(','), GANTRY_TEST_TRACE_POINTS: trace });
      // This start is armed for other applications alone: those that died before go on undisturbed.
      for (const { case: { point, pair }, accepted } of last) {
        const { before } = scenarios[pair.scenario];
        const count = (await deployments(pair)).length;
        if (accepted || count > before.length) {
          if (count !== before.length + 1) wrong.push({ died: says({ point, pair }), accepted, deployments: count });
          continue;
        }
        retried += 1;
        expect((await wish(pair)).status).toBe(202);
      }
      await finished(last.map((each) => whole(each.case.pair)));
      const left = new Set(last.map((each) => each.case));
      let shapes = new Map<Pair, unknown>();
      await eventually('all is as after a run in peace', async () => {
        shapes = await settled([...left].map(({ pair }) => pair));
        for (const each of left) if (text(shapes.get(each.pair)) === text(wanted.get(each.pair.scenario))) left.delete(each);
        return left.size === 0;
      }, 120).catch(async () => {
        for (const each of left) wrong.push({ died: says(each), scenario: each.pair.scenario, ...difference(wanted.get(each.pair.scenario), shapes.get(each.pair)), reasons: (await deployments(each.pair)).map(({ detail }) => detail), seen: await health(each.pair) });
      });
      if (batch.length === 0) break;

      rmSync(trace, { force: true });
      const wishes = batch.map((each) => wish(each.pair).then((answer) => answer.status, () => null));
      const reached = (): Set<string> => new Set(passed().filter((each) => each.isReached).map(({ step, when, object }) => `${step}:${when}:${/p\d{3}/.exec(object)?.[0]}`));
      const notReached = (): typeof batch => {
        const seen = reached();
        return batch.filter(({ point, pair }) => !seen.has(`${point.step}:${point.when}:${pair.name}`));
      };
      await eventually('each has come to its point, or is through without it', async () => {
        if (!isAlive(gantry.pid)) return true;
        for (const { pair } of notReached()) {
          const all = await deployments(pair);
          if (all.length <= scenarios[pair.scenario].before.length || !all.every((each) => each.finished)) return false;
        }
        return notReached().length > 0 && gantry.kill().then(() => true);
      }, 480);
      expect(await gantry.ended()).toBe('SIGKILL');
      const through = notReached();
      // How often a loop turns is not for us to say, but what every run does is reached by every run.
      for (const each of through.filter(({ point }) => point.n === 1)) wrong.push({ notReached: says(each), scenario: each.pair.scenario, deployments: await deployments(each.pair) });
      missed += through.length;
      killed += batch.length - through.length;
      const statuses = await Promise.all(wishes);
      last = batch.map((each, index) => ({ case: each, accepted: statuses[index] === 202 }));
    }
    process.stderr.write(`killed at ${killed} points (${retried} before the wish was accepted, ${missed} not met again) in ${Math.round((Date.now() - began) / 1000)} s\n`);
    if (wrong.length > 0) throw new Error(wrong.map((each) => JSON.stringify(each)).join('\n'));
    expect(killed).toBeGreaterThan(100);
  }, 3_600_000);

  it('is run though the process was killed while it waited for its turn', async () => {
    const [runs, waits] = (await prepare(['first', 'first'])) as [Pair, Pair];
    await gantry.kill();
    rmSync(trace, { force: true });
    await start({ GANTRY_TEST_KILL_AT: `observe:before:1:${runs.name},never:before:1`, GANTRY_TEST_TRACE_POINTS: trace, GANTRY_CLUSTER_CONCURRENCY: '1' });
    expect((await wish(runs)).status).toBe(202);
    await eventually('the first one works', () => passed().some(({ isReached }) => isReached), 120);
    // One waits for a place on the cluster, one for the deployment before it.
    expect((await wish(waits)).status).toBe(202);
    await write(runs, 'two');
    expect((await wish(runs)).status).toBe(202);
    expect([(await deployments(waits)).map(({ state }) => state), (await deployments(runs)).map(({ state }) => state)]).toEqual([['queued'], ['applying', 'queued']]);
    await gantry.kill();
    await start();
    await finished([[waits, 1], [runs, 2]]);
    expect((await deployments(runs)).map(({ state }) => state)).toEqual(['succeeded', 'succeeded']);
    const shapes = await settled([waits, runs]);
    expect(shapes.get(waits)).toEqual(wanted.get('first'));
    expect(shapes.get(runs)).toMatchObject({ held: ['P-dev_extra-P', 'P-dev_web-P'], tasks: 2, running: [['running', 'two']] });
  }, 900_000);

  it('leaves an audit record that is whole', () => {
    const verified = run(process.execPath, [join(__dirname, '../../bin/gantry.js'), 'audit', 'verify'], { env: { GANTRY_HOME: gantry.home } });
    expect([verified.code, verified.stdout + verified.stderr]).toEqual([0, expect.stringMatching(/^The audit record is whole: \d+ rows/)]);
  });
});
