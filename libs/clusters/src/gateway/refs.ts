import { systemResource, type ResourceRef } from '@gantry/access';
import type { EngineKind } from '../engine-api/shape';
import type { Seen } from './objects';
import { ownedKinds, type ClusterOwnership, type OwnedKind } from './ownership-index';

/** Networks that every engine has; nobody owns them. */
const ownNetworks = new Set(['bridge', 'host', 'none', 'ingress', 'docker_gwbridge']);
const owned = new Set<EngineKind>(ownedKinds);

/** Whether objects of the kind have an owner of their own. */
export function isOwnedKind(kind: EngineKind): kind is OwnedKind {
  return owned.has(kind);
}

/** Whether a network is one that the engine, or swarm, has made for itself. */
export function isOwnNetwork({ kind, name }: Pick<Seen, 'kind' | 'name'>): boolean {
  return kind === 'network' && ownNetworks.has(name);
}

/**
 * The resource of an object: its own placement; else that of what it is part of; else, for what belongs to the cluster as such (nodes, the engine's
 * own networks), the cluster. What nobody owns is administrators' alone. Labels written by others count for nothing where we have a record.
 */
export function refOf(owners: ClusterOwnership, clusterId: string, seen: Pick<Seen, 'kind' | 'id' | 'name' | 'partOf'>): ResourceRef {
  const { kind, id, partOf } = seen;
  if (isOwnedKind(kind)) {
    const own = kind === 'volume' ? owners.find(kind, { name: id }) : owners.find(kind, { id });
    if (own) return own;
  }
  if (kind === 'node' || isOwnNetwork(seen)) return { kind, id, parent: { kind: 'cluster', id: clusterId } };
  const whole = partOf && isOwnedKind(partOf.kind) ? owners.find(partOf.kind, { id: partOf.id }) : null;
  return whole ?? { kind: partOf?.kind ?? kind, id: partOf?.id ?? id, parent: systemResource };
}
