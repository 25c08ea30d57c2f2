import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'make a volume that is a path of the host, or a device, or a file server',
  source: 'CVE-2026-44849: `type=none,o=bind` got round the ban on bind mounts',
  try: (world) =>
    each(
      [
        { type: 'none', o: 'bind', device: '/' }, { type: 'none', o: 'rbind,rw', device: '/var/run/docker.sock' }, { o: 'bind',
          device: '/etc' }, { type: 'ext4', device: '/dev/sda1' },
        { type: 'nfs', o: 'addr=127.0.0.1', device: ':/' }, { type: 'tmpfs', device: 'tmpfs' }, { Type: 'none', O: 'bind', Device: '/' },
          { 'o ': 'bind' }, { '': '' }, { device: '' },
      ],
      (DriverOpts) => world.call('POST', `${v}/volumes/create`, { Name: `tried-${world.count()}`, Driver: 'local', DriverOpts }),
    ),
};
