import type { Operation } from '@gantry/access';
import {
  auth, commit, configSpec, containerCreate, containerUpdate, execCreate, execStart, networkConnect, networkCreate, networkDisconnect, nodeUpdate, pluginGrants, pluginSettings, secretSpec,
  serviceSpec, swarmInit, swarmJoin, swarmUnlock, swarmUpdate, ulimits, volumeCreate, volumeUpdate,
} from './bodies';
import { containerName, creates, image, judged, list, map, needs, object, oneOf, refused, text, textMap, texts, uses, type EngineKind, type Found, type Mark, type Shape, type Value } from './shape';

/** Minor versions of the Engine API (1.24 to 1.55) between which rows and parameters say when they came and went. */
export const oldestMinor = 24;
export const newestMinor = 55;

/** What one query parameter may be. `flag` is how Go reads truth; `json` is held against a shape; `filters` is the API's own form of filters. */
export interface Parameter {
  type: 'flag' | 'integer' | 'text' | 'filters' | 'json';
  since: number;
  until: number;
  /** May be given more than once. */
  repeated: boolean;
  /** Sent by real clients although no API document names it. */
  undocumented: boolean;
  /** Of `json`. */
  shape?: Shape;
  /** Of `text`: the only values. */
  oneOf?: readonly string[];
  marks: readonly Mark[];
}

/**
 * What a call acts on. `one`: the object that the path names; `list`: all of a kind; `create`: something new; `prune`: what is unused of a kind;
 * `engine`: the engine or the swarm as a whole.
 */
export interface Target {
  kind: EngineKind;
  how: 'one' | 'list' | 'create' | 'prune' | 'engine';
}

/** What becomes of a request's body. There is no policy that lets anything through as JSON. */
export type BodyPolicy =
  /** Nothing but white space, `null` or `{}`, and nothing is sent on. */
  | { is: 'none' }
  /** Parsed strictly, held against the shape, and written anew. */
  | { is: 'json'; shape: Shape; optional: boolean; maxBytes: number }
  /** Passed on as it comes: a tar archive, a plugin or image archive, or one half of a hijacked connection. */
  | { is: 'stream'; of: 'tar' | 'duplex' };

/** What becomes of an answer. `id` is the member that names each item, `at` where the items are. */
export type ResponseFilter =
  | { is: 'none' }
  /** Items whose object (`owner`: the object that the item belongs to) is not visible are cut out. */
  | { is: 'list'; kind: EngineKind; at: string; id: string; owner?: string }
  /** A stream of events: only those of visible objects. */
  | { is: 'events' }
  /** Usage by kind: items cut out, sums made anew. */
  | { is: 'df' }
  /** Ids of what was removed. */
  | { is: 'prune'; kind: EngineKind; at: string }
  /** An object that tells of others: those that are not visible are cut out. */
  | { is: 'inspect'; at: readonly string[]; kind: EngineKind }
  /** Members that only holders of the operation see. */
  | { is: 'redact'; at: readonly string[]; unless: Operation }
  /** Facts on the engine; counts and addresses are for those who see everything. */
  | { is: 'info' };

/** What the connection does. `hijack`: raw bytes both ways after the answer's head; `upgrade`: the same behind an `Upgrade` header; `follow`: the answer may go on for ever. */
export type Connection = 'plain' | 'follow' | 'hijack' | 'websocket' | 'upgrade';

/** One row of the table: a method on a path template. What is in no row is refused. */
export interface EngineRow {
  /** `GET /containers/{id}/json` */
  name: string;
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  since: number;
  until: number;
  undocumented: boolean;
  /** What the caller needs on the target (or on the collection of what is made); empty for whoever is signed in. */
  operations: readonly Operation[];
  target: Target;
  query: Readonly<Record<string, Parameter>>;
  body: BodyPolicy;
  response: ResponseFilter;
  connection: Connection;
  /** Whether it changes anything. */
  mutating: boolean;
  /** Whether it is written to the audit record: always, where the policy says so (exec, attach, cp, logs), or never. */
  audit: 'always' | 'policy' | 'never';
  /** Whether the engine uses credentials for a registry that come in `X-Registry-Auth` or `X-Registry-Config`. */
  registryAuth: boolean;
  /**
   * Some clients (dockerode) write one map of options twice: as the body, and as the query. A parameter that is a member of the body, and a
   * member that is a parameter, are then dropped where the other side has it too; neither is ever passed on.
   */
  writtenTwice: boolean;
  /** Finds what no single parameter tells. */
  judge?: (parameters: ReadonlyMap<string, Value>, name: string, found: Found) => void;
}

