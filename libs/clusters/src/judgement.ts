import { Inject, Injectable } from '@nestjs/common';
import { Access, isOperation } from '@gantry/access';
import { Audit, type AuditEntry } from '@gantry/audit';
import { Clock, CONFIG, Db, Problem, type Config, type Context, type Lease } from '@gantry/platform';
import { Clusters } from './clusters';
import type { Cluster } from './cluster.entity';
import { EngineError, type EngineClient } from './engine.client';
import { assertKept, KeptServices } from './gateway/kept-services';
import { clustersProblem } from './problems';
import { ruleOn, type Change, type ImageUse, type ObjectKind, type ObjectUse, type Ruling, type Wish } from './rules';

/** How long a judgement can be applied, in seconds. */
export const judgementSeconds = 60;

/** Label that delivery writes on what a deployment makes; by it a repeated create recognises its own object. */
export const deploymentLabel = 'io.gantry.deployment';

/** Whether an image may run, as `trust` sees it. */
export interface Admission {
  allowed: boolean;
  /** Reason code, e.g. `trust.unsigned`; null when there is nothing to object to. */
  reason: string | null;
  /** One sentence for people. */
  explanation: string;
  /** The stored verdict with its evidence, or null. */
  verdictId: string | null;
}

/** Port: is this digest good enough for this scope? Implemented by trust and bound by the apps; boot fails when it is unbound. */
export abstract class ImageAdmission {
  /** @param options `store: false`: only asked, of what runs already; nothing is written down */
  abstract admit(ctx: Context, wish: { repository: string; digest: string; scope: string }, options?: { store?: boolean }): Promise<Admission>;
}

interface Judged {
  cluster: Cluster;
  scope: string;
  ruling: Ruling;
  expiresAt: number;
  spent: boolean;
}

/** What genuine judgements say. Only `Judge` writes it, so that nothing else can make one. */
const judged = new WeakMap<Judgement, Judged>();

/** The verdict on one wish: that it may be done. Opaque: only `Judge` makes one that `Apply` takes; good once, for a minute. */
export class Judgement {
  /** What was found on each image. */
  readonly images: readonly (ImageUse & { verdictId: string | null; explanation: string })[];
  readonly type: Change['type'];

  private constructor(type: Change['type'], images: Judgement['images']) {
    this.type = type;
    this.images = Object.freeze(images.map((image) => Object.freeze({ ...image })));
    Object.freeze(this);
  }
}

const construct = Judgement as unknown as new (type: Change['type'], images: Judgement['images']) => Judgement;

/** What applying did. `existed`: an earlier attempt had made the object already. */
export type Outcome =
  | { conflict: false; id: string; name: string | null; existed: boolean }
  /** Nothing was changed: the object changed since it was read, is gone, or somebody else's object has the name. */
  | { conflict: true; reason: 'out-of-sequence' | 'gone' | 'name-taken'; id: string | null };

/** Decides whether a change may be made. The one way to an engine: `Apply` takes nothing but what this gives. */
@Injectable()
export class Judge {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly clusters: Clusters,
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly admission: ImageAdmission,
    private readonly kept: KeptServices,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Judges: rights on `wish.resource`; the table's rule on the change; options that affect the host; whose objects it touches; the nodes to which it is kept;
   * the images. Asks no engine. Refusals are audited.
   * @throws request.not-found, request.forbidden, clusters.spec-invalid, clusters.host-option, clusters.name-claimed, clusters.no-node,
   * clusters.image-foreign, clusters.image-not-pinned, clusters.image-refused
   */
  async judge(ctx: Context, wish: Wish): Promise<Judgement> {
    try {
      return await this.decide(ctx, wish);
    } catch (error) {
      if (error instanceof Problem) await this.audit.recordRefusal(ctx, refusal(wish, error));
      throw error;
    }
  }

  private async decide(ctx: Context, wish: Wish): Promise<Judgement> {
    this.access.assertCan(ctx, wish.operation, wish.resource);
    // All that is to be read is asked for at once; what is answered first has no say in which refusal is told.
    const reading = begun(this.clusters.get(ctx, wish.cluster));
    const ruling = await ruledOr(reading, () => ruleOn(wish.change, this.config.registryPublicHost));
    const options = begun(this.judgeOptions(ctx, wish, ruling));
    const admissions = ruling.images.map((image) => begun(this.admission.admit(ctx, { ...image, scope: wish.scope })));
    const cluster = await reading;
    await options;
    await this.judgeNodes(ctx, wish, ruling);
    const images = [];
    for (const [index, image] of ruling.images.entries()) {
      const admission = (await admissions[index])!;
      if (!admission.allowed) {
        throw clustersProblem('image-refused', {
          detail: `${image.repository}@${image.digest}: ${admission.explanation}`,
          extra: { reason: admission.reason, repository: image.repository, digest: image.digest, verdictId: admission.verdictId },
        });
      }
      images.push({ ...image, verdictId: admission.verdictId, explanation: admission.explanation });
    }
    const judgement = new construct(ruling.change.type, images);
    judged.set(judgement, { cluster, scope: wish.scope, ruling, expiresAt: this.clock.now().getTime() + judgementSeconds * 1000, spent: false });
    return judgement;
  }

