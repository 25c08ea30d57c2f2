/**
 * How far an operation reaches; the built-in roles and the rights of owners are cut along this line.
 * - `view`: looking; - `control`: changing what does not reach the node or the host; - `full`: the rest of what Docker's Full Control allows;
 * - `host`: an option that reaches the host or past the owner's own objects; - `schedule`: placing work on nodes;
 * - `own`: what owning something gives beyond those, and custom roles may; - `system`: belongs to the installation: custom roles on `/` alone;
 * - `admin`: administrators alone, in no role.
 */
export type Grade = 'view' | 'control' | 'full' | 'host' | 'schedule' | 'own' | 'system' | 'admin';

/**
 * The catalogue: kind → verb → grade. An operation is `kind:verb`, the smallest permission there is. Kinds and verbs of Docker's objects follow
 * the Engine API and the operations of Docker's Universal Control Plane; the rest is ours.
 */
const catalogue = {
  container: {
    view: 'view', logs: 'view', stats: 'view', top: 'view', changes: 'view', wait: 'view',
    create: 'control', start: 'control', stop: 'control', restart: 'control', kill: 'control', pause: 'control', unpause: 'control', rename: 'control',
    remove: 'control', update: 'control', resize: 'control', connect: 'control', disconnect: 'control', prune: 'control', attach: 'full', exec: 'full',
    export: 'full', commit: 'full', 'filesystem-read': 'full', 'filesystem-write': 'full',
    'create:privileged': 'host', 'create:bind': 'host', 'create:capabilities': 'host', 'create:devices': 'host', 'create:host-network': 'host',
    'create:bridge-network': 'control', 'create:ipc': 'host', 'create:pid': 'host', 'create:uts': 'host', 'create:user-namespace': 'host', 'create:cgroup': 'host',
    'create:security-options': 'host', 'create:sysctls': 'host', 'create:runtime': 'host', 'create:log-driver': 'host', 'create:volume-driver': 'host',
    'create:volume-options': 'host', 'create:resources': 'host', 'exec:privileged': 'host', 'remove:external': 'host',
    'create:npipe': 'host', 'create:mount-cluster': 'host', 'create:mount-image': 'host', 'create:network-options': 'host',
  },
  image: {
    view: 'view', history: 'view', search: 'view', verdict: 'view', build: 'control', create: 'control', push: 'control', tag: 'control',
    remove: 'control', export: 'full', commit: 'full', load: 'full', prune: 'full', 'remove:force': 'host', 'build:host-network': 'host',
    'use:foreign': 'host', 'build:remote': 'host', 'build:resources': 'host', 'build:security-options': 'host', 'load:remote': 'host',
  },
  network: {
    view: 'view', create: 'control', connect: 'control', disconnect: 'control', remove: 'control', prune: 'control', 'create:attachable': 'control',
    'create:driver': 'host', 'create:ingress': 'host', 'create:ipam-driver': 'host', 'create:options': 'host', 'remove:external': 'host',
  },
  volume: { view: 'view', create: 'control', use: 'control', remove: 'control', update: 'control', prune: 'control', 'create:driver': 'host', 'create:options': 'host' },
  secret: { view: 'view', create: 'control', update: 'control', use: 'control', remove: 'control', 'remove:external': 'host' },
  config: { view: 'view', create: 'control', update: 'control', use: 'control', remove: 'control', 'remove:external': 'host' },
  service: {
    view: 'view', 'view-tasks': 'view', logs: 'view', create: 'control', update: 'control', remove: 'control',
    'create:bind': 'host', 'create:npipe': 'host', 'create:mount-cluster': 'host', 'create:mount-image': 'host', 'create:volume-driver': 'host',
    'create:volume-options': 'host', 'create:capabilities': 'host', 'create:sysctls': 'host', 'create:privileges': 'host', 'create:devices': 'host',
    'create:log-driver': 'host', 'create:host-network': 'host', 'create:network-options': 'host', 'create:resources': 'host', 'create:external-network': 'host',
    'create:external-volume': 'host', 'create:external-secret': 'host', 'create:external-config': 'host', 'update:external': 'host', 'remove:external': 'host',
  },
  stack: { view: 'view' },
  node: { view: 'schedule', schedule: 'schedule', update: 'full', 'update:role': 'system', remove: 'system' },
  swarm: { view: 'full', update: 'system', init: 'admin', join: 'admin', leave: 'admin', unlock: 'admin' },
  plugin: { view: 'full', manage: 'system' },
  cluster: { view: 'view', deploy: 'control', create: 'system', update: 'system', delete: 'system', 'view-findings': 'system', 'manage-findings': 'system' },
  repository: { view: 'view', pull: 'view', push: 'control', create: 'control', update: 'control', delete: 'control', 'manage-access': 'own' },
  application: { view: 'view', create: 'control', update: 'control', deploy: 'control', delete: 'control' },
  environment: { view: 'view', create: 'control', update: 'control', deploy: 'control', delete: 'control' },
  release: { view: 'view' },
  plan: { view: 'view', create: 'control' },
  deployment: { view: 'view', create: 'control', cancel: 'control', rollback: 'control' },
  trigger: { view: 'view', create: 'control', delete: 'control' },
  'signing-key': { view: 'view', create: 'own', update: 'own', delete: 'own', sign: 'own' },
  'signature-policy': { view: 'view', create: 'own', update: 'own', delete: 'own' },
  collection: { view: 'view', create: 'own', update: 'own', delete: 'own', place: 'own' },
  account: { view: 'own', update: 'own', 'manage-members': 'own', create: 'admin', administer: 'admin', delete: 'admin' },
  team: { view: 'own', create: 'own', update: 'own', delete: 'own', 'manage-members': 'own' },
  session: { manage: 'own' },
  token: { manage: 'own' },
  certificate: { manage: 'own' },
  audit: { view: 'system', export: 'system' },
  directory: { view: 'system', update: 'admin', sync: 'admin' },
  role: { view: 'own', create: 'admin', update: 'admin', delete: 'admin' },
  grant: { view: 'own', create: 'admin', delete: 'admin' },
  access: { review: 'system', settings: 'admin' },
} as const satisfies Record<string, Record<string, Grade>>;

