import { RegistriesController } from './registries.controller';
import { RepositoriesController } from './repositories.controller';

/** Controllers of the registry. */
export const registryControllers = [RegistriesController, RepositoriesController];
