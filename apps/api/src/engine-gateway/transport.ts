import { STATUS_CODES, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable, type Duplex, type Transform, type Writable } from 'node:stream';
import { clustersProblem, knownVersion, type Passage, type RawAnswer, type RawEngine, type WholeAnswer } from '@gantry/clusters';
import { notePassed, Problem } from '@gantry/platform';
import { whileAllowed } from '../http/still-allowed';
import { BuildControl, type AskBuild } from './build-control';
import { ClientSession } from './build-session';
import { Parcel } from './parcel';

/** How long what may last; milliseconds. */
export interface TransportLimits {
  /** An engine may think so long about a plain read; while it thinks about anything else, it must answer a ping so quickly. */
  engineMillis: number;
  /** How often `stillAllowed` is asked. */
  recheckMillis: number;
  /** A body of which nothing comes, or nothing is taken, for so long is given up. */
  uploadIdleMillis: number;
  /** A caller who takes nothing of what waits for it for so long is given up. Long: people leave pagers open. */
  downloadIdleMillis: number;
  /** What the other side gets to end by itself once nothing is left to say. */
  lingerMillis: number;
  /** So many calls of one account may be under way: a host that is reached over SSH has room for 900 of everybody's. */
  callsEach: number;
}

/** Used where nothing else is said. */
export const transportLimits: TransportLimits = { engineMillis: 15_000, recheckMillis: 1_000, uploadIdleMillis: 300_000, downloadIdleMillis: 900_000, lingerMillis: 5_000, callsEach: 600 };

/** What of an engine's answer goes on; all else (cookies, hop-by-hop headers, what a later engine invents) stays here. */
const returned = [
  'content-type', 'content-length', 'content-encoding', 'api-version', 'ostype', 'server', 'docker-experimental', 'builder-version', 'swarm', 'cache-control', 'pragma', 'x-content-type-options',
  'x-docker-container-path-stat', 'warning', 'deprecation',
];
const socketHeaders = ['sec-websocket-key', 'sec-websocket-version', 'sec-websocket-protocol'];
const socketAnswers = ['sec-websocket-accept', 'sec-websocket-protocol'];
/** BuildKit's sessions tell by such headers what they offer; one of them repeats. */
const sessionHeader = /^x-docker-expose-session-[a-z-]{1,32}$/;
const maxWholeBytes = 1024 * 1024;
/** A plain answer that says to be so short is sent in one piece with its head. */
const maxGatheredBytes = 16 * 1024;
/** What a client may still send after an answer that did not wait for its body. */
const unreadMillis = 2_000;
/** What may wait for a caller who is slower than the engine. */
const maxWaitingBytes = 512 * 1024;
/** What goes on as it is, and for how long less than that may wait for more right behind a write: each one is encrypted and sent by itself. */
const parcelBytes = 32 * 1024;
const parcelMillis = 1;
/** Reads over which an engine may sit for minutes: it walks file systems, or asks registries. */
const slowRead = /^\/v1\.\d+\/(?:system\/df|images\/search|distribution\/|containers\/[^/?]+\/(?:changes|top))|[?&]size=1/;
/** What fails before there is a connection. */
const unreachedCodes: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN']);
/** What a connection fails with that the engine ended while nothing was asked on it. */
const staleCodes: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);
/** What a session's client may say to have. */
const maxMethods = 64;

const ignore = (): void => undefined;

/** The head of an engine's answer, and its body. */
type Message = IncomingMessage | RawAnswer | WholeAnswer;

/** An engine's answer and, where it gave the connection away, the connection. */
interface Answer {
  message: Message;
  duplex: Duplex | null;
}

/**
 * Passes a request to the engine and the answer back, streaming both ways with back-pressure; the head goes out as soon as it is there. A
 * call that is hijacked without an upgrade (as clients of old did) is answered by 200, and the connection is raw from there on. When one
 * side breaks off, so does the other, except that a call whose answer must be read whole is followed to its end. Resolves when all is over.
 * @throws clusters.unreachable, clusters.engine-failed while nothing has been answered; what `whole` throws; an error of the filter
 */
