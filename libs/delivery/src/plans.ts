import { Inject, Injectable } from '@nestjs/common';
import { Access, type ResourceRef } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { ImageAdmission, KeptServices } from '@gantry/clusters';
import { CONFIG, Clock, Db, isUuid, requestProblem, Sealer, uuidv7, type Config, type Context } from '@gantry/platform';
import { Images } from '@gantry/registry';
import { Applications, imagePointer, maker, rollbackNotice } from './applications';
import { planChanges, type ObjectChange } from './changes';
import { hostAffecting, requiredValues, type ComposeFile } from './compose';
import { Deployment, Plan, Release, Revision, type Application, type Environment, type Notice, type PlanVerdict, type ReleaseImage, type Stack } from './entities';
import { Environments } from './environments';
import { Faults } from './faults';
import { deliveryProblem } from './problems';
import { formatImageReference, parseImageReference } from './references';
import { fingerprint, keptTo, ownConstraints, renderStack } from './stack';

/** How long a plan may be applied. */
const planMillis = 3_600_000;

/** Sealing purpose of the data of secrets in stored stacks. */
export const stackSecretPurpose = 'delivery-stack-secret';

/** How the notice begins that tells the nodes to which a plan's services are kept. */
const keptNotice = 'All services are kept to the nodes on which the environment’s account may schedule:';

/** What a plan shall be made of. `images`: service → reference; `keep`: services without one stay at what this release has. */
export interface PlanInput {
  application: Application;
  environment: Environment;
  revision: Revision;
  images: Record<string, string>;
  keep: Release | null;
  /** What the environment runs now, where the caller has read it. */
  current?: Deployment | null;
}

/** A plan before it is stored. */
export interface PlanDraft {
  application: Application;
  environment: Environment;
  revisionId: string;
  images: Record<string, ReleaseImage>;
  secrets: Record<string, number>;
  stack: Stack;
  changes: ObjectChange[];
  verdicts: PlanVerdict[];
  notices: Notice[];
  allowed: boolean;
  baseDeploymentId: string | null;
}

/** Resolves, verifies and compares: what deploying would change, and whether it may. Reads our own records only, never an engine. */
@Injectable()
export class Plans {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly audit: Audit,
    private readonly access: Access,
    private readonly sealer: Sealer,
    private readonly images: Images,
    private readonly admission: ImageAdmission,
    private readonly kept: KeptServices,
    private readonly applications: Applications,
    private readonly environments: Environments,
    private readonly faults: Faults,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Plans a deployment and keeps the plan for an hour. A plan that the signature policy refuses is kept too, with `allowed` false.
   * @throws delivery.image-unknown, delivery.image-foreign, delivery.secret-missing, delivery.compose-invalid, clusters.no-node, request.not-found, request.forbidden
   */
  async create(ctx: Context, input: { application: string; environment: string; revision?: string | number; images?: Record<string, string> }): Promise<Plan> {
    const application = await this.applications.get(ctx, input.application);
    this.access.assertCan(ctx, 'application:deploy', this.applications.ref(application));
    const environment = await this.environments.get(ctx, input.environment);
    this.access.assertCan(ctx, 'environment:deploy', this.environments.ref(environment));
    const revision = await this.applications.revision(ctx, application, input.revision);
    const draft = await this.draft(ctx, { application, environment, revision, images: input.images ?? {}, keep: null });
    return this.db.transaction(ctx, (tx) => this.store(tx, draft));
  }

  /** Where a plan stands for rights: below its application. */
  async findRef(ctx: Context, id: string): Promise<ResourceRef | null> {
    const plan = isUuid(id) ? await this.db.repo(ctx, Plan).findOneBy({ id }) : null;
    const application = plan && (await this.applications.find(ctx, plan.applicationId));
    return plan && application ? { kind: 'plan', id: plan.id, parent: this.applications.ref(application) } : null;
  }

  /** A plan whose environment the actor may see. @throws request.not-found */
  async get(ctx: Context, id: string): Promise<Plan> {
    const plan = isUuid(id) ? await this.db.repo(ctx, Plan).findOneBy({ id }) : null;
    if (!plan) throw requestProblem('not-found');
    const [application, environment] = [await this.applications.find(ctx, plan.applicationId), await this.environments.find(ctx, plan.environmentId)];
    const seen = application && environment && this.access.can(ctx, 'plan:view', this.applications.ref(application)).visible && this.access.can(ctx, 'plan:view', this.environments.ref(environment)).visible;
    if (!seen) throw requestProblem('not-found');
    return plan;
  }

  /** The deployment that the environment runs of the application, or null. */
  async current(ctx: Context, applicationId: string, environmentId: string): Promise<Deployment | null> {
    const [found] = await this.db.load(ctx, Deployment, `where application_id = $1 and environment_id = $2 and state = 'succeeded' order by id desc limit 1`, [applicationId, environmentId]);
    return found ?? null;
  }

