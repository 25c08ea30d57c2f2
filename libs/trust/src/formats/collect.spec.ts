import { createHash } from 'node:crypto';
import { fixtureEvidence, readFixtures } from '../../testing/fixtures';
import type { FixtureCase } from '../../testing/fixtures';
import { MemoryEvidence } from '../../testing/memory-evidence';
import { IN_TOTO_TYPE, SIGN_PREDICATE, preAuthEncoding, referrersTag } from './bundle-v03';
import { collectSignatures } from './collect';
import { signatureTag } from './cosign-sig';
import { sha256Digest } from './evidence';
import type { EvidenceSource } from './evidence';
import type { Finding, ReasonCode } from './findings';
import { generateSigningKey, parseSigningKey, signBytes, trustKey } from './keys';
import type { SigningKey } from './keys';
import { OCI_INDEX_TYPE, OCI_MANIFEST_TYPE, mergeReferrersIndex, signBundle, signLegacy } from './sign';

const fixtures = readFixtures();
const trusted = Object.entries(fixtures.keys).filter(([name]) => name !== 'mallory');
const keys = trusted.map(([, pem]) => trustKey(pem));
const nameOf = new Map(trusted.map(([name, pem]) => [trustKey(pem).fingerprint, name]));

function fixture(name: string): FixtureCase {
  const found = fixtures.cases.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`no fixture ${name}`);
  return found;
}

const signers = (findings: Finding[]): string[] =>
  findings.flatMap((finding) => (finding.ok ? [nameOf.get(finding.keyFingerprint) ?? '?'] : [])).sort();
const reasons = (findings: Finding[]): ReasonCode[] => findings.flatMap((finding) => (finding.ok ? [] : [finding.reason])).sort();

describe('what real cosign wrote', () => {
  it.each(fixtures.cases.map((found) => [found.name, found.about, found] as const))('%s: %s', async (_name, _about, found) => {
    const findings = await collectSignatures(fixtureEvidence(found), found.image.digest, keys);
    expect(signers(findings)).toEqual([...found.signers].sort());
    expect(reasons(findings)).toEqual([...found.refused].sort());
    for (const finding of findings) if (finding.ok) expect(finding.claims).toMatchObject(found.claims);
  });

  // Where we and cosign differ we know why: cosign 3 reads no `.sig` once a bundle exists, cosign 2 reads no bundles, neither checks the
  // payload's type nor duplicate keys.
  const stricter = new Set(['sig-duplicate-keys', 'sig-case-folded-keys', 'sig-wrong-type', 'bundle-attestation']);
  it.each(fixtures.cases.map((found) => [found.name, found] as const))(
    '%s: no key passes here that no cosign takes, and the reverse',
    (name, found) => {
      for (const [key, verdicts] of Object.entries(found.cosign)) {
        const takenBySome = Object.values(verdicts).some(Boolean);
        if (stricter.has(name)) expect(found.signers).not.toContain(key);
        // cosign 3.1 cannot verify the P-384 bundles that it writes itself.
        else if (key !== 'p384') expect([key, found.signers.includes(key)]).toEqual([key, takenBySome]);
      }
    },
  );

  it('keeps the claims and the reference that the signer stated', async () => {
    for (const name of ['sig-claims', 'bundle-claims']) {
      const found = fixture(name);
      const [finding] = await collectSignatures(fixtureEvidence(found), found.image.digest, keys);
      expect(finding).toMatchObject({ ok: true, claims: { team: 'release', env: 'prod' } });
    }
  });

  it('names the evidence by digests that are really there', async () => {
    for (const name of ['sig', 'bundle']) {
      const found = fixture(name);
      const evidence = fixtureEvidence(found);
      const [finding] = await collectSignatures(evidence, found.image.digest, keys);
      expect(evidence.manifests.has(finding?.evidence.manifestDigest ?? '')).toBe(true);
      expect(evidence.blobs.has(finding?.evidence.payloadDigest ?? '')).toBe(true);
    }
  });

  it('counts a revoked key as found, for the policy to refuse', async () => {
    const found = fixture('sig');
    const findings = await collectSignatures(fixtureEvidence(found), found.image.digest, [trustKey(fixtures.keys.alice ?? '', 'revoked')]);
    expect(findings).toMatchObject([{ ok: true }]);
  });

  it('finds nothing without keys', async () => {
    for (const name of ['sig', 'bundle']) {
      const found = fixture(name);
      expect(reasons(await collectSignatures(fixtureEvidence(found), found.image.digest, []))).toEqual(['UNTRUSTED_KEY']);
    }
  });
});

