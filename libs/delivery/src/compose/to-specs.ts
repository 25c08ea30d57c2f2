import { createHmac } from 'node:crypto';
import { compact } from './fields';
import type { ComposeAttachment, ComposeFile, ComposeMount, ComposeMountedFile, ComposeService, ComposeUpdateConfig } from './model';
import { pointerTo } from './notice';
import { byCode, sorted } from './values';

type Texts = Record<string, string>;

/** Body of `POST /networks/create`. */
export interface NetworkCreateSpec {
  Name: string;
  /** Engines before API 1.44 would otherwise create a second network of the same name. */
  CheckDuplicate: true;
  Driver: string;
  Internal: boolean;
  Attachable: boolean;
  IPAM?: { Driver: string; Config: { Subnet?: string; IPRange?: string; Gateway?: string }[] };
  Options?: Texts;
  Labels: Texts;
}

/** Body of `POST /configs/create` and `POST /secrets/create`; `Data` is base64 (of a secret: never log or store it unsealed). */
export interface StoredObjectSpec {
  Name: string;
  Labels: Texts;
  Data: string;
  Templating?: { Name: string };
}

interface FileReference {
  Name: string;
  UID: string;
  GID: string;
  Mode: number;
}

interface UpdateConfigSpec {
  Parallelism: number;
  Delay?: number;
  FailureAction?: string;
  Monitor?: number;
  MaxFailureRatio: number;
  Order?: string;
}

/** Body of `POST /services/create` (API 1.41) as far as Compose files reach; durations in nanoseconds. */
export interface ServiceSpec {
  Name: string;
  Labels: Texts;
  TaskTemplate: {
    ContainerSpec: {
      Image: string;
      Labels: Texts;
      Command?: string[];
      Args?: string[];
      Hostname?: string;
      Env?: string[];
      Dir?: string;
      User?: string;
      Groups?: string[];
      StopSignal?: string;
      StopGracePeriod?: number;
      TTY?: boolean;
      OpenStdin?: boolean;
      ReadOnly?: boolean;
      Init?: boolean;
      Mounts?: Record<string, unknown>[];
      Healthcheck?: {
        Test?: string[];
        Interval?: number;
        Timeout?: number;
        StartPeriod?: number;
        StartInterval?: number;
        Retries?: number;
      };
      Hosts?: string[];
      DNSConfig?: { Nameservers?: string[]; Search?: string[]; Options?: string[] };
      /** `SecretID` is '' until the caller has found the id of `SecretName`. */
      Secrets?: { File: FileReference; SecretID: string; SecretName: string }[];
      /** `ConfigID` is '' until the caller has found the id of `ConfigName`. */
      Configs?: { File: FileReference; ConfigID: string; ConfigName: string }[];
      Sysctls?: Texts;
      CapabilityAdd?: string[];
      CapabilityDrop?: string[];
      Ulimits?: { Name: string; Soft: number; Hard: number }[];
    };
    Resources?: {
      Limits?: { NanoCPUs?: number; MemoryBytes?: number; Pids?: number };
      Reservations?: {
        NanoCPUs?: number;
        MemoryBytes?: number;
        GenericResources?: { DiscreteResourceSpec: { Kind: string; Value: number } }[];
      };
    };
    RestartPolicy?: { Condition?: string; Delay?: number; MaxAttempts?: number; Window?: number };
    Placement?: { Constraints?: string[]; Preferences?: { Spread: { SpreadDescriptor: string } }[]; MaxReplicas?: number };
    /** Networks by name, as the engine takes them; it stores ids. */
    Networks: { Target: string; Aliases?: string[]; DriverOpts?: Texts }[];
    LogDriver?: { Name?: string; Options?: Texts };
  };
  Mode:
    | { Replicated: { Replicas: number } }
    | { Global: Record<string, never> }
    | { ReplicatedJob: { MaxConcurrent: number; TotalCompletions: number } }
    | { GlobalJob: Record<string, never> };
  UpdateConfig?: UpdateConfigSpec;
  RollbackConfig?: UpdateConfigSpec;
  EndpointSpec?: { Mode?: string; Ports?: { Protocol: string; TargetPort: number; PublishedPort?: number; PublishMode: string }[] };
}

