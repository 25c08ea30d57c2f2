/**
 * How engines write the items of a list, byte for byte: what each begins with, up to the first value that is free. The form must be one that
 * nothing deeper in an item of the kind can have right behind `},`: then wherever these bytes are found an item begins, for a quote without a
 * backslash before it never lies inside a string, whatever people put into labels and variables.
 */
export interface Form {
  /** What stands before the id: `{"ID":"`. */
  before: string;
  /** Bytes of an id, and which there are in one. */
  idBytes: number;
  idChars: 'base36' | 'hex';
  /** What follows it: `","Version":{"Index":`. */
  after: string;
  /** What stands before the same bytes where they are part of an item: a task tells of its networks. */
  nested?: string;
  /** Where else in an item a string may be that it is judged by: what stands before that. */
  also?: string;
}

/** Nodes, services, secrets and configs of a swarm: none holds a list of objects with a version. */
export const swarmForm: Form = { before: '{"ID":"', idBytes: 25, idChars: 'base36', after: '","Version":{"Index":' };
/** Of what a task holds, only networks have an id and a version, one in each attachment. */
export const taskForm: Form = { ...swarmForm, nested: '"Network":', also: '"ServiceID":"' };
/** Nothing else has names. */
export const containerForm: Form = { before: '{"Id":"', idBytes: 64, idChars: 'hex', after: '","Names":[' };

const idClasses: Record<Form['idChars'], Uint8Array> = { base36: classOf('0123456789abcdefghijklmnopqrstuvwxyz'), hex: classOf('0123456789abcdef') };
const quote = 0x22;
const backslash = 0x5c;
const brace = 0x7d;
const comma = 0x2c;

/**
 * Finds out which items of a list its reader need not look at: those that are hidden whatever else they say. It lets nothing out; where the
 * next item is not of the expected form to the byte, or it is not there yet, the item before is the reader's.
 */
export class Leap {
  private readonly before: Buffer;
  private readonly after: Needle;
  private readonly nested: Buffer | null;
  private readonly also: Needle | null;
  private readonly idClass: Uint8Array;

  /** @param isHidden by an item's id and by what was found behind `also`; undefined: by the id alone */
  constructor(private readonly form: Form, private readonly isHidden: (id: string, also: string | undefined) => boolean) {
    this.before = Buffer.from(form.before);
    this.after = new Needle(form.after);
    this.nested = form.nested === undefined ? null : Buffer.from(form.nested);
    this.also = form.also === undefined ? null : new Needle(form.also);
    this.idClass = idClasses[form.idChars];
  }

  /**
   * @param at where an item begins
   * @returns where the next item begins that has to be read; `at` itself where that one has to be
   */
  over(bytes: Buffer, at: number): number {
    const { before, form: { idBytes } } = this;
    const head = before.length + idBytes;
    if (at + head + this.after.length > bytes.length || !this.isItem(bytes, at) || !this.after.isAt(bytes, at + head)) return at;
    let item = at;
    for (;;) {
      const id = bytes.toString('latin1', item + before.length, item + head);
      if (this.also === null && !this.isHidden(id, undefined)) return item;
      const next = this.next(bytes, item + head + this.after.length) - head;
      if (next < 0) return item;
      if (this.also !== null && !this.isHiddenWith(bytes, id, item, next)) return item;
      item = next;
    }
  }

  /** Where the `after` of the item behind this one is; -1: not here, or not in the form that it should have. */
  private next(bytes: Buffer, from: number): number {
    const head = this.before.length + this.form.idBytes;
    let at = from;
    for (;;) {
      at = this.after.find(bytes, at, bytes.length);
      if (at < 0) return -1;
      const start = at - head;
      if (start - 2 < from || !this.isItem(bytes, start)) return -1;
      if (bytes[start - 1] === comma && bytes[start - 2] === brace) return at;
      if (this.nested === null || !endsWith(bytes, start, this.nested)) return -1;
      at += this.after.length;
    }
  }

  /** Whether what stands here is an item's beginning, up to its id. */
  private isItem(bytes: Buffer, at: number): boolean {
    const { before, idClass, form: { idBytes } } = this;
    for (let index = 0; index < before.length; index += 1) if (bytes[at + index] !== before[index]) return false;
    const from = at + before.length;
    for (let index = from; index < from + idBytes; index += 1) if (idClass[bytes[index]!] === 0) return false;
    return true;
  }

  /** Whether an item is hidden by its id and by all that could be the string that counts: labels may have its key. */
  private isHiddenWith(bytes: Buffer, id: string, from: number, to: number): boolean {
    const also = this.also!;
    if (!this.isHidden(id, undefined)) return false;
    let at = also.find(bytes, from, to);
    while (at >= 0) {
      const start = at + also.length;
      let end = start;
      while (end < to && bytes[end] !== quote && bytes[end] !== backslash) end += 1;
      if (bytes[end] !== quote || !this.isHidden(id, bytes.toString('latin1', start, end))) return false;
      at = also.find(bytes, end, to);
    }
    return true;
  }
}

function classOf(chars: string): Uint8Array {
  const found = new Uint8Array(256);
  for (const char of chars) found[char.charCodeAt(0)] = 1;
  return found;
}

function endsWith(bytes: Buffer, at: number, tail: Buffer): boolean {
  if (at < tail.length) return false;
  for (let index = 0; index < tail.length; index += 1) if (bytes[at - tail.length + index] !== tail[index]) return false;
  return true;
}

/**
 * Horspool's search by pairs of bytes: where the pair under the needle's end is none of the needle's, the whole needle is skipped. Pairs
 * hardly ever are: of single bytes, half of those in such a text are letters and quotes that the needle has, too.
 */
class Needle {
  readonly length: number;
  private readonly bytes: Buffer;
  /** How far the needle may go on when a pair is under its end; 0: it may be here. By seven bits of each byte: of bytes that are not ASCII too little is believed, never too much. */
  private readonly steps = new Uint8Array(128 * 128);
  /** The same when it is not. */
  private readonly again: number;

  constructor(text: string) {
    this.bytes = Buffer.from(text);
    this.length = this.bytes.length;
    const last = this.length - 2;
    const pair = (index: number): number => (this.bytes[index]! << 7) | this.bytes[index + 1]!;
    // Its first byte may be the second one of a pair.
    this.steps.fill(this.length);
    for (let first = 0; first < 128; first += 1) this.steps[(first << 7) | this.bytes[0]!] = this.length - 1;
    for (let index = 0; index < last; index += 1) this.steps[pair(index)] = last - index;
    this.again = this.steps[pair(last)]!;
    this.steps[pair(last)] = 0;
  }

  find(haystack: Buffer, from: number, to: number): number {
    const { steps, length } = this;
    let end = from + length - 1;
    while (end < to) {
      const step = steps[((haystack[end - 1]! & 0x7f) << 7) | (haystack[end]! & 0x7f)]!;
      if (step !== 0) end += step;
      else if (this.isAt(haystack, end - length + 1)) return end - length + 1;
      else end += this.again;
    }
    return -1;
  }

  isAt(haystack: Buffer, at: number): boolean {
    const { bytes } = this;
    for (let index = bytes.length - 1; index >= 0; index -= 1) if (haystack[at + index] !== bytes[index]) return false;
    return true;
  }
}
