import { randomBytes } from 'node:crypto';
import { connect, constants, performServerHandshake, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { Duplex } from 'node:stream';
import { clustersProblem, FileGiver, FileTaker, framed, readPacket, Unframer, WireError, writePacket, type BuildSession, type GivenFile, type OpenSession, type RawEngine, type SessionRules } from '@gantry/clusters';

const health = '/grpc.health.v1.Health/Check';
const diffCopy = '/moby.filesync.v1.FileSync/DiffCopy';
/** Methods by which a folder of the client's is read: of the folders, the build context alone goes on. */
const folderMethods = new Set([diffCopy, '/moby.filesync.v1.FileSync/TarStream']);
/** What of a call's metadata goes on to the client: which part of which folder, and which key of the agent's. */
const metadata = /^(?:dir-name|include-patterns|exclude-patterns|followpaths|override-excludes|exporter-md-[a-z0-9._-]{1,64}|buildkit\.ssh\.id|(?:dir-name|include-patterns|exclude-patterns|followpaths)-encoded|grpc-timeout|grpc-encoding|grpc-accept-encoding)$/;
const answered = ['content-type', 'grpc-encoding', 'grpc-status', 'grpc-message'];
const ended = ['grpc-status', 'grpc-message', 'grpc-status-details-bin'];
/** Streams at a time, towards either side. */
const maxStreams = 100;
const maxHeaderPairs = 64;
/** What one packet of a synchronisation has at most. */
const maxPacketBytes = 2 * 1024 * 1024;
const fetchMillis = 30_000;
const openMillis = 15_000;
/** gRPC's numbers of statuses. */
const unimplemented = '12';
const broken = '13';

const ignore = (): void => undefined;
let lastTime = 0n;

/** A time that no other file has been given by this process, and hardly by another one. */
function freshTime(): bigint {
  const now = BigInt(Date.now()) * 1_000_000n + BigInt(randomBytes(3).readUIntBE(0, 3) % 1_000_000);
  lastTime = now > lastTime ? now : lastTime + 1n;
  return lastTime;
}

/**
 * The client's side of a session of BuildKit. On the connection that it gave away, the client serves gRPC over HTTP/2; we ask. Towards the
 * engine we are such a client: what the engine asks goes on call by call, as far as the rules of the build have it.
 */
export class ClientSession implements BuildSession {
  private readonly http2: ClientHttp2Session;
  private readonly opened = new Set<() => void>();
  private readonly methods: ReadonlySet<string>;

  /** @param socket the client's connection, taken over; @param offers the methods that the client says to have */
  constructor(socket: Duplex, readonly sharedKey: string, offers: readonly string[]) {
    this.methods = new Set(offers);
    const carrier = carried(socket);
    this.http2 = connect('http://client', { createConnection: () => carrier, maxHeaderListPairs: maxHeaderPairs, maxSessionMemory: 16, settings: { enablePush: false, maxHeaderListSize: 16_384, initialWindowSize: 256 * 1024 } });
    this.http2.on('error', ignore); // followed by `close`
    this.http2.once('close', () => this.end());
    carrier.once('close', () => this.end());
  }

  get isOver(): boolean {
    return this.http2.destroyed;
  }

  /** Calls back once it is over. */
  onEnd(heard: () => void): void {
    if (this.http2.destroyed) heard();
    else this.http2.once('close', heard);
  }

  end(): void {
    for (const close of [...this.opened]) close();
    this.http2.destroy();
  }

  async fetch(folder: string, paths: readonly string[], maxBytes: number, signal: AbortSignal): Promise<Map<string, Buffer>> {
    if (!this.methods.has(diffCopy)) throw clustersProblem('spec-invalid', { detail: 'The client’s session offers no files.' });
    const taker = new FileTaker(new Set(paths), maxBytes);
    try {
      await this.take(taker, { 'dir-name': folder, followpaths: [...paths] }, AbortSignal.any([signal, AbortSignal.timeout(fetchMillis)]));
    } catch (error) {
      if (error instanceof RangeError) throw clustersProblem('spec-invalid', { detail: `${error.message} is longer than ${maxBytes} bytes.` });
      throw clustersProblem('spec-invalid', { detail: `The Dockerfile did not come out of the client’s session: ${(error as Error).message}.`, ...(error instanceof WireError ? {} : { cause: error }) });
    }
    const [odd] = taker.odd;
    if (odd !== undefined) throw clustersProblem('spec-invalid', { detail: `${odd} must be a plain file, not a link or a folder.` });
    return taker.files;
  }

  private take(taker: FileTaker, more: OutgoingHttpHeaders, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = this.ask(diffCopy, more);
      const unframer = new Unframer(maxPacketBytes);
      let said = '';
      const over = (error: Error | null): void => {
        signal.removeEventListener('abort', abort);
        if (!stream.closed) stream.close(error === null ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_CANCEL);
        if (error) reject(error);
        else resolve();
      };
      const abort = (): void => over(new Error('it took too long'));
      signal.addEventListener('abort', abort, { once: true });
      stream.on('error', over);
      const hear = (headers: IncomingHttpHeaders): void => {
        const { 'grpc-status': status, 'grpc-message': message } = headers;
        if (status !== undefined && status !== '0') said = `it answers ${String(message ?? status).slice(0, 300)}`;
      };
      stream.on('response', hear).on('trailers', hear);
      stream.on('data', (chunk: Buffer) => {
        try {
          for (const message of unframer.add(chunk)) for (const packet of taker.answer(readPacket(message))) stream.write(framed(writePacket(packet)));
          if (taker.isDone && !stream.writableEnded) stream.end();
        } catch (error) {
          over(error as Error);
        }
      });
      stream.once('end', () => over(taker.isDone && unframer.isEven ? null : new Error(said || 'it broke off')));
      stream.once('close', () => over(taker.isDone ? null : new Error(said || 'it broke off')));
      if (signal.aborted) abort();
    });
  }

  private ask(path: string, more: OutgoingHttpHeaders): ClientHttp2Stream {
    return this.http2.request({ ':method': 'POST', ':path': path, ':scheme': 'http', ':authority': 'localhost', 'content-type': 'application/grpc', te: 'trailers', 'user-agent': 'gantry', ...more }, { endStream: false });
  }

  async open(engine: RawEngine, rules: SessionRules, signal: AbortSignal): Promise<OpenSession> {
    const id = randomBytes(16).toString('hex');
    const offered = [health, ...[...rules.methods].filter((method) => this.methods.has(method))];
    const duplex = await upgraded(engine, rules.target, {
      'x-docker-expose-session-uuid': id, 'x-docker-expose-session-name': 'gantry', 'x-docker-expose-session-sharedkey': rules.sharedKey, 'x-docker-expose-session-grpc-method': offered,
    }, signal);
    const carrier = carried(duplex);
    const server: ServerHttp2Session = performServerHandshake(carrier, { maxHeaderListPairs: maxHeaderPairs, maxSessionMemory: 16, settings: { maxConcurrentStreams: maxStreams, maxHeaderListSize: 16_384, initialWindowSize: 256 * 1024 } });
    server.on('error', ignore); // followed by `close`
    const allowed = new Set(offered);
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, rawHeaders: string[]) => {
      stream.on('error', ignore); // followed by `close`
      guarded(stream, () => this.serve(stream, headers, rawHeaders, allowed, rules.dockerfile));
    });
    const close = (): void => {
      this.opened.delete(close);
      server.destroy();
      duplex.destroy();
    };
    this.opened.add(close);
    server.once('close', close);
    if (this.isOver) {
      close();
      throw clustersProblem('no-such-object', { detail: 'The client’s session has ended.' });
    }
    return { id, close };
  }

  /** One call of the engine's. */
  private serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: string[], allowed: ReadonlySet<string>, dockerfile: readonly GivenFile[]): void {
    const path = String(headers[':path'] ?? '');
    if (headers[':method'] !== 'POST' || !/^application\/grpc(?:$|[+;])/.test(headers['content-type'] ?? '')) {
      stream.respond({ ':status': 415 }, { endStream: true });
      return;
    }
    if (path === health) {
      stream.resume();
      // SERVING
      respond(stream, () => stream.end(framed(Buffer.from([8, 1]))));
      return;
    }
    if (!allowed.has(path)) {
      refuse(stream, unimplemented, 'not passed on');
      return;
    }
    const folder = headers['dir-name'];
    if (folderMethods.has(path) && folder !== 'context') {
      if (path === diffCopy && folder === 'dockerfile') give(stream, dockerfile);
      else refuse(stream, unimplemented, 'no such folder');
      return;
    }
    this.relay(stream, path, rawHeaders);
  }

  private relay(stream: ServerHttp2Stream, path: string, rawHeaders: string[]): void {
    if (this.isOver) {
      refuse(stream, broken, 'the client has gone');
      return;
    }
    const more: Record<string, string[]> = {};
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at]!.toLowerCase();
      if (metadata.test(name)) (more[name] ??= []).push(rawHeaders[at + 1]!);
    }
    const asked = this.ask(path, Object.fromEntries(Object.entries(more).map(([name, values]) => [name, values.length === 1 ? values[0]! : values])));
    let trailers: OutgoingHttpHeaders = { 'grpc-status': broken, 'grpc-message': 'the client broke off' };
    const cut = (): void => {
      if (!asked.closed) asked.close(constants.NGHTTP2_CANCEL);
      if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
    };
    asked.on('error', ignore); // followed by `close`
    stream.once('close', () => {
      if (!asked.readableEnded || !asked.writableEnded) cut();
    });
    asked.once('close', () => {
      if (!asked.readableEnded) cut();
    });
    asked.once('response', (head, flags) => guarded(stream, () => {
      if (head[':status'] !== 200) {
        refuse(stream, broken, 'the client does not speak gRPC');
        asked.close(constants.NGHTTP2_CANCEL);
        return;
      }
      if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) {
        stream.respond({ ':status': 200, ...pick(head, answered) }, { endStream: true });
        asked.resume();
        return;
      }
      respond(stream, () => asked.pipe(stream), () => trailers, pick(head, answered));
    }));
    asked.once('trailers', (last) => (trailers = pick(last, ended)));
    stream.pipe(asked);
  }
}

