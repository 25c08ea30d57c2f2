import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'look at and remove volumes of others',
  source: 'rights checked on containers and not on what they use',
  try: (world) => calls(world, world.foreign.flatMap(({ volume }): Call[] => [['GET', `/volumes/${volume}`], ['DELETE',
    `/volumes/${volume}`], ['DELETE', `/volumes/${volume}?force=1`], ['PUT', `/volumes/${volume}?version=1`, { Spec: {} }], ['GET',
    `/volumes/${volume.toUpperCase()}`]])),
};
