import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { loadConfig, makeLogger, NestLogger, systemContext } from '@gantry/platform';
import { openDatabase, RoomsModule } from '../../rooms';
import { startHeartbeat } from './heartbeat';
import { startWorker } from './start';

/** The `worker` role: jobs, schedules and sweeps; the only role that reaches engines to change them. */
export async function main(): Promise<void> {
  const config = loadConfig();
  const logger = makeLogger(config.logLevel);
  const db = await openDatabase(config, logger);
  const app = await NestFactory.createApplicationContext(RoomsModule.forRoot({ config, logger, db }), { logger: new NestLogger(logger), abortOnError: false });
  const worker = await startWorker({ config, logger, db, app });
  const stopHeartbeat = startHeartbeat(
    () => db.query(systemContext('worker.heartbeat'), 'select 1'),
    (error) => logger.error({ err: error }, 'no heartbeat: the database does not answer'),
  );
  logger.info('worker is ready');
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  stopHeartbeat();
  await worker.close();
  await app.close();
  await db.close();
}
