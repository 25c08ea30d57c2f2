import { BUNDLE_TYPE, IN_TOTO_TYPE, SIGN_PREDICATE, STATEMENT_TYPES, preAuthEncoding, referrersTag } from './bundle-v03';
import { SIGNATURE_ANNOTATION, SIMPLE_SIGNING_KIND, SIMPLE_SIGNING_TYPE, signatureLayers, signatureTag } from './cosign-sig';
import { DEFAULT_EVIDENCE_LIMITS, isSha256Digest, parseObject, sha256Digest } from './evidence';
import { Refusal } from './findings';
import { decodeBase64, signBytes, verifyBytes } from './keys';
import type { SigningKey } from './keys';
import { asObject, asObjects } from './json';
import type { JsonObject } from './json';

/** Media types of what is pushed. */
export const OCI_MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
/** Media type of an OCI image index. */
export const OCI_INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';
const OCI_CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const OCI_EMPTY_TYPE = 'application/vnd.oci.empty.v1+json';

/** A blob to upload before the manifest that names it. */
export interface PushBlob {
  digest: string;
  mediaType: string;
  bytes: Buffer;
}

/** What to push, in this order: blobs, then the manifest, under `tag` where there is one and by its digest otherwise. */
export interface Pushable {
  blobs: PushBlob[];
  manifest: { digest: string; mediaType: string; bytes: Buffer };
  tag: string | null;
}

/** What is signed. */
export interface SigningRequest {
  /** The manifest or index as the registry holds it; a reference resolves to this digest. */
  image: { digest: string; mediaType: string; sizeBytes: number };
  /** `host/namespace/name` without tag or digest; goes into the payload of the `.sig` form. */
  dockerReference: string;
  key: SigningKey;
  /** Stated beside the digest, as `cosign sign -a` does. */
  claims?: Record<string, string>;
}

/**
 * Signs in the form of cosign 1 and 2. Given the bytes of the manifest now under the tag, the signature is appended to its layers; a
 * signature already there by this key over the same payload is not repeated. Two writers at once lose one signature (registries have no
 * compare-and-swap on tags), so callers serialise writes of a `.sig` tag.
 *
 * @throws Refusal when the existing manifest is not one that could be appended to
 */
export function signLegacy(request: SigningRequest, existing: Buffer | null = null): Pushable {
  const payload = pushBlob(SIMPLE_SIGNING_TYPE, Buffer.from(JSON.stringify(simpleSigningPayload(request))));
  const tag = signatureTag(request.image.digest);
  const kept = existing === null ? [] : existingLayers(existing);
  if (existing !== null && kept.some((layer) => isSignatureBy(request.key, layer, payload))) {
    return { blobs: [], manifest: { digest: sha256Digest(existing), mediaType: OCI_MANIFEST_TYPE, bytes: existing }, tag };
  }
  const signature = signBytes('simple-signing', request.key, payload.bytes).toString('base64');
  const layers = [...kept, { ...descriptor(payload), annotations: { [SIGNATURE_ANNOTATION]: signature } }];
  const config = pushBlob(OCI_CONFIG_TYPE, Buffer.from(JSON.stringify(signatureConfig(layers))));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST_TYPE, config: descriptor(config), layers }));
  return { blobs: [payload, config], manifest: { digest: sha256Digest(bytes), mediaType: OCI_MANIFEST_TYPE, bytes }, tag };
}

