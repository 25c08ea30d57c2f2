import { type Attempt, each, service, updateService, v } from './book';

export const attempt: Attempt = {
  title: 'pull by the credentials that a service has, what its owner may not pull',
  source: '`registryAuthFrom` makes the engine take credentials that the caller never had',
  async try(world) {
    const { hidden, hiddenDigest } = world.images;
    const pinned = `${hidden.slice(0, hidden.lastIndexOf(':'))}@${hiddenDigest}`;
    return [
      ...(await each(['spec', 'previous-spec', 'previous', 'other'], (from) => updateService(world, { Image: hidden }, {},
        `&registryAuthFrom=${from}`))), await updateService(world, { Image: pinned }, {}, '&registryAuthFrom=previous-spec'),
      ...(await each(world.foreign, (things) => world.call('POST',
        `${v}/services/${things.service.id}/update?version=${things.serviceVersion}&registryAuthFrom=spec`, service(world, {},
        { Name: things.service.name })))),
    ];
  },
};