/**
 * Does something with a stream that may be over by now, with what the other side has said: Node throws at calls on what has ended, and at headers
 * that it would not write. The stream ends then, and nothing else.
 */
export function guarded(stream: ServerHttp2Stream, work: () => void): void {
  if (stream.destroyed || stream.closed) return;
  try {
    work();
  } catch {
    if (!stream.closed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }
}

function pick(headers: IncomingHttpHeaders, names: readonly string[]): OutgoingHttpHeaders {
  return Object.fromEntries(names.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]])));
}

/** Answers a call: `begin` writes what is said, and the status comes at the end. */
export function respond(stream: ServerHttp2Stream, begin: () => unknown, trailers: () => OutgoingHttpHeaders = () => ({ 'grpc-status': '0' }), headers: OutgoingHttpHeaders = { 'content-type': 'application/grpc' }): void {
  stream.respond({ ':status': 200, ...headers }, { waitForTrailers: true });
  stream.once('wantTrailers', () => guarded(stream, () => stream.sendTrailers(trailers())));
  begin();
}

/** Answers a call by a status alone. @param status gRPC's number of it; @param message in the characters of a header */
export function refuse(stream: ServerHttp2Stream, status: string, message: string): void {
  stream.resume();
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': status, 'grpc-message': message }, { endStream: true });
}

