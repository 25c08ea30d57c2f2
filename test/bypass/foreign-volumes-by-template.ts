import { type Attempt, each, service, updateService, v } from './book';

/** Ways to write a name of which swarm makes another one on the node. */
const templates = (name: string): string[] => [`{{"${name}"}}`, `${name.slice(0, 2)}{{""}}${name.slice(2)}`, '{{.Service.Labels.which}}', `{{printf "%s" "${name}"}}`, `{{slice "x${name}" 1}}`];

export const attempt: Attempt = {
  title: 'mount volumes of others by a template',
  source: 'swarm expands the source of a mount when it makes a task, after everybody has looked at it',
  async try(world) {
    const sources = world.foreign.flatMap(({ volume }) => templates(volume).map((Source) => ({ Source, which: volume })));
    return [
      ...(await each(sources.flatMap((each) => [{ ...each, Type: 'volume' }, { ...each, Type: 'cluster' }]), ({ Source, which, Type }) => world.call('POST', `${v}/services/create`,
        service(world, { Mounts: [{ Type, Source, Target: '/x' }] }, { Labels: { which } })))),
      ...(await each(sources, ({ Source }) => updateService(world, { Mounts: [{ Type: 'volume', Source, Target: '/x' }] }))),
    ];
  },
};
