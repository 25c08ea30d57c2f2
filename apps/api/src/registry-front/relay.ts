import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { notePassed } from '@gantry/platform';
import { registryProblem, type DistributionClient } from '@gantry/registry';
import { whileAllowed } from '../http/still-allowed';

/** What goes to the storage and what comes back; everything else (credentials, cookies, hop-by-hop headers) stays here. */
const forwarded = ['content-type', 'content-length', 'content-range', 'range', 'if-range', 'if-none-match', 'accept'];
const returned = ['content-type', 'content-length', 'content-range', 'accept-ranges', 'range', 'etag', 'last-modified', 'docker-content-digest', 'docker-upload-uuid', 'oci-chunk-min-length'];

/** How long a client may do nothing while bytes are due from it or to it. */
const idleMillis = 60_000;
/** How long the storage may think: it hashes a whole layer before it answers the last PUT. */
const answerMillis = 900_000;
/** How often a running stream asks whether it may go on. */
const recheckMillis = 1_000;

/** Who is answered. The connection by itself: a request whose body could not be passed on has none any more. */
interface Caller {
  request: IncomingMessage;
  response: ServerResponse;
  socket: Socket;
}

/** One request to pass on. `path` is made from checked parts, never the client's own URL. */
export interface Passage {
  repository: string;
  path: string;
  /** Repository that a blob is mounted from; the storage is given the right to read it. */
  from: string | null;
  /** Digest, where a whole blob or a range of it is read. */
  blob?: string;
  /** False ends a stream that is under way. */
  allowed: () => Promise<boolean>;
  /** Called with the storage's status before the head goes out. */
  onStatus?: (status: number) => Promise<void>;
}

/**
 * Passes a request to the storage and its answer back, streaming both ways with back-pressure. When one side breaks off, the other is ended.
 * Resolves when the answer is out or given up. @throws registry.backend-unavailable while nothing has been answered
 */
export async function relay(distribution: DistributionClient, request: IncomingMessage, response: ServerResponse, passage: Passage): Promise<void> {
  const caller: Caller = { request, response, socket: request.socket };
  const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
  const stop = whileAllowed(passage.allowed, recheckMillis, () => response.destroy());
  try {
    if (passage.blob !== undefined && request.method === 'GET' && (await pour(distribution, caller, passage.repository, passage.blob))) return;
    if (response.destroyed) return;
    const answer = await send(distribution, caller, passage, hasBody, true);
    if (answer === null) return;
    await passage.onStatus?.(answer.statusCode ?? 0);
    await reply(answer, caller, passage);
  } finally {
    stop();
  }
}

/**
 * Pours a blob from the storage into the answer by the quick way. False: nothing has been answered, and the ordinary way has to find out why.
 * Resolves when all is out or either side broke off.
 */
async function pour(distribution: DistributionClient, { request, response, socket }: Caller, repository: string, digest: string): Promise<boolean> {
  const { range } = request.headers;
  if (request.headers['if-none-match'] !== undefined || request.headers['if-range'] !== undefined || (range !== undefined && !/^bytes=[\d, -]{1,200}$/.test(range))) return false;
  const closed = new Promise<void>((resolve) => response.once('close', resolve));
  const finished = new Promise<void>((resolve) => response.once('finish', resolve));
  const read = distribution.openRaw(repository, digest, range ?? null, {
    head: (status, headers) => {
      response.writeHead(status, pick(headers));
      socket.setTimeout(idleMillis);
    },
    // Of a destroyed answer Node only calls back.
    write: (chunk, done) => response.write(chunk, done),
    end: () => response.end(),
    abort: () => response.destroy(), // the length told before says that something is missing
  });
  if (!read) return false;
  const resume = (): void => read.resume();
  response.on('drain', resume);
  void closed.then(() => read.destroy());
  try {
    if (!(await Promise.race([read.started, closed.then(() => true)]))) return false;
  } catch (error) {
    if (response.destroyed) return true;
    throw registryProblem('backend-unavailable', { cause: error });
  } finally {
    if (!response.headersSent) response.off('drain', resume);
  }
  await Promise.race([closed, finished]);
  response.off('drain', resume);
  return true;
}

