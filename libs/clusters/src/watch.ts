import type { EngineNode, EngineService, EngineTask, EngineTaskTemplate } from './engine.types';

/** What the engine told at one moment about one service: the service, its tasks (all, with history) and the nodes. */
export interface Observation {
  service: EngineService;
  tasks: readonly EngineTask[];
  nodes: readonly EngineNode[];
}

/** How much is asked before a service counts as healthy or failed. */
export interface WatchOptions {
  /** Tasks must have been running unchanged for this long. Tasks with a healthcheck run only once healthy, so a short time will do. */
  stableSeconds: number;
  /** This many failed tasks of the new spec are a failure, unless as many run as are wanted. Default 3. */
  maxFailures?: number;
}

/** When an observation was made, in milliseconds of one clock: what it tells was so at some moment between the two. */
export interface Looked {
  askedMillis: number;
  answeredMillis: number;
}

/** What `converge` remembers from one observation to the next. */
export interface WatchMemory {
  /** Ids of the running tasks at the last observation. */
  running: string;
  /** For how long (milliseconds) these tasks were seen to run unchanged. */
  stableMillis: number;
  /** Up to when (milliseconds) that is counted. */
  atMillis: number;
}

/** Where a service stands on its way to what its spec asks for. */
export interface Convergence {
  state: 'converging' | 'healthy' | 'failed';
  /** For `failed`: the task's own error. For `converging`: what it waits for. Empty when healthy. */
  reason: string;
  /** The task whose error `reason` tells, or null; its log may say more. */
  taskId: string | null;
  counts: {
    /** Tasks that the spec asks for (replicas, eligible nodes, completions). */
    wanted: number;
    /** Tasks of the new spec that run on nodes that answer, or are complete where that is the aim. */
    running: number;
    /** Tasks of earlier specs that still run. */
    old: number;
    /** Tasks of the new spec that failed or were rejected since the update. */
    failed: number;
  };
}

/** For an update of ports alone the engine restarts tasks that look the same; it has announced that within this time. */
const announceMillis = 5_000;

/** An observation speaks for no more than this of the time before it: a machine that stood still in between would make two looks a long watch. */
const spokenForMillis = 2_000;

/**
 * Judges one observation. Pure: the same input gives the same verdict. Sources: the task life cycle and `UpdateStatus` of SwarmKit.
 * Returns the verdict and what to hand in with the next observation (null at the first).
 */
export function converge(seen: Observation, memory: WatchMemory | null, looked: Looked, options: WatchOptions): { verdict: Convergence; memory: WatchMemory } {
  const verdict = judgeTasks(seen, looked.askedMillis, options.maxFailures ?? 3);
  const kept = remembered(memory, verdict.running.join(' '), looked);
  const { state } = verdict;
  const settled = isJob(seen.service) || verdict.counts.wanted === 0 || kept.stableMillis >= options.stableSeconds * 1000;
  if (state === 'healthy' && !settled) return { verdict: { ...plain(verdict), state: 'converging', reason: 'all tasks run; waiting whether they stay' }, memory: kept };
  return { verdict: plain(verdict), memory: kept };
}

/** A slow answer may be as old as its question: time is counted from the first answer on, and up to the last question. */
function remembered(memory: WatchMemory | null, running: string, { askedMillis, answeredMillis }: Looked): WatchMemory {
  if (memory?.running !== running) return { running, stableMillis: 0, atMillis: answeredMillis };
  const sinceMillis = Math.max(0, askedMillis - memory.atMillis);
  return { running, stableMillis: memory.stableMillis + Math.min(sinceMillis, spokenForMillis), atMillis: Math.max(askedMillis, memory.atMillis) };
}

function plain(verdict: Convergence & { running: string[] }): Convergence {
  const { state, reason, taskId, counts } = verdict;
  return { state, reason, taskId, counts };
}

