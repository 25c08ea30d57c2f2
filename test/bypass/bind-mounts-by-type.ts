import { type Attempt, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'bind a path of the host by a mount whose type says something else',
  source: 'checks that go by `Type` where the engine goes by what the source is',
  try: (world) =>
    hostConfigs(world, [
      { Type: 'bind', Source: '/' }, { Type: 'Bind', Source: '/' }, { Type: 'BIND', Source: '/' }, { Source: '/' }, { Type: '',
        Source: '/' }, { Type: 'volume', Source: '/' }, { Type: 'volume', Source: '/var/run/docker.sock' }, { Type: 'volume',
        Source: '../etc' },
      { Type: 'volume', Source: '\\' }, { Type: 'tmpfs', Source: '/' }, { Type: 'npipe', Source: '\\\\.\\pipe\\docker' }, { Type: 'cluster',
        Source: '/' }, { Type: 'bind', Source: '/', BindOptions: { CreateMountpoint: true } },
      { Type: 'volume', BindOptions: { Propagation: 'rshared' } }, { Type: 'image', Source: world.images.unsigned }, { Type: 'volumes',
        Source: '/' }, { Type: 'bind ', Source: '/' },
    ].map((mount) => ({ Mounts: [{ Target: '/host', ...mount }] }))),
};
