import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'write parameters in other case, or with characters around them',
  source: 'parsers that fold or trim what others take as it is',
  try: (world) => {
    const own = world.own.container.id;
    const name = world.foreign[0]!.container.name;
    return calls(world, [`rename?Name=${name}`, `rename?NAME=${name}`, `rename?%20name=${name}`, `rename?name%00=${name}`,
      `rename?name=%00${name}`, `rename?name=${name}%00`, `rename?name.=${name}`, `rename?+name=${name}`, 'kill?Signal=KILL', 'stop?T=0',
      'kill?signal=KILL%00', 'restart?x=1', 'rename?', 'rename?name'].map((tail): Call => ['POST',
      `/containers/${own}/${tail}`]).concat([['GET', '/containers/json?All=1'], ['GET', '/containers/json?all=maybe'], ['GET',
      '/containers/json?limit=1e3'], ['GET', '/containers/json?size=%00']]));
  },
};
