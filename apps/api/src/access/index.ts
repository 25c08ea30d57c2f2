import { OrganizationsController, UsersController } from './accounts.controller';
import { LdapController } from './ldap.controller';
import { RightsController } from './rights.controller';
import { MeController, SessionsController } from './sessions.controller';
import { TokensController } from './tokens.controller';

/** Controllers of accounts, signing in and rights. */
export const accessControllers = [SessionsController, MeController, TokensController, UsersController, OrganizationsController, RightsController, LdapController];
