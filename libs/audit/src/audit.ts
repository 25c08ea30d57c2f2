import { createPublicKey } from 'node:crypto';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Clock, Db, decodeCursor, isUuid, requestProblem, toPage, uuidv7, type Context, type Page } from '@gantry/platform';
import { AuditKey, describeKey, verifySignature } from './audit-key';
import { checkpointText, genesisHash, rowHash, type ChainedRow } from './chain';
import { safeDetail, storableText } from './detail';
import { AuditRow, type AuditOutcome } from './entities';

/** NOTIFY channel on which the sequencer wakes. */
export const auditChannel = 'gantry_audit';

/** Key of the advisory lock under which one process seals at a time. */
const sealLock = 7_263_002;
const sealBatch = 500;
const verifyBatch = 1_000;
const repeatMillis = 60_000;
const maxRepeats = 10_000;

/** What happened. `action` is `noun.verb` (`repository.create`); `detail` is bounded JSON in which values named like secrets are masked. */
export interface AuditEntry {
  action: string;
  resource?: { kind: string; id: string | null; name?: string };
  outcome: AuditOutcome;
  detail?: Record<string, unknown>;
}

/** Filters of `Audit.list`. `actor` is an id or a name; times are inclusive `from`, exclusive `to`. */
export interface AuditFilter {
  limit: number;
  cursor?: string;
  actor?: string;
  action?: string;
  resourceKind?: string;
  resourceId?: string;
  outcome?: AuditOutcome;
  requestId?: string;
  from?: Date;
  to?: Date;
}

/** Outcome of `Audit.verify`: all is well, or the first row that is not. */
export type Verification =
  | { ok: true; rows: number; checkpoints: number; unsealed: number; head: { seq: number; hash: string } }
  | {
      ok: false;
      /** Number in the chain at which it breaks, and the row's id where there is a row. */
      seq: number;
      id: string | null;
      /**
       * `changed`: the row's content is not what was sealed · `missing`: a row between others is gone · `hash-mismatch`: the chain was
       * rewritten under a signed checkpoint · `bad-signature`, `unknown-key`: the checkpoint is not by a known key · `unsigned`: sealed rows
       * after the last checkpoint · `tail-deleted`: rows that the last checkpoint covers are gone · `anchor-mismatch`: not the chain of which
       * the caller kept a checkpoint.
       */
      reason: 'changed' | 'missing' | 'hash-mismatch' | 'bad-signature' | 'unknown-key' | 'unsigned' | 'tail-deleted' | 'anchor-mismatch';
      detail: string;
    };

/** What `Audit.verify` may know from elsewhere. */
export interface VerifyOptions {
  /** PEM of earlier public keys, after the signing key was changed. The current one is always known. */
  publicKeys?: string[];
  /** A checkpoint kept outside the database: finds a chain whose tail was cut off together with its checkpoints. */
  anchor?: { seq: number; hash: string };
}

interface Checkpoint {
  seq: string;
  hash: string;
  at: string;
  signature: string;
  key_id: string;
}

const chainColumns = `id, to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, actor_kind as "actorKind", actor_id as "actorId",
  actor_name as "actorName", credential_id as "credentialId", request_id as "requestId", address, action, resource_kind as "resourceKind",
  resource_id as "resourceId", resource_name as "resourceName", outcome, detail, count`;

