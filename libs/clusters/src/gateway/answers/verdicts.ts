/** Beyond so many, those that were found out are forgotten, and the next begin anew. */
const maxKnown = 32_768;
const leastSlots = 1_024;

export const unknown = 0;
export const kept = 1;
export const hidden = 2;

/**
 * Decisions on ids by their bytes: what was decided once is found again without making a string of them. Whoever keeps it sees to it that it is
 * cleared before any of them could be decided otherwise.
 */
export class Verdicts {
  private readonly words: number;
  /** Place of the last four bytes of an id, which may overlap those before. */
  private readonly last: number;
  private mask = leastSlots - 1;
  private count = 0;
  private ids: Int32Array;
  private found = new Uint8Array(leastSlots);

  /** @param idBytes of each id; four at least */
  constructor(readonly idBytes: number) {
    this.words = Math.ceil(idBytes / 4);
    this.last = idBytes - 4;
    this.ids = new Int32Array(leastSlots * this.words);
  }

  clear(): void {
    this.found.fill(unknown);
    this.count = 0;
  }

  /** What was decided on the id at this place: `kept`, `hidden`, or `unknown`. */
  find(view: DataView, at: number): number {
    return this.found[this.slotOf(view, at)]!;
  }

  remember(view: DataView, at: number, verdict: typeof kept | typeof hidden): void {
    if (this.count >= maxKnown) this.clear();
    if (this.count * 2 >= this.found.length) this.grow();
    const slot = this.slotOf(view, at);
    if (this.found[slot] === unknown) this.count += 1;
    this.found[slot] = verdict;
    for (let word = 0; word < this.words; word += 1) this.ids[slot * this.words + word] = this.wordAt(view, at, word);
  }

  private wordAt(view: DataView, at: number, word: number): number {
    const place = word * 4;
    return view.getInt32(at + (place < this.last ? place : this.last), true);
  }

  /** Where the id is, or else would be: at least half of the slots are free. */
  private slotOf(view: DataView, at: number): number {
    const { words, ids, found, mask } = this;
    let hash = 0;
    for (let word = 0; word < words; word += 1) hash = Math.imul(hash ^ this.wordAt(view, at, word), 0x9e3779b1) ^ (hash >>> 15);
    let slot = (hash ^ (hash >>> 16)) & mask;
    for (;;) {
      if (found[slot] === unknown) return slot;
      let word = 0;
      while (word < words && ids[slot * words + word] === this.wordAt(view, at, word)) word += 1;
      if (word === words) return slot;
      slot = (slot + 1) & mask;
    }
  }

  private grow(): void {
    const { words, ids, found } = this;
    this.ids = new Int32Array(ids.length * 2);
    this.found = new Uint8Array(found.length * 2);
    this.mask = this.found.length - 1;
    // Bytes of an id again, its last word where it belongs.
    const view = new DataView(new ArrayBuffer(words * 4));
    for (let slot = 0; slot < found.length; slot += 1) {
      if (found[slot] === unknown) continue;
      for (let word = 0; word < words; word += 1) view.setInt32(word * 4 < this.last ? word * 4 : this.last, ids[slot * words + word]!, true);
      const place = this.slotOf(view, 0);
      this.found[place] = found[slot]!;
      for (let word = 0; word < words; word += 1) this.ids[place * words + word] = ids[slot * words + word]!;
    }
  }
}
