import type { Operation } from '@gantry/access';
import { parseStrictJson, RawNumber, StrictJsonError, writeStrictJson, type FieldError } from '@gantry/platform';
import { clustersProblem } from '../problems';
import { collectionLabel } from './bodies';
import type { EngineMatch } from './match';
import { isZero, nothingFound, readShape, type EngineKind, type Found, type ImageName, type Need, type OwnLabel, type Use, type Value } from './shape';
import type { EngineRow, Parameter } from './table';

/** What the table says about one call; nothing here depends on who asks, or on what the engine holds. */
export interface EngineRuling {
  row: EngineRow;
  /** What the caller needs on the target, or on the collection of what is made. */
  operations: readonly Operation[];
  /** The object that the path names. */
  target: { kind: EngineKind; id: string; pointer: string } | null;
  /** What is made, with the names that the call gives; a `name` that is empty is left to the engine. */
  creates: { kind: EngineKind; name: string; pointer: string }[];
  /** Options beyond the row's own operations: on the target, or on the collection of what is made. */
  needs: Need[];
  /** Existing objects that the call refers to, each with what is needed on it. Named volumes are claimed by whoever mounts them first. */
  uses: Use[];
  /** Images that run, are read, or get a new name. */
  images: ImageName[];
  /** Registries that the engine itself would speak to: an address, or a reference that holds one. */
  registries: { address: string; pointer: string }[];
  /** Labels of Gantry's own that the body would set. On an update they must be what the object has; on a create only `asksFor` may stand. */
  labels: OwnLabel[];
  /** The collection that a label asks for, or null. */
  asksFor: string | null;
  /** `filters`, where the row has them. */
  filters: Record<string, string[]> | null;
  /** An update that goes back to the object's former spec, which is then what must be judged. */
  rollback: boolean;
  /** The query in our own form, with the leading `?`, or the empty string. */
  query: string;
  /** The body as parsed, for who must change it (pin an image, add a constraint); write it with `writeStrictJson`. Null for none or a stream. */
  body: Value;
  /** Whether the request's bytes are passed on as they come. */
  stream: boolean;
}

/** What engines read as a flag; they take every other word for true. */
const truths: ReadonlyMap<string, boolean> = new Map([['', false], ['0', false], ['no', false], ['false', false], ['none', false], ['1', true], ['true', true], ['yes', true]]);

/**
 * Rules on one call: are its parameters and its body what is known, and what does it ask for. Pure.
 * @param body the whole body for rows whose policy is `json` or `none`; ignored for streams
 * @throws clusters.spec-invalid with `errors` whose pointers begin with `/` for the body, `?` for the query
 */
export function ruleOnCall(match: EngineMatch, body: Uint8Array = new Uint8Array()): EngineRuling {
  const { row } = match;
  const found = nothingFound();
  const target = row.target.how === 'one' && match.name !== '' ? { kind: row.target.kind, id: match.name, pointer: '{name}' } : null;
  const parameters = new Map<string, Value>();
  let query = '';
  let filters: EngineRuling['filters'] = null;
  for (const [name, value] of match.query) {
    const parameter = row.query[name]!;
    const read = readParameter(parameter, name, value, found);
    if (read === null) continue;
    if (read.filters) filters = read.filters;
    if (!parameters.has(name)) parameters.set(name, read.value);
    query += `${query === '' ? '?' : '&'}${encodeURIComponent(name)}=${encodeURIComponent(read.written)}`;
  }
  row.judge?.(parameters, match.name, found);
  const parsed = readBody(match, body, found);
  // A pull has no body; only an import from the caller streams one.
  const stream = row.body.is === 'stream' && (row.name !== 'POST /images/create' || parameters.get('fromSrc') === '-');
  if (row.target.how === 'create' && found.creates.length === 0 && row.target.kind !== 'image') found.creates.push({ kind: row.target.kind, name: '', pointer: '' });
  // An update's body has the object's own name, which is nothing new.
  const creates = row.target.how === 'create' || row.name === 'POST /containers/{id}/rename' ? found.creates : [];
  if (found.errors.length > 0) throw invalid(row, found.errors);
  const asked = row.target.how === 'create' ? found.labels.find(({ name, pointer }) => name === collectionLabel && topLabel(pointer)) : undefined;
  return {
    row, operations: row.operations, target, creates, needs: distinct(found.needs), uses: distinct(found.uses), images: found.images, registries: found.registries, labels: found.labels,
    asksFor: asked?.value ?? null, filters, rollback: parameters.get('rollback') === 'previous', query, body: parsed, stream,
  };
}

/** `/Labels/…`: the object's own, not those of a part of it. */
function topLabel(pointer: string): boolean {
  return pointer.startsWith('/Labels/');
}

function invalid(row: EngineRow, errors: FieldError[]): Error {
  const [first] = errors;
  return clustersProblem('spec-invalid', { detail: `${row.name}: ${first!.pointer === '' ? 'the body' : first!.pointer}: ${first!.detail}.`, errors });
}

