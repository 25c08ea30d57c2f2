import { isDigest, isRepositoryName, isTag } from '@gantry/registry';

/** A request under `/v2`, as far as its line says. Names are valid names of the specification; whether they are ours is judged later. */
export type V2Route =
  | { kind: 'ping' }
  | { kind: 'catalog'; page: TagPage }
  | { kind: 'tags'; name: string; page: TagPage }
  | { kind: 'referrers'; name: string; digest: string; artifactType: string | null }
  | { kind: 'manifest'; name: string; reference: string }
  | { kind: 'blob'; name: string; digest: string }
  | { kind: 'begin-upload'; name: string; digest: string | null; mount: string | null; from: string | null }
  | { kind: 'upload'; name: string; session: string; state: string | null; digest: string | null };

/** `?n&last`. */
export interface TagPage {
  limit: number;
  last: string;
}

/** Why a request line is refused: an OCI error. */
export interface RouteRefusal {
  status: number;
  code: string;
  message: string;
  /** For 405. */
  allow?: string;
}

const maxUrlLength = 8_192;
const maxPage = 1_000;
const sessionForm = /^[A-Za-z0-9_=-][A-Za-z0-9_.=-]{0,127}$/;
const stateForm = /^[A-Za-z0-9_=.~-]{1,4096}$/;

const methods: Record<V2Route['kind'], string[]> = {
  ping: ['GET', 'HEAD'],
  catalog: ['GET'],
  tags: ['GET'],
  referrers: ['GET'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  blob: ['GET', 'HEAD', 'DELETE'],
  'begin-upload': ['POST'],
  upload: ['GET', 'PATCH', 'PUT', 'DELETE'],
};

class Refused extends Error {
  constructor(readonly refusal: RouteRefusal) {
    super(refusal.message);
  }
}

function refuse(status: number, code: string, message: string): never {
  throw new Refused({ status, code, message });
}

/**
 * Reads a request line strictly: only the paths of the OCI distribution specification 1.1 and `_catalog` exist, nothing in a path is decoded
 * (but `%3A`, which some clients write in digests), and no parameter may come twice. Everything else is refused here.
 */
export function readV2Route(method: string, url: string): { route: V2Route } | { refusal: RouteRefusal } {
  try {
    const route = parse(url);
    const allowed = methods[route.kind];
    if (!allowed.includes(method)) return { refusal: { status: 405, code: 'UNSUPPORTED', message: 'the operation is unsupported', allow: allowed.join(', ') } };
    return { route };
  } catch (error) {
    if (error instanceof Refused) return { refusal: error.refusal };
    throw error;
  }
}

function parse(url: string): V2Route {
  if (url.length > maxUrlLength) refuse(414, 'UNSUPPORTED', 'the URL is too long');
  const mark = url.indexOf('?');
  const path = (mark < 0 ? url : url.slice(0, mark)).replace(/%3A/gi, ':');
  if (!/^\/v2(?:\/[A-Za-z0-9_.:=-]*)*$/.test(path)) refuse(404, 'UNSUPPORTED', 'there is nothing at this path');
  const query = readQuery(mark < 0 ? '' : url.slice(mark + 1));
  const segments = path.split('/').slice(2);
  if (segments.length === 0 || (segments.length === 1 && segments[0] === '')) return { kind: 'ping' };
  if (segments.length === 1 && segments[0] === '_catalog') return { kind: 'catalog', page: pageOf(query) };
  const [before, last] = [segments[segments.length - 2], segments[segments.length - 1]!];
  const third = segments[segments.length - 3];
  if (before === 'tags' && last === 'list') return { kind: 'tags', name: nameOf(segments, 2), page: pageOf(query) };
  // `blobs/uploads/` and `blobs/uploads` are the same; a session comes after it.
  if ((third === 'blobs' && before === 'uploads' && last === '') || (before === 'blobs' && last === 'uploads')) {
    return { kind: 'begin-upload', name: nameOf(segments, last === '' ? 3 : 2), digest: digestOf(query, 'digest'), ...mountOf(query) };
  }
  if (third === 'blobs' && before === 'uploads') {
    if (!sessionForm.test(last)) refuse(404, 'BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry');
    const state = query.get('_state') ?? null;
    if (state !== null && !stateForm.test(state)) refuse(400, 'BLOB_UPLOAD_INVALID', 'blob upload invalid');
    return { kind: 'upload', name: nameOf(segments, 3), session: last, state, digest: digestOf(query, 'digest') };
  }
  if (before === 'manifests') {
    const name = nameOf(segments, 2);
    if (last.includes(':') ? !isDigest(last) : !isTag(last)) refuse(400, last.includes(':') ? 'DIGEST_INVALID' : 'TAG_INVALID', 'not a tag or sha256 digest');
    return { kind: 'manifest', name, reference: last };
  }
  if (before === 'blobs') return { kind: 'blob', name: nameOf(segments, 2), digest: digest(last) };
  if (before === 'referrers') return { kind: 'referrers', name: nameOf(segments, 2), digest: digest(last), artifactType: query.get('artifactType') ?? null };
  return refuse(404, 'UNSUPPORTED', 'there is nothing at this path');
}

function nameOf(segments: string[], after: number): string {
  const name = segments.slice(0, -after).join('/');
  if (!isRepositoryName(name)) refuse(400, 'NAME_INVALID', 'invalid repository name');
  return name;
}

function digest(text: string): string {
  if (!isDigest(text)) refuse(400, 'DIGEST_INVALID', 'not a sha256 digest');
  return text;
}

function digestOf(query: Map<string, string>, name: string): string | null {
  const text = query.get(name);
  return text === undefined ? null : digest(text);
}

/** Both or none: a mount from nowhere is an ordinary upload, as the specification has it. */
function mountOf(query: Map<string, string>): { mount: string | null; from: string | null } {
  const from = query.get('from');
  const mount = digestOf(query, 'mount');
  return mount !== null && from !== undefined && isRepositoryName(from) ? { mount, from } : { mount: null, from: null };
}

function pageOf(query: Map<string, string>): TagPage {
  const n = query.get('n');
  if (n !== undefined && !/^\d{1,9}$/.test(n)) refuse(400, 'PAGINATION_NUMBER_INVALID', 'n is not a number of entries');
  return { limit: n === undefined ? maxPage : Math.min(Number(n), maxPage), last: query.get('last') ?? '' };
}

function readQuery(text: string): Map<string, string> {
  const query = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(text)) {
    if (query.has(key)) refuse(400, 'UNSUPPORTED', 'a parameter comes twice');
    if (value.length > 4_096 || /[\p{Cc}\ufffd]/u.test(value)) refuse(400, 'UNSUPPORTED', 'a parameter is not clean text');
    query.set(key, value);
  }
  return query;
}
