import { type Attempt, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'run a privileged container',
  source: 'the shortest way from a container to the host',
  try: (world) => hostConfigs(world, [{ Privileged: true }, { Privileged: 'true' }, { Privileged: 1 }, { Privileged: [true] },
    { Privileged: { value: true } }]),
};
