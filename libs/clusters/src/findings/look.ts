import type { EngineClient } from '../engine.client';
import type { EngineContainer, EngineImage, EngineNetwork, EngineService, EngineTask, EngineVolume } from '../engine.types';
import { swarmServiceLabel } from '../gateway/objects';
import { claimLabel } from '../gateway/ownership';
import type { FindingKind, SeenObject } from './compare';
import { isHeld } from './quarantine';

/** By which label swarm tells which of its tasks a container is. */
const swarmTaskLabel = 'com.docker.swarm.task.id';

/**
 * What the engine has of these kinds, without its own networks, the containers of the swarm's tasks (they are their service's) and nameless volumes.
 * @param tasks ids of containers that were seen to be tasks; kept between looks, since the swarm forgets its tasks before their containers end
 */
export async function lookAt(engine: EngineClient, nodeId: string, kinds: ReadonlySet<FindingKind>, tasks: Set<string>): Promise<SeenObject[]> {
  const seen: SeenObject[] = [];
  if (kinds.has('container')) {
    // Containers first: a task that is listed was there before.
    const containers = await engine.containers();
    seen.push(...containerObjects(nodeId, containers, await engine.tasks({ node: [nodeId] }), tasks));
  }
  if (kinds.has('service')) seen.push(...(await engine.services()).map(serviceObject));
  if (kinds.has('network')) seen.push(...(await engine.networks()).filter((network) => !isOwnNetwork(network)).map((network) => networkObject(nodeId, network)));
  if (kinds.has('volume')) seen.push(...(await engine.volumes()).filter((volume) => !isNameless(volume)).map((volume) => object('volume', nodeId, volume.Name, volume.Name, volume.Labels)));
  if (kinds.has('secret')) seen.push(...(await engine.secrets()).map(({ ID, Spec }) => object('secret', '', ID, Spec.Name, Spec.Labels)));
  if (kinds.has('config')) seen.push(...(await engine.configs()).map(({ ID, Spec }) => object('config', '', ID, Spec.Name, Spec.Labels)));
  if (kinds.has('image')) seen.push(...(await engine.images()).map((image) => imageObject(nodeId, image)));
  return seen;
}

/** Containers that are not the swarm's. A label is no proof of being a task: the swarm itself must say so. */
export function containerObjects(nodeId: string, containers: readonly EngineContainer[], tasks: readonly EngineTask[], known: Set<string>): SeenObject[] {
  const there = new Set(containers.map(({ Id }) => Id));
  for (const id of known) if (!there.has(id)) known.delete(id);
  // The swarm has tasks, too, for networks that other containers join: they are no service's.
  const taskIds = new Map(tasks.filter(({ ServiceID }) => ServiceID).map((task) => [task.ID, task.Status.ContainerStatus?.ContainerID ?? '']));
  for (const id of taskIds.values()) if (there.has(id)) known.add(id);
  return containers.filter(({ Id }) => !known.has(Id)).map(({ Id, Names, Labels, Image, State }) => {
    const task = Labels?.[swarmTaskLabel];
    // The task that it names has another container.
    const isForged = task !== undefined && (taskIds.get(task) ?? '') !== '';
    return {
      ...object('container', nodeId, Id, (Names ?? []).find((name) => name.lastIndexOf('/') === 0)?.slice(1) ?? '', Labels), image: Image ?? '',
      active: State === 'running' || State === 'restarting', unlisted: task !== undefined && Labels?.[swarmServiceLabel] !== undefined && !isForged,
    };
  });
}

function serviceObject({ ID, Spec: spec }: EngineService): SeenObject {
  return { ...object('service', '', ID, spec.Name, spec.Labels), image: spec.TaskTemplate.ContainerSpec?.Image ?? '', active: !isHeld(spec) };
}

function networkObject(nodeId: string, { Id, Name, Scope, Labels }: EngineNetwork): SeenObject {
  return object('network', Scope === 'swarm' ? '' : nodeId, Id, Name, Labels);
}

function imageObject(nodeId: string, { Id, RepoTags, RepoDigests }: EngineImage): SeenObject {
  const name = (RepoTags ?? []).find((tag) => tag !== '<none>:<none>') ?? (RepoDigests ?? []).find((digest) => !digest.startsWith('<none>')) ?? '';
  return { ...object('image', nodeId, Id, name, null), image: name, digests: RepoDigests ?? [] };
}

/** The engine's and the swarm's own. */
export function isOwnNetwork({ Name, Scope, Driver, Ingress }: EngineNetwork): boolean {
  if (Scope === 'swarm') return Name === 'ingress' && Ingress === true;
  if (Name === 'docker_gwbridge') return Driver === 'bridge';
  return Name === 'none' ? Driver === 'null' : (Name === 'bridge' || Name === 'host') && Driver === Name;
}

/** A volume without a name is a part of the container for which the engine made it, and stays when that goes; without options it leads nowhere. */
export function isNameless({ Name, Driver, Options }: EngineVolume): boolean {
  return /^[0-9a-f]{64}$/.test(Name) && Driver === 'local' && Object.keys(Options ?? {}).length === 0;
}

function object(kind: FindingKind, nodeId: string, id: string, name: string, labels: Record<string, string> | null | undefined): SeenObject {
  return { kind, nodeId, id, name, image: '', active: false, claim: labels?.[claimLabel] ?? null, unlisted: false, digests: [] };
}
