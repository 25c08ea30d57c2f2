import { engineTable, type EngineRow, type Parameter } from '@gantry/clusters';
import { jsonBody } from './bodies';
import type { Choices } from './choices';
import type { Account, Pool } from './world';
import type { Sending } from './wire';

/** One exchange that the grammar has made. */
export interface Sentence extends Sending {
  row: EngineRow;
  /** Whether something in it is not as a client of engines would send it. */
  tricked: boolean;
  /** A word in it that an answer may repeat, and no answer to anything else; null where the request has none. */
  echo: string;
  /** Whether the connection may end once this is answered. */
  spoils: boolean;
}

/** What is tried on one request; the numbers say how much of each. */
interface Tricks {
  version: number;
  path: number;
  name: number;
  query: number;
  headers: number;
  options: number;
  keys: number;
  texts: number;
  framing: number;
}

const noTricks: Tricks = { version: 0, path: 0, name: 0, query: 0, headers: 0, options: 0, keys: 0, texts: 0, framing: 0 };

/** How often each row is asked for; what makes engines work hard, less often, and what is judged most, more often. */
const weights: Readonly<Record<string, number>> = {
  'POST /containers/create': 80, 'POST /services/create': 40, 'POST /services/{id}/update': 40, 'POST /networks/create': 20, 'POST /volumes/create': 30, 'POST /containers/{id}/update': 25, 'POST /containers/{id}/exec': 20,
  'POST /exec/{id}/start': 15, 'POST /networks/{id}/connect': 15, 'POST /networks/{id}/disconnect': 15, 'POST /secrets/create': 15, 'POST /configs/create': 15, 'POST /containers/{id}/start': 4, 'POST /containers/{id}/restart': 1,
  'POST /containers/{id}/stop': 2, 'POST /containers/{id}/kill': 3, 'POST /images/create': 4, 'GET /system/df': 2, 'POST /auth': 3, 'GET /containers/{id}/export': 2, 'GET /containers/{id}/stats': 2, 'POST /containers/{id}/wait': 3,
  'GET /events': 4, 'PUT /containers/{id}/archive': 8, 'POST /images/{name}/push': 3, 'POST /images/{name}/tag': 30, 'POST /build': 12, 'POST /commit': 8,
};
const weighted = engineTable.map((row) => [weights[row.name] ?? 7, row] as const);

/** Rows on whose answers nobody waits long: they last, or work for a while. */
const slow = /\/(?:stop|restart|wait|start|top|df|stats|export|archive|prune|auth|push|logs|build|commit)$/;

/** The words of a path's name. */
function ownName(choices: Choices, row: EngineRow, account: Account, pool: Pool): string {
  const { own } = account;
  const made = (): string => madeName(choices, account, pool);
  const thing = (kind: 'container' | 'network' | 'secret' | 'config' | 'service'): string => {
    if (!own || choices.chance(row.method === 'DELETE' ? 950 : 300)) return made();
    return choices.of([own[kind].name, own[kind].id, own[kind].id.slice(0, 12)]);
  };
  switch (row.target.kind) {
    case 'container': case 'network': case 'secret': case 'config': case 'service':
      return thing(row.target.kind);
    case 'volume':
      return !own || choices.chance(row.method === 'DELETE' ? 950 : 300) ? made() : own.volume;
    case 'exec':
      return row.path.endsWith('/start') ? (account.execs.at(-1) ?? own?.exec ?? 'x') : (own?.exec ?? 'x');
    case 'task':
      return own?.task ?? 'x';
    case 'image':
      if (row.path.endsWith('/push')) return choices.chance(100) ? strangeRepository(choices, account, pool) : account.repository;
      if (row.method === 'DELETE') return `${account.repository}:${choices.chance(800) ? madeTag(choices, account) : 'kept'}`;
      return choices.of([pool.images.signed, pool.images.signedDigest]);
    case 'node':
      return choices.of([pool.node, 'self']);
    default:
      return 'something';
  }
}

function madeName(choices: Choices, account: Account, pool: Pool): string {
  return `fz-${account.name}-${pool.batch}-${choices.below(6)}`;
}

/** By its tag it is told who has named an image. */
function madeTag(choices: Choices, account: Account): string {
  return `fz-${account.name}-${choices.below(6)}`;
}