/** Everything that one stack should have on its cluster; each list in the order of names, each object with sorted keys. */
export interface DesiredState {
  networks: NetworkCreateSpec[];
  configs: { name: string; spec: StoredObjectSpec }[];
  secrets: { name: string; spec: StoredObjectSpec }[];
  services: ServiceSpec[];
}

/** What the file alone does not hold. */
export interface ToSpecsOptions {
  /** Stack name: letters, digits and `-` only, since an `_` would let two stacks make the same object name. */
  stack: string;
  /** Service → reference pinned by digest, `host/namespace/name[:tag]@sha256:…`. */
  images: Record<string, string>;
  /** Values of the secrets by their `valueName`, 1 to 500 KiB each. */
  secretValues: Record<string, Uint8Array>;
  /** Key of the HMAC that names configs and secrets by content; at least 16 bytes, the same for the life of the stack. */
  nameKey: Uint8Array;
}

/** Thrown by `toSpecs` where the file and the options do not fit; the message holds names only, `pointer` the place in the file. */
export class ComposeSpecError extends Error {
  constructor(
    readonly code: 'stack-name' | 'name-key' | 'image-missing' | 'image-not-pinned' | 'value-missing' | 'value-size' | 'name-too-long',
    readonly pointer: string,
    message: string,
  ) {
    super(message);
  }
}

const namespaceLabel = 'com.docker.stack.namespace';
const imageLabel = 'com.docker.stack.image';
const maxSecretBytes = 500 * 1024;
/** Names that mean a network of the node itself; tasks have no aliases there. */
const nodeNetworks = ['host', 'bridge', 'none', 'default'];

/**
 * The engine objects of a stack, the way `docker stack deploy` makes them, so that `docker stack ls|ps|services` show it.
 * Deterministic: equal input gives byte-equal JSON. Differences from the CLI: images are pinned, `Replicas` is always written,
 * and the names of configs and secrets end in ten hex digits of an HMAC over their content, because Swarm can not change them:
 * a rollback finds the earlier object by its name, and the name tells nothing about a secret.
 * Volumes are made by the nodes from the mounts. External objects are not in the lists.
 * @throws ComposeSpecError
 */
export function toSpecs(file: ComposeFile, options: ToSpecsOptions): DesiredState {
  if (!/^[a-zA-Z0-9]([a-zA-Z0-9-]{0,38}[a-zA-Z0-9])?$/.test(options.stack)) {
    throw new ComposeSpecError('stack-name', '', 'the stack name must be 1 to 40 letters, digits and "-"');
  }
  if (options.nameKey.byteLength < 16)
    throw new ComposeSpecError('name-key', '', 'the key that names configs and secrets is shorter than 16 bytes');
  return canonical(new Stack(file, options).state());
}

/** The names under which `toSpecs` wants the values of this file's secrets, with the first place that asks for each. */
export function requiredValues(file: ComposeFile): { valueName: string; pointer: string }[] {
  const found = new Map<string, string>();
  for (const [name, secret] of Object.entries(file.secrets)) {
    if (secret.valueName !== undefined && !found.has(secret.valueName)) found.set(secret.valueName, pointerTo('/secrets', name));
  }
  return [...found].map(([valueName, pointer]) => ({ valueName, pointer })).sort((a, b) => byCode(a.valueName, b.valueName));
}

/** A deep copy with sorted keys and without undefined values: what `JSON.stringify` needs to be stable. */
export function canonical<T>(value: T): T {
  if (Array.isArray(value)) return value.map((item: unknown) => canonical(item)) as T;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return sorted(entries.map(([key, item]) => [key, canonical(item as unknown)] as const)) as T;
}

