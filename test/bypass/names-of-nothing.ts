import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'leave the name in the path empty, or make it mean all',
  source: 'names that lead to the list, or to another object',
  try: (world) =>
    calls(world, ['', '.', '..', '*', '%2e', '%20', '-', '_', '0', 'null', 'undefined', 'json', 'create',
      'a'.repeat(300)].flatMap((name): Call[] => [['GET', `/containers/${name}/json`], ['DELETE', `/containers/${name}?force=1`], ['POST',
      `/containers/${name}/stop`], ['DELETE', `/volumes/${name}`], ['DELETE', `/networks/${name}`], ['GET', `/secrets/${name}`]])),
};
