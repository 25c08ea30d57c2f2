import { type Attempt, type Call, calls, container } from './book';

export const attempt: Attempt = {
  title: 'put a command for a shell into names and references',
  source: 'CVE-2025-66209 and its family: control planes that put names into shell commands',
  try: (world) =>
    calls(world, ['$(touch /tmp/gantry-bypass)', '`id`', ';id', '|id', '&&id', "'||id||'", '--privileged', '-v', 'a\nb',
      '{{.}}'].flatMap((Name): Call[] => {
      const name = encodeURIComponent(Name);
      return [
        ['POST', `/containers/create?name=${name}`, container(world)], ['POST', '/containers/create', container(world,
          { Image: `${world.images.signed}${Name}` })], ['POST', '/volumes/create', { Name }], ['POST',
          `/containers/${world.own.container.id}/rename?name=${name}`], ['POST', `/images/create?fromImage=${name}&tag=x`],
      ];
    })),
};
