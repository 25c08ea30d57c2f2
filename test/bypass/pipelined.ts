import { type Attempt, each, privileged, v, withoutPings } from './book';

export const attempt: Attempt = {
  title: 'hide a second request behind the first',
  source: 'request smuggling: what stands behind a request that has been judged',
  async try(world) {
    const hidden = privileged(world).toString('latin1');
    const head = `Host: ${world.address}\r\n`;
    const replies = await each([`GET /_ping HTTP/1.1\r\n${head}\r\n${hidden}`, `HEAD /_ping HTTP/1.1\r\n${head}\r\n${hidden}`,
      `GET /_ping HTTP/1.1\r\n${head}Content-Length: ${hidden.length}\r\n\r\n${hidden}`,
      `GET ${v}/containers/json HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n{}${hidden}`,
      `POST ${v}/containers/nothing/stop HTTP/1.1\r\n${head}Content-Length: 0\r\n\r\n${hidden}`,
      `GET ${v}/unknown HTTP/1.1\r\n${head}\r\n${hidden}`,
      `GET ${v}/unknown HTTP/1.1\r\n${head}Content-Length: ${hidden.length}\r\n\r\n${hidden}`], (text) => world.send(text));
    return replies.map((reply) => withoutPings(reply));
  },
};