// ---- parameters

const parameter = (type: Parameter['type'], more: Partial<Parameter> = {}): Parameter => ({ type, since: oldestMinor, until: newestMinor, repeated: false, undocumented: false, marks: [], ...more });
const flag = (since = oldestMinor, ...marks: Mark[]): Parameter => parameter('flag', { since, marks });
const number = (since = oldestMinor, ...marks: Mark[]): Parameter => parameter('integer', { since, marks });
const word = (since = oldestMinor, ...marks: Mark[]): Parameter => parameter('text', { since, marks });
const choice = (since: number, values: readonly string[]): Parameter => parameter('text', { since, oneOf: ['', ...values] });
const json = (since: number, shape: Shape): Parameter => parameter('json', { since, shape });
const filters = (since = oldestMinor): Parameter => parameter('filters', { since });
const many = (each: Parameter): Parameter => ({ ...each, repeated: true });
const unlisted = (each: Parameter): Parameter => ({ ...each, undocumented: true });
/** `Version.Index` of the object that is replaced. */
const index = (since = oldestMinor): Parameter => number(since);

type Query = Record<string, Parameter>;

// ---- rows

const rows: EngineRow[] = [];

interface More {
  since?: number;
  undocumented?: true;
  query?: Query;
  body?: BodyPolicy;
  response?: ResponseFilter;
  connection?: Connection;
  audit?: EngineRow['audit'];
  mutating?: boolean;
  registryAuth?: true;
  writtenTwice?: true;
  judge?: EngineRow['judge'];
}

function row(name: string, operations: Operation | readonly Operation[], target: Target, more: More = {}): void {
  const [method, path] = name.split(' ') as [EngineRow['method'], string];
  const mutating = more.mutating ?? (method !== 'GET' && method !== 'HEAD');
  rows.push({
    name, method, path, since: more.since ?? oldestMinor, until: newestMinor, undocumented: more.undocumented ?? false, operations: typeof operations === 'string' ? [operations] : operations, target, query: more.query ?? {},
    body: more.body ?? { is: 'none' }, response: more.response ?? { is: 'none' }, connection: more.connection ?? 'plain', mutating, audit: more.audit ?? (mutating ? 'always' : 'never'),
    registryAuth: more.registryAuth ?? false, writtenTwice: more.writtenTwice ?? false, ...(more.judge ? { judge: more.judge } : {}),
  });
}

const one = (kind: EngineKind): Target => ({ kind, how: 'one' });
const all = (kind: EngineKind): Target => ({ kind, how: 'list' });
const made = (kind: EngineKind): Target => ({ kind, how: 'create' });
const unused = (kind: EngineKind): Target => ({ kind, how: 'prune' });
const engine: Target = { kind: 'system', how: 'engine' };
const swarm: Target = { kind: 'swarm', how: 'engine' };

const body = (shape: Shape, maxBytes = 1024 * 1024): BodyPolicy => ({ is: 'json', shape, optional: false, maxBytes });
const maybe = (shape: Shape): BodyPolicy => ({ is: 'json', shape, optional: true, maxBytes: 1024 * 1024 });
const tar: BodyPolicy = { is: 'stream', of: 'tar' };
const duplex: BodyPolicy = { is: 'stream', of: 'duplex' };
const listed = (kind: EngineKind, id: string, at = '', owner?: string): ResponseFilter => ({ is: 'list', kind, at, id, ...(owner === undefined ? {} : { owner }) });

// the engine

