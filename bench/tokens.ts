// Tokens per second of the token service over HTTP, beside bare ES256 signing of the same JSON Web Token in one thread.
import { fork, type ChildProcess } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, randomUUID, sign, verify, X509Certificate } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { bench, fullRounds, interleave, judge, later, median, progress, ratios, show, showSpread, spreadOf, type Findings } from './lib';
import { Product } from './product';

const limitPerSecond = 3000;
const connections = 16;

/** One stretch of load, as the client process is told. */
interface Load {
  host: string;
  port: number;
  /** The whole request. */
  request: string;
  connections: number;
  seconds: number;
}

interface Answered {
  perSecond: number;
  count: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  /** The last body. */
  body: string;
}

/** With the CPU time of the Gantry process per token. */
type Asked = Answered & { cpuMicros: number };

if (process.argv[2] === 'client') {
  process.on('message', (load: Load) => {
    fire(load).then((answered) => process.send?.({ answered }), (error: Error) => process.send?.({ error: error.message })).catch(() => process.exit(1));
  });
  process.on('disconnect', () => process.exit(0));
} else {
  bench(fullRounds, async (options) => {
    const seconds = Number(options.get('seconds', '2'));
    const product = await Product.prepare();
    progress('starting Gantry');
    await product.start();
    const rest = await product.admin();
    await rest.call('POST', '/api/v1/organizations', { name: 'bench' });
    const { id } = await rest.call<{ id: string }>('POST', '/api/v1/repositories', { namespace: 'bench', name: 'web' });
    const robot = await rest.call<{ token: string; account: { name: string } }>('POST', '/api/v1/tokens', {
      name: 'bench', kind: 'robot', owner: 'bench', expiresAt: new Date(Date.now() + 86_400_000).toISOString(), limits: { operations: ['repository:view', 'repository:pull'], repositories: [id] },
    });
    const client = fork(__filename, ['client'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], detached: true });
    later('the client', () => client.kill('SIGKILL'));

    const { hostname, port } = new URL(product.ready.http);
    const load = (username: string, password: string): Load => ({
      host: hostname, port: Number(port), connections, seconds,
      request: [
        `GET /auth/token?service=gantry-registry&scope=${encodeURIComponent('repository:bench/web:pull')} HTTP/1.1`, `host: ${hostname}:${port}`,
        `authorization: Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`, '', '',
      ].join('\r\n'),
    });
    const people = { robot: load(robot.account.name, robot.token), password: load('admin', product.adminPassword()) };
    const seen = new Set<string>();
    const ask = async (what: Load): Promise<Asked> => {
      const before = product.cpuSeconds();
      const answered = await order(client, what);
      product.assertRuns();
      const cpuMicros = ((product.cpuSeconds() - before) / answered.count) * 1e6;
      const token = (JSON.parse(answered.body) as { token: string }).token;
      assertToken(token);
      if (seen.has(token)) throw new Error('the same token was answered twice');
      seen.add(token);
      return { ...answered, cpuMicros };
    };

    progress('warming up');
    // Warm means compiled: the server's own code is optimised after some thousand calls.
    for (const what of [people.robot, people.password]) for (let asked = 0, turn = 0; asked < 10_000 && turn < 10; turn += 1) asked += (await ask({ ...what, seconds: 2 })).count;
    const bare = bareSigner([...seen][0]!, seconds);
    bare();
    const [robots, passwords, bareA, bareB] = await (async () => {
      const found = await interleave<Asked | number>(options.rounds, {
        robot: () => ask(people.robot),
        password: () => ask(people.password),
        bareA: async () => bare(),
        bareB: async () => bare(),
      });
      return [found['robot'] as Asked[], found['password'] as Asked[], found['bareA'] as number[], found['bareB'] as number[]];
    })();
    const aa = ratios(bareA, bareB);
    const spread = spreadOf(aa);
    const cpu = (answers: Asked[]): string => `${show(median(answers.map(({ cpuMicros }) => cpuMicros)), 'µs')}`;
    const rate = (answers: Answered[]): number => median(answers.map(({ perSecond }) => perSecond));
    const line = (what: string, answers: Answered[]) => ({
      what, value: `${show(rate(answers), '/s')} (p50 ${show(median(answers.map(({ p50 }) => p50)), 'ms')}, p99 ${show(median(answers.map(({ p99 }) => p99)), 'ms')})`,
      limit: `≥ ${limitPerSecond} /s`, verdict: judge({ value: rate(answers), limit: limitPerSecond, good: 'above', spread }),
    });
    return {
      title: 'Token service, warm, one process',
      rows: [
        line('a robot’s token', robots),
        line('a remembered password', passwords),
        { what: 'CPU of Gantry per token', value: `robot ${cpu(robots)}, password ${cpu(passwords)}` },
        { what: 'bare ES256, one thread', value: show(median([...bareA, ...bareB]), '/s') },
        { what: 'robot / bare', value: `${show(median(ratios(robots.map(({ perSecond }) => perSecond), bareA)))} ×` },
        { what: 'A/A (bare / bare)', value: `${show(median(aa))} × ${showSpread(spread)}` },
      ],
      notes: [
        `${options.rounds} rounds of ${seconds} s per arm${options.rounds < fullRounds ? ' (a smoke test: not enough to quote)' : ''}, arms interleaved; ${connections} kept connections from a separate process on the same cores, one request at a time on each.`,
        'Every answer must be 200 with a token; one of each round is checked against the certificate in its header. The Gantry process is the embedded default: API, registry listener and worker in one.',
        'Bare: the same header and claims with new times and id, serialised, encoded and signed in a loop by one thread that has the machine to itself.',
      ],
    } satisfies Findings;
  });
}

