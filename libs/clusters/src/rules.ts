import { z } from 'zod';
import type { Operation, ResourceRef } from '@gantry/access';
import type { FieldError } from '@gantry/platform';
import { stackLabel, type RegistryAuth } from './engine.client';
import { clustersProblem } from './problems';
import { configSpec, networkSpec, secretSpec, serviceSpec, type ConfigSpec, type NetworkSpec, type SecretSpec, type ServiceSpec } from './specs';

/** Everything that Gantry ever changes on an engine. Ids are the engine's; `versionIndex` is the `Version.Index` that was read under the lease. */
export type Change =
  | { type: 'network.create'; spec: NetworkSpec }
  | { type: 'secret.create'; spec: SecretSpec }
  | { type: 'config.create'; spec: ConfigSpec }
  | { type: 'service.create'; spec: ServiceSpec; registryAuth: RegistryAuth | null }
  | { type: 'service.update'; id: string; versionIndex: number; spec: ServiceSpec; registryAuth: RegistryAuth | null }
  | { type: 'network.remove'; id: string }
  | { type: 'secret.remove'; id: string }
  | { type: 'config.remove'; id: string }
  | { type: 'service.remove'; id: string };

/** Kinds of objects that a change makes, uses or removes. */
export type ObjectKind = 'network' | 'secret' | 'config' | 'service' | 'volume';

/** What somebody wants to be done to a cluster. */
export interface Wish {
  /** Cluster id. */
  cluster: string;
  /** Opaque scope of the signature policy and of ownership: the environment's id. */
  scope: string;
  /** On what, and for which operation, the actor's rights are judged, e.g. the environment and `environment:deploy`. */
  resource: ResourceRef;
  operation: Operation;
  change: Change;
  /**
   * Host-affecting operations (`service:create:bind`) that were granted for this wish when a person planned it. Jobs act as `system`,
   * which may do everything in Gantry but is granted no host-affecting option by itself.
   */
  mayUse?: readonly string[];
  /** The nodes to which a service is kept were judged when it was deployed; it is brought back, or sent again, as it was. Good for `system` alone. */
  keptAsBefore?: boolean;
}

/** An image that a change would run. */
export interface ImageUse {
  /** `namespace/name` */
  repository: string;
  /** `sha256:<64 hex>` */
  digest: string;
}

/** An option beyond what everybody may use; `operation` is what must be granted. */
export interface HostOption {
  operation: string;
  pointer: string;
}

/** An object that a change refers to or claims: by engine id or by name. */
export interface ObjectUse {
  kind: ObjectKind;
  id: string;
  pointer: string;
}

/** What the table says about one change; nothing here depends on who asks. */
export interface Ruling {
  /** The change as it would be sent: our own copy of what was validated. */
  change: Change;
  /** Kind and name of what is made, or null. */
  creates: { kind: ObjectKind; name: string } | null;
  /** What is changed or removed. */
  target: ObjectUse | null;
  /** Existing objects that the spec refers to. */
  uses: ObjectUse[];
  /** Named volumes that the spec mounts; claimed by whoever mounts them first. */
  volumes: ObjectUse[];
  hostOptions: HostOption[];
  images: ImageUse[];
}

const id = z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$/, 'an object id');
const registryAuth = z.strictObject({ username: z.string().min(1).max(512), password: z.string().min(1).max(8192), serverAddress: z.string().min(1).max(512) }).nullable();

/** The table of changes. What is not in it can't be done. */
const table = {
  'network.create': z.strictObject({ type: z.literal('network.create'), spec: networkSpec }),
  'secret.create': z.strictObject({ type: z.literal('secret.create'), spec: secretSpec }),
  'config.create': z.strictObject({ type: z.literal('config.create'), spec: configSpec }),
  'service.create': z.strictObject({ type: z.literal('service.create'), spec: serviceSpec, registryAuth }),
  'service.update': z.strictObject({ type: z.literal('service.update'), id, versionIndex: z.int().min(0), spec: serviceSpec, registryAuth }),
  'network.remove': z.strictObject({ type: z.literal('network.remove'), id }),
  'secret.remove': z.strictObject({ type: z.literal('secret.remove'), id }),
  'config.remove': z.strictObject({ type: z.literal('config.remove'), id }),
  'service.remove': z.strictObject({ type: z.literal('service.remove'), id }),
} satisfies { [T in Change['type']]: z.ZodType };

