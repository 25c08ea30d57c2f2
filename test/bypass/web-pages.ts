import { type Attempt, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'call from a web page that its reader’s browser gives the certificate to',
  source: 'cross-site requests and cross-site web sockets: browsers add certificates by themselves',
  async try(world) {
    const own = world.own.container.id;
    const socket = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13',
      'Origin: https://evil.example'];
    return [
      await world.send(request(`GET ${v}/containers/${own}/attach/ws?stream=1&stdout=1&logs=1 HTTP/1.1`, [`Host: ${world.address}`,
        ...socket])),
      ...(await each([{ Origin: 'https://evil.example' }, { Origin: 'null' }, { 'Sec-Fetch-Site': 'cross-site' },
        { 'Sec-Fetch-Site': 'same-site', Origin: 'http://localhost' }, { Origin: `http://${world.address}` }], (list: Record<string,
        string>) => world.call('POST', `${v}/containers/${own}/stop?t=0`, undefined, { 'Content-Type': 'text/plain', ...list }))),
    ];
  },
};
