import { type Attempt, type Reply, container, v } from './book';

export const attempt: Attempt = {
  title: 'pretend that a container is a task of somebody else’s service',
  source: '`com.docker.swarm.service.id` is a label like any other to an engine',
  harmless: 'what is made is ann’s own whatever its labels say, and is removed by her; the service that it names stays hidden',
  async try(world) {
    const replies: Reply[] = [];
    for (const { service: thing, task } of world.foreign) {
      const made = await world.call('POST', `${v}/containers/create`, container(world, { Labels: { 'com.docker.swarm.service.id': thing.id,
        'com.docker.swarm.service.name': thing.name, 'com.docker.swarm.task.id': task } }));
      replies.push(made, await world.call('GET', `${v}/services/${thing.id}`), await world.call('GET', `${v}/tasks/${task}`),
        await world.call('GET', `${v}/services`), await world.call('GET', `${v}/tasks`));
      if (made.status === 201) replies.push(await world.call('DELETE', `${v}/containers/${(JSON.parse(made.body) as { Id: string }).Id}`));
    }
    return replies;
  },
};
