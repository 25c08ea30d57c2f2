import { type Attempt, containers } from './book';

export const attempt: Attempt = {
  title: 'run by another runtime of the engine, or give orders to it',
  source: 'a runtime is a program on the host; annotations steer it',
  try: (world) => containers(world, [{ HostConfig: { Runtime: 'other' } }, { Runtime: 'other' }, { HostConfig: { Runtime: 'runc' } },
    { HostConfig: { Annotations: { 'run.oci.systemd.subgroup': 'x' } } }, { HostConfig: { Annotations: { '': '' } } }]),
};
