import { ClustersController } from './clusters.controller';
import { InventoryController } from './inventory.controller';

/** Controllers of clusters and what is on them. */
export const clustersControllers = [ClustersController, InventoryController];