function judgeTasks(seen: Observation, nowMillis: number, maxFailures: number): Convergence & { running: string[] } {
  const { service } = seen;
  const epoch = startOfUpdate(service);
  const down = new Set(seen.nodes.filter((node) => node.Status.State !== 'ready').map((node) => node.ID));
  const fresh = seen.tasks.filter((task) => isOfSpec(task, service) && ofIteration(task, service));
  const wanted = wantedTasks(seen);
  const aim = isJob(service) || restartCondition(service) !== 'any' ? ['running', 'complete'] : ['running'];
  const good = fresh.filter((task) => (isJob(service) ? task.Status.State === 'complete' : aim.includes(task.Status.State) && (task.Status.State === 'complete' || (task.DesiredState === 'running' && !down.has(task.NodeID ?? '')))));
  const slots = new Map(good.map((task) => [slotOf(task, service), task] as const));
  const old = seen.tasks.filter((task) => !isOfSpec(task, service) && task.Status.State === 'running' && !down.has(task.NodeID ?? '')).length;
  const failures = fresh.filter((task) => isFailure(task, service) && Date.parse(task.CreatedAt) >= epoch).sort((a, b) => Date.parse(a.Status.Timestamp ?? a.UpdatedAt) - Date.parse(b.Status.Timestamp ?? b.UpdatedAt));
  const last = failures[failures.length - 1];
  const counts = { wanted, running: slots.size, old, failed: failures.length };
  const base = { counts, running: [...slots.values()].map((task) => task.ID).sort() };
  const failed = (reason: string): Convergence & { running: string[] } => ({ ...base, state: 'failed', reason: last ? taskError(last) : reason, taskId: last?.ID ?? null });
  const waiting = (reason: string, task?: EngineTask): Convergence & { running: string[] } => ({ ...base, state: 'converging', reason, taskId: task?.ID ?? null });

  const update = service.UpdateStatus?.State ?? '';
  if (update === 'paused' || update.startsWith('rollback')) return failed(service.UpdateStatus?.Message ?? `the engine stopped the update (${update})`);
  const done = slots.size >= wanted && (old === 0 || isJob(service));
  if (!done && failures.length >= maxFailures) return failed('');
  if (!done && failures.length > 0 && update !== 'updating' && !fresh.some(isAlive)) return failed('');
  if (!done) {
    const pending = fresh.find((task) => isAlive(task) && task.Status.Err) ?? fresh.find((task) => isAlive(task) && task.Status.State !== 'running');
    if (pending) return waiting(`${pending.Status.State}: ${pending.Status.Err ?? pending.Status.Message ?? ''}`, pending);
    return waiting(last ? taskError(last) : slots.size < wanted ? `${slots.size} of ${wanted} tasks run` : `${old} tasks of the earlier version still run`, last);
  }
  if (update === 'updating') return waiting('the engine watches the new tasks');
  if (update === '' && endpointsDiffer(service) && Math.abs(nowMillis - Date.parse(service.UpdatedAt)) < announceMillis) return waiting('the engine has not begun the update');
  return { ...base, state: 'healthy', reason: '', taskId: null };
}

/** Since when tasks count as the update's: the history also holds failures of the same spec from before. */
function startOfUpdate(service: EngineService): number {
  // The updater sets StartedAt before it makes the first task. Without an updater the last write was the spec's own.
  return Date.parse(service.UpdateStatus?.StartedAt ?? (service.PreviousSpec ? service.UpdatedAt : service.CreatedAt));
}

function isJob(service: EngineService): boolean {
  return service.Spec.Mode?.ReplicatedJob !== undefined || service.Spec.Mode?.GlobalJob !== undefined;
}

function ofIteration(task: EngineTask, service: EngineService): boolean {
  return !isJob(service) || (task.JobIteration?.Index ?? 0) === (service.JobStatus?.JobIteration?.Index ?? 0);
}

function restartCondition(service: EngineService): string {
  return service.Spec.TaskTemplate.RestartPolicy?.Condition || 'any';
}

/** One task a slot counts (replicated), one a node (global); each completion of a job has its own slot. */
function slotOf(task: EngineTask, service: EngineService): string {
  return service.Spec.Mode?.Global || service.Spec.Mode?.GlobalJob ? (task.NodeID ?? task.ID) : String(task.Slot ?? task.ID);
}

function isAlive(task: EngineTask): boolean {
  return (
    (task.DesiredState === 'running' || task.DesiredState === 'ready' || task.DesiredState === 'complete') &&
    !['complete', 'shutdown', 'failed', 'rejected', 'remove', 'orphaned'].includes(task.Status.State)
  );
}

/** A service that is to run for ever and ends, even in order, has failed. */
function isFailure(task: EngineTask, service: EngineService): boolean {
  if (task.Status.State === 'failed' || task.Status.State === 'rejected') return true;
  return task.Status.State === 'complete' && !isJob(service) && restartCondition(service) === 'any';
}

