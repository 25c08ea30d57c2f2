import { type Attempt, container, texts, written } from './book';

export const attempt: Attempt = {
  title: 'put a second document behind the first',
  source: 'decoders that read one document of a stream, and others that read the last',
  try: (world) => {
    const bad = JSON.stringify(container(world, { HostConfig: { Privileged: true } }));
    return texts(world, [`${written(world)}${bad}`, `${written(world)}\n${bad}`, `${written(world)},${bad}`, `${written(world)}x`,
      `${written(world)}\u0000`, `{}${bad}`, `null${bad}`, `[${bad}]`, `${written(world)}]`, `${written(world)}//`, `1 ${bad}`,
      `""${bad}`]);
  },
};
