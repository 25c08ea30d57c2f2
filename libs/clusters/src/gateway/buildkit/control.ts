import { readMessage, WireError, writeMessage, type Fields, type Form } from './wire';

/** What BuildKit's own interface is asked for that is not passed on. `message` is for the client: what it was, and what to do instead. */
export class ControlError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ControlError';
  }
}

/** Where the result of a build goes, as an order says. */
export interface Output {
  type: 'moby' | 'local' | 'tar' | 'cacheonly';
  names: string[];
}

/** `Control.Solve`: a build is announced; what is built is said by a second call. */
export interface Order {
  ref: string;
  session: string;
  output: Output;
  /** What is made is to have its cache in it. */
  inlineCache: boolean;
}

/** How BuildKit ended what a client has made of it. */
export type Returned = { failure: null } | { failure: string };

const text = (name: string): Form[number] => ({ name, is: 'text' });
const number = (name: string): Form[number] => ({ name, is: 'number' });
const bytes = (name: string): Form[number] => ({ name, is: 'bytes' });
const many = (field: Form[number]): Form[number] => ({ ...field, repeated: true });

/** `moby.buildkit.v1.SolveRequest`; a field that is not here is not known here, and refused. */
const orderForm: Form = {
  1: text('ref'), 2: bytes('definition'), 3: text('exporter'), 4: many(bytes('exporterAttrs')), 5: text('session'), 6: text('frontend'), 7: many(bytes('frontendAttrs')), 8: bytes('cache'), 9: many(text('entitlements')),
  10: many(bytes('frontendInputs')), 11: number('internal'), 12: bytes('sourcePolicy'), 13: many(bytes('exporters')), 14: number('sessionExporter'), 15: text('sourcePolicySession'),
};
/** `moby.buildkit.v1.CacheOptions` */
const cacheForm: Form = { 1: text('exportRef'), 2: many(text('importRefs')), 3: many(bytes('exportAttrs')), 4: many(bytes('exports')), 5: many(bytes('imports')) };
/** `CacheOptionsEntry` and `Exporter` */
const entryForm: Form = { 1: text('type'), 2: many(bytes('attrs')) };
const pairForm: Form = { 1: text('key'), 2: text('value') };
/** `moby.buildkit.v1.frontend.SolveRequest` */
const solveForm: Form = {
  1: bytes('definition'), 2: text('frontend'), 3: many(bytes('options')), 5: number('allowResultReturn'), 6: number('allowResultArrayRef'), 10: number('final'), 11: bytes('exporterAttr'), 12: many(bytes('cacheImports')),
  13: many(bytes('frontendInputs')), 14: number('evaluate'), 15: many(bytes('sourcePolicies')),
};
const returnForm: Form = { 1: bytes('result'), 2: bytes('error') };
/** `Result`, of which nothing but an empty reference was given. */
const resultForm: Form = { 1: text('refDeprecated'), 3: bytes('ref') };
/** `google.rpc.Status` */
const statusForm: Form = { 1: number('code'), 2: text('message'), 3: many(bytes('details')) };
const refForm: Form = { 1: text('ref') };

/** What a build is called by its client. */
const namedRef = /^[A-Za-z0-9_.-]{1,128}$/;
/** An address that means nobody (RFC 5737): clients are told it for the engine's own, of which they know no other. */
export const hostGateway = '192.0.2.254';

const dropIt = 'leave it out';
const noLlb = 'Gantry builds Dockerfiles alone: what is to be built is said by a Dockerfile, not by BuildKit’s own language';

function need(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ControlError(`${message}.`);
}

function list<T extends string | Buffer>(fields: Fields, name: string): T[] {
  return (fields[name] ?? []) as T[];
}

function string(fields: Fields, name: string): string {
  return (fields[name] ?? '') as string;
}

/** Pairs of a map, each key once. */
function pairs(entries: readonly Buffer[], what: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of entries) {
    const fields = readMessage(entry, pairForm);
    const key = string(fields, 'key');
    if (found.has(key)) throw new WireError(`${what} has ${key.slice(0, 100)} twice`);
    found.set(key, string(fields, 'value'));
  }
  return found;
}

