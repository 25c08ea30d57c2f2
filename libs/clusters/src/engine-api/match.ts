import type { Shape } from './shape';
import { engineTable, newestMinor, oldestMinor, slashedAreas, type EngineRow } from './table';

/** A request that the table knows. Nothing in it is the sender's own spelling: `path` is decoded and has no prefix. */
export interface EngineMatch {
  row: EngineRow;
  /** Minor version of the API that was asked for; the newest where the target names none. */
  minor: number;
  /** Whether the target named a version. */
  versioned: boolean;
  /** The object that the path names, or the empty string. */
  name: string;
  /** The path without version, decoded, e.g. `/images/alpine:3/json`. */
  path: string;
  /** Query parameters in the order sent, decoded, known to the row, each once unless the row lets it repeat. */
  query: readonly (readonly [string, string])[];
  /** Of rows that clients write twice: parameters with the name of a member of the body, which must then be there. Not in `query`. */
  doubled?: readonly string[];
}

/** A request that is refused before anything is asked. */
export interface EngineRefusal {
  row: null;
  /** 400: no request of the Engine API is written so; 403: the table has no such row. */
  status: 400 | 403;
  /** One sentence for the caller. */
  message: string;
}

/** Engines are asked in no older version than 1.41, whatever the caller's. */
export const oldestAsked = 41;
/** Longest request target in bytes. */
export const maxTargetLength = 64 * 1024;

const prefix = /^\/v\d{1,4}\.\d{1,4}\//;
const safePath = /^[A-Za-z0-9._~@:/+-]+$/;
const simpleName = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,254}$/;
const referenceName = /^[a-zA-Z0-9][a-zA-Z0-9._:/@+-]{0,511}$/;

/** Templates without a name, and those with one, whose name is written `*`. */
const rowsByMethod = new Map<string, Map<string, EngineRow>>();
for (const each of engineTable) {
  const rows = rowsByMethod.get(each.method) ?? new Map<string, EngineRow>();
  rowsByMethod.set(each.method, rows);
  const key = each.path.replace(/\{\w+\}/, '*');
  if (rows.has(key)) throw new Error(`two rows for ${each.method} ${key}`);
  rows.set(key, each);
}
const noRows: ReadonlyMap<string, EngineRow> = new Map();

const refuse = (status: 400 | 403, message: string): EngineRefusal => ({ row: null, status, message });
const unknownPath = refuse(403, 'This is not part of the Docker Engine API that Gantry passes on.');
const unknownVersion = refuse(400, `Engine API versions 1.${oldestMinor} to 1.${newestMinor} are known.`);
const noQuery: EngineMatch['query'] = Object.freeze([]);

/**
 * Finds the row of a request. Strict where engines are lenient: origin form only, no dot segments or double slashes, percent-encoding only
 * of what names may hold, no encoded slash where names have none, every parameter known to the row in the version asked for.
 * @param target the request target as it stands in the request line
 */
