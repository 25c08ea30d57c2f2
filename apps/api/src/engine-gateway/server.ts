import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { Server as HttpsServer, type ServerOptions } from 'node:https';
import { isIP, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { matchEngineCall, type EngineMatch, type Passage, type RawEngine } from '@gantry/clusters';
import { Gathered, Problem, requestProblem, type Context, type Logger } from '@gantry/platform';
import { bodyLimit, maxHeaderBytes, screen, screenConnection, type Refusal } from './screen';
import type { AskBuild } from './build-control';
import { endAnswer, endRaw, hasBody, pass, passDuplex, passWithin, transportLimits, type TransportLimits } from './transport';

/** What a caller shows of itself. */
export interface Seen {
  /** The `Authorization` header. */
  authorization: string | undefined;
  /** What the client proved by TLS to have the key of, whoever signed it. `fingerprint`: SHA-256 of `raw` (DER), 64 hexadecimal digits in lower case. */
  certificate: { fingerprint: string; raw: Buffer } | null;
  /** IP address at the other end of the connection. */
  address: string;
  /** The `X-Gantry-Cluster` header. */
  cluster: string | undefined;
}

/** Who decides; the listener carries bytes. */
export interface Gate {
  /** Who is calling; null: nobody known (401). */
  identify(seen: Seen): Promise<Context | null>;
  /**
   * Whether the call may be passed on, and as what.
   * @param request `body` is whole for rows whose body is JSON or none, empty for streams
   */
  decide(ctx: Context, match: EngineMatch, request: { headers: IncomingHttpHeaders; cluster: string | undefined; body: Buffer }): Promise<{ engine: RawEngine; passage: Passage }>;
}

/** PEM. `clientCa`: the authorities whose certificates clients are asked for; what they show is judged by the gate. */
export interface EngineTls {
  cert: string | Buffer;
  key: string | Buffer;
  clientCa: string | Buffer | (string | Buffer)[];
}

/** A body that is read before anything is decided must be there within this time. */
const bodyMillis = 30_000;
/** What a client may still send after an answer that did not wait for its body. */
const lingerMillis = 2_000;
/** What calls under way get when the listener is closed. */
const closingMillis = 3_000;

const nothing = Buffer.alloc(0);
const ignore = (): void => undefined;
const denied = requestProblem('unauthenticated', { detail: 'authentication required: use a client bundle of Gantry, or send Authorization: Bearer <token>', headers: { 'www-authenticate': 'Bearer realm="gantry"' } });

/**
 * The engine gateway's listener: the Docker Engine API over TLS, and nothing else. Made once per process; `listen` is the caller's. Closing it
 * ends everything within 5 s.
 */
export function makeEngineServer(gate: Gate, tls: EngineTls, logger: Logger, limits: Partial<TransportLimits> = {}): EngineServer {
  return new EngineServer(gate, tls, logger, { ...transportLimits, ...limits });
}

/** See `makeEngineServer`. */
export class EngineServer extends HttpsServer {
  private readonly sockets = new Set<Socket>();
  /** The last answer begun on each connection. */
  private readonly answers = new WeakMap<Socket, ServerResponse>();
  private readonly certificates = new WeakMap<Socket, Seen['certificate']>();
  /** Calls under way, by account. */
  private readonly calls = new Map<string, number>();

  constructor(private readonly gate: Gate, tls: EngineTls, private readonly logger: Logger, private readonly limits: TransportLimits) {
    const options: ServerOptions = {
      ...{ cert: tls.cert, key: tls.key, ca: tls.clientCa, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2', handshakeTimeout: 10_000 },
      // Clients half-close what they have hijacked, and go on listening.
      ...{ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 },
      ...{ maxHeaderSize: maxHeaderBytes, headersTimeout: 15_000, requestTimeout: 0, keepAliveTimeout: 75_000, connectionsCheckingInterval: 5_000, insecureHTTPParser: false, requireHostHeader: false },
    };
    super(options);
    // By default Node drops what is beyond its own limit in silence.
    this.maxHeadersCount = 0;
    this.on('connection', (socket: Socket) => this.remember(socket));
    this.on('secureConnection', (socket: TLSSocket) => this.remember(socket));
    this.on('request', (request, response) => this.plain(request, response, false));
    // Without this, Node tells a client to send its body before anybody has looked at its credentials.
    this.on('checkContinue', (request, response) => this.plain(request, response, true));
    this.on('upgrade', (request: IncomingMessage, socket: TLSSocket, head: Buffer) => this.raw(request, socket, head));
    this.on('connect', (_request, socket: TLSSocket) => {
      socket.on('error', ignore);
      this.refuseRaw(socket, { status: 405, message: 'CONNECT is not part of the Docker Engine API.' });
    });
    this.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => this.unreadable(error, socket));
  }

  /** Shows this certificate to whoever connects from now on; connections that are open go on. */
  useCertificate(tls: EngineTls): void {
    this.setSecureContext({ cert: tls.cert, key: tls.key, ca: tls.clientCa, minVersion: 'TLSv1.2' });
  }

  /** Stops listening, gives calls under way a moment, then ends them. */
  override close(callback?: (error?: Error) => void): this {
    super.close(callback);
    setTimeout(() => {
      for (const socket of this.sockets) socket.destroy();
    }, closingMillis).unref();
    return this;
  }

  private remember(socket: Socket): void {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
  }

  private unreadable(error: NodeJS.ErrnoException, socket: Socket): void {
    const answer = this.answers.get(socket);
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    // One more answer would be read as a part of the one that is under way; and what follows a body that nobody waited for has its answer.
    if (answer?.headersSent && !(answer.writableEnded && answer.req.complete)) {
      socket.destroySoon();
      return;
    }
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
    this.refuseRaw(socket, { status, message: status === 431 ? `Request line and headers have more than ${maxHeaderBytes} bytes.` : status === 408 ? 'The request did not come in time.' : 'This is not an HTTP request as it is understood here.' });
  }

  // --- the two forms of a request

  private plain(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    const { socket } = request;
    request.on('error', ignore); // seen at the response
    response.on('error', ignore);
    const before = this.answers.get(socket);
    if (before && !before.writableEnded) {
      // No client of engines sends a request before it has the answer to the last; who does hides one from somebody.
      socket.destroy();
      return;
    }
    this.answers.set(socket, response);
    const goOn = (): void => {
      if (expectsContinue && !response.destroyed) response.writeContinue();
    };
    void this.serve(request, false, {
      gone: () => response.destroyed,
      read: async (maxBytes) => {
        if (!hasBody(request)) return nothing;
        if (Number(request.headers['content-length'] ?? 0) > maxBytes) return null;
        goOn();
        return readBody(request, maxBytes);
      },
      refuse: (refusal) => {
        const text = Buffer.from(JSON.stringify({ message: refusal.message }));
        const close = !request.complete && hasBody(request) ? { connection: 'close' } : {};
        response.writeHead(refusal.status, { 'content-type': 'application/json', 'content-length': text.length, ...refusal.headers, ...close });
        endAnswer(request, response, request.method === 'HEAD' ? null : text);
      },
      begun: () => response.headersSent,
      end: () => response.destroy(),
      pass: async (engine, passage, match) => {
        if (match.row.body.is === 'stream') goOn();
        await pass(engine, request, response, passage, this.limits);
      },
    });
  }

  private raw(request: IncomingMessage, socket: TLSSocket, head: Buffer): void {
    socket.on('error', ignore); // followed by `close`
    const before = this.answers.get(socket);
    if (before && !before.writableEnded) {
      socket.destroy();
      return;
    }
    let begun = false;
    // Clients written with Node say that they have nothing to say.
    const rest = request.headers['transfer-encoding'] !== undefined && head.toString('latin1', 0, 5) === '0\r\n\r\n' ? head.subarray(5) : head;
    if (rest.length > 0) socket.unshift(rest);
    void this.serve(request, true, {
      gone: () => socket.destroyed,
      read: (maxBytes) => {
        const length = Number(request.headers['content-length'] ?? 0);
        return length > maxBytes ? Promise.resolve(null) : readBytes(socket, length);
      },
      refuse: (refusal) => this.refuseRaw(socket, refusal),
      begun: () => begun,
      end: () => socket.destroy(),
      pass: (engine, passage) =>
        passDuplex(engine, request, socket, passage, this.limits, () => {
          begun = true;
        }, this.buildsOf(request, socket)),
    });
  }

  /** How builds are asked for on a connection where BuildKit's words are spoken: each is judged as a call of its own, by whoever the caller is then. */
  private buildsOf(request: IncomingMessage, socket: TLSSocket): AskBuild {
    return async (target, caller, hear) => {
      let requestId: string | undefined;
      try {
        const match = matchEngineCall('POST', target);
        if (match.row === null) throw requestProblem('invalid', { detail: match.message });
        if (match.row.name !== 'POST /build') throw new Error('only builds are asked for within another call');
        const { seen, cluster } = this.seenOf(request);
        const ctx = await this.gate.identify(seen);
        if (!ctx) throw denied;
        ({ requestId } = ctx);
        const { engine, passage } = await this.gate.decide(ctx, match, { headers: {}, cluster, body: nothing });
        return await passWithin(engine, passage, caller, socket, hear, this.limits);
      } catch (error) {
        this.note(error, request, requestId);
        throw error;
      }
    };
  }

  private refuseRaw(socket: Socket, { status, message, headers }: Refused): void {
    endRaw(socket, status, { 'content-type': 'application/json', ...headers }, Buffer.from(JSON.stringify({ message })), { ...this.limits, lingerMillis });
  }

  // --- the way of both

  private async serve(request: IncomingMessage, upgraded: boolean, caller: Caller): Promise<void> {
    let requestId: string | undefined;
    let leave: (() => void) | null = null;
    try {
      const refusal = screen(request);
      if (refusal) {
        caller.refuse({ ...refusal, headers: { connection: 'close' } });
        return;
      }
      const match = matchEngineCall(request.method ?? '', request.url ?? '');
      if (match.row === null) {
        caller.refuse(match);
        return;
      }
      const wrong = screenConnection(match, request.headers, upgraded);
      if (wrong) {
        caller.refuse(wrong);
        return;
      }
      const { seen, cluster } = this.seenOf(request);
      let ctx = await this.identified(seen);
      ({ requestId } = ctx);
      leave = this.enter(ctx);
      if (!leave) {
        caller.refuse({ status: 429, message: `You have ${this.limits.callsEach} calls under way; end some of them first.` });
        return;
      }
      const limit = bodyLimit(match);
      const isHere = request.complete;
      const body = limit === null ? nothing : await caller.read(limit);
      if (body === null) {
        caller.refuse({ status: 413, message: `The body of ${match.row.name} is longer than ${limit} bytes.` });
        return;
      }
      if (caller.gone()) return;
      // Who let the body wait may have lost the credential meanwhile.
      if (!isHere && body.length > 0) ctx = await this.identified(seen);
      const { engine, passage } = await this.gate.decide(ctx, match, { headers: request.headers, cluster, body: match.row.body.is === 'stream' ? nothing : body });
      await caller.pass(engine, passage, match);
    } catch (error) {
      this.fail(error, request, requestId, caller);
    } finally {
      leave?.();
    }
  }

  private async identified(seen: Seen): Promise<Context> {
    const ctx = await this.gate.identify(seen);
    if (!ctx) throw denied;
    return ctx;
  }

  /** Counts a call of an account's; answers what ends it, or null where the account has as many as one may have. */
  private enter({ actor }: Context): (() => void) | null {
    const who = actor.id ?? actor.name;
    const count = this.calls.get(who) ?? 0;
    if (count >= this.limits.callsEach) return null;
    this.calls.set(who, count + 1);
    return () => {
      const left = this.calls.get(who)! - 1;
      if (left === 0) this.calls.delete(who);
      else this.calls.set(who, left);
    };
  }

  /** What a caller shows of itself, and which cluster it means. */
  private seenOf(request: IncomingMessage): { seen: Seen; cluster: string | undefined } {
    const cluster = request.headers['x-gantry-cluster'] as string | undefined;
    return { seen: { authorization: request.headers.authorization, certificate: this.certificateOf(request.socket as TLSSocket), address: addressOf(request.socket), cluster }, cluster };
  }

  /** Logs what is worth it; answers what the caller may be told. */
  private note(error: unknown, request: IncomingMessage, requestId: string | undefined): Problem | null {
    const problem = error instanceof Problem && error.kind !== 'internal' ? error : null;
    const line = { err: problem ? problem.cause : error, requestId, method: request.method, path: request.url?.split('?')[0]?.slice(0, 200) };
    if (!problem) this.logger.error(line, 'a call to an engine failed');
    else if (problem.cause !== undefined) this.logger.warn({ ...line, code: problem.code }, 'an engine does not answer as it should');
    return problem;
  }

  private fail(error: unknown, request: IncomingMessage, requestId: string | undefined, caller: Caller): void {
    const problem = this.note(error, request, requestId);
    if (caller.gone()) return;
    if (caller.begun()) caller.end();
    else caller.refuse(problem ? { status: problem.status, message: problem.detail, headers: problem.headers } : { status: 500, message: 'internal error' });
  }

  /** Taken once for each connection: it can't change on one. */
  private certificateOf(socket: TLSSocket): Seen['certificate'] {
    const known = this.certificates.get(socket);
    if (known !== undefined) return known;
    const raw = socket.getPeerX509Certificate()?.raw;
    const certificate = raw ? { fingerprint: createHash('sha256').update(raw).digest('hex'), raw } : null;
    this.certificates.set(socket, certificate);
    return certificate;
  }
}

interface Refused extends Refusal {
  headers?: Record<string, string>;
}

/** What differs between a request that the server looks after, and one that has asked for its connection. */
interface Caller {
  gone(): boolean;
  /** The body, or null when it has more bytes than it may have. @throws request.invalid when it does not come */
  read(maxBytes: number): Promise<Buffer | null>;
  refuse(refused: Refused): void;
  /** Whether something has been answered. */
  begun(): boolean;
  end(): void;
  pass(engine: RawEngine, passage: Passage, match: EngineMatch): Promise<void>;
}

/** IPv4 as such, also where a dual-stack socket says `::ffff:…`. */
function addressOf(socket: Socket): string {
  const address = socket.remoteAddress ?? '';
  return address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}

function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const body = new Gathered();
    const settle = (): void => {
      clearTimeout(timer);
      request.off('data', onData).off('end', onEnd).off('close', onClose);
    };
    const onData = (chunk: Buffer): void => {
      body.add(chunk);
      if (body.size <= maxBytes) return;
      settle();
      request.pause();
      resolve(null);
    };
    const onEnd = (): void => {
      settle();
      resolve(body.bytes);
    };
    const onClose = (): void => {
      settle();
      reject(requestProblem('invalid', { detail: 'The body broke off.' }));
    };
    const timer = setTimeout(() => {
      settle();
      request.pause();
      reject(requestProblem('invalid', { detail: `The body did not come within ${bodyMillis / 1000} s.` }));
    }, bodyMillis);
    if (request.destroyed && !request.complete) onClose();
    else request.on('data', onData).once('end', onEnd).once('close', onClose);
  });
}

/** So many bytes of a connection; what follows them stays in it. */
function readBytes(socket: Socket, length: number): Promise<Buffer> {
  if (length === 0) return Promise.resolve(nothing);
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer);
      socket.off('readable', look).off('end', onClose).off('close', onClose);
    };
    const broken = (detail: string): void => {
      settle();
      reject(requestProblem('invalid', { detail }));
    };
    const onClose = (): void => broken('The body broke off.');
    const look = (): void => {
      const bytes = socket.read(length) as Buffer | null;
      if (bytes === null) return;
      if (bytes.length < length) return broken('The body broke off.');
      settle();
      resolve(bytes);
    };
    const timer = setTimeout(() => broken(`The body did not come within ${bodyMillis / 1000} s.`), bodyMillis);
    socket.on('readable', look).once('end', onClose).once('close', onClose);
    look();
  });
}
