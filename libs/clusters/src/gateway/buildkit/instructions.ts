import { clustersProblem } from '../../problems';

/** What a Dockerfile is read with where BuildKit builds it. */
export interface KitOptions {
  /** Arguments that are there without being declared (`TARGETPLATFORM` …), by name. */
  args: Readonly<Record<string, string>>;
}

/** One `--mount` of a RUN. */
export interface Mount {
  /** The option as it is written anew, without `from`. */
  before: string;
  /** A stage, an image or `scratch`, from which it is mounted. */
  from: string | null;
}

/** Options that an instruction may have, besides those of RUN. An option that is not known could name an image, or reach the host. */
const known: Readonly<Record<string, ReadonlySet<string>>> = {
  FROM: new Set(['platform']),
  COPY: new Set(['from', 'chown', 'chmod', 'link', 'parents', 'exclude']),
  ADD: new Set(['chown', 'chmod', 'link', 'checksum', 'keep-git-dir', 'exclude', 'unpack']),
  RUN: new Set(['mount', 'network']),
};

const places = ['target', 'dst', 'destination'];
const switches = ['readonly', 'ro', 'readwrite', 'rw'];
/** Members of a mount by its type. */
const members: Readonly<Record<string, ReadonlySet<string>>> = {
  bind: new Set([...places, ...switches, 'source', 'src', 'from']),
  cache: new Set([...places, ...switches, 'id', 'source', 'src', 'from', 'sharing', 'mode', 'uid', 'gid']),
  tmpfs: new Set([...places, 'size']),
  secret: new Set([...places, 'id', 'required', 'mode', 'uid', 'gid', 'env']),
  ssh: new Set([...places, 'id', 'required', 'mode', 'uid', 'gid']),
};

/**
 * The options of an instruction, each of which was read as `--name=value` without quotes or blanks. Pure.
 * @throws clusters.spec-invalid for one that is not known, or reaches the host
 */
export function judgedFlags(line: string, word: string, flags: readonly string[]): { mounts: Mount[]; network: string | null; hasHostNetwork: boolean } {
  const mounts: Mount[] = [];
  let network: string | null = null;
  const seen = new Set<string>();
  for (const flag of flags) {
    const [, name = '', value = null] = /^--([a-z-]+)(?:=(.*))?$/s.exec(flag) ?? [];
    if (name === 'security') throw wrong(line, '--security is not passed on: a build may do what a container may');
    if (!known[word]?.has(name)) throw wrong(line, `--${name} is no option of ${word} that is known`);
    if (name !== 'mount' && name !== 'exclude') {
      if (seen.has(name)) throw wrong(line, `--${name} is given twice`);
      seen.add(name);
    }
    if (name === 'mount') mounts.push(readMount(line, value ?? ''));
    if (name === 'network') {
      if (value !== 'default' && value !== 'none' && value !== 'host') throw wrong(line, '--network is default, none or host');
      network = value;
    }
  }
  return { mounts, network, hasHostNetwork: network === 'host' };
}

function readMount(line: string, text: string): Mount {
  const found = new Map<string, string | null>();
  for (const part of text.split(',')) {
    const [, name = '', value = null] = /^([a-z]+)(?:=([\w./:@+~${}-]*))?$/.exec(part) ?? [];
    if (name === '' || found.has(name)) throw wrong(line, 'write a mount as type=…,name=value, each name once and in lower case');
    found.set(name, value);
  }
  const type = found.get('type') ?? (found.has('type') ? '' : 'bind');
  const may = Object.hasOwn(members, type) ? members[type] : undefined;
  if (!may) throw wrong(line, `a mount is of type ${Object.keys(members).join(', ')}`);
  for (const name of found.keys()) if (name !== 'type' && !may.has(name)) throw wrong(line, `${name} is no member of a mount of type ${type}`);
  for (const [name, value] of found) if (value === null && !switches.includes(name) && name !== 'required') throw wrong(line, `${name} has no value`);
  const from = found.get('from') ?? null;
  if (from === '') throw wrong(line, 'from names a stage or an image');
  found.delete('from');
  found.delete('type');
  return { before: [`--mount=type=${type}`, ...[...found].map(([name, value]) => (value === null ? name : `${name}=${value}`))].join(','), from };
}

/**
 * Documents in a Dockerfile (`<<EOF`) are read by newer engines, as text up to a line, and not by elder ones: what follows would be instructions
 * to one and a script to the other. Refused wherever one could be meant: also where a variable's substitute would make it. Pure.
 * @throws clusters.spec-invalid
 */
export function refuseDocuments(line: string, word: string, rest: string): void {
  if (!['RUN', 'COPY', 'ADD', 'ONBUILD'].includes(word)) return;
  if (rest.includes('<<') || (rest.includes('${') && rest.split('<').length > 2)) throw wrong(line, 'documents in the Dockerfile (<<) are not passed on: put the text into a file of the context');
}

function wrong(line: string, detail: string): Error {
  return clustersProblem('spec-invalid', { detail: `Dockerfile: ${line.slice(0, 120)}: ${detail}.` });
}

/**
 * The variables that BuildKit sets by itself in front of the first FROM.
 * @param engine of the machine that builds, as engines write it: `linux`, `amd64`
 * @param wanted `--platform`, where it is given: `linux/arm64/v8`
 */
export function platformArgs(engine: { os: string; arch: string }, wanted: string | null): Record<string, string> {
  const [os = '', arch = '', variant = ''] = (wanted ?? `${engine.os}/${engine.arch}`).split('/');
  return {
    BUILDPLATFORM: `${engine.os}/${engine.arch}`, BUILDOS: engine.os, BUILDARCH: engine.arch, BUILDVARIANT: '',
    TARGETPLATFORM: [os, arch, ...(variant === '' ? [] : [variant])].join('/'), TARGETOS: os, TARGETARCH: arch, TARGETVARIANT: variant,
  };
}
