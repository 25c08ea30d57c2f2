import { type Attempt, containers, each, service, v } from './book';

export const attempt: Attempt = {
  title: 'join the host’s network by its id',
  source: 'a check that knows the word `host`, and an engine that knows its id',
  async try(world) {
    const networks = JSON.parse((await world.call('GET', `${v}/networks`)).body) as { Id: string; Name: string }[];
    const ids = networks.filter(({ Name }) => ['host', 'ingress', 'docker_gwbridge'].includes(Name)).flatMap(({ Id }) => [Id, Id.slice(0,
      12), Id.slice(0, 5)]);
    return [
      ...(await containers(world, ids.flatMap((id) => [{ HostConfig: { NetworkMode: id } },
        { NetworkingConfig: { EndpointsConfig: { [id]: {} } } }, { HostConfig: { NetworkMode: world.own.network.name },
        NetworkingConfig: { EndpointsConfig: { [world.own.network.name]: { NetworkID: id } } } }]))),
      ...(await each(ids, (Target) => world.call('POST', `${v}/services/create`, service(world, {}, { Networks: [{ Target }] })))),
        ...(await each(ids, (id) => world.call('POST', `${v}/networks/${id}/connect`, { Container: world.own.container.id }))),
        ...(await each(ids, (id) => world.call('DELETE', `${v}/networks/${id}`))),
    ];
  },
};
