import { constants, performServerHandshake, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { Writable, type Duplex } from 'node:stream';
import {
  announced, BuildAnswer, ControlError, framed, readNothing, readOrder, readReturn, readSolve, readStatusRef, readWorkersWish, Unframer, WireError, writeMade, writePong, writeSolved, writeWorkers, type Order, type Passage,
} from '@gantry/clusters';
import { Problem } from '@gantry/platform';
import { carried, Farewell, guarded, refuse, respond } from './build-session';

/**
 * Asks for a build as if the client had sent this target itself, with all that is judged then.
 * @param caller is destroyed when nobody waits for the build any more, and is closed when it may not go on
 * @param hear gets the engine's answer in pieces, and holds it up while it is not done
 * @returns the engine's status; null: it never answered, since the caller went
 */
export type AskBuild = (target: string, caller: Writable, hear: (chunk: Buffer) => Promise<void>) => Promise<number | null>;

/** gRPC's numbers of statuses. */
const statuses = { unknown: 2, invalid: 3, notFound: 5, exists: 6, denied: 7, exhausted: 8, unimplemented: 12, internal: 13 } as const;
const maxRequestBytes = 256 * 1024;
/** All questions of one connection that have not come whole. */
const maxBegunBytes = 4 * 1024 * 1024;
const requestMillis = 30_000;
const maxTargetBytes = 60_000;
const maxStreams = 100;
const maxHeaderPairs = 64;
/** Builds of one connection, those that are over included: a client has a connection for one run. */
const maxBuilds = 256;
/** What is said of a build waits for who asks for it; of more than this, the rest is left out. */
const maxWaitingBytes = 1024 * 1024;
/** A client announces a build, and asks for it, at the same time. */
const arrivalMillis = 5_000;
/** A client that takes nothing of what is said of its build for so long is given up, and the build with it. */
const unreadMillis = 900_000;
const maxFailure = 8_000;

const ignore = (): void => undefined;

/** An error in gRPC's words. */
class Refusal extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
    this.name = 'Refusal';
  }
}

/** One call of a client's that has one question. */
interface Asked {
  message: Buffer;
  /** By which a client says in which build it asks. */
  build: string;
  stream: ServerHttp2Stream;
}

/** Answers one question by one message, or nothing: it answers by itself. */
type Handler = (asked: Asked) => Promise<Buffer | null> | Buffer;

/**
 * BuildKit's own interface, as far as building a Dockerfile takes it: a small server of gRPC on a connection that a client gave away. What is
 * asked here reaches no engine: a build becomes a call of `POST /build`, and what the engine says to that, the answer.
 */
export class BuildControl {
  private readonly http2: ServerHttp2Session;
  private readonly builds = new Map<string, Build>();
  private readonly begun = { bytes: 0 };
  private readonly waiting = new Map<string, Set<() => void>>();
  /** Why an announcement was refused, by the build's name: clients show what they hear first of all that they have asked. */
  private readonly refused = new Map<string, Error>();
  /** All that can be asked. */
  private readonly methods: ReadonlyMap<string, Handler> = new Map<string, Handler>([
    ['/moby.buildkit.v1.Control/ListWorkers', ({ message }) => this.workers(message)],
    ['/moby.buildkit.v1.Control/Solve', (asked) => this.order(asked)],
    ['/moby.buildkit.v1.Control/Status', (asked) => this.status(asked)],
    ['/moby.buildkit.v1.frontend.LLBBridge/Ping', (asked) => this.ping(asked)],
    ['/moby.buildkit.v1.frontend.LLBBridge/Solve', (asked) => this.solve(asked)],
    ['/moby.buildkit.v1.frontend.LLBBridge/Return', (asked) => this.finish(asked)],
  ]);

