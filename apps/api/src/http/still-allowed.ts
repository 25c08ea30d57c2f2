import type { FastifyRequest } from 'fastify';
import type { Access, Authenticator, Operation, ResourceRef } from '@gantry/access';
import type { Context } from '@gantry/platform';

/** For answers that last: whether the caller's credential is still good, and still allows the operation on the resource. */
export function stillAllowed(
  rooms: { authenticator: Authenticator; access: Access }, request: FastifyRequest, ctx: Context, operation: Operation, resource: ResourceRef,
): () => Promise<boolean> {
  const token = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
  return async () => {
    const actor = await rooms.authenticator.bearer(ctx, token);
    return actor !== null && rooms.access.can({ ...ctx, actor }, operation, resource).allowed;
  };
}

/** A question that has no answer after so many rounds is answered: no. */
const maxUnanswered = 10;

/**
 * Asks again and again whether a stream may go on. `end` is called once when it may not; what fails, or finds no answer for ten rounds, is not allowed.
 * @param millis between two questions
 * @returns asks no more
 */
export function whileAllowed(allowed: () => Promise<boolean>, millis: number, end: () => void): () => void {
  let unanswered = 0;
  let over = false;
  const stop = (): void => {
    over = true;
    clearInterval(timer);
  };
  const cut = (): void => {
    if (over) return;
    stop();
    end();
  };
  const timer = setInterval(() => {
    unanswered += 1;
    if (unanswered > maxUnanswered) cut();
    if (unanswered > 1) return;
    void (async () => allowed())().catch(() => false).then((may) => {
      unanswered = 0;
      if (!may) cut();
    });
  }, millis);
  return stop;
}
