import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { SealedRow } from './chain';
import { checkpointFault, isCheckpoint, isRemoval, isSeq, keysById, type Checkpoint, type Removal } from './checkpoint';
import type { AuditSearch } from './query';
import { broken, ChainWalk, type Verification } from './walk';

/** Name and version of the exported form, in every export's first line. */
export const exportForm = 'gantry-audit-export-1';

/** First line of an export. `complete`: nothing was filtered out, so that it can be verified. */
export function headLine(at: Date, complete: boolean, filter: AuditSearch): string {
  return line({ type: 'export', form: exportForm, at: at.toISOString(), complete, filter });
}

/** One row with its seal. */
export function rowLine(row: SealedRow): string {
  const { seq, hash, id, at, actorKind, actorId, actorName, credentialId, requestId, address, action, resourceKind, resourceId, resourceName, outcome, detail, count } = row;
  return line({ type: 'row', seq, hash, id, at, actorKind, actorId, actorName, credentialId, requestId, address, action, resourceKind, resourceId, resourceName, outcome, detail, count });
}

/** The proof of a removal by retention. */
export function removalLine({ firstSeq, lastSeq, hash, before, at, signature, keyId }: Removal): string {
  return line({ type: 'removal', firstSeq, lastSeq, hash, before, at, signature, keyId });
}

/** Last line of an export: how many rows there are, and the checkpoint that signs the last one of a complete export. */
export function endLine(rows: number, checkpoint: Checkpoint | null): string {
  if (!checkpoint) return line({ type: 'end', rows, checkpoint });
  const { seq, hash, at, signature, keyId } = checkpoint;
  return line({ type: 'end', rows, checkpoint: { seq, hash, at, signature, keyId } });
}

function line(value: Record<string, unknown>): string {
  return `${JSON.stringify(value)}\n`;
}

/** What `verifyExport` trusts. */
export interface VerifyExportOptions {
  /** PEMs of the public keys that sign checkpoints, kept apart from the export. */
  publicKeys: readonly string[];
  /** A checkpoint that was saved earlier; the export must agree with it and reach it. */
  anchor?: { seq: number; hash: string };
}

/**
 * Verifies a complete export without a database: every row against the chain, and its end against the signed checkpoint in the last line.
 * Names the first broken row. Memory does not grow with the file.
 * @throws audit.bad-key
 */
export async function verifyExport(input: Readable, options: VerifyExportOptions): Promise<Verification> {
  const keys = keysById(options.publicKeys);
  const walk = new ChainWalk(keys, options.anchor ?? null);
  let number = 0;
  let ended = false;
  const unreadable = (detail: string): Verification => broken(walk.seq + 1, null, 'unreadable', `line ${number} ${detail}`);
  const lines = createInterface({ input, crlfDelay: Infinity });
  try {
    for await (const text of lines) {
      number += 1;
      if (ended) return unreadable('comes after the end of the export');
      const value = parse(text);
      if (value === null) return unreadable('is not a JSON object');
      if (number === 1) {
        if (value['type'] !== 'export' || value['form'] !== exportForm) return unreadable(`does not say that this is an export (${exportForm})`);
        if (value['complete'] !== true) return broken(1, null, 'filtered', 'the file is the answer to a search; only an export of everything can be verified');
        continue;
      }
      if (value['type'] === 'removal' && isRemoval(value)) {
        const fault = walk.removal(value);
        if (fault) return fault;
      } else if (value['type'] === 'row' && isSeq(value['seq']) && typeof value['hash'] === 'string') {
        const row = value as unknown as SealedRow;
        const fault = walk.row(row);
        if (fault) return fault;
        // The hash covers what we read. A field of the same name, or one more, would be read by others.
        if (rowLine(row).trimEnd() !== text) return broken(row.seq, row.id, 'changed', `line ${number} (row ${row.seq}) is not written as it was exported`);
      } else if (value['type'] === 'end' && (value['checkpoint'] === null || isCheckpoint(value['checkpoint']))) {
        ended = true;
        const fault = value['checkpoint'] === null ? null : endFault(walk, keys, value['checkpoint']);
        if (fault) return fault;
      } else return unreadable('is none of an export');
    }
  } finally {
    lines.close();
    input.destroy();
  }
  if (number === 0) return broken(1, null, 'unreadable', 'the file is empty');
  const verdict = walk.end(0);
  if (!ended && (verdict.ok || verdict.reason === 'unsigned')) return broken(walk.seq + 1, null, 'tail-deleted', `the file breaks off after row ${walk.seq}: it has no end`);
  return verdict;
}

function endFault(walk: ChainWalk, keys: ReadonlyMap<string, string>, checkpoint: Checkpoint): Verification | null {
  if (checkpoint.seq <= walk.seq) return walk.checkpoint(checkpoint);
  // A number beyond the last row means something only where it is signed.
  const fault = checkpointFault(keys, checkpoint);
  return fault
    ? broken(walk.seq, null, fault, `the checkpoint at the end (row ${checkpoint.seq}) is not signed with a known key`)
    : broken(walk.seq + 1, null, 'tail-deleted', `rows ${walk.seq + 1} to ${checkpoint.seq} are not in the file`);
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null; // said by the caller, with the line
  }
}
