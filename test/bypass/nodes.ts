import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'promote, drain, rename or remove nodes',
  source: 'who is a manager of the swarm can do everything',
  try: (world) =>
    calls(world, [
      ...[{ Role: 'manager', Availability: 'active' }, { Role: 'worker', Availability: 'active' }, { Role: 'manager',
        Availability: 'drain' }, { Availability: 'pause', Role: 'manager' }, { Role: 'manager', Availability: 'active',
        Labels: { zone: 'a' } }, { Name: 'x', Role: 'manager', Availability: 'active' }, {}].flatMap((body): Call[] => [
        ['POST', `/nodes/${world.node}/update?version=${world.nodeVersion}`, body], ['POST',
          `/nodes/self/update?version=${world.nodeVersion}`, body]]),
      ['DELETE', `/nodes/${world.node}?force=1`], ['DELETE', `/nodes/${world.node}`],
    ]),
};
