import { bundleLayer, referrersTag, verifyBundle } from './bundle-v03';
import { signatureLayers, signatureTag, verifySignatureLayer } from './cosign-sig';
import { DEFAULT_EVIDENCE_LIMITS, EvidenceReader, isSha256Digest, parseObject } from './evidence';
import type { EvidenceLimits, EvidenceSource } from './evidence';
import { Refusal } from './findings';
import type { Evidence, Finding, SignatureFormat, VerifiedSignature } from './findings';
import type { TrustedKey } from './keys';
import { asObjects } from './json';

/** Candidates examined side by side: each waits for the registry about twice. */
const PARALLEL = 8;

/**
 * Finds and verifies every signature of one image digest, in both forms. `keys` are all keys that could have signed, revoked and retired
 * ones included, so that a refusal can be told precisely; {@link evaluate} decides what counts. Never throws for what the registry holds
 * or fails to answer: that is a finding too. An empty result means that there is no candidate.
 *
 * The caller resolves a tag once, before, and deploys exactly `imageDigest`.
 *
 * @throws RangeError when `imageDigest` is not a sha256 digest
 */
export async function collectSignatures(
  source: EvidenceSource,
  imageDigest: string,
  keys: TrustedKey[],
  limits: Partial<EvidenceLimits> = {},
): Promise<Finding[]> {
  if (!isSha256Digest(imageDigest)) throw new RangeError('an image digest must be sha256: and 64 lower-case hex digits');
  const reader = new EvidenceReader(source, { ...DEFAULT_EVIDENCE_LIMITS, ...limits });
  const search = { reader, imageDigest, keys };
  const found = (await Promise.all([collectLayers(search), collectBundles(search)])).flat();
  return found.length > 0 ? found : findAttestation(search);
}

interface Search {
  reader: EvidenceReader;
  imageDigest: string;
  keys: TrustedKey[];
}

/** Runs one examination: what it refuses becomes a finding; null means that there was nothing to examine. */
async function examine(
  format: SignatureFormat,
  evidence: Evidence,
  examination: () => Promise<VerifiedSignature | null>,
): Promise<Finding | null> {
  try {
    return await examination();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { ok: false, format, reason: error.reason, detail: error.message, evidence };
  }
}

/** Like {@link examine} for a step that lists candidates: gives the list, or the finding that says why there is none. */
async function list<T>(format: SignatureFormat, listing: () => Promise<T[]>): Promise<{ items: T[]; faults: Finding[] }> {
  try {
    return { items: await listing(), faults: [] };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const evidence = { manifestDigest: null, payloadDigest: null };
    return { items: [], faults: [{ ok: false, format, reason: error.reason, detail: error.message, evidence }] };
  }
}

/** Examines at most the allowed number of candidates and says so when there are more. */
async function examineAll<T>(
  format: SignatureFormat,
  { items, faults }: { items: T[]; faults: Finding[] },
  maxCandidates: number,
  examination: (item: T) => Promise<Finding | null>,
): Promise<Finding[]> {
  const findings: Finding[] = [...faults];
  for (let from = 0; from < Math.min(items.length, maxCandidates); from += PARALLEL) {
    const batch = items.slice(from, Math.min(from + PARALLEL, maxCandidates));
    const results = await Promise.all(batch.map((item) => examination(item)));
    findings.push(...results.filter((finding) => finding !== null));
  }
  if (items.length > maxCandidates) {
    const detail = `${items.length} candidates; the first ${maxCandidates} were examined`;
    findings.push({ ok: false, format, reason: 'LIMIT', detail, evidence: { manifestDigest: null, payloadDigest: null } });
  }
  return findings;
}

async function collectLayers({ reader, imageDigest, keys }: Search): Promise<Finding[]> {
  const layers = await list('cosign-sig', async () => {
    const manifest = await reader.manifestByTag(signatureTag(imageDigest));
    if (manifest === null) return [];
    return signatureLayers(manifest, reader.limits.maxManifestBytes).map((layer) => ({ layer, manifestDigest: manifest.digest }));
  });
  return examineAll('cosign-sig', layers, reader.limits.maxCandidates, ({ layer, manifestDigest }) => {
    const payloadDigest = isSha256Digest(layer.digest) ? layer.digest : null;
    return examine('cosign-sig', { manifestDigest, payloadDigest }, () =>
      verifySignatureLayer(reader, imageDigest, keys, layer, manifestDigest),
    );
  });
}

async function collectBundles({ reader, imageDigest, keys }: Search): Promise<Finding[]> {
  // Both lists are read always: signatures pushed by different clients, or through different registries, may be in either.
  const [listed, tagged] = await Promise.all([
    list('bundle-v0.3', () => reader.referrers(imageDigest)),
    list('bundle-v0.3', () => fallbackReferrers(reader, imageDigest)),
  ]);
  const digests = [...new Set([...listed.items, ...tagged.items])];
  const candidates = { items: digests, faults: [...listed.faults, ...tagged.faults] };
  return examineAll('bundle-v0.3', candidates, reader.limits.maxCandidates, (digest) => {
    const evidence: Evidence = { manifestDigest: digest, payloadDigest: null };
    return examine('bundle-v0.3', evidence, async () => {
      const manifest = await reader.manifestByDigest(digest);
      // A deleted referrer stays in the fallback index of registries such as Distribution 2.8.
      if (manifest === null) return null;
      const layer = bundleLayer(manifest, imageDigest, reader.limits.maxManifestBytes);
      if (layer === null) return null;
      evidence.payloadDigest = isSha256Digest(layer.digest) ? layer.digest : null;
      return verifyBundle(reader, imageDigest, keys, layer, digest);
    });
  });
}

async function fallbackReferrers(reader: EvidenceReader, imageDigest: string): Promise<string[]> {
  const index = await reader.manifestByTag(referrersTag(imageDigest));
  if (index === null) return [];
  const body = parseObject(index.bytes, 'the referrers index', reader.limits.maxManifestBytes);
  const entries = asObjects(body.manifests);
  if (entries === null) throw new Refusal('WRONG_TYPE', 'the referrers tag is not an index');
  return entries.map((entry) => entry.digest).filter(isSha256Digest);
}

/** cosign 2 keeps attestations under a tag of their own; where nothing else is found, saying so beats "no signature". */
async function findAttestation({ reader, imageDigest }: Search): Promise<Finding[]> {
  const attestations = await list('cosign-sig', async () => {
    const manifest = await reader.manifestByTag(`${referrersTag(imageDigest)}.att`);
    return manifest === null ? [] : [manifest.digest];
  });
  const wrong = attestations.items.map((manifestDigest): Finding => {
    const detail = 'the image has an attestation but no signature';
    return { ok: false, format: 'cosign-sig', reason: 'WRONG_TYPE', detail, evidence: { manifestDigest, payloadDigest: null } };
  });
  return [...attestations.faults, ...wrong];
}
