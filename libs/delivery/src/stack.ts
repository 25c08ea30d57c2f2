import { createHash } from 'node:crypto';
import { deploymentLabel, isOwnConstraint } from '@gantry/clusters';
import { canonical, ComposeSpecError, toSpecs, type ComposeFile, type ServiceSpec } from './compose';
import type { ReleaseImage, Stack, StackService } from './entities';
import { deliveryProblem } from './problems';
import { pinnedReference } from './references';

/** Labels by which our objects are known on a cluster. They are on the objects themselves, never on containers: a change of theirs restarts no task. */
export const labels = {
  stack: 'com.docker.stack.namespace',
  application: 'io.gantry.application',
  environment: 'io.gantry.environment',
  /** Hash of the spec as it was sent; tells whether a call that we did not see the end of took place. */
  hash: 'io.gantry.spec-hash',
  /** Deployment that last sent the object. Not part of the hash. */
  deployment: deploymentLabel,
} as const;

/** What `renderStack` needs beside the file. */
export interface StackOptions {
  application: { id: string; name: string };
  environment: { id: string; name: string };
  images: Record<string, ReleaseImage>;
  secretValues: Record<string, Uint8Array>;
  /** Key of the HMAC in the names of configs and secrets; the same for the life of the pair. */
  nameKey: Uint8Array;
  /** host[:port] that nodes pull from. */
  registryHost: string;
  /** Seals a secret's data (base64 text) for storage. */
  seal: (data: string) => string;
}

/**
 * Everything that the application shall have on the environment's cluster: what `toSpecs` makes, with our labels, hashes, and updates that
 * pause on failure, because the way back is ours: it returns every service, with its configs and secrets, not only the one that failed.
 * Equal input gives an equal stack (but for the sealing).
 * @throws delivery.compose-invalid
 */
export function renderStack(file: ComposeFile, options: StackOptions): Stack {
  const name = stackName(options.application, options.environment);
  const images = Object.fromEntries(Object.entries(options.images).map(([service, image]) => [service, pinnedReference(options.registryHost, image)]));
  let desired;
  try {
    desired = toSpecs(file, { stack: name, images, secretValues: options.secretValues, nameKey: options.nameKey });
  } catch (error) {
    if (!(error instanceof ComposeSpecError)) throw error;
    throw deliveryProblem('compose-invalid', { detail: error.message, errors: [{ pointer: `/compose#${error.pointer}`, detail: error.message }] });
  }
  for (const spec of desired.services) {
    if (!spec.TaskTemplate.Placement?.Constraints?.some(isOwnConstraint)) continue;
    const at = `/services/${spec.Name.slice(name.length + 1)}/deploy/placement/constraints`;
    const detail = 'constraints on node labels that begin with io.gantry. come from Gantry';
    throw deliveryProblem('compose-invalid', { detail: `${at}: ${detail}.`, errors: [{ pointer: `/compose#${at}`, detail }] });
  }
  const ours = { [labels.application]: options.application.id, [labels.environment]: options.environment.id };
  const mark = <T extends { Labels: Record<string, string> }>(spec: T): T => ({ ...spec, Labels: { ...spec.Labels, ...ours } });
  return canonical<Stack>({
    name,
    networks: desired.networks.map(mark),
    configs: desired.configs.map((config) => ({ name: config.name, spec: mark(config.spec) })),
    secrets: desired.secrets.map(({ name: secret, spec: { Data, ...spec } }) => ({ name: secret, spec: mark(spec), sealedData: options.seal(Data) })),
    services: desired.services.map((spec) => {
      const service = spec.Name.slice(name.length + 1);
      return stackService(service, options.images[service] as ReleaseImage, mark(spec));
    }),
  });
}

/** `<application>-<environment>`. */
export function stackName(application: { name: string }, environment: { name: string }): string {
  return `${application.name}-${environment.name}`;
}

function stackService(service: string, image: ReleaseImage, spec: ServiceSpec): StackService {
  const { failureAction, ...update } = { failureAction: spec.UpdateConfig?.FailureAction, ...spec.UpdateConfig };
  const paused: ServiceSpec = {
    ...spec,
    UpdateConfig: {
      ...update,
      Parallelism: spec.UpdateConfig?.Parallelism ?? 1,
      MaxFailureRatio: spec.UpdateConfig?.MaxFailureRatio ?? 0,
      FailureAction: failureAction === 'continue' ? 'continue' : 'pause',
    },
  };
  return { service, name: spec.Name, image, spec: paused, hash: fingerprint(paused) };
}

