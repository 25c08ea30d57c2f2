// Filtered lists of an engine: the splice of its own bytes beside parsing, filtering and serialising, on the same answer in the same run.
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Transform, Writable, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { listFilter, swarmForm, Verdicts } from '@gantry/clusters';
import { bench, fullRounds, interleave, judge, later, median, percentile, progress, ratios, show, showSpread, spreadOf, type Row } from './lib';

const count = 10_000;
const pieceBytes = 64 * 1024;
/** One service as engines answer small ones (0.8 KB), and with what people put into them (2.5 KB). */
type Size = 'small' | 'large';

/** Letters and digits that follow from a number. */
function name(seed: number, length: number): string {
  let state = (seed * 2_654_435_761) % 2_147_483_647 || 1;
  let text = '';
  while (text.length < length) {
    state = (state * 16_807) % 2_147_483_647;
    text += state.toString(36);
  }
  return text.slice(0, length);
}

const digest = (seed: number): string => Buffer.from(name(seed, 32), 'latin1').toString('hex');

/** A service as engines write it. */
function service(index: number, size: Size): object {
  const spec = (revision: number): object => ({
    Name: `shop-${index}_web`, Labels: { 'com.docker.stack.image': 'registry.example.test:5000/shop/web:1.4', 'com.docker.stack.namespace': `shop-${index}` },
    TaskTemplate: {
      ContainerSpec: {
        Image: `registry.example.test:5000/shop/web:1.4@sha256:${digest(index)}`, Labels: { 'com.docker.stack.namespace': `shop-${index}` },
        ...(size === 'large' ? {
          Env: Array.from({ length: 6 }, (_, at) => `SETTING_${at}=${name(index * 100 + at + revision, 24)}`), Args: ['--listen', '0.0.0.0:8080', '--say', '"quoted"\n'], Privileges: { CredentialSpec: null, SELinuxContext: null },
          Mounts: [{ Type: 'volume', Source: `shop-${index}_data`, Target: '/data', VolumeOptions: { Labels: { 'com.docker.stack.namespace': `shop-${index}` } } }], StopGracePeriod: 10_000_000_000, DNSConfig: {},
        } : {}), Isolation: 'default',
      },
      Resources: {}, ForceUpdate: revision, Runtime: 'container', Networks: [{ Target: name(index + 7, 25), Aliases: ['web'] }],
    },
    Mode: { Replicated: { Replicas: 2 } },
    ...(size === 'large' ? { UpdateConfig: { Parallelism: 1, FailureAction: 'pause', Monitor: 5_000_000_000, MaxFailureRatio: 0, Order: 'stop-first' }, EndpointSpec: { Mode: 'vip', Ports: [{ Protocol: 'tcp', TargetPort: 8080, PublishedPort: 30_000 + index, PublishMode: 'ingress' }] } } : {}),
  });
  return {
    ID: name(index + 1, 25), Version: { Index: index + 12 }, CreatedAt: '2026-03-04T05:06:07.123456789Z', UpdatedAt: '2026-03-04T05:06:08.987654321Z', Spec: spec(1), ...(size === 'large' ? { PreviousSpec: spec(0) } : {}),
    Endpoint: { Spec: { Mode: 'vip' }, VirtualIPs: [{ NetworkID: name(index + 7, 25), Addr: `10.0.${index % 250}.2/24` }] },
  };
}

function answer(size: Size): { body: Buffer; visible: Set<string> } {
  const services = Array.from({ length: count }, (_, index) => service(index, size));
  return { body: Buffer.from(`${JSON.stringify(services)}\n`), visible: new Set(services.filter((_, index) => index % 10 === 3).map((each) => (each as { ID: string }).ID)) };
}

