import { createHmac, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { Access, inScope, type ResourceRef } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { CONFIG, Db, isUuid, randomSecret, requestProblem, Sealer, toPage, uuidv7, type Config, type Context, type Page } from '@gantry/platform';
import { Images } from '@gantry/registry';
import { Applications, maker } from './applications';
import { Deployments, idCursor } from './deployments';
import { Trigger, type Application, type Environment, type Revision } from './entities';
import { Environments } from './environments';
import { parseHookBody } from './hook-body';
import { deliveryProblem } from './problems';
import { formatImageReference, parseImageReference } from './references';

const purpose = 'delivery-trigger';

/** A call to `/hooks/{trigger}` as it came: the signature is over the exact bytes. */
export interface HookCall {
  triggerId: string;
  /** `X-GitHub-Delivery` or `X-Gantry-Delivery`. */
  deliveryId: string | undefined;
  /** `X-Hub-Signature-256`. */
  signature: string | undefined;
  rawBody: Buffer;
  body: unknown;
}

/** Triggers, the calls to them, and which services a repository's image belongs to. */
@Injectable()
export class Triggers {
  constructor(
    private readonly db: Db,
    private readonly audit: Audit,
    private readonly access: Access,
    private readonly sealer: Sealer,
    private readonly images: Images,
    private readonly applications: Applications,
    private readonly environments: Environments,
    private readonly deployments: Deployments,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Makes a trigger; its secret is answered once. Needs `environment:deploy`. The environment must belong to the application's account,
   * since a trigger acts for one account only.
   */
  async create(ctx: Context, input: { application: string; environment: string; service?: string; repository?: string }): Promise<Trigger & { secret: string }> {
    const application = await this.applications.get(ctx, input.application);
    this.access.assertCan(ctx, 'trigger:create', this.applications.ref(application));
    const environment = await this.environments.get(ctx, input.environment);
    this.access.assertCan(ctx, 'environment:deploy', this.environments.ref(environment));
    if (environment.accountId !== application.accountId) throw requestProblem('invalid', { errors: [{ pointer: '/environment', detail: 'must belong to the account that owns the application' }] });
    const repository = input.repository === undefined ? null : parseImageReference(input.repository, this.config.registryPublicHost, '/repository').repository;
    if (repository !== null && repository !== input.repository) throw requestProblem('invalid', { errors: [{ pointer: '/repository', detail: 'namespace/name, without host, tag or digest' }] });
    const id = uuidv7();
    const secret = randomSecret('ghook_');
    return this.db.transaction(ctx, async (tx) => {
      await this.db.repo(tx, Trigger).insert({
        id, applicationId: application.id, environmentId: environment.id, service: input.service ?? null, repository,
        secretSealed: this.sealer.seal(secret, `${purpose}:${id}`), createdBy: maker(ctx),
      });
      await this.access.place(tx, { kind: 'trigger', id }, this.access.accountCollection(application.accountId));
      await this.audit.record(tx, { action: 'trigger.create', outcome: 'success', resource: { kind: 'trigger', id }, detail: { application: application.name, environment: environment.name, service: input.service ?? null, repository } });
      return { ...(await this.db.repo(tx, Trigger).findOneByOrFail({ id })), secret };
    });
  }

  /** Where a trigger stands for rights: below its application. */
  async findRef(ctx: Context, id: string): Promise<ResourceRef | null> {
    const trigger = isUuid(id) ? await this.db.repo(ctx, Trigger).findOneBy({ id }) : null;
    const application = trigger && (await this.applications.find(ctx, trigger.applicationId));
    return trigger && application ? { kind: 'trigger', id: trigger.id, parent: this.applications.ref(application) } : null;
  }

  /** @throws request.not-found */
  async get(ctx: Context, id: string): Promise<Trigger> {
    const ref = await this.findRef(ctx, id);
    if (!ref || !this.access.can(ctx, 'trigger:view', ref).allowed) throw requestProblem('not-found');
    return this.db.repo(ctx, Trigger).findOneByOrFail({ id });
  }

  /** Triggers of applications that the actor sees, newest first. */
  async list(ctx: Context, options: { limit: number; cursor?: string; application?: string }): Promise<Page<Trigger>> {
    const scope = this.access.listScope(ctx, 'trigger:view', 'application');
    const application = options.application === undefined ? null : await this.applications.get(ctx, options.application);
    const rows = await this.db.repo(ctx, Trigger).createQueryBuilder('t')
      .where('(cast(:before as uuid) is null or t.id < :before)', { before: idCursor(options.cursor) })
      .andWhere('(cast(:application as uuid) is null or t.application_id = :application)', { application: application?.id ?? null })
      .andWhere(scope ? `t.application_id in (select id from delivery_applications where ${inScope('account_id', 'id')})` : 'true', { ...scope })
      .orderBy('t.id', 'DESC').limit(options.limit + 1).getMany();
    return toPage(rows, options.limit, (row) => [row.id]);
  }

  /** Ends a trigger; calls to it are refused from then on. @throws request.not-found */
  async delete(ctx: Context, id: string): Promise<void> {
    const ref = await this.findRef(ctx, id);
    if (!ref) throw requestProblem('not-found');
    this.access.assertCan(ctx, 'trigger:delete', ref);
    await this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'delete from delivery_triggers where id = $1 returning 1', [id]);
      await this.access.unplace(tx, { kind: 'trigger', id });
      await this.audit.record(tx, { action: 'trigger.delete', outcome: 'success', resource: { kind: 'trigger', id } });
    });
  }

  /**
   * Takes a signed call and starts a deployment. The same delivery id starts nothing again (`repeated`), for 7 days.
   * An unknown trigger and a wrong signature get the same answer.
   * @throws delivery.hook-signature, request.invalid, delivery.hook-unmatched, delivery.image-unknown, delivery.digest-mismatch
   */
  async receive(ctx: Context, call: HookCall): Promise<{ deploymentId: string; repeated: boolean }> {
    const trigger = isUuid(call.triggerId) ? await this.db.find(ctx, Trigger, call.triggerId) : null;
    // An unknown trigger costs the same work as a known one.
    const secret = trigger ? this.sealer.open(trigger.secretSealed, `${purpose}:${trigger.id}`) : Buffer.from(unknownSecret);
    if (!isSigned(call.rawBody, secret, call.signature) || !trigger) {
      await this.audit.recordRefusal(ctx, { action: 'trigger.receive', outcome: 'refused', resource: { kind: 'trigger', id: call.triggerId.slice(0, 64) }, detail: { code: 'delivery.hook-signature' } });
      throw deliveryProblem('hook-signature');
    }
    if (call.deliveryId === undefined || !/^[\x21-\x7e]{1,128}$/.test(call.deliveryId)) {
      throw requestProblem('invalid', { errors: [{ pointer: 'header/x-gantry-delivery', detail: 'send a delivery id in X-GitHub-Delivery or X-Gantry-Delivery: 1 to 128 visible ASCII characters, a new one for each event' }] });
    }
    const acting: Context = { ...ctx, actor: { kind: 'trigger', id: trigger.id, name: `trigger ${trigger.id}`, admin: false, credentialId: null, limits: null } };
    const [known, application, environment] = await Promise.all([
      this.remembered(acting, trigger.id, call.deliveryId), this.applications.find(acting, trigger.applicationId), this.environments.find(acting, trigger.environmentId),
    ]);
    if (known !== null) return { deploymentId: known, repeated: true };
    if (!application || !environment) throw requestProblem('not-found');
    try {
      return await this.accept(acting, { trigger, application, environment }, call.deliveryId, call.body);
    } catch (error) {
      // The same delivery twice at once: the later one waited for the first to commit, and is its repeat.
      const first = await this.remembered(acting, trigger.id, call.deliveryId);
      if (first !== null) return { deploymentId: first, repeated: true };
      throw error;
    }
  }

  private async accept(ctx: Context, { trigger, application, environment }: { trigger: Trigger; application: Application; environment: Environment }, deliveryId: string, body: unknown): Promise<{ deploymentId: string; repeated: boolean }> {
    const wished = parseHookBody(body);
    const [found, services] = await Promise.all([this.images.resolve(ctx, wished.repository, wished.tag), this.servicesOf(ctx, application, environment, wished.repository, trigger)]);
    if (services.length === 0) {
      throw deliveryProblem('hook-unmatched', { detail: `No service of ${application.name} that this trigger deploys has an image of ${wished.repository}.`, errors: [{ pointer: '/repository', detail: 'not an image of the trigger’s application' }] });
    }
    if (!found || !this.access.can(ctx, 'repository:pull', { kind: 'repository', id: found.repositoryId }).allowed) {
      throw deliveryProblem('image-unknown', { detail: `There is no ${wished.repository}:${wished.tag} in the registry. Push before you call.`, errors: [{ pointer: '/tag', detail: 'nothing was pushed under it' }] });
    }
    if (wished.digest !== null && wished.digest !== found.digest) throw deliveryProblem('digest-mismatch', { errors: [{ pointer: '/digest', detail: `the tag is ${found.digest}` }] });
    const reference = formatImageReference({ repository: wished.repository, tag: wished.tag, digest: found.digest });
    return this.db.transaction(ctx, async (tx) => {
      const deployment = await this.deployments.start(tx, {
        application, environment, origin: 'hook', cause: `hook:${trigger.id}:${deliveryId}`, revisionId: null,
        images: Object.fromEntries(services.map((service) => [service, reference])), plan: null, planned: false, rollbackOf: null,
      });
      await this.db.query(tx, 'insert into delivery_hook_deliveries (trigger_id, delivery_id, deployment_id) values ($1, $2, $3)', [trigger.id, deliveryId, deployment.id]);
      return { deploymentId: deployment.id, repeated: false };
    });
  }

  private async remembered(ctx: Context, triggerId: string, deliveryId: string): Promise<string | null> {
    const [row] = await this.db.query<{ deployment_id: string }>(ctx, `select deployment_id from delivery_hook_deliveries
      where trigger_id = $1 and delivery_id = $2 and received_at > now() - interval '7 days'`, [triggerId, deliveryId]);
    return row?.deployment_id ?? null;
  }

  /** Services whose image is of the repository, in the revision that would be deployed: the one that runs, else the latest. */
  async servicesOf(ctx: Context, application: Application, environment: Environment, repository: string, only: { service: string | null; repository: string | null }): Promise<string[]> {
    if (only.repository !== null && only.repository !== repository) return [];
    const file = this.applications.file(application, environment, await this.revisionToDeploy(ctx, application, environment));
    return Object.entries(file.services)
      .filter(([service, { image }]) => (only.service === null || only.service === service) && parseImageReference(image, this.config.registryPublicHost, service).repository === repository)
      .map(([service]) => service);
  }

  private async revisionToDeploy(ctx: Context, application: Application, environment: Environment): Promise<Revision> {
    const [running] = await this.db.query<{ revision_id: string }>(ctx, `select r.revision_id from delivery_deployments d join delivery_releases r on r.id = d.release_id
      where d.application_id = $1 and d.environment_id = $2 and d.state = 'succeeded' order by d.id desc limit 1`, [application.id, environment.id]);
    return this.applications.revision(ctx, application, running?.revision_id);
  }
}

const unknownSecret = 'ghook_0000000000000000000000000000000000000000000';

function isSigned(body: Buffer, secret: Buffer, header: string | undefined): boolean {
  const expected = createHmac('sha256', secret).update(body).digest();
  const given = /^sha256=([0-9a-f]{64})$/i.exec(header ?? '')?.[1];
  return timingSafeEqual(expected, given === undefined ? Buffer.alloc(32) : Buffer.from(given, 'hex')) && given !== undefined;
}
