import { type Attempt, type Call, calls, spellings } from './book';

export const attempt: Attempt = {
  title: 'run a program in containers of others',
  source: 'peers that checked exec on the container’s page and not on its endpoint',
  try: (world) =>
    calls(world, world.foreign.flatMap(({ container: thing }) => [...spellings(thing),
      `%2F${thing.name}`]).flatMap((which) => [{ Cmd: ['id'] }, { Cmd: ['id'], Privileged: true }, { Cmd: ['cat'], AttachStdin: true,
      Tty: true }].map((body): Call => ['POST', `/containers/${which}/exec`, body]))),
};
