import { isTooMuch, type Stopping } from './brake';

const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
const some = (count: number, state: Stopping['state'] = 'flagged', second = 10): Stopping[] => Array.from({ length: count }, () => ({ state, firstSeen: at(second) }));
const brake = { count: 5, percent: 50, releasedAt: null as Date | null };

describe('the brake', () => {
  it('takes more than so many at once, or than a share of what runs, for a fault of our own', () => {
    expect([isTooMuch(some(5), 100, brake), isTooMuch(some(6), 100, brake)]).toEqual([false, true]);
    expect([isTooMuch(some(4), 8, brake), isTooMuch(some(4), 7, brake)]).toEqual([false, true]);
    // All three of three are no mass.
    expect([isTooMuch(some(3), 3, brake), isTooMuch([], 0, brake)]).toEqual([false, false]);
    expect(isTooMuch(some(40), 50, { ...brake, count: 100, percent: 100 })).toBe(false);
  });

  it('counts neither what was stopped before nor what somebody has let through', () => {
    expect(isTooMuch([...some(5), ...some(20, 'quarantined')], 100, brake)).toBe(false);
    expect(isTooMuch([...some(20), ...some(5, 'seen', 12)], 100, { ...brake, releasedAt: at(10) })).toBe(false);
    expect(isTooMuch([...some(20), ...some(6, 'seen', 12)], 100, { ...brake, releasedAt: at(10) })).toBe(true);
  });
});
