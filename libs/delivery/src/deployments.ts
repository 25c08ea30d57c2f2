import { Injectable } from '@nestjs/common';
import { Access, inScope, type ResourceRef } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { Clock, Db, decodeCursor, isUuid, Outbox, requestProblem, toPage, uuidv7, type Actor, type Context, type Page } from '@gantry/platform';
import { Applications } from './applications';
import { Deployment, Plan, Release, type Application, type Environment } from './entities';
import { Environments } from './environments';
import { deploymentChannel, renewMillis, runDeployment } from './jobs';
import { Journal, type DeploymentEvent, type Step } from './journal';
import { Plans, refusedImages } from './plans';
import { deliveryProblem } from './problems';
import { Runner } from './runner';
import { isFinal } from './states';

/** A wish for a deployment that is to be written down; everything was checked before. */
export interface DeploymentWish {
  application: Pick<Application, 'id' | 'name'>;
  environment: Pick<Environment, 'id' | 'name' | 'clusterId'>;
  origin: Deployment['origin'];
  /** Makes a repeat of the same wish the same deployment; null: every wish is a new one. */
  cause: string | null;
  revisionId: string | null;
  images: Record<string, string>;
  plan: Plan | null;
  /** The plan is the caller's own and must still be true when it is applied. */
  planned: boolean;
  rollbackOf: string | null;
}

/** How often clusters are asked which services are gone. */
const credentialSweepMillis = 15_000;

