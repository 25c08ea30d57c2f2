import type { EngineRow } from '../engine-api/table';

/** A query in our own form with some parameters in place of those that it has. */
export function withQuery(query: string, changes: Readonly<Record<string, string | readonly string[] | null>>): string {
  const kept = query.replace(/^\?/, '').split('&').filter((part) => part !== '' && !Object.hasOwn(changes, decodeURIComponent(part.split('=')[0]!)));
  const added = Object.entries(changes).flatMap(([name, value]) => (value === null ? [] : [value].flat().map((each) => `${encodeURIComponent(name)}=${encodeURIComponent(each)}`)));
  const parts = [...kept, ...added];
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

/** The values of a parameter in a query of our own form. */
export function queryValues(query: string, name: string): string[] {
  return query.replace(/^\?/, '').split('&').filter((part) => part.startsWith(`${encodeURIComponent(name)}=`)).map((part) => decodeURIComponent(part.slice(part.indexOf('=') + 1)));
}

/** How many containers a list may hold at most; null for all. */
export function limitOf(row: EngineRow, query: string): number | null {
  const [given = ''] = row.name === 'GET /containers/json' ? queryValues(query, 'limit') : [];
  const limit = Number(given);
  return limit > 0 ? limit : null;
}

/**
 * The query of a call whose answer is filtered. Since API 1.52 `GET /system/df` tells sums alone unless asked to list: sums can't be made anew
 * from what is not listed, so the list is asked for. And an engine that counted what it lists would count what the caller may not know of: where
 * there is a limit, which to engines means containers in every state, all are asked for.
 * @param query with the leading `?`, or empty
 */
export function filteredQuery(row: EngineRow, minor: number, query: string): string {
  if (limitOf(row, query) !== null) return withQuery(query, { limit: null, all: '1' });
  if (row.response.is !== 'df' || minor < 52) return query;
  return withQuery(query, { verbose: '1' });
}