describe('a registry that lies', () => {
  it.each([['sig'], ['bundle']])('about the payload of %s', async (name) => {
    const found = fixture(name);
    const evidence = fixtureEvidence(found);
    for (const [digest, bytes] of evidence.blobs) evidence.blobs.set(digest, Buffer.from(bytes.toString().replace('"', ' ')));
    expect(reasons(await collectSignatures(evidence, found.image.digest, keys))).toEqual(['DIGEST_MISMATCH']);
  });

  it.each([['sig'], ['bundle']])('about the manifests of %s', async (name) => {
    const found = fixture(name);
    const evidence = fixtureEvidence(found);
    for (const manifest of evidence.manifests.values()) manifest.bytes = Buffer.concat([manifest.bytes, Buffer.from(' ')]);
    const findings = await collectSignatures(evidence, found.image.digest, keys);
    expect(findings.some((finding) => finding.ok)).toBe(false);
    expect(reasons(findings)).toContain('DIGEST_MISMATCH');
  });

  it('by serving another bundle manifest for a listed digest', async () => {
    const found = fixture('bundle-wrong-key');
    const good = fixtureEvidence(fixture('bundle'));
    const evidence = fixtureEvidence(found);
    const bundles = [...good.manifests.values()].filter((manifest) => manifest.mediaType === OCI_MANIFEST_TYPE);
    for (const [digest, manifest] of evidence.manifests) {
      if (manifest.mediaType === OCI_MANIFEST_TYPE) evidence.manifests.set(digest, { ...bundles[0], digest } as typeof manifest);
    }
    for (const [digest, bytes] of good.blobs) evidence.blobs.set(digest, bytes);
    expect(reasons(await collectSignatures(evidence, found.image.digest, keys))).toEqual(['DIGEST_MISMATCH']);
  });

  it('by not having the payload', async () => {
    const found = fixture('sig');
    const evidence = fixtureEvidence(found);
    evidence.blobs.clear();
    expect(reasons(await collectSignatures(evidence, found.image.digest, keys))).toEqual(['BACKEND_ERROR']);
  });
});

describe('a registry that fails', () => {
  const calls: (keyof EvidenceSource)[] = ['manifestByTag', 'manifestByDigest', 'blob', 'referrers'];
  it.each(calls)('in %s gives BACKEND_ERROR and keeps its own words to itself', async (call) => {
    const found = fixture('both-forms');
    const evidence = fixtureEvidence(found);
    evidence.broken.add(call);
    const findings = await collectSignatures(evidence, found.image.digest, keys);
    expect(reasons(findings)).toContain('BACKEND_ERROR');
    expect(JSON.stringify(findings)).not.toContain('broken for this test');
  });

  it('in one form does not hide the other', async () => {
    const found = fixture('both-forms');
    const evidence = fixtureEvidence(found);
    evidence.broken.add('manifestByDigest');
    expect(signers(await collectSignatures(evidence, found.image.digest, keys))).toEqual(['alice']);
  });

  it('is not asked for anything but a sha256 digest', async () => {
    await expect(collectSignatures(new MemoryEvidence(), 'sha512:00', keys)).rejects.toThrow(RangeError);
    await expect(collectSignatures(new MemoryEvidence(), `sha256:${'A'.repeat(64)}`, keys)).rejects.toThrow(RangeError);
  });
});

