import type { Operation } from '@gantry/access';
import { pointerStep, RawNumber, type FieldError, type StrictJson, type StrictJsonObject } from '@gantry/platform';

/** A parsed JSON value; numbers as they were written. */
export type Value = StrictJson<RawNumber>;

/** Kinds of engine objects that a call can act on or refer to. */
export type EngineKind = 'container' | 'exec' | 'image' | 'network' | 'volume' | 'service' | 'task' | 'node' | 'secret' | 'config' | 'plugin' | 'swarm' | 'build' | 'system';

/** An operation that the call needs besides the row's own, and for what. `ifChanged`: only where the object's present value differs. */
export interface Need {
  operation: Operation;
  pointer: string;
  ifChanged?: true;
}

/** An existing object, by the name or id that the call gives, on which the operation is needed. */
export interface Use {
  kind: EngineKind;
  id: string;
  operation: Operation;
  pointer: string;
}

/** An image that the call names. `run`: it will run; `pull`: its content is read; `write`: the name will point to something else. */
export interface ImageName {
  reference: string;
  how: 'run' | 'pull' | 'write';
  pointer: string;
  /** A pull without tag or digest: all tags of the repository. */
  allTags?: true;
}

/** A label of Gantry's own (`io.gantry.…`) that the body would set. */
export interface OwnLabel {
  name: string;
  value: string;
  pointer: string;
}

/** What judging a call has found so far. */
export interface Found {
  needs: Need[];
  uses: Use[];
  images: ImageName[];
  labels: OwnLabel[];
  /** Names of objects that the call would make. */
  creates: { kind: EngineKind; name: string; pointer: string }[];
  /** Registry addresses that the engine itself would speak to. */
  registries: { address: string; pointer: string }[];
  errors: FieldError[];
}

/** Nothing found yet. */
export function nothingFound(): Found {
  return { needs: [], uses: [], images: [], labels: [], creates: [], registries: [], errors: [] };
}

/** How a member or parameter is judged; one without marks is plain. Zero values (absent, null, false, 0, empty) are judged only with `always`. */
export interface Mark {
  how: 'needs' | 'uses' | 'image' | 'creates' | 'registry' | 'refused' | 'own-labels';
  /** For the documentation: when it applies; empty for whenever it is set. */
  says: string;
  /** Operations that it can ask for. */
  operations: readonly Operation[];
  always: boolean;
  judge(value: Value, pointer: string, found: Found): void;
}

interface Common {
  /** Minor version of the API that names the member first, and the last one that does. What a body may hold does not depend on them: clients send newer members to older engines. */
  since?: number;
  until?: number;
  /** Sent by real clients although no API document names it. */
  undocumented?: true;
  /** Another spelling, under which the engine's own parser reads it too; written out under the name given here. */
  alias?: string;
  marks?: readonly Mark[];
}

/** What one value may be. Null stands for "not set" everywhere. Nothing means "anything": every shape is closed. */
export type Shape = Common &
  (
    | { is: 'string'; maxLength: number; form?: RegExp; oneOf?: readonly string[] }
    | { is: 'integer'; min?: bigint; max?: bigint }
    | { is: 'number' }
    | { is: 'boolean' }
    | { is: 'list'; item: Shape; max: number }
    | { is: 'map'; value: Shape; max: number; keyMarks?: readonly Mark[]; keyForm?: RegExp }
    | { is: 'object'; members: Readonly<Record<string, Shape>> }
    /** A string, or a list of strings. */
    | { is: 'words' }
  );

const int64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const maxErrors = 20;

/** Whether the engine reads the value as not set. */
export function isZero(value: Value | undefined): boolean {
  if (value === undefined || value === null || value === false || value === '') return true;
  if (value instanceof RawNumber) return value.value === 0;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && Object.values(value).every((member) => isZero(member));
}

/** Whether the engine reads the value as not set. In a map the keys count: `{"net.ipv4.ip_forward": ""}` sets something. */
export function isUnset(shape: Shape, value: Value): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof RawNumber) return isZero(value);
  if (shape.is !== 'object') return Object.keys(value).length === 0;
  return Object.entries(value).every(([key, member]) => Object.hasOwn(shape.members, key) && isUnset(shape.members[key]!, member!));
}

