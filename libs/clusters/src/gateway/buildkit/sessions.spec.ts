import { BuildSessions, sessionMethods, type BuildSession } from './sessions';

const key = (id: string, accountId = 'ann', clusterId = 'c'): { id: string; accountId: string; clusterId: string } => ({ id, accountId, clusterId });
const session = (): BuildSession & { ends: number } => ({ sharedKey: '', isOver: false, ends: 0, fetch: () => Promise.reject(new Error('no')), open: () => Promise.reject(new Error('no')), end() { this.ends += 1; } });
const refusalOf = (work: Promise<unknown>): Promise<unknown> => work.then(() => null, (error: unknown) => error);
const never = new AbortController().signal;

describe('sessions of BuildKit', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('are found by who opened them, where they opened them', async () => {
    const sessions = new BuildSessions();
    const own = session();
    sessions.keep(key('s'), own);
    expect((await sessions.take(key('s'), never)).session).toBe(own);
    for (const other of [key('s', 'bob'), key('s', 'ann', 'd'), key('t')]) {
      const asked = refusalOf(sessions.take(other, never));
      await jest.advanceTimersByTimeAsync(5_001);
      expect(await asked).toMatchObject({ code: 'clusters.no-such-object' });
    }
  });

  it('are waited for, for a moment', async () => {
    const sessions = new BuildSessions();
    const own = session();
    const asked = sessions.take(key('s'), never);
    sessions.keep(key('s'), own);
    expect((await asked).session).toBe(own);
    const gone = new AbortController();
    const other = refusalOf(sessions.take(key('t'), gone.signal));
    gone.abort();
    expect(await other).toMatchObject({ code: 'clusters.no-such-object' });
  });

  it('end where nothing is built for long, and not while something is', async () => {
    const sessions = new BuildSessions();
    const own = session();
    sessions.keep(key('s'), own);
    const { done } = await sessions.take(key('s'), never);
    jest.advanceTimersByTime(1_000_000);
    expect(own.ends).toBe(0);
    done();
    done();
    jest.advanceTimersByTime(119_000);
    expect(own.ends).toBe(0);
    jest.advanceTimersByTime(2_000);
    expect(own.ends).toBe(1);
  });

  it('end soon where the build was refused, before they came or after', () => {
    const sessions = new BuildSessions();
    const [early, late, other] = [session(), session(), session()];
    sessions.keep(key('early'), early);
    sessions.keep(key('other'), other);
    for (const id of ['early', 'late']) sessions.refuse(key(id));
    sessions.keep(key('late'), late);
    jest.advanceTimersByTime(1_001);
    expect([early.ends, late.ends, other.ends]).toEqual([1, 1, 0]);
  });

  it('have one name each, and an end to their number', () => {
    const sessions = new BuildSessions();
    const releases = Array.from({ length: 16 }, (_each, index) => sessions.keep(key(`s${index}`), session()));
    expect(() => sessions.check(key('s0'))).toThrow(expect.objectContaining({ code: 'clusters.name-claimed' }));
    expect(() => sessions.check(key('more'))).toThrow(expect.objectContaining({ code: 'clusters.call-forbidden' }));
    sessions.check(key('more', 'bob'));
    releases[0]!();
    releases[0]!();
    sessions.check(key('more'));
    sessions.keep(key('more'), session());
    expect(() => sessions.check(key('s0'))).toThrow(expect.objectContaining({ code: 'clusters.call-forbidden' }));
    for (const id of ['', 'a b', 'a, b', 'x'.repeat(65), '../x']) expect(() => sessions.check(key(id, 'bob'))).toThrow(expect.objectContaining({ code: 'clusters.spec-invalid' }));
  });

  it('never show the engine a person’s credentials', () => {
    for (const method of [...sessionMethods(true), ...sessionMethods(false)]) expect(method).not.toMatch(/Auth/);
    expect(sessionMethods(false).has('/moby.filesync.v1.FileSend/DiffCopy')).toBe(false);
  });
});
