import fc from 'fast-check';
import { Problem } from '@gantry/platform';
import { parseJson } from './body';

const refused = (text: string | Buffer): string => {
  try {
    parseJson(Buffer.from(text as string));
  } catch (error) {
    if (error instanceof Problem) return `${error.code} ${error.errors[0]?.pointer}: ${error.errors[0]?.detail}`;
    throw error;
  }
  return 'accepted';
};

describe('parseJson', () => {
  it('reads what JSON says, and nothing from an empty body', () => {
    expect(parseJson(Buffer.from('{"a":[1,"ü"]}'))).toEqual({ a: [1, 'ü'] });
    expect(parseJson(Buffer.alloc(0))).toBeUndefined();
  });

  it('refuses, naming the place', () => {
    expect(refused('{"a":')).toMatch(/request.invalid : the body is not valid JSON/);
    expect(refused(Buffer.from([0x22, 0xff, 0x22]))).toMatch(/not valid UTF-8/);
    expect(refused('{"a":{"b/c":"x\\u0000"}}')).toBe('request.invalid /a/b~1c: text must not contain NUL or lone surrogates');
    expect(refused('["\\ud800"]')).toMatch(/^request.invalid \/0: /);
    expect(refused('{"__proto__":{}}')).toMatch(/not allowed/);
    expect(refused('['.repeat(70) + ']'.repeat(70))).toMatch(/too deeply/);
  });

  it('throws nothing but problems, whatever the bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => typeof refused(Buffer.from(bytes)) === 'string'));
    fc.assert(fc.property(fc.json(), (text) => JSON.stringify(parseJson(Buffer.from(text))) === JSON.stringify(JSON.parse(text)) || refused(text) !== 'accepted'));
  });
});
