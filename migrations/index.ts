import { Platform1763690000000 } from './1763690000000-platform';
import { Audit1763690010000 } from './1763690010000-audit';
import { Access1763690020000 } from './1763690020000-access';
import { Registry1763690030000 } from './1763690030000-registry';
import { Clusters1763690040000 } from './1763690040000-clusters';
import { Trust1763690050000 } from './1763690050000-trust';
import { Delivery1763690060000 } from './1763690060000-delivery';
import { AccessRights1763690070000 } from './1763690070000-access-rights';
import { DirectorySync1763690080000 } from './1763690080000-directory-sync';
import { SignIn1763690090000 } from './1763690090000-sign-in';
import { AuditKeeping1763690100000 } from './1763690100000-audit-keeping';
import { DirectoryPreview1763690110000 } from './1763690110000-directory-preview';
import { EngineObjects1763690130000 } from './1763690130000-engine-objects';
import { ClientCertificates1763690135000 } from './1763690135000-client-certificates';
import { GatewayCredentials1763690140000 } from './1763690140000-gateway-credentials';
import { Findings1763690155000 } from './1763690155000-findings';
import { PolicyScopes1763690157000 } from './1763690157000-policy-scopes';
import { NodeSets1763690158000 } from './1763690158000-node-sets';
import { Watching1763690162000 } from './1763690162000-watching';

/** Every migration, oldest first. Append only: a migration that has been released is never edited. */
export const migrations = [
  Platform1763690000000, Audit1763690010000, Access1763690020000, Registry1763690030000, Clusters1763690040000, Trust1763690050000, Delivery1763690060000, AccessRights1763690070000,
  DirectorySync1763690080000, SignIn1763690090000, AuditKeeping1763690100000, DirectoryPreview1763690110000,
  EngineObjects1763690130000, ClientCertificates1763690135000, GatewayCredentials1763690140000,
  Findings1763690155000, PolicyScopes1763690157000, NodeSets1763690158000, Watching1763690162000,
];
