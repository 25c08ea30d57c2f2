import { type Attempt, type Call, calls, spellings } from './book';

export const attempt: Attempt = {
  title: 'connect to and disconnect from networks of others',
  source: 'peers that check who may create a network, and not who may join it',
  try: (world) =>
    calls(
      world,
      world.foreign.flatMap(({ network, container: thing }) => spellings(network).flatMap((which): Call[] => [
        ['POST', `/networks/${which}/connect`, { Container: world.own.container.id }], ['POST', `/networks/${which}/connect`,
          { Container: thing.id }], ['POST', `/networks/${which}/disconnect`, { Container: thing.id, Force: true }],
        ['POST', `/networks/${which}/disconnect`, { Container: world.own.container.id, Force: true }], ['GET', `/networks/${which}`],
          ['GET', `/networks/${which}?verbose=1&scope=swarm`], ['DELETE', `/networks/${which}`],
      ])),
    ),
};
