import { Inject, Injectable } from '@nestjs/common';
import { Access, Tokens } from '@gantry/access';
import { Audit } from '@gantry/audit';
import {
  Apply, Clusters, converge, EngineError, Judge, ruleOn,
  type Change, type EngineClient, type EngineConfig, type EngineNetwork, type EngineSecret, type EngineService, type Outcome, type WatchMemory,
} from '@gantry/clusters';
import { Clock, CONFIG, Db, delay, Leases, LOGGER, makeContext, Outbox, Problem, Sealer, systemActor, type Actor, type Config, type Context, type Lease, type Logger } from '@gantry/platform';
import { Applications } from './applications';
import { diffSpec, type ServiceSpec } from './compose';
import { Application, Deployment, Environment, Plan, Release, type Revision, type Stack, type StackService } from './entities';
import { Environments } from './environments';
import { Faults } from './faults';
import { deploymentChannel, renewMillis, runDeployment } from './jobs';
import { Journal, type Phase, type Step } from './journal';
import { Plans, refusedImages, stackSecretPurpose } from './plans';
import { deliveryProblem } from './problems';
import { completeSpec, externalFiles, labels, sentHash, stackName } from './stack';
import { afterRollback, isFinal, mayFollow, type DeploymentReason, type DeploymentState } from './states';

/** How long a worker that was killed keeps others from taking its deployment over. */
const leaseSeconds = 10;
const credentialMillis = 90 * 86_400_000;
/** Swarm's default for `UpdateConfig.Monitor`. */
const defaultMonitorNs = 5_000_000_000;

/** A promise that is waited for later, and whoever waits hears of its end; until then nobody minds. */
function begun<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

/** One run of one deployment by one worker. */
interface Run {
  /** Acts as the deployment's actor. */
  ctx: Context;
  /** Acts as the system: our own records, and the way back. */
  system: Context;
  lease: Lease;
  application: Application;
  environment: Environment;
  steps: Map<string, Step>;
  /** What ran before, read by this run when it began; null when another run began. */
  base: Promise<Base> | null;
  /** What is to be deployed, as it was written down, where this run planned it. */
  stack: Stack | null;
  /** What was looked at while the plan was being written down, for the first use. */
  ahead: Promise<Seen> | null;
}

/** What has to be known before anything of a stack is changed. */
interface Seen {
  live: Live;
  credentials: KnownCredential[];
}

/** The deployment that a new one starts from, its release, and the revision that is to be deployed. */
interface Base {
  current: Deployment | null;
  keep: Release | null;
  revision: Revision;
}

/** What the engine has of the stack, by name. */
interface Live {
  services: Map<string, EngineService>;
  networks: Map<string, EngineNetwork>;
  configs: Map<string, EngineConfig>;
  secrets: Map<string, EngineSecret>;
  networkNames: Record<string, string>;
}

interface KnownCredential {
  service: string;
  repository_id: string;
  credential_id: string;
  username: string;
  sealed: string;
  expires_at: Date;
}

interface Credential {
  id: string;
  username: string;
  password: string;
}

/**
 * Does the work of deployments: a state machine whose every step can be killed at any line and begun again. What is to be done is in the
 * database, what was done is on the engine; the journal says what was about to be done. One worker at a time works on a pair of
 * application and environment, under a lease.
 */
@Injectable()
export class Runner {
  /** Deployments that this process works on, by cluster: a cluster that hangs holds no more than its share of the workers. */
  private readonly busy = new Map<string, Set<string>>();
  private readonly waiting = new Map<string, Set<string>>();

  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly leases: Leases,
    private readonly outbox: Outbox,
    private readonly sealer: Sealer,
    private readonly audit: Audit,
    private readonly access: Access,
    private readonly tokens: Tokens,
    private readonly clusters: Clusters,
    private readonly judge: Judge,
    private readonly apply: Apply,
    private readonly applications: Applications,
    private readonly environments: Environments,
    private readonly plans: Plans,
    private readonly journal: Journal,
    private readonly faults: Faults,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Handler of `runDeployment`: works on the deployment's pair until nothing of it is left to do, or leaves it to whoever holds the lease.
   * Throws only what is not expected; an engine that does not answer is tried again by the sweep until the deadline.
   */
  async run(ctx: Context, { deploymentId }: { deploymentId: string }): Promise<void> {
    const deployment = await this.db.find(ctx, Deployment, deploymentId);
    if (!deployment || isFinal(deployment.state) || !this.enter(deployment)) return;
    try {
      const name = `deployment:${deployment.applicationId}:${deployment.environmentId}`;
      for (let attempt = 0; attempt < 20; attempt += 1) {
        const worked = await this.leases.withLease(ctx, name, leaseSeconds, async (lease) => {
          await this.drain(ctx, deployment, lease);
          return true;
        });
        // The holder goes on with what is queued when it is done; only one that was just leaving may not have seen this one.
        if (worked !== null || (await this.active(ctx, deployment))) return;
        await delay(100);
      }
    } catch (error) {
      if (!(error instanceof Problem) || error.kind !== 'unavailable') throw error;
      await this.journal.event(ctx, deploymentId, 'waiting', { code: error.code, detail: error.detail });
    } finally {
      await this.leave(ctx, deployment);
    }
  }

  private enter(deployment: Deployment): boolean {
    const busy = this.busy.get(deployment.clusterId) ?? new Set();
    this.busy.set(deployment.clusterId, busy);
    if (busy.has(deployment.id)) return false;
    if (busy.size >= this.config.clusterConcurrency) {
      const waiting = this.waiting.get(deployment.clusterId) ?? new Set();
      waiting.add(deployment.id);
      this.waiting.set(deployment.clusterId, waiting);
      return false;
    }
    busy.add(deployment.id);
    return true;
  }

