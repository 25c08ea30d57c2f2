import { clustersProblem } from '../problems';
import type { Value } from '../engine-api/shape';

/** Rows that give an image a name. An image without one would be nobody's. */
export const namingRows: ReadonlySet<string> = new Set(['POST /build', 'POST /commit', 'POST /images/{name}/tag', 'POST /images/create']);

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const domain = '(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]{1,5})?)';
const foreignForm = new RegExp(`^(?:(${domain})/)?(${component}(?:/${component})*)(?::([\\w][\\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$`);

/**
 * An image of another registry, written out: `docker.io/library/nginx:latest`. Null for what an engine might take for an id, and for what is no
 * name. Written out, a name can mean nothing else to an engine. `repository`: as engines write it beside a digest.
 */
export function parseForeign(reference: string, registryHost: string): { reference: string; repository: string } | null {
  const match = reference.length > 400 ? null : foreignForm.exec(reference);
  if (!match) return null;
  let [, host, path] = match as unknown as [string, string | undefined, string];
  const [, , , tag, digest] = match;
  // The first part is a host only where it looks like one.
  if (host !== undefined && !/[.:]/.test(host) && host !== 'localhost') {
    if (host !== host.toLowerCase()) return null;
    path = `${host}/${path}`;
    host = undefined;
  }
  if (host === registryHost || host === 'index.docker.io') return null;
  const isHub = host === undefined || host === 'docker.io';
  // `cafe`, `sha256:cafe`: the beginning of an id.
  if (isHub && !path.includes('/') && (/^[0-9a-f]+$/.test(path) || path === 'sha256')) return null;
  if (isHub && path === 'scratch') return null;
  const familiar = isHub ? path.replace(/^library\//, '') : `${host}/${path}`;
  const full = isHub ? `docker.io/${path.includes('/') ? path : `library/${path}`}` : familiar;
  return { reference: digest === undefined ? `${full}:${tag ?? 'latest'}` : `${full}@${digest}`, repository: familiar };
}

/** The host of the managed registry and how its images are named, for who named one otherwise. */
export function remedy(registryHost: string): string {
  return `name the image ${registryHost}/<namespace>/<repository>:<tag>, of a repository that you may push to`;
}

/** A query in our own form with some parameters in place of those that it has. */
export function withQuery(query: string, changes: Readonly<Record<string, string | readonly string[] | null>>): string {
  const kept = query.replace(/^\?/, '').split('&').filter((part) => part !== '' && !Object.hasOwn(changes, decodeURIComponent(part.split('=')[0]!)));
  const added = Object.entries(changes).flatMap(([name, value]) => (value === null ? [] : [value].flat().map((each) => `${encodeURIComponent(name)}=${encodeURIComponent(each)}`)));
  const parts = [...kept, ...added];
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

/** The values of a parameter in a query of our own form. */
export function queryValues(query: string, name: string): string[] {
  return query.replace(/^\?/, '').split('&').filter((part) => part.startsWith(`${encodeURIComponent(name)}=`)).map((part) => decodeURIComponent(part.slice(part.indexOf('=') + 1)));
}

/** `--build-arg`, by name. */
export function buildArgsOf(query: string): Record<string, string | null> {
  const [text = ''] = queryValues(query, 'buildargs');
  const args = Object.create(null) as Record<string, string | null>;
  const parsed = text === '' ? null : (JSON.parse(text) as Record<string, Value> | null);
  for (const [name, value] of Object.entries(parsed ?? {})) args[name] = typeof value === 'string' ? value : null;
  return args;
}

const signIn = ['username', 'password', 'serveraddress', 'identitytoken', 'registrytoken', 'auth', 'email'];

/** What signs in, of an object of credentials. */
export function signInOf(auth: object): Record<string, string> {
  return Object.fromEntries(Object.entries(auth).filter((entry): entry is [string, string] => signIn.includes(entry[0]) && typeof entry[1] === 'string'));
}

/**
 * `X-Registry-Config` as engines read it (base64url of a map from registry to credentials): of it, the caller's for our own registry.
 * @throws clusters.spec-invalid
 */
export function ownCredentials(header: string, registryHost: string): Record<string, Record<string, string>> {
  let parsed: unknown = null;
  try {
    if (header.length <= 65_536 && /^[A-Za-z0-9_+/=-]*$/.test(header)) parsed = JSON.parse(Buffer.from(header, 'base64url').toString());
  } catch {
    parsed = null;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw clustersProblem('spec-invalid', { detail: 'X-Registry-Config is not base64url of a JSON object.', errors: [{ pointer: 'header/x-registry-config', detail: 'not of the form that engines read' }] });
  for (const [address, auth] of Object.entries(parsed as Record<string, unknown>)) {
    if (address.replace(/^https?:\/\//, '').replace(/\/(?:v[12]\/?)?$/, '') === registryHost && typeof auth === 'object' && auth !== null && !Array.isArray(auth)) return { [registryHost]: signInOf(auth) };
  }
  return {};
}
