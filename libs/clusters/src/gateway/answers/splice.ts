import { foldKey } from '@gantry/platform';
import type { Leap } from './leap';
import { EngineAnswerError, readText, Scanner, type Wanted } from './scan';

/** One item that is judged: what was wanted of it, and its key where it is a member of an object. */
export interface Item {
  /** The member's key; null for an item of an array. */
  name: string | null;
  /** By the order in which they are wanted; undefined where there is no string (or, for `raw`, no number or word). */
  texts: (string | undefined)[];
  raw: (wanted: number) => string | undefined;
  lists: string[][];
}

/** What becomes of a value. `null` is let through wherever an object or items are expected. */
export type Plan =
  | { is: 'pass' }
  | { is: 'cut' }
  /** Written anew, from its JSON text, when all else of the object has been read. Only for members. */
  | { is: 'last'; write: (source: string) => string }
  /** Members by their plans, all others by `others`. Keys that only fold to one that is named are cut where that is cut or others are, and an error elsewhere. */
  | { is: 'object'; members: ReadonlyMap<string, Plan>; others: 'pass' | 'cut' }
  /** Each item of an array (`named`: or member of an object) is kept or cut. `within`: what becomes of one that is kept. `leap` knows some that are not even read. */
  | { is: 'items'; of: 'objects' | 'strings' | 'either'; named: boolean; wanted: Wanted; keep: (item: Item) => boolean; within?: Plan; leap?: Leap }
  /** Objects one after the other, each followed by a line feed. Only for a whole answer. */
  | { is: 'sequence'; wanted: Wanted; keep: (item: Item, bytes: Buffer) => boolean };

export const pass: Plan = { is: 'pass' };
export const cut: Plan = { is: 'cut' };

/** Largest item, in bytes. */
export const maxItemBytes = 16 * 1024 * 1024;
const maxKeyBytes = 64 * 1024;
/** How much is added at least to an item that began in an earlier piece. */
const leastHeldBytes = 1024;

// Where we are.
const beforeValue = 0;
const firstItem = 1;
const afterValue = 2;
const firstKey = 3;
const beforeKey = 4;
const inKey = 5;
const beforeColon = 6;
const inPass = 7;
const inCut = 8;
const inItem = 9;
const betweenEvents = 10;
const over = 11;

interface Frame {
  plan: Plan & { is: 'object' | 'items' | 'sequence' };
  isObject: boolean;
  /** How many of its members or items have gone out. */
  kept: number;
  scanner: Scanner;
  /** Members that are written at its end. */
  last: (() => string)[];
}

const comma = Buffer.from(',');
const colon = Buffer.from(':');
const lineFeed = Buffer.from('\n');
const brackets = { '{': Buffer.from('{'), '}': Buffer.from('}'), '[': Buffer.from('['), ']': Buffer.from(']') };

/**
 * Cuts members and items out of a JSON text while it comes in, by a plan. What is kept has the bytes that came in; white space around what is
 * looked into is dropped. Holds one item at a time. Nothing goes out that was not judged, whatever comes after it.
 */
export class Splicer {
  private mode = beforeValue;
  private readonly frames: Frame[] = [];
  /** Of the value that comes. */
  private plan: Plan;
  /** The member's key that has been read, with its quotes; null for none. */
  private key: Buffer | null = null;
  private name = '';
  /** Between the quotes of a key: what has come of it, and whether a backslash was last. */
  private keyBytes: Buffer[] = [];
  private keyLength = 0;
  private keyEscape = false;
  /** The beginning of an item that goes on in the next piece. */
  private held: Buffer = Buffer.alloc(0);
  private heldLength = 0;
  private itemFrom = 0;
  /** A record separator came before the event. */
  private separated = false;
  private readonly skipper = new Scanner();
  private readonly out = new Pieces();

  constructor(plan: Plan) {
    this.plan = plan;
    if (plan.is === 'sequence') {
      this.frames.push({ plan, isObject: false, kept: 0, scanner: new Scanner(plan.wanted), last: [] });
      this.mode = betweenEvents;
    }
  }

