import { type Attempt, each, privileged, withoutPings } from './book';

export const attempt: Attempt = {
  title: 'end lines by what only some take for an end',
  source: 'request smuggling: bare line feeds, carriage returns and NULs in headers',
  async try(world) {
    const hidden = privileged(world).toString('latin1');
    return each(
      [`GET /_ping HTTP/1.1\nHost: ${world.address}\n\n${hidden}`, `GET /_ping HTTP/1.1\r\nHost: ${world.address}\rX: y\r\n\r\n${hidden}`,
        `GET /_ping HTTP/1.1\r\nHost: ${world.address}\r\nX: a\0b\r\n\r\n${hidden}`,
        `GET /_ping HTTP/1.1\r\nHost: ${world.address}\r\nX: a\r\n b\r\n\r\n${hidden}`,
        `GET /_ping HTTP/1.1\r\nHost : ${world.address}\r\n\r\n${hidden}`,
        `GET /_ping HTTP/1.1\r\n\tHost: ${world.address}\r\n\r\n${hidden}`,
          `GET /_ping HTTP/1.1\r\nHost: ${world.address}\r\n: x\r\n\r\n${hidden}`,
          `GET /_ping HTTP/1.1\r\nHost: ${world.address}\r\nX\r\n\r\n${hidden}`,
          `GET  /_ping HTTP/1.1\r\nHost: ${world.address}\r\n\r\n${hidden}`,
          `GET /_ping\tHTTP/1.1\r\nHost: ${world.address}\r\n\r\n${hidden}`,
          `GET /_ping HTTP/1.1 \r\nHost: ${world.address}\r\n\r\n${hidden}`],
      (text) => world.send(Buffer.from(text, 'latin1')),
    ).then((replies) => replies.map((reply) => withoutPings(reply)));
  },
};