function order(client: ChildProcess, load: Load): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new Error('the client process has ended'));
    client.once('exit', gone);
    client.once('message', (message: { answered?: Answered; error?: string }) => {
      client.off('exit', gone);
      if (message.answered) resolve(message.answered);
      else reject(new Error(message.error));
    });
    client.send(load);
  });
}

/** Signatures made in a loop over the same kind of token, per second. */
function bareSigner(sample: string, seconds: number): () => number {
  const [header, payload] = sample.split('.');
  const claims = JSON.parse(Buffer.from(payload!, 'base64url').toString()) as Record<string, unknown>;
  const key = createPrivateKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }));
  return () => {
    const begin = performance.now();
    let made = 0;
    do {
      for (let index = 0; index < 50; index += 1) {
        const now = Math.floor(Date.now() / 1000);
        const input = `${header}.${Buffer.from(JSON.stringify({ ...claims, iat: now, nbf: now, exp: now + 300, jti: randomUUID() })).toString('base64url')}`;
        const token = `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
        if (token.length !== sample.length && Math.abs(token.length - sample.length) > 8) throw new Error('not the same token');
        made += 1;
      }
    } while (performance.now() - begin < seconds * 1000);
    return made / ((performance.now() - begin) / 1000);
  };
}

/** @throws unless it is an ES256 token, for pulling, signed by the key of the certificate that it names */
function assertToken(token: string): void {
  const [header, payload, signature] = token.split('.');
  const { alg, x5c } = JSON.parse(Buffer.from(header!, 'base64url').toString()) as { alg: string; x5c: string[] };
  const { access } = JSON.parse(Buffer.from(payload!, 'base64url').toString()) as { access: { actions: string[] }[] };
  const key = new X509Certificate(Buffer.from(x5c[0]!, 'base64')).publicKey;
  const good = alg === 'ES256' && verify('sha256', Buffer.from(`${header}.${payload}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature!, 'base64url'));
  if (!good || access[0]?.actions[0] !== 'pull') throw new Error('not the token that was asked for');
}

// --- the client process ---

/** Keeps every connection busy with one request at a time, and times each. The client is plain sockets: it shares the cores with the server. */
async function fire(load: Load): Promise<Answered> {
  const millis: number[] = [];
  const until = performance.now() + load.seconds * 1000;
  const begin = performance.now();
  const bodies = await Promise.all(Array.from({ length: load.connections }, () => occupy(load, until, millis)));
  const seconds = (performance.now() - begin) / 1000;
  millis.sort((a, b) => a - b);
  const at = (share: number): number => millis[Math.min(millis.length - 1, Math.floor(millis.length * share))]!;
  return { perSecond: millis.length / seconds, count: millis.length, p50: at(0.5), p99: at(0.99), body: bodies[0]! };
}

/** @returns the last body; rejects on any answer but 200 and on any break */
function occupy(load: Load, until: number, millis: number[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = Buffer.from(load.request);
    let received = '';
    let body = '';
    let sentAt = 0;
    const socket: Socket = connect({ host: load.host, port: load.port, noDelay: true });
    const fail = (why: string): void => {
      socket.destroy();
      reject(new Error(why));
    };
    const next = (): void => {
      sentAt = performance.now();
      socket.write(request);
    };
    socket.setEncoding('latin1').setTimeout(10_000, () => fail('no answer in 10 s')).once('connect', next);
    socket.once('error', (error) => fail(error.message)).once('close', () => fail('the connection was closed'));
    socket.on('data', (chunk: string) => {
      received += chunk;
      const head = received.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(received.slice(0, head))?.[1] ?? NaN);
      if (!received.startsWith('HTTP/1.1 200 ') || !Number.isInteger(length)) {
        fail(`an answer that is not good: ${received.slice(0, 400)}`);
        return;
      }
      if (received.length < head + 4 + length) return;
      body = received.slice(head + 4, head + 4 + length);
      received = received.slice(head + 4 + length);
      const now = performance.now();
      millis.push(now - sentAt);
      if (received !== '' || !body.startsWith('{"token":"')) fail('more or other bytes than were asked for');
      else if (now < until) next();
      else {
        socket.removeAllListeners('close').end();
        resolve(body);
      }
    });
  });
}
