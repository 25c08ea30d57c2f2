import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { Client, type Algorithms, type ClientChannel } from 'ssh2';
import { EngineAgent } from '../engine.agent';
import { algorithmsFor, describeBlob, parseHostKey, parseSshAddress, type HostKey, type SshEndpoint, type SshTarget } from './keys';

/** Why a host was not reached, or not believed; `message` is for administrators. */
export class SshError extends Error {
  constructor(readonly code: SshErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'SshError';
  }
}

/** The host showed another key than the known one; it does not let the key in; it does not forward; nothing listens at the socket; too many calls at once; it speaks otherwise. */
export type SshErrorCode = 'ESSHHOSTKEY' | 'ESSHDENIED' | 'ESSHFORWARD' | 'ESSHENGINE' | 'ESSHFULL' | 'ESSHFAILED';

/** Names, sockets and keep-alive of a way to an engine by SSH. */
export interface SshWay {
  /** `ssh://user@host:port/path` */
  readonly address: string;
  /** Opens a connection to the engine's socket; failures are the stream's `error`. */
  connect(): Duplex;
  /** Keeps such connections for plain calls. */
  readonly agent: EngineAgent;
}

/** What sshd's process for one sign-in can hold with the usual limit of 1,024 open files, with room for itself. */
const maxTunnels = 900;
const readyMillis = 10_000;
/** The host is asked so often whether it is still there, and may leave so many questions unanswered. */
const beatMillis = 15_000;
const maxUnanswered = 3;
/** Signed out when nobody has asked anything for so long. */
const idleMillis = 60_000;
const maxLinks = 256;

/**
 * What is offered: no CBC, no SHA-1, no DSA. Of the ciphers only those with which nothing can be cut out of the beginning of a connection
 * (CVE-2023-48795), whether or not the host knows of that; every OpenSSH since 6.2 has them.
 */
const algorithms: Algorithms = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256', 'ecdh-sha2-nistp384', 'ecdh-sha2-nistp521', 'diffie-hellman-group16-sha512', 'diffie-hellman-group18-sha512'],
  cipher: ['aes256-gcm@openssh.com', 'aes128-gcm@openssh.com'],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'],
  compress: ['none'],
};

const links = new Map<string, Link>();

/** The way to an engine by SSH: all ways of this process to the same endpoint share one sign-in. Connects when it is asked. */
export function sshWay(endpoint: SshEndpoint): SshWay {
  const key = createHash('sha256').update(JSON.stringify([endpoint.address, endpoint.hostKey, endpoint.key])).digest('base64');
  let link = links.get(key);
  if (!link) {
    if (links.size >= maxLinks) for (const [other, { isIdle }] of links) if (isIdle) links.delete(other);
    link = new Link(endpoint);
    links.set(key, link);
  }
  return link;
}

/** Signs out everywhere; calls under way end. For who ends the process. */
export function closeSshWays(): void {
  for (const link of links.values()) link.close();
  links.clear();
}

/**
 * One sign-in, and the connections to the engine's socket that go through it (`direct-streamlocal@openssh.com`): no session, no command, no shell.
 * Made when a connection is asked for, made anew by the next one after it was lost.
 */
class Link implements SshWay {
  readonly address: string;
  readonly agent = new EngineAgent(() => this.connect());
  private readonly target: SshTarget;
  private readonly known: HostKey | null;
  private readonly tunnels = new Set<Tunnel>();
  private client: Client | null = null;
  private socket: Socket | null = null;
  private isReady = false;
  private beat: NodeJS.Timeout | undefined;
  private idle: NodeJS.Timeout | undefined;

  constructor(private readonly endpoint: SshEndpoint) {
    const target = parseSshAddress(endpoint.address);
    if (!target) throw new Error('not an address of the form ssh://user@host[:port][/path]');
    this.target = target;
    this.known = endpoint.hostKey === '' ? null : parseHostKey(endpoint.hostKey);
    this.address = `ssh://${target.user}@${this.where}${target.path}`;
  }

  get isIdle(): boolean {
    return this.client === null;
  }

  connect(): Duplex {
    const tunnel = new Tunnel((gone) => this.release(gone), () => this.hold());
    if (this.tunnels.size >= maxTunnels) {
      fail(tunnel, new SshError('ESSHFULL', `more than ${maxTunnels} calls at once`));
      return tunnel;
    }
    clearTimeout(this.idle);
    this.tunnels.add(tunnel);
    if (this.isReady) this.forward(tunnel);
    else if (!this.client) this.signIn();
    this.hold();
    return tunnel;
  }

