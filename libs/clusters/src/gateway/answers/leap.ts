import { hidden, kept, unknown, type Verdicts } from './verdicts';

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
  private readonly before: Needle;
  private readonly after: Needle;
  private readonly nested: Buffer | null;
  private readonly also: Needle | null;
  private readonly idClass: Uint8Array;
  private readonly idBytes: number;
  /** From where an item begins to where its id ends. */
  private readonly head: number;
  /** Of the item that was found last. */
  private verdict = unknown;

  /**
   * @param isHidden by an item's id and by what was found behind `also`; undefined: by the id alone
   * @param known what was decided before by the id alone, or null; asked whenever items are to be leapt over
   */
  constructor(form: Form, private readonly isHidden: (id: string, also: string | undefined) => boolean, private readonly known: () => Verdicts | null = () => null) {
    this.before = new Needle(form.before);
    this.after = new Needle(form.after);
    this.nested = form.nested === undefined ? null : Buffer.from(form.nested);
    this.also = form.also === undefined ? null : new Needle(form.also);
    this.idClass = idClasses[form.idChars];
    this.idBytes = form.idBytes;
    this.head = this.before.length + form.idBytes;
  }

  /**
   * @param at where an item begins
   * @returns where the next item begins that has to be read; `at` itself where that one has to be
   */
  over(bytes: Buffer, at: number): number {
    const { head } = this;
    if (at + head + this.after.length > bytes.length) return at;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const known = this.also === null ? this.known() : null;
    if (!this.isItem(bytes, view, at, known) || !this.after.isAt(view, at + head)) return at;
    let item = at;
    for (;;) {
      if (this.also === null && !this.isHiddenById(bytes, view, item, known)) return item;
      const next = this.next(bytes, view, item + head + this.after.length, known) - head;
      if (next < 0) return item;
      if (this.also !== null && !this.isHiddenWith(bytes, view, item, next)) return item;
      item = next;
    }
  }

  /** Where the `after` of the item behind this one is; -1: not here, or not in the form that it should have. */
  private next(bytes: Buffer, view: DataView, from: number, known: Verdicts | null): number {
    let at = from;
    for (;;) {
      at = this.after.find(view, at, bytes.length);
      if (at < 0) return -1;
      const start = at - this.head;
      if (start - 2 < from || !this.isItem(bytes, view, start, known)) return -1;
      if (bytes[start - 1] === comma && bytes[start - 2] === brace) return at;
      if (this.nested === null || !endsWith(bytes, start, this.nested)) return -1;
      at += this.after.length;
    }
  }

  /** Whether what stands here is an item's beginning, up to its id. Notes what was decided on that before. */
  private isItem(bytes: Buffer, view: DataView, at: number, known: Verdicts | null): boolean {
    if (!this.before.isAt(view, at)) return false;
    const { idClass } = this;
    const from = at + this.before.length;
    this.verdict = known === null ? unknown : known.find(view, from);
    // What is known was an id.
    if (this.verdict !== unknown) return true;
    const to = from + this.idBytes;
    for (let index = from; index < to; index += 1) if (idClass[bytes[index]!] === 0) return false;
    return true;
  }

  private idAt(bytes: Buffer, item: number): string {
    return bytes.toString('latin1', item + this.before.length, item + this.head);
  }

  /** Whether the item that `isItem` was asked about last is hidden. */
  private isHiddenById(bytes: Buffer, view: DataView, item: number, known: Verdicts | null): boolean {
    if (this.verdict !== unknown) return this.verdict === hidden;
    const isHidden = this.isHidden(this.idAt(bytes, item), undefined);
    known?.remember(view, item + this.before.length, isHidden ? hidden : kept);
    return isHidden;
  }

  /** Whether an item is hidden by its id and by all that could be the string that counts: labels may have its key. */
  private isHiddenWith(bytes: Buffer, view: DataView, from: number, to: number): boolean {
    const also = this.also!;
    const id = this.idAt(bytes, from);
    if (!this.isHidden(id, undefined)) return false;
    let at = also.find(view, from, to);
    while (at >= 0) {
      const start = at + also.length;
      let end = start;
      while (end < to && bytes[end] !== quote && bytes[end] !== backslash) end += 1;
      if (bytes[end] !== quote || !this.isHidden(id, bytes.toString('latin1', start, end))) return false;
      at = also.find(view, end, to);
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

/** How many bytes are looked at together. */
const gram = 4;
const hashBits = 13;

/**
 * Horspool's search by four bytes at once: where those under the needle's end are none of the needle's, nearly the whole needle is skipped. They
 * hardly ever are: of single bytes and pairs, half of those in such a text are letters, quotes and colons that the needle has, too.
 */
class Needle {
  readonly length: number;
  /** How far the needle may go on when four bytes with this hash are under its end; 0: it may be here. Of bytes that only share the hash too little is believed, never too much. */
  private readonly steps = new Uint8Array(1 << hashBits);
  /** The same when it is not. */
  private readonly again: number;
  /** All of it by four bytes each, the last of which may overlap, and where they stand in it. */
  private readonly words: Int32Array;
  private readonly places: Uint8Array;

  constructor(text: string) {
    const bytes = Buffer.from(text);
    this.length = bytes.length;
    const last = this.length - gram;
    this.places = Uint8Array.from({ length: Math.ceil(this.length / gram) }, (_, index) => Math.min(index * gram, last));
    this.words = Int32Array.from(this.places, (place) => bytes.readInt32LE(place));
    const hashAt = (index: number): number => hash(bytes.readInt32LE(index));
    this.steps.fill(last + 1);
    for (let index = 0; index < last; index += 1) this.steps[hashAt(index)] = last - index;
    this.again = this.steps[hashAt(last)]!;
    this.steps[hashAt(last)] = 0;
  }

  /** Where it is between two places; -1: nowhere. */
  find(view: DataView, from: number, to: number): number {
    const { steps, length } = this;
    const last = to - gram;
    const whole = length - gram + 1;
    let end = from + length - gram;
    while (end <= last) {
      const step = steps[hash(view.getInt32(end, true))]!;
      // Nearly always so: to add a number that is known lets the processor go on before it has looked up this one.
      if (step === whole) end += whole;
      else if (step !== 0) end += step;
      else if (this.isAt(view, end + gram - length)) return end + gram - length;
      else end += this.again;
    }
    return -1;
  }

  /** Whether it stands there. There are as many bytes. */
  isAt(view: DataView, at: number): boolean {
    const { words, places } = this;
    for (let index = 0; index < words.length; index += 1) if (view.getInt32(at + places[index]!, true) !== words[index]) return false;
    return true;
  }
}

function hash(four: number): number {
  return Math.imul(four, 0x9e3779b1) >>> (32 - hashBits);
}
