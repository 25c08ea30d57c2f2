import { type Attempt, type Json, each, service, v } from './book';

export const attempt: Attempt = {
  title: 'learn from a refusal whose service has a port',
  source: 'swarm names the service that has published a port to whoever asks for it',
  async try(world) {
    const wishes = [{ Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: world.takenPort, PublishMode: 'ingress' }] }, { Mode: 'vip', Ports: [{ TargetPort: 8080, PublishedPort: world.takenPort }] }];
    // With a volume of its own, a refusal goes another way.
    const mounts = (): Json[] => [{}, { Mounts: [{ Type: 'volume', Source: `tried-${world.count()}`, Target: '/x' }] }];
    const { service: { id } } = world.own;
    const replies = await each(wishes.flatMap((EndpointSpec) => [...mounts().map((change) => ({ EndpointSpec, change, isNew: true })), ...mounts().map((change) => ({ EndpointSpec, change, isNew: false }))]),
      async ({ EndpointSpec, change, isNew }) => {
        if (isNew) return world.call('POST', `${v}/services/create`, service(world, change, { EndpointSpec }));
        const { version, spec } = await world.service(id);
        const template = spec['TaskTemplate'] as Json;
        return world.call('POST', `${v}/services/${id}/update?version=${version}`, { ...spec, EndpointSpec, TaskTemplate: { ...template, ContainerSpec: { ...(template['ContainerSpec'] as Json), ...change } } });
      });
    // Where nothing has the port, there is nothing to learn.
    if (!replies.every(({ body }) => body.includes(String(world.takenPort)))) throw new Error(replies.map(({ status, body }) => `${status} ${body}`).join('\n'));
    return replies;
  },
};
