import { type Attempt, type Json, type Reply, each, v } from './book';

export const attempt: Attempt = {
  title: 'move one’s service to another collection by changing its label',
  source: 'a label that counted at creation, edited afterwards',
  async try(world) {
    const { version, spec } = await world.service(world.own.service.id);
    const update = (Labels: Json): Promise<Reply> => world.call('POST', `${v}/services/${world.own.service.id}/update?version=${version}`,
      { ...spec, Labels });
    return each(['/', '/System', '/Shared/Private/bob'], (path) => update({ ...(spec['Labels'] as Json), 'io.gantry.collection': path }));
  },
};
