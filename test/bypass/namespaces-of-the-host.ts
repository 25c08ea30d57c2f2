import { type Attempt, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'share the host’s namespaces',
  source: 'checks of `--privileged` that forget what amounts to it',
  try: (world) =>
    hostConfigs(world, [
      ...['PidMode', 'IpcMode', 'UTSMode', 'UsernsMode', 'CgroupnsMode', 'NetworkMode'].flatMap((name) => ['host', 'HOST', 'host ',
        'Host'].map((mode) => ({ [name]: mode }))), { Cgroup: 'host' }, { PidMode: 'container:' }, { IpcMode: 'container:../x' },
    ]),
};
