import { systemContext, type Clock, type Context, type Leases, type Logger } from '@gantry/platform';
import type { Audit } from './audit';
import type { AuditKey } from './audit-key';
import type { SyslogForwarder } from './forwarder';

const dayMillis = 86_400_000;

/** Removes rows that are older than is asked for, and keeps the proofs (`audit_removals`, all checkpoints). Without `days` nothing is ever removed. */
export class AuditRetention {
  constructor(
    private readonly audit: Audit,
    private readonly key: AuditKey,
    private readonly forwarder: SyslogForwarder,
    private readonly leases: Leases,
    private readonly clock: Clock,
    private readonly days: number | null,
    private readonly logger: Logger,
  ) {}

  /**
   * Removes what has served its time, in ranges that end at a checkpoint, each with a signed proof and an audit row, and nothing that the
   * forwarder has not sent. Stops, and says so, at a row that does not verify: what was tampered with is evidence.
   * @returns how many rows it removed
   */
  async run(ctx: Context): Promise<number> {
    const { days } = this;
    if (days === null || !this.key.present) return 0;
    return (await this.leases.withLease(ctx, 'audit.retention', 60, async (lease) => {
      const before = new Date(this.clock.now().getTime() - days * dayMillis);
      let rows = 0;
      while (!lease.signal.aborted) {
        const removed = await this.audit.removeOldest(systemContext('audit.retention', ctx.requestId), before, await this.forwarder.confirmedSeq(ctx));
        if (removed === null) break;
        if ('ok' in removed) {
          this.logger.error({ seq: removed.seq, reason: removed.reason }, 'audit retention stops at a row that does not verify; run `gantry audit verify`');
          await this.audit.recordRefusal(ctx, { action: 'audit.remove', outcome: 'failed', detail: { code: removed.reason, seq: removed.seq, detail: removed.detail } });
          break;
        }
        rows += removed.lastSeq - removed.firstSeq + 1;
      }
      return rows;
    })) ?? 0;
  }
}