/** The changes that exist. */
export const changeTypes = Object.keys(table) as Change['type'][];

/**
 * Rules on one change: is it in the table, is its body what we know, which images would run, which options affect the host, which
 * objects does it touch. @throws clusters.spec-invalid, clusters.image-not-pinned, clusters.image-foreign
 */
export function ruleOn(wished: Change, registryHost: string): Ruling {
  const schema: z.ZodType<Change> | undefined = Object.hasOwn(table, wished.type) ? table[wished.type] : undefined;
  if (!schema) throw clustersProblem('spec-invalid', { errors: [{ pointer: '/type', detail: `no such change: ${String(wished.type)}` }] });
  const parsed = schema.safeParse(wished);
  if (!parsed.success) throw clustersProblem('spec-invalid', { errors: parsed.error.issues.flatMap(fieldErrors) });
  const change = parsed.data;
  const ruling: Ruling = { change, creates: null, target: null, uses: [], volumes: [], hostOptions: [], images: [] };
  const kind = change.type.split('.')[0] as ObjectKind;
  if ('id' in change) ruling.target = { kind, id: change.id, pointer: '/id' };
  if (change.type.endsWith('.create') && 'spec' in change) ruling.creates = { kind, name: change.spec.Name };
  if (change.type === 'network.create') ruling.hostOptions.push(...networkOptions(change.spec));
  if (change.type === 'service.create' || change.type === 'service.update') ruleOnService(change.spec, registryHost, ruling);
  return ruling;
}

function fieldErrors(issue: z.core.$ZodIssue): FieldError[] {
  const pointer = issue.path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ pointer: `${pointer}/${key}`, detail: 'Gantry does not pass this on; remove it' }));
  return [{ pointer, detail: issue.message }];
}

function ruleOnService(spec: ServiceSpec, registryHost: string, ruling: Ruling): void {
  const task = spec.TaskTemplate;
  const container = task.ContainerSpec;
  const base = '/spec/TaskTemplate';
  ruling.images.push(pinnedImage(container.Image, registryHost));
  const needs = (option: string, pointer: string): void => {
    ruling.hostOptions.push({ operation: `service:create:${option}`, pointer: `${base}${pointer}` });
  };
  const stack = spec.Labels?.[stackLabel];
  for (const [index, mount] of (container.Mounts ?? []).entries()) {
    const pointer = `/ContainerSpec/Mounts/${index}`;
    if (mount.Type === 'bind' || mount.BindOptions) needs('bind', pointer);
    if (mount.Type === 'npipe' || mount.Type === 'cluster' || mount.Type === 'image') needs(mount.Type === 'npipe' ? 'npipe' : `mount-${mount.Type}`, pointer);
    const driver = mount.VolumeOptions?.DriverConfig;
    if (driver?.Name && driver.Name !== 'local') needs('volume-driver', `${pointer}/VolumeOptions/DriverConfig/Name`);
    // The local driver mounts whatever `type`, `device` and `o` say: a bind mount, a block device, a file server.
    if (Object.keys(driver?.Options ?? {}).length > 0) needs('volume-options', `${pointer}/VolumeOptions/DriverConfig/Options`);
    if (mount.Type === 'volume' && mount.Source) {
      // To the engine a volume source that is a path is a bind mount by another name; and of a template (`{{…}}`) swarm makes any name on the node.
      if (!plainName.test(mount.Source)) needs('bind', `${pointer}/Source`);
      else ruling.volumes.push({ kind: 'volume', id: mount.Source, pointer: `${base}${pointer}/Source` });
    }
  }
  if ((container.CapabilityAdd ?? []).length > 0) needs('capabilities', '/ContainerSpec/CapabilityAdd');
  if (Object.keys(container.Sysctls ?? {}).length > 0) needs('sysctls', '/ContainerSpec/Sysctls');
  if (container.Privileges?.CredentialSpec || container.Privileges?.SELinuxContext) needs('privileges', '/ContainerSpec/Privileges');
  if ((task.Resources?.Reservations?.GenericResources ?? []).length > 0) needs('devices', '/Resources/Reservations/GenericResources');
  if (task.LogDriver && !harmlessLog(task.LogDriver)) needs('log-driver', '/LogDriver');
  for (const [index, network] of (task.Networks ?? []).entries()) {
    const pointer = `/Networks/${index}/Target`;
    if (network.Target === 'host') needs('host-network', pointer);
    // `bridge`, `none` and other networks of a node, by name or id, are not ours and fall under external-network.
    else ruling.uses.push({ kind: 'network', id: network.Target, pointer: `${base}${pointer}` });
    if (Object.keys(network.DriverOpts ?? {}).length > 0) needs('network-options', `/Networks/${index}/DriverOpts`);
  }
  for (const [index, secret] of (container.Secrets ?? []).entries()) ruling.uses.push({ kind: 'secret', id: secret.SecretID, pointer: `${base}/ContainerSpec/Secrets/${index}/SecretID` });
  for (const [index, config] of (container.Configs ?? []).entries()) ruling.uses.push({ kind: 'config', id: config.ConfigID, pointer: `${base}/ContainerSpec/Configs/${index}/ConfigID` });
  if (stack === undefined) return;
  if (stack.length === 0 || stack.length > 128) throw clustersProblem('spec-invalid', { errors: [{ pointer: `/spec/Labels/${stackLabel}`, detail: '1 to 128 characters' }] });
}

