import type { EngineKind } from '../engine-api/shape';

/** An engine object as its own inspect told. */
export interface Seen {
  kind: EngineKind;
  /** The engine's id; a volume's name, a reference's image id. */
  id: string;
  name: string;
  labels: Readonly<Record<string, string>>;
  /** What it is part of: a task's service, an exec's container, the service of a container that swarm runs. */
  partOf: { kind: EngineKind; id: string } | null;
  /** The whole answer. */
  raw: Readonly<Record<string, unknown>>;
}

const record = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {});
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

function textMap(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(record(value)).flatMap(([key, member]) => (typeof member === 'string' ? [[key, member]] : [])));
}

/** By which label swarm tells of which service a container is. */
export const swarmServiceLabel = 'com.docker.swarm.service.id';

const at = (area: string, tail = '') => (id: string): string => `/${area}/${encodeURIComponent(id)}${tail}`;
const spec = (raw: Record<string, unknown>): { name: string; labels: Record<string, string> } => ({ name: text(record(raw['Spec'])['Name']), labels: textMap(record(raw['Spec'])['Labels']) });

interface Kind {
  /** Where the engine tells of one, without the version. */
  inspect(id: string): string;
  read(raw: Record<string, unknown>): Pick<Seen, 'id' | 'name' | 'labels'> & { partOf?: Seen['partOf'] };
  /** In the words in which engines say it, so that clients take it for that. */
  missing(id: string): string;
}

const kinds: Partial<Record<EngineKind, Kind>> = {
  container: {
    inspect: at('containers', '/json'),
    read(raw) {
      const labels = textMap(record(raw['Config'])['Labels']);
      const service = labels[swarmServiceLabel];
      return { id: text(raw['Id']), name: text(raw['Name']).replace(/^\//, ''), labels, ...(service ? { partOf: { kind: 'service', id: service } } : {}) };
    },
    missing: (id) => `No such container: ${id}`,
  },
  exec: {
    inspect: at('exec', '/json'),
    read: (raw) => ({ id: text(raw['ID']), name: '', labels: {}, partOf: { kind: 'container', id: text(raw['ContainerID']) } }),
    missing: (id) => `No such exec instance: ${id}`,
  },
  image: { inspect: (id) => `/images/${id}/json`, read: (raw) => ({ id: text(raw['Id']), name: '', labels: {} }), missing: (id) => `No such image: ${id}` },
  network: { inspect: at('networks'), read: (raw) => ({ id: text(raw['Id']), name: text(raw['Name']), labels: textMap(raw['Labels']) }), missing: (id) => `network ${id} not found` },
  volume: { inspect: at('volumes'), read: (raw) => ({ id: text(raw['Name']), name: text(raw['Name']), labels: textMap(raw['Labels']) }), missing: (id) => `get ${id}: no such volume` },
  service: { inspect: at('services'), read: (raw) => ({ id: text(raw['ID']), ...spec(raw) }), missing: (id) => `service ${id} not found` },
  task: { inspect: at('tasks'), read: (raw) => ({ id: text(raw['ID']), name: '', labels: {}, partOf: { kind: 'service', id: text(raw['ServiceID']) } }), missing: (id) => `task ${id} not found` },
  secret: { inspect: at('secrets'), read: (raw) => ({ id: text(raw['ID']), ...spec(raw) }), missing: (id) => `secret ${id} not found` },
  config: { inspect: at('configs'), read: (raw) => ({ id: text(raw['ID']), ...spec(raw) }), missing: (id) => `config ${id} not found` },
  // Names of plugins have slashes; the table lets no dot segments through.
  plugin: { inspect: (id) => `/plugins/${id}/json`, read: (raw) => ({ id: text(raw['Id']), name: text(raw['Name']), labels: {} }), missing: (id) => `plugin "${id}" not found` },
  node: { inspect: at('nodes'), read: (raw) => ({ id: text(raw['ID']), ...spec(raw) }), missing: (id) => `node ${id} not found` },
};

/** Whether objects of the kind can be asked for one by one. */
export function canInspect(kind: EngineKind): boolean {
  return kinds[kind] !== undefined;
}

/** Where the engine tells of one object, without the version prefix. */
export function inspectPath(kind: EngineKind, id: string): string {
  return known(kind).inspect(id);
}

/** Reads an inspect's answer; null when it tells no id, which no engine leaves out. */
export function readSeen(kind: EngineKind, answer: unknown): Seen | null {
  const raw = record(answer);
  const { partOf, ...seen } = known(kind).read(raw);
  return seen.id === '' ? null : { kind, ...seen, partOf: partOf ?? null, raw };
}

/** What an engine says of an object that it does not have. */
export function missingMessage(kind: EngineKind, id: string): string {
  return kinds[kind]?.missing(id) ?? `no such ${kind}: ${id}`;
}

function known(kind: EngineKind): Kind {
  const found = kinds[kind];
  if (!found) throw new Error(`an object of kind ${kind} is not asked for by name`);
  return found;
}
