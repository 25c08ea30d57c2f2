import { base32, findTotpStep, newTotpSecret, otpauthUri, totpCode, totpStep } from './totp';

describe('one-time codes', () => {
  const secret = Buffer.from('12345678901234567890');

  // RFC 6238, appendix B, the lines of SHA-1.
  it.each([
    [59, '94287082'],
    [1111111109, '07081804'],
    [1111111111, '14050471'],
    [1234567890, '89005924'],
    [2000000000, '69279037'],
    [20000000000, '65353130'],
  ])('at %i s are those of RFC 6238', (seconds, code) => {
    const time = new Date(seconds * 1000);
    expect(totpCode(secret, totpStep(time), 8)).toBe(code);
    expect(totpCode(secret, totpStep(time))).toBe(code.slice(2));
    expect(findTotpStep(secret, code.slice(2), time)).toBe(totpStep(time));
  });

  // RFC 4226, appendix D.
  it('are those of RFC 4226 for its counters', () => {
    const codes = ['755224', '287082', '359152', '969429', '338314', '254676', '287922', '162583', '399871', '520489'];
    expect(codes.map((_code, counter) => totpCode(secret, counter))).toEqual(codes);
  });

  it('may be one step early or late, no more', () => {
    const time = new Date(1_800_000_000_000);
    const step = totpStep(time);
    for (const drift of [-1, 0, 1]) expect(findTotpStep(secret, totpCode(secret, step + drift), time)).toBe(step + drift);
    for (const drift of [-2, 2]) expect(findTotpStep(secret, totpCode(secret, step + drift), time)).toBeNull();
    for (const code of ['', '12345', '1234567', 'abcdef', `${totpCode(secret, step)} `]) expect(findTotpStep(secret, code, time)).toBeNull();
  });

  // RFC 4648, section 10.
  it.each([['', ''], ['f', 'MY'], ['fo', 'MZXQ'], ['foo', 'MZXW6'], ['foob', 'MZXW6YQ'], ['fooba', 'MZXW6YTB'], ['foobar', 'MZXW6YTBOI']])('base32 of "%s" is "%s"', (text, encoded) => {
    expect(base32(Buffer.from(text))).toBe(encoded);
  });

  it('are handed over as a key URI', () => {
    expect(newTotpSecret()).toHaveLength(20);
    expect(otpauthUri(secret, 'Gantry', 'jane doe@example.org')).toBe(
      'otpauth://totp/Gantry:jane%20doe%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Gantry&algorithm=SHA1&digits=6&period=30');
  });
});