function own<T>(record: Record<string, T>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function filled<T>(list: T[]): T[] | undefined {
  return list.length === 0 ? undefined : list;
}

function filledMap(record: Texts): Texts | undefined {
  return Object.keys(record).length === 0 ? undefined : record;
}

class Stack {
  private readonly stored = { configs: new Map<string, StoredObjectSpec>(), secrets: new Map<string, StoredObjectSpec>() };

  constructor(
    private readonly file: ComposeFile,
    private readonly options: ToSpecsOptions,
  ) {}

  state(): DesiredState {
    for (const [name, config] of Object.entries(this.file.configs)) {
      if (!config.external) this.store('configs', name, config, Buffer.from(config.content ?? '', 'utf8'));
    }
    for (const [name, secret] of Object.entries(this.file.secrets)) {
      if (!secret.external) this.store('secrets', name, secret, this.secretValue(name, secret.valueName ?? name));
    }
    return {
      networks: this.networks(),
      configs: this.list('configs'),
      secrets: this.list('secrets'),
      services: Object.entries(this.file.services)
        .sort(([a], [b]) => byCode(a, b))
        .map(([name, service]) => this.service(name, service)),
    };
  }

  /** The name on the cluster of the file's `key`. */
  private scoped(key: string, name?: string): string {
    return name ?? `${this.options.stack}_${key}`;
  }

  private labels(given: Texts): Texts {
    return { ...given, [namespaceLabel]: this.options.stack };
  }

  private secretValue(key: string, valueName: string): Uint8Array {
    const value = own(this.options.secretValues, valueName);
    const pointer = pointerTo('/secrets', key);
    if (value === undefined)
      throw new ComposeSpecError(
        'value-missing',
        pointer,
        `the secret ${key} has no value; put one into Gantry under the name ${valueName}`,
      );
    if (value.byteLength === 0 || value.byteLength >= maxSecretBytes) {
      throw new ComposeSpecError(
        'value-size',
        pointer,
        `the value of the secret ${key} must have 1 to ${maxSecretBytes - 1} bytes, for Swarm takes no more`,
      );
    }
    return value;
  }

  private store(
    kind: 'configs' | 'secrets',
    key: string,
    object: { name?: string; labels: Texts; templateDriver?: string },
    data: Uint8Array,
  ): void {
    const base = this.scoped(key, object.name);
    const content = compact({
      Labels: this.labels(object.labels),
      Data: Buffer.from(data).toString('base64'),
      Templating: object.templateDriver === undefined ? undefined : { Name: object.templateDriver },
    });
    // Labels and template driver are part of what the name stands for: nothing about the object is ever updated in place.
    const digest = createHmac('sha256', this.options.nameKey)
      .update(JSON.stringify([kind, base, canonical(content)]))
      .digest('hex');
    const name = `${base}_${digest.slice(0, 10)}`;
    if (name.length > 64) {
      throw new ComposeSpecError(
        'name-too-long',
        pointerTo(`/${kind}`, key),
        `the name ${base} must have at most 53 characters, for Swarm takes 64 and Gantry adds 11`,
      );
    }
    this.stored[kind].set(key, { Name: name, ...content });
  }

  private list(kind: 'configs' | 'secrets'): { name: string; spec: StoredObjectSpec }[] {
    return [...this.stored[kind].values()].map((spec) => ({ name: spec.Name, spec })).sort((a, b) => byCode(a.name, b.name));
  }

  private networkName(key: string): string {
    return this.scoped(key, this.network(key).name ?? (this.network(key).external ? key : undefined));
  }

  private network(key: string): ComposeFile['networks'][string] {
    return own(this.file.networks, key) ?? { external: false, driverOpts: {}, ipam: [], labels: {} };
  }

  private networks(): NetworkCreateSpec[] {
    const used = new Set(Object.values(this.file.services).flatMap((service) => service.networks.map(({ name }) => name)));
    const specs: NetworkCreateSpec[] = [];
    for (const key of used) {
      const network = this.network(key);
      if (network.external) continue;
      specs.push({
        Name: this.networkName(key),
        CheckDuplicate: true,
        Driver: network.driver ?? 'overlay',
        Internal: network.internal ?? false,
        Attachable: network.attachable ?? false,
        IPAM:
          network.ipamDriver === undefined && network.ipam.length === 0
            ? undefined
            : {
                Driver: network.ipamDriver ?? 'default',
                Config: network.ipam.map(({ subnet, ipRange, gateway }) => ({ Subnet: subnet, IPRange: ipRange, Gateway: gateway })),
              },
        Options: filledMap(network.driverOpts),
        Labels: this.labels(network.labels),
      });
    }
    return specs.sort((a, b) => byCode(a.Name, b.Name));
  }

  private image(name: string): string {
    const image = own(this.options.images, name);
    const pointer = pointerTo(pointerTo('/services', name), 'image');
    if (image === undefined) throw new ComposeSpecError('image-missing', pointer, `no image was resolved for the service ${name}`);
    if (!/@sha256:[0-9a-f]{64}$/.test(image))
      throw new ComposeSpecError('image-not-pinned', pointer, `the image of the service ${name} is not pinned by digest`);
    return image;
  }

  private service(name: string, service: ComposeService): ServiceSpec {
    const scoped = this.scoped(name);
    if (scoped.length > 63)
      throw new ComposeSpecError(
        'name-too-long',
        pointerTo('/services', name),
        `the name ${scoped} must have at most 63 characters, for Swarm takes no more`,
      );
    const { deploy } = service;
    return {
      Name: scoped,
      Labels: { ...this.labels(deploy.labels), [imageLabel]: service.image },
      TaskTemplate: {
        ContainerSpec: this.container(name, service),
        Resources: resources(service),
        RestartPolicy: deploy.restartPolicy && {
          Condition: deploy.restartPolicy.condition,
          Delay: deploy.restartPolicy.delayNs,
          MaxAttempts: deploy.restartPolicy.maxAttempts,
          Window: deploy.restartPolicy.windowNs,
        },
        Placement: placement(service),
        Networks: service.networks.map((attachment) => this.attachment(name, attachment)).sort((a, b) => byCode(a.Target, b.Target)),
        LogDriver: service.logging && { Name: service.logging.driver, Options: filledMap(service.logging.options) },
      },
      Mode: mode(service),
      UpdateConfig: updateConfig(deploy.updateConfig),
      RollbackConfig: updateConfig(deploy.rollbackConfig),
      EndpointSpec: endpoint(service),
    };
  }

  private attachment(service: string, { name, aliases, driverOpts }: ComposeAttachment): ServiceSpec['TaskTemplate']['Networks'][number] {
    const target = this.networkName(name);
    return {
      Target: target,
      Aliases: nodeNetworks.includes(target) ? undefined : [...new Set([...aliases, service])],
      DriverOpts: filledMap(driverOpts),
    };
  }

  private container(name: string, service: ComposeService): ServiceSpec['TaskTemplate']['ContainerSpec'] {
    const { healthcheck } = service;
    const dns = { Nameservers: filled(service.dns), Search: filled(service.dnsSearch), Options: filled(service.dnsOptions) };
    const environment = Object.entries(service.environment).map(([key, value]) => (value === null ? key : `${key}=${value}`));
    const ulimits = Object.entries(service.ulimits).map(([key, { soft, hard }]) => ({ Name: key, Soft: soft, Hard: hard }));
    return {
      Image: this.image(name),
      Labels: this.labels(service.labels),
      Command: service.entrypoint,
      Args: service.command,
      Hostname: service.hostname,
      Env: filled(environment.sort(byCode)),
      Dir: service.workingDir,
      User: service.user,
      Groups: service.groupAdd,
      StopSignal: service.stopSignal,
      StopGracePeriod: service.stopGracePeriodNs,
      TTY: service.tty || undefined,
      OpenStdin: service.openStdin || undefined,
      ReadOnly: service.readOnly || undefined,
      Init: service.init,
      Mounts: filled(service.mounts.map((mount) => this.mount(mount))),
      Healthcheck: healthcheck && {
        Test: healthcheck.test,
        Interval: healthcheck.intervalNs,
        Timeout: healthcheck.timeoutNs,
        StartPeriod: healthcheck.startPeriodNs,
        StartInterval: healthcheck.startIntervalNs,
        Retries: healthcheck.retries,
      },
      Hosts: filled(service.extraHosts),
      DNSConfig: Object.values(dns).some((list) => list !== undefined) ? dns : undefined,
      Secrets: filled(
        this.references('secrets', service.secrets).map(({ name: SecretName, File }) => ({ File, SecretID: '', SecretName })),
      ),
      Configs: filled(
        this.references('configs', service.configs).map(({ name: ConfigName, File }) => ({ File, ConfigID: '', ConfigName })),
      ),
      Sysctls: filledMap(service.sysctls),
      CapabilityAdd: filled(service.capAdd),
      CapabilityDrop: filled(service.capDrop),
      Ulimits: filled(ulimits.sort((a, b) => byCode(a.Name, b.Name))),
    };
  }

  private references(kind: 'configs' | 'secrets', files: ComposeMountedFile[]): { name: string; File: FileReference }[] {
    return files
      .map((file) => ({
        name: this.stored[kind].get(file.source)?.Name ?? own<{ name?: string }>(this.file[kind], file.source)?.name ?? file.source,
        File: { Name: file.target, UID: file.uid, GID: file.gid, Mode: file.mode },
      }))
      .sort((a, b) => byCode(a.File.Name, b.File.Name));
  }

  private mount(mount: ComposeMount): Record<string, unknown> {
    const spec: Record<string, unknown> = { Type: mount.type, Target: mount.target, ReadOnly: mount.readOnly };
    if (mount.type === 'bind') {
      spec.Source = mount.source;
      if (mount.propagation !== undefined) spec.BindOptions = { Propagation: mount.propagation };
    } else if (mount.type === 'tmpfs') {
      if (mount.sizeBytes !== undefined || mount.mode !== undefined) spec.TmpfsOptions = { SizeBytes: mount.sizeBytes, Mode: mount.mode };
    } else {
      const volume = mount.source === undefined ? undefined : own(this.file.volumes, mount.source);
      if (mount.source !== undefined)
        spec.Source = this.scoped(mount.source, volume?.name ?? (volume?.external === true ? mount.source : undefined));
      const driver = volume?.driver !== undefined || Object.keys(volume?.driverOpts ?? {}).length > 0;
      const options = compact({
        NoCopy: mount.noCopy,
        Labels: mount.source === undefined || volume?.external === true ? undefined : this.labels(volume?.labels ?? {}),
        DriverConfig: driver ? { Name: volume?.driver, Options: filledMap(volume?.driverOpts ?? {}) } : undefined,
      });
      if (Object.keys(options).length > 0) spec.VolumeOptions = options;
    }
    return spec;
  }
}

function resources({ deploy: { limits, reservations } }: ComposeService): ServiceSpec['TaskTemplate']['Resources'] {
  if (limits === undefined && reservations === undefined) return undefined;
  return {
    Limits: limits && { NanoCPUs: limits.nanoCpus, MemoryBytes: limits.memoryBytes, Pids: limits.pids },
    Reservations: reservations && {
      NanoCPUs: reservations.nanoCpus,
      MemoryBytes: reservations.memoryBytes,
      GenericResources: filled(reservations.generic.map(({ kind, value }) => ({ DiscreteResourceSpec: { Kind: kind, Value: value } }))),
    },
  };
}

function placement({ deploy }: ComposeService): ServiceSpec['TaskTemplate']['Placement'] {
  const spec = compact({
    Constraints: filled(deploy.constraints),
    Preferences: filled(deploy.spread.map((by) => ({ Spread: { SpreadDescriptor: by } }))),
    MaxReplicas: deploy.maxReplicasPerNode,
  });
  return Object.keys(spec).length === 0 ? undefined : spec;
}

function mode({ deploy }: ComposeService): ServiceSpec['Mode'] {
  const replicas = deploy.replicas ?? 1;
  if (deploy.mode === 'global') return { Global: {} };
  if (deploy.mode === 'global-job') return { GlobalJob: {} };
  if (deploy.mode === 'replicated-job') return { ReplicatedJob: { MaxConcurrent: replicas, TotalCompletions: replicas } };
  return { Replicated: { Replicas: replicas } };
}

function updateConfig(config: ComposeUpdateConfig | undefined): UpdateConfigSpec | undefined {
  return (
    config && {
      Parallelism: config.parallelism ?? 1,
      Delay: config.delayNs,
      FailureAction: config.failureAction,
      Monitor: config.monitorNs,
      MaxFailureRatio: config.maxFailureRatio ?? 0,
      Order: config.order,
    }
  );
}

function endpoint({ deploy, ports }: ComposeService): ServiceSpec['EndpointSpec'] {
  if (deploy.endpointMode === undefined && ports.length === 0) return undefined;
  const ordered = [...ports].sort(
    (a, b) => a.published - b.published || a.target - b.target || byCode(a.protocol, b.protocol) || byCode(a.mode, b.mode),
  );
  return {
    Mode: deploy.endpointMode,
    Ports: filled(
      ordered.map((port) => ({
        Protocol: port.protocol,
        TargetPort: port.target,
        PublishedPort: port.published || undefined,
        PublishMode: port.mode,
      })),
    ),
  };
}