if (process.argv[2] === 'engine') {
  const bodies = { small: answer('small').body, large: answer('large').body };
  createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(bodies[request.url!.slice(1) as Size]);
  }).listen(process.argv[3], () => process.send?.('ready'));
  process.on('disconnect', () => process.exit(0));
} else {
  bench(fullRounds, async (options) => {
    const folder = mkdtempSync(join(tmpdir(), 'gantry-bench-lists-'));
    later('the folder', () => rmSync(folder, { recursive: true, force: true }));
    const socketPath = join(folder, 'engine.sock');
    const engine = fork(__filename, ['engine', socketPath], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], detached: true });
    later('the engine', () => engine.kill('SIGKILL'));
    progress('making answers');
    const answers = { small: answer('small'), large: answer('large') };
    await ready(engine);

    const filters = (size: Size): Record<'splice' | 'spliceAgain' | 'parse' | 'pass', () => Transform[]> => {
      const { visible } = answers[size];
      const verdicts = new Verdicts(swarmForm.idBytes);
      const splice = (): Transform[] => [listFilter({ at: '', wanted: [['ID']], form: swarmForm, known: () => verdicts, keep: ([id]) => id !== undefined && visible.has(id) })];
      return { splice, spliceAgain: splice, parse: () => [new ParseFilter(visible)], pass: () => [] };
    };
    const expected = { small: kept(answers.small), large: kept(answers.large) };
    const arms: Record<string, () => Promise<Measured>> = {};
    for (const size of ['small', 'large'] as const) {
      const pieces = Array.from({ length: Math.ceil(answers[size].body.length / pieceBytes) }, (_, index) => answers[size].body.subarray(index * pieceBytes, (index + 1) * pieceBytes));
      for (const [arm, make] of Object.entries(filters(size))) {
        const want = arm === 'pass' ? answers[size].body : expected[size];
        if (arm !== 'pass') arms[`${size} memory ${arm}`] = () => measure(() => Promise.resolve(inTurns(pieces)), make, want);
        if (arm !== 'spliceAgain') arms[`${size} socket ${arm}`] = () => measure(() => ask(socketPath, size), make, want);
      }
    }
    progress('warming up');
    for (let turn = 0; turn < 3; turn += 1) for (const arm of Object.values(arms)) await arm();
    const found = await interleave(options.rounds, arms);
    const millis = (arm: string): number[] => found[arm]!.map((each) => each.millis);
    const rows: Row[] = [];
    let noise = 0;
    for (const size of ['large', 'small'] as const) {
      const aa = ratios(millis(`${size} memory splice`), millis(`${size} memory spliceAgain`));
      const spread = spreadOf(aa);
      noise = Math.max(noise, spread);
      const faster = median(ratios(millis(`${size} memory parse`), millis(`${size} memory splice`)));
      const added = median(millis(`${size} socket splice`)) - median(millis(`${size} socket pass`));
      const blocked = Math.max(...['memory', 'socket'].flatMap((way) => found[`${size} ${way} splice`]!.map(({ blockedMillis }) => blockedMillis)));
      const megabytes = answers[size].body.length / 1e6;
      rows.push(
        { what: `${show(megabytes, 'MB')}: splice, from memory`, value: `${show(median(millis(`${size} memory splice`)), 'ms')} (${show((megabytes / median(millis(`${size} memory splice`))) * 1000, 'MB/s')})` },
        { what: `${show(megabytes, 'MB')}: parse, filter, serialise`, value: show(median(millis(`${size} memory parse`)), 'ms') },
        { what: `${show(megabytes, 'MB')}: splice is faster by`, value: `${show(faster)} ×`, limit: '≥ 5 ×', verdict: judge({ value: faster, limit: 5, good: 'above', spread }) },
        { what: `${show(megabytes, 'MB')}: from a socket, whole answer`, value: `splice ${show(median(millis(`${size} socket splice`)), 'ms')}, parse ${show(median(millis(`${size} socket parse`)), 'ms')}, unfiltered ${show(median(millis(`${size} socket pass`)), 'ms')}` },
        size === 'small'
          ? { what: `${show(megabytes, 'MB')}: added by the splice, p50`, value: show(added, 'ms'), limit: '< 10 ms', verdict: judge({ value: Math.max(added, 0.01), limit: 10, good: 'below', spread }) }
          : { what: `${show(megabytes, 'MB')}: added by the splice, p50`, value: show(added, 'ms') },
        { what: `${show(megabytes, 'MB')}: longest blocked, splice`, value: show(blocked, 'ms'), limit: '< 20 ms', verdict: judge({ value: blocked, limit: 20, good: 'below', spread }) },
        { what: `${show(megabytes, 'MB')}: blocked by parsing, median`, value: show(median(found[`${size} memory parse`]!.map(({ blockedMillis }) => blockedMillis)), 'ms') },
      );
    }
    rows.push({ what: 'A/A (splice / splice)', value: showSpread(noise) });
    return {
      title: 'Filtered lists of an engine',
      rows,
      notes: [
        `${options.rounds} rounds${options.rounds < fullRounds ? ' (a smoke test: not enough to quote)' : ''}, arms interleaved; ${count.toLocaleString('en-US')} services of which 10 % are kept, in pieces of 64 KiB from memory, or from another process on a Unix socket.`,
        'Every output is compared with the expected bytes. Decisions are remembered between calls, as the gateway does, and looked up in a set where they are not. Blocked: the longest time in which the event loop did not turn, at a resolution of 1 ms.',
        `p99 of the splice from memory: ${(['large', 'small'] as const).map((size) => show(percentile(millis(`${size} memory splice`), 99), 'ms')).join(', ')}.`,
      ],
    };
  });
}

