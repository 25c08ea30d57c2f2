import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';

/** Where the audit log is forwarded to. Files are read at each connection, so that a renewed certificate is taken up by itself. */
export interface SyslogReceiver {
  host: string;
  port: number;
  /** PEM of the authorities that are believed; null: the public ones that Node knows. */
  caFile: string | null;
  /** PEM certificate chain and key with which we show who we are. */
  certFile: string | null;
  keyFile: string | null;
}

/** One TLS connection to a receiver (RFC 5425). The receiver is believed only with a certificate for its name or address. */
export class SyslogConnection {
  private fault: Error | null = null;
  private ended = false;
  private readonly closed: Promise<void>;

  private constructor(private readonly socket: TLSSocket) {
    socket.setKeepAlive(true, 15_000);
    socket.on('error', (error) => (this.fault ??= error));
    socket.on('end', () => (this.ended = true));
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.resume(); // a receiver has nothing to say but its end
  }

  /** Connects and checks the certificate. @throws the reason, also after `timeoutMillis` */
  static open(receiver: SyslogReceiver, timeoutMillis: number): Promise<SyslogConnection> {
    const read = (file: string | null): { pem?: Buffer } => (file === null ? {} : { pem: readFileSync(file) });
    return new Promise((resolve, reject) => {
      const [ca, cert, key] = [read(receiver.caFile), read(receiver.certFile), read(receiver.keyFile)];
      const socket = connect({
        host: receiver.host,
        port: receiver.port,
        minVersion: 'TLSv1.2',
        rejectUnauthorized: true,
        ...(isIP(receiver.host) ? {} : { servername: receiver.host }),
        ...(ca.pem ? { ca: ca.pem } : {}),
        ...(cert.pem && key.pem ? { cert: cert.pem, key: key.pem } : {}),
      });
      const give = (error: Error): void => {
        clearTimeout(timer);
        socket.destroy();
        reject(error);
      };
      const timer = setTimeout(() => give(new Error(`no TLS connection in ${timeoutMillis / 1000} s`)), timeoutMillis);
      socket.once('error', give);
      socket.once('secureConnect', () => {
        clearTimeout(timer);
        socket.off('error', give);
        resolve(new SyslogConnection(socket));
      });
    });
  }

  /** What ended the connection, or null while it lives. */
  get broken(): Error | null {
    return this.fault ?? (this.ended || this.socket.destroyed ? new Error('the receiver closed the connection') : null);
  }

  /** Hands bytes to the network. @throws when they are not taken within `timeoutMillis`, or the connection is broken */
  async send(bytes: Buffer, timeoutMillis: number): Promise<void> {
    this.assertWell();
    await this.within(timeoutMillis, 'the receiver takes nothing', new Promise((resolve, reject) => {
      this.socket.write(bytes, (error) => (error ? reject(error) : resolve()));
      void this.closed.then(() => reject(this.broken ?? new Error('the connection was closed')));
    }));
    this.assertWell();
  }

  /**
   * Ends the connection in order and waits until the receiver has ended it too. It does so after it has read all: syslog has no other
   * acknowledgement (RFC 5425 §4.4). @throws when it broke before
   */
  async finish(timeoutMillis: number): Promise<void> {
    this.assertWell();
    this.socket.end();
    await this.within(timeoutMillis, 'the receiver does not close the connection', this.closed);
    if (this.fault) throw this.fault;
  }

  /** Drops the connection. */
  destroy(): void {
    this.socket.destroy();
  }

  private assertWell(): void {
    if (this.broken) throw this.broken;
  }

  private async within(timeoutMillis: number, what: string, work: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`${what} (${timeoutMillis / 1000} s)`)), timeoutMillis);
    });
    try {
      await Promise.race([work, late]);
    } catch (error) {
      this.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}
