import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFixtures } from '../../testing/fixtures';
import {
  KeyFormatError,
  decodeBase64,
  exportCosignPrivateKey,
  generateSigningKey,
  importCosignPrivateKey,
  parsePublicKey,
  parseSigningKey,
  signBytes,
  trustKey,
  verifyBytes,
} from './keys';

const spki = (key: KeyObject): string => key.export({ format: 'pem', type: 'spki' }).toString();
const message = Buffer.from('message');

describe('parsePublicKey', () => {
  it.each([
    ['ecdsa-p256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['ecdsa-p384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['rsa', generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['ed25519', generateKeyPairSync('ed25519')],
  ])('reads %s and names it by its SPKI', (algorithm, pair) => {
    const key = parsePublicKey(spki(pair.publicKey));
    const der = pair.publicKey.export({ format: 'der', type: 'spki' });
    expect(key.algorithm).toBe(algorithm);
    expect(key.fingerprint).toBe(createHash('sha256').update(der).digest('hex'));
    expect(key.hint).toBe(createHash('sha256').update(der).digest('base64'));
  });

  it('gives one fingerprint to one key, however its PEM is wrapped', () => {
    const { publicKeyPem, publicKey } = generateSigningKey();
    expect(parsePublicKey(`\n${publicKeyPem.replaceAll('\n', '\r\n')}\n`).fingerprint).toBe(publicKey.fingerprint);
  });

  const other = generateKeyPairSync('ec', { namedCurve: 'P-521' });
  it.each([
    ['a private key', generateSigningKey().privateKeyPem],
    ['two keys', generateSigningKey().publicKeyPem.repeat(2)],
    ['P-521', spki(other.publicKey)],
    ['secp256k1', spki(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey)],
    ['RSA of 1024 bits', spki(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)],
    ['RSA-PSS', spki(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey)],
    ['X25519', spki(generateKeyPairSync('x25519').publicKey)],
    ['nothing', ''],
    ['text', 'hello'],
    ['broken DER', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'],
    ['broken base64', '-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----\n'],
    ['a long text', 'x'.repeat(20_000)],
  ])('refuses %s', (_name, pem) => {
    expect(() => parsePublicKey(pem)).toThrow(KeyFormatError);
  });
});

describe('signatures', () => {
  it('hash P-384 with SHA-256 for simple signing and SHA-384 for DSSE', () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const key = trustKey(spki(pair.publicKey));
    expect(verifyBytes('simple-signing', key, message, sign('sha256', message, pair.privateKey))).toBe(true);
    expect(verifyBytes('simple-signing', key, message, sign('sha384', message, pair.privateKey))).toBe(false);
    expect(verifyBytes('dsse', key, message, sign('sha384', message, pair.privateKey))).toBe(true);
    expect(verifyBytes('dsse', key, message, sign('sha256', message, pair.privateKey))).toBe(false);
  });

  it('that are malformed are false, not an exception', () => {
    const { publicKey, privateKeyPem } = generateSigningKey();
    const good = signBytes('dsse', parseSigningKey(privateKeyPem), message);
    expect(verifyBytes('dsse', publicKey, message, good)).toBe(true);
    for (const bad of [
      Buffer.alloc(0),
      Buffer.alloc(64),
      good.subarray(0, 20),
      Buffer.concat([good, Buffer.from('x')]),
      Buffer.alloc(5000, 0x30),
    ]) {
      expect(verifyBytes('dsse', publicKey, message, bad)).toBe(false);
    }
  });

  it('are read from canonical base64 only', () => {
    expect(decodeBase64('TWE=')).toEqual(Buffer.from('Ma'));
    for (const bad of ['TWE', 'TWF=', 'TW E=', 'TWE=\n', 'TWE=TWE=', '_-8=', '', null, 5]) expect(decodeBase64(bad)).toBeNull();
  });
});

describe('cosign private keys', () => {
  it.each(Object.entries(readFixtures().sealedKeys))('written by cosign %s open', async (_version, sealed) => {
    const key = await importCosignPrivateKey(sealed.pem, sealed.password);
    expect(key.publicKey.pem).toBe(sealed.publicKey);
    await expect(importCosignPrivateKey(sealed.pem, 'wrong')).rejects.toThrow(KeyFormatError);
  });

  it('written here open again', async () => {
    const key = parseSigningKey(generateSigningKey().privateKeyPem);
    const pem = await exportCosignPrivateKey(key, 'pass');
    expect(pem).toContain('ENCRYPTED SIGSTORE PRIVATE KEY');
    expect((await importCosignPrivateKey(pem, 'pass')).publicKey.fingerprint).toBe(key.publicKey.fingerprint);
  });

  it('cannot ask for more work than cosign does', async () => {
    const [sealed] = Object.values(readFixtures().sealedKeys);
    const body = sealed?.pem.replace(/-----[^-]+-----|\s/g, '') ?? '';
    const greedy = Buffer.from(body, 'base64').toString().replace('"N":65536', '"N":1048576');
    const wrapped = Buffer.from(greedy)
      .toString('base64')
      .replace(/(.{64})/g, '$1\n');
    const pem = `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${wrapped}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`;
    expect(greedy).toContain('1048576');
    await expect(importCosignPrivateKey(pem, 'throw-away')).rejects.toThrow('not sealed the way cosign does it');
  });
});
