import { type Attempt, calls } from './book';

export const attempt: Attempt = {
  title: 'bring an image to the node by another way than a pull, under a signed name',
  source: 'names of images on a node are given by whoever writes there',
  async try(world) {
    const { signed } = world.images;
    const repository = signed.slice(0, signed.lastIndexOf(':'));
    const tar = Buffer.alloc(1024);
    return calls(world, [
      ['POST', '/images/load?quiet=1', tar], ['POST', `/images/create?fromSrc=-&repo=${encodeURIComponent(repository)}&tag=signed`, tar],
        ['POST', `/images/create?fromSrc=-&repo=${encodeURIComponent(signed)}`, tar], ['POST', '/images/create?fromSrc=-', tar],
      ['POST', `/commit?container=${world.own.container.id}&repo=${encodeURIComponent(repository)}&tag=signed`, {}], ['POST',
        `/commit?container=${world.own.container.id}`, {}], ['POST',
        `/commit?container=${world.own.container.id}&changes=${encodeURIComponent('ENTRYPOINT ["sh"]')}`],
      ['POST', `/images/${world.images.unsigned}/tag?repo=${encodeURIComponent(repository)}&tag=signed`], ['POST',
        `/images/${world.images.unsignedId}/tag?repo=${encodeURIComponent(signed)}`], ['POST', `/images/${signed}/tag?repo=x&tag=y`],
        ['DELETE', `/images/${signed}`], ['DELETE', `/images/${signed}?force=1&noprune=0`],
    ]);
  },
};
