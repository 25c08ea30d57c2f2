import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';

/** A message as RFC 5424's grammar takes it apart. */
export interface SyslogMessage {
  facility: number;
  severity: number;
  timestamp: string;
  hostname: string;
  appName: string;
  procId: string;
  msgId: string;
  /** Element id → its parameters, in order. */
  data: Map<string, [string, string][]>;
  msg: string;
}

class Malformed extends Error {}

function must<T>(value: T | null | undefined | false, what: string): T {
  if (value === null || value === undefined || value === false) throw new Malformed(what);
  return value;
}

/**
 * Takes an RFC 5424 message apart, strictly by the ABNF of §6: PRIVAL without leading zeros and at most 191, VERSION 1, TIMESTAMP of RFC 3339
 * with T, Z and at most six digits, a day that exists, header fields of visible ASCII within their lengths, SD-IDs that are registered
 * (timeQuality, origin, meta) or name@number, parameters with `"`, `\` and `]` escaped, UTF-8 throughout, and a MSG of ASCII or with a BOM.
 */
export function parseSyslog(bytes: Buffer): SyslogMessage {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  const header = must(
    /^<(0|[1-9]\d{0,2})>1 (-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) ([\x21-\x7e]{1,255}) ([\x21-\x7e]{1,48}) ([\x21-\x7e]{1,128}) ([\x21-\x7e]{1,32}) /.exec(text),
    'HEADER',
  );
  const [whole, pri, timestamp, hostname, appName, procId, msgId] = header as unknown as [string, string, string, string, string, string, string];
  must(Number(pri) <= 191, 'PRIVAL');
  if (timestamp !== '-') must(new Date(timestamp).toISOString().slice(0, 19) === timestamp.slice(0, 19) || !timestamp.endsWith('Z'), 'TIMESTAMP');
  const data = new Map<string, [string, string][]>();
  let rest = text.slice(whole.length);
  if (rest.startsWith('-')) rest = rest.slice(1);
  else {
    must(rest.startsWith('['), 'STRUCTURED-DATA');
    while (rest.startsWith('[')) {
      const name = '[\\x21\\x23-\\x3c\\x3e-\\x5c\\x5e-\\x7e]{1,32}';
      const element = must(new RegExp(`^\\[(${name})((?: ${name}="(?:[^"\\\\\\]]|\\\\.)*")*)\\]`, 's').exec(rest), 'SD-ELEMENT');
      const id = element[1]!;
      must(['timeQuality', 'origin', 'meta'].includes(id) || /^[^@]+@\d+(\.\d+)*$/.test(id), `SD-ID ${id}`);
      must(!data.has(id), 'SD-ID twice');
      const params = [...element[2]!.matchAll(/ ([^= ]+)="((?:[^"\\\]]|\\.)*)"/gs)].map((match): [string, string] => [match[1]!, match[2]!.replace(/\\(["\\\]])/g, '$1')]);
      data.set(id, params);
      rest = rest.slice(element[0].length);
    }
  }
  if (rest === '') return { facility: Number(pri) >> 3, severity: Number(pri) & 7, timestamp, hostname, appName, procId, msgId, data, msg: '' };
  must(rest.startsWith(' '), 'SP before MSG');
  const msg = rest.slice(1);
  must(/^[\x20-\x7e]*$/.test(msg) || msg.startsWith('\ufeff'), 'MSG is neither ASCII nor UTF-8 with a BOM');
  return { facility: Number(pri) >> 3, severity: Number(pri) & 7, timestamp, hostname, appName, procId, msgId, data, msg };
}

/** Takes RFC 5425's frames (`MSG-LEN SP SYSLOG-MSG`, no leading zero) off the front. @returns the messages and the bytes that are left */
export function takeFrames(bytes: Buffer): { messages: Buffer[]; rest: Buffer } {
  const messages: Buffer[] = [];
  let rest = bytes;
  for (;;) {
    const head = rest.subarray(0, 10).toString('latin1');
    if (head === '' || /^[1-9]\d{0,8}$/.test(head)) return { messages, rest };
    const length = must(/^([1-9]\d{0,8}) /.exec(head), `MSG-LEN: ${JSON.stringify(head)}`)[1]!;
    const start = length.length + 1;
    if (rest.length < start + Number(length)) return { messages, rest };
    messages.push(rest.subarray(start, start + Number(length)));
    rest = rest.subarray(start + Number(length));
  }
}

/** A strict receiver of syslog over TLS on loopback. What breaks a rule ends up in `faults`. */
export class SyslogReceiverStandIn {
  readonly messages: SyslogMessage[] = [];
  readonly faults: string[] = [];
  /** Longest message, in octets. */
  longest = 0;
  /** Connections that were made, and are open. */
  connections = 0;
  mostOpen = 0;
  private readonly open = new Set<TLSSocket>();
  /** With those on which nobody has shown a certificate yet. */
  private readonly sockets = new Set<Socket>();
  private server: Server | null = null;
  port = 0;

  constructor(private readonly options: { cert: string; key: string; clientCa?: string }) {}

  async listen(): Promise<void> {
    const { cert, key, clientCa } = this.options;
    const server = createServer({ cert, key, minVersion: 'TLSv1.2', ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }) }, (socket) => this.take(socket));
    server.on('tlsClientError', () => undefined);
    server.on('connection', (socket) => this.sockets.add(socket.once('close', () => this.sockets.delete(socket))));
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    const address = server.address();
    this.port = typeof address === 'object' && address ? address.port : 0;
    this.server = server;
  }

  /** Ends as a process that is killed does: nothing is said to whoever is connected. */
  async kill(): Promise<void> {
    const over = new Promise<void>((resolve) => (this.server ? this.server.close(() => resolve()) : resolve()));
    for (const socket of [...this.open, ...this.sockets]) socket.destroy();
    await over;
    this.server = null;
  }

  private take(socket: TLSSocket): void {
    this.connections += 1;
    this.open.add(socket);
    this.mostOpen = Math.max(this.mostOpen, this.open.size);
    let left: Buffer = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('close', () => this.open.delete(socket));
    socket.on('end', () => {
      if (left.length > 0) this.faults.push('the connection ended within a frame');
    });
    socket.on('data', (bytes) => {
      try {
        const { messages, rest } = takeFrames(Buffer.concat([left, bytes]));
        left = Buffer.from(rest);
        for (const message of messages) {
          this.longest = Math.max(this.longest, message.length);
          this.messages.push(parseSyslog(message));
        }
      } catch (error) {
        this.faults.push((error as Error).message);
        socket.destroy();
      }
    });
  }
}
