import { type Attempt, hostConfigs, spellings } from './book';

export const attempt: Attempt = {
  title: 'take over the volumes of containers of others',
  source: 'mounts that come along by `VolumesFrom` and stand nowhere in the body',
  try: (world) => hostConfigs(world, world.foreign.flatMap(({ container: thing }) => [...spellings(thing), `/${thing.name}`,
    `${thing.name}:ro`, `${thing.id}:rw,z`]).map((which) => ({ VolumesFrom: [which] }))),
};
