import { type Attempt, service, updateService, v } from './book';

export const attempt: Attempt = {
  title: 'run the tasks of a service in the host’s network',
  source: 'CVE-2026-44849: services were created with `host` where containers could not be',
  async try(world) {
    const host = [{ Target: 'host' }];
    return [
      await world.call('POST', `${v}/services/create`, service(world, {}, { Networks: host })), await world.call('POST',
        `${v}/services/create`, service(world, {}, { TaskTemplate: { Networks: host } })), await updateService(world, {},
        { Networks: host }),
      await world.call('POST', `${v}/services/create`, service(world, {}, { TaskTemplate: { Networks: [{ Target: 'bridge' }] } })),
        await world.call('POST', `${v}/services/create`, service(world, {},
        { TaskTemplate: { NetworkAttachmentSpec: { ContainerID: world.foreign[0]!.container.id } } })),
    ];
  },
};
