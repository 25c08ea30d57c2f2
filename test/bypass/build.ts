import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'build an image under a signed name, or on the host’s network',
  source: 'a build runs programs, and names what comes of it',
  async try(world) {
    const { signed, unsigned } = world.images;
    const tar = Buffer.alloc(1024);
    return calls(world, ['', `t=${encodeURIComponent(signed)}`, 'networkmode=host',
      `networkmode=container:${world.foreign[0]!.container.id}`, 'version=2', `cachefrom=${encodeURIComponent(JSON.stringify([unsigned]))}`,
      'securityopt=%5B%22seccomp%3Dunconfined%22%5D', 'cgroupparent=%2F'].map((query): Call => ['POST', `/build?${query}`,
      tar]).concat([['POST', '/build/cancel?id=x']]));
  },
};
