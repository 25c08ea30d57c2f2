import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

/** A value that never prints itself: `String(secret)`, JSON and inspection all give `***`. */
export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
  }
  /** The value itself; call it only where it is used. */
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return '***';
  }
  toJSON(): string {
    return '***';
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '***';
  }
}

interface SealingKey {
  id: string;
  cipher: Buffer;
  mac: Buffer;
}

/**
 * Seals small values at rest with AES-256-GCM. The purpose is bound as additional data, so that a value sealed for one column
 * does not open in another. Keys: first is used for sealing, all open (rotation: put a new key first, keep the old ones).
 */
export class Sealer {
  private readonly keys: SealingKey[];

  /** @param keys base64 keys of 32 bytes or more, newest first. Throws when none is given or one is short. */
  constructor(keys: string[]) {
    if (keys.length === 0) throw new Error('no sealing key is configured');
    this.keys = keys.map((text) => {
      const raw = Buffer.from(text, 'base64');
      if (raw.length < 32) throw new Error('a sealing key needs at least 32 bytes, base64');
      const derive = (use: string): Buffer => Buffer.from(hkdfSync('sha256', raw, '', `gantry ${use}`, 32));
      return { id: createHash('sha256').update(raw).digest('hex').slice(0, 8), cipher: derive('seal'), mac: derive('mac') };
    });
  }

  /** Text `v1:<key id>:<base64url nonce|tag|ciphertext>`. */
  seal(value: string | Buffer, purpose: string): string {
    const key = this.keys[0]!;
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', key.cipher, nonce);
    cipher.setAAD(Buffer.from(`${key.id}:${purpose}`));
    const sealed = Buffer.concat([cipher.update(value), cipher.final()]);
    return `v1:${key.id}:${Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url')}`;
  }

  /** Opens what `seal` made for the same purpose; throws when the key is unknown or anything was changed. */
  open(text: string, purpose: string): Buffer {
    const [version, id, body] = text.split(':');
    const key = this.keys.find((candidate) => candidate.id === id);
    if (version !== 'v1' || !key || !body) throw new Error('a sealed value names a key that is not configured (GANTRY_SECRET_KEY)');
    const raw = Buffer.from(body, 'base64url');
    const decipher = createDecipheriv('aes-256-gcm', key.cipher, raw.subarray(0, 12));
    decipher.setAAD(Buffer.from(`${key.id}:${purpose}`));
    decipher.setAuthTag(raw.subarray(12, 28));
    return Buffer.concat([decipher.update(raw.subarray(28)), decipher.final()]);
  }

  /** Keyed hash (HMAC-SHA-256, hex) for look-ups of high-entropy secrets such as tokens. Uses the oldest key, so that rotation keeps tokens valid. */
  hash(value: string, purpose: string): string {
    return createHmac('sha256', this.keys[this.keys.length - 1]!.mac).update(`${purpose}\0${value}`).digest('hex');
  }
}

/** Compares two strings in time that tells at most whether their lengths differ. */
export function constantTimeEqual(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
