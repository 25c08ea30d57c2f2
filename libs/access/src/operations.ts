/** The catalogue of operations: kind → verbs. An operation is `kind:verb`, the smallest permission there is. */
const catalogue = {
  account: ['view', 'create', 'update', 'delete', 'manage-members'],
  repository: ['view', 'create', 'update', 'delete', 'pull', 'push'],
  cluster: ['view', 'create', 'update', 'delete', 'deploy'],
  environment: ['view', 'create', 'update', 'delete', 'deploy'],
  application: ['view', 'create', 'update', 'delete', 'deploy'],
  release: ['view'],
  plan: ['view', 'create'],
  deployment: ['view', 'create', 'cancel', 'rollback'],
  trigger: ['view', 'create', 'delete'],
  'signing-key': ['view', 'create', 'update', 'delete', 'sign'],
  'signature-policy': ['view', 'create', 'update', 'delete'],
  collection: ['view'],
  audit: ['view', 'export'],
  directory: ['view', 'update'],
  session: ['manage'],
  token: ['manage'],
  image: ['verdict'],
} as const satisfies Record<string, readonly string[]>;

/** `kind:verb`, for example `repository:push`. */
export type Operation = { [K in keyof typeof catalogue]: `${K}:${(typeof catalogue)[K][number]}` }[keyof typeof catalogue];

/** Every operation, in catalogue order. */
export const operations: readonly Operation[] = Object.entries(catalogue).flatMap(([kind, verbs]) => verbs.map((verb) => `${kind}:${verb}` as Operation));

const known: ReadonlySet<string> = new Set(operations);

/** Whether `text` is an operation of the catalogue. */
export function isOperation(text: string): text is Operation {
  return known.has(text);
}

/** What members of an organization may do with what it owns: look, and pull. */
export const memberOperations: ReadonlySet<Operation> = new Set([...operations.filter((operation) => operation.endsWith(':view')), 'repository:pull', 'image:verdict'] as Operation[]);

/** Never given by owning something: these belong to administrators of the system, whatever resource they are asked on. */
export const systemOperations: ReadonlySet<Operation> = new Set<Operation>([
  'account:create', 'account:delete', 'cluster:create', 'cluster:update', 'cluster:delete', 'audit:view', 'audit:export', 'directory:view', 'directory:update',
]);

/** What a trigger may do with what its own account owns: resolve, plan, deploy and follow. */
export const triggerOperations: ReadonlySet<Operation> = new Set<Operation>([
  'repository:view', 'repository:pull', 'image:verdict', 'application:view', 'application:deploy', 'environment:view', 'environment:deploy',
  'release:view', 'plan:view', 'plan:create', 'deployment:view', 'deployment:create',
]);
