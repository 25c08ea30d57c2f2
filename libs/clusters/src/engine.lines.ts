import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { Readable, type Duplex } from 'node:stream';
import { notePassed } from '@gantry/platform';
import { Client, type Dispatcher } from 'undici';
import { keptMillis, maxKept } from './engine.agent';
import { clustersProblem } from './problems';

/** A request whose body is there as a whole. */
export interface WholeCall {
  method: string;
  /** Path and query as they stand in the request line. */
  target: string;
  /** Sent as they are. Without `host`, the engine is called `docker`. */
  headers: OutgoingHttpHeaders;
  body: Buffer | null;
}

/** The engine's answer to `send`, all of it: what says to be short is told when it has come. */
export interface WholeAnswer {
  readonly statusCode: number;
  /** As those of `RawAnswer`. */
  readonly headers: IncomingHttpHeaders;
  /** Empty where an answer has none. */
  readonly body: Buffer;
}

/** The engine's answer to `send`, longer or of unknown length: its body is read from it. */
export interface RawAnswer extends Readable {
  readonly statusCode: number;
  /** By names in lower case; what an engine sends twice stands there once, or joined, as with Node's. */
  readonly headers: IncomingHttpHeaders;
  /** Known once it has ended. */
  readonly trailers: IncomingHttpHeaders;
}

/** A call under way. */
export interface RawExchange {
  /** Rejects when no answer comes; with clusters.engine-failed when a short one breaks off. */
  readonly answer: Promise<RawAnswer | WholeAnswer>;
  /** Whether the head of a short answer has come, and its body has not. */
  readonly begun: boolean;
  /** Whether the connection has served a call before: the engine may have ended it at the moment at which this call was sent. */
  readonly reused: boolean;
  /** Gives the call up and ends its connection; nothing is left to do then. */
  destroy(): void;
}

/** An answer that says to have no more bytes is told as a whole: a stream would cost more than they do. */
const maxWholeBytes = 16 * 1024;
const nothing = Buffer.alloc(0);
/** Of these only the first counts, where an engine says them twice. */
const onceOnly: ReadonlySet<string> = new Set(['content-length', 'content-type']);

/**
 * One connection. Whoever can't take more of an answer holds the connection itself: the client would pause its parser, and fails an assertion, which
 * nobody could catch, when a connection ends that is paused (https://github.com/nodejs/undici/issues/5360). Of a connection that is not read no end
 * is heard before its last byte.
 */
interface Line {
  client: Client;
  hold(): void;
  release(): void;
}

/** Connections for calls whose body is whole, the one that was used last first. */
export class EngineLines {
  private readonly free: Line[] = [];
  private closed = false;

  constructor(private readonly open: () => Duplex) {}

  send({ method, target, headers, body }: WholeCall): RawExchange {
    const kept = this.free.pop();
    const line = kept ?? this.make();
    const answering = new Answering(line, () => this.keep(line));
    line.client.dispatch({ method, path: target, headers: { host: 'docker', ...headers } as Record<string, string>, body }, answering);
    return {
      answer: answering.answer, reused: kept !== undefined, destroy: () => answering.destroy(),
      get begun() {
        return answering.begun;
      },
    };
  }

  destroyUnused(): void {
    this.closed = true;
    for (const { client } of this.free.splice(0)) void client.destroy();
  }

  private make(): Line {
    let held = false;
    let resume = (): void => undefined;
    // Who waits for an answer, and how long, is the caller's matter.
    const client = new Client('http://docker', {
      pipelining: 1, headersTimeout: 0, bodyTimeout: 0, keepAliveTimeout: keptMillis, keepAliveMaxTimeout: keptMillis,
      connect: (_options, callback) => {
        const stream = this.open();
        stream.on('error', () => undefined); // the client hears it too, once it has the stream
        const read = stream.read.bind(stream);
        stream.read = (size?: number): unknown => (held ? null : read(size));
        // To the client: there is something to read, perhaps. Never while it reads.
        resume = () => process.nextTick(() => held || stream.destroyed || stream.emit('readable'));
        // What is written before it is connected waits in it. Not at once: the client is not ready for its own call back.
        process.nextTick(callback, null, stream);
      },
    });
    const line: Line = {
      client,
      hold: () => (held = true),
      release: () => {
        if (!held) return;
        held = false;
        resume();
      },
    };
    client.on('disconnect', () => {
      const at = this.free.indexOf(line);
      if (at >= 0) this.free.splice(at, 1);
    });
    return line;
  }

  private keep(line: Line): void {
    if (this.closed || this.free.length >= maxKept) void line.client.destroy();
    else this.free.push(line);
  }
}

/** Hears what an engine answers to one call. */
class Answering implements Dispatcher.DispatchHandler {
  readonly answer: Promise<RawAnswer | WholeAnswer>;
  private resolve!: (answer: RawAnswer | WholeAnswer) => void;
  private reject!: (error: Error) => void;
  private control: Dispatcher.DispatchController | null = null;
  private body: AnswerBody | null = null;
  private whole: { statusCode: number; headers: IncomingHttpHeaders; body: Buffer } | null = null;
  private over = false;

  /** @param done the connection is free again */
  constructor(private readonly line: Line, private readonly done: () => void) {
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  get begun(): boolean {
    return this.whole !== null;
  }

  destroy(): void {
    if (this.over) return;
    this.over = true;
    this.control?.abort(new Error('the call was given up'));
    void this.line.client.destroy();
  }

  onRequestStart(control: Dispatcher.DispatchController): void {
    this.control = control;
  }

  onResponseStart(_control: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders): void {
    if (statusCode < 200) return;
    for (const [name, value] of Object.entries(headers)) if (Array.isArray(value)) headers[name] = onceOnly.has(name) ? value[0] : value.join(', ');
    if (Number(headers['content-length']) <= maxWholeBytes) {
      this.whole = { statusCode, headers, body: nothing };
      return;
    }
    this.body = new AnswerBody(statusCode, headers, () => this.line.release(), () => this.destroy());
    this.resolve(this.body);
  }

  onResponseData(_control: Dispatcher.DispatchController, chunk: Buffer): void {
    notePassed(chunk.length);
    // Never more than the answer's length: the client sees to it.
    if (this.whole) this.whole.body = this.whole.body.length === 0 ? chunk : Buffer.concat([this.whole.body, chunk]);
    else if (!this.body!.push(chunk)) this.line.hold();
  }

  onResponseEnd(_control: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.over = true;
    if (this.whole) this.resolve(this.whole);
    else this.body!.end(trailers);
    this.line.release();
    this.done();
  }

  onResponseError(_control: Dispatcher.DispatchController, error: Error): void {
    this.over = true;
    void this.line.client.destroy();
    if (this.body) this.body.destroy(error);
    else this.reject(this.whole ? clustersProblem('engine-failed', { detail: 'The engine’s answer broke off.', cause: error }) : error);
  }
}

class AnswerBody extends Readable implements RawAnswer {
  trailers: IncomingHttpHeaders = {};

  constructor(readonly statusCode: number, readonly headers: IncomingHttpHeaders, private readonly more: () => void, private readonly leave: () => void) {
    super();
    // It may break off before anybody listens; who reads it sees that it has closed without an end.
    this.on('error', () => undefined);
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
