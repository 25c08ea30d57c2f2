import { randomBytes } from 'node:crypto';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { parseHead, rawGet } from './raw-get';

let server: Server;
afterEach(async () => new Promise((resolve) => server?.close(resolve)));

/** Reads from a server that answers with these pieces, then ends. */
async function read(pieces: (string | Buffer)[]): Promise<{ started: boolean; status: number; body: Buffer; ended: boolean; aborted: boolean }> {
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      for (const piece of pieces) socket.write(piece);
      socket.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const seen = { started: false, status: 0, body: Buffer.alloc(0), ended: false, aborted: false };
  await new Promise<void>((resolve, reject) => {
    const reading = rawGet({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }, 'GET / HTTP/1.1\r\nhost: x', {
      head: (status) => (seen.status = status),
      write: (chunk, done) => {
        seen.body = Buffer.concat([seen.body, chunk]);
        done();
        setImmediate(() => reading.resume());
        return false; // always asks for a pause
      },
      end: () => {
        seen.ended = true;
        resolve();
      },
      abort: () => {
        seen.aborted = true;
        resolve();
      },
    });
    reading.started.then((started) => {
      seen.started = started;
      if (!started) resolve();
    }, reject);
  });
  return seen;
}

test('the body comes through whole, however it is cut, with a pause after every piece', async () => {
  const body = randomBytes(3_000_000);
  const answer = await read(['HTTP/1.1 200 OK\r\nContent-Le', `ngth: ${body.length}\r\nX: y\r\n\r`, '\n', body]);
  expect(answer).toMatchObject({ status: 200, ended: true, aborted: false });
  expect(answer.body.equals(body)).toBe(true);
});

test('a range', async () => {
  expect(await read(['HTTP/1.1 206 Partial Content\r\ncontent-length: 3\r\n\r\nabc'])).toMatchObject({ status: 206, ended: true });
});
test('an empty body', async () => {
  expect(await read(['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'])).toMatchObject({ status: 200, ended: true, body: Buffer.alloc(0) });
});

test('a body that ends early is broken off', async () => {
  expect(await read(['HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc'])).toMatchObject({ ended: false, aborted: true });
});
test('a body that runs over is broken off', async () => {
  expect(await read(['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc'])).toMatchObject({ ended: false, aborted: true });
});

test.each([
  ['another status', 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n'],
  ['chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'],
  ['an endless head', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}`],
])('left to the ordinary way: %s', async (_what, text) => expect(await read([text])).toMatchObject({ started: false, status: 0 }));

test('no answer at all is an error', async () => {
  await expect(read([])).rejects.toThrow('broke off');
});

test('heads', () => {
  expect(parseHead('HTTP/1.1 200 OK\r\nA: b\r\nC:d')).toEqual({ status: 200, headers: { a: 'b', c: 'd' } });
  for (const text of ['', 'HTTP/1.0 200 OK', 'HTTP/1.1 200 OK\r\n folded: x', 'HTTP/1.1 200 OK\r\nnocolon']) expect(parseHead(text)).toBeNull();
});