/** Gives files out of memory. */
function give(stream: ServerHttp2Stream, files: readonly GivenFile[]): void {
  const giver = new FileGiver(files, freshTime());
  const unframer = new Unframer(maxPacketBytes);
  respond(stream, () => {
    for (const packet of giver.greet()) stream.write(framed(writePacket(packet)));
  });
  stream.on('data', (chunk: Buffer) => {
    try {
      for (const message of unframer.add(chunk)) {
        const packet = readPacket(message);
        for (const said of giver.answer(packet)) stream.write(framed(writePacket(said)));
        if (packet.is === 'fin') stream.end();
      }
    } catch {
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  });
}

/** Asks the engine for a connection of its own; answers it. */
function upgraded(engine: RawEngine, target: string, headers: OutgoingHttpHeaders, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const until = AbortSignal.any([signal, AbortSignal.timeout(openMillis)]);
    const request = engine.request({ method: 'POST', target, headers: { 'user-agent': 'gantry', 'content-length': 0, connection: 'Upgrade', upgrade: 'h2c', ...headers }, fresh: true });
    const fail = (cause: Error): void => {
      until.removeEventListener('abort', abort);
      request.destroy();
      reject(clustersProblem('engine-failed', { detail: 'The engine takes no session of BuildKit.', cause }));
    };
    const abort = (): void => fail(new Error('no answer in time'));
    until.addEventListener('abort', abort, { once: true });
    request.on('error', fail);
    request.once('response', (message) => {
      message.on('error', ignore).resume();
      fail(new Error(`the engine answers ${message.statusCode} to an upgrade`));
    });
    request.once('upgrade', (_message, duplex, head) => {
      duplex.on('error', ignore); // followed by `close`
      until.removeEventListener('abort', abort);
      if (until.aborted) {
        duplex.destroy();
        return;
      }
      if (head.length > 0) duplex.unshift(head);
      resolve(duplex);
    });
    request.end();
    if (until.aborted) abort();
  });
}

