import { type Attempt, containerSpecs, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'name a driver of volumes in a mount',
  source: 'volume drivers are plugins: root on the host',
  async try(world) {
    const mounts = [{ Mounts: [{ Type: 'volume', Target: '/x', VolumeOptions: { DriverConfig: { Name: 'vieux/sshfs' } } }] }];
    return [...(await hostConfigs(world, [...mounts, { VolumeDriver: 'vieux/sshfs' }, { VolumeDriver: 'LOCAL' }])),
      ...(await containerSpecs(world, mounts))];
  },
};
