import { type Attempt, texts, written } from './book';

export const attempt: Attempt = {
  title: 'write what is nearly JSON',
  source: 'lenient parsers in front of strict ones, and the other way round',
  try: (world) => {
    const text = written(world);
    return texts(world, [
      text.replace(/\}$/, ',}'), text.replaceAll('"', "'"), text.replace('"Image"', 'Image'), `// x\n${text}`, text.replace(':', '='),
        `${text.slice(0, -1)}`, `{${text}}`, '', ' ', '[]', '""', '0', 'true', 'null', '{}', '{"Image":null}', `${'['.repeat(100_000)}`,
        `{"a":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_001)}`,
      written(world, '"Cmd":["a\tb"],'), written(world, '"Cmd":["\\x41"],'), written(world, '"Cmd":["a\nb"],'), written(world,
        '"Labels":{"a":undefined},'), written(world, '\u0000'),
    ]);
  },
};
