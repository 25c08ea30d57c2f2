import type { EngineContainer, EngineServiceSpec, EngineTask } from '../engine.types';
import { compare, type Compared, type FindingRow, type FindingState, type Records, type SeenObject } from './compare';
import { containerObjects, isNameless, isOwnNetwork } from './look';
import { holdSpec, isHeld, releasedSpec, undoOfContainer, undoOfService } from './quarantine';

const now = new Date('2026-01-01T00:00:00Z');
const ago = (seconds: number): Date => new Date(now.getTime() - seconds * 1_000);
const object = (more: Partial<SeenObject> = {}): SeenObject => ({ kind: 'container', nodeId: 'n', id: 'c1', name: 'web', image: 'alpine', active: true, claim: null, unlisted: false, digests: [], ...more });
const row = (state: FindingState, more: Partial<FindingRow> = {}): FindingRow => ({ id: 'f1', kind: 'container', nodeId: 'n', engineId: 'c1', state, firstSeen: ago(10), ...more });
const records = (more: Partial<Records> = {}): Records => ({ bound: new Set(), claims: new Map(), names: new Set(), ...more });
const compared = (more: Partial<Compared> = {}) =>
  compare({ seen: [object()], records: records(), rows: [], watched: new Set(['', 'n']), mode: 'flag', now, grace: { settleMillis: 3_000, arrivingMillis: 40_000 }, ...more });
/** The parts of a plan that are not empty, by the names or ids of what is in them. */
const told = (plan: ReturnType<typeof compare>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(plan).filter(([, part]) => Array.isArray(part) && part.length > 0).map(([name, part]) => [name, (part as object[]).map((each) => ('row' in each ? (each.row as FindingRow).id : (each as { id: string }).id))]));

describe('what an engine has and nobody made', () => {
  it('is a baseline where nobody has looked before, and is looked at twice before it is flagged', () => {
    expect(told(compared({ watched: new Set() }))).toEqual({ baseline: ['c1'] });
    expect(told(compared({ watched: new Set(['']) }))).toEqual({ baseline: ['c1'] });
    const first = compared();
    expect([told(first), first.due]).toEqual([{ appeared: ['c1'] }, { millis: 3_000, kinds: new Set(['container']) }]);
    expect(told(compared({ rows: [row('seen', { firstSeen: ago(2) })] }))).toEqual({ still: ['f1'] });
    expect(told(compared({ rows: [row('seen', { firstSeen: ago(3) })] }))).toEqual({ still: ['f1'], flagged: ['f1'] });
  });

  it('is none of ours when a record has its id, whatever was found before', () => {
    const bound = records({ bound: new Set(['container c1']) });
    expect(told(compared({ records: bound }))).toEqual({});
    expect(told(compared({ records: bound, rows: [row('seen')] }))).toEqual({ forgotten: ['f1'] });
    for (const state of ['baseline', 'flagged', 'acknowledged', 'quarantined', 'releasing'] as const) expect([state, told(compared({ records: bound, rows: [row(state)], mode: 'quarantine' }))]).toEqual([state, { owned: ['f1'] }]);
    // Of another kind with the same id, it is not.
    expect(told(compared({ records: records({ bound: new Set(['service c1']) }) }))).toEqual({ appeared: ['c1'] });
  });

  it('may belong to a create under way for a while, and only by a claim that there is', () => {
    const live = records({ claims: new Map([['k', 'container']]) });
    const seen = [object({ claim: 'k' })];
    expect(told(compared({ seen, records: live, rows: [row('seen', { firstSeen: ago(39) })] }))).toEqual({ still: ['f1'] });
    expect(told(compared({ seen, records: live, rows: [row('seen', { firstSeen: ago(40) })] }))).toEqual({ still: ['f1'], flagged: ['f1'] });
    for (const forged of [records(), records({ claims: new Map([['k', 'service']]) }), records({ claims: new Map([['other', 'container']]) })]) {
      expect(told(compared({ seen, records: forged, rows: [row('seen')] }))).toEqual({ still: ['f1'], flagged: ['f1'] });
    }
    expect(told(compared({ records: records({ names: new Set(['container web']) }), rows: [row('seen')] }))).toEqual({ still: ['f1'] });
    expect(told(compared({ seen: [object({ unlisted: true })], rows: [row('seen')] }))).toEqual({ still: ['f1'] });
  });

  it('is stopped only where that is asked for, and never when somebody knows of it', () => {
    const states: FindingState[] = ['seen', 'baseline', 'flagged', 'acknowledged', 'quarantined', 'releasing'];
    const stopped = (mode: Compared['mode'], more: Partial<SeenObject> = {}): FindingState[] => states.filter((state) => compared({ mode, seen: [object(more)], rows: [row(state, more.kind ? { kind: more.kind } : {})] }).stop.length > 0);
    expect(stopped('flag')).toEqual([]);
    expect(stopped('quarantine')).toEqual(['seen', 'flagged', 'quarantined']);
    // What was stopped and stays so is let be.
    expect(stopped('quarantine', { active: false })).toEqual(['seen', 'flagged']);
    for (const kind of ['network', 'volume', 'secret', 'config', 'image'] as const) expect([kind, stopped('quarantine', { kind })]).toEqual([kind, []]);
    expect(told(compared({ rows: [row('releasing')] }))).toEqual({ still: ['f1'], undo: ['f1'] });
  });

  it('is gone when the engine has it no more', () => {
    for (const state of ['baseline', 'flagged', 'acknowledged', 'quarantined', 'releasing'] as const) expect(told(compared({ seen: [], rows: [row(state)] }))).toEqual({ gone: ['f1'] });
    expect(told(compared({ seen: [], rows: [row('seen')] }))).toEqual({ forgotten: ['f1'] });
    // The same id on another node is another object.
    expect(told(compared({ seen: [object({ nodeId: '' })], rows: [row('flagged')] }))).toEqual({ appeared: ['c1'], gone: ['f1'] });
  });
});

