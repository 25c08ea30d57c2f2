import { Gathered } from '@gantry/platform';
import { readMessage, WireError, writeMessage, type Form } from './wire';

/** A file as the two sides of a synchronisation tell each other of it. `mode` is Go's: permissions below, kinds from bit 19 on. */
export interface FileStat {
  path: string;
  mode: number;
  size: number;
  /** In nanoseconds since 1970. */
  modTime: bigint;
}

/** One packet of a synchronisation of files (`fsutil.types.Packet` of moby's filesync.v1). A `stat` without a file ends the list. */
export type Packet =
  | { is: 'stat'; stat: FileStat | null } | { is: 'request'; id: number } | { is: 'data'; id: number; data: Buffer } | { is: 'fin' } | { is: 'error'; text: string };

const packetForm: Form = { 1: { name: 'type', is: 'number' }, 2: { name: 'stat', is: 'bytes' }, 3: { name: 'id', is: 'number' }, 4: { name: 'data', is: 'bytes' } };
const statForm: Form = {
  1: { name: 'path', is: 'text' }, 2: { name: 'mode', is: 'number' }, 3: { name: 'uid', is: 'number' }, 4: { name: 'gid', is: 'number' }, 5: { name: 'size', is: 'number' }, 6: { name: 'modTime', is: 'number' },
  7: { name: 'linkname', is: 'text' }, 8: { name: 'devmajor', is: 'number' }, 9: { name: 'devminor', is: 'number' }, 10: { name: 'xattrs', is: 'bytes', repeated: true },
};
/** All bits of Go's `fs.ModeType`: what has one of them is no plain file. */
const kindBits = 0x8f280000;
const kinds = ['stat', 'request', 'data', 'fin', 'error'] as const;

/** @throws WireError */
export function readPacket(bytes: Buffer): Packet {
  const { type = 0, stat, id = 0, data = Buffer.alloc(0) } = readMessage(bytes, packetForm) as { type?: number; stat?: Buffer; id?: number; data?: Buffer };
  const is = kinds[type];
  if (is === undefined || typeof id !== 'number' || id > 0xffffffff) throw new WireError('a packet of another kind');
  switch (is) {
    case 'stat':
      return { is, stat: stat === undefined ? null : readStat(stat) };
    case 'request':
      return { is, id };
    case 'data':
      return { is, id, data };
    case 'fin':
      return { is };
    case 'error':
      return { is, text: data.toString().slice(0, 1_000) };
  }
}

function readStat(bytes: Buffer): FileStat {
  const { path = '', mode = 0, size = 0, modTime = 0 } = readMessage(bytes, statForm) as { path?: string; mode?: number; size?: number; modTime?: number | bigint };
  if (typeof mode !== 'number' || mode > 0xffffffff || typeof size !== 'number') throw new WireError('a file that can’t be');
  return { path, mode, size, modTime: BigInt(modTime) };
}

/** Whether it is a file as such: no folder, link, device or pipe. */
export function isPlainFile({ mode }: FileStat): boolean {
  return (mode & kindBits) === 0;
}

export function writePacket(packet: Packet): Buffer {
  const type = kinds.indexOf(packet.is);
  switch (packet.is) {
    case 'stat':
      return packet.stat === null ? Buffer.alloc(0) : writeMessage([[2, writeMessage([[1, packet.stat.path], [2, packet.stat.mode], [5, packet.stat.size], [6, packet.stat.modTime]])]]);
    case 'request':
      return writeMessage([[1, type], [3, packet.id]]);
    case 'data':
      return writeMessage([[1, type], [3, packet.id], [4, packet.data]]);
    case 'fin':
      return writeMessage([[1, type]]);
    case 'error':
      return writeMessage([[1, type], [4, packet.text]]);
  }
}

/** A file in memory, to be given away. */
export interface GivenFile {
  name: string;
  bytes: Buffer;
}

const chunkBytes = 32 * 1024;

/**
 * The giving side of a synchronisation, of plain files in memory. Each is told under a time that no other has had: the other side fetches
 * nothing that looks as it did before.
 * @param modTime in nanoseconds since 1970
 */
export class FileGiver {
  private readonly files: readonly GivenFile[];

  constructor(files: readonly GivenFile[], private readonly modTime: bigint) {
    this.files = [...files].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** What is said before anything is asked. */
  *greet(): Generator<Packet> {
    for (const { name, bytes } of this.files) yield { is: 'stat', stat: { path: name, mode: 0o644, size: bytes.length, modTime: this.modTime } };
    yield { is: 'stat', stat: null };
  }

  /** What is said to a packet. After `fin` all is said. @throws WireError */
  *answer(packet: Packet): Generator<Packet> {
    if (packet.is === 'fin') {
      yield { is: 'fin' };
      return;
    }
    if (packet.is === 'error') throw new WireError(`the other side gives up: ${packet.text}`);
    const file = packet.is === 'request' ? this.files[packet.id] : undefined;
    if (packet.is !== 'request' || !file) throw new WireError('nobody waits for such a packet');
    for (let at = 0; at < file.bytes.length; at += chunkBytes) yield { is: 'data', id: packet.id, data: file.bytes.subarray(at, at + chunkBytes) };
    yield { is: 'data', id: packet.id, data: Buffer.alloc(0) };
  }
}

/** The taking side of a synchronisation: some files by their paths, as far as they are there and plain; everything else stays where it is. */
export class FileTaker {
  readonly files = new Map<string, Buffer>();
  /** Of those wanted, what is there but no plain file. */
  readonly odd = new Set<string>();
  private readonly sizes = new Map<number, { path: string; size: number; data: Gathered; got: number }>();
  private count = 0;
  private listed = false;

  constructor(private readonly wanted: ReadonlySet<string>, private readonly maxBytes: number, private readonly maxFiles = 1_000) {}

  /** Whether the other side has said all. */
  isDone = false;

  /** What is said to a packet. @throws WireError; a RangeError where a wanted file is too long */
  *answer(packet: Packet): Generator<Packet> {
    switch (packet.is) {
      case 'stat':
        if (this.listed) throw new WireError('a file after the end of the list');
        if (packet.stat === null) {
          this.listed = true;
          for (const id of this.sizes.keys()) yield { is: 'request', id };
          if (this.sizes.size === 0) yield { is: 'fin' };
          return;
        }
        if (this.count >= this.maxFiles) throw new WireError('more files than were asked for');
        if (this.wanted.has(packet.stat.path)) {
          if (!isPlainFile(packet.stat)) this.odd.add(packet.stat.path);
          else if (packet.stat.size > this.maxBytes) throw new RangeError(packet.stat.path);
          else this.sizes.set(this.count, { path: packet.stat.path, size: packet.stat.size, data: new Gathered(), got: 0 });
        }
        this.count += 1;
        return;
      case 'data': {
        const file = this.sizes.get(packet.id);
        if (!file || !this.listed) throw new WireError('data that nobody has asked for');
        if (packet.data.length > 0) {
          file.got += packet.data.length;
          if (file.got > this.maxBytes) throw new RangeError(file.path);
          file.data.add(packet.data);
          return;
        }
        this.files.set(file.path, file.data.bytes);
        this.sizes.delete(packet.id);
        if (this.sizes.size === 0) yield { is: 'fin' };
        return;
      }
      case 'fin':
        if (!this.listed || this.sizes.size > 0) throw new WireError('an end before all was said');
        this.isDone = true;
        return;
      case 'error':
        throw new WireError(`the other side gives up: ${packet.text}`);
      case 'request':
        throw new WireError('a request of who has the files');
    }
  }
}