function entry(from: Buffer, what: string): { type: string; attrs: Map<string, string> } {
  const fields = readMessage(from, entryForm);
  return { type: string(fields, 'type'), attrs: pairs(list(fields, 'attrs'), what) };
}

/**
 * Reads what a build is announced by. Whatever could reach further than the result's name and place is refused. Pure.
 * @throws WireError; ControlError
 */
export function readOrder(message: Buffer): Order {
  const fields = readMessage(message, orderForm);
  const ref = string(fields, 'ref');
  const session = string(fields, 'session');
  need(namedRef.test(ref), 'A build names itself by up to 128 letters, digits, dots and dashes');
  need(fields['definition'] === undefined && fields['frontendInputs'] === undefined && string(fields, 'frontend') === '', noLlb);
  need(fields['sourcePolicy'] === undefined && string(fields, 'sourcePolicySession') === '', `Policies for sources (EXPERIMENTAL_BUILDKIT_SOURCE_POLICY, --policy) are not passed on: ${dropIt}`);
  need(!fields['sessionExporter'], 'Outputs that are decided during the build are not passed on');
  for (const entitlement of list<string>(fields, 'entitlements')) {
    // The host's network is asked for by the build itself, and judged there.
    need(entitlement === 'network.host', `--allow ${entitlement.slice(0, 100)} is not passed on: a build may do what a container may`);
  }
  pairs(list(fields, 'frontendAttrs'), 'FrontendAttrs');
  return { ref, session, output: readOutput(fields), inlineCache: readCache(fields['cache'] as Buffer | undefined) };
}

/** The name of a build in an announcement that can't be read, where it stands in front as clients write it. */
export function announced(message: Buffer): string | null {
  const [key = 0, length = 0] = message;
  const ref = message.toString('latin1', 2, 2 + length);
  return key === 0x0a && namedRef.test(ref) ? ref : null;
}

function readOutput(fields: Fields): Output {
  const exporters = list<Buffer>(fields, 'exporters').map((each) => entry(each, 'an output'));
  const former = { type: string(fields, 'exporter'), attrs: pairs(list(fields, 'exporterAttrs'), 'an output') };
  // Said twice, for engines of old: by what is not looked at here, another one could be meant there.
  const [first = former] = exporters;
  need(exporters.length <= 1, 'A build has one output');
  need(former.type === '' || same(former, first), 'Two outputs are named where there is one');
  need(former.type !== '' || former.attrs.size === 0, 'An output has options, but is none');
  const { type, attrs } = first;
  if (type === '') {
    need(attrs.size === 0, 'An output has options, but is none');
    return { type: 'cacheonly', names: [] };
  }
  if (type === 'local' || type === 'tar') {
    const [option] = attrs.keys();
    need(option === undefined, `The output ${type} takes no options but the place on your own disk: ${String(option).slice(0, 100)} is not passed on`);
    return { type, names: [] };
  }
  need(type === 'moby', `The output ${type.slice(0, 100)} is not passed on: images are built for the engine (--load), and pushed from there (--push, or docker push)`);
  const names: string[] = [];
  for (const [name, value] of attrs) {
    if (name === 'name') names.push(...value.split(',').filter((each) => each !== ''));
    // The client pushes by the engine's API, call by call. Whether layers are unpacked is the engine's own affair.
    else need(name === 'push' || name === 'unpack', `The option ${name.slice(0, 100)} of an image’s output is not passed on: ${dropIt}`);
  }
  return { type, names };
}

function same(a: { type: string; attrs: Map<string, string> }, b: { type: string; attrs: Map<string, string> }): boolean {
  return a.type === b.type && a.attrs.size === b.attrs.size && [...a.attrs].every(([name, value]) => b.attrs.get(name) === value);
}

function readCache(cache: Buffer | undefined): boolean {
  if (cache === undefined) return false;
  const fields = readMessage(cache, cacheForm);
  need(string(fields, 'exportRef') === '' && fields['exportAttrs'] === undefined && fields['importRefs'] === undefined, 'Caches are not given in this old form');
  const exports = list<Buffer>(fields, 'exports').map((each) => entry(each, '--cache-to'));
  for (const { type, attrs } of exports) need(type === 'inline' && attrs.size === 0, `--cache-to type=${type.slice(0, 100)} is not passed on: the cache goes with the image (type=inline), or stays on the node`);
  // Which are used is said once more where the build is asked for.
  for (const each of list<Buffer>(fields, 'imports')) entry(each, '--cache-from');
  return exports.length > 0;
}

