import { matchEngineCall, type EngineMatch } from '@gantry/clusters';
import { bodyLimit, screen, screenConnection } from './screen';

type Screened = Parameters<typeof screen>[0];

function request(...raw: string[]): Screened {
  const rawHeaders = ['Host', 'gate:2376', ...raw];
  const headers: Record<string, string> = {};
  for (let index = 0; index < rawHeaders.length; index += 2) headers[rawHeaders[index]!.toLowerCase()] ??= rawHeaders[index + 1]!;
  return { method: 'GET', url: '/_ping', httpVersion: '1.1', rawHeaders, headers };
}

const match = (method: string, target: string): EngineMatch => {
  const found = matchEngineCall(method, target);
  if (found.row === null) throw new Error(found.message);
  return found;
};

describe('screen', () => {
  it.each([
    ['nothing special', []],
    ['a length', ['Content-Length', '12']],
    ['chunks', ['Transfer-Encoding', 'Chunked']],
    ['a body as it is', ['Content-Encoding', 'identity']],
    ['a client that says where it is', ['Origin', 'https://gate:2376']],
    ['the address line of a browser', ['Sec-Fetch-Site', 'none']],
    ['repeated headers that may', ['X-Docker-Expose-Session-Grpc-Method', '/a', 'X-Docker-Expose-Session-Grpc-Method', '/b']],
  ])('lets %s through', (_what, raw) => expect(screen(request(...raw))).toBeNull());

  it.each([
    ['two hosts', 400, ['host', 'other']],
    ['two lengths', 400, ['Content-Length', '1', 'content-length', '1']],
    ['two credentials', 400, ['Authorization', 'Bearer a', 'AUTHORIZATION', 'Bearer b']],
    ['two clusters', 400, ['X-Gantry-Cluster', 'a', 'X-Gantry-Cluster', 'b']],
    ['a length with a sign', 400, ['Content-Length', '+1']],
    ['a length beyond integers', 400, ['Content-Length', '9'.repeat(16)]],
    ['a coding in front of chunks', 400, ['Transfer-Encoding', 'gzip, chunked']],
    ['chunks twice', 400, ['Transfer-Encoding', 'chunked, chunked']],
    ['identity as a transfer coding', 400, ['Transfer-Encoding', 'identity']],
    ['a length beside chunks', 400, ['Transfer-Encoding', 'chunked', 'Content-Length', '3']],
    ['a packed body', 415, ['Content-Encoding', 'gzip']],
    ['a web page', 403, ['Origin', 'https://evil.example']],
    ['a page without origin', 403, ['Origin', 'null']],
    ['what a page of another site asks for', 403, ['Sec-Fetch-Site', 'cross-site']],
    ['what a page of a sister site asks for', 403, ['Sec-Fetch-Site', 'same-site']],
    ['too many headers', 431, Array.from({ length: 256 }, (_, index) => (index % 2 === 0 ? `x-${index}` : 'a'))],
  ])('refuses %s', (_what, status, raw) => expect(screen(request(...raw))).toMatchObject({ status }));

  it('refuses HTTP/1.0', () => expect(screen({ ...request(), httpVersion: '1.0' })).toMatchObject({ status: 505 }));
});

describe('screenConnection', () => {
  const attach = match('POST', '/v1.41/containers/c/attach');
  const exec = match('POST', '/v1.41/exec/e/start');
  const session = match('POST', '/v1.41/session');
  const socket = match('GET', '/v1.41/containers/c/attach/ws');
  const list = match('GET', '/v1.41/containers/json');

  it.each([
    ['an attach of old', attach, {}, false],
    ['an attach of old that says it has no body', attach, { 'content-length': '0' }, false],
    ['an attach', attach, { upgrade: 'tcp' }, true],
    ['an attach by a client written with Node', attach, { upgrade: 'tcp', 'transfer-encoding': 'chunked' }, true],
    ['an attach that says its options twice', attach, { upgrade: 'tcp', 'content-length': '20' }, true],
    ['an exec of old', exec, { 'content-length': '20' }, false],
    ['an exec', exec, { upgrade: 'TCP', 'content-length': '20' }, true],
    ['a session', session, { upgrade: 'h2c' }, true],
    ['a web socket', socket, { upgrade: 'websocket' }, true],
    ['a list', list, {}, false],
  ] as const)('lets %s through', (_what, row, headers, upgraded) => expect(screenConnection(row, headers, upgraded)).toBeNull());

  it.each([
    ['an upgrade of a list', list, { upgrade: 'h2c' }, true],
    ['an upgrade that the connection does not ask for', list, { upgrade: 'tcp' }, false],
    ['another protocol for attach', attach, { upgrade: 'h2c' }, true],
    ['two protocols', attach, { upgrade: 'tcp, h2c' }, true],
    ['input in chunks', attach, { 'transfer-encoding': 'chunked' }, false],
    ['chunks before the stream of an exec', exec, { upgrade: 'tcp', 'transfer-encoding': 'chunked' }, true],
    ['a session that stays HTTP', session, {}, false],
    ['a web socket that stays HTTP', socket, {}, false],
    ['an expectation on a connection that is given away', exec, { upgrade: 'tcp', expect: '100-continue' }, true],
  ] as const)('refuses %s', (_what, row, headers, upgraded) => expect(screenConnection(row, headers, upgraded)?.status).toBeGreaterThanOrEqual(400));
});

it('reads small bodies, and none of streams', () => {
  expect(bodyLimit(match('GET', '/v1.41/containers/json'))).toBe(64);
  expect(bodyLimit(match('POST', '/v1.41/containers/create'))).toBe(1024 * 1024);
  expect(bodyLimit(match('POST', '/v1.41/build'))).toBeNull();
});
