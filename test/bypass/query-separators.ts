import { type Attempt, bare, v } from './book';

export const attempt: Attempt = {
  title: 'separate parameters by what only some take for a separator',
  source: 'Go before 1.17 took `;` for `&`',
  try: (world) => {
    const own = world.own.container.id;
    const name = world.foreign[0]!.container.name;
    return bare(world, [`rename?name=free;name=${name}`, `rename?x=1;name=${name}`, `rename?name=free#&name=${name}`,
      `rename#?name=${name}`, `rename?name=free?name=${name}`, `rename?name=free%26name=${name}`, `rename?name=free\\u0026name=${name}`,
      `rename?name=free,${name}`, `rename?name=free|name=${name}`,
      `rename?name=free\tname=${name}`].map((tail) => `POST ${v}/containers/${own}/${tail}`));
  },
};
