import { createHash, createPublicKey, generateKeyPairSync, verify as verifyBytes } from 'node:crypto';
import { makeContext, SystemClock, type Actor, type Context, type Db } from '@gantry/platform';
import { eventually, openTestDatabase, testContext, testLogger, type TestDatabase } from '@gantry/platform/testing';
import { Audit, AuditKey, auditEntities, Sequencer } from '@gantry/audit';

const ann: Actor = { kind: 'user', id: '0197f0c0-0000-7000-8000-00000000000a', name: 'ann', admin: false, credentialId: null, limits: null };

function newKey(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

describe('the audit log', () => {
  let database: TestDatabase;
  let db: Db;
  let audit: Audit;
  const pem = newKey();
  const ctx: Context = makeContext(ann, { requestId: 'req-1', address: '192.0.2.1' });

  beforeEach(async () => {
    database = await openTestDatabase(auditEntities);
    db = database.db;
    audit = new Audit(db, new SystemClock(), AuditKey.fromPem(pem));
  });
  afterEach(async () => {
    await audit.onModuleDestroy();
    await database.close();
  });

  const sql = (text: string, parameters: unknown[] = []): Promise<unknown[]> => db.query(testContext(), text, parameters);
  /** Changes the log as somebody who is the database's superuser can. */
  const tamper = async (text: string): Promise<void> => {
    await db.dataSource.transaction(async (em) => {
      await em.query('set local session_replication_role = replica');
      await em.query(text);
    });
  };
  const fill = async (batches: number, rows: number): Promise<void> => {
    for (let batch = 0; batch < batches; batch += 1) {
      for (let row = 0; row < rows; row += 1) {
        await audit.record(ctx, { action: 'thing.create', resource: { kind: 'thing', id: `${batch}-${row}`, name: 'Ding – ☃' }, outcome: 'success', detail: { b: 1.5, a: { z: [1, 'x'], y: null }, '10': true } });
      }
      expect(await audit.sealPending(testContext())).toBe(rows);
    }
  };

  it('keeps a row exactly when its transaction commits', async () => {
    await expect(
      db.transaction(ctx, async (tx) => {
        await audit.record(tx, { action: 'thing.create', outcome: 'success' });
        throw new Error('roll back');
      }),
    ).rejects.toThrow('roll back');
    await db.transaction(ctx, async (tx) => {
      await audit.record(tx, { action: 'thing.delete', resource: { kind: 'thing', id: 't1', name: 'one' }, outcome: 'success', detail: { password: 'hunter2', Nested: { registryToken: 'x', n: 1 } } });
      await audit.recordRefusal(tx, { action: 'thing.update', outcome: 'refused', detail: { code: 'request.forbidden' } });
    });
    const { items } = await audit.list(ctx, { limit: 10 });
    expect(items.map((row) => row.action).sort()).toEqual(['thing.delete', 'thing.update']);
    expect(items.find((row) => row.action === 'thing.delete')).toMatchObject({
      actorKind: 'user', actorId: ann.id, actorName: 'ann', requestId: 'req-1', address: '192.0.2.1', resourceKind: 'thing', resourceId: 't1', resourceName: 'one', outcome: 'success',
      detail: { password: '***', Nested: { registryToken: '***', n: 1 } }, count: 1, seq: null,
    });
  });

  it('keeps a refusal though the request is rolled back, and counts its repeats', async () => {
    const entry = { action: 'thing.update', resource: { kind: 'thing', id: 't1' }, outcome: 'refused' as const, detail: { code: 'request.forbidden' } };
    await expect(
      db.transaction(ctx, async (tx) => {
        await audit.recordRefusal(tx, entry);
        throw new Error('roll back');
      }),
    ).rejects.toThrow('roll back');
    for (let n = 0; n < 5; n += 1) await audit.recordRefusal(ctx, entry);
    await audit.recordRefusal(ctx, { ...entry, detail: { code: 'request.not-found' } });
    await audit.flushRepeats();
    const { items } = await audit.list(ctx, { limit: 10 });
    expect(items.map((row) => [row.detail['code'], row.count]).sort()).toEqual([['request.forbidden', 1], ['request.forbidden', 5], ['request.not-found', 1]]);
  });

  it('filters and pages, newest first', async () => {
    for (let n = 0; n < 5; n += 1) await audit.record(ctx, { action: n % 2 ? 'thing.odd' : 'thing.even', resource: { kind: 'thing', id: String(n) }, outcome: 'success' });
    const first = await audit.list(ctx, { limit: 2, action: 'thing.even' });
    expect(first.items.map((row) => row.resourceId)).toEqual(['4', '2']);
    const second = await audit.list(ctx, { limit: 2, action: 'thing.even', cursor: first.next ?? '' });
    expect(second.items.map((row) => row.resourceId)).toEqual(['0']);
    expect(second.next).toBeNull();
    expect((await audit.list(ctx, { limit: 9, actor: 'ann', resourceKind: 'thing', resourceId: '3', outcome: 'success', from: new Date(0), to: new Date(Date.now() + 1000) })).items).toHaveLength(1);
    expect((await audit.list(ctx, { limit: 9, to: new Date(0) })).items).toHaveLength(0);
    await expect(audit.list(ctx, { limit: 9, cursor: 'WyJ4Il0' })).rejects.toMatchObject({ code: 'request.invalid' });
  });

  it('is a hash chain that an outsider can recompute from the rows and the public key', async () => {
    await fill(2, 3);
    expect(await audit.verify(ctx)).toMatchObject({ ok: true, rows: 6, checkpoints: 2, unsealed: 0, head: { seq: 6 } });
    const rows = (await sql(`select *, to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at_text from audit_rows order by seq`)) as Record<string, unknown>[];
    let previous = '0'.repeat(64);
    for (const row of rows) {
      const text = JSON.stringify([
        'gantry-audit-1', Number(row['seq']), previous, row['id'], row['at_text'], 'user', ann.id, 'ann', null, 'req-1', '192.0.2.1', 'thing.create', 'thing', row['resource_id'], 'Ding – ☃', 'success', 'DETAIL', 1,
      ]).replace('"DETAIL"', '{"10":true,"a":{"y":null,"z":[1,"x"]},"b":1.5}');
      previous = createHash('sha256').update(text).digest('hex');
      expect(row['hash']).toBe(previous);
    }
    const checkpoint = await audit.findCheckpoint(ctx);
    expect(checkpoint).toMatchObject({ seq: 6, hash: previous, keyId: audit.publicKey().id });
    const message = `gantry audit checkpoint v1\n6\n${previous}\n${checkpoint?.at}\n`;
    expect(verifyBytes(null, Buffer.from(message), createPublicKey(audit.publicKey().pem), Buffer.from(checkpoint?.signature ?? '', 'base64'))).toBe(true);
  });

  it('refuses to change, delete or truncate', async () => {
    await fill(1, 2);
    await audit.record(ctx, { action: 'thing.unsealed', outcome: 'success' });
    for (const text of [
      `update audit_rows set actor_name = 'bob' where seq = 1`, `update audit_rows set seq = 9, hash = 'x' where seq = 1`, `update audit_rows set detail = '{"a": 1}' where seq is null`,
      'delete from audit_rows where seq = 1', 'delete from audit_rows where seq is null', 'truncate audit_rows', `update audit_checkpoints set hash = 'x'`, 'delete from audit_checkpoints', 'truncate audit_checkpoints',
    ]) {
      await expect(sql(text)).rejects.toThrow('append-only');
    }
    expect(await audit.verify(ctx)).toMatchObject({ ok: true, rows: 2, unsealed: 1 });
  });

  it.each([
    ['a changed actor', `update audit_rows set actor_name = 'bob' where seq = 4`, 4, 'changed'],
    ['a changed time, by a microsecond', `update audit_rows set at = at + interval '1 microsecond' where seq = 2`, 2, 'changed'],
    ['a changed detail', `update audit_rows set detail = detail || '{"b": 1.25}' where seq = 5`, 5, 'changed'],
    ['a changed count', `update audit_rows set count = 2 where seq = 1`, 1, 'changed'],
    ['a removed row', 'delete from audit_rows where seq = 3', 3, 'missing'],
    ['the first rows removed', 'delete from audit_rows where seq <= 2', 1, 'missing'],
    ['everything removed', 'delete from audit_rows', 1, 'tail-deleted'],
    ['the tail removed', 'delete from audit_rows where seq > 4', 5, 'tail-deleted'],
    ['two rows exchanged', `update audit_rows set seq = case seq when 2 then -3 else -2 end where seq in (2, 3); update audit_rows set seq = -seq where seq < 0`, 2, 'changed'],
    ['the last checkpoint removed', 'delete from audit_checkpoints where seq = 6', 5, 'unsigned'],
    ['a forged signature', `update audit_checkpoints set signature = encode(decode(signature, 'base64') # '\\x00', 'base64') where seq = 4`, 4, 'bad-signature'],
    ['another key', `update audit_checkpoints set key_id = '0000000000000000' where seq = 4`, 4, 'unknown-key'],
  ] as const)('names the first broken row: %s', async (what, text, seq, reason) => {
    await fill(3, 2);
    if (what === 'a forged signature') {
      const other = AuditKey.fromPem(newKey());
      const row = (await audit.findCheckpoint(ctx)) ?? { seq: 0, hash: '', at: '' };
      await tamper(`update audit_checkpoints set signature = '${other.sign(`gantry audit checkpoint v1\n${row.seq}\n${row.hash}\n${row.at}\n`)}' where seq = 4`);
    } else {
      await tamper(what === 'two rows exchanged' ? `alter table audit_rows drop constraint audit_rows_seq_check; ${text}` : text);
    }
    expect(await audit.verify(ctx)).toMatchObject({ ok: false, seq, reason });
  });

  it('finds a chain that was computed anew after a change, since the checkpoints can’t be', async () => {
    await fill(2, 2);
    await tamper(`update audit_rows set actor_name = 'bob' where seq = 3`);
    // A forger who knows the code makes all later hashes fit.
    const { rowHash } = await import('@gantry/audit');
    const columns = `id, to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, actor_kind as "actorKind", actor_id as "actorId", actor_name as "actorName", credential_id as "credentialId",
      request_id as "requestId", address, action, resource_kind as "resourceKind", resource_id as "resourceId", resource_name as "resourceName", outcome, detail, count, hash`;
    const rows = (await sql(`select ${columns} from audit_rows order by seq`)) as (Parameters<typeof rowHash>[2] & { hash: string })[];
    const third = rowHash(3, rows[1]!.hash, rows[2]!);
    const fourth = rowHash(4, third, rows[3]!);
    await tamper(`update audit_rows set hash = case seq when 3 then '${third}' else '${fourth}' end where seq > 2`);
    expect(await audit.verify(ctx)).toMatchObject({ ok: false, seq: 4, reason: 'hash-mismatch' });
  });

  it('goes on after a deleted tail with a gap, and finds a cut tail by an anchor kept outside', async () => {
    await fill(3, 2);
    const anchor = await audit.findCheckpoint(ctx);
    await tamper('delete from audit_rows where seq > 4');
    await fill(1, 2);
    expect(await audit.verify(ctx)).toMatchObject({ ok: false, seq: 5, reason: 'missing' });
    await tamper('delete from audit_rows where seq > 4');
    await tamper('delete from audit_checkpoints where seq > 4');
    expect(await audit.verify(ctx)).toMatchObject({ ok: true, rows: 4 });
    expect(await audit.verify(ctx, { anchor: anchor! })).toMatchObject({ ok: false, seq: 5, reason: 'tail-deleted' });
    await fill(1, 2);
    expect(await audit.verify(ctx, { anchor: anchor! })).toMatchObject({ ok: false, seq: 6, reason: 'anchor-mismatch' });
  });

  it('verifies over a change of keys when the old public key is given', async () => {
    await fill(1, 2);
    const next = new Audit(db, new SystemClock(), AuditKey.fromPem(newKey()));
    await next.record(ctx, { action: 'thing.create', outcome: 'success' });
    await next.sealPending(testContext());
    expect(await next.verify(ctx)).toMatchObject({ ok: false, seq: 2, reason: 'unknown-key' });
    expect(await next.verify(ctx, { publicKeys: [audit.publicKey().pem] })).toMatchObject({ ok: true, rows: 3 });
  });

  it('seals rows that commit late, and every row once though several processes seal', async () => {
    const key = AuditKey.fromPem(pem);
    const other = new Audit(db, new SystemClock(), key);
    const sequencers = [new Sequencer(audit, key, db, testLogger()), new Sequencer(other, key, db, testLogger())];
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const late = db.transaction(ctx, async (tx) => {
      await audit.record(tx, { action: 'thing.late', outcome: 'success' });
      await gate;
    });
    for (const sequencer of sequencers) await sequencer.start();
    try {
      await Promise.all(Array.from({ length: 40 }, (_item, n) => (n % 2 ? audit : other).record(ctx, { action: 'thing.create', resource: { kind: 'thing', id: String(n) }, outcome: 'success' })));
      await eventually('the committed rows are sealed', async () => (await sql('select 1 from audit_rows where seq is null')).length === 0);
      release();
      await late;
      const row = await eventually('the late row is sealed', async () => (await audit.list(ctx, { limit: 1, action: 'thing.late' })).items.find((item) => item.seq !== null));
      expect(row.seq).toBe(41);
    } finally {
      release();
      for (const sequencer of sequencers) await sequencer.stop();
    }
    expect(await audit.verify(ctx)).toMatchObject({ ok: true, rows: 41 });
  });

  it('can be written and read, but not sealed, without the key', async () => {
    const reader = new Audit(db, new SystemClock(), AuditKey.fromPem(null));
    await reader.record(ctx, { action: 'thing.create', outcome: 'success' });
    await expect(reader.sealPending(testContext())).rejects.toMatchObject({ code: 'audit.key-missing' });
    expect((await reader.list(ctx, { limit: 5 })).items).toHaveLength(1);
  });
});
