import { type Attempt, type Call, calls, spellings } from './book';

export const attempt: Attempt = {
  title: 'look at and remove services and tasks of others',
  source: 'rights checked on containers and not on services',
  try: (world) =>
    calls(world, world.foreign.flatMap(({ service: thing, task }) => [
      ...spellings(thing).flatMap((which): Call[] => [['GET', `/services/${which}`], ['GET', `/services/${which}?insertDefaults=1`], ['GET',
        `/services/${which}/logs?stdout=1&stderr=1`], ['GET', `/services/${which}/logs?stdout=1&details=1&tail=all`], ['DELETE',
        `/services/${which}`]]),
      ...[task, task.slice(0, 12), task.slice(0, 6)].flatMap((which): Call[] => [['GET', `/tasks/${which}`], ['GET',
        `/tasks/${which}/logs?stdout=1&stderr=1`]]),
    ])),
};
