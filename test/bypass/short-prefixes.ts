import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'mean somebody else’s object by one letter of its id',
  source: 'engines take the beginning of an id for the id where only one begins so',
  try: (world) =>
    calls(world, world.foreign.flatMap(({ container: c, network, service: s, secret, config, exec }) => [1, 2, 3, 8,
      63].flatMap((length): Call[] => [
      ['GET', `/containers/${c.id.slice(0, length)}/json`], ['DELETE', `/containers/${c.id.slice(0, length)}?force=1`], ['DELETE',
        `/networks/${network.id.slice(0, length)}`], ['GET', `/services/${s.id.slice(0, length)}`], ['DELETE',
        `/services/${s.id.slice(0, length)}`], ['DELETE', `/secrets/${secret.id.slice(0, length)}`], ['DELETE',
        `/configs/${config.id.slice(0, length)}`], ['GET', `/exec/${exec.slice(0, length)}/json`],
    ]))),
};