export function matchEngineCall(method: string, target: string): EngineMatch | EngineRefusal {
  if (target.length > maxTargetLength) return refuse(400, `The request target is longer than ${maxTargetLength} bytes.`);
  if (target.charCodeAt(0) !== 0x2f) return refuse(400, 'The request target must begin with a slash.');
  const mark = target.indexOf('?');
  const rawPath = mark < 0 ? target : target.slice(0, mark);
  let path = rawPath;
  let minor = newestMinor;
  let versioned = false;
  if (path.charCodeAt(1) === 0x76 /* v */) {
    const tens = path.charCodeAt(4) - 0x30;
    const ones = path.charCodeAt(5) - 0x30;
    if (path.startsWith('/v1.') && path.charCodeAt(6) === 0x2f && tens >= 1 && tens <= 9 && ones >= 0 && ones <= 9) {
      // As nearly every client writes it; the expression below would take longer than all the rest.
      versioned = true;
      minor = tens * 10 + ones;
      if (minor < oldestMinor || minor > newestMinor) return unknownVersion;
      path = path.slice(6);
    } else if (prefix.test(path)) {
      return unknownVersion;
    }
  }
  const encoded = path.includes('%');
  if (encoded) {
    const decoded = decode(path, false);
    if (decoded === null) return refuse(400, 'The path is not percent-encoded as it should be.');
    if (decoded.replace(/[^/]/g, '').length !== path.replace(/[^/]/g, '').length && !slashedAreas.has(path.slice(1, path.indexOf('/', 1)))) return refuse(400, 'Names of this kind have no slashes.');
    path = decoded;
  }
  if (!safePath.test(path)) return refuse(400, 'The path has characters that no path of the Engine API has.');
  if (path.includes('//') || (path.length > 1 && path.endsWith('/')) || (path.includes('/.') && /\/\.{1,2}(?:\/|$)/.test(path))) return refuse(400, 'The path has empty or dot segments.');
  const rows = rowsByMethod.get(method) ?? noRows;
  let row = rows.get(path);
  let name = '';
  if (row === undefined) {
    const start = path.indexOf('/', 1);
    if (start < 0) return unknownPath;
    const area = path.slice(1, start);
    const slashed = slashedAreas.has(area);
    // Names with slashes end before the last one, where the rest makes a row.
    const end = slashed ? path.lastIndexOf('/') : path.indexOf('/', start + 1);
    if (end > start) {
      name = path.slice(start + 1, end);
      row = rows.get(`/${area}/*${path.slice(end)}`);
    }
    if (row === undefined && (slashed || end < 0)) {
      name = path.slice(start + 1);
      row = rows.get(`/${area}/*`);
    }
    if (row === undefined) return unknownPath;
    if (!(slashed ? referenceName : simpleName).test(name)) return refuse(400, 'The path names no object of this kind.');
    // Only the name may have been encoded.
    if (encoded && !endsPlain(rawPath, path.slice(0, start + 1), path.slice(start + 1 + name.length))) return refuse(400, 'The path is encoded where it need not be.');
  } else if (encoded || row.path.includes('{')) {
    return refuse(400, 'The path is encoded where it need not be.');
  }
  if (minor < row.since || minor > row.until) return refuse(400, `${row.name} is part of the Engine API from 1.${row.since} on; the request asks for 1.${minor}.`);
  if (mark < 0 || mark === target.length - 1) return { row, minor, versioned, name, path, query: noQuery };
  const doubled: string[] = [];
  const query = readQuery(row, minor, target.slice(mark + 1), doubled);
  return Array.isArray(query) ? { row, minor, versioned, name, path, query, ...(doubled.length > 0 ? { doubled } : {}) } : query;
}

function endsPlain(raw: string, head: string, tail: string): boolean {
  return raw.includes(head) && raw.endsWith(tail);
}

function decode(text: string, plus: boolean): string | null {
  if (!text.includes('%') && !text.includes('+')) return text;
  try {
    // Strict: bad escapes and bad UTF-8 throw.
    return decodeURIComponent(plus ? text.replaceAll('+', ' ') : text);
  } catch {
    return null;
  }
}

/** The member of the body with this name, where the row is one that clients write twice. */
function memberOf({ writtenTwice, body }: EngineRow, name: string): Shape | undefined {
  return writtenTwice && body.is === 'json' && body.shape.is === 'object' && Object.hasOwn(body.shape.members, name) ? body.shape.members[name] : undefined;
}

function readQuery(row: EngineRow, minor: number, text: string, doubled: string[]): (readonly [string, string])[] | EngineRefusal {
  const pairs: [string, string][] = [];
  // Some parsers take `;` for `&`, some cut at `#`.
  if (/[;#\s]/.test(text)) return refuse(400, 'The query has characters that must be percent-encoded.');
  for (const part of text.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = decode(equals < 0 ? part : part.slice(0, equals), true);
    const value = equals < 0 ? '' : decode(part.slice(equals + 1), true);
    if (name === null || value === null) return refuse(400, 'The query is not percent-encoded as it should be.');
    const parameter = Object.hasOwn(row.query, name) ? row.query[name]! : undefined;
    const member = parameter ? undefined : memberOf(row, name);
    // Lists are written as one parameter an item.
    if (member && (!doubled.includes(name) || member.is === 'list' || member.is === 'words')) {
      if (!doubled.includes(name)) doubled.push(name);
      continue;
    }
    if (!parameter) return refuse(400, `${row.name} has no query parameter ${JSON.stringify(name.slice(0, 64))}.`);
    // Engines leave out of account what a version does not have; clients that were told to speak an old one send it all the same.
    if (Math.max(minor, oldestAsked) < parameter.since || minor > parameter.until) return refuse(400, `${row.name} has the query parameter ${name} from 1.${parameter.since} on; the request asks for 1.${minor}.`);
    if (value.includes('\u0000')) return refuse(400, `The query parameter ${name} has a NUL character.`);
    if (!parameter.repeated && pairs.some(([other]) => other === name)) return refuse(400, `The query parameter ${name} is given twice.`);
    if (pairs.length >= 1000) return refuse(400, 'The query has more than 1,000 parameters.');
    pairs.push([name, value]);
  }
  return pairs;
}
