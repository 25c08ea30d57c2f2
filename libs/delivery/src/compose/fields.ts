import type { ComposeNoticeCode } from './notice';
import { findBoolean, type Notices, type Tree } from './tree';
import { ValueError } from './values';

/** Drops the properties that are undefined, so that absent fields do not exist. */
export function compact<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T;
}

/** Labels that Gantry or `docker stack` writes itself. */
const reservedLabels = ['com.docker.stack.', 'io.gantry.'];

/** Typed reading of one map of the tree; each fault becomes a notice and reads as absent. */
export class Fields {
  constructor(
    readonly tree: Tree,
    readonly notices: Notices,
  ) {}

  find(key: string): Tree | undefined {
    return this.tree.entries.get(key);
  }

  /** The map under `key`; an absent or empty one reads as a map without keys. */
  inner(key: string): Fields {
    return new Fields(this.find(key) ?? { ...this.tree, entries: new Map() }, this.notices);
  }

  fault(at: Tree, message: string, code: ComposeNoticeCode = 'invalid'): void {
    this.notices.error(at, code, message);
  }

  /** The text under `key` put through `read`, which throws ValueError. */
  convert<T>(key: string, read: (text: string) => T): T | undefined {
    const at = this.find(key);
    return at === undefined ? undefined : this.read(at, key, read);
  }

  read<T>(at: Tree, name: string, read: (text: string) => T): T | undefined {
    try {
      return read(at.text);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      this.fault(at, `${name} ${error.message}`);
      return undefined;
    }
  }

  /** A text that matches `form`; `want` ends the sentence "… must be". */
  text(key: string, form: RegExp = /./s, want = 'not empty'): string | undefined {
    return this.convert(key, (text) => matching(text, form, want));
  }

  flag(key: string): boolean | undefined {
    return this.convert(key, (text) => findBoolean(text) ?? undefined);
  }

  oneOf<T extends string>(key: string, allowed: readonly T[]): T | undefined {
    return this.convert(key, (text) => {
      const found = allowed.find((value) => value === text);
      if (found === undefined) throw new ValueError(`must be one of ${allowed.join(', ')}`);
      return found;
    });
  }

  whole(key: string, min = 0, max = Number.MAX_SAFE_INTEGER): number | undefined {
    return this.convert(key, (text) => wholeNumber(text, min, max));
  }

  /** A string, or a list of strings, as a list. */
  texts(key: string): { at: Tree; text: string }[] {
    const at = this.find(key);
    if (at === undefined) return [];
    return at.kind === 'array' ? at.items.map((item) => ({ at: item, text: item.text })) : [{ at, text: at.text }];
  }

  /** Texts that all match `form`. */
  matching(key: string, form: RegExp, want: string): string[] {
    const found: string[] = [];
    for (const { at } of this.texts(key)) {
      const text = this.read(at, key, (value) => matching(value, form, want));
      if (text !== undefined) found.push(text);
    }
    return found;
  }

  /** `KEY=value` lists and maps alike; null where there is no value. */
  pairs(key: string): { at: Tree; name: string; value: string | null }[] {
    const at = this.find(key);
    if (at === undefined) return [];
    const seen = new Set<string>();
    const pairs = [];
    const given =
      at.kind === 'array'
        ? at.items
            .map((item) => ({ item, equals: item.text.indexOf('=') }))
            .map(({ item, equals }) => ({
              item,
              name: equals === -1 ? item.text : item.text.slice(0, equals),
              value: equals === -1 ? null : item.text.slice(equals + 1),
            }))
        : [...at.entries].map(([name, item]) => ({ item, name, value: item.kind === 'null' ? null : item.text }));
    for (const { item, name, value } of given) {
      if (name === '' || name.includes('=')) this.fault(item, `${key} has an entry without a name, or with "=" in it; write NAME=value`);
      else if (seen.has(name)) this.fault(item, `${key} gives the same name twice; remove one`, 'conflict');
      else pairs.push({ at: item, name, value });
      seen.add(name);
    }
    return pairs;
  }

  /** Pairs as a record in which a missing value is ''. */
  record(key: string): Record<string, string> {
    return Object.fromEntries(this.pairs(key).map(({ name, value }) => [name, value ?? '']));
  }

  /** Labels that the file may set: not those that Gantry writes. */
  labels(key = 'labels'): Record<string, string> {
    for (const { at, name } of this.pairs(key)) {
      const prefix = reservedLabels.find((reserved) => name.toLowerCase().startsWith(reserved));
      if (prefix !== undefined) this.fault(at, `${key}: names that begin with ${prefix} are written by Gantry itself; choose another`);
    }
    return this.record(key);
  }

  /** Permission bits: octal as in 0440 or "0440"; an unquoted number without the zero is decimal, as docker reads it. */
  mode(key: string): number | undefined {
    const at = this.find(key);
    if (at === undefined) return undefined;
    return this.convert(key, (text) => {
      const decimal = at.kind === 'number' && /^(0|[1-9]\d{0,4})$/.test(text);
      const octal = /^(?:0o?)?([0-7]{1,5})$/.exec(text);
      const bits = decimal ? Number(text) : octal === null ? Number.NaN : Number.parseInt(octal[1] ?? '', 8);
      if (!(bits <= 0o7777)) throw new ValueError('must be permission bits in octal, such as 0440');
      if (decimal && /^[0-7]{3,4}$/.test(text)) {
        this.notices.warn(
          at,
          'attention',
          `${key} has no leading zero and is read as a decimal number (0${bits.toString(8)} in octal); write 0${text} if that was meant`,
        );
      }
      return bits;
    });
  }
}

export function matching(text: string, form: RegExp, want: string): string {
  if (!form.test(text)) throw new ValueError(`must be ${want}`);
  return text;
}

export function wholeNumber(text: string, min: number, max: number): number {
  const number = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number) || number < min || number > max) {
    throw new ValueError(
      max === Number.MAX_SAFE_INTEGER ? `must be a whole number of at least ${min}` : `must be a whole number from ${min} to ${max}`,
    );
  }
  return number;
}