function pick(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const picked: OutgoingHttpHeaders = {};
  for (const name of returned) if (headers[name] !== undefined) picked[name] = headers[name];
  return picked;
}

/** The storage's answer; null when the client went away first. A request without a body is tried again on a fresh connection where a kept one had been closed. */
function send(distribution: DistributionClient, caller: Caller, passage: Passage, hasBody: boolean, again: boolean): Promise<IncomingMessage | null> {
  const { request, response, socket } = caller;
  return new Promise((resolve, reject) => {
    if (response.destroyed) {
      resolve(null);
      return;
    }
    const headers: OutgoingHttpHeaders = {};
    for (const name of forwarded) if (request.headers[name] !== undefined) headers[name] = request.headers[name];
    if (!hasBody && request.method !== 'GET' && request.method !== 'HEAD') headers['content-length'] = 0;
    const upstream = distribution.open({ method: request.method ?? 'GET', repository: passage.repository, path: passage.path, from: passage.from, headers, hasBody });
    const gone = (): void => {
      upstream.destroy();
      resolve(null);
    };
    response.once('close', gone);
    const settle = (): void => void response.off('close', gone);
    upstream.setTimeout(answerMillis, () => upstream.destroy(new Error('no answer in time')));
    upstream.once('response', (answer) => {
      settle();
      resolve(answer);
    });
    upstream.once('error', (error: NodeJS.ErrnoException) => {
      settle();
      if (response.destroyed) resolve(null);
      else if (again && !hasBody && upstream.reusedSocket && error.code === 'ECONNRESET') resolve(send(distribution, caller, passage, hasBody, false));
      else reject(registryProblem('backend-unavailable', { cause: error }));
    });
    if (!hasBody) {
      upstream.end();
      return;
    }
    // Node ends a connection whose timeout runs out, and sets its own once the answer is through.
    socket.setTimeout(idleMillis);
    request.on('data', (chunk: Buffer) => notePassed(chunk.length));
    pipeline(request, upstream, () => {
      // Errors arrive at `upstream` and at `response`; here only the waiting for bytes ends.
      if (!response.writableFinished) socket.setTimeout(0);
    });
  });
}

function reply(answer: IncomingMessage, { request, response, socket }: Caller, passage: Passage): Promise<void> {
  const status = answer.statusCode ?? 0;
  if (status === 401 || status === 403 || status >= 500 || status < 200) {
    answer.resume();
    throw registryProblem('backend-unavailable', { cause: new Error(`the registry behind answered ${status}`) });
  }
  const headers = pick(answer.headers);
  const location = readLocation(answer.headers, status, passage.repository);
  if (location !== null) headers['location'] = location;
  if (!request.complete) headers['connection'] = 'close'; // answered before the body was through
  response.writeHead(status, headers);
  if (request.method === 'HEAD' || status === 204 || status === 304) {
    answer.resume();
    response.end();
    return Promise.resolve();
  }
  response.flushHeaders();
  socket.setTimeout(idleMillis);
  return new Promise((resolve) => {
    answer.on('data', (chunk: Buffer) => notePassed(chunk.length));
    // A stream that breaks off has ended the connection: the length told before says that something is missing.
    pipeline(answer, response, () => resolve());
  });
}

/** Where to go on: on this listener, in this repository. Only a redirect of a blob to the storage's own object store goes elsewhere. */
export function readLocation(headers: IncomingHttpHeaders, status: number, repository: string): string | null {
  if (headers.location === undefined) return null;
  if (status === 307 || status === 302) return headers.location;
  const target = new URL(headers.location, 'http://storage.invalid');
  if (!target.pathname.startsWith(`/v2/${repository}/`)) throw registryProblem('backend-unavailable', { cause: new Error('the registry behind named a location elsewhere') });
  return target.pathname + target.search;
}
