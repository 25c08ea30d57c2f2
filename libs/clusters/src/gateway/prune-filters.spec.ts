import { Problem } from '@gantry/platform';
import { readPruneFilter, type PrunedKind } from './prune-filters';

const now = new Date('2026-03-01T12:00:00Z');
const read = (filters: Parameters<typeof readPruneFilter>[1], kind: PrunedKind = 'container', named = true) => readPruneFilter(kind, filters, now, named);
const made = (createdAt: string | null, labels: Record<string, string> = {}) => ({ createdAt: createdAt === null ? null : new Date(createdAt), labels });

function refused(filters: Record<string, string[]>, kind: PrunedKind = 'container', named = true): string {
  try {
    read(filters, kind, named);
  } catch (error) {
    if (error instanceof Problem && error.code === 'clusters.spec-invalid') return error.errors[0]!.detail;
    throw error;
  }
  return 'taken';
}

describe('the filters of a prune', () => {
  it('mean everything where there are none', () => {
    for (const filters of [null, {}, { label: [], until: [] } as Record<string, string[]>]) expect(read(filters).matches(made(null))).toBe(true);
  });

  it('want every label, and spare what has every label!', () => {
    const wanted = read({ label: ['a', 'b=1'] });
    expect([{ a: '', b: '1' }, { a: 'x', b: '1', c: '' }, { a: '', b: '2' }, { b: '1' }, {}].map((labels) => wanted.matches(made(null, labels as Record<string, string>)))).toEqual([true, true, false, false, false]);
    const spared = read({ 'label!': ['keep', 'tier=1'] });
    // As engines have it: `docker container prune --filter label!=keep --filter label!=tier=1` spares what has both.
    expect([{ keep: '', tier: '1' }, { keep: '' }, { tier: '2' }, {}].map((labels) => spared.matches(made(null, labels as Record<string, string>)))).toEqual([false, true, true, true]);
    expect(read({ label: ['constructor'] }).matches(made(null))).toBe(false);
  });

  it('take durations, seconds and times with a zone for until', () => {
    const before = (until: string): boolean[] => ['2026-03-01T11:00:00Z', '2026-03-01T11:50:00Z', '2026-03-01T11:59:59Z'].map((at) => read({ until: [until] }).matches(made(at)));
    expect(before('30m')).toEqual([true, false, false]);
    expect(before('1h30m')).toEqual([false, false, false]);
    expect(before('0.1h')).toEqual([true, true, false]);
    expect(before('2026-03-01T12:55:00+01:00')).toEqual([true, true, false]);
    expect(before(String(now.getTime() / 1000 - 60))).toEqual([true, true, false]);
    expect(read({ until: ['1s'] }).matches(made(null))).toBe(false);
  });

  it('are refused where they are not understood', () => {
    expect(refused({ until: ['1h', '2h'] })).toContain('more than one');
    for (const until of ['', 'yesterday', '2026-03-01', '2026-03-01T12:00:00', '1d', '-1h', '1h ', '99999999999999999999']) expect([until, refused({ until: [until] })]).toEqual([until, expect.stringContaining('until')]);
    for (const name of ['dangling', 'id', 'Label', 'constructor']) expect(refused({ [name]: ['x'] })).toBe(`invalid filter '${name}'`);
    expect(refused({ until: ['1h'] }, 'volume')).toContain('invalid filter');
    expect(refused({ all: ['1'] })).toContain('invalid filter');
    expect(refused({ all: ['1'] }, 'volume', true)).toContain('invalid filter');
    expect(refused({ all: ['yes'] }, 'volume', false)).toContain('all');
  });

  it('mean nameless volumes alone from API 1.42 on, unless all', () => {
    expect([read(null, 'volume', true).all, read(null, 'volume', false).all, read({ all: ['1'] }, 'volume', false).all, read({ all: ['0'] }, 'volume', false).all]).toEqual([true, false, true, false]);
  });
});
