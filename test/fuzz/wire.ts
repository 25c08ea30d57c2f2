import { connect, type TLSSocket } from 'node:tls';
import { eventually } from '@gantry/platform/testing';

/** One answer as it came, read by the letter of RFC 9112. */
export interface HttpAnswer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
  /** The connection carries raw bytes from here on; `body` is what came of them. */
  raw: boolean;
}

/** What one exchange on a connection brought. */
export interface Outcome {
  answers: HttpAnswer[];
  /** Interim answers (1xx) besides. */
  interim: number;
  /** Bytes that are no answer, or of one that was not complete when the connection ended. */
  rest: string;
  /** What is wrong with the bytes; null: nothing. */
  malformed: string | null;
  ended: 'open' | 'closed' | 'cut';
}

const head = /^HTTP\/1\.1 ([1-5]\d\d) [\x20-\x7e]*\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n/;

/** Reads answers out of bytes as they come. `methods`: of the requests in their order, for answers to HEAD have no body. */
export class AnswerReader {
  readonly answers: HttpAnswer[] = [];
  interim = 0;
  malformed: string | null = null;
  /** An answer that ends with its connection, or raw bytes. */
  private open: HttpAnswer | null = null;
  text = '';

  constructor(private readonly methods: readonly string[]) {}

  add(chunk: string): void {
    this.text += chunk;
    while (this.malformed === null && this.step());
  }

  /** The connection is over: what ends with it is complete. @returns whether nothing is left half-said */
  end(): boolean {
    if (this.open) {
      this.answers.push(this.open);
      this.open = null;
    }
    return this.text === '';
  }

  /** Whether an answer has begun that may go on. */
  get lasts(): boolean {
    return this.open !== null;
  }

  private step(): boolean {
    if (this.open) {
      this.open.body += this.text;
      this.text = '';
      return false;
    }
    if (this.text === '') return false;
    const end = this.text.indexOf('\r\n\r\n');
    if (end < 0) {
      if (this.text.length > 128 * 1024 || !'HTTP/1.1 '.startsWith(this.text.slice(0, 9))) this.malformed = 'no head of an answer';
      return false;
    }
    const found = head.exec(this.text.slice(0, end + 4));
    if (!found) {
      this.malformed = 'the head of an answer is not well-formed';
      return false;
    }
    const status = Number(found[1]);
    const headers: Record<string, string> = {};
    for (const line of found[2]!.split('\r\n').filter(Boolean)) {
      const name = line.slice(0, line.indexOf(':')).toLowerCase();
      if (name in headers && ['content-length', 'transfer-encoding', 'content-type'].includes(name)) this.malformed = `${name} twice`;
      headers[name] = line.slice(line.indexOf(':') + 1).trim();
    }
    const rest = this.text.slice(end + 4);
    const done = (body: string, left: string): true => {
      this.answers.push({ status, headers, body, raw: false });
      this.text = left;
      return true;
    };
    if (status >= 100 && status < 200 && status !== 101) {
      this.interim += 1;
      this.text = rest;
      return true;
    }
    if (status === 101) {
      this.open = { status, headers, body: '', raw: true };
      this.text = rest;
      return true;
    }
    const length = headers['content-length'];
    const coding = headers['transfer-encoding'];
    if (length !== undefined && (coding !== undefined || !/^\d{1,12}$/.test(length))) {
      this.malformed = 'two lengths, or none that is a number';
      return false;
    }
    if (this.methods[this.answers.length] === 'HEAD' || status === 204 || status === 304) return done('', rest);
    if (length !== undefined) return rest.length >= Number(length) ? done(rest.slice(0, Number(length)), rest.slice(Number(length))) : false;
    if (coding === undefined) {
      this.open = { status, headers, body: '', raw: true };
      this.text = rest;
      return true;
    }
    if (coding.toLowerCase() !== 'chunked') {
      this.malformed = `Transfer-Encoding: ${coding}`;
      return false;
    }
    return this.chunks(rest, done);
  }

  private chunks(rest: string, done: (body: string, left: string) => true): boolean {
    let body = '';
    for (let at = 0; ; ) {
      const line = rest.indexOf('\r\n', at);
      if (line < 0) return false;
      const size = /^([0-9a-f]{1,8})(?:;.*)?$/i.exec(rest.slice(at, line));
      if (!size) {
        this.malformed = 'the size of a chunk is no number';
        return false;
      }
      const bytes = Number.parseInt(size[1]!, 16);
      if (bytes === 0) {
        const trailers = rest.startsWith('\r\n', line + 2) ? line + 4 : rest.indexOf('\r\n\r\n', line + 2) + 4;
        return trailers < 4 ? false : done(body, rest.slice(trailers));
      }
      if (rest.length < line + 2 + bytes + 2) return false;
      body += rest.slice(line + 2, line + 2 + bytes);
      at = line + 2 + bytes + 2;
      if (!rest.startsWith('\r\n', at - 2)) {
        this.malformed = 'a chunk does not end where it says';
        return false;
      }
    }
  }
}

