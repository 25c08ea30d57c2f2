import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { certificatesOf, issueCertificate, lastMoment, makeAuthority, readClientCertificate, type CertificateWish } from './certificate-format';

const now = new Date('2030-05-06T07:08:09.876Z');
const later = new Date('2030-06-05T07:08:09.876Z');

describe('certificates', () => {
  let authority: { certificate: string; key: ReturnType<typeof createPrivateKey> };
  const made = async (): Promise<typeof authority> => {
    const { certificate, key } = await makeAuthority('Gantry clients', now);
    return { certificate, key: createPrivateKey(key) };
  };
  const issue = (wish: Partial<CertificateWish> = {}, by = authority): ReturnType<typeof issueCertificate> => issueCertificate(by, { commonName: 'ann', now, notAfter: later, use: 'client', ...wish });
  beforeAll(async () => {
    authority = await made();
  });

  it('of an authority may sign certificates, but no authorities', () => {
    const own = new X509Certificate(authority.certificate);
    expect([own.ca, own.checkIssued(own), own.verify(own.publicKey), own.checkPrivateKey(authority.key)]).toEqual([true, true, true, true]);
    expect(own.subject).toMatch(/^CN=Gantry clients [0-9a-f]{8}$/);
    expect(own.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
    expect(new Date(own.validTo).getTime()).toBeGreaterThan(now.getTime() + 19 * 365 * 86_400_000);
  });

  it('of a client say who it is, for how long, and that it is a client', async () => {
    const { certificate, key, serial, fingerprint } = await issue();
    const shown = new X509Certificate(certificate);
    expect([shown.subject, shown.ca, shown.keyUsage, shown.subjectAltName]).toEqual(['CN=ann', false, ['1.3.6.1.5.5.7.3.2'], undefined]);
    expect([shown.serialNumber.toLowerCase(), shown.fingerprint256.replaceAll(':', '').toLowerCase()]).toEqual([serial, fingerprint]);
    expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
    expect([new Date(shown.validFrom), new Date(shown.validTo)]).toEqual([new Date('2030-05-06T06:08:09Z'), new Date('2030-06-05T07:08:09Z')]);
    expect(shown.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect((await issue()).serial).not.toBe(serial);
  });

  it('carry any name as it is, as far as a name may be long', async () => {
    for (const name of ['acme+ci', 'o="x", #1 \\0a', '#6162', 'jürgen', '张伟', 'x'.repeat(100), '💥'.repeat(70)]) {
      const { certificate } = await issue({ commonName: name });
      expect(new X509Certificate(certificate).toLegacyObject().subject).toEqual({ CN: [...name].slice(0, 64).join('') });
    }
  });

  it('of a server name hosts and addresses', async () => {
    const { certificate } = await issue({ use: { hosts: ['localhost', '127.0.0.1', '::1', 'gantry.example.org'] } });
    const shown = new X509Certificate(certificate);
    expect(shown.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect([shown.checkHost('localhost'), shown.checkHost('gantry.example.org'), shown.checkHost('example.org'), shown.checkIP('127.0.0.1'), shown.checkIP('::1'), shown.checkIP('127.0.0.2')]).toEqual(
      ['localhost', 'gantry.example.org', undefined, '127.0.0.1', '::1', undefined]);
  });

  it('end with their authority at the latest', async () => {
    const { certificate } = await issue({ notAfter: new Date('2099-01-01T00:00:00Z') });
    expect(new X509Certificate(certificate).validTo).toBe(new X509Certificate(authority.certificate).validTo);
    expect(lastMoment(later, new Date('2030-05-31T00:00:00Z'))).toEqual(new Date('2030-05-31T00:00:00Z'));
  });

  it('are read where our authority has signed them for a client, in their one form', async () => {
    const own = new X509Certificate(authority.certificate);
    const { certificate } = await issue();
    const good = new X509Certificate(certificate).raw;
    expect(readClientCertificate(good, own)?.raw).toEqual(good);
    const other = await made();
    // Another authority that bears the name of ours.
    const { X509CertificateGenerator, X509Certificate: Issuer, cryptoProvider } = await import('@peculiar/x509');
    const foreignKeys = await cryptoProvider.get().subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
    const impostor = await X509CertificateGenerator.createSelfSigned({ name: new Issuer(authority.certificate).subject, keys: foreignKeys, signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' } });
    const impostorKey = createPrivateKey({ key: Buffer.from(await cryptoProvider.get().subtle.exportKey('pkcs8', foreignKeys.privateKey)), format: 'der', type: 'pkcs8' });
    const changed = Buffer.from(good);
    changed[good.indexOf('ann')] = 0x62;
    const bad: Record<string, Buffer> = {
      nothing: Buffer.alloc(0),
      noise: Buffer.from('no certificate'),
      PEM: Buffer.from(certificate),
      'what follows it': Buffer.concat([good, Buffer.from([0])]),
      'its beginning': good.subarray(0, -1),
      'another name': changed,
      'another authority': new X509Certificate((await issue({}, other)).certificate).raw,
      'another authority of the same name': new X509Certificate((await issue({}, { certificate: impostor.toString('pem'), key: impostorKey })).certificate).raw,
      'the authority itself': own.raw,
      'a server': new X509Certificate((await issue({ use: { hosts: ['localhost'] } })).certificate).raw,
    };
    for (const [what, raw] of Object.entries(bad)) expect([what, readClientCertificate(raw, own)]).toEqual([what, null]);
  });

  it('are taken out of a file without the key that lies beside them', async () => {
    const [one, two] = [await issue(), await issue()];
    const file = `${one.key}\n# chain\r\n${one.certificate.replaceAll('\n', '\r\n')}${two.certificate}-----BEGIN CERTIFICATE-----\n`;
    const found = certificatesOf(file);
    expect(found.map((pem) => new X509Certificate(pem).serialNumber.toLowerCase())).toEqual([one.serial, two.serial]);
    expect(found.join('')).not.toContain('PRIVATE');
    expect(certificatesOf(createPublicKey(one.key).export({ format: 'pem', type: 'spki' }) as string)).toEqual([]);
  });
});
