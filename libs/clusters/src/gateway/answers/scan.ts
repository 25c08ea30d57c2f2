import { isUtf8 } from 'node:buffer';
import { foldKey } from '@gantry/platform';

/** An engine's answer that is not what its API says. Nothing that was not judged has gone out; the message holds nothing of the answer. */
export class EngineAnswerError extends Error {
  override readonly name = 'EngineAnswerError';

  constructor(detail: string) {
    super(`the engine's answer is not what its API says: ${detail}`);
  }
}

/** What is wanted of a value: something of its members, its text, or its items. */
interface Want {
  children: Want[];
  /** The key as UTF-8 bytes, and as a reader that folds case sees it. */
  key: Uint8Array;
  folded: string;
  /** Where a string, number or word is noted; -1 for not. */
  scalar: number;
  /** In which list it is noted, as one of several; -1 for not. */
  list: number;
  /** What is wanted of an array's items. */
  items: Want | null;
  /** The value in which the key was seen last. */
  seenIn: number;
}

/** What {@link Scanner} notes of each value, by paths of keys from the value's root; an empty path is the value itself. */
export interface Wanted {
  /** Strings, numbers and words. */
  scalars: readonly (readonly string[])[];
  /** Arrays of strings. */
  lists?: readonly (readonly string[])[];
}

/** Deepest nesting; engines nest a tenth of it. */
const maxDepth = 256;

/** How many bytes must lie behind what is read at once without asking for each whether it is there. */
const margin = 16;

// What may come next.
const inKey = 0;
const inText = 1;
const beforeKey = 2;
const beforeValue = 3;
const afterValue = 4;
const beforeColon = 5;
const firstKey = 6;
const firstItem = 7;
const inNumber = 8;
const inWord = 9;
const done = 10;

/** 1 for bytes that stand for themselves inside a string. */
const plain = new Uint8Array(256).map((_, byte) => (byte >= 0x20 && byte !== 0x22 && byte !== 0x5c ? 1 : 0));
/** What may follow a backslash; 2 for `u`. */
const escaped = new Uint8Array(256);
for (const char of '"\\/bfnrt') escaped[char.charCodeAt(0)] = 1;
escaped[0x75] = 2;
const hex = new Uint8Array(256);
for (const char of '0123456789abcdefABCDEF') hex[char.charCodeAt(0)] = 1;

// Numbers by RFC 8259: state × class of the byte → state; 0 is no number, states from 5 on may end.
const numberClass = new Uint8Array(256);
for (const [chars, name] of [['-', 1], ['+', 2], ['0', 3], ['123456789', 4], ['.', 5], ['eE', 6]] as const) for (const char of chars) numberClass[char.charCodeAt(0)] = name;
const [sign, point, exponent, exponentSign, zero, whole, fraction, power] = [1, 2, 3, 4, 5, 6, 7, 8];
const numberSteps = new Uint8Array(9 * 7);
for (const [state, name, next] of [
  [sign, 3, zero], [sign, 4, whole], [point, 3, fraction], [point, 4, fraction], [exponent, 1, exponentSign], [exponent, 2, exponentSign], [exponent, 3, power], [exponent, 4, power],
  [exponentSign, 3, power], [exponentSign, 4, power], [zero, 5, point], [zero, 6, exponent], [whole, 3, whole], [whole, 4, whole], [whole, 5, point], [whole, 6, exponent],
  [fraction, 3, fraction], [fraction, 4, fraction], [fraction, 6, exponent], [power, 3, power], [power, 4, power],
] as const) numberSteps[state * 7 + name] = next;

const words: readonly Uint8Array[] = ['true', 'false', 'null'].map((word) => Buffer.from(word));

/**
 * Finds the end of JSON values (RFC 8259) in bytes that come in pieces, and notes on the way where a few wanted strings of them lie. Every
 * byte is looked at once, whatever the pieces, and nothing is made per value. The grammar is held to in full, but for UTF-8, which only the
 * strings that are read must be.
 */
export class Scanner {
  /** Where each wanted scalar begins and ends, from the value's first byte on; -1 for not there. */
  private readonly from: Int32Array;
  private readonly to: Int32Array;
  /** For each wanted scalar where it is noted: the same path may be wanted twice. */
  private readonly places: readonly number[];
  private readonly lists: number[][];
  private readonly root: Want;