/**
 * Reads what is to be built, by a Dockerfile, and writes it as the query of `POST /build`, where all of it is judged. What has no place there, or
 * could mean something else to BuildKit than to who judges, is refused. Pure.
 * @returns parameters in order
 * @throws WireError; ControlError
 */
export function readSolve(message: Buffer, order: Order): [name: string, value: string][] {
  const fields = readMessage(message, solveForm);
  need(fields['definition'] === undefined && fields['frontendInputs'] === undefined, noLlb);
  const frontend = string(fields, 'frontend');
  need(frontend !== 'gateway.v0', 'An image that reads the Dockerfile (# syntax=, BUILDKIT_SYNTAX) could do whatever it likes: leave it out');
  need(frontend === 'dockerfile.v0', noLlb);
  need(fields['sourcePolicies'] === undefined, `Policies for sources are not passed on: ${dropIt}`);
  need(!fields['final'] && fields['exporterAttr'] === undefined, 'This is spoken by no client of these days');
  need(order.session !== '', 'A build has a session, from which the Dockerfile comes');
  const options = pairs(list(fields, 'options'), 'FrontendOpt');
  const query: [string, string][] = [['version', '2'], ['remote', 'client-session'], ['session', order.session], ['buildid', order.ref]];
  const args: Record<string, string> = Object.create(null) as Record<string, string>;
  const labels: Record<string, string> = Object.create(null) as Record<string, string>;
  const caches = new Set<string>();
  const askedCaps = options.get('frontend.caps') ?? '';
  options.delete('frontend.caps');
  for (const [name, value] of options) {
    if (name.startsWith('build-arg:')) args[name.slice(10)] = value;
    else if (name.startsWith('label:')) labels[name.slice(6)] = value;
    else if (name === 'cache-imports' || name === 'cache-from') for (const each of name === 'cache-from' ? value.split(',').filter(Boolean) : readImports(value)) caches.add(each);
    else query.push(...readOption(name, value));
  }
  need(askedCaps === '', `What this needs (${askedCaps.slice(0, 100)}) is not passed on`);
  for (const each of list<Buffer>(fields, 'cacheImports')) {
    const { type, attrs } = entry(each, '--cache-from');
    caches.add(cacheOf(type, Object.fromEntries(attrs)));
  }
  if (order.inlineCache) args['BUILDKIT_INLINE_CACHE'] ??= '1';
  if (Object.keys(args).length > 0) query.push(['buildargs', JSON.stringify(args)]);
  if (Object.keys(labels).length > 0) query.push(['labels', JSON.stringify(labels)]);
  if (caches.size > 0) query.push(['cachefrom', JSON.stringify([...caches])]);
  const { type, names } = order.output;
  if (type !== 'moby') query.push(['outputs', JSON.stringify([{ Type: type }])]);
  query.push(...names.map((name): [string, string] => ['t', name]));
  return query;
}

