/** Why a text is not taken; `message` is meant for whoever sent it. */
export class JsonFault extends Error {}

const maxDepth = 32;
/** A manifest of 1,000 layers has some 10,000; reading this many takes some 50 ms, in which the process does nothing else. */
const maxValues = 100_000;
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const space = /[ \t\n\r]*/y;

/** What a key is equal to for a parser that folds case, as Go's does: `ſ` (U+017F) counts as `s`, the Kelvin sign as `k`. */
export function foldKey(key: string): string {
  return key.toUpperCase().toLowerCase();
}

/**
 * Parses RFC 8259 JSON so that every other parser reads the same: valid UTF-8 without byte order mark, no key twice in an object,
 * integers exact, at most 32 levels and 100,000 values, nothing after the value. Objects have no prototype. @throws JsonFault
 */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new JsonFault('not UTF-8');
  }
  let at = 0;
  let values = 0;
  const match = (form: RegExp): string | null => {
    form.lastIndex = at;
    const found = form.exec(text)?.[0] ?? null;
    if (found !== null) at += found.length;
    return found;
  };
  const skip = (): void => void match(space);
  const fail = (): never => {
    throw new JsonFault(`not JSON at character ${at}`);
  };
  const take = (token: string): boolean => {
    if (!text.startsWith(token, at)) return false;
    at += token.length;
    return true;
  };
  // By hand: a pattern with nested repetition would take exponential time on an unfinished string.
  const readString = (): string => {
    if (text[at] !== '"') fail();
    let end = at + 1;
    for (; ; end += 1) {
      const code = text.charCodeAt(end);
      if (code === 0x22) break;
      if (code === 0x5c) end += 1;
      if (!(code >= 0x20)) fail();
    }
    const token = text.slice(at, end + 1);
    at = end + 1;
    try {
      return JSON.parse(token) as string;
    } catch {
      return fail(); // an escape that is none
    }
  };
  const value = (depth: number): unknown => {
    if (depth > maxDepth) throw new JsonFault(`more than ${maxDepth} levels`);
    values += 1;
    if (values > maxValues) throw new JsonFault(`more than ${maxValues} values`);
    skip();
    if (take('{')) return object(depth);
    if (take('[')) return array(depth);
    if (text[at] === '"') return readString();
    if (take('true')) return true;
    if (take('false')) return false;
    if (take('null')) return null;
    const digits = match(number) ?? fail();
    const result = Number(digits);
    if (!Number.isFinite(result) || (Number.isInteger(result) && !Number.isSafeInteger(result))) throw new JsonFault(`a number out of range: ${digits.slice(0, 40)}`);
    return result;
  };
  const object = (depth: number): Record<string, unknown> => {
    const result = Object.create(null) as Record<string, unknown>;
    skip();
    if (take('}')) return result;
    for (;;) {
      skip();
      const key = readString();
      if (key in result) throw new JsonFault(`the key ${JSON.stringify(key.slice(0, 100))} twice`);
      skip();
      if (!take(':')) fail();
      result[key] = value(depth + 1);
      skip();
      if (take('}')) return result;
      if (!take(',')) fail();
    }
  };
  const array = (depth: number): unknown[] => {
    const result: unknown[] = [];
    skip();
    if (take(']')) return result;
    for (;;) {
      result.push(value(depth + 1));
      skip();
      if (take(']')) return result;
      if (!take(',')) fail();
    }
  };
  const result = value(0);
  skip();
  if (at !== text.length) fail();
  return result;
}
