import { type Attempt, containers } from './book';

export const attempt: Attempt = {
  title: 'join the host’s network, or the engine’s own bridge, by the list of endpoints',
  source: 'the mode is judged, and the endpoint beside it is not',
  try: (world) =>
    containers(world, [
      ...['host', 'bridge', 'default'].flatMap((name) => [{ NetworkingConfig: { EndpointsConfig: { [name]: {} } } }, { HostConfig: { NetworkMode: name } }, { HostConfig: { NetworkMode: '' }, NetworkingConfig: { EndpointsConfig: { [name]: {} } } }]), { HostConfig: { NetworkMode: null } }, { HostConfig: { NetworkMode: '' } },
    ]),
};
