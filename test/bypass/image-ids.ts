import { type Attempt, references } from './book';

export const attempt: Attempt = {
  title: 'run an image by its id',
  source: 'an id names what is on the node, wherever it came from',
  try: (world) => {
    const hex = world.images.unsignedId.slice(7);
    return references(world, [world.images.unsignedId, hex, hex.slice(0, 12), hex.slice(0, 6), `sha256:${hex.slice(0, 12)}`,
      `sha256@${world.images.unsignedId}`, world.images.hiddenId, world.images.hiddenId.slice(7, 19)]);
  },
};