export async function pass(engine: RawEngine, request: IncomingMessage, response: ServerResponse, passage: Passage, limits: TransportLimits = transportLimits): Promise<void> {
  let status: number | null = null;
  let cut = (): unknown => response.destroy();
  let release = ignore;
  const uploads = passage.body === 'stream' && passage.connection !== 'hijack';
  const stop = watch(passage, limits, request.socket, { uploads: () => uploads && !request.complete, waits: () => response.writableNeedDrain || request.socket.writableNeedDrain, cut: () => cut() });
  try {
    if (passage.answer) {
      status = await answerOwn(passage.answer, request, response);
      return;
    }
    const { prepare } = passage;
    const prepared = prepare ? await whileHeard(response, (gone) => prepare(engine, gone)) : null;
    if (prepared) ({ release } = prepared);
    const question = prepared ? { ...passage, target: prepared.target } : passage;
    const answer = await ask(engine, { caller: response, input: uploads ? request : null, upgrade: passage.connection === 'hijack' ? 'tcp' : null, headers: {} }, question, limits);
    if (!answer) return;
    status = answer.message.statusCode ?? 0;
    if (!answer.duplex) await reply(answer.message, request, response, passage, limits);
    else if (response.destroyed) answer.duplex.destroy();
    else {
      const { duplex } = answer;
      const socket = takeOver(request, response, answer.message);
      cut = () => [socket.destroy(), duplex.destroy()];
      await join(socket, duplex, limits);
    }
  } finally {
    stop();
    release();
    passage.ended?.(status);
  }
}

/**
 * Asks for what a caller wants whose connection has other words for it, and gives the answer away in pieces. Ends when the caller does, and ends the
 * caller when it may not go on.
 * @param socket the connection that the caller is on
 * @returns the engine's status; null: the caller went first
 * @throws clusters.unreachable, clusters.engine-failed; what `prepare` throws
 */
export async function passWithin(engine: RawEngine, passage: Passage, caller: Writable, socket: Socket, hear: (chunk: Buffer) => Promise<void>, limits: TransportLimits = transportLimits): Promise<number | null> {
  if (passage.body !== null || passage.whole || passage.answer || passage.connection !== 'follow' || !passage.prepare) throw new Error('a call that can’t be asked within another');
  const { prepare } = passage;
  let status: number | null = null;
  let release = ignore;
  const stop = watch(passage, limits, socket, { uploads: () => false, waits: () => false, cut: () => caller.destroy() });
  try {
    const prepared = await whileHeard(caller, (gone) => prepare(engine, gone));
    ({ release } = prepared);
    const answer = await ask(engine, { caller, input: null, upgrade: null, headers: {} }, { ...passage, target: prepared.target }, limits);
    if (!answer) return null;
    const { message: told } = answer;
    status = told.statusCode ?? 0;
    const message = 'body' in told ? streamOf(told) : told;
    refuseEncoded(told.headers, () => message.destroy());
    const filter = status < 300 ? (passage.filter?.() ?? null) : null;
    const cut = (): void => {
      message.destroy();
      filter?.destroy();
    };
    if (caller.destroyed) cut();
    else caller.once('close', cut);
    message.once('close', () => {
      if (!message.readableEnded) filter?.destroy();
    });
    if (message.destroyed) cut();
    try {
      for await (const chunk of filter ? message.pipe(filter) : message) await hear(chunk as Buffer);
    } catch (error) {
      if (caller.destroyed) return null;
      throw clustersProblem('engine-failed', { detail: 'The engine’s answer broke off.', cause: error });
    } finally {
      caller.off('close', cut);
      cut();
    }
    return caller.destroyed ? null : status;
  } finally {
    stop();
    release();
    passage.ended?.(status);
  }
}