  /** @param socket the client's connection, taken over */
  constructor(socket: Duplex, private readonly control: NonNullable<Passage['control']>, private readonly ask: AskBuild) {
    const carrier = carried(socket, new Farewell());
    this.http2 = performServerHandshake(carrier, { maxHeaderListPairs: maxHeaderPairs, maxSessionMemory: 16, settings: { maxConcurrentStreams: maxStreams, maxHeaderListSize: 16_384, initialWindowSize: 256 * 1024 } });
    this.http2.on('error', ignore); // followed by `close`
    this.http2.once('close', () => this.end());
    carrier.once('close', () => this.end());
    this.http2.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on('error', ignore); // followed by `close`
      guarded(stream, () => this.serve(stream, headers));
    });
  }

  /** Calls back once it is over. */
  onEnd(heard: () => void): void {
    if (this.http2.destroyed) heard();
    else this.http2.once('close', heard);
  }

  /** Ends it, and with it every build that was asked for through it. */
  end(): void {
    for (const build of this.builds.values()) build.end();
    this.http2.destroy();
  }

  private serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = String(headers[':path'] ?? '');
    if (headers[':method'] !== 'POST' || !/^application\/grpc(?:$|[+;])/.test(headers['content-type'] ?? '')) {
      stream.resume();
      stream.respond({ ':status': 415 }, { endStream: true });
      return;
    }
    const handler = this.methods.get(path);
    if (!handler) {
      refuse(stream, String(statuses.unimplemented), encoded(whyNot(path)));
      return;
    }
    const build = headers['buildkit-controlapi-buildid'];
    void one(stream, this.begun).then((message) => handler({ message, build: typeof build === 'string' ? build : '', stream })).then(
      (answer) => {
        if (answer !== null) guarded(stream, () => respond(stream, () => stream.end(framed(answer))));
      },
      (error: unknown) => {
        const { status, message } = toldOf(error);
        guarded(stream, () => {
          if (stream.headersSent) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
          else refuse(stream, String(status), encoded(message));
        });
      },
    );
  }

  private async workers(message: Buffer): Promise<Buffer> {
    readWorkersWish(message);
    return writeWorkers(await this.control.platform());
  }

  private async ping({ message, build }: Asked): Promise<Buffer> {
    readNothing(message);
    await this.find(build);
    return writePong();
  }

  /** A build is announced; the answer is its result. */
  private async order({ message, stream }: Asked): Promise<Buffer> {
    const order = this.read(message);
    if (this.builds.has(order.ref)) throw new Refusal(statuses.exists, 'A build of this name is there.');
    if (this.builds.size >= maxBuilds) throw new Refusal(statuses.exhausted, `A connection has ${maxBuilds} builds at most.`);
    const build = new Build(order);
    this.builds.set(order.ref, build);
    stream.once('close', () => build.end());
    for (const arrived of this.waiting.get(order.ref) ?? []) arrived();
    if (stream.destroyed) build.end();
    return build.result;
  }

  /** Nobody waits for a build whose announcement was refused. */
  private read(message: Buffer): Order {
    try {
      return readOrder(message);
    } catch (error) {
      const ref = announced(message);
      if (ref !== null && this.refused.size < maxBuilds) {
        this.refused.set(ref, error as Error);
        for (const arrived of this.waiting.get(ref) ?? []) arrived();
      }
      throw error;
    }
  }

  private async solve({ message, build: name, stream }: Asked): Promise<Buffer> {
    const build = await this.find(name);
    const target = `/v1.${this.control.version}/build?${readSolve(message, build.order).map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&')}`;
    if (target.length > maxTargetBytes) throw new ControlError('What is said of this build (its arguments, labels and names) is too long.');
    const end = (): void => build.end();
    stream.once('close', end);
    try {
      await build.make(target, this.ask);
    } finally {
      stream.off('close', end);
    }
    return writeSolved();
  }

  private async finish({ message, build: name }: Asked): Promise<Buffer> {
    const { failure } = readReturn(message);
    (await this.find(name)).finish(failure);
    return Buffer.alloc(0);
  }

  private async status({ message, stream }: Asked): Promise<null> {
    const build = await this.find(readStatusRef(message));
    if (!build.tell(stream)) throw new Refusal(statuses.exists, 'This build is told of already.');
    return null;
  }

  /** A build of this connection's. Others, those of the same account included, are as none. */
  private async find(name: string): Promise<Build> {
    if (name !== '' && !this.builds.has(name) && !this.refused.has(name)) await this.arrival(name);
    const build = this.builds.get(name);
    const refusal = this.refused.get(name);
    if (!build && refusal) throw refusal;
    if (!build) throw new Refusal(statuses.notFound, 'There is no such build on this connection.');
    return build;
  }

  private arrival(name: string): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.waiting.get(name) ?? new Set();
      this.waiting.set(name, waiters);
      const over = (): void => {
        clearTimeout(timer);
        this.http2.off('close', over);
        waiters.delete(over);
        if (waiters.size === 0 && this.waiting.get(name) === waiters) this.waiting.delete(name);
        resolve();
      };
      const timer = setTimeout(over, arrivalMillis);
      this.http2.once('close', over);
      waiters.add(over);
      if (this.http2.destroyed) over();
    });
  }
}

