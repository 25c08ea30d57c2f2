import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'say one method and mean another',
  source: 'frameworks that take the method from a header or parameter',
  async try(world) {
    const { own: { container: { id } } } = world;
    return [
      ...(await each(['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'], (name) => world.call('GET',
        `${v}/containers/${world.foreign[0]!.container.id}/json`, undefined, { [name]: 'DELETE' }))), await world.call('GET',
        `${v}/containers/${id}/json?_method=DELETE`), await world.call('POST', `${v}/containers/json?_method=GET`),
    ];
  },
};
