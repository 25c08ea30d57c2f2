import { Column, CreateDateColumn, Entity, PrimaryColumn } from 'typeorm';
import type { Actor } from '@gantry/platform';
import type { SpecChange } from './compose/diff-spec';
import type { DesiredState, ServiceSpec } from './compose/to-specs';
import type { DeploymentReason, DeploymentState } from './states';

/** What a plan does with one object of the stack. `fields` are a service's changed fields; what may be a secret reads `***`. */
export interface ObjectChange {
  kind: 'network' | 'config' | 'secret' | 'service';
  name: string;
  action: 'create' | 'update' | 'remove' | 'unchanged';
  fields: SpecChange[];
}

/** Who made something, as shown to people. */
export interface Maker {
  kind: Actor['kind'];
  id: string | null;
  name: string;
}

/** Where a release can go: one cluster, one set of variables; the signature policy has the scope `environment:<id>`. */
@Entity('delivery_environments')
export class Environment {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') name!: string;
  @Column('uuid', { name: 'account_id' }) accountId!: string;
  @Column('uuid', { name: 'cluster_id' }) clusterId!: string;
  /** Compose variables; not secret. */
  @Column('jsonb') variables!: Record<string, string>;
  @Column('integer') version!: number;
  @CreateDateColumn({ type: 'timestamptz', name: 'created_at' }) createdAt!: Date;
}

/** A push of `repository` with a tag that matches `tag` (exact, or `*` for any characters) is deployed to `environmentId`. */
export interface AutoRedeploy {
  environmentId: string;
  repository: string;
  tag: string;
}

/** A Compose file with its settings; the file's versions are its revisions. */
@Entity('delivery_applications')
export class Application {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') name!: string;
  @Column('uuid', { name: 'account_id' }) accountId!: string;
  @Column('jsonb', { name: 'auto_redeploy', nullable: true }) autoRedeploy!: AutoRedeploy | null;
  @Column('integer') version!: number;
  @CreateDateColumn({ type: 'timestamptz', name: 'created_at' }) createdAt!: Date;
}

/** What a Compose file's reader has to say about one place. */
export interface Notice {
  /** JSON pointer into the file, or empty. */
  pointer: string;
  line: number | null;
  message: string;
}

/** One immutable version of an application's Compose file; `number` counts from 1 within the application. */
@Entity('delivery_revisions')
export class Revision {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'application_id' }) applicationId!: string;
  @Column('integer') number!: number;
  @Column('text') compose!: string;
  @Column('jsonb') warnings!: Notice[];
  @Column('jsonb', { name: 'created_by' }) createdBy!: Maker;
  @CreateDateColumn({ type: 'timestamptz', name: 'created_at' }) createdAt!: Date;
}

/** One service's image, pinned. `reference` is as written; the host is added when a spec is made. */
export interface ReleaseImage {
  repositoryId: string;
  repository: string;
  digest: string;
  reference: string;
}

/** Immutable: a revision with every image resolved to a digest. Equal ones are one row (`fingerprint`). */
@Entity('delivery_releases')
export class Release {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'application_id' }) applicationId!: string;
  @Column('uuid', { name: 'revision_id' }) revisionId!: string;
  @Column('jsonb') images!: Record<string, ReleaseImage>;
  @Column('text') fingerprint!: string;
  @CreateDateColumn({ type: 'timestamptz', name: 'created_at' }) createdAt!: Date;
}

/** What a release shall be on the cluster, complete and stable; the data of secrets is sealed (purpose `delivery-stack-secret`). */
export interface Stack {
  /** `<application>-<environment>`: label `com.docker.stack.namespace` and prefix of names. */
  name: string;
  networks: DesiredState['networks'];
  configs: DesiredState['configs'];
  secrets: { name: string; spec: { Name: string; Labels: Record<string, string>; Templating?: { Name: string } }; sealedData: string }[];
  services: StackService[];
}

/** One service of a stack. `hash` stands for the spec without the ids of secrets and configs, which are filled in when it is sent. */
export interface StackService {
  /** Name in the Compose file. */
  service: string;
  /** Name on the cluster. */
  name: string;
  image: ReleaseImage;
  spec: ServiceSpec;
  hash: string;
}

/** Verdict on one image of a plan. */
export interface PlanVerdict {
  service: string;
  repository: string;
  digest: string;
  reference: string;
  allowed: boolean;
  /** Reason code of the policy, or null when nothing was found wrong. */
  reason: string | null;
  explanation: string;
  verdictId: string | null;
}

