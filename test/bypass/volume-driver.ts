import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'make a volume by a driver, which is a program on the host',
  source: 'volume drivers are plugins: root on the host',
  try: (world) =>
    each(['vieux/sshfs', 'LOCAL', 'local ', './local', 'nfs', 'local:latest'], (Driver) => world.call('POST', `${v}/volumes/create`,
      { Name: `tried-${world.count()}`, Driver })),
};
