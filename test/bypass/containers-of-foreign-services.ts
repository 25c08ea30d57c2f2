import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'reach the tasks of services of others by their containers',
  source: 'what swarm starts carries no mark of who asked for it',
  async try(world) {
    const names = world.foreign.flatMap(({ service: thing, task }) => [`${thing.name}.1.${task}`]);
    return calls(world, names.flatMap((which): Call[] => [['GET', `/containers/${which}/json`], ['POST', `/containers/${which}/exec`,
      { Cmd: ['id'] }], ['DELETE', `/containers/${which}?force=1`], ['GET', `/containers/${which}/logs?stdout=1`], ['POST',
      `/containers/${which}/stop?t=0`]]));
  },
};
