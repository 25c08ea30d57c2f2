import { type Attempt, references } from './book';

export const attempt: Attempt = {
  title: 'run a digest of one repository by the name of another',
  source: 'a digest is the same wherever it lies; the signature counts for a repository',
  try: (world) => {
    const { signed, hidden, unsignedDigest, hiddenDigest } = world.images;
    const [own, other] = [signed, hidden].map((name) => name.slice(0, name.lastIndexOf(':'))) as [string, string];
    return references(world, [`${own}@${hiddenDigest}`, `${other}@${unsignedDigest}`, `${own}@sha256:${'0'.repeat(64)}`,
      `${own}@${world.images.unsignedId}`]);
  },
};
