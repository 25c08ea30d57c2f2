import type { Value } from '../engine-api/shape';
import { queryValues } from './query';

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

/** `--build-arg`, by name. */
export function buildArgsOf(query: string): Record<string, string | null> {
  const [text = ''] = queryValues(query, 'buildargs');
  const args = Object.create(null) as Record<string, string | null>;
  const parsed = text === '' ? null : (JSON.parse(text) as Record<string, Value> | null);
  for (const [name, value] of Object.entries(parsed ?? {})) args[name] = typeof value === 'string' ? value : null;
  return args;
}
