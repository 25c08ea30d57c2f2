import { type Attempt, type Json, each, v } from './book';

export const attempt: Attempt = {
  title: 'run more of what a policy has forbidden since it began',
  source: 'an update that changes everything but the image',
  async try(world) {
    const { version, spec } = await world.service(world.oldService);
    const task = spec['TaskTemplate'] as Json;
    return each([{ ...spec, Mode: { Replicated: { Replicas: 3 } } }, { ...spec, TaskTemplate: { ...task, ForceUpdate: 1 } }, spec,
      { ...spec, TaskTemplate: { ...task, ContainerSpec: { ...(task['ContainerSpec'] as Json), Args: ['x'] } } }],
      (body) => world.call('POST', `${v}/services/${world.oldService}/update?version=${version}`, body));
  },
};