describe('what is the engine’s or the swarm’s own', () => {
  const labels = (task: string): Record<string, string> => ({ 'com.docker.swarm.task.id': task, 'com.docker.swarm.service.id': 's' });
  const task = (ID: string, ContainerID?: string, ServiceID = 's'): EngineTask => ({ ID, ServiceID, Status: { State: 'running', ...(ContainerID ? { ContainerStatus: { ContainerID } } : {}) } }) as EngineTask;
  const container = (Id: string, Labels: Record<string, string> = {}): EngineContainer => ({ Id, Names: [`/${Id}`], Labels, State: 'running' });
  const found = (containers: EngineContainer[], tasks: EngineTask[], known = new Set<string>()) => containerObjects('n', containers, tasks, known).map(({ id, unlisted }) => [id, unlisted]);

  it('are containers of which the swarm says so; a label says nothing', () => {
    expect(found([container('a', labels('t1')), container('b')], [task('t1', 'a')])).toEqual([['b', false]]);
    expect(found([container('a', labels('t1')), container('b', labels('t1'))], [task('t1', 'a')])).toEqual([['b', false]]);
    expect(found([container('a')], [task('t1', 'a', '')])).toEqual([['a', false]]);
    expect(found([container('b', labels('t1')), container('c', labels('t2'))], [task('t2')])).toEqual([['b', true], ['c', true]]);
    expect(found([container('b', { 'com.docker.swarm.task.id': 't1' })], [])).toEqual([['b', false]]);
  });

  it('stay so when the swarm forgets the task before the container ends', () => {
    const known = new Set<string>();
    expect(found([container('a', labels('t1'))], [task('t1', 'a')], known)).toEqual([]);
    expect(found([container('a', labels('t1'))], [], known)).toEqual([]);
    expect(found([], [], known)).toEqual([]);
    expect(known.size).toBe(0);
  });

  it('are the networks that every engine has, and not those that are called so', () => {
    const network = (Name: string, Driver: string, Scope = 'local', Ingress = false) => isOwnNetwork({ Id: 'x', Name, Driver, Scope, Ingress });
    expect([network('bridge', 'bridge'), network('host', 'host'), network('none', 'null'), network('docker_gwbridge', 'bridge'), network('ingress', 'overlay', 'swarm', true)]).toEqual([true, true, true, true, true]);
    expect([network('bridge', 'macvlan'), network('host', 'bridge'), network('mine', 'bridge'), network('ingress', 'overlay', 'swarm'), network('bridge', 'overlay', 'swarm'), network('ingress', 'bridge')]).toEqual([false, false, false, false, false, false]);
  });

  it('are volumes without a name that lead nowhere', () => {
    const name = 'ab'.repeat(32);
    expect(isNameless({ Name: name, Driver: 'local', Options: null })).toBe(true);
    expect([isNameless({ Name: name, Driver: 'local', Options: { o: 'bind' } }), isNameless({ Name: name, Driver: 'nfs' }), isNameless({ Name: 'data', Driver: 'local' })]).toEqual([false, false, false]);
  });
});

describe('quarantine', () => {
  const spec = (more: Partial<EngineServiceSpec>): EngineServiceSpec => ({ Name: 'web', TaskTemplate: { ContainerSpec: { Image: 'alpine' } }, ...more });

  it('leaves a service nothing to run, and gives back exactly what it had', () => {
    const specs = [
      spec({ Mode: { Replicated: { Replicas: 3 } } }), spec({ Mode: { Global: {} } }), spec({ Mode: { Global: {} }, TaskTemplate: { Placement: { Constraints: ['node.role==worker'], MaxReplicas: 1 } } }), spec({ Mode: { ReplicatedJob: { TotalCompletions: 2 } } }),
    ];
    for (const before of specs) {
      const undo = undoOfService(before) as Parameters<typeof releasedSpec>[1];
      const held = holdSpec(before)!;
      expect([isHeld(before), isHeld(held), holdSpec(held)]).toEqual([false, true, null]);
      const after = releasedSpec(held, undo)!;
      const placement = after.TaskTemplate.Placement;
      if (placement?.Constraints?.length === 0 && !before.TaskTemplate.Placement) delete after.TaskTemplate.Placement;
      expect(after).toEqual(before);
      // Whoever has scaled it since has decided.
      expect(releasedSpec(before, undo)).toBeNull();
    }
  });

  it('freezes a container that would remove itself, and stops every other', () => {
    const detail = (more: object) => undoOfContainer({ Id: 'c', State: { Running: true }, HostConfig: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 4 } }, ...more });
    expect(detail({})).toEqual({ kind: 'container', policy: { Name: 'on-failure', MaximumRetryCount: 4 }, ran: true, how: 'stop' });
    expect(detail({ State: { Running: false } })).toMatchObject({ ran: false });
    expect(detail({ HostConfig: { AutoRemove: true } })).toMatchObject({ how: 'pause', policy: { Name: 'no' } });
  });
});
