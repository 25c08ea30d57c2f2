import { type Attempt, container, each, v } from './book';

export const attempt: Attempt = {
  title: 'give a parameter twice',
  source: 'one side takes the first, the other the last',
  try: (world) => {
    const own = world.own.container.id;
    const { container: foreign } = world.foreign[0]!;
    return each([`/containers/${own}/rename?name=free&name=${foreign.name}`, `/containers/${own}/rename?name=${foreign.name}&name=free`,
      `/containers/create?name=free&name=${foreign.name}`, `/commit?container=${own}&container=${foreign.id}`,
      `/containers/${own}/kill?signal=0&signal=KILL`, `/containers/${own}/stop?t=1&t=0`, `/containers/${own}/rename?name=free&n%61me=other`,
      `/containers/${own}/rename?name[]=x`,
      `/images/create?fromImage=${encodeURIComponent(world.images.signed)}&fromImage=${encodeURIComponent(world.images.hidden)}`,
      `/services/${world.own.service.id}/update?version=${world.own.serviceVersion}&version=1`], (path) =>
      world.call('POST', `${v}${path}`, path.includes('create?name') ? container(world) : undefined));
  },
};
