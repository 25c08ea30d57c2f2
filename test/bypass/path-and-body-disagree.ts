import { type Attempt, type Call, calls, service, spellings } from './book';

export const attempt: Attempt = {
  title: 'name one’s own object in the path, and another’s in the body or query',
  source: 'CVE-2022-31667: the right was checked on the project of the path, the change made to that of the body',
  try: (world) =>
    calls(world,
      world.foreign.flatMap(({ container: thing, network }): Call[] => [
        ...spellings(thing).flatMap((Container): Call[] => [
          ['POST', `/networks/${world.own.network.id}/connect`, { Container }], ['POST', `/networks/${world.own.network.id}/disconnect`,
            { Container, Force: true }], ['POST', `/networks/${network.id}/disconnect`, { Container, Force: true }],
          ['POST', `/commit?container=${Container}&repo=x`, {}],
        ]),
        ['POST', `/services/${world.own.service.id}/update?version=${world.own.serviceVersion}`, service(world, {},
          { Name: world.own.service.name, ID: world.foreign[0]!.service.id })],
      ]),
    ),
};
