import { type Attempt, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'be somebody by the headers that proxies write',
  source: 'trusting `X-Forwarded-…` and `X-Remote-User` from whoever sends them',
  by: 'stranger',
  try: (world) =>
    each(['X-Remote-User: admin', 'X-Forwarded-User: admin', 'X-Gantry-User: admin', 'X-SSL-Client-Verify: SUCCESS',
      'X-Forwarded-Client-Cert: Subject="CN=admin"', 'X-Real-IP: 127.0.0.1', 'Forwarded: for=127.0.0.1', 'Authorization: Basic YWRtaW46',
      'Authorization: Bearer', 'Authorization: Bearer null'], (header) =>
      world.send(request(`GET ${v}/containers/json?all=1 HTTP/1.1`, [`Host: ${world.address}`, header, 'Connection: close']), {})),
};
