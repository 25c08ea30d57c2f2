import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'pull all that a repository has, or what a second tag names',
  source: 'a pull without a tag is a pull of all of them',
  try: (world) => {
    const repository = world.images.unsigned.slice(0, world.images.unsigned.lastIndexOf(':'));
    const [from, signed, digest] = [repository, world.images.signed, world.images.unsignedDigest].map(encodeURIComponent) as [string,
      string, string];
    return each([`fromImage=${from}`, `fromImage=${from}&tag=`, `fromImage=${signed}&tag=one`, `fromImage=${signed}&tag=${digest}`,
      `fromImage=${from}&tag=signed&tag=one`, `fromImage=${from}&fromSrc=-`, `fromImage=&tag=signed`, `tag=signed`,
      `fromImage=${from}%3A&tag=`], (query) =>
      world.call('POST', `${v}/images/create?${query}`));
  },
};
