import { type Attempt, references } from './book';

export const attempt: Attempt = {
  title: 'run an image that only the node has',
  source: 'whoever can load or build on a node gives it any name',
  try: (world) => references(world, [world.images.onNode, world.images.nameless, `docker.io/library/${world.images.nameless}`,
    `${world.images.onNode}@${world.images.unsignedDigest}`, 'alpine', 'scratch']),
};