/**
 * Holds a value against its shape: adds what is wrong to `found.errors` and what the marks find to `found`. Answers our own copy, which
 * holds nothing but what the shape names.
 */
export function readShape(shape: Shape, value: Value, pointer: string, found: Found): Value {
  if (found.errors.length >= maxErrors) return null;
  const copy = value === null ? null : copyOf(shape, value, pointer, found);
  for (const mark of shape.marks ?? []) if (mark.always ? value !== null : !isUnset(shape, value)) mark.judge(value, pointer, found);
  return copy;
}

function copyOf(shape: Shape, value: Exclude<Value, null>, pointer: string, found: Found): Value {
  const wrong = (detail: string): null => {
    found.errors.push({ pointer, detail });
    return null;
  };
  switch (shape.is) {
    case 'string':
      if (typeof value !== 'string') return wrong('a string was expected');
      if (value.length > shape.maxLength) return wrong(`at most ${shape.maxLength} characters`);
      if (value.includes('\u0000')) return wrong('a NUL character');
      if (shape.oneOf && !shape.oneOf.includes(value)) return wrong(`one of ${shape.oneOf.map((each) => JSON.stringify(each)).join(', ')}`);
      if (shape.form && !shape.form.test(value)) return wrong('not of the form that is known');
      return value;
    case 'boolean':
      return typeof value === 'boolean' ? value : wrong('true or false was expected');
    case 'integer': {
      const number = value instanceof RawNumber ? value.integer : null;
      if (number === null) return wrong('an integer was expected');
      if (number < (shape.min ?? int64.min) || number > (shape.max ?? int64.max)) return wrong(`from ${shape.min ?? int64.min} to ${shape.max ?? int64.max}`);
      return value;
    }
    case 'number':
      return value instanceof RawNumber && Number.isFinite(value.value) ? value : wrong('a number was expected');
    case 'words':
      if (typeof value === 'string') return copyOf(line, value, pointer, found);
      return copyOf(lines, value, pointer, found);
    case 'list':
      if (!Array.isArray(value)) return wrong('a list was expected');
      if (value.length > shape.max) return wrong(`at most ${shape.max} items`);
      return value.map((item, index) => readShape(shape.item, item, `${pointer}/${index}`, found));
    case 'map':
    case 'object': {
      if (typeof value !== 'object' || Array.isArray(value) || value instanceof RawNumber) return wrong('an object was expected');
      return shape.is === 'map' ? copyOfMap(shape, value, pointer, found) : copyOfObject(shape.members, value, pointer, found);
    }
  }
}

function copyOfMap(shape: Shape & { is: 'map' }, value: StrictJsonObject<RawNumber>, pointer: string, found: Found): Value {
  const entries = Object.entries(value);
  if (entries.length > shape.max) found.errors.push({ pointer, detail: `at most ${shape.max} members` });
  const copy = Object.create(null) as StrictJsonObject<RawNumber>;
  for (const [key, member] of entries) {
    const at = pointer + pointerStep(key);
    if (key.length > 16_384 || key.includes('\u0000') || (shape.keyForm && !shape.keyForm.test(key))) found.errors.push({ pointer: at, detail: 'not a key of the form that is known' });
    copy[key] = readShape(shape.value, member!, at, found);
    for (const mark of shape.keyMarks ?? []) mark.judge(key, at, found);
  }
  return copy;
}

function copyOfObject(members: Readonly<Record<string, Shape>>, value: StrictJsonObject<RawNumber>, pointer: string, found: Found): Value {
  const copy = Object.create(null) as StrictJsonObject<RawNumber>;
  for (const [key, member] of Object.entries(value)) {
    const at = pointer + pointerStep(key);
    const shape = Object.hasOwn(members, key) ? members[key] : undefined;
    if (!shape) {
      if (found.errors.length < maxErrors) found.errors.push({ pointer: at, detail: 'not known, so not passed on; remove it' });
      continue;
    }
    const name = shape.alias ?? key;
    if (name in copy) found.errors.push({ pointer: at, detail: `another spelling of ${name}, which is there too` });
    copy[name] = readShape(shape, member!, at, found);
  }
  return copy;
}

// ---- words to write shapes with

