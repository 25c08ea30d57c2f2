import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { OnReadOpts, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { EngineLines, type RawAnswer, type WholeAnswer } from './engine.lines';
import { openEngine } from './engine.raw';

const dir = mkdtempSync(join(tmpdir(), 'gantry-raw-'));
const path = join(dir, 'engine.sock');
const sockets: Socket[] = [];
let server: Server;
beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === '/slow') return;
    const long = /^\/long\?(\d+)$/.exec(request.url!);
    if (long) {
      response.writeHead(200).end(longBody(Number(long[1])));
      return;
    }
    const closing = /^\/closing\?(told=)?(\d+)$/.exec(request.url!);
    if (closing) request.socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n${closing[1] ? `Content-Length: ${closing[2]}\r\n` : ''}\r\n${'x'.repeat(Number(closing[2]))}`);
    if (closing) return;
    if (request.url === '/chunked') response.writeHead(200).end('{}');
    else if (request.url === '/broken') response.writeHead(200, { 'content-length': 10 }).write('{}', () => response.destroy());
    else response.writeHead(request.url === '/refused' ? 409 : 200, { 'content-length': 2 }).end(request.method === 'HEAD' ? undefined : '{}');
  });
  // As an engine does that is asked for a connection and has no use for it: an answer like any other.
  server.on('upgrade', (_request, socket: Socket) => {
    socket.resume().once('end', () => socket.end());
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}');
  });
  server.on('connection', (socket) => sockets.push(socket));
  server.listen(path);
  await once(server, 'listening');
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, 'close');
  rmSync(dir, { recursive: true });
});

/** Two megabytes that are not another number's, with nothing alike at two places of them. */
const longBody = (number: number): string => Array.from({ length: 131_072 }, (_, index) => `${number}:${index}`.padEnd(16)).join('');

/** A connection that reads to where it is told, of which a test says when what comes. */
class Told extends Duplex {
  private place: Uint8Array;

  constructor(private readonly onread: OnReadOpts) {
    super({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    this.place = (onread.buffer as () => Uint8Array)();
  }

  /** @returns whether more may come */
  come(text: string): boolean {
    const bytes = Buffer.from(text);
    bytes.copy(this.place);
    const more = this.onread.callback(bytes.length, this.place);
    this.place = (this.onread.buffer as () => Uint8Array)();
    return more;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Sends one request and reads its answer; answers the engine's end of the connection. */
async function ask(engine: ReturnType<typeof openEngine>, call: { target: string; headers: Record<string, string>; fresh: boolean }): Promise<Socket> {
  const opened = once(server, 'connection') as Promise<[Socket]>;
  const request = engine.request({ method: 'POST', ...call });
  request.end();
  const [message] = (await once(request, 'response')) as [NodeJS.ReadableStream];
  message.resume();
  await once(message, 'end');
  return (await opened)[0];
}

describe('openEngine', () => {
  it.each([
    ['upgrade', { connection: 'Upgrade', upgrade: 'tcp' }], ['nothing more', {}],
  ] as [string, Record<string, string>][])('ends a connection of its own with an answer like any other, asked with %s', async (_what, headers) => {
    const engine = openEngine({ kind: 'socket', path });
    const socket = await ask(engine, { target: '/', headers, fresh: true });
    if (!socket.closed) await once(socket, 'close');
    engine.close();
  });

  it('keeps the others for the next call', async () => {
    const engine = openEngine({ kind: 'socket', path });
    const socket = await ask(engine, { target: '/refused', headers: {}, fresh: false });
    const next = engine.request({ method: 'GET', target: '/', headers: {} });
    next.end();
    const [message] = (await once(next, 'response')) as [NodeJS.ReadableStream];
    message.resume();
    await once(message, 'end');
    expect([next.reusedSocket, socket.closed]).toEqual([true, false]);
    engine.close();
  });

  it('sends calls whose body is whole over kept connections, and tells which was used before', async () => {
    const engine = openEngine({ kind: 'socket', path });
    const call = { method: 'POST', target: '/', headers: { 'content-length': 2 }, body: Buffer.from('{}') };
    const read = async (exchange: ReturnType<typeof engine.send>): Promise<[number, string, boolean]> => {
      const answer = await exchange.answer;
      if (!('body' in answer)) throw new Error('not told as a whole');
      return [answer.statusCode, answer.body.toString(), exchange.reused];
    };
    const before = sockets.length;
    expect(await read(engine.send(call))).toEqual([200, '{}', false]);
    expect(await read(engine.send({ ...call, target: '/refused' }))).toEqual([409, '{}', true]);
    // Two at once need two; nothing goes out behind what is not answered.
    expect((await Promise.all([read(engine.send(call)), read(engine.send(call))])).map(([, , reused]) => reused)).toEqual([true, false]);
    expect(sockets.length - before).toBe(2);
    engine.close();
    for (const socket of sockets.slice(before)) if (!socket.closed) await once(socket, 'close');
  });

  it('tells a short answer as a whole, or that it broke off, and anything else as a stream', async () => {
    const engine = openEngine({ kind: 'socket', path });
    const call = { method: 'GET', target: '/', headers: {}, body: null };
    expect(await engine.send({ ...call, method: 'HEAD' }).answer).toMatchObject({ statusCode: 200, headers: { 'content-length': '2' }, body: Buffer.alloc(0) });
    const streamed = await engine.send({ ...call, target: '/chunked' }).answer;
    if ('body' in streamed) throw new Error('told as a whole');
    let text = '';
    for await (const chunk of streamed) text += String(chunk);
    expect([text, streamed.statusCode]).toEqual(['{}', 200]);
    await expect(engine.send({ ...call, target: '/broken' }).answer).rejects.toMatchObject({ code: 'clusters.engine-failed' });
    engine.close();
  });

  it.each(['?told=20000', '?told=1000000', '?20000', '?1000000'])('has all of an answer that ends with its connection, however late it is read: %s', async (query) => {
    const engine = openEngine({ kind: 'socket', path });
    const opened = once(server, 'connection') as Promise<[Socket]>;
    const answer = await engine.send({ method: 'GET', target: `/closing${query}`, headers: {}, body: null }).answer;
    for (let turns = 0; turns < 50; turns += 1) await turn();
    if ('body' in answer) throw new Error('told as a whole');
    let length = 0;
    for await (const chunk of answer) {
      length += (chunk as Buffer).length;
      await turn();
    }
    expect(length).toBe(Number(/\d+/.exec(query)![0]));
    const [socket] = await opened;
    if (!socket.closed) await once(socket, 'close');
    engine.close();
  });

  it('waits with the connection while nobody reads, and goes on with the next call', async () => {
    const wire = new (class extends Duplex {
      taken = 0;
      override _read(): void {
        if (this.taken === 0) return;
        this.taken += 16_384;
        if (this.taken <= 1_048_576) this.push(`4000\r\n${'x'.repeat(16_384)}\r\n`);
        else if (this.taken === 1_064_960) this.push('0\r\n\r\n');
      }
      override _write(chunk: Buffer, _encoding: string, done: () => void): void {
        done();
        if (chunk.includes('/second')) this.push('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}');
        if (!chunk.includes('/first')) return;
        this.taken = 1;
        this.push('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
        this.taken = 16_384;
        this.push(`4000\r\n${'x'.repeat(16_384)}\r\n`);
      }
    })();
    const lines = new EngineLines(() => wire);
    const call = { method: 'GET', target: '/first', headers: {}, body: null };
    const answer = await lines.send(call).answer;
    for (let turns = 0; turns < 200; turns += 1) await turn();
    expect(wire.taken).toBeLessThan(524_288);
    let length = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) length += chunk.length;
    expect(length).toBe(1_048_576);
    expect(await lines.send({ ...call, target: '/second' }).answer).toMatchObject({ body: Buffer.from('{}') });
    lines.destroyUnused();
  });

  it('lends what comes where it was read, in order and never that of others, to who holds it up now and then', async () => {
    const engine = openEngine({ kind: 'socket', path });
    const read = async (number: number): Promise<{ text: string; lent: number }> => {
      const answer = await engine.send({ method: 'GET', target: `/long?${number}`, headers: {}, body: null }).answer;
      if ('body' in answer) throw new Error('told as a whole');
      let lent = 0;
      let heard = 0;
      let text = '';
      const hear = (chunk: Buffer): void => {
        text += chunk.toString('latin1');
        heard += 1;
        if (heard % 3 > 0) return;
        answer.pause();
        setImmediate(() => answer.resume());
      };
      answer.on('data', hear);
      answer.lend((bytes) => {
        lent += bytes.length;
        hear(bytes);
      });
      await once(answer, 'end');
      return { text, lent };
    };
    const numbers = [11, 22, 33, 44, 55];
    for (const [index, { text, lent }] of (await Promise.all(numbers.map(read))).entries()) {
      expect(text === longBody(numbers[index]!)).toBe(true);
      expect(lent).toBeGreaterThan(text.length / 3);
    }
    engine.close();
  });

  it.each(['at all', 'any more'])('reads no more of a socket than fits while nobody takes it %s, and then the rest', async (when) => {
    const engine = openEngine({ kind: 'socket', path });
    const opened = once(server, 'connection') as Promise<[Socket]>;
    const answer = await engine.send({ method: 'GET', target: '/long?66', headers: {}, body: null }).answer;
    if ('body' in answer) throw new Error('told as a whole');
    const [socket] = await opened;
    let text = '';
    const hear = (bytes: Buffer): void => {
      if (text === '') answer.pause();
      text += bytes.toString('latin1');
    };
    const attach = (): void => answer.on('data', hear).lend(hear);
    if (when === 'any more') attach();
    for (let turns = 0; turns < 200; turns += 1) await turn();
    expect(socket.writableLength).toBeGreaterThan(1_000_000);
    if (when === 'at all') {
      attach();
      for (let turns = 0; turns < 200; turns += 1) await turn();
    }
    answer.resume();
    await once(answer, 'end');
    expect(text === longBody(66)).toBe(true);
    engine.close();
  });

  it('lends nothing ahead of what waits', async () => {
    let wire!: Told;
    const lines = new EngineLines((onread) => (wire = new Told(onread!)));
    const asked = lines.send({ method: 'GET', target: '/', headers: {}, body: null }).answer;
    for (let turns = 0; turns < 5; turns += 1) await turn();
    wire.come('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const answer = await asked;
    if ('body' in answer) throw new Error('told as a whole');
    let text = '';
    const take = (bytes: Buffer): void => void (text += bytes.toString());
    answer.on('data', take).lend(take);
    await turn();
    for (const letter of 'ab') wire.come(`1\r\n${letter}\r\n`);
    answer.pause();
    for (const letter of 'cd') wire.come(`1\r\n${letter}\r\n`);
    answer.resume();
    for (const letter of 'ef') wire.come(`1\r\n${letter}\r\n`);
    wire.come('0\r\n\r\n');
    await once(answer, 'end');
    expect(text).toBe('abcdef');
    lines.destroyUnused();
  });

  it.each([
    ['heads', ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Number: #', '#\r\n\r\n{}'], { headers: { 'x-number': '11' } }],
    ['short answers', ['HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{#', '#}'], { body: Buffer.from('{11}') }],
    ['trailers', ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-number\r\n\r\n', '1\r\n{\r\n', '1\r\n}\r\n0\r\nX-Number: #', '#\r\n\r\n'], { trailers: { 'x-number': '11' } }],
  ] as [string, string[], object][])('keeps apart the %s of several connections that are read to one place', async (_what, pieces, expected) => {
    const wires: Told[] = [];
    const lines = new EngineLines((onread) => {
      wires.push(new Told(onread!));
      return wires.at(-1)!;
    });
    const hear = async (number: number): Promise<{ answer: RawAnswer | WholeAnswer; text: string }> => {
      const answer = await lines.send({ method: 'GET', target: `/${number}`, headers: {}, body: null }).answer;
      if ('body' in answer) return { answer, text: answer.body.toString() };
      let text = '';
      const take = (bytes: Buffer): void => void (text += bytes.toString());
      answer.on('data', take).lend(take);
      await once(answer, 'end');
      return { answer, text };
    };
    const both = async (said: string[]): Promise<{ answer: RawAnswer | WholeAnswer; text: string }[]> => {
      const heard = Promise.all([1, 2].map(hear));
      for (let turns = 0; turns < 5; turns += 1) await turn();
      for (const piece of said) {
        for (const [at, wire] of wires.entries()) wire.come(piece.replace('#', String(at + 1)));
        await turn();
      }
      return heard;
    };
    const before = await both(['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\n{\r\n', '1\r\n#\r\n', '1\r\n}\r\n0\r\n\r\n']);
    expect(before.map(({ text }) => text)).toEqual(['{1}', '{2}']);
    // The connection that was used last is the first to be used again.
    const [two, one] = await both(pieces);
    expect(one!.answer).toMatchObject(expected);
    expect(two!.text).toBe(one!.text.replaceAll('1', '2'));
    expect(wires).toHaveLength(2);
    lines.destroyUnused();
  });

  it('tells of an answer that breaks off with its head, to who looks for it later', async () => {
    const lines = new EngineLines(() => new Duplex({
      read: () => undefined,
      write(_chunk, _encoding, done) {
        done();
        process.nextTick(() => {
          this.push('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ');
          this.push(null);
        });
      },
    }));
    const answer = await lines.send({ method: 'GET', target: '/', headers: {}, body: null }).answer;
    if ('body' in answer) throw new Error('told as a whole');
    expect([answer.statusCode, answer.destroyed, answer.readableEnded]).toEqual([200, true, false]);
  });

  it('ends the connection of a call that is given up, and uses none that the engine ended', async () => {
    const engine = openEngine({ kind: 'socket', path });
    const call = { method: 'GET', target: '/', headers: {}, body: null };
    await engine.send(call).answer;
    const used = sockets.at(-1)!;
    used.end();
    await once(used, 'close');
    const opened = once(server, 'connection') as Promise<[Socket]>;
    const given = engine.send({ ...call, target: '/slow' });
    expect(given.reused).toBe(false);
    const [socket] = await opened;
    given.destroy();
    await once(socket, 'close');
    await expect(given.answer).rejects.toThrow();
    const none = openEngine({ kind: 'socket', path: `${path}-none` });
    await expect(none.send(call).answer).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