row('GET /_ping', [], engine);
row('HEAD /_ping', [], engine, { since: 40 });
row('GET /version', [], engine);
row('GET /info', 'cluster:view', engine, { response: { is: 'info' } });
row('GET /events', 'cluster:view', engine, { query: { since: word(), until: word(), filters: filters() }, response: { is: 'events' }, connection: 'follow' });
row('GET /system/df', 'cluster:view', engine, { since: 25, query: { type: many(choice(42, ['container', 'image', 'volume', 'build-cache'])), verbose: flag(52) }, response: { is: 'df' } });
// A sign-in changes nothing on the engine, but makes it speak to an address of the caller's choice.
row('POST /auth', [], engine, { body: body(auth, 64 * 1024), mutating: false, audit: 'policy' });

// containers

const container = one('container');
const outputs: Query = { stdout: flag(), stderr: flag() };
const logs: Query = { follow: flag(), ...outputs, since: word(), timestamps: flag(), tail: word() };
const attach: Query = { detachKeys: word(), logs: flag(), stream: flag(), stdin: flag(), ...outputs };
const size: Query = { h: number(), w: number() };

row('GET /containers/json', 'container:view', all('container'), { query: { all: flag(), limit: number(), size: flag(), trunc_cmd: unlisted(flag()), filters: filters(), since: unlisted(word()), before: unlisted(word()) }, response: listed('container', 'Id') });
row('POST /containers/create', 'container:create', made('container'), {
  query: { name: word(24, creates('container')), platform: word(41) },
  body: body(containerCreate), writtenTwice: true,
});
row('GET /containers/{id}/json', 'container:view', container, { query: { size: flag() } });
row('GET /containers/{id}/top', 'container:top', container, { query: { ps_args: word() } });
row('GET /containers/{id}/logs', 'container:logs', container, { query: { ...logs, until: word(35), details: unlisted(flag()) }, connection: 'follow', audit: 'policy' });
row('GET /containers/{id}/changes', 'container:changes', container);
row('GET /containers/{id}/export', 'container:export', container, { connection: 'follow', audit: 'policy' });
row('GET /containers/{id}/stats', 'container:stats', container, { query: { stream: flag(), 'one-shot': flag(41) }, connection: 'follow' });
row('POST /containers/{id}/resize', 'container:resize', container, { query: size, audit: 'never' });
row('POST /containers/{id}/start', 'container:start', container, {
  query: {
    detachKeys: word(),
    checkpoint: unlisted(word(25, refused('checkpoints are not passed on'))),
    'checkpoint-dir': unlisted(word(25, refused('checkpoints are not passed on'))),
  },
});
row('POST /containers/{id}/stop', 'container:stop', container, { query: { t: number(), signal: word(42) } });
row('POST /containers/{id}/restart', 'container:restart', container, { query: { t: number(), signal: word(42) } });
row('POST /containers/{id}/kill', 'container:kill', container, { query: { signal: word() } });
row('POST /containers/{id}/update', 'container:update', container, { body: body(containerUpdate) });
row('POST /containers/{id}/rename', 'container:rename', container, {
  query: { name: word(24, creates('container')) },
});
row('POST /containers/{id}/pause', 'container:pause', container);
row('POST /containers/{id}/unpause', 'container:unpause', container);
row('POST /containers/{id}/attach', 'container:attach', container, { query: attach, body: duplex, connection: 'hijack', audit: 'policy' });
row('GET /containers/{id}/attach/ws', 'container:attach', container, { query: attach, connection: 'websocket', mutating: true, audit: 'policy', body: duplex });
row('POST /containers/{id}/wait', 'container:wait', container, { query: { condition: choice(30, ['not-running', 'next-exit', 'removed']) }, connection: 'follow', mutating: false, audit: 'never' });
row('DELETE /containers/{id}', 'container:remove', container, { query: { v: flag(), force: flag(), link: flag() } });
row('HEAD /containers/{id}/archive', 'container:filesystem-read', container, { query: { path: word() } });
row('GET /containers/{id}/archive', 'container:filesystem-read', container, { query: { path: word() }, connection: 'follow', audit: 'policy' });
row('PUT /containers/{id}/archive', 'container:filesystem-write', container, { query: { path: word(), noOverwriteDirNonDir: flag(), copyUIDGID: word(25) }, body: tar });
row('POST /containers/prune', 'container:prune', unused('container'), { since: 25, query: { filters: filters() }, response: { is: 'prune', kind: 'container', at: '/ContainersDeleted' } });

