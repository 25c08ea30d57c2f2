import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'run a privileged program in one’s own container',
  source: 'an exec has a `Privileged` of its own',
  try: (world) => each([{ Privileged: true }, { Privileged: true, User: 'root', Detach: true }, { privileged: true }, { Privileged: 1 }],
    (change) => world.call('POST', `${v}/containers/${world.own.container.id}/exec`, { Cmd: ['id'], AttachStdout: true, ...change })),
};
