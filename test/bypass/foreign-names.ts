import { type Attempt, type Things, container, each, service, v } from './book';

export const attempt: Attempt = {
  title: 'take names that others have',
  source: 'names that are shared by all who use an engine; what is refused must not tell whose they are',
  async try(world) {
    const [first, second] = world.foreign as readonly [Things, Things];
    return [
      ...(await each([first, second], ({ container: { name } }) => world.call('POST', `${v}/containers/create?name=${name}`,
        container(world)))), ...(await each([first, second], ({ container: { name } }) => world.call('POST',
        `${v}/containers/create?name=%2F${name}`, container(world)))),
      ...(await each([first, second], ({ service: { name } }) => world.call('POST', `${v}/services/create`, service(world, {},
        { Name: name })))), ...(await each([first, second], ({ secret: { name } }) => world.call('POST', `${v}/secrets/create`,
        { Name: name, Data: 'YQ==' }))),
      ...(await each([first, second], ({ config: { name } }) => world.call('POST', `${v}/configs/create`, { Name: name, Data: 'YQ==' }))),
    ];
  },
};
