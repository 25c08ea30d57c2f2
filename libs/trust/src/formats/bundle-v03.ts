import { parseObject, sha256Digest } from './evidence';
import type { EvidenceReader, RawManifest } from './evidence';
import { stringClaims } from './cosign-sig';
import { Refusal } from './findings';
import type { VerifiedSignature } from './findings';
import { decodeBase64 } from './keys';
import type { TrustedKey } from './keys';
import { asObject, asObjects } from './json';
import type { JsonObject } from './json';

/** Media type of the bundle, as layer and inside itself. */
export const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
/** The predicate of an image signature. Any other predicate makes an attestation, which says something else about the image. */
export const SIGN_PREDICATE = 'https://sigstore.dev/cosign/sign/v1';
/** Payload type of the DSSE envelope. */
export const IN_TOTO_TYPE = 'application/vnd.in-toto+json';
/** in-toto statement versions; cosign 3 writes v1, and v0.1 has the same members. */
export const STATEMENT_TYPES = ['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1'];

const ANY_BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle[.+]/;

/** The tag under which registries without a referrers list keep one (OCI distribution 1.1, referrers tag schema). */
export function referrersTag(imageDigest: string): string {
  return imageDigest.replace(':', '-');
}

/** The bytes that a DSSE signature covers (secure-systems-lab/dsse, protocol.md): lengths are in bytes. */
export function preAuthEncoding(payloadType: string, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `), payload]);
}

/** The bundle layer of a referrer, or null when the referrer is something else altogether (an SBOM, another kind of signature). */
export function bundleLayer(manifest: RawManifest, imageDigest: string, maxBytes: number): JsonObject | null {
  const body = parseObject(manifest.bytes, 'a referrer', maxBytes);
  const layers = asObjects(body.layers) ?? [];
  const bundles = layers.filter((layer) => typeof layer.mediaType === 'string' && ANY_BUNDLE.test(layer.mediaType));
  const [layer] = bundles;
  if (layer === undefined) return null;
  if (layers.length !== 1 || body.manifests !== undefined)
    throw new Refusal('AMBIGUOUS_PAYLOAD', 'a bundle manifest with more than the bundle');
  if (layer.mediaType !== BUNDLE_TYPE) throw new Refusal('WRONG_TYPE', 'a Sigstore bundle of another version than 0.3');
  // Lists of referrers are only hints; what binds the manifest to the image is its own subject.
  if (asObject(body.subject)?.digest !== imageDigest) throw new Refusal('DIGEST_MISMATCH', 'the bundle is attached to another image');
  return layer;
}

/** Verifies the bundle in `layer` as a signature of the image by one of the keys. */
export async function verifyBundle(
  reader: EvidenceReader,
  imageDigest: string,
  keys: TrustedKey[],
  layer: JsonObject,
  manifestDigest: string,
): Promise<VerifiedSignature> {
  const bytes = await reader.blob(layer);
  const bundle = parseObject(bytes, 'the bundle', reader.limits.maxBlobBytes);
  const { payload, signature, hint } = openEnvelope(bundle);
  // The hint orders the attempts and words the refusal; it decides nothing, for nobody signed it.
  const named = keys.filter((key) => key.hint === hint);
  const ordered = [...named, ...keys.filter((key) => key.hint !== hint)];
  const signer = reader.findSigner('dsse', ordered, preAuthEncoding(IN_TOTO_TYPE, payload), signature);
  if (signer === null && named.length > 0) throw new Refusal('BAD_SIGNATURE', 'not the signature of the key it names over this content');
  if (signer === null) throw new Refusal('UNTRUSTED_KEY', 'no known key made this signature');
  const statement = parseObject(payload, 'the signed statement', reader.limits.maxBlobBytes);
  return {
    ok: true,
    format: 'bundle-v0.3',
    keyFingerprint: signer.fingerprint,
    claims: stringClaims(signedSubject(statement, imageDigest).annotations),
    dockerReference: null,
    evidence: { manifestDigest, payloadDigest: sha256Digest(bytes) },
  };
}

function openEnvelope(bundle: JsonObject): { payload: Buffer; signature: Buffer; hint: string | null } {
  if (bundle.mediaType !== BUNDLE_TYPE) throw new Refusal('WRONG_TYPE', 'the bundle names another version than 0.3');
  // A message signature covers a digest only: it has no statement that says what was meant.
  const envelope = asObject(bundle.dsseEnvelope);
  if (envelope === null) throw new Refusal('WRONG_TYPE', 'the bundle holds no DSSE envelope');
  if (bundle.messageSignature !== undefined) throw new Refusal('AMBIGUOUS_PAYLOAD', 'the bundle holds two kinds of content');
  const material = asObject(bundle.verificationMaterial);
  const named = asObject(material?.publicKey);
  if (named === null || material?.certificate !== undefined || material?.x509CertificateChain !== undefined) {
    throw new Refusal('UNTRUSTED_KEY', 'the bundle is signed by a certificate, and no certificate authority is trusted');
  }
  if (envelope.payloadType !== IN_TOTO_TYPE) throw new Refusal('WRONG_TYPE', 'the envelope does not hold an in-toto statement');
  const signatures = asObjects(envelope.signatures);
  const [only] = signatures ?? [];
  if (only === undefined || signatures?.length !== 1) throw new Refusal('AMBIGUOUS_PAYLOAD', 'an envelope must have exactly one signature');
  const payload = decodeBase64(envelope.payload);
  const signature = decodeBase64(only.sig);
  if (payload === null || signature === null) throw new Refusal('BAD_SIGNATURE', 'the envelope is not readable base64');
  return { payload, signature, hint: typeof named.hint === 'string' ? named.hint : null };
}

/** The one subject that is the image. Signature libraries check the envelope only, so this comparison is what binds it to the image. */
function signedSubject(statement: JsonObject, imageDigest: string): JsonObject {
  if (!STATEMENT_TYPES.some((type) => statement._type === type) || statement.predicateType !== SIGN_PREDICATE) {
    throw new Refusal('WRONG_TYPE', 'an attestation or another statement, not an image signature');
  }
  const hex = imageDigest.slice('sha256:'.length);
  const matching = (asObjects(statement.subject) ?? []).filter((subject) => asObject(subject.digest)?.sha256 === hex);
  const [subject] = matching;
  if (subject === undefined) throw new Refusal('DIGEST_MISMATCH', 'the signature is that of another image');
  if (matching.length > 1) throw new Refusal('AMBIGUOUS_PAYLOAD', 'the statement names the image twice');
  return subject;
}
