import { createPublicKey } from 'node:crypto';
import { describeKey, verifySignature } from './audit-key';
import { checkpointText, removalText } from './chain';
import { auditProblem } from './problems';

/** A signed statement about everything up to row `seq`. `at` is ISO 8601 with milliseconds, `signature` base64. */
export interface Checkpoint {
  seq: number;
  hash: string;
  at: string;
  signature: string;
  keyId: string;
}

/** A checkpoint as it is kept outside the database. `publicKey` (PEM) is that of `keyId` where the process that wrote it knew it. */
export interface SavedCheckpoint extends Checkpoint {
  publicKey: string | null;
}

/** The proof that retention removed rows `firstSeq` to `lastSeq`, all older than `before`; `hash` is that of row `lastSeq`, at which the chain goes on. */
export interface Removal {
  firstSeq: number;
  lastSeq: number;
  hash: string;
  before: string;
  at: string;
  signature: string;
  keyId: string;
}

/** Public keys by id, of their PEMs. @throws audit.bad-key */
export function keysById(pems: readonly string[]): Map<string, string> {
  const keys = new Map<string, string>();
  for (const pem of pems) {
    try {
      const key = createPublicKey(pem);
      if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is ${key.asymmetricKeyType}`);
      keys.set(describeKey(key).id, pem);
    } catch (error) {
      throw auditProblem('bad-key', { cause: error });
    }
  }
  return keys;
}

/** Why a checkpoint's signature does not hold, or null when it does. */
export function checkpointFault(keys: ReadonlyMap<string, string>, checkpoint: Checkpoint): 'unknown-key' | 'bad-signature' | null {
  return signatureFault(keys, checkpoint.keyId, checkpointText(checkpoint.seq, checkpoint.hash, checkpoint.at), checkpoint.signature);
}

/** Why a removal's signature does not hold, or null when it does. */
export function removalFault(keys: ReadonlyMap<string, string>, removal: Removal): 'unknown-key' | 'bad-signature' | null {
  return signatureFault(keys, removal.keyId, removalText(removal.firstSeq, removal.lastSeq, removal.hash, removal.before, removal.at), removal.signature);
}

function signatureFault(keys: ReadonlyMap<string, string>, keyId: string, text: string, signature: string): 'unknown-key' | 'bad-signature' | null {
  const pem = keys.get(keyId);
  if (pem === undefined) return 'unknown-key';
  return verifySignature(pem, text, signature) ? null : 'bad-signature';
}

/** Whether `value` has the form of a `Checkpoint`; says nothing about its signature. */
export function isCheckpoint(value: unknown): value is Checkpoint {
  const { seq, hash, at, signature, keyId } = (value ?? {}) as Record<string, unknown>;
  return isSeq(seq) && [hash, at, signature, keyId].every((part) => typeof part === 'string');
}

/** Whether `value` has the form of a `Removal`. */
export function isRemoval(value: unknown): value is Removal {
  const { firstSeq, lastSeq, hash, before, at, signature, keyId } = (value ?? {}) as Record<string, unknown>;
  return isSeq(firstSeq) && isSeq(lastSeq) && [hash, before, at, signature, keyId].every((part) => typeof part === 'string');
}

/** Whether `value` can be a row's number. */
export function isSeq(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

/**
 * Reads a saved checkpoint (what `gantry audit checkpoint` or `GET /api/v1/audit/checkpoint` gave) and checks its signature: with
 * `publicKeys` where any are given, else with the key that was saved with it.
 * @returns the checkpoint and the PEMs to verify with
 * @throws audit.bad-checkpoint, audit.bad-key
 */
export function openCheckpoint(text: string, publicKeys: readonly string[] = []): { checkpoint: Checkpoint; publicKeys: string[] } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw auditProblem('bad-checkpoint', { detail: 'The saved checkpoint is not JSON.', cause: error });
  }
  if (!isCheckpoint(value)) throw auditProblem('bad-checkpoint', { detail: 'The file is not a saved checkpoint: seq, hash, at, signature and keyId are needed.' });
  const { publicKey } = value as Partial<SavedCheckpoint>;
  const pems = publicKeys.length > 0 ? [...publicKeys] : typeof publicKey === 'string' ? [publicKey] : [];
  if (pems.length === 0) throw auditProblem('bad-checkpoint', { detail: 'The saved checkpoint has no public key with it; give one.' });
  const fault = checkpointFault(keysById(pems), value);
  if (fault === 'unknown-key') throw auditProblem('bad-checkpoint', { detail: `The saved checkpoint is signed with key ${value.keyId}, which was not given.` });
  if (fault) throw auditProblem('bad-checkpoint', { detail: 'The saved checkpoint has a wrong signature: it was changed after it was saved.' });
  return { checkpoint: value, publicKeys: pems };
}
