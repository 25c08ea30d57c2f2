import { ApplicationsController } from './applications.controller';
import { DeploymentsController, PlansController, ReleasesController } from './deployments.controller';
import { EnvironmentsController } from './environments.controller';
import { HooksController, TriggersController } from './triggers.controller';

/** Controllers of environments, applications, releases, plans, deployments and triggers. */
export const deliveryControllers = [EnvironmentsController, ApplicationsController, ReleasesController, PlansController, DeploymentsController, TriggersController, HooksController];