  /** Frees the place and wakes one that waits for it; the sweep wakes it too should this process end. */
  private async leave(ctx: Context, deployment: Deployment): Promise<void> {
    this.busy.get(deployment.clusterId)?.delete(deployment.id);
    const waiting = this.waiting.get(deployment.clusterId);
    const next = waiting?.values().next().value;
    if (next === undefined) return;
    waiting?.delete(next);
    await this.outbox.enqueue(ctx, runDeployment, { deploymentId: next });
  }

  private async active(ctx: Context, pair: Deployment): Promise<boolean> {
    const rows = await this.db.query(ctx, `select 1 from delivery_deployments where application_id = $1 and environment_id = $2
      and state in ('planning', 'applying', 'watching', 'rolling-back')`, [pair.applicationId, pair.environmentId]);
    return rows.length > 0;
  }

  private async drain(ctx: Context, pair: Deployment, lease: Lease): Promise<void> {
    for (;;) {
      const pairNow = begun(Promise.all([this.db.get(ctx, Application, pair.applicationId), this.db.get(ctx, Environment, pair.environmentId)]));
      const [next] = await this.db.load(ctx, Deployment, `where application_id = $1 and environment_id = $2 and finished_at is null order by state = 'queued', id limit 1`, [pair.applicationId, pair.environmentId]);
      if (!next) return;
      const [application, environment] = await pairNow;
      await this.execute(ctx, next, { application, environment, lease });
    }
  }

  private async execute(ctx: Context, first: Deployment, { application, environment, lease }: Pick<Run, 'application' | 'environment' | 'lease'>): Promise<void> {
    const steps = first.state === 'queued' ? [] : await this.journal.steps(ctx, first.id);
    const run: Run = {
      ctx: makeContext(this.currentActor(first.actor), { requestId: first.requestId }),
      system: makeContext(systemActor('delivery'), { requestId: first.requestId }),
      lease, application, environment,
      steps: new Map(steps.map((step) => [`${step.phase}/${step.name}/${step.object}`, step])),
      base: null, stack: null, ahead: null,
    };
    let deployment = first;
    while (!isFinal(deployment.state)) {
      lease.signal.throwIfAborted();
      deployment = await this.advance(run, deployment);
    }
  }

  /** The actor as it was, but no longer administrator if the account is not one any more. What it may do is judged by today's facts anyway. */
  private currentActor(actor: Actor): Actor {
    if (!actor.admin || actor.id === null) return actor;
    const account = this.access.findAccount(actor.id);
    return { ...actor, admin: account?.active === true && account.admin };
  }

  /** Does what the state asks for and answers the deployment in its next state. */
  private async advance(run: Run, deployment: Deployment): Promise<Deployment> {
    const { state } = deployment;
    try {
      if (state === 'queued') return await this.begin(run, deployment);
      if (state === 'planning') return await this.prepare(run, deployment);
      if (state === 'applying') return await this.applyAll(run, deployment);
      if (state === 'watching') return await this.watchAll(run, deployment);
      return await this.rollBack(run, deployment);
    } catch (error) {
      run.lease.signal.throwIfAborted();
      const reason = this.reasonOf(error, deployment);
      if (reason === null) throw error;
      if (state === 'queued' || state === 'planning') return this.finish(run, deployment, 'failed', reason);
      if (state === 'rolling-back') {
        const before = deployment.reason ?? reason;
        return this.finish(run, deployment, 'failed', { code: before.code, detail: `${before.detail} Returning to the previous release failed: ${reason.detail}` });
      }
      return this.turnBack(run, deployment, reason);
    }
  }

  /** Why a deployment has to end, or null when it is worth trying again. */
  private reasonOf(error: unknown, deployment: Deployment): DeploymentReason | null {
    const cause = error instanceof Problem && error.cause instanceof EngineError ? error.cause : error;
    if (cause instanceof EngineError && cause.status >= 400 && cause.status < 500 && cause.status !== 408 && cause.status !== 429) {
      return { code: 'delivery.engine-refused', detail: cause.message };
    }
    const transient = !(error instanceof Problem) || error.kind === 'unavailable' || error.kind === 'internal' || error.code === 'clusters.judgement-spent';
    if (!transient) {
      const why = typeof error.extra['reason'] === 'string' ? ` (${error.extra['reason']})` : '';
      return { code: error.code, detail: `${error.detail}${error.detail.includes(why) ? '' : why}${error.errors.length > 0 ? ` ${error.errors.map(({ pointer, detail }) => `${pointer}: ${detail}`).join('; ')}` : ''}` };
    }
    const deadline = deployment.state === 'rolling-back' ? deployment.rollbackDeadlineAt : deployment.deadlineAt;
    if (deadline === null || deadline > this.clock.now()) return null;
    const detail = error instanceof Problem ? error.detail : error instanceof EngineError ? error.message : 'An unexpected error; the operators find it in the log under the request id.';
    if (!(error instanceof Problem) && !(error instanceof EngineError)) this.logger.error({ err: error, deployment: deployment.id, requestId: deployment.requestId }, 'a deployment failed unexpectedly');
    return { code: 'delivery.deadline-exceeded', detail: `Not done within ${this.config.deployDeadlineSeconds} s: ${detail}` };
  }

  // --- transitions ---

