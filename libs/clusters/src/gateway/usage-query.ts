import type { EngineRow } from '../engine-api/table';

/**
 * The query of a call whose answer is filtered. Since API 1.52 `GET /system/df` tells sums alone unless asked to list: sums can't be made anew
 * from what is not listed, so the list is asked for.
 * @param query with the leading `?`, or empty
 */
export function filteredQuery(row: EngineRow, minor: number, query: string): string {
  if (row.response.is !== 'df' || minor < 52) return query;
  const rest = query.replace(/^\?/, '').split('&').filter((part) => part !== '' && !part.startsWith('verbose='));
  return `?${[...rest, 'verbose=1'].join('&')}`;
}
