import fc from 'fast-check';
import { compareAccounts, isEmptyAnswer, judgeLosses, type KnownPerson, type Loss } from './changes';
import type { Roster } from './reader';
import type { DirectoryEntry } from './source';

const entry = (id: string, changes: Partial<DirectoryEntry> = {}): DirectoryEntry => ({ externalId: id, dn: `uid=${id},dc=x`, username: id, displayName: id, mail: null, ...changes });
const person = (id: string, changes: Partial<KnownPerson> = {}): KnownPerson => ({
  accountId: `a-${id}`, externalId: id, name: id, displayName: id, mail: null, active: true, dn: `uid=${id},dc=x`, username: id, left: false, ...changes,
});
const roster = (...entries: DirectoryEntry[]): Roster => ({ people: new Map(entries.map((item) => [item.externalId, item])), byDn: new Map(), byName: new Map(), warnings: [] });
const none = { leave: [], comeBack: [], rename: [], profile: [], note: [], create: [] };

describe('comparing accounts with the directory', () => {
  it('finds nothing to do where nothing changed, however DNs are spelled', () => {
    expect(compareAccounts([person('a', { dn: 'UID=a, DC=x' })], roster(entry('a')), true)).toEqual(none);
  });

  it('ends accounts of people who are gone, disabled or expired', () => {
    const changes = compareAccounts([person('a'), person('b'), person('c'), person('d', { active: false })], roster(entry('b', { closed: 'disabled' }), entry('c', { closed: 'expired' })), true);
    expect(changes.leave.map(({ person: who, reason }) => [who.name, reason])).toEqual([['a', 'not-found'], ['b', 'disabled'], ['c', 'expired']]);
    expect(changes.create).toEqual([]);
  });

  it('opens again what the directory closed, not what somebody closed by hand', () => {
    const changes = compareAccounts([person('a', { active: false, left: true }), person('b', { active: false })], roster(entry('a'), entry('b')), true);
    expect(changes).toEqual({ ...none, comeBack: [expect.objectContaining({ entry: entry('a') })] });
  });

  it('follows another DN and another user name, takes over names and mail, notes who is new, and makes whom it lacks', () => {
    const changes = compareAccounts(
      [person('a'), person('b'), person('c', { displayName: 'old' }), person('d', { dn: null, username: null })],
      roster(entry('a', { dn: 'uid=a,ou=moved,dc=x' }), entry('b', { username: 'bb' }), entry('c'), entry('d'), entry('e'), entry('f', { closed: 'disabled' })), true);
    expect([changes.rename, changes.profile, changes.note].map((list) => list.map(({ person: who }) => who.name))).toEqual([['a', 'b'], ['c'], ['d']]);
    expect(changes.create).toEqual([entry('e')]);
    expect(compareAccounts([], roster(entry('e')), false)).toEqual(none);
  });

  it('takes an empty answer for a mistake, unless it concerns one person', () => {
    expect(isEmptyAnswer([person('a'), person('b')], roster())).toBe(true);
    expect(isEmptyAnswer([person('a'), person('b', { active: false })], roster())).toBe(false);
    expect(isEmptyAnswer([person('a'), person('b')], roster(entry('z')))).toBe(false);
  });
});

describe('the safety stop', () => {
  const loss = (id: string, members: number, removed: number): Loss => ({ id, members, removals: Array.from({ length: removed }, (_, n) => `${id}${n}`) });

  it('holds a team that loses more than the share, and all where all together do', () => {
    expect([...judgeLosses([loss('a', 10, 5), loss('b', 10, 0)], 50)]).toEqual([]);
    expect([...judgeLosses([loss('a', 10, 6), loss('b', 10, 1), loss('c', 10, 0)], 50)]).toEqual(['a']);
    expect([...judgeLosses([loss('a', 4, 4), loss('b', 10, 4), loss('c', 1, 0)], 50)]).toEqual(['a', 'b']);
    expect([...judgeLosses([loss('a', 1, 1)], 50)]).toEqual([]);
    expect([...judgeLosses([loss('a', 3, 3)], 100)]).toEqual([]);
  });

  it('does not hold later what it let pass before: a run that was cut short ends the same', () => {
    const losses = fc.array(fc.tuple(fc.nat(20), fc.nat(20)), { minLength: 1, maxLength: 6 }).map((pairs) => pairs.map(([kept, removed], index) => loss(`t${index}`, kept + removed, removed)));
    fc.assert(
      fc.property(losses, fc.integer({ min: 1, max: 100 }), fc.nat(6), (all, share, done) => {
        const held = judgeLosses(all, share);
        const rest = all.map((one, index) => (index < done && !held.has(one.id) ? { ...one, members: one.members - one.removals.length, removals: [] } : one)).map((one) => (held.has(one.id) ? { ...one, removals: [] } : one));
        expect([...judgeLosses(rest, share)]).toEqual([]);
      }),
    );
  });
});
