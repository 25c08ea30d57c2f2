import { type Attempt, references } from './book';

export const attempt: Attempt = {
  title: 'show a signed tag, and run the digest behind it',
  source: 'references that hold a tag and a digest of different images',
  try: (world) => {
    const { signed, signedDigest, unsigned, unsignedDigest } = world.images;
    const repository = signed.slice(0, signed.lastIndexOf(':'));
    return references(world, [`${signed}@${unsignedDigest}`, `${unsigned}@${unsignedDigest}`, `${signed}@${signedDigest}@${unsignedDigest}`,
      `${repository}@${unsignedDigest}:signed`, `${signed}:other`, `${signed}@sha256:${signedDigest.slice(7, 20)}`,
      `${signed}@SHA256:${unsignedDigest.slice(7)}`, `${signed}@sha512:${unsignedDigest.slice(7)}`,
      `${signed}@${unsignedDigest.toUpperCase()}`]);
  },
};
