import { Module } from '@nestjs/common';
import { Clock, CONFIG, Db, Leases, LOGGER, type Config, type Logger } from '@gantry/platform';
import { Audit } from './audit';
import { AuditKey } from './audit-key';
import { SyslogForwarder } from './forwarder';
import { AuditRetention } from './retention';
import { Sequencer } from './sequencer';

/** The audit log: `Audit`, its signing key, the `Sequencer` that the app starts, and what the worker runs: forwarding and retention. */
@Module({
  providers: [
    Audit,
    Sequencer,
    { provide: AuditKey, inject: [CONFIG], useFactory: (config: Config) => AuditKey.fromFile(config.auditKeyFile) },
    {
      provide: SyslogForwarder,
      inject: [Db, Leases, Audit, CONFIG, LOGGER],
      useFactory: (db: Db, leases: Leases, audit: Audit, config: Config, logger: Logger) => new SyslogForwarder(db, leases, audit, config.auditSyslog, logger),
    },
    {
      provide: AuditRetention,
      inject: [Audit, AuditKey, SyslogForwarder, Leases, Clock, CONFIG, LOGGER],
      useFactory: (audit: Audit, key: AuditKey, forwarder: SyslogForwarder, leases: Leases, clock: Clock, config: Config, logger: Logger) =>
        new AuditRetention(audit, key, forwarder, leases, clock, config.auditRetentionDays, logger),
    },
  ],
  exports: [Audit, AuditKey, Sequencer, SyslogForwarder, AuditRetention],
})
export class AuditModule {}
