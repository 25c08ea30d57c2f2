import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'rename a container onto the name of somebody else’s',
  source: 'a check on creation that renaming does not have',
  try: (world) => each(world.foreign.flatMap(({ container: { name } }) => [name, `/${name}`, `//${name}`]), (name) => world.call('POST',
    `${v}/containers/${world.own.container.id}/rename?name=${encodeURIComponent(name)}`)),
};
