import { type Attempt, texts, written } from './book';

export const attempt: Attempt = {
  title: 'write numbers that are read in more than one way',
  source: 'numbers beyond their range, with fractions, exponents and other signs',
  try: (world) =>
    texts(world, ['9223372036854775808', '-9223372036854775809', '1e400', '1.5', '0x10', '01', '+1', '1_000', 'NaN', 'Infinity', '-', '1.',
      '.5', '1e', '"1"', '1e-1', '18446744073709551617', '\u0661'].flatMap((number) => [written(world, '', `"Memory":${number},`),
      written(world, '', `"PidsLimit":${number},`)])),
};