/** The task's own words. */
function taskError(task: EngineTask): string {
  const exit = task.Status.ContainerStatus?.ExitCode;
  if (task.Status.Err) return task.Status.Err;
  if (task.Status.State === 'complete') return `the container ended (exit ${exit ?? 0}), but the service is to keep running`;
  return task.Status.Message || (exit === undefined ? task.Status.State : `exit ${exit}`);
}

/** What makes a task: SwarmKit replaces tasks when one of these differs. A change of placement replaces only those that no longer fit. */
const making = ['ContainerSpec', 'Resources', 'RestartPolicy', 'ForceUpdate', 'Networks', 'LogDriver'] as const;

/** Whether a task was made from the service's present spec: engines answer the task's own copy of the template. */
function isOfSpec(task: EngineTask, service: EngineService): boolean {
  const part = (template: EngineTaskTemplate): string => canonical(making.map((member) => template[member] ?? {}));
  return part(task.Spec) === part(service.Spec.TaskTemplate);
}

/** JSON with sorted members, without those that say nothing: engines fill in and leave out empty ones as they like. */
function canonical(value: unknown): string {
  return JSON.stringify(prune(value)) ?? '';
}

function prune(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map((item) => prune(item) ?? null);
  if (typeof value !== 'object' || value === null) return value === '' || value === 0 || value === false || value === null ? undefined : value;
  const members = Object.entries(value)
    .map(([key, member]) => [key, prune(member)] as const)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return members.length === 0 ? undefined : Object.fromEntries(members);
}

function endpointsDiffer(service: EngineService): boolean {
  return service.PreviousSpec !== undefined && canonical(service.PreviousSpec.EndpointSpec) !== canonical(service.Spec.EndpointSpec);
}

function wantedTasks({ service, nodes }: Observation): number {
  const mode = service.Spec.Mode ?? {};
  if (mode.ReplicatedJob) return mode.ReplicatedJob.TotalCompletions ?? mode.ReplicatedJob.MaxConcurrent ?? 1;
  if (mode.Global || mode.GlobalJob) {
    const { Constraints, Platforms } = service.Spec.TaskTemplate.Placement ?? {};
    return nodes.filter((node) => node.Status.State === 'ready' && node.Spec.Availability === 'active' && (Constraints ?? []).every((constraint) => fits(node, constraint)) && fitsPlatform(node, Platforms ?? [])).length;
  }
  return mode.Replicated?.Replicas ?? 1;
}

/** One placement constraint, `node.labels.zone==a` or `!=`; SwarmKit compares without regard to case. One that we don't know fits. */
function fits(node: EngineNode, constraint: string): boolean {
  const match = /^\s*([^=!\s]+)\s*(==|!=)\s*(.*?)\s*$/.exec(constraint);
  if (!match) return true;
  const [, key = '', operator, wanted = ''] = match;
  const value = attribute(node, key);
  if (value === undefined) return true;
  return (value.toLowerCase() === wanted.toLowerCase()) === (operator === '==');
}

function attribute(node: EngineNode, key: string): string | undefined {
  const labels = /^(node|engine)\.labels\.(.+)$/i.exec(key);
  if (labels) return ((labels[1] === 'node' ? node.Spec.Labels : node.Description?.Engine?.Labels) ?? {})[labels[2]!] ?? '';
  switch (key.toLowerCase()) {
    case 'node.id':
      return node.ID;
    case 'node.hostname':
      return node.Description?.Hostname ?? '';
    case 'node.role':
      return node.Spec.Role;
    case 'node.platform.os':
      return node.Description?.Platform?.OS ?? '';
    case 'node.platform.arch':
      return node.Description?.Platform?.Architecture ?? '';
    default:
      return undefined;
  }
}

const architectures: Record<string, string> = { x86_64: 'amd64', aarch64: 'arm64' };

function fitsPlatform(node: EngineNode, platforms: readonly { Architecture?: string; OS?: string }[]): boolean {
  if (platforms.length === 0) return true;
  const plainName = (text: string | undefined): string => architectures[(text ?? '').toLowerCase()] ?? (text ?? '').toLowerCase();
  const own = node.Description?.Platform;
  return platforms.some((platform) => (!platform.OS || plainName(platform.OS) === plainName(own?.OS)) && (!platform.Architecture || plainName(platform.Architecture) === plainName(own?.Architecture)));
}