row('POST /containers/{id}/exec', 'container:exec', container, { body: body(execCreate) });
row('POST /exec/{id}/start', 'container:exec', one('exec'), { body: maybe(execStart), connection: 'hijack' });
row('POST /exec/{id}/resize', 'container:exec', one('exec'), { query: size, audit: 'never' });
row('GET /exec/{id}/json', 'container:exec', one('exec'));

// images

const tagged = (repository: string, tag: string): string => (tag === '' ? repository : `${repository}${tag.includes(':') ? '@' : ':'}${tag}`);
const hasTag = (reference: string): boolean => reference.includes('@') || reference.slice(reference.lastIndexOf('/') + 1).includes(':');
const textOf = (value: Value | undefined): string => (typeof value === 'string' ? value : '');

/** Adds the image of a repository parameter and a tag parameter; both must not tell the tag. */
function imageOf(parameters: ReadonlyMap<string, Value>, repository: string, how: 'pull' | 'write', found: Found): void {
  const reference = textOf(parameters.get(repository));
  const tag = textOf(parameters.get('tag'));
  if (reference === '') return;
  if (tag !== '' && hasTag(reference)) found.errors.push({ pointer: '?tag', detail: `${repository} has a tag or digest already` });
  else found.images.push({ reference: tagged(reference, tag), how, pointer: `?${repository}`, ...(how === 'pull' && tag === '' && !hasTag(reference) ? { allTags: true as const } : {}) });
}

const theImage = one('image');
const platform = (since: number): Parameter => word(since);

row('GET /images/json', 'image:view', all('image'), {
  query: { all: flag(), filters: filters(), digests: flag(), 'shared-size': flag(42), manifests: flag(47), identity: flag(54), filter: unlisted(word()) }, response: listed('image', 'Id'),
});
row('POST /images/create', 'image:create', made('image'), {
  query: {
    fromImage: word(),
    fromSrc: word(24, judged('needs', ['image:load', 'image:load:remote'], 'an import; `image:load:remote` where the engine is to fetch it', (value, pointer, found) => {
      found.needs.push({ operation: 'image:load', pointer });
      if (value !== '-') found.needs.push({ operation: 'image:load:remote', pointer });
    })),
    repo: word(), tag: word(), platform: platform(32), message: word(24), changes: many(word(24)),
  },
  body: tar, connection: 'follow', registryAuth: true,
  judge(parameters, _name, found) {
    const source = textOf(parameters.get('fromSrc'));
    if ((source === '') === (textOf(parameters.get('fromImage')) === '')) found.errors.push({ pointer: '?fromImage', detail: 'either fromImage or fromSrc' });
    if (source === '') imageOf(parameters, 'fromImage', 'pull', found);
    else imageOf(parameters, 'repo', 'write', found);
  },
});
row('GET /images/{name}/json', 'image:view', theImage, { query: { manifests: flag(48), platform: platform(49) } });
row('GET /images/{name}/history', 'image:history', theImage, { query: { platform: platform(48) } });
row('GET /images/{name}/attestations', 'image:view', theImage, { since: 55, query: { platform: platform(55), type: many(word(55)), statement: flag(55) } });
row('POST /images/{name}/push', 'image:push', theImage, {
  query: { tag: word(), platform: platform(46) }, connection: 'follow', registryAuth: true,
  judge(parameters, name, found) {
    found.registries.push({ address: tagged(name, textOf(parameters.get('tag'))), pointer: '{name}' });
  },
});
row('POST /images/{name}/tag', 'image:tag', theImage, { query: { repo: word(), tag: word() }, judge: (parameters, _name, found) => imageOf(parameters, 'repo', 'write', found) });
row('DELETE /images/{name}', 'image:remove', theImage, { query: { force: flag(24, needs('image:remove:force')), noprune: flag(), platforms: many(platform(50)) } });
row('GET /images/search', 'image:search', all('image'), { query: { term: word(), limit: number(), filters: filters() } });
row('POST /images/prune', 'image:prune', unused('image'), { since: 25, query: { filters: filters() }, response: { is: 'prune', kind: 'image', at: '/ImagesDeleted' } });
row('GET /images/{name}/get', 'image:export', theImage, { query: { platform: many(platform(48)) }, connection: 'follow', audit: 'policy' });
row('GET /images/get', 'image:export', all('image'), { query: { names: many(word(24, uses('image', 'image:export'))), platform: many(platform(48)) }, connection: 'follow', audit: 'policy' });
row('POST /images/load', 'image:load', made('image'), { query: { quiet: flag(), platform: many(platform(48)) }, body: tar, connection: 'follow' });
row('GET /distribution/{name}/json', 'image:view', theImage, {
  since: 30, registryAuth: true,
  judge(_parameters, name, found) {
    found.images.push({ reference: name, how: 'pull', pointer: '{name}' });
    found.registries.push({ address: name, pointer: '{name}' });
  },
});
row('POST /commit', 'image:commit', made('image'), {
  query: {
    container: word(24, uses('container', 'container:commit')), repo: word(), tag: word(), comment: word(), author: word(), pause: flag(), changes: many(word()),
  },
  body: maybe(commit),
  judge(parameters, _name, found) {
    if (textOf(parameters.get('container')) === '') found.errors.push({ pointer: '?container', detail: 'a container was expected' });
    imageOf(parameters, 'repo', 'write', found);
  },
});

