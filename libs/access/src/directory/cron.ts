/** When something recurs. */
export interface Schedule {
  /** The first time strictly after `after`, at a full minute in UTC. */
  next(after: Date): Date;
}

interface Field {
  name: string;
  min: number;
  max: number;
}

const fields: readonly Field[] = [
  { name: 'minute', min: 0, max: 59 }, { name: 'hour', min: 0, max: 23 }, { name: 'day of the month', min: 1, max: 31 }, { name: 'month', min: 1, max: 12 }, { name: 'day of the week', min: 0, max: 7 },
];
const dayMillis = 86_400_000;
/** A 29 February on a given day of the week comes again after 40 years at most, within one century's rule. */
const searchDays = 366 * 41;

/**
 * Reads a schedule of five fields as crontab(5) has them (minute, hour, day of the month, month, day of the week; `*`, numbers, ranges, lists and
 * `/step`; Sunday is 0 or 7; where both days are restricted, either is enough), in UTC. Answers what is wrong as text instead.
 */
export function parseSchedule(text: string): Schedule | { fault: string } {
  const words = text.trim().split(/\s+/);
  if (words.length !== fields.length) return { fault: 'five fields are needed: minute, hour, day of the month, month, day of the week' };
  const sets: Set<number>[] = [];
  for (const [index, field] of fields.entries()) {
    const set = parseField(words[index]!, field);
    if (set === null) return { fault: `the ${field.name} can’t be "${words[index]!.slice(0, 40)}": use ${field.min} to ${field.max}, *, ranges, lists and /steps` };
    sets.push(set);
  }
  const [minutes, hours, monthDays, months, weekDays] = sets as [Set<number>, Set<number>, Set<number>, Set<number>, Set<number>];
  if (weekDays.has(7)) weekDays.add(0);
  const anyMonthDay = words[2]!.startsWith('*');
  const anyWeekDay = words[4]!.startsWith('*');
  const sorted = { minutes: [...minutes].sort((a, b) => a - b), hours: [...hours].sort((a, b) => a - b) };

  const onDay = (day: Date): boolean => {
    if (!months.has(day.getUTCMonth() + 1)) return false;
    const inMonth = monthDays.has(day.getUTCDate());
    const inWeek = weekDays.has(day.getUTCDay());
    return anyMonthDay || anyWeekDay ? inMonth && inWeek : inMonth || inWeek;
  };
  const find = (after: Date): Date | null => {
    const midnight = Math.floor(after.getTime() / dayMillis) * dayMillis;
    for (let day = 0; day < searchDays; day += 1) {
      const start = midnight + day * dayMillis;
      if (!onDay(new Date(start))) continue;
      for (const hour of sorted.hours) {
        if (start + (hour + 1) * 3_600_000 <= after.getTime()) continue;
        for (const minute of sorted.minutes) {
          const at = start + hour * 3_600_000 + minute * 60_000;
          if (at > after.getTime()) return new Date(at);
        }
      }
    }
    return null;
  };
  if (find(new Date(0)) === null) return { fault: 'no day is ever like that' };
  return {
    next: (after) => {
      const found = find(after);
      if (!found) throw new Error(`no time after ${after.toISOString()}`);
      return found;
    },
  };
}

function parseField(text: string, field: Field): Set<number> | null {
  const values = new Set<number>();
  for (const item of text.split(',')) {
    const parts = /^(?:(\*)|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(item);
    if (!parts) return null;
    const [, star, first, last, every] = parts;
    const step = every === undefined ? 1 : Number(every);
    // A single number has no range to step through.
    if (step < 1 || (every !== undefined && star === undefined && last === undefined)) return null;
    const from = star === undefined ? Number(first) : field.min;
    const to = star === undefined ? Number(last ?? first) : field.name === 'day of the week' ? 6 : field.max;
    if (from < field.min || to > field.max || from > to) return null;
    for (let value = from; value <= to; value += step) values.add(value);
  }
  return values;
}