/** Does something in the course of a call; who does it is told when the caller goes. */
async function whileHeard<T>(response: Writable, work: (gone: AbortSignal) => Promise<T>): Promise<T> {
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  response.once('close', leave);
  try {
    return await work(gone.signal);
  } finally {
    response.off('close', leave);
  }
}

/**
 * Passes on a request that gives its connection away (`Upgrade: tcp`, `h2c`, `websocket`): answers 101 once the engine has, and then carries
 * bytes both ways, each of which may end before the other. What the engine refuses is answered in its words, and the connection ends.
 * @param socket the caller's connection, with nothing read of what follows head and body
 * @param begun called before the first byte of an answer goes out
 * @param build asks for what is built by BuildKit's own interface
 * @throws clusters.unreachable, clusters.engine-failed, what `whole` throws; nothing has been answered then
 */
export async function passDuplex(engine: RawEngine, request: IncomingMessage, socket: Socket, passage: Passage, limits: TransportLimits = transportLimits, begun: () => void = ignore, build: AskBuild | null = null): Promise<void> {
  let status: number | null = null;
  let cut = (): unknown => socket.destroy();
  const stop = watch(passage, limits, socket, { uploads: () => false, waits: () => socket.writableNeedDrain, cut: () => cut() });
  try {
    if (passage.session) {
      status = 101;
      await attend(passage.session, request, socket, begun, (end) => (cut = end));
      return;
    }
    if (passage.control) {
      status = 101;
      await control(passage.control, build, socket, begun, (end) => (cut = end));
      return;
    }
    // Whoever is let through to that one is told nothing more by anybody.
    if (/\/grpc(?:$|\?)/.test(passage.target)) throw new Error('BuildKit’s own interface is an engine’s, and never passed on');
    const upgrade = passage.connection === 'websocket' ? 'websocket' : passage.connection === 'upgrade' ? 'h2c' : 'tcp';
    const answer = await ask(engine, { caller: socket, input: null, upgrade, headers: upgradeHeaders(request, passage) }, passage, limits);
    if (!answer) return;
    const { message, duplex } = answer;
    status = message.statusCode ?? 0;
    if (!duplex) {
      const body = await readWhole(message, limits);
      const sent = passage.whole ? await passage.whole(status, body) : { status, body };
      begun();
      endRaw(socket, sent.status, { ...returning(message.headers), 'content-length': sent.body.length }, sent.body, limits);
      return;
    }
    cut = () => [socket.destroy(), duplex.destroy()];
    const headers = { connection: 'Upgrade', upgrade, ...pick(message.headers, ['content-type', ...(upgrade === 'websocket' ? socketAnswers : [])]) };
    begun();
    socket.write(headLines(`101 ${upgrade === 'tcp' ? 'UPGRADED' : 'Switching Protocols'}`, headers), 'latin1');
    await join(socket, duplex, limits);
  } finally {
    stop();
    passage.ended?.(status);
  }
}

/**
 * Takes a connection over as a session of BuildKit, and looks after it until it ends.
 * @throws clusters.spec-invalid where the client speaks before it is asked; what `keep` throws
 */
async function attend(keep: NonNullable<Passage['session']>, request: IncomingMessage, socket: Socket, begun: () => void, cuts: (end: () => void) => void): Promise<void> {
  if (socket.destroyed) return;
  if (socket.readableLength > 0) throw clustersProblem('spec-invalid', { detail: 'A session’s client waits until it is asked.' });
  begun();
  socket.write(headLines('101 Switching Protocols', { connection: 'Upgrade', upgrade: 'h2c' }), 'latin1');
  const session = new ClientSession(socket, String(request.headers['x-docker-expose-session-sharedkey'] ?? ''), (request.headersDistinct['x-docker-expose-session-grpc-method'] ?? []).slice(0, maxMethods));
  let release: () => void;
  try {
    release = keep(session);
  } catch (error) {
    session.end();
    throw error;
  }
  cuts(() => session.end());
  await new Promise<void>((resolve) => session.onEnd(resolve));
  release();
}

