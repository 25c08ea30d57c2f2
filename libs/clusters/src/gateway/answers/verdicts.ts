/** Beyond so many, those that were found out are forgotten, and the next begin anew. */
const maxKnown = 32_768;
const leastSlots = 1_024;

export const unknown = 0;
export const kept = 1;
export const hidden = 2;

/**
 * Decisions on ids by their bytes: what was decided once is found again without making a string of them, and without a search where they are
 * asked for in the order in which they came, as engines list things. Whoever keeps it sees to it that it is cleared before any of them could
 * be decided otherwise.
 */
export class Verdicts {
  private readonly words: number;
  /** Place of the last four bytes of an id, which may overlap those before. */
  private readonly last: number;
  /** Ids and what was decided on them, in the order in which they came. */
  private ids: Int32Array;
  private found = new Uint8Array(leastSlots / 2);
  private count = 0;
  /** By an id's hash, where it is among them, from 1 on; 0: free. At least half of them are. */
  private slots = new Uint16Array(leastSlots);
  /** Where the next id is, if they come in the same order again. */
  private next = 0;

  /** @param idBytes of each id; four at least */
  constructor(readonly idBytes: number) {
    this.words = Math.ceil(idBytes / 4);
    this.last = idBytes - 4;
    this.ids = new Int32Array(this.found.length * this.words);
  }

  clear(): void {
    this.slots.fill(0);
    this.count = 0;
    this.next = 0;
  }

  /** What was decided on the id at this place: `kept`, `hidden`, or `unknown`. */
  find(view: DataView, at: number): number {
    let index = this.next;
    if (index >= this.count || !this.isAt(index, view, at)) {
      index = this.slots[this.slotOf(view, at)]! - 1;
      if (index < 0) return unknown;
    }
    this.next = index + 1;
    return this.found[index]!;
  }

  remember(view: DataView, at: number, verdict: typeof kept | typeof hidden): void {
    if (this.count === maxKnown) this.clear();
    if (this.count === this.found.length) this.grow();
    const slot = this.slotOf(view, at);
    let index = this.slots[slot]! - 1;
    if (index < 0) {
      index = this.count;
      this.count += 1;
      this.slots[slot] = this.count;
      for (let word = 0; word < this.words; word += 1) this.ids[index * this.words + word] = view.getInt32(at + this.placeOf(word), true);
    }
    this.found[index] = verdict;
    this.next = index + 1;
  }

  private placeOf(word: number): number {
    const place = word * 4;
    return place < this.last ? place : this.last;
  }

  private isAt(index: number, view: DataView, at: number): boolean {
    const { ids, words, last } = this;
    const from = index * words;
    for (let word = 0; word < words - 1; word += 1) if (ids[from + word] !== view.getInt32(at + word * 4, true)) return false;
    return ids[from + words - 1] === view.getInt32(at + last, true);
  }

  /** Where the id is, or else would be. */
  private slotOf(view: DataView, at: number): number {
    const { slots } = this;
    let hash = 0;
    for (let word = 0; word < this.words; word += 1) hash = Math.imul(hash ^ view.getInt32(at + this.placeOf(word), true), 0x9e3779b1) ^ (hash >>> 15);
    let slot = (hash ^ (hash >>> 16)) & (slots.length - 1);
    while (slots[slot] !== 0 && !this.isAt(slots[slot]! - 1, view, at)) slot = (slot + 1) & (slots.length - 1);
    return slot;
  }

  private grow(): void {
    const { words, ids, found, count } = this;
    this.ids = new Int32Array(ids.length * 2);
    this.ids.set(ids);
    this.found = new Uint8Array(found.length * 2);
    this.found.set(found);
    this.slots = new Uint16Array(this.slots.length * 2);
    // Bytes of an id again, its last word where it belongs.
    const view = new DataView(new ArrayBuffer(words * 4));
    for (let index = 0; index < count; index += 1) {
      for (let word = 0; word < words; word += 1) view.setInt32(this.placeOf(word), ids[index * words + word]!, true);
      this.slots[this.slotOf(view, 0)] = index + 1;
    }
  }
}
