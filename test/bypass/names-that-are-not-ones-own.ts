import { archive, type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'give an image a name to which one may not push, or none',
  source: 'on a node, whoever names an image decides what the name means',
  try(world) {
    const { signed, signedDigest, hidden } = world.images;
    const repository = signed.slice(0, signed.lastIndexOf(':'));
    const names = [signed, `${repository}@${signedDigest}`, `${repository}:signed@${signedDigest}`, repository, hidden, 'x', 'alpine:latest', 'docker.io/library/alpine',
      `${world.registry}/x`, `${world.registry}/bob/x:one`, `${world.registry}/system/x`, `${world.registry}/Ann/x:one`, `${world.registry}/ann/../acme/web:one`,
      `${world.registry}.evil/ann/x`, `${world.registry}/ann/x:one@${signedDigest}`, 'a'.repeat(64), ''];
    return calls(world, names.flatMap((name): Call[] => {
      const text = encodeURIComponent(name);
      return [['POST', `/images/${signed}/tag?repo=${text}`], ['POST', `/commit?container=${world.own.container.id}&repo=${text}`, {}], ['POST',
        `/images/create?fromSrc=-&repo=${text}`, archive([['x', 'x']])], ['POST', `/build?t=${text}`, archive([['Dockerfile', 'FROM scratch\nCOPY Dockerfile /']])],
        ['POST', `/build?t=${encodeURIComponent(`${world.registry}/ann/x:one`)}&t=${text || 'x'}`, archive([['Dockerfile', 'FROM scratch\nCOPY Dockerfile /']])]];
    }));
  },
};