  /** A service names exactly the set of nodes to which it is to be kept. What the system restores, or renews, was judged when it was deployed. */
  private async judgeNodes(ctx: Context, wish: Wish, { change }: Ruling): Promise<void> {
    if ((change.type !== 'service.create' && change.type !== 'service.update') || (wish.keptAsBefore === true && ctx.actor.kind === 'system')) return;
    assertKept(change.spec.TaskTemplate.Placement?.Constraints, await this.kept.constraintsFor(ctx, wish.cluster, wish.resource));
  }

  private async judgeOptions(ctx: Context, wish: Wish, ruling: Ruling): Promise<void> {
    const needed = [...ruling.hostOptions, ...(await this.foreignObjects(ctx, wish, ruling))];
    const refused = needed.filter(({ operation }) => !this.mayUse(ctx, wish, operation));
    if (refused.length === 0) return;
    throw clustersProblem('host-option', {
      detail: `This needs ${[...new Set(refused.map(({ operation }) => operation))].join(', ')}, which you have not been given.`,
      errors: refused.map(({ operation, pointer }) => ({ pointer, detail: `needs ${operation}` })),
      extra: { operations: [...new Set(refused.map(({ operation }) => operation))] },
    });
  }

  /** Whoever has the option's operation on the wish's resource; `system` acts for somebody else, so it may use only what was granted with the wish. */
  private mayUse(ctx: Context, wish: Wish, operation: string): boolean {
    if (wish.mayUse?.includes(operation)) return true;
    return ctx.actor.kind !== 'system' && isOperation(operation) && this.access.can(ctx, operation, wish.resource).allowed;
  }

  /** Objects that the change touches and that were not made for the same scope: an operation of its own for each, `service:create:external-secret`. */
  private async foreignObjects(ctx: Context, wish: Wish, ruling: Ruling): Promise<{ operation: string; pointer: string }[]> {
    const { creates, target } = ruling;
    const touched: ObjectUse[] = [...ruling.uses, ...ruling.volumes, ...(target ? [target] : []), ...(creates ? [{ kind: creates.kind, id: creates.name, pointer: '/spec/Name' }] : [])];
    if (touched.length === 0) return [];
    const rows = await this.db.query<{ kind: ObjectKind; name: string; engine_id: string | null; scope: string }>(
      ctx,
      // What people have through the engine's own API is of no scope: foreign to each.
      `select kind, name, engine_id, scope from clusters_objects where cluster_id = $1 and (name = any ($2) or engine_id = any ($2))
       union all select kind, name, engine_id, '' from clusters_engine_objects where cluster_id = $1 and kind = any ($3) and name = any ($2)
       union all select kind, name, engine_id, '' from clusters_engine_objects where cluster_id = $1 and kind = any ($3) and kind <> 'volume' and engine_id = any ($2)`,
      [wish.cluster, touched.map((use) => use.id), [...new Set(touched.map((use) => use.kind))]],
    );
    const ownerOf = (use: ObjectUse): string | null => rows.find((row) => row.kind === use.kind && (row.engine_id === use.id || row.name === use.id))?.scope ?? null;
    if (creates) {
      const owner = ownerOf({ kind: creates.kind, id: creates.name, pointer: '' });
      if (owner !== null && owner !== wish.scope) throw clustersProblem('name-claimed', { errors: [{ pointer: '/spec/Name', detail: `${creates.name} belongs to somebody else` }] });
    }
    const foreign = [];
    for (const use of [...ruling.uses, ...(target ? [target] : [])]) {
      if (ownerOf(use) === wish.scope) continue;
      const verb = use === target ? `${use.kind}:${wish.change.type.split('.')[1]}:external` : `service:create:external-${use.kind}`;
      foreign.push({ operation: verb, pointer: use.pointer });
    }
    const stack = 'spec' in ruling.change ? ruling.change.spec.Labels?.['com.docker.stack.namespace'] : undefined;
    for (const volume of ruling.volumes) {
      const owner = ownerOf(volume);
      const own = owner === null ? stack !== undefined && volume.id.startsWith(`${stack}_`) : owner === wish.scope;
      if (!own) foreign.push({ operation: 'service:create:external-volume', pointer: volume.pointer });
    }
    return foreign;
  }
}

