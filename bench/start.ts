// `npm start`: seconds to the sample's page, first and again, and the memory of the idle product.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { bench, judge, later, median, progress, ratios, root, show, showSpread, spreadOf, type Findings, type Row } from './lib';
import { Product, temporaryFolder, waitFor } from './product';

const limits = { coldSeconds: 120, warmSeconds: 5, idleBytes: 250e6 };
/** Fewer starts than a peer-to-peer comparison needs: nothing here is a ratio. */
const defaultRounds = 6;

bench(defaultRounds, async (options) => {
  const idleSeconds = Number(options.get('idle', options.rounds < defaultRounds ? '5' : '60'));
  const rows: Row[] = [];
  const notes: string[] = [];
  if (options.has('cold')) {
    const { seconds, steps, browsed } = await cold();
    // One start: no A/A, so a tenth is taken for noise.
    rows.push({ what: 'clone → sample page', value: show(seconds, 's'), limit: `< ${limits.coldSeconds} s`, verdict: judge({ value: seconds, limit: limits.coldSeconds, good: 'below', spread: 0.1 }) });
    notes.push(`Cold, once: git clone of this checkout’s commit, then npm start there on an empty home: ${steps}. ${browsed} The Debian packages were installed before; npm’s download cache was as found.`);
  }

  const product = await Product.prepare();
  progress('first start on an empty home');
  const first = await product.start();
  await page(product);
  rows.push({ what: 'first start, built, empty home', value: show(first, 's') });
  const warm: number[] = [];
  let idle = product.memory();
  for (let round = 0; round < options.rounds; round += 1) {
    await product.stop();
    warm.push(await product.start());
    await page(product);
    progress(`warm start ${round + 1} of ${options.rounds}: ${show(warm[round]!, 's')}`);
  }
  const pairs = { a: warm.filter((_, index) => index % 2 === 0), b: warm.filter((_, index) => index % 2 === 1) };
  const count = Math.min(pairs.a.length, pairs.b.length);
  const spread = count === 0 ? 1 : spreadOf(ratios(pairs.a.slice(0, count), pairs.b.slice(0, count)));
  rows.push(
    { what: 'warm start → sample page, median', value: show(median(warm), 's'), limit: `< ${limits.warmSeconds} s`, verdict: judge({ value: median(warm), limit: limits.warmSeconds, good: 'below', spread }) },
    { what: 'warm starts', value: warm.map((seconds) => show(seconds)).join(', ') + ' s' },
    { what: 'A/A (odd / even starts)', value: showSpread(spread) },
  );
  const steps = Object.entries(product.ready.seconds).map(([name, seconds]) => `${name} ${show(seconds)}`).join(', ');
  notes.push(`${options.rounds} warm starts on the same home and an unchanged build, from the start of the process to ready.json, which is written after the sample’s page has answered. The last one by steps, in seconds: ${steps}.`);

  progress(`idle for ${idleSeconds} s`);
  await wait(idleSeconds * 1000);
  const looks: number[] = [];
  for (let look = 0; look < 5; look += 1) {
    idle = product.memory();
    looks.push(idle.nodeBytes);
    await wait(1000);
  }
  product.assertRuns();
  const bytes = Math.max(...looks);
  rows.push(
    { what: `idle RSS of ${idle.nodes} Node process${idle.nodes === 1 ? '' : 'es'}`, value: show(bytes / 1e6, 'MB'), limit: `< ${limits.idleBytes / 1e6} MB`, verdict: judge({ value: bytes, limit: limits.idleBytes, good: 'below', spread: (bytes - Math.min(...looks)) / bytes }) },
    { what: 'RSS of what it started (PostgreSQL, registry, engine)', value: show(idle.otherBytes / 1e6, 'MB') },
  );
  notes.push(`Memory ${idleSeconds} s after ready${idleSeconds < 60 ? ' (a smoke test: 60 s are the rule)' : ''}: the largest of five looks, one a second; pages that PostgreSQL’s processes share are counted in each.`);
  return { title: 'npm start', rows, notes } satisfies Findings;
});

/** @throws when the sample does not answer, or not as the sample */
async function page(product: Product): Promise<void> {
  const { sampleUrl } = product.ready;
  if (sampleUrl === null) throw new Error('Gantry started without its sample');
  const answer = await fetch(sampleUrl);
  if (!answer.ok || !(await answer.text()).includes('Hello from Gantry')) throw new Error(`${sampleUrl} is not the sample’s page`);
}

/** From `git clone` to the page, in a folder of its own. */
async function cold(): Promise<{ seconds: number; steps: string; browsed: string }> {
  const folder = temporaryFolder();
  const checkout = join(folder, 'gantry');
  const begin = performance.now();
  progress('cold: cloning');
  // The transport of a real clone, not hard links to this repository's objects.
  await run('git', ['clone', '--quiet', '--no-local', root, checkout]);
  const cloned = (performance.now() - begin) / 1000;
  const product = await Product.prepare({ checkout });
  progress('cold: npm, build, start');
  const rest = await product.start(600);
  await page(product);
  const seconds = (performance.now() - begin) / 1000;
  const steps = [['git clone', cloned] as const, ...Object.entries(product.ready.seconds)].map(([name, value]) => `${name} ${show(value)}`).join(', ');
  await product.stop();
  return { seconds, steps: `${steps} s; npm start in all ${show(rest, 's')}`, browsed: `${readdirSync(join(checkout, 'node_modules')).length} folders in node_modules.` };
}

async function run(file: string, argv: string[]): Promise<void> {
  const child = spawn(file, argv, { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
  let code: number | null = null;
  let failed: Error | null = null;
  child.once('error', (error) => (failed = error));
  child.once('close', (exit) => (code = exit ?? 1));
  later(file, () => (code === null ? child.kill('SIGTERM') : undefined));
  await waitFor(`${file} ends`, 300, () => {
    if (failed) throw failed;
    return code === null ? null : true;
  });
  if (code !== 0) throw new Error(`${file} ${argv.join(' ')} ended with ${code ?? 'nothing'}`);
}
