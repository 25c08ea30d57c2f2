import type { FieldError } from '@gantry/platform';
import { clustersProblem } from '../problems';

/** What of the unused objects a prune is to remove, as its caller's filters say. */
export interface PruneFilter {
  /** Whether an object that was made then, with these labels, is meant. `createdAt`: the latest moment at which it can have been made; null: not known, and then `until` spares it. */
  matches(object: { createdAt: Date | null; labels: Readonly<Record<string, string>> }): boolean;
  /** Of volumes: those with names too, and not only those that the engine named. */
  all: boolean;
}

/** Kinds whose prune takes filters that are evaluated here. */
export type PrunedKind = 'container' | 'network' | 'volume';

const known: Record<PrunedKind, readonly string[]> = { container: ['until', 'label', 'label!'], network: ['until', 'label', 'label!'], volume: ['label', 'label!', 'all'] };
const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, 'µs': 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const durationForm = /^(?:\d{1,12}(?:\.\d{0,9})?(?:ns|us|µs|ms|s|m|h))+$/;
const momentForm = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})$/;

/**
 * Reads the filters of a prune: what engines take for the kind, with the meaning that they give it (each `label` must be there; what has every
 * `label!` is spared; at most one `until`).
 * @param named whether named volumes are meant without `all`, as they are below API 1.42
 * @throws clusters.spec-invalid
 */
export function readPruneFilter(kind: PrunedKind, filters: Readonly<Record<string, readonly string[]>> | null, now: Date, named: boolean): PruneFilter {
  const errors: FieldError[] = [];
  const wrong = (detail: string): void => void errors.push({ pointer: '?filters', detail });
  const given = filters ?? {};
  for (const name of Object.keys(given)) if (!known[kind].includes(name) || (name === 'all' && named)) wrong(`invalid filter '${name.slice(0, 64)}'`);
  const until = given['until'] ?? [];
  if (until.length > 1) wrong('more than one until filter specified');
  const limit = until[0] === undefined ? null : readUntil(until[0], now);
  if (until[0] !== undefined && limit === null) wrong('until: a duration such as 24h, seconds since 1970, or a time with its zone such as 2026-01-02T15:04:05Z was expected');
  const all = given['all'] ?? [];
  if (all.length > 1 || all.some((each) => !['1', 'true', '0', 'false'].includes(each))) wrong('all: true or false was expected');
  if (errors.length > 0) throw clustersProblem('spec-invalid', { detail: `${errors[0]!.detail}.`, errors });
  const [wanted, spared] = [given['label'] ?? [], given['label!'] ?? []];
  return {
    all: named || all.some((each) => each === '1' || each === 'true'),
    matches({ createdAt, labels }) {
      if (limit !== null && (createdAt === null || createdAt.getTime() > limit)) return false;
      return hasAll(labels, wanted) && !(spared.length > 0 && hasAll(labels, spared));
    },
  };
}

/** `name` or `name=value`, each of them. */
function hasAll(labels: Readonly<Record<string, string>>, wanted: readonly string[]): boolean {
  return wanted.every((each) => {
    const equals = each.indexOf('=');
    const name = equals < 0 ? each : each.slice(0, equals);
    return Object.hasOwn(labels, name) && (equals < 0 || labels[name] === each.slice(equals + 1));
  });
}

/** Milliseconds since 1970, or null. Times without a zone are the engine's own, which is not known here. */
function readUntil(text: string, now: Date): number | null {
  if (/^\d{1,12}(?:\.\d{1,9})?$/.test(text)) return Number(text) * 1_000;
  if (durationForm.test(text)) {
    let millis = 0;
    for (const [, count, unit] of text.matchAll(/([\d.]+)([a-zµ]+)/g)) millis += Number(count) * units[unit!]!;
    return now.getTime() - millis;
  }
  if (!momentForm.test(text)) return null;
  const moment = Date.parse(text);
  return Number.isNaN(moment) ? null : moment;
}
