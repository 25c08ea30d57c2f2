import fc from 'fast-check';
import { hidden, kept, unknown, Verdicts } from './verdicts';

const place = 3;
const viewOf = (id: string): DataView => {
  const bytes = Buffer.from(`${'x'.repeat(place)}${id}`);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
};

describe('Verdicts', () => {
  it.each([25, 64, 4, 7])('are those of a map, for ids of %i bytes', (length) => {
    // Few letters: ids that differ in one place, also in the last.
    const id = fc.array(fc.constantFrom('a', 'b', 'é'.normalize('NFD')[0]!), { minLength: length, maxLength: length }).map((chars) => chars.join(''));
    fc.assert(fc.property(fc.array(fc.tuple(id, fc.constantFrom('find', 'keep', 'hide', 'clear')), { maxLength: 60 }), (steps) => {
      const verdicts = new Verdicts(length);
      const map = new Map<string, number>();
      for (const [each, step] of steps) {
        if (step === 'clear') {
          verdicts.clear();
          map.clear();
        } else if (step !== 'find') {
          verdicts.remember(viewOf(each), place, step === 'keep' ? kept : hidden);
          map.set(each, step === 'keep' ? kept : hidden);
        }
        for (const [other] of steps) expect(verdicts.find(viewOf(other), place)).toBe(map.get(other) ?? unknown);
      }
    }), { numRuns: 60 });
  });

  it('grow with what is remembered, and begin anew when it is too much', () => {
    const verdicts = new Verdicts(25);
    const idOf = (index: number): string => `${String(index).padStart(12, '0')}${'z'.repeat(13)}`;
    const found = (count: number): number[] => Array.from({ length: count }, (_, index) => verdicts.find(viewOf(idOf(index)), place));
    for (let index = 0; index < 20_000; index += 1) verdicts.remember(viewOf(idOf(index)), place, index % 3 === 0 ? kept : hidden);
    expect(found(20_001)).toEqual([...Array.from({ length: 20_000 }, (_, index) => (index % 3 === 0 ? kept : hidden)), unknown]);
    for (let index = 20_000; index < 40_000; index += 1) verdicts.remember(viewOf(idOf(index)), place, hidden);
    // Whatever is left of them is right.
    expect(found(40_000).every((each, index) => each === unknown || each === (index < 20_000 && index % 3 === 0 ? kept : hidden))).toBe(true);
    expect(found(40_000).filter((each) => each !== unknown).length).toBeLessThanOrEqual(32_768);
    verdicts.clear();
    expect(found(40_000).every((each) => each === unknown)).toBe(true);
  });
});
