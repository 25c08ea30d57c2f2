import { connect as connectHttp2, performServerHandshake, type ClientHttp2Session, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { rawEngineOver, type RawEngine } from '@gantry/clusters';
import { eventually } from '@gantry/platform/testing';
import { ClientSession } from '../build-session';

const diffCopy = '/moby.filesync.v1.FileSync/DiffCopy';
const secret = '/moby.buildkit.secrets.v1.Secrets/GetSecret';
const credentials = '/moby.filesync.v1.Auth/Credentials';

/** An answer to one call of the engine's. */
interface Said {
  headers: IncomingHttpHeaders;
  trailers: IncomingHttpHeaders;
  body: Buffer;
  code: number;
}

describe('a session of BuildKit between client and engine', () => {
  const servers: Server[] = [];
  const ends: (() => void)[] = [];
  /** What the client was asked: path and metadata. */
  let asked: [string, string[]][];
  let client: ServerHttp2Session;
  let session: ClientSession;
  let engine: ClientHttp2Session;
  let engineHead: string;
  let engineSocket: Socket;

  const listen = async (take: (socket: Socket) => void): Promise<number> => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      take(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  };

  const ask = (path: string, more: Record<string, string | string[]> = {}): Promise<Said> =>
    new Promise((resolve, reject) => {
      const stream = engine.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...more }, { endStream: true });
      const said: Said = { headers: {}, trailers: {}, body: Buffer.alloc(0), code: 0 };
      stream.on('response', (headers) => (said.headers = headers)).on('trailers', (trailers) => (said.trailers = trailers));
      stream.on('data', (chunk: Buffer) => (said.body = Buffer.concat([said.body, chunk])));
      stream.on('error', () => undefined);
      stream.once('close', () => (stream.rstCode === undefined ? reject(new Error('no end')) : resolve({ ...said, code: stream.rstCode })));
    });

  beforeEach(async () => {
    asked = [];
    const clientPort = await listen((socket) => {
      client = performServerHandshake(socket);
      client.on('error', () => undefined);
      client.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
        stream.on('error', () => undefined);
        asked.push([String(headers[':path']), raw.flatMap((name, index) => (index % 2 === 0 && !/^(?::|te$|user-agent|content-type)/.test(name) ? [`${name}: ${raw[index + 1]}`] : []))]);
        stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'set-cookie': 'x' }, { waitForTrailers: true });
        stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '5', 'grpc-message': 'as it was said', 'x-more': 'y' }));
        stream.end('said');
      });
    });
    const enginePort = await listen((socket) => {
      engineSocket = socket;
      socket.once('data', (head: Buffer) => {
        engineHead = head.toString('latin1');
        // With what it asks in the same piece, as engines may.
        socket.cork();
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
        engine = connectHttp2('http://engine', { createConnection: () => socket });
        engine.on('error', () => undefined);
        process.nextTick(() => socket.uncork());
      });
    });
    const way: RawEngine = rawEngineOver('tcp://engine', () => connect({ port: enginePort, host: '127.0.0.1', allowHalfOpen: true }));
    const socket = connect({ port: clientPort, host: '127.0.0.1' });
    await new Promise((resolve) => socket.once('connect', resolve));
    session = new ClientSession(socket, 'folder', [diffCopy, secret, credentials]);
    ends.push(() => session.end(), () => way.close());
    const open = await session.open(way, { dockerfile: [{ name: 'Dockerfile', bytes: Buffer.from('FROM judged') }], methods: new Set([diffCopy, secret, '/moby.sshforward.v1.SSH/CheckAgent']), sharedKey: 'key', target: '/v1.41/session' }, new AbortController().signal);
    expect(open.id).toMatch(/^[0-9a-f]{32}$/);
    await eventually('the engine asks', () => (engine as ClientHttp2Session | undefined) !== undefined && !engine.connecting, 30);
  });
  afterEach(async () => {
    for (const end of ends.splice(0)) end();
    engine.destroy();
    client.destroy();
    engineSocket.destroy();
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  });

  it('tells the engine what the client has and the build may use, and a name of its own', () => {
    expect(engineHead).toMatch(/^POST \/v1\.41\/session HTTP\/1\.1\r\n/);
    const offered = [...engineHead.matchAll(/^x-docker-expose-session-grpc-method: (.*)\r$/gim)].map(([, method]) => method);
    expect(offered).toEqual(['/grpc.health.v1.Health/Check', diffCopy, secret]);
    expect(engineHead).toContain('x-docker-expose-session-sharedkey: key\r\n');
  });

  it('relays what is allowed, with its metadata, its end and nothing more', async () => {
    const said = await ask(diffCopy, { 'dir-name': 'context', followpaths: ['a', 'b, c'], authorization: 'Bearer x', traceparent: 'x' });
    expect(asked).toEqual([[diffCopy, ['dir-name: context', 'followpaths: a', 'followpaths: b, c']]]);
    expect([said.headers[':status'], said.headers['set-cookie'], said.body.toString(), said.trailers['grpc-status'], said.trailers['grpc-message'], said.trailers['x-more']]).toEqual([200, undefined, 'said', '5', 'as it was said', undefined]);
    expect((await ask(secret)).body.toString()).toBe('said');
  });

  it('answers for the client where that is not asked', async () => {
    expect((await ask('/grpc.health.v1.Health/Check')).trailers['grpc-status']).toBe('0');
    for (const [path, more] of [[credentials, {}], ['/moby.sshforward.v1.SSH/CheckAgent', {}], ['/moby.filesync.v1.FileSend/DiffCopy', {}], [diffCopy, {}], [diffCopy, { 'dir-name': 'home' }], [diffCopy, { 'dir-name': ['context', 'home'] }], [`${diffCopy}/`, { 'dir-name': 'context' }], ['/', {}]] as const) {
      expect([path, (await ask(path, more as Record<string, string | string[]>)).headers['grpc-status']]).toEqual([path, '12']);
    }
    expect(asked).toEqual([]);
  });

  it('outlives a client that takes no more calls, and ends with it', async () => {
    client.goaway(0);
    await eventually('the word is out', async () => {
      const { headers, code } = await ask(secret);
      return headers['grpc-status'] === '13' || code !== 0;
    }, 30);
    client.destroy();
    await eventually('the engine’s side is over', () => engine.destroyed || engineSocket.destroyed, 30);
    await eventually('the session is over', () => session.isOver);
  });
});
