import { type Attempt, type Call, calls, spellings } from './book';

export const attempt: Attempt = {
  title: 'look into containers of others',
  source: 'rights checked on lists and not on what they lead to',
  try: (world) =>
    calls(
      world,
      world.foreign.flatMap(({ container: thing }) => [...spellings(thing), `%2F${thing.name}`,
        thing.name.toUpperCase()]).flatMap((which) =>
        ['json', 'json?size=1', 'top', 'top?ps_args=aux', 'logs?stdout=1&stderr=1', 'logs?stdout=1&tail=all&since=0', 'changes', 'export',
          'stats?stream=0', 'stats?stream=0&one-shot=1', 'archive?path=/', 'attach/ws?logs=1&stdout=1'].map((tail): Call => ['GET',
          `/containers/${which}/${tail}`])),
    ),
};