/** `kind:verb`, for example `repository:push`; options that need more than the verb have a third part, `service:create:bind`. */
export type Operation = { [K in keyof typeof catalogue]: `${K}:${Extract<keyof (typeof catalogue)[K], string>}` }[keyof typeof catalogue];

interface Entry {
  operation: Operation;
  kind: string;
  grade: Grade;
}

const entries: readonly Entry[] = Object.entries(catalogue).flatMap(([kind, verbs]) =>
  Object.entries(verbs).map(([verb, grade]) => ({ operation: `${kind}:${verb}` as Operation, kind, grade })));

/** Every operation, in catalogue order. */
export const operations: readonly Operation[] = entries.map(({ operation }) => operation);

const numbers: ReadonlyMap<string, number> = new Map(operations.map((operation, index) => [operation, index]));

/** Whether `text` is an operation of the catalogue. */
export function isOperation(text: string): text is Operation {
  return numbers.has(text);
}

/** How far an operation reaches. */
export function gradeOf(operation: Operation): Grade {
  return entries[numberOf(operation)]!.grade;
}

/** Operations whose grade is among those named, in catalogue order. */
export function ofGrades(...grades: Grade[]): Operation[] {
  return entries.filter(({ grade }) => grades.includes(grade)).map(({ operation }) => operation);
}

/** Place of an operation in the catalogue; -1 for what is not in it. */
export function numberOf(operation: string): number {
  return numbers.get(operation) ?? -1;
}

/** What members of an organization may do with what it owns: look, and pull. */
export const memberOperations: ReadonlySet<Operation> = new Set<Operation>([...ofGrades('view'), 'account:view', 'team:view']);

/** What owning gives: everything but what reaches the host, the installation, or is for administrators. */
export const ownerOperations: ReadonlySet<Operation> = new Set(ofGrades('view', 'control', 'full', 'own'));

/** What a team's administrator may do with it. */
export const teamAdminOperations: ReadonlySet<Operation> = new Set<Operation>(['team:view', 'team:update', 'team:manage-members']);

/** In no role, given by no grant and no ownership. */
export const adminOperations: ReadonlySet<Operation> = new Set(ofGrades('admin'));

/** What a trigger may do with what its own account may: resolve, plan, deploy and follow. */
export const triggerOperations: ReadonlySet<Operation> = new Set<Operation>([
  'repository:view', 'repository:pull', 'image:verdict', 'application:view', 'application:deploy', 'environment:view', 'environment:deploy',
  'release:view', 'plan:view', 'plan:create', 'deployment:view', 'deployment:create',
]);

const words = Math.ceil(operations.length / 32);

/** A set of operations as bits, for decisions that are counted in nanoseconds. */
export type OperationSet = Uint32Array;

/** The set of these operations; names that are not in the catalogue (any more) are left out. */
export function toSet(names: Iterable<string>): OperationSet {
  const set = new Uint32Array(words);
  for (const name of names) {
    const at = numberOf(name);
    if (at >= 0) set[at >>> 5]! |= 1 << (at & 31);
  }
  return set;
}

/** Adds `more` to `set`. */
export function addTo(set: OperationSet, more: OperationSet): void {
  for (let word = 0; word < words; word += 1) set[word]! |= more[word]!;
}

/** Whether the operation of this number is in the set; false for -1. */
export function has(set: OperationSet, number: number): boolean {
  return number >= 0 && (set[number >>> 5]! & (1 << (number & 31))) !== 0;
}

/** The operations of a set, in catalogue order. */
export function toList(set: OperationSet): Operation[] {
  return operations.filter((_operation, at) => has(set, at));
}

/** No operation at all. */
export const nothing: OperationSet = toSet([]);

const viewOfKind: ReadonlyMap<string, number> = new Map(Object.keys(catalogue).map((kind) => [kind, numberOf(`${kind}:view`)]));
const viewOfNumber: readonly number[] = entries.map(({ kind }) => viewOfKind.get(kind) ?? -1);

/** Number of the operation that looks at what the numbered operation acts on; -1 where there is none. */
export function viewNumber(number: number): number {
  return viewOfNumber[number] ?? -1;
}

/** Number of `<kind>:view`; -1 where there is none. */
export function kindViewNumber(kind: string): number {
  return viewOfKind.get(kind) ?? -1;
}
