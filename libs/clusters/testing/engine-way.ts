import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import { connectEngine, EngineClient, openEngine, type Endpoint, type RawEngine } from '../src';
import { eventually } from '@gantry/platform/testing';
import { callEngine } from '../../../test/lab';

/** A way to engines, as it is put up for a test. */
export interface WayUnderTest {
  /** How the engine whose socket is at `path` is reached by it. */
  to: (path: string) => Endpoint;
}

/** What the suite needs besides: a real engine with an image that has a shell, and a folder for sockets. */
export interface WayStage {
  dir: string;
  engineSocket: string;
  image: string;
}

const size = 50 * 1024 * 1024;
/** What may be on its way while nobody takes it: windows, buffers of the kernel and of what lies between. */
const onTheWay = 24 * 1024 * 1024;
const block = Buffer.alloc(64 * 1024, 'gantry ');

/** An engine of the suite's own, of which it sees everything: answers pings, sends and takes much, and says who has gone. */
class Counterpart {
  sent = 0;
  taken = 0;
  gone = 0;
  connections = 0;
  /** Whether it takes what is sent to it. */
  takes = true;
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;

  constructor(readonly path: string) {
    this.server = createServer((request, response) => this.serve(request, response));
    this.server.keepAliveTimeout = 60_000;
    this.server.on('connection', (socket) => {
      this.connections += 1;
      this.sockets.add(socket.on('close', () => this.sockets.delete(socket)));
    });
  }

  async start(): Promise<this> {
    this.server.listen(this.path);
    await once(this.server, 'listening');
    return this;
  }

