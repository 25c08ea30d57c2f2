import { checkpointFault, removalFault, type Checkpoint, type Removal } from './checkpoint';
import { genesisHash, rowHash, type SealedRow } from './chain';

/** What retention removed, as its signed removals say: rows 1 to `through`, all older than `before` (ISO 8601). */
export interface Removed {
  rows: number;
  through: number;
  before: string;
}

/** The log is whole. `rows` were looked at, `unsealed` wait to be sealed; `anchored` says whether a saved checkpoint was met. */
export interface Whole {
  ok: true;
  rows: number;
  checkpoints: number;
  unsealed: number;
  head: { seq: number; hash: string };
  removed: Removed | null;
  anchored: boolean;
}

/** The first row that is not as it was. */
export interface Broken {
  ok: false;
  /** Number in the chain at which it breaks, and the row's id where there is a row. */
  seq: number;
  id: string | null;
  /**
   * `changed`: the row's content is not what was sealed · `missing`: a row between others is gone · `hash-mismatch`: the chain was
   * rewritten under a signed checkpoint · `bad-signature`, `unknown-key`: the checkpoint is not by a known key · `unsigned`: sealed rows
   * after the last checkpoint · `tail-deleted`: rows that the last checkpoint covers are gone · `anchor-mismatch`: not the chain of which
   * the caller kept a checkpoint · `bad-removal`: what says that retention removed rows is not true · `reappeared`: a row that retention
   * removed is there · `unreadable`: a line of an exported file is none of ours · `filtered`: the file is a part of the log, not all of it.
   */
  reason:
    | 'changed' | 'missing' | 'hash-mismatch' | 'bad-signature' | 'unknown-key' | 'unsigned' | 'tail-deleted' | 'anchor-mismatch'
    | 'bad-removal' | 'reappeared' | 'unreadable' | 'filtered';
  detail: string;
}

/** Outcome of a verification: all is well, or the first row that is not. */
export type Verification = Whole | Broken;

/** Makes a `Broken`. */
export function broken(seq: number, id: string | null, reason: Broken['reason'], detail: string): Broken {
  return { ok: false, seq, id, reason, detail };
}

/** Walks the chain row by row, from its start or from where retention left it. The source of the rows, table or file, is the caller's. */
export class ChainWalk {
  /** The last row that was found well, and its hash. */
  seq = 0;
  hash = genesisHash;
  /** The last row that a checkpoint or removal signs. */
  signedSeq = 0;
  rows = 0;
  checkpoints = 0;
  removed: Removed | null = null;
  anchored = false;

  /**
   * @param keys public keys (PEM) by id that are trusted
   * @param anchor a checkpoint kept elsewhere, with which the chain must agree
   */
  constructor(private readonly keys: ReadonlyMap<string, string>, private readonly anchor: { seq: number; hash: string } | null) {}

  /** Takes the proof of a removal; they come before all rows, oldest first. @returns what is wrong, or null */
  removal(removal: Removal): Broken | null {
    const range = `rows ${removal.firstSeq} to ${removal.lastSeq}`;
    if (this.rows > 0 || removal.firstSeq !== this.seq + 1 || removal.lastSeq < removal.firstSeq) return broken(this.seq + 1, null, 'bad-removal', `the removal of ${range} does not follow row ${this.seq}`);
    const fault = removalFault(this.keys, removal);
    if (fault === 'unknown-key') return broken(removal.firstSeq, null, fault, `the removal of ${range} is signed with key ${removal.keyId}, which was not given`);
    if (fault) return broken(removal.firstSeq, null, 'bad-removal', `the removal of ${range} has a wrong signature: they were not removed by retention`);
    this.seq = removal.lastSeq;
    this.signedSeq = removal.lastSeq;
    this.hash = removal.hash;
    this.removed = { rows: removal.lastSeq, through: removal.lastSeq, before: removal.before };
    return this.meetAnchor(null);
  }

  /** Takes the next row, and the checkpoint that ends with it where there is one. @returns what is wrong, or null */
  row(row: SealedRow, checkpoint?: Checkpoint): Broken | null {
    const seq = this.seq + 1;
    if (row.seq !== seq) {
      if (row.seq <= (this.removed?.through ?? 0)) return broken(row.seq, row.id, 'reappeared', `row ${row.seq} is there, though retention removed it`);
      return broken(seq, null, 'missing', `row ${seq} is missing; the next one there is ${row.seq}`);
    }
    const hash = rowHash(seq, this.hash, row);
    if (hash !== row.hash) return broken(seq, row.id, 'changed', `the content of row ${seq} (${row.id}) is not what was sealed`);
    this.seq = seq;
    this.hash = hash;
    this.rows += 1;
    return (checkpoint ? this.checkpoint(checkpoint, row.id) : null) ?? this.meetAnchor(row.id);
  }

  /** Takes a checkpoint at the row at hand. @returns what is wrong, or null */
  checkpoint(checkpoint: Checkpoint, id: string | null = null): Broken | null {
    const { seq } = this;
    const fault = checkpointFault(this.keys, checkpoint);
    if (fault === 'unknown-key') return broken(seq, id, fault, `the checkpoint at row ${seq} is signed with key ${checkpoint.keyId}, which was not given`);
    if (fault) return broken(seq, id, fault, `the checkpoint at row ${seq} has a wrong signature`);
    if (checkpoint.seq !== seq || checkpoint.hash !== this.hash) return broken(seq, id, 'hash-mismatch', `row ${seq} or one before it is not what the checkpoint at ${seq} signed`);
    this.checkpoints += 1;
    this.signedSeq = seq;
    return null;
  }

  /** After the last row. @returns the verdict */
  end(unsealed: number): Verification {
    if (this.signedSeq < this.seq) return broken(this.signedSeq + 1, null, 'unsigned', `rows from ${this.signedSeq + 1} on have no signed checkpoint`);
    if (this.anchor && this.anchor.seq > this.seq) return broken(this.seq + 1, null, 'tail-deleted', `it ends at row ${this.seq}, before the saved checkpoint at row ${this.anchor.seq}`);
    return { ok: true, rows: this.rows, checkpoints: this.checkpoints, unsealed, head: { seq: this.seq, hash: this.hash }, removed: this.removed, anchored: this.anchored };
  }

  private meetAnchor(id: string | null): Broken | null {
    if (this.anchor?.seq !== this.seq) return null;
    this.anchored = true;
    return this.anchor.hash === this.hash ? null : broken(this.seq, id, 'anchor-mismatch', `row ${this.seq} or one before it is not what the saved checkpoint names`);
  }
}
