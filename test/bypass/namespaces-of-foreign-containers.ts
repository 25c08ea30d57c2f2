import { type Attempt, hostConfigs, spellings } from './book';

export const attempt: Attempt = {
  title: 'share the namespaces of containers of others',
  source: '`container:<id>` as a way into what somebody else runs',
  try: (world) =>
    hostConfigs(world, world.foreign.flatMap(({ container: thing }) => [...spellings(thing),
      `/${thing.name}`]).flatMap((which) => ['PidMode', 'IpcMode', 'NetworkMode', 'Cgroup', 'UTSMode',
      'UsernsMode'].map((name) => ({ [name]: `container:${which}` })))),
};