/** The stack with its services kept to nodes by these constraints of Gantry's own, and by no others of them. */
export function keptTo(stack: Stack, own: readonly string[]): Stack {
  return { ...stack, services: stack.services.map((service) => keptService(service, own)) };
}

function keptService(service: StackService, own: readonly string[]): StackService {
  const { spec } = service;
  const { Placement: placement, ...task } = spec.TaskTemplate;
  const given = placement?.Constraints ?? [];
  if (own.length === 0 && !given.some(isOwnConstraint)) return service;
  const constraints = [...given.filter((each) => !isOwnConstraint(each)), ...own];
  const { Constraints: _before, ...rest } = placement ?? {};
  const kept = { ...rest, ...(constraints.length > 0 ? { Constraints: constraints } : {}) };
  const next = canonical<ServiceSpec>({ ...spec, TaskTemplate: { ...task, ...(Object.keys(kept).length > 0 ? { Placement: kept } : {}) } });
  return { ...service, spec: next, hash: fingerprint(next) };
}

/** Gantry's own constraints in a stack: the same for all of its services. */
export function ownConstraints(stack: Stack): string[] {
  return [...new Set(stack.services.flatMap(({ spec }) => (spec.TaskTemplate.Placement?.Constraints ?? []).filter(isOwnConstraint)))];
}

/** 24 hexadecimal digits that stand for a value, however its keys are ordered. */
export function fingerprint(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(canonical(value))).digest('hex').slice(0, 24);
}

/** The hash that a service carries once it was sent with that pull credential: another credential is another thing to send. */
export function sentHash(service: Pick<StackService, 'hash'>, credentialId: string): string {
  return fingerprint([service.hash, credentialId]);
}

/**
 * The spec as it goes to the engine: the ids of configs and secrets filled in, the hash and the deployment as labels.
 * @throws delivery.external-missing when an object that the file calls external is not on the cluster
 */
export function completeSpec(service: StackService, ids: { secrets: ReadonlyMap<string, string>; configs: ReadonlyMap<string, string> }, hash: string, deploymentId: string): ServiceSpec {
  const container = service.spec.TaskTemplate.ContainerSpec;
  const id = (kind: 'secrets' | 'configs', name: string): string => {
    const found = ids[kind].get(name);
    if (found === undefined) throw deliveryProblem('external-missing', { detail: `The ${kind === 'secrets' ? 'secret' : 'config'} ${name} is not on the cluster; ${service.service} needs it.` });
    return found;
  };
  return {
    ...service.spec,
    Labels: { ...service.spec.Labels, [labels.hash]: hash, [labels.deployment]: deploymentId },
    TaskTemplate: {
      ...service.spec.TaskTemplate,
      ContainerSpec: {
        ...container,
        ...(container.Secrets ? { Secrets: container.Secrets.map((file) => ({ ...file, SecretID: id('secrets', file.SecretName) })) } : {}),
        ...(container.Configs ? { Configs: container.Configs.map((file) => ({ ...file, ConfigID: id('configs', file.ConfigName) })) } : {}),
      },
    },
  };
}

/** Names of the secrets and configs that services mount although the stack does not make them. */
export function externalFiles(stack: Stack): { secrets: string[]; configs: string[] } {
  const made = { secrets: new Set(stack.secrets.map(({ name }) => name)), configs: new Set(stack.configs.map(({ name }) => name)) };
  const named = { secrets: new Set<string>(), configs: new Set<string>() };
  for (const { spec } of stack.services) {
    for (const { SecretName } of spec.TaskTemplate.ContainerSpec.Secrets ?? []) if (!made.secrets.has(SecretName)) named.secrets.add(SecretName);
    for (const { ConfigName } of spec.TaskTemplate.ContainerSpec.Configs ?? []) if (!made.configs.has(ConfigName)) named.configs.add(ConfigName);
  }
  return { secrets: [...named.secrets], configs: [...named.configs] };
}
