import { type Attempt, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'bind the host, or its engine’s socket, in every spelling',
  source: 'CVE-2020-24264: bind mounts that the check did not read as such',
  try: (world) =>
    hostConfigs(world, ['/var/run/docker.sock:/s', '/run/docker.sock:/s:ro', '//var/run/docker.sock:/s', '/var/run/../run/docker.sock:/s',
      '/:/host', '/:/host:rshared', '/.:/host', '/proc/self/root:/host', '/proc/1/root/:/host', './etc:/host', '../../etc:/host', '.:/host',
      '~:/host',
      ' /:/host', 'C:\\:/host', 'c:/:/host', '\\\\.\\pipe\\docker:/s', '/etc:/host:volume-nocopy', 'a:/b:/c', 'name:/x:ro,rshared',
        'a/b:/x', '/dev:/dev', '/etc\n:/host', '/\u200b:/host'].map((bind) => ({ Binds: [bind] }))),
};