/** Signs as a Sigstore bundle v0.3 that refers to the image, cosign 3's form. Needs nothing of what is there already. */
export function signBundle(request: SigningRequest): Pushable {
  const { image, key } = request;
  if (!isSha256Digest(image.digest)) throw new RangeError('only sha256 digests are signed');
  const payload = Buffer.from(JSON.stringify(statement(request)));
  const sig = signBytes('dsse', key, preAuthEncoding(IN_TOTO_TYPE, payload)).toString('base64');
  const body = {
    mediaType: BUNDLE_TYPE,
    verificationMaterial: { publicKey: { hint: key.publicKey.hint } },
    dsseEnvelope: { payload: payload.toString('base64'), payloadType: IN_TOTO_TYPE, signatures: [{ sig }] },
  };
  const bundle = pushBlob(BUNDLE_TYPE, Buffer.from(JSON.stringify(body)));
  const empty = pushBlob(OCI_EMPTY_TYPE, Buffer.from('{}'));
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST_TYPE,
    artifactType: BUNDLE_TYPE,
    config: descriptor(empty),
    layers: [descriptor(bundle)],
    subject: { mediaType: image.mediaType, digest: image.digest, size: image.sizeBytes },
    annotations: { 'dev.sigstore.bundle.content': 'dsse-envelope', 'dev.sigstore.bundle.predicateType': SIGN_PREDICATE },
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  return { blobs: [empty, bundle], manifest: { digest: sha256Digest(bytes), mediaType: OCI_MANIFEST_TYPE, bytes }, tag: null };
}

/**
 * The referrers index to push for a bundle where the registry keeps no referrers list itself (no `OCI-Subject` header on the push). Given
 * the index now under the tag, the entry is added to it; null when it is there already.
 *
 * @throws Refusal when what is under the tag is not an index
 */
export function mergeReferrersIndex(imageDigest: string, bundle: Pushable, existing: Buffer | null = null): Pushable | null {
  const entry = {
    mediaType: bundle.manifest.mediaType,
    digest: bundle.manifest.digest,
    size: bundle.manifest.bytes.length,
    artifactType: BUNDLE_TYPE,
  };
  const entries = existing === null ? [] : asObjects(parseExisting(existing, 'the referrers index').manifests);
  if (entries === null) throw new Refusal('WRONG_TYPE', 'the referrers tag is not an index');
  if (entries.some((known) => known.digest === entry.digest)) return null;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX_TYPE, manifests: [...entries, entry] }));
  return { blobs: [], manifest: { digest: sha256Digest(bytes), mediaType: OCI_INDEX_TYPE, bytes }, tag: referrersTag(imageDigest) };
}

function simpleSigningPayload({ image, dockerReference, claims }: SigningRequest): object {
  if (!isSha256Digest(image.digest)) throw new RangeError('only sha256 digests are signed');
  return {
    critical: {
      identity: { 'docker-reference': dockerReference },
      image: { 'docker-manifest-digest': image.digest },
      type: SIMPLE_SIGNING_KIND,
    },
    optional: claims ?? null,
  };
}

function statement({ image, claims }: SigningRequest): object {
  const subject = { digest: { sha256: image.digest.slice('sha256:'.length) }, ...(claims === undefined ? {} : { annotations: claims }) };
  return { _type: STATEMENT_TYPES[0], subject: [subject], predicateType: SIGN_PREDICATE, predicate: {} };
}

function pushBlob(mediaType: string, bytes: Buffer): PushBlob {
  return { digest: sha256Digest(bytes), mediaType, bytes };
}

function descriptor(blob: PushBlob): { mediaType: string; digest: string; size: number } {
  return { mediaType: blob.mediaType, digest: blob.digest, size: blob.bytes.length };
}

/** An image configuration that lists the payloads as layers, as cosign writes it, so that copying tools see a consistent image. */
function signatureConfig(layers: { digest?: unknown }[]): object {
  return {
    architecture: '',
    created: '0001-01-01T00:00:00Z',
    os: '',
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.digest) },
  };
}

function parseExisting(bytes: Buffer, what: string): JsonObject {
  return parseObject(bytes, what, DEFAULT_EVIDENCE_LIMITS.maxManifestBytes);
}

function existingLayers(bytes: Buffer): JsonObject[] {
  return signatureLayers({ digest: sha256Digest(bytes), mediaType: OCI_MANIFEST_TYPE, bytes }, DEFAULT_EVIDENCE_LIMITS.maxManifestBytes);
}

function isSignatureBy(key: SigningKey, layer: JsonObject, payload: PushBlob): boolean {
  const signature = decodeBase64(asObject(layer.annotations)?.[SIGNATURE_ANNOTATION]);
  return layer.digest === payload.digest && signature !== null && verifyBytes('simple-signing', key.publicKey, payload.bytes, signature);
}
