import { type Attempt, container, each } from './book';

export const attempt: Attempt = {
  title: 'ask in an old version, in which what is absent means the host',
  source: 'before 1.41 a container without `CgroupnsMode` had the host’s',
  try: (world) => each(['/v1.24', '/v1.30', '/v1.40', '/v1.41', ''], (prefix) => world.call('POST', `${prefix}/containers/create`,
    container(world, { HostConfig: { CgroupnsMode: 'host' } }))),
};
