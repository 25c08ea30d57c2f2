import { engineTable, howPassed } from '@gantry/clusters';
import { eventually } from '@gantry/platform/testing';
import { v } from '../bypass/book';
import { Fuzzer, tell, type FuzzReport } from '../fuzz/fuzzer';
import { Stage } from '../fuzz/stage';

const setting = (name: string, preset: number): number => Number(process.env[`FUZZ_${name}`] ?? preset);
const options = { seed: setting('SEED', 20_260), requests: setting('REQUESTS', 50_000), minutes: setting('MINUTES', 60), clients: setting('CLIENTS', 24), batch: setting('BATCH', 5_000) };
/** With so many requests every row is asked for often enough to be sure of it. */
const isWhole = options.requests >= 50_000 && options.minutes >= 10;

/** Calls that are for who sees everything; none of the accounts may get an answer to them out of an engine. */
const administrators: readonly (readonly [row: string, target: string])[] = [
  ['POST /nodes/{id}/update', '/nodes/<node>/update?version=<version>'], ['GET /swarm', '/swarm'],
];

/** Calls for administrators that no test may make on an engine that goes on; here, too, none of the accounts may get an answer out of it. */
const neverMade = ['DELETE /nodes/{id}', 'POST /swarm/update', 'GET /swarm/unlockkey', 'POST /swarm/unlock', 'GET /plugins', 'GET /plugins/{name}/json', 'POST /images/load'];
/** Calls that Gantry answers by itself for who does not see everything, or may use no images of other registries. */
const ownAnswers = [...['containers', 'networks', 'volumes', 'images', 'build'].map((kind) => `POST /${kind}/prune`), 'GET /images/search'];
/** The grammar speaks no HTTP/2, and has no build of BuildKit's to cancel: these are asked for, and refused. `buildkit.e2e` goes through them. */
const withoutWay = ['POST /session', 'POST /grpc', 'POST /build/cancel'];
/** Not known to an engine of API 1.41. */
const tooNew = ['PUT /volumes/{name}'];

const say = (line: string): void => void process.stdout.write(`  fuzz: ${line}\n`);

describe('requests of a grammar against the engine gateway', () => {
  let stage: Stage;
  let report: FuzzReport;
  beforeAll(async () => {
    stage = await Stage.open();
    say(`seed ${options.seed}, ${options.requests} requests, ${options.clients} at once`);
  }, 600_000);
  afterAll(async () => {
    await stage?.close();
  }, 180_000);

  it('lead to nothing that the rules forbid', async () => {
    report = await new Fuzzer(stage, options, say).run();
    const outcomes = Object.entries(report.outcomes).sort(([, a], [, b]) => b - a).map(([name, count]) => `${name}: ${count}`).join(', ');
    say(`${report.sent} requests in ${Math.round(report.seconds)} s; ${outcomes}`);
    for (const failure of report.failures) say(failure.replaceAll('\r\n', ' | '));
    say(`resident memory ${(report.residentBytes.base / 2 ** 20).toFixed(0)} → ${(report.residentBytes.end / 2 ** 20).toFixed(0)} MiB, sockets ${report.sockets.base} → ${report.sockets.end}`);
    if (report.finding) throw new Error(`seed ${options.seed}, after ${report.sent} requests:\n${tell(report.finding)}\n\nThe product's last words:\n${stage.gantry.log().split('\n').filter((line) => /"level":(?:50|60|"error"|"fatal")/.test(line)).slice(-5).join('\n').slice(-6_000)}`);
  }, options.minutes * 60_000 + 1_800_000);

  it('reach the engine often enough to mean something', async () => {
    const passed = engineTable.filter(({ name }) => howPassed(name) !== null).map(({ name }) => name);
    const barred = new Set(administrators.map(([row]) => row));
    for (const name of [...neverMade, ...ownAnswers]) barred.add(name);
    const quiet = passed.filter((name) => !barred.has(name) && !withoutWay.includes(name) && !tooNew.includes(name) && (report.rows.get(name)?.engine ?? 0) === 0);
    const seldom = [...report.rows].filter(([name]) => !barred.has(name)).map(([name, { asked, engine, succeeded }]) => `${name} ${succeeded}/${engine}/${asked}`);
    if (process.env['FUZZ_ROWS']) say(seldom.join('\n        '));
    expect(report.reached).toBeGreaterThanOrEqual(report.sent * 0.03);
    // Which are reached is a matter of what else happens at the time: one may be missed.
    if (isWhole) expect(quiet.slice(1)).toEqual([]);
    for (const name of barred) expect([name, report.rows.get(name)?.engine ?? 0]).toEqual([name, 0]);
    // Who may is not refused: that the accounts got no answer is not for want of one.
    const [node] = await stage.engine<{ ID: string; Version: { Index: number } }[]>('GET', '/nodes');
    for (const [row, target] of administrators) {
      const path = target.replace('<node>', node!.ID).replace('<version>', String(node!.Version.Index));
      const { status } = await stage.ask(stage.admin, row.split(' ')[0]!, `${v}${path}`, row.startsWith('POST /nodes') ? { Role: 'manager', Availability: 'active' } : undefined);
      expect([row, status]).toEqual([row, 200]);
    }
  });

  it('leave the process as it was', async () => {
    expect(stage.isUp()).toBe(true);
    await eventually('its connections are closed', () => stage.openSockets() <= report.sockets.base + 32, 60);
    expect(stage.residentBytes()).toBeLessThan(report.residentBytes.base + 256 * 2 ** 20);
  }, 120_000);
});
