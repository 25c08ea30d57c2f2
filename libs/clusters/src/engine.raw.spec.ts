import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { EngineLines } from './engine.lines';
import { openEngine } from './engine.raw';

const dir = mkdtempSync(join(tmpdir(), 'gantry-raw-'));
const path = join(dir, 'engine.sock');
const sockets: Socket[] = [];
let server: Server;
beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === '/slow') return;
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
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
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
    for (let turns = 0; turns < 200; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(wire.taken).toBeLessThan(524_288);
    let length = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) length += chunk.length;
    expect(length).toBe(1_048_576);
    expect(await lines.send({ ...call, target: '/second' }).answer).toMatchObject({ body: Buffer.from('{}') });
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