  private mode = beforeValue;
  private depth = 0;
  /** For each depth: 1 for an object, 0 for an array. */
  private readonly isObject = new Uint8Array(maxDepth + 1);
  /** For each depth: what is wanted of that object or array. */
  private readonly wants: (Want | null)[] = Array.from({ length: maxDepth + 1 }, () => null);
  /** What is wanted of the value that comes. */
  private next: Want | null = null;
  /** Where the string, number or word began in which we are. */
  private token = 0;
  /** In a string: 0, 5 behind a backslash, or how many hex digits are still to come. */
  private escape = 0;
  private number = 0;
  private word = 0;
  private letter = 0;
  private value = 0;
  private doubtful = false;
  private viewed: Buffer | null = null;
  private view: DataView = new DataView(new ArrayBuffer(0));

  constructor(wanted: Wanted = { scalars: [] }) {
    this.root = nothing('');
    this.places = wanted.scalars.map((path, index) => {
      const want = this.want(path);
      if (want.scalar < 0) want.scalar = index;
      return want.scalar;
    });
    wanted.lists?.forEach((path, index) => {
      const want = this.want(path);
      if (want.items) throw new RangeError(`wanted twice: /${path.join('/')}`);
      want.items = { ...nothing(''), list: index };
    });
    this.from = new Int32Array(wanted.scalars.length).fill(-1);
    this.to = new Int32Array(wanted.scalars.length).fill(-1);
    this.lists = (wanted.lists ?? []).map(() => []);
    this.begin();
  }

  private want(path: readonly string[]): Want {
    let at = this.root;
    for (const step of path) {
      const key = Buffer.from(step);
      let child = at.children.find((each) => key.equals(each.key));
      if (!child) {
        child = nothing(step);
        at.children.push(child);
      }
      at = child;
    }
    return at;
  }

  /** Makes ready for the next value. */
  begin(): void {
    this.mode = beforeValue;
    this.depth = 0;
    this.next = this.root;
    this.escape = 0;
    this.value = this.value === 0x3fffffff ? 1 : this.value + 1;
    this.doubtful = false;
    for (let index = 0; index < this.from.length; index += 1) this.from[index] = -1;
    for (let index = 0; index < this.lists.length; index += 1) this.lists[index]!.length = 0;
  }

  /** Whether the value has ended. A bare number ends only before another byte. */
  get ended(): boolean {
    return this.mode === done;
  }

  /** Whether a wanted key was there twice, or once in another case: then readers may differ on what the value says. */
  get isDoubtful(): boolean {
    return this.doubtful;
  }

  /**
   * Reads on. The bytes of the value lie in `bytes` from `base` on, or, when nothing is wanted of it, only those that are new.
   * @param at the first new byte
   * @returns where the value ends, or `end`
   * @throws EngineAnswerError
   */
  read(bytes: Buffer, at: number, end: number, base: number): number {
    let pos = at;
    while (pos < end && this.mode !== done) {
      if (end - pos > margin && (this.mode === beforeValue || this.mode === afterValue)) pos = this.glide(bytes, pos, end - margin, base);
      if (pos < end && this.mode !== done) pos = this.crawl(bytes, pos, base, end);
    }
    return pos;
  }