  /** Reads a piece, and answers what may go out. @throws EngineAnswerError */
  write(chunk: Buffer): Buffer | null {
    let pos = 0;
    const end = chunk.length;
    while (pos < end) {
      const { mode } = this;
      if (mode === inItem) pos = this.readItem(chunk, pos, end);
      else if (mode === inPass || mode === inCut) pos = this.skip(chunk, pos, end, mode === inPass);
      else if (mode === inKey) pos = this.readKey(chunk, pos, end);
      else pos = this.step(chunk, pos);
    }
    // Of an item that has not ended only what came now is not held yet.
    if (this.mode === inItem && this.heldLength === 0) this.hold(chunk, this.itemFrom, end);
    return this.out.take();
  }

  /** Says that nothing more comes. @throws EngineAnswerError when something should */
  end(): void {
    if (this.mode !== over && this.mode !== betweenEvents) throw new EngineAnswerError('it ends too early');
  }

  /** One byte outside of what is skipped or judged. */
  private step(chunk: Buffer, pos: number): number {
    const byte = chunk[pos]!;
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      if (this.mode === over && this.frames.length === 0) this.out.add(chunk, pos, pos + 1);
      return pos + 1;
    }
    const frame = this.frames[this.frames.length - 1];
    switch (this.mode) {
      case beforeValue:
        return this.startValue(chunk, pos, byte);
      case firstItem:
        if (byte === 0x5d) return this.close(pos);
        return this.startItem(chunk, pos);
      case afterValue:
        if (byte === 0x2c) this.mode = frame!.isObject ? beforeKey : beforeValue;
        else if (byte === (frame!.isObject ? 0x7d : 0x5d)) return this.close(pos);
        else throw new EngineAnswerError('a comma or a closing bracket was expected');
        if (!frame!.isObject) this.plan = frame!.plan;
        return pos + 1;
      case firstKey:
      case beforeKey:
        if (byte === 0x7d && this.mode === firstKey) return this.close(pos);
        if (byte !== 0x22) throw new EngineAnswerError('a key was expected');
        this.keyBytes = [];
        this.keyLength = 0;
        this.mode = inKey;
        return this.readKey(chunk, pos, chunk.length, 1);
      case beforeColon:
        if (byte !== 0x3a) throw new EngineAnswerError('a colon was expected');
        this.mode = beforeValue;
        return pos + 1;
      case betweenEvents:
        if (byte === 0x1e) {
          this.separated = true;
          return pos + 1;
        }
        if (byte !== 0x7b) throw new EngineAnswerError('an object was expected');
        return this.startItem(chunk, pos);
      default:
        throw new EngineAnswerError('something follows it');
    }
  }

  private startValue(chunk: Buffer, pos: number, byte: number): number {
    const frame = this.frames[this.frames.length - 1];
    const { plan } = this;
    if (frame?.plan.is === 'items' || plan.is === 'last') return this.startItem(chunk, pos);
    if (plan.is === 'cut') return this.startSkip(pos, false);
    const isNull = byte === 0x6e;
    if (plan.is === 'pass' || isNull) {
      this.addKey();
      return this.startSkip(pos, true);
    }
    const isObject = byte === 0x7b;
    const isList = plan.is === 'items';
    if (isObject ? isList && !plan.named : byte !== 0x5b || !isList) throw new EngineAnswerError(isList ? 'a list was expected' : 'an object was expected');
    this.addKey();
    this.frames.push({ plan: plan, isObject, kept: 0, scanner: isList ? new Scanner(plan.wanted) : this.skipper, last: [] });
    this.out.add(chunk, pos, pos + 1);
    this.mode = isObject ? firstKey : firstItem;
    return pos + 1;
  }

  private close(pos: number): number {
    const frame = this.frames.pop()!;
    for (const write of frame.last) {
      this.out.addText(`${frame.kept > 0 ? ',' : ''}${write()}`);
      frame.kept += 1;
    }
    this.out.add(brackets[frame.isObject ? '}' : ']'], 0, 1);
    this.mode = this.frames.length === 0 ? over : afterValue;
    return pos + 1;
  }

  /** The comma, key and colon of a member that goes out. */
  private addKey(): void {
    const frame = this.frames[this.frames.length - 1];
    if (!frame) return;
    if (frame.kept > 0) this.out.add(comma, 0, 1);
    frame.kept += 1;
    if (!frame.isObject || this.key === null) return;
    this.out.add(this.key, 0, this.key.length);
    this.out.add(colon, 0, 1);
  }

  private readKey(chunk: Buffer, from: number, end: number, opening = 0): number {
    let pos = from + opening;
    let closed = false;
    while (pos < end && !closed) {
      const byte = chunk[pos]!;
      pos += 1;
      if (byte < 0x20) throw new EngineAnswerError('a control character inside a string');
      if (this.keyEscape) this.keyEscape = false;
      else if (byte === 0x5c) this.keyEscape = true;
      else closed = byte === 0x22;
    }
    this.keyLength += pos - from;
    if (this.keyLength > maxKeyBytes) throw new EngineAnswerError(`a key longer than ${maxKeyBytes} bytes`);
    this.keyBytes.push(Buffer.from(chunk.subarray(from, pos)));
    if (!closed) return pos;
    const key = this.keyBytes.length === 1 ? this.keyBytes[0]! : Buffer.concat(this.keyBytes);
    this.key = key;
    this.name = readKeyText(key);
    const { plan } = this.frames[this.frames.length - 1]!;
    this.plan = plan.is === 'object' ? planOf(plan, this.name) : plan;
    this.mode = beforeColon;
    return pos;
  }

  private startSkip(pos: number, passing: boolean): number {
    this.skipper.begin();
    this.mode = passing ? inPass : inCut;
    return pos;
  }

  private skip(chunk: Buffer, from: number, end: number, passing: boolean): number {
    const pos = this.skipper.read(chunk, from, end, 0);
    if (passing) this.out.add(chunk, from, pos);
    if (this.skipper.ended) this.mode = this.frames.length === 0 ? over : afterValue;
    return pos;
  }

  private startItem(chunk: Buffer, pos: number): number {
    const { plan, scanner, isObject } = this.frames[this.frames.length - 1]!;
    const from = plan.is === 'items' && plan.leap && !isObject ? plan.leap.over(chunk, pos) : pos;
    scanner.begin();
    this.itemFrom = from;
    this.heldLength = 0;
    this.mode = inItem;
    return from;
  }

  private readItem(chunk: Buffer, from: number, end: number): number {
    const frame = this.frames[this.frames.length - 1]!;
    const { scanner } = frame;
    if (this.heldLength === 0) {
      const pos = scanner.read(chunk, from, end, this.itemFrom);
      if (pos - this.itemFrom > maxItemBytes) throw new EngineAnswerError(`an item larger than ${maxItemBytes} bytes`);
      if (scanner.ended) this.judge(frame, chunk, this.itemFrom, pos, true);
      return pos;
    }
    const before = this.heldLength;
    // As much again as there is: most of the piece belongs to other items.
    const to = Math.min(end, from + Math.max(before, leastHeldBytes));
    this.hold(chunk, from, to);
    const pos = scanner.read(this.held, before, this.heldLength, 0);
    if (pos > maxItemBytes) throw new EngineAnswerError(`an item larger than ${maxItemBytes} bytes`);
    if (!scanner.ended) return to;
    this.judge(frame, this.held, 0, pos, false);
    this.heldLength = 0;
    if (this.held.length > 1024 * 1024) this.held = Buffer.alloc(0);
    return from + pos - before;
  }

  private hold(chunk: Buffer, from: number, end: number): void {
    const needed = this.heldLength + end - from;
    if (needed > this.held.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.held.length * 2, 128 * 1024));
      larger.set(this.held.subarray(0, this.heldLength));
      this.held = larger;
    }
    this.held.set(chunk.subarray(from, end), this.heldLength);
    this.heldLength = needed;
  }

  private judge(frame: Frame, bytes: Buffer, from: number, to: number, stays: boolean): void {
    const { scanner, plan } = frame;
    if (plan.is === 'object') {
      // Of an object's members only those are held that are written last.
      const { plan: member, key } = this;
      const source = Buffer.from(bytes.subarray(from, to)).toString();
      if (member.is === 'last' && key !== null) frame.last.push(() => `${Buffer.from(key).toString()}:${member.write(source)}`);
      this.mode = afterValue;
      return;
    }
    const isEvent = plan.is === 'sequence';
    this.mode = isEvent ? betweenEvents : afterValue;
    const first = bytes[from]!;
    if (plan.is === 'items' && (plan.of === 'objects' ? first !== 0x7b : plan.of === 'strings' ? first !== 0x22 : first !== 0x7b && first !== 0x22)) {
      throw new EngineAnswerError(plan.of === 'strings' ? 'a string was expected' : 'an object was expected');
    }
    const separated = this.separated;
    this.separated = false;
    if (scanner.isDoubtful) return;
    const judged = itemOf(scanner, plan.wanted, bytes, from, frame.isObject ? this.name : null);
    if (judged === null || !(plan.is === 'sequence' ? plan.keep(judged, bytes.subarray(from, to)) : plan.keep(judged))) return;
    if (isEvent) {
      if (separated) this.out.addText('\u001e');
    } else if (!frame.isObject && stays && frame.kept > 0 && from > 0 && bytes[from - 1] === 0x2c && !plan.within) {
      // The comma before it is the engine's own: one stretch of bytes.
      this.out.add(bytes, from - 1, to);
      frame.kept += 1;
      return;
    } else {
      this.addKey();
    }
    if (stays && !(plan.is === 'items' && plan.within)) {
      this.out.add(bytes, from, to);
    } else {
      // Copied: the place where it was held is used again.
      const item = Buffer.from(bytes.subarray(from, to));
      const kept = plan.is === 'items' && plan.within ? spliceWhole(plan.within, item) : item;
      this.out.add(kept, 0, kept.length);
    }
    if (isEvent) this.out.add(lineFeed, 0, 1);
  }
}

