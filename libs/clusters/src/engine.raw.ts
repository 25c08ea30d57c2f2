import { Agent, request, type ClientRequest, type ClientRequestArgs, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { connect as connectSocket, isIP } from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { Client, type Dispatcher } from 'undici';
import type { Endpoint } from './engine.client';

/** One request as it goes out: nothing is added but what HTTP itself needs. */
export interface RawCall {
  method: string;
  /** Path and query as they stand in the request line. */
  target: string;
  /** Sent as they are. Without `host`, the engine is called `docker`. */
  headers: OutgoingHttpHeaders;
  /** On a connection of its own, which is kept by nobody afterwards: for what is hijacked or upgraded. Default false. */
  fresh?: boolean;
}

/**
 * An engine as bytes: for who passes calls on rather than makes them. The request is not ended: the caller writes the body. Whatever opens a
 * two-way stream of bytes to an engine (a socket, TLS, a tunnel) makes one with `rawEngineOver`.
 */
export interface RawEngine {
  /** For messages to administrators, e.g. `unix:///var/run/docker.sock` or `https://10.0.0.1:2376`. */
  readonly address: string;
  request(call: RawCall): ClientRequest;
  /** As `request`, for a call whose body is there as a whole, and at less cost: over a kept connection, never one that is given away. */
  send(call: Omit<RawCall, 'fresh'> & { body: Buffer | null }): RawExchange;
  /** Ends the kept connections and keeps none any more. Calls under way go on. */
  close(): void;
}

/** The engine's answer to `send`: its body is read from it. */
export interface RawAnswer extends Readable {
  readonly statusCode: number;
  /** By names in lower case; what an engine sends twice stands there once, or joined, as with Node's. */
  readonly headers: IncomingHttpHeaders;
  /** Known once it has ended. */
  readonly trailers: IncomingHttpHeaders;
}

/** A call under way. */
export interface RawExchange {
  /** Rejects when no answer comes. */
  readonly answer: Promise<RawAnswer>;
  /** Whether the connection has served a call before: the engine may have ended it at the moment at which this call was sent. */
  readonly reused: boolean;
  /** Gives the call up and ends its connection; nothing is left to do then. */
  destroy(): void;
}

/** A connection that nobody has used for so long is not used again: what lies between may have forgotten it. */
const keptMillis = 30_000;
const maxKept = 64;
/** Of these only the first counts, where an engine says them twice. */
const onceOnly: ReadonlySet<string> = new Set(['content-length', 'content-type']);

/**
 * HTTP/1.1 over whatever `connect` opens. Must half-close: ending what is written leaves what is read open, and the other way round.
 * @param connect opens a new connection; failures are the stream's `error`. What is no socket needs a socket's `setTimeout`, `setKeepAlive`, `ref` and `unref`
 */
export function rawEngineOver(address: string, connect: () => Duplex): RawEngine {
  const agent = new EngineAgent(connect);
  const lines = new EngineLines(connect);
  return {
    address,
    send: (call) => lines.send(call),
    request: ({ method, target, headers, fresh }) => {
      // Without an agent, and on a connection of its own, Node reuses nothing.
      const made = request({ method, path: target, headers: { host: 'docker', ...headers }, setHost: false, ...(fresh ? { createConnection: connect } : { agent }) });
      // A header `Connection: Upgrade` makes Node keep a connection that was not taken over, and nobody would ever use or end it.
      if (fresh) made.once('response', () => (made.shouldKeepAlive = false));
      return made;
    },
    close: () => {
      agent.destroyUnused();
      lines.destroyUnused();
    },
  };
}

/** The raw way to an engine; connects when it is asked. */
export function openEngine(endpoint: Endpoint): RawEngine {
  if (endpoint.kind === 'socket') return rawEngineOver(`unix://${endpoint.path}`, () => connectSocket({ path: endpoint.path, allowHalfOpen: true }));
  const { host, port, ca, cert, key } = endpoint;
  const options: ConnectionOptions & { allowHalfOpen: boolean } = {
    host, port, ca, cert, key, minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'], allowHalfOpen: true, ...(isIP(host) === 0 ? { servername: host } : {}),
  };
  return rawEngineOver(`https://${host.includes(':') ? `[${host}]` : host}:${port}`, () => {
    const socket = connectTls(options);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 15_000);
    return socket;
  });
}