  /**
   * Reads on as long as the text is written as engines write it: no white space, no escapes, whole numbers. Stops wherever it is not, for
   * {@link crawl} to say what that is. What is told apart here is what the time goes into: four bytes of a string at once, and no state kept.
   * @param end there are `margin` bytes behind it
   */
  private glide(bytes: Buffer, at: number, end: number, base: number): number {
    const view = this.viewOf(bytes);
    const { isObject, wants } = this;
    let { depth, next } = this;
    let token = 0;
    let pos = at;
    let step = this.mode === beforeValue ? 0 : 1;
    let mode = this.mode;
    for (;;) {
      if (pos >= end) {
        mode = step === 0 ? beforeValue : step === 1 ? afterValue : inKey;
        break;
      }
      if (step === 0) {
        const byte = bytes[pos]!;
        if (byte === 0x22) {
          token = pos - base;
          pos += 1;
          let found = 0;
          while (pos < end) {
            const four = view.getInt32(pos, true);
            const quotes = four ^ 0x22222222;
            const slashes = four ^ 0x5c5c5c5c;
            // The lowest bit that is set tells the first byte that is a quote, a backslash, or below 0x20.
            found = (((quotes - 0x01010101) & ~quotes) | ((slashes - 0x01010101) & ~slashes) | ((four - 0x20202020) & ~four)) & 0x80808080;
            if (found !== 0) break;
            pos += 4;
          }
          if (found !== 0) pos += (31 - Math.clz32(found & -found)) >> 3;
          if (found === 0 || bytes[pos] !== 0x22) {
            mode = inText;
            break;
          }
          pos += 1;
          if (next !== null) this.note(next, token, pos - base);
        } else if (next === null && (byte === 0x7b || byte === 0x5b)) {
          pos = this.skip(bytes, pos, end, depth);
          if (this.mode !== afterValue || this.depth !== depth) return pos;
        } else if (byte === 0x7b) {
          if (depth === maxDepth) {
            mode = beforeValue;
            break;
          }
          pos += 1;
          depth += 1;
          isObject[depth] = 1;
          wants[depth] = next !== null && next.children.length > 0 ? next : null;
          const first = bytes[pos]!;
          if (first === 0x22) {
            token = pos - base;
            pos += 1;
            step = 2;
            continue;
          }
          if (first !== 0x7d) {
            mode = firstKey;
            break;
          }
          pos += 1;
          depth -= 1;
        } else if (byte === 0x5b) {
          if (depth === maxDepth) {
            mode = beforeValue;
            break;
          }
          pos += 1;
          depth += 1;
          isObject[depth] = 0;
          wants[depth] = next === null ? null : next.items;
          if (bytes[pos] !== 0x5d) {
            // `firstItem` may be white space and a bracket.
            const first = bytes[pos]!;
            if (first <= 0x20) {
              mode = firstItem;
              break;
            }
            next = wants[depth]!;
            continue;
          }
          pos += 1;
          depth -= 1;
        } else if (byte > 0x30 && byte <= 0x39) {
          token = pos - base;
          pos += 1;
          while (pos < end && bytes[pos]! >= 0x30 && bytes[pos]! <= 0x39) pos += 1;
          const after = bytes[pos]!;
          if (after !== 0x2c && after !== 0x7d && after !== 0x5d) {
            this.number = whole;
            mode = inNumber;
            break;
          }
          if (next !== null) this.note(next, token, pos - base);
        } else {
          const four = view.getInt32(pos, true);
          let length = 0;
          if (four === 0x65757274 || four === 0x6c6c756e) length = 4;
          else if (four === 0x736c6166 && bytes[pos + 4] === 0x65) length = 5;
          else if (byte === 0x30 && (bytes[pos + 1] === 0x2c || bytes[pos + 1] === 0x7d)) length = 1;
          if (length === 0) {
            mode = beforeValue;
            break;
          }
          if (next !== null) this.note(next, pos - base, pos + length - base);
          pos += length;
        }
        if (depth === 0) {
          mode = done;
          break;
        }
        step = 1;
      } else if (step === 1) {
        const byte = bytes[pos]!;
        if (byte === 0x2c) {
          if (isObject[depth] === 0) {
            next = wants[depth]!;
            pos += 1;
            step = 0;
          } else if (bytes[pos + 1] === 0x22) {
            token = pos + 1 - base;
            pos += 2;
            step = 2;
          } else {
            mode = afterValue;
            break;
          }
        } else if (byte === (isObject[depth] === 1 ? 0x7d : 0x5d)) {
          pos += 1;
          depth -= 1;
          if (depth === 0) {
            mode = done;
            break;
          }
        } else {
          mode = afterValue;
          break;
        }
      } else {
        let found = 0;
        while (pos < end) {
          const four = view.getInt32(pos, true);
          const quotes = four ^ 0x22222222;
          const slashes = four ^ 0x5c5c5c5c;
          found = (((quotes - 0x01010101) & ~quotes) | ((slashes - 0x01010101) & ~slashes) | ((four - 0x20202020) & ~four)) & 0x80808080;
          if (found !== 0) break;
          pos += 4;
        }
        if (found !== 0) pos += (31 - Math.clz32(found & -found)) >> 3;
        if (found === 0 || bytes[pos] !== 0x22) {
          mode = inKey;
          break;
        }
        const want = wants[depth]!;
        next = want === null ? null : this.match(bytes, base + token + 1, pos, want);
        pos += 1;
        if (bytes[pos] !== 0x3a) {
          mode = beforeColon;
          break;
        }
        pos += 1;
        step = 0;
      }
    }
    this.mode = mode;
    this.depth = depth;
    this.next = next;
    this.token = token;
    return pos;
  }

