import { type Attempt, containerSpecs, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'mount the content of an image that may not run',
  source: 'images as volumes: content without a container of its own',
  async try(world) {
    const mounts = [world.images.hidden, world.images.unsigned, world.images.unsignedId,
      world.images.nameless].map((Source) => ({ Mounts: [{ Type: 'image', Source, Target: '/x' }] }));
    return [...(await hostConfigs(world, mounts)), ...(await containerSpecs(world, mounts))];
  },
};
