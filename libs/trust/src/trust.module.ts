import { Module } from '@nestjs/common';
import { AccessModule } from '@gantry/access';
import { AuditModule } from '@gantry/audit';
import { RegistryModule } from '@gantry/registry';
import { CountingScopes } from './counting-scopes';
import { SignaturePolicies } from './signature-policies';
import { Signer } from './signer';
import { SigningKeys } from './signing-keys';
import { TrustAdmission } from './trust-admission';
import { Verdicts } from './verdicts';

const services = [SigningKeys, SignaturePolicies, Verdicts, Signer, CountingScopes, TrustAdmission];

/** Keys, policies, verdicts and our own signer. The app binds `clusters.ImageAdmission` to `TrustAdmission`. */
@Module({ imports: [AuditModule, AccessModule, RegistryModule], providers: services, exports: services })
export class TrustModule {}