/** What deploying a release to an environment would change. */
@Entity('delivery_plans')
export class Plan {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'application_id' }) applicationId!: string;
  @Column('uuid', { name: 'environment_id' }) environmentId!: string;
  @Column('uuid', { name: 'release_id' }) releaseId!: string;
  /** The deployment that was current when the plan was made; null: none. */
  @Column('uuid', { name: 'base_deployment_id', nullable: true }) baseDeploymentId!: string | null;
  /** Versions of the secrets' values that went in, by name. */
  @Column('jsonb') inputs!: { secrets: Record<string, number> };
  @Column('jsonb') stack!: Stack;
  @Column('jsonb') changes!: ObjectChange[];
  @Column('jsonb') verdicts!: PlanVerdict[];
  @Column('jsonb') notices!: Notice[];
  @Column('boolean') allowed!: boolean;
  @Column('jsonb', { name: 'created_by' }) createdBy!: Maker;
  @CreateDateColumn({ type: 'timestamptz', name: 'created_at' }) createdAt!: Date;
  @Column('timestamptz', { name: 'expires_at' }) expiresAt!: Date;
}

/** One applied plan. `finishedAt` is set exactly in final states. */
@Entity('delivery_deployments')
export class Deployment {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'application_id' }) applicationId!: string;
  @Column('uuid', { name: 'environment_id' }) environmentId!: string;
  @Column('uuid', { name: 'cluster_id' }) clusterId!: string;
  @Column('text') origin!: 'request' | 'hook' | 'push' | 'rollback' | 'renewal';
  /** Makes a repeated wish (event, webhook) one deployment; unique in the pair. */
  @Column('text', { nullable: true }) cause!: string | null;
  /** Revision asked for; null: the one that runs, else the latest. */
  @Column('uuid', { name: 'revision_id', nullable: true }) revisionId!: string | null;
  /** Images asked for by service; services without one take the file's. */
  @Column('jsonb') images!: Record<string, string>;
  @Column('uuid', { name: 'plan_id', nullable: true }) planId!: string | null;
  /** The plan was made and looked at beforehand: it is refused when it is no longer true. */
  @Column('boolean') planned!: boolean;
  @Column('uuid', { name: 'release_id', nullable: true }) releaseId!: string | null;
  @Column('uuid', { name: 'previous_deployment_id', nullable: true }) previousDeploymentId!: string | null;
  @Column('uuid', { name: 'rollback_of', nullable: true }) rollbackOf!: string | null;
  @Column('text') state!: DeploymentState;
  @Column('jsonb', { nullable: true }) reason!: DeploymentReason | null;
  @Column('boolean', { name: 'cancel_requested' }) cancelRequested!: boolean;
  @Column('jsonb') actor!: Actor;
  @Column('text', { name: 'request_id' }) requestId!: string;
  @CreateDateColumn({ type: 'timestamptz', name: 'created_at' }) createdAt!: Date;
  @Column('timestamptz', { name: 'started_at', nullable: true }) startedAt!: Date | null;
  @Column('timestamptz', { name: 'deadline_at', nullable: true }) deadlineAt!: Date | null;
  @Column('timestamptz', { name: 'rollback_deadline_at', nullable: true }) rollbackDeadlineAt!: Date | null;
  @Column('timestamptz', { name: 'finished_at', nullable: true }) finishedAt!: Date | null;
}

/** Lets an outside system start deployments by signed calls to `/hooks/{id}`. */
@Entity('delivery_triggers')
export class Trigger {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'application_id' }) applicationId!: string;
  @Column('uuid', { name: 'environment_id' }) environmentId!: string;
  /** Only this service; null: every service whose image is of the repository. */
  @Column('text', { nullable: true }) service!: string | null;
  /** Only this repository; null: every repository of the application's images. */
  @Column('text', { nullable: true }) repository!: string | null;
  @Column('text', { name: 'secret_sealed' }) secretSealed!: string;
  @Column('jsonb', { name: 'created_by' }) createdBy!: Maker;
  @CreateDateColumn({ type: 'timestamptz', name: 'created_at' }) createdAt!: Date;
}

/** Entities of this room; steps, events, secrets and credentials are plain tables (see README). */
export const deliveryEntities = [Environment, Application, Revision, Release, Plan, Deployment, Trigger];