/** The append-only record of who did what: rows enter unsealed with the change that they tell of, and are sealed into a signed hash chain. */
@Injectable()
export class Audit implements OnModuleDestroy {
  private readonly repeats = new Map<string, { ctx: Context; entry: AuditEntry; count: number; timer: NodeJS.Timeout }>();

  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly key: AuditKey,
  ) {}

  /** Writes a row in the context's transaction (or on its own where there is none). */
  async record(ctx: Context, entry: AuditEntry): Promise<void> {
    await this.insert(ctx, entry, 1);
  }

  /**
   * Writes a refusal outside any transaction, so that it stays when the request is rolled back. The first one is a row at once; repeats by the
   * same actor and address of the same action on the same resource with the same `detail.code` within 60 s become one more row with their count
   * at the end of that minute (or when the process stops; a killed process loses only that count).
   */
  async recordRefusal(ctx: Context, entry: AuditEntry): Promise<void> {
    const free: Context = { ...ctx, tx: null, afterCommit: null };
    const { actor } = ctx;
    const key = JSON.stringify([
      actor.kind, actor.id, ctx.address, entry.action, entry.resource?.kind, entry.resource?.id, entry.resource?.name?.slice(0, 300), entry.detail?.['code'],
    ]);
    const known = this.repeats.get(key);
    if (known) {
      known.count += 1;
      known.ctx = free;
      return;
    }
    if (this.repeats.size < maxRepeats) {
      const timer = setTimeout(() => void this.flushRepeat(key), repeatMillis);
      timer.unref();
      this.repeats.set(key, { ctx: free, entry, count: 0, timer });
    }
    await this.insert(free, entry, 1);
  }

  /** Writes the counts of repeated refusals now; the app calls it before the database closes. */
  async flushRepeats(): Promise<void> {
    for (const key of [...this.repeats.keys()]) await this.flushRepeat(key);
  }

  async onModuleDestroy(): Promise<void> {
    await this.flushRepeats();
  }

  private async flushRepeat(key: string): Promise<void> {
    const repeat = this.repeats.get(key);
    if (!repeat) return;
    this.repeats.delete(key);
    clearTimeout(repeat.timer);
    if (repeat.count === 0) return;
    await this.insert(repeat.ctx, repeat.entry, repeat.count).catch(() => {
      // The database is away: the first refusal of the minute is on record, the count of its repeats is not worth an error.
    });
  }

  private async insert(ctx: Context, entry: AuditEntry, count: number): Promise<void> {
    const { actor } = ctx;
    await this.db.query(
      ctx,
      `with row as (
         insert into audit_rows (id, at, actor_kind, actor_id, actor_name, credential_id, request_id, address, action, resource_kind, resource_id,
           resource_name, outcome, detail, count)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) returning 1)
       select pg_notify('${auditChannel}', '') from row`,
      [
        uuidv7(), this.clock.now(), actor.kind, actor.id, storableText(actor.name, 300), actor.credentialId, storableText(ctx.requestId, 100), ctx.address, entry.action,
        entry.resource?.kind ?? null, entry.resource?.id ?? null, entry.resource?.name === undefined ? null : storableText(entry.resource.name, 300),
        entry.outcome, JSON.stringify(safeDetail(entry.detail ?? {})), count,
      ],
    );
  }

  /** Rows that fit the filter, newest first. The caller judges `audit:view`. */
  async list(ctx: Context, filter: AuditFilter): Promise<Page<AuditRow>> {
    const query = this.db.repo(ctx, AuditRow).createQueryBuilder('entry').orderBy('entry.id', 'DESC').limit(filter.limit + 1);
    const after = decodeCursor(filter.cursor, 1)?.[0];
    if (after !== undefined && !isUuid(after)) throw requestProblem('invalid', { errors: [{ pointer: 'query/cursor', detail: 'not a cursor of this list' }] });
    const conditions: [string, string, unknown][] = [
      ['entry.id < :after', 'after', after],
      ['(entry.actorId = :actor or entry.actorName = :actor)', 'actor', filter.actor],
      ['entry.action = :action', 'action', filter.action],
      ['entry.resourceKind = :resourceKind', 'resourceKind', filter.resourceKind],
      ['entry.resourceId = :resourceId', 'resourceId', filter.resourceId],
      ['entry.outcome = :outcome', 'outcome', filter.outcome],
      ['entry.requestId = :requestId', 'requestId', filter.requestId],
      ['entry.at >= :from', 'from', filter.from],
      ['entry.at < :to', 'to', filter.to],
    ];
    for (const [sql, name, value] of conditions) if (value !== undefined) query.andWhere(sql, { [name]: value });
    return toPage(await query.getMany(), filter.limit, (row) => [row.id]);
  }

  /**
   * The sequencer's step: seals what is committed and unsealed, in the order in which it is seen, and signs one checkpoint a batch.
   * Answers how many rows it sealed; 0 also when another process is sealing. @throws audit.key-missing
   */
  async sealPending(ctx: Context): Promise<number> {
    const keyId = this.key.publicKey().id;
    let total = 0;
    for (;;) {
      const sealed = await this.sealBatch(ctx, keyId);
      total += sealed;
      if (sealed < sealBatch) return total;
    }
  }

  private async sealBatch(ctx: Context, keyId: string): Promise<number> {
    return this.db.transaction({ ...ctx, tx: null, afterCommit: null }, async (tx) => {
      const [lock] = await this.db.query<{ held: boolean }>(tx, 'select pg_try_advisory_xact_lock($1) as held', [sealLock]);
      if (!lock?.held) return 0;
      const rows = await this.db.query<ChainedRow>(tx, `select ${chainColumns} from audit_rows where seq is null order by id limit $1 for update`, [sealBatch]);
      if (rows.length === 0) return 0;
      // The chain goes on from the last checkpoint, not from the last row: rows deleted at the end then leave a gap.
      const [last] = await this.db.query<{ seq: string; hash: string }>(tx, 'select seq, hash from audit_checkpoints order by seq desc limit 1');
      let seq = Number(last?.seq ?? 0);
      let hash = last?.hash ?? genesisHash;
      const hashes: string[] = [];
      for (const row of rows) {
        seq += 1;
        hash = rowHash(seq, hash, row);
        hashes.push(hash);
      }
      const first = seq - rows.length + 1;
      await this.db.query(
        tx,
        `update audit_rows as r set seq = v.seq, hash = v.hash from unnest($1::uuid[], $2::bigint[], $3::text[]) as v(id, seq, hash) where r.id = v.id returning 1`,
        [rows.map((row) => row.id), rows.map((_row, index) => first + index), hashes],
      );
      const at = this.clock.now().toISOString();
      await this.db.query(tx, 'insert into audit_checkpoints (seq, hash, at, signature, key_id) values ($1, $2, $3, $4, $5)', [
        seq, hash, at, this.key.sign(checkpointText(seq, hash, at)), keyId,
      ]);
      return rows.length;
    });
  }

  /** Public key of this process's audit key, to keep outside and verify with. @throws audit.key-missing */
  publicKey(): { id: string; pem: string } {
    return this.key.publicKey();
  }

  /** The newest signed checkpoint, to keep outside as an anchor; null while nothing is sealed. */
  async findCheckpoint(ctx: Context): Promise<{ seq: number; hash: string; at: string; signature: string; keyId: string } | null> {
    const [row] = await this.checkpointsAfter(ctx, -1, 'desc', 1);
    return row ? { seq: Number(row.seq), hash: row.hash, at: row.at, signature: row.signature, keyId: row.key_id } : null;
  }

  /** Walks the whole chain and names the first row at which it is broken. Memory does not grow with the log. */
  async verify(ctx: Context, options: VerifyOptions = {}): Promise<Verification> {
    const keys = new Map<string, string>();
    for (const pem of options.publicKeys ?? []) keys.set(describeKey(createPublicKey(pem)).id, pem);
    if (this.key.present) keys.set(this.key.publicKey().id, this.key.publicKey().pem);
    const state = { seq: 0, hash: genesisHash, checkpoints: 0, signedSeq: 0 };
    const broken = (seq: number, id: string | null, reason: Extract<Verification, { ok: false }>['reason'], detail: string): Verification => ({ ok: false, seq, id, reason, detail });
    // The end is fixed first: rows that are sealed while we walk are the next walk's.
    const [end] = await this.db.query<{ rows: string | null; checkpoint: string | null; unsealed: string }>(
      ctx,
      `select (select max(seq) from audit_rows) as rows, (select max(seq) from audit_checkpoints) as checkpoint,
         (select count(*) from audit_rows where seq is null) as unsealed`,
    );
    const lastRow = Number(end?.rows ?? 0);
    const lastCheckpoint = Number(end?.checkpoint ?? 0);
    while (state.seq < lastRow) {
      const rows = await this.db.query<ChainedRow & { seq: string; hash: string }>(
        ctx, `select seq, hash, ${chainColumns} from audit_rows where seq > $1 and seq <= $2 order by seq limit $3`, [state.seq, lastRow, verifyBatch]);
      const upTo = Number(rows[rows.length - 1]?.seq ?? lastRow);
      const checkpoints = new Map((await this.checkpointsAfter(ctx, state.seq, 'asc', null, upTo)).map((checkpoint) => [Number(checkpoint.seq), checkpoint]));
      if (rows.length === 0) return broken(state.seq + 1, null, 'missing', `row ${state.seq + 1} is missing`);
      for (const row of rows) {
        const seq = state.seq + 1;
        if (Number(row.seq) !== seq) return broken(seq, null, 'missing', `row ${seq} is missing; the next one there is ${row.seq}`);
        const hash = rowHash(seq, state.hash, row);
        const checkpoint = checkpoints.get(seq);
        if (hash !== row.hash) return broken(seq, row.id, 'changed', `the content of row ${seq} (${row.id}) is not what was sealed`);
        if (checkpoint) {
          const pem = keys.get(checkpoint.key_id);
          if (pem === undefined) return broken(seq, row.id, 'unknown-key', `the checkpoint at row ${seq} is signed with key ${checkpoint.key_id}, which was not given`);
          if (!verifySignature(pem, checkpointText(seq, checkpoint.hash, checkpoint.at), checkpoint.signature)) {
            return broken(seq, row.id, 'bad-signature', `the checkpoint at row ${seq} has a wrong signature`);
          }
          if (checkpoint.hash !== hash) return broken(seq, row.id, 'hash-mismatch', `row ${seq} or one before it is not what the checkpoint at ${seq} signed`);
          state.checkpoints += 1;
          state.signedSeq = seq;
        }
        if (options.anchor?.seq === seq && options.anchor.hash !== hash) return broken(seq, row.id, 'anchor-mismatch', `row ${seq} is not the one that the anchor names`);
        state.seq = seq;
        state.hash = hash;
      }
    }
    if (lastCheckpoint > state.seq) return broken(state.seq + 1, null, 'tail-deleted', `rows ${state.seq + 1} to ${lastCheckpoint} are gone`);
    if (state.signedSeq < state.seq) return broken(state.signedSeq + 1, null, 'unsigned', `rows from ${state.signedSeq + 1} on have no signed checkpoint`);
    if (options.anchor && options.anchor.seq > state.seq) return broken(state.seq + 1, null, 'tail-deleted', `rows ${state.seq + 1} to ${options.anchor.seq} of the anchor are gone`);
    return { ok: true, rows: state.seq, checkpoints: state.checkpoints, unsealed: Number(end?.unsealed ?? 0), head: { seq: state.seq, hash: state.hash } };
  }

  private async checkpointsAfter(ctx: Context, seq: number, order: 'asc' | 'desc', limit: number | null, upTo: number | null = null): Promise<Checkpoint[]> {
    return this.db.query<Checkpoint>(
      ctx,
      `select seq, hash, to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at, signature, key_id from audit_checkpoints
       where seq > $1 and ($3::bigint is null or seq <= $3) order by seq ${order} limit $2`,
      [seq, limit, upTo],
    );
  }
}
