import { randomBytes } from 'node:crypto';
import { Gathered } from './gathered';

describe('Gathered', () => {
  it.each([[[]], [[5]], [[1, 1, 1]], [[700, 1, 4_000, 0, 3, 100_000, 1]]])('has all of the pieces of %j bytes, in order', (sizes) => {
    const pieces = sizes.map((size) => randomBytes(size));
    const gathered = new Gathered();
    for (const piece of pieces) gathered.add(piece);
    expect(gathered.size).toBe(sizes.reduce((sum, size) => sum + size, 0));
    expect(gathered.bytes.equals(Buffer.concat(pieces))).toBe(true);
  });

  it('writes to nothing that it was given', () => {
    const larger = Buffer.from('one, and what follows it');
    const gathered = new Gathered();
    for (const piece of [larger.subarray(0, 3), Buffer.from('two')]) gathered.add(piece);
    expect([gathered.bytes.toString(), larger.toString()]).toEqual(['onetwo', 'one, and what follows it']);
  });

  it('takes no more memory than about twice the bytes, a byte at a time', () => {
    const gathered = new Gathered();
    for (let index = 0; index < 300_000; index += 1) gathered.add(Buffer.from([index & 255]));
    expect(gathered.size).toBe(300_000);
    expect(gathered.bytes.buffer.byteLength).toBeLessThanOrEqual(600_000);
    expect([gathered.bytes[0], gathered.bytes[299_999]]).toEqual([0, 299_999 & 255]);
  });
});
