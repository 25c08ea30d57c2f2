import { hostname } from 'node:os';
import type { OnModuleDestroy } from '@nestjs/common';
import { delay, type Context, type Db, type Lease, type Leases, type Logger } from '@gantry/platform';
import type { Audit } from './audit';
import { syslogFrame, syslogMessage } from './syslog';
import { SyslogConnection, type SyslogReceiver } from './syslog-connection';

/** Name of the one forwarder in `audit_forwarding`, and with `audit.` of its lease. */
const forwarderName = 'syslog';
const batchRows = 200;

/** How patient the forwarder is. Tests are less so than people. */
export interface ForwarderPatience {
  leaseSeconds: number;
  /** Between two looks for new rows. */
  pollMillis: number;
  /** How long rows may stay unconfirmed: after a crash at most that much is sent again. */
  confirmMillis: number;
  /** First pause after a failure; it doubles up to `maxBackoffMillis`. */
  backoffMillis: number;
  maxBackoffMillis: number;
  /** For a connection, a write, the receiver's end. */
  timeoutMillis: number;
}

const patience: ForwarderPatience = { leaseSeconds: 15, pollMillis: 1_000, confirmMillis: 30_000, backoffMillis: 1_000, maxBackoffMillis: 60_000, timeoutMillis: 10_000 };
const maxUnconfirmedRows = 5_000;

/** How forwarding stands. */
export interface ForwardingStatus {
  /** Whether a receiver is configured. */
  enabled: boolean;
  connected: boolean;
  /** Rows up to this number have arrived. */
  confirmedSeq: number;
  /** Sealed rows that are not known to have arrived. */
  waiting: number;
  /** What is wrong with the connection; null when nothing is. */
  fault: string | null;
  changedAt: Date | null;
}

/**
 * Forwards sealed rows to a syslog receiver, in the order of the chain, each at least once: the row in `audit_forwarding` says what has
 * arrived, one process at a time sends (lease `audit.syslog`), and whatever was not confirmed is sent again. It only reads the log, so that a
 * receiver that hangs holds nobody up.
 */
export class SyslogForwarder implements OnModuleDestroy {
  private readonly stopping = new AbortController();
  private readonly patience: ForwarderPatience;
  private failing = false;

  /** @param receiver null: nothing is forwarded */
  constructor(
    private readonly db: Db,
    private readonly leases: Leases,
    private readonly audit: Audit,
    private readonly receiver: SyslogReceiver | null,
    private readonly logger: Logger,
    options: Partial<ForwarderPatience> = {},
  ) {
    this.patience = { ...patience, ...options };
  }

  /** Sends until `stop`, or until the lease is lost; returns at once where nothing is configured or another process sends. */
  async run(ctx: Context): Promise<void> {
    const { receiver } = this;
    if (!receiver || this.stopping.signal.aborted) return;
    await this.leases.withLease(ctx, `audit.${forwarderName}`, this.patience.leaseSeconds, (lease) => this.forward(ctx, lease, receiver));
  }

  /** Ends `run` after the batch at hand; what is not confirmed by then is sent again by who runs next. */
  stop(): void {
    this.stopping.abort();
  }

  onModuleDestroy(): void {
    this.stop();
  }

  /** How it stands. The caller judges `audit:view`. */
  async status(ctx: Context): Promise<ForwardingStatus> {
    const [row] = await this.db.query<{ seq: string | null; connected: boolean | null; fault: string | null; changed_at: Date | null; newest: string | null }>(
      ctx,
      `select f.seq, f.connected, f.fault, f.changed_at, c.newest from (select max(seq) as newest from audit_checkpoints) c
         left join audit_forwarding f on f.name = $1`,
      [forwarderName],
    );
    const enabled = this.receiver !== null;
    const confirmedSeq = Number(row?.seq ?? 0);
    return {
      enabled, connected: enabled && row?.connected === true, confirmedSeq, waiting: enabled ? Math.max(0, Number(row?.newest ?? 0) - confirmedSeq) : 0,
      fault: enabled ? (row?.fault ?? null) : null, changedAt: row?.changed_at ?? null,
    };
  }

  /** The last row that has arrived: retention goes no further. Null where nothing is forwarded. */
  async confirmedSeq(ctx: Context): Promise<number | null> {
    return this.receiver === null ? null : this.readConfirmed(ctx);
  }