  /** Makes a plan without storing it. Reads the registry's records and asks the signature policy; changes nothing. */
  async draft(ctx: Context, input: PlanInput): Promise<PlanDraft> {
    const { application, environment, revision } = input;
    const written = this.applications.file(application, environment, revision);
    const images = await this.resolve(ctx, written, input);
    const file = withImages(written, images);
    const { values, numbers } = await this.applications.secretValues(ctx, application, environment, requiredValues(file));
    const stack = renderStack(file, {
      application, environment, images, secretValues: values, registryHost: this.config.registryPublicHost,
      nameKey: Buffer.from(this.sealer.hash(`${application.id}:${environment.id}`, 'delivery-names'), 'hex'),
      seal: (data) => this.sealer.seal(data, stackSecretPurpose),
    });
    const notices: Notice[] = [
      ...revision.warnings.filter(({ message }) => !/ is (not defined|empty)/.test(message)),
      ...hostAffecting(file).filter(({ pointer }) => !revision.warnings.some((warning) => warning.pointer === pointer))
        .map(({ service, option, detail, pointer }) => ({ pointer, line: null, message: `${service} asks the node for ${option} (${detail})` })),
      ...Object.entries(file.services).filter(([service, { deploy }]) => deploy.updateConfig?.failureAction === 'rollback' && !revision.warnings.some(({ message }) => message === rollbackNotice(service).message))
        .map(([service]) => rollbackNotice(service)),
    ];
    return this.judge(ctx, { application, environment, revisionId: revision.id, images, secrets: numbers, stack, notices }, input.current);
  }

  /** A draft that deploys an earlier plan's stack as it was, judged anew. */
  async redraft(ctx: Context, application: Application, environment: Environment, plan: Plan): Promise<PlanDraft> {
    const release = await this.db.repo(ctx, Release).findOneByOrFail({ id: plan.releaseId });
    return this.judge(ctx, { application, environment, revisionId: release.revisionId, images: release.images, secrets: plan.inputs.secrets, stack: plan.stack, notices: plan.notices });
  }

  private async judge(ctx: Context, part: Omit<PlanDraft, 'changes' | 'verdicts' | 'allowed' | 'baseDeploymentId'>, read?: Deployment | null): Promise<PlanDraft> {
    const [own, verdicts, { current, stack: before }] = await Promise.all([this.constraints(ctx, part.environment), this.verify(ctx, part.environment, part.images), this.running(ctx, part, read)]);
    const stack = keptTo(part.stack, own);
    const notices = [...part.notices.filter(({ message }) => !message.startsWith(keptNotice)), ...(own.length > 0 ? [{ pointer: '', line: null, message: `${keptNotice} ${own.join(', ')}` }] : [])];
    return { ...part, stack, notices, verdicts, allowed: verdicts.every(({ allowed }) => allowed), changes: planChanges(before, stack), baseDeploymentId: current?.id ?? null };
  }

  /** The nodes that are open to the environment's account, as constraints. @throws clusters.no-node */
  private constraints(ctx: Context, environment: Environment): Promise<string[]> {
    return this.kept.constraintsFor(ctx, environment.clusterId, this.environments.ref(environment));
  }

  /** Nodes may have been moved, and rights changed, since a stack was planned. @throws delivery.plan-stale, clusters.no-node */
  async assertStillKept(ctx: Context, environment: Environment, stack: Stack): Promise<void> {
    if (stack.services.length === 0) return;
    const [own, planned] = [await this.constraints(ctx, environment), ownConstraints(stack)];
    if (own.length === planned.length && own.every((each) => planned.includes(each))) return;
    throw deliveryProblem('plan-stale', { detail: 'The nodes on which the environment’s account may schedule are others than when this was planned. Make a new plan, or deploy again.' });
  }

  private async running(ctx: Context, { application, environment }: Pick<PlanDraft, 'application' | 'environment'>, read?: Deployment | null): Promise<{ current: Deployment | null; stack: Stack | null }> {
    const current = read === undefined ? await this.current(ctx, application.id, environment.id) : read;
    if (!current?.planId) return { current, stack: null };
    const [row] = await this.db.query<{ stack: Stack }>(ctx, 'select stack from delivery_plans where id = $1', [current.planId]);
    return { current, stack: row?.stack ?? null };
  }

  /** Stores a draft and its release (equal releases are one) in the context's transaction. */
  async store(tx: Context, draft: PlanDraft): Promise<Plan> {
    const releaseId = await this.storeRelease(tx, draft);
    const id = uuidv7();
    const plan = this.db.repo(tx, Plan).create({
      id, applicationId: draft.application.id, environmentId: draft.environment.id, releaseId, baseDeploymentId: draft.baseDeploymentId,
      inputs: { secrets: draft.secrets }, stack: draft.stack, changes: draft.changes, verdicts: draft.verdicts, notices: draft.notices,
      allowed: draft.allowed, createdBy: maker(tx), createdAt: this.clock.now(), expiresAt: new Date(this.clock.now().getTime() + planMillis),
    });
    await this.db.repo(tx, Plan).insert(plan as never);
    await this.audit.record(tx, {
      action: 'plan.create', outcome: draft.allowed ? 'success' : 'refused', resource: { kind: 'plan', id },
      detail: { application: draft.application.name, environment: draft.environment.name, releaseId, images: imageList(draft.images), ...refusal(draft.verdicts) },
    });
    return plan;
  }

