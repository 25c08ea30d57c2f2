import { IncomingMessage } from 'node:http';
import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import { connect, createServer, Socket, type AddressInfo, type Server } from 'node:net';
import type { Writable } from 'node:stream';
import { clustersProblem, framed, rawEngineOver, readOrder, readSolve, writeMade, type Passage } from '@gantry/clusters';
import { eventually } from '@gantry/platform/testing';
import { BuildControl } from '../build-control';
import { passDuplex } from '../transport';

const control = '/moby.buildkit.v1.Control/';
const bridge = '/moby.buildkit.v1.frontend.LLBBridge/';
/** Every method that BuildKit's interface has (api/services/control/control.proto, frontend/gateway/pb/gateway.proto), and those of its neighbours. */
const methods = [
  ...['DiskUsage', 'Prune', 'Solve', 'Status', 'Session', 'ListWorkers', 'Info', 'ListenBuildHistory', 'UpdateBuildHistory'].map((name) => control + name),
  ...['ResolveImageConfig', 'ResolveSourceMeta', 'Solve', 'ReadFile', 'ReadDir', 'StatFile', 'Evaluate', 'Ping', 'Return', 'Inputs', 'NewContainer', 'ReleaseContainer', 'ExecProcess', 'ReadFileContainer', 'ReadDirContainer', 'StatFileContainer', 'Warn'].map((name) => bridge + name),
  '/grpc.health.v1.Health/Check', '/opentelemetry.proto.collector.trace.v1.TraceService/Export', '/containerd.services.content.v1.Content/Read', '/moby.filesync.v1.FileSync/DiffCopy', '/', '/moby.buildkit.v1.Control/solve', '//moby.buildkit.v1.Control/Solve',
];
const answered = [`${control}ListWorkers`, `${control}Solve`, `${control}Status`, `${bridge}Ping`, `${bridge}Return`, `${bridge}Solve`];
const unimplemented = '12';
const id = `sha256:${'a'.repeat(64)}`;

/** Fields as bytes: strings and buffers with their length, numbers as they are. */
function message(...fields: [number: number, value: string | number | Buffer][]): Buffer {
  return Buffer.concat(fields.map(([number, value]) => {
    if (typeof value === 'number') return Buffer.from([number << 3, value]);
    const bytes = Buffer.from(value);
    const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
    return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
  }));
}
const pair = (key: string, value: string): Buffer => message([1, key], [2, value]);
const moby = (ref: string): Buffer => message([1, ref], [3, 'moby'], [4, pair('name', 'r/a/b:1')], [5, 'session'], [8, ''], [13, message([1, 'moby'], [2, pair('name', 'r/a/b:1')])]);
const dockerfile = message([2, 'dockerfile.v0'], [3, pair('filename', 'Dockerfile')], [5, 1], [6, 1]);
const given = message([1, message([3, ''])]);
const trace = (text: string): Buffer => Buffer.from(`${JSON.stringify({ id: 'moby.buildkit.trace', aux: Buffer.from(text).toString('base64') })}\n`);

/** An answer to one call. */
interface Said {
  status: string;
  message: string;
  body: Buffer;
  code: number;
}