describe('referrers', () => {
  it('are read from the registry’s own list, whatever it says of them', async () => {
    const found = fixture('bundle');
    const evidence = fixtureEvidence(found);
    evidence.tags.clear();
    const digests = Object.keys(found.manifests).filter((digest) => found.manifests[digest] === OCI_MANIFEST_TYPE);
    evidence.lists.set(
      found.image.digest,
      digests.map((digest) => ({ digest, mediaType: 'text/plain', artifactType: 'application/x-lie' })),
    );
    expect(signers(await collectSignatures(evidence, found.image.digest, keys))).toEqual(['bob']);
  });

  it('in both lists count once', async () => {
    const found = fixture('bundle');
    const evidence = fixtureEvidence(found);
    const digests = Object.keys(found.manifests).filter((digest) => found.manifests[digest] === OCI_MANIFEST_TYPE);
    evidence.lists.set(
      found.image.digest,
      digests.map((digest) => ({ digest, mediaType: OCI_MANIFEST_TYPE, artifactType: null })),
    );
    expect(await collectSignatures(evidence, found.image.digest, keys)).toHaveLength(1);
  });

  it('of other kinds are passed over in silence', async () => {
    const found = fixture('unsigned');
    const evidence = fixtureEvidence(found);
    const sbom = {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST_TYPE,
      layers: [{ mediaType: 'application/spdx+json', digest: sha256Digest(Buffer.from('x')), size: 1 }],
      subject: { digest: found.image.digest },
    };
    const digest = evidence.addManifest(OCI_MANIFEST_TYPE, Buffer.from(JSON.stringify(sbom)));
    evidence.lists.set(found.image.digest, [{ digest, mediaType: OCI_MANIFEST_TYPE, artifactType: null }]);
    expect(await collectSignatures(evidence, found.image.digest, keys)).toEqual([]);
  });

  it('tags that are no index, and indexes with odd entries, are refused or passed over', async () => {
    const found = fixture('unsigned');
    const evidence = fixtureEvidence(found);
    evidence.addManifest(OCI_MANIFEST_TYPE, Buffer.from('{"layers":[]}'), referrersTag(found.image.digest));
    expect(reasons(await collectSignatures(evidence, found.image.digest, keys))).toEqual(['WRONG_TYPE']);
    evidence.addManifest(
      OCI_INDEX_TYPE,
      Buffer.from('{"manifests":[{"digest":"sha256:../x"},{"digest":5},{}]}'),
      referrersTag(found.image.digest),
    );
    expect(await collectSignatures(evidence, found.image.digest, keys)).toEqual([]);
  });
});