  private async storeRelease(tx: Context, draft: PlanDraft): Promise<string> {
    const [row] = await this.db.query<{ id: string }>(tx, `
      insert into delivery_releases (id, application_id, revision_id, images, fingerprint) values ($1, $2, $3, $4, $5)
      on conflict (application_id, fingerprint) do update set fingerprint = excluded.fingerprint returning id`,
      [uuidv7(), draft.application.id, draft.revisionId, JSON.stringify(draft.images), fingerprint([draft.revisionId, draft.images])]);
    return row?.id ?? '';
  }

  /** Every service's image as a digest of our registry that the actor may pull. */
  private async resolve(ctx: Context, file: ComposeFile, { images, keep, revision }: PlanInput): Promise<Record<string, ReleaseImage>> {
    const unknown = Object.keys(images).filter((service) => !Object.hasOwn(file.services, service));
    if (unknown.length > 0) throw requestProblem('invalid', { errors: unknown.map((service) => ({ pointer: `/images/${service}`, detail: 'the application has no such service' })) });
    const resolved: Record<string, ReleaseImage> = {};
    for (const [service, { image }] of Object.entries(file.services)) {
      const asked = Object.hasOwn(images, service) ? images[service] : undefined;
      const kept = keep?.revisionId === revision.id && asked === undefined && Object.hasOwn(keep.images, service) ? keep.images[service] : undefined;
      const pointer = asked === undefined ? imagePointer(service) : `/images/${service}`;
      const reference = kept ? { repository: kept.repository, tag: null, digest: kept.digest } : parseImageReference(asked ?? image, this.config.registryPublicHost, pointer);
      await this.faults.point('resolve', 'before', service);
      const found = await this.images.resolve(ctx, reference.repository, reference.digest ?? reference.tag ?? 'latest');
      await this.faults.point('resolve', 'after', service);
      // What the actor may not pull is as unknown as what does not exist.
      if (!found || !this.access.can(ctx, 'repository:pull', { kind: 'repository', id: found.repositoryId }).allowed) {
        const detail = `there is no ${formatImageReference(reference)} in the registry that you may pull`;
        throw deliveryProblem('image-unknown', { detail: `${service}: ${detail}. Push it with docker push ${this.config.registryPublicHost}/${formatImageReference({ ...reference, digest: null })}.`, errors: [{ pointer, detail }] });
      }
      resolved[service] = { repositoryId: found.repositoryId, repository: found.repository, digest: found.digest, reference: kept?.reference ?? formatImageReference({ ...reference, digest: reference.tag === null ? reference.digest : null }) };
    }
    return resolved;
  }

  /** The signature policy's word on every image. */
  async verify(ctx: Context, environment: Environment, images: Record<string, ReleaseImage>): Promise<PlanVerdict[]> {
    const verdicts: PlanVerdict[] = [];
    for (const [service, image] of Object.entries(images)) {
      const same = verdicts.find(({ repository, digest }) => repository === image.repository && digest === image.digest);
      if (same) {
        verdicts.push({ ...same, service, reference: image.reference });
        continue;
      }
      await this.faults.point('verify', 'before', service);
      const verdict = await this.admission.admit(ctx, { repository: image.repository, digest: image.digest, scope: this.environments.scope(environment) });
      await this.faults.point('verify', 'after', service);
      verdicts.push({ service, repository: image.repository, digest: image.digest, reference: image.reference, allowed: verdict.allowed, reason: verdict.reason, explanation: verdict.explanation, verdictId: verdict.verdictId });
    }
    return verdicts;
  }
}

/** The problem that says which image a policy refuses and why; `extra.verdicts` has the refused ones. */
export function refusedImages(verdicts: PlanVerdict[]) {
  const refused = verdicts.filter(({ allowed }) => !allowed);
  return deliveryProblem('image-refused', {
    detail: refused.map(({ service, repository, digest, reason, explanation }) => `${service}: ${repository}@${digest}: ${explanation} (${reason ?? 'refused'})`).join('; '),
    extra: { reason: refused[0]?.reason ?? null, verdicts: refused },
  });
}

function refusal(verdicts: PlanVerdict[]): Record<string, unknown> {
  const refused = verdicts.filter(({ allowed }) => !allowed);
  return refused.length === 0 ? {} : { code: 'delivery.image-refused', reasons: refused.map(({ service, reason }) => `${service}: ${reason ?? 'refused'}`) };
}

/** `service=repository@digest` for audit rows. */
export function imageList(images: Record<string, ReleaseImage>): string[] {
  return Object.entries(images).map(([service, image]) => `${service}=${image.repository}@${image.digest}`);
}

/** The file with its images named as they were resolved, so that the label `com.docker.stack.image` tells the truth. */
function withImages(file: ComposeFile, images: Record<string, ReleaseImage>): ComposeFile {
  const services = Object.entries(file.services).map(([name, service]) => [name, { ...service, image: images[name]?.reference ?? service.image }] as const);
  return { ...file, services: Object.fromEntries(services) };
}
