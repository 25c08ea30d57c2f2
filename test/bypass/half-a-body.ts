import { type Attempt, container, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'break off in the middle of a body that is right so far',
  source: 'what is checked before it is whole',
  async try(world) {
    const body = JSON.stringify(container(world));
    const head = [`Host: ${world.address}`, 'Content-Type: application/json'];
    return each([request(`POST ${v}/containers/create HTTP/1.1`, [...head, `Content-Length: ${body.length + 1}`], body),
      request(`POST ${v}/containers/create HTTP/1.1`, [...head, 'Transfer-Encoding: chunked'],
      `${body.length.toString(16)}\r\n${body}\r\n`)], (raw) => world.send(raw, undefined, true));
  },
};
