import { engineTable } from '../engine-api/table';
import { filteredQuery, limitOf, queryValues, withQuery } from './query';

const row = (name: string): (typeof engineTable)[number] => engineTable.find((each) => each.name === name)!;

describe('the query of a filtered answer', () => {
  it('asks for the list of what is used where only sums would come, and is else as it was', () => {
    const df = row('GET /system/df');
    expect(filteredQuery(df, 51, '?type=volume')).toBe('?type=volume');
    expect(filteredQuery(df, 52, '')).toBe('?verbose=1');
    expect(filteredQuery(df, 52, '?type=volume&verbose=0')).toBe('?type=volume&verbose=1');
    expect(filteredQuery(row('GET /containers/json'), 52, '?all=1')).toBe('?all=1');
    expect(filteredQuery(row('GET /containers/json'), 41, '?limit=3&size=1')).toBe('?size=1&all=1');
    expect(filteredQuery(row('GET /containers/json'), 41, '?all=0&limit=-1')).toBe('?all=0&limit=-1');
    expect(['?limit=3', '?limit=0', '?limit=-1', '?limit=', '', '?all=1'].map((query) => limitOf(row('GET /containers/json'), query))).toEqual([3, null, null, null, null, null]);
    expect(limitOf(row('GET /images/search'), '?limit=3')).toBeNull();
  });
});

describe('queries', () => {
  it('get other values', () => {
    expect(withQuery('?a=1&b=2%20&a=3&c=', { a: 'x y', d: ['1', '2'], c: null })).toBe('?b=2%20&a=x%20y&d=1&d=2');
    expect(withQuery('', {})).toBe('');
    expect(queryValues('?t=a%3A1&t=b&tt=c', 't')).toEqual(['a:1', 'b']);
  });
});
