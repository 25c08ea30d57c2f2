import { Module } from '@nestjs/common';
import { AccessModule } from '@gantry/access';
import { AuditModule } from '@gantry/audit';
import { Clusters } from './clusters';
import { Findings } from './findings/findings';
import { Watcher } from './findings/watcher';
import { KitBuilds } from './gateway/buildkit/kit-builds';
import { BuildSessions } from './gateway/buildkit/sessions';
import { AnswerFilters } from './gateway/filters';
import { EngineGateway } from './gateway/gateway';
import { KeptServices } from './gateway/kept-services';
import { Made } from './gateway/made';
import { NodeScheduling } from './gateway/node-scheduling';
import { Ownership } from './gateway/ownership';
import { OwnPrune } from './gateway/prune';
import { PullCredentials } from './gateway/pull-credentials';
import { Inventory } from './inventory';
import { Apply, Judge } from './judgement';
import { Relay } from './relay';

/** Clusters, what is on them, judge and apply, the gateway. `ImageAdmission` and `GatewayImages` must be bound by a global module of the app. */
@Module({
  imports: [AuditModule, AccessModule],
  providers: [
    Clusters, Inventory, Judge, Apply, Relay, Ownership, PullCredentials, AnswerFilters, OwnPrune, Made, KeptServices, NodeScheduling, BuildSessions, KitBuilds, EngineGateway, Findings, Watcher,
  ],
  exports: [Clusters, Inventory, Judge, Apply, Relay, Ownership, PullCredentials, KeptServices, NodeScheduling, EngineGateway, Findings, Watcher],
})
export class ClustersModule {}
