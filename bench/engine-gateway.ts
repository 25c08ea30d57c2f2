// The engine gateway's listener beside nginx and the bare engine: pings, lists, streams. The same TLS on all three, one engine behind them.
import { fork, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { unzipSync } from 'fflate';
import { pack } from 'tar-stream';
import { bench, fullRounds, interleave, judge, later, median, percentile, progress, ratios, show, showSpread, spreadOf, type Findings, type Row } from './lib';
import { freePorts, Product, temporaryFolder, waitFor, type Rest } from './product';

const containers = 500;
const services = 1_000;
const manyServices = 10_000;
const streams = 500;
/** In one turn: long enough that most of them do not follow upon another way's turn, as a client's usual call does not. */
const pings = 1_500;
/** A process that has served some ten thousand calls is the usual one; before, its code is still being compiled. */
const warmTurns = 15;
const execBytes = 192 * 1024 * 1024;
const logBytes = 32 * 1024 * 1024;
const version = '/v1.41';

/** Where requests go: opens a connection of its own. */
type Way = () => Promise<Duplex>;

if (process.argv[2] === 'replay') replay(process.argv[3]!, process.argv[4]!, process.argv[5]!);
else {
  bench(fullRounds, async (options) => {
    const only = options.get('only', '');
    const wants = (part: string): boolean => only === '' || only.split(',').includes(part);
    const nginx = { program: options.get('nginx', 'nginx'), module: options.get('nginx-stream', '/usr/lib/nginx/modules/ngx_stream_module.so') };
    const folder = temporaryFolder();
    const product = await Product.prepare();
    progress('starting Gantry');
    await product.start();
    const stage = await prepare(product, folder, nginx);
    const rows: Row[] = [];
    // First, in a process whose heap only grows yet: what large answers leave to be collected is more than all the streams.
    if (wants('idle')) rows.push(await idle(product, stage));
    if (wants('ping') || wants('lists') || wants('streams')) rows.push(...(await besides(product, stage, options.rounds, wants)));
    if (wants('filtered')) rows.push(...(await filtered(product, stage, folder, options.rounds)));
    return {
      title: 'The engine gateway’s listener',
      rows,
      notes: [
        `${options.rounds} rounds${options.rounds < fullRounds ? ' (a smoke test: not enough to quote)' : ''}, arms interleaved; a real engine on its socket behind all of them, ${containers} containers that never ran and ${services.toLocaleString('en-US')} services without replicas. The client is one process of bare TLS connections that are kept, on the same cores. Each way has answered ${(warmTurns * pings).toLocaleString('en-US')} pings before.`,
        'Raw: nginx as a byte copier between the same TLS and the engine’s socket, which is as near to an engine with TLS as one engine gets; nginx: HTTP with kept connections to the socket. All three ask for the client’s certificate; the gateway looks it up, and every right, for each request.',
        `Filtered, ${manyServices.toLocaleString('en-US')} services: 10 % lie in the caller’s collection. The engine’s own bytes, recorded, come from another process on a socket, which passes on all else: a real engine needs so long for its list that nothing added to it could be seen.`,
        'exec: what `dd` writes to its standard output, framed as engines do. logs: those of a container that has ended, followed. Idle streams: filtered events, on connections of their own; resident memory of the Gantry process, TLS included.',
      ],
    } satisfies Findings;
  });
}

// --- the stage

interface Stage {
  engineSocket: string;
  /** All three with the administrator's certificate; `ann` is the gateway with that of somebody who sees little. */
  ways: { gateway: Way; raw: Way; nginx: Way; socket: Way; ann: Way };
  admin: Rest;
  toolId: string;
  talkerId: string;
  nginx: Nginx;
}

async function prepare(product: Product, folder: string, nginx: { program: string; module: string }): Promise<Stage> {
  const engineSocket = product.ready.engine.replace('unix://', '');
  const admin = await product.admin();
  progress('making accounts, containers and services');
  await admin.call('POST', '/api/v1/users', { name: 'ann', password: 'ann has a long password' });
  for (const [name, parent] of [['floor', '/'], ['mine', '/floor']]) await admin.call('POST', '/api/v1/collections', { name, parent });
  await admin.call('PUT', '/api/v1/placements/cluster/local', { collection: '/floor' });
  await admin.call('POST', '/api/v1/grants', { subject: 'ann', role: 'viewonly', collection: '/floor' });
  const { token } = await admin.call<{ token: string }>('POST', '/api/v1/sessions', { username: 'ann', password: 'ann has a long password' });
  const bundles = { admin: await bundleOf(product, admin.token), ann: await bundleOf(product, token) };
  const gatewayPort = Number(new URL(product.ready.gateway).port);
  const toGateway = (bundle: Bundle): Way => overTls(gatewayPort, bundle);
  const front = new Nginx(nginx, join(folder, 'nginx'), bundles.admin.ca);
  await front.start(engineSocket);

  await importTool(engineSocket);
  const talk = ['/bin/busybox', 'sh', '-c', `yes 'a line of a log as a program may write it, of eighty characters or so, again and again' | head -c ${logBytes}`];
  const start = async (name: string, argv: string[]): Promise<string> => {
    const { Id } = await engineCall<{ Id: string }>(engineSocket, 'POST', `/containers/create?name=${name}`, { Image: 'bench/tool:1', Cmd: argv, HostConfig: { NetworkMode: 'none' } });
    await engineCall(engineSocket, 'POST', `/containers/${Id}/start`);
    return Id;
  };
  const toolId = await start('tool', ['/bin/busybox', 'sleep', '1000000']);
  const talkerId = await start('talker', talk);
  await engineCall(engineSocket, 'POST', `/containers/${talkerId}/wait`);
  await inParallel(containers - 4, 4, (index) => engineCall(engineSocket, 'POST', `/containers/create?name=idle-${index}`, { Image: 'bench/tool:1', Cmd: ['/bin/busybox', 'true'], Labels: labels(index), HostConfig: { NetworkMode: 'none' } }));
  const line = new Line(await toGateway(bundles.admin)());
  const lines = [line, ...(await Promise.all(Array.from({ length: 3 }, async () => new Line(await toGateway(bundles.admin)()))))];
  // These are somebody's: through the gateway, into the collection that ann sees.
  await inParallel(services, lines.length, async (index, worker) => {
    const spec = { ...serviceSpec(`mine-${index}`, index, `${product.ready.registry}/sample/hello:1.0`), Labels: { ...labels(index), 'io.gantry.collection': '/floor/mine' } };
    await lines[worker]!.ask('POST', `${version}/services/create`, JSON.stringify(spec), 201);
  });
  for (const each of lines) each.end();
  return { engineSocket, admin, toolId, talkerId, nginx: front, ways: { gateway: toGateway(bundles.admin), ann: toGateway(bundles.ann), raw: overTls(front.rawPort, bundles.admin), nginx: overTls(front.httpPort, bundles.admin), socket: overSocket(engineSocket) } };
}

const labels = (index: number): Record<string, string> => ({ 'com.docker.stack.namespace': `shop-${index % 50}`, 'org.example.text': `"quoted" text, number ${index}` });

const serviceSpec = (name: string, index: number, image: string): Record<string, unknown> => ({
  Name: name, Labels: labels(index), Mode: { Replicated: { Replicas: 0 } },
  TaskTemplate: { ContainerSpec: { Image: image, Env: [`NAME=${name}`, 'MODE=production'], Labels: labels(index) }, Resources: {}, RestartPolicy: { Condition: 'any', MaxAttempts: 0 } },
});

interface Bundle {
  ca: string;
  cert: string;
  key: string;
}

async function bundleOf(product: Product, token: string | null): Promise<Bundle> {
  const answer = await fetch(`${product.ready.http}/api/v1/me/bundle`, { headers: { authorization: `Bearer ${token}` } });
  if (answer.status !== 200) throw new Error(`no bundle: ${answer.status} ${await answer.text()}`);
  const files = unzipSync(new Uint8Array(await answer.arrayBuffer()));
  const read = (name: string): string => Buffer.from(files[name] ?? []).toString();
  return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') };
}

/** An image with a shell, put onto the engine itself. */
async function importTool(engineSocket: string): Promise<void> {
  const archive = pack();
  for (const name of ['bin', 'proc', 'sys', 'dev', 'etc', 'run', 'tmp']) archive.entry({ name, type: 'directory', mode: 0o755 });
  const busybox = ['/usr/bin/busybox', '/bin/busybox'].find((path) => existsSync(path));
  if (busybox === undefined) throw new Error('no busybox: install the package busybox-static');
  archive.entry({ name: 'bin/busybox', mode: 0o755 }, readFileSync(busybox));
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  await engineCall(engineSocket, 'POST', '/images/create?fromSrc=-&repo=bench/tool&tag=1', Buffer.concat(chunks));
}

function engineCall<T>(socketPath: string, method: string, path: string, body?: object): Promise<T> {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const sent = httpRequest({ socketPath, method, path: version + path, agent: false, headers: data ? { 'content-type': Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json', 'content-length': data.length } : {} }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).once('error', reject).once('end', () => {
        const text = Buffer.concat(chunks).toString();
        if ((response.statusCode ?? 500) >= 400) reject(new Error(`${method} ${path}: ${response.statusCode} ${text.slice(0, 500)}`));
        else resolve((text.startsWith('{') && response.headers['content-type'] === 'application/json' && !path.startsWith('/images') ? JSON.parse(text) : text) as T);
      });
    });
    sent.once('error', reject);
    sent.end(data);
  });
}

