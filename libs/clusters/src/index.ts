export { Cluster, clustersEntities, watchModes, type ClusterState, type StoredEndpoint, type WatchMode } from './cluster.entity';
export { Clusters } from './clusters';
export { ClustersModule } from './clusters.module';
export { connectEngine, EngineClient, EngineConnection, EngineError, newestApiVersion, oldestApiVersion, stackLabel, type Endpoint, type EngineCall, type RegistryAuth } from './engine.client';
export type { RawAnswer, RawExchange, WholeAnswer, WholeCall } from './engine.lines';
export { openEngine, rawEngineOver, type RawCall, type RawEngine } from './engine.raw';
export type * from './engine.types';
export { collectionLabel } from './engine-api/bodies';
export { matchEngineCall, maxTargetLength, type EngineMatch, type EngineRefusal } from './engine-api/match';
export { engineApiPage } from './engine-api/page';
export { ruleOnCall, type EngineRuling } from './engine-api/rule';
export type { EngineKind, ImageName, Need, OwnLabel, Use, Value } from './engine-api/shape';
export { engineTable, newestMinor, oldestMinor, type BodyPolicy, type Connection, type EngineRow, type Parameter, type ResponseFilter, type Target } from './engine-api/table';
export {
  announced, BuildAnswer, ControlError, hostGateway, readNothing, readOrder, readReturn, readSolve, readStatusRef, readWorkersWish, writeMade, writePong, writeSolved, writeWorkers, type Order, type Output, type Returned, type Said,
} from './gateway/buildkit/control';
export { FileGiver, FileTaker, readPacket, writePacket, type GivenFile, type Packet } from './gateway/buildkit/file-sync';
export type { BuildSession, OpenSession, SessionRules } from './gateway/buildkit/sessions';
export { framed, Unframer, WireError } from './gateway/buildkit/wire';
export { EngineGateway, type GatewayRequest } from './gateway/gateway';
export { KeptServices } from './gateway/kept-services';
export { Made } from './gateway/made';
export { isOwnConstraint } from './gateway/node-sets';
export { NodeScheduling } from './gateway/node-scheduling';
export type { Passage } from './gateway/passage';
export { GatewayImages } from './gateway/ports';
export { claimLabel, claimSeconds, engineObjectsChannel, Ownership, type ClaimWish, type OwnedName, type Swept } from './gateway/ownership';
export { knownVersion } from './gateway/versions';
export { howPassed, type Way } from './gateway/ways';
export { ownedKinds, type ClusterOwnership, type ObjectName, type OwnedKind } from './gateway/ownership-index';
export {
  dfFilter, EngineAnswerError, eventsFilter, infoFilter, inspectFilter, listFilter, pruneFilter, redactFilter, swarmForm, Verdicts, type DfOptions, type EngineEvent, type Form, type InfoCounts, type InspectOptions, type ItemPath, type ListOptions,
  type PruneOptions, type UsageKind,
} from './gateway/answers';
export { findingKinds, findingStates, type FindingKind, type FindingState } from './findings/compare';
export { Findings, type Finding, type FindingFilter } from './findings/findings';
export { Watcher, type WatcherPatience } from './findings/watcher';
export { Inventory, type InventoryPage } from './inventory';
export { Apply, deploymentLabel, ImageAdmission, Judge, Judgement, judgementSeconds, type Admission, type Outcome } from './judgement';
export { clustersProblem } from './problems';
export { Relay, relayCall } from './relay';
export { changeTypes, pinnedImage, ruleOn, type Change, type HostOption, type ImageUse, type ObjectKind, type ObjectUse, type Ruling, type Wish } from './rules';
export { sshAddressForm } from './ssh/keys';
export { closeSshWays } from './ssh/link';
export { configSpec, networkSpec, secretSpec, serviceSpec, type ConfigSpec, type NetworkSpec, type SecretSpec, type ServiceSpec } from './specs';
export { converge, type Convergence, type Looked, type Observation, type WatchMemory, type WatchOptions } from './watch';
