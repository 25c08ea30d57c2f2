import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, scrypt, sign, verify } from 'node:crypto';
import type { KeyObject, ScryptOptions } from 'node:crypto';
import { secretbox } from 'tweetnacl';
import { parseStrictJson } from '@gantry/platform';
import { asObject } from './json';
import type { JsonObject } from './json';

/** Key kinds that may sign. P-256 is what Gantry makes and recommends: it is the one kind every cosign reads in every form. */
export type KeyAlgorithm = 'ecdsa-p256' | 'ecdsa-p384' | 'rsa' | 'ed25519';

/** `active` counts; `retired` counts for signatures first seen before it was retired; `revoked` never counts. */
export type KeyStatus = 'active' | 'retired' | 'revoked';

/** A public key and its names. */
export interface VerificationKey {
  /** Lower-case hex SHA-256 of the SPKI DER: the key's identity everywhere in Gantry. */
  fingerprint: string;
  /** Base64 SHA-256 of the SPKI DER: what a Sigstore bundle says about its key. Unsigned, so never decided upon. */
  hint: string;
  algorithm: KeyAlgorithm;
  /** SPKI PEM in OpenSSL's own layout, whatever layout was read. */
  pem: string;
  key: KeyObject;
}

/** A key together with how far it is believed. */
export interface TrustedKey extends VerificationKey {
  status: KeyStatus;
  /** When a retired key stopped being used; signatures first seen later do not count. */
  retiredAt?: Date | null;
}

/** A key text that cannot be used. The message says why and can be shown to whoever sent the key; it never holds key material. */
export class KeyFormatError extends Error {
  override readonly name = 'KeyFormatError';
}

const MAX_KEY_PEM_CHARS = 16 * 1024;
const SIGSTORE_LABELS = ['ENCRYPTED SIGSTORE PRIVATE KEY', 'ENCRYPTED COSIGN PRIVATE KEY'];
/** cosign's own scrypt cost; 128 * N * r = 64 MiB of memory a derivation. */
const SCRYPT = { N: 65_536, r: 8, p: 1 };
const SCRYPT_MAX_MEM_BYTES = 256 * 1024 * 1024;

/**
 * Reads one SPKI `PUBLIC KEY` PEM: P-256, P-384, RSA of 2048 to 8192 bits, Ed25519.
 *
 * @throws KeyFormatError for anything else, a private key among it
 */
export function parsePublicKey(pem: string): VerificationKey {
  return describeKey(importPublicKey(pem));
}

/** {@link parsePublicKey} with a status, as the verifiers take it. */
export function trustKey(pem: string, status: KeyStatus = 'active', retiredAt: Date | null = null): TrustedKey {
  return { ...parsePublicKey(pem), status, retiredAt };
}

function importPublicKey(pem: string): KeyObject {
  // Node would also take a private key, a certificate or PKCS#1 here; a public key field must mean one thing.
  const der = decodePem(pem, ['PUBLIC KEY']);
  try {
    return createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch (cause) {
    throw Object.assign(new KeyFormatError('not a readable SPKI public key'), { cause });
  }
}

function describeKey(key: KeyObject): VerificationKey {
  const algorithm = algorithmOf(key);
  const der = key.export({ format: 'der', type: 'spki' });
  const hash = createHash('sha256').update(der).digest();
  return {
    fingerprint: hash.toString('hex'),
    hint: hash.toString('base64'),
    algorithm,
    pem: key.export({ format: 'pem', type: 'spki' }).toString(),
    key,
  };
}

function algorithmOf(key: KeyObject): KeyAlgorithm {
  const details = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'ed25519') return 'ed25519';
  if (key.asymmetricKeyType === 'ec' && details.namedCurve === 'prime256v1') return 'ecdsa-p256';
  if (key.asymmetricKeyType === 'ec' && details.namedCurve === 'secp384r1') return 'ecdsa-p384';
  if (key.asymmetricKeyType === 'rsa') {
    const bits = details.modulusLength ?? 0;
    if (bits < 2048 || bits > 8192) throw new KeyFormatError(`an RSA key of ${bits} bits; 2048 to 8192 are accepted`);
    return 'rsa';
  }
  throw new KeyFormatError('the key is neither P-256, P-384, RSA nor Ed25519; P-256 is recommended');
}

/** A fresh key pair of P-256: PKCS#8 PEM (secret, to be sealed at rest), SPKI PEM and the public key's names. */
export interface GeneratedKeyPair {
  privateKeyPem: string;
  publicKeyPem: string;
  publicKey: VerificationKey;
}

/** Makes a P-256 key pair. */
export function generateSigningKey(): GeneratedKeyPair {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicKey = describeKey(pair.publicKey);
  return { privateKeyPem: pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), publicKeyPem: publicKey.pem, publicKey };
}

/** A private key ready to sign, with its public half. */
export interface SigningKey {
  privateKey: KeyObject;
  publicKey: VerificationKey;
}

/**
 * Reads an unencrypted PKCS#8 PEM, as {@link generateSigningKey} writes it.
 *
 * @throws KeyFormatError
 */
export function parseSigningKey(pkcs8Pem: string): SigningKey {
  return signingKeyFromDer(decodePem(pkcs8Pem, ['PRIVATE KEY']));
}

function signingKeyFromDer(der: Buffer): SigningKey {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } catch (cause) {
    throw Object.assign(new KeyFormatError('not a readable PKCS#8 private key'), { cause });
  }
  return { privateKey, publicKey: describeKey(createPublicKey(privateKey)) };
}

