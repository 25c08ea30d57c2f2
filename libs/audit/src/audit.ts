import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Clock, Db, decodeCursor, toPage, uuidv7, type Context, type Page } from '@gantry/platform';
import { AuditKey } from './audit-key';
import { checkpointText, genesisHash, removalText, rowHash, type ChainedRow, type SealedRow } from './chain';
import { keysById, type Checkpoint, type Removal, type SavedCheckpoint } from './checkpoint';
import { safeDetail, storableText } from './detail';
import { AuditRow, type AuditOutcome } from './entities';
import { endLine, headLine, removalLine, rowLine } from './export';
import { auditProblem } from './problems';
import { auditQuery, chainColumns, isEverything, type AuditFilter, type AuditSearch } from './query';
import { broken, ChainWalk, type Broken, type Verification } from './walk';

/** NOTIFY channel on which the sequencer wakes. */
export const auditChannel = 'gantry_audit';

/** Key of the advisory lock under which one process seals at a time. */
const sealLock = 7_263_002;
const sealBatch = 500;
/** Another one, under which one process removes at a time. */
const removeLock = 7_263_003;
const walkBatch = 1_000;
const exportBatch = 500;
const removeBatch = 5_000;
const repeatMillis = 60_000;
const maxRepeats = 10_000;

/** What happened. `action` is `noun.verb` (`repository.create`); `detail` is bounded JSON in which values named like secrets are masked. */
export interface AuditEntry {
  action: string;
  resource?: { kind: string; id: string | null; name?: string };
  outcome: AuditOutcome;
  detail?: Record<string, unknown>;
}

