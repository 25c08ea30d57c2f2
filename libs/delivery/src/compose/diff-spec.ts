import type { ServiceSpec } from './to-specs';
import { byCode } from './values';

/** One field of a service that a deployment would change; null is absent. What may be a secret reads `***` on both sides. */
export interface SpecChange {
  /** Dotted path of engine names; items of lists are named in brackets: `TaskTemplate.ContainerSpec.Env[LOG_LEVEL]`. */
  path: string;
  from: unknown;
  to: unknown;
}

/** A spec as the engine returns it: ours, or with what the engine and other clients added. */
export type CurrentSpec = Record<string, unknown>;

const container = 'TaskTemplate.ContainerSpec';

/** Lists whose items have an identity, so that moving or adding one does not read as a change of all. */
const identities: Record<string, (item: Record<string, unknown>) => string> = {
  [`${container}.Mounts`]: (item) => String(item.Target),
  [`${container}.Configs`]: (item) => String((item.File as { Name?: unknown } | undefined)?.Name),
  [`${container}.Secrets`]: (item) => String((item.File as { Name?: unknown } | undefined)?.Name),
  [`${container}.Ulimits`]: (item) => String(item.Name),
  'TaskTemplate.Networks': (item) => String(item.Target),
  'EndpointSpec.Ports': (item) => `${Number(item.PublishedPort ?? 0)}:${Number(item.TargetPort)}/${String(item.Protocol)}`,
};

/** Ids stand beside a name that tells the same and that does not change from cluster to cluster. */
const skipped = /\.(ConfigID|SecretID)$/;

const secretName = /pass(word|wd|phrase)?|secret|token|credential|auth|api_?-?key|private|(^|[_.-])(key|pwd|pw|pat|dsn|sas)($|[_.-])/i;
const secretText =
  /:\/\/[^\s/@]+@|(pass(word|wd|phrase)?|secret|token|credentials?|api_?-?key)["']?\s*[=:]\s*\S|-----BEGIN [A-Z ]*PRIVATE KEY/i;

/**
 * The changes that turn the engine's `current` spec into `desired`, in the order of their paths; empty if there is nothing to do.
 * Counted are the fields that `desired` sets, and those that `previous` (the spec of an earlier release of ours) set and
 * `desired` no longer does. What the engine or others added is left out. Zero values count as absent, as in the engine.
 * `networkNames` maps the ids that the engine stores in place of network names.
 */
export function diffSpec(
  desired: ServiceSpec,
  current: CurrentSpec | null,
  options: { previous?: ServiceSpec | null; networkNames?: Record<string, string> } = {},
): SpecChange[] {
  const names = options.networkNames ?? {};
  const to = flatten(desired, names);
  const from = flatten(current ?? {}, names);
  const before = flatten(options.previous ?? {}, names);
  const changes: SpecChange[] = [];
  for (const path of [...new Set([...to.keys(), ...before.keys()])].sort(byCode)) {
    const [old, next] = [from.get(path), to.get(path)];
    if (same(path, old, next)) continue;
    const hidden = isSecret(path, old) || isSecret(path, next);
    changes.push({ path, from: shown(old, hidden), to: shown(next, hidden) });
  }
  return changes;
}

/** Every leaf of a spec by its path; empty lists and maps are left out. */
function flatten(spec: object, networkNames: Record<string, string>): Map<string, unknown> {
  const leaves = new Map<string, unknown>();
  const visit = (value: unknown, path: string): void => {
    if (Array.isArray(value)) {
      const identity = Object.hasOwn(identities, path) ? identities[path] : undefined;
      if (path === `${container}.Env`) {
        for (const entry of value.map(String)) {
          const equals = entry.indexOf('=');
          leaves.set(`${path}[${equals === -1 ? entry : entry.slice(0, equals)}]`, equals === -1 ? '(unset)' : entry.slice(equals + 1));
        }
      } else if (identity !== undefined) {
        for (const item of value as Record<string, unknown>[]) {
          const named = path === 'TaskTemplate.Networks' ? { ...item, Target: resolve(item.Target, networkNames) } : item;
          visit(named, `${path}[${identity(named)}]`);
        }
      } else if (value.length > 0) {
        leaves.set(path, value);
      }
    } else if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value);
      // An empty mode, as in {"Global": {}}, says something by being there.
      if (entries.length === 0 && path.startsWith('Mode.')) leaves.set(path, {});
      for (const [key, item] of entries) visit(item, path === '' ? key : `${path}.${key}`);
    } else if (!skipped.test(path)) {
      leaves.set(path, value);
    }
  };
  visit(spec, '');
  return leaves;
}

function resolve(target: unknown, networkNames: Record<string, string>): unknown {
  return typeof target === 'string' && Object.hasOwn(networkNames, target) ? networkNames[target] : target;
}

function isZero(value: unknown): boolean {
  return value === undefined || value === null || value === '' || value === 0 || value === false;
}

/** In maps of texts, and in the environment, an empty text is a value. */
function isFreeMap(path: string): boolean {
  return /(^|\.)((Labels|Sysctls|Options|DriverOpts)\.|Env\[)/.test(path);
}

function same(path: string, a: unknown, b: unknown): boolean {
  if (isZero(a) && isZero(b) && !isFreeMap(path)) return true;
  return JSON.stringify(a) === JSON.stringify(b);
}

function isSecret(path: string, value: unknown): boolean {
  const name = /\[([^\]]*)\]$/.exec(path)?.[1] ?? /(?:^|\.)(?:Labels|Sysctls|Options|DriverOpts)\.(.*)$/.exec(path)?.[1];
  if (name !== undefined && secretName.test(name)) return true;
  const texts = Array.isArray(value) ? value.map(String) : typeof value === 'string' ? [value] : [];
  // A flag and its value may be two words: --password hunter2.
  return texts.some(
    (text, index) =>
      secretText.test(text) || (index > 0 && (texts[index - 1] ?? '').startsWith('-') && secretName.test(texts[index - 1] ?? '')),
  );
}

function shown(value: unknown, hidden: boolean): unknown {
  if (value === undefined) return null;
  return hidden ? '***' : value;
}
