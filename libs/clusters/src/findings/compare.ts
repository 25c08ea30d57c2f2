import type { OwnedKind } from '../gateway/ownership-index';
import type { WatchMode } from '../cluster.entity';

/** NOTIFY channel with the id of a cluster on which something is to be looked at, or done. */
export const findingsChannel = 'gantry_findings';

/** Kinds of objects that are compared. */
export const findingKinds = ['container', 'service', 'network', 'volume', 'secret', 'config', 'image'] as const;
/** One of `findingKinds`. */
export type FindingKind = OwnedKind | 'image';

/**
 * - `seen`: it was there once; not told of, and forgotten when it turns out to be somebody's or to be gone;
 * - `baseline`: it was there before the cluster was watched; listed, no alarm;
 * - `flagged`; `acknowledged`: somebody knows; `quarantined`: stopped; `releasing`: a worker is to undo that, and then it is acknowledged;
 * - `owned`: it belongs to somebody by now; `gone`: it is there no longer, or no longer against a policy.
 */
export const findingStates = ['seen', 'baseline', 'flagged', 'acknowledged', 'quarantined', 'releasing', 'owned', 'gone'] as const;
/** One of `findingStates`. */
export type FindingState = (typeof findingStates)[number];

/** An object that an engine has, without what is the engine's or the swarm's own. */
export interface SeenObject {
  kind: FindingKind;
  /** Node on which it is; '' for what is the swarm's. */
  nodeId: string;
  /** A volume's is its name. */
  id: string;
  name: string;
  image: string;
  /** Runs, or has the swarm run something. */
  active: boolean;
  /** What its label `io.gantry.claim` says; whoever made it may have written anything. */
  claim: string | null;
  /** It says that it is a swarm's task, and the swarm does not say which: it may be about to, or not know it any more. */
  unlisted: boolean;
  /** Of an image: the digests that it was pulled or pushed by, `repository@digest`. */
  digests: readonly string[];
}

/** What our own records say of the objects that were seen. Read after the engine was asked. */
export interface Records {
  /** `<kind> <id>` of all that belongs to somebody. */
  bound: ReadonlySet<string>;
  /** Claims without an object, by id, with the claim's kind. */
  claims: ReadonlyMap<string, string>;
  /** `<kind> <name>` of what was promised a name, by a claim without an object or by delivery, which may be making its object anew. */
  names: ReadonlySet<string>;
}

/** A finding, as far as the comparison goes by it. */
export interface FindingRow {
  id: string;
  kind: FindingKind;
  nodeId: string;
  engineId: string;
  state: FindingState;
  firstSeen: Date;
}

/** How long something may be nobody's before it is told of. */
export interface Grace {
  /** So that what was removed while we looked, or is bound the next moment, is no finding. */
  settleMillis: number;
  /** For what may belong to a create under way. A label alone gives no more than this: it can be copied. */
  arrivingMillis: number;
}

/** What a comparison says is to be done. */
export interface Plan {
  baseline: SeenObject[];
  appeared: SeenObject[];
  flagged: { row: FindingRow; object: SeenObject }[];
  owned: FindingRow[];
  gone: FindingRow[];
  /** Seen once, and somebody's or gone since. */
  forgotten: FindingRow[];
  /** Still there, and still nobody's. */
  still: FindingRow[];
  /** To be stopped, or to be stopped again. */
  stop: { row: FindingRow; object: SeenObject }[];
  /** To be let go again. */
  undo: FindingRow[];
  /** When to look again, and at what: in how many milliseconds something is ripe. Null: nothing is. */
  due: { millis: number; kinds: Set<FindingKind> } | null;
}

/** What the comparison goes by. */
export interface Compared {
  seen: readonly SeenObject[];
  records: Records;
  /** All that are not over, of the kinds and the node that were looked at. */
  rows: readonly FindingRow[];
  /** Nodes ('' for the swarm) that have a baseline. */
  watched: ReadonlySet<string>;
  mode: WatchMode;
  now: Date;
  grace: Grace;
}

/**
 * Compares what an engine has with what we know to have made. Pure: the same engine and the same records give the same plan, so that a process that
 * dies anywhere is resumed by the next comparison. Labels are believed in nothing: one that names a claim without an object only buys the time
 * in which a claim is bound.
 */
export function compare({ seen, records, rows, watched, mode, now, grace }: Compared): Plan {
  const plan: Plan = { baseline: [], appeared: [], flagged: [], owned: [], gone: [], forgotten: [], still: [], stop: [], undo: [], due: null };
  const known = new Map(rows.map((row) => [key(row.kind, row.nodeId, row.engineId), row]));
  const found = new Set<string>();
  const later = (millis: number, kind: FindingKind): void => {
    plan.due ??= { millis, kinds: new Set() };
    plan.due.millis = Math.min(plan.due.millis, millis);
    plan.due.kinds.add(kind);
  };
  for (const object of seen) {
    const at = key(object.kind, object.nodeId, object.id);
    found.add(at);
    const row = known.get(at);
    if (records.bound.has(`${object.kind} ${object.id}`)) {
      if (row) (row.state === 'seen' ? plan.forgotten : plan.owned).push(row);
      continue;
    }
    if (!row) {
      if (watched.has(object.nodeId)) {
        plan.appeared.push(object);
        later(grace.settleMillis, object.kind);
      } else {
        plan.baseline.push(object);
      }
      continue;
    }
    plan.still.push(row);
    if (row.state === 'releasing') {
      plan.undo.push(row);
      continue;
    }
    let isFlagged = row.state === 'flagged';
    if (row.state === 'seen') {
      const left = row.firstSeen.getTime() + (isArriving(object, records) ? grace.arrivingMillis : grace.settleMillis) - now.getTime();
      if (left > 0) {
        later(left, object.kind);
        continue;
      }
      plan.flagged.push({ row, object });
      isFlagged = true;
    }
    if (mode === 'quarantine' && canStop(object.kind) && (isFlagged || (row.state === 'quarantined' && object.active))) plan.stop.push({ row, object });
  }
  for (const row of rows) {
    if (!found.has(key(row.kind, row.nodeId, row.engineId))) (row.state === 'seen' ? plan.forgotten : plan.gone).push(row);
  }
  return plan;
}

/** Whether a finding of the kind can be quarantined: the rest runs nothing. */
export function canStop(kind: FindingKind): kind is 'container' | 'service' {
  return kind === 'container' || kind === 'service';
}

/** Whether it may be what a create under way has just made. */
function isArriving({ kind, name, claim, unlisted }: SeenObject, { claims, names }: Records): boolean {
  return unlisted || names.has(`${kind} ${name}`) || (claim !== null && claims.get(claim) === kind);
}

function key(kind: string, nodeId: string, id: string): string {
  return `${kind} ${nodeId} ${id}`;
}
