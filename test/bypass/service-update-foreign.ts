import { type Attempt, each, service, spellings, v } from './book';

export const attempt: Attempt = {
  title: 'update services that belong to somebody else',
  source: 'CVE-2026-44849: updates were not checked against the owner of the service',
  try: (world) =>
    each(
      world.foreign.flatMap(({ service: thing, serviceVersion }) => spellings(thing).map((which) => ({ which, Name: thing.name,
        serviceVersion }))),
      ({ which, Name, serviceVersion }) => world.call('POST', `${v}/services/${which}/update?version=${serviceVersion}`, service(world, {},
        { Name })),
    ),
};
