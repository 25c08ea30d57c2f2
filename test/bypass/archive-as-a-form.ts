import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'send files for one container, and the path for them in a form',
  source: 'Go reads parameters from forms ahead of those in the query',
  try: (world) =>
    each(world.foreign, ({ container: { id } }) => world.call('PUT', `${v}/containers/${id}/archive?path=/tmp`, 'path=/etc',
      { 'Content-Type': 'application/x-www-form-urlencoded' })),
};
