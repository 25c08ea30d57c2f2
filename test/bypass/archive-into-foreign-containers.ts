import { type Attempt, each, spellings, v } from './book';

export const attempt: Attempt = {
  title: 'write files into containers of others, and read theirs',
  source: 'peers that checked start and stop, and not `archive`',
  try: (world) =>
    each(
      world.foreign.flatMap(({ container: thing }) => spellings(thing)).flatMap((which) => [['PUT', which], ['GET', which], ['HEAD',
        which]] as const),
      ([method, which]) => world.call(method, `${v}/containers/${which}/archive?path=/etc`,
        method === 'PUT' ? Buffer.alloc(1024) : undefined, method === 'PUT' ? { 'Content-Type': 'application/x-tar' } : {}),
    ),
};