// builds

const buildNetwork = judged('needs', ['image:build:host-network', 'network:connect', 'container:exec'], '`host`; a network’s name needs `network:connect` on it, `container:…` needs `container:exec` on that container', (value, pointer, found) => {
  const mode = String(value);
  if (mode === 'default' || mode === 'bridge' || mode === 'none') return;
  if (mode === 'host') found.needs.push({ operation: 'image:build:host-network', pointer });
  else if (mode.startsWith('container:')) found.uses.push({ kind: 'container', id: containerName(mode.slice('container:'.length)), operation: 'container:exec', pointer });
  else found.uses.push({ kind: 'network', id: mode, operation: 'network:connect', pointer });
});

/** BuildKit's own exporters send to the client's session, or give the image a name. */
const buildOutput: Mark = judged('image', [], 'a name that is given to an image', (value, pointer, found) => {
  const { Type: type, Attrs: attributes } = value as { Type?: string; Attrs?: Record<string, string> | null };
  if (attributes?.['push'] !== undefined) found.errors.push({ pointer: `${pointer}/Attrs/push`, detail: 'push after the build, so that the push is judged' });
  if (type !== 'local' && type !== 'tar') for (const name of (attributes?.['name'] ?? '').split(',')) if (name !== '') found.images.push({ reference: name, how: 'write', pointer: `${pointer}/Attrs/name` });
});

row('POST /build', 'image:build', made('image'), {
  query: {
    dockerfile: word(), t: many(word(24, image('write'))),
    remote: word(24, needs('image:build:remote', { says: 'unless `client-session`: the engine fetches it', unless: (value) => value === 'client-session' })),
    extrahosts: many(word(28)), q: flag(), nocache: flag(), cachefrom: json(25, list(text(image('pull')))), pull: word(), rm: flag(), forcerm: flag(), memory: number(), memswap: number(), cpushares: number(),
    cpusetcpus: word(), cpusetmems: unlisted(word()), cpuperiod: number(), cpuquota: number(), buildargs: json(24, textMap()), shmsize: number(), squash: flag(25),
    labels: json(24, textMap()), networkmode: word(24, buildNetwork), platform: platform(32), target: word(29), version: choice(38, ['1', '2']),
    outputs: json(40, list(object({ Type: oneOf(['local', 'tar', 'oci', 'docker', 'image', 'moby', 'cacheonly']), Attrs: textMap() }, buildOutput))),
    ulimits: unlisted(json(24, ulimits('image:build:resources'))), isolation: unlisted(choice(24, ['default', 'process', 'hyperv'])), session: unlisted(word(31)), buildid: unlisted(word(39)),
    cgroupparent: unlisted(word(24, needs('image:build:resources'))), securityopt: unlisted(json(24, texts(needs('image:build:security-options')))),
  },
  body: tar, connection: 'follow', registryAuth: true,
});
row('POST /build/prune', 'image:prune', unused('build'), {
  since: 31, query: { 'keep-storage': number(39), 'reserved-space': number(48), 'max-used-space': number(48), 'min-free-space': number(48), all: flag(39), filters: filters(39) }, response: { is: 'prune', kind: 'build', at: '/CachesDeleted' },
});
row('POST /build/cancel', 'image:build', one('build'), { since: 39, undocumented: true, query: { id: unlisted(word(39)) } });
// The engine asks back through it for files and secrets of the client's own.
row('POST /session', 'image:build', made('build'), { since: 31, body: duplex, connection: 'upgrade' });
// BuildKit's own interface. Gantry answers it itself, and asks for what is to be built by `POST /build`, where it is judged.
row('POST /grpc', 'image:build', made('build'), { since: 38, undocumented: true, body: duplex, connection: 'upgrade' });

