import { type Attempt, references } from './book';

export const attempt: Attempt = {
  title: 'write references that two parsers read in two ways',
  source: 'upper case, dots, blanks and control characters in references',
  try: (world) => {
    const { unsigned, signed } = world.images;
    const path = unsigned.slice(world.registry.length + 1);
    return references(world, [
      unsigned.replace('acme', 'ACME'), unsigned.replace('web', 'Web'), unsigned.replace('/acme', '/./acme'), unsigned.replace('/acme',
        '/acme/../acme'), unsigned.replace('/acme', '//acme'), `${unsigned}/`, `${unsigned}:`, ` ${unsigned}`, `${unsigned} `,
        `${unsigned}\n`, `${signed}\n${unsigned}`, `${signed} ${unsigned}`,
      `${signed}\u0000${unsigned}`, `${signed}#${unsigned}`, `${signed}?x=${unsigned}`, `${signed},${unsigned}`, path, `library/${path}`,
        encodeURIComponent(unsigned), unsigned.replace('acme', 'acme%2f..%2facme'), '', ' ', '.', '..', 'http://x', `${signed}@`,
        `@${world.images.unsignedDigest}`, world.images.unsignedDigest,
      unsigned.replace('e', '\u0435'), unsigned.replace('/', '\u2215'), `${'a/'.repeat(200)}x`,
    ]);
  },
};
