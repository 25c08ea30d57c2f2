import { ClustersController } from './clusters.controller';
import { FindingsController } from './findings.controller';
import { InventoryController } from './inventory.controller';

/** Controllers of clusters and what is on them. */
export const clustersControllers = [ClustersController, InventoryController, FindingsController];
