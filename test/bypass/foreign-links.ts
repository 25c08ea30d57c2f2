import { type Attempt, containers, spellings } from './book';

export const attempt: Attempt = {
  title: 'link to containers of others',
  source: 'old ways to join what others run',
  async try(world) {
    const foreign = world.foreign.flatMap(({ container: thing }) => spellings(thing));
    return containers(world, [
      ...foreign.map((which) => ({ HostConfig: { Links: [`${which}:x`] } })),
      ...foreign.map((which) => ({ HostConfig: { NetworkMode: world.own.network.name },
        NetworkingConfig: { EndpointsConfig: { [world.own.network.name]: { Links: [`${which}:x`] } } } })),
    ]);
  },
};
