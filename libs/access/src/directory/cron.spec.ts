import { parseSchedule } from './cron';

function times(text: string, from: string, count: number): string[] {
  const schedule = parseSchedule(text);
  if ('fault' in schedule) throw new Error(schedule.fault);
  const found: string[] = [];
  let at = new Date(from);
  for (let n = 0; n < count; n += 1) {
    at = schedule.next(at);
    found.push(at.toISOString().slice(0, 16));
  }
  return found;
}

describe('schedules', () => {
  it.each([
    ['0 * * * *', '2026-01-31T23:00:00Z', ['2026-02-01T00:00', '2026-02-01T01:00']],
    ['*/20 3 * * *', '2026-05-01T03:39:59Z', ['2026-05-01T03:40', '2026-05-02T03:00']],
    ['30 1 1,15 * *', '2026-01-01T01:30:00Z', ['2026-01-15T01:30', '2026-02-01T01:30']],
    ['0 0 29 2 *', '2026-01-01T00:00:00Z', ['2028-02-29T00:00', '2032-02-29T00:00']],
    ['5 4 * * 7', '2026-11-21T00:00:00Z', ['2026-11-22T04:05', '2026-11-29T04:05']],
    ['0 12 * * 1-5', '2026-11-20T12:00:00Z', ['2026-11-23T12:00', '2026-11-24T12:00']],
    // crontab(5): with both days restricted, either is enough.
    ['0 0 13 * 5', '2026-11-01T00:00:00Z', ['2026-11-06T00:00', '2026-11-13T00:00', '2026-11-20T00:00', '2026-11-27T00:00', '2026-12-04T00:00', '2026-12-11T00:00', '2026-12-13T00:00']],
    ['10-50/20 0,23 31 12 *', '2026-01-01T00:00:00Z', ['2026-12-31T00:10', '2026-12-31T00:30', '2026-12-31T00:50', '2026-12-31T23:10']],
  ])('%s', (text, from, expected) => {
    expect(times(text, from, expected.length)).toEqual(expected);
  });

  it.each(['', '* * * *', '* * * * * *', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * * 13 *', '* * * * 8', '5-3 * * * *', '*/0 * * * *', '5/2 * * * *', 'a * * * *', '1,, * * * *', '-1 * * * *', '@daily', '0 0 30 2 *', '0 0 31 4,6 *', '1.5 * * * *'])(
    'refuses "%s"', (text) => {
      expect(parseSchedule(text)).toHaveProperty('fault');
    });
});
