import { OrganizationsController, UsersController } from './accounts.controller';
import { BundleController, UserCertificatesController } from './bundle.controller';
import { DirectoryTargetsController, LdapController } from './ldap.controller';
import { CollectionsController, RightsController } from './rights.controller';
import { GrantsController, RolesController } from './roles.controller';
import { SecondFactorController } from './second-factor.controller';
import { MeController, SessionsController } from './sessions.controller';
import { SignInController } from './sign-in.controller';
import { TeamsController } from './teams.controller';
import { TokensController } from './tokens.controller';

/** Controllers of accounts, signing in and rights. */
export const accessControllers = [
  SessionsController, MeController, SecondFactorController, TokensController, UsersController, SignInController, UserCertificatesController,
  OrganizationsController, TeamsController, RolesController, GrantsController, CollectionsController, RightsController, LdapController, DirectoryTargetsController,
];
/** Those that need the clusters as well. */
export const bundleControllers = [BundleController];
export { level, teamLevel } from './teams.controller';
