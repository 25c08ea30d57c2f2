import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import {
  Audit, auditEntities, AuditKey, auditQuery, AuditRetention, canonicalRow, checkpointText, openCheckpoint, rowHash, SyslogForwarder, verifyExport,
  type AuditOutcome, type AuditSearch, type ForwarderPatience, type SealedRow, type SyslogReceiver, type Verification,
} from '@gantry/audit';
import { Clock, Db, Leases, makeContext, makeLogger, SystemClock, type Actor, type Context } from '@gantry/platform';
import { eventually, openTestDatabase, testContext, testLogger, type TestDatabase } from '@gantry/platform/testing';
import { makePki, type LabPki } from '../../../test/lab/pki';
import { SyslogReceiverStandIn } from './rfc5424';

const ann: Actor = { kind: 'user', id: '0197f0c0-0000-7000-8000-00000000000a', name: 'ann', admin: false, credentialId: null, limits: null };
const ctx: Context = makeContext(ann, { requestId: 'req-1', address: '192.0.2.1' });

function newKey(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** Collects garbage now, so that what is still there is what is held. */
function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

class SetClock extends Clock {
  at = new Date('2026-01-01T00:00:00.000Z');
  now(): Date {
    return this.at;
  }
}

/** An audit log on a database of its own. */
class House {
  readonly clock = new SetClock();
  readonly key: AuditKey;
  readonly audit: Audit;
  readonly leases: Leases;
  private constructor(readonly database: TestDatabase, readonly pem: string) {
    this.key = AuditKey.fromPem(pem);
    this.audit = new Audit(database.db, this.clock, this.key);
    this.leases = new Leases(database.db);
  }
  static async open(): Promise<House> {
    return new House(await openTestDatabase(auditEntities), newKey());
  }
  get db(): Db {
    return this.database.db;
  }
  sql<T = Record<string, unknown>>(text: string, parameters: unknown[] = []): Promise<T[]> {
    return this.db.query<T>(testContext(), text, parameters);
  }
  /** Changes the log as the database's superuser can. */
  async tamper(text: string, parameters: unknown[] = []): Promise<void> {
    await this.db.dataSource.transaction(async (em) => {
      await em.query('set local session_replication_role = replica');
      await em.query(text, parameters);
    });
  }
  async fill(batches: number, rows: number, detail: Record<string, unknown> = { b: 1.5, a: { z: [1, 'x'], y: null }, '10': true }): Promise<void> {
    for (let batch = 0; batch < batches; batch += 1) {
      for (let row = 0; row < rows; row += 1) {
        await this.audit.record(ctx, { action: 'thing.create', resource: { kind: 'thing', id: `${batch}-${row}`, name: 'Ding – ☃' }, outcome: 'success', detail });
      }
      await this.audit.sealPending(testContext());
    }
  }
  async export(search: AuditSearch = {}): Promise<string> {
    let text = '';
    for await (const chunk of this.audit.exportLines(ctx, search)) text += chunk;
    return text;
  }
  /** The rows as a forger with database access has them. */
  async sealedRows(): Promise<SealedRow[]> {
    return this.audit.sealedAfter(testContext(), 0, null, 10_000);
  }
  /** Makes the chain from row `from` on fit what the rows say now, and signs it again with `pem`. */
  async reseal(from: number, pem: string): Promise<void> {
    const key = AuditKey.fromPem(pem);
    let hash = '0'.repeat(64);
    for (const row of await this.sealedRows()) {
      hash = row.seq < from ? row.hash : rowHash(row.seq, hash, row);
      await this.tamper('update audit_rows set hash = $2 where seq = $1', [row.seq, hash]);
      const [checkpoint] = await this.sql<{ at: string }>(`select to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at from audit_checkpoints where seq = $1`, [row.seq]);
      if (checkpoint) {
        await this.tamper('update audit_checkpoints set hash = $2, signature = $3, key_id = $4 where seq = $1', [row.seq, hash, key.sign(checkpointText(row.seq, hash, checkpoint.at)), key.publicKey().id]);
      }
    }
  }
  async close(): Promise<void> {
    await this.audit.onModuleDestroy();
    await this.database.close();
  }
}

const verifyText = (text: string, options: Parameters<typeof verifyExport>[1]): Promise<Verification> => verifyExport(Readable.from([Buffer.from(text)]), options);

describe('keeping the audit log', () => {
  let house: House;
  beforeEach(async () => {
    house = await House.open();
  });
  afterEach(async () => house.close());

  describe('an export, without a database', () => {
    it('verifies against a checkpoint that was saved earlier, and is what the rows are', async () => {
      await house.fill(2, 3);
      const saved = JSON.stringify(await house.audit.findCheckpoint(ctx));
      await house.fill(1, 3);
      const text = await house.export();
      const { checkpoint, publicKeys } = openCheckpoint(saved);
      expect(await verifyText(text, { publicKeys, anchor: checkpoint })).toMatchObject({ ok: true, rows: 9, checkpoints: 1, removed: null, anchored: true, head: { seq: 9 } });
      const lines = text.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(lines[0]).toMatchObject({ type: 'export', form: 'gantry-audit-export-1', complete: true });
      const rows = lines.filter((line) => line['type'] === 'row') as unknown as SealedRow[];
      expect(rows.map(({ type: _type, ...row }: SealedRow & { type?: unknown }) => row)).toEqual(await house.sealedRows());
      expect(canonicalRow(1, '0'.repeat(64), rows[0]!)).toContain('"Ding – ☃"');
      expect(lines[10]).toMatchObject({ type: 'end', rows: 9, checkpoint: { seq: 9 } });
    });

    it('holds all that is sealed, however many batches that are, and nothing that is not', async () => {
      await house.fill(3, 400, {});
      await house.audit.record(ctx, { action: 'thing.unsealed', outcome: 'success' });
      const text = await house.export();
      expect(text).not.toContain('thing.unsealed');
      expect(await verifyText(text, { publicKeys: [house.key.publicKey().pem] })).toMatchObject({ ok: true, rows: 1200 });
    });

    const spoils: [string, (lines: string[]) => string[], Partial<Verification>][] = [
      ['a changed word', (lines) => lines.map((line) => (line.includes('"seq":3,') ? line.replace('"ann"', '"bob"') : line)), { seq: 3, reason: 'changed' }],
      ['a field more', (lines) => lines.map((line) => (line.includes('"seq":3,') ? line.replace('"count":1', '"count":1,"note":"ok"') : line)), { seq: 3, reason: 'changed' }],
      ['a field twice', (lines) => lines.map((line) => (line.includes('"seq":3,') ? line.replace('"actorName"', '"actorName":"bob","actorName"') : line)), { seq: 3, reason: 'changed' }],
      ['a number as text', (lines) => lines.map((line) => (line.includes('"seq":3,') ? line.replace('"count":1', '"count":"1"') : line)), { seq: 3, reason: 'changed' }],
      ['a row less', (lines) => lines.filter((line) => !line.includes('"seq":3,')), { seq: 3, reason: 'missing' }],
      ['a row twice', (lines) => lines.flatMap((line) => (line.includes('"seq":3,') ? [line, line] : [line])), { seq: 4, reason: 'missing' }],
      ['the first rows less', (lines) => [lines[0]!, ...lines.slice(3)], { seq: 1, reason: 'missing' }],
      ['cut off before the checkpoint', (lines) => lines.slice(0, 4), { seq: 4, reason: 'tail-deleted' }],
      ['cut off before the checkpoint, with an end', (lines) => [...lines.slice(0, 4), lines[10]!], { seq: 4, reason: 'tail-deleted' }],
      ['cut off after the checkpoint', (lines) => lines.slice(0, 9), { seq: 9, reason: 'tail-deleted' }],
      ['cut off after the checkpoint, with its end', (lines) => [...lines.slice(0, 9), lines[10]!], { seq: 9, reason: 'tail-deleted' }],
      ['cut off in the middle of a line', (lines) => [...lines.slice(0, 6), lines[6]!.slice(0, 40)], { seq: 6, reason: 'unreadable' }],
      ['rows after the end', (lines) => [...lines, lines[2]!], { reason: 'unreadable' }],
      ['no head', (lines) => lines.slice(1), { seq: 1, reason: 'unreadable' }],
      ['nothing', () => [], { seq: 1, reason: 'unreadable' }],
      ['a search, said to be one', (lines) => lines.map((line) => line.replace('"complete":true', '"complete":false')), { reason: 'filtered' }],
      ['an end that is not signed', (lines) => lines.map((line) => (line.includes('"type":"end"') ? line.replace(/"signature":"..../, '"signature":"AAAA') : line)), { seq: 9, reason: 'bad-signature' }],
      ['an end without a checkpoint', (lines) => [...lines.slice(0, 10), '{"type":"end","rows":9,"checkpoint":null}'], { seq: 1, reason: 'unsigned' }],
    ];
    it.each(spoils)('names the first broken row: %s', async (_what, spoil, expected) => {
      await house.fill(2, 3);
      const anchor = (await house.audit.findCheckpoint(ctx))!;
      await house.fill(1, 3);
      const lines = (await house.export()).trimEnd().split('\n');
      const spoiled = spoil(lines);
      expect(await verifyText(spoiled.length === 0 ? '' : `${spoiled.join('\n')}\n`, { publicKeys: [anchor.publicKey!], anchor })).toMatchObject({ ok: false, ...expected });
    });

    it('finds a record that was written anew and signed again, with the key or with another', async () => {
      await house.fill(2, 2);
      const anchor = (await house.audit.findCheckpoint(ctx))!;
      await house.fill(1, 2);
      await house.tamper(`update audit_rows set actor_name = 'bob' where seq = 3`);
      await house.reseal(3, house.pem);
      const text = await house.export();
      // Who holds the signing key can forge all but what is kept elsewhere.
      expect(await verifyText(text, { publicKeys: [anchor.publicKey!] })).toMatchObject({ ok: true });
      expect(await verifyText(text, { publicKeys: [anchor.publicKey!], anchor })).toMatchObject({ ok: false, seq: 4, reason: 'anchor-mismatch' });
      await house.reseal(1, newKey());
      expect(await verifyText(await house.export(), { publicKeys: [anchor.publicKey!] })).toMatchObject({ ok: false, seq: 6, reason: 'unknown-key' });
    });

    it('is said to end before a checkpoint that is newer', async () => {
      await house.fill(1, 2);
      const text = await house.export();
      await house.fill(1, 2);
      const anchor = (await house.audit.findCheckpoint(ctx))!;
      expect(await verifyText(text, { publicKeys: [anchor.publicKey!], anchor })).toMatchObject({ ok: false, seq: 3, reason: 'tail-deleted' });
    });

    it('of a search holds what fits, and is not taken for the whole', async () => {
      await house.fill(1, 3);
      await house.audit.record(ctx, { action: 'thing.delete', outcome: 'success' });
      await house.audit.sealPending(testContext());
      const text = await house.export({ action: 'thing.d*' });
      expect(text.split('\n').filter((line) => line.includes('"type":"row"'))).toEqual([expect.stringContaining('"thing.delete"')]);
      expect(await verifyText(text, { publicKeys: [house.key.publicKey().pem] })).toMatchObject({ ok: false, reason: 'filtered' });
    });

    it('is not read ahead of who takes it', async () => {
      await house.fill(3, 450, {});
      const lines = house.audit.exportLines(ctx);
      for (let chunk = 0; chunk < 2; chunk += 1) await lines.next();
      await house.tamper(`update audit_rows set actor_name = 'late' where seq = 1350`);
      let rest = '';
      for await (const chunk of lines) rest += chunk;
      expect(rest).toContain('"late"');
    });

    it('refuses a saved checkpoint that was changed, is another’s, or none', async () => {
      await house.fill(1, 1);
      const saved = (await house.audit.findCheckpoint(ctx))!;
      const other = AuditKey.fromPem(newKey()).publicKey().pem;
      expect(openCheckpoint(JSON.stringify(saved), [house.key.publicKey().pem]).checkpoint).toMatchObject({ seq: 1 });
      for (const [text, keys] of [
        [JSON.stringify({ ...saved, seq: 2 }), []], [JSON.stringify({ ...saved, hash: '0'.repeat(64) }), []], [JSON.stringify(saved), [other]], [JSON.stringify({ ...saved, publicKey: null }), []], ['{}', []], ['nonsense', []],
      ] as [string, string[]][]) {
        expect(() => openCheckpoint(text, keys)).toThrow(expect.objectContaining({ code: 'audit.bad-checkpoint' }) as Error);
      }
      expect(() => openCheckpoint(JSON.stringify({ ...saved, publicKey: 'pem' }))).toThrow(expect.objectContaining({ code: 'audit.bad-key' }) as Error);
    });
  });

  it('finds a database whose history was written anew and signed again after the checkpoint was saved', async () => {
    await house.fill(3, 2);
    const anchor = (await house.audit.findCheckpoint(ctx))!;
    await house.fill(1, 2);
    expect(await house.audit.verify(ctx, { anchor })).toMatchObject({ ok: true, rows: 8, anchored: true });
    await house.tamper(`update audit_rows set outcome = 'success', actor_name = 'bob' where seq = 2`);
    await house.reseal(2, house.pem);
    expect(await house.audit.verify(ctx)).toMatchObject({ ok: true });
    expect(await house.audit.verify(ctx, { anchor })).toMatchObject({ ok: false, seq: 6, reason: 'anchor-mismatch' });
  });

  describe('searching', () => {
    it('finds what a plain look at every row finds, page by page, newest first', async () => {
      const names = ['ann', 'bob', 'Zoë'];
      const actions = ['repository.create', 'repository.delete', 'repositorial', 'user.create', 'session.create'];
      const outcomes: AuditOutcome[] = ['success', 'refused', 'failed'];
      const all: { id: string; at: number; actor: Actor; action: string; kind: string; resource: string; name: string; outcome: AuditOutcome; request: string }[] = [];
      const random = fc.sample(fc.tuple(fc.nat(2), fc.nat(4), fc.nat(2), fc.nat(3), fc.nat(2), fc.nat(4), fc.nat(20)), 160);
      const ids = names.map((_name, index) => `0197f0c0-0000-7000-8000-00000000000${index}`);
      for (const [who, what, how, resource, request, kind, time] of random) {
        const actor: Actor = { ...ann, id: ids[who]!, name: names[who]! };
        house.clock.at = new Date(Date.parse('2026-01-01T00:00:00Z') + time * 1000);
        const row = { at: house.clock.at.getTime(), actor, action: actions[what]!, outcome: outcomes[how]!, kind: `k${kind % 2}`, resource: `r${resource}`, name: `n${resource % 2}`, request: `q${request}`, id: '' };
        await house.audit.record(makeContext(actor, { requestId: row.request }), { action: row.action, outcome: row.outcome, resource: { kind: row.kind, id: row.resource, name: row.name } });
        const [written] = await house.sql<{ id: string }>('select id from audit_rows order by id desc limit 1');
        all.push({ ...row, id: written!.id });
      }
      const option = <T>(values: T[]): fc.Arbitrary<T | undefined> => fc.option(fc.constantFrom(...values), { nil: undefined, freq: 2 });
      const times = Array.from({ length: 22 }, (_item, index) => new Date(Date.parse('2026-01-01T00:00:00Z') + index * 1000));
      const searches = fc.record({
        actor: option([...names, ids[0]!, 'nobody']), action: option([...actions, 'repository.*', 'repos*', '*', 'x*', 'user.create*']), outcome: option(outcomes), resourceKind: option(['k0', 'k1']), resourceId: option(['r0', 'r3']),
        resourceName: option(['n0', 'n1']), requestId: option(['q0', 'q1']), from: option(times), to: option(times),
      });
      await fc.assert(
        fc.asyncProperty(searches, fc.integer({ min: 1, max: 60 }), async (search, limit) => {
          const fits = (row: (typeof all)[number]): boolean =>
            (search.actor === undefined || search.actor === row.actor.id || search.actor === row.actor.name) &&
            (search.action === undefined || (search.action.endsWith('*') ? row.action.startsWith(search.action.slice(0, -1)) : search.action === row.action)) &&
            (search.outcome === undefined || search.outcome === row.outcome) && (search.resourceKind === undefined || search.resourceKind === row.kind) &&
            (search.resourceId === undefined || search.resourceId === row.resource) && (search.resourceName === undefined || search.resourceName === row.name) &&
            (search.requestId === undefined || search.requestId === row.request) && (search.from === undefined || row.at >= search.from.getTime()) && (search.to === undefined || row.at < search.to.getTime());
          const expected = all.filter(fits).sort((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1)).map(({ id }) => id);
          const found: string[] = [];
          let cursor: string | null = null;
          do {
            const page = await house.audit.list(ctx, { ...(search as AuditSearch), limit, ...(cursor === null ? {} : { cursor }) });
            expect(page.items.length).toBeLessThanOrEqual(limit);
            found.push(...page.items.map(({ id }) => id));
            cursor = page.next;
          } while (cursor !== null);
          expect(found).toEqual(expected);
        }),
        { numRuns: 60 },
      );
    });

    it('refuses cursors that are none', async () => {
      const cursor = (...parts: string[]): string => Buffer.from(JSON.stringify(parts)).toString('base64url');
      for (const wrong of [cursor('x'), cursor('2026-01-01T00:00:00.000000Z', 'x'), cursor('now', ann.id!), cursor('2026-13-01T00:00:00.000000Z', ann.id!), cursor('', '')]) {
        await expect(house.audit.list(ctx, { limit: 5, cursor: wrong })).rejects.toMatchObject({ code: 'request.invalid' });
      }
    });

    it('reads a page of 200,000 rows by an index, whatever is asked for, at the newest and at the oldest end', async () => {
      await house.tamper(`
        insert into audit_rows (id, at, actor_kind, actor_id, actor_name, credential_id, request_id, address, action, resource_kind, resource_id, resource_name, outcome, detail, count, seq, hash)
        select ('0197f0c0-' || lpad(to_hex(n / 65536), 4, '0') || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, timestamptz '2026-01-01' + n * interval '7 seconds', 'user',
          '0197f0c0-0000-7000-8000-' || lpad(to_hex(n % 501), 12, '0'), case when n = 77 then 'rare' else 'user-' || n % 501 end, null, 'q' || n / 3, '192.0.2.1',
          case when n % 40000 = 5 then 'cluster.delete' else 'noun' || n % 60 || '.verb' end, case when n % 30000 = 9 then 'cluster' else 'kind' || n % 9 end, 'r' || n % 20011, 'name-' || n % 20011,
          case when n % 20000 = 3 then 'failed' when n % 50 = 1 then 'refused' else 'success' end, '{"code": "x"}', 1, n, repeat('a', 64)
          from generate_series(1, 200000) n`);
      await house.sql('analyze audit_rows');
      const old = ['2026-01-02T00:00:00.000000Z', '0197f0c0-0000-7000-8000-000000000000'];
      const searches: AuditSearch[] = [
        {}, { actor: '0197f0c0-0000-7000-8000-000000000011' }, { actor: 'user-17' }, { actor: 'rare' }, { actor: 'nobody' }, { action: 'noun7.verb' }, { action: 'cluster.delete' }, { action: 'cluster.*' }, { action: 'noun*' }, { action: 'zzz*' },
        { resourceKind: 'kind3' }, { resourceKind: 'cluster' }, { resourceId: 'r77' }, { resourceName: 'name-77' }, { resourceKind: 'kind3', resourceId: 'r77' }, { outcome: 'failed' }, { outcome: 'refused' }, { outcome: 'success' }, { requestId: 'q500' },
        { from: new Date('2026-01-01T10:00:00Z'), to: new Date('2026-01-01T10:05:00Z') }, { from: new Date('2026-01-10T10:00:00Z') }, { to: new Date('2026-01-01T01:00:00Z') },
        { actor: 'user-17', from: new Date('2026-01-01T00:00:00Z'), to: new Date('2026-01-02T00:00:00Z') }, { actor: 'user-17', outcome: 'failed' }, { action: 'noun7.verb', outcome: 'refused' },
      ];
      interface Node { 'Node Type': string; 'Shared Hit Blocks': number; 'Shared Read Blocks': number; Plans?: Node[] }
      const types = (node: Node): string[] => [node['Node Type'], ...(node.Plans ?? []).flatMap(types)];
      const wrong: unknown[] = [];
      for (const search of searches) {
        for (const place of [null, old]) {
          const { sql, parameters } = auditQuery(search, { limit: 51, order: 'desc', place });
          const [row] = await house.db.transaction(testContext(), async (tx) => {
            await house.db.query(tx, 'set local plan_cache_mode = force_custom_plan');
            return house.db.query<{ 'QUERY PLAN': { Plan: Node }[] }>(tx, `explain (analyze, buffers, format json) ${sql}`, parameters);
          });
          const plan = row!['QUERY PLAN'][0]!.Plan;
          const blocks = plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
          // The table alone has more than 5,000 blocks.
          if (types(plan).some((type) => type.includes('Seq Scan')) || blocks > 1_000) wrong.push([search, place !== null, blocks, types(plan)]);
        }
      }
      expect(wrong).toEqual([]);

      // An export of all of it does not gather it in memory.
      await house.sql(`insert into audit_checkpoints (seq, hash, at, signature, key_id) values (200000, repeat('a', 64), now(), 'x', 'x')`);
      const collect = garbageCollector();
      collect();
      const before = process.memoryUsage().heapUsed;
      let held = 0;
      let looks = 0;
      let rows = 0;
      let bytes = 0;
      for await (const chunk of house.audit.exportLines(ctx)) {
        rows += chunk.split('\n').length - 1;
        bytes += chunk.length;
        if (rows % 50_000 === 1) {
          collect();
          looks += 1;
          held = Math.max(held, process.memoryUsage().heapUsed - before);
        }
      }
      expect(rows).toBe(200_002);
      expect(bytes).toBeGreaterThan(80_000_000);
      expect(looks).toBeGreaterThanOrEqual(3);
      expect(held).toBeLessThan(10_000_000);
    }, 300_000);
  });

  it('puts reading on record once a minute for the same search, with a count', async () => {
    const read = (actor: Actor, asked: Record<string, unknown>): Promise<void> => house.audit.recordRead(makeContext(actor, { address: '192.0.2.1' }), { action: 'audit.read', outcome: 'success', detail: { ...asked, rows: 3 } }, asked);
    const bob = { ...ann, id: '0197f0c0-0000-7000-8000-00000000000b', name: 'bob' };
    for (let page = 0; page < 5; page += 1) await read(ann, { actor: 'x' });
    await read(ann, { actor: 'y' });
    await read(bob, { actor: 'x' });
    await house.audit.flushRepeats();
    const { items } = await house.audit.list(ctx, { limit: 50, action: 'audit.*' });
    expect(items.map((row) => [row.actorName, row.detail['actor'], row.count]).sort()).toEqual([['ann', 'x', 1], ['ann', 'x', 4], ['ann', 'y', 1], ['bob', 'x', 1]]);
  });

  describe('retention', () => {
    const retention = (days: number | null, receiver: SyslogReceiver | null = null): AuditRetention =>
      new AuditRetention(house.audit, house.key, new SyslogForwarder(house.db, house.leases, house.audit, receiver, testLogger()), house.leases, house.clock, days, testLogger());
    const day = (number: number): void => {
      house.clock.at = new Date(Date.UTC(2026, 0, number));
    };
    const seqs = async (): Promise<number[]> => (await house.sealedRows()).map((row) => row.seq);
    /** Ten rows, two a checkpoint, on five days. */
    const fiveDays = async (): Promise<void> => {
      for (let number = 1; number <= 5; number += 1) {
        day(number);
        await house.fill(1, 2);
      }
    };

    it('removes nothing without a setting, nor what is young', async () => {
      await fiveDays();
      day(300);
      expect(await retention(null).run(testContext())).toBe(0);
      expect(await retention(299).run(testContext())).toBe(0);
      expect(await seqs()).toHaveLength(10);
    });

    it('removes whole checkpointed ranges and leaves proofs: what is left verifies, online and offline, and says what is gone', async () => {
      await fiveDays();
      const early = (await house.sql<{ seq: string; hash: string }>('select seq, hash from audit_checkpoints where seq = 2'))[0]!;
      const late = (await house.audit.findCheckpoint(ctx))!;
      day(13);
      // Days 1 to 3 are older than 9.5 days … of 10: rows 1 to 4 (days 1 and 2) are.
      expect(await retention(10).run(testContext())).toBe(4);
      expect(await seqs()).toEqual([5, 6, 7, 8, 9, 10]);
      expect(await retention(10).run(testContext())).toBe(0);
      await house.audit.sealPending(testContext());
      const removed = { rows: 4, through: 4, before: '2026-01-03T00:00:00.000Z' };
      expect(await house.audit.verify(ctx)).toMatchObject({ ok: true, rows: 7, removed });
      expect((await house.audit.list(ctx, { limit: 1, action: 'audit.remove' })).items).toMatchObject([{ actorName: 'audit.retention', outcome: 'success', detail: { firstSeq: 1, lastSeq: 4, rows: 4 } }]);
      day(14);
      expect(await retention(10).run(testContext())).toBe(2);
      await house.audit.sealPending(testContext());
      const [file, publicKeys] = [await house.export(), [house.key.publicKey().pem]];
      expect(await verifyText(file, { publicKeys, anchor: late })).toMatchObject({ ok: true, rows: 6, removed: { rows: 6, through: 6 }, anchored: true });
      expect(await verifyText(file, { publicKeys, anchor: { seq: 2, hash: early.hash } })).toMatchObject({ ok: true, anchored: false });
      const lines = file.trimEnd().split('\n');
      expect(await verifyText(`${lines.filter((line) => !line.includes('"lastSeq":6')).join('\n')}\n`, { publicKeys })).toMatchObject({ ok: false, seq: 5, reason: 'missing' });
      expect(await verifyText(`${lines.filter((line) => !line.includes('"type":"removal"')).join('\n')}\n`, { publicKeys })).toMatchObject({ ok: false, seq: 1, reason: 'missing' });
      expect(await verifyText(`${lines.map((line) => line.replace('"lastSeq":6', '"lastSeq":7')).join('\n')}\n`, { publicKeys })).toMatchObject({ ok: false, reason: 'bad-removal' });
      // Checkpoints are kept, so that one that was saved before can still be compared.
      expect(await house.audit.verify(ctx, { anchor: { seq: 2, hash: early.hash } })).toMatchObject({ ok: true, anchored: true });
      expect(await house.audit.verify(ctx, { anchor: { seq: 2, hash: 'f'.repeat(64) } })).toMatchObject({ ok: false, seq: 2, reason: 'anchor-mismatch' });
    });

    it('keeps a range in which one row is young', async () => {
      day(1);
      await house.fill(1, 2);
      await house.audit.record(ctx, { action: 'thing.old', outcome: 'success' });
      day(9);
      await house.audit.record(ctx, { action: 'thing.young', outcome: 'success' });
      await house.audit.sealPending(testContext());
      day(12);
      expect(await retention(5).run(testContext())).toBe(2);
      expect(await seqs()).toEqual([3, 4]);
    });

    it('removes more than one step’s worth', async () => {
      day(1);
      for (let batch = 0; batch < 14; batch += 1) {
        await house.sql(`insert into audit_rows (id, at, actor_kind, actor_name, request_id, action, outcome, detail, count)
          select gen_random_uuid(), '2026-01-01', 'user', 'ann', 'q', 'thing.create', 'success', '{}', 1 from generate_series(1, 400)`);
        await house.audit.sealPending(testContext());
      }
      day(90);
      expect(await retention(30).run(testContext())).toBe(5600);
      await house.audit.sealPending(testContext());
      expect(await house.sql('select 1 from audit_removals')).toHaveLength(2);
      expect(await house.audit.verify(ctx)).toMatchObject({ ok: true, rows: 2, removed: { rows: 5600 } });
    });

    it.each([
      ['a row beyond what retention removed is deleted', 'delete from audit_rows where seq = 5', { seq: 5, reason: 'missing' }],
      ['all rows but the last are deleted', 'delete from audit_rows where seq < 10', { seq: 5, reason: 'missing' }],
      ['the proof is deleted', 'delete from audit_removals', { seq: 1, reason: 'missing' }],
      ['the proof is made to say more', `delete from audit_rows where seq <= 6; update audit_removals set last_seq = 6, hash = (select hash from audit_checkpoints where seq = 6)`, { seq: 1, reason: 'bad-removal' }],
      ['a proof is made up', `delete from audit_rows where seq <= 6; insert into audit_removals select 6, 5, c.hash, r.before, r.at, r.signature, r.key_id from audit_removals r, audit_checkpoints c where c.seq = 6`, { seq: 5, reason: 'bad-removal' }],
      ['the checkpoint under the proof is changed', `update audit_checkpoints set hash = repeat('e', 64) where seq = 4`, { seq: 4, reason: 'bad-removal' }],
      ['a removed row comes back', `update audit_rows set seq = 2 where seq = 10`, { seq: 2, reason: 'reappeared' }],
    ])('is no cover for others: %s', async (_what, text, expected) => {
      await fiveDays();
      day(13);
      await retention(10).run(testContext());
      await house.tamper(text);
      expect(await house.audit.verify(ctx)).toMatchObject({ ok: false, ...expected });
    });

    it('leaves what was tampered with, and says so', async () => {
      await fiveDays();
      await house.tamper(`update audit_rows set actor_name = 'bob' where seq = 3`);
      day(40);
      expect(await retention(10).run(testContext())).toBe(0);
      expect(await seqs()).toHaveLength(10);
      expect((await house.audit.list(ctx, { limit: 5, action: 'audit.remove' })).items).toMatchObject([{ outcome: 'failed', detail: { code: 'changed', seq: 3 } }]);
    });

    it('goes no further than the forwarder came', async () => {
      await fiveDays();
      day(40);
      const receiver: SyslogReceiver = { host: '127.0.0.1', port: 9, caFile: null, certFile: null, keyFile: null };
      expect(await retention(10, receiver).run(testContext())).toBe(0);
      await house.sql(`update audit_forwarding set seq = 7 where name = 'syslog' returning 1`);
      expect(await retention(10, receiver).run(testContext())).toBe(6);
      expect(await seqs()).toEqual([7, 8, 9, 10]);
    });

    it('is the only way to delete: by hand nothing goes, with or without a made-up proof', async () => {
      await fiveDays();
      await expect(house.sql('delete from audit_rows where seq <= 4 returning 1')).rejects.toThrow('append-only');
      await house.sql(`insert into audit_removals (first_seq, last_seq, hash, before, at, signature, key_id) values (1, 3, 'x', now(), now(), 'x', 'x')`);
      await expect(house.sql('delete from audit_rows where seq <= 2 returning 1')).rejects.toThrow('append-only');
      for (const text of ['delete from audit_removals', 'truncate audit_removals', `update audit_removals set last_seq = 9`]) await expect(house.sql(text)).rejects.toThrow('append-only');
    });

    it('is not seen as damage by a verification that runs at the same time', async () => {
      day(1);
      for (let batch = 0; batch < 12; batch += 1) {
        await house.sql(`insert into audit_rows (id, at, actor_kind, actor_name, request_id, action, outcome, detail, count)
          select gen_random_uuid(), '2026-01-01', 'user', 'ann', 'q', 'thing.create', 'success', '{}', 1 from generate_series(1, 500)`);
        await house.audit.sealPending(testContext());
      }
      day(90);
      const [report, removed] = await Promise.all([house.audit.verify(ctx), retention(30).run(testContext())]);
      expect(removed).toBe(6000);
      expect(report).toMatchObject({ ok: true });
    });
  });

  describe('forwarding', () => {
    let pki: LabPki;
    let folder: string;
    let receiver: SyslogReceiverStandIn;
    const running: { forwarder: SyslogForwarder; done: Promise<void> }[] = [];
    const quick: Partial<ForwarderPatience> = { leaseSeconds: 30, pollMillis: 20, confirmMillis: 100, backoffMillis: 20, maxBackoffMillis: 100, timeoutMillis: 20_000 };
    beforeAll(async () => {
      pki = await makePki();
      folder = mkdtempSync(join(tmpdir(), 'gantry-syslog-'));
      writeFileSync(join(folder, 'ca.pem'), pki.ca);
    });
    afterAll(() => rmSync(folder, { recursive: true }));
    beforeEach(async () => {
      receiver = new SyslogReceiverStandIn(await pki.server('receiver', ['127.0.0.1']));
      await receiver.listen();
    });
    afterEach(async () => {
      for (const { forwarder } of running) forwarder.stop();
      await Promise.all(running.splice(0).map(({ done }) => done));
      await receiver.kill();
    });
    const settings = (changes: Partial<SyslogReceiver> = {}): SyslogReceiver => ({ host: '127.0.0.1', port: receiver.port, caFile: join(folder, 'ca.pem'), certFile: null, keyFile: null, ...changes });
    const start = (to: SyslogReceiver, options: Partial<ForwarderPatience> = {}, log = testLogger(), db = house.db): SyslogForwarder => {
      const forwarder = new SyslogForwarder(db, new Leases(db), new Audit(db, new SystemClock(), house.key), to, log, { ...quick, ...options });
      running.push({ forwarder, done: forwarder.run(testContext()).catch(() => undefined) });
      return forwarder;
    };
    const got = (): number[] => receiver.messages.map((message) => Number(new Map(message.data.get('gantry@32473')).get('seq')));
    /** Numbers in the order in which they came first. */
    const firsts = (): number[] => [...new Set(got())];
    const upTo = (count: number): number[] => Array.from({ length: count }, (_item, index) => index + 1);

    it('sends every row, in order, as RFC 5424 in RFC 5425’s frames, and then knows that it arrived', async () => {
      await house.fill(2, 30);
      const forwarder = start(settings());
      await eventually('all rows arrive', () => receiver.messages.length >= 60);
      await house.fill(1, 5, { text: 'ü'.repeat(1500) });
      await eventually('rows that come later too', () => receiver.messages.length >= 65);
      await eventually('all is confirmed', async () => (await forwarder.confirmedSeq(testContext())) === 65);
      expect(receiver.faults).toEqual([]);
      expect(got()).toEqual(upTo(65));
      const rows = await house.sealedRows();
      receiver.messages.forEach((message, index) => {
        const row = rows[index]!;
        expect(message).toMatchObject({ facility: 13, severity: 6, timestamp: row.at, appName: 'gantry', procId: '-', msgId: 'thing.create' });
        expect(Object.fromEntries(message.data.get('gantry@32473') ?? [])).toMatchObject({ seq: String(row.seq), id: row.id, hash: row.hash, requestId: 'req-1', actorName: 'ann', address: '192.0.2.1', resourceName: 'Ding – ☃', outcome: 'success' });
        expect(JSON.parse(message.msg)).toEqual(index < 60 ? row : { ...row, detail: { truncated: true } });
      });
      expect(receiver.longest).toBeLessThanOrEqual(8192);
      expect(await forwarder.status(testContext())).toMatchObject({ enabled: true, connected: true, confirmedSeq: 65, waiting: 0, fault: null });
    });

    it('goes on after a receiver that was killed, loses nothing, and shows the outage once in the log and as long as it lasts in its status', async () => {
      await house.fill(1, 20);
      const lines: string[] = [];
      const log = makeLogger('info', { write: (text: string) => lines.push(text) > 0 } as unknown as NodeJS.WritableStream);
      const forwarder = start(settings(), { confirmMillis: 60_000 }, log);
      await eventually('rows arrive', () => receiver.messages.length >= 20);
      await receiver.kill();
      await house.fill(1, 20);
      const status = await eventually('the outage is seen', async () => {
        const now = await forwarder.status(testContext());
        return now.fault === null ? null : now;
      });
      expect(status).toMatchObject({ enabled: true, connected: false, confirmedSeq: 0, waiting: 40 });
      await receiver.listen();
      // What the killed receiver may not have kept comes again.
      await eventually('all arrive', () => firsts().length >= 40);
      expect(firsts()).toEqual(upTo(40));
      expect(got().slice(20, 60)).toEqual(upTo(40));
      await eventually('it is well again', async () => (await forwarder.status(testContext())).connected);
      expect(receiver.faults.filter((fault) => !fault.includes('within a frame'))).toEqual([]);
      const told = lines.map((line) => JSON.parse(line) as { level: number; msg: string }).map(({ level, msg }) => [level, msg]);
      expect(told).toEqual([[50, 'the audit log is not forwarded; it is tried again'], [30, 'the audit log is forwarded again']]);
    });

    it('is taken over from a process that died, which had not confirmed what it sent', async () => {
      await house.fill(1, 10);
      const dying = await Db.open({ url: house.database.url, entities: auditEntities, migrations: [], logger: testLogger() });
      start(settings(), { confirmMillis: 60_000, leaseSeconds: 1 }, testLogger(), dying);
      await eventually('the first one sends', () => receiver.messages.length >= 10);
      // Without its database it can neither confirm nor keep the lease.
      await dying.close();
      running[0]!.forwarder.stop();
      await house.fill(1, 10);
      await eventually('another one takes over', async () => {
        const next = new SyslogForwarder(house.db, house.leases, house.audit, settings(), testLogger(), quick);
        const done = next.run(testContext());
        const taken = await Promise.race([done.then(() => false), eventually('it sends', () => firsts().length >= 20, 20).then(() => true)]);
        running.push({ forwarder: next, done });
        return taken;
      });
      expect(firsts()).toEqual(upTo(20));
      expect(got().slice(10, 30)).toEqual(upTo(20));
    });

    it('is done by one process at a time', async () => {
      await house.fill(1, 10);
      const first = start(settings(), { confirmMillis: 50 });
      await eventually('the first one has the lease', () => receiver.messages.length >= 10);
      for (let other = 0; other < 3; other += 1) await new SyslogForwarder(house.db, house.leases, house.audit, settings(), testLogger(), quick).run(testContext());
      await house.fill(2, 10);
      await eventually('all is confirmed', async () => (await first.confirmedSeq(testContext())) === 30);
      expect(got()).toEqual(upTo(30));
      expect(receiver.mostOpen).toBe(1);
    });

    it('confirms on an orderly stop, so that nothing comes twice', async () => {
      await house.fill(1, 10);
      const first = start(settings(), { confirmMillis: 60_000 });
      await eventually('rows arrive', () => receiver.messages.length >= 10);
      first.stop();
      await running[0]!.done;
      expect(await first.confirmedSeq(testContext())).toBe(10);
      await house.fill(1, 5);
      start(settings());
      await eventually('the others arrive', () => receiver.messages.length >= 15);
      expect(got()).toEqual(upTo(15));
    });

    it.each([
      ['an authority that is not ours', async () => ({ cert: (await makePki()).ca }), /issuer|self-signed|signature failure/i],
      ['a certificate for another host', async () => ({ server: await pki.server('receiver', ['192.0.2.7', 'elsewhere.example']) }), /altnames|IP/i],
    ])('sends nothing to a receiver with %s', async (_what, make, fault) => {
      const made = (await make()) as { cert?: string; server?: { cert: string; key: string } };
      const caFile = join(folder, `${receiver.port}.pem`);
      writeFileSync(caFile, made.cert ?? pki.ca);
      if (made.server) {
        await receiver.kill();
        receiver = new SyslogReceiverStandIn(made.server);
        await receiver.listen();
      }
      await house.fill(1, 3);
      const forwarder = start(settings({ caFile }));
      const status = await eventually('it refuses', async () => {
        const now = await forwarder.status(testContext());
        return now.fault === null ? null : now;
      });
      expect(status.fault).toMatch(fault);
      expect(status).toMatchObject({ connected: false, confirmedSeq: 0, waiting: 3 });
      expect(receiver.messages).toEqual([]);
    });

    it('shows its own certificate to a receiver that asks for one, and is refused without', async () => {
      await receiver.kill();
      receiver = new SyslogReceiverStandIn({ ...(await pki.server('receiver', ['127.0.0.1'])), clientCa: pki.ca });
      await receiver.listen();
      await house.fill(1, 3);
      const bare = start(settings(), { confirmMillis: 0 });
      await eventually('it is refused', async () => (await bare.status(testContext())).fault);
      expect(receiver.messages).toEqual([]);
      expect(await bare.confirmedSeq(testContext())).toBe(0);
      bare.stop();
      await running[0]!.done;
      const client = await pki.client('gantry');
      writeFileSync(join(folder, 'client.pem'), client.cert);
      writeFileSync(join(folder, 'client.key'), client.key, { mode: 0o600 });
      const known = start(settings({ certFile: join(folder, 'client.pem'), keyFile: join(folder, 'client.key') }));
      await eventually('all is confirmed', async () => (await known.confirmedSeq(testContext())) === 3);
      expect(firsts()).toEqual([1, 2, 3]);
    });

    it('holds nobody up when the receiver hangs', async () => {
      const held: { destroy: () => void }[] = [];
      const silent = createTcpServer((socket) => {
        socket.on('error', () => undefined);
        held.push(socket);
      });
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
      const address = silent.address();
      try {
        await house.fill(1, 3);
        const forwarder = start(settings({ port: typeof address === 'object' && address ? address.port : 0 }), { timeoutMillis: 500 });
        await eventually('it waits', () => held.length > 0);
        await house.fill(1, 50);
        expect(await house.audit.verify(ctx)).toMatchObject({ ok: true, rows: 53 });
        expect((await eventually('it gives up', async () => (await forwarder.status(testContext())).fault))).toMatch(/no TLS connection/);
      } finally {
        for (const socket of held) socket.destroy();
        await new Promise((resolve) => silent.close(resolve));
      }
    });
  });
});