  /** Moves to another state; fails when somebody else has moved it meanwhile. */
  private async move(ctx: Context, deployment: Deployment, to: DeploymentState, patch: Partial<Deployment> = {}): Promise<Deployment> {
    if (!mayFollow(deployment.state, to)) throw new Error(`a deployment does not go from ${deployment.state} to ${to}`);
    const next = { ...deployment, ...patch, state: to };
    const rows = await this.db.query<{ cancel_requested: boolean }>(ctx, `
      with row as (
        update delivery_deployments set state = $3, reason = $4, plan_id = $5, release_id = $6, previous_deployment_id = $7, started_at = $8, deadline_at = $9, rollback_deadline_at = $10, finished_at = $11
        where id = $1 and state = $2 and ($3 <> 'succeeded' or not cancel_requested) returning id, cancel_requested),
      event as (insert into delivery_events (deployment_id, type, data) select id, 'state', $12::jsonb from row returning 1)
      select cancel_requested, pg_notify('${deploymentChannel}', $1::text) from row`,
      [deployment.id, deployment.state, to, next.reason === null ? null : JSON.stringify(next.reason), next.planId, next.releaseId, next.previousDeploymentId, next.startedAt, next.deadlineAt, next.rollbackDeadlineAt, next.finishedAt,
        JSON.stringify({ state: to, ...(next.reason ? { reason: next.reason } : {}) })]);
    const [moved] = rows;
    if (moved) return { ...next, cancelRequested: moved.cancel_requested };
    // Somebody cancelled in the meantime, or this worker is not the holder any more: go by what is written.
    return this.db.repo({ ...ctx, tx: null }, Deployment).findOneByOrFail({ id: deployment.id });
  }

  private async finish(run: Run, deployment: Deployment, state: DeploymentState, reason: DeploymentReason | null): Promise<Deployment> {
    return this.db.transaction(run.ctx, async (tx) => {
      const next = await this.move(tx, deployment, state, { reason, finishedAt: this.clock.now() });
      if (next.state !== state) return next;
      await this.audit.record(tx, {
        action: 'deployment.finish', outcome: state === 'succeeded' ? 'success' : refusedCodes.has(reason?.code ?? '') ? 'refused' : 'failed', resource: { kind: 'deployment', id: deployment.id },
        detail: { application: run.application.name, environment: run.environment.name, state, releaseId: next.releaseId, ...(reason ? { code: reason.code, reason: reason.detail } : {}) },
      });
      return next;
    });
  }

  private async turnBack(run: Run, deployment: Deployment, reason: DeploymentReason): Promise<Deployment> {
    return this.move(run.system, deployment, 'rolling-back', { reason, rollbackDeadlineAt: new Date(this.clock.now().getTime() + this.config.deployDeadlineSeconds * 1000) });
  }

  private async begin(run: Run, deployment: Deployment): Promise<Deployment> {
    const now = this.clock.now();
    const current = await this.plans.current(run.system, run.application.id, run.environment.id);
    if (deployment.planId === null) {
      run.base = begun(this.readBase(run, deployment, current));
    }
    return this.move(run.system, deployment, 'planning', {
      startedAt: now, deadlineAt: new Date(now.getTime() + this.config.deployDeadlineSeconds * 1000), previousDeploymentId: current?.id ?? null,
    });
  }

  private async readBase(run: Run, deployment: Deployment, current: Deployment | null): Promise<Base> {
    const keep = current?.releaseId ? await this.db.get(run.system, Release, current.releaseId) : null;
    return { current, keep, revision: await this.applications.revision(run.ctx, run.application, deployment.revisionId ?? keep?.revisionId) };
  }

  /** Resolves and verifies. Nothing on the cluster changes, so a failure here ends the deployment at once. */
  private async prepare(run: Run, deployment: Deployment): Promise<Deployment> {
    const cancelled = cancellation(deployment);
    if (cancelled) return this.finish(run, deployment, 'cancelled', cancelled);
    this.access.assertCan(run.ctx, 'environment:deploy', this.environments.ref(run.environment));
    const given = deployment.planId === null ? null : await this.db.get(run.system, Plan, deployment.planId);
    if (given) {
      if (deployment.planned) await this.assertStillTrue(run, deployment, given);
      const release = await this.db.get(run.system, Release, given.releaseId);
      const verdicts = await this.plans.verify(run.ctx, run.environment, release.images);
      if (!verdicts.every(({ allowed }) => allowed)) throw refusedImages(verdicts);
      // A renewal sends what runs once more, as it was.
      if (deployment.origin !== 'renewal') await this.plans.assertStillKept(run.ctx, run.environment, given.stack);
      return this.move(run.system, deployment, 'applying');
    }
    const { current, keep, revision } = await (run.base
      ?? this.readBase(run, deployment, deployment.previousDeploymentId === null ? null : await this.db.get(run.system, Deployment, deployment.previousDeploymentId)));
    const draft = await this.plans.draft(run.ctx, { application: run.application, environment: run.environment, revision, images: deployment.images, keep, current });
    if (!draft.allowed) throw refusedImages(draft.verdicts);
    run.ahead = begun(this.see(run, draft.stack));
    const next = await this.db.transaction(run.ctx, async (tx) => {
      const plan = await this.plans.store(tx, draft);
      return this.move(tx, deployment, 'applying', { planId: plan.id, releaseId: plan.releaseId });
    });
    // As the database has it, so that a run that is taken up later does the very same.
    if (next.state === 'applying') run.stack = JSON.parse(JSON.stringify(draft.stack)) as Stack;
    return next;
  }