  private async forward(ctx: Context, lease: Lease, receiver: SyslogReceiver): Promise<void> {
    const signal = AbortSignal.any([lease.signal, this.stopping.signal]);
    const { timeoutMillis, pollMillis, confirmMillis } = this.patience;
    const host = hostname();
    let connection: SyslogConnection | null = null;
    let confirmed: number | null = null;
    let sent = 0;
    let unconfirmedSince = 0;
    let failures = 0;
    const confirm = async (): Promise<void> => {
      const open = connection;
      if (!open) return;
      connection = null;
      await open.finish(timeoutMillis);
      await lease.assertHeld(ctx);
      await this.db.query(ctx, 'update audit_forwarding set seq = $2, confirmed_at = now(), connected = true, fault = null where name = $1 and seq <= $2 returning 1', [forwarderName, sent]);
      confirmed = sent;
    };
    while (!signal.aborted) {
      try {
        if (connection?.broken) throw connection.broken;
        confirmed ??= sent = await this.readConfirmed(ctx);
        const rows = await this.audit.sealedAfter(ctx, sent, null, batchRows);
        if (rows.length > 0) {
          if (!connection) {
            connection = await SyslogConnection.open(receiver, timeoutMillis);
            await this.connected(ctx, receiver);
          }
          await lease.assertHeld(ctx);
          if (sent === confirmed) unconfirmedSince = Date.now();
          await connection.send(Buffer.concat(rows.map((row) => syslogFrame(syslogMessage(row, host)))), timeoutMillis);
          sent = rows[rows.length - 1]!.seq;
          failures = 0;
        }
        if (sent > confirmed && (Date.now() - unconfirmedSince >= confirmMillis || sent - confirmed >= maxUnconfirmedRows)) await confirm();
        if (rows.length < batchRows) await pause(pollMillis, signal);
      } catch (error) {
        connection?.destroy();
        connection = null;
        confirmed = null; // read again: all that was not confirmed is sent once more
        if (signal.aborted) break;
        failures += 1;
        const pauseMillis = Math.min(this.patience.maxBackoffMillis, this.patience.backoffMillis * 2 ** Math.min(failures - 1, 20));
        await this.failed(ctx, receiver, error as Error, pauseMillis);
        await pause(pauseMillis * (0.75 + Math.random() / 4), signal);
      }
    }
    // An orderly stop confirms what it sent, where the receiver answers soon.
    if (connection && !lease.signal.aborted && confirmed !== null && sent > confirmed) await confirm().catch((error: unknown) => this.logger.debug({ err: error }, 'the last audit rows were not confirmed; they will be sent again'));
    connection?.destroy();
  }

  private async readConfirmed(ctx: Context): Promise<number> {
    await this.db.query(ctx, 'insert into audit_forwarding (name) values ($1) on conflict do nothing', [forwarderName]);
    const [row] = await this.db.query<{ seq: string }>(ctx, 'select seq from audit_forwarding where name = $1', [forwarderName]);
    return Number(row?.seq ?? 0);
  }

  private async connected(ctx: Context, receiver: SyslogReceiver): Promise<void> {
    if (this.failing) this.logger.info({ host: receiver.host, port: receiver.port }, 'the audit log is forwarded again');
    this.failing = false;
    await this.db.query(ctx, 'update audit_forwarding set connected = true, fault = null, changed_at = now() where name = $1 and (not connected or fault is not null) returning 1', [forwarderName]);
  }

  /** Once an outage is told as an error: somebody has to look; its repeats are not. */
  private async failed(ctx: Context, receiver: SyslogReceiver, error: Error, pauseMillis: number): Promise<void> {
    const fault = error.message.slice(0, 500);
    this.logger[this.failing ? 'debug' : 'error']({ host: receiver.host, port: receiver.port, fault, nextSeconds: Math.round(pauseMillis / 1000) }, 'the audit log is not forwarded; it is tried again');
    this.failing = true;
    await this.db
      .query(ctx, 'update audit_forwarding set connected = false, fault = $2, changed_at = case when connected or fault is null then now() else changed_at end where name = $1 returning 1', [forwarderName, fault])
      .catch((cause: unknown) => this.logger.debug({ err: cause }, 'the state of forwarding could not be kept'));
  }
}

/** Waits, and stops waiting when `signal` aborts. */
async function pause(millis: number, signal: AbortSignal): Promise<void> {
  await delay(millis, signal).catch(() => {
    // aborted: the loop looks
  });
}
