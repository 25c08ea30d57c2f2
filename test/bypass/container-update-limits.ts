import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'bring host options in by an update of a running container',
  source: 'checks on creation that an update does not have',
  try: (world) =>
    each(
      [
        { Devices: [{ PathOnHost: '/dev/sda', PathInContainer: '/dev/x' }] }, { DeviceCgroupRules: ['a *:* rwm'] }, { CgroupParent: '/' },
          { OomKillDisable: true }, { CpuRealtimePeriod: 1 }, { BlkioDeviceReadBps: [{ Path: '/dev/sda', Rate: 1 }] }, { Privileged: true },
          { Binds: ['/:/host'] },
        { HostConfig: { Privileged: true } }, { Image: 'x' },
      ],
      (body) => world.call('POST', `${v}/containers/${world.own.container.id}/update`, body),
    ),
};
