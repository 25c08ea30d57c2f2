import { EngineError, type EngineClient } from '../engine.client';
import type { EngineContainerDetail, EngineServiceSpec } from '../engine.types';

/** A constraint that no node fulfils: ids of nodes have no dots. */
const nowhere = 'node.id==io.gantry.quarantine';

/** How something was before it was stopped; enough to bring it back. Written down before the engine is asked. */
export type Undo =
  | { kind: 'container'; policy: { Name: string; MaximumRetryCount: number }; ran: boolean; how: 'stop' | 'pause' }
  | { kind: 'service'; replicas: number }
  | { kind: 'service'; constraint: string };

/** Reads what it takes to stop a container, or a service, and to bring it back; null where it is gone. */
export async function readUndo(engine: EngineClient, kind: 'container' | 'service', id: string): Promise<Undo | null> {
  if (kind === 'container') {
    const container = await engine.findContainer(id);
    return container && undoOfContainer(container);
  }
  try {
    return undoOfService((await engine.service(id)).Spec);
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return null;
    throw error;
  }
}

/** Stops it; again is harmless. Nothing is removed: a container that would remove itself when it ends is frozen instead. */
export async function hold(engine: EngineClient, id: string, undo: Undo): Promise<void> {
  if (undo.kind === 'service') {
    await changeService(engine, id, holdSpec);
    return;
  }
  if (undo.how === 'pause') {
    const container = await engine.findContainer(id);
    if (container?.State?.Running && !container.State.Paused) await engine.actOnContainer(id, 'pause');
    return;
  }
  await engine.setRestartPolicy(id, { Name: 'no', MaximumRetryCount: 0 });
  await engine.actOnContainer(id, 'stop');
}

/** Brings it back to how it was; again is harmless, and what is gone stays gone. */
export async function letGo(engine: EngineClient, id: string, undo: Undo): Promise<void> {
  try {
    if (undo.kind === 'service') {
      await changeService(engine, id, (spec) => releasedSpec(spec, undo));
      return;
    }
    const container = await engine.findContainer(id);
    if (!container) return;
    if (undo.how === 'pause') {
      if (container.State?.Paused) await engine.actOnContainer(id, 'unpause');
      return;
    }
    await engine.setRestartPolicy(id, undo.policy);
    if (undo.ran) await engine.actOnContainer(id, 'start');
  } catch (error) {
    if (!(error instanceof EngineError) || error.status !== 404) throw error;
  }
}

/** What was done, in a sentence. */
export function describe(undo: Undo): string {
  if (undo.kind === 'service') return 'replicas' in undo ? `scaled from ${undo.replicas} to 0` : 'given a constraint that no node fulfils';
  return undo.how === 'pause' ? 'paused, since it removes itself when it ends' : `${undo.ran ? 'stopped' : 'kept from starting by itself'}; its restart policy was ${undo.policy.Name}`;
}

/** Whether a service runs nothing, because of us or of whoever scaled it to nothing. */
export function isHeld({ Mode, TaskTemplate }: EngineServiceSpec): boolean {
  return Mode?.Replicated ? (Mode.Replicated.Replicas ?? 0) === 0 : (TaskTemplate.Placement?.Constraints ?? []).includes(nowhere);
}

/** @see readUndo */
export function undoOfContainer({ State, HostConfig }: EngineContainerDetail): Undo {
  const { Name, MaximumRetryCount } = HostConfig?.RestartPolicy ?? {};
  return {
    kind: 'container', policy: { Name: Name || 'no', MaximumRetryCount: MaximumRetryCount ?? 0 }, ran: State?.Running === true || State?.Restarting === true,
    how: HostConfig?.AutoRemove ? 'pause' : 'stop',
  };
}

/** @see readUndo */
export function undoOfService({ Mode }: EngineServiceSpec): Undo {
  return Mode?.Replicated ? { kind: 'service', replicas: Mode.Replicated.Replicas ?? 0 } : { kind: 'service', constraint: nowhere };
}

/** The spec under which nothing runs; null where it is so already. */
export function holdSpec(spec: EngineServiceSpec): EngineServiceSpec | null {
  if (isHeld(spec)) return null;
  if (spec.Mode?.Replicated) return { ...spec, Mode: { Replicated: { Replicas: 0 } } };
  const { Placement: placement } = spec.TaskTemplate;
  return { ...spec, TaskTemplate: { ...spec.TaskTemplate, Placement: { ...placement, Constraints: [...(placement?.Constraints ?? []), nowhere] } } };
}

/** The spec as it was; null where nothing of ours is left to be taken back. */
export function releasedSpec(spec: EngineServiceSpec, undo: Extract<Undo, { kind: 'service' }>): EngineServiceSpec | null {
  if (!isHeld(spec)) return null;
  if ('replicas' in undo) return spec.Mode?.Replicated && undo.replicas > 0 ? { ...spec, Mode: { Replicated: { Replicas: undo.replicas } } } : null;
  const { Placement: placement } = spec.TaskTemplate;
  return { ...spec, TaskTemplate: { ...spec.TaskTemplate, Placement: { ...placement, Constraints: (placement?.Constraints ?? []).filter((each) => each !== undo.constraint) } } };
}

/** The engine's own spec but for what `change` changes; fenced by the version that was read, and tried again where somebody else was quicker. */
async function changeService(engine: EngineClient, id: string, change: (spec: EngineServiceSpec) => EngineServiceSpec | null): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const service = await engine.service(id);
    const spec = change(service.Spec);
    if (spec === null) return;
    try {
      await engine.updateService(id, service.Version.Index, spec as never, null);
      return;
    } catch (error) {
      if (!(error instanceof EngineError) || !error.outOfSequence || attempt === 3) throw error;
    }
  }
}