async function inParallel(count: number, workers: number, work: (index: number, worker: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: workers }, async (_, worker) => {
    for (let index = next++; index < count; index = next++) await work(index, worker);
  }));
}

/** nginx in front of the engine, in both ways: as a proxy of HTTP, and as a copier of bytes. */
class Nginx {
  httpPort = 0;
  rawPort = 0;

  constructor(readonly how: { program: string; module: string }, private readonly folder: string, private readonly ca: string) {}

  async start(engineSocket: string): Promise<void> {
    const { folder, how } = this;
    mkdirSync(folder);
    [this.httpPort, this.rawPort] = (await freePorts(2)) as [number, number];
    const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=localhost', '-days', '2', '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
    writeFileSync(join(folder, 'ca.pem'), this.ca);
    const tls = `ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem; ssl_client_certificate ${folder}/ca.pem; ssl_protocols TLSv1.2 TLSv1.3; ssl_verify_client`;
    writeFileSync(join(folder, 'nginx.conf'), `
      ${existsSync(how.module) ? `load_module ${how.module};` : ''}
      daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log; user root;
      events { worker_connections 1024; }
      http {
        access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
        upstream engine { server unix:${engineSocket}; keepalive 64; }
        server { listen 127.0.0.1:${this.httpPort} ssl; ${tls} optional_no_ca; keepalive_requests 1000000; keepalive_timeout 3600s;
          location / { proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host docker; proxy_max_temp_file_size 0; proxy_buffers 64 16k; } }
      }
      stream { server { listen 127.0.0.1:${this.rawPort} ssl; ${tls} optional_no_ca; proxy_pass unix:${engineSocket}; proxy_buffer_size 64k; } }
    `);
    const child = spawn(how.program, ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
    const ended = new Promise<never>((_, reject) => {
      child.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? new Error('no nginx: install the packages nginx-light and libnginx-mod-stream, or name the program with --nginx and its module with --nginx-stream') : error));
      child.once('exit', (code) => reject(new Error(`nginx ended with ${code}`)));
    });
    ended.catch(() => undefined);
    later('nginx', () => new Promise<void>((resolve) => (child.exitCode === null && child.kill('SIGTERM') ? child.once('exit', () => resolve()) : resolve())));
    await Promise.race([ended, waitFor('nginx listens', 20, () => (existsSync(join(folder, 'pid')) ? true : null))]);
  }
}

