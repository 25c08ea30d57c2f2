import { isUuid, randomSecret, uuidv7 } from './ids';

describe('uuidv7', () => {
  it('is a UUID of version 7 with the time in front, and strictly increasing', () => {
    const before = Date.now();
    const ids = Array.from({ length: 20_000 }, () => uuidv7());
    expect(ids.every((id) => isUuid(id) && id[14] === '7')).toBe(true);
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
    const millis = Number.parseInt(ids[0]!.replace('-', '').slice(0, 12), 16);
    expect(millis).toBeGreaterThanOrEqual(before - 1);
    expect(millis).toBeLessThanOrEqual(Date.now() + 10);
  });

  it('is told from names', () => {
    expect(isUuid('web')).toBe(false);
    expect(isUuid(uuidv7().toUpperCase())).toBe(false);
  });
});

test('randomSecret has 256 bits and its prefix', () => {
  expect(randomSecret('gpat_')).toMatch(/^gpat_[\w-]{43}$/);
  expect(randomSecret()).not.toBe(randomSecret());
});
