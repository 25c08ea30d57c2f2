import type { FastifyReply } from 'fastify';

/**
 * Sends text piece by piece as a file, as fast as the client takes it and with no more than a piece in memory. When the source fails, or the
 * client goes away, the connection is cut, so that half a file is never taken for a whole one.
 */
export async function sendFile(reply: FastifyReply, file: { name: string; type: string }, pieces: AsyncIterable<string>): Promise<void> {
  const iterator = pieces[Symbol.asyncIterator]();
  // The first piece is asked for before anything is sent: what is refused, is refused with its problem.
  let next = await iterator.next();
  reply.hijack();
  const response = reply.raw;
  response.writeHead(200, {
    'content-type': file.type, 'content-disposition': `attachment; filename="${file.name}"`, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff',
    'x-request-id': String(reply.getHeader('x-request-id') ?? ''),
  });
  let closed = false;
  response.on('close', () => {
    closed = true;
  });
  try {
    for (; !next.done && !closed; next = await iterator.next()) {
      if (response.write(next.value)) continue;
      await new Promise<void>((resolve) => {
        response.once('drain', resolve);
        response.once('close', resolve);
      });
    }
    response.end();
  } catch (error) {
    response.destroy(error as Error);
  } finally {
    await iterator.return?.(undefined);
  }
}
