import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { loadConfig, makeLogger, NestLogger, systemContext } from '@gantry/platform';
import { openDatabase, RoomsModule } from '../../rooms';
import { gatewayHeartbeatFile, startHeartbeat } from '../../worker/src/heartbeat';
import { startGateway } from './start';

/**
 * The `gateway` role: the Docker engine gateway and no other listener. It reaches engines, which is why it is no part of the `api` role. The schema
 * must have been migrated (`gantry migrate`).
 */
export async function main(): Promise<void> {
  const config = loadConfig();
  const logger = makeLogger(config.logLevel);
  const db = await openDatabase(config, logger);
  const app = await NestFactory.createApplicationContext(RoomsModule.forRoot({ config, logger, db }), { logger: new NestLogger(logger), abortOnError: false });
  const gateway = await startGateway({ app, config, logger });
  const stopHeartbeat = startHeartbeat(
    () => db.query(systemContext('gateway.heartbeat'), 'select 1'),
    (error) => logger.error({ err: error }, 'no heartbeat: the database does not answer'),
    gatewayHeartbeatFile,
  );
  logger.info({ engine: config.enginePort }, 'gateway is ready');
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  stopHeartbeat();
  await gateway.close();
  await app.close();
  await db.close();
}