  /**
   * {@link glide} for an object or array of which nothing is wanted: which brackets are open is kept in the bits of a number.
   * @param depth around the value; when it has ended, `depth` is that again and the mode `afterValue`
   */
  private skip(bytes: Buffer, at: number, end: number, depth: number): number {
    const view = this.view;
    let pos = at;
    let open = 0;
    let kinds = 0;
    /** Where a key must come: `firstKey` or `beforeKey`, which are not 0. */
    let key = 0;
    let mode = afterValue;
    outer: for (;;) {
      if (pos >= end) {
        mode = key === 0 ? beforeValue : key;
        break;
      }
      const byte = bytes[pos]!;
      if (byte === 0x22) {
        pos += 1;
        for (;;) {
          let found = 0;
          while (pos < end) {
            const four = view.getInt32(pos, true);
            const quotes = four ^ 0x22222222;
            const slashes = four ^ 0x5c5c5c5c;
            found = (((quotes - 0x01010101) & ~quotes) | ((slashes - 0x01010101) & ~slashes) | ((four - 0x20202020) & ~four)) & 0x80808080;
            if (found !== 0) break;
            pos += 4;
          }
          if (found !== 0) pos += (31 - Math.clz32(found & -found)) >> 3;
          const ending = bytes[pos]!;
          if (found !== 0 && ending === 0x22) break;
          if (found !== 0 && ending === 0x5c && escaped[bytes[pos + 1]!] === 1) {
            pos += 2;
            continue;
          }
          mode = key === 0 ? inText : inKey;
          break outer;
        }
        pos += 1;
        if (key !== 0) {
          key = 0;
          if (bytes[pos] === 0x3a) {
            pos += 1;
            continue;
          }
          mode = beforeColon;
          break;
        }
      } else if (key !== 0) {
        mode = key;
        break;
      } else if (byte === 0x7b || byte === 0x5b) {
        if (open === 30 || depth + open === maxDepth) {
          mode = beforeValue;
          break;
        }
        const first = bytes[pos + 1]!;
        pos += 1;
        if (first === byte + 2) {
          pos += 1;
        } else {
          open += 1;
          kinds = (kinds << 1) | (byte === 0x7b ? 1 : 0);
          if (byte === 0x7b) {
            key = firstKey;
          } else if (first <= 0x20) {
            mode = firstItem;
            break;
          }
          continue;
        }
      } else if (byte > 0x30 && byte <= 0x39) {
        pos += 1;
        while (pos < end && bytes[pos]! >= 0x30 && bytes[pos]! <= 0x39) pos += 1;
        const after = bytes[pos]!;
        if (after !== 0x2c && after !== 0x7d && after !== 0x5d) {
          this.number = whole;
          mode = inNumber;
          break;
        }
      } else {
        const four = view.getInt32(pos, true);
        if (four === 0x65757274 || four === 0x6c6c756e) pos += 4;
        else if (four === 0x736c6166 && bytes[pos + 4] === 0x65) pos += 5;
        else if (byte === 0x30 && (bytes[pos + 1] === 0x2c || bytes[pos + 1] === 0x7d)) pos += 1;
        else {
          mode = beforeValue;
          break;
        }
      }
      for (;;) {
        if (open === 0) {
          mode = afterValue;
          break outer;
        }
        const after = bytes[pos]!;
        if (after === 0x2c && pos < end) {
          pos += 1;
          key = (kinds & 1) === 1 ? beforeKey : 0;
          break;
        }
        if (after !== ((kinds & 1) === 1 ? 0x7d : 0x5d) || pos >= end) {
          mode = afterValue;
          break outer;
        }
        pos += 1;
        open -= 1;
        kinds >>= 1;
      }
    }
    for (let level = open; level > 0; level -= 1) {
      this.isObject[depth + level] = kinds & 1;
      this.wants[depth + level] = null;
      kinds >>= 1;
    }
    this.depth = depth + open;
    this.mode = mode;
    this.next = null;
    return pos;
  }

