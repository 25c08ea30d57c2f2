import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'give a host configuration with the start, as engines once took it',
  source: 'API versions before 1.24 read `HostConfig` from the body of a start',
  try: (world) =>
    each([`${v}`, '/v1.24', '/v1.23', '/v1.20', ''], (prefix) => world.call('POST', `${prefix}/containers/${world.own.container.id}/start`,
      { Privileged: true, Binds: ['/:/host'], HostConfig: { Privileged: true } })),
};