/** Takes a connection over on which a client speaks to BuildKit, and answers it until it ends. @throws clusters.spec-invalid; what `keep` throws */
async function control(rules: NonNullable<Passage['control']>, build: AskBuild | null, socket: Socket, begun: () => void, cuts: (end: () => void) => void): Promise<void> {
  if (socket.destroyed) return;
  if (socket.readableLength > 0 || !build) throw clustersProblem('spec-invalid', { detail: 'A client of BuildKit’s waits until it is answered.' });
  const release = rules.keep();
  try {
    begun();
    socket.write(headLines('101 Switching Protocols', { connection: 'Upgrade', upgrade: 'h2c' }), 'latin1');
    const served = new BuildControl(socket, rules, build);
    cuts(() => served.end());
    await new Promise<void>((resolve) => served.onEnd(resolve));
  } finally {
    release();
  }
}

/** Answers in the engine's place. */
async function answerOwn(own: NonNullable<Passage['answer']>, request: IncomingMessage, response: ServerResponse): Promise<number> {
  const { status, body } = await whileHeard(response, own);
  if (!response.destroyed) {
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
    endAnswer(request, response, body);
  }
  return status;
}

// --- asking the engine

interface Question {
  /** Who waits; its end ends the question. */
  caller: Writable;
  /** Where the body comes from, if it is streamed. */
  input: IncomingMessage | null;
  upgrade: 'tcp' | 'h2c' | 'websocket' | null;
  headers: OutgoingHttpHeaders;
}

/** The engine's answer; null when the caller went away first. */
function ask(engine: RawEngine, question: Question, passage: Passage, limits: TransportLimits, again = true): Promise<Answer | null> {
  const { caller, input, upgrade } = question;
  return new Promise((resolve, reject) => {
    if (caller.destroyed) {
      passage.unasked?.();
      resolve(null);
      return;
    }
    let upstream: { destroy(): unknown };
    let timer: NodeJS.Timeout | undefined;
    let settled = false;
    const settle = (): boolean => {
      clearTimeout(timer);
      caller.off('close', gone);
      return settled ? false : (settled = true);
    };
    const gone = (): void => {
      if (!settle()) return;
      upstream.destroy();
      resolve(null);
    };
    const fail = (cause: Error): void => {
      if (!settle()) return;
      upstream.destroy();
      if (unreachedCodes.has((cause as NodeJS.ErrnoException).code ?? '')) passage.unasked?.();
      if (caller.destroyed) resolve(null);
      // What the caller sent was judged on its way.
      else if (cause instanceof Problem) reject(cause);
      else reject(clustersProblem('unreachable', { detail: 'The cluster’s engine does not answer.', cause }));
    };
    const patient = passage.connection !== 'plain' || (passage.method !== 'GET' && passage.method !== 'HEAD') || slowRead.test(passage.target);
    // What an engine thinks about it has not begun to say.
    let begun = (): boolean => false;
    const wait = (wasBegun = false): void => {
      timer = setTimeout(() => {
        if (wasBegun) fail(clustersProblem('engine-failed', { detail: 'The engine’s answer broke off or was too long.', cause: new Error('the answer did not end in time') }));
        else if (begun()) wait(true);
        else if (!patient) fail(new Error(`no answer to ${passage.method} within ${limits.engineMillis} ms`));
        else void isAlive(engine, limits.engineMillis).then((alive) => {
          if (!alive) fail(new Error(`neither an answer to ${passage.method} nor to a ping within ${limits.engineMillis} ms`));
          else if (!settled) wait();
        });
      }, limits.engineMillis);
    };
    // What was asked for may have happened: who must learn of it stays.
    if (!passage.whole) caller.once('close', gone);
    const take = (message: Message): void => {
      if (!('body' in message)) message.on('error', ignore); // whoever reads it notices
      if (settle()) resolve({ message, duplex: null });
      else if (!('body' in message)) message.destroy();
    };
    const broke = (error: NodeJS.ErrnoException, reused: boolean): void => {
      const stale = again && reused && (passage.method === 'GET' || passage.method === 'HEAD') && passage.body === null && staleCodes.has(error.code ?? '');
      if (stale && !caller.destroyed && settle()) resolve(ask(engine, question, passage, limits, false));
      else fail(error);
    };
    const call = { method: passage.method, target: passage.target, headers: engineHeaders(question, passage) };
    if (upgrade === null && !input && again) {
      const exchange = engine.send({ ...call, body: Buffer.isBuffer(passage.body) ? passage.body : null });
      upstream = exchange;
      begun = () => exchange.begun;
      exchange.answer.then(take, (error: NodeJS.ErrnoException) => broke(error, exchange.reused));
    } else {
      const request = engine.request({ ...call, fresh: upgrade !== null || !again });
      upstream = request;
      request.once('response', take);
      request.once('upgrade', (message, duplex: Socket, head) => {
        duplex.on('error', ignore); // followed by `close`
        if (upgrade === null || settled) {
          duplex.destroy();
          fail(new Error('the engine took a connection over that nobody gave it'));
          return;
        }
        settle();
        if (head.length > 0) duplex.unshift(head);
        resolve({ message, duplex });
      });
      request.on('error', (error: NodeJS.ErrnoException) => broke(error, request.reusedSocket));
      send(request, input, passage);
    }
    wait();
  });
}

