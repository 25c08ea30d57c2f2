import { connect, type Socket } from 'node:net';

/** Size of one read. Node's own 64 KiB reads cost twice the processor time a byte. */
const bufferBytes = 512 * 1024;
const maxPooled = 16;
const maxHeadBytes = 16 * 1024;
const answerMillis = 900_000;

const pool: Buffer[] = [];

/** Where the bytes go. `write` answers false when it wants a pause until `resume` is called, and calls `done` when it no longer needs the chunk. */
export interface RawSink {
  /** The head has come: 200 or 206 with a length. */
  head(status: number, headers: Record<string, string>): void;
  write(chunk: Buffer, done: () => void): boolean;
  /** Everything has come. */
  end(): void;
  /** It broke off after the head. */
  abort(error: Error): void;
}

/** A running read. */
export interface RawRead {
  /** True when the bytes flow to the sink, false when the answer is of another kind (ask again in the ordinary way). Rejects when there is no answer. */
  started: Promise<boolean>;
  resume(): void;
  destroy(): void;
}

/** Status and headers (lower-case names) of an HTTP/1.1 answer's head; null when it is not one. */
export function parseHead(text: string): { status: number; headers: Record<string, string> } | null {
  const [line, ...lines] = text.split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(line ?? '')?.[1];
  if (status === undefined) return null;
  const headers: Record<string, string> = {};
  for (const entry of lines) {
    const colon = entry.indexOf(':');
    if (colon < 1 || /^\s/.test(entry)) return null;
    const name = entry.slice(0, colon).toLowerCase();
    if (name in headers && (name === 'content-length' || name === 'transfer-encoding')) return null;
    headers[name] = entry.slice(colon + 1).trim();
  }
  return { status: Number(status), headers };
}

/**
 * Gets a body of known length over plain HTTP with large, reused buffers. Only for the storage behind us: it speaks HTTP/1.1 as Go's server does.
 * `head` is the request's head without its blank line; the caller has checked every part of it.
 */
export function rawGet(target: { host: string; port: number }, head: string, sink: RawSink): RawRead {
  let begin: (started: boolean) => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const started = new Promise<boolean>((resolve, reject) => {
    begin = resolve;
    fail = reject;
  });
  let pending = Buffer.alloc(0);
  let left: number | null = null;
  let over = false;
  const socket: Socket = connect({
    ...target,
    onread: {
      buffer: () => pool.pop() ?? Buffer.allocUnsafeSlow(bufferBytes),
      callback: (length, buffer) => take(buffer as Buffer, length),
    },
  });
  const release = (buffer: Buffer): void => {
    if (pool.length < maxPooled) pool.push(buffer);
  };
  const finish = (): false => {
    over = true;
    socket.destroy();
    return false;
  };
  const take = (buffer: Buffer, length: number): boolean => {
    if (over) return false;
    let chunk = buffer.subarray(0, length);
    if (left === null) {
      pending = Buffer.concat([pending, chunk]);
      release(buffer);
      const at = pending.indexOf('\r\n\r\n');
      if (at < 0 && pending.length <= maxHeadBytes) return true;
      const answer = at < 0 ? null : readHead(pending.subarray(0, at).toString('latin1'));
      if (!answer) {
        begin(false);
        return finish();
      }
      left = answer.length;
      sink.head(answer.status, answer.headers);
      begin(true);
      chunk = pending.subarray(at + 4);
      return pass(chunk, () => undefined);
    }
    return pass(chunk, () => release(buffer));
  };
  const pass = (chunk: Buffer, done: () => void): boolean => {
    if (chunk.length > left!) {
      sink.abort(new Error('more bytes than announced'));
      return finish();
    }
    left! -= chunk.length;
    const more = chunk.length === 0 || sink.write(chunk, done);
    if (left === 0) {
      sink.end();
      return finish();
    }
    return more;
  };
  socket.setTimeout(answerMillis, () => socket.destroy(new Error('no answer in time')));
  const broke = (error: Error): void => {
    if (over) return;
    over = true;
    if (left === null) fail(error);
    else sink.abort(error);
  };
  socket.once('error', broke);
  socket.once('close', () => broke(new Error('the answer broke off')));
  socket.write(`${head}\r\n\r\n`);
  return {
    started,
    resume: () => void socket.resume(),
    destroy: () => void finish(),
  };
}

function readHead(text: string): { status: number; headers: Record<string, string>; length: number } | null {
  const answer = parseHead(text);
  if (!answer) return null;
  const { status, headers } = answer;
  const length = headers['content-length'];
  if ((status !== 200 && status !== 206) || headers['transfer-encoding'] !== undefined || length === undefined || !/^\d{1,15}$/.test(length)) return null;
  return { status, headers, length: Number(length) };
}
