import { connect } from 'node:tls';

/** A JSON object of a request's body. */
export type Json = Record<string, unknown>;

/** Everything that came back on one connection. */
export interface Reply {
  /** The bytes that were sent, one character for each. */
  sent: string;
  /** Of the first answer that is not an interim one; 0 where the connection was ended without any. */
  status: number;
  /** Statuses of all answers in `text`. */
  statuses: number[];
  headers: Readonly<Record<string, string>>;
  /** Body of the first answer, without the frames of chunks. */
  body: string;
  /** All bytes that came, one character for each. */
  text: string;
}

/** What one party has on the engine: ids, and the names that go with them. */
export interface Things {
  /** A running container that writes each line of its standard input to `/heard`. */
  container: Thing;
  /** An exec that runs in it. */
  exec: string;
  network: Thing;
  volume: string;
  secret: Thing;
  config: Thing;
  service: Thing;
  /** `Version.Index` of the service, which an update must tell. */
  serviceVersion: number;
  task: string;
}

/** An object's id and name. */
export interface Thing {
  id: string;
  name: string;
}

/** Images by reference, of which only `signed` may run where ann's things lie. */
export interface Images {
  /** By tag; on the node that tag names the unsigned image. */
  signed: string;
  signedDigest: string;
  unsigned: string;
  unsignedDigest: string;
  /** Id (`sha256:…`) of the unsigned image on the node. */
  unsignedId: string;
  /** Under a name of the managed registry's, but on the node alone. */
  onNode: string;
  /** Under a name without a registry, on the node alone. */
  nameless: string;
  /** In a repository that ann may not pull; on the node too. */
  hidden: string;
  hiddenDigest: string;
  hiddenId: string;
}

/** How a caller shows who it is. */
export interface Credentials {
  cert?: string;
  key?: string;
}