  async stop(): Promise<void> {
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private serve(request: IncomingMessage, response: ServerResponse): void {
    if (request.url === '/much') void this.pour(response);
    else if (request.url === '/take') {
      const hash = createHash('sha256');
      request.on('data', (chunk: Buffer) => {
        this.taken += chunk.length;
        hash.update(chunk);
        if (!this.takes) request.pause();
      });
      const resume = setInterval(() => this.takes && request.resume(), 10);
      request.on('close', () => clearInterval(resume));
      request.on('end', () => response.end(hash.digest('hex')));
    } else if (request.url?.includes('/events')) {
      response.on('close', () => (this.gone += 1));
      response.writeHead(200).flushHeaders();
      response.write('{}\n');
    } else response.writeHead(200, { 'api-version': '1.41', 'content-type': 'application/json' }).end('{}');
  }

  private async pour(response: ServerResponse): Promise<void> {
    response.writeHead(200, { 'content-length': size });
    this.sent = 0;
    while (this.sent < size && !response.destroyed) {
      this.sent += block.length;
      if (!response.write(block)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
    response.end();
  }
}

async function answerOf(engine: RawEngine, method: string, target: string, body?: Buffer): Promise<{ status: number; body: Buffer }> {
  const request = engine.request({ method, target, headers: body ? { 'content-type': 'application/json', 'content-length': body.length } : {} });
  request.end(body);
  const [message] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return { status: message.statusCode ?? 0, body: Buffer.concat(chunks) };
}

/** Reads until the figure has not moved for a while. On a slow machine that may be too early, which lets a test pass, never fail. */
async function settled(figure: () => number): Promise<number> {
  let last = -1;
  let same = 0;
  return eventually('nothing moves any more', () => {
    same = figure() === last && last > 0 ? same + 1 : 0;
    last = figure();
    return same > 12 ? last : null;
  });
}

/**
 * What every way to an engine must do, under both of its users: the typed client of deployments and the bytes of the gateway. Declares the
 * tests of one way.
 */
export function describeEngineWay(name: string, stage: () => WayStage, put: () => WayUnderTest): void {
  describe(`an engine by ${name}`, () => {
    let peer: Counterpart;
    let client: EngineClient;
    let raw: RawEngine;
    let real: RawEngine;
    beforeAll(async () => {
      peer = await new Counterpart(join(stage().dir, `peer-${name}.sock`)).start();
      const endpoint = put().to(peer.path);
      client = new EngineClient(connectEngine(endpoint), '1.41', 30);
      raw = openEngine(endpoint);
      real = openEngine(put().to(stage().engineSocket));
    });
    afterAll(async () => {
      raw?.close();
      real?.close();
      await peer?.stop();
    });

    it('answers what the engine says, to both', async () => {
      const endpoint = put().to(stage().engineSocket);
      const typed = await EngineClient.negotiate(connectEngine(endpoint), 30);
      const own = await callEngine<{ ID: string }>(stage().engineSocket, 'GET', '/info');
      expect((await typed.info() as { ID?: string }).ID).toBe(own.ID);
      await expect(typed.network('nosuch')).rejects.toMatchObject({ status: 404, message: expect.stringContaining('nosuch') });
      expect(await answerOf(real, 'GET', '/_ping')).toEqual({ status: 200, body: Buffer.from('OK') });
    });

    it('keeps a connection for the next call', async () => {
      const before = peer.connections;
      for (let call = 0; call < 5; call += 1) await client.ping();
      for (let call = 0; call < 5; call += 1) await answerOf(raw, 'GET', '/_ping');
      for (let call = 0; call < 5; call += 1) {
        const answer = await raw.send({ method: 'GET', target: '/_ping', headers: {}, body: null }).answer;
        const chunks: Buffer[] = 'body' in answer ? [answer.body] : [];
        if (!('body' in answer)) for await (const chunk of answer) chunks.push(chunk as Buffer);
        expect([answer.statusCode, Buffer.concat(chunks).toString()]).toEqual([200, '{}']);
      }
      expect(peer.connections - before).toBeLessThan(5); // an answer may still be read when the next call goes out
    });

    it('lets a hijacked exec end its input and hears it to the end', async () => {
      const call = async <T>(target: string, body: object): Promise<T> => JSON.parse((await answerOf(real, 'POST', `/v1.41${target}`, Buffer.from(JSON.stringify(body)))).body.toString() || 'null') as T;
      const { Id: container } = await call<{ Id: string }>('/containers/create', { Image: stage().image, Entrypoint: ['/bin/sh', '-c', 'while :; do sleep 1; done'] });
      try {
        await call(`/containers/${container}/start`, {});
        const { Id: exec } = await call<{ Id: string }>(`/containers/${container}/exec`, { AttachStdin: true, AttachStdout: true, Cmd: ['cat'] });
        const start = Buffer.from('{"Tty":false}');
        const request = real.request({ method: 'POST', target: `/v1.41/exec/${exec}/start`, fresh: true, headers: { connection: 'Upgrade', upgrade: 'tcp', 'content-type': 'application/json', 'content-length': start.length } });
        request.end(start);
        const [, duplex, head] = (await once(request, 'upgrade')) as [IncomingMessage, Duplex, Buffer];
        const input = Buffer.alloc(3 * 1024 * 1024, 'a line of text\n');
        const chunks: Buffer[] = [head];
        duplex.on('data', (chunk: Buffer) => chunks.push(chunk));
        duplex.end(input);
        await once(duplex, 'end');
        duplex.destroy();
        const frames = Buffer.concat(chunks);
        const payload: Buffer[] = [];
        for (let at = 0; at < frames.length; at += 8 + frames.readUInt32BE(at + 4)) payload.push(frames.subarray(at + 8, at + 8 + frames.readUInt32BE(at + 4)));
        expect(Buffer.concat(payload).equals(input)).toBe(true);
      } finally {
        await answerOf(real, 'DELETE', `/v1.41/containers/${container}?force=1`);
      }
    });

    const asked = async (): Promise<Readable> => {
      const request = raw.request({ method: 'GET', target: '/much', headers: {}, fresh: true });
      request.end();
      return ((await once(request, 'response')) as [IncomingMessage])[0].pause();
    };
    const sent = async (): Promise<Readable> => {
      const answer = await raw.send({ method: 'GET', target: '/much', headers: {}, body: null }).answer;
      if ('body' in answer) throw new Error('told as a whole');
      return answer;
    };
    it.each([['a connection of its own', asked], ['a kept one', sent]])('carries 50 MB over %s, and holds the engine up while nobody reads', async (_what, ask) => {
      const message = await ask();
      expect(await settled(() => peer.sent)).toBeLessThan(onTheWay);
      let length = 0;
      const hash = createHash('sha256');
      for await (const chunk of message) {
        hash.update(chunk as Buffer);
        length += (chunk as Buffer).length;
      }
      const expected = createHash('sha256');
      for (let at = 0; at < size; at += block.length) expected.update(block);
      expect([length, hash.digest('hex')]).toEqual([size, expected.digest('hex')]);
    });

    it('takes 50 MB, and is held up while the engine does not', async () => {
      peer.takes = false;
      peer.taken = 0;
      const request = raw.request({ method: 'POST', target: '/take', headers: { 'content-length': size }, fresh: true });
      const answered = once(request, 'response') as Promise<[IncomingMessage]>;
      const expected = createHash('sha256');
      let written = 0;
      const write = (async () => {
        for (; written < size; written += block.length) {
          expected.update(block);
          if (!request.write(block)) await once(request, 'drain');
        }
        request.end();
      })();
      try {
        expect(await settled(() => written)).toBeLessThan(onTheWay);
      } finally {
        peer.takes = true;
      }
      await write;
      const [message] = await answered;
      message.setEncoding('utf8');
      let told = '';
      for await (const chunk of message) told += String(chunk);
      expect(told).toBe(expected.digest('hex'));
    });

    it('tells the engine that nobody listens any more, by a signal as well as by the end of a stream', async () => {
      const before = peer.gone;
      const stop = new AbortController();
      const events = await client.events({}, stop.signal);
      events.on('error', () => undefined);
      await once(events, 'data');
      stop.abort();
      await eventually('the engine notices', () => peer.gone === before + 1);
      const request = raw.request({ method: 'GET', target: '/events', headers: {}, fresh: true });
      request.end();
      const [message] = (await once(request, 'response')) as [IncomingMessage];
      await once(message, 'data');
      message.destroy();
      await eventually('the engine notices that too', () => peer.gone === before + 2);
    });

    it('ends calls with the engine, says that it is gone, and finds it again', async () => {
      const request = raw.request({ method: 'GET', target: '/events', headers: {}, fresh: true });
      request.end();
      const [message] = (await once(request, 'response')) as [IncomingMessage];
      await once(message, 'data');
      message.on('error', () => undefined);
      const over = new Promise((resolve) => message.once('close', resolve));
      message.resume();
      await peer.stop();
      await over;
      await expect(client.ping()).rejects.toMatchObject({ code: 'clusters.unreachable' });
      await expect(answerOf(raw, 'GET', '/_ping')).rejects.toThrow();
      const whole = { method: 'GET', target: '/_ping', headers: {}, body: null };
      await expect(raw.send(whole).answer).rejects.toThrow();
      await peer.stop();
      peer = await new Counterpart(peer.path).start();
      await eventually('it answers again', async () => (await client.ping()).apiVersion === '1.41', 60);
      expect((await answerOf(raw, 'GET', '/_ping')).status).toBe(200);
      expect((await raw.send(whole).answer).statusCode).toBe(200);
    });
  });
}