const line: Shape = { is: 'string', maxLength: 131_072 };
const lines: Shape = { is: 'list', item: line, max: 5000 };

/** Text of at most `maxLength` UTF-16 units. */
export const text = (...marks: Mark[]): Shape => ({ is: 'string', maxLength: 131_072, marks });
export const bool = (...marks: Mark[]): Shape => ({ is: 'boolean', marks });
export const int = (...marks: Mark[]): Shape => ({ is: 'integer', marks });
export const float = (): Shape => ({ is: 'number' });
export const oneOf = (values: readonly string[], ...marks: Mark[]): Shape => ({ is: 'string', maxLength: 256, oneOf: ['', ...values], marks });
export const list = (item: Shape, ...marks: Mark[]): Shape => ({ is: 'list', item, max: 5000, marks });
export const texts = (...marks: Mark[]): Shape => list(text(), ...marks);
export const map = (value: Shape, ...marks: Mark[]): Shape => ({ is: 'map', value, max: 5000, marks });
export const textMap = (...marks: Mark[]): Shape => map(text(), ...marks);
export const object = (members: Record<string, Shape>, ...marks: Mark[]): Shape => ({ is: 'object', members, marks });
export const empty = (): Shape => object({});
export const words = (): Shape => ({ is: 'words' });
/** Base64 of at most `maxBytes`, as Go writes `[]byte`. */
export const base64 = (maxBytes: number, ...marks: Mark[]): Shape => ({ is: 'string', maxLength: Math.ceil(maxBytes / 3) * 4, form: /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, marks });

/** The same shape, named by the API from this minor version on (and until another one). */
export const from = (since: number, shape: Shape, until?: number): Shape => ({ ...shape, since, ...(until === undefined ? {} : { until }) });
/** The same shape, which no API document names. */
export const unnamed = (shape: Shape): Shape => ({ ...shape, undocumented: true });
/** The same shape under another spelling of `name`. */
export const spelling = (name: string, shape: Shape): Shape => ({ ...shape, alias: name });

interface MarkOptions {
  says?: string;
  unless?: (value: Value) => boolean;
  always?: boolean;
}

/** Needs an operation when set, unless the value is harmless. */
export function needs(operation: Operation, options: MarkOptions = {}): Mark {
  return {
    how: 'needs', says: options.says ?? '', operations: [operation], always: options.always ?? false,
    judge(value, pointer, found) {
      if (!options.unless?.(value)) found.needs.push({ operation, pointer });
    },
  };
}

/** Refused when set, unless the value is harmless. */
export function refused(why: string, options: MarkOptions = {}): Mark {
  return {
    how: 'refused', says: options.says ?? why, operations: [], always: options.always ?? false,
    judge(value, pointer, found) {
      if (!options.unless?.(value)) found.errors.push({ pointer, detail: why });
    },
  };
}

/** Names an existing object. */
export function uses(kind: EngineKind, operation: Operation, options: Pick<MarkOptions, 'unless' | 'says'> = {}): Mark {
  return {
    how: 'uses', says: options.says ?? '', operations: [operation], always: false,
    judge(value, pointer, found) {
      if (typeof value === 'string' && value !== '' && !options.unless?.(value)) found.uses.push({ kind, id: kind === 'container' ? containerName(value) : value, operation, pointer });
    },
  };
}

/** Engines read `/web` and `web` as the same container. */
export function containerName(name: string): string {
  return name.replace(/^\//, '');
}

/** Judged by a rule of its own. */
export function judged(how: Mark['how'], operations: readonly Operation[], says: string, judge: Mark['judge'], always = false): Mark {
  return { how, says, operations, always, judge };
}

/** Names an image. */
export function image(how: ImageName['how']): Mark {
  return judged('image', [], how === 'run' ? 'the image that runs' : how === 'pull' ? 'an image that is read' : 'a name that is given to an image', (value, pointer, found) => {
    if (typeof value === 'string') found.images.push({ reference: value, how, pointer });
  });
}

/** Names what is made. */
export function creates(kind: EngineKind): Mark {
  return judged('creates', [], 'the name of what is made', (value, pointer, found) => {
    if (typeof value === 'string') found.creates.push({ kind, name: kind === 'container' ? containerName(value) : value, pointer });
  });
}