class EngineAgent extends Agent {
  private closed = false;

  constructor(private readonly open: () => Duplex) {
    super({ keepAlive: true, maxFreeSockets: maxKept, scheduling: 'lifo', timeout: keptMillis });
  }

  override createConnection(_options: ClientRequestArgs): Duplex {
    return this.open();
  }

  /** All connections of one agent lead to the same engine. */
  override getName(): string {
    return 'engine';
  }

  override keepSocketAlive(socket: Duplex): boolean {
    return !this.closed && (super.keepSocketAlive(socket) as unknown as boolean);
  }

  destroyUnused(): void {
    this.closed = true;
    for (const sockets of Object.values(this.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }
}

/** Connections for calls whose body is whole, the one that was used last first. */
class EngineLines {
  private readonly free: Client[] = [];
  private closed = false;

  constructor(private readonly open: () => Duplex) {}

  send({ method, target, headers, body }: Omit<RawCall, 'fresh'> & { body: Buffer | null }): RawExchange {
    const kept = this.free.pop();
    const client = kept ?? this.make();
    const answering = new Answering(() => this.keep(client), () => client.destroy());
    client.dispatch({ method: method, path: target, headers: { host: 'docker', ...headers } as Record<string, string>, body }, answering);
    return { answer: answering.answer, reused: kept !== undefined, destroy: () => answering.destroy() };
  }

  destroyUnused(): void {
    this.closed = true;
    for (const client of this.free.splice(0)) void client.destroy();
  }

  private make(): Client {
    // Who waits for an answer, and how long, is the caller's matter.
    const client = new Client('http://docker', {
      pipelining: 1, headersTimeout: 0, bodyTimeout: 0, keepAliveTimeout: keptMillis, keepAliveMaxTimeout: keptMillis,
      connect: (_options, callback) => {
        const stream = this.open();
        stream.on('error', () => undefined); // the client hears it too, once it has the stream
        // What is written before it is connected waits in it. Not at once: the client is not ready for its own call back.
        process.nextTick(callback, null, stream);
      },
    });
    client.on('disconnect', () => {
      const at = this.free.indexOf(client);
      if (at >= 0) this.free.splice(at, 1);
    });
    return client;
  }

  private keep(client: Client): void {
    if (this.closed || this.free.length >= maxKept) void client.destroy();
    else this.free.push(client);
  }
}

/** Hears what an engine answers to one call. */
class Answering implements Dispatcher.DispatchHandler {
  readonly answer: Promise<RawAnswer>;
  private resolve!: (answer: RawAnswer) => void;
  private reject!: (error: Error) => void;
  private control: Dispatcher.DispatchController | null = null;
  private body: AnswerBody | null = null;
  private over = false;

  /**
   * @param done the connection is free again
   * @param broken it can't be used any more
   */
  constructor(private readonly done: () => void, private readonly broken: () => unknown) {
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  destroy(): void {
    if (this.over) return;
    this.over = true;
    this.control?.abort(new Error('the call was given up'));
    this.broken();
  }

  onRequestStart(control: Dispatcher.DispatchController): void {
    this.control = control;
  }

  onResponseStart(control: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders): void {
    if (statusCode < 200) return;
    this.body = new AnswerBody(statusCode, headers, () => control.resume(), () => this.destroy());
    this.resolve(this.body);
  }

  onResponseData(control: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.body!.push(chunk)) control.pause();
  }

  onResponseEnd(_control: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.over = true;
    this.body!.end(trailers);
    this.done();
  }

  onResponseError(_control: Dispatcher.DispatchController, error: Error): void {
    this.over = true;
    this.broken();
    if (this.body) this.body.destroy(error);
    else this.reject(error);
  }
}

class AnswerBody extends Readable implements RawAnswer {
  trailers: IncomingHttpHeaders = {};

  constructor(readonly statusCode: number, readonly headers: IncomingHttpHeaders, private readonly more: () => void, private readonly leave: () => void) {
    super();
    for (const [name, value] of Object.entries(headers)) if (Array.isArray(value)) headers[name] = onceOnly.has(name) ? value[0] : value.join(', ');
  }

  end(trailers: IncomingHttpHeaders): void {
    this.trailers = trailers;
    this.push(null);
  }

  override _read(): void {
    this.more();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.leave();
    callback(error);
  }
}