// --- the client

function overTls(port: number, { cert, key }: Bundle): Way {
  return () => new Promise((resolve, reject) => {
    // Who answers is known: this process has started it.
    const socket: TLSSocket = connectTls({ host: '127.0.0.1', port, cert, key, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] }, () => {
      const { name, standardName } = socket.getCipher();
      if (socket.getProtocol() !== 'TLSv1.3' || name !== 'TLS_AES_256_GCM_SHA384') reject(new Error(`another TLS: ${socket.getProtocol()} ${standardName}`));
      socket.off('error', reject);
      resolve(socket);
    });
    socket.setNoDelay(true);
    socket.once('error', reject);
  });
}

const overSocket = (path: string): Way => () => new Promise((resolve, reject) => {
  const socket = connectSocket({ path, allowHalfOpen: true }, () => resolve(socket.off('error', reject)));
  socket.once('error', reject);
});

/** One kept connection, one request at a time, as little work as can be. */
class Line {
  private waiting: { resolve: (bytes: number) => void; reject: (error: Error) => void; expected: number } | null = null;
  private head: Buffer | null = null;
  /** Of an answer with a length: all its bytes; -1: before its head has come; -2: it comes in chunks. */
  private left = -1;
  private chunked = false;
  private length = 0;
  private tail = '';
  private collect: Buffer[] | null = null;

