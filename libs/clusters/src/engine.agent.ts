import { Agent, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import { inspect } from 'node:util';

/** A connection that nobody has used for so long is not used again: what lies between may have forgotten it. */
export const keptMillis = 30_000;
/** So many connections to one engine are kept that nobody uses. */
export const maxKept = 64;

/** Keeps connections to one engine, whatever opens them, for the next plain call. */
export class EngineAgent extends Agent {
  private closed = false;
  private readonly kept = new WeakSet<Duplex>();

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
    if (this.closed || socket.readableEnded) return false;
    // Half-open, it would stay; a call that goes out on it may wait for ever.
    if (!this.kept.has(socket)) socket.once('end', () => socket.destroy());
    this.kept.add(socket);
    return super.keepSocketAlive(socket) as unknown as boolean;
  }

  destroyUnused(): void {
    this.closed = true;
    for (const sockets of Object.values(this.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  /** docker-modem inspects its request options on every call, for a log that nobody reads: without this, all connections and what they hang on. */
  [inspect.custom](): string {
    return 'EngineAgent';
  }
}
