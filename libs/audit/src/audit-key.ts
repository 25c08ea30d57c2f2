import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { auditProblem } from './problems';

/** The Ed25519 key that signs audit checkpoints. Without one this process can write and read rows, but not seal them. */
export class AuditKey {
  private constructor(private readonly key: KeyObject | null) {}

  /** @param pem PKCS#8 PEM of an Ed25519 private key, or null. Throws when it is another kind of key. */
  static fromPem(pem: string | null): AuditKey {
    if (pem === null) return new AuditKey(null);
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType !== 'ed25519') throw new Error('the audit key must be an Ed25519 private key (GANTRY_AUDIT_KEY_FILE)');
    return new AuditKey(key);
  }

  /** Reads the key file (`Config.auditKeyFile`); null gives a key that cannot sign. */
  static fromFile(path: string | null): AuditKey {
    return AuditKey.fromPem(path === null ? null : readFileSync(path, 'utf8'));
  }

  /** Whether this process can seal. */
  get present(): boolean {
    return this.key !== null;
  }

  /** Public half with its id. @throws audit.key-missing */
  publicKey(): { id: string; pem: string } {
    if (!this.key) throw auditProblem('key-missing');
    return describeKey(createPublicKey(this.key));
  }

  /** Signature (base64) over `text`. @throws audit.key-missing */
  sign(text: string): string {
    if (!this.key) throw auditProblem('key-missing');
    return sign(null, Buffer.from(text), this.key).toString('base64');
  }
}

/** Id of a public key: the first 16 hex digits of SHA-256 over its SPKI DER. */
export function describeKey(key: KeyObject): { id: string; pem: string } {
  const id = createHash('sha256').update(key.export({ type: 'spki', format: 'der' })).digest('hex').slice(0, 16);
  return { id, pem: key.export({ type: 'spki', format: 'pem' }).toString() };
}

/** True when `signature` (base64) over `text` is by the Ed25519 key in `publicPem`. */
export function verifySignature(publicPem: string, text: string, signature: string): boolean {
  const key = createPublicKey(publicPem);
  return key.asymmetricKeyType === 'ed25519' && verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64'));
}
