import { type Attempt, containers } from './book';

export const attempt: Attempt = {
  title: 'join the host’s network by the list of endpoints',
  source: 'the mode is judged, and the endpoint beside it is not',
  try: (world) =>
    containers(world, ['host', 'Host', 'HOST', ' host'].flatMap((name) => [{ NetworkingConfig: { EndpointsConfig: { [name]: {} } } },
      { HostConfig: { NetworkMode: name } }, { HostConfig: { NetworkMode: '' }, NetworkingConfig: { EndpointsConfig: { [name]: {} } } },
      { HostConfig: { NetworkMode: 'bridge' }, NetworkingConfig: { EndpointsConfig: { bridge: {}, [name]: {} } } }])),
};
