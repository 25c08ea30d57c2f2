import type { FindingState } from './compare';

/** So few things at once are no mass, however few there are besides. */
const fewest = 3;

/** How much a look may stop. */
export interface Brake {
  /** More than so many at once are too many. */
  count: number;
  /** More than so many of a hundred that run are too many, if they are more than three. */
  percent: number;
  /** What had been found by then may be stopped: somebody said so. */
  releasedAt: Date | null;
}

/** What a look would stop. */
export interface Stopping {
  state: FindingState;
  firstSeen: Date;
}

/**
 * Whether so much would be stopped at once that it is rather our records that are wrong: after a database was restored from an old backup, all that is newer is
 * unknown. Counted is what was not stopped before, and was not let through by whoever released the brake.
 * @param running how many things run that could be stopped
 */
export function isTooMuch(stopping: readonly Stopping[], running: number, { count, percent, releasedAt }: Brake): boolean {
  const fresh = stopping.filter((each) => isFresh(each) && (releasedAt === null || each.firstSeen > releasedAt)).length;
  return fresh > count || (fresh > fewest && fresh * 100 > percent * running);
}

/** Whether it was not stopped before. What was, and was started again, is stopped again, brake or not. */
export function isFresh({ state }: Stopping): boolean {
  return state !== 'quarantined';
}
