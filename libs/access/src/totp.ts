import { createHmac, randomBytes } from 'node:crypto';
import { constantTimeEqual } from '@gantry/platform';

const stepSeconds = 30;
/** Clocks of telephones are right to some seconds; a code is typed within half a minute. */
const driftSteps = 1;
const secretBytes = 20;
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** Bytes in the alphabet of RFC 4648 §6, without padding. */
export function base32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet[(value >>> bits) & 31]!;
    }
    value &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + alphabet[(value << (5 - bits)) & 31]!;
}

/** A new secret for codes: 160 bits, as RFC 4226 §4 recommends. */
export function newTotpSecret(): Buffer {
  return randomBytes(secretBytes);
}

/** The code of one step: HOTP (RFC 4226 §5.3) with HMAC-SHA-1, the step as its counter. */
export function totpCode(secret: Uint8Array, step: number, digits = 6): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', secret).update(counter).digest();
  const number = mac.readUInt32BE(mac[mac.length - 1]! & 15) & 0x7fffffff;
  return String(number % 10 ** digits).padStart(digits, '0');
}

/** The step of 30 s (RFC 6238 §4.2) in which a time lies. */
export function totpStep(time: Date): number {
  return Math.floor(time.getTime() / 1000 / stepSeconds);
}

/** The step whose code this is, among the present one and its neighbours, or null. Takes as long for a wrong code as for a right one. */
export function findTotpStep(secret: Uint8Array, code: string, time: Date): number | null {
  let found: number | null = null;
  for (let step = totpStep(time) - driftSteps; step <= totpStep(time) + driftSteps; step += 1) {
    if (constantTimeEqual(totpCode(secret, step), code)) found = step;
  }
  return found;
}

/** What a QR code for authenticator programs holds (Google's key URI format). `account` is shown beside the codes. */
export function otpauthUri(secret: Uint8Array, issuer: string, account: string): string {
  const parameters = `secret=${base32(secret)}&issuer=${encodeURIComponent(issuer)}&algorithm=SHA1&digits=6&period=${stepSeconds}`;
  return `otpauth://totp/${encodeURIComponent(issuer)}:${encodeURIComponent(account)}?${parameters}`;
}