  /** A plan that somebody looked at is applied only if it still says what will happen. */
  private async assertStillTrue(run: Run, deployment: Deployment, plan: Plan): Promise<void> {
    if (plan.baseDeploymentId !== deployment.previousDeploymentId) throw deliveryProblem('plan-stale', { detail: 'Something else was deployed since the plan was made. Make a new one.' });
    const base = await this.stackOf(run, deployment.previousDeploymentId);
    if (!base) return;
    const live = await this.observe(run, base.name, { configs: false, secrets: false });
    for (const service of base.services) {
      const found = live.services.get(service.name);
      const changed = found ? drift(service, found, live).map(({ path }) => path) : ['the service is gone'];
      if (changed.length > 0) throw deliveryProblem('plan-stale', { detail: `${service.name} was changed on the cluster behind Gantry’s back (${changed.slice(0, 5).join(', ')}). Deploy without a plan to overwrite that.` });
    }
  }

  private async applyAll(run: Run, deployment: Deployment): Promise<Deployment> {
    const cancelled = cancellation(deployment);
    if (cancelled) return this.turnBack(run, deployment, cancelled);
    const stack = run.stack ?? (await this.stackOf(run, deployment.id));
    if (!stack) throw new Error(`deployment ${deployment.id} is applying without a plan`);
    await this.converge(run, deployment, 'apply', stack);
    return this.move(run.system, deployment, 'watching');
  }

  private async watchAll(run: Run, deployment: Deployment): Promise<Deployment> {
    const stack = run.stack ?? (await this.stackOf(run, deployment.id));
    if (!stack) throw new Error(`deployment ${deployment.id} is watched without a plan`);
    const cancelled = cancellation(deployment);
    if (cancelled) return this.turnBack(run, deployment, cancelled);
    const failure = await this.watch(run, deployment, 'apply', stack);
    if (failure) return this.turnBack(run, deployment, failure);
    const previous = await this.stackOf(run, deployment.previousDeploymentId);
    await this.prune(run, deployment, 'apply', stack, previous);
    return this.finish(run, deployment, 'succeeded', null);
  }

  private async rollBack(run: Run, deployment: Deployment): Promise<Deployment> {
    const reason = deployment.reason ?? cancelReason;
    const previous = await this.stackOf(run, deployment.previousDeploymentId);
    const name = stackName(run.application, run.environment);
    await this.converge(run, deployment, 'rollback', previous ?? { name, networks: [], configs: [], secrets: [], services: [] });
    const failure = previous ? await this.watch(run, deployment, 'rollback', previous) : null;
    await this.prune(run, deployment, 'rollback', previous, null);
    const told = failure ? { code: reason.code, detail: `${reason.detail} The previous release was restored, but is not healthy either: ${failure.detail}` } : reason;
    return this.finish(run, deployment, afterRollback(reason, previous !== null, true), told);
  }

  private async stackOf(run: Run, deploymentId: string | null): Promise<Stack | null> {
    if (deploymentId === null) return null;
    const [row] = await this.db.query<{ stack: Stack }>(run.system, 'select p.stack from delivery_deployments d join delivery_plans p on p.id = d.plan_id where d.id = $1', [deploymentId]);
    return row?.stack ?? null;
  }

  /** Who cancelled it since its state was moved, or null. */
  private async cancelled(run: Run, deployment: Deployment): Promise<DeploymentReason | null> {
    const [row] = await this.db.query<{ cancel_requested: boolean; reason: DeploymentReason | null }>(run.system, 'select cancel_requested, reason from delivery_deployments where id = $1', [deployment.id]);
    return row?.cancel_requested === true ? (row.reason ?? cancelReason) : null;
  }

  // --- the engine ---

  /** Calls something outside, between the two points at which tests end the process. */
  private async outside<T>(run: Run, step: string, object: string, call: () => Promise<T>): Promise<T> {
    run.lease.signal.throwIfAborted();
    await this.faults.point(step, 'before', object);
    const answer = await call();
    await this.faults.point(step, 'after', object);
    return answer;
  }

  /** What the engine has of the stack; of configs and secrets only where they matter. @throws delivery.object-foreign when somebody else's stack has our name */
  private async observe(run: Run, stack: string, ask: { configs: boolean; secrets: boolean }): Promise<Live> {
    const engine = await this.clusters.engine(run.system, run.environment.clusterId);
    const filter = { label: [`${labels.stack}=${stack}`] };
    const [services, networks, configs, secrets] = await this.outside(run, 'observe', stack, () =>
      Promise.all([engine.services(filter), engine.networks({ scope: ['swarm'] }), ask.configs ? engine.configs(filter) : [], ask.secrets ? engine.secrets(filter) : []]));
    const foreign = services.find(({ Spec }) => Spec.Labels?.[labels.application] !== run.application.id || Spec.Labels[labels.environment] !== run.environment.id);
    if (foreign) throw deliveryProblem('object-foreign', { detail: `The cluster has a stack ${stack} that Gantry did not make for ${run.application.name} in ${run.environment.name} (service ${foreign.Spec.Name}). Remove it, or rename the application.` });
    return {
      services: new Map(services.map((service) => [service.Spec.Name, service])),
      networks: new Map(networks.map((network) => [network.Name, network])),
      configs: new Map(configs.map((config) => [config.Spec.Name, config])),
      secrets: new Map(secrets.map((secret) => [secret.Spec.Name, secret])),
      networkNames: Object.fromEntries(networks.map((network) => [network.Id, network.Name])),
    };
  }

  private async see(run: Run, stack: Stack): Promise<Seen> {
    const [live, credentials] = await Promise.all([this.observe(run, stack.name, { configs: stack.configs.length > 0, secrets: stack.secrets.length > 0 }), this.knownCredentials(run, stack)]);
    return { live, credentials };
  }

