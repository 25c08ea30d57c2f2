import { type Attempt, each, service, v } from './book';

export const attempt: Attempt = {
  title: 'run a plugin of the engine as a service',
  source: '`PluginSpec` installs what is root on every node',
  try: (world) =>
    each(
      [
        { Runtime: 'plugin', PluginSpec: { name: 'x', remote: 'vieux/sshfs', privileges: [] } }, { Runtime: 'plugin' },
          { PluginSpec: { Name: 'x', Remote: 'vieux/sshfs' } }, { PluginSpec: {} }, { Runtime: 'types.docker.com/RuntimePlugin' },
          { Runtime: 'Plugin' }, { runtime: 'plugin' }, { Runtime: 'attachment' },
        { GenericResources: [{ DiscreteResourceSpec: { Kind: 'gpu', Value: 1 } }] },
          { Resources: { Reservations: { GenericResources: [{ DiscreteResourceSpec: { Kind: 'gpu', Value: 1 } }] } } },
          { LogDriver: { Name: 'syslog', Options: { 'syslog-address': 'tcp://127.0.0.1:1' } } },
      ],
      (TaskTemplate) => world.call('POST', `${v}/services/create`, service(world, {}, { TaskTemplate })),
    ),
};
