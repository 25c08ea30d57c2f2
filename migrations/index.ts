import { Platform1763690000000 } from './1763690000000-platform';
import { Audit1763690010000 } from './1763690010000-audit';
import { Access1763690020000 } from './1763690020000-access';
import { Clusters1763690040000 } from './1763690040000-clusters';

/** Every migration, oldest first. Append only: a migration that has been released is never edited. */
export const migrations = [Platform1763690000000, Audit1763690010000, Access1763690020000, Clusters1763690040000];
