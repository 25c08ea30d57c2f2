import { type Attempt, container, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'choose a cluster that is not there, or several',
  source: 'routing by a header of the caller’s',
  try: (world) => {
    const body = JSON.stringify(container(world));
    return each([['X-Gantry-Cluster: other'], ['X-Gantry-Cluster: ../local'], ['X-Gantry-Cluster: local', 'X-Gantry-Cluster: other'],
      ['X-Gantry-Cluster: local, other'], ['X-Gantry-Cluster: %6cocal'], ['X-Gantry-Cluster: 00000000-0000-0000-0000-000000000000'],
      ["X-Gantry-Cluster: ' or 1=1--"], [`X-Gantry-Cluster: ${'a'.repeat(5_000)}`]], (list) =>
      world.send(request(`POST ${v}/containers/create HTTP/1.1`, [`Host: ${world.address}`, ...list, 'Content-Type: application/json',
        `Content-Length: ${body.length}`, 'Connection: close'], body)));
  },
};
