import { open, readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import type { INestApplicationContext } from '@nestjs/common';
import { Audit, openCheckpoint, verifyExport, type AuditOutcome, type AuditSearch, type Verification } from '@gantry/audit';
import { Problem, systemContext } from '@gantry/platform';

/** Runs work with every room, on the database of the settings. */
type WithRooms = (work: (app: INestApplicationContext) => Promise<number>) => Promise<number>;

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** Wrong usage: said in one line, exit code 2. */
class UsageError extends Error {}

async function guarded(name: string, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    const usage = error instanceof UsageError || (typeof code === 'string' && code.startsWith('ERR_PARSE_ARGS'));
    if (!usage && !(error instanceof Problem) && !(typeof code === 'string' && /^E[A-Z]+$/.test(code))) throw error;
    process.stderr.write(`gantry audit ${name}: ${error instanceof Problem ? error.detail : (error as Error).message}\n`);
    return usage ? 2 : 1;
  }
}

/** `gantry audit checkpoint`: prints the newest signed checkpoint with its public key as JSON. @returns the exit code */
export function checkpoint(args: string[], withRooms: WithRooms): Promise<number> {
  return guarded('checkpoint', async () => {
    parseArgs({ args, options: {} });
    return withRooms(async (app) => {
      const audit = app.get(Audit);
      const ctx = systemContext('cli.audit');
      await audit.sealPending(ctx);
      const found = await audit.findCheckpoint(ctx);
      if (!found) throw new UsageError('nothing is sealed yet');
      say(JSON.stringify(found, null, 2));
      return 0;
    });
  });
}

/**
 * `gantry audit verify`: the chain in the database, or with `--file` that in an exported file, without a database or settings.
 * @returns the exit code: 0 whole, 1 broken
 */
export function verify(args: string[], withRooms: WithRooms): Promise<number> {
  return guarded('verify', async () => {
    const { values } = parseArgs({ args, options: { file: { type: 'string' }, checkpoint: { type: 'string' }, key: { type: 'string', multiple: true } } });
    const given = await Promise.all((values.key ?? []).map((file) => readFile(file, 'utf8')));
    const saved = values.checkpoint === undefined ? null : openCheckpoint(await readFile(values.checkpoint, 'utf8'), given);
    const options = { publicKeys: saved?.publicKeys ?? given, ...(saved ? { anchor: saved.checkpoint } : {}) };
    if (values.file !== undefined) {
      if (options.publicKeys.length === 0) throw new UsageError('a file proves nothing by itself: give --checkpoint with a saved checkpoint, or --key with the public key');
      const handle = await open(values.file);
      return tell(await verifyExport(handle.createReadStream({ highWaterMark: 1024 * 1024 }), options), saved?.checkpoint.seq ?? null);
    }
    return withRooms(async (app) => {
      const audit = app.get(Audit);
      const ctx = systemContext('cli.audit');
      await audit.sealPending(ctx);
      return tell(await audit.verify(ctx, options), saved?.checkpoint.seq ?? null);
    });
  });
}

function tell(report: Verification, savedSeq: number | null): number {
  if (!report.ok) {
    say(`The audit record is broken at row ${report.seq}${report.id ? ` (${report.id})` : ''}: ${report.reason}: ${report.detail}`);
    return 1;
  }
  say(`The audit record is whole: ${report.rows} rows, ${report.checkpoints} checkpoints.`);
  if (report.removed) say(`Retention removed the ${report.removed.rows} rows before them, all older than ${report.removed.before}; this is signed.`);
  if (savedSeq !== null) {
    say(report.anchored
      ? `It agrees with the saved checkpoint at row ${savedSeq}.`
      : `The saved checkpoint at row ${savedSeq} is among what retention removed and could not be compared with this file; save a newer one.`);
  }
  return 0;
}

const names = ['actor', 'action', 'resource-kind', 'resource-id', 'resource-name', 'outcome', 'request-id', 'from', 'to'] as const;

/** `gantry audit export`: the sealed log, or what fits the filters, as JSON lines on standard output. @returns the exit code */
export function exportLog(args: string[], withRooms: WithRooms): Promise<number> {
  return guarded('export', async () => {
    const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])) });
    const search = searchOf(values);
    return withRooms(async (app) => {
      const audit = app.get(Audit);
      const ctx = systemContext('cli.audit');
      await audit.record(ctx, { action: 'audit.export', outcome: 'success', detail: { ...search } });
      await audit.sealPending(ctx);
      await pipeline(Readable.from(audit.exportLines(ctx, search), { highWaterMark: 1 }), process.stdout, { end: false });
      return 0;
    });
  });
}

function searchOf(values: Record<string, string | undefined>): AuditSearch {
  const time = (name: 'from' | 'to'): { [key in 'from' | 'to']?: Date } => {
    const text = values[name];
    if (text === undefined) return {};
    const date = new Date(text);
    if (Number.isNaN(date.getTime())) throw new UsageError(`--${name} is not a time; write it like 2026-01-31T12:00:00Z`);
    return { [name]: date };
  };
  const { outcome } = values;
  if (outcome !== undefined && !['success', 'refused', 'failed'].includes(outcome)) throw new UsageError('--outcome is success, refused or failed');
  const texts = Object.fromEntries(
    (['actor', 'action', 'resource-kind', 'resource-id', 'resource-name', 'request-id'] as const)
      .filter((name) => values[name] !== undefined)
      .map((name) => [name.replace(/-(.)/, (_match, letter: string) => letter.toUpperCase()), values[name]]),
  );
  return { ...texts, ...time('from'), ...time('to'), ...(outcome === undefined ? {} : { outcome: outcome as AuditOutcome }) };
}