describe('BuildKit’s own interface', () => {
  let server: Server;
  let served: BuildControl;
  let client: ClientHttp2Session;
  /** Builds that were asked for, and how each is answered. */
  let targets: string[];
  let callers: Writable[];
  let answer: (hear: (chunk: Buffer) => Promise<void>, caller: Writable) => Promise<number | null>;

  beforeEach(async () => {
    targets = [];
    callers = [];
    answer = async (hear) => {
      await hear(trace('one'));
      await hear(Buffer.from(`${JSON.stringify({ id: 'moby.image.id', aux: { ID: id } })}\n`));
      return 200;
    };
    server = createServer((socket) => {
      socket.on('error', () => undefined);
      served = new BuildControl(socket, { version: 51, platform: async () => ({ os: 'linux', arch: 'amd64' }), keep: () => () => undefined }, async (target, caller, hear) => {
        targets.push(target);
        callers.push(caller);
        return answer(hear, caller);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    client = connectHttp2('http://gateway', { createConnection: () => socket });
    client.on('error', () => undefined);
    await new Promise((resolve) => client.once('connect', resolve));
  });
  afterEach(async () => {
    client.destroy();
    served.end();
    await new Promise((resolve) => server.close(resolve));
  });

  const open = (path: string, ref = '', more: IncomingHttpHeaders = {}): ClientHttp2Stream => {
    const stream = client.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...(ref === '' ? {} : { 'buildkit-controlapi-buildid': ref }), ...more }, { endStream: false });
    stream.on('error', () => undefined);
    return stream;
  };
  const said = (stream: ClientHttp2Stream): Promise<Said> =>
    new Promise((resolve) => {
      const heard: Said = { status: '', message: '', body: Buffer.alloc(0), code: 0 };
      const hear = (headers: IncomingHttpHeaders): void => {
        heard.status = String(headers['grpc-status'] ?? heard.status);
        heard.message = decodeURIComponent(String(headers['grpc-message'] ?? heard.message));
      };
      stream.on('response', hear).on('trailers', hear).on('data', (chunk: Buffer) => (heard.body = Buffer.concat([heard.body, chunk])));
      stream.once('close', () => resolve({ ...heard, code: stream.rstCode ?? 0 }));
    });
  const ask = (path: string, body: Buffer = Buffer.alloc(0), ref = ''): Promise<Said> => {
    const stream = open(path, ref);
    stream.end(framed(body));
    return said(stream);
  };

  it('answers six methods, and no other', async () => {
    const known: string[] = [];
    for (const path of methods) {
      // What is answered needs a message that can be read: of this one, none can be.
      const { status, message: why } = await ask(path, Buffer.from([0xff]));
      if (status !== unimplemented) known.push(path);
      else expect([path, why]).toEqual([path, expect.stringMatching(/^(?:Gantry does not pass this on|What builds have left|The history of builds)/) as unknown]);
    }
    expect(known.sort()).toEqual(answered);
    expect(targets).toEqual([]);
    expect((await said(open(`${control}ListWorkers`, '', { ':method': 'GET' }).end())).status).toBe('');
  });

  it('makes one judged call of a build, and tells what becomes of it', async () => {
    const status = ask(`${control}Status`, message([1, 'one']));
    const ping = ask(`${bridge}Ping`, undefined, 'one');
    const order = ask(`${control}Solve`, moby('one'));
    expect((await ping).status).toBe('0');
    const solved = await ask(`${bridge}Solve`, dockerfile, 'one');
    expect([solved.status, solved.body]).toEqual(['0', framed(Buffer.from([0x1a, 2, 0x1a, 0]))]);
    expect(targets).toEqual(['/v1.51/build?version=2&remote=client-session&session=session&buildid=one&dockerfile=Dockerfile&t=r%2Fa%2Fb%3A1']);
    expect((await ask(`${bridge}Return`, given, 'one')).status).toBe('0');
    expect(await order).toMatchObject({ status: '0', body: framed(writeMade(id, ['r/a/b:1'])) });
    expect(await status).toMatchObject({ status: '0', body: framed(Buffer.from('one')) });
    // Asked for once, and announced once.
    expect((await ask(`${bridge}Solve`, dockerfile, 'one')).status).toBe('6');
    expect((await ask(`${control}Solve`, moby('one'))).status).toBe('6');
    expect(targets).toHaveLength(1);
  });

  it('tells a refusal, the engine’s error and its refusal in their words', async () => {
    for (const [ref, how, grpc, words] of [
      ['a', async () => { throw clustersProblem('call-forbidden', { detail: 'That is “no”.' }); }, '7', 'That is “no”.'],
      ['b', async () => { throw new Error('a secret of ours'); }, '13', 'internal error'],
      ['c', async (hear: (chunk: Buffer) => Promise<void>) => { await hear(Buffer.from('{"error":"100% wrong"}')); return 200; }, '2', '100% wrong'],
      ['d', async (hear: (chunk: Buffer) => Promise<void>) => { await hear(Buffer.from('{"message":"not now"}')); return 503; }, '2', 'not now'],
      ['e', async () => 200, '2', 'The engine does not say what it has built.'],
    ] as const) {
      answer = how;
      const order = ask(`${control}Solve`, moby(ref));
      expect([ref, await ask(`${bridge}Solve`, dockerfile, ref)]).toMatchObject([ref, { status: grpc, message: words }]);
      void ask(`${bridge}Return`, message([2, message([1, 2], [2, 'in the client’s words'])]), ref);
      expect([ref, await order]).toMatchObject([ref, { status: grpc, message: words }]);
    }
  });

  it('ends a build with the call, and with the connection', async () => {
    answer = (_hear, caller) => new Promise((resolve) => caller.once('close', () => resolve(null)));
    for (const end of ['announcement', 'call', 'connection'] as const) {
      const order = open(`${control}Solve`);
      order.end(framed(moby(end)));
      const ordered = said(order);
      const solve = open(`${bridge}Solve`, end);
      solve.end(framed(dockerfile));
      const solved = said(solve);
      await eventually(`${end}: it is asked for`, () => targets.some((target) => target.includes(end)), 30);
      if (end === 'connection') client.destroy();
      else (end === 'call' ? solve : order).close(8);
      await eventually(`${end}: it ends`, () => callers.at(-1)!.destroyed, 30);
      await Promise.all([ordered, solved]);
    }
  });

  it('lets nothing by that it has not read', async () => {
    const order = (...more: [number, string | number | Buffer][]): Buffer => Buffer.concat([moby('x'), message(...more)]);
    for (const bad of [
      Buffer.alloc(0), moby('x').subarray(0, -1), order([16, 1]), order([2, 'llb']), order([6, 'dockerfile.v0']), order([9, 'security.insecure']), order([10, pair('a', '')]), order([12, 'policy']), order([13, message([1, 'moby'])]), order([14, 1]), order([1, 'y']),
      message([1, '../x'], [5, 's']), message([1, 'x'], [3, 'moby'], [13, message([1, 'local'])]), message([1, 'x'], [13, message([1, 'image'], [2, pair('push', 'true')])]), message([1, 'x'], [13, message([1, 'local'], [2, pair('dest', '/')])]),
      message([1, 'x'], [8, message([4, message([1, 'registry'], [2, pair('ref', 'x')])])]), message([1, 'x'], [13, message([1, 'moby'], [2, pair('name', 'a')], [2, pair('name', 'b')])]),
    ]) {
      const { status } = await ask(`${control}Solve`, bad);
      expect([bad.toString('hex'), status]).toEqual([bad.toString('hex'), '3']);
    }
    void ask(`${control}Solve`, moby('one'));
    for (const bad of [
      dockerfile.subarray(0, -1), message([2, 'gateway.v0'], [3, pair('source', 'x/y')]), message([1, message([1, 'op'])], [2, 'dockerfile.v0']), message([2, '']), Buffer.concat([dockerfile, message([13, pair('a', '')])]), Buffer.concat([dockerfile, message([15, 'x'])]),
      Buffer.concat([dockerfile, message([3, pair('filename', 'Other')])]), Buffer.concat([dockerfile, message([4, 'x'])]), Buffer.concat([dockerfile, message([10, 1])]),
      ...[['context', 'http://x'], ['context:a', 'docker-image://x'], ['contextkey', 'home'], ['requestid', 'x'], ['source', 'x'], ['hostname', 'x'], ['devices', 'all'], ['platform', 'linux/a,linux/b'], ['no-cache', 'stage'], ['unheard', ''], ['attest:sbom', ''],
        ['cache-imports', '[{"Type":"s3"}]'], ['cache-imports', '{'], ['frontend.caps', 'x'], ['ulimit', 'x'], ['shm-size', '-1'], ['force-network-mode', 'bridge']].map(([key, value]) => message([2, 'dockerfile.v0'], [3, pair(key!, value!)])),
    ]) {
      const { status } = await ask(`${bridge}Solve`, bad, 'one');
      expect([bad.toString('latin1'), status]).toEqual([bad.toString('latin1'), '3']);
    }
    for (const bad of [message([1, message([3, message([1, 'ref'])])]), message([1, message([1, 'ref'])]), message([1, message([4, ''])]), message([1, message([10, pair('a', 'b')])])]) expect((await ask(`${bridge}Return`, bad, 'one')).status).toBe('3');
    const twice = open(`${control}ListWorkers`);
    twice.write(framed(Buffer.alloc(0)));
    twice.end(framed(Buffer.alloc(0)));
    expect((await said(twice)).status).toBe('3');
    const packed = open(`${control}ListWorkers`);
    packed.end(Buffer.from([1, 0, 0, 0, 0]));
    expect((await said(packed)).status).toBe('3');
    const long = open(`${control}ListWorkers`);
    long.end(Buffer.from([0, 0x7f, 0, 0, 0]));
    expect((await said(long)).status).toBe('3');
    expect(targets).toEqual([]);
  });

  it('has room for some questions that have begun and do not end, and for others afterwards', async () => {
    const half = Buffer.concat([Buffer.from([0, 0, 3, 0, 0]), Buffer.alloc(190_000)]);
    const begun = Array.from({ length: 30 }, () => open(`${control}ListWorkers`));
    const answers = begun.map(said);
    const refused = new Promise<IncomingHttpHeaders>((resolve) => {
      for (const stream of begun) stream.on('response', resolve);
    });
    for (const stream of begun) stream.write(half);
    const { 'grpc-status': status, 'grpc-message': message } = await refused;
    expect([status, decodeURIComponent(String(message))]).toEqual(['3', expect.stringContaining('begun') as string]);
    for (const stream of begun) stream.close(8);
    await Promise.all(answers);
    expect((await ask(`${control}ListWorkers`)).status).toBe('0');
  });

  it('is never an engine’s', async () => {
    const asked: string[] = [];
    const engine = rawEngineOver('tcp://engine', () => {
      asked.push('a connection');
      return new Socket();
    });
    const socket = new Socket();
    const passage: Passage = { method: 'POST', target: '/v1.51/grpc', body: 'stream', headers: {}, connection: 'upgrade', filter: null, whole: null, stillAllowed: async () => true, ended: null };
    await expect(passDuplex(engine, new IncomingMessage(socket), socket, passage)).rejects.toThrow('never passed on');
    expect(asked).toEqual([]);
    engine.close();
  });

  it('reads as a judged build reads it', () => {
    const order = readOrder(moby('one'));
    expect(order).toEqual({ ref: 'one', session: 'session', output: { type: 'moby', names: ['r/a/b:1'] }, inlineCache: false });
    const options = { 'build-arg:A': '1 & 2', 'label:__proto__': 'x', target: 'base', 'add-hosts': 'a=10.0.0.1,b=192.0.2.254', 'no-cache': '', 'vcs:revision': 'x', ulimit: 'nofile=1:2,nproc=3', 'cache-imports': '[{"Type":"registry","Attrs":{"ref":"r/a/b:0"}}]', 'image-resolve-mode': 'pull' };
    expect(readSolve(message([2, 'dockerfile.v0'], ...Object.entries(options).map(([key, value]): [number, Buffer] => [3, pair(key, value)])), order)).toEqual([
      ['version', '2'], ['remote', 'client-session'], ['session', 'session'], ['buildid', 'one'], ['target', 'base'], ['extrahosts', 'a:10.0.0.1'], ['extrahosts', 'b:host-gateway'], ['nocache', '1'],
      ['ulimits', '[{"Name":"nofile","Soft":1,"Hard":2},{"Name":"nproc","Soft":3,"Hard":3}]'], ['buildargs', '{"A":"1 & 2"}'], ['labels', '{"__proto__":"x"}'], ['cachefrom', '["r/a/b:0"]'], ['t', 'r/a/b:1'],
    ]);
  });
});