/** One build: announced, asked for once, and ended. */
class Build {
  /** What the announcement is answered. */
  readonly result: Promise<Buffer>;
  private settle: { resolve: (answer: Buffer) => void; reject: (error: Error) => void } = { resolve: ignore, reject: ignore };
  private readonly caller = new Writable({ write: (_chunk, _encoding, done) => done() });
  private isAsked = false;
  private isOver = false;
  private image: string | null = null;
  private failure: Error | null = null;
  private isMade = false;
  /** Who is told of it. */
  private told: ServerHttp2Stream | null = null;
  private wasTold = false;
  private waiting: Buffer[] = [];
  private waitingBytes = 0;

  constructor(readonly order: Order) {
    this.result = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    this.result.catch(ignore); // who has asked may have gone
    this.caller.on('error', ignore);
  }

  /** @throws what the build fails with */
  async make(target: string, ask: AskBuild): Promise<void> {
    if (this.isAsked || this.isOver) throw new Refusal(statuses.exists, 'This build was asked for already.');
    this.isAsked = true;
    const answer = new BuildAnswer();
    const whole: Buffer[] = [];
    let failure: string | null = null;
    try {
      const status = await ask(target, this.caller, async (chunk) => {
        if (whole.reduce((sum, { length }) => sum + length, 0) < maxFailure) whole.push(chunk);
        for (const said of answer.add(chunk)) {
          if (said.is === 'status') await this.say(said.status);
          else if (said.is === 'image') this.image = said.id;
          else if (said.is === 'failure') failure ??= said.message;
        }
      });
      if (status === null || this.caller.destroyed) throw new Refusal(statuses.unknown, 'The build was ended.');
      if (status >= 300) throw new Refusal(statuses.unknown, messageOf(Buffer.concat(whole)));
      const last = answer.end();
      if (last.is === 'failure') failure ??= last.message;
      if (last.is === 'image') this.image = last.id;
      if (failure !== null) throw new Refusal(statuses.unknown, failure);
      if (this.order.output.type === 'moby' && this.image === null) throw new Refusal(statuses.unknown, 'The engine does not say what it has built.');
      this.isMade = true;
    } catch (error) {
      this.failure = error as Error;
      throw error;
    }
  }

  /** The client has what it wants. @param given why it gave up @throws where there is nothing that it could have */
  finish(given: string | null): void {
    if (this.isOver) return;
    const { type, names } = this.order.output;
    // Clients ask for nothing to learn what could be asked for.
    const failure = this.failure ?? (given === null && !this.isMade && (this.isAsked || type !== 'cacheonly') ? new Refusal(statuses.invalid, 'Nothing was built.') : null);
    if (failure) this.settle.reject(failure);
    else if (given !== null) this.settle.reject(new Refusal(statuses.unknown, given));
    else this.settle.resolve(writeMade(this.image, this.image === null ? [] : names));
    this.end();
    if (failure && given === null) throw failure;
  }