/** A promise that is waited for later: until then nobody minds how it ends. */
function begun<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

/** The ruling; where there is none, an unknown cluster is told first. */
async function ruledOr(cluster: Promise<Cluster>, rule: () => Ruling): Promise<Ruling> {
  try {
    return rule();
  } catch (error) {
    await cluster;
    throw error;
  }
}

function refusal(wish: Wish, problem: Problem): AuditEntry {
  return {
    action: `engine.${wish.change.type}`,
    resource: { kind: wish.resource.kind, id: wish.resource.id },
    outcome: 'refused',
    detail: { code: problem.code, cluster: wish.cluster, object: objectName(wish.change), reason: problem.extra['reason'] ?? null, errors: problem.errors.slice(0, 10) },
  };
}

function objectName(change: Change): string | null {
  if ('spec' in change) return typeof change.spec?.Name === 'string' ? change.spec.Name : null;
  return 'id' in change ? change.id : null;
}

/** Does what was judged, exactly and once, and writes it down. */
@Injectable()
export class Apply {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly clusters: Clusters,
    private readonly audit: Audit,
    private readonly kept: KeptServices,
  ) {}

  /**
   * Makes the change. Network I/O: never call it inside a transaction. With `lease`, the lease is asserted right before the engine is called.
   * A create whose name an earlier attempt of the same scope has taken answers that object (`existed`).
   * @throws clusters.judgement-spent, clusters.no-node, clusters.unreachable (outcome unknown: look before trying again), EngineError
   */
  async apply(ctx: Context, judgement: Judgement, options: { lease?: Lease } = {}): Promise<Outcome> {
    if (ctx.tx) throw new Error('an engine is never called inside a transaction');
    const held = judged.get(judgement);
    if (!held) throw new TypeError('apply takes only what Judge.judge gave');
    if (held.spent || this.clock.now().getTime() > held.expiresAt) throw clustersProblem('judgement-spent');
    held.spent = true;
    const { cluster, ruling, scope } = held;
    const claims = [...(ruling.creates ? [ruling.creates] : []), ...ruling.volumes.map((volume) => ({ kind: volume.kind, name: volume.id }))];
    const engine = await this.clusters.engine(ctx, cluster);
    const { change } = ruling;
    if (change.type === 'service.create' || change.type === 'service.update') await this.kept.prepare(ctx, cluster.id, engine, change.spec.TaskTemplate.Placement?.Constraints ?? []);
    const fresh = await this.claim(ctx, cluster.id, scope, claims);
    if (fresh === null) return { conflict: true, reason: 'name-taken', id: null };
    await options.lease?.assertHeld(ctx);
    let outcome: Outcome;
    try {
      outcome = await this.perform(engine, ruling.change, !fresh);
    } catch (error) {
      if (ruling.creates && fresh && error instanceof EngineError) await this.forget(ctx, cluster.id, ruling.creates);
      await this.audit.record(ctx, this.entry(held, judgement, 'failed', { error: error instanceof EngineError ? error.message : error instanceof Problem ? error.code : 'internal' }));
      throw error;
    }
    const entry = this.entry(held, judgement, outcome.conflict ? 'failed' : 'success', outcome.conflict ? { conflict: outcome.reason } : { id: outcome.id, ...(outcome.existed ? { existed: true } : {}) });
    if (!ruling.creates && !ruling.change.type.endsWith('.remove')) {
      await this.audit.record(ctx, entry);
      return outcome;
    }
    await this.db.transaction(ctx, async (tx) => {
      if (ruling.creates && !outcome.conflict) {
        await this.db.query(tx, 'update clusters_objects set engine_id = $4 where cluster_id = $1 and kind = $2 and name = $3 returning 1', [cluster.id, ruling.creates.kind, ruling.creates.name, outcome.id]);
      } else if (ruling.creates && fresh) {
        await this.forget(tx, cluster.id, ruling.creates);
      }
      if (ruling.change.type.endsWith('.remove') && ruling.target) {
        await this.db.query(tx, 'delete from clusters_objects where cluster_id = $1 and kind = $2 and (engine_id = $3 or name = $3) returning 1', [cluster.id, ruling.target.kind, ruling.target.id]);
      }
      await this.audit.record(tx, entry);
    });
    return outcome;
  }

  /** Writes down whose the names are before the engine knows them. True when the first one is new; null when another scope has one. */
  private async claim(ctx: Context, clusterId: string, scope: string, claims: { kind: ObjectKind; name: string }[]): Promise<boolean | null> {
    if (claims.length === 0) return false;
    return this.db.transaction(ctx, async (tx) => {
      let fresh = false;
      for (const [index, claim] of claims.entries()) {
        const inserted = await this.db.query(tx, 'insert into clusters_objects (cluster_id, kind, name, scope) values ($1, $2, $3, $4) on conflict do nothing returning 1', [clusterId, claim.kind, claim.name, scope]);
        if (index === 0) fresh = inserted.length > 0;
        if (inserted.length > 0) continue;
        const [row] = await this.db.query<{ scope: string }>(tx, 'select scope from clusters_objects where cluster_id = $1 and kind = $2 and name = $3', [clusterId, claim.kind, claim.name]);
        // Volumes are claimed by whoever mounts them first; mounting another's was judged, so it is no conflict here.
        if (row?.scope !== scope && claim.kind !== 'volume') return null;
      }
      return fresh;
    });
  }

  private async forget(ctx: Context, clusterId: string, object: { kind: ObjectKind; name: string }): Promise<void> {
    await this.db.query(ctx, 'delete from clusters_objects where cluster_id = $1 and kind = $2 and name = $3 and engine_id is null returning 1', [clusterId, object.kind, object.name]);
  }

  private async perform(engine: EngineClient, change: Change, retry: boolean): Promise<Outcome> {
    switch (change.type) {
      case 'network.create':
        return this.create(change.spec, retry, () => engine.createNetwork(change.spec), async () => fromNetwork(await engine.findNetwork(change.spec.Name)));
      case 'secret.create':
        return this.create(change.spec, retry, () => engine.createSecret(change.spec), async () => fromSpec(await engine.findSecret(change.spec.Name)));
      case 'config.create':
        return this.create(change.spec, retry, () => engine.createConfig(change.spec), async () => fromSpec(await engine.findConfig(change.spec.Name)));
      case 'service.create':
        return this.create(change.spec, retry, () => engine.createService(change.spec, change.registryAuth), async () => fromSpec(await engine.findService(change.spec.Name)));
      case 'service.update':
        try {
          await engine.updateService(change.id, change.versionIndex, change.spec, change.registryAuth);
          return { conflict: false, id: change.id, name: change.spec.Name, existed: true };
        } catch (error) {
          if (error instanceof EngineError && error.outOfSequence) return { conflict: true, reason: 'out-of-sequence', id: change.id };
          if (error instanceof EngineError && error.status === 404) return { conflict: true, reason: 'gone', id: change.id };
          throw error;
        }
      case 'service.remove':
        return removed(change.id, await engine.removeService(change.id));
      case 'network.remove':
        return removed(change.id, await engine.removeNetwork(change.id));
      case 'secret.remove':
        return removed(change.id, await engine.removeSecret(change.id));
      case 'config.remove':
        return removed(change.id, await engine.removeConfig(change.id));
    }
  }

  private async create(spec: { Name: string; Labels?: Record<string, string> | undefined }, retry: boolean, make: () => Promise<string>, find: () => Promise<Found | null>): Promise<Outcome> {
    try {
      return { conflict: false, id: await make(), name: spec.Name, existed: false };
    } catch (error) {
      if (!(error instanceof EngineError) || error.status !== 409) throw error;
      const found = await find();
      const ours = retry && found?.labels?.[deploymentLabel] !== undefined && found.labels[deploymentLabel] === spec.Labels?.[deploymentLabel];
      return ours ? { conflict: false, id: found.id, name: spec.Name, existed: true } : { conflict: true, reason: 'name-taken', id: found?.id ?? null };
    }
  }

  private entry(held: Judged, judgement: Judgement, outcome: AuditEntry['outcome'], detail: Record<string, unknown>): AuditEntry {
    const { change } = held.ruling;
    return {
      action: `engine.${change.type}`,
      resource: { kind: 'cluster', id: held.cluster.id, name: held.cluster.name },
      outcome,
      detail: { object: objectName(change), scope: held.scope, ...(judgement.images.length > 0 ? { images: judgement.images.map((image) => `${image.repository}@${image.digest}`) } : {}), ...detail },
    };
  }
}

interface Found {
  id: string;
  labels: Record<string, string> | null | undefined;
}

function fromSpec(object: { ID: string; Spec: { Labels?: Record<string, string> | null } } | null): Found | null {
  return object && { id: object.ID, labels: object.Spec.Labels };
}

function fromNetwork(network: { Id: string; Labels?: Record<string, string> | null } | null): Found | null {
  return network && { id: network.Id, labels: network.Labels };
}

function removed(id: string, existed: boolean): Outcome {
  return existed ? { conflict: false, id, name: null, existed } : { conflict: true, reason: 'gone', id };
}
