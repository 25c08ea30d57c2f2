import { type Attempt, containers } from './book';

export const attempt: Attempt = {
  title: 'add members that nobody knows, at every level',
  source: 'what a check does not know, a newer engine may',
  try: (world) =>
    containers(world, [
      { Unknown: 1 }, { HostConfig: { Unknown: 1 } }, { HostConfig: { Mounts: [{ Type: 'volume', Target: '/x', Unknown: 1 }] } },
        { HostConfig: { Mounts: [{ Type: 'tmpfs', Target: '/x', TmpfsOptions: { Unknown: 1 } }] } },
        { HostConfig: { RestartPolicy: { Unknown: 1 } } }, { Healthcheck: { Unknown: [] } },
      { NetworkingConfig: { Unknown: {} } }, { HostConfig: { LogConfig: { Type: 'local', Unknown: 1 } } },
        { HostConfig: { Ulimits: [{ Name: 'nofile', Unknown: 1 }] } }, { '': 1 }, { ' HostConfig': {} }, { 'HostConfig.Privileged': true },
        { HostConfig: { PortBindings: { '80/tcp': [{ Unknown: 1 }] } } },
    ]),
};