// networks

row('GET /networks', 'network:view', all('network'), { query: { filters: filters() }, response: listed('network', 'Id') });
row('GET /networks/{id}', 'network:view', one('network'), { query: { verbose: flag(28), scope: word(31) }, response: { is: 'inspect', at: ['/Containers', '/Services', '/Peers'], kind: 'container' } });
row('POST /networks/create', 'network:create', made('network'), { body: body(networkCreate) });
row('DELETE /networks/{id}', 'network:remove', one('network'));
row('POST /networks/{id}/connect', 'network:connect', one('network'), { body: body(networkConnect) });
row('POST /networks/{id}/disconnect', 'network:disconnect', one('network'), { body: body(networkDisconnect) });
row('POST /networks/prune', 'network:prune', unused('network'), { since: 25, query: { filters: filters() }, response: { is: 'prune', kind: 'network', at: '/NetworksDeleted' } });

// volumes

row('GET /volumes', 'volume:view', all('volume'), { query: { filters: filters() }, response: listed('volume', 'Name', '/Volumes') });
row('GET /volumes/{name}', 'volume:view', one('volume'));
row('POST /volumes/create', 'volume:create', made('volume'), { body: body(volumeCreate) });
row('PUT /volumes/{name}', 'volume:update', one('volume'), { since: 42, query: { version: index(42) }, body: body(volumeUpdate) });
row('DELETE /volumes/{name}', 'volume:remove', one('volume'), { query: { force: flag(25) } });
row('POST /volumes/prune', 'volume:prune', unused('volume'), { since: 25, query: { filters: filters() }, response: { is: 'prune', kind: 'volume', at: '/VolumesDeleted' } });

// services and tasks

row('GET /services', 'service:view', all('service'), { query: { filters: filters(), status: flag(41) }, response: listed('service', 'ID') });
row('GET /services/{id}', 'service:view', one('service'), { query: { insertDefaults: flag(29) } });
row('POST /services/create', 'service:create', made('service'), { body: body(serviceSpec, 4 * 1024 * 1024), registryAuth: true });
row('POST /services/{id}/update', 'service:update', one('service'), {
  query: { version: index(), registryAuthFrom: choice(25, ['spec', 'previous-spec']), rollback: choice(25, ['previous']) }, body: body(serviceSpec, 4 * 1024 * 1024), registryAuth: true,
});
row('DELETE /services/{id}', 'service:remove', one('service'));
row('GET /services/{id}/logs', 'service:logs', one('service'), { since: 25, query: { ...logs, details: flag() }, connection: 'follow', audit: 'policy' });
row('GET /tasks', 'service:view-tasks', all('task'), { query: { filters: filters() }, response: listed('task', 'ID', '', 'ServiceID') });
row('GET /tasks/{id}', 'service:view-tasks', one('task'));
row('GET /tasks/{id}/logs', 'service:logs', one('task'), { since: 29, query: { ...logs, details: flag() }, connection: 'follow', audit: 'policy' });

// secrets and configs

