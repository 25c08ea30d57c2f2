import { type Attempt, type Call, calls, references } from './book';

export const attempt: Attempt = {
  title: 'use an image of a repository that may not be pulled, which the node has',
  source: 'CVE-2024-39897: what was there already was given to who might not read it',
  async try(world) {
    const { hidden, hiddenDigest, hiddenId } = world.images;
    const repository = hidden.slice(0, hidden.lastIndexOf(':'));
    const names = [hidden, `${repository}@${hiddenDigest}`, hiddenId, hiddenId.slice(7), hiddenId.slice(7, 19),
      hidden.slice(world.registry.length + 1)];
    return [
      ...(await references(world, [hidden, `${repository}@${hiddenDigest}`])),
      ...(await calls(world, names.flatMap((name): Call[] => [['GET', `/images/${name}/json`], ['GET', `/images/${name}/history`], ['GET',
        `/images/${name}/get`], ['GET', `/images/get?names=${encodeURIComponent(name)}`], ['DELETE', `/images/${name}?force=1`], ['POST',
        `/images/${name}/tag?repo=x&tag=y`], ['POST', `/images/${name}/push`], ['GET', `/distribution/${name}/json`]]))),
      ...(await calls(world, [['POST',
        `/images/create?fromImage=${encodeURIComponent(repository)}&tag=${hidden.slice(hidden.lastIndexOf(':') + 1)}`], ['POST',
        `/images/create?fromImage=${encodeURIComponent(repository)}&tag=${encodeURIComponent(hiddenDigest)}`], ['POST',
        `/images/create?fromImage=${encodeURIComponent(hidden)}`]])),
    ];
  },
};