/** HTTP/2's types of frames. */
const frames = { headers: 1, goaway: 7 } as const;
const prefaceBytes = 24;
const frameHeadBytes = 9;

/**
 * Watches what a client of HTTP/2 sends (RFC 9113, 4.1) for a call that it begins after it has said goodbye. No client does; Node 20 corrupts its own
 * memory when one does, and ends.
 */
export class Farewell {
  private readonly head = Buffer.alloc(frameHeadBytes);
  private got = 0;
  private skip = prefaceBytes;
  private said = false;

  /** Whether all of this may be heard. */
  allows(chunk: Buffer): boolean {
    for (let at = 0; at < chunk.length; ) {
      const step = Math.min(this.skip > 0 ? this.skip : frameHeadBytes - this.got, chunk.length - at);
      if (this.skip > 0) this.skip -= step;
      else {
        chunk.copy(this.head, this.got, at, at + step);
        this.got += step;
      }
      at += step;
      if (this.got < frameHeadBytes) continue;
      this.got = 0;
      this.skip = this.head.readUIntBE(0, 3);
      if (this.head[3] === frames.headers && this.said) return false;
      this.said ||= this.head[3] === frames.goaway;
    }
    return true;
  }
}

/**
 * The connection as a stream that is none of the system's: HTTP/2 would read a system's one past what has been read of it already.
 * @param farewell ends it where it does not allow what comes
 */
export function carried(socket: Duplex, farewell: Farewell | null = null): Duplex {
  const carrier: Duplex = new Duplex({
    allowHalfOpen: true,
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, written) => void socket.write(chunk, (error) => written(error ?? null)),
    final: (done) => void socket.end(() => done()),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  carrier.on('error', ignore); // followed by `close`
  socket.on('data', (chunk: Buffer) => {
    if (farewell?.allows(chunk) === false) carrier.destroy();
    else if (!carrier.push(chunk)) socket.pause();
  });
  socket.once('end', () => carrier.push(null));
  socket.once('close', () => carrier.destroy());
  return carrier;
}
