import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { OnReadOpts } from 'node:net';
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
  /** Known once it has ended. Those that its head announces. */
  readonly trailers: IncomingHttpHeaders;
  /**
   * For who copies what comes, and reads by `data` what has come before: gives it the connection's own buffer, and the stream nothing any more.
   * `pause` and `resume` hold as they do for the stream. Does nothing where there is no such buffer.
   * @param take must be done with the bytes when it returns: those of another connection come to the same place
   */
  lend(take: (bytes: Buffer) => void): void;
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
/** More than a Unix socket holds at once by default. All connections are read into it, one after the other: what is kept of it is copied first. */
const shared = Buffer.allocUnsafeSlow(256 * 1024);
/** What is read at once for who keeps it, and while nobody has said anything: all that comes with the head is copied. */
const forOwner = shared.subarray(0, 64 * 1024);
const withHead = shared.subarray(0, 16 * 1024);
const placeOfHeads = (): Buffer => withHead;
/** Of these only the first counts, where an engine says them twice. */
const onceOnly: ReadonlySet<string> = new Set(['content-length', 'content-type']);

/** Opens a connection; one that can read into a given buffer does so. */
export type OpenLine = (onread?: OnReadOpts) => Duplex;

/** Connections for calls whose body is whole, the one that was used last first. */
export class EngineLines {
  private readonly free: Line[] = [];
  private closed = false;

  constructor(private readonly open: OpenLine) {}

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
    const line = new Line(this.open);
    line.client.on('disconnect', () => {
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

/**
 * One connection. Whoever can't take more of an answer holds the connection itself: the client would pause its parser, and fails an assertion, which
 * nobody could catch, when a connection ends that is paused (https://github.com/nodejs/undici/issues/5360). Of a connection that is not read no end
 * is heard before its last byte.
 */
class Line {
  readonly client: Client;
  /** Where to the next bytes are read, if the connection can be told. What is read to all of `shared` is lent. */
  place = placeOfHeads;
  /** Whether what is heard at the moment is lent. */
  isLent = false;
  private held = false;
  private goOn = (): void => undefined;

  constructor(open: OpenLine) {
    // Who waits for an answer, and how long, is the caller's matter.
    this.client = new Client('http://docker', {
      pipelining: 1, headersTimeout: 0, bodyTimeout: 0, keepAliveTimeout: keptMillis, keepAliveMaxTimeout: keptMillis,
      // What is written before it is connected waits in it. Not at once: the client is not ready for its own call back.
      connect: (_options, callback) => process.nextTick(callback, null, this.connect(open)),
    });
  }

  hold(): void {
    this.held = true;
  }

  release(): void {
    if (!this.held) return;
    this.held = false;
    // Never while the client reads.
    process.nextTick(this.goOn);
  }

  private connect(open: OpenLine): Duplex {
    let place: Buffer = withHead;
    let came: Buffer | null = null;
    const stream = open({
      buffer: () => (place = this.place()),
      callback: (size) => {
        came = place.subarray(0, size);
        stream.emit('readable');
        if (came) stream.destroy(new Error('nobody read what came'));
        return !this.held;
      },
    });
    stream.on('error', () => undefined); // the client hears it too, once it has the stream
    const read = stream.read.bind(stream) as (size?: number) => Buffer | null;
    stream.read = (size?: number): Buffer | null => {
      const lent = place === shared ? came : null;
      const owned = lent ? null : came ? Buffer.from(came) : this.held ? null : read(size);
      came = null;
      this.isLent = lent !== null;
      if (owned) notePassed(owned.length);
      return lent ?? owned;
    };
    // To the client: there is something to read, perhaps.
    this.goOn = () => void (this.held || stream.destroyed || stream.emit('readable'));
    return stream;
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
  private announcesTrailers = false;
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
    const body = new AnswerBody(statusCode, headers, () => this.over || this.line.release(), () => this.destroy());
    this.body = body;
    // The client keeps what it has read of trailers until they are through: those that nobody announced are not told.
    this.announcesTrailers = headers['trailer'] !== undefined;
    if (!this.announcesTrailers) this.line.place = () => (body.canLend ? shared : body.isRead ? forOwner : withHead);
    this.resolve(body);
  }

  onResponseData(_control: Dispatcher.DispatchController, chunk: Buffer): void {
    // Never more than the answer's length: the client sees to it.
    if (this.whole) this.whole.body = this.whole.body.length === 0 ? chunk : Buffer.concat([this.whole.body, chunk]);
    else if (!(this.line.isLent ? this.body!.give(chunk) : this.body!.push(chunk))) this.line.hold();
  }

  onResponseEnd(_control: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.over = true;
    if (this.whole) this.resolve(this.whole);
    else this.body!.end(this.announcesTrailers ? trailers : {});
    this.line.place = placeOfHeads;
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
  private borrower: ((bytes: Buffer) => void) | null = null;

  constructor(readonly statusCode: number, readonly headers: IncomingHttpHeaders, private readonly more: () => unknown, private readonly leave: () => void) {
    super();
    // It may break off before anybody listens; who reads it sees that it has closed without an end.
    this.on('error', () => undefined);
  }

  end(trailers: IncomingHttpHeaders): void {
    this.trailers = trailers;
    this.push(null);
  }

  lend(take: (bytes: Buffer) => void): void {
    this.borrower = take;
  }

  /** Whether somebody takes what is lent, and nothing waits that came before. */
  get canLend(): boolean {
    return this.borrower !== null && this.readableFlowing === true && this.readableLength === 0;
  }

  /** Whether anybody reads. */
  get isRead(): boolean {
    return this.readableFlowing !== null;
  }

  /** @returns whether more may come */
  give(bytes: Buffer): boolean {
    this.borrower!(bytes);
    return !this.isPaused();
  }

  override resume(): this {
    this.more();
    return super.resume();
  }

  override _read(): void {
    this.more();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.leave();
    callback(error);
  }
}