  private viewOf(bytes: Buffer): DataView {
    if (this.viewed !== bytes) {
      this.viewed = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    return this.view;
  }

  /** Reads on by one step of the grammar: a byte, or a stretch of a string. */
  private crawl(bytes: Buffer, at: number, base: number, end: number): number {
    const { isObject, wants, mode } = this;
    let pos = at;
    const byte = bytes[pos]!;
    switch (mode) {
      case inKey:
      case inText: {
        if (this.escape > 0) {
          if (this.escape === 5 ? escaped[byte] === 0 : hex[byte] === 0) throw new EngineAnswerError('an unknown escape');
          this.escape = this.escape < 5 ? this.escape - 1 : escaped[byte] === 2 ? 4 : 0;
          return pos + 1;
        }
        while (pos < end && plain[bytes[pos]!] === 1) pos += 1;
        if (pos === end) return pos;
        const ending = bytes[pos]!;
        pos += 1;
        if (ending === 0x5c) {
          this.escape = 5;
        } else if (ending !== 0x22) {
          throw new EngineAnswerError('a control character inside a string');
        } else if (mode === inText) {
          this.endScalar(pos - base);
        } else {
          const want = wants[this.depth]!;
          this.next = want === null ? null : this.match(bytes, base + this.token + 1, pos - 1, want);
          this.mode = beforeColon;
        }
        return pos;
      }
      case inNumber: {
        const step = numberSteps[this.number * 7 + numberClass[byte]!]!;
        if (step !== 0) {
          this.number = step;
          return pos + 1;
        }
        if (this.number < zero) throw new EngineAnswerError('a number was expected');
        this.endScalar(pos - base);
        return pos;
      }
      case inWord: {
        const word = words[this.word]!;
        if (byte !== word[this.letter]) throw new EngineAnswerError('an unknown word');
        this.letter += 1;
        if (this.letter === word.length) this.endScalar(pos + 1 - base);
        return pos + 1;
      }
      default:
    }
    pos += 1;
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) return pos;
    switch (mode) {
      case afterValue:
        if (byte === 0x2c) {
          this.mode = isObject[this.depth] === 1 ? beforeKey : beforeValue;
          this.next = isObject[this.depth] === 1 ? null : wants[this.depth]!;
        } else if (byte === (isObject[this.depth] === 1 ? 0x7d : 0x5d)) {
          this.closeOne();
        } else {
          throw new EngineAnswerError('a comma or a closing bracket was expected');
        }
        return pos;
      case beforeColon:
        if (byte !== 0x3a) throw new EngineAnswerError('a colon was expected');
        this.mode = beforeValue;
        return pos;
      case firstKey:
      case beforeKey:
        if (byte === 0x22) {
          this.token = pos - 1 - base;
          this.mode = inKey;
        } else if (byte === 0x7d && mode === firstKey) {
          this.closeOne();
        } else {
          throw new EngineAnswerError('a key was expected');
        }
        return pos;
      case firstItem:
        if (byte === 0x5d) {
          this.closeOne();
          return pos;
        }
        this.next = wants[this.depth]!;
        break;
      default:
    }
    this.startValue(byte, pos - 1 - base);
    return pos;
  }

