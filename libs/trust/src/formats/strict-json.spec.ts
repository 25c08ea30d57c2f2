import fc from 'fast-check';
import { StrictJsonError, parseStrictJson } from './strict-json';

const parse = (text: string | Buffer, limits = {}): unknown => parseStrictJson(Buffer.from(text as string), limits);

function fault(text: string | Buffer, limits = {}): string {
  try {
    parse(text, limits);
  } catch (error) {
    if (error instanceof StrictJsonError) return error.fault;
    throw error;
  }
  return 'accepted';
}

describe('parseStrictJson', () => {
  it('reads whatever JSON.stringify writes', () => {
    // Left out: keys that differ in case only, and integers beyond what a double holds, both refused on purpose.
    const refused = new Set(['duplicate-key', 'limit']);
    const unambiguous = fc.jsonValue({ maxDepth: 4 }).filter((value) => !refused.has(fault(JSON.stringify(value))));
    fc.assert(
      fc.property(unambiguous, (value) => {
        const text = JSON.stringify(value);
        expect(JSON.stringify(parse(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
      { numRuns: 500 },
    );
  });

  it('never takes what JSON.parse refuses', () => {
    const nearJson = fc.array(
      fc.constantFrom('{', '}', '[', ']', ':', ',', '"a"', '"b"', '1', '-', '.5', 'e9', 'true', 'nul', ' ', '\\u00e9', '\n'),
    );
    fc.assert(
      fc.property(nearJson, (parts) => {
        const text = parts.join('');
        if (fault(text) === 'accepted') expect(() => JSON.parse(text)).not.toThrow();
      }),
      { numRuns: 3_000 },
    );
  });

  it.each([
    ['{"a":1,"a":1}'],
    ['{"a":1,"A":1}'],
    ['{"a":1,"\\u0061":2}'],
    ['{"digest":1,"dige\u017ft":2}'],
    ['{"kind":1,"\u212aind":2}'],
    ['{"x":[{"y":{"z":1,"Z":2}}]}'],
  ])('refuses the same key twice: %s', (text) => {
    expect(fault(text)).toBe('duplicate-key');
  });

  it('takes the same key in different objects', () => {
    expect(parse('[{"a":1},{"a":2}]')).toHaveLength(2);
  });

  it.each([
    ['{} {}'],
    ['{}x'],
    ['\ufeff{}'],
    ['{a:1}'],
    ["{'a':1}"],
    ['[1,]'],
    ['{"a":1,}'],
    ['01'],
    ['+1'],
    ['.5'],
    ['1.'],
    ['NaN'],
    [''],
    ['"a'],
    ['"\\x41"'],
    ['"\t"'],
    ['[1'],
    ['/**/1'],
  ])('refuses what is not JSON: %j', (text) => {
    expect(fault(text)).toBe('syntax');
  });

  it.each([
    [Buffer.from([0x22, 0xff, 0x22])],
    [Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    [Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    [Buffer.from('"\\ud800"')],
  ])('refuses bad Unicode: %j', (bytes) => {
    expect(fault(bytes)).toBe('encoding');
  });

  it('refuses what lies beyond its limits', () => {
    expect(fault('[[[1]]]', { maxDepth: 2 })).toBe('limit');
    expect(parse('[[1]]', { maxDepth: 2 })).toEqual([[1]]);
    expect(fault('"0123456789"', { maxBytes: 11 })).toBe('limit');
    expect(fault('['.repeat(100_000))).toBe('limit');
    expect(fault('9007199254740993')).toBe('limit');
    expect(fault('1e999')).toBe('limit');
  });

  it('keeps __proto__ an ordinary key', () => {
    const object = parse('{"__proto__":{"admin":true}}') as Record<string, unknown>;
    expect(Object.keys(object)).toEqual(['__proto__']);
    expect(object.admin).toBeUndefined();
  });
});
