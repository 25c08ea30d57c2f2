import fc from 'fast-check';
import { foldKey, parseStrictJson, RawNumber, StrictJsonError, writeStrictJson, type StrictJsonOptions } from './strict-json';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

function refusal(input: string | Uint8Array, options: StrictJsonOptions = {}): [string, string] | null {
  try {
    parseStrictJson(typeof input === 'string' ? bytes(input) : input, { ...options, numbers: 'source' });
    return null;
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    return [error.fault, error.pointer];
  }
}

describe('a strict parse', () => {
  const nearJson = fc.array(fc.constantFrom('{', '}', '[', ']', ':', ',', '"a"', '"b"', '1', '-', '0', '.5', 'e9', 'true', 'nul', 'null', ' ', '"\\u00e9"', '"\\x"', '\n', '\u00a0', '\ufeff')).map((parts) => parts.join(''));

  it('reads what JSON.stringify writes as JSON.parse does, and writes it back', () => {
    const ambiguous = new Set(['duplicate-key']);
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      const text = JSON.stringify(value);
      const why = refusal(text);
      if (why !== null) return expect([...ambiguous]).toContain(why[0]);
      const written = writeStrictJson(parseStrictJson(bytes(text), { numbers: 'source' }));
      expect(JSON.parse(written)).toEqual(JSON.parse(text));
      // What was written is read the same again.
      expect(writeStrictJson(parseStrictJson(bytes(written), { numbers: 'source' }))).toBe(written);
    }), { numRuns: 1000 });
  });

  it('never takes what JSON.parse refuses', () => {
    fc.assert(fc.property(nearJson, (text) => {
      if (refusal(text) === null) expect(() => JSON.parse(text) as unknown).not.toThrow();
    }), { numRuns: 5000 });
  });

  it('takes every bytes or refuses them with its own error', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (input) => {
      refusal(input);
    }), { numRuns: 2000 });
  });

  it.each([
    ['{"a":1,"a":1}', '/a'],
    ['{"a":1,"\\u0061":2}', '/a'],
    ['{"HostConfig":{},"hostconfig":{}}', '/hostconfig'],
    ['{"HostConfig":{"Binds":[],"Bind\u017f":["/:/h"]}}', '/HostConfig/Bind\u017f'],
    ['{"HostConfig":{"Binds":[],"Bind\\u017f":["/:/h"]}}', '/HostConfig/Bind\u017f'],
    ['{"Kind":1,"\u212aind":2}', '/\u212aind'],
    ['{"\u00df":1,"\u1e9e":2}', '/\u1e9e'],
    ['[0,{"x":[{"y":{"z":1,"Z":2}}]}]', '/1/x/0/y/Z'],
    ['{"__proto__":1,"__PROTO__":2}', '/__PROTO__'],
    ['{"a/b~":1,"A/B~":2}', '/A~1B~0'],
  ])('refuses the same key twice: %s', (text, pointer) => {
    expect(refusal(text)).toEqual(['duplicate-key', pointer]);
  });

  it('folds as Unicode simple folding does, for every character', () => {
    const cased: string[] = [];
    for (let code = 0; code < 0x110000; code += 1) {
      if (code >= 0xd800 && code <= 0xdfff) continue;
      const char = String.fromCodePoint(code);
      if (/[\p{Changes_When_Casemapped}\p{Changes_When_Casefolded}]/u.test(char)) cased.push(char);
    }
    expect(cased.length).toBeGreaterThan(2500);
    const text = cased.join('');
    for (const char of cased) {
      // The engine of regular expressions is the oracle: `iu` is defined by simple folding.
      for (const equal of text.match(new RegExp(`\\u{${char.codePointAt(0)!.toString(16)}}`, 'giu')) ?? []) expect(foldKey(equal)).toBe(foldKey(char));
    }
  });

  it('takes the same key in different objects, and where told keys that differ in case', () => {
    expect(refusal('[{"a":1},{"a":2},{"A":3}]')).toBeNull();
    expect(refusal('{"a":1,"A":2}', { distinctCase: true })).toBeNull();
    expect(refusal('{"a":1,"a":2}', { distinctCase: true })).toEqual(['duplicate-key', '/a']);
  });

  it.each(['{} {}', '{}x', '1 2', '[]\u0000', '', ' ', '{"a":1,}', '[1,]', '{a:1}', "{'a':1}", '01', '+1', '.5', '1.', '1e', '0x1', 'NaN', 'Infinity', '-', 'tru', 'nulll', '"\t"', '"\\x41"', '"\\u00g0"', '"', '{"a"', '/**/1', '\ufeff{}', '\u00a01', '{"a":1}}'])('refuses %j as no JSON', (text) => {
    expect(refusal(text)?.[0]).toBe('syntax');
  });

  it('refuses bad UTF-8 and lone surrogates', () => {
    for (const bad of [[0x22, 0xff, 0x22], [0x22, 0xc0, 0xaf, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0x22, 0xe2, 0x82, 0x22]]) expect(refusal(Uint8Array.from(bad))).toEqual(['encoding', '']);
    expect(refusal('["\\ud800"]')).toEqual(['encoding', '/0']);
    expect(refusal('{"\\udc00\\ud800":1}')?.[0]).toBe('encoding');
    expect(parseStrictJson(bytes('"\\ud83d\\ude00"'))).toBe('😀');
  });

  it('bounds bytes, depth, values and digits', () => {
    expect(refusal('[1,2,3]', { maxBytes: 6 })).toEqual(['limit', '']);
    expect(refusal('[[[1]]]', { maxDepth: 3 })).toBeNull();
    expect(refusal('[[[[1]]]]', { maxDepth: 3 })).toEqual(['limit', '/0/0/0']);
    expect(refusal('['.repeat(500_000))).toEqual(['limit', '/0'.repeat(32)]);
    expect(refusal('[1,2,3]', { maxValues: 3 })).toEqual(['limit', '/2']);
    expect(refusal(`[${'9'.repeat(129)}]`)).toEqual(['limit', '/0']);
  });

  // Quadratic reading of four megabytes would take hours: that it ends is the proof.
  it('reads or refuses four megabytes of anything', () => {
    const size = 4 * 1024 * 1024;
    const told = [`"${'a'.repeat(size)}"`, `"${'\\n'.repeat(size / 2)}"`, `"${'a\\n'.repeat(size / 3)}"`, `"${'a'.repeat(size)}`, `[${'1,'.repeat(size / 2)}1]`, '['.repeat(size), ' '.repeat(size), '-'.repeat(size)].map((text) => refusal(text, { maxBytes: 2 * size })?.[0] ?? 'taken');
    expect(told).toEqual(['taken', 'taken', 'taken', 'syntax', 'limit', 'limit', 'syntax', 'syntax']);
  });

  it('keeps numbers as they were written', () => {
    const text = '{"Memory":9007199254740993,"a":-0,"b":1e400,"c":1.10,"d":18446744073709551615}';
    const value = parseStrictJson(bytes(text), { numbers: 'source' });
    expect(writeStrictJson(value)).toBe(text);
    const memory = (value as { Memory: RawNumber }).Memory;
    expect(memory).toBeInstanceOf(RawNumber);
    expect(memory.integer).toBe(9_007_199_254_740_993n);
    expect(new RawNumber('1e3').integer).toBeNull();
    expect(new RawNumber('1e3').value).toBe(1000);
  });

  it('gives doubles only where they are exact', () => {
    expect(parseStrictJson(bytes('[1,-2.5,1e3,0.1,9007199254740991]'))).toEqual([1, -2.5, 1000, 0.1, 9_007_199_254_740_991]);
    for (const inexact of ['9007199254740993', '1e400', '1e17', '9007199254740993.0']) expect(() => parseStrictJson(bytes(inexact))).toThrow(StrictJsonError);
  });

  it('makes objects without a prototype', () => {
    const value = parseStrictJson(bytes('{"__proto__":{"polluted":true},"constructor":1}')) as Record<string, unknown>;
    expect(Object.getPrototypeOf(value)).toBeNull();
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(writeStrictJson(parseStrictJson(bytes('{"__proto__":{"a":1}}')))).toBe('{"__proto__":{"a":1}}');
  });
});
