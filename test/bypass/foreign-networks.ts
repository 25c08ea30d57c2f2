import { type Attempt, containers, each, service, spellings, updateService, v } from './book';

export const attempt: Attempt = {
  title: 'start in networks of others',
  source: 'networks told by name, id or prefix, in any of the places where a body can name one',
  async try(world) {
    const foreign = world.foreign.flatMap(({ network }) => spellings(network));
    return [
      ...(await containers(world, [
        ...foreign.map((NetworkMode) => ({ HostConfig: { NetworkMode } })),
        ...foreign.map((which) => ({ NetworkingConfig: { EndpointsConfig: { [which]: {} } } })),
        ...foreign.map((which) => ({ HostConfig: { NetworkMode: world.own.network.name },
          NetworkingConfig: { EndpointsConfig: { [which]: null } } })),
        ...foreign.map((NetworkID) => ({ HostConfig: { NetworkMode: world.own.network.name },
          NetworkingConfig: { EndpointsConfig: { [world.own.network.name]: { NetworkID } } } })),
      ])),
      ...(await each(foreign.flatMap((Target) => [{ Networks: [{ Target }] }, { TaskTemplate: { Networks: [{ Target }] } }]),
        (change) => world.call('POST', `${v}/services/create`, service(world, {}, change)))),
      ...(await each(foreign, (Target) => updateService(world, {}, { Networks: [{ Target }] }))),
    ];
  },
};