  /** Makes the cluster have the stack, and nothing else of ours under its name but what `prune` takes later. */
  private async converge(run: Run, deployment: Deployment, phase: Phase, stack: Stack): Promise<void> {
    const { live, credentials: known } = await (run.ahead ?? this.see(run, stack));
    run.ahead = null;
    for (const spec of stack.networks) await this.create(run, deployment, phase, 'networks', spec.Name, live.networks.get(spec.Name)?.Id, { type: 'network.create', spec: { ...spec, Labels: this.marked(spec.Labels, deployment) } });
    const ids = { configs: new Map<string, string>(), secrets: new Map<string, string>() };
    for (const { name, spec } of stack.configs) {
      ids.configs.set(name, await this.create(run, deployment, phase, 'configs', name, live.configs.get(name)?.ID, { type: 'config.create', spec: { ...spec, Labels: this.marked(spec.Labels, deployment) } as never }));
    }
    for (const { name, spec, sealedData } of stack.secrets) {
      const data = (): string => this.sealer.open(sealedData, stackSecretPurpose).toString();
      ids.secrets.set(name, await this.create(run, deployment, phase, 'secrets', name, live.secrets.get(name)?.ID, { type: 'secret.create', spec: { ...spec, Labels: this.marked(spec.Labels, deployment), Data: data() } }));
    }
    await this.findExternal(run, stack, ids);
    const credentials = await this.credentials(run, stack, known);
    for (const service of stack.services) await this.service(run, deployment, phase, service, live, ids, credentials.get(service.name) as Credential);
    for (const name of live.services.keys()) if (!stack.services.some((service) => service.name === name)) await this.removeService(run, deployment, phase, name);
    for (const { object } of this.unsure(run, phase, 'remove')) if (!live.services.has(object)) await this.removeService(run, deployment, phase, object);
  }

  /**
   * Steps that we did not see the end of. A removal among them is asked for again although its object is gone, so that our claim to the
   * name ends and the audit log has it.
   */
  private unsure(run: Run, phase: Phase, name: string): Step[] {
    return [...run.steps.values()].filter((step) => step.phase === phase && step.name === name && step.state === 'running');
  }

  private marked(own: Record<string, string>, deployment: Deployment): Record<string, string> {
    return { ...own, [labels.deployment]: deployment.id };
  }

  /** Creates a network, config or secret unless it is there. One whose creation we did not see the end of is asked for again, so that it becomes known as ours. */
  private async create(run: Run, deployment: Deployment, phase: Phase, step: string, name: string, liveId: string | undefined, change: Change): Promise<string> {
    const unsure = this.step(run, phase, step, name)?.state === 'running' || (phase === 'rollback' && this.step(run, 'apply', step, name)?.state === 'running');
    if (liveId !== undefined && !unsure) return liveId;
    const outcome = await this.change(run, deployment, phase, step, name, change, { action: 'create' });
    if (outcome.conflict) throw deliveryProblem('object-foreign', { detail: `The name ${name} is taken on the cluster by something that Gantry did not make.` });
    return outcome.id;
  }

  private step(run: Run, phase: Phase, name: string, object: string): Step | undefined {
    return run.steps.get(`${phase}/${name}/${object}`);
  }

  /** Judges, writes ahead, applies, writes down. A conflict is answered, with the step still running (but for what was to be removed and is gone). */
  private async change(run: Run, deployment: Deployment, phase: Phase, step: string, object: string, change: Change, wish: Record<string, unknown>): Promise<Outcome> {
    // The way back restores what was judged when it was deployed; it is ours to do whoever asked for the deployment.
    const back = phase === 'rollback' || deployment.origin === 'renewal';
    const mayUse = back ? this.grantedBefore(change) : [];
    // A removal that we did not see the end of may have ended our claim to the object already.
    if (change.type.endsWith('.remove') && this.step(run, phase, step, object)?.state === 'running') mayUse.push(`${change.type.split('.')[0] ?? ''}:remove:external`);
    const judgement = await this.judge.judge(back ? run.system : run.ctx, {
      cluster: run.environment.clusterId, scope: this.environments.scope(run.environment), resource: this.environments.ref(run.environment), operation: 'environment:deploy', change,
      ...(mayUse.length > 0 ? { mayUse } : {}), ...(back ? { keptAsBefore: true } : {}),
    });
    const entry: Step = { phase, name: step, object, state: 'running', wish, result: null, startedAt: this.clock.now(), finishedAt: null };
    await this.journal.begin(run.system, deployment.id, entry);
    run.steps.set(`${phase}/${step}/${object}`, entry);
    const outcome = await this.outside(run, step, object, () => this.apply.apply(back ? run.system : run.ctx, judgement, { lease: run.lease }));
    if (!outcome.conflict || outcome.reason === 'gone') await this.done(run, deployment, entry, { ...wish, id: outcome.id });
    return outcome;
  }

  private async done(run: Run, deployment: Deployment, step: Step, result: Record<string, unknown>): Promise<void> {
    await this.journal.end(run.system, deployment.id, step, 'done', result);
    run.steps.set(`${step.phase}/${step.name}/${step.object}`, { ...step, state: 'done', result });
  }

  private grantedBefore(change: Change): string[] {
    const options = ruleOn(change, this.config.registryPublicHost).hostOptions.map(({ operation }) => operation);
    return [...options, ...['network', 'secret', 'config', 'volume'].map((kind) => `service:create:external-${kind}`)];
  }

