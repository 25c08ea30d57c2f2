import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { tokenPrefixes } from './passwords';

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 62^43 is a little more than 2^256. */
const randomLength = 43;
const checksumLength = 6;

/** What starts a token that an account has made. */
export const accountTokenPrefixes: readonly string[] = [tokenPrefixes.personal, tokenPrefixes.robot];

/**
 * A new personal or robot token: prefix, 43 random letters and digits, and 6 that are the CRC-32 of all before them, so that a scanner for secrets
 * can tell a token from what merely looks like one: `g(pat|rob)_[0-9A-Za-z]{49}`.
 */
export function newToken(kind: 'personal' | 'robot'): string {
  const body = tokenPrefixes[kind] + randomText(randomLength);
  return body + checksum(body);
}

/** Whether a token of an account can be genuine: of today's form with the right checksum, or of the earlier form without one (43 characters of base64url). */
export function isPossibleToken(token: string): boolean {
  const prefix = accountTokenPrefixes.find((known) => token.startsWith(known));
  if (prefix === undefined) return false;
  const body = token.slice(prefix.length);
  if (/^[\w-]{43}$/.test(body)) return true;
  return /^[0-9A-Za-z]{49}$/.test(body) && checksum(token.slice(0, -checksumLength)) === token.slice(-checksumLength);
}

function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let place = 0; place < checksumLength; place += 1) {
    digits = alphabet[rest % alphabet.length]! + digits;
    rest = Math.floor(rest / alphabet.length);
  }
  return digits;
}

function randomText(length: number): string {
  // Bytes from here on would make the first characters of the alphabet likelier than the others.
  const limit = 256 - (256 % alphabet.length);
  let text = '';
  while (text.length < length) for (const byte of randomBytes(length)) if (byte < limit && text.length < length) text += alphabet[byte % alphabet.length]!;
  return text;
}
