import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Db, LOGGER, systemContext, type Logger } from '@gantry/platform';
import { Audit, auditChannel } from './audit';
import { AuditKey } from './audit-key';

/** At least this long between two batches, so that a busy second makes a handful of checkpoints. */
const pauseMillis = 200;
const sweepMillis = 1_000;

/** Seals new rows at most 1 s after they were committed: on NOTIFY, and by a sweep. Any number of processes may run one. */
@Injectable()
export class Sequencer implements OnModuleDestroy {
  private timer: NodeJS.Timeout | null = null;
  private unlisten: (() => void) | null = null;
  private running: Promise<void> | null = null;
  private again = false;
  private stopped = false;

  constructor(
    private readonly audit: Audit,
    private readonly key: AuditKey,
    private readonly db: Db,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Starts sealing. A process without the audit key only warns: another one has to seal. */
  async start(): Promise<void> {
    if (!this.key.present) {
      this.logger.warn('no audit key here (GANTRY_AUDIT_KEY_FILE): another process has to seal the audit log');
      return;
    }
    this.unlisten = await this.db.listen(auditChannel, () => this.wake());
    this.timer = setInterval(() => this.wake(), sweepMillis);
    this.wake();
  }

  /** Stops after the batch at hand. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.unlisten?.();
    if (this.timer) clearInterval(this.timer);
    await this.running;
  }

  async onModuleDestroy(): Promise<void> {
    await this.stop();
  }

  private wake(): void {
    if (this.stopped) return;
    if (this.running) {
      this.again = true;
      return;
    }
    this.running = this.seal().finally(() => {
      this.running = null;
      if (this.again) {
        this.again = false;
        this.wake();
      }
    });
  }

  private async seal(): Promise<void> {
    try {
      const sealed = await this.audit.sealPending(systemContext('audit.sequencer'));
      if (sealed > 0) await new Promise((resolve) => setTimeout(resolve, pauseMillis));
    } catch (error) {
      this.logger.error({ err: error }, 'sealing the audit log failed; it is tried again');
      await new Promise((resolve) => setTimeout(resolve, sweepMillis));
    }
  }
}
