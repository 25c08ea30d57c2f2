import type { ResourceRef } from '@gantry/access';

/** Kinds of engine objects that can belong to somebody. */
export const ownedKinds = ['container', 'network', 'volume', 'service', 'secret', 'config'] as const;
/** One of `ownedKinds`. */
export type OwnedKind = (typeof ownedKinds)[number];

/** What names one object of an engine: its id in full, or its name. A volume's id is its name. */
export interface ObjectName {
  id?: string | undefined;
  name?: string | undefined;
  /** Node on which it is; '' or nothing: the cluster as a whole. What is not found on the node is looked for in the cluster. */
  nodeId?: string | undefined;
}

/** Whose the objects on one cluster are, in memory. Stays true by itself: keep it as long as you like, and ask it anew each time. */
export interface ClusterOwnership {
  readonly clusterId: string;
  /** How many objects belong to somebody. */
  readonly size: number;
  /** Another number whenever anything else is said of any object than before. */
  readonly revision: number;
  /**
   * For `access`: whose the object is. Made through the gateway: `{kind, id: <row>}`; by delivery: `{kind, id: '<cluster>/<kind>/<name>'}` with the
   * environment as parent; null: nobody's. With an id, only the id counts; but for volumes, whose id is their name. A name alone is believed as
   * far as nobody works on the engine behind our back: ask the engine for the id where that matters. What is claimed, but not yet bound to an
   * object, is not found: else whoever claims the name of somebody else's object would have it until the engine refuses.
   */
  find(kind: string, object: ObjectName): ResourceRef | null;
  /** Who has the name, though there be no object yet; null: it is free, as far as we know. */
  findHolder(kind: string, name: string, nodeId?: string): ResourceRef | null;
  /** For `access`: an object that belongs to nobody. It is judged by its cluster. */
  unowned(kind: string, engineId: string): ResourceRef;
}

/** One row of either table as the index has it. */
export interface OwnedObject {
  /** `own <id>` or `delivery <kind> <name>`, as notifications name it. */
  key: string;
  kind: string;
  nodeId: string;
  name: string;
  /** Null while it is only claimed. */
  engineId: string | null;
  ref: ResourceRef;
}

/** Of all clusters together, so that rows which take others' place never have a number that those had. */
let changes = 0;

/** The rows of one cluster by all that is asked for. */
export class OwnedObjects {
  /** See `ClusterOwnership.revision`. */
  revision = (changes += 1);
  private readonly byKey = new Map<string, OwnedObject>();
  /** kind → engine's id */
  private readonly byId = new Map<string, Map<string, OwnedObject>>();
  /** kind → node → name */
  private readonly byName = new Map<string, Map<string, Map<string, OwnedObject>>>();

  get size(): number {
    return this.byKey.size;
  }

  put(object: OwnedObject): void {
    this.revision = changes += 1;
    this.drop(object.key);
    this.byKey.set(object.key, object);
    if (object.engineId !== null && object.kind !== 'volume') inner(this.byId, object.kind).set(object.engineId, object);
    if (!isPlaceholder(object.name)) inner(inner(this.byName, object.kind), object.nodeId).set(object.name, object);
  }

  drop(key: string): void {
    this.revision = changes += 1;
    const object = this.byKey.get(key);
    if (!object) return;
    this.byKey.delete(key);
    // Two rows may trade a name: what is there already may be the other's.
    const ids = this.byId.get(object.kind);
    if (object.engineId !== null && ids?.get(object.engineId) === object) ids.delete(object.engineId);
    const names = this.byName.get(object.kind)?.get(object.nodeId);
    if (names?.get(object.name) === object) names.delete(object.name);
  }

  withId(kind: string, id: string): OwnedObject | undefined {
    return this.byId.get(kind)?.get(id);
  }

  named(kind: string, name: string, nodeId: string): OwnedObject | undefined {
    const nodes = this.byName.get(kind);
    return nodes?.get(nodeId)?.get(name) ?? (nodeId === '' ? undefined : nodes?.get('')?.get(name));
  }
}

function inner<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  let map = maps.get(key);
  if (!map) maps.set(key, (map = new Map<string, V>()));
  return map;
}

/** `ClusterOwnership` over rows that are exchanged as a whole when everything is loaded anew. */
export class OwnershipIndex implements ClusterOwnership {
  private readonly cluster: ResourceRef;
  objects = new OwnedObjects();

  constructor(readonly clusterId: string) {
    this.cluster = Object.freeze({ kind: 'cluster', id: clusterId });
  }

  get size(): number {
    return this.objects.size;
  }

  get revision(): number {
    return this.objects.revision;
  }

  find(kind: string, { id, name, nodeId = '' }: ObjectName): ResourceRef | null {
    if (kind === 'volume') {
      if (id !== undefined && name !== undefined && id !== name) return null;
      return bound(this.objects.named(kind, id ?? name ?? '', nodeId));
    }
    if (id !== undefined) return this.objects.withId(kind, id)?.ref ?? null;
    return name === undefined ? null : bound(this.objects.named(kind, name, nodeId));
  }

  findHolder(kind: string, name: string, nodeId = ''): ResourceRef | null {
    return this.objects.named(kind, name, nodeId)?.ref ?? null;
  }

  unowned(kind: string, engineId: string): ResourceRef {
    return { kind, id: engineId, parent: this.cluster };
  }
}

function bound(object: OwnedObject | undefined): ResourceRef | null {
  return object !== undefined && object.engineId !== null ? object.ref : null;
}

/** What stands for the name of a row whose object has none that we know: no engine takes a name that begins so. */
export function placeholder(rowId: string): string {
  return `:${rowId}`;
}

/** Whether a row's name is none. */
export function isPlaceholder(name: string): boolean {
  return name.startsWith(':');
}
