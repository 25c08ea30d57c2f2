import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { converge, type Convergence, type Observation, type WatchMemory } from './watch';

/** What a real engine told; recorded by test/fixtures/capture.mjs. */
const recorded = JSON.parse(readFileSync(join(__dirname, '../test/fixtures/watch.json'), 'utf8')) as Record<string, Observation>;

function seen(name: string): Observation {
  const observation = recorded[name];
  if (!observation) throw new Error(`no record ${name}`);
  return structuredClone(observation);
}

const later = Date.parse('2100-01-01T00:00:00Z');

/** The last of several looks at the same, which begin at these milliseconds after `later`; each is answered at once. */
function looks(observation: Observation, at: readonly number[], memory: WatchMemory | null = null): ReturnType<typeof converge> {
  return at.map((millis) => {
    const seenNow = converge(observation, memory, { askedMillis: later + millis, answeredMillis: later + millis }, { stableSeconds: 5 });
    memory = seenNow.memory;
    return seenNow;
  }).at(-1)!;
}

/** The verdict once the same has been seen for long. */
function verdict(observation: Observation): Convergence {
  return looks(observation, [0, 2_000, 4_000, 6_000]).verdict;
}

describe('converge', () => {
  it.each([
    ['running', 'healthy', '', { wanted: 2, running: 2, old: 0, failed: 0 }],
    ['updating', 'converging', expect.any(String), { wanted: 2, running: 1, old: 1, failed: 0 }],
    ['updated', 'healthy', '', { wanted: 2, running: 2, old: 0, failed: 0 }],
    ['paused', 'failed', 'task: non-zero exit (3)', { wanted: 2, failed: expect.any(Number) }],
    ['rolled-back', 'failed', expect.stringContaining('rollback completed'), {}],
    ['exits', 'failed', 'task: non-zero exit (3)', { wanted: 2, old: 0 }],
    ['missing-image', 'failed', expect.stringContaining('No such image'), { wanted: 2, running: 0 }],
    ['unplaceable', 'converging', expect.stringContaining('no suitable node'), { wanted: 2, running: 0, failed: 0 }],
    ['ends', 'failed', 'the container ended (exit 0), but the service is to keep running', { wanted: 2 }],
    ['once', 'healthy', '', { wanted: 2, running: 2, failed: 0 }],
    ['job', 'healthy', '', { wanted: 3, running: 3, failed: 0 }],
    ['gives-up', 'failed', 'task: non-zero exit (3)', { wanted: 1, running: 0, failed: 1 }],
    ['global', 'healthy', '', { wanted: 1, running: 1 }],
    ['node-down', 'converging', expect.any(String), { wanted: 2, running: 1 }],
  ] as const)('judges what a real engine told: %s is %s', (name, state, reason, counts) => {
    expect(verdict(seen(name))).toMatchObject({ state, reason, counts });
  });

  it('names the task that failed last, whose log says more', () => {
    const observation = seen('exits');
    const failed = observation.tasks.filter((task) => task.Status.State === 'failed').sort((a, b) => Date.parse(a.Status.Timestamp!) - Date.parse(b.Status.Timestamp!));
    expect(verdict(observation).taskId).toBe(failed[failed.length - 1]!.ID);
  });

  it('waits whether tasks stay, and begins again when one was replaced', () => {
    const observation = seen('running');
    expect(looks(observation, [0]).verdict.state).toBe('converging');
    const most = looks(observation, [0, 2_000, 4_000, 4_999]);
    expect(most.verdict.state).toBe('converging');
    expect(looks(observation, [5_000], most.memory).verdict.state).toBe('healthy');
    const other = seen('running');
    other.tasks[0]!.ID = 'replaced';
    const moved = looks(other, [4_999, 6_000, 8_000, 9_000], most.memory);
    expect(moved.verdict.state).toBe('converging');
    expect(looks(other, [9_999], moved.memory).verdict.state).toBe('healthy');
  });

  it('takes two looks with a long silence between them for two looks, not for a long watch', () => {
    const observation = seen('running');
    const late = looks(observation, [0, 60_000]);
    expect(late.verdict.state).toBe('converging');
    expect(looks(observation, [61_000, 62_000, 63_000], late.memory).verdict.state).toBe('healthy');
  });

  it('takes a slow answer for as old as its question', () => {
    const observation = seen('running');
    const { memory } = converge(observation, null, { askedMillis: later, answeredMillis: later + 4_000 }, { stableSeconds: 5 });
    const most = looks(observation, [6_000, 8_000, 8_999], memory);
    expect(most.verdict.state).toBe('converging');
    const slow = converge(observation, most.memory, { askedMillis: later + 8_999, answeredMillis: later + 30_000 }, { stableSeconds: 5 });
    expect(slow.verdict.state).toBe('converging');
    expect(looks(observation, [30_001], slow.memory).verdict.state).toBe('healthy');
  });

  it('does not take tasks of an earlier spec for the new ones', () => {
    const observation = seen('running');
    observation.service.Spec.TaskTemplate.ForceUpdate = 1;
    expect(verdict(observation)).toMatchObject({ state: 'converging', counts: { running: 0, old: 2 } });
  });

  it('does not hold failures from before the update against it', () => {
    const observation = seen('exits');
    observation.service.UpdateStatus = { State: 'updating', StartedAt: '2099-01-01T00:00:00Z' };
    expect(verdict(observation)).toMatchObject({ state: 'converging', counts: { failed: 0 } });
  });

  it('stays with the engine until that has watched the new tasks', () => {
    const observation = seen('updated');
    observation.service.UpdateStatus!.State = 'updating';
    expect(verdict(observation)).toMatchObject({ state: 'converging', counts: { running: 2 } });
  });

  it('expects an update where ports alone have changed', () => {
    const observation = seen('updated');
    delete observation.service.UpdateStatus;
    observation.service.PreviousSpec = { ...observation.service.Spec, EndpointSpec: { Ports: [{ TargetPort: 80 }] } };
    const at = Date.parse(observation.service.UpdatedAt);
    const look = (millis: number): Convergence => converge(observation, null, { askedMillis: at + millis, answeredMillis: at + millis }, { stableSeconds: 0 }).verdict;
    expect(look(1_000).state).toBe('converging');
    expect(look(6_000).state).toBe('healthy');
  });

  it('is content with nothing where nothing is wanted', () => {
    const observation = { ...seen('running'), tasks: [] };
    observation.service.Spec.Mode = { Replicated: { Replicas: 0 } };
    expect(looks(observation, [0]).verdict).toMatchObject({ state: 'healthy', counts: { wanted: 0 } });
  });

  it.each([
    ['node.role != manager', 1],
    ['node.role==manager', 1],
    ['node.hostname==NODE2', 1],
    ['node.labels.zone==a', 0],
    ['node.labels.zone!=a', 2],
    ['node.platform.os==linux', 2],
  ])('counts the nodes of a global service that fit %s', (constraint, wanted) => {
    const observation = seen('global');
    observation.service.Spec.TaskTemplate.Placement = { Constraints: [constraint] };
    expect(verdict(observation).counts.wanted).toBe(wanted);
  });

  it('leaves drained nodes out of a global service', () => {
    const observation = seen('global');
    observation.service.Spec.TaskTemplate.Placement = {};
    observation.nodes[0]!.Spec.Availability = 'drain';
    expect(verdict(observation).counts.wanted).toBe(1);
  });
});