  constructor(private readonly socket: Duplex) {
    socket.on('data', (chunk: Buffer) => this.take(chunk));
    socket.on('error', (error) => this.waiting?.reject(error));
    socket.on('close', () => this.waiting?.reject(new Error('the connection was closed')));
  }

  /** @returns how many bytes the answer's body has, with the frames of its chunks */
  ask(method: string, target: string, body?: string, expected = 200, collect = false): Promise<number> {
    return new Promise((resolve, reject) => {
      // Who waits for a dead connection waits for ever.
      if (this.socket.destroyed || !this.socket.writable) reject(new Error('the connection was closed while nothing was asked'));
      this.waiting = { resolve, reject, expected };
      this.head = null;
      this.length = 0;
      this.tail = '';
      this.collect = collect ? [] : null;
      this.socket.write(`${method} ${target} HTTP/1.1\r\nhost: docker\r\n${body === undefined ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`}\r\n${body ?? ''}`);
    });
  }

  /** The body of an answer, without the frames. */
  async read(target: string): Promise<Buffer> {
    await this.ask('GET', target, undefined, 200, true);
    const bytes = Buffer.concat(this.collect!);
    if (!this.chunked) return bytes;
    const parts: Buffer[] = [];
    for (let at = 0; ; ) {
      const end = bytes.indexOf('\r\n', at);
      const size = parseInt(bytes.toString('latin1', at, end), 16);
      if (size === 0) return Buffer.concat(parts);
      parts.push(bytes.subarray(end + 2, end + 2 + size));
      at = end + 2 + size + 2;
    }
  }

  end(): void {
    this.waiting = null;
    this.socket.destroy();
  }

  private take(chunk: Buffer): void {
    let body = chunk;
    if (this.left === -1 && this.tail === '' && this.length === 0) {
      this.head = this.head ? Buffer.concat([this.head, chunk]) : chunk;
      const end = this.head.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = this.head.toString('latin1', 0, end);
      if (!head.startsWith(`HTTP/1.1 ${this.waiting?.expected} `)) {
        this.waiting?.reject(new Error(`answered ${this.head.toString('latin1', 0, 600)}`));
        return;
      }
      body = this.head.subarray(end + 4);
      const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
      this.left = length === undefined ? -2 : Number(length);
    }
    this.length += body.length;
    this.collect?.push(body);
    if (this.left >= 0) {
      if (this.length >= this.left) this.done();
      return;
    }
    // Nothing in JSON looks like the last chunk.
    this.tail = (this.tail + body.toString('latin1', Math.max(0, body.length - 5))).slice(-5);
    if (this.tail === '0\r\n\r\n') this.done();
  }

  private done(): void {
    const { waiting, length } = this;
    this.chunked = this.left === -2;
    this.waiting = null;
    this.left = -1;
    this.tail = '';
    this.length = 0;
    waiting?.resolve(length);
  }
}

/** Bytes per second of what comes after the head of an answer, up to its end. */
function drain(socket: Duplex, request: string, expected: string, leastBytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let head = '';
    let isBody = false;
    let length = 0;
    let begin = 0;
    let tail = '';
    const done = (): void => {
      socket.destroy();
      if (length < leastBytes) reject(new Error(`${length} of ${leastBytes} bytes came after ${head.slice(0, 300)}`));
      else resolve(length / 1e6 / ((performance.now() - begin) / 1000));
    };
    socket.on('data', (chunk: Buffer) => {
      if (isBody) {
        length += chunk.length;
        tail = chunk.length >= 5 ? chunk.toString('latin1', chunk.length - 5) : (tail + chunk.toString('latin1')).slice(-5);
        if (tail === '0\r\n\r\n') done();
        return;
      }
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!head.startsWith(expected)) reject(new Error(`answered ${head.slice(0, 600)}`));
      isBody = true;
      length = head.length - end - 4;
    });
    socket.once('end', done).once('close', done).once('error', reject);
    begin = performance.now();
    socket.write(request);
  });
}

/** Work that does not end would leave nobody a word of what it was. */
async function inTime<T>(name: string, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} did not end within 60 s`)), 60_000);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

// --- beside each other

async function besides(product: Product, stage: Stage, rounds: number, wants: (part: string) => boolean): Promise<Row[]> {
  const { ways } = stage;
  const open = async (way: Way, count: number): Promise<Line[]> => Promise.all(Array.from({ length: count }, async () => new Line(await way())));
  const arms: Record<string, () => Promise<number>> = {};
  const cpu: Record<string, { seconds: number; calls: number }> = {};
  const ping = async (way: Way): Promise<() => Promise<number>> => {
    const [line] = await open(way, 1);
    return async () => {
      const times: number[] = [];
      for (let index = 0; index < pings; index += 1) {
        const begin = performance.now();
        await line!.ask('GET', '/_ping');
        times.push(performance.now() - begin);
      }
      return median(times);
    };
  };
  const list = async (way: Way, target: string, count: number, atLeast: number): Promise<() => Promise<number>> => {
    const lines = await open(way, 8);
    const used = way === ways.gateway ? (cpu[target] = { seconds: 0, calls: 0 }) : null;
    if ((JSON.parse((await lines[0]!.read(target)).toString('latin1')) as unknown[]).length < atLeast) throw new Error(`${target} has too few items`);
    return async () => {
      const before = product.cpuSeconds();
      const begin = performance.now();
      await inParallel(count, 8, (_index, worker) => lines[worker]!.ask('GET', target));
      if (used) {
        used.seconds += product.cpuSeconds() - before;
        used.calls += count;
      }
      return count / ((performance.now() - begin) / 1000);
    };
  };
  const execOver = (way: Way) => async (): Promise<number> => {
    const { Id } = await engineCall<{ Id: string }>(stage.engineSocket, 'POST', `/containers/${stage.toolId}/exec`, { AttachStdout: true, Cmd: ['/bin/busybox', 'dd', 'if=/dev/zero', 'bs=64k', `count=${execBytes / 65_536}`] });
    const body = '{"Detach":false,"Tty":false}';
    return drain(await way(), `POST ${version}/exec/${Id}/start HTTP/1.1\r\nhost: docker\r\nconnection: Upgrade\r\nupgrade: tcp\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`, 'HTTP/1.1 101 ', execBytes);
  };
  const logsOver = (way: Way) => async (): Promise<number> => drain(await way(), `GET ${version}/containers/${stage.talkerId}/logs?follow=1&stdout=1 HTTP/1.1\r\nhost: docker\r\n\r\n`, 'HTTP/1.1 200 ', logBytes);

  if (wants('ping')) for (const [name, way] of Object.entries({ gateway: ways.gateway, raw: ways.raw, rawAgain: ways.raw, nginx: ways.nginx, socket: ways.socket })) arms[`ping ${name}`] = await ping(way);
  if (wants('lists')) {
    for (const [name, way] of Object.entries({ gateway: ways.gateway, nginx: ways.nginx, nginxAgain: ways.nginx, raw: ways.raw })) {
      arms[`containers ${name}`] = await list(way, `${version}/containers/json?all=1`, 64, containers - 2);
      arms[`services ${name}`] = await list(way, `${version}/services`, 128, services);
    }
  }
  if (wants('streams')) {
    for (const [name, way] of Object.entries({ gateway: ways.gateway, raw: ways.raw, rawAgain: ways.raw })) {
      arms[`exec ${name}`] = execOver(way);
      arms[`logs ${name}`] = logsOver(way);
    }
  }
  for (const [name, arm] of Object.entries(arms)) arms[name] = () => inTime(name, arm);
  progress('warming up');
  for (let turn = 0; turn < warmTurns; turn += 1) for (const [name, arm] of Object.entries(arms)) if (turn === 0 || name.startsWith('ping')) await arm();
  const measured = await interleave(rounds, arms);
  product.assertRuns();
  const of = (arm: string): number[] => measured[arm] ?? [];
  const rows: Row[] = [];
  if (wants('ping')) {
    const added = of('ping gateway').map((value, index) => value - of('ping raw')[index]!);
    const aa = of('ping rawAgain').map((value, index) => value - of('ping raw')[index]!);
    const noise = Math.abs(median(aa)) + (percentile(aa, 75) - percentile(aa, 25)) / 2;
    rows.push(
      { what: '_ping: added to raw, p50, c=1', value: show(median(added), 'ms'), limit: '≤ 0.3 ms', verdict: judge({ value: median(added), limit: 0.3, good: 'below', spread: noise / 0.3 }) },
      { what: '_ping: p50', value: `gateway ${show(median(of('ping gateway')), 'ms')}, raw ${show(median(of('ping raw')), 'ms')}, nginx ${show(median(of('ping nginx')), 'ms')}, socket without TLS ${show(median(of('ping socket')), 'ms')}` },
      { what: '_ping: A/A (raw − raw)', value: `${show(median(aa), 'ms')} ± ${show(noise, 'ms')}` },
    );
  }
  const compare = (part: string, what: string, other: string, unit: string, limit: number): void => {
    const aa = ratios(of(`${part} ${other}Again`), of(`${part} ${other}`));
    const others = of(`${part} ${other}`).map((value, index) => (value + of(`${part} ${other}Again`)[index]!) / 2);
    const value = median(ratios(of(`${part} gateway`), others));
    const spread = spreadOf(aa);
    const raw = other === 'raw' ? '' : `, raw ${show(median(of(`${part} raw`)), unit)}`;
    rows.push(
      { what: `${what}: gateway / ${other}`, value: `${show(value)} × (${show(median(of(`${part} gateway`)), unit)}, ${other} ${show(median(others), unit)}${raw})`, limit: `≥ ${limit} ×`, verdict: judge({ value, limit, good: 'above', spread }) },
      { what: `${what}: A/A (${other} / ${other})`, value: `${show(median(aa))} × ${showSpread(spread)}` },
    );
  };
  if (wants('lists')) {
    compare('containers', `${containers} containers, c=8`, 'nginx', '/s', 0.9);
    compare('services', `${services.toLocaleString('en-US')} services, c=8`, 'nginx', '/s', 0.9);
    rows.push({ what: 'CPU of Gantry a list', value: Object.entries(cpu).map(([target, { seconds, calls }]) => `${target.split(/[/?]/)[2]!} ${show((seconds * 1000) / calls, 'ms')}`).join(', ') });
  }
  if (wants('streams')) {
    compare('exec', 'exec stream', 'raw', 'MB/s', 0.6);
    compare('logs', 'logs -f', 'raw', 'MB/s', 0.95);
  }
  return rows;
}

// --- filtered lists

async function filtered(product: Product, stage: Stage, folder: string, rounds: number): Promise<Row[]> {
  const { engineSocket, admin, ways } = stage;
  progress(`making ${manyServices.toLocaleString('en-US')} services`);
  const target = `${version}/services`;
  const present = (await engineCall<string>(engineSocket, 'GET', '/services')).split('"Version":{"Index":').length - 1;
  await inParallel(manyServices - present, 8, (index) => engineCall(engineSocket, 'POST', '/services/create', serviceSpec(`other-${index}`, index, 'registry.example.test/shop/web:1')));
  const socket = new Line(await ways.socket());
  const recorded = await socket.read(target);
  socket.end();
  const all = JSON.parse(recorded.toString()) as { Spec: { Name: string } }[];
  const kept = Buffer.from(`${JSON.stringify(all.filter(({ Spec }) => Spec.Name.startsWith('mine-')))}`);
  // What engines escape and `JSON.stringify` does not is not in these.
  writeFileSync(join(folder, 'services.json'), recorded);
  const path = join(folder, 'replay.sock');
  const child = fork(__filename, ['replay', path, engineSocket, join(folder, 'services.json')], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], detached: true });
  later('the replaying engine', () => child.kill('SIGKILL'));
  await listening(child);
  const local = await admin.call<{ version: number }>('GET', '/api/v1/clusters/local');
  await admin.send('PATCH', '/api/v1/clusters/local', JSON.stringify({ endpoint: { kind: 'socket', path } }), { 'if-match': `"${local.version}"` });
  const front = new Nginx(stage.nginx.how, join(folder, 'nginx2'), readFileSync(join(folder, 'nginx/ca.pem'), 'utf8'));
  await front.start(path);
  const bundle = await bundleOf(product, admin.token);
  const ways2: Record<string, Way> = { filtered: ways.ann, filteredAgain: ways.ann, whole: ways.gateway, raw: overTls(front.rawPort, bundle), rawAgain: overTls(front.rawPort, bundle), socket: overSocket(path) };
  const arms: Record<string, () => Promise<number>> = {};
  for (const [name, way] of Object.entries(ways2)) {
    const line = new Line(await way());
    const seen = name.startsWith('filtered') ? await waitFor('the replayed list', 30, async () => {
      const body = await line.read(target);
      return body.equals(kept) || body.equals(Buffer.concat([kept, Buffer.from('\n')])) ? body : null;
    }, 500) : await line.read(target);
    if (!name.startsWith('filtered') && !seen.equals(recorded)) throw new Error(`${name}: not the list that was recorded`);
    arms[name] = async () => {
      const times: number[] = [];
      for (let index = 0; index < 5; index += 1) {
        const begin = performance.now();
        const bytes = await line.ask('GET', target);
        times.push(performance.now() - begin);
        if (bytes < seen.length) throw new Error(`${name}: ${bytes} of ${seen.length} bytes`);
      }
      return median(times);
    };
  }
  for (let turn = 0; turn < 3; turn += 1) for (const arm of Object.values(arms)) await arm();
  const cpu = product.cpuSeconds();
  const measured = await interleave(rounds, arms);
  product.assertRuns();
  const of = (arm: string): number => median(measured[arm]!);
  const spread = spreadOf(ratios(measured['filtered']!, measured['filteredAgain']!));
  const added = of('filtered') - of('raw');
  const addedToSocket = of('filtered') - of('socket');
  const noise = (spread * of('filtered')) / 10;
  const perCall = ((product.cpuSeconds() - cpu) * 1000) / (rounds * 5 * 3);
  return [
    { what: `filtered, ${manyServices.toLocaleString('en-US')} services (${show(recorded.length / 1e6, 'MB')}): added to raw, p50`, value: show(added, 'ms'), limit: '< 10 ms', verdict: judge({ value: added, limit: 10, good: 'below', spread: noise }) },
    { what: 'filtered: added to the whole list over the socket, without TLS', value: show(addedToSocket, 'ms') },
    { what: 'filtered: p50', value: `${show(of('filtered'), 'ms')}; whole: gateway ${show(of('whole'), 'ms')}, raw ${show(of('raw'), 'ms')}, socket ${show(of('socket'), 'ms')}; CPU of Gantry a call ${show(perCall, 'ms')}` },
    { what: 'filtered: A/A (filtered / filtered)', value: showSpread(spread) },
  ];
}