/** One option of the Dockerfile's reader, in the words of `POST /build`. */
function readOption(name: string, value: string): [string, string][] {
  switch (name) {
    case 'filename':
      return [['dockerfile', value]];
    case 'target':
      return [['target', value]];
    case 'no-cache':
      need(value === '', '--no-cache-filter is not passed on: --no-cache is, for all stages');
      return [['nocache', '1']];
    case 'image-resolve-mode':
      // What a build begins with is pinned to what the registry has, whatever is said here.
      need(['default', 'local', 'pull'].includes(value), 'image-resolve-mode is default, local or pull');
      return [];
    case 'platform':
      need(!value.includes(','), 'A build is for one platform: --platform names one');
      return value === '' ? [] : [['platform', value]];
    case 'multi-platform':
      need(value === 'false' || value === '', 'A build is for one platform');
      return [];
    case 'add-hosts':
      return value.split(',').filter(Boolean).map((host) => ['extrahosts', host.replace('=', ':').replace(new RegExp(`:${hostGateway.replaceAll('.', '\\.')}$`), ':host-gateway')]);
    case 'force-network-mode':
      need(['none', 'host', 'default', ''].includes(value), '--network is default, none or host');
      return value === '' ? [] : [['networkmode', value]];
    case 'shm-size':
      need(/^\d{1,15}$/.test(value), '--shm-size is a number of bytes');
      return [['shmsize', value]];
    case 'ulimit':
      return [['ulimits', JSON.stringify(value.split(',').map(readLimit))]];
    case 'cgroup-parent':
      return [['cgroupparent', value]];
    case 'contextkey':
    case 'dockerfilekey':
      need(value === name.slice(0, -3), `The folder ${value.slice(0, 100)} is not known: the context is ‘context’, and the Dockerfile’s folder ‘dockerfile’`);
      return [];
    case 'context':
      throw new ControlError('A build takes its context from a folder on your side. Contexts by address, or by standard input, are built with DOCKER_BUILDKIT=0.');
    case 'requestid':
      throw new ControlError('Questions about a Dockerfile (--call, --check) are not passed on: build it.');
    case 'source':
    case 'cmdline':
      throw new ControlError('An image that reads the Dockerfile (# syntax=, BUILDKIT_SYNTAX) could do whatever it likes: leave it out.');
  }
  // For the notes that BuildKit keeps of a build; here the audit log has them.
  if (name.startsWith('vcs:')) return [];
  if (name.startsWith('context:') || name.startsWith('input:')) throw new ControlError(`Further contexts (--build-context ${name.slice(name.indexOf(':') + 1, 100)}) are not passed on: COPY from the context, or --from an image.`);
  if (name.startsWith('attest:')) {
    // An image of the engine's own store has none; this is what clients ask for by themselves.
    need(/(?:^|,)(?:inline-only|disabled)=true(?:,|$)/.test(value), `Attestations (--${name.slice(7, 60)}) are not passed on: build with --provenance=false --sbom=false, and sign the image`);
    return [];
  }
  throw new ControlError(`The option ${name.slice(0, 100)} of a build is not known here: ${dropIt}.`);
}

function readLimit(limit: string): { Name: string; Soft: number; Hard: number } {
  const [, name, soft, hard] = /^([a-z]{1,32})=(-?\d{1,15})(?::(-?\d{1,15}))?$/.exec(limit) ?? [];
  need(name !== undefined && soft !== undefined, '--ulimit is name=soft:hard');
  return { Name: name, Soft: Number(soft), Hard: Number(hard ?? soft) };
}

function readImports(value: string): string[] {
  let read: unknown;
  try {
    read = JSON.parse(value);
  } catch {
    throw new ControlError('--cache-from can’t be read.');
  }
  need(Array.isArray(read), '--cache-from can’t be read');
  return read.map((each: unknown) => {
    const { Type: type, Attrs: attrs } = (typeof each === 'object' && each !== null ? each : {}) as { Type?: unknown; Attrs?: unknown };
    return cacheOf(typeof type === 'string' ? type : '', (typeof attrs === 'object' && attrs !== null ? attrs : {}) as Record<string, unknown>);
  });
}

function cacheOf(type: string, attrs: Readonly<Record<string, unknown>>): string {
  const { ref, ...more } = attrs;
  need(type === 'registry' && typeof ref === 'string' && Object.keys(more).length === 0, `--cache-from type=${type.slice(0, 100)} with these options is not passed on: name an image of the registry, and nothing else`);
  return ref;
}

/**
 * Reads what a client ends a build with: the result that it was given, which is empty, or why there is none. Pure.
 * @throws WireError; ControlError
 */
export function readReturn(message: Buffer): Returned {
  const { result, error } = readMessage(message, returnForm) as { result?: Buffer; error?: Buffer };
  if (error !== undefined) return { failure: string(readMessage(error, statusForm), 'message').slice(0, 4_000) || 'the client gave up' };
  if (result === undefined) return { failure: null };
  const { refDeprecated = '', ref } = readMessage(result, resultForm) as { refDeprecated?: string; ref?: Buffer };
  // A result of the client's own would be LLB.
  need(refDeprecated === '' && (ref === undefined || ref.length === 0), noLlb);
  return { failure: null };
}