  private startValue(byte: number, at: number): void {
    const { next, isObject, wants } = this;
    this.token = at;
    if (byte === 0x22) {
      this.mode = inText;
    } else if (byte === 0x7b || byte === 0x5b) {
      if (this.depth === maxDepth) throw new EngineAnswerError(`nesting deeper than ${maxDepth}`);
      this.depth += 1;
      isObject[this.depth] = byte === 0x7b ? 1 : 0;
      if (byte === 0x7b) wants[this.depth] = next !== null && next.children.length > 0 ? next : null;
      else wants[this.depth] = next === null ? null : next.items;
      this.mode = byte === 0x7b ? firstKey : firstItem;
    } else if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) {
      this.number = byte === 0x2d ? sign : byte === 0x30 ? zero : whole;
      this.mode = inNumber;
    } else if (byte === 0x74 || byte === 0x66 || byte === 0x6e) {
      this.word = byte === 0x74 ? 0 : byte === 0x66 ? 1 : 2;
      this.letter = 1;
      this.mode = inWord;
    } else {
      throw new EngineAnswerError('a value was expected');
    }
  }

  private endScalar(to: number): void {
    if (this.next !== null) this.note(this.next, this.token, to);
    this.mode = this.depth === 0 ? done : afterValue;
  }

  private closeOne(): void {
    this.depth -= 1;
    this.mode = this.depth === 0 ? done : afterValue;
  }

  /** The key between two places against what is wanted there. A key that only folds to a wanted one makes the value doubtful. */
  private match(bytes: Buffer, from: number, to: number, want: Want): Want | null {
    let simple = true;
    for (let pos = from; pos < to; pos += 1) {
      const byte = bytes[pos]!;
      if (byte >= 0x80 || byte === 0x5c) {
        simple = false;
        break;
      }
    }
    if (!simple) return this.matchText(bytes, from, to, want);
    const { children } = want;
    for (let index = 0; index < children.length; index += 1) {
      const child = children[index]!;
      const { key } = child;
      // Keys of other lengths in UTF-8 can fold to this one only when one of the two is not ASCII.
      if (key.length !== to - from) {
        if (child.folded.length === to - from && foldKey(ascii(bytes, from, to)) === child.folded) this.doubtful = true;
        continue;
      }
      let same = true;
      let folds = true;
      for (let at = 0; at < key.length; at += 1) {
        const byte = bytes[from + at]!;
        const other = key[at]!;
        if (byte === other) continue;
        same = false;
        if ((byte ^ other) !== 0x20 || (byte | 0x20) < 0x61 || (byte | 0x20) > 0x7a) {
          folds = false;
          break;
        }
      }
      if (same) return this.seen(child);
      if (folds) this.doubtful = true;
    }
    return null;
  }

  private matchText(bytes: Buffer, from: number, to: number, want: Want): Want | null {
    const key = readText(bytes, from - 1, to + 1);
    if (key === null) {
      this.doubtful = true;
      return null;
    }
    const folded = foldKey(key);
    let found: Want | null = null;
    for (const child of want.children) {
      if (child.folded !== folded) continue;
      if (Buffer.from(key).equals(child.key)) found = this.seen(child);
      else this.doubtful = true;
    }
    return found;
  }

  private seen(want: Want): Want {
    if (want.seenIn === this.value) this.doubtful = true;
    want.seenIn = this.value;
    return want;
  }

  private note(want: Want, from: number, to: number): void {
    if (want.list >= 0) this.lists[want.list]!.push(from, to);
    if (want.scalar < 0) return;
    this.from[want.scalar] = from;
    this.to[want.scalar] = to;
  }

  /** The string that was noted; undefined where there is none, null where it is no valid UTF-8. */
  text(bytes: Buffer, base: number, scalar: number): string | null | undefined {
    const place = this.places[scalar]!;
    const from = this.from[place]!;
    if (from < 0 || bytes[base + from] !== 0x22) return undefined;
    return readText(bytes, base + from, base + this.to[place]!);
  }

  /** The number or word that was noted, as it was written; undefined where there is none. */
  raw(bytes: Buffer, base: number, scalar: number): string | undefined {
    const place = this.places[scalar]!;
    const from = this.from[place]!;
    return from < 0 || bytes[base + from] === 0x22 ? undefined : ascii(bytes, base + from, base + this.to[place]!);
  }

  /** The strings that were noted for a list; other items are left out. Null where one of them is no valid UTF-8. */
  texts(bytes: Buffer, base: number, list: number): string[] | null {
    const found: string[] = [];
    const places = this.lists[list]!;
    for (let index = 0; index < places.length; index += 2) {
      const from = base + places[index]!;
      if (bytes[from] !== 0x22) continue;
      const text = readText(bytes, from, base + places[index + 1]!);
      if (text === null) return null;
      found.push(text);
    }
    return found;
  }
}

const nothing = (key: string): Want => ({ children: [], key: Buffer.from(key), folded: foldKey(key), scalar: -1, list: -1, items: null, seenIn: 0 });

const ascii = (bytes: Buffer, from: number, to: number): string => bytes.toString('latin1', from, to);

/** Reads a string with its quotes, whose grammar was seen to be right. Null where it is no valid UTF-8. */
export function readText(bytes: Buffer, from: number, to: number): string | null {
  let simple = true;
  for (let pos = from; pos < to; pos += 1) {
    const byte = bytes[pos]!;
    if (byte >= 0x80 || byte === 0x5c) {
      simple = false;
      break;
    }
  }
  if (simple) return ascii(bytes, from + 1, to - 1);
  const quoted = bytes.subarray(from, to);
  return isUtf8(quoted) ? (JSON.parse(quoted.toString()) as string) : null;
}
