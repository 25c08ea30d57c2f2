/*
 * What engines answer, as far as we read it (Docker Engine API 1.41 and newer). Members that older or newer engines leave out are optional.
 */

/** Swarm objects carry the index of their last write; an update names the one it was made from. */
export interface ObjectVersion {
  Index: number;
}

export interface EngineInfo {
  ID?: string;
  Name?: string;
  ServerVersion?: string;
  OperatingSystem?: string;
  Swarm?: {
    NodeID?: string;
    NodeAddr?: string;
    LocalNodeState?: string;
    ControlAvailable?: boolean;
    Error?: string;
    Nodes?: number;
    Managers?: number;
    Cluster?: { ID?: string };
  };
}

export interface EngineVersion {
  Version?: string;
  ApiVersion?: string;
  MinAPIVersion?: string;
  Os?: string;
  Arch?: string;
}

export interface SwarmInfo {
  ID: string;
  Version: ObjectVersion;
  CreatedAt: string;
  JoinTokens?: { Worker: string; Manager: string };
}

export interface EngineNode {
  ID: string;
  Version: ObjectVersion;
  Spec: { Name?: string; Role: 'worker' | 'manager'; Availability: 'active' | 'pause' | 'drain'; Labels?: Record<string, string> | null };
  Description?: {
    Hostname?: string;
    Platform?: { Architecture?: string; OS?: string };
    Resources?: { NanoCPUs?: number; MemoryBytes?: number };
    Engine?: { EngineVersion?: string; Labels?: Record<string, string> | null };
  };
  Status: { State: 'unknown' | 'down' | 'ready' | 'disconnected'; Message?: string; Addr?: string };
  ManagerStatus?: { Leader?: boolean; Reachability?: string; Addr?: string };
}

/** A task template as engines answer it: what was sent, with defaults filled in. */
export interface EngineTaskTemplate {
  ContainerSpec?: {
    Image?: string;
    Env?: string[] | null;
    Labels?: Record<string, string> | null;
    Secrets?: { SecretID: string; SecretName: string }[] | null;
    Configs?: { ConfigID?: string; ConfigName?: string }[] | null;
    [member: string]: unknown;
  };
  RestartPolicy?: { Condition?: 'none' | 'on-failure' | 'any' | ''; MaxAttempts?: number; Delay?: number; Window?: number };
  Placement?: { Constraints?: string[] | null; Platforms?: { Architecture?: string; OS?: string }[] | null; MaxReplicas?: number; [member: string]: unknown };
  ForceUpdate?: number;
  Networks?: { Target?: string; Aliases?: string[] | null }[] | null;
  [member: string]: unknown;
}

export interface EngineServiceMode {
  Replicated?: { Replicas?: number };
  Global?: object;
  ReplicatedJob?: { MaxConcurrent?: number; TotalCompletions?: number };
  GlobalJob?: object;
}

export interface EngineServiceSpec {
  Name: string;
  Labels?: Record<string, string> | null;
  TaskTemplate: EngineTaskTemplate;
  Mode?: EngineServiceMode;
  UpdateConfig?: Record<string, unknown>;
  RollbackConfig?: Record<string, unknown>;
  EndpointSpec?: { Mode?: string; Ports?: { Name?: string; Protocol?: string; TargetPort?: number; PublishedPort?: number; PublishMode?: string }[] | null };
}

export type UpdateState = 'updating' | 'paused' | 'completed' | 'rollback_started' | 'rollback_paused' | 'rollback_completed';

export interface EngineService {
  ID: string;
  Version: ObjectVersion;
  CreatedAt: string;
  UpdatedAt: string;
  Spec: EngineServiceSpec;
  PreviousSpec?: EngineServiceSpec;
  Endpoint?: { Ports?: { Protocol?: string; TargetPort?: number; PublishedPort?: number; PublishMode?: string }[] | null };
  UpdateStatus?: { State?: UpdateState | ''; StartedAt?: string; CompletedAt?: string; Message?: string };
  JobStatus?: { JobIteration?: ObjectVersion; LastExecution?: string };
}

export type TaskState =
  | 'new' | 'allocated' | 'pending' | 'assigned' | 'accepted' | 'preparing' | 'ready' | 'starting' | 'running'
  | 'complete' | 'shutdown' | 'failed' | 'rejected' | 'remove' | 'orphaned';

export interface EngineTask {
  ID: string;
  Version: ObjectVersion;
  CreatedAt: string;
  UpdatedAt: string;
  Name?: string;
  Labels?: Record<string, string> | null;
  Spec: EngineTaskTemplate;
  ServiceID: string;
  Slot?: number;
  NodeID?: string;
  Status: {
    Timestamp?: string;
    State: TaskState;
    Message?: string;
    Err?: string;
    ContainerStatus?: { ContainerID?: string; PID?: number; ExitCode?: number };
  };
  DesiredState: TaskState;
  JobIteration?: ObjectVersion;
}

export interface EngineContainer {
  Id: string;
  /** With a slash before each; what links call it has two. */
  Names?: string[] | null;
  /** Seconds since 1970. */
  Created?: number;
  Labels?: Record<string, string> | null;
  /** As it was asked for, or the image's id where that means another image by now. */
  Image?: string;
  ImageID?: string;
  /** `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`. */
  State?: string;
}

/** One image on a node; dangling ones have `<none>:<none>`, or nothing, for a name. */
export interface EngineImage {
  Id: string;
  RepoTags?: string[] | null;
  RepoDigests?: string[] | null;
}

/** What an inspect tells of a container, as far as we read it. */
export interface EngineContainerDetail {
  Id: string;
  Image?: string;
  State?: { Running?: boolean; Paused?: boolean; Restarting?: boolean };
  Config?: { Image?: string };
  HostConfig?: { AutoRemove?: boolean; RestartPolicy?: { Name?: string; MaximumRetryCount?: number } };
}

export interface EngineNetwork {
  Id: string;
  Name: string;
  Created?: string;
  Scope: string;
  Driver: string;
  Internal?: boolean;
  Attachable?: boolean;
  Ingress?: boolean;
  ConfigOnly?: boolean;
  Labels?: Record<string, string> | null;
}

export interface EngineVolume {
  Name: string;
  Driver: string;
  Mountpoint?: string;
  Scope?: string;
  CreatedAt?: string;
  Labels?: Record<string, string> | null;
  /** Of the driver. */
  Options?: Record<string, string> | null;
  /** In answers on usage alone; -1: not known. */
  UsageData?: { Size: number } | null;
}

/** A secret; engines never answer its data. */
export interface EngineSecret {
  ID: string;
  Version: ObjectVersion;
  CreatedAt: string;
  UpdatedAt: string;
  Spec: { Name: string; Labels?: Record<string, string> | null };
}

/** A config; `Data` is base64. */
export interface EngineConfig {
  ID: string;
  Version: ObjectVersion;
  CreatedAt: string;
  UpdatedAt: string;
  Spec: { Name: string; Labels?: Record<string, string> | null; Data?: string };
}

/** Objects that share the label `com.docker.stack.namespace`. */
export interface EngineStack {
  name: string;
  services: number;
}

/** Filters of list calls, e.g. `{ label: ['com.docker.stack.namespace=shop'], name: ['web'] }`. The engine's `name` filter matches prefixes. */
export type EngineFilters = Record<string, string[]>;
