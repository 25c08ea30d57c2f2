import { type Attempt, type Call, calls, container } from './book';

export const attempt: Attempt = {
  title: 'learn whether a repository exists that may not be pulled',
  source: 'CVE-2019-19030: what was not there was refused otherwise than what was not allowed',
  alike: true,
  async try(world) {
    const { hidden } = world.images;
    const names = [hidden, hidden.replace(/:[^:/]*$/, ':nothing')];
    return calls(world, [
      ...names.map((Image): Call => ['POST', '/containers/create', container(world, { Image })]), ...names.map((name): Call => ['GET',
        `/images/${name}/json`]), ...names.map((name): Call => ['GET', `/images/${name}/history`]), ...names.map((name): Call => ['POST',
        `/images/create?fromImage=${encodeURIComponent(name)}`]),
    ]);
  },
};
