import { isUuid } from '@gantry/platform';
import { accessProblem } from './problems';

/** Name of the recovery administrator; `Accounts.ensureAdmin` alone makes it. */
export const adminName = 'admin';

const reserved = new Set([
  adminName, 'administrator', 'anonymous', 'api', 'auth', 'gantry', 'healthz', 'library', 'me', 'metrics', 'organizations', 'private', 'readyz', 'root', 'service',
  'shared', 'system', 'v1', 'v2',
]);

/** One path component of a repository name (OCI distribution specification 1.1). */
const pathComponent = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const localName = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/;

/** What names are compared by: compatibility forms folded, then lower case. One account per key, over all kinds and sources. */
export function nameKey(name: string): string {
  return name.normalize('NFKC').toLowerCase().normalize('NFKC');
}

/** First component of the account's repository names; null when the name can't be one. */
export function namespaceOf(name: string): string | null {
  const key = nameKey(name);
  return key.length <= 63 && pathComponent.test(key) ? key : null;
}

/** The namespace that a wish names, in lower case. @throws access.namespace-invalid */
export function assertNamespace(wish: string, pointer = '/namespace'): string {
  const namespace = namespaceOf(wish);
  if (namespace === null || isReservedName(namespace) || isUuid(namespace)) {
    throw accessProblem('namespace-invalid', { errors: [{ pointer, detail: 'not a namespace, or reserved' }] });
  }
  return namespace;
}

/** Names that nobody gets: ours, the protocols', and the form of service credentials' user names. */
export function isReservedName(name: string): boolean {
  const key = nameKey(name);
  return reserved.has(key) || key.startsWith('service-');
}

/** Checks the name of a local user, organization or robot (`pointer` names the field). @throws access.name-invalid, access.name-reserved */
export function assertLocalName(name: string, pointer = '/name'): void {
  if (name.length > 63 || !localName.test(name) || isUuid(name.toLowerCase())) {
    throw accessProblem('name-invalid', { errors: [{ pointer, detail: '1 to 63 letters, digits and single . _ - between them' }] });
  }
  if (isReservedName(name)) throw accessProblem('name-reserved', { errors: [{ pointer, detail: 'this name is reserved' }] });
}

/** Whether a directory's user name can be an account's: visible, at most 100 characters, without what has a meaning in paths, user names and robots. */
export function isDirectoryName(name: string): boolean {
  return name.length > 0 && name.length <= 100 && !/[\p{C}\p{Z}:+/\\]/u.test(name) && !isUuid(name.toLowerCase());
}