/** Where to, and as whom. */
export interface Peer {
  host: string;
  port: number;
  ca: string;
  cert?: string;
  key?: string;
}

/** What is sent, and when to stop listening. */
export interface Sending {
  bytes: Buffer;
  methods: readonly string[];
  /** How many answers there can be; with fewer than that, the client goes on listening. */
  answers: number;
  /** After so long without a complete answer the client goes away; null: one must come. */
  patienceMillis: number | null;
  /** Whether the gateway may end the connection without an answer, or within one: what was sent can be read in two ways. */
  loose: boolean;
}

/** By when an answer that must come has come, also on a slow machine. */
const answerMillis = 120_000;
/** What comes late of an answer that lasts. */
const lastingMillis = 30;
/** An exchange whose number of answers is not sure is over when nothing came for so long. */
const quietMillis = 60;

/** One client's connection, made anew whenever it has ended. */
export class Line {
  private socket: TLSSocket | null = null;
  private reader: AnswerReader | null = null;
  private wake: () => void = () => undefined;
  /** Bytes that came while nothing was asked. */
  unasked = '';
  opened = 0;

  constructor(private readonly peer: Peer) {}

  async exchange(sending: Sending): Promise<Outcome> {
    const socket = await this.ready();
    const reader = new AnswerReader(sending.methods);
    this.reader = reader;
    socket.write(sending.bytes);
    let resolve: (how: 'over' | 'late') => void = () => undefined;
    const promise = new Promise<'over' | 'late'>((done) => {
      resolve = done;
    });
    let timer: NodeJS.Timeout | undefined;
    const within = (millis: number, how: 'over' | 'late'): void => {
      clearTimeout(timer);
      timer = setTimeout(() => resolve(how), millis);
    };
    const look = (): void => {
      if (this.socket !== socket || reader.malformed !== null) resolve('over');
      else if (reader.lasts) within(lastingMillis, 'over');
      else if (reader.answers.length >= sending.answers || reader.answers.at(-1)?.headers['connection'] === 'close') resolve('over');
      else if (reader.answers.length > 0 || (sending.patienceMillis !== null && reader.text !== '')) within(quietMillis, 'over');
    };
    within(sending.patienceMillis ?? answerMillis, sending.patienceMillis === null ? 'late' : 'over');
    this.wake = look;
    look();
    const how = await promise;
    clearTimeout(timer);
    this.wake = () => undefined;
    this.reader = null;
    const closed = this.socket !== socket;
    const complete = !reader.lasts && reader.text === '' && reader.answers.length >= sending.answers && reader.answers.at(-1)?.headers['connection'] !== 'close';
    const whole = reader.end();
    const fell = closed && !sending.loose && (reader.answers.length === 0 || !whole);
    const malformed = reader.malformed ?? (how === 'late' ? 'no answer' : fell ? 'the connection ended without a whole answer' : null);
    if (!complete || malformed !== null) this.close();
    return { answers: reader.answers, interim: reader.interim, rest: reader.text, malformed, ended: closed ? 'closed' : complete ? 'open' : 'cut' };
  }

  close(): void {
    this.socket?.destroy();
    this.socket = null;
  }

  private async ready(): Promise<TLSSocket> {
    if (this.socket) return this.socket;
    let last: Error | null = null;
    // A listener that is busy may let one wait, but not go away.
    return eventually('the gateway takes a connection', async () => this.open().catch((error: Error) => {
      last = error;
      return null;
    }), 60).catch((error: Error) => {
      throw new Error(`${error.message}: ${last?.message ?? ''}`, { cause: error });
    });
  }

  private open(): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const { host, port, ca, cert, key } = this.peer;
      const socket = connect({ host, port, ca, ...(cert === undefined || key === undefined ? {} : { cert, key }), ALPNProtocols: ['http/1.1'], checkServerIdentity: () => undefined });
      const over = (): void => {
        if (this.socket === socket) this.socket = null;
        this.wake();
      };
      socket.setNoDelay(true);
      socket.setEncoding('latin1');
      socket.once('secureConnect', () => {
        this.opened += 1;
        this.socket = socket;
        resolve(socket);
      });
      socket.on('error', reject); // once connected, followed by `close`
      socket.once('end', over);
      socket.once('close', over);
      socket.on('data', (chunk: string) => {
        if (!this.reader) {
          if (this.socket === socket) this.unasked += chunk;
          return;
        }
        this.reader.add(chunk);
        this.wake();
      });
    });
  }
}
