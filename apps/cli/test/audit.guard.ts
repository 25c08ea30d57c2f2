import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Audit } from '@gantry/audit';
import { eventually, testContext } from '@gantry/platform/testing';
import { adminPassword, makeHarness, type ApiHarness } from '../../api/test/harness';
import { main } from '../src/main';

/** The audit log through its public faces: REST and the operator's commands. */
describe('the audit log from outside', () => {
  let harness: ApiHarness;
  let admin: string;
  let folder: string;
  let base: string;
  const before = { ...process.env };

  beforeAll(async () => {
    harness = await makeHarness();
    await harness.app.listen(0, '127.0.0.1');
    base = await harness.app.getUrl();
    folder = mkdtempSync(join(tmpdir(), 'gantry-audit-cli-'));
    admin = await harness.signIn('admin', adminPassword);
    for (const name of ['una', 'uwe']) await harness.send('POST', '/api/v1/users', { token: admin, body: { name, password: `${name} has a long password` } });
    const { config } = harness;
    Object.assign(process.env, {
      DATABASE_URL: config.databaseUrl!.reveal(), GANTRY_HOME: config.home, GANTRY_SECRET_KEY: config.secretKeys[0]!.reveal(), GANTRY_TOKEN_KEY_FILE: config.tokenKeyFile!,
      GANTRY_TOKEN_CERT_FILE: config.tokenCertFile!, GANTRY_AUDIT_KEY_FILE: config.auditKeyFile!, GANTRY_REGISTRY_BACKEND_URL: config.registryBackendUrl!,
    });
  }, 300_000);
  afterAll(async () => {
    process.env = before;
    rmSync(folder, { recursive: true, force: true });
    await harness?.close();
  });

  /** Runs the command line in this process. */
  const gantry = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
    const said = { out: '', err: '' };
    const spies = (['stdout', 'stderr'] as const).map((name) =>
      jest.spyOn(process[name], 'write').mockImplementation((chunk: unknown, ...rest: unknown[]) => {
        said[name === 'stdout' ? 'out' : 'err'] += String(chunk);
        const done = rest.find((part) => typeof part === 'function') as (() => void) | undefined;
        done?.();
        return true;
      }),
    );
    try {
      return { code: await main(args), ...said };
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
  };
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  it('saves a checkpoint, exports, and verifies without a database, by the saved key or by one that is given', async () => {
    const saved = await gantry('audit', 'checkpoint');
    expect([saved.code, saved.err]).toEqual([0, '']);
    const checkpoint = file('saved.json', saved.out);
    await harness.send('POST', '/api/v1/organizations', { token: admin, body: { name: 'later' } });
    const exported = await gantry('audit', 'export');
    expect([exported.code, exported.err]).toEqual([0, '']);
    const log = file('audit.jsonl', exported.out);
    const key = file('key.pem', ((await harness.send('GET', '/api/v1/audit/key', { token: admin })).body as { pem: string }).pem);
    const url = process.env['DATABASE_URL'];
    delete process.env['DATABASE_URL'];
    try {
      for (const args of [['--checkpoint', checkpoint], ['--checkpoint', checkpoint, '--key', key]]) {
        const whole = await gantry('audit', 'verify', '--file', log, ...args);
        expect(whole).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^The audit record is whole: \d+ rows, 1 checkpoints.\nIt agrees with the saved checkpoint at row \d+\.\n$/) as string });
      }
      expect((await gantry('audit', 'verify', '--file', log, '--key', key)).code).toBe(0);
      const spoiled = file('spoiled.jsonl', exported.out.replace('"actorName":"admin"', '"actorName":"nobody"'));
      expect(await gantry('audit', 'verify', '--file', spoiled, '--checkpoint', checkpoint)).toMatchObject({ code: 1, out: expect.stringMatching(/^The audit record is broken at row \d+ \([0-9a-f-]{36}\): changed/) as string });
      const cut = file('cut.jsonl', exported.out.split('\n').slice(0, 3).join('\n'));
      expect(await gantry('audit', 'verify', '--file', cut, '--checkpoint', checkpoint)).toMatchObject({ code: 1, out: expect.stringMatching(/^The audit record is broken at row 3: tail-deleted/) as string });
      expect(await gantry('audit', 'verify', '--file', log)).toMatchObject({ code: 2, err: expect.stringContaining('proves nothing by itself') as string });
      expect(await gantry('audit', 'verify', '--file', join(folder, 'none'), '--key', key)).toMatchObject({ code: 1, err: expect.stringContaining('ENOENT') as string });
      expect(await gantry('audit', 'verify', '--nosuch')).toMatchObject({ code: 2, out: '' });
      expect(await gantry('audit', 'verify', '--file', log, '--checkpoint', file('bad.json', saved.out.replace(/"seq": \d+/, '"seq": 1')))).toMatchObject({ code: 1, err: expect.stringContaining('wrong signature') as string });
    } finally {
      process.env['DATABASE_URL'] = url;
    }
    expect(await gantry('audit', 'verify', '--checkpoint', checkpoint)).toMatchObject({ code: 0, out: expect.stringContaining('It agrees with the saved checkpoint') as string });
    expect((await gantry('audit', 'export', '--action', 'organization.*', '--outcome', 'success')).out.split('\n').filter((line) => line.includes('"type":"row"'))).toHaveLength(1);
    expect(await gantry('audit', 'export', '--from', 'soon')).toMatchObject({ code: 2, out: '' });
  }, 300_000);

  it('is searched and exported over REST by administrators alone, and that is on record', async () => {
    const una = await harness.signIn('una', 'una has a long password');
    for (const path of ['', '/export', '/checkpoint', '/forwarding', '/key']) expect([path, (await harness.send('GET', `/api/v1/audit${path}`, { token: una })).status]).toEqual([path, 403]);
    const audit = harness.app.get(Audit);
    await audit.sealPending(testContext());
    const answer = await fetch(`${base}/api/v1/audit/export`, { headers: { authorization: `Bearer ${admin}` } });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/jsonl; charset=utf-8']);
    const saved = (await harness.send('GET', '/api/v1/audit/checkpoint', { token: admin })).body;
    expect(await gantry('audit', 'verify', '--file', file('rest.jsonl', await answer.text()), '--checkpoint', file('rest.json', JSON.stringify(saved)))).toMatchObject({ code: 0 });
    const found = async (query: string): Promise<Record<string, unknown>[]> => ((await harness.send('GET', `/api/v1/audit?${query}`, { token: admin })).body as { items: Record<string, unknown>[] }).items;
    expect((await found('action=user.*&resourceName=una&resourceKind=account')).map((row) => row['action'])).toEqual(['user.create']);
    expect((await found('action=audit.export&actor=admin')).length).toBeGreaterThan(0);
    expect(await found('action=audit.export&outcome=refused&actor=una')).toMatchObject([{ resourceKind: 'system' }]);
    for (const query of ['action=a**', 'action=a b', 'outcome=good', 'from=soon']) expect([query, (await harness.send('GET', `/api/v1/audit?${query}`, { token: admin })).status]).toEqual([query, 400]);
    expect((await harness.send('GET', '/api/v1/audit/export?limit=5', { token: admin })).status).toBe(400);
    expect((await harness.send('GET', '/api/v1/audit/forwarding', { token: admin })).body).toEqual({ enabled: false, connected: false, confirmedSeq: 0, waiting: 0, fault: null, changedAt: null });
    // Paging through one search is one row and a count.
    let cursor = '';
    for (let pages = 0; pages < 4; pages += 1) cursor = `&cursor=${((await harness.send('GET', `/api/v1/audit?limit=1&actor=admin${cursor}`, { token: admin })).body as { next: string }).next}`;
    await audit.flushRepeats();
    expect((await found('action=audit.read')).filter((row) => (row['detail'] as { limit?: number; actor?: string }).limit === 1).map((row) => row['count'])).toEqual([3, 1]);
  }, 300_000);

  it('sends an export no faster than it is taken, and ends it when the session ends', async () => {
    await harness.db.dataSource.transaction(async (em) => {
      await em.query('set local session_replication_role = replica');
      await em.query(`insert into audit_rows (id, at, actor_kind, actor_name, request_id, action, outcome, detail, count, seq, hash)
        select gen_random_uuid(), now(), 'user', 'ann', 'q', 'thing.create', 'success', jsonb_build_object('text', repeat('x', 1500)), 1, 1000000 + n, 'x' from generate_series(1, 40000) n`);
      await em.query(`insert into audit_checkpoints (seq, hash, at, signature, key_id) values (1040000, 'x', now(), 'x', 'x')`);
    });
    const uwe = await harness.send('PATCH', '/api/v1/users/uwe', { token: admin, body: { admin: true }, headers: { 'if-match': '"1"' } });
    expect(uwe.status).toBe(200);
    const token = await harness.signIn('uwe', 'uwe has a long password');
    const answers: ServerResponse[] = [];
    const server = harness.app.getHttpServer();
    server.prependListener('request', (_request: IncomingMessage, answer: ServerResponse) => answers.push(answer));
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      get(`${base}/api/v1/audit/export`, { headers: { authorization: `Bearer ${token}` }, agent: false }, resolve).on('error', reject);
    });
    // Nothing is read: the server waits, with what the sockets hold and one batch of rows.
    await eventually('the server waits', () => answers[0]?.writableNeedDrain);
    expect(answers[0]!.writableLength).toBeLessThan(5_000_000);
    expect(answers[0]!.destroyed).toBe(false);
    expect((await harness.send('DELETE', '/api/v1/sessions', { token })).status).toBe(204);
    await eventually('the server lets go', () => answers[0]!.destroyed, 30);
    let bytes = 0;
    let closed = false;
    response.on('data', (chunk: Buffer) => (bytes += chunk.length)).on('error', () => undefined).on('close', () => (closed = true));
    await eventually('the client sees the end', () => closed);
    expect(response.complete).toBe(false);
    expect(bytes).toBeLessThan(30_000_000);
  }, 300_000);
});