/** ann's way to the engine, and what she could have heard of. All but `foreign` is hers, or public. */
export interface World {
  /** Host and port of the managed registry. */
  registry: string;
  /** Host and port of the gateway. */
  address: string;
  images: Images;
  own: Things;
  /** A service of hers from before the policy: it runs the unsigned image. */
  oldService: string;
  /** A port that a service has published which was made on the engine's own socket. */
  takenPort: number;
  /** What was made on the engine's own socket, and what is bob's. */
  foreign: readonly Things[];
  node: string;
  nodeVersion: number;
  swarmVersion: number;
  /** A token of an administrator's. */
  token: string;
  /** ann's own credentials for the registry, as `X-Registry-Auth` has them. */
  registryAuth: string;
  /** Certificates that Gantry did not give out. */
  forged: Credentials;
  /** A number that no other call of it has answered. */
  count(): number;
  /** Sends bytes on a connection of their own, and reads until it ends or nothing more comes. `end`: says that no more bytes will follow. */
  send(raw: Buffer | string, as?: Credentials, end?: boolean): Promise<Reply>;
  /** One request; a body that is no string or buffer is sent as JSON. */
  call(method: string, target: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  /**
   * A build by BuildKit from a session of hers, whose client answers with these files when it is asked for a folder the first time (0) and later.
   * @param query in place of a name for the image and no network
   */
  build(folders: (folder: string, time: number) => Record<string, string>, query?: string): Promise<Reply>;
  /**
   * Calls of BuildKit's own interface on one connection of hers, beside a session of hers that has this Dockerfile. Those that announce a build, or ask what
   * becomes of one, are not waited for before the others have their answers. Of each a reply: 200 where it succeeded.
   */
  buildkit(asks: (session: string) => readonly KitAsk[], dockerfile?: string): Promise<Reply[]>;
  /** Opens a session of BuildKit as bob; answers its name. */
  foreignSession(): Promise<string>;
  /** `Version.Index` and spec of a service, as its owner can read them. */
  service(id: string): Promise<{ version: number; spec: Json }>;
}

/** A call of BuildKit's own interface: its path without what all have in front, its message, and the build in which it is asked. */
export type KitAsk = readonly [path: string, message: Buffer, build?: string];

/** A message in the encoding of Protocol Buffers: texts and bytes with their length, numbers below 128. */
export function proto(...fields: readonly (readonly [number: number, value: string | number | Buffer])[]): Buffer {
  return Buffer.concat(fields.map(([number, value]) => {
    if (typeof value === 'number') return Buffer.from([number << 3, value]);
    const bytes = Buffer.from(value);
    const length: number[] = [];
    for (let rest = bytes.length; ; rest >>= 7) {
      length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
      if (rest <= 0x7f) break;
    }
    return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
  }));
}

/** Entries of a map that is field `number` of a message. */
export function protoMap(number: number, map: Readonly<Record<string, string>>): [number, Buffer][] {
  return Object.entries(map).map(([key, value]) => [number, proto([1, key], [2, value])]);
}

/** The calls by which buildx builds, with other announcements and questions where those are given. */
export function kitBuild(ref: string, session: string, name: string, other: { order?: Buffer; solve?: Buffer; finish?: Buffer } = {}): KitAsk[] {
  const order = other.order ?? proto([1, ref], [3, 'moby'], ...protoMap(4, { name }), [5, session], [8, ''], [13, proto([1, 'moby'], ...protoMap(2, { name }))]);
  const solve = other.solve ?? proto([2, 'dockerfile.v0'], ...protoMap(3, { filename: 'Dockerfile', 'force-network-mode': 'none' }), [5, 1], [6, 1]);
  return [['Control/Solve', order], ['frontend.LLBBridge/Solve', solve, ref], ['frontend.LLBBridge/Return', other.finish ?? proto([1, proto([3, ''])]), ref]];
}

/** One named attempt to get by the rules. Each file of this folder exports one. */
export interface Attempt {
  title: string;
  /** The known hole or trick that it follows, in one line. */
  source: string;
  /** Who tries it; ann, where it says nothing. */
  by?: 'ann' | 'stranger';
  /** Why an answer of success does no harm; without it, none may succeed. */
  harmless?: string;
  /** Replies come in pairs, of something hidden and of something that does not exist, and must not differ. */
  alike?: true;
  try(world: World): Promise<Reply[]>;
}

/** The version of the API that the attempts speak. */
export const v = '/v1.41';

/** A container that ann may make, with changes: members of `HostConfig` are merged, others replaced. */
export function container(world: World, change: Json = {}): Json {
  const { HostConfig, ...rest } = change;
  return { Image: world.images.signed, ...rest, HostConfig: { NetworkMode: 'none', ...(HostConfig as Json | undefined) } };
}

/** A service that ann may make, with changes to its container and to the spec. */
export function service(world: World, containerSpec: Json = {}, change: Json = {}): Json {
  const { TaskTemplate, ...rest } = change;
  return {
    Name: `tried-${world.count()}`, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' }, ...rest,
    TaskTemplate: { ...(TaskTemplate as Json | undefined), ContainerSpec: { Image: world.images.signed, ...containerSpec } },
  };
}

/** Asks for each of these, one after the other. */
export async function each<T>(items: Iterable<T>, ask: (item: T) => Promise<Reply>): Promise<Reply[]> {
  const replies: Reply[] = [];
  for (const item of items) replies.push(await ask(item));
  return replies;
}

/** A tar archive, as it stands: names are not made any nicer. A third part says what a name is, `pax:` that a header in front gives it another name. */
export function archive(entries: Iterable<readonly [name: string, content: string, kind?: string]>): Buffer {
  const parts = [...entries].flatMap(([name, content, kind = 'file']) => {
    if (kind === 'symlink' || kind === 'link') return [tarHeader(name, 0, kind === 'link' ? '1' : '2', content)];
    const body = padded(Buffer.from(content));
    const before: Buffer[] = [];
    if (kind.startsWith('pax:')) {
      const record = ` path=${kind.slice(4)}\n`;
      const line = `${record.length + 2}${record}`;
      before.push(tarHeader('PaxHeader', line.length, 'x'), padded(Buffer.from(line)));
    }
    return [...before, tarHeader(name, Buffer.byteLength(content), name.endsWith('/') ? '5' : '0'), body];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

function tarHeader(name: string, size: number, type: string, link = ''): Buffer {
  const header = Buffer.alloc(512);
  const put = (text: string, at: number): void => void header.write(text, at, 'latin1');
  put(name, 0);
  put(`0000644\0${'0000000\0'.repeat(2)}${size.toString(8).padStart(11, '0')}\0${'0'.repeat(11)}\0${' '.repeat(8)}`, 100);
  put(type, 156);
  put(link, 157);
  put('ustar\x0000', 257);
  put(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

/** A request in short: method, path without the version, body. */
export type Call = readonly [method: string, path: string, body?: unknown];

/** Sends these one after the other, in the version that the attempts speak. */
export function calls(world: World, list: Iterable<Call>): Promise<Reply[]> {
  return each(list, ([method, path, body]) => world.call(method, `${v}${path}`, body));
}

/** Creates a container for each of these changes. */
export function containers(world: World, changes: Iterable<Json>): Promise<Reply[]> {
  return each(changes, (change) => world.call('POST', `${v}/containers/create`, container(world, change)));
}

/** Creates a container for each of these host configurations. */
export function hostConfigs(world: World, changes: Iterable<Json>): Promise<Reply[]> {
  return containers(world, [...changes].map((HostConfig) => ({ HostConfig })));
}

/** Creates a service for each of these container specs, and updates ann's own to it: both ways lead to the same tasks. */
export async function containerSpecs(world: World, changes: Iterable<Json>): Promise<Reply[]> {
  return each([...changes].flatMap((change) => [{ change, update: false }, { change, update: true }]), ({ change, update }) =>
    update ? updateService(world, change) : world.call('POST', `${v}/services/create`, service(world, change)),
  );
}

/** Updates ann's own service with changes to its container, its task template and its spec. */
export async function updateService(world: World, containerSpec: Json, task: Json = {}, query = ''): Promise<Reply> {
  const { version, spec } = await world.service(world.own.service.id);
  const template = spec['TaskTemplate'] as Json;
  const TaskTemplate = { ...template, ...task, ContainerSpec: { ...(template['ContainerSpec'] as Json), ...containerSpec } };
  return world.call('POST', `${v}/services/${world.own.service.id}/update?version=${version}${query}`, { ...spec, TaskTemplate });
}

/** Sends each of these texts as the body of a container's creation. */
export function texts(world: World, bodies: Iterable<string | Buffer>): Promise<Reply[]> {
  return each(bodies, (body) => world.call('POST', `${v}/containers/create`, body));
}

/** The plain container as text, with more members in front of its own, and more in front of those of its host configuration. */
export function written(world: World, members = '', hostMembers = ''): string {
  return `{${members}"Image":${JSON.stringify(world.images.signed)},"HostConfig":{${hostMembers}"NetworkMode":"none"}}`;
}

/** Starts containers and services, and updates a service, from each of these references. */
export async function references(world: World, names: Iterable<string>): Promise<Reply[]> {
  const changes = [...names].map((Image) => ({ Image }));
  return [...(await containers(world, changes)), ...(await containerSpecs(world, changes))];
}

/** Ways in which an engine understands which object is meant: its name, its id, and the beginnings of its id. */
export function spellings({ id, name }: Thing): string[] {
  return [name, id, id.slice(0, 12), id.slice(0, 6)];
}

/** A whole request as bytes. The lines are sent as given; `Content-Length` and `Host` are the caller's to write, unless `body` and `host` stand in for them. */
export function request(line: string, headers: readonly string[], body: Buffer | string = ''): Buffer {
  return Buffer.concat([Buffer.from(`${line}\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n`, 'latin1'), Buffer.from(body)]);
}

/** Sends these request lines (method and target), each with the body of a privileged container. */
export function lines(world: World, list: Iterable<string>, version = 'HTTP/1.1'): Promise<Reply[]> {
  const body = JSON.stringify(container(world, { HostConfig: { Privileged: true, Binds: ['/:/host'] } }));
  return each(list, (line) => world.send(request(`${line} ${version}`, [`Host: ${world.address}`, 'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close'], body)));
}

/** Sends these request lines without a body. */
export function bare(world: World, list: Iterable<string>): Promise<Reply[]> {
  return each(list, (line) => world.send(request(`${line} HTTP/1.1`, [`Host: ${world.address}`, 'Content-Length: 0',
    'Connection: close'])));
}

/** Sends a privileged container under these headers, in front of which stand only `Host` and the type. */
export function headers(world: World, list: Iterable<readonly string[]>): Promise<Reply[]> {
  const body = JSON.stringify(container(world, { HostConfig: { Privileged: true, Binds: ['/:/host'] } }));
  return each(list, (more) => world.send(request(`POST ${v}/containers/create HTTP/1.1`, [`Host: ${world.address}`,
    'Content-Type: application/json', ...more.map((line) => line.replace('<length>', String(Buffer.byteLength(body)))),
    'Connection: close'], body)));
}

/** A request for a privileged container, for an engine that would read it where it should not. */
export function privileged(world: World): Buffer {
  const body = JSON.stringify(container(world, { HostConfig: { Privileged: true, Binds: ['/:/host'] } }));
  return request(`POST ${v}/containers/create HTTP/1.1`, [`Host: ${world.address}`, 'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close'], body);
}

/** A reply to a ping with something behind it: of the answers, those to what was behind. */
export function withoutPings(reply: Reply): Reply {
  return reply.status === 200 && reply.body === (reply.sent.startsWith('HEAD') ? '' : 'OK') ? { ...reply, status: reply.statuses[1] ?? 0,
    statuses: reply.statuses.slice(1) } : reply;
}

const quietMillis = 1_000;
/** As long may an answer pause that its own head says is not over; a busy engine builds and pulls in fits and starts. */
const pauseMillis = 20_000;
const answerMillis = 60_000;
const maxBytes = 4 * 1024 * 1024;

/** Sends bytes to the gateway on a new connection, and reads until it ends, says no more (having said all that it promised), or has said too much. */
export function exchange(to: { host: string; port: number; ca: string }, as: Credentials, raw: Buffer | string,
  end = false): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let spoken = false;
    const socket = connect({ host: to.host, port: to.port, ca: to.ca, ...as, ALPNProtocols: ['http/1.1'],
      checkServerIdentity: () => undefined });
    const done = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(parse(raw, Buffer.concat(chunks).toString('latin1')));
    };
    let timer = setTimeout(done, answerMillis);
    const later = (): void => {
      clearTimeout(timer);
      timer = setTimeout(done, isUnfinished(raw, Buffer.concat(chunks).toString('latin1')) ? pauseMillis : quietMillis);
    };
    socket.once('secureConnect', () => {
      spoken = true;
      if (end) socket.end(raw);
      else socket.write(raw);
    });
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxBytes) done();
      else later();
    });
    socket.once('end', done);
    socket.once('close', done);
    socket.on('error', (error) => {
      // A connection that is cut is an answer; one that was never there is none.
      if (spoken) return;
      clearTimeout(timer);
      reject(error);
    });
  });
}

