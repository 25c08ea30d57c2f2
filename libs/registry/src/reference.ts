/** One path component of a repository name (OCI distribution specification 1.1, "name"). */
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const pathForm = new RegExp(`^${component}(?:/${component})*$`);
const componentForm = new RegExp(`^${component}$`);
const tagForm = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestForm = /^sha256:[0-9a-f]{64}$/;
const signatureTagForm = /^sha256-([0-9a-f]{64})(\.[a-z0-9]{1,16})?$/;

/** Docker's and Distribution's limit of a whole repository name, in characters. */
const maxPathLength = 255;

/** A repository's place: every one of ours has exactly two components. */
export interface RepositoryPath {
  namespace: string;
  name: string;
}

/** True for any name that the distribution specification allows, also those that can't be one of ours. */
export function isRepositoryName(text: string): boolean {
  return text.length <= maxPathLength && pathForm.test(text);
}

/** `acme/web` as its two components; null for names of one or of more than two. */
export function parseRepositoryPath(text: string): RepositoryPath | null {
  if (!isRepositoryName(text)) return null;
  const [namespace, name, ...rest] = text.split('/');
  return namespace !== undefined && name !== undefined && rest.length === 0 && namespace.length <= 63 && name.length <= 128 ? { namespace, name } : null;
}

/** True for a repository's own name, its second component. */
export function isRepositoryComponent(text: string): boolean {
  return text.length <= 128 && componentForm.test(text);
}

/** True for a tag: 1 to 128 of `A-Z a-z 0-9 _ . -`, not beginning with `.` or `-`. */
export function isTag(text: string): boolean {
  return tagForm.test(text);
}

/** True for `sha256:` and 64 lower-case hex digits. Distribution 2.8 knows no other algorithm, and neither do we. */
export function isDigest(text: string): boolean {
  return digestForm.test(text);
}

/** True for tags that hang signatures and the like on an image: `sha256-<hex>`, `sha256-<hex>.sig`, `.att`, `.sbom`. People's tag rules do not bind them. */
export function isAttachmentTag(tag: string): boolean {
  return signatureTagForm.test(tag);
}

/** Digest of the image for which a tag holds signatures: cosign's `.sig` form and the referrers fallback without suffix; null for others. */
export function signedDigest(tag: string): string | null {
  const match = signatureTagForm.exec(tag);
  return match && (match[2] === undefined || match[2] === '.sig') ? `sha256:${match[1]}` : null;
}
