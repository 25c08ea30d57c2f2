import { type Attempt, container, each, v } from './book';

export const attempt: Attempt = {
  title: 'call the body something else than JSON',
  source: 'checks that skip what is not said to be JSON',
  try: (world) =>
    each(['text/plain', 'application/xml', 'application/x-tar', 'application/json; charset=utf-16', 'application/json; charset=utf-7',
      'multipart/form-data; boundary=x', 'application/octet-stream', ''], (type) => world.call('POST', `${v}/containers/create`,
      container(world, { HostConfig: { Privileged: true } }), { 'Content-Type': type })),
};
