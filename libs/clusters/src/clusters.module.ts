import { Module } from '@nestjs/common';
import { AccessModule } from '@gantry/access';
import { AuditModule } from '@gantry/audit';
import { Clusters } from './clusters';
import { Ownership } from './gateway/ownership';
import { Inventory } from './inventory';
import { Apply, Judge } from './judgement';
import { Relay } from './relay';

/** Clusters, what is on them, judge and apply. `ImageAdmission` must be bound by a global module of the app. */
@Module({ imports: [AuditModule, AccessModule], providers: [Clusters, Inventory, Judge, Apply, Ownership, Relay], exports: [Clusters, Inventory, Judge, Apply, Ownership, Relay] })
export class ClustersModule {}
