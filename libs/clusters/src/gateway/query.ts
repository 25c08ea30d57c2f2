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

/**
 * The query of a call whose answer is filtered. Since API 1.52 `GET /system/df` tells sums alone unless asked to list: sums can't be made anew
 * from what is not listed, so the list is asked for.
 * @param query with the leading `?`, or empty
 */
export function filteredQuery(row: EngineRow, minor: number, query: string): string {
  if (row.response.is !== 'df' || minor < 52) return query;
  return withQuery(query, { verbose: '1' });
}