/** Splices a text that is all there. */
function spliceWhole(plan: Plan, bytes: Buffer): Buffer {
  const splicer = new Splicer(plan);
  const spliced = splicer.write(bytes);
  splicer.end();
  return spliced ?? Buffer.alloc(0);
}

function planOf(plan: Plan & { is: 'object' }, name: string): Plan {
  const exact = plan.members.get(name);
  if (exact) return exact;
  const folded = foldKey(name);
  for (const [other, its] of plan.members) {
    if (foldKey(other) !== folded) continue;
    if (its.is !== 'cut' && plan.others !== 'cut') throw new EngineAnswerError('a key in another case');
    return cut;
  }
  return plan.others === 'cut' ? cut : pass;
}

function itemOf(scanner: Scanner, wanted: Wanted, bytes: Buffer, base: number, name: string | null): Item | null {
  const texts: (string | undefined)[] = [];
  for (let index = 0; index < wanted.scalars.length; index += 1) {
    const text = scanner.text(bytes, base, index);
    if (text === null) return null;
    texts.push(text);
  }
  const lists: string[][] = [];
  for (let index = 0; index < (wanted.lists?.length ?? 0); index += 1) {
    const list = scanner.texts(bytes, base, index);
    if (list === null) return null;
    lists.push(list);
  }
  return { name, texts, raw: (index) => scanner.raw(bytes, base, index), lists };
}

