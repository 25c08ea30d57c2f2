import { type Attempt, type Call, calls, spellings } from './book';

export const attempt: Attempt = {
  title: 'steer containers of others',
  source: 'rights checked on some verbs and not on others',
  try: (world) =>
    calls(
      world,
      world.foreign.flatMap(({ container: thing }) => [...spellings(thing), `%2F${thing.name}`]).flatMap((which) => [
        ...['start', 'stop?t=0', 'restart?t=0', 'kill', 'kill?signal=HUP', 'pause', 'unpause', 'rename?name=taken', 'resize?h=1&w=1',
          'wait?condition=not-running'].map((tail): Call => ['POST', `/containers/${which}/${tail}`]),
        ['POST', `/containers/${which}/update`, { Memory: 100_000_000 }], ['POST', `/containers/${which}/update`,
          { RestartPolicy: { Name: 'always' } }], ['DELETE', `/containers/${which}?force=1`], ['DELETE',
          `/containers/${which}?force=1&v=1`], ['DELETE', `/containers/${which}?link=1`],
      ]),
    ),
};
