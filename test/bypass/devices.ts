import { type Attempt, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'hand devices of the host to a container',
  source: 'a block device is the host’s disk',
  try: (world) =>
    hostConfigs(world, [
      { Devices: [{ PathOnHost: '/dev/sda', PathInContainer: '/dev/x', CgroupPermissions: 'rwm' }] },
        { Devices: [{ PathOnHost: '/dev/kmsg' }] }, { Devices: [{}] }, { DeviceCgroupRules: ['a *:* rwm'] },
        { DeviceCgroupRules: ['c 1:1 r'] },
      { DeviceRequests: [{ Driver: '', Count: -1, Capabilities: [['gpu']] }] }, { BlkioDeviceReadBps: [{ Path: '/dev/sda', Rate: 1 }] },
        { BlkioWeightDevice: [{ Path: '/dev/sda', Weight: 10 }] },
    ]),
};
