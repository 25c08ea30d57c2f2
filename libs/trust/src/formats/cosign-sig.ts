import { parseObject, sha256Digest } from './evidence';
import type { EvidenceReader, RawManifest } from './evidence';
import { Refusal } from './findings';
import type { VerifiedSignature } from './findings';
import { decodeBase64 } from './keys';
import type { TrustedKey } from './keys';
import { asObject, asObjects } from './json';
import type { JsonObject, JsonValue } from './json';

/** Media type of a simple-signing payload. */
export const SIMPLE_SIGNING_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json';
/** Layer annotation that holds the base64 signature over the payload blob. */
export const SIGNATURE_ANNOTATION = 'dev.cosignproject.cosign/signature';
/** `critical.type` of an image signature. cosign itself does not check it; containers/image does, and so do we. */
export const SIMPLE_SIGNING_KIND = 'cosign container image signature';

/** The tag under which cosign 1 and 2 keep the signatures of a digest. */
export function signatureTag(imageDigest: string): string {
  return `${imageDigest.replace(':', '-')}.sig`;
}

/** The layers of a `.sig` manifest: each is a candidate, and they count together. Refused when it is not an image manifest. */
export function signatureLayers(manifest: RawManifest, maxBytes: number): JsonObject[] {
  const body = parseObject(manifest.bytes, 'the signature manifest', maxBytes);
  const layers = asObjects(body.layers);
  // A body with both lists could be read as an index by one reader and as an image by the next.
  if (layers === null || body.manifests !== undefined) throw new Refusal('WRONG_TYPE', 'the .sig tag is not an image manifest');
  return layers;
}

/**
 * Verifies one layer (cosign specs, SIGNATURE_SPEC.md): the signature is over the payload bytes as they are, and only then is the payload
 * read. `critical.identity` is not bound to the repository, as in cosign: copying an image with its signature keeps it signed.
 */
export async function verifySignatureLayer(
  reader: EvidenceReader,
  imageDigest: string,
  keys: TrustedKey[],
  layer: JsonObject,
  manifestDigest: string,
): Promise<VerifiedSignature> {
  if (layer.mediaType !== SIMPLE_SIGNING_TYPE)
    throw new Refusal('WRONG_TYPE', 'a layer under the .sig tag is not a simple-signing payload');
  const encoded = asObject(layer.annotations)?.[SIGNATURE_ANNOTATION];
  const signature = decodeBase64(encoded);
  if (signature === null) throw new Refusal('BAD_SIGNATURE', 'the layer has no readable signature');
  const payload = await reader.blob(layer);
  const signer = reader.findSigner('simple-signing', keys, payload, signature);
  if (signer === null) throw new Refusal('UNTRUSTED_KEY', 'no known key made this signature: another key, or the payload was changed');
  const body = parseObject(payload, 'the signed payload', reader.limits.maxBlobBytes);
  const critical = asObject(body.critical);
  if (critical?.type !== SIMPLE_SIGNING_KIND) throw new Refusal('WRONG_TYPE', `the payload does not say "${SIMPLE_SIGNING_KIND}"`);
  if (asObject(critical.image)?.['docker-manifest-digest'] !== imageDigest) {
    throw new Refusal('DIGEST_MISMATCH', 'the signature is that of another image');
  }
  const reference = asObject(critical.identity)?.['docker-reference'];
  return {
    ok: true,
    format: 'cosign-sig',
    keyFingerprint: signer.fingerprint,
    claims: stringClaims(body.optional),
    dockerReference: typeof reference === 'string' ? reference : null,
    evidence: { manifestDigest, payloadDigest: sha256Digest(payload) },
  };
}

/** The string members of a claims object; policies compare strings, so other values can satisfy nothing. */
export function stringClaims(value: JsonValue | undefined): Record<string, string> {
  const entries = Object.entries(asObject(value) ?? {});
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
