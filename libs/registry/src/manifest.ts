import { createHash } from 'node:crypto';
import { foldKey, parseStrictJson, StrictJsonError } from '@gantry/platform';
import { registryProblem } from './problems';
import { isDigest } from './reference';

/** Largest manifest that is taken, in bytes (as Distribution; the specification demands at least this). */
export const maxManifestBytes = 4 * 1024 * 1024;

const imageTypes = ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json'];
const indexTypes = ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'];

/** Media types of the manifests that we keep. Schema 1 is not among them. */
export const manifestTypes: readonly string[] = [...imageTypes, ...indexTypes];

/** What we record of a manifest. */
export interface ManifestFacts {
  digest: string;
  mediaType: string;
  sizeBytes: number;
  contentBytes: number;
  subjectDigest: string | null;
  artifactType: string | null;
  configDigest: string | null;
  annotations: Record<string, string> | null;
}

/** `sha256:<hex>` of these bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

type Fields = Record<string, unknown>;

const manifestKeys = ['schemaVersion', 'mediaType', 'artifactType', 'config', 'layers', 'manifests', 'subject', 'annotations'];
const descriptorKeys = ['mediaType', 'digest', 'size', 'urls', 'annotations', 'data', 'platform', 'artifactType'];
const maxReferences = 1_000;

function invalid(detail: string): Error {
  return registryProblem('manifest-invalid', { detail });
}

/** An object in which no key is only nearly one of `known`: the storage behind us folds case and would read another value than we do. */
function fields(value: unknown, known: string[], what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${what} is not an object.`);
  const folded = new Map(known.map((key) => [foldKey(key), key]));
  for (const key of Object.keys(value)) {
    const meant = folded.get(foldKey(key));
    if (meant !== undefined && meant !== key) throw invalid(`${what} has the key ${JSON.stringify(key)}; it is written ${JSON.stringify(meant)}.`);
  }
  return value as Fields;
}

function text(value: unknown, what: string, maxLength: number): string | null {
  if (value === undefined) return null;
  if (typeof value !== 'string' || value.length > maxLength || value.includes('\0')) throw invalid(`${what} is not a text of at most ${maxLength} characters.`);
  return value;
}

function descriptor(value: unknown, what: string): { digest: string; mediaType: string; sizeBytes: number } {
  const object = fields(value, descriptorKeys, what);
  const { digest, size } = object;
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`${what} has no sha256 digest.`);
  if (typeof size !== 'number' || !Number.isInteger(size) || size < 0) throw invalid(`${what} has no size.`);
  return { digest, mediaType: text(object['mediaType'], `${what}’s mediaType`, 255) ?? '', sizeBytes: size };
}

function descriptors(value: unknown, what: string): { digest: string; mediaType: string; sizeBytes: number }[] {
  if (!Array.isArray(value)) throw invalid(`${what} is not a list.`);
  if (value.length > maxReferences) throw invalid(`${what} has more than ${maxReferences} entries.`);
  return value.map((entry, index) => descriptor(entry, `${what}[${index}]`));
}

function annotationsOf(value: unknown): Record<string, string> | null {
  if (value === undefined || value === null) return null;
  const entries = Object.entries(fields(value, [], 'annotations'));
  for (const [key, entry] of entries) if (typeof entry !== 'string' || entry.includes('\0') || key.includes('\0')) throw invalid('annotations are not texts.');
  return entries.length === 0 ? null : (Object.fromEntries(entries) as Record<string, string>);
}

/**
 * Reads a manifest or index that is being pushed. `contentType` is the request's; it decides, and the manifest's own `mediaType` may not differ.
 * The digest is computed here. @throws registry.manifest-invalid
 */
export function readManifest(contentType: string, bytes: Uint8Array): ManifestFacts {
  const mediaType = contentType.split(';')[0]!.trim().toLowerCase();
  if (!manifestTypes.includes(mediaType)) throw invalid(`The media type ${JSON.stringify(mediaType.slice(0, 100))} is not taken; send one of ${manifestTypes.join(', ')}.`);
  const document = fields(parse(bytes), manifestKeys, 'the manifest');
  if (document['schemaVersion'] !== 2) throw invalid('schemaVersion is not 2.');
  const own = text(document['mediaType'], 'mediaType', 255);
  if (own !== null && own !== mediaType) throw invalid(`mediaType is ${JSON.stringify(own)}, but the request’s Content-Type is ${JSON.stringify(mediaType)}.`);
  const isIndex = indexTypes.includes(mediaType);
  if (isIndex && (document['layers'] !== undefined || document['config'] !== undefined)) throw invalid('an index has no layers and no config.');
  if (!isIndex && document['manifests'] !== undefined) throw invalid('a manifest has no manifests.');
  const config = isIndex ? null : descriptor(document['config'], 'config');
  const content = isIndex ? descriptors(document['manifests'] ?? [], 'manifests') : descriptors(document['layers'], 'layers');
  const subject = document['subject'] === undefined || document['subject'] === null ? null : descriptor(document['subject'], 'subject');
  const artifactType = text(document['artifactType'], 'artifactType', 255);
  return {
    digest: digestOf(bytes),
    mediaType,
    sizeBytes: bytes.length,
    contentBytes: isIndex ? 0 : [...content, ...(config ? [config] : [])].reduce((sum, entry) => sum + entry.sizeBytes, 0),
    subjectDigest: subject?.digest ?? null,
    // OCI distribution 1.1, "Listing referrers": without an artifactType, an image manifest's configuration says what it is.
    artifactType: artifactType !== null && artifactType !== '' ? artifactType : (config?.mediaType ?? null),
    configDigest: config?.digest ?? null,
    annotations: annotationsOf(document['annotations']),
  };
}

/** Digests of the blobs that a recorded manifest names. */
export function blobsOf(bytes: Uint8Array): string[] {
  const document = parse(bytes) as { config?: { digest?: unknown }; layers?: { digest?: unknown }[] };
  return [document.config?.digest, ...(document.layers ?? []).map((layer) => layer.digest)].filter((digest): digest is string => typeof digest === 'string' && isDigest(digest));
}

function parse(bytes: Uint8Array): unknown {
  try {
    // Annotations may have keys that differ in case only; where they mean something to somebody who folds case, `fields` refuses them.
    return parseStrictJson(bytes, { maxBytes: maxManifestBytes, distinctCase: true });
  } catch (error) {
    if (error instanceof StrictJsonError) throw invalid(`The manifest can’t be read${error.pointer === '' ? '' : ` at ${error.pointer}`}: ${error.message}.`);
    throw error;
  }
}
