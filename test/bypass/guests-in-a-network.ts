import { type Attempt, calls } from './book';

export const attempt: Attempt = {
  title: 'learn who has joined one’s own network',
  source: 'objects that tell of other objects',
  harmless: 'the network is ann’s own; who else has joined it is cut out',
  try: (world) => calls(world, [['GET', `/networks/${world.own.network.id}`], ['GET', `/networks/${world.own.network.name}?verbose=1`],
    ['GET', '/networks'], ['GET', `/containers/${world.own.container.id}/json`]]),
};
