import { type Attempt, container, request, v } from './book';

export const attempt: Attempt = {
  title: 'break off in the middle of a body that is right so far',
  source: 'what is checked before it is whole',
  async try(world) {
    const body = JSON.stringify(container(world));
    return [await world.send(request(`POST ${v}/containers/create HTTP/1.1`, [`Host: ${world.address}`, 'Content-Type: application/json', `Content-Length: ${body.length + 1}`], body)), await world.send(request(`POST ${v}/containers/create HTTP/1.1`, [`Host: ${world.address}`, 'Content-Type: application/json', 'Transfer-Encoding: chunked'], `${body.length.toString(16)}\r\n${body}\r\n`))];
  },
};
