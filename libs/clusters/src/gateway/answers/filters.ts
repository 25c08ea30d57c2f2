import { setImmediate } from 'node:timers';
import { Transform, type TransformCallback } from 'node:stream';
import { parseStrictJson, RawNumber, StrictJsonError, type StrictJson } from '@gantry/platform';
import { Leap, type Form } from './leap';
import { cut, pass, Splicer, type Plan } from './splice';
import type { Verdicts } from './verdicts';

/** What is read of a larger piece before other work has its turn, in bytes. */
const turnBytes = 256 * 1024;
/** How much of a list goes out at once, but for its beginning: whoever sends it on pays by the piece. */
const parcelBytes = 32 * 1024;

class AnswerFilter extends Transform {
  private readonly splicer: Splicer;
  /** Events go out as they come, and so does what comes first. */
  private atOnce = true;
  private readonly isList: boolean;
  private parcel: Buffer[] = [];
  private parcelLength = 0;

  constructor(plan: Plan) {
    super({ readableHighWaterMark: 256 * 1024, writableHighWaterMark: 256 * 1024 });
    this.splicer = new Splicer(plan);
    this.isList = plan.is !== 'sequence';
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.turn(chunk, 0, callback);
  }

  override _flush(callback: TransformCallback): void {
    this.sendParcel();
    callback(errorOf(() => this.splicer.end()));
  }

  private send(kept: Buffer): void {
    this.parcel.push(kept);
    this.parcelLength += kept.length;
    if (this.atOnce || this.parcelLength >= parcelBytes) this.sendParcel();
    if (this.isList) this.atOnce = false;
  }

  private sendParcel(): void {
    const { parcel, parcelLength } = this;
    if (parcelLength === 0) return;
    this.parcel = [];
    this.parcelLength = 0;
    this.push(parcel.length === 1 ? parcel[0]! : Buffer.concat(parcel, parcelLength));
  }

  /** An error ends the stream: nothing more goes out, and the connection behind it must be cut. */
  private turn(chunk: Buffer, from: number, callback: TransformCallback): void {
    const to = Math.min(chunk.length, from + turnBytes);
    let kept: Buffer | null = null;
    const error = errorOf(() => (kept = this.splicer.write(chunk.subarray(from, to))));
    if (error) {
      callback(error);
      return;
    }
    if (kept) this.send(kept);
    if (to === chunk.length) callback();
    else setImmediate(() => (this.destroyed ? callback() : this.turn(chunk, to, callback)));
  }
}