function send(upstream: ClientRequest, input: IncomingMessage | null, { body, upload }: Passage): void {
  if (!input) {
    upstream.end(Buffer.isBuffer(body) ? body : undefined);
    return;
  }
  upstream.flushHeaders();
  input.once('close', () => {
    if (!input.complete) upstream.destroy(new Error('the caller broke off'));
  });
  // Counted where it is read: to listen to `input` itself would set it flowing before an upload's own reader is there.
  const read = upload ? upload(input).on('error', (error) => upstream.destroy(error)) : input;
  read.on('data', (chunk: Buffer) => notePassed(chunk.length));
  // Not `pipeline`: an engine that has answered and takes no more must not take the caller's connection with it.
  read.pipe(upstream);
}

function engineHeaders(question: Question, passage: Passage): OutgoingHttpHeaders {
  const { input, upgrade } = question;
  const headers: OutgoingHttpHeaders = { 'user-agent': 'gantry', ...passage.headers, ...question.headers };
  if (upgrade !== null) {
    headers['connection'] = 'Upgrade';
    headers['upgrade'] = upgrade;
  }
  if (Buffer.isBuffer(passage.body)) {
    headers['content-type'] = 'application/json';
    headers['content-length'] = passage.body.length;
  } else if (input) {
    // Never the caller's own type: engines read parameters from bodies that call themselves forms, ahead of those in the query.
    headers['content-type'] = 'application/x-tar';
    if (input.headers['transfer-encoding'] === undefined && !passage.upload) headers['content-length'] = input.headers['content-length'] ?? 0;
    else headers['transfer-encoding'] = 'chunked';
  } else if (passage.method === 'POST' || passage.method === 'PUT') headers['content-length'] = 0;
  return headers;
}

function upgradeHeaders(request: IncomingMessage, passage: Passage): OutgoingHttpHeaders {
  if (passage.connection === 'websocket') return pick(request.headers, socketHeaders);
  const headers: Record<string, string[]> = {};
  if (passage.connection === 'upgrade') {
    for (const [name, values] of Object.entries(request.headersDistinct)) if (values && sessionHeader.test(name)) headers[name] = values;
  }
  return headers;
}

/** Whether the engine answers anything at all. */
function isAlive(engine: RawEngine, millis: number): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = engine.request({ method: 'GET', target: '/_ping', headers: {}, fresh: true });
    const done = (alive: boolean): void => {
      clearTimeout(timer);
      ping.destroy();
      resolve(alive);
    };
    const timer = setTimeout(() => done(false), millis);
    ping.once('response', () => done(true));
    ping.on('error', () => done(false));
    ping.end();
  });
}

