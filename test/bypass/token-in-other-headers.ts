import { type Attempt, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'present an administrator’s token in headers that are not for it',
  source: 'CVE-2026-44883: one more place in which a credential counts is one more place where it leaks',
  by: 'stranger',
  try: (world) =>
    each([`Cookie: token=${world.token}`, `X-API-Key: ${world.token}`, `X-Auth-Token: ${world.token}`,
      `Proxy-Authorization: Bearer ${world.token}`, `Authorization: ${world.token}`, `Authorization: Token ${world.token}`,
      `X-Registry-Auth: ${Buffer.from(JSON.stringify({ identitytoken: world.token })).toString('base64')}`], (header) =>
      world.send(request(`GET ${v}/containers/json?all=1 HTTP/1.1`, [`Host: ${world.address}`, header, 'Connection: close']), {})),
};
