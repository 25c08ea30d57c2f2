import { type Attempt, containers } from './book';

export const attempt: Attempt = {
  title: 'give other types than the members have',
  source: 'checks that skip what is not of the type that they expect',
  try: (world) =>
    containers(world, [
      { HostConfig: { Binds: '/:/host' } }, { HostConfig: { Binds: { 0: '/:/host' } } }, { HostConfig: { Binds: [['/:/host']] } },
        { HostConfig: { Binds: [{ toString: '/:/host' }] } }, { HostConfig: { CapAdd: 'ALL' } }, { HostConfig: { CapAdd: { ALL: true } } },
        { HostConfig: { Mounts: { Type: 'bind', Source: '/', Target: '/x' } } },
      { HostConfig: { Mounts: [[{ Type: 'bind' }]] } }, { HostConfig: { Mounts: [{ Type: ['bind'], Source: '/', Target: '/x' }] } },
        { HostConfig: { Mounts: [{ Type: 0, Source: '/', Target: '/x' }] } }, { HostConfig: { SecurityOpt: 'seccomp=unconfined' } },
        { HostConfig: { NetworkMode: ['host'] } }, { HostConfig: { NetworkMode: { value: 'host' } } },
      { HostConfig: { PidMode: true } }, { Image: [world.images.signed] }, { Image: { toString: 'x' } }, { Image: null },
        { Labels: ['io.gantry.collection=/'] }, { Labels: 'io.gantry.collection=/' }, { NetworkingConfig: [] }, { Volumes: ['/:/x'] },
        { Volumes: { '/x': { Source: '/' } } }, { ExposedPorts: [80] },
    ]),
};