// --- answering the caller

function pick(headers: IncomingHttpHeaders, names: readonly string[]): OutgoingHttpHeaders {
  const picked: OutgoingHttpHeaders = {};
  for (const name of names) if (headers[name] !== undefined) picked[name] = headers[name];
  return picked;
}

/** What goes on of an engine's head; by the version clients choose in which to ask. */
function returning(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const picked = pick(headers, returned);
  const version = picked['api-version'];
  if (typeof version === 'string') picked['api-version'] = knownVersion(version);
  return picked;
}

async function reply(told: Message, request: IncomingMessage, response: ServerResponse, passage: Passage, limits: TransportLimits): Promise<void> {
  let status = told.statusCode ?? 0;
  const headers = returning(told.headers);
  // By this elder clients choose how to build where nobody has said: by what every engine and every client has. Newer ones have buildx, or not, and do not ask.
  if (headers['builder-version'] !== undefined) headers['builder-version'] = '1';
  if (!request.complete && hasBody(request)) headers['connection'] = 'close'; // answered before the body was through
  if (passage.whole) {
    const sent = await passage.whole(status, await readWhole(told, limits));
    if (response.destroyed) return;
    status = sent.status;
    const bodiless = isBodiless(passage, status);
    if (!bodiless) headers['content-length'] = sent.body.length;
    response.writeHead(status, headers);
    endAnswer(request, response, bodiless ? null : sent.body);
    return;
  }
  const filter = !isBodiless(passage, status) && status >= 200 && status < 300 ? (passage.filter?.() ?? null) : null;
  if ('body' in told && !filter) {
    if (response.destroyed) return;
    response.writeHead(status, headers);
    endAnswer(request, response, isBodiless(passage, status) ? null : told.body);
    return;
  }
  const answer = 'body' in told ? streamOf(told) : told;
  if (response.destroyed) {
    answer.destroy();
    return;
  }
  if (isBodiless(passage, status)) {
    answer.resume();
    response.writeHead(status, headers);
    endAnswer(request, response, null);
    return;
  }
  if (filter) {
    refuseEncoded(told.headers, () => answer.destroy());
    delete headers['content-length'];
  }
  const length = headers['content-length'];
  if (!filter && passage.connection === 'plain' && Number(length) <= maxGatheredBytes) {
    const body = await gather(answer, maxGatheredBytes, limits);
    if (response.destroyed) return;
    response.writeHead(status, headers);
    endAnswer(request, response, body);
    return;
  }
  if (length === undefined && !('body' in told)) announceTrailers(told, response, headers);
  response.writeHead(status, headers);
  // A body that comes late must not hold the head back; one that is here already goes out with it.
  setImmediate(() => {
    if (!response.writableEnded && (!answer.readableDidRead || filter)) response.flushHeaders();
  });
  await pour(answer, filter, request, response);
}

const streamOf = ({ body }: WholeAnswer): Readable => Readable.from(body.length === 0 ? [] : [body], { objectMode: false });

/** Everything of the answer goes to the response; when one breaks off, so does the other. `pipeline` would do, at several times the cost for a small answer. @throws an error of the filter */
function pour(answer: Readable, filter: Transform | null, request: IncomingMessage, response: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const cut = (): void => {
      answer.destroy();
      filter?.destroy();
      response.destroy();
    };
    response.once('finish', resolve);
    response.once('close', () => {
      if (!response.writableFinished) cut();
      resolve();
    });
    answer.once('close', () => {
      if (!answer.readableEnded) cut();
    });
    filter?.on('error', (error) => {
      reject(error);
      cut();
    });
    pump(filter ? answer.pipe(filter) : answer, response, () => endAnswer(request, response, null));
    // It may have broken off with its head.
    if (answer.destroyed && !answer.readableEnded) cut();
  });
}

/**
 * As `pipe`, but lets more wait in the sink before it holds the source up (with the mark that sockets have, each chunk would wait for the one
 * before to be encrypted and written), and writes together what comes together: an engine sends each line of a log in a chunk of its own. What
 * comes after a pause goes on at once; what follows right behind a write waits a moment for more, unless it is much already.
 */
