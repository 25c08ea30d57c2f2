import { Platform1763690000000 } from './1763690000000-platform';

/** Every migration, oldest first. Append only: a migration that has been released is never edited. */
export const migrations = [Platform1763690000000];
