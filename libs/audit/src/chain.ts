import { createHash } from 'node:crypto';

/** Hash before the first row: 64 zeros. */
export const genesisHash = '0'.repeat(64);

/** A row's content as it is hashed. `at` is UTC with microseconds, `2026-01-31T12:00:00.000000Z`. */
export interface ChainedRow {
  id: string;
  at: string;
  actorKind: string;
  actorId: string | null;
  actorName: string;
  credentialId: string | null;
  requestId: string;
  address: string | null;
  action: string;
  resourceKind: string | null;
  resourceId: string | null;
  resourceName: string | null;
  outcome: string;
  detail: unknown;
  count: number;
}

/** A row with its place in the chain. */
export interface SealedRow extends ChainedRow {
  seq: number;
  hash: string;
}

/**
 * The bytes that are hashed for a row, form 1: one JSON array without spaces of
 * `["gantry-audit-1", seq, previous hash, id, at, actorKind, actorId, actorName, credentialId, requestId, address, action,
 * resourceKind, resourceId, resourceName, outcome, detail, count]`, where objects inside `detail` have their keys in code unit order
 * (array-index keys such as `"10"` before all others, in numeric order).
 * Any other program can repeat it from an export of the rows.
 */
export function canonicalRow(seq: number, previousHash: string, row: ChainedRow): string {
  return JSON.stringify([
    'gantry-audit-1', seq, previousHash, row.id, row.at, row.actorKind, row.actorId, row.actorName, row.credentialId, row.requestId, row.address,
    row.action, row.resourceKind, row.resourceId, row.resourceName, row.outcome, sortKeys(row.detail), row.count,
  ]);
}

/** SHA-256 (hex) of `canonicalRow`. */
export function rowHash(seq: number, previousHash: string, row: ChainedRow): string {
  return createHash('sha256').update(canonicalRow(seq, previousHash, row)).digest('hex');
}

/** The text that a checkpoint's Ed25519 signature covers: everything up to row `seq`, whose hash is `hash`. */
export function checkpointText(seq: number, hash: string, at: string): string {
  return `gantry audit checkpoint v1\n${seq}\n${hash}\n${at}\n`;
}

/** The text that a removal's Ed25519 signature covers: retention removed rows `firstSeq` to `lastSeq`, all older than `before`. */
export function removalText(firstSeq: number, lastSeq: number, hash: string, before: string, at: string): string {
  return `gantry audit removal v1\n${firstSeq}\n${lastSeq}\n${hash}\n${before}\n${at}\n`;
}

/** Keys that look like array indexes come first in any JavaScript object, in numeric order: a fixed order too, part of form 1. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => [key, sortKeys(item)]);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}