/** A repository in which the account may name nothing. */
function strangeRepository(choices: Choices, account: Account, pool: Pool): string {
  return choices.of([`${pool.registry}/acme/web`, `${pool.registry}/acme/web`, `${pool.registry}/other/hidden-app`, 'nameless-image', 'busybox', `${pool.registry}/own`, ...pool.accounts.filter((each) => each !== account).map(({ repository }) => repository)]);
}

/** Names of what is somebody else's, of what is not there, and of what is no name. */
function strangeName(choices: Choices, row: EngineRow, account: Account, pool: Pool, echo: string): string {
  const others = pool.accounts.filter((each) => each !== account && each.own);
  const kind = row.target.kind;
  const things = [...pool.foreign, ...others.map((each) => each.own!)].flatMap((each): { id: string; name: string }[] => {
    if (kind === 'container' || kind === 'network' || kind === 'secret' || kind === 'config' || kind === 'service') return [each[kind]];
    const text = kind === 'volume' ? each.volume : kind === 'exec' ? each.exec : kind === 'task' ? each.task : each.container.id;
    return [{ id: text, name: text }];
  });
  const { id, name } = choices.of(things);
  return choices.of([
    echo, name, id, id.slice(0, 12), id.slice(0, 6), id.slice(0, 1), id.toUpperCase(), `/${name}`, `${name}/`, `../${kind}s/${name}`, `x/../${name}`, `${name}%00`, `${name}\u0000`, `${name} `, ` ${name}`, `${name}?`, `${name}#`, `${name};x`, `${name}%2fjson`,
    '.', '..', '...', '*', '', 'json', 'create', 'prune', 'a'.repeat(300), '\u00fcber', '%', '%zz', `${name},x`, `sha256:${id}`, id.slice(0, 63), `${id}0`, choices.of(pool.images.others), `${name}@sha256:${'0'.repeat(64)}`,
    'bridge', 'host', 'none', 'ingress', '-', '_', `${name}:latest`,
  ]);
}

const encoders: readonly ((text: string) => string)[] = [
  (text) => encodeURIComponent(text), (text) => text, (text) => text.replaceAll('/', '%2f'), (text) => text.replaceAll('/', '%252F'), (text) => [...text].map((each) => `%${each.charCodeAt(0).toString(16).padStart(2, '0')}`).join(''),
  (text) => text.replaceAll('/', '%c0%af'), (text) => encodeURIComponent(text).replaceAll('%', '%25'),
];

/** What stands in for `{id}` and the like; slashes of image names stay. */
const plainName = (text: string): string => encodeURIComponent(text).replaceAll('%2F', '/').replaceAll('%3A', ':').replaceAll('%40', '@');