function distinct<T extends { operation: Operation; pointer: string; id?: string }>(items: T[]): T[] {
  const seen = new Set<string>();
  return items.filter((item) => {
    const key = `${item.operation} ${item.pointer} ${item.id ?? ''}`;
    return !seen.has(key) && seen.add(key);
  });
}

interface Read {
  value: Value;
  /** In our own form. */
  written: string;
  filters?: Record<string, string[]>;
}

function readParameter(parameter: Parameter, name: string, text: string, found: Found): Read | null {
  const pointer = `?${name}`;
  const wrong = (detail: string): null => {
    found.errors.push({ pointer, detail });
    return null;
  };
  let read: Read;
  switch (parameter.type) {
    case 'flag': {
      const value = truths.get(text.toLowerCase());
      if (value === undefined) return wrong('true or false was expected');
      read = { value, written: value ? '1' : '0' };
      break;
    }
    case 'integer':
      if (text === '') return null;
      if (!/^-?(?:0|[1-9]\d{0,19})$/.test(text)) return wrong('an integer was expected');
      read = { value: new RawNumber(text), written: text };
      break;
    case 'text':
      if (parameter.oneOf && !parameter.oneOf.includes(text)) return wrong(`one of ${parameter.oneOf.filter((each) => each !== '').join(', ')}`);
      read = { value: text, written: text };
      break;
    case 'filters':
      if (text === '') return null;
      return readFilters(text, pointer, found);
    case 'json': {
      if (text === '') return null;
      const value = parsed(text, pointer, found, parameter.shape!.is === 'map');
      if (value === undefined) return null;
      const copy = readShape(parameter.shape!, value, pointer, found);
      read = { value: copy, written: writeStrictJson(copy) };
      break;
    }
  }
  for (const mark of parameter.marks) if (!isZero(read.value)) mark.judge(read.value, pointer, found);
  return read;
}

/** @param distinctCase engines read it into a map, in which `http_proxy` is not `HTTP_PROXY` */
function parsed(text: string, pointer: string, found: Found, distinctCase = false): Value | undefined {
  try {
    return parseStrictJson(Buffer.from(text), { numbers: 'source', distinctCase });
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    found.errors.push({ pointer: pointer + error.pointer, detail: error.message });
    return undefined;
  }
}

/** `filters` as they go on: `{"label":{"a":true}}`. */
export function writeFilters(filters: Readonly<Record<string, readonly string[]>>): string {
  return `{${Object.entries(filters).map(([key, values]) => `${JSON.stringify(key)}:{${values.map((each) => `${JSON.stringify(each)}:true`).join(',')}}`).join(',')}}`;
}

/** Both forms that engines read: `{"label":["a"]}` and `{"label":{"a":true}}`; written in the second. */
function readFilters(text: string, pointer: string, found: Found): Read | null {
  const value = parsed(text, pointer, found);
  if (value === undefined) return null;
  const wrong = (): null => {
    found.errors.push({ pointer, detail: 'filters are a map of lists of strings' });
    return null;
  };
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof RawNumber) return wrong();
  const filters: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const [key, member] of Object.entries(value)) {
    if (Array.isArray(member)) {
      if (!member.every((item) => typeof item === 'string')) return wrong();
      filters[key] = [...new Set(member)];
    } else if (typeof member === 'object' && member !== null && !(member instanceof RawNumber) && Object.values(member).every((item) => item === true)) {
      filters[key] = Object.keys(member);
    } else {
      return wrong();
    }
  }
  const written = writeFilters(filters);
  return { value: written, written, filters };
}

/** Takes out of a body what clients have written twice; each must be on both sides, and a parameter's member must say the same. */
function dropDoubled({ row, query, doubled = [] }: EngineMatch, value: Value, found: Found): void {
  if (!row.writtenTwice || typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof RawNumber) return;
  for (const name of doubled) if (!Object.hasOwn(value, name)) found.errors.push({ pointer: `?${name}`, detail: 'not a parameter; the body does not have it either' });
  for (const [name, text] of query) if (value[name] === text) delete value[name];
}

function readBody(match: EngineMatch, body: Uint8Array, found: Found): Value {
  const { row } = match;
  const policy = row.body;
  switch (policy.is) {
    case 'stream':
      return null;
    case 'none':
      if (body.length > 64 || !/^\s*(?:\{\s*\}|null)?\s*$/.test(Buffer.from(body).toString('latin1'))) found.errors.push({ pointer: '', detail: 'this call has no body' });
      return null;
    case 'json': {
      if (body.length === 0) {
        if (!policy.optional) found.errors.push({ pointer: '', detail: 'a JSON body was expected' });
        return null;
      }
      let value: Value;
      try {
        value = parseStrictJson(body, { maxBytes: policy.maxBytes, numbers: 'source' });
      } catch (error) {
        if (!(error instanceof StrictJsonError)) throw error;
        found.errors.push({ pointer: error.pointer, detail: error.message });
        return null;
      }
      if (value === null && !policy.optional) found.errors.push({ pointer: '', detail: 'an object was expected' });
      dropDoubled(match, value, found);
      return readShape(policy.shape, value, '', found);
    }
  }
}