function pump(source: Readable | RawAnswer, sink: Writable, end: () => void): void {
  const parcel = new Parcel();
  let wroteAt = 0;
  let later: NodeJS.Timeout | null = null;
  const wrote = (more: boolean): void => {
    wroteAt = performance.now();
    if (more || sink.writableLength < maxWaitingBytes || source.isPaused()) return;
    source.pause();
    sink.once('drain', () => source.resume());
  };
  const flush = (): void => {
    if (later) clearTimeout(later);
    later = null;
    if (parcel.size > 0 && !sink.destroyed) wrote(parcel.sendTo(sink));
  };
  const gather = (chunk: Buffer): void => {
    if (!parcel.hasRoomFor(chunk)) flush();
    const isFirst = parcel.size === 0;
    parcel.add(chunk);
    if (parcel.size >= parcelBytes) flush();
    else if (!isFirst) return;
    else if (performance.now() - wroteAt >= parcelMillis) process.nextTick(flush);
    else later = setTimeout(flush, parcelMillis);
  };
  source.on('data', (chunk: Buffer) => {
    if (chunk.length < parcelBytes) {
      gather(chunk);
      return;
    }
    flush();
    if (!sink.destroyed) wrote(sink.write(chunk));
  });
  if ('lend' in source) source.lend(gather);
  source.once('end', () => {
    flush();
    end();
  });
  // What came before an error was said, too.
  source.once('close', flush);
}

/**
 * Ends an answer. Where it did not wait for the request's body, what still comes of that is heard for a moment: a client that can't go on
 * sending may never look for the answer.
 */
export function endAnswer(request: IncomingMessage, response: ServerResponse, body: Buffer | null): void {
  if (request.complete || !hasBody(request)) {
    // As text of one byte a character, Node sends head and body in one write.
    if (body) response.end(body.toString('latin1'), 'latin1');
    else response.end();
    return;
  }
  if (body) response.write(body);
  else response.flushHeaders();
  request.unpipe();
  request.resume();
  const end = (): void => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(end, unreadMillis);
  request.once('end', end);
  response.once('close', () => clearTimeout(timer));
}

/** Whether the request has a body, read or not. */
export function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
}

function isBodiless(passage: Passage, status: number): boolean {
  return passage.method === 'HEAD' || status === 204 || status === 304;
}

function announceTrailers(answer: IncomingMessage | RawAnswer, response: ServerResponse, headers: OutgoingHttpHeaders): void {
  const names = (answer.headers.trailer ?? '').toLowerCase().split(',').map((name) => name.trim()).filter((name) => name.startsWith('x-docker-'));
  if (names.length === 0) return;
  headers['trailer'] = names.join(', ');
  // Heard before the pipeline ends the response.
  answer.once('end', () => response.addTrailers(pick(answer.trailers, names)));
}

/** What can't be read can't be judged. */
function refuseEncoded(headers: IncomingHttpHeaders, leave: () => unknown): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return;
  leave();
  throw clustersProblem('engine-failed', { detail: 'The engine’s answer is encoded although nobody asked for that.' });
}

async function readWhole(answer: Message, limits: TransportLimits): Promise<Buffer> {
  refuseEncoded(answer.headers, () => 'body' in answer || answer.destroy());
  return 'body' in answer ? answer.body : gather(answer, maxWholeBytes, limits);
}

/** @throws clusters.engine-failed when there are more bytes, or not all of them come */
function gather(answer: Readable, maxBytes: number, limits: TransportLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const fail = (what: string): void => {
      clearTimeout(timer);
      answer.destroy();
      reject(clustersProblem('engine-failed', { detail: 'The engine’s answer broke off or was too long.', cause: new Error(what) }));
    };
    const timer = setTimeout(() => fail('the answer did not end in time'), limits.engineMillis);
    answer.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxBytes) fail('the answer is longer than it may be');
    });
    answer.once('end', () => {
      clearTimeout(timer);
      resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size));
    });
    answer.once('close', () => {
      if (!answer.readableEnded) fail('the answer broke off');
    });
  });
}

