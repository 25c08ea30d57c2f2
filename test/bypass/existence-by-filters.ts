import { type Attempt, type Json, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'learn from a list whether somebody has an object of that name',
  source: 'engines refuse filters that name what does not exist, and answer an empty list for what does',
  alike: true,
  harmless: 'a list is answered; what others have is cut out of it',
  async try(world) {
    const filters = (each: Json): string => encodeURIComponent(JSON.stringify(each));
    return calls(world, world.foreign.flatMap(({ container: { id, name }, network, volume, service }) => [
      ...['before', 'since'].flatMap((key) => [name, 'nothing', id, '0'.repeat(64)].flatMap((which): Call[] => [['GET',
        `/containers/json?all=1&filters=${filters({ [key]: [which] })}`]])),
      ...['before', 'since'].flatMap((key) => [name, 'nothing', id, '0'.repeat(64)].flatMap((which): Call[] => [['GET',
        `/containers/json?all=1&${key}=${which}`]])),
      ...[network.name, 'nothing'].map((which): Call => ['GET', `/containers/json?all=1&filters=${filters({ network: [which] })}`]),
        ...[service.name, 'nothing', service.id, '0'.repeat(25), service.id.slice(0, 12), '0'.repeat(12)].map((which): Call => ['GET', `/tasks?filters=${filters({ service: [which] })}`]),
        ...[volume, 'nothing'].map((which): Call => ['GET', `/containers/json?all=1&filters=${filters({ volume: [which] })}`]),
    ]));
  },
};
