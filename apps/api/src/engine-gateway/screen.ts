import type { IncomingMessage } from 'node:http';
import type { Connection, EngineMatch } from '@gantry/clusters';

/** Why a request is not looked at any further. `message` is for the caller. */
export interface Refusal {
  status: number;
  message: string;
}

/** Bytes of request line and headers together. */
export const maxHeaderBytes = 64 * 1024;
const maxHeaders = 128;
/** What a call without a body may send all the same: white space, `{}` or `null`. */
const maxNothingBytes = 64;
const maxIgnoredBytes = 64 * 1024;

/** Headers of which a request has one or none: of two, each side of a gateway might believe another one. */
const single = new Set([
  'host', 'content-length', 'transfer-encoding', 'content-type', 'content-encoding', 'authorization', 'expect', 'upgrade', 'origin', 'x-registry-auth', 'x-registry-config', 'x-gantry-cluster',
  'sec-websocket-key', 'sec-websocket-version', 'sec-websocket-protocol',
]);

const refuse = (status: number, message: string): Refusal => ({ status, message });

/**
 * Refuses what can be understood in two ways, or comes from a web page. Node's parser has already refused repeated or negative lengths, a
 * length beside chunks, folded headers, and bytes that no header has; what it lets through is looked at here. Pure.
 */
export function screen(request: Pick<IncomingMessage, 'method' | 'url' | 'httpVersion' | 'rawHeaders' | 'headers'>): Refusal | null {
  const { rawHeaders, headers } = request;
  if (request.httpVersion !== '1.1') return refuse(505, 'Only HTTP/1.1 is spoken here.');
  if (rawHeaders.length > 2 * maxHeaders) return refuse(431, `More than ${maxHeaders} headers.`);
  let seen: Set<string> | null = null;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (!single.has(name)) continue;
    seen ??= new Set();
    if (seen.has(name)) return refuse(400, `The header ${name} is given twice.`);
    seen.add(name);
  }
  if (headers.host === undefined) return refuse(400, 'The header host is missing.');
  const length = headers['content-length'];
  const coding = headers['transfer-encoding'];
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return refuse(400, 'Content-Length is not a length.');
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return refuse(400, 'The only transfer coding is chunked.');
  if (coding !== undefined && length !== undefined) return refuse(400, 'A body has a length or is chunked, not both.');
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return refuse(415, 'Bodies with a Content-Encoding are not accepted.');
  // A browser adds its owner's client certificate to whatever any page makes it ask for; only it can write these headers, and it always does.
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return refuse(403, 'Web pages may not call the engine.');
  if (headers.origin !== undefined && headers.origin !== `https://${headers.host}`) return refuse(403, 'Web pages may not call the engine.');
  return null;
}

const protocols: Partial<Record<Connection, string>> = { hijack: 'tcp', upgrade: 'h2c', websocket: 'websocket' };

/**
 * Whether the connection that the caller wants is one that the call has. Pure.
 * @param upgraded the request has `Connection: Upgrade` and `Upgrade`
 */
export function screenConnection(match: EngineMatch, headers: IncomingMessage['headers'], upgraded: boolean): Refusal | null {
  const { connection, body, name } = match.row;
  const protocol = protocols[connection];
  if (!upgraded) {
    if (headers.upgrade !== undefined) return refuse(400, 'Upgrade is given without Connection: Upgrade.');
    if (protocol !== undefined && protocol !== 'tcp') return refuse(400, `${name} needs Connection: Upgrade and Upgrade: ${protocol}.`);
    // An engine would give the process the chunks with their frames.
    if (protocol !== undefined && body.is !== 'json' && headers['transfer-encoding'] !== undefined) return refuse(400, `${name} has no body; to send input, ask with Connection: Upgrade and Upgrade: tcp.`);
    return null;
  }
  if (protocol === undefined) return refuse(400, `${name} can't be upgraded.`);
  if (headers.upgrade?.toLowerCase() !== protocol) return refuse(400, `${name} can only be upgraded to ${protocol}.`);
  if (headers.expect !== undefined) return refuse(417, 'Expect is not understood here.');
  // Clients written with Node announce chunks before they take the connection over, and send none.
  if (headers['transfer-encoding'] !== undefined && body.is === 'json') return refuse(400, `The body of ${name} is not as it should be on a connection that is upgraded.`);
  return null;
}

/**
 * How many bytes of a body are read before anything is decided; null: none, they are passed on as they come. In front of a connection that is
 * given away some clients send their options once more; engines do not look at them, and they go nowhere. Pure.
 */
export function bodyLimit(match: EngineMatch): number | null {
  const { body } = match.row;
  return body.is === 'json' ? body.maxBytes : body.is === 'none' ? maxNothingBytes : body.of === 'duplex' ? maxIgnoredBytes : null;
}