/** Whether a text ends amid a head, or amid a body whose length or chunks are told; streams, which end with their connection, do not count. */
function isUnfinished(raw: Buffer | string, text: string): boolean {
  // The length in an answer to HEAD is that of a body which does not come.
  if (Buffer.from(raw).toString('latin1').startsWith('HEAD')) return false;
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return rest !== '';
    const head = rest.slice(0, end);
    rest = rest.slice(end + 4);
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    if (/^HTTP\/1\.1 (?:1\d\d|204|304)/.test(head)) {
      if (head.startsWith('HTTP/1.1 101')) return false;
      continue;
    }
    if (/^transfer-encoding: *chunked/im.test(head)) {
      const over = /(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(rest);
      if (!over) return true;
      rest = rest.slice(over.index + over[0].length);
    } else if (length === undefined) return false;
    else if (rest.length < Number(length)) return true;
    else rest = rest.slice(Number(length));
    if (rest === '') return false;
  }
}

function parse(raw: Buffer | string, text: string): Reply {
  const statuses = [...text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map(([, status]) => Number(status));
  const status = statuses.find((each) => each >= 200 || each === 101) ?? 0;
  const from = text.indexOf(`HTTP/1.1 ${status}`);
  const end = text.indexOf('\r\n\r\n', from);
  const headers: Record<string, string> = {};
  for (const line of from < 0 || end < 0 ? [] : text.slice(from, end).split('\r\n').slice(1)) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const rest = end < 0 ? '' : text.slice(end + 4);
  const body = headers['transfer-encoding'] === 'chunked' ? unchunk(rest) : rest.slice(0, Number(headers['content-length'] ?? rest.length));
  return { sent: Buffer.from(raw).toString('latin1'), status, statuses, headers, body, text };
}

function unchunk(text: string): string {
  let body = '';
  for (let at = 0; at < text.length; ) {
    const line = text.indexOf('\r\n', at);
    const size = line < 0 ? 0 : Number.parseInt(text.slice(at, line), 16);
    if (!(size > 0)) break;
    body += text.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
  return body;
}
