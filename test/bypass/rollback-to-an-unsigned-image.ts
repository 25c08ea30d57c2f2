import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'go back to a spec from before the policy',
  source: 'a rollback runs what does not stand in its body',
  async try(world) {
    const { version, spec } = await world.service(world.own.service.id);
    return each(['rollback=previous', 'rollback=previous&registryAuthFrom=previous-spec', 'rollback=Previous',
      'rollback=previous&rollback=', 'rollback=previous%20'], (query) => world.call('POST',
      `${v}/services/${world.own.service.id}/update?version=${version}&${query}`, spec));
  },
};
