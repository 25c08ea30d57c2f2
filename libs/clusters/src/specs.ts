import { z } from 'zod';

/*
 * Bodies that we send to an engine: the parts of the Docker Engine API (1.41 to 1.51) that a Compose file can ask for. Every object is
 * strict: a member that is not named here is refused, since the engine's own parser folds case and ignores what it does not know.
 */

const text = z.string().max(16_384);
const short = z.string().max(1024);
const strings = z.array(text).max(1000);
const stringMap = z.record(z.string().min(1).max(512), text);
/** Nanoseconds, as Go's time.Duration is written. */
const nanos = z.int().min(0);
const count = z.int().min(0).max(1_000_000);
/** File mode as a number (0444 octal = 292). */
const fileMode = z.int().min(0).max(0o7777);
const objectName = z.string().regex(/^[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,126}[a-zA-Z0-9])?$/, 'letters, digits and ._- inside; at most 128 characters');
const empty = z.strictObject({});

const mount = z.strictObject({
  Type: z.enum(['bind', 'volume', 'tmpfs', 'npipe', 'cluster', 'image']),
  Source: text.optional(),
  Target: text.min(1),
  ReadOnly: z.boolean().optional(),
  Consistency: z.enum(['default', 'consistent', 'cached', 'delegated']).optional(),
  BindOptions: z
    .strictObject({
      Propagation: z.enum(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave']).optional(),
      NonRecursive: z.boolean().optional(),
      CreateMountpoint: z.boolean().optional(),
    })
    .optional(),
  VolumeOptions: z
    .strictObject({
      NoCopy: z.boolean().optional(),
      Labels: stringMap.optional(),
      DriverConfig: z.strictObject({ Name: short.optional(), Options: stringMap.optional() }).optional(),
      Subpath: text.optional(),
    })
    .optional(),
  TmpfsOptions: z.strictObject({ SizeBytes: z.int().min(0).optional(), Mode: fileMode.optional() }).optional(),
});

const fileTarget = z.strictObject({ Name: text.min(1), UID: short.optional(), GID: short.optional(), Mode: fileMode.optional() });

const containerSpec = z.strictObject({
  Image: short.min(1),
  Labels: stringMap.optional(),
  Command: strings.optional(),
  Args: strings.optional(),
  Hostname: short.optional(),
  Env: z.array(z.string().max(131_072)).max(2000).optional(),
  Dir: text.optional(),
  User: short.optional(),
  Groups: z.array(short).max(100).optional(),
  Privileges: z
    .strictObject({
      CredentialSpec: z.strictObject({ Config: short.optional(), File: short.optional(), Registry: short.optional() }).optional(),
      SELinuxContext: z.strictObject({ Disable: z.boolean().optional(), User: short.optional(), Role: short.optional(), Type: short.optional(), Level: short.optional() }).optional(),
      NoNewPrivileges: z.boolean().optional(),
    })
    .optional(),
  TTY: z.boolean().optional(),
  OpenStdin: z.boolean().optional(),
  ReadOnly: z.boolean().optional(),
  Mounts: z.array(mount).max(200).optional(),
  StopSignal: short.optional(),
  StopGracePeriod: nanos.optional(),
  Healthcheck: z
    .strictObject({
      Test: strings.optional(),
      Interval: nanos.optional(),
      Timeout: nanos.optional(),
      Retries: count.optional(),
      StartPeriod: nanos.optional(),
      StartInterval: nanos.optional(),
    })
    .optional(),
  Hosts: strings.optional(),
  DNSConfig: z.strictObject({ Nameservers: strings.optional(), Search: strings.optional(), Options: strings.optional() }).optional(),
  Secrets: z.array(z.strictObject({ File: fileTarget, SecretID: short.min(1), SecretName: short.min(1) })).max(500).optional(),
  Configs: z.array(z.strictObject({ File: fileTarget, ConfigID: short.min(1), ConfigName: short.min(1) })).max(500).optional(),
  Isolation: z.enum(['', 'default', 'process', 'hyperv']).optional(),
  Init: z.boolean().optional(),
  Sysctls: stringMap.optional(),
  CapabilityAdd: z.array(short).max(100).optional(),
  CapabilityDrop: z.array(short).max(100).optional(),
  Ulimits: z.array(z.strictObject({ Name: short, Soft: z.int(), Hard: z.int() })).max(50).optional(),
});

const networkAttachment = z.strictObject({ Target: short.min(1), Aliases: z.array(short).max(100).optional(), DriverOpts: stringMap.optional() });

const genericResource = z.strictObject({
  NamedResourceSpec: z.strictObject({ Kind: short, Value: short }).optional(),
  DiscreteResourceSpec: z.strictObject({ Kind: short, Value: z.int() }).optional(),
});

const taskTemplate = z.strictObject({
  ContainerSpec: containerSpec,
  Resources: z
    .strictObject({
      Limits: z.strictObject({ NanoCPUs: z.int().min(0).optional(), MemoryBytes: z.int().min(0).optional(), Pids: z.int().min(0).optional() }).optional(),
      Reservations: z
        .strictObject({ NanoCPUs: z.int().min(0).optional(), MemoryBytes: z.int().min(0).optional(), GenericResources: z.array(genericResource).max(50).optional() })
        .optional(),
    })
    .optional(),
  RestartPolicy: z
    .strictObject({ Condition: z.enum(['none', 'on-failure', 'any']).optional(), Delay: nanos.optional(), MaxAttempts: count.optional(), Window: nanos.optional() })
    .optional(),
  Placement: z
    .strictObject({
      Constraints: z.array(short).max(100).optional(),
      Preferences: z.array(z.strictObject({ Spread: z.strictObject({ SpreadDescriptor: short }) })).max(20).optional(),
      MaxReplicas: count.optional(),
      Platforms: z.array(z.strictObject({ Architecture: short.optional(), OS: short.optional() })).max(20).optional(),
    })
    .optional(),
  ForceUpdate: z.int().min(0).optional(),
  Runtime: z.literal('container').optional(),
  Networks: z.array(networkAttachment).max(100).optional(),
  LogDriver: z.strictObject({ Name: short.optional(), Options: stringMap.optional() }).optional(),
});

const updateConfig = z.strictObject({
  Parallelism: count.optional(),
  Delay: nanos.optional(),
  FailureAction: z.enum(['continue', 'pause', 'rollback']).optional(),
  Monitor: nanos.optional(),
  MaxFailureRatio: z.number().min(0).max(1).optional(),
  Order: z.enum(['stop-first', 'start-first']).optional(),
});

/** ServiceSpec of the Engine API, as far as a stack needs it. */
export const serviceSpec = z.strictObject({
  Name: objectName,
  Labels: stringMap.optional(),
  TaskTemplate: taskTemplate,
  Mode: z
    .union([
      z.strictObject({ Replicated: z.strictObject({ Replicas: count }) }),
      z.strictObject({ Global: empty }),
      z.strictObject({ ReplicatedJob: z.strictObject({ MaxConcurrent: count.optional(), TotalCompletions: count.optional() }) }),
      z.strictObject({ GlobalJob: empty }),
    ])
    .optional(),
  UpdateConfig: updateConfig.optional(),
  RollbackConfig: updateConfig.optional(),
  EndpointSpec: z
    .strictObject({
      Mode: z.enum(['vip', 'dnsrr']).optional(),
      Ports: z
        .array(
          z.strictObject({
            Name: short.optional(),
            Protocol: z.enum(['tcp', 'udp', 'sctp']).optional(),
            TargetPort: z.int().min(1).max(65_535),
            PublishedPort: z.int().min(0).max(65_535).optional(),
            PublishMode: z.enum(['ingress', 'host']).optional(),
          }),
        )
        .max(1000)
        .optional(),
    })
    .optional(),
});

/** Body of `POST /networks/create`. */
export const networkSpec = z.strictObject({
  Name: objectName,
  CheckDuplicate: z.boolean().optional(),
  Driver: short,
  Scope: z.literal('swarm').optional(),
  Internal: z.boolean().optional(),
  Attachable: z.boolean().optional(),
  Ingress: z.boolean().optional(),
  EnableIPv6: z.boolean().optional(),
  IPAM: z
    .strictObject({
      Driver: short.optional(),
      Config: z.array(z.strictObject({ Subnet: short.optional(), IPRange: short.optional(), Gateway: short.optional() })).max(20).optional(),
    })
    .optional(),
  Options: stringMap.optional(),
  Labels: stringMap.optional(),
});

const base64 = (maxBytes: number): z.ZodString => z.string().max(Math.ceil(maxBytes / 3) * 4).regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, 'base64 with padding');

/** Body of `POST /secrets/create`; `Data` is base64 of at most 500 KiB. */
export const secretSpec = z.strictObject({ Name: objectName, Labels: stringMap.optional(), Data: base64(512_000) });

/** Body of `POST /configs/create`; `Data` is base64 of at most 1,000 KiB. */
export const configSpec = z.strictObject({
  Name: objectName,
  Labels: stringMap.optional(),
  Data: base64(1_024_000),
  Templating: z.strictObject({ Name: z.literal('golang') }).optional(),
});

export type ServiceSpec = z.output<typeof serviceSpec>;
export type NetworkSpec = z.output<typeof networkSpec>;
export type SecretSpec = z.output<typeof secretSpec>;
export type ConfigSpec = z.output<typeof configSpec>;