function errorOf(work: () => void): Error | null {
  try {
    work();
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

// ---- plans

/** An object whose members at some JSON pointers (RFC 6901) have plans of their own; objects on the way there pass `others`, too. */
function planAt(places: readonly (readonly [pointer: string, plan: Plan])[], others: 'pass' | 'cut'): Plan {
  const own = places.find(([pointer]) => pointer === '');
  if (own) return own[1];
  const byStep = new Map<string, [string, Plan][]>();
  for (const [pointer, plan] of places) {
    const [, step, rest] = /^\/([^/]*)(.*)$/s.exec(pointer) ?? [];
    if (step === undefined || rest === undefined) throw new RangeError(`no JSON pointer: ${pointer}`);
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    byStep.set(name, [...(byStep.get(name) ?? []), [rest, plan]]);
  }
  return { is: 'object', others, members: new Map([...byStep].map(([name, inside]) => [name, planAt(inside, others)])) };
}

const members = (plans: Record<string, Plan>, others: 'pass' | 'cut'): Plan => ({ is: 'object', members: new Map(Object.entries(plans)), others });

// ---- filters

/** A path of keys from an item's root, through objects only. */
export type ItemPath = readonly string[];

/** See {@link listFilter}. */
export interface ListOptions {
  /** JSON pointer of the array: empty for the answer itself, `/Volumes`. */
  at: string;
  /** Strings that are read of each item. */
  wanted: readonly ItemPath[];
  /** Arrays of strings that are read of each item, such as an image's `RepoTags`. */
  lists?: readonly ItemPath[];
  /** Judges an item by the strings at `wanted` (undefined where there is no string) and at `lists` (empty where there is no array), in their order. */
  keep: (found: readonly (string | undefined)[], lists: readonly (readonly string[])[]) => boolean;
  /** JSON pointers, from an item's root, of members that are cut out of items that are kept. */
  drop?: readonly string[];
  /** Arrays of strings in items that are kept, by JSON pointer, of which only some are shown. */
  show?: readonly { at: string; keep: (text: string) => boolean }[];
  /** Members beside the array at `at` that are passed on; all others are cut. */
  beside?: readonly string[];
  /** How engines write such items: those that are cut are then found without being read. `wanted` is the id and, with `also`, the string behind that; nothing else is judged. */
  form?: Form;
  /** With a form without `also`: what `keep` said before of ids, or null. Asked before each stretch of items that are not read: none of it may have changed since. */
  known?: () => Verdicts | null;
}

/**
 * Cuts items out of an engine's list while it streams. What is kept has the engine's own bytes, but for `drop` and `show`. An item is cut
 * without being asked about where a wanted key is there twice or in two spellings that a reader might take for one, or is no valid UTF-8.
 * `null` instead of the list is passed on. Holds at most one item (16 MiB); the time is linear in the bytes, at most 256 KiB at a time.
 * The stream ends in an `EngineAnswerError` at the first byte that is not such JSON.
 */
export function listFilter(options: ListOptions): Transform {
  const inside: [string, Plan][] = [
    ...(options.drop ?? []).map((pointer): [string, Plan] => [pointer, cut]),
    ...(options.show ?? []).map(({ at, keep }): [string, Plan] => [at, { is: 'items', of: 'strings', named: false, wanted: { scalars: [[]] }, keep: ({ texts: [text] }) => text !== undefined && keep(text) }]),
  ];
  const items: Plan = {
    is: 'items', of: 'objects', named: false, wanted: { scalars: options.wanted, lists: options.lists ?? [] }, keep: ({ texts, lists }) => options.keep(texts, lists),
    ...(inside.length > 0 ? { within: planAt(inside, 'pass') } : {}),
    ...(options.form ? { leap: new Leap(options.form, (id, also) => !options.keep([id, also], []), options.known) } : {}),
  };
  return new AnswerFilter(planAt([[options.at, items], ...(options.at === '' ? [] : (options.beside ?? []).map((name): [string, Plan] => [pointerTo(name), pass]))], 'cut'));
}

const pointerTo = (name: string): string => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;

/** One event of an engine, as far as it is judged. */
export interface EngineEvent {
  Type: string;
  Action: string;
  /** `Attributes` holds labels too, which whoever made the object has chosen. */
  Actor: { ID: string; Attributes: Readonly<Record<string, string>> };
  /** `local` or `swarm`. */
  scope: string;
}

/**
 * Cuts events out of `GET /events`: JSON objects one after the other, with anything or nothing between them that is white space or a record
 * separator. Each that is kept goes out at once with a line feed. An event without `Type`, or with a key twice, is cut. Errors as `listFilter`.
 */
export function eventsFilter(options: { keep: (event: EngineEvent) => boolean }): Transform {
  return new AnswerFilter({
    is: 'sequence', wanted: { scalars: [['Type'], ['Action'], ['Actor', 'ID'], ['scope'], ['Actor', 'Attributes']] },
    keep({ texts: [type, action, id, scope] }, bytes) {
      if (type === undefined || action === undefined) return false;
      const attributes = attributesOf(bytes);
      return attributes !== null && options.keep({ Type: type, Action: action, Actor: { ID: id ?? '', Attributes: attributes }, scope: scope ?? 'local' });
    },
  });
}

/** Null where a key is there twice, or the event is no valid UTF-8. */
function attributesOf(bytes: Uint8Array): Record<string, string> | null {
  let event: StrictJson<RawNumber>;
  try {
    // Labels may differ in case only; the keys that are judged may not, and were seen not to.
    // Nanoseconds are more than a double holds.
    event = parseStrictJson(bytes, { maxBytes: bytes.length, distinctCase: true, numbers: 'source' });
  } catch (error) {
    if (error instanceof StrictJsonError) return null;
    throw error;
  }
  const actor = memberOf(event, 'Actor');
  const attributes = memberOf(actor, 'Attributes');
  const found = Object.create(null) as Record<string, string>;
  if (typeof attributes === 'object' && attributes !== null && !Array.isArray(attributes) && !(attributes instanceof RawNumber)) for (const [name, value] of Object.entries(attributes)) if (typeof value === 'string') found[name] = value;
  return found;
}

function memberOf(value: StrictJson<RawNumber> | undefined, name: string): StrictJson<RawNumber> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof RawNumber) ? value[name] : undefined;
}

/** Kinds of what `GET /system/df` lists; `build` is a record of the build cache. */
export type UsageKind = 'image' | 'container' | 'volume' | 'build';

interface Usage {
  /** The list's name until API 1.51, and that of the object around it since 1.52. */
  list: string;
  object: string;
  id: string;
  /** What is read for the sums: numbers, words and texts. */
  facts: readonly ItemPath[];
  /** Bytes that removing it would free. */
  size: (facts: readonly (string | undefined)[]) => number;
  active: (facts: readonly (string | undefined)[]) => boolean;
}

