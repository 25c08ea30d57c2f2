import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'start, steer and look at execs of others by their ids',
  source: 'an exec has an id of its own, which is judged by nothing that the path says',
  try: (world) =>
    calls(world, world.foreign.flatMap(({ exec }) => [exec, exec.slice(0, 12), exec.toUpperCase()]).flatMap((id): Call[] => [
      ['POST', `/exec/${id}/start`, { Detach: false, Tty: false }], ['POST', `/exec/${id}/start`, { Detach: true }], ['POST',
        `/exec/${id}/start`], ['POST', `/exec/${id}/resize?h=1&w=1`], ['GET', `/exec/${id}/json`],
    ])),
};
