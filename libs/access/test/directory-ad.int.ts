import { Attribute, Change } from 'ldapts';
import { testContext } from '@gantry/platform/testing';
import { makeWorld, visitor, type World } from '../testing/directory-world';
import { canRunSamba, startSamba, type DomainGroup, type DomainPerson, type Samba } from '../testing/samba';

const ctx = testContext();
const people: DomainPerson[] = [
  ...Array.from({ length: 1600 }, (_, index) => ({ name: `user${String(index).padStart(5, '0')}`, cn: index % 4 === 0 ? `Müller, "J" ${index} (Ops)` : `User ${index}`, password: index < 6 })),
  { name: 'disabled1', cn: 'Disabled One', userAccountControl: 514 },
  { name: 'expired1', cn: 'Expired One', accountExpires: '132223104000000000' },
  { name: 'soon', cn: 'Not Expired', accountExpires: '158223104000000000' },
];
const groups: DomainGroup[] = [
  { name: 'top', people: [0], groups: [1, 2] },
  { name: 'left', people: [1, 2, 1600, 1601, 1602], groups: [3] },
  { name: 'right', people: [3], groups: [0] },
  { name: 'deep', people: [4, 8, 12], groups: [3, 1] },
  { name: 'everybody', people: Array.from({ length: 1600 }, (_, index) => index), groups: [] },
];
const usable = [0, 1, 2, 3, 4, 8, 12, 1602].map((index) => people[index]!.name).sort();

if (!canRunSamba()) throw new Error('samba is missing, or this is not root: run the tests with `npm test` as root, which installs Debian’s samba-ad-dc and samba-ad-provision.');

describe('an Active Directory domain', () => {
  let samba: Samba;
  let world: World;
  beforeAll(async () => {
    samba = await startSamba({ people, groups });
    world = await makeWorld({ settings: samba.settings }, { peopleBase: samba.peopleBase });
  }, 300_000);
  afterAll(async () => {
    await world?.close();
    await samba?.close();
  });
  const control = (index: number, value: number): Promise<void> =>
    samba.asAdmin((client) =>
      client.modify(dnOf(index), new Change({ operation: 'replace', modification: new Attribute({ type: 'userAccountControl', values: [String(value)] }) })));
  const dnOf = (index: number): string => `CN=${people[index]!.cn.replace(/[",]/g, (char) => `\\${char}`)},${samba.peopleBase}`;
  const follow = (team: string, index: number, nested: boolean): Promise<void> => world.follow(team, { kind: 'group', groupDn: samba.groupDn(index), memberAttribute: 'member', nested });

  it('comes over whole: groups in groups by its own rule, large ones in ranges, without who is disabled or has expired', async () => {
    await world.configure({ usernameAttribute: 'sAMAccountName', filter: '(objectClass=user)' });
    await follow('top', 0, true);
    await follow('direct', 1, false);
    await follow('everybody', 4, false);
    const run = await world.sync();
    expect(run).toMatchObject({ state: 'succeeded', counts: { people: 1603, created: 1601, warnings: 0 } });
    expect(await world.members('top')).toEqual(usable);
    expect(await world.members('direct')).toEqual(['soon', 'user00001', 'user00002']);
    expect(await world.members('everybody')).toHaveLength(1600);
    expect((await world.stack.accounts.get(ctx, 'user00000')).externalId).toMatch(/^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/);

    const before = await world.state();
    expect((await world.sync()).counts).toMatchObject({ created: 0, membersAdded: 0, membersRemoved: 0, updated: 0, renamed: 0 });
    // Walking from group to group finds the same, and so does a search from the root, which points to partitions elsewhere.
    await world.configure({ usernameAttribute: 'sAMAccountName', filter: '(&(objectClass=user)(mail=*))', nestedGroups: 'walk', searchBase: samba.base });
    expect((await world.sync()).counts).toMatchObject({ people: 1603, created: 0, membersAdded: 0, membersRemoved: 0, warnings: 0 });
    expect(await world.state()).toEqual(before);
  });

  it('ends what somebody holds when they are disabled, at the sign-in and at the synchronisation, and follows who is renamed', async () => {
    const second = await makeWorld({ settings: samba.settings }, { peopleBase: samba.peopleBase });
    try {
      const signIn = (index: number): Promise<{ token: string }> => second.stack.sessions.signIn(visitor(), { username: people[index]!.name, password: samba.password });
      const matchGroup = { groupDn: samba.groupDn(0), memberAttribute: 'member', nested: true };
      await second.configure({
        createOnSync: false,
        userSearches: [{ searchBase: samba.peopleBase, scope: 'sub', usernameAttribute: 'sAMAccountName', fullNameAttribute: 'displayName', filter: null, matchGroup }],
      });
      await second.follow('top', { kind: 'group', ...matchGroup });
      const [first, other] = [await signIn(1), await signIn(2), await signIn(3)];
      await expect(signIn(5)).rejects.toMatchObject({ code: 'access.wrong-credentials' });
      expect((await second.sync()).counts).toMatchObject({ people: 10, membersAdded: 3 });
      await control(1, 514);
      await expect(signIn(1)).rejects.toMatchObject({ code: 'access.wrong-credentials' });
      expect(await second.stack.authenticator.bearer(visitor(), first.token)).toBeNull();
      await control(2, 514);
      expect((await second.sync()).counts).toMatchObject({ people: 10, deactivated: 1, membersRemoved: 2 });
      expect(await second.stack.authenticator.bearer(visitor(), other.token)).toBeNull();

      await control(1, 512);
      await samba.asAdmin((client) => client.modifyDN(dnOf(3), 'CN=Another Name'));
      expect((await second.sync()).counts).toMatchObject({ returned: 1, deactivated: 0, renamed: 1, membersAdded: 1, membersRemoved: 0 });
      expect((await signIn(1)).token).not.toBe('');
      expect(await second.members('top')).toEqual([people[1]!.name, people[3]!.name]);
    } finally {
      await second.close();
    }
  });
});
