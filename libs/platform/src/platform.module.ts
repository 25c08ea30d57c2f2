import { Module, type DynamicModule } from '@nestjs/common';
import { Clock, SystemClock } from './clock';
import type { Config } from './config';
import { Db } from './db';
import { Leases } from './lease';
import type { Logger } from './log';
import { Outbox } from './outbox';
import { Sealer } from './secrets';

/** Injection token of the `Config`. */
export const CONFIG = Symbol('gantry config');
/** Injection token of the `Logger`. */
export const LOGGER = Symbol('gantry logger');

/** The global module that gives every room its `Db`, `Outbox`, `Leases`, `Sealer`, `Clock`, config and log. The app opens the database first. */
@Module({})
export class PlatformModule {
  static forRoot(options: { config: Config; logger: Logger; db: Db; clock?: Clock }): DynamicModule {
    const providers = [
      { provide: CONFIG, useValue: options.config },
      { provide: LOGGER, useValue: options.logger },
      { provide: Db, useValue: options.db },
      { provide: Clock, useValue: options.clock ?? new SystemClock() },
      { provide: Sealer, useFactory: () => new Sealer(options.config.secretKeys.map((key) => key.reveal())) },
      { provide: Outbox, useFactory: () => new Outbox(options.db) },
      { provide: Leases, useFactory: () => new Leases(options.db) },
    ];
    return { module: PlatformModule, global: true, providers, exports: providers.map((provider) => provider.provide) };
  }
}
