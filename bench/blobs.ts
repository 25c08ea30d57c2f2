// Push and pull of a large layer through Gantry's registry listener, beside the very same Distribution spoken to directly.
import { spawn } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { bench, fullRounds, interleave, judge, median, progress, ratios, show, showSpread, spreadOf, type Findings, type Row } from './lib';
import { Product, registryToken } from './product';

const limit = 0.8;
const repository = 'bench/blobs';

bench(fullRounds, async (options) => {
  const size = Number(options.get('megabytes', '200')) * 1e6;
  const product = await Product.prepare();
  progress('starting Gantry');
  await product.start();
  const rest = await product.admin();
  await rest.call('POST', '/api/v1/organizations', { name: 'bench' });
  await rest.call('POST', '/api/v1/repositories', { namespace: 'bench', name: 'blobs' });
  // Its storage listens on loopback and believes the same tokens: same process, same disk, same cache for both sides.
  const front = new URL(`http://${product.ready.registry}`);
  const storage = new URL(`http://127.0.0.1:${readFileSync(join(product.home, 'registry/port'), 'utf8').trim()}`);
  const bytes = randomFillSync(Buffer.allocUnsafe(size));
  const nextLayer = (): { bytes: Buffer; digest: string } => {
    randomFillSync(bytes, 0, 4096);
    return { bytes, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` };
  };

  let token = '';
  let tokenUntil = 0;
  /** One layer pushed and pulled; megabytes per second of each. */
  const move = (target: URL) => async (): Promise<{ push: number; pull: number }> => {
    if (performance.now() > tokenUntil) {
      token = await registryToken(product, repository, 'pull,push');
      tokenUntil = performance.now() + 120_000;
    }
    const layer = nextLayer();
    await settleDisk();
    const pushSeconds = await push(target, token, layer);
    await settleDisk();
    const pullSeconds = await pull(target, token, layer);
    product.assertRuns();
    // The digest is never used again; the disk would be full after some dozen rounds.
    rmSync(join(product.home, 'registry/data/docker/registry/v2/blobs/sha256', layer.digest.slice(7, 9), layer.digest.slice(7)), { recursive: true });
    return { push: size / 1e6 / pushSeconds, pull: size / 1e6 / pullSeconds };
  };
  const arms = { front: move(front), aloneA: move(storage), aloneB: move(storage) };
  progress('warming up');
  await arms.front();
  await arms.aloneA();
  const found = await interleave(options.rounds, arms);
  const rows = (['push', 'pull'] as const).flatMap((way): Row[] => {
    const of = (arm: string): number[] => found[arm]!.map((figures) => figures[way]);
    const aa = ratios(of('aloneA'), of('aloneB'));
    const spread = spreadOf(aa);
    const alone = of('aloneA').map((value, index) => (value + of('aloneB')[index]!) / 2);
    const value = median(ratios(of('front'), alone));
    return [
      { what: `${way}: front / alone`, value: `${show(value)} ×`, limit: `≥ ${limit} ×`, verdict: judge({ value, limit, good: 'above', spread }) },
      { what: `${way}: through the front`, value: show(median(of('front')), 'MB/s') },
      { what: `${way}: Distribution alone`, value: show(median(alone), 'MB/s') },
      { what: `${way}: A/A (alone / alone)`, value: `${show(median(aa))} × ${showSpread(spread)}` },
    ];
  });
  return {
    title: `Push and pull of a layer of ${show(size / 1e6, 'MB')}`,
    rows,
    notes: [
      `${options.rounds} rounds${options.rounds < fullRounds ? ' (a smoke test: not enough to quote)' : ''}, arms interleaved; random bytes, a layer of its own for every push. Plain HTTP and a token on both sides, one connection per request.`,
      'Alone: the same Distribution process on its own loopback port with the same token. The client is one process of plain sockets, as cheap as can be, on the same cores; the disk is synced before each part.',
      'Pushed as the docker CLI does: begin, one PATCH with all bytes, PUT with the digest. Every pull is checked for its length, and the digest of every push by the storage.',
    ],
  } satisfies Findings;
});

/** Dirty pages of the part before must not be written in this one. */
async function settleDisk(): Promise<void> {
  await new Promise<void>((resolve, reject) => spawn('sync', { stdio: 'ignore' }).once('error', reject).once('close', () => resolve()));
}

/** @returns seconds of the whole push */
async function push(target: URL, token: string, layer: { bytes: Buffer; digest: string }): Promise<number> {
  const begin = performance.now();
  const begun = await request(target, token, 'POST', `/v2/${repository}/blobs/uploads/`, null, 202);
  const upload = new URL(begun.location ?? '', target);
  const patched = await request(target, token, 'PATCH', upload.pathname + upload.search, layer.bytes, 202);
  const done = new URL(patched.location ?? '', target);
  done.searchParams.set('digest', layer.digest);
  await request(target, token, 'PUT', done.pathname + done.search, Buffer.alloc(0), 201);
  return (performance.now() - begin) / 1000;
}

/** @returns seconds of the whole pull */
async function pull(target: URL, token: string, layer: { bytes: Buffer; digest: string }): Promise<number> {
  const begin = performance.now();
  const { length } = await request(target, token, 'GET', `/v2/${repository}/blobs/${layer.digest}`, null, 200);
  if (length !== layer.bytes.length) throw new Error(`${length} of ${layer.bytes.length} bytes came`);
  return (performance.now() - begin) / 1000;
}

/** One request on one connection. The body that comes is counted and forgotten, in one buffer, so that the client costs next to nothing. */
function request(target: URL, token: string, method: string, path: string, body: Buffer | null, expected: number): Promise<{ location: string | null; length: number }> {
  return new Promise((resolve, reject) => {
    const scratch = Buffer.allocUnsafe(1 << 20);
    let head = '';
    let headDone = false;
    let length = 0;
    let due = 0;
    let location: string | null = null;
    const fail = (error: Error): void => {
      socket.destroy();
      reject(new Error(`${method} ${target.host}${path}: ${error.message}`));
    };
    const finish = (): void => {
      socket.removeAllListeners('close').destroy();
      resolve({ location, length });
    };
    const take = (count: number, chunk: Uint8Array): boolean => {
      if (headDone) length += count;
      else {
        head += Buffer.from(chunk.buffer, chunk.byteOffset, count).toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return true;
        headDone = true;
        length = head.length - end - 4;
        due = Number(/\r\ncontent-length: (\d+)/i.exec(head.slice(0, end))?.[1] ?? 0);
        location = /\r\nlocation: ([^\r]+)/i.exec(head.slice(0, end))?.[1] ?? null;
        if (!head.startsWith(`HTTP/1.1 ${expected} `)) fail(new Error(`answered ${head.slice(0, 600)}`));
      }
      if (headDone && length >= due) finish();
      return true;
    };
    const socket = connect({ host: target.hostname, port: Number(target.port), onread: { buffer: scratch, callback: take } });
    socket.setTimeout(60_000, () => fail(new Error('no progress in 60 s')));
    socket.once('error', fail).once('close', () => fail(new Error('the connection was closed')));
    socket.write([
      `${method} ${path} HTTP/1.1`, `host: ${target.host}`, `authorization: Bearer ${token}`, 'connection: close',
      ...(body === null ? (method === 'GET' ? [] : ['content-length: 0']) : [`content-length: ${body.length}`, 'content-type: application/octet-stream']), '', '',
    ].join('\r\n'));
    if (body !== null && body.length > 0) socket.write(body);
  });
}
