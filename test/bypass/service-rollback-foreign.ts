import { type Attempt, each, service, spellings, v } from './book';

export const attempt: Attempt = {
  title: 'roll back a service that belongs to somebody else',
  source: 'checks on one path and not on the twin path',
  try: (world) =>
    each(
      world.foreign.flatMap(({ service: thing, serviceVersion }) => spellings(thing).map((which) => ({ which, Name: thing.name,
        serviceVersion }))),
      ({ which, Name, serviceVersion }) => world.call('POST', `${v}/services/${which}/update?version=${serviceVersion}&rollback=previous`,
        service(world, {}, { Name })),
    ),
};
