import type { Socket } from 'node:net';

/**
 * Ends a socket that Node announces on `net.client.socket`, which it does before it dials: a socket that is destroyed by then is dialled all the
 * same, and its connection stays open for good. So it is let dial, and ended at once.
 */
export function refuseDial(socket: Socket): void {
  process.nextTick(() => socket.destroy());
}
