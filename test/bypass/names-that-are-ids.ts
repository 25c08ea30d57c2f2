import { type Attempt, container, each, service, v } from './book';

export const attempt: Attempt = {
  title: 'give one’s own objects names that are ids of others',
  source: 'whoever types a short id would get another object',
  async try(world) {
    const names = world.foreign.flatMap(({ container: { id } }) => [id, id.slice(0, 12), id.slice(0, 4)]);
    return [
      ...(await each(names, (name) => world.call('POST', `${v}/containers/create?name=${name}`, container(world)))), ...(await each(names,
        (name) => world.call('POST', `${v}/containers/${world.own.container.id}/rename?name=${name}`))),
      ...(await each(world.foreign, ({ service: { id } }) => world.call('POST', `${v}/services/create`, service(world, {}, { Name: id })))),
        ...(await each(world.foreign, ({ secret: { id } }) => world.call('POST', `${v}/secrets/create`, { Name: id, Data: 'YQ==' }))),
      ...(await each(world.foreign, ({ config: { id } }) => world.call('POST', `${v}/configs/create`, { Name: id, Data: 'YQ==' }))),
    ];
  },
};
