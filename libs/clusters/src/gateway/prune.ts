import { Injectable } from '@nestjs/common';
import { Access, type Operation } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { Clock, type Context } from '@gantry/platform';
import type { Cluster } from '../cluster.entity';
import type { EngineKind } from '../engine-api/shape';
import { EngineError, type EngineClient } from '../engine.client';
import { swarmServiceLabel, type Seen } from './objects';
import { freeNames, Ownership } from './ownership';
import type { ClusterOwnership } from './ownership-index';
import { readPruneFilter, type PrunedKind, type PruneFilter } from './prune-filters';
import { refOf } from './refs';

/** How long one prune goes on; what is left then is there for the next one. */
const pruneMillis = 120_000;
/** How many removals share one audit row, and how long their names may be together. */
const rowSize = 100;
const rowLength = 8_000;
/** Networks that every engine has, or that swarm needs. */
const builtIn = new Set(['bridge', 'host', 'none', 'default', 'ingress', 'docker_gwbridge']);
/** By this label engines from 23 on tell volumes that nobody named. */
const anonymousLabel = 'com.docker.volume.anonymous';

const words: Readonly<Record<string, { deleted: string; space: boolean }>> = {
  container: { deleted: 'ContainersDeleted', space: true }, network: { deleted: 'NetworksDeleted', space: false }, volume: { deleted: 'VolumesDeleted', space: true },
  image: { deleted: 'ImagesDeleted', space: true }, build: { deleted: 'CachesDeleted', space: true },
};

/** One prune of somebody who does not see everything. */
export interface PruneWish {
  ctx: Context;
  cluster: Cluster;
  engine: EngineClient;
  owners: ClusterOwnership;
  kind: EngineKind;
  /** The row's own operations; removing is asked for besides. */
  operations: readonly Operation[];
  /** The row, for the record. */
  call: string;
  filters: Readonly<Record<string, readonly string[]>> | null;
  /** Minor version of the API in which the caller speaks. */
  minor: number;
}

/** What an engine could remove, so far as it knows by itself. */
interface Candidate {
  seen: Pick<Seen, 'kind' | 'id' | 'name' | 'partOf'>;
  /** By which the engine's own answer calls it. */
  told: string;
}

/** What a prune has removed up to now. */
interface Removed {
  told: string[];
  bytes: number;
}

/**
 * Prunes for who does not see everything. The engine's own prune takes all that is unused, whoever's it is; here the unused are listed, judged
 * one by one, and removed one by one by their ids, never by force: what has come into use meanwhile the engine keeps. Each removal is
 * complete in itself, with its record of ownership; a prune that breaks off, or has taken two minutes, has removed what it has, and the next one goes on.
 */
@Injectable()
export class OwnPrune {
  constructor(
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly clock: Clock,
    private readonly ownership: Ownership,
  ) {}

  /**
   * Reads what is asked for; what it answers does it, and gives the body of the answer.
   * @throws clusters.spec-invalid
   */
  prepare(wish: PruneWish): (signal: AbortSignal) => Promise<Buffer> {
    const { kind } = wish;
    // Images and build caches belong to nobody.
    if (kind !== 'container' && kind !== 'network' && kind !== 'volume') return async () => report(kind, { told: [], bytes: 0 });
    const filter = readPruneFilter(kind, wish.filters, this.clock.now(), wish.minor < 42);
    return async (signal) => report(kind, await this.prune(wish, kind, filter, signal));
  }

  private async prune(wish: PruneWish, kind: PrunedKind, filter: PruneFilter, signal: AbortSignal): Promise<Removed> {
    const removed: Removed = { told: [], bytes: 0 };
    const ends = this.clock.now().getTime() + pruneMillis;
    let recorded = 0;
    let length = 0;
    const record = async (outcome: 'success' | 'failed'): Promise<void> => {
      await this.record(wish, removed.told.slice(recorded), outcome);
      recorded = removed.told.length;
      length = 0;
    };
    try {
      const candidates = (await this.list(wish, kind, filter)).filter(({ seen }) => this.may(wish, kind, seen));
      const sizes = candidates.length === 0 ? null : await this.sizes(wish, kind);
      const free = kind === 'volume' && candidates.length > 0 ? await freeNames(wish.engine, candidates.map(({ seen }) => seen.id)) : null;
      for (const { seen, told } of candidates) {
        if (signal.aborted || this.clock.now().getTime() > ends) break;
        // Rights, and whose a name is, may have changed while others were removed.
        if (!this.may(wish, kind, seen)) continue;
        const bytes = sizes ? await sizes(seen.id) : 0;
        if (!(await this.remove(wish, kind, seen.id, free))) continue;
        removed.told.push(told);
        removed.bytes += bytes;
        length += told.length;
        if (removed.told.length - recorded >= rowSize || length >= rowLength) await record('success');
      }
    } catch (error) {
      await record('failed');
      throw error instanceof EngineError ? error.toProblem() : error;
    }
    await record('success');
    return removed;
  }

