import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

/** The checkout; compiled benches lie in `dist/bench`. */
export const root = join(__dirname, '../..');

/** What a bench was told on the command line. */
export interface BenchOptions {
  /** How often every arm is measured. */
  rounds: number;
  /** Other `--name value` options; flags without a value are `true`. */
  get(name: string, preset: string): string;
  has(name: string): boolean;
}

/** One line of a bench's table. */
export interface Row {
  what: string;
  value: string;
  limit?: string;
  verdict?: Verdict;
}

/** What a bench found. */
export interface Findings {
  title: string;
  rows: Row[];
  /** Sentences below the table: what was measured, and how. */
  notes: string[];
}

/** `undecided`: the noise of this very run (its A/A row) is larger than the distance to the limit. */
export type Verdict = 'PASS' | 'FAIL' | 'undecided';

/** Fewer rounds than this are a smoke test: verdicts are printed, but not to be quoted. */
export const fullRounds = 15;

// --- figures ---

/** The middle of some numbers. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  if (sorted.length === 0) throw new Error('no figures');
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** The nearest-rank percentile; `p` is 0 to 100. Below 100 values the 99th is the largest one. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) throw new Error('no figures');
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)]!;
}

/** Pairwise `a / b`, one of each round: what both suffered in a round cancels out. */
export function ratios(a: readonly number[], b: readonly number[]): number[] {
  return a.map((value, index) => value / b[index]!);
}

/**
 * Noise of a run from its A/A row: how far the median ratio of two arms that do the same may lie from 1. It is the farther end of the
 * bootstrapped 95 % interval of that median (2,000 resamples with a fixed seed, so that the same figures give the same answer).
 */
export function spreadOf(aa: readonly number[]): number {
  let seed = 20_011;
  const random = (): number => {
    seed = (seed * 16_807) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const medians = Array.from({ length: 2000 }, () => median(aa.map(() => aa[Math.floor(random() * aa.length)]!)));
  return Math.max(Math.abs(1 - percentile(medians, 2.5)), Math.abs(percentile(medians, 97.5) - 1));
}

/** Holds a figure against its limit, as long as it is farther from it than the run's own noise. */
export function judge(figure: { value: number; limit: number; good: 'below' | 'above'; spread: number }): Verdict {
  const { value, limit, good, spread } = figure;
  if (Math.abs(value / limit - 1) <= spread) return 'undecided';
  return (good === 'below' ? value < limit : value > limit) ? 'PASS' : 'FAIL';
}

/** `12.3 ms`, `1.2 MB/s`: three figures that mean something. */
export function show(value: number, unit = ''): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })}${unit === '' ? '' : ` ${unit}`}`;
}

/** `± 4 %` */
export function showSpread(spread: number): string {
  return `± ${(spread * 100).toFixed(spread < 0.1 ? 1 : 0)} %`;
}

// --- rounds ---

/**
 * Measures every arm once per round, in an order that turns with each round and is reversed in every other one, so that no arm always follows
 * the same one. Any error ends the run: a figure with failures in it is no figure.
 */
export async function interleave<T>(rounds: number, arms: Record<string, () => Promise<T>>): Promise<Record<string, T[]>> {
  const names = Object.keys(arms);
  const results: Record<string, T[]> = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    const turned = names.map((_, index) => names[(index + Math.floor(round / 2)) % names.length]!);
    for (const name of round % 2 === 0 ? turned : turned.reverse()) results[name]!.push(await arms[name]!());
    progress(`round ${round + 1} of ${rounds}`);
  }
  return results;
}

/** Says on standard error how far it is. */
export function progress(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K  ${text}` : `  ${text}\n`);
}

// --- the run of a bench ---

const undo: { what: string; work: () => Promise<unknown> | unknown }[] = [];

/** Has something ended or removed when the bench ends, in whatever way; last made, first ended. */
export function later(what: string, work: () => Promise<unknown> | unknown): void {
  undo.push({ what, work });
}

