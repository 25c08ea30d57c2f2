import { Module } from '@nestjs/common';
import { AuditModule } from '@gantry/audit';
import { Access } from './access';
import { Accounts } from './accounts';
import { Authenticator } from './authenticator';
import { Authorities } from './authorities';
import { ClientCertificates } from './client-certificates';
import { Collections } from './collections';
import { Credentials } from './credentials';
import { DirectoryClient } from './directory';
import { DirectoryPeople } from './directory-people';
import { Directory } from './directory-settings';
import { DirectorySync } from './directory-sync';
import { DirectoryTargets } from './directory-targets';
import { GatewayCertificate } from './gateway-certificate';
import { Grants } from './grants';
import { Review } from './review';
import { Roles } from './roles';
import { SecondFactors } from './second-factors';
import { Sessions } from './sessions';
import { SignInLimits } from './sign-in-limits';
import { Teams } from './teams';
import { Tokens } from './tokens';

const services = [
  Access, Accounts, Authenticator, ClientCertificates, Collections, Directory, DirectorySync, DirectoryTargets, GatewayCertificate, Grants, Review, Roles, SecondFactors, Sessions,
  Teams, Tokens,
];

/** Accounts, signing in, and decisions. */
@Module({
  imports: [AuditModule],
  providers: [...services, Authorities, Credentials, DirectoryPeople, SignInLimits, { provide: DirectoryClient, useFactory: () => new DirectoryClient() }],
  exports: services,
})
export class AccessModule {}
