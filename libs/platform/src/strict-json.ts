/** A number as its sender wrote it, so that 9007199254740993 and 1e400 go on unchanged. `source` follows the grammar of RFC 8259. */
export class RawNumber {
  constructor(readonly source: string) {}

  /** The value as an integer, or null when it is written with a fraction or an exponent. `-0` is 0. */
  get integer(): bigint | null {
    return /^-?\d+$/.test(this.source) ? BigInt(this.source) : null;
  }

  /** The nearest double. */
  get value(): number {
    return Number(this.source);
  }
}

/** What a JSON text may hold; numbers are doubles, or `RawNumber` where asked for. Objects have no prototype: `__proto__` is only a key. */
export type StrictJson<N = number> = null | boolean | string | N | StrictJson<N>[] | StrictJsonObject<N>;

/** A JSON object; a key that is absent reads as undefined. */
export interface StrictJsonObject<N = number> {
  [key: string]: StrictJson<N> | undefined;
}

/**
 * Why a text was refused: `duplicate-key` (also after case folding), `limit` (bytes, depth, values, numbers), `encoding` (UTF-8, lone
 * surrogates), `syntax`.
 */
export type StrictJsonFault = 'duplicate-key' | 'limit' | 'encoding' | 'syntax';

/** Thrown by {@link parseStrictJson}. The message says what and at which character, never the content; `pointer` (RFC 6901) says in which value. */
export class StrictJsonError extends Error {
  override readonly name = 'StrictJsonError';

  constructor(
    readonly fault: StrictJsonFault,
    detail: string,
    readonly pointer: string,
  ) {
    super(detail);
  }
}

/** How one text is read. */
export interface StrictJsonOptions {
  /** Longest text in bytes; 1 MiB unless told. */
  maxBytes?: number;
  /** Deepest nesting of arrays and objects; 32 unless told. */
  maxDepth?: number;
  /** Most values, those inside others included; 100,000 unless told. */
  maxValues?: number;
  /** Whether keys that differ in case only may stand side by side; false unless told. Only for texts that no case-folding reader sees. */
  distinctCase?: boolean;
}

const numberForm = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
/** No number that means anything is longer; engines parse digits in quadratic time. */
const maxNumberLength = 128;
const escapes: Record<string, string> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/**
 * What a key is equal to for a reader that folds case, as Go's encoding/json does by Unicode simple folding: `ſ` (U+017F) counts as s,
 * the Kelvin sign (U+212A) as k, `ẞ` as ß. Down and then up is at least as coarse as that for every character.
 */
export function foldKey(key: string): string {
  return key.toLowerCase().toUpperCase();
}

