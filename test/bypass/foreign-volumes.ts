import { type Attempt, containerSpecs, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'mount volumes of others',
  source: 'names that are shared by all who use an engine',
  async try(world) {
    const names = world.foreign.map(({ volume }) => volume);
    const mounts = names.map((Source) => ({ Mounts: [{ Type: 'volume', Source, Target: '/x' }] }));
    return [
      ...(await hostConfigs(world, [...mounts, ...names.flatMap((name) => [`${name}:/x`, `${name}:/x:ro`,
        `${name}:/x:nocopy,z`].map((bind) => ({ Binds: [bind] }))), ...names.map((name) => ({ Binds: [`${world.own.volume}:/y`,
        `${name}:/x`] }))])),
      ...(await containerSpecs(world, mounts)),
    ];
  },
};