function readKeyText(key: Buffer): string {
  try {
    const text = readText(key, 0, key.length);
    if (text !== null) return text;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new EngineAnswerError('a key that cannot be read');
}

/** What goes out: stretches of other buffers, joined where they touch, and copied into one where there are several. */
class Pieces {
  private buffers: Buffer[] = [];
  private places: number[] = [];
  private length = 0;

  add(bytes: Buffer, from: number, to: number): void {
    if (from === to) return;
    const last = this.buffers.length - 1;
    this.length += to - from;
    if (last >= 0 && this.buffers[last] === bytes && this.places[last * 2 + 1] === from) {
      this.places[last * 2 + 1] = to;
      return;
    }
    this.buffers.push(bytes);
    this.places.push(from, to);
  }

  addText(text: string): void {
    const bytes = Buffer.from(text);
    this.add(bytes, 0, bytes.length);
  }

  take(): Buffer | null {
    const { buffers, places, length } = this;
    if (length === 0) return null;
    this.buffers = [];
    this.places = [];
    this.length = 0;
    if (buffers.length === 1) {
      const [bytes] = buffers as [Buffer];
      return Buffer.from(bytes.buffer, bytes.byteOffset + places[0]!, length);
    }
    const joined = Buffer.allocUnsafe(length);
    let at = 0;
    buffers.forEach((bytes, index) => {
      joined.set(bytes.subarray(places[index * 2], places[index * 2 + 1]), at);
      at += places[index * 2 + 1]! - places[index * 2]!;
    });
    return joined;
  }
}
