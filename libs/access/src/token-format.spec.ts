import { isPossibleToken, newToken } from './token-format';

/** CRC-32 by its definition (polynomial 0x04C11DB7, reflected), independent of zlib's. */
function plainCrc32(text: string): number {
  let crc = 0xffffffff;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

describe('tokens', () => {
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

  it('have a prefix, 43 random characters and a checksum that a scanner can work out', () => {
    expect(plainCrc32('123456789')).toBe(0xcbf43926);
    const made = Array.from({ length: 200 }, (_item, n) => newToken(n % 2 ? 'personal' : 'robot'));
    expect(new Set(made).size).toBe(200);
    for (const token of made) {
      expect(token).toMatch(/^g(pat|rob)_[0-9A-Za-z]{49}$/);
      const value = [...token.slice(-6)].reduce((sum, digit) => sum * 62 + digits.indexOf(digit), 0);
      expect(value).toBe(plainCrc32(token.slice(0, -6)));
      expect(isPossibleToken(token)).toBe(true);
    }
    const used = new Set(made.flatMap((token) => [...token.slice(5, 48)]));
    expect(used.size).toBe(62);
  });

  it('are told from what only looks like one', () => {
    const token = newToken('personal');
    const other = token[20] === 'a' ? 'b' : 'a';
    expect(isPossibleToken(token.slice(0, 20) + other + token.slice(21))).toBe(false);
    expect(isPossibleToken(token.replace('gpat_', 'grob_'))).toBe(false);
    for (const text of ['', 'gpat_', token.slice(0, -1), `${token}0`, token.slice(5), `gses_${token.slice(5)}`, `gpat_${'!'.repeat(49)}`]) expect(isPossibleToken(text)).toBe(false);
    // Tokens made before there were checksums work until they end.
    expect(isPossibleToken(`gpat_${'a'.repeat(41)}-_`)).toBe(true);
  });
});