describe('crafted manifests', () => {
  const own = generateSigningKey();
  const key: SigningKey = parseSigningKey(own.privateKeyPem);
  const image = { digest: sha256Digest(Buffer.from('image')), mediaType: OCI_MANIFEST_TYPE, sizeBytes: 5 };
  const request = { image, dockerReference: 'registry.example/team/app', key };
  const trustedOwn = [trustKey(own.publicKeyPem)];

  function changedManifest(change: (body: Record<string, unknown>) => unknown): MemoryEvidence {
    const pushed = signBundle(request);
    const evidence = new MemoryEvidence();
    const body = JSON.parse(pushed.manifest.bytes.toString()) as Record<string, unknown>;
    change(body);
    for (const blob of pushed.blobs) evidence.addBlob(blob.bytes);
    const digest = evidence.addManifest(OCI_MANIFEST_TYPE, Buffer.from(JSON.stringify(body)));
    evidence.lists.set(image.digest, [{ digest, mediaType: OCI_MANIFEST_TYPE, artifactType: null }]);
    return evidence;
  }

  const layersOf = (body: Record<string, unknown>): Record<string, unknown>[] => body.layers as Record<string, unknown>[];
  const changeLayer = (members: object) => (body: Record<string, unknown>) =>
    layersOf(body).forEach((layer) => Object.assign(layer, members));

  it.each<[string, (body: Record<string, unknown>) => unknown, ReasonCode[]]>([
    ['nothing changed', () => undefined, []],
    ['no subject', (body) => Reflect.deleteProperty(body, 'subject'), ['DIGEST_MISMATCH']],
    [
      'the subject of another image',
      (body) => Object.assign(body, { subject: { digest: sha256Digest(Buffer.from('other')) } }),
      ['DIGEST_MISMATCH'],
    ],
    ['two layers', (body) => layersOf(body).push(...layersOf(body)), ['AMBIGUOUS_PAYLOAD']],
    ['an index at the same time', (body) => Object.assign(body, { manifests: [] }), ['AMBIGUOUS_PAYLOAD']],
    ['an older bundle', changeLayer({ mediaType: 'application/vnd.dev.sigstore.bundle+json;version=0.2' }), ['WRONG_TYPE']],
    ['a size too small', changeLayer({ size: 5 }), ['BACKEND_ERROR']],
    ['a size too large', changeLayer({ size: 50_000 }), ['DIGEST_MISMATCH']],
    ['a huge size', changeLayer({ size: 1e9 }), ['LIMIT']],
    ['a digest of another kind', changeLayer({ digest: 'sha512:00' }), ['AMBIGUOUS_PAYLOAD']],
  ])('bundle manifest with %s', async (_name, change, expected) => {
    const findings = await collectSignatures(changedManifest(change), image.digest, trustedOwn);
    expect(reasons(findings)).toEqual(expected);
    expect(findings).toHaveLength(1);
  });

  type Bundle = Record<'dsseEnvelope' | 'verificationMaterial', Record<string, unknown>>;

  function changedBundle(change: (body: Bundle) => unknown): MemoryEvidence {
    const [, blob] = signBundle(request).blobs;
    const body = JSON.parse(blob?.bytes.toString() ?? '') as Bundle;
    change(body);
    const bytes = Buffer.from(JSON.stringify(body));
    const evidence = changedManifest(changeLayer({ digest: sha256Digest(bytes), size: bytes.length }));
    evidence.addBlob(bytes);
    return evidence;
  }

  const certificate = { rawBytes: 'AA==' };
  it.each<[string, (body: Bundle) => unknown, ReasonCode]>([
    ['another media type', (body) => Object.assign(body, { mediaType: 'application/vnd.dev.sigstore.bundle.v0.2+json' }), 'WRONG_TYPE'],
    ['another payload type', (body) => Object.assign(body.dsseEnvelope, { payloadType: 'text/plain' }), 'WRONG_TYPE'],
    ['no envelope', (body) => Reflect.deleteProperty(body, 'dsseEnvelope'), 'WRONG_TYPE'],
    ['a message signature too', (body) => Object.assign(body, { messageSignature: {} }), 'AMBIGUOUS_PAYLOAD'],
    ['no signature', (body) => Object.assign(body.dsseEnvelope, { signatures: [] }), 'AMBIGUOUS_PAYLOAD'],
    ['a certificate', (body) => Object.assign(body, { verificationMaterial: { certificate } }), 'UNTRUSTED_KEY'],
    ['a key and a certificate', (body) => Object.assign(body.verificationMaterial, { certificate }), 'UNTRUSTED_KEY'],
    ['payload in URL base64', (body) => Object.assign(body.dsseEnvelope, { payload: '_-8=' }), 'BAD_SIGNATURE'],
  ])('bundle with %s', async (_name, change, expected) => {
    expect(reasons(await collectSignatures(changedBundle(change), image.digest, trustedOwn))).toEqual([expected]);
  });

  type Statement = Record<string, unknown> & { subject: object[] };

  /** A bundle whose changed statement is properly signed. */
  function changedStatement(change: (statement: Statement) => unknown): MemoryEvidence {
    return changedBundle(({ dsseEnvelope }) => {
      const statement = JSON.parse(Buffer.from(String(dsseEnvelope.payload), 'base64').toString()) as Statement;
      change(statement);
      const payload = Buffer.from(JSON.stringify(statement));
      const sig = signBytes('dsse', key, preAuthEncoding(IN_TOTO_TYPE, payload)).toString('base64');
      Object.assign(dsseEnvelope, { payload: payload.toString('base64'), signatures: [{ sig }] });
    });
  }

  it.each<[string, (statement: Statement) => unknown, ReasonCode[]]>([
    ['nothing changed', () => undefined, []],
    ['another subject too', (statement) => statement.subject.push({ digest: { sha256: '00' } }), []],
    [
      'the image twice',
      (statement) => statement.subject.push({ ...statement.subject[0], annotations: { env: 'prod' } }),
      ['AMBIGUOUS_PAYLOAD'],
    ],
    ['no subject', (statement) => Object.assign(statement, { subject: [] }), ['DIGEST_MISMATCH']],
    ['subjects that are no list', (statement) => Object.assign(statement, { subject: {} }), ['DIGEST_MISMATCH']],
    ['another type', (statement) => Object.assign(statement, { _type: 'https://in-toto.io/Link/v1' }), ['WRONG_TYPE']],
    ['another predicate', (statement) => Object.assign(statement, { predicateType: 'https://slsa.dev/provenance/v1' }), ['WRONG_TYPE']],
    ['a predicate alike', (statement) => Object.assign(statement, { predicateType: `${SIGN_PREDICATE}/` }), ['WRONG_TYPE']],
  ])('statement with %s', async (_name, change, expected) => {
    const findings = await collectSignatures(changedStatement(change), image.digest, trustedOwn);
    expect(reasons(findings)).toEqual(expected);
    expect(findings).toHaveLength(1);
  });

  it.each<[string, string]>([
    ['an index', '{"manifests":[]}'],
    ['both lists', '{"manifests":[],"layers":[]}'],
  ])('.sig tag holding %s', async (_name, body) => {
    const evidence = new MemoryEvidence();
    evidence.addManifest(OCI_MANIFEST_TYPE, Buffer.from(body), signatureTag(image.digest));
    expect(reasons(await collectSignatures(evidence, image.digest, trustedOwn))).toEqual(['WRONG_TYPE']);
  });

  it('.sig manifest with duplicate keys', async () => {
    const evidence = new MemoryEvidence();
    evidence.push(signLegacy(request));
    const tag = signatureTag(image.digest);
    const manifest = await evidence.manifestByTag(tag);
    const text = manifest?.bytes.toString().replace('"layers":', '"layers":[],"layers":') ?? '';
    evidence.addManifest(OCI_MANIFEST_TYPE, Buffer.from(text), tag);
    expect(reasons(await collectSignatures(evidence, image.digest, trustedOwn))).toEqual(['AMBIGUOUS_PAYLOAD']);
  });

  it('more layers, referrers, bytes or checks than allowed end as LIMIT beside what was found', async () => {
    const evidence = new MemoryEvidence();
    let index: Buffer | null = null;
    let manifest: Buffer | null = null;
    for (let run = 0; run < 5; run += 1) {
      const claims = { run: String(run) };
      const bundle = signBundle({ ...request, claims });
      const merged = mergeReferrersIndex(image.digest, bundle, index);
      const legacy = signLegacy({ ...request, claims }, manifest);
      for (const pushable of [bundle, merged, legacy]) if (pushable !== null) evidence.push(pushable);
      index = merged?.manifest.bytes ?? null;
      manifest = legacy.manifest.bytes;
    }
    const found = (limits: object): Promise<Finding[]> => collectSignatures(evidence, image.digest, trustedOwn, limits);
    const good = (findings: Finding[]): number => findings.filter((finding) => finding.ok).length;
    expect(good(await found({}))).toBe(10);
    expect(good(await found({ maxCandidates: 5 }))).toBe(10);
    const capped = await found({ maxCandidates: 4 });
    expect(good(capped)).toBe(8);
    expect(reasons(capped)).toEqual(['LIMIT', 'LIMIT']);
    for (const limits of [{ maxTotalBytes: 6_000 }, { maxVerifications: 3 }, { maxBlobBytes: 200 }, { maxManifestBytes: 400 }]) {
      const limited = await found(limits);
      expect(reasons(limited)).toContain('LIMIT');
      expect(good(limited)).toBeLessThan(10);
    }
  });

  it('a thousand random changes of a signed image never pass as signed by a key that did not', async () => {
    const seed = 20;
    for (const pushed of [signLegacy(request), signBundle(request)]) {
      const blob = pushed.blobs.find((candidate) => candidate.bytes.length > 100 && !candidate.mediaType.includes('config'));
      for (let round = 0; round < 500; round += 1) {
        const roll = createHash('sha256').update(`${seed}/${round}`).digest();
        const bytes = Buffer.from(blob?.bytes ?? []);
        const at = roll.readUInt32BE(0) % bytes.length;
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (roll.readUInt8(4) % 8));
        const text = pushed.manifest.bytes.toString().replaceAll(blob?.digest ?? '', sha256Digest(bytes));
        const evidence = new MemoryEvidence();
        evidence.addBlob(bytes);
        const digest = evidence.addManifest(OCI_MANIFEST_TYPE, Buffer.from(text), pushed.tag);
        evidence.lists.set(image.digest, [{ digest, mediaType: OCI_MANIFEST_TYPE, artifactType: null }]);
        const findings = await collectSignatures(evidence, image.digest, trustedOwn);
        // One bit in the unsigned hint may change without harm.
        const unsigned = pushed.tag === null && isOutsideEnvelope(bytes, blob?.bytes ?? bytes);
        expect({ round, ok: findings.some((finding) => finding.ok) && !unsigned }).toEqual({ round, ok: false });
      }
    }
  });
});

function isOutsideEnvelope(changed: Buffer, original: Buffer): boolean {
  const start = original.indexOf('"dsseEnvelope"');
  return changed.subarray(start).equals(original.subarray(start));
}
