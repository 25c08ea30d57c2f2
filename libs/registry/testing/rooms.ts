import { Access, Accounts, accessEntities, AccessModule } from '@gantry/access';
import { Audit, auditEntities, AuditModule } from '@gantry/audit';
import { PlatformModule, type Config, type Context, type Db } from '@gantry/platform';
import { openTestDatabase, testConfig, testLogger } from '@gantry/platform/testing';
import { Global, Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DigestUse, registryEntities, RegistryModule } from '../src';
import { startDistribution, type TestDistribution } from './distribution';

/** Says which digests are in use; tests fill it. */
export class TestDigestUse extends DigestUse {
  readonly used: string[] = [];
  async usedDigests(): Promise<string[]> {
    return this.used;
  }
}

/** The registry and the rooms below it on a database and a storage of their own. */
export interface RegistryRooms {
  app: INestApplicationContext;
  db: Db;
  config: Config;
  distribution: TestDistribution;
  use: TestDigestUse;
  /** The services of the rooms below that nearly every test needs. */
  access: Access;
  accounts: Accounts;
  audit: Audit;
  /** A second process on the same database and storage. */
  another(): Promise<INestApplicationContext>;
  close(): Promise<void>;
}

/** Starts everything; `entities` of rooms above may be added. */
export async function openRegistryRooms(entities: Parameters<typeof openTestDatabase>[0] = []): Promise<RegistryRooms> {
  const distribution = await startDistribution();
  const { db, close } = await openTestDatabase([...auditEntities, ...accessEntities, ...registryEntities, ...(entities as never[])]);
  const config = testConfig({}, { registryBackendUrl: distribution.url, tokenKeyFile: distribution.keyFile, tokenCertFile: distribution.certFile });
  const use = new TestDigestUse();
  const apps: INestApplicationContext[] = [];
  const another = async (): Promise<INestApplicationContext> => {
    @Global()
    @Module({ providers: [{ provide: DigestUse, useValue: use }], exports: [DigestUse] })
    class TestPorts {}
    @Module({ imports: [PlatformModule.forRoot({ config, logger: testLogger(), db }), TestPorts, AuditModule, AccessModule, RegistryModule] })
    class TestRooms {}
    const app = await NestFactory.createApplicationContext(TestRooms, { logger: false, abortOnError: false });
    apps.push(app);
    return app;
  };
  const app = await another();
  return {
    app, db, config, distribution, use, another,
    access: app.get(Access),
    accounts: app.get(Accounts),
    audit: app.get(Audit),
    close: async () => {
      for (const opened of apps) await opened.close();
      await close();
      await distribution.stop();
    },
  };
}

/** The audit rows of one action, newest first. */
export async function auditRows(rooms: RegistryRooms, ctx: Context, action: string): Promise<{ outcome: string; resourceName: string | null; detail: Record<string, unknown>; actorName: string }[]> {
  return (await rooms.audit.list(ctx, { limit: 100, action })).items;
}