/** Ends now what `later` has collected. */
export async function cleanUp(): Promise<boolean> {
  let clean = true;
  for (let entry = undo.pop(); entry !== undefined; entry = undo.pop()) {
    try {
      await entry.work();
    } catch (error) {
      clean = false;
      process.stderr.write(`\n${entry.what} could not be ended: ${(error as Error).message}\n`);
    }
  }
  return clean;
}

/** Runs a bench as a program: reads its options, prints its table, and ends what it started. Exit 0: nothing failed; 1: a limit is missed; 2: the run is void. */
export function bench(rounds: number, run: (options: BenchOptions) => Promise<Findings>): void {
  const { values } = parseArgs({ strict: false, allowPositionals: true, options: { rounds: { type: 'string' }, out: { type: 'string' } } });
  const given = (name: string): string | undefined => (typeof values[name] === 'string' ? values[name] : undefined);
  const options: BenchOptions = {
    rounds: Number(given('rounds') ?? rounds),
    has: (name) => values[name] !== undefined,
    get: (name, preset) => given(name) ?? argumentAfter(`--${name}`) ?? preset,
  };
  let ending = false;
  const finish = async (code: number): Promise<void> => {
    if (ending) return;
    ending = true;
    const clean = await cleanUp();
    process.exit(clean ? code : 2);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void finish(130));
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      process.stderr.write(`\nvoid: ${describe(error)}\n`);
      void finish(2);
    });
  }
  const work = async (): Promise<number> => {
    if (!Number.isInteger(options.rounds) || options.rounds < 1) throw new Error('--rounds is a whole number from 1');
    const found = await run(options);
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    process.stdout.write(`\n${table(found)}\n`);
    const out = given('out');
    if (out !== undefined) {
      mkdirSync(dirname(out), { recursive: true });
      writeFileSync(out, JSON.stringify({ ...found, rounds: options.rounds, machine: machineNotes() }));
    }
    return found.rows.some(({ verdict }) => verdict === 'FAIL') ? 1 : 0;
  };
  work().then(
    (code) => finish(code),
    (error: unknown) => {
      // What ends the bench also breaks what it was just doing.
      if (!ending) process.stderr.write(`\nvoid: ${describe(error)}\n`);
      return finish(2);
    },
  ).catch((error: unknown) => {
    process.stderr.write(`${describe(error)}\n`);
    process.exit(2);
  });
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** `parseArgs` takes options that it does not know for flags; their values are positionals that follow. */
function argumentAfter(flag: string): string | undefined {
  const index = process.argv.indexOf(flag);
  const next = index < 0 ? undefined : process.argv[index + 1];
  return next === undefined || next.startsWith('--') ? undefined : next;
}

/** A Markdown table with its notes. */
export function table({ title, rows, notes }: Findings): string {
  const cells = [['', 'measured', 'limit', ''], ...rows.map(({ what, value, limit, verdict }) => [what, value, limit ?? '', verdict ?? ''])];
  const widths = cells[0]!.map((_, column) => Math.max(3, ...cells.map((row) => row[column]!.length)));
  const line = (row: string[]): string => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`;
  const [head, ...body] = cells;
  return [`### ${title}`, '', line(head!), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...body.map(line), '', ...notes.map((note) => `- ${note}`), ''].join('\n');
}

/** What the figures depend on. No host name: nobody needs it. */
export function machineNotes(): string {
  const version = (file: string, argv: string[], pattern: RegExp): string => pattern.exec(spawnSync(file, argv, { encoding: 'utf8' }).stdout ?? '')?.[1] ?? 'none';
  return [
    `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}`, `${Math.round(totalmem() / 2 ** 30)} GiB`, `Linux ${release()}`, `Node ${process.versions.node}`,
    `dockerd ${version('dockerd', ['--version'], /version ([\d.]+)/)}`, `Distribution ${version('docker-registry', ['--version'], /(\d+\.\d+\.\d+)/)}`,
    `load ${loadavg().map((load) => load.toFixed(1)).join(' ')}`,
  ].join(', ');
}