  private async findExternal(run: Run, stack: Stack, ids: { configs: Map<string, string>; secrets: Map<string, string> }): Promise<void> {
    const external = externalFiles(stack);
    if (external.configs.length + external.secrets.length === 0) return;
    const engine = await this.clusters.engine(run.system, run.environment.clusterId);
    for (const name of external.configs) {
      const found = await this.outside(run, 'external', name, () => engine.findConfig(name));
      if (found) ids.configs.set(name, found.ID);
    }
    for (const name of external.secrets) {
      const found = await this.outside(run, 'external', name, () => engine.findSecret(name));
      if (found) ids.secrets.set(name, found.ID);
    }
  }

  private async knownCredentials(run: Run, stack: Stack): Promise<KnownCredential[]> {
    return this.db.query(run.system, 'select service, repository_id, credential_id, username, sealed, expires_at from delivery_credentials where cluster_id = $1 and service = any($2)',
      [run.environment.clusterId, stack.services.map(({ name }) => name)]);
  }

  /**
   * The credential with which each service pulls, made and written down in one transaction before the engine hears of it, so that it is the
   * same one after a crash. It belongs to the service and its repository alone.
   */
  private async credentials(run: Run, stack: Stack, rows: KnownCredential[]): Promise<Map<string, Credential>> {
    const { clusterId } = run.environment;
    const found = new Map<string, Credential>();
    for (const { name, image } of stack.services) {
      const known = rows.find((row) => row.service === name && row.repository_id === image.repositoryId);
      if (known && known.expires_at.getTime() > this.clock.now().getTime() + renewMillis) {
        found.set(name, { id: known.credential_id, username: known.username, password: this.sealer.open(known.sealed, credentialPurpose(clusterId, name)).toString() });
        continue;
      }
      found.set(name, await this.outside(run, 'pull-credential', name, () => this.mint(run, name, image.repositoryId)));
    }
    return found;
  }

  private async mint(run: Run, service: string, repositoryId: string): Promise<Credential> {
    const { clusterId } = run.environment;
    return this.db.transaction(run.system, async (tx) => {
      const expiresAt = new Date(this.clock.now().getTime() + credentialMillis);
      const { id, username, password } = await this.tokens.createServiceCredential(tx, { subject: `${clusterId}/${service}`, repositoryIds: [repositoryId], expiresAt });
      await this.db.query(tx, `
        insert into delivery_credentials (cluster_id, service, repository_id, application_id, environment_id, credential_id, username, sealed, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (cluster_id, service, repository_id) do update set credential_id = excluded.credential_id, username = excluded.username, sealed = excluded.sealed, expires_at = excluded.expires_at`,
        [clusterId, service, repositoryId, run.application.id, run.environment.id, id, username, this.sealer.seal(password, credentialPurpose(clusterId, service)), expiresAt]);
      return { id, username, password };
    });
  }

  /** Creates or updates one service unless it is as wished. */
  private async service(run: Run, deployment: Deployment, phase: Phase, service: StackService, observed: Live, ids: { configs: Map<string, string>; secrets: Map<string, string> }, credential: Credential): Promise<void> {
    const hash = sentHash(service, credential.id);
    let live = observed.services.get(service.name);
    for (let attempt = 0; ; attempt += 1) {
      const begun = this.step(run, phase, 'services', service.name);
      if (begun?.state === 'done' && begun.wish['hash'] === hash) return;
      if (live && live.Spec.Labels?.[labels.hash] === hash && drift(service, live, observed).length === 0) {
        // The call took place, but we did not see its end: write down what Apply could not.
        if (begun?.state === 'running') await this.recover(run, deployment, begun, live);
        return;
      }
      const sender = phase === 'rollback' ? await this.sender(run, deployment, service.name, hash) : deployment.id;
      const spec = completeSpec(service, ids, hash, sender);
      const registryAuth = { username: credential.username, password: credential.password, serverAddress: this.config.registryPublicHost };
      const wish = { action: live ? 'update' : 'create', image: `${service.image.repository}@${service.image.digest}`, hash, versionIndex: live?.Version.Index ?? null };
      const change: Change = live
        ? { type: 'service.update', id: service.name, versionIndex: live.Version.Index, spec: spec as never, registryAuth }
        : { type: 'service.create', spec: spec as never, registryAuth };
      const outcome = await this.change(run, deployment, phase, 'services', service.name, change, wish);
      if (!outcome.conflict) return;
      if (attempt >= 5) throw deliveryProblem('object-foreign', { detail: `${service.name} is changed by somebody else all the time (${outcome.reason}).` });
      const engine = await this.clusters.engine(run.system, run.environment.clusterId);
      live = (await this.outside(run, 'observe', service.name, () => engine.findService(service.name))) ?? undefined;
      const ours = live?.Spec.Labels?.[labels.application] === run.application.id && live.Spec.Labels[labels.environment] === run.environment.id;
      if (live && !ours) throw deliveryProblem('object-foreign', { detail: `The service name ${service.name} is taken on the cluster by something that Gantry did not make.` });
    }
  }

  private async recover(run: Run, deployment: Deployment, step: Step, live: EngineService): Promise<void> {
    await this.audit.record(run.ctx, {
      action: `engine.service.${step.wish['action'] === 'create' ? 'create' : 'update'}`, outcome: 'success', resource: { kind: 'cluster', id: run.environment.clusterId },
      detail: { object: step.object, scope: this.environments.scope(run.environment), id: live.ID, recovered: true },
    });
    await this.done(run, deployment, step, { ...step.wish, id: live.ID });
  }

