import { Readable } from 'node:stream';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { z } from 'zod';
import { CONFIG, Db, defineJob, Outbox, Sealer, systemContext, uuidv7, type Config, type Context } from '@gantry/platform';
import { connectEngine, EngineConnection, EngineError, type Endpoint, type EngineCall } from './engine.client';

/** Asks a worker to make one read of an engine; the row says which. Not tried again: whoever asked has gone by then. */
export const relayCall = defineJob('clusters.relay-call', z.object({ callId: z.uuid() }), { attempts: 1 });

const channel = 'gantry_relay';
const purpose = 'clusters.relay';
/** Largest answer that is passed on. A list of 10,000 services is about 6 MB. */
const limitBytes = 32 * 1024 * 1024;
/** The worker's own deadline; the asker's is shorter. A row that nobody fetched is forgotten after a minute. */
const patienceSeconds = 30;

type Request = { endpoint: Endpoint; path: string; query: Record<string, string>; wants: 'json' | 'bytes' };
type Answer =
  | { kind: 'json'; value: unknown }
  | { kind: 'bytes'; headers: Record<string, string>; body: string }
  | { kind: 'refused'; status: number; message: string }
  | { kind: 'failed'; code: string; message: string };

/**
 * Reads of engines by processes that must not reach any: only workers are on the engines' network. The request goes as a sealed row and a job to
 * a worker, the answer comes back as a sealed row and a NOTIFY. Reads only; changes are jobs of their own, with leases and a judgement.
 */
@Injectable()
export class Relay implements OnApplicationShutdown {
  private readonly waiting = new Map<string, () => void>();
  private listening: Promise<() => void> | null = null;

  constructor(private readonly db: Db, private readonly outbox: Outbox, private readonly sealer: Sealer, @Inject(CONFIG) private readonly config: Config) {}

  /** The way to an engine for this process: direct where it may be, else through a worker. */
  connect(endpoint: Endpoint): EngineConnection {
    return this.config.role === 'api' ? new RelayedConnection(endpoint, (request, signal) => this.ask(request, signal)) : connectEngine(endpoint);
  }

  private async ask(request: Request, signal: AbortSignal): Promise<Answer> {
    const ctx = systemContext('clusters.relay');
    this.listening ??= this.db.listen(channel, (id) => (id === '' ? [...this.waiting.values()].forEach((wake) => wake()) : this.waiting.get(id)?.()));
    try {
      await this.listening;
    } catch (error) {
      this.listening = null;
      throw error;
    }
    const id = uuidv7();
    const answered = new Promise<void>((resolve, reject) => {
      this.waiting.set(id, resolve);
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    // an abort while the rows are written is met below
    answered.catch(() => undefined);
    try {
      await this.db.transaction(ctx, async (tx) => {
        await this.db.query(tx, 'insert into clusters_relay_calls (id, request) values ($1, $2)', [id, this.sealer.seal(JSON.stringify(request), purpose)]);
        await this.outbox.enqueue(tx, relayCall, { callId: id });
      });
      await answered;
      const [row] = await this.db.query<{ answer: string | null }>(ctx, 'delete from clusters_relay_calls where id = $1 returning answer', [id]);
      if (!row?.answer) throw Object.assign(new Error('the worker did not answer'), { code: 'ETIMEDOUT' });
      return JSON.parse(this.sealer.open(row.answer, purpose).toString()) as Answer;
    } finally {
      this.waiting.delete(id);
    }
  }

  /** Handler of `relayCall`, in a worker: makes the read and stores the answer, whatever it is. */
  async answer(ctx: Context, { callId }: { callId: string }): Promise<void> {
    const [row] = await this.db.query<{ request: string }>(ctx, 'select request from clusters_relay_calls where id = $1 and answer is null', [callId]);
    if (!row) return;
    const request = JSON.parse(this.sealer.open(row.request, purpose).toString()) as Request;
    const answer = await read(connectEngine(request.endpoint), request);
    await this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'update clusters_relay_calls set answer = $2 where id = $1 returning 1', [callId, this.sealer.seal(JSON.stringify(answer), purpose)]);
      await this.db.notify(tx, channel, callId);
    });
  }

  /** Sweep: forgets what was asked for and never fetched. */
  async expire(ctx: Context): Promise<void> {
    await this.db.query(ctx, `delete from clusters_relay_calls where created_at < now() - interval '1 minute' returning 1`);
  }

  async onApplicationShutdown(): Promise<void> {
    (await this.listening?.catch(() => null))?.();
  }
}

async function read(connection: EngineConnection, { path, query, wants }: Request): Promise<Answer> {
  const call: EngineCall = { method: 'GET', path, query, signal: AbortSignal.timeout(patienceSeconds * 1000) };
  try {
    if (wants === 'json') return { kind: 'json', value: await connection.call(call) };
    const stream = await connection.stream(call);
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of stream) {
      size += (chunk as Buffer).length;
      if (size > limitBytes) throw Object.assign(new Error('the answer is too large to be passed on'), { code: 'EMSGSIZE' });
      chunks.push(chunk as Buffer);
    }
    const headers = Object.fromEntries(Object.entries(stream.headers).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])));
    return { kind: 'bytes', headers, body: Buffer.concat(chunks).toString('base64') };
  } catch (error) {
    if (error instanceof EngineError) return { kind: 'refused', status: error.status, message: error.message };
    return { kind: 'failed', code: String((error as { code?: unknown }).code ?? ''), message: (error as Error).message };
  }
}

class RelayedConnection extends EngineConnection {
  readonly address: string;

  constructor(private readonly endpoint: Endpoint, private readonly ask: (request: Request, signal: AbortSignal) => Promise<Answer>) {
    super();
    this.address = endpoint.kind === 'socket' ? `unix://${endpoint.path}` : endpoint.kind === 'ssh' ? endpoint.address : `https://${endpoint.host}:${endpoint.port}`;
  }

  async call(call: EngineCall): Promise<unknown> {
    const answer = await this.pass(call, 'json');
    if (answer.kind !== 'json') throw new Error('the relay answered in another form than asked');
    return answer.value;
  }

  async stream(call: EngineCall): Promise<Readable & { headers: Record<string, string | string[] | undefined> }> {
    const answer = await this.pass(call, 'bytes');
    if (answer.kind !== 'bytes') throw new Error('the relay answered in another form than asked');
    return Object.assign(Readable.from([Buffer.from(answer.body, 'base64')]), { headers: answer.headers });
  }

  private async pass(call: EngineCall, wants: Request['wants']): Promise<Answer> {
    if (call.method !== 'GET') throw new Error('this process may read engines through a worker, but not change them');
    const answer = await this.ask({ endpoint: this.endpoint, path: call.path, query: call.query ?? {}, wants }, call.signal);
    if (answer.kind === 'refused') throw new EngineError(answer.status, answer.message);
    if (answer.kind === 'failed') throw Object.assign(new Error(answer.message), { code: answer.code });
    return answer;
  }
}
