import fc from 'fast-check';
import { interpolate, InterpolationError } from './interpolate';
import { isSubnet, parseBytes, parseDurationNs, parseNanoCpus, parsePortRange, splitCommand, ValueError } from './values';

describe('values', () => {
  it.each([
    ['1m30s', 90e9],
    ['1.5h', 5400e9],
    ['500ms', 5e8],
    ['2us', 2000],
    ['2µs', 2000],
    ['0', 0],
    ['0s', 0],
    ['1h2m3s4ms', 3_723_004_000_000],
    ['0.1s', 1e8],
  ])('duration %s', (text, ns) => expect(parseDurationNs(text)).toBe(ns));
  it.each(['', '10', '-1s', '1d', '1 s', 's', '1m30', '1s ', '9999h', '1e3s', '.5s'])('no duration: "%s"', (text) =>
    expect(() => parseDurationNs(text)).toThrow(ValueError),
  );

  it.each([
    ['64M', 64 * 2 ** 20],
    ['1gb', 2 ** 30],
    ['1GiB', 2 ** 30],
    ['1.5g', 1.5 * 2 ** 30],
    ['4096', 4096],
    ['10b', 10],
    ['2 kb', 2048],
    ['1t', 2 ** 40],
    ['0.1k', 102],
  ])('size %s', (text, bytes) => expect(parseBytes(text)).toBe(bytes));
  it.each(['', 'M', '-1', '1x', '1e9', '9999999p', '0x10', '1,5g'])('no size: "%s"', (text) =>
    expect(() => parseBytes(text)).toThrow(ValueError),
  );

  it('reads decimal CPUs exactly', () => {
    expect(['0.1', '0.29', '1', '2.50', '0.000000001', '1.1'].map(parseNanoCpus)).toEqual([
      100_000_000, 290_000_000, 1_000_000_000, 2_500_000_000, 1, 1_100_000_000,
    ]);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 999_999 }),
        fc.integer({ min: 0, max: 999_999_999 }),
        (whole, nano) => parseNanoCpus(`${whole}.${String(nano).padStart(9, '0')}`) === whole * 1e9 + nano,
      ),
    );
    for (const text of ['', '-1', '1e3', '0.0000000001', '.5', '5.', '1/2']) expect(() => parseNanoCpus(text)).toThrow(ValueError);
  });

  it.each([
    ['serve --name "hello world"', ['serve', '--name', 'hello world']],
    [`sh -c 'echo "$HOME"' x`, ['sh', '-c', 'echo "$HOME"', 'x']],
    ['a\\ b "c\\"d" "e\\f"', ['a b', 'c"d', 'e\\f']],
    [`'' "" x''y`, ['', '', 'xy']],
    ['  ', []],
  ])('splits %s', (text, words) => expect(splitCommand(text)).toEqual(words));
  it.each(['"a', "'a", 'a\\'])('refuses to split %s', (text) => expect(() => splitCommand(text)).toThrow(ValueError));

  it('splits what is quoted back into the same words', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (words) => {
        expect(splitCommand(words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' '))).toEqual(words);
      }),
    );
  });

  it('reads port ranges and subnets', () => {
    expect(parsePortRange('80')).toEqual({ first: 80, last: 80 });
    expect(parsePortRange('8000-8010')).toEqual({ first: 8000, last: 8010 });
    for (const text of ['', '0', '65536', '9-8', '1-2-3', 'a', '-1', '1-']) expect(() => parsePortRange(text)).toThrow(ValueError);
    expect(['10.9.0.0/24', 'fd00::/64', '10.9.0.0', '10.9.0.0/33', 'x/1', '10.0.0.0/8/8', 'fe80::1%eth0/64'].map(isSubnet)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  });
});

describe('interpolate', () => {
  const variables = { A: 'one', EMPTY: '', DOLLAR: '$A ${A}' };
  it.each([
    ['$A-${A}', 'one-one'],
    ['$$A $${A}', '$A ${A}'],
    ['${NO:-d}', 'd'],
    ['${NO-d}', 'd'],
    ['${EMPTY:-d}', 'd'],
    ['${EMPTY-d}', ''],
    ['${A:-d}', 'one'],
    ['${A:+x}${EMPTY:+x}${EMPTY+y}${NO+z}', 'xy'],
    ['${A:?gone}${EMPTY?gone}', 'one'],
    ['${NO:-${EMPTY:-${A}}}!', 'one!'],
    ['${NO:-a$$b}', 'a$b'],
    ['${NO:-}', ''],
    ['$DOLLAR', '$A ${A}'],
    ['${A:-${NO}}', 'one'],
  ])('%s', (text, expected) => expect(interpolate(text, variables)).toBe(expected));
  it.each([
    ['$NO', 'NO is not defined'],
    ['${NO}', 'NO is not defined'],
    ['${NO:?set it}', 'NO is not defined: set it'],
    ['${EMPTY:?set it}', 'EMPTY is empty: set it'],
    ['${toString}', 'toString is not defined'],
    ['$', 'lone'],
    ['$1', 'lone'],
    ['${', 'no closing brace'],
    ['${}', 'not followed by the name'],
    ['${A/x/y}', 'not known'],
    ['${A:x}', 'not known'],
    ['${N:-'.repeat(20) + '}'.repeat(20), 'nested deeper'],
  ])('refuses %s', (text, message) => {
    expect(() => interpolate(text, variables)).toThrow(InterpolationError);
    expect(() => interpolate(text, variables)).toThrow(message);
  });
});
