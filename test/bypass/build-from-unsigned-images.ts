import { archive, type Attempt, calls, type Call } from './book';

export const attempt: Attempt = {
  title: 'run an unsigned image as the beginning of a build',
  source: 'RUN in a Dockerfile is as good as docker run',
  try(world) {
    const { unsigned, unsignedDigest, unsignedId } = world.images;
    const repository = unsigned.slice(0, unsigned.lastIndexOf(':'));
    const t = `t=${encodeURIComponent(`${world.registry}/ann/run:one`)}`;
    return calls(world, [unsigned, `${repository}@${unsignedDigest}`, `${repository}:signed@${unsignedDigest}`, unsignedId].flatMap((name) =>
      [`FROM ${name}\nRUN true\n`, `FROM scratch AS a\nFROM ${name} AS b\nRUN true\nFROM a\n`].map((text): Call => ['POST', `/build?${t}&networkmode=none`,
        archive([['Dockerfile', text]])])));
  },
};
