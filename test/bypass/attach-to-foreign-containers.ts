import { type Attempt, each, request, spellings, v } from './book';

export const attempt: Attempt = {
  title: 'attach to containers of others, by a raw connection or a web socket',
  source: 'streams that are opened before the owner is asked for',
  async try(world) {
    const socket = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version: 13'];
    return each(
      world.foreign.flatMap(({ container: thing }) => spellings(thing)).flatMap((which) => [
        request(`POST ${v}/containers/${which}/attach?stream=1&stdin=1&stdout=1&logs=1 HTTP/1.1`, [`Host: ${world.address}`,
          'Connection: Upgrade', 'Upgrade: tcp'], 'heard\n'),
          request(`POST ${v}/containers/${which}/attach?stream=1&stdin=1&stdout=1&logs=1 HTTP/1.1`, [`Host: ${world.address}`], 'heard\n'),
        request(`GET ${v}/containers/${which}/attach/ws?stream=1&stdin=1&stdout=1&logs=1 HTTP/1.1`, [`Host: ${world.address}`, ...socket]),
          request(`GET ${v}/containers/${which}/attach/ws?stream=1&stdin=1&stdout=1&logs=1 HTTP/1.1`, [`Host: ${world.address}`, ...socket,
          'Sec-WebSocket-Protocol: x']),
      ]),
      (raw) => world.send(raw),
    );
  },
};
