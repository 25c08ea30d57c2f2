import { Module } from '@nestjs/common';
import { AccessModule } from '@gantry/access';
import { AuditModule } from '@gantry/audit';
import { ClustersModule } from '@gantry/clusters';
import { RegistryModule } from '@gantry/registry';
import { TrustModule } from '@gantry/trust';
import { Applications } from './applications';
import { Deployments } from './deployments';
import { Environments } from './environments';
import { DeliveryEvents, DeliveryUse } from './events';
import { Faults } from './faults';
import { DeliveryImages } from './gateway-images';
import { Journal } from './journal';
import { Plans } from './plans';
import { Runner } from './runner';
import { Triggers } from './triggers';

const services = [Environments, Applications, Plans, Deployments, Triggers, DeliveryEvents, DeliveryUse, DeliveryImages];

/** Delivery. `clusters.ImageAdmission` must be bound by a global module of the app. */
@Module({ imports: [AuditModule, AccessModule, RegistryModule, ClustersModule, TrustModule], providers: [...services, Faults, Journal, Runner], exports: [...services, Faults] })
export class DeliveryModule {}