/** An engine whose list of services is recorded; all else goes to the real one. */
function replay(path: string, engineSocket: string, file: string): void {
  const recorded = readFileSync(file);
  createServer((request, response) => {
    if (request.method === 'GET' && /^\/v1\.\d+\/services$/.test(request.url ?? '')) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(recorded);
      return;
    }
    const sent = httpRequest({ socketPath: engineSocket, method: request.method, path: request.url, headers: request.headers }, (answer: IncomingMessage) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
    });
    sent.on('error', () => response.destroy());
    response.on('close', () => sent.destroy());
    request.pipe(sent);
  }).listen(path, () => process.send?.('ready'));
  process.on('disconnect', () => process.exit(0));
}

function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('message', () => resolve()).once('exit', (code) => reject(new Error(`it ended with ${code}`)));
  });
}

// --- idle streams

async function idle(product: Product, stage: Stage): Promise<Row> {
  progress('opening streams');
  const opened: Duplex[] = [];
  const openOne = async (): Promise<void> => {
    const socket = await stage.ways.ann();
    opened.push(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('data', (chunk: Buffer) => (chunk.toString('latin1').startsWith('HTTP/1.1 200 ') ? resolve() : reject(new Error(chunk.toString('latin1'))))).once('error', reject);
      socket.write(`GET ${version}/events HTTP/1.1\r\nhost: docker\r\n\r\n`);
    });
  };
  const settled = async (): Promise<number> => {
    const looks: number[] = [];
    for (let look = 0; look < 5; look += 1) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      looks.push(product.memory().nodeBytes);
    }
    return median(looks);
  };
  await inParallel(50, 8, openOne);
  const before = await settled();
  await inParallel(streams, 8, openOne);
  const after = await settled();
  product.assertRuns();
  for (const socket of opened) socket.destroy();
  const each = (after - before) / streams / 1000;
  return { what: `${streams} idle streams: each`, value: `${show(each, 'KB')} (${show(before / 1e6, 'MB')} → ${show(after / 1e6, 'MB')})`, limit: '< 30 KB', verdict: each < 30 ? 'PASS' : 'FAIL' };
}
