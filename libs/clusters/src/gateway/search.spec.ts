import { readSearch, searchResults } from './search';

const ours = 'registry.example.com:5000';
const read = (query: string, filters: Record<string, string[]> | null = null): ReturnType<typeof readSearch> => readSearch(query, filters, ours);

describe('readSearch', () => {
  it.each([
    ['web', null, 'web'], ['acme/web', null, 'acme/web'], ['', null, ''], [ours, null, ''], [`${ours}/`, null, ''], [`${ours}/acme/w`, null, 'acme/w'], ['LOCALHOST/x', null, 'LOCALHOST/x'],
    ['docker.io/nginx', 'docker.io', 'docker.io/nginx'], ['localhost/x', 'localhost', 'localhost/x'], ['127.0.0.1:1/x', '127.0.0.1:1', '127.0.0.1:1/x'], ['Registry.example.com:5000/x', 'Registry.example.com:5000', 'Registry.example.com:5000/x'],
    ['registry.example.com/x', 'registry.example.com', 'registry.example.com/x'], ['http://127.0.0.1/x', 'http:', 'http://127.0.0.1/x'], ['[::1]/x', '[::1]', '[::1]/x'],
  ])('takes %j for a search of host %j', (term, host, text) => {
    expect(read(`?term=${encodeURIComponent(term)}`)).toEqual({ host, text, limit: 25, anyOfOurs: true });
  });

  it('keeps to the limits that engines have', () => {
    expect([1, 100].map((limit) => read(`?term=x&limit=${limit}`).limit)).toEqual([1, 100]);
    for (const limit of ['0', '101', '-1', '1.5', 'x']) expect(() => read(`?term=x&limit=${limit}`)).toThrow('outside the range');
  });

  it('applies the filters that there are, and refuses others', () => {
    const passes = (filters: Record<string, string[]>): boolean => read('?term=x', filters).anyOfOurs;
    const some = (...each: Record<string, string[]>[]): boolean[] => each.map(passes);
    expect(some({ 'is-official': ['true'] }, { 'is-automated': ['1'] }, { stars: ['3'] }, { stars: ['0', '1'] })).toEqual([false, false, false, false]);
    expect(some({}, { 'is-official': ['false'] }, { 'is-automated': ['0'] }, { stars: ['0'] }, { stars: [] }, { 'is-official': [] })).toEqual([true, true, true, true, true, true]);
    const odd: Record<string, string[]>[] = [{ label: ['x'] }, { 'is-official': ['maybe'] }, { 'is-official': ['true', 'false'] }, { stars: ['-1'] }, { stars: ['x'] }, { __proto__x: [] }];
    for (const filters of odd) expect(() => passes(filters)).toThrow('invalid filter');
  });
});

describe('searchResults', () => {
  it('are named so that they can be pulled', () => {
    expect(searchResults([{ path: 'acme/web', description: 'the shop' }], ours)).toEqual([{ name: `${ours}/acme/web`, description: 'the shop', star_count: 0, is_official: false, is_automated: false }]);
  });
});