/** The build that `Control.Status` asks for. @throws WireError */
export function readStatusRef(message: Buffer): string {
  return string(readMessage(message, refForm), 'ref');
}

/** Of a message without content. @throws WireError */
export function readNothing(message: Buffer): void {
  readMessage(message, {});
}

/** `ListWorkersRequest`, whose filters choose among many. @throws WireError */
export function readWorkersWish(message: Buffer): void {
  readMessage(message, { 1: many(text('filter')) });
}

/** `ListWorkersResponse`: one that is Gantry's. Without the label by which clients know engines that keep images in containerd, they ask for nothing that needs it. */
export function writeWorkers({ os, arch }: { os: string; arch: string }): Buffer {
  const label = writeMessage([[1, 'org.mobyproject.buildkit.worker.moby.host-gateway-ip'], [2, hostGateway]]);
  return writeMessage([[1, writeMessage([[1, 'gantry'], [2, label], [3, writeMessage([[1, arch], [2, os]])]])]]);
}

/** Of what a client may ask in a build, what is here. */
const caps = ['solve.base', 'return', 'returnmap', 'proto.refarray', 'frontend.caps'];

/** `PongResponse` */
export function writePong(): Buffer {
  return writeMessage(caps.map((cap) => [1, writeMessage([[1, cap], [2, 1]])] as const));
}

/** `frontend.SolveResponse` with a result that is empty: what was built is on the engine. */
export function writeSolved(): Buffer {
  return Buffer.from([0x1a, 2, 0x1a, 0]);
}

/** `moby.buildkit.v1.SolveResponse`. @param image its id, where one was made; @param names that it got */
export function writeMade(image: string | null, names: readonly string[]): Buffer {
  if (image === null) return Buffer.alloc(0);
  const made: [string, string][] = [['containerimage.config.digest', image], ['containerimage.digest', image], ...(names.length === 0 ? [] : [['image.name', names.join(',')] as [string, string]])];
  return writeMessage(made.map(([key, value]) => [1, writeMessage([[1, key], [2, value]])] as const));
}

/** What one line of the engine's answer to a build says. */
export type Said = { is: 'status'; status: Buffer } | { is: 'image'; id: string } | { is: 'failure'; message: string } | { is: 'nothing' };

/** Longest line of an engine's answer. */
const maxLineBytes = 4 * 1024 * 1024;

/** Takes the answer of `POST /build` apart, which is a line of JSON each, at whatever places it comes in pieces. */
export class BuildAnswer {
  private rest: Buffer[] = [];
  private size = 0;

  /** @throws WireError where a line has no end */
  *add(chunk: Buffer): Generator<Said> {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...this.rest, chunk.subarray(from, end)]);
      this.rest = [];
      this.size = 0;
      from = end + 1;
      yield readSaid(line);
    }
    this.rest.push(chunk.subarray(from));
    this.size += chunk.length - from;
    if (this.size > maxLineBytes) throw new WireError('the engine’s answer has a line without an end');
  }

  /** What is left at the end. */
  end(): Said {
    return readSaid(Buffer.concat(this.rest));
  }
}

function readSaid(line: Buffer): Said {
  const nothing: Said = { is: 'nothing' };
  if (line.length > maxLineBytes || line.length < 3) return nothing;
  let said: { id?: unknown; aux?: unknown; error?: unknown };
  try {
    said = JSON.parse(line.toString()) as typeof said;
  } catch {
    return nothing;
  }
  if (typeof said !== 'object' || said === null) return nothing;
  if (typeof said.error === 'string') return { is: 'failure', message: said.error };
  if (said.id === 'moby.buildkit.trace' && typeof said.aux === 'string') return { is: 'status', status: Buffer.from(said.aux, 'base64') };
  const id = said.id === 'moby.image.id' && typeof said.aux === 'object' && said.aux !== null ? (said.aux as { ID?: unknown }).ID : undefined;
  return typeof id === 'string' && /^sha256:[0-9a-f]{64}$/.test(id) ? { is: 'image', id } : nothing;
}
