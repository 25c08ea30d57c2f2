import { type Attempt, references } from './book';

export const attempt: Attempt = {
  title: 'run an image that nobody signed',
  source: 'CVE class of Harbor’s content trust: that a signature exists was taken for that it is right',
  try: (world) => {
    const { unsigned, unsignedDigest } = world.images;
    const repository = unsigned.slice(0, unsigned.lastIndexOf(':'));
    return references(world, [unsigned, `${repository}@${unsignedDigest}`, `${unsigned}@${unsignedDigest}`, repository,
      `${repository}:latest`]);
  },
};
