import { type Attempt, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'show a certificate that says admin, signed by somebody else',
  source: 'TLS that asks for certificates but believes any',
  by: 'stranger',
  try: (world) => each([`GET ${v}/containers/json?all=1`, 'GET /_ping', `POST ${v}/containers/prune`],
    (line) => world.send(request(`${line} HTTP/1.1`, [`Host: ${world.address}`, 'Content-Length: 0', 'Connection: close']), world.forged)),
};
