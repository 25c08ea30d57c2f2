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
