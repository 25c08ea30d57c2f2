import { Gathered } from '@gantry/platform';

/** What a message may have, by the number of its fields. `repeated`: more than once, in order. */
export type Form = Readonly<Record<number, { name: string; is: 'number' | 'bytes' | 'text'; repeated?: boolean }>>;

/** A message as read: numbers as such (64 bits as bigint where they need it), bytes, and lists of them where repeated. Absent fields are absent. */
export type Fields = Record<string, number | bigint | Buffer | string | (number | bigint | Buffer | string)[]>;

/** Bytes that are no message of the form that was expected. */
export class WireError extends Error {
  constructor(what: string) {
    super(`not the message that was expected: ${what}`);
    this.name = 'WireError';
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads one message in the encoding of Protocol Buffers 3 (protobuf.dev/programming-guides/encoding). Strict, where libraries are not: a field
 * that the form does not name, one given twice, a group, a number written longer than it need be or text that is no UTF-8 is an error, so
 * that nothing can be in a message that was not looked at.
 * @throws WireError
 */
export function readMessage(bytes: Buffer, form: Form): Fields {
  const fields = Object.create(null) as Fields;
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 63n) throw new WireError('a number breaks off');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if ((byte === 0 && shift > 0n) || value >= 1n << 64n) throw new WireError('a number is written oddly');
        return value;
      }
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const field = form[Number(key >> 3n)];
    if (!field || key >> 3n > 0x1fffffffn) throw new WireError(`field ${key >> 3n} is not known`);
    if (Number(key & 7n) !== (field.is === 'number' ? 0 : 2)) throw new WireError(`${field.name} has another type`);
    let value: number | bigint | Buffer | string;
    if (field.is === 'number') {
      const read = varint();
      value = read <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(read) : read;
    } else {
      const length = varint();
      if (length > BigInt(bytes.length - at)) throw new WireError(`${field.name} breaks off`);
      const part = bytes.subarray(at, at + Number(length));
      at += Number(length);
      value = field.is === 'bytes' ? part : textOf(part, field.name);
    }
    const before = fields[field.name];
    if (!field.repeated && before !== undefined) throw new WireError(`${field.name} is given twice`);
    if (!field.repeated) fields[field.name] = value;
    else if (Array.isArray(before)) before.push(value);
    else fields[field.name] = [value];
  }
  return fields;
}

function textOf(bytes: Buffer, name: string): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new WireError(`${name} is no text`);
  }
}

/** Writes a message: pairs of a field's number and its value, in the order given. Zeros and empty values are left out, as the encoding has it. */
export function writeMessage(fields: Iterable<readonly [number: number, value: number | bigint | string | Buffer]>): Buffer {
  const parts: Buffer[] = [];
  for (const [number, value] of fields) {
    if (typeof value === 'number' || typeof value === 'bigint') {
      if (BigInt(value) !== 0n) parts.push(varintOf(BigInt(number) << 3n), varintOf(BigInt(value)));
      continue;
    }
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    if (bytes.length > 0) parts.push(varintOf((BigInt(number) << 3n) | 2n), varintOf(BigInt(bytes.length)), bytes);
  }
  return Buffer.concat(parts);
}

function varintOf(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

/** A message as gRPC carries it in a stream: not compressed, its length in front. */
export function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Takes a stream of gRPC's messages apart, at whatever places it comes in pieces. Compressed or longer ones are an error. */
export class Unframer {
  private rest = new Gathered();
  /** So many bytes are there when something more can be said. */
  private wanted = 5;

  constructor(private readonly maxBytes: number) {}

  /** The messages that are whole by now. @throws WireError */
  add(chunk: Buffer): Buffer[] {
    this.rest.add(chunk);
    const messages: Buffer[] = [];
    if (this.rest.size < this.wanted) return messages;
    let rest = this.rest.bytes;
    this.wanted = 5;
    while (rest.length >= 5) {
      if (rest[0] !== 0) throw new WireError('it is compressed, which nobody asked for');
      const length = rest.readUInt32BE(1);
      if (length > this.maxBytes) throw new WireError(`it has more than ${this.maxBytes} bytes`);
      this.wanted = 5 + length;
      if (rest.length < this.wanted) break;
      messages.push(rest.subarray(5, this.wanted));
      rest = rest.subarray(this.wanted);
      this.wanted = 5;
    }
    this.rest = new Gathered();
    if (rest.length > 0) this.rest.add(rest);
    return messages;
  }

  /** Whether nothing is left of a message that has begun. */
  get isEven(): boolean {
    return this.rest.size === 0;
  }
}