/** One step of a JSON pointer (RFC 6901). */
export function pointerStep(key: string | number): string {
  return `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/**
 * Parses RFC 8259 JSON so that no other reader of the same bytes can see something else: valid UTF-8 without a byte order mark or lone
 * surrogates, no key twice in one object (also when only case differs), nothing after the value. With `numbers: 'source'` numbers keep
 * their text; otherwise those that a double cannot hold exactly are refused. Takes time linear in the text. @throws StrictJsonError
 */
export function parseStrictJson(input: Uint8Array, options: StrictJsonOptions & { numbers: 'source' }): StrictJson<RawNumber>;
export function parseStrictJson(input: Uint8Array, options?: StrictJsonOptions & { numbers?: 'double' }): StrictJson;
export function parseStrictJson(input: Uint8Array, options: StrictJsonOptions & { numbers?: 'source' | 'double' } = {}): StrictJson<RawNumber> | StrictJson {
  const maxBytes = options.maxBytes ?? 1024 * 1024;
  if (input.byteLength > maxBytes) throw new StrictJsonError('limit', `${input.byteLength} bytes, at most ${maxBytes} allowed`, '');
  let text: string;
  try {
    // ignoreBOM keeps the mark in the text, where the grammar then refuses it.
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input);
  } catch {
    throw new StrictJsonError('encoding', 'not valid UTF-8', '');
  }
  return options.numbers === 'source' ? new Reader<RawNumber>(text, options, (source) => new RawNumber(source)).read() : new Reader<number>(text, options, exactDouble).read();
}

function exactDouble(source: string): number | null {
  const value = Number(source);
  return (/[.eE]/.test(source) ? Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value)) : Number.isSafeInteger(value)) ? value : null;
}

class Reader<N> {
  private at = 0;
  private values = 0;
  private readonly path: (string | number)[] = [];
  private readonly maxDepth: number;
  private readonly maxValues: number;
  private readonly fold: (key: string) => string;

  constructor(
    private readonly text: string,
    options: StrictJsonOptions,
    private readonly toNumber: (source: string) => N | null,
  ) {
    this.maxDepth = options.maxDepth ?? 32;
    this.maxValues = options.maxValues ?? 100_000;
    this.fold = options.distinctCase ? (key) => key : foldKey;
  }

  read(): StrictJson<N> {
    const value = this.value(0);
    this.space();
    if (this.at < this.text.length) this.fail('data after the value');
    return value;
  }

  private fail(what: string, fault: StrictJsonFault = 'syntax'): never {
    throw new StrictJsonError(fault, `${what} at character ${this.at}`, this.path.map(pointerStep).join(''));
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.at += 1;
    }
  }

  private take(char: string): boolean {
    if (this.text[this.at] !== char) return false;
    this.at += 1;
    return true;
  }

  private value(depth: number): StrictJson<N> {
    this.values += 1;
    if (this.values > this.maxValues) this.fail(`more than ${this.maxValues} values`, 'limit');
    this.space();
    switch (this.text[this.at]) {
      case '{':
        return this.object(depth + 1);
      case '[':
        return this.array(depth + 1);
      case '"':
        return this.string();
      case 't':
        return this.word('true', true);
      case 'f':
        return this.word('false', false);
      case 'n':
        return this.word('null', null);
      default:
        return this.number();
    }
  }

  private enter(depth: number): void {
    if (depth > this.maxDepth) this.fail(`nesting deeper than ${this.maxDepth}`, 'limit');
    this.at += 1;
    this.space();
  }

  private object(depth: number): StrictJsonObject<N> {
    this.enter(depth);
    const object = Object.create(null) as StrictJsonObject<N>;
    if (this.take('}')) return object;
    const seen = new Set<string>();
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') this.fail('a key was expected');
      const key = this.string();
      this.path.push(key);
      const folded = this.fold(key);
      if (seen.has(folded)) this.fail('the same key twice', 'duplicate-key');
      seen.add(folded);
      this.space();
      if (!this.take(':')) this.fail('a colon was expected');
      object[key] = this.value(depth);
      this.path.pop();
      this.space();
      if (this.take('}')) return object;
      if (!this.take(',')) this.fail('a comma or a closing brace was expected');
    }
  }

  private array(depth: number): StrictJson<N>[] {
    this.enter(depth);
    const items: StrictJson<N>[] = [];
    if (this.take(']')) return items;
    for (;;) {
      this.path.push(items.length);
      items.push(this.value(depth));
      this.path.pop();
      this.space();
      if (this.take(']')) return items;
      if (!this.take(',')) this.fail('a comma or a closing bracket was expected');
    }
  }

  private string(): string {
    this.at += 1;
    let result = '';
    let from = this.at;
    let escaped = false;
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (Number.isNaN(code)) this.fail('text ends inside a string');
      if (code < 0x20) this.fail('a control character inside a string');
      if (code === 0x22 || code === 0x5c) {
        result += this.text.slice(from, this.at);
        this.at += 1;
        if (code === 0x22) break;
        result += this.escape();
        escaped = true;
        from = this.at;
      } else {
        this.at += 1;
      }
    }
    // Decoded UTF-8 holds none; escapes can make some.
    if (escaped && /\p{Surrogate}/u.test(result)) this.fail('a lone surrogate inside a string', 'encoding');
    return result;
  }

  private escape(): string {
    const char = this.text[this.at] ?? '';
    this.at += 1;
    const plain = Object.hasOwn(escapes, char) ? escapes[char] : undefined;
    if (plain !== undefined) return plain;
    const hex = this.text.slice(this.at, this.at + 4);
    if (char !== 'u' || !/^[0-9a-fA-F]{4}$/.test(hex)) this.fail('an unknown escape');
    this.at += 4;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }

  private word<T extends null | boolean>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail('an unknown word');
    this.at += word.length;
    return value;
  }

  private number(): N {
    numberForm.lastIndex = this.at;
    const source = numberForm.exec(this.text)?.[0];
    if (source === undefined) this.fail('a value was expected');
    const value = source.length > maxNumberLength ? null : this.toNumber(source);
    if (value === null) this.fail('a number that cannot be held exactly', 'limit');
    this.at += source.length;
    return value;
  }
}

/** Writes a value in our own form: no white space, JSON.stringify's escapes, numbers as they were read. */
export function writeStrictJson(value: StrictJson<RawNumber> | StrictJson): string {
  if (value instanceof RawNumber) return value.source;
  if (Array.isArray(value)) return `[${value.map((item) => writeStrictJson(item)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members: string[] = [];
    for (const [key, member] of Object.entries(value)) if (member !== undefined) members.push(`${JSON.stringify(key)}:${writeStrictJson(member)}`);
    return `{${members.join(',')}}`;
  }
  return JSON.stringify(value);
}
