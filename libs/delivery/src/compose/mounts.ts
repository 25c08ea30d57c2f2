import { compact, Fields, matching } from './fields';
import type { ComposeMount, ComposeMountedFile } from './model';
import type { Tree } from './tree';
import { parseBytes, ValueError } from './values';

const propagations = ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'] as const;

/** The mounts of a service: `volumes` in both syntaxes, then `tmpfs`. */
export function readMounts(service: Fields): ComposeMount[] {
  const found: { at: Tree; mount: ComposeMount }[] = [];
  for (const item of service.find('volumes')?.items ?? []) {
    const mount = item.kind === 'object' ? long(new Fields(item, service.notices)) : short(service, item);
    if (mount !== undefined) found.push({ at: item, mount });
  }
  for (const { at } of service.texts('tmpfs')) {
    const mount = service.read(at, 'tmpfs', (text) => tmpfs(text, at.pointer));
    if (mount !== undefined) found.push({ at, mount });
  }
  const targets = new Set<string>();
  for (const { at, mount } of found) {
    const target = mount.target.replace(/\/+$/, '');
    if (targets.has(target)) service.fault(at, 'volumes: two mounts have the same target; remove one', 'conflict');
    targets.add(target);
  }
  return found.map(({ mount }) => mount);
}

function absolute(text: string): string {
  if (!text.startsWith('/') || /^\/+$/.test(text) || text.split('/').includes('..')) {
    throw new ValueError('must mount at an absolute path inside the container, other than / and without ".."');
  }
  return text;
}

/** A path on the node, or the name of a volume. */
function sourceOf(text: string): { type: 'volume' | 'bind'; source: string } {
  if (text.startsWith('/')) return { type: 'bind', source: absoluteSource(text) };
  if (/^[.~]/.test(text) || /[/\\]/.test(text)) {
    throw new ValueError(
      'names a path relative to the file, but the nodes do not have the file; use a volume, a config or an absolute path',
    );
  }
  return { type: 'volume', source: matching(text, /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, 'the name of a volume or an absolute path') };
}

function absoluteSource(text: string): string {
  if (!text.startsWith('/') || text.split('/').includes('..')) throw new ValueError('must bind an absolute path of the node without ".."');
  return text;
}

/** `[source:]target[:options]`. */
function short(service: Fields, at: Tree): ComposeMount | undefined {
  return service.read(at, 'volumes', (text) => {
    const parts = text.split(':');
    if (parts.length > 3 || parts.includes('')) throw new ValueError('must be [source:]target[:options]');
    if (parts.length === 1) return { type: 'volume', target: absolute(text), pointer: at.pointer };
    const [source = '', target = '', options = ''] = parts;
    const mount: ComposeMount = { ...sourceOf(source), target: absolute(target), pointer: at.pointer };
    for (const option of options === '' ? [] : options.split(',')) {
      const propagation = propagations.find((name) => name === option);
      if (option === 'ro') mount.readOnly = true;
      else if (option === 'nocopy' && mount.type === 'volume') mount.noCopy = true;
      else if (propagation !== undefined && mount.type === 'bind') mount.propagation = propagation;
      else if (option === 'z' || option === 'Z')
        throw new ValueError('asks to relabel the path (z), which Swarm can not do; label it on the nodes');
      else if (['cached', 'consistent', 'delegated'].includes(option))
        service.notices.warn(at, 'ignored', `${option} is ignored: it has no meaning on Linux nodes`);
      else if (option !== 'rw') throw new ValueError('has an unknown option; use rw, ro, nocopy (volumes) or a propagation (paths)');
    }
    return mount;
  });
}

function long(volume: Fields): ComposeMount | undefined {
  const type = volume.oneOf('type', ['volume', 'bind', 'tmpfs'] as const);
  const target = volume.convert('target', absolute);
  for (const key of ['type', 'target']) {
    if (volume.find(key) === undefined) volume.fault(volume.tree, `volumes has an entry without ${key}; add it`, 'missing');
  }
  if (type === undefined || target === undefined) return undefined;
  for (const other of ['volume', 'bind', 'tmpfs']) {
    const at = volume.find(other);
    if (at !== undefined && other !== type)
      volume.fault(at, `${other} does not go with type ${type}; remove it or change the type`, 'conflict');
  }
  const sourceAt = volume.find('source');
  if (type === 'tmpfs' && sourceAt !== undefined) volume.fault(sourceAt, 'source does not go with type tmpfs; remove it', 'conflict');
  if (type === 'bind' && sourceAt === undefined)
    volume.fault(volume.tree, 'volumes has a bind mount without source; name the path on the node', 'missing');
  const source =
    type === 'bind'
      ? volume.convert('source', absoluteSource)
      : volume.text('source', /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, 'the name of a volume declared under the top-level volumes');
  return compact<ComposeMount>({
    type,
    source,
    target,
    readOnly: volume.flag('read_only') || undefined,
    noCopy: volume.inner('volume').flag('nocopy') || undefined,
    propagation: volume.inner('bind').oneOf('propagation', propagations),
    sizeBytes: volume.inner('tmpfs').convert('size', parseBytes),
    mode: volume.inner('tmpfs').mode('mode'),
    pointer: volume.tree.pointer,
  });
}

/** `target[:size=…,mode=…]` of the key tmpfs. */
function tmpfs(text: string, pointer: string): ComposeMount {
  const [target = '', options, more] = text.split(':');
  if (more !== undefined) throw new ValueError('must be target[:size=64m,mode=1770]');
  const mount: ComposeMount = { type: 'tmpfs', target: absolute(target), pointer };
  for (const option of options === undefined ? [] : options.split(',')) {
    const [name, value = ''] = option.split('=');
    if (name === 'size') mount.sizeBytes = parseBytes(value);
    else if (name === 'mode' && /^[0-7]{3,5}$/.test(value) && Number.parseInt(value, 8) <= 0o7777) mount.mode = Number.parseInt(value, 8);
    else if (name === 'ro' && value === '') mount.readOnly = true;
    else if (option !== 'rw') throw new ValueError('has an option that Swarm can not set; use size=64m, mode=1770 or ro');
  }
  return mount;
}

/** The configs or secrets that a service mounts. */
export function readMountedFiles(service: Fields, key: 'configs' | 'secrets'): ComposeMountedFile[] {
  const files: ComposeMountedFile[] = [];
  const targets = new Set<string>();
  for (const item of service.find(key)?.items ?? []) {
    const fields = new Fields(item, service.notices);
    const object = item.kind === 'object';
    const source = object ? fields.text('source') : item.text;
    if (source === undefined || source === '') {
      if (fields.find('source') === undefined)
        service.fault(item, `${key} has an entry without source; name an entry of the top-level ${key}`, 'missing');
      continue;
    }
    const owner = /^(0|[1-9]\d{0,9})$/;
    const file: ComposeMountedFile = {
      source,
      target:
        (object ? fields.text('target', /^(?!.*(^|\/)\.\.(\/|$))[^\s].{0,4095}$/, 'a file name or path without ".."') : undefined) ??
        source,
      uid: fields.text('uid', owner, 'a numeric user id') ?? '0',
      gid: fields.text('gid', owner, 'a numeric group id') ?? '0',
      mode: fields.mode('mode') ?? 0o444,
    };
    if (targets.has(file.target)) service.fault(item, `${key}: two entries have the same target; change one`, 'conflict');
    targets.add(file.target);
    files.push(file);
  }
  return files;
}
