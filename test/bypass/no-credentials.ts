import { type Attempt, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'ask without any credentials',
  source: 'CVE-2022-24961: an agent answered who had not shown anything',
  by: 'stranger',
  try: (world) =>
    each([`GET ${v}/containers/json?all=1`, `GET ${v}/info`, 'GET /version', 'GET /_ping', `GET ${v}/events?until=1`,
      `POST ${v}/containers/${world.foreign[0]!.container.id}/stop`, `POST ${v}/containers/prune`], (line) =>
      world.send(request(`${line} HTTP/1.1`, [`Host: ${world.address}`, 'Content-Length: 0', 'Connection: close']), {})),
};
