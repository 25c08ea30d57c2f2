import { type Attempt, type Json, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'ask lists for others’ objects by filters',
  source: 'filters that are carried out before the rights are',
  harmless: 'a list is answered; what others have is cut out of it',
  async try(world) {
    const filters = (each: Json): string => encodeURIComponent(JSON.stringify(each));
    return calls(world, world.foreign.flatMap((things): Call[] => [
      ...[{ id: [things.container.id] }, { name: [things.container.name] }, { volume: [things.volume] }, { network: [things.network.name] },
        { network: [things.network.id] }, { label: ['tried'] }, { ancestor: [world.images.unsigned] }, { status: ['running', 'created',
        'exited'] }].map((each): Call => ['GET', `/containers/json?all=1&filters=${filters(each)}`]),
      ...[{ id: [things.network.id] }, { name: [things.network.name] }, { driver: ['bridge', 'overlay'] }, { scope: ['local'] },
        { type: ['custom'] }, { dangling: { true: true } }].map((each): Call => ['GET', `/networks?filters=${filters(each)}`]),
      ...[{ name: [things.volume] }, { driver: ['local'] }, { dangling: ['true'] }, { dangling: ['false'] }].map((each): Call => ['GET',
        `/volumes?filters=${filters(each)}`]),
      ...[{ id: [things.service.id] }, { name: [things.service.name] }, { mode: ['replicated'] }].map((each): Call => ['GET',
        `/services?filters=${filters(each)}`]),
      ...[{ id: [things.task] }, { service: [things.service.name] }, { service: [things.service.id] }, { 'desired-state': ['running'] },
        { node: [world.node] }].map((each): Call => ['GET', `/tasks?filters=${filters(each)}`]),
      ...[{ id: [things.secret.id] }, { name: [things.secret.name] }, { names: [things.secret.name] }].map((each): Call => ['GET',
        `/secrets?filters=${filters(each)}`]),
      ...[{ id: [things.config.id] }, { name: [things.config.name] }].map((each): Call => ['GET', `/configs?filters=${filters(each)}`]),
      ...[{ reference: ['*'] }, { reference: ['*/*/*'] }, { dangling: ['true'] }, { before: [world.images.unsigned] },
        { since: [world.images.hidden] }].map((each): Call => ['GET', `/images/json?all=1&filters=${filters(each)}`]),
    ]));
  },
};
