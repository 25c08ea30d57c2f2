/** What a JSON text may hold. Objects have no prototype, so a key named `__proto__` is only a key. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;

/** A JSON object; a key that is absent reads as undefined. */
export interface JsonObject {
  [key: string]: JsonValue | undefined;
}

/**
 * Why a text was refused: `duplicate-key` (also after case folding), `limit` (bytes, depth, numbers), `encoding` (UTF-8, lone surrogates),
 * `syntax`.
 */
export type StrictJsonFault = 'duplicate-key' | 'limit' | 'encoding' | 'syntax';

/** Thrown by {@link parseStrictJson}; the message names the fault and the byte or character offset, never the content. */
export class StrictJsonError extends Error {
  override readonly name = 'StrictJsonError';

  constructor(
    readonly fault: StrictJsonFault,
    detail: string,
  ) {
    super(detail);
  }
}

/** Bounds of one parse. */
export interface StrictJsonLimits {
  /** Longest text in bytes. */
  maxBytes: number;
  /** Deepest nesting of arrays and objects. */
  maxDepth: number;
}

const DEFAULT_LIMITS: StrictJsonLimits = { maxBytes: 1024 * 1024, maxDepth: 32 };
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPES: Record<string, string> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/**
 * Folds a key the way lenient readers do. Go's encoding/json matches `K` (U+212A) with k and `ſ` (U+017F) with s, hence up and then
 * down: two keys that any common reader could take for the same one must not stand in one object.
 */
function foldKey(key: string): string {
  return key.toUpperCase().toLowerCase();
}

/**
 * Parses JSON (RFC 8259) so that no other reader of the same bytes can see something else: refuses duplicate keys (also when they differ
 * in case only), a byte order mark, trailing data, bad UTF-8, lone surrogates and integers that a double cannot hold.
 *
 * @throws StrictJsonError
 */
export function parseStrictJson(input: Uint8Array, limits: Partial<StrictJsonLimits> = {}): JsonValue {
  const { maxBytes, maxDepth } = { ...DEFAULT_LIMITS, ...limits };
  if (input.byteLength > maxBytes) throw new StrictJsonError('limit', `text of ${input.byteLength} bytes, at most ${maxBytes} allowed`);
  return new Parser(decodeUtf8(input), maxDepth).parse();
}

function decodeUtf8(input: Uint8Array): string {
  try {
    // ignoreBOM keeps the mark in the text, where the grammar then refuses it.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input);
  } catch (cause) {
    throw Object.assign(new StrictJsonError('encoding', 'text is not valid UTF-8'), { cause });
  }
}

class Parser {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly maxDepth: number,
  ) {}

  parse(): JsonValue {
    const value = this.value(0);
    this.space();
    if (this.at < this.text.length) this.fail('data after the value');
    return value;
  }

  private fail(what: string, fault: StrictJsonFault = 'syntax'): never {
    throw new StrictJsonError(fault, `${what} at character ${this.at}`);
  }

  private space(): void {
    for (;;) {
      const char = this.text.charCodeAt(this.at);
      if (char !== 0x20 && char !== 0x0a && char !== 0x0d && char !== 0x09) return;
      this.at += 1;
    }
  }

  private take(char: string): boolean {
    if (this.text[this.at] !== char) return false;
    this.at += 1;
    return true;
  }

  private value(depth: number): JsonValue {
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

  private object(depth: number): JsonObject {
    this.enter(depth);
    const object = Object.create(null) as JsonObject;
    if (this.take('}')) return object;
    const seen = new Set<string>();
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') this.fail('a key was expected');
      const key = this.string();
      const folded = foldKey(key);
      if (seen.has(folded)) this.fail('the same key twice', 'duplicate-key');
      seen.add(folded);
      this.space();
      if (!this.take(':')) this.fail('a colon was expected');
      object[key] = this.value(depth);
      this.space();
      if (this.take('}')) return object;
      if (!this.take(',')) this.fail('a comma or a closing brace was expected');
    }
  }

  private array(depth: number): JsonValue[] {
    this.enter(depth);
    const items: JsonValue[] = [];
    if (this.take(']')) return items;
    for (;;) {
      items.push(this.value(depth));
      this.space();
      if (this.take(']')) return items;
      if (!this.take(',')) this.fail('a comma or a closing bracket was expected');
    }
  }

  private string(): string {
    this.at += 1;
    let result = '';
    let from = this.at;
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (Number.isNaN(code)) this.fail('text ends inside a string');
      if (code < 0x20) this.fail('a control character inside a string');
      if (code === 0x22 || code === 0x5c) {
        result += this.text.slice(from, this.at);
        this.at += 1;
        if (code === 0x22) break;
        result += this.escape();
        from = this.at;
      } else {
        this.at += 1;
      }
    }
    if (/\p{Surrogate}/u.test(result)) this.fail('a lone surrogate inside a string', 'encoding');
    return result;
  }

  private escape(): string {
    const char = this.text[this.at] ?? '';
    this.at += 1;
    const plain = ESCAPES[char];
    if (plain !== undefined) return plain;
    const hex = this.text.slice(this.at, this.at + 4);
    if (char !== 'u' || !/^[0-9a-fA-F]{4}$/.test(hex)) this.fail('an unknown escape');
    this.at += 4;
    return String.fromCharCode(parseInt(hex, 16));
  }

  private word<T extends JsonValue>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail('an unknown word');
    this.at += word.length;
    return value;
  }

  private number(): number {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text)?.[0];
    if (match === undefined) this.fail('a value was expected');
    const value = Number(match);
    const exact = /[.eE]/.test(match) ? Number.isFinite(value) : Number.isSafeInteger(value);
    if (!exact) this.fail('a number that cannot be held exactly', 'limit');
    this.at += match.length;
    return value;
  }
}

/** The value as an object, or null when it is anything else. */
export function asObject(value: JsonValue | undefined): JsonObject | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
}

/** The value as a list of objects, or null when it is anything else or holds anything else. */
export function asObjects(value: JsonValue | undefined): JsonObject[] | null {
  if (!Array.isArray(value)) return null;
  const objects = value.map((item) => asObject(item));
  return objects.every((item) => item !== null) ? objects : null;
}