/** What is deployed where: wishes, their progress, and their outcome. The work itself is done by `Runner`. */
@Injectable()
export class Deployments {
  private credentialsSweptAt = 0;

  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly outbox: Outbox,
    private readonly audit: Audit,
    private readonly access: Access,
    private readonly applications: Applications,
    private readonly environments: Environments,
    private readonly plans: Plans,
    private readonly journal: Journal,
    private readonly runner: Runner,
  ) {}

  /** Handler of `runDeployment`; see `Runner.run`. */
  async run(ctx: Context, payload: { deploymentId: string }): Promise<void> {
    await this.runner.run(ctx, payload);
  }

  /** The deployment that an environment runs of an application, or null. */
  async current(ctx: Context, applicationId: string, environmentId: string): Promise<Deployment | null> {
    return this.plans.current(ctx, applicationId, environmentId);
  }

  /**
   * Deploys a plan, or makes one and deploys it. Answers at once; the work is done by a worker.
   * @throws delivery.plan-stale, delivery.image-refused (with `verdicts`), and what `Plans.create` throws
   */
  async create(ctx: Context, input: { planId: string } | { application: string; environment: string; revision?: string | number; images?: Record<string, string> }): Promise<Deployment> {
    const planned = 'planId' in input;
    const plan = planned ? await this.plans.get(ctx, input.planId) : await this.plans.create(ctx, input);
    const { application, environment } = await this.pair(ctx, plan);
    this.access.assertCan(ctx, 'application:deploy', this.applications.ref(application));
    this.access.assertCan(ctx, 'environment:deploy', this.environments.ref(environment));
    if (planned) {
      if (plan.expiresAt <= this.clock.now()) throw deliveryProblem('plan-stale', { detail: 'The plan is older than an hour. Make a new one.' });
      const current = await this.plans.current(ctx, application.id, environment.id);
      if ((current?.id ?? null) !== plan.baseDeploymentId) throw deliveryProblem('plan-stale', { detail: 'Something else was deployed since the plan was made. Make a new one.' });
    }
    if (!plan.allowed) {
      const problem = refusedImages(plan.verdicts);
      await this.audit.recordRefusal(ctx, { action: 'deployment.create', outcome: 'refused', resource: { kind: 'application', id: application.id, name: application.name }, detail: { code: problem.code, environment: environment.name, planId: plan.id, reason: problem.extra['reason'] } });
      throw problem;
    }
    return this.db.transaction(ctx, (tx) => this.start(tx, { application, environment, origin: 'request', cause: null, revisionId: null, images: {}, plan, planned, rollbackOf: null }));
  }

  /**
   * Writes down a deployment in the context's transaction and wakes a worker. Wishes of the same pair that have not begun are superseded:
   * by a request all of them, by a webhook or push only those of webhooks and pushes, whose images it takes over.
   */
  async start(tx: Context, wish: DeploymentWish): Promise<Deployment> {
    const { application, environment } = wish;
    await this.db.query(tx, 'select pg_advisory_xact_lock(hashtextextended($1, 0))', [`delivery ${application.id} ${environment.id}`]);
    if (wish.cause !== null) {
      const [known] = await this.db.load(tx, Deployment, 'where application_id = $1 and environment_id = $2 and cause = $3', [application.id, environment.id, wish.cause]);
      if (known) return known;
    }
    const id = uuidv7();
    const automatic = wish.origin === 'hook' || wish.origin === 'push';
    const superseded = wish.origin === 'renewal' ? [] : await this.db.query<{ id: string; images: Record<string, string> }>(tx, `
      update delivery_deployments set state = 'superseded', finished_at = now(), reason = $4
      where application_id = $1 and environment_id = $2 and state = 'queued' and (not $3 or origin in ('hook', 'push')) returning id, images`,
      [application.id, environment.id, automatic, JSON.stringify({ code: 'delivery.superseded', detail: `Deployment ${id} took its place.` })]);
    superseded.sort((a, b) => (a.id < b.id ? -1 : 1));
    const images = automatic ? Object.assign({}, ...superseded.map((row) => row.images), wish.images) as Record<string, string> : wish.images;
    for (const row of superseded) await this.journal.event(tx, row.id, 'state', { state: 'superseded', by: id });
    const [row] = await this.db.query<{ created_at: Date }>(tx, `
      with row as (
        insert into delivery_deployments (id, application_id, environment_id, cluster_id, origin, cause, revision_id, images, plan_id, planned, release_id, rollback_of, state, actor, request_id, woken_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'queued', $13, $14, now()) returning created_at),
      event as (insert into delivery_events (deployment_id, type, data) select $1, 'state', $15::jsonb returning 1)
      select created_at, pg_notify('${deploymentChannel}', $16) from row`,
      [id, application.id, environment.id, environment.clusterId, wish.origin, wish.cause, wish.revisionId, JSON.stringify(images), wish.plan?.id ?? null, wish.planned,
        wish.plan?.releaseId ?? null, wish.rollbackOf, JSON.stringify(tx.actor), tx.requestId, JSON.stringify({ state: 'queued', origin: wish.origin }), id]);
    await this.outbox.enqueue(tx, runDeployment, { deploymentId: id });
    await this.audit.record(tx, {
      action: wish.origin === 'rollback' ? 'deployment.rollback' : 'deployment.create', outcome: 'success', resource: { kind: 'deployment', id },
      detail: { application: application.name, environment: environment.name, origin: wish.origin, planId: wish.plan?.id ?? null, ...(Object.keys(images).length > 0 ? { images } : {}), ...(wish.rollbackOf ? { rollbackOf: wish.rollbackOf } : {}) },
    });
    return this.db.repo(tx, Deployment).create({
      id, applicationId: application.id, environmentId: environment.id, clusterId: environment.clusterId, origin: wish.origin, cause: wish.cause, revisionId: wish.revisionId, images,
      planId: wish.plan?.id ?? null, planned: wish.planned, releaseId: wish.plan?.releaseId ?? null, previousDeploymentId: null, rollbackOf: wish.rollbackOf, state: 'queued', reason: null,
      cancelRequested: false, actor: tx.actor, requestId: tx.requestId, createdAt: row?.created_at ?? this.clock.now(), startedAt: null, deadlineAt: null, rollbackDeadlineAt: null, finishedAt: null,
    });
  }

  /** Whose a deployment is: the application, in its account. */
  async findRef(ctx: Context, id: string): Promise<ResourceRef | null> {
    const deployment = isUuid(id) ? await this.db.repo(ctx, Deployment).findOneBy({ id }) : null;
    const application = deployment && (await this.applications.find(ctx, deployment.applicationId));
    return deployment && application ? { kind: 'deployment', id: deployment.id, parent: this.applications.ref(application) } : null;
  }

  /** @throws request.not-found */
  async get(ctx: Context, id: string): Promise<Deployment> {
    const deployment = isUuid(id) ? await this.db.repo(ctx, Deployment).findOneBy({ id }) : null;
    const application = deployment && (await this.applications.find(ctx, deployment.applicationId));
    if (!application || !this.access.can(ctx, 'deployment:view', this.applications.ref(application)).allowed) throw requestProblem('not-found');
    return deployment;
  }

  /** Deployments of applications that the actor sees, newest first. */
  async list(ctx: Context, options: { limit: number; cursor?: string; application?: string; environment?: string }): Promise<Page<Deployment>> {
    const scope = this.access.listScope(ctx, 'deployment:view', 'application');
    const application = options.application === undefined ? null : await this.applications.get(ctx, options.application);
    const environment = options.environment === undefined ? null : await this.environments.get(ctx, options.environment);
    const before = idCursor(options.cursor);
    const rows = await this.db.repo(ctx, Deployment).createQueryBuilder('d')
      .where('(cast(:before as uuid) is null or d.id < :before)', { before })
      .andWhere('(cast(:application as uuid) is null or d.application_id = :application)', { application: application?.id ?? null })
      .andWhere('(cast(:environment as uuid) is null or d.environment_id = :environment)', { environment: environment?.id ?? null })
      .andWhere(scope ? `d.application_id in (select id from delivery_applications where ${inScope('account_id', 'id')})` : 'true', { ...scope })
      .orderBy('d.id', 'DESC').limit(options.limit + 1).getMany();
    return toPage(rows, options.limit, (row) => [row.id]);
  }

  /** Releases of an application, newest first. */
  async releases(ctx: Context, options: { limit: number; cursor?: string; application?: string }): Promise<Page<Release>> {
    const scope = this.access.listScope(ctx, 'release:view', 'application');
    const application = options.application === undefined ? null : await this.applications.get(ctx, options.application);
    const rows = await this.db.repo(ctx, Release).createQueryBuilder('r')
      .where('(cast(:before as uuid) is null or r.id < :before)', { before: idCursor(options.cursor) })
      .andWhere('(cast(:application as uuid) is null or r.application_id = :application)', { application: application?.id ?? null })
      .andWhere(scope ? `r.application_id in (select id from delivery_applications where ${inScope('account_id', 'id')})` : 'true', { ...scope })
      .orderBy('r.id', 'DESC').limit(options.limit + 1).getMany();
    return toPage(rows, options.limit, (row) => [row.id]);
  }

  /** Where a release stands for rights: below its application. */
  async findReleaseRef(ctx: Context, id: string): Promise<ResourceRef | null> {
    const release = isUuid(id) ? await this.db.repo(ctx, Release).findOneBy({ id }) : null;
    const application = release && (await this.applications.find(ctx, release.applicationId));
    return release && application ? { kind: 'release', id: release.id, parent: this.applications.ref(application) } : null;
  }

  /** @throws request.not-found */
  async release(ctx: Context, id: string): Promise<Release> {
    const release = isUuid(id) ? await this.db.repo(ctx, Release).findOneBy({ id }) : null;
    const application = release && (await this.applications.find(ctx, release.applicationId));
    if (!application || !this.access.can(ctx, 'release:view', this.applications.ref(application)).allowed) throw requestProblem('not-found');
    return release;
  }

  /** The deployment's steps, for people: without the wishes. */
  async steps(ctx: Context, id: string): Promise<Step[]> {
    return this.journal.steps(ctx, (await this.get(ctx, id)).id);
  }

  /** Events after an id, and whether no more will come. */
  async events(ctx: Context, id: string, after: string | null, limit: number): Promise<{ events: DeploymentEvent[]; done: boolean }> {
    // The state is read first: an event written between the two reads is then only seen twice as likely, never missed.
    const deployment = await this.get(ctx, id);
    const events = await this.journal.events(ctx, id, after, limit);
    return { events, done: isFinal(deployment.state) && events.length < limit };
  }

  /** Calls back whenever the deployment may have news; answers the undo. */
  async follow(id: string, callback: () => void): Promise<() => void> {
    return this.db.listen(deploymentChannel, (payload) => {
      if (payload === id || payload === '') callback();
    });
  }

  /** Cancels: what waits is dropped, what runs is rolled back. @throws delivery.already-finished */
  async cancel(ctx: Context, id: string): Promise<Deployment> {
    await this.get(ctx, id);
    return this.db.transaction(ctx, async (tx) => {
      const [row] = await this.db.query<{ state: Deployment['state'] }>(tx, 'select state from delivery_deployments where id = $1 for update', [id]);
      if (!row || isFinal(row.state)) throw deliveryProblem('already-finished');
      if (row.state === 'queued') {
        await this.db.query(tx, `update delivery_deployments set state = 'cancelled', finished_at = now(), reason = $2 where id = $1 returning 1`, [id, JSON.stringify(cancelled(ctx.actor))]);
        await this.journal.event(tx, id, 'state', { state: 'cancelled', reason: cancelled(ctx.actor) });
      } else if (row.state !== 'rolling-back') {
        await this.db.query(tx, 'update delivery_deployments set cancel_requested = true, reason = coalesce(reason, $2) where id = $1 returning 1', [id, JSON.stringify(cancelled(ctx.actor))]);
        await this.journal.event(tx, id, 'cancel', { by: ctx.actor.name });
        await this.outbox.enqueue(tx, runDeployment, { deploymentId: id });
      }
      await this.audit.record(tx, { action: 'deployment.cancel', outcome: 'success', resource: { kind: 'deployment', id } });
      return this.db.repo(tx, Deployment).findOneByOrFail({ id });
    });
  }

  /**
   * Returns the pair to the release that ran before this deployment, with its configs and secrets, as a new deployment.
   * @throws delivery.no-previous, delivery.plan-stale when the deployment is not what runs now, delivery.image-refused
   */
  async rollback(ctx: Context, id: string): Promise<Deployment> {
    const deployment = await this.get(ctx, id);
    const { application, environment } = await this.pair(ctx, deployment);
    this.access.assertCan(ctx, 'environment:deploy', this.environments.ref(environment));
    const current = await this.plans.current(ctx, application.id, environment.id);
    if (current?.id !== deployment.id) throw deliveryProblem('plan-stale', { detail: 'This deployment is not what runs now. Roll back the current one, or deploy the release that you want.' });
    const previous = deployment.previousDeploymentId === null ? null : await this.db.repo(ctx, Deployment).findOneBy({ id: deployment.previousDeploymentId });
    const earlier = previous?.planId ? await this.db.repo(ctx, Plan).findOneBy({ id: previous.planId }) : null;
    if (!earlier) throw deliveryProblem('no-previous');
    const draft = await this.plans.redraft(ctx, application, environment, earlier);
    if (!draft.allowed) {
      const problem = refusedImages(draft.verdicts);
      await this.audit.recordRefusal(ctx, { action: 'deployment.rollback', outcome: 'refused', resource: { kind: 'deployment', id }, detail: { code: problem.code, reason: problem.extra['reason'] } });
      throw problem;
    }
    return this.db.transaction(ctx, async (tx) => {
      const plan = await this.plans.store(tx, draft);
      return this.start(tx, { application, environment, origin: 'rollback', cause: null, revisionId: null, images: {}, plan, planned: false, rollbackOf: id });
    });
  }

  private async pair(ctx: Context, of: { applicationId: string; environmentId: string }): Promise<{ application: Application; environment: Environment }> {
    return { application: await this.applications.get(ctx, of.applicationId), environment: await this.environments.get(ctx, of.environmentId) };
  }

  /** Wakes workers for deployments that are not finished and that nobody was woken for in the last 10 s. Run it every 5 s. */
  async sweep(ctx: Context): Promise<void> {
    const due = await this.db.query<{ id: string }>(ctx, `
      update delivery_deployments set woken_at = now()
      where id in (
        select distinct on (application_id, environment_id) id from delivery_deployments
        where finished_at is null order by application_id, environment_id, (state = 'queued'), id)
      and (woken_at is null or woken_at < now() - interval '10 seconds') returning id`);
    for (const { id } of due) await this.outbox.enqueue(ctx, runDeployment, { deploymentId: id });
    await this.db.query(ctx, `delete from delivery_hook_deliveries where received_at < now() - interval '7 days' returning 1`);
    await this.renew(ctx);
    const now = this.clock.now().getTime();
    if (now - this.credentialsSweptAt < credentialSweepMillis) return;
    this.credentialsSweptAt = now;
    await this.runner.sweepCredentials(ctx);
  }

  /** Deploys anew what runs with a pull credential that ends within 30 days: same tasks, new credential. */
  private async renew(ctx: Context): Promise<void> {
    const rows = await this.db.query<{ application_id: string; environment_id: string; credential_id: string }>(ctx, `
      select distinct on (application_id, environment_id) application_id, environment_id, credential_id from delivery_credentials
      where expires_at < $1 order by application_id, environment_id, expires_at`, [new Date(this.clock.now().getTime() + renewMillis)]);
    for (const row of rows) {
      const current = await this.plans.current(ctx, row.application_id, row.environment_id);
      const plan = current?.planId ? await this.db.repo(ctx, Plan).findOneBy({ id: current.planId }) : null;
      if (!plan) continue;
      const { application, environment } = await this.pair(ctx, plan);
      await this.db.transaction(ctx, (tx) => this.start(tx, { application, environment, origin: 'renewal', cause: `renew:${row.credential_id}`, revisionId: null, images: {}, plan, planned: false, rollbackOf: null }));
    }
  }
}

function cancelled(actor: Actor): { code: string; detail: string } {
  return { code: 'delivery.cancelled', detail: `Cancelled by ${actor.name}.` };
}

/** The id in a cursor of a list that is ordered by id. @throws request.invalid */
export function idCursor(cursor: string | undefined): string | null {
  const id = decodeCursor(cursor, 1)?.[0] ?? null;
  if (id !== null && !isUuid(id)) throw requestProblem('invalid', { errors: [{ pointer: 'query/cursor', detail: 'not a cursor of this list' }] });
  return id;
}