/**
 * Writes a private key as cosign's `generate-key-pair` does: PEM of a JSON box, scrypt and NaCl secretbox around the PKCS#8 DER.
 * The layout is that of github.com/secure-systems-lab/go-securesystemslib/encrypted, which cosign uses.
 */
export async function exportCosignPrivateKey(key: SigningKey, password: string): Promise<string> {
  const salt = randomBytes(32);
  const nonce = randomBytes(secretbox.nonceLength);
  const boxKey = await deriveBoxKey(password, salt, SCRYPT.N);
  const box = secretbox(key.privateKey.export({ format: 'der', type: 'pkcs8' }), nonce, boxKey);
  const json = JSON.stringify({
    kdf: { name: 'scrypt', params: SCRYPT, salt: salt.toString('base64') },
    cipher: { name: 'nacl/secretbox', nonce: nonce.toString('base64') },
    ciphertext: Buffer.from(box).toString('base64'),
  });
  return encodePem(SIGSTORE_LABELS[0] ?? '', Buffer.from(json));
}

/**
 * Opens a cosign private key (both PEM labels that cosign has used).
 *
 * @throws KeyFormatError when the box is malformed, asks for more scrypt work than cosign ever did, or the password is wrong
 */
export async function importCosignPrivateKey(pem: string, password: string): Promise<SigningKey> {
  const box = readBox(decodePem(pem, SIGSTORE_LABELS));
  const boxKey = await deriveBoxKey(password, box.salt, box.cost);
  const der = secretbox.open(box.ciphertext, box.nonce, boxKey);
  if (der === null) throw new KeyFormatError('the password does not open this key');
  return signingKeyFromDer(Buffer.from(der));
}

function readBox(bytes: Buffer): { salt: Buffer; cost: number; nonce: Buffer; ciphertext: Buffer } {
  let json: JsonObject | null;
  try {
    json = asObject(parseStrictJson(bytes, { maxBytes: MAX_KEY_PEM_CHARS, maxDepth: 4 }));
  } catch (cause) {
    throw Object.assign(new KeyFormatError('the encrypted key does not hold the JSON that cosign writes'), { cause });
  }
  const kdf = asObject(json?.kdf);
  const params = asObject(kdf?.params);
  const cipher = asObject(json?.cipher);
  const salt = decodeBase64(kdf?.salt);
  const nonce = decodeBase64(cipher?.nonce);
  const ciphertext = decodeBase64(json?.ciphertext);
  const known = kdf?.name === 'scrypt' && cipher?.name === 'nacl/secretbox' && params?.r === SCRYPT.r && params.p === SCRYPT.p;
  // cosign wrote 32768 before 2.0; the text chooses the work, so nothing above today's cost is done for it.
  const cost = params?.N;
  if (!known || (cost !== 32_768 && cost !== SCRYPT.N)) throw new KeyFormatError('the key is not sealed the way cosign does it');
  if (salt?.length !== 32 || nonce?.length !== secretbox.nonceLength || ciphertext === null) {
    throw new KeyFormatError('the sealed key has fields of a wrong size');
  }
  return { salt, cost, nonce, ciphertext };
}

function deriveBoxKey(password: string, salt: Buffer, cost: number): Promise<Buffer> {
  const options: ScryptOptions = { ...SCRYPT, N: cost, maxmem: SCRYPT_MAX_MEM_BYTES };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, secretbox.keyLength, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

/** Which rule of hashing a signature follows; they differ for P-384 only. */
export type SignatureScheme = 'simple-signing' | 'dsse';

/** cosign hashes simple-signing payloads with SHA-256 for every key; bundles take the curve's own hash; Ed25519 signs the bytes. */
function hashFor(algorithm: KeyAlgorithm, scheme: SignatureScheme): 'sha256' | 'sha384' | null {
  if (algorithm === 'ed25519') return null;
  return algorithm === 'ecdsa-p384' && scheme === 'dsse' ? 'sha384' : 'sha256';
}

/** True when `key` made `signature` (ECDSA as DER, RSA as PKCS#1 v1.5) over exactly these bytes; false for malformed signatures. */
export function verifyBytes(scheme: SignatureScheme, key: VerificationKey, message: Buffer, signature: Buffer): boolean {
  return verify(hashFor(key.algorithm, scheme), message, key.key, signature);
}

/** The signature that {@link verifyBytes} accepts. */
export function signBytes(scheme: SignatureScheme, key: SigningKey, message: Buffer): Buffer {
  return sign(hashFor(key.publicKey.algorithm, scheme), message, key.privateKey);
}

/** Decodes canonical padded base64 (RFC 4648 §4); null for anything else, where Node's own decoder would skip what it does not know. */
export function decodeBase64(text: unknown): Buffer | null {
  if (typeof text !== 'string' || text.length === 0) return null;
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}

function encodePem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/** The bytes of a text that holds exactly one PEM block with one of these labels. */
function decodePem(text: string, labels: string[]): Buffer {
  if (text.length > MAX_KEY_PEM_CHARS) throw new KeyFormatError(`longer than ${MAX_KEY_PEM_CHARS} characters`);
  const match = /^\s*-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----\s*$/.exec(text);
  if (match === null) throw new KeyFormatError('not a single PEM block');
  const [, label = '', body = ''] = match;
  if (!labels.includes(label)) throw new KeyFormatError(`a PEM block "${label}"; expected "${labels[0]}"`);
  const bytes = decodeBase64(body.replace(/[\r\n]/g, ''));
  if (bytes === null) throw new KeyFormatError('the PEM block is not valid base64');
  return bytes;
}