/** A name that means itself: no path, no address of another kind, no template. */
export const plainName = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]*$/;

/**
 * Drivers that keep the log on the node itself. Others make the engine, not the container, connect to where the options say. What a container may add to
 * its lines is harmless in a file of its own; in the journal it overwrites the fields by which the engine tells whose lines they are.
 */
export function harmlessLog(driver: { Name?: string | undefined; Options?: Record<string, string> | undefined }): boolean {
  const name = driver.Name ?? '';
  const options = ['max-size', 'max-file', 'compress', 'mode', 'max-buffer-size'];
  const added = ['labels', 'labels-regex', 'env', 'env-regex', 'tag'];
  // Without a name it is the engine's own default, which its operators chose.
  if (!['', 'json-file', 'local', 'none', 'journald'].includes(name)) return false;
  const allowed = new Set(name === 'json-file' || name === 'local' ? [...options, ...added] : options);
  return Object.keys(driver.Options ?? {}).every((option) => allowed.has(option));
}

function networkOptions(spec: NetworkSpec): HostOption[] {
  const needed: HostOption[] = [];
  if (spec.Driver !== 'overlay') needed.push({ operation: 'network:create:driver', pointer: '/spec/Driver' });
  if (spec.Ingress) needed.push({ operation: 'network:create:ingress', pointer: '/spec/Ingress' });
  if (spec.IPAM?.Driver !== undefined && spec.IPAM.Driver !== 'default') needed.push({ operation: 'network:create:ipam-driver', pointer: '/spec/IPAM/Driver' });
  for (const option of Object.keys(spec.Options ?? {})) {
    if (option !== 'encrypted' && option !== 'com.docker.network.driver.mtu') needed.push({ operation: 'network:create:options', pointer: `/spec/Options/${option.replaceAll('~', '~0').replaceAll('/', '~1')}` });
  }
  return needed;
}

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const pinned = new RegExp(`^(${component}(?:/${component})+)(?::[\\w][\\w.-]{0,127})?@(sha256:[0-9a-f]{64})$`);

/**
 * Takes `<registry host>/<namespace>/<name>[:<tag>]@sha256:<hex>` apart. With a tag before the digest, engines go by the digest.
 * @throws clusters.image-foreign, clusters.image-not-pinned
 */
export function pinnedImage(image: string, registryHost: string): ImageUse {
  if (!image.startsWith(`${registryHost}/`)) throw clustersProblem('image-foreign', { detail: `${image} is not from ${registryHost}.` });
  const match = pinned.exec(image.slice(registryHost.length + 1));
  if (!match) throw clustersProblem('image-not-pinned', { detail: `${image} is not \`${registryHost}/<namespace>/<name>@sha256:<64 hex digits>\`.` });
  return { repository: match[1]!, digest: match[2]! };
}
