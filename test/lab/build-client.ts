import { connect as connectHttp2, performServerHandshake, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { FileGiver, framed, readPacket, Unframer, writePacket } from '@gantry/clusters';

/** Where the gateway is, and who one is there. PEM. */
export interface Door {
  host: string;
  port: number;
  ca: string;
  cert?: string;
  key?: string;
}

/** What a client of BuildKit's answers when one of its folders is read, the first time (0) and later. */
export type Folders = (folder: string, time: number) => Record<string, string>;

const diffCopy = '/moby.filesync.v1.FileSync/DiffCopy';

/** A client of BuildKit's that need not be honest: it answers what it is told to, and remembers what it was asked. */
export class BuildClient {
  /** Methods that were asked for, those of folders with the folder's name. */
  readonly asked: string[] = [];
  private readonly times = new Map<string, number>();
  private session: ServerHttp2Session | null = null;

  private constructor(private readonly socket: TLSSocket, private readonly folders: Folders) {}

  /**
   * Opens a session, of whose answer the first line is in `status`.
   * @param offers what it says to have
   */
  static open(door: Door, id: string, folders: Folders, offers: readonly string[] = [diffCopy]): Promise<{ status: string; client: BuildClient }> {
    const lines = [`X-Docker-Expose-Session-Uuid: ${id}`, 'X-Docker-Expose-Session-Name: test', ...offers.map((method) => `X-Docker-Expose-Session-Grpc-Method: ${method}`)];
    return upgraded(door, '/session', lines).then(({ status, socket, rest }) => {
      const client = new BuildClient(socket, folders);
      if (status === '101') client.serve(rest);
      return { status, client };
    });
  }

  /** Whether the other side has ended it. */
  get isOver(): boolean {
    return this.socket.destroyed || this.session?.destroyed === true;
  }

  close(): void {
    this.session?.destroy();
    this.socket.destroy();
  }

  private serve(rest: Buffer): void {
    this.session = performServerHandshake(carrierOf(this.socket, rest));
    this.session.on('error', () => undefined);
    this.session.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.on('error', () => undefined);
      const path = String(headers[':path']);
      const folder = String(headers['dir-name'] ?? '');
      this.asked.push(folder === '' ? path : `${path} ${folder}`);
      if (path !== diffCopy) {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' }, { endStream: true });
        return;
      }
      this.give(stream, folder);
    });
  }

  private give(stream: ServerHttp2Stream, folder: string): void {
    const time = this.times.get(folder) ?? 0;
    this.times.set(folder, time + 1);
    const giver = new FileGiver(Object.entries(this.folders(folder, time)).map(([name, text]) => ({ name, bytes: Buffer.from(text) })), BigInt(Date.now()) * 1_000_000n);
    const unframer = new Unframer(1024 * 1024);
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    for (const packet of giver.greet()) stream.write(framed(writePacket(packet)));
    stream.on('data', (chunk: Buffer) => {
      for (const message of unframer.add(chunk)) {
        const packet = readPacket(message);
        if (packet.is === 'error') stream.close();
        else for (const said of giver.answer(packet)) stream.write(framed(writePacket(said)));
        if (packet.is === 'fin') stream.end();
      }
    });
  }
}

/** What one call of BuildKit's own interface is answered: gRPC's number of the status, or empty where the call broke off. */
export interface ControlAnswer {
  status: string;
  message: string;
  body: Buffer;
}

/** A client of BuildKit's own interface that need not be honest: it sends what it is told to. */
export class ControlClient {
  private constructor(private readonly http2: ClientHttp2Session) {}

  /** Opens the interface, of whose answer the first line is in `status`. */
  static async open(door: Door): Promise<{ status: string; client: ControlClient | null }> {
    const { status, socket, rest } = await upgraded(door, '/grpc', []);
    if (status !== '101') return { status, client: null };
    const http2 = connectHttp2('http://gateway', { createConnection: () => carrierOf(socket, rest) });
    http2.on('error', () => undefined);
    return { status, client: new ControlClient(http2) };
  }

  /** @param build in which it is asked */
  ask(path: string, message: Buffer, build = ''): Promise<ControlAnswer> {
    return new Promise((resolve) => {
      const stream: ClientHttp2Stream = this.http2.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...(build === '' ? {} : { 'buildkit-controlapi-buildid': build }) });
      const answer: ControlAnswer = { status: '', message: '', body: Buffer.alloc(0) };
      const hear = (headers: IncomingHttpHeaders): void => {
        answer.status = String(headers['grpc-status'] ?? answer.status);
        answer.message = decodeURIComponent(String(headers['grpc-message'] ?? answer.message));
      };
      stream.on('error', () => undefined).on('response', hear).on('trailers', hear);
      stream.on('data', (chunk: Buffer) => (answer.body = Buffer.concat([answer.body, chunk])));
      stream.once('close', () => resolve(answer));
      stream.end(framed(message));
    });
  }

  close(): void {
    this.http2.destroy();
  }
}

/** Asks for a connection to speak HTTP/2 on; answers the status, and what came behind the head. */
function upgraded(door: Door, path: string, more: readonly string[]): Promise<{ status: string; socket: TLSSocket; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...door, ALPNProtocols: ['http/1.1'], checkServerIdentity: () => undefined });
    const lines = [`Host: ${door.host}:${door.port}`, 'Connection: Upgrade', 'Upgrade: h2c', ...more];
    socket.once('secureConnect', () => socket.write(`POST /v1.41${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`));
    let head = Buffer.alloc(0);
    const read = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', read);
      const status = head.toString('latin1', 9, 12);
      if (status !== '101') socket.destroy();
      resolve({ status, socket, rest: head.subarray(end + 4) });
    };
    socket.on('data', read);
    socket.on('error', reject);
    socket.once('close', () => reject(new Error('the connection was ended')));
  });
}

/** A connection as HTTP/2 takes it, with what was read of it already. */
function carrierOf(socket: TLSSocket, rest: Buffer): Duplex {
  const carrier: Duplex = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, () => done()),
    destroy: (_error, done) => {
      socket.destroy();
      done(null);
    },
  });
  if (rest.length > 0) carrier.push(rest);
  socket.on('data', (chunk: Buffer) => carrier.push(chunk));
  socket.once('close', () => carrier.destroy());
  return carrier;
}
