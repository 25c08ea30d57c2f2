import { type Attempt, each, request, v } from './book';

export const attempt: Attempt = {
  title: 'present an administrator’s token where logs and referrers keep it',
  source: 'CVE-2026-44883: a token was accepted in `?token=`',
  by: 'stranger',
  try: (world) =>
    each(['token', 'access_token', 'jwt', 'authorization', 'Authorization'], (name) =>
      world.send(request(`GET ${v}/containers/json?all=1&${name}=${world.token} HTTP/1.1`, [`Host: ${world.address}`, 'Connection: close']),
        {})),
};