/** Engines write -1 for what they did not count. */
const count = (fact: string | undefined): number => Math.max(0, Number(fact ?? 0)) || 0;
const usages: Record<UsageKind, Usage> = {
  // What an image shares with others would stay.
  image: { list: 'Images', object: 'ImageUsage', id: 'Id', facts: [['Size'], ['SharedSize'], ['Containers']], size: ([size, shared]) => Math.max(0, count(size) - count(shared)), active: ([, , containers]) => count(containers) > 0 },
  container: { list: 'Containers', object: 'ContainerUsage', id: 'Id', facts: [['SizeRw'], ['State']], size: ([size]) => count(size), active: ([, state]) => state === 'running' || state === 'paused' || state === 'restarting' },
  volume: { list: 'Volumes', object: 'VolumeUsage', id: 'Name', facts: [['UsageData', 'Size'], ['UsageData', 'RefCount']], size: ([size]) => count(size), active: ([, references]) => count(references) > 0 },
  build: { list: 'BuildCache', object: 'BuildCacheUsage', id: 'ID', facts: [['Size'], ['InUse'], ['Shared']], size: ([size, , shared]) => (shared === 'true' ? 0 : count(size)), active: ([, used]) => used === 'true' },
};

/** See {@link dfFilter}. */
export interface DfOptions {
  /** Strings that are read besides the id of each kind's items (`Name` of volumes). */
  wanted?: Partial<Record<UsageKind, readonly ItemPath[]>>;
  /** `found` in the order of `wanted`. An item without an id is cut unasked. */
  keep: (kind: UsageKind, id: string, found: readonly (string | undefined)[]) => boolean;
}

/**
 * Cuts items out of `GET /system/df`, in the form until API 1.51 and in that since 1.52, and makes the sums anew from what is kept: an
 * image counts by what it shares with no other. Since 1.52 an engine lists items only when asked with `verbose=1`: without it all sums are 0.
 * Members that are not known are cut. Errors as `listFilter`.
 */
export function dfFilter(options: DfOptions): Transform {
  const plans: Record<string, Plan> = {};
  for (const kind of ['image', 'container', 'volume', 'build'] as const) {
    const { list, object, id, facts, size, active } = usages[kind];
    const also = options.wanted?.[kind] ?? [];
    const judged = (sum: { count: number; active: number; size: number; inactiveSize: number }): Plan => ({
      is: 'items', of: 'objects', named: false, wanted: { scalars: [[id], ...also, ...facts] },
      keep({ texts, raw }) {
        const [name] = texts;
        if (name === undefined || !options.keep(kind, name, texts.slice(1, 1 + also.length))) return false;
        const read = facts.map((_, index) => raw(1 + also.length + index) ?? texts[1 + also.length + index]);
        const isActive = active(read);
        sum.count += 1;
        sum.active += isActive ? 1 : 0;
        sum.size += size(read);
        sum.inactiveSize += isActive ? 0 : size(read);
        return true;
      },
    });
    const sum = { count: 0, active: 0, size: 0, inactiveSize: 0 };
    plans[list] = judged(sum);
    if (kind === 'image') plans['LayersSize'] = { is: 'last', write: () => String(sum.size) };
    const its = { ...sum };
    plans[object] = members({
      Items: judged(its), TotalCount: { is: 'last', write: () => String(its.count) }, ActiveCount: { is: 'last', write: () => String(its.active) },
      TotalSize: { is: 'last', write: () => String(its.size) }, Reclaimable: { is: 'last', write: () => String(its.inactiveSize) },
    }, 'cut');
  }
  return new AnswerFilter(members(plans, 'cut'));
}

/** See {@link pruneFilter}. */
export interface PruneOptions {
  /** JSON pointer of the list of what was removed: `/ContainersDeleted`. */
  at: string;
  /** Ids, names, or references; of images, those that were only untagged are told apart. */
  keep: (id: string, how: 'removed' | 'untagged') => boolean;
}

/** Cuts ids out of the answer to a prune (or to the removal of an image, with `at` empty). The space is told only where all is. Other members are cut. Errors as `listFilter`. */
export function pruneFilter(options: PruneOptions): Transform {
  let isWhole = true;
  const removed: Plan = {
    is: 'items', of: 'either', named: false, wanted: { scalars: [[], ['Deleted'], ['Untagged']] },
    keep({ texts: [text, deleted, untagged] }) {
      const id = text ?? deleted;
      const kept = (id !== undefined || untagged !== undefined) && (id === undefined || options.keep(id, 'removed')) && (untagged === undefined || options.keep(untagged, 'untagged'));
      isWhole &&= kept;
      return kept;
    },
  };
  return new AnswerFilter(planAt([[options.at, removed], ...(options.at === '' ? [] : [['/SpaceReclaimed', { is: 'last', write: (source) => (isWhole && /^[0-9]+$/.test(source) ? source : '0') }] satisfies [string, Plan]])], 'cut'));
}

