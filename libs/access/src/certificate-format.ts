import { createHash, createPrivateKey, generateKeyPair, randomBytes, webcrypto, X509Certificate, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMillis = 86_400_000;
/** Clocks of clients may be behind ours by this. */
const skewMillis = 3_600_000;
const authorityDays = 7_300;
/** Longest common name of RFC 5280. */
const maxCommonName = 64;
/** id-kp-clientAuth of RFC 5280. */
const clientAuth = '1.3.6.1.5.5.7.3.2';

/** A certificate and its private key, PEM. */
export interface CertificateAndKey {
  certificate: string;
  key: string;
}

/** A certificate that was just made. */
export interface NewCertificate extends CertificateAndKey {
  /** 32 hexadecimal digits. */
  serial: string;
  /** SHA-256 of the DER form, 64 hexadecimal digits. */
  fingerprint: string;
}

/** What a certificate is to say. Times are cut to the second, and end with the authority at the latest. */
export interface CertificateWish {
  commonName: string;
  notAfter: Date;
  now: Date;
  /** `client`: proves who connects; or the host names and addresses for which a server stands. */
  use: 'client' | { hosts: string[] };
}

/** A new authority that signs certificates and no other authorities (ECDSA P-256, 20 years). Its name is unlike that of any other. */
export async function makeAuthority(name: string, now: Date): Promise<CertificateAndKey> {
  const x509 = await import('@peculiar/x509'); // slow to load, and most processes never need it
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: new x509.Name([{ CN: [{ utf8String: `${name} ${randomBytes(4).toString('hex')}` }] }]), serialNumber: newSerial(), notBefore: new Date(now.getTime() - skewMillis),
      notAfter: new Date(now.getTime() + authorityDays * dayMillis), signingAlgorithm: algorithm, keys: { publicKey: await importPublic(keys.spki), privateKey: await importPrivate(keys.pkcs8) },
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(await importPublic(keys.spki), false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { certificate: `${certificate.toString('pem')}\n`, key: pemOf(keys.pkcs8) };
}

/** A new key and its certificate, signed by the authority. */
export async function issueCertificate(authority: { certificate: string; key: KeyObject }, wish: CertificateWish): Promise<NewCertificate> {
  const x509 = await import('@peculiar/x509');
  const issuer = new x509.X509Certificate(authority.certificate);
  const keys = await newKeys();
  const serial = newSerial();
  const { use } = wish;
  const issued = await x509.X509CertificateGenerator.create(
    {
      serialNumber: serial,
      subject: new x509.Name([{ CN: [{ utf8String: [...wish.commonName].slice(0, maxCommonName).join('') }] }]),
      issuer: issuer.subjectName,
      notBefore: new Date(wish.now.getTime() - skewMillis),
      notAfter: lastMoment(wish.notAfter, issuer.notAfter),
      publicKey: keys.spki,
      signingKey: await importPrivate(authority.key.export({ format: 'der', type: 'pkcs8' })),
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([use === 'client' ? x509.ExtendedKeyUsage.clientAuth : x509.ExtendedKeyUsage.serverAuth]),
        ...(use === 'client' ? [] : [new x509.SubjectAlternativeNameExtension(use.hosts.map((host) => ({ type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const), value: host })))]),
        await x509.SubjectKeyIdentifierExtension.create(await importPublic(keys.spki), false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  const der = Buffer.from(issued.rawData);
  return { certificate: `${issued.toString('pem')}\n`, key: pemOf(keys.pkcs8), serial, fingerprint: createHash('sha256').update(der).digest('hex') };
}

/** The end of a certificate that was asked to be valid until `wanted` by an authority that is until `authorityEnds`: whole seconds. */
export function lastMoment(wanted: Date, authorityEnds: Date): Date {
  return new Date(Math.floor(Math.min(wanted.getTime(), authorityEnds.getTime()) / 1000) * 1000);
}

/** The certificate of these bytes (DER), if the authority has signed it for a client; null for anything else. Says nothing of time and revocation. */
export function readClientCertificate(raw: Buffer, authority: X509Certificate): X509Certificate | null {
  let shown: X509Certificate;
  try {
    shown = new X509Certificate(raw);
  } catch {
    return null;
  }
  // OpenSSL also reads PEM, and DER that something follows: one certificate has one form.
  if (!shown.raw.equals(raw) || shown.ca || !(shown.keyUsage ?? []).includes(clientAuth)) return null;
  return shown.checkIssued(authority) && shown.verify(authority.publicKey) ? shown : null;
}

/** The certificates of a PEM text, in order, without anything else that it may hold (a key, for one). */
export function certificatesOf(pem: string): string[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? []).map((text) => new X509Certificate(text).toString());
}

async function newKeys(): Promise<{ spki: Buffer; pkcs8: Buffer }> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', {
    namedCurve: algorithm.namedCurve, publicKeyEncoding: { format: 'der', type: 'spki' }, privateKeyEncoding: { format: 'der', type: 'pkcs8' },
  });
  return { spki: publicKey, pkcs8: privateKey };
}

/** 128 random bits of which the first two are 01, so that the number is positive and its digits are always 32. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function importPublic(spki: Buffer): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']);
}

function importPrivate(pkcs8: Buffer): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']);
}

function pemOf(pkcs8: Buffer): string {
  return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }) as string;
}
