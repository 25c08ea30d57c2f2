import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'make a volume that somebody else has, to be given theirs',
  source: 'engines answer the creation of a volume that is there as if it were new',
  try: (world) =>
    each(
      world.foreign.flatMap(({ volume }) => [{ Name: volume }, { Name: volume, Driver: 'local' }, { Name: volume,
        Labels: { 'io.gantry.collection': '/Shared/Private/ann' } }]),
      (body) => world.call('POST', `${v}/volumes/create`, body),
    ),
};
