import { Module } from '@nestjs/common';
import { CONFIG, type Config } from '@gantry/platform';
import { Audit } from './audit';
import { AuditKey } from './audit-key';
import { Sequencer } from './sequencer';

/** The audit log: `Audit`, its signing key, and the `Sequencer` that the app starts. */
@Module({
  providers: [Audit, Sequencer, { provide: AuditKey, inject: [CONFIG], useFactory: (config: Config) => AuditKey.fromFile(config.auditKeyFile) }],
  exports: [Audit, AuditKey, Sequencer],
})
export class AuditModule {}
