import { type Attempt, each, service, v } from './book';

export const attempt: Attempt = {
  title: 'write members of a service in other case',
  source: 'CVE class of case-folding JSON, on the path that is checked by another hand',
  try: (world) =>
    each(
      [
        { tasktemplate: { ContainerSpec: { Image: 'alpine' } } }, { TaskTemplate: { containerspec: { Image: 'alpine' } } },
          { TaskTemplate: { runtime: 'plugin', pluginspec: { name: 'x' } } }, { networks: [{ Target: 'host' }] },
          { TaskTemplate: { 'Network\u017f': [{ Target: 'host' }] } }, { labels: { 'io.gantry.collection': '/' } },
        { TaskTemplate: { Placement: { constraints: [] } } }, { name: world.foreign[0]!.service.name },
      ],
      (change) => world.call('POST', `${v}/services/create`, service(world, {}, change)),
    ),
};
