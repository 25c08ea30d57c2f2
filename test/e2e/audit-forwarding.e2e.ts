import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Audit, auditEntities, AuditKey } from '@gantry/audit';
import { Db, makeContext, SystemClock, systemActor } from '@gantry/platform';
import { cloneTemplate, eventually, testLogger } from '@gantry/platform/testing';
import { makeTokenCertificate } from '@gantry/registry';
import { SyslogReceiverStandIn } from '../../libs/audit/test/rfc5424';
import { makePki } from '../lab/pki';

/** Two worker processes and a syslog receiver, and what is left when they are killed. */
describe('forwarding the audit log from workers that are killed', () => {
  const workers = new Set<ChildProcess>();
  let folder: string;
  let drop: () => Promise<void>;
  let db: Db;
  let audit: Audit;
  let receiver: SyslogReceiverStandIn;
  let env: Record<string, string>;
  let output = '';

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'gantry-forward-'));
    const clone = await cloneTemplate();
    drop = clone.drop;
    const pki = await makePki();
    receiver = new SyslogReceiverStandIn(await pki.server('receiver', ['127.0.0.1']));
    await receiver.listen();
    const token = await makeTokenCertificate();
    const auditKey = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    for (const [name, text] of [['ca.pem', pki.ca], ['token.key', token.key], ['token.crt', token.certificate], ['audit.key', auditKey]] as const) writeFileSync(join(folder, name), text, { mode: 0o600 });
    env = {
      DATABASE_URL: clone.url, GANTRY_ROLE: 'worker', GANTRY_HOME: folder, GANTRY_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'), GANTRY_TOKEN_KEY_FILE: join(folder, 'token.key'), GANTRY_TOKEN_CERT_FILE: join(folder, 'token.crt'),
      GANTRY_AUDIT_KEY_FILE: join(folder, 'audit.key'), GANTRY_REGISTRY_BACKEND_URL: 'http://127.0.0.1:9', GANTRY_AUDIT_SYSLOG_HOST: '127.0.0.1', GANTRY_AUDIT_SYSLOG_PORT: String(receiver.port), GANTRY_AUDIT_SYSLOG_CA_FILE: join(folder, 'ca.pem'),
    };
    db = await Db.open({ url: clone.url, entities: auditEntities, migrations: [], logger: testLogger() });
    audit = new Audit(db, new SystemClock(), AuditKey.fromPem(auditKey));
  }, 300_000);

  afterAll(async () => {
    for (const worker of workers) await end(worker, 'SIGKILL');
    await receiver.kill();
    await db.close();
    await drop();
    rmSync(folder, { recursive: true, force: true });
  });

  const start = (): ChildProcess => {
    const child = spawn(process.execPath, [join(__dirname, '../../bin/gantry.js'), 'worker'], { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (output += bytes.toString()));
    workers.add(child);
    return child;
  };
  const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
    workers.delete(child);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    await gone;
  };
  let written = 0;
  const write = async (count: number): Promise<void> => {
    for (let row = 0; row < count; row += 1) await audit.record(makeContext(systemActor('test')), { action: 'thing.create', outcome: 'success', detail: { n: (written += 1) } });
  };
  const got = (): number[] => receiver.messages.map((message) => Number(new Map(message.data.get('gantry@32473')).get('seq')));
  const arrive = (count: number): Promise<unknown> =>
    eventually(`${count} rows arrive`, () => new Set(got()).size >= count, 120).catch((error: Error) => {
      throw new Error(`${error.message}: ${new Set(got()).size}\n${output.slice(-3000)}`, { cause: error });
    });

  it('loses no row and keeps their order, whichever dies', async () => {
    await write(50);
    let sender = start();
    await arrive(50);
    let other = start();
    for (let round = 1; round <= 2; round += 1) {
      await write(50);
      const seen = new Set(got()).size;
      await eventually('some of them are under way', () => new Set(got()).size > seen, 120);
      await end(sender, 'SIGKILL');
      await write(50);
      // The lease of the dead one runs out, and the other one goes on where it was not known what had arrived.
      await arrive(50 + round * 100);
      [sender, other] = [other, start()];
    }
    await receiver.kill();
    await write(20);
    await receiver.listen();
    await arrive(270);
    await end(other, 'SIGTERM');
    await end(sender, 'SIGTERM');
    expect([...new Set(got())]).toEqual(Array.from({ length: 270 }, (_item, index) => index + 1));
    expect(receiver.faults.filter((fault) => !fault.includes('within a frame'))).toEqual([]);
    // An orderly end knows what has arrived.
    expect(await db.query(makeContext(systemActor('test')), 'select seq from audit_forwarding')).toEqual([{ seq: '270' }]);
    expect(await audit.verify(makeContext(systemActor('test')))).toMatchObject({ ok: true, rows: 270 });
    expect(receiver.mostOpen).toBe(1);
  }, 900_000);
});
