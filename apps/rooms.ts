import { Global, Module, type DynamicModule } from '@nestjs/common';
import { accessEntities, AccessModule } from '@gantry/access';
import { auditEntities, AuditModule } from '@gantry/audit';
import { clustersEntities, ClustersModule, GatewayImages, ImageAdmission } from '@gantry/clusters';
import { deliveryEntities, DeliveryImages, DeliveryModule, DeliveryUse } from '@gantry/delivery';
import { Db, PlatformModule, type Config, type Logger } from '@gantry/platform';
import { DigestUse, registryEntities, RegistryModule } from '@gantry/registry';
import { TrustAdmission, trustEntities, TrustModule } from '@gantry/trust';
import { migrations } from '../migrations';

/** Opens the database with every room's entities. @throws when no DATABASE_URL is set or it does not answer */
export async function openDatabase(config: Config, logger: Logger): Promise<Db> {
  if (config.databaseUrl === null) throw new Error('DATABASE_URL is not set; give a PostgreSQL 15 or newer, or use `npm start`, which embeds one');
  return Db.open({
    url: config.databaseUrl.reveal(),
    entities: [...auditEntities, ...accessEntities, ...registryEntities, ...clustersEntities, ...trustEntities, ...deliveryEntities],
    migrations,
    logger,
  });
}

/** The answers to questions that a room asks of rooms above it. Without this module no process boots. */
@Global()
@Module({
  imports: [TrustModule, DeliveryModule],
  providers: [
    { provide: ImageAdmission, useExisting: TrustAdmission },
    { provide: DigestUse, useExisting: DeliveryUse },
    { provide: GatewayImages, useExisting: DeliveryImages },
  ],
  exports: [ImageAdmission, DigestUse, GatewayImages],
})
export class PortsModule {}

/** Every room, for the API, the worker and the operator's commands alike. */
@Module({})
export class RoomsModule {
  static forRoot(options: { config: Config; logger: Logger; db: Db }): DynamicModule {
    const rooms = [AuditModule, AccessModule, RegistryModule, ClustersModule, TrustModule, DeliveryModule, PortsModule];
    return { module: RoomsModule, imports: [PlatformModule.forRoot(options), ...rooms], exports: rooms };
  }
}