/** Gives one piece each time that the event loop turns, as a socket does at its fastest. */
function inTurns(pieces: readonly Buffer[]): Readable {
  let next = 0;
  return new Readable({
    read() {
      setImmediate(() => this.push(pieces[next++] ?? null));
    },
  });
}

interface Measured {
  millis: number;
  blockedMillis: number;
}

/** What must come out. */
function kept({ body, visible }: { body: Buffer; visible: Set<string> }): Buffer {
  return Buffer.from(`${JSON.stringify((JSON.parse(body.toString()) as { ID: string }[]).filter(({ ID }) => visible.has(ID)))}\n`);
}

/** @throws when something else comes out than what should */
async function measure(open: () => Promise<Readable>, filters: () => Transform[], expected: Buffer): Promise<Measured> {
  const out: Buffer[] = [];
  const sink = new Writable({
    highWaterMark: 1024 * 1024,
    write(chunk: Buffer, _encoding, callback) {
      out.push(chunk);
      callback();
    },
  });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  // The first turn that it sees is what it counts from.
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.reset();
  await new Promise((resolve) => setTimeout(resolve, 5));
  const begin = performance.now();
  await pipeline([await open(), ...filters(), sink]);
  const millis = performance.now() - begin;
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.disable();
  if (!Buffer.concat(out).equals(expected)) throw new Error('not the answer that should come out');
  return { millis, blockedMillis: delay.max / 1e6 };
}

class ParseFilter extends Transform {
  private readonly pieces: Buffer[] = [];

  constructor(private readonly visible: ReadonlySet<string>) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.pieces.push(chunk);
    callback();
  }

  override _flush(callback: TransformCallback): void {
    const services = JSON.parse(Buffer.concat(this.pieces).toString()) as { ID: string }[];
    this.push(Buffer.from(`${JSON.stringify(services.filter(({ ID }) => this.visible.has(ID)))}\n`));
    callback();
  }
}

function ask(socketPath: string, size: Size): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ socketPath, path: `/${size}`, agent: false }, (response) => (response.statusCode === 200 ? resolve(response) : reject(new Error(`status ${response.statusCode}`)))).once('error', reject);
  });
}

function ready(engine: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    engine.once('message', () => resolve()).once('exit', (code) => reject(new Error(`the engine ended with ${code}`)));
  });
}
