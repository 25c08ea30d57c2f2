import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Access, Accounts } from '@gantry/access';
import { Clusters } from '@gantry/clusters';
import { makeLogger, Secret, systemContext, type Config, type Logger } from '@gantry/platform';
import { tokenIssuer, tokenService } from '@gantry/registry';
import { startApi } from '../../api/src/start';
import { openDatabase } from '../../rooms';
import { startWorker } from '../../worker/src/start';
import { writeEnvironment } from './environment';
import { armFaults } from './faults';
import { ensureKeys, firstAdminPassword } from './keys';
import { engineEndpoint } from './engine-endpoint';
import { deploySample, ensureLocalCluster } from './sample';
import type { BootContext, Booted, StandaloneApp } from './standalone';
import type { StandaloneOptions } from './options';

/** The application in its embedded form: API, registry front and worker in this process, on one database. */
export function standaloneApp(): StandaloneApp {
  const complete = (options: StandaloneOptions): Promise<Config> => ensureKeys(options.home, options.config);
  return {
    prepareRegistryAuth: async ({ options }) => {
      const config = await complete(options);
      return { realm: `${config.publicUrl}/auth/token`, service: tokenService, issuer: tokenIssuer, rootCertBundle: config.tokenCertFile! };
    },
    boot: async (context) => boot(context, await complete(context.options)),
  };
}

async function boot({ options, databaseUrl, registryUrl, engine, step }: BootContext, keyed: Config): Promise<Booted> {
  const passwordFile = keyed.adminPasswordFile ?? join(options.home, 'admin-password');
  const config: Config = { ...keyed, databaseUrl: new Secret(databaseUrl), registryBackendUrl: registryUrl, adminPasswordFile: passwordFile };
  writeEnvironment(options.home, {
    DATABASE_URL: databaseUrl,
    GANTRY_SECRET_KEY: config.secretKeys.map((key) => key.reveal()).join(' '),
    GANTRY_REGISTRY_BACKEND_URL: registryUrl,
    GANTRY_TOKEN_KEY_FILE: config.tokenKeyFile!,
    GANTRY_TOKEN_CERT_FILE: config.tokenCertFile!,
    GANTRY_AUDIT_KEY_FILE: config.auditKeyFile!,
    GANTRY_ADMIN_PASSWORD_FILE: passwordFile,
  });
  const logger = fileLogger(options.home, config.logLevel);
  const db = await openDatabase(config, logger);
  try {
    const applied = await step('migrations', async (note) => {
      const names = await db.migrate();
      note(names.length === 0 ? 'up to date' : `${names.length} applied`);
      return names;
    });
    logger.info({ applied }, 'database is migrated');
    const api = await startApi({ config, logger, db });
    if (options.faultSeam) armFaults(api.app, options.faultSeam);
    const ctx = systemContext('boot');
    const accounts = api.app.get(Accounts);
    if (!(await accounts.find(ctx, 'admin'))) await accounts.ensureAdmin(ctx, firstAdminPassword(passwordFile));
    await api.app.get(Access).refresh(ctx);
    if (engine.isSwarmManager) await ensureLocalCluster(ctx, api.app.get(Clusters), engineEndpoint(engine.endpoint));
    const worker = await startWorker({ config, logger, db, app: api.app });
    return {
      httpUrl: config.publicUrl,
      registryHost: config.registryPublicHost,
      gatewayUrl: `tcp://${new URL(config.publicUrl).hostname}:${config.enginePort}`,
      adminPasswordFile: passwordFile,
      deploySample: () => deploySample({ app: api.app, config }),
      close: async () => {
        await worker.close();
        await api.close();
        await db.close();
      },
    };
  } catch (error) {
    await db.close();
    throw error;
  }
}

/** The application logs to a file: standard output belongs to the steps and the summary. */
function fileLogger(home: string, level: string): Logger {
  mkdirSync(join(home, 'log'), { recursive: true });
  return makeLogger(level, createWriteStream(join(home, 'log/gantry.log'), { flags: 'a', mode: 0o600 }));
}