  close(): void {
    this.end(Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' }));
  }

  private get where(): string {
    const { host, port } = this.target;
    return `${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  private signIn(): void {
    const { host, port, user } = this.target;
    const client = new Client();
    const socket = connect({ host, port, noDelay: true });
    let shown: Buffer | null = null;
    this.client = client;
    this.socket = socket;
    const lost = (error: Error): void => {
      if (this.client === client) this.end(this.explain(error, shown));
    };
    client.on('error', lost);
    client.on('close', () => lost(Object.assign(new Error('the connection was lost'), { code: 'ECONNRESET' })));
    client.on('ready', () => {
      if (this.client !== client) return;
      this.isReady = true;
      this.keepAlive(client, lost);
      for (const tunnel of this.tunnels) this.forward(tunnel);
      this.rest();
    });
    try {
      client.connect({
        sock: socket, username: user, privateKey: this.endpoint.key, authHandler: ['publickey'], readyTimeout: readyMillis, strictVendor: false,
        algorithms: { ...algorithms, serverHostKey: algorithmsFor(this.known) },
        hostVerifier: (blob: Buffer): boolean => {
          shown = Buffer.from(blob);
          return this.known !== null && blob.equals(this.known.blob);
        },
      });
    } catch (error) {
      setImmediate(lost, error as Error);
    }
  }

  /** Says again and again that no session will be asked for, which OpenSSH then holds us to: whatever answers is alive. */
  private keepAlive(client: Client, lost: (error: Error) => void): void {
    let unanswered = 0;
    const say = (): void => {
      if (unanswered >= maxUnanswered) {
        lost(Object.assign(new Error('the host does not answer any more'), { code: 'ECONNRESET' }));
        return;
      }
      unanswered += 1;
      try {
        client.openssh_noMoreSessions(() => (unanswered = 0));
      } catch (error) {
        lost(error as Error);
      }
    };
    this.beat = setInterval(say, beatMillis).unref();
    say();
  }

  private forward(tunnel: Tunnel): void {
    try {
      this.client!.openssh_forwardOutStreamLocal(this.target.path, (error, channel) => {
        if (error) tunnel.destroy(this.refusal(error));
        else tunnel.carry(channel);
      });
    } catch (error) {
      fail(tunnel, Object.assign(error as Error, { code: 'ECONNRESET' }));
    }
  }

  private release(tunnel: Tunnel): void {
    this.tunnels.delete(tunnel);
    this.hold();
    this.rest();
  }

  private rest(): void {
    clearTimeout(this.idle);
    if (this.tunnels.size === 0 && this.isReady) this.idle = setTimeout(() => this.close(), idleMillis).unref();
  }

  /** As with sockets of one's own: what nobody waits for does not hold the process. */
  private hold(): void {
    for (const { isHeld } of this.tunnels) {
      if (!isHeld) continue;
      this.socket?.ref();
      return;
    }
    this.socket?.unref();
  }

  private end(error: Error): void {
    const { client, socket } = this;
    this.client = this.socket = null;
    this.isReady = false;
    clearInterval(this.beat);
    clearTimeout(this.idle);
    // Before the library ends the channels: what was lost did not end in order.
    const lost = [...this.tunnels];
    this.tunnels.clear();
    for (const tunnel of lost) tunnel.destroy(error);
    client?.end();
    // What was said last goes out; a host that does not take it is not waited for.
    if (socket) setTimeout(() => socket.destroy(), 1_000).unref();
  }

  private explain(error: Error & { level?: string; code?: unknown }, shown: Buffer | null): Error {
    const { known, where } = this;
    if (shown && !(known && shown.equals(known.blob))) {
      const expected = known ? `the known key is ${describeBlob(known.blob)}` : 'no host key was given';
      return new SshError('ESSHHOSTKEY', `${where} shows the host key ${describeBlob(shown)}; ${expected}`, error);
    }
    switch (error.level) {
      case 'client-authentication':
        return new SshError('ESSHDENIED', `${where} does not let ${this.target.user} in with this key`, error);
      case 'client-timeout':
        return Object.assign(error, { code: 'ETIMEDOUT' });
      case 'handshake':
      case 'protocol':
        return new SshError('ESSHFAILED', `${where}: ${error.message}`, error);
      default:
        return typeof error.code === 'string' ? error : Object.assign(new Error(error.message, { cause: error }), { code: 'ECONNRESET' });
    }
  }

  /** By the reasons of RFC 4254, 5.1. */
  private refusal(error: Error & { reason?: unknown }): Error {
    const { user, path } = this.target;
    if (error.reason === 1 || error.reason === 3) return new SshError('ESSHFORWARD', `${this.where} does not let ${user} forward to sockets`, error);
    // OpenSSH says the same where nothing listens and where its settings allow forwarding to some places only.
    if (error.reason === 2) return new SshError('ESSHENGINE', `${this.where} opens no connection to ${path}: nothing listens there, ${user} may not open it, or sshd forwards to no sockets (AllowTcpForwarding, PermitOpen, permitopen)`, error);
    if (error.reason === 4) return new SshError('ESSHFULL', `${this.where} has no room for another connection`, error);
    return Object.assign(error, { code: 'ECONNRESET' });
  }
}

/** One connection to the engine's socket, as a socket would be: each side may end before the other, and a full reader holds the writer up. */
class Tunnel extends Duplex {
  /** As sockets have it; agents compare it. */
  timeout = 0;
  isHeld = true;
  private channel: ClientChannel | null = null;
  /** What waits for the channel. */
  private waiting: (() => void) | null = null;
  /** Tells the writer that the write under way is through. */
  private writing: ((error?: Error | null) => void) | null = null;
  private isGone = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly release: (tunnel: Tunnel) => void, private readonly held: () => void) {
    super({ allowHalfOpen: true });
    // Between two users nobody listens; all tunnels of a sign-in fail at once, at any time.
    this.on('error', () => undefined);
  }

  /** The host has opened the channel. */
  carry(channel: ClientChannel): void {
    channel.on('error', (error: Error) => this.destroy(error));
    channel.stderr.resume();
    if (this.destroyed) {
      leave(channel);
      return;
    }
    this.channel = channel;
    channel.on('data', (chunk: Buffer) => {
      this.touch();
      if (!this.push(chunk)) channel.pause();
    });
    channel.on('end', () => this.push(null));
    channel.on('close', () => this.lose());
    this.waiting?.();
    this.waiting = null;
  }

  override _read(): void {
    this.channel?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.writing = callback;
    this.whenOpen(() => {
      if (this.isGone || !this.channel!.writable) this.lose();
      else this.channel!.write(chunk, (error) => this.written(error));
    });
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.whenOpen(() => {
      if (!this.isGone) this.channel!.end();
      callback();
    });
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.timer);
    if (this.channel) leave(this.channel);
    this.waiting = null;
    this.release(this);
    callback(error);
  }

  setTimeout(millis: number, callback?: () => void): this {
    clearTimeout(this.timer);
    this.timeout = millis;
    if (callback) {
      if (millis === 0) this.off('timeout', callback);
      else this.once('timeout', callback);
    }
    this.timer = millis === 0 ? undefined : setTimeout(() => this.emit('timeout'), millis).unref();
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this.keep(true);
  }

  unref(): this {
    return this.keep(false);
  }

  private keep(held: boolean): this {
    this.isHeld = held;
    this.held();
    return this;
  }

  /** Now, or when there is a channel. */
  private whenOpen(work: () => void): void {
    if (this.channel) work();
    else this.waiting = work;
  }

  private written(error?: Error | null): void {
    this.touch();
    const { writing } = this;
    this.writing = null;
    writing?.(error);
  }

  private touch(): void {
    this.timer?.refresh();
  }

  /** The channel is closed both ways. What has come is still read; what is still written goes nowhere. */
  private lose(): void {
    this.isGone = true;
    const tell = (): void => {
      if (this.writing) this.written(brokenPipe());
      else this.destroy();
    };
    if (this.readableEnded || this.destroyed) tell();
    else this.once('end', tell);
  }
}

/** Not before who asked for it can listen. */
function fail(tunnel: Tunnel, error: Error): void {
  setImmediate(() => tunnel.destroy(error));
}

function brokenPipe(): Error {
  return Object.assign(new Error('the engine takes no more'), { code: 'EPIPE' });
}

/** Closes a channel of which nothing is wanted any more. What still comes is taken, so that it holds nobody up. */
function leave(channel: ClientChannel): void {
  channel.removeAllListeners('data');
  channel.resume();
  channel.close();
}
