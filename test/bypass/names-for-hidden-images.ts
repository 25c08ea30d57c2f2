import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'give a hidden image, or somebody’s container, a name of one’s own, and take it from there',
  source: 'who may name an image may push it, save it, and build from it',
  try(world) {
    const { hidden, hiddenId, nameless } = world.images;
    const mine = `repo=${encodeURIComponent(`${world.registry}/ann/stolen`)}&tag=one`;
    const sources = [hidden, hiddenId, hiddenId.slice(7), hiddenId.slice(7, 19), nameless];
    return calls(world, [
      ...sources.flatMap((source): Call[] => [['POST', `/images/${source}/tag?${mine}`], ['GET', `/images/${source}/get`], ['GET',
        `/images/get?names=${encodeURIComponent(source)}`], ['GET', `/images/get?names=${encodeURIComponent(world.images.signed)}&names=${encodeURIComponent(source)}`],
        ['POST', `/images/${source}/push?tag=one`], ['DELETE', `/images/${source}`], ['DELETE', `/images/${source}?force=1`]]),
      ...world.foreign.map(({ container }): Call => ['POST', `/commit?container=${container.id}&${mine}`, {}]),
      ['GET', '/images/get'], ['POST', `/images/${hidden.slice(0, hidden.lastIndexOf(':'))}/push`],
    ]);
  },
};
