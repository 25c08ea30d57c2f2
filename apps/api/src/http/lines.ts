import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/** How often a long answer asks whether it may go on. */
const askMillis = 1_500;
/** A client that takes nothing for so long is gone. */
const stalledMillis = 60_000;

/**
 * Sends text as it is yielded, no faster than the client takes it; the source is not read ahead. `allowed` is asked every 1.5 s, also while the
 * client takes nothing, so that a lost right ends the answer. What ends early ends without its last lines, by a broken connection. `file` names what a
 * browser saves; without it the answer is JSON lines.
 */
export async function streamLines(
  reply: FastifyReply, chunks: AsyncGenerator<string, void, undefined>, allowed: () => boolean | Promise<boolean>, file?: { name: string; type: string },
): Promise<void> {
  // What fails before the first line is an ordinary problem.
  let step = await chunks.next();
  reply.hijack();
  const response = reply.raw;
  response.writeHead(200, {
    'content-type': file?.type ?? 'application/jsonl; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'x-content-type-options': 'nosniff',
    'x-request-id': String(reply.getHeader('x-request-id') ?? ''), ...(file ? { 'content-disposition': `attachment; filename="${file.name}"` } : {}),
  });
  let askedAt = Date.now();
  const mayGoOn = async (): Promise<boolean> => {
    if (Date.now() - askedAt < askMillis) return true;
    askedAt = Date.now();
    return allowed();
  };
  try {
    while (!step.done && !response.destroyed && (await mayGoOn())) {
      if (!response.write(step.value) && !(await drained(response, mayGoOn))) break;
      step = await chunks.next();
    }
  } finally {
    await chunks.return();
    if (step.done) response.end();
    else response.destroy();
  }
}

/** Waits until the client has taken what was written. @returns false when it went away, takes nothing, or may not have more */
async function drained(response: ServerResponse, mayGoOn: () => Promise<boolean>): Promise<boolean> {
  const until = Date.now() + stalledMillis;
  while (response.writableNeedDrain && !response.destroyed) {
    if (Date.now() > until || !(await mayGoOn())) return false;
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), askMillis);
    const ignore = (): void => undefined; // told by the loop
    await Promise.race([once(response, 'drain', { signal: stop.signal }), once(response, 'close', { signal: stop.signal })]).catch(ignore);
    clearTimeout(timer);
    stop.abort();
  }
  return !response.destroyed;
}