  /** Ends it, however far it is. */
  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.settle.reject(new Refusal(statuses.unknown, 'The build was ended.'));
    this.caller.destroy();
    if (this.told) this.told.end();
  }

  /** Who is told what there is to tell of it; false: somebody is. */
  tell(stream: ServerHttp2Stream): boolean {
    if (this.wasTold) return false;
    this.wasTold = true;
    guarded(stream, () => {
      respond(stream, () => {
        for (const message of this.waiting) stream.write(framed(message));
        this.waiting = [];
        if (this.isOver) stream.end();
        else this.told = stream;
      });
      stream.once('close', () => (this.told = null));
    });
    return true;
  }

  private async say(status: Buffer): Promise<void> {
    const { told } = this;
    if (told && !told.destroyed && !told.writableEnded) {
      if (told.write(framed(status))) return;
      await new Promise<void>((resolve) => {
        const over = (): void => {
          clearTimeout(timer);
          told.off('drain', over).off('close', over);
          resolve();
        };
        const timer = setTimeout(() => {
          this.end();
          over();
        }, unreadMillis);
        told.once('drain', over).once('close', over);
      });
    } else if (!this.wasTold && this.waitingBytes < maxWaitingBytes) {
      this.waitingBytes += status.length;
      this.waiting.push(status);
    }
  }
}

/**
 * The one message of a call's, when all of it is there.
 * @param begun bytes of its connection that have come of such messages
 */
function one(stream: ServerHttp2Stream, begun: { bytes: number }): Promise<Buffer> {
  let came = 0;
  let timer: NodeJS.Timeout | undefined;
  const whole = new Promise<Buffer>((resolve, reject) => {
    const unframer = new Unframer(maxRequestBytes);
    let message: Buffer | null = null;
    const fail = (error: Error): void => {
      stream.removeAllListeners('data').resume();
      reject(error);
    };
    timer = setTimeout(() => fail(new WireError('it takes too long to come')), requestMillis);
    stream.on('data', (chunk: Buffer) => {
      try {
        came += chunk.length;
        begun.bytes += chunk.length;
        if (begun.bytes > maxBegunBytes) throw new WireError('there is too much that has begun and does not end');
        for (const each of unframer.add(chunk)) {
          if (message !== null) throw new WireError('there are two where one was expected');
          message = each;
        }
      } catch (error) {
        fail(error as Error);
      }
    });
    stream.once('end', () => {
      if (message !== null && unframer.isEven) resolve(message);
      else reject(new WireError('it breaks off'));
    });
    stream.once('close', () => reject(new WireError('it breaks off')));
  });
  return whole.finally(() => {
    clearTimeout(timer);
    begun.bytes -= came;
  });
}

const others: Readonly<Record<string, string>> = {
  DiskUsage: 'What builds have left in the cache belongs to nobody, so nobody is shown it here.',
  Prune: 'What builds have left in the cache belongs to nobody, so none of it is removed here.',
  ListenBuildHistory: 'The history of builds is in the audit log of Gantry.',
  UpdateBuildHistory: 'The history of builds is in the audit log of Gantry.',
};

function whyNot(path: string): string {
  const [, method = ''] = /^\/moby\.buildkit\.v1\.Control\/([A-Za-z]+)$/.exec(path) ?? [];
  return (Object.hasOwn(others, method) ? others[method] : undefined) ?? 'Gantry does not pass this on: builds of Dockerfiles are, and nothing else of BuildKit’s own interface.';
}

function toldOf(error: unknown): { status: number; message: string } {
  if (error instanceof Refusal) return { status: error.status, message: error.message };
  if (error instanceof ControlError) return { status: statuses.invalid, message: error.message };
  if (error instanceof WireError) return { status: statuses.invalid, message: `This is ${error.message}; a client of another generation may know more than is known here.` };
  if (!(error instanceof Problem) || error.kind === 'internal') return { status: statuses.internal, message: 'internal error' };
  const byStatus: Readonly<Record<number, number>> = { 403: statuses.denied, 404: statuses.notFound, 409: statuses.exists, 400: statuses.invalid, 422: statuses.invalid };
  return { status: byStatus[error.status] ?? statuses.unknown, message: error.detail };
}

/** What an engine says instead of building. */
function messageOf(answer: Buffer): string {
  try {
    const { message } = JSON.parse(answer.toString()) as { message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // it says nothing that could be read
  }
  return 'The engine refused the build.';
}

/** As gRPC writes it in a header. */
function encoded(message: string): string {
  return [...Buffer.from(message.slice(0, maxFailure))].map((byte) => (byte >= 0x20 && byte <= 0x7e && byte !== 0x25 ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)).join('');
}