/** See {@link inspectFilter}. */
export interface InspectOptions {
  /** JSON pointers of lists, or of objects whose members are the items. */
  at: readonly string[];
  /** Strings that are read of each item that is an object; `Name` unless told. */
  wanted?: readonly ItemPath[];
  /**
   * Judges one item of what lies at `at`. `name`: the member's key (a network's `Containers` has ids, its `Services` names), or the item
   * itself where it is a string; null for an object in a list (a network's `Peers`), which only `found` tells of.
   */
  keep: (at: string, name: string | null, found: readonly (string | undefined)[]) => boolean;
  /** JSON pointers of members that are cut out. */
  drop?: readonly string[];
}

/** Cuts out of an object what it tells of others. All else is passed on. A member whose key only folds to one on the way ends in an error. Errors as `listFilter`. */
export function inspectFilter(options: InspectOptions): Transform {
  const wanted = options.wanted ?? [['Name']];
  return new AnswerFilter(planAt([
    ...options.at.map((at): [string, Plan] => [at, {
      is: 'items', of: 'either', named: true, wanted: { scalars: [[], ...wanted] }, keep: ({ name, texts: [text, ...found] }) => options.keep(at, name ?? text ?? null, found),
    }]),
    ...(options.drop ?? []).map((pointer): [string, Plan] => [pointer, cut]),
  ], 'pass'));
}

/** Cuts members out of an object by JSON pointer, in whatever case their keys are written: a swarm's `/JoinTokens`. All else is passed on. Errors as `listFilter`. */
export function redactFilter(options: { at: readonly string[] }): Transform {
  return new AnswerFilter(planAt(options.at.map((pointer) => [pointer, cut]), 'pass'));
}

/** Numbers that `GET /info` tells to whoever asks. */
export interface InfoCounts {
  Containers: number;
  ContainersRunning: number;
  ContainersPaused: number;
  ContainersStopped: number;
  Images: number;
  /** Of the swarm. */
  Nodes: number;
  Managers: number;
}

/** What of `GET /info` is the same for everybody: what the engine can do, and its versions. No addresses, paths, labels, devices, counts or names of hosts. */
const openInfo = [
  'ID', 'Driver', 'Plugins', 'MemoryLimit', 'SwapLimit', 'KernelMemory', 'KernelMemoryTCP', 'CpuCfsPeriod', 'CpuCfsQuota', 'CPUShares', 'CPUSet', 'PidsLimit', 'IPv4Forwarding',
  'BridgeNfIptables', 'BridgeNfIp6tables', 'OomKillDisable', 'SystemTime', 'LoggingDriver', 'CgroupDriver', 'CgroupVersion', 'KernelVersion', 'OperatingSystem', 'OSVersion', 'OSType',
  'Architecture', 'IndexServerAddress', 'NCPU', 'MemTotal', 'ExperimentalBuild', 'ServerVersion', 'DefaultRuntime', 'LiveRestoreEnabled', 'Isolation', 'InitBinary', 'ContainerdCommit',
  'RuncCommit', 'InitCommit', 'SecurityOptions', 'ProductLicense',
];
const openSwarm = ['LocalNodeState', 'ControlAvailable'];
const openCluster = ['ID', 'Version', 'CreatedAt', 'UpdatedAt'];

/**
 * Leaves of `GET /info` what is for everybody: closed, so what newer engines add is cut. Counts are those of `counts`, or 0. The CLI reads what is missing as
 * not set. Errors as `listFilter`.
 */
export function infoFilter(options: { counts?: Partial<InfoCounts> } = {}): Transform {
  const counted = (name: keyof InfoCounts): [string, Plan] => [name, { is: 'last', write: () => String(options.counts?.[name] ?? 0) }];
  const open = (names: readonly string[]): [string, Plan][] => names.map((name) => [name, pass]);
  const object = (plans: readonly [string, Plan][]): Plan => members(Object.fromEntries(plans), 'cut');
  return new AnswerFilter(object([
    ...open(openInfo), counted('Containers'), counted('ContainersRunning'), counted('ContainersPaused'), counted('ContainersStopped'), counted('Images'),
    // A runtime is chosen by its name; the rest is paths.
    ['Runtimes', { is: 'items', of: 'objects', named: true, wanted: { scalars: [] }, keep: () => true, within: members({}, 'cut') }],
    ['Swarm', object([...open(openSwarm), counted('Nodes'), counted('Managers'), ['Cluster', object(open(openCluster))]])],
  ]));
}
