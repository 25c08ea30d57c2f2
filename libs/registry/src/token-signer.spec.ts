import { verify, X509Certificate } from 'node:crypto';
import { makeTokenCertificate, TokenSigner } from './token-signer';

const now = new Date('2026-03-01T12:00:00.500Z');
let pem: { key: string; certificate: string };
let signer: TokenSigner;
beforeAll(async () => {
  pem = await makeTokenCertificate();
  signer = new TokenSigner(pem.key, pem.certificate);
});
const part = (token: string, index: number): Record<string, unknown> => JSON.parse(Buffer.from(token.split('.')[index]!, 'base64url').toString()) as Record<string, unknown>;

test('a token is what Distribution takes: ES256 with x5c, audience a string, times whole seconds', () => {
  const token = signer.sign({ sub: 'u', access: [] }, now);
  const leaf = new X509Certificate(Buffer.from((part(token, 0)['x5c'] as string[])[0]!, 'base64'));
  expect(part(token, 0)).toMatchObject({ alg: 'ES256', typ: 'JWT' });
  expect(part(token, 1)).toMatchObject({ iss: 'gantry', aud: 'gantry-registry', sub: 'u', exp: 1772366700, nbf: 1772366400, iat: 1772366400 });
  const [header, payload, signature] = token.split('.');
  expect(Buffer.from(signature!, 'base64url')).toHaveLength(64);
  expect(verify('sha256', Buffer.from(`${header}.${payload}`), { key: leaf.publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature!, 'base64url'))).toBe(true);
  expect(leaf.checkIssued(leaf)).toBe(true);
});

test('only our own, whole and current tokens are believed', async () => {
  const token = signer.sign({ sub: 'u' }, now);
  const [header, payload, signature] = token.split('.') as [string, string, string];
  const later = (seconds: number): Date => new Date(now.getTime() + seconds * 1000);
  expect(signer.verify(token, later(299))).toMatchObject({ sub: 'u' });
  expect(signer.verify(token, later(300))).toBeNull();
  expect(signer.verify(token, later(-60))).toBeNull();
  const forged = Buffer.from(JSON.stringify({ ...part(token, 1), sub: 'admin' })).toString('base64url');
  const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url');
  for (const bad of ['', 'x', `${header}.${forged}.${signature}`, `${none}.${payload}.`, `${header}.${payload}.`, `${header}.${payload}`, `${token}.x`]) expect(signer.verify(bad, now)).toBeNull();
  const other = await makeTokenCertificate();
  expect(signer.verify(new TokenSigner(other.key, other.certificate).sign({ sub: 'u' }, now), now)).toBeNull();
});

test('key and certificate must belong together', async () => {
  const other = await makeTokenCertificate();
  expect(() => new TokenSigner(pem.key, other.certificate)).toThrow('is not of the token key');
  expect(() => TokenSigner.fromFiles(null, null)).toThrow('GANTRY_TOKEN_KEY_FILE');
});
