import { type Attempt, containers, each, service, v } from './book';

export const attempt: Attempt = {
  title: 'ask by the label for collections that are not one’s own',
  source: 'labels are written by whoever creates an object',
  async try(world) {
    const labels = ['/', '/System', '/Shared', '/Shared/Private', '/Shared/Private/bob', '/Shared/Private/ann/../bob',
      '/shared/private/bob', '/Shared/Private/bob/', '/floor', '/nothing', '00000000-0000-0000-0000-000000000000'];
    return [
      ...(await containers(world, labels.map((label) => ({ Labels: { 'io.gantry.collection': label } })))),
      ...(await each(labels, (label) => world.call('POST', `${v}/volumes/create`, { Name: `tried-${world.count()}`,
        Labels: { 'io.gantry.collection': label } }))),
      ...(await each(labels.slice(0, 5), (label) => world.call('POST', `${v}/services/create`, service(world, {},
        { Labels: { 'io.gantry.collection': label } })))),
    ];
  },
};
