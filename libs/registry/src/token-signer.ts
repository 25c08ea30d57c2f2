import { createPrivateKey, createPublicKey, sign, verify, webcrypto, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { uuidv7 } from '@gantry/platform';

/** `iss` of our tokens, to be set as Distribution's `auth.token.issuer`. */
export const tokenIssuer = 'gantry';
/** `aud` of our tokens and `service` of the challenge, to be set as Distribution's `auth.token.service`. */
export const tokenService = 'gantry-registry';
/** Lifetime of a token. */
export const tokenLifetimeSeconds = 300;

/** Claims of any token that we signed; times are whole seconds since 1970. */
export interface SignedClaims extends Record<string, unknown> {
  iss: string;
  aud: string;
  exp: number;
  nbf: number;
  iat: number;
  jti: string;
}

/**
 * Signs and verifies the registry's JSON Web Tokens: ES256, the certificate in `x5c`, so that CNCF Distribution 2.8 and 3 believe them by
 * `rootcertbundle` alone (measured: `aud` must be a string there, `exp` an integer).
 */
export class TokenSigner {
  private readonly privateKey: KeyObject;
  private readonly publicKey: KeyObject;
  private readonly header: string;

  /** @param key PEM of a P-256 private key @param certificate PEM of its certificate. Throws when they do not belong together. */
  constructor(key: string, certificate: string) {
    this.privateKey = createPrivateKey(key);
    const leaf = new X509Certificate(certificate);
    if (this.privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('the token key (GANTRY_TOKEN_KEY_FILE) is not a P-256 key');
    if (!leaf.checkPrivateKey(this.privateKey)) throw new Error('the token certificate (GANTRY_TOKEN_CERT_FILE) is not of the token key (GANTRY_TOKEN_KEY_FILE)');
    this.publicKey = createPublicKey(this.privateKey);
    this.header = encode({ typ: 'JWT', alg: 'ES256', x5c: [leaf.raw.toString('base64')] });
  }

  /** Reads both files. @throws when a file can't be read or is not what it should be */
  static fromFiles(keyFile: string | null, certFile: string | null): TokenSigner {
    if (keyFile === null || certFile === null) throw new Error('set GANTRY_TOKEN_KEY_FILE and GANTRY_TOKEN_CERT_FILE: without them no registry token can be signed');
    return new TokenSigner(readFileSync(keyFile, 'utf8'), readFileSync(certFile, 'utf8'));
  }

  /** A token with these claims, valid from now for `tokenLifetimeSeconds`. */
  sign(claims: Record<string, unknown>, now: Date): string {
    const seconds = Math.floor(now.getTime() / 1000);
    const all = { ...claims, iss: tokenIssuer, aud: tokenService, exp: seconds + tokenLifetimeSeconds, nbf: seconds, iat: seconds, jti: uuidv7() };
    const input = `${this.header}.${encode(all)}`;
    return `${input}.${sign('sha256', Buffer.from(input), { key: this.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }

  /** The claims, or null when it is not our signature or not its time. The header has to be ours byte for byte, so no `alg` is ever believed. */
  verify(token: string, now: Date): SignedClaims | null {
    const [header, payload, signature, more] = token.split('.');
    if (header !== this.header || payload === undefined || signature === undefined || more !== undefined) return null;
    const input = Buffer.from(`${header}.${payload}`);
    if (!verify('sha256', input, { key: this.publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))) return null;
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as SignedClaims;
    const seconds = now.getTime() / 1000;
    // Replicas' clocks may differ by a few seconds.
    return claims.iss === tokenIssuer && claims.aud === tokenService && claims.exp > seconds && claims.nbf <= seconds + 30 ? claims : null;
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** A new P-256 key and its self-signed certificate, both PEM, valid for ten years: the two files of `GANTRY_TOKEN_KEY_FILE` and `GANTRY_TOKEN_CERT_FILE`. */
export async function makeTokenCertificate(): Promise<{ key: string; certificate: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const now = Date.now();
  // needed once in a lifetime, and slow to load
  const { X509CertificateGenerator } = await import('@peculiar/x509');
  const certificate = await X509CertificateGenerator.createSelfSigned(
    { name: 'CN=Gantry registry tokens', notBefore: new Date(now - 3_600_000), notAfter: new Date(now + 3_650 * 86_400_000), signingAlgorithm: algorithm, keys },
    webcrypto,
  );
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return { key: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }) as string, certificate: `${certificate.toString('pem')}\n` };
}