function path(choices: Choices, row: EngineRow, name: string, tricks: Tricks): string {
  const bare = row.path.replace(/\{\w+\}/, tricks.name > 0 ? choices.of(encoders)(name) : plainName(name));
  const minor = choices.of([41, 41, 40, 30, 25, 24]);
  const version = tricks.version > 0
    ? choices.of(['/v1.999', '/v1.24', '/v1.55', '/v1.56', '/v1.23', '/v0.1', '/v2.0', '/v1', '/v1.', '/V1.41', '/v1.41/v1.41', '/v1.041', '/v01.41', '/v1.4\u0031', '/v1.41%2f', '/v1.4100000', '/v-1.41', '/v1.42', '/v1.51', '/1.41', '/v1.41;x', '/v1.41/..'])
    : choices.weighted([[8, '/v1.41'], [2, ''], [1, `/v1.${Math.max(minor, Math.min(41, row.since))}`]]);
  let all = version + bare;
  for (let count = tricks.path; count > 0; count -= 1) {
    all = choices.of<(text: string) => string>([
      (text) => text.replace(/\/(?=[^/]*$)/, '//'), (text) => `/${text}`, (text) => `${text}/`, (text) => text.replace(/[a-z](?=[^/]*$)/, (letter) => letter.toUpperCase()), (text) => text.toUpperCase(), (text) => `/./${text.slice(1)}`,
      (text) => `/x/..${text}`, (text) => text.replace(/\/(?=[^/]*$)/, '/%2e%2e/x/'), (text) => text.replace(/\/(?=[^/]*$)/, '/%2e/'), (text) => text.replace(/\/(?=[^/]*$)/, '%2f'), (text) => text.replace(/[a-z](?=[^/]*$)/, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
      (text) => text.replace(/\/(?=[^/]*$)/, '\\'), (text) => `${text}%00`, (text) => `${text};x=y`, (text) => `${text}#x`, (text) => `${text}%3fx`, (text) => text.replace(/\/(?=[^/]*$)/, '/../'), (text) => `${text}/..`, (text) => `${text}.json`, (text) => `//127.0.0.1${text}`,
      (text) => text.replace(/(?<=.)\//, '/ '), (text) => text.replace('containers', 'plugins'), (text) => text.replace(/[ks]/, (letter) => (letter === 'k' ? '%e2%84%aa' : '%c5%bf')), (text) => `${text}/${'a/'.repeat(50)}`, (text) => `/grpc${text}`,
    ])(all);
  }
  return all;
}

const hostileValues = ['', '-1', '0', '1', 'true', 'TRUE', 'yes', '2', 'null', '99999999999999999999', '9223372036854775807', '1e3', '0x1', ' 1', '1 ', '../x', '/', '/etc/passwd', 'a\u0000b', 'x'.repeat(3_000), '{}', '[]', '{"a":1}', '%', 'host', 'all', '\u{1f600}', '\u212a', '-o pid,args', '$(id)', '|id'];

function filters(choices: Choices, account: Account, pool: Pool, tricked: boolean): string {
  const other = choices.of(pool.foreign);
  const plain = [{ label: ['a'] }, { name: ['fz'] }, {}, { label: { a: true } }, { id: [account.own?.container.id.slice(0, 12) ?? 'x'] }];
  if (!tricked) return JSON.stringify(choices.of(plain));
  return choices.of([
    JSON.stringify({ name: [other.container.name] }), JSON.stringify({ id: [other.container.id] }), JSON.stringify({ since: [other.container.name] }), JSON.stringify({ before: [other.container.id] }), JSON.stringify({ network: [other.network.id] }),
    JSON.stringify({ volume: [other.volume] }), JSON.stringify({ ancestor: [pool.images.others[0]] }), JSON.stringify({ service: [other.service.name] }), JSON.stringify({ container: [other.container.id] }), JSON.stringify({ reference: ['*'] }),
    '{"label":["a"],"label":["b"]}', '{"Label":["a"]}', '{"label":"a"}', '[]', 'null', '{', '{"label":{"a":false}}', '{"label":["a"]}x', '{"__proto__":["a"]}', '{"dangling":["false"]}', '{"type":["container"]}', '{"name":[".*"]}', '{"name":["("]}', '{"label":[1]}',
  ]);
}

function plainValue(choices: Choices, row: EngineRow, name: string, parameter: Parameter, account: Account, pool: Pool): string {
  switch (parameter.type) {
    case 'flag':
      return choices.of(['1', '0', 'true', 'false', '']);
    case 'integer':
      return name === 'version' ? String(account.own?.versions[row.target.kind] ?? 1) : choices.of(['0', '1', '10']);
    case 'filters':
      return filters(choices, account, pool, false);
    case 'json':
      return choices.of(name === 'buildargs' || name === 'labels' ? ['{}', '{"a":"b"}'] : ['[]', '{}', '']);
    case 'text': {
      if (parameter.oneOf) return choices.of(parameter.oneOf);
      const words: Readonly<Record<string, readonly string[]>> = {
        name: [madeName(choices, account, pool)], path: ['/', '/tmp', '/www/index.html', '/tmp/../tmp'], signal: ['KILL', 'TERM', 'SIGHUP', '0'], tail: ['10', 'all', '0'], since: ['0', '1', ''], until: ['1', '1700000000'], detachKeys: ['ctrl-a', ''],
        ps_args: ['', '-ef', 'aux'], scope: ['local', 'swarm'], fromImage: [pool.images.signed], container: [account.own?.container.name ?? 'x'], term: ['x'], fromSrc: ['-'], names: [pool.images.signed], remote: ['x'],
        repo: [choices.chance(300) ? strangeRepository(choices, account, pool) : account.repository], tag: row.path.endsWith('/push') ? ['kept', madeTag(choices, account)] : [madeTag(choices, account)], t: [choices.chance(300) ? `${strangeRepository(choices, account, pool)}:${choices.of(['signed', 'x', madeTag(choices, account)])}` : `${account.repository}:${madeTag(choices, account)}`], dockerfile: ['', 'Dockerfile'], networkmode: ['none', 'bridge', 'default'],
        version: ['1'], target: [''], cpusetcpus: ['0'],
      };
      return choices.of(words[name] ?? ['', 'x']);
    }
  }
}

/** Parameters without which a call does not do its work, or does not end. */
const needed: Readonly<Record<string, readonly string[]>> = {
  'GET /events': ['until'], 'PUT /containers/{id}/archive': ['path'], 'GET /containers/{id}/archive': ['path'], 'HEAD /containers/{id}/archive': ['path'], 'POST /images/create': ['fromImage'], 'POST /services/{id}/update': ['version'], 'POST /secrets/{id}/update': ['version'],
  'POST /configs/{id}/update': ['version'], 'POST /nodes/{id}/update': ['version'], 'POST /containers/{id}/rename': ['name'], 'GET /containers/{id}/logs': ['stdout'], 'GET /services/{id}/logs': ['stdout'], 'GET /tasks/{id}/logs': ['stdout'],
  'POST /commit': ['container', 'repo', 'tag'], 'POST /images/{name}/tag': ['repo', 'tag'], 'POST /images/{name}/push': ['tag'], 'POST /build': ['t'], 'POST /exec/{id}/resize': ['h', 'w'], 'POST /containers/{id}/resize': ['h', 'w'],
};
/** What is left out where nothing is to be refused: alone they make another call of it. */
const seldom = new Set(['remote', 'session', 'buildid', 'isolation', 'squash', 'cgroupparent', 'securityopt', 'cachefrom', 'outputs', 'extrahosts', 'ulimits', 'fromSrc', 'checkpoint', 'checkpoint-dir', 'rollback', 'repo', 'tag', 'registryAuthFrom', 'platform', 'since', 'before', 'follow', 'link']);

function query(choices: Choices, row: EngineRow, account: Account, pool: Pool, tricks: Tricks, echo: string): string {
  const pairs: string[] = [];
  const must = needed[row.name] ?? [];
  for (const [name, parameter] of Object.entries(row.query)) {
    const wanted = must.includes(name) || (parameter.since <= 41 && choices.chance(seldom.has(name) ? 15 : 220));
    if (wanted) pairs.push(`${name}=${encodeURIComponent(plainValue(choices, row, name, parameter, account, pool))}`);
  }
  for (let count = tricks.query; count > 0; count -= 1) {
    const name = choices.of([...Object.keys(row.query), 'x']);
    const parameter = row.query[name];
    const value = parameter?.type === 'filters' ? filters(choices, account, pool, true)
      : choices.chance(300) ? strangeName(choices, row, account, pool, echo) : choices.of([...hostileValues, ...pool.images.others, pool.foreign[0]!.container.name]);
    const written = choices.of(encoders)(value);
    choices.of<() => unknown>([
      () => pairs.push(`${name}=${encodeURIComponent(value)}`), () => pairs.push(`${name}=${written}`), () => pairs.unshift(`${name}=${encodeURIComponent(value)}`), () => pairs.push(`${name.toUpperCase()}=${encodeURIComponent(value)}`), () => pairs.push(`${echo}=1`),
      () => pairs.push(`${name}=1;${name}=${written}`), () => pairs.push(`${name}`), () => pairs.push(`=${written}`), () => pairs.push(''), () => pairs.push(`%${name.charCodeAt(0).toString(16)}${name.slice(1)}=${encodeURIComponent(value)}`), () => pairs.push(`${name}=%zz`),
      () => pairs.push(`${name}=%ff`), () => pairs.push(`${name}[]=1`), () => pairs.push(`${name}=1&${name}=0`), () => pairs.push('privileged=1'), () => pairs.push(...Array.from({ length: 30 }, (_, index) => `x${index}=1`)), () => pairs.push(`${name}=a+b%20c`),
    ])();
  }
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

const extraHeaders: readonly ((pool: Pool) => string)[] = [
  () => 'X-HTTP-Method-Override: DELETE', () => 'X-Original-URL: /v1.41/containers/create', () => 'X-Forwarded-For: 127.0.0.1', () => 'X-Forwarded-User: admin', () => 'Connection: X-Registry-Auth', () => 'Connection: close', () => 'Connection: keep-alive, Authorization',
  () => 'Upgrade: h2c', () => 'Origin: https://example.org', () => 'Sec-Fetch-Site: cross-site', () => 'Content-Encoding: gzip', () => 'Accept-Encoding: gzip', () => 'X-Gantry-Cluster: local', () => 'X-Gantry-Cluster: nothing', () => 'X-Gantry-Cluster: ../x',
  () => 'X-Registry-Auth: e30=', () => 'X-Registry-Auth: not base64', () => `X-Registry-Auth: ${Buffer.from('{"username":"a","password":"b","serveraddress":"127.0.0.1:9"}').toString('base64')}`, () => 'X-Registry-Config: e30=', () => 'Authorization: Bearer nothing',
  () => 'Authorization: Basic YWRtaW46YWRtaW4=', () => 'Cookie: session=x', () => 'Expect: 100-continue', () => 'Expect: something', () => 'Trailer: X-Registry-Auth', () => 'TE: trailers, chunked', () => 'Range: bytes=0-10', () => 'If-None-Match: *', () => 'Via: 1.1 x',
  () => 'Host: other', (pool) => `HOST: ${pool.address}`, () => 'Content-Type: application/x-www-form-urlencoded', () => 'Content-Type: text/plain', () => 'content-type: multipart/form-data; boundary=x', () => `X-Long: ${'x'.repeat(8_000)}`, () => 'X-Empty:', () => 'X-Docker-Expose-Session-Uuid: x',
  () => 'Proxy-Authorization: Bearer x', () => 'Transfer-Encoding: identity', () => 'Keep-Alive: timeout=1', () => 'HTTP2-Settings: AAMAAABkAAQAAP__', () => 'X-Headers: \u00e9\u00ff',
];

/** The bytes of a request that would do harm where they were read as one. */
function hidden(pool: Pool): Buffer {
  const body = JSON.stringify({ Image: pool.images.signed, HostConfig: { Privileged: true, NetworkMode: 'none', Binds: ['/:/reach'] } });
  return Buffer.from(`POST /v1.41/containers/create?name=smuggled HTTP/1.1\r\nHost: ${pool.address}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
}

interface Parts {
  method: string;
  target: string;
  version: string;
  headers: string[];
  body: Buffer | null;
}

interface Frame {
  bytes: Buffer;
  /** Requests that a reader by the letter may see in it. */
  requests: number;
  patienceMillis: number | null;
  loose: boolean;
}

function head({ method, target, version, headers }: Parts, lineEnd = '\r\n'): Buffer {
  return Buffer.from(`${method} ${target}${version}${lineEnd}${headers.map((line) => line + lineEnd).join('')}${lineEnd}`, 'latin1');
}

function chunked(body: Buffer, sizes: readonly number[], extension = '', trailers = ''): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (let index = 0; at < body.length; index += 1) {
    const piece = body.subarray(at, at + Math.max(1, sizes[index % sizes.length]!));
    parts.push(Buffer.from(`${piece.length.toString(16)}${extension}\r\n`), piece, Buffer.from('\r\n'));
    at += piece.length;
  }
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailers}\r\n`)]);
}

const patientMillis = 250;
const impatientMillis = 25;
/** For the head of an answer that may last; nobody waits for its end. */
const lastingMillis = 2_000;

/** Writes a request as bytes, by the letter or not. */
function frame(choices: Choices, parts: Parts, pool: Pool, tricked: boolean): Frame {
  const body = parts.body ?? Buffer.alloc(0);
  const hasBody = parts.body !== null;
  const withHeaders = (...more: string[]): Parts => ({ ...parts, headers: [...parts.headers, ...more] });
  const length = `Content-Length: ${body.length}`;
  const plain = (): Buffer => Buffer.concat([head(hasBody || parts.method === 'POST' || parts.method === 'PUT' ? withHeaders(length) : parts), body]);
  const whole = (bytes: Buffer): Frame => ({ bytes, requests: 1, patienceMillis: null, loose: false });
  /** What can be read in two ways, or breaks off; nobody waits for an answer. */
  const odd = (bytes: Buffer, requests = 1): Frame => ({ bytes, requests, patienceMillis: patientMillis, loose: true });
  const half = (bytes: Buffer): Frame => ({ bytes, requests: 1, patienceMillis: impatientMillis, loose: true });
  if (!tricked) return choices.chance(hasBody ? 100 : 0) ? whole(Buffer.concat([head(withHeaders('Transfer-Encoding: chunked')), chunked(body, [16, 1000, 1])])) : whole(plain());
  const chunks = (): Buffer => chunked(body.length === 0 ? Buffer.from('{}') : body, [choices.of([1000, 7, 16])]);
  const two = (first: Buffer, second: Buffer): Frame => odd(Buffer.concat([first, second]), 2);
  const lines = (...headers: string[]): Buffer => head(withHeaders(...headers));
  return choices.of<() => Frame>([
    () => odd(Buffer.concat([lines('Transfer-Encoding: chunked'), chunked(body, [choices.of([1, 7, 1000])], choices.of(['', ';a=b', ';a="b\\""']), choices.of(['', 'X-Registry-Auth: e30=\r\n', 'Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n']))])),
    () => odd(Buffer.concat([lines(length, length), body])), () => odd(Buffer.concat([lines(length, 'Content-Length: 0'), body]), 2), () => odd(Buffer.concat([lines('Content-Length: 0', length), body]), 2),
    () => odd(Buffer.concat([lines(length, 'Transfer-Encoding: chunked'), chunks()]), 2), () => odd(Buffer.concat([lines('Transfer-Encoding: chunked', 'Content-Length: 4'), chunks()]), 2),
    ...['chunked, chunked', 'gzip, chunked', 'identity, chunked', 'chunked, identity', 'xchunked', 'CHUNKED', ' chunked', '\tchunked', 'chunked\t', '"chunked"', 'chunked;q=1', ''].map((coding) => () => odd(Buffer.concat([lines(`Transfer-Encoding:${coding}`), chunks()]), 2)),
    ...['Transfer-Encoding : chunked', 'Transfer-Encoding\t: chunked', 'Transfer_Encoding: chunked', 'Transfer-Encoding:\u000bchunked', 'X: y\r\n Transfer-Encoding: chunked', 'X: y\rTransfer-Encoding: chunked', 'X: y\nTransfer-Encoding: chunked', 'transfer-encodin\u017f: chunked'].map((line) => () =>
      odd(Buffer.concat([Buffer.from(head(withHeaders(line, 'Content-Length: 5')).toString('latin1'), 'latin1'), chunks()]), 2)),
    ...['+5', '-1', '0x5', '5 ', '5, 5', '5,6', '', '1e1', '05', '99999999999999999999', '\u0665', '5\u0000'].map((value) => () => odd(Buffer.concat([lines(`Content-Length: ${value}`), body]), 3)),
    () => two(plain(), hidden(pool)), () => odd(Buffer.concat([lines(`Content-Length: ${Math.max(0, body.length - 7)}`), body]), 2), () => half(Buffer.concat([lines(`Content-Length: ${body.length + 10}`), body])),
    () => odd(Buffer.concat([lines('Content-Length: 0'), hidden(pool)]), 2), () => odd(Buffer.concat([lines(`Content-Length: ${hidden(pool).length}`), hidden(pool)])),
    () => odd(Buffer.concat([lines('Transfer-Encoding: chunked'), Buffer.from('0\r\n\r\n'), hidden(pool)]), 2),
    ...['-1', '0x5', '5 ', ' 5', '+5', 'ffffffffffffffff', '00000000000000000005', '5;\n', 'g', ''].map((size) => () => odd(Buffer.concat([lines('Transfer-Encoding: chunked'), Buffer.from(`${size}\r\nhello\r\n0\r\n\r\n`), hidden(pool)]), 2)),
    () => odd(Buffer.concat([lines('Transfer-Encoding: chunked'), Buffer.from('5\r\nhelloXX0\r\n\r\n')]), 2), () => odd(Buffer.concat([lines('Transfer-Encoding: chunked'), Buffer.from('5\nhello\n0\n\n')]), 2), () => half(Buffer.concat([lines('Transfer-Encoding: chunked'), Buffer.from('5\r\nhel')])),
    () => odd(Buffer.concat([head(withHeaders(length), '\n'), body]), 2), () => odd(Buffer.concat([head(withHeaders(length), '\r'), body]), 2), () => half(plain().subarray(0, choices.below(60))), () => half(plain().subarray(0, Math.max(1, plain().length - 1))),
    () => odd(lines('X: y\r\n z', length), 2), () => odd(lines('X\u0000: y')), () => odd(lines('X Y: z')), () => odd(lines('no colon')), () => odd(lines(': x')), () => odd(lines('X: \u0000')), () => odd(lines(' Leading: x')),
    ...[' HTTP/1.0', ' HTTP/0.9', ' HTTP/1.2', ' HTTP/2.0', ' http/1.1', ' HTTP/1.1 ', '', ' HTTP/1.1 x', '  HTTP/1.1', '\tHTTP/1.1'].map((version) => () => odd(Buffer.concat([head({ ...withHeaders(length), version }), body]), 2)),
    ...['get', 'Post', 'CONNECT', 'PATCH', 'OPTIONS', 'TRACE', 'PRI', 'PROPFIND', 'M-SEARCH', 'POST\u0000', 'XPOST', ''].map((method) => () => odd(Buffer.concat([head({ ...withHeaders(length), method }), body]), 2)),
    ...[`http://${pool.address}`, `https://${pool.address}`, 'http://other', '//', 'unix:/', 'http:', '*', '?', '\\', ' '].map((before) => () => odd(Buffer.concat([head({ ...withHeaders(length), target: `${before}${parts.target}` }), body]), 2)),
    () => odd(Buffer.concat([head({ ...withHeaders(length), headers: [...parts.headers.slice(1), length] }), body])), () => odd(Buffer.concat([head({ ...withHeaders(length), headers: [...parts.headers, 'Host: other', length] }), body])),
    () => odd(Buffer.concat([Buffer.from('\r\n\r\n'), plain()])), () => odd(lines(...Array.from({ length: 200 }, (_, index) => `X-${index}: y`))), () => odd(lines(`X: ${'y'.repeat(70_000)}`)), () => odd(head({ ...parts, target: `${parts.target}${parts.target.includes('?') ? '&' : '?'}x=${'y'.repeat(70_000)}` })),
    ...['tcp', 'h2c', 'websocket', 'TCP', 'tcp, h2c', ''].map((protocol) => () => odd(Buffer.concat([lines('Connection: Upgrade', `Upgrade: ${protocol}`, length, ...(protocol === 'websocket' ? ['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', 'Sec-WebSocket-Version: 13'] : [])), body]), 2)),
    () => odd(Buffer.concat([lines('Connection: Upgrade', 'Upgrade: tcp', length), body, hidden(pool)]), 2), () => odd(Buffer.concat([lines('Expect: 100-continue', length), body])), () => half(lines('Expect: 100-continue', 'Content-Length: 5')),
    () => odd(Buffer.concat([lines(`Content-Length: ${body.length + 1_100_000}`), body, Buffer.alloc(choices.of([1_100_000, 10]), 0x20)])), () => half(Buffer.concat([lines('Connection: close', length), body])), () => odd(Buffer.concat([lines('Connection: close', length), body, hidden(pool)])),
    () => two(plain(), plain()), () => odd(Buffer.concat([plain(), plain(), plain()]), 3), () => odd(Buffer.concat([plain(), Buffer.from(choices.of(['x', '\r\n', '\u0000', 'GET', 'HTTP/1.1 200 OK\r\n\r\n']))]), 2),
    () => odd(Buffer.from(choices.of(['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'GET\r\n\r\n', '\u0016\u0003\u0001', 'x'.repeat(1000), 'GET / HTTP/1.1\r\n\r\n', `GET ${parts.target}\r\n\r\n`, 'POST  HTTP/1.1\r\n\r\n'])), 2),
  ])();
}

/**
 * One exchange: a request on a row of the table, with any number of tricks on its way, its name, its parameters, its headers, its body and its
 * bytes. About one in six has none, and would go through if its sender may.
 */
export function sentence(choices: Choices, account: Account, token: string | null, pool: Pool, number: number): Sentence {
  // Without a trick where everything is 0, so that a tape's beginning decides how much is tried.
  const row = choices.weighted(weighted);
  const tricks: Tricks = { ...noTricks };
  const count = choices.weighted([[16, 0], [52, 1], [22, 2], [8, 3], [2, 6]]);
  const isJson = row.body.is === 'json';
  for (let index = 0; index < count; index += 1) {
    const kind = choices.weighted<keyof Tricks>([[isJson ? 45 : 5, 'options'], [row.path.includes('{') ? 30 : 2, 'name'], [12, 'query'], [isJson ? 14 : 1, 'keys'], [isJson ? 8 : 1, 'texts'], [8, 'headers'], [7, 'path'], [row.method === 'HEAD' ? 0 : 6, 'framing'], [5, 'version']]);
    tricks[kind] += 1;
  }
  const echo = `zq${number}zq`;
  const name = tricks.name > 0 ? strangeName(choices, row, account, pool, echo) : ownName(choices, row, account, pool);
  const target = path(choices, row, name, tricks) + query(choices, row, account, pool, tricks, echo);
  const headers = [`Host: ${pool.address}`, ...(token === null ? [] : [`Authorization: Bearer ${token}`])];
  let body: Buffer | null = null;
  if (row.body.is === 'json') {
    body = jsonBody(choices, row, row.body.shape, account, pool, madeName(choices, account, pool), { wishes: 2, options: tricks.options, tricks: tricks.keys, texts: tricks.texts });
    headers.push('Content-Type: application/json');
  } else if (row.body.is === 'stream' && row.body.of === 'tar' && !(row.name === 'POST /images/create' && !target.includes('fromSrc'))) {
    if (row.name === 'POST /build') body = choices.of(tricks.options + tricks.texts > 0 ? pool.contexts.tricky : pool.contexts.plain);
    else body = choices.chance(200) ? choices.of([Buffer.alloc(1024), Buffer.from('not an archive'), Buffer.alloc(0), pool.archive.subarray(0, 700)]) : pool.archive;
    headers.push('Content-Type: application/x-tar');
  } else if (tricks.options + tricks.keys + tricks.texts > 0) {
    body = Buffer.from(choices.of(['{}', 'null', '{"HostConfig":{"Privileged":true}}', 'x', ' '.repeat(100), '{"Privileged":true}']));
  }
  for (let index = tricks.headers; index > 0; index -= 1) headers.push(choices.of(extraHeaders)(pool));
  if (row.path.endsWith('/push') && choices.chance(900)) headers.push(`X-Registry-Auth: ${account.registryAuth}`);
  else if (row.registryAuth && choices.chance(100)) headers.push('X-Registry-Auth: e30=');
  const upgrade = { hijack: 'tcp', upgrade: 'h2c', websocket: 'websocket' }[row.connection as string];
  if (upgrade !== undefined && (row.connection === 'websocket' || choices.chance(500))) {
    headers.push('Connection: Upgrade', `Upgrade: ${upgrade}`, ...(upgrade === 'websocket' ? ['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', 'Sec-WebSocket-Version: 13'] : []));
  }
  const framed = frame(choices, { method: row.method, target: target.replace(/[\r\n]/g, ''), version: ' HTTP/1.1', headers, body }, pool, tricks.framing > 0);
  const lasts = row.connection !== 'plain' || slow.test(row.path);
  // A space or a line's end in a path makes another request line of it.
  const sure = /^[\x21-\x7e]+$/.test(target) && tricks.headers === 0;
  return {
    row, tricked: count > 0, echo, bytes: framed.bytes, methods: Array.from({ length: framed.requests }, () => row.method), answers: framed.requests,
    patienceMillis: framed.patienceMillis ?? (lasts ? lastingMillis : null), loose: framed.loose || lasts || !sure, spoils: framed.loose || !sure,
  };
}