for (const [kind, since] of [['secret', 25], ['config', 30]] as const) {
  const spec = kind === 'secret' ? body(secretSpec) : body(configSpec, 2 * 1024 * 1024);
  row(`GET /${kind}s`, `${kind}:view`, all(kind), { since, query: { filters: filters() }, response: listed(kind, 'ID') });
  row(`POST /${kind}s/create`, `${kind}:create`, made(kind), { since, body: spec });
  row(`GET /${kind}s/{id}`, `${kind}:view`, one(kind), { since });
  row(`DELETE /${kind}s/{id}`, `${kind}:remove`, one(kind), { since });
  row(`POST /${kind}s/{id}/update`, `${kind}:update`, one(kind), { since: Math.max(since, 26), query: { version: index() }, body: spec });
}

// nodes and the swarm

row('GET /nodes', 'node:view', all('node'), { query: { filters: filters() }, response: listed('node', 'ID') });
row('GET /nodes/{id}', 'node:view', one('node'));
row('POST /nodes/{id}/update', 'node:update', one('node'), { query: { version: index() }, body: body(nodeUpdate) });
row('DELETE /nodes/{id}', 'node:remove', one('node'), { query: { force: flag() } });
// Join tokens let a machine in, with everything that its nodes hold.
row('GET /swarm', 'swarm:view', swarm, { response: { is: 'redact', at: ['/JoinTokens'], unless: 'swarm:update' } });
row('POST /swarm/init', 'swarm:init', swarm, { body: body(swarmInit) });
row('POST /swarm/join', 'swarm:join', swarm, { body: body(swarmJoin) });
row('POST /swarm/leave', 'swarm:leave', swarm, { query: { force: flag() } });
row('POST /swarm/update', 'swarm:update', swarm, { query: { version: index(), rotateWorkerToken: flag(), rotateManagerToken: flag(), rotateManagerUnlockKey: flag(25) }, body: body(swarmUpdate) });
row('GET /swarm/unlockkey', 'swarm:unlock', swarm, { since: 25, audit: 'always' });
row('POST /swarm/unlock', 'swarm:unlock', swarm, { since: 25, body: body(swarmUnlock) });

// plugins: each is root on the host, so all of it is for those who run the installation

const remote: Mark = judged('registry', [], 'the engine fetches it', (value, pointer, found) => void found.registries.push({ address: String(value), pointer }));
row('GET /plugins', 'plugin:view', all('plugin'), { since: 25, query: { filters: filters(28) } });
row('GET /plugins/privileges', 'plugin:manage', engine, { since: 25, query: { name: word(25), remote: word(25, remote) }, registryAuth: true, audit: 'always' });
row('POST /plugins/pull', 'plugin:manage', made('plugin'), { since: 25, query: { remote: word(25, remote), name: word(25) }, body: body(pluginGrants), connection: 'follow', registryAuth: true });
row('GET /plugins/{name}/json', 'plugin:view', one('plugin'), { since: 25 });
row('DELETE /plugins/{name}', 'plugin:manage', one('plugin'), { since: 25, query: { force: flag() } });
row('POST /plugins/{name}/enable', 'plugin:manage', one('plugin'), { since: 25, query: { timeout: number() } });
row('POST /plugins/{name}/disable', 'plugin:manage', one('plugin'), { since: 25, query: { force: flag(25) } });
row('POST /plugins/{name}/upgrade', 'plugin:manage', one('plugin'), { since: 26, query: { remote: word(26, remote) }, body: body(pluginGrants), connection: 'follow', registryAuth: true });
row('POST /plugins/create', 'plugin:manage', made('plugin'), { since: 25, query: { name: word(25) }, body: tar });
row('POST /plugins/{name}/push', 'plugin:manage', one('plugin'), { since: 25, connection: 'follow', registryAuth: true });
row('POST /plugins/{name}/set', 'plugin:manage', one('plugin'), { since: 25, body: body(pluginSettings) });

/** The table of the Engine API. Default deny: what is not in it is refused. */
export const engineTable: readonly EngineRow[] = Object.freeze(rows);

/** Names that may hold slashes: references of images and plugins. */
export const slashedAreas: ReadonlySet<string> = new Set(['images', 'distribution', 'plugins']);

/** The shape in which filters are sent on: a map of sets, as Go writes them. */
export const filtersShape: Shape = map({ is: 'map', value: { is: 'boolean' }, max: 1000 });
