import { loadConfig, makeLogger } from '@gantry/platform';
import { openDatabase } from '../../rooms';
import { startApi } from './start';

/** The `api` role: REST, registry front and token service. The schema must have been migrated (`gantry migrate`). */
export async function main(): Promise<void> {
  const config = loadConfig();
  const logger = makeLogger(config.logLevel);
  const db = await openDatabase(config, logger);
  const api = await startApi({ config, logger, db });
  logger.info({ http: config.httpPort, registry: config.registryPort }, 'api is ready');
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  await api.close();
  await db.close();
}
