import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'make a network by a name that somebody else’s has',
  source: 'engines let two networks have one name, and then take one of them',
  try: (world) =>
    each(
      world.foreign.flatMap(({ network: { id, name } }) => [{ Name: name, CheckDuplicate: false }, { Name: name }, { Name: name,
        Driver: 'overlay' }, { Name: id }, { Name: id.slice(0, 12) }]),
      (body) => world.call('POST', `${v}/networks/create`, body),
    ),
};
