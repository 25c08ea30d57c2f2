import { randomBytes } from 'node:crypto';

/** Random bytes are drawn for 256 ids at a time: a call to the system's source for each would be most of an id's cost. */
const poolBytes = 4096;
let pool = Buffer.alloc(0);
let used = 0;

function take(count: number): Buffer {
  if (used + count > pool.length) {
    pool = randomBytes(poolBytes);
    used = 0;
  }
  used += count;
  return Buffer.from(pool.subarray(used - count, used));
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
    counter = take(2).readUInt16BE() & 0x3ff; // starts in the lower quarter, so that 3,000 ids fit a millisecond
  } else {
    millis = lastMillis;
    counter += 1;
    if (counter > 0xfff) {
      millis += 1;
      counter = 0;
    }
  }
  lastMillis = millis;
  const bytes = take(16);
  bytes.writeUIntBE(millis, 0, 6);
  bytes.writeUInt16BE(0x7000 | counter, 6);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
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
