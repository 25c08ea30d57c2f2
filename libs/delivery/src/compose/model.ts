import type { ComposeNotice } from './notice';

/**
 * A Compose file after validation: one form for each thing, defaults not yet filled in, durations in nanoseconds, sizes in bytes.
 * It is plain JSON and equal for equal input, so that it can be stored with a release. Absent optional fields were not given.
 * Records may hold any key, `constructor` included: look keys up with `Object.hasOwn`.
 */
export interface ComposeFile {
  services: Record<string, ComposeService>;
  networks: Record<string, ComposeNetwork>;
  volumes: Record<string, ComposeVolume>;
  configs: Record<string, ComposeConfig>;
  secrets: Record<string, ComposeSecret>;
}

export interface ComposeService {
  /** As written, after variables were replaced: not resolved to a digest. */
  image: string;
  command?: string[];
  entrypoint?: string[];
  /** Null unsets what the image sets. */
  environment: Record<string, string | null>;
  /** Labels of the containers; those of the service are in `deploy.labels`. */
  labels: Record<string, string>;
  hostname?: string;
  user?: string;
  groupAdd?: string[];
  workingDir?: string;
  stopSignal?: string;
  stopGracePeriodNs?: number;
  init?: boolean;
  readOnly?: boolean;
  tty?: boolean;
  openStdin?: boolean;
  healthcheck?: ComposeHealthcheck;
  /** Never empty: a service that names none joins `default`. */
  networks: ComposeAttachment[];
  mounts: ComposeMount[];
  configs: ComposeMountedFile[];
  secrets: ComposeMountedFile[];
  ports: ComposePort[];
  /** `CAP_NET_ADMIN` form, or `ALL`; sorted. */
  capAdd: string[];
  capDrop: string[];
  sysctls: Record<string, string>;
  ulimits: Record<string, { soft: number; hard: number }>;
  dns: string[];
  dnsSearch: string[];
  dnsOptions: string[];
  /** `address name`, in the order given. */
  extraHosts: string[];
  logging?: { driver?: string; options: Record<string, string> };
  deploy: ComposeDeploy;
}

export interface ComposeHealthcheck {
  /** `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", line]`. */
  test?: string[];
  intervalNs?: number;
  timeoutNs?: number;
  startPeriodNs?: number;
  startIntervalNs?: number;
  retries?: number;
}

export interface ComposeAttachment {
  name: string;
  aliases: string[];
  driverOpts: Record<string, string>;
}

export interface ComposeMount {
  type: 'volume' | 'bind' | 'tmpfs';
  /** Key of a top-level volume, an absolute path on the node, or absent (anonymous volume, tmpfs). */
  source?: string;
  target: string;
  readOnly?: boolean;
  noCopy?: boolean;
  propagation?: string;
  sizeBytes?: number;
  /** Permission bits as a number (0o1777 is 1023). */
  mode?: number;
  /** Where the file asks for it. */
  pointer: string;
}

export interface ComposeMountedFile {
  source: string;
  target: string;
  uid: string;
  gid: string;
  mode: number;
}

export interface ComposePort {
  target: number;
  /** 0: Swarm chooses. */
  published: number;
  protocol: 'tcp' | 'udp' | 'sctp';
  mode: 'ingress' | 'host';
}

export interface ComposeDeploy {
  mode: 'replicated' | 'global' | 'replicated-job' | 'global-job';
  replicas?: number;
  labels: Record<string, string>;
  endpointMode?: 'vip' | 'dnsrr';
  constraints: string[];
  spread: string[];
  maxReplicasPerNode?: number;
  limits?: { nanoCpus?: number; memoryBytes?: number; pids?: number };
  reservations?: { nanoCpus?: number; memoryBytes?: number; generic: { kind: string; value: number }[] };
  restartPolicy?: { condition?: 'none' | 'on-failure' | 'any'; delayNs?: number; maxAttempts?: number; windowNs?: number };
  updateConfig?: ComposeUpdateConfig;
  rollbackConfig?: ComposeUpdateConfig;
}

export interface ComposeUpdateConfig {
  /** Tasks at a time; 0 means all at once. */
  parallelism?: number;
  delayNs?: number;
  failureAction?: 'pause' | 'continue' | 'rollback';
  monitorNs?: number;
  maxFailureRatio?: number;
  order?: 'stop-first' | 'start-first';
}

/** `name` is the object's name on the cluster when the file gives one; otherwise it is made of the stack's name and the key. */
export interface ComposeNetwork {
  external: boolean;
  name?: string;
  driver?: string;
  driverOpts: Record<string, string>;
  attachable?: boolean;
  internal?: boolean;
  ipamDriver?: string;
  ipam: { subnet?: string; gateway?: string; ipRange?: string }[];
  labels: Record<string, string>;
}

export interface ComposeVolume {
  external: boolean;
  name?: string;
  driver?: string;
  driverOpts: Record<string, string>;
  labels: Record<string, string>;
}

export interface ComposeConfig {
  external: boolean;
  name?: string;
  /** Given unless external. */
  content?: string;
  templateDriver?: string;
  labels: Record<string, string>;
}

export interface ComposeSecret {
  external: boolean;
  name?: string;
  /** Name under which Gantry keeps the value: that of `environment`, else the key itself. Absent if external. */
  valueName?: string;
  templateDriver?: string;
  labels: Record<string, string>;
}

/** Outcome of `parseCompose`; errors and warnings are in the order of the text. */
export type ComposeResult = { ok: true; file: ComposeFile; warnings: ComposeNotice[] } | { ok: false; errors: ComposeNotice[] };