  /** The deployment that sent this very spec before, so that the way back restores it to the letter. */
  private async sender(run: Run, deployment: Deployment, service: string, hash: string): Promise<string> {
    const [row] = await this.db.query<{ deployment_id: string }>(run.system, `
      select s.deployment_id from delivery_steps s join delivery_deployments d on d.id = s.deployment_id
      where d.application_id = $1 and d.environment_id = $2 and d.state = 'succeeded' and s.phase = 'apply' and s.name = 'services' and s.object = $3 and s.wish ->> 'hash' = $4
      order by s.ordinal desc limit 1`, [run.application.id, run.environment.id, service, hash]);
    return row?.deployment_id ?? deployment.previousDeploymentId ?? deployment.id;
  }

  private async removeService(run: Run, deployment: Deployment, phase: Phase, name: string): Promise<void> {
    await this.change(run, deployment, phase, 'remove', name, { type: 'service.remove', id: name }, { action: 'remove' });
    await this.revoke(run.system, run.environment.clusterId, 'service = $2', [name]);
  }

  /** Ends pull credentials. `where` is a condition on `delivery_credentials` beside the cluster. */
  private async revoke(ctx: Context, clusterId: string, where: string, parameters: unknown[]): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const rows = await this.db.query<{ credential_id: string }>(tx, `delete from delivery_credentials where cluster_id = $1 and ${where} returning credential_id`, [clusterId, ...parameters]);
      for (const row of rows) await this.tokens.revokeServiceCredential(tx, row.credential_id);
    });
  }

  // --- watching ---

  /** Waits until every service that this phase changed is healthy. Answers why not: the task's own error, the deadline, or the wish to cancel. */
  private async watch(run: Run, deployment: Deployment, phase: Phase, stack: Stack): Promise<DeploymentReason | null> {
    const changed = stack.services.filter((service) => this.step(run, phase, 'services', service.name)?.state === 'done');
    if (changed.length === 0) return null;
    const engine = await this.clusters.engine(run.system, run.environment.clusterId);
    const memories = new Map<string, WatchMemory>();
    const deadline = (phase === 'apply' ? deployment.deadlineAt : deployment.rollbackDeadlineAt)?.getTime() ?? 0;
    let told = '';
    for (let polls = 0; ; polls += 1) {
      const verdicts = await this.look(run, engine, stack.name, changed, memories);
      const news = JSON.stringify(verdicts.map(({ name, state, wanted, running, reason }) => [name, state, wanted, running, reason]));
      if (news !== told) await this.journal.event(run.system, deployment.id, 'health', { phase, services: verdicts });
      told = news;
      const failed = verdicts.find(({ state }) => state === 'failed');
      if (failed) return { code: 'delivery.unhealthy', detail: `${failed.name}: ${failed.reason}` };
      if (verdicts.every(({ state }) => state === 'healthy')) return null;
      const cancelled = phase === 'apply' ? await this.cancelled(run, deployment) : null;
      if (cancelled) return cancelled;
      if (this.clock.now().getTime() > deadline) {
        const late = verdicts.filter(({ state }) => state !== 'healthy').map(({ name, running, wanted, reason }) => `${name}: ${running} of ${wanted} running: ${reason}`);
        return { code: 'delivery.deadline-exceeded', detail: `Not healthy within ${this.config.deployDeadlineSeconds} s. ${late.join('; ')}` };
      }
      await delay(polls < 20 ? 500 : 1000, run.lease.signal);
    }
  }

  private async look(run: Run, engine: EngineClient, stack: string, changed: StackService[], memories: Map<string, WatchMemory>) {
    const filter = { label: [`${labels.stack}=${stack}`] };
    const askedMillis = this.clock.now().getTime();
    const [services, tasks, nodes] = await this.outside(run, 'watch', stack, () => Promise.all([engine.services(filter), engine.tasks(filter), engine.nodes()]));
    const looked = { askedMillis, answeredMillis: this.clock.now().getTime() };
    return changed.map(({ name, spec }) => {
      const service = services.find(({ Spec }) => Spec.Name === name);
      if (!service) return { name, state: 'failed' as const, reason: 'the service was removed from the cluster', wanted: 0, running: 0 };
      const seen = { service, tasks: tasks.filter(({ ServiceID }) => ServiceID === service.ID), nodes };
      const { verdict, memory } = converge(seen, memories.get(name) ?? null, looked, { stableSeconds: stableSeconds(spec, service), maxFailures: maxFailures(spec) });
      memories.set(name, memory);
      return { name, state: verdict.state, reason: verdict.reason, wanted: verdict.counts.wanted, running: verdict.counts.running };
    });
  }

  // --- pruning ---

  /**
   * Removes configs, secrets and networks that neither the stack nor the previous one uses, and the credentials of what is gone. After a first
   * deployment that failed (`stack` null) everything goes but volumes, and its networks are waited for until their last task has ended.
   */
  private async prune(run: Run, deployment: Deployment, phase: Phase, stack: Stack | null, previous: Stack | null): Promise<void> {
    const name = stackName(run.application, run.environment);
    const kept = (pick: (from: Stack) => string[]): Set<string> => new Set([stack, previous].flatMap((from) => (from ? pick(from) : [])));
    const keep = { networks: kept((from) => from.networks.map(({ Name }) => Name)), configs: kept((from) => from.configs.map((config) => config.name)), secrets: kept((from) => from.secrets.map((secret) => secret.name)) };
    const patienceMillis = stack === null ? (deployment.rollbackDeadlineAt?.getTime() ?? 0) - this.clock.now().getTime() : 15_000;
    const giveUpAt = this.clock.now().getTime() + patienceMillis;
    for (;;) {
      const live = await this.observe(run, name, { configs: true, secrets: true });
      const ours = (own: Record<string, string> | null | undefined): boolean => own?.[labels.application] === run.application.id && own[labels.environment] === run.environment.id;
      const gone: { object: string; change: Extract<Change, { type: 'config.remove' | 'secret.remove' | 'network.remove' }> }[] = [
        ...[...live.configs.values()].filter(({ Spec }) => ours(Spec.Labels) && !keep.configs.has(Spec.Name)).map(({ Spec }) => ({ object: Spec.Name, change: { type: 'config.remove' as const, id: Spec.Name } })),
        ...[...live.secrets.values()].filter(({ Spec }) => ours(Spec.Labels) && !keep.secrets.has(Spec.Name)).map(({ Spec }) => ({ object: Spec.Name, change: { type: 'secret.remove' as const, id: Spec.Name } })),
        ...[...live.networks.values()].filter(({ Name, Labels }) => ours(Labels) && !keep.networks.has(Name)).map(({ Name }) => ({ object: Name, change: { type: 'network.remove' as const, id: Name } })),
      ];
      for (const { object, wish } of this.unsure(run, phase, 'prune')) {
        if (!gone.some((each) => each.object === object)) gone.push({ object, change: { type: wish['type'] as 'config.remove', id: object } });
      }
      const refused = new Set<string>();
      for (const { object, change } of gone) {
        if (this.step(run, phase, 'prune', object)?.state === 'done') continue;
        try {
          await this.change(run, deployment, phase, 'prune', object, change, { action: 'remove', type: change.type });
        } catch (error) {
          // Still used by a task that is ending, or by somebody else.
          if (!(error instanceof EngineError) && !(error instanceof Problem && error.cause instanceof EngineError)) throw error;
          refused.add(object);
        }
      }
      // What is used goes with the next deployment, but a failed first one has no next. A removed network is listed until its nodes have let
      // go of it; until then nothing may take it for one that is there.
      const left = gone.filter(({ object }) => stack === null || !refused.has(object));
      if (left.length === 0 || this.clock.now().getTime() > giveUpAt) break;
      await delay(500, run.lease.signal);
    }
    const used = [stack, previous].flatMap((from) => from?.services.map((service) => `${service.name} ${service.image.repositoryId}`) ?? []);
    const running = stack?.services.map((service) => service.name) ?? [];
    await this.revoke(run.system, run.environment.clusterId, `application_id = $2 and environment_id = $3 and not (service = any($4) and service || ' ' || repository_id::text = any($5))`, [run.application.id, run.environment.id, running, used]);
  }

  /** Ends the credentials of services that somebody removed from their cluster behind our back. Run it now and then. */
  async sweepCredentials(ctx: Context): Promise<void> {
    const rows = await this.db.query<{ cluster_id: string; services: string[] }>(ctx, `
      select c.cluster_id, array_agg(distinct c.service) as services from delivery_credentials c
      where not exists (select 1 from delivery_deployments d where d.application_id = c.application_id and d.environment_id = c.environment_id and d.finished_at is null)
      group by c.cluster_id`);
    for (const { cluster_id: clusterId, services } of rows) {
      try {
        const engine = await this.clusters.engine(ctx, clusterId);
        const live = new Set((await engine.services({ label: [labels.application] })).map(({ Spec }) => Spec.Name));
        const gone = services.filter((name) => !live.has(name));
        if (gone.length === 0) continue;
        // A deployment that has begun since may have made the credential for a service that it is about to create.
        await this.revoke(ctx, clusterId, `service = any($2) and not exists (select 1 from delivery_deployments d
          where d.application_id = delivery_credentials.application_id and d.environment_id = delivery_credentials.environment_id and d.finished_at is null)`, [gone]);
      } catch (error) {
        if (!(error instanceof Problem) && !(error instanceof EngineError)) throw error;
        this.logger.debug({ cluster: clusterId, error: error.message }, 'a cluster could not be asked which services are gone');
      }
    }
  }
}

