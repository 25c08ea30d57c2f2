import { once } from 'node:events';
import type { FastifyReply } from 'fastify';

/**
 * Sends text as it is yielded, no faster than the client takes it; the source is not read ahead. `allowed` is asked at least every 2 s of a
 * long answer, so that a lost right ends it. An answer that fails midway ends without its last lines, by a broken connection.
 */
export async function streamLines(reply: FastifyReply, chunks: AsyncGenerator<string, void, undefined>, allowed: () => boolean | Promise<boolean>): Promise<void> {
  // What fails before the first line is an ordinary problem.
  let step = await chunks.next();
  reply.hijack();
  const response = reply.raw;
  response.writeHead(200, { 'content-type': 'application/jsonl; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'x-content-type-options': 'nosniff', 'x-request-id': String(reply.getHeader('x-request-id') ?? '') });
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  let askedAt = Date.now();
  try {
    while (!step.done && !gone.signal.aborted) {
      if (Date.now() - askedAt > 1_500) {
        if (!(await allowed())) break;
        askedAt = Date.now();
      }
      if (!response.write(step.value)) await once(response, 'drain', { signal: AbortSignal.any([gone.signal, AbortSignal.timeout(stalledMillis)]) });
      step = await chunks.next();
    }
  } finally {
    await chunks.return();
    if (step.done) response.end();
    else response.destroy();
  }
}

/** A client that takes nothing for so long is gone. */
const stalledMillis = 60_000;
