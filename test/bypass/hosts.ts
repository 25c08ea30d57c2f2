import { type Attempt, container, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'say another host, two hosts, or none',
  source: 'routing by `Host` to something behind',
  try: (world) => {
    const body = JSON.stringify(container(world, { HostConfig: { Privileged: true } }));
    const length = `Content-Length: ${Buffer.byteLength(body)}`;
    return each([[], ['Host: a', 'Host: b'], ['Host: docker'], ['Host: unix'], ['Host: /var/run/docker.sock'], ['Host:'], ['Host: a b'],
      [`Host: ${world.address}`, 'X-Forwarded-Host: docker'], ['Host: a@b'], ['Host: a', 'host: a']],
      (list) => world.send(request(`POST ${v}/containers/create HTTP/1.1`, [...list, 'Content-Type: application/json', length,
      'Connection: close'], body)));
  },
};