const cancelReason: DeploymentReason = { code: 'delivery.cancelled', detail: 'Cancelled.' };
const refusedCodes = new Set(['delivery.image-refused', 'clusters.image-refused', 'clusters.host-option', 'clusters.no-node', 'request.forbidden', 'request.not-found', 'delivery.plan-stale']);

/** Who had cancelled it when it was read or moved to its state, or null. What is cancelled later is seen while watching, and by the next move. */
function cancellation(deployment: Deployment): DeploymentReason | null {
  return deployment.cancelRequested ? (deployment.reason ?? cancelReason) : null;
}

function credentialPurpose(clusterId: string, service: string): string {
  return `delivery-credential:${clusterId}/${service}`;
}

/** What somebody changed of a service behind our back. */
function drift(service: StackService, live: EngineService, observed: Live) {
  return diffSpec(service.spec, live.Spec as unknown as Record<string, unknown>, { networkNames: observed.networkNames });
}

/** How long tasks must have run: a finished update was watched by the engine already, and a healthcheck speaks for itself. */
function stableSeconds(spec: ServiceSpec, live: EngineService): number {
  if (live.UpdateStatus?.State === 'completed') return 0;
  const healthcheck = spec.TaskTemplate.ContainerSpec.Healthcheck;
  if (healthcheck?.Test && healthcheck.Test[0] !== 'NONE') return 1;
  return (spec.UpdateConfig?.Monitor || defaultMonitorNs) / 1e9;
}

/** A task that fails may be waiting for another service; three times a replica is enough. */
function maxFailures(spec: ServiceSpec): number {
  return 3 * Math.max(1, Math.min(3, 'Replicated' in spec.Mode ? spec.Mode.Replicated.Replicas : 1));
}