/** Writes a whole answer on a connection that no server looks after any more, and ends it. */
export function endRaw(socket: Socket, status: number, headers: OutgoingHttpHeaders, body: Buffer, limits: TransportLimits = transportLimits): void {
  if (socket.destroyed) return;
  socket.write(headLines(`${status} ${STATUS_CODES[status] ?? 'Unknown'}`, { ...headers, connection: 'close' }), 'latin1');
  socket.end(body);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), limits.lingerMillis);
  socket.once('close', () => clearTimeout(timer));
}

function headLines(status: string, headers: OutgoingHttpHeaders): string {
  const lines = Object.entries(headers).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((each) => `${name}: ${String(each).replace(/[^\t\x20-\x7e\x80-\xff]/g, '')}\r\n`));
  return `HTTP/1.1 ${status}\r\n${lines.join('')}\r\n`;
}

// --- connections that are given away

/** Answers 200 without a length and takes the connection from the server: what comes from now on is no request. */
function takeOver(request: IncomingMessage, response: ServerResponse, answer: Message): Socket {
  const { socket } = request;
  response.shouldKeepAlive = false;
  response.useChunkedEncodingByDefault = false;
  response.writeHead(200, pick(answer.headers, ['content-type']));
  response.flushHeaders();
  response.detachSocket(socket);
  // The server's parser reads by these; the socket gives it up once somebody else listens for data.
  for (const event of ['data', 'end', 'timeout', 'drain']) socket.removeAllListeners(event);
  socket.on('error', ignore);
  return socket;
}

/** Carries bytes both ways until both are through. Each side may end its half and still hear the other. */
function join(client: Socket, engine: Duplex, limits: TransportLimits): Promise<void> {
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const over = (): void => {
      clearTimeout(timer);
      client.destroy();
      engine.destroy();
      resolve();
    };
    const soon = (): void => {
      timer ??= setTimeout(over, limits.lingerMillis);
    };
    if (client.destroyed || engine.destroyed) {
      over();
      return;
    }
    for (const side of [client, engine]) side.on('data', (chunk: Buffer) => notePassed(chunk.length));
    client.pipe(engine);
    pump(engine, client, () => client.end());
    // All that the engine had to say is out: nothing that still comes would be heard.
    client.once('finish', soon);
    client.once('close', () => {
      if (engine.readableEnded || engine.writableFinished || engine.destroyed) over();
      else {
        // What it said last is still on the way.
        engine.end(over);
        soon();
      }
    });
    engine.once('close', () => {
      if (!client.destroyed) client.end();
    });
  });
}

// --- looking after a call while it lasts

/** Asks again and again whether the call may go on, and notices who gives or takes nothing any more. Answers what stops it. */
function watch(passage: Passage, limits: TransportLimits, socket: Socket, call: { uploads: () => boolean; waits: () => boolean; cut: () => unknown }): () => void {
  let read = -1;
  let written = -1;
  let silentUp = 0;
  let silentDown = 0;
  const stop = (): void => {
    clearInterval(timer);
    unask();
  };
  const cut = (): void => {
    stop();
    call.cut();
  };
  const unask = whileAllowed(() => passage.stillAllowed(), limits.recheckMillis, cut);
  const timer = setInterval(() => {
    const { bytesRead, bytesWritten } = socket;
    silentUp = call.uploads() && bytesRead === read ? silentUp + limits.recheckMillis : 0;
    silentDown = call.waits() && bytesWritten === written ? silentDown + limits.recheckMillis : 0;
    read = bytesRead;
    written = bytesWritten;
    if (silentUp >= limits.uploadIdleMillis || silentDown >= limits.downloadIdleMillis) cut();
  }, limits.recheckMillis);
  return stop;
}
