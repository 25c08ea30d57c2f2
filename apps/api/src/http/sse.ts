import type { FastifyReply, FastifyRequest } from 'fastify';

/** True when the client asks for Server-Sent Events. */
export function wantsEvents(request: FastifyRequest): boolean {
  return (request.headers.accept ?? '').includes('text/event-stream');
}

/** One event; `id` comes back in `Last-Event-ID` when the client reconnects. */
export interface ServerEvent {
  id: string;
  event: string;
  data: unknown;
}

/**
 * Streams events until `read` says it is over or the client goes away. `read(after)` answers what comes after an id (null = from the start);
 * `wake(callback)` calls back whenever there may be more and returns its undo. A comment every 15 s keeps proxies from closing the stream.
 * `allowed` is asked before each delivery, at least every 2 s, so that a lost right ends the stream.
 */
export async function streamEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  source: {
    read: (after: string | null) => Promise<{ events: ServerEvent[]; done: boolean }>;
    wake: (callback: () => void) => Promise<() => void>;
    allowed: () => boolean | Promise<boolean>;
  },
): Promise<void> {
  const header = request.headers['last-event-id'];
  let after = typeof header === 'string' && header !== '' ? header : null;
  reply.hijack();
  const response = reply.raw;
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'x-request-id': String(reply.getHeader('x-request-id') ?? '') });
  response.flushHeaders();
  let notify: () => void = () => undefined;
  let pending = false;
  let closed = false;
  const wake = (): void => {
    pending = true;
    notify();
  };
  response.on('close', () => {
    closed = true;
    notify();
  });
  const undo = await source.wake(wake);
  let silentSince = Date.now();
  try {
    for (;;) {
      if (closed || !(await source.allowed())) break;
      pending = false;
      const { events, done } = await source.read(after);
      for (const event of events) {
        after = event.id;
        const ok = response.write(`id: ${event.id}\nevent: ${event.event}\ndata: ${JSON.stringify(event.data)}\n\n`);
        silentSince = Date.now();
        if (!ok && !closed) {
          await new Promise<void>((resolve) => {
            response.once('drain', resolve);
            response.once('close', resolve);
          });
        }
      }
      if (done) break;
      if (Date.now() - silentSince > 15_000) {
        response.write(': still here\n\n');
        silentSince = Date.now();
      }
      if (!pending && !closed) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, 2_000);
          notify = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    }
  } finally {
    undo();
    response.end();
  }
}
