import { randomBytes } from 'node:crypto';

/** Random bytes are drawn for many ids at a time, and turned into hexadecimal at once: a call for each would be most of an id's cost. */
const poolBytes = 4096;
let pool = '';
let used = 0;

/** So many random hexadecimal digits, which nobody else gets. */
function take(digits: number): string {
  if (used + digits > pool.length) {
    pool = randomBytes(poolBytes).toString('hex');
    used = 0;
  }
  used += digits;
  return pool.slice(used - digits, used);
}

let lastMillis = 0;
let counter = 0;

/**
 * A new UUIDv7 (RFC 9562 §5.7), lower case. Within one process ids are strictly increasing: the 12 `rand_a` bits
 * count within a millisecond, and a clock that steps back does not take the sequence back with it.
 */
export function uuidv7(): string {
  let millis = Date.now();
  if (millis > lastMillis) {
    counter = parseInt(take(3), 16) & 0x3ff; // starts in the lower quarter, so that 3,000 ids fit a millisecond
  } else {
    millis = lastMillis;
    counter += 1;
    if (counter > 0xfff) {
      millis += 1;
      counter = 0;
    }
  }
  lastMillis = millis;
  const time = millis.toString(16).padStart(12, '0');
  const variant = '89ab'[parseInt(take(1), 16) & 3]!;
  return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, '0')}-${variant}${take(3)}-${take(12)}`;
}

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** True for a lower-case UUID of any RFC 9562 version. Paths accept an id or a name; names never look like this. */
export function isUuid(text: string): boolean {
  return uuidForm.test(text);
}

/** URL-safe random secret of `bytes` random bytes (default 32: 256 bits), with an optional prefix for secret scanners. */
export function randomSecret(prefix = '', bytes = 32): string {
  return prefix + randomBytes(bytes).toString('base64url');
}
