import { deliveryProblem } from './problems';

/** An image reference of this registry: `repository` is `namespace/name`; at least one of tag and digest is set. */
export interface ImageReference {
  repository: string;
  tag: string | null;
  digest: string | null;
}

const component = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const pathForm = new RegExp(`^${component}(?:/${component})+$`);
const tagForm = /^\w[\w.-]{0,127}$/;
const digestForm = /^sha256:[0-9a-f]{64}$/;

/**
 * Reads an image reference as Docker does (host, path, tag, digest; the tag defaults to `latest`) and refuses what is not in this
 * registry, since only what went through it has verdicts and is pinned.
 * @param registryHost host[:port] of our registry, which may stand in front
 * @throws delivery.image-invalid, delivery.image-foreign
 */
export function parseImageReference(text: string, registryHost: string, field: string): ImageReference {
  const invalid = (detail: string) => deliveryProblem('image-invalid', { detail: `${field}: ${detail}`, errors: [{ pointer: field, detail }] });
  if (text.length > 512 || !/^[\x21-\x7e]+$/.test(text)) throw invalid('a reference has at most 512 visible ASCII characters');
  const [named = '', digest, ...more] = text.split('@');
  if (more.length > 0 || (digest !== undefined && !digestForm.test(digest))) throw invalid('the digest must be sha256: and 64 lower-case hexadecimal digits');
  const slash = named.lastIndexOf('/');
  const colon = named.indexOf(':', slash + 1);
  const tag = colon === -1 ? null : named.slice(colon + 1);
  if (tag !== null && !tagForm.test(tag)) throw invalid('the tag must have 1 to 128 letters, digits or ._-');
  let path = colon === -1 ? named : named.slice(0, colon);
  const first = path.split('/')[0] ?? '';
  const isHost = path.includes('/') && (first.includes('.') || first.includes(':') || first === 'localhost');
  if (isHost) {
    if (first.toLowerCase() !== registryHost.toLowerCase()) throw foreign(field, `${first} is another registry`, path.slice(first.length + 1), registryHost);
    path = path.slice(first.length + 1);
  }
  if (!path.includes('/')) throw foreign(field, `"${path}" names no namespace, which means Docker Hub`, path, registryHost);
  if (!pathForm.test(path) || path.length > 255) throw invalid('the name must be lower-case `namespace/name`');
  return { repository: path, tag: tag ?? (digest === undefined ? 'latest' : null), digest: digest ?? null };
}

function foreign(field: string, why: string, path: string, registryHost: string) {
  const name = path.split('/').at(-1) ?? path;
  const detail = `${field}: ${why}. Push the image here, e.g. docker tag … ${registryHost}/<namespace>/${name} and docker push, then write <namespace>/${name}.`;
  return deliveryProblem('image-foreign', { detail, errors: [{ pointer: field, detail: why }] });
}

/** The reference as people write it, `acme/web:1.2@sha256:…` without what is missing. */
export function formatImageReference(reference: ImageReference): string {
  return `${reference.repository}${reference.tag === null ? '' : `:${reference.tag}`}${reference.digest === null ? '' : `@${reference.digest}`}`;
}

/** What a node pulls: our registry's public host, the repository and the digest, without a tag that could mislead. */
export function pinnedReference(registryHost: string, image: { repository: string; digest: string }): string {
  return `${registryHost}/${image.repository}@${image.digest}`;
}

/** True when `tag` matches a pattern in which `*` stands for any characters; every other character means itself. */
export function matchesTag(pattern: string, tag: string): boolean {
  // Greedy matching from both ends, without a regular expression, so that no pattern can take long.
  const parts = pattern.split('*');
  const head = parts[0] ?? '';
  if (parts.length === 1) return tag === pattern;
  const tail = parts.at(-1) ?? '';
  if (tag.length < head.length + tail.length || !tag.startsWith(head) || !tag.endsWith(tail)) return false;
  let at = head.length;
  for (const part of parts.slice(1, -1)) {
    const found = tag.indexOf(part, at);
    if (found === -1 || found + part.length > tag.length - tail.length) return false;
    at = found + part.length;
  }
  return true;
}