  private may({ ctx, owners, cluster, operations }: PruneWish, kind: PrunedKind, seen: Candidate['seen']): boolean {
    const ref = refOf(owners, cluster.id, seen);
    return [...operations, `${kind}:remove` as const].every((operation) => this.access.can(ctx, operation, ref).allowed);
  }

  /** What of the kind is unused by the engine's own meaning, and meant by the filters. */
  private async list({ engine }: PruneWish, kind: PrunedKind, filter: PruneFilter): Promise<Candidate[]> {
    switch (kind) {
      case 'container':
        return (await engine.containers({ status: ['created', 'exited', 'dead'] })).flatMap(({ Id: id, Labels, Created }) => {
          const labels = Labels ?? {};
          // Lists tell whole seconds.
          if (!filter.matches({ createdAt: Created === undefined ? null : new Date((Created + 1) * 1_000), labels })) return [];
          const service = labels[swarmServiceLabel];
          return [{ seen: { kind, id, name: '', partOf: service ? { kind: 'service', id: service } : null }, told: id }];
        });
      case 'network':
        // What containers or services have, the engine does not remove.
        return (await engine.networks({ type: ['custom'] })).flatMap(({ Id: id, Name: name, Created, Labels, Ingress, ConfigOnly }) =>
          (builtIn.has(name) || Ingress === true || ConfigOnly === true || !filter.matches({ createdAt: moment(Created), labels: Labels ?? {} }) ? [] : [{ seen: { kind, id, name, partOf: null }, told: name }]));
      case 'volume':
        return (await engine.volumes({ dangling: ['true'] })).flatMap(({ Name: name, Driver, Options, Labels }) => {
          const labels = Labels ?? {};
          const spared = Driver !== 'local' || Object.keys(Options ?? {}).length > 0 || (!filter.all && !Object.hasOwn(labels, anonymousLabel));
          return spared || !filter.matches({ createdAt: null, labels }) ? [] : [{ seen: { kind, id: name, name, partOf: null }, told: name }];
        });
    }
  }

  /** Answers how many bytes one object takes; what the engine can't tell now counts nothing. */
  private async sizes({ engine }: PruneWish, kind: PrunedKind): Promise<((id: string) => Promise<number>) | null> {
    if (kind === 'network') return null;
    if (kind === 'container') return (id) => unlessRefused(() => engine.containerSize(id), 0);
    const sizes = await unlessRefused(() => engine.volumeSizes(), new Map<string, number>());
    return async (name) => sizes.get(name) ?? 0;
  }

  /** False where the engine keeps it, or somebody was faster. */
  private async remove({ ctx, engine, cluster }: PruneWish, kind: PrunedKind, id: string, free: ReadonlySet<string> | null): Promise<boolean> {
    const gone = await unlessRefused(() => (kind === 'container' ? engine.removeContainer(id) : kind === 'network' ? engine.removeNetwork(id) : engine.removeVolume(id)), false);
    if (gone && (!free || free.has(id))) await this.ownership.forget(ctx, { clusterId: cluster.id, kind, engineId: id });
    return gone;
  }

  private async record({ ctx, cluster, kind, call }: PruneWish, removed: readonly string[], outcome: 'success' | 'failed'): Promise<void> {
    await this.audit.record(ctx, {
      action: `engine.${kind}.prune`, resource: { kind: 'cluster', id: cluster.id, name: cluster.name }, outcome, detail: { call, removed: [...removed], own: true },
    });
  }
}

/** What the engine refuses (in use, gone, busy) is no failure of the whole; that it does not answer is. */
async function unlessRefused<T>(ask: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof EngineError) return otherwise;
    throw error;
  }
}

function moment(text: string | undefined): Date | null {
  const millis = Date.parse(text ?? '');
  return Number.isNaN(millis) ? null : new Date(millis);
}

function report(kind: EngineKind, { told, bytes }: Removed): Buffer {
  const { deleted, space } = words[kind]!;
  return Buffer.from(JSON.stringify({ [deleted]: told, ...(space ? { SpaceReclaimed: bytes } : {}) }));
}
