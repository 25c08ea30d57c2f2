import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** A certificate and its private key, PEM. */
export interface Pem {
  cert: string;
  key: string;
}

/** A certificate authority of a lab's own. */
export interface LabPki {
  /** The authority's certificate, PEM. */
  ca: string;
  /** Issues a server certificate for host names and IP addresses. */
  server: (name: string, hosts: string[]) => Promise<Pem>;
  /** Issues a client certificate. */
  client: (name: string) => Promise<Pem>;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 86_400_000;

/** Makes a certificate authority (ECDSA P-256, valid for a day). */
export async function makePki(): Promise<LabPki> {
  const caKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const name = 'CN=lab authority';
  const validity = { notBefore: new Date(Date.now() - day), notAfter: new Date(Date.now() + day) };
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity,
    serialNumber: '01',
    name,
    keys: caKeys,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true), new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)],
  });
  let serial = 1;
  const issue = async (subject: string, usage: x509.ExtendedKeyUsage, hosts: string[]): Promise<Pem> => {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    serial += 1;
    const cert = await x509.X509CertificateGenerator.create({
      ...validity,
      serialNumber: serial.toString(16).padStart(2, '0'),
      subject: `CN=${subject}`,
      issuer: name,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([usage]),
        ...(hosts.length > 0 ? [new x509.SubjectAlternativeNameExtension(hosts.map((host) => ({ type: /^[\d.]+$|:/.test(host) ? ('ip' as const) : ('dns' as const), value: host })))] : []),
      ],
    });
    const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64').replace(/.{64}/g, '$&\n').trim();
    return { cert: cert.toString('pem'), key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n` };
  };
  return {
    ca: ca.toString('pem'),
    server: (subject, hosts) => issue(subject, x509.ExtendedKeyUsage.serverAuth, hosts),
    client: (subject) => issue(subject, x509.ExtendedKeyUsage.clientAuth, []),
  };
}
