import { findProcess, identify, isAlive, parseStat } from './proc';

const line = (comm: string, state = 'S'): string => `4711 (${comm}) ${state} 1 4700 4690 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 123456 99 1 18446744073709551615`;

describe('parseStat', () => {
  it('reads the fields that name a process', () => {
    expect(parseStat(line('dockerd'))).toEqual({ pid: 4711, comm: 'dockerd', state: 'S', parentPid: 1, group: 4700, session: 4690, startTime: '123456' });
  });

  it('is not misled by a command name with brackets and spaces', () => {
    expect(parseStat(line('evil) R 1 (x'))).toMatchObject({ comm: 'evil) R 1 (x', state: 'S', startTime: '123456' });
  });

  it.each(['', '4711', '4711 (x', '4711 (x) S 1 2 3', `x${line('a')}`])('refuses %j', (text) => {
    expect(parseStat(text)).toBeNull();
  });
});

describe('isAlive', () => {
  it('knows this process and tells it from another with its pid', () => {
    const me = identify(process.pid);
    expect(me).not.toBeNull();
    if (me === null) return;
    expect(isAlive(me)).toBe(true);
    expect(isAlive({ ...me, startTime: '1' })).toBe(false);
    expect(isAlive({ ...me, bootId: '00000000-0000-0000-0000-000000000000' })).toBe(false);
    expect(findProcess(process.pid)?.parentPid).toBe(process.ppid);
  });
});
