import { type Attempt, type Json, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'learn from a list whether a node has an image that may not be pulled',
  source: 'engines refuse filters that name an image that they do not have',
  alike: true,
  harmless: 'a list is answered; images that may not be pulled are cut out of it',
  async try(world) {
    const filters = (each: Json): string => encodeURIComponent(JSON.stringify(each));
    const hidden = [world.images.hidden, world.images.hidden.replace(/:[^:/]*$/, ':nothing')];
    return calls(world, [
      ...['before', 'since'].flatMap((key) => hidden.map((which): Call => ['GET', `/images/json?filters=${filters({ [key]: [which] })}`])),
        ...hidden.map((which): Call => ['GET', `/containers/json?all=1&filters=${filters({ ancestor: [which] })}`]),
      ...hidden.map((which): Call => ['GET', `/images/json?filter=${encodeURIComponent(which)}`]), ...hidden.map((which): Call => ['GET',
        `/images/json?filters=${filters({ reference: [which] })}`]),
    ]);
  },
};