/** What `Audit.verify` may know from elsewhere. */
export interface VerifyOptions {
  /** PEM of earlier public keys, after the signing key was changed. The current one is always known. */
  publicKeys?: string[];
  /** A checkpoint kept outside the database: finds a chain that was cut off together with its checkpoints, or made anew and signed again. */
  anchor?: { seq: number; hash: string };
}

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
    await this.recordOnce(ctx, entry, entry.detail?.['code']);
  }

  /**
   * Writes that something was read; paging through the same thing is one row and a count, as with refusals.
   * @param asked what was asked for, without the place in it: what makes two reads the same
   */
  async recordRead(ctx: Context, entry: AuditEntry, asked: Record<string, unknown>): Promise<void> {
    await this.recordOnce(ctx, entry, asked);
  }

  private async recordOnce(ctx: Context, entry: AuditEntry, sameAs: unknown): Promise<void> {
    const free: Context = { ...ctx, tx: null, afterCommit: null };
    const { actor } = ctx;
    const key = JSON.stringify([actor.kind, actor.id, ctx.address, entry.action, entry.resource?.kind, entry.resource?.id, entry.resource?.name?.slice(0, 300), sameAs]);
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

  /** Writes the counts of repeated refusals and reads now; the app calls it before the database closes. */
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
      // The database is away: the first one of the minute is on record, the count of its repeats is not worth an error.
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

  /** Rows that fit the filter, newest first. The caller judges `audit:view`. @throws request.invalid */
  async list(ctx: Context, filter: AuditFilter): Promise<Page<AuditRow>> {
    const { limit, cursor, ...search } = filter;
    const { sql, parameters } = auditQuery(search, { limit: limit + 1, order: 'desc', place: decodeCursor(cursor, 2) });
    const rows = await this.planned<StoredRow>(ctx, sql, parameters);
    const { items, next } = toPage(rows, limit, (row) => [row.at, row.id]);
    return { items: items.map((row) => Object.assign(new AuditRow(), row, { at: new Date(row.at), seq: row.seq === null ? null : Number(row.seq) })), next };
  }

  /** Has each search planned for its own values: a plan for any action or actor would read the whole log for a rare one. */
  private planned<T>(ctx: Context, sql: string, parameters: unknown[]): Promise<T[]> {
    return this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'set local plan_cache_mode = force_custom_plan');
      return this.db.query<T>(tx, sql, parameters);
    });
  }

  /**
   * The sealed part of the log as JSON lines, oldest first: a head, the proofs of what retention removed, the rows with their seals, and an end
   * with the newest signed checkpoint (`verifyExport` reads it). Yields some hundred lines at a time and reads no further than it is asked to.
   * A search makes it a part of the log, which is good to read but not to verify. The caller judges `audit:export`.
   * @throws audit.export-outrun when retention removed rows that were still to come
   */
  async *exportLines(ctx: Context, search: AuditSearch = {}): AsyncGenerator<string, void, undefined> {
    const whole = isEverything(search);
    const free: Context = { ...ctx, tx: null, afterCommit: null };
    const end = await this.findCheckpoint(free);
    const upTo = end?.seq ?? 0;
    yield headLine(this.clock.now(), whole, search);
    let seq = 0;
    if (whole) {
      for (;;) {
        const removals = await this.removalsAfter(free, seq);
        if (removals.length === 0) break;
        seq = removals[removals.length - 1]!.lastSeq;
        yield removals.map(removalLine).join('');
      }
    }
    let rows = 0;
    let place: [string, string] | null = null;
    for (;;) {
      const batch: SealedRow[] = whole ? await this.sealedAfter(free, seq, upTo, exportBatch) : await this.found(free, search, place, upTo);
      const last = batch[batch.length - 1];
      if (!last) break;
      if (whole && batch[0]!.seq !== seq + 1 && (await this.removalsAfter(free, seq)).length > 0) throw auditProblem('export-outrun');
      seq = last.seq;
      place = [last.at, last.id];
      rows += batch.length;
      yield batch.map(rowLine).join('');
    }
    yield endLine(rows, end);
  }

  private async found(ctx: Context, search: AuditSearch, place: [string, string] | null, upTo: number): Promise<SealedRow[]> {
    const { sql, parameters } = auditQuery(search, { limit: exportBatch, order: 'asc', place, sealedUpTo: upTo });
    return (await this.planned<SealedRow>(ctx, sql, parameters)).map(numbered);
  }

  /** Sealed rows after row `seq` in the order of the chain, not beyond row `upTo`. */
  async sealedAfter(ctx: Context, seq: number, upTo: number | null, limit: number): Promise<SealedRow[]> {
    const rows = await this.db.query<SealedRow>(
      ctx, `select seq, hash, ${chainColumns} from audit_rows where seq > $1 and seq <= $2 order by audit_rows.seq limit $3`, [seq, upTo ?? Number.MAX_SAFE_INTEGER, limit]);
    return rows.map(numbered);
  }

  private async removalsAfter(ctx: Context, seq: number): Promise<Removal[]> {
    const rows = await this.db.query<Removal & { firstSeq: string; lastSeq: string }>(
      ctx,
      `select first_seq as "firstSeq", last_seq as "lastSeq", hash, ${millisText('before')} as before, ${millisText('at')} as at, signature, key_id as "keyId"
         from audit_removals where last_seq > $1 order by audit_removals.last_seq limit $2`,
      [seq, walkBatch],
    );
    return rows.map((row) => ({ ...row, firstSeq: Number(row.firstSeq), lastSeq: Number(row.lastSeq) }));
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

  /** The newest signed checkpoint, to keep outside as an anchor, with the public key if it is this process's; null while nothing is sealed. */
  async findCheckpoint(ctx: Context): Promise<SavedCheckpoint | null> {
    const [found] = await this.checkpoints(ctx, 'order by audit_checkpoints.seq desc limit 1', []);
    if (!found) return null;
    const own = this.key.present ? this.key.publicKey() : null;
    return { ...found, publicKey: own?.id === found.keyId ? own.pem : null };
  }

  /**
   * Walks the whole chain, from where retention left it, and names the first row at which it is broken. Sees one state of the database;
   * memory does not grow with the log.
   * @throws audit.bad-key
   */
  async verify(ctx: Context, options: VerifyOptions = {}): Promise<Verification> {
    const keys = keysById([...(options.publicKeys ?? []), ...(this.key.present ? [this.key.publicKey().pem] : [])]);
    const anchor = options.anchor ?? null;
    return this.db.transaction({ ...ctx, tx: null, afterCommit: null }, async (tx) => {
      await this.db.query(tx, 'set transaction isolation level repeatable read, read only');
      const walk = new ChainWalk(keys, anchor);
      for (let removals = await this.removalsAfter(tx, 0); removals.length > 0; removals = await this.removalsAfter(tx, walk.seq)) {
        for (const removal of removals) {
          const fault = walk.removal(removal);
          if (fault) return fault;
        }
      }
      // What was removed can't be walked; but its checkpoints are kept, so that an anchor among them still has to agree.
      if (anchor && anchor.seq < walk.seq) {
        const [kept] = await this.checkpoints(tx, 'where seq = $1', [anchor.seq]);
        if (kept?.hash !== anchor.hash) return broken(anchor.seq, null, 'anchor-mismatch', `the checkpoint at row ${anchor.seq} is not the saved one`);
        walk.anchored = true;
      }
      const [end] = await this.db.query<{ rows: string | null; checkpoint: string | null; unsealed: string; hash: string | null }>(
        tx,
        `select (select max(seq) from audit_rows) as rows, (select max(seq) from audit_checkpoints) as checkpoint,
           (select count(*) from audit_rows where seq is null) as unsealed, (select hash from audit_checkpoints where seq = $1) as hash`,
        [walk.seq],
      );
      if (walk.removed && end?.hash !== walk.hash) return broken(walk.seq, null, 'bad-removal', `the removal up to row ${walk.seq} is not what the checkpoint there signed`);
      const lastRow = Number(end?.rows ?? 0);
      for (let first = true; first || walk.seq < lastRow; first = false) {
        // From the very start the first time: what retention removed must not be there.
        const rows = await this.sealedAfter(tx, first ? 0 : walk.seq, lastRow, walkBatch);
        if (rows.length === 0) break;
        const checkpoints = new Map((await this.checkpoints(tx, 'where seq > $1 and seq <= $2', [walk.seq, rows[rows.length - 1]!.seq])).map((checkpoint) => [checkpoint.seq, checkpoint]));
        for (const row of rows) {
          const fault = walk.row(row, checkpoints.get(row.seq));
          if (fault) return fault;
        }
      }
      const lastCheckpoint = Number(end?.checkpoint ?? 0);
      if (lastCheckpoint > walk.seq) return broken(walk.seq + 1, null, 'tail-deleted', `rows ${walk.seq + 1} to ${lastCheckpoint} are gone`);
      return walk.end(Number(end?.unsealed ?? 0));
    });
  }

  /**
   * One step of retention: removes the oldest sealed rows that are older than `before` and not beyond row `upTo`, as far as the last checkpoint
   * among the first 5,000 of them, and leaves a signed removal and a row about it, all in one transaction. What does not verify is not removed.
   * @returns what was removed (null: nothing), or what is broken
   * @throws audit.key-missing
   */
  async removeOldest(ctx: Context, before: Date, upTo: number | null): Promise<Removal | Broken | null> {
    const keyId = this.key.publicKey().id;
    const keys = keysById([this.key.publicKey().pem]);
    return this.db.transaction({ ...ctx, tx: null, afterCommit: null }, async (tx) => {
      const [lock] = await this.db.query<{ held: boolean }>(tx, 'select pg_try_advisory_xact_lock($1) as held', [removeLock]);
      if (!lock?.held) return null;
      const walk = new ChainWalk(keys, null);
      const [start] = await this.db.query<{ seq: string; hash: string }>(tx, 'select last_seq as seq, hash from audit_removals order by last_seq desc limit 1');
      walk.seq = Number(start?.seq ?? 0);
      walk.hash = start?.hash ?? genesisHash;
      walk.signedSeq = walk.seq;
      const firstSeq = walk.seq + 1;
      const rows = await this.sealedAfter(tx, walk.seq, upTo, removeBatch);
      const limit = before.toISOString().replace('Z', '000Z');
      const young = rows.findIndex((row) => row.at >= limit);
      const old = young < 0 ? rows : rows.slice(0, young);
      const checkpoints = new Map((await this.checkpoints(tx, 'where seq > $1 and seq <= $2', [walk.seq, old[old.length - 1]?.seq ?? 0])).map((checkpoint) => [checkpoint.seq, checkpoint]));
      let hash = walk.hash;
      for (const row of old) {
        const fault = walk.row(row, checkpoints.get(row.seq));
        if (fault) return fault;
        if (walk.signedSeq === row.seq) hash = row.hash;
      }
      const lastSeq = walk.signedSeq;
      if (lastSeq < firstSeq) return null;
      const at = this.clock.now().toISOString();
      const removal: Removal = { firstSeq, lastSeq, hash, before: before.toISOString(), at, signature: this.key.sign(removalText(firstSeq, lastSeq, hash, before.toISOString(), at)), keyId };
      await this.db.query(tx, 'insert into audit_removals (first_seq, last_seq, hash, before, at, signature, key_id) values ($1, $2, $3, $4, $5, $6, $7)', [
        firstSeq, lastSeq, hash, removal.before, at, removal.signature, keyId,
      ]);
      await this.db.query(tx, 'delete from audit_rows where seq >= $1 and seq <= $2', [firstSeq, lastSeq]);
      await this.record(tx, { action: 'audit.remove', outcome: 'success', detail: { firstSeq, lastSeq, rows: lastSeq - firstSeq + 1, before: removal.before } });
      return removal;
    });
  }

  private async checkpoints(ctx: Context, clause: string, parameters: unknown[]): Promise<Checkpoint[]> {
    const rows = await this.db.query<Checkpoint>(ctx, `select seq, hash, ${millisText('at')} as at, signature, key_id as "keyId" from audit_checkpoints ${clause}`, parameters);
    return rows.map(numbered);
  }
}

interface StoredRow extends ChainedRow {
  seq: string | null;
  hash: string | null;
  outcome: AuditOutcome;
  detail: Record<string, unknown>;
}

const millisText = (column: string): string => `to_char(${column} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** PostgreSQL's bigint comes as text. */
function numbered<T extends { seq: number }>(row: T): T {
  return { ...row, seq: Number(row.seq) };
}
