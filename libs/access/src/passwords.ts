import { randomBytes, scrypt, timingSafeEqual, type ScryptOptions } from 'node:crypto';
import { accessProblem } from './problems';

const cost = 15;
const blockSize = 8;
const parallel = 1;
const keyBytes = 32;
const minLength = 12;
const maxLength = 1024;

/** What a token starts with, by kind. A password can't start like one, since both go into the same field of `docker login`. */
export const tokenPrefixes = { session: 'gses_', personal: 'gpat_', robot: 'grob_', service: 'gsvc_' } as const;

/** Checks a new password against the one rule: 12 to 1024 characters, not in the form of a token. `pointer` names the field. @throws access.password-rule */
export function assertPasswordRule(password: string, pointer = '/password'): void {
  const length = [...password].length;
  const detail =
    length < minLength || password.length > maxLength
      ? `${minLength} to ${maxLength} characters; this has ${length}`
      : Object.values(tokenPrefixes).some((prefix) => password.startsWith(prefix))
        ? 'a password can’t start like a token'
        : null;
  if (detail !== null) throw accessProblem('password-rule', { errors: [{ pointer, detail }] });
}

/** `scrypt$15$8$1$<salt>$<key>` (log2 N, r, p; base64url). 32 MiB and some 60 ms a piece, off the main thread. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(password, salt, cost, blockSize, parallel);
  return `scrypt$${cost}$${blockSize}$${parallel}$${salt.toString('base64url')}$${key.toString('base64url')}`;
}

const nobody = `scrypt$${cost}$${blockSize}$${parallel}$${Buffer.alloc(16).toString('base64url')}$${Buffer.alloc(keyBytes).toString('base64url')}`;

/** Whether the password is the one that was hashed. With `hash` null it works as long and answers false, so that unknown users take as long as known ones. */
export async function verifyPassword(password: string, hash: string | null): Promise<boolean> {
  const [scheme, n, r, p, salt, key] = (hash ?? nobody).split('$');
  if (scheme !== 'scrypt' || salt === undefined || key === undefined) throw new Error('a stored password has an unknown form');
  const expected = Buffer.from(key, 'base64url');
  const actual = await derive(password, Buffer.from(salt, 'base64url'), Number(n), Number(r), Number(p));
  return timingSafeEqual(actual, expected) && hash !== null;
}

/** Whether a password was hashed with other costs than new ones are; the next sign-in that proves it right can renew the hash. */
export function isOutdatedHash(hash: string): boolean {
  return !hash.startsWith(`scrypt$${cost}$${blockSize}$${parallel}$`);
}

function derive(password: string, salt: Buffer, log2N: number, r: number, p: number): Promise<Buffer> {
  const options: ScryptOptions = { N: 2 ** log2N, r, p, maxmem: 256 * r * 2 ** log2N };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, keyBytes, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}
