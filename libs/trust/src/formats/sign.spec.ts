import { fixtureEvidence, readFixtures } from '../../testing/fixtures';
import { MemoryEvidence } from '../../testing/memory-evidence';
import { collectSignatures } from './collect';
import { signatureTag } from './cosign-sig';
import { sha256Digest } from './evidence';
import { Refusal } from './findings';
import { generateSigningKey, parseSigningKey, trustKey } from './keys';
import { OCI_MANIFEST_TYPE, mergeReferrersIndex, signBundle, signLegacy } from './sign';

const alice = generateSigningKey();
const bob = generateSigningKey();
const keys = [trustKey(alice.publicKeyPem), trustKey(bob.publicKeyPem)];
const image = { digest: sha256Digest(Buffer.from('image')), mediaType: OCI_MANIFEST_TYPE, sizeBytes: 5 };
const request = { image, dockerReference: 'registry.example/team/app', key: parseSigningKey(alice.privateKeyPem) };
const byBob = { ...request, key: parseSigningKey(bob.privateKeyPem) };

describe('signLegacy', () => {
  it('writes what the verifier takes, with claims and reference', async () => {
    const evidence = new MemoryEvidence();
    const pushed = signLegacy({ ...request, claims: { env: 'prod' } });
    evidence.push(pushed);
    expect(pushed.tag).toBe(`sha256-${image.digest.slice(7)}.sig`);
    expect(await collectSignatures(evidence, image.digest, keys)).toEqual([
      {
        ok: true,
        format: 'cosign-sig',
        keyFingerprint: alice.publicKey.fingerprint,
        claims: { env: 'prod' },
        dockerReference: 'registry.example/team/app',
        evidence: { manifestDigest: pushed.manifest.digest, payloadDigest: pushed.blobs[0]?.digest },
      },
    ]);
  });

  it('appends to what is there, and repeats nothing', async () => {
    const evidence = new MemoryEvidence();
    const first = signLegacy(request);
    const second = signLegacy(byBob, first.manifest.bytes);
    const again = signLegacy(request, second.manifest.bytes);
    for (const pushed of [first, second]) evidence.push(pushed);
    expect((await collectSignatures(evidence, image.digest, keys)).filter((finding) => finding.ok)).toHaveLength(2);
    expect(again).toMatchObject({ blobs: [], manifest: { digest: second.manifest.digest } });
  });

  it('appends to what cosign wrote and keeps it', async () => {
    const fixtures = readFixtures();
    const found = fixtures.cases.find((candidate) => candidate.name === 'sig-two-signers');
    if (found === undefined) throw new Error('the fixture is missing');
    const evidence = fixtureEvidence(found);
    const existing = await evidence.manifestByTag(signatureTag(found.image.digest));
    evidence.push(signLegacy({ ...request, image: found.image }, existing?.bytes ?? null));
    const all = [...keys, ...Object.values(fixtures.keys).map((pem) => trustKey(pem))];
    expect((await collectSignatures(evidence, found.image.digest, all)).map((finding) => finding.ok)).toEqual([true, true, true]);
  });

  it('refuses to append to something else', () => {
    expect(() => signLegacy(request, Buffer.from('{"manifests":[]}'))).toThrow(Refusal);
    expect(() => signLegacy(request, Buffer.from('no JSON'))).toThrow(Refusal);
  });
});

describe('signBundle', () => {
  it('writes what the verifier takes, through the fallback index', async () => {
    const evidence = new MemoryEvidence();
    const first = signBundle({ ...request, claims: { env: 'prod' } });
    const index = mergeReferrersIndex(image.digest, first);
    const second = signBundle(byBob);
    const merged = mergeReferrersIndex(image.digest, second, index?.manifest.bytes);
    for (const pushed of [first, second, index, merged]) if (pushed !== null) evidence.push(pushed);
    const findings = await collectSignatures(evidence, image.digest, keys);
    expect(findings).toMatchObject([
      { ok: true, format: 'bundle-v0.3', keyFingerprint: alice.publicKey.fingerprint, claims: { env: 'prod' } },
      { ok: true, format: 'bundle-v0.3', keyFingerprint: bob.publicKey.fingerprint, claims: {} },
    ]);
    expect(mergeReferrersIndex(image.digest, second, merged?.manifest.bytes)).toBeNull();
  });

  it('signs sha256 digests only', () => {
    expect(() => signBundle({ ...request, image: { ...image, digest: 'sha512:00' } })).toThrow(RangeError);
    expect(() => signLegacy({ ...request, image: { ...image, digest: 'latest' } })).toThrow(RangeError);
  });
});
