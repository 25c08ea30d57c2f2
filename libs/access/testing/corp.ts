import { uuidv7 } from '@gantry/platform';

/** A company's directory as a model: who is in which group, before any server has seen it. */
export interface Corp {
  /** Loads it below `base`: people in `ou=staff`, groups in `ou=groups`. */
  ldif: string;
  people: { uid: string; dn: string; id: string }[];
  groups: { name: string; dn: string; id: string; people: number[]; groups: number[] }[];
  peopleBase: string;
  groupsBase: string;
  /** Sign-in names of everybody who is in a group: directly, or through groups in it to any depth. */
  membersOf(group: number, nested: boolean): Set<string>;
}

/** Name of a person: some have characters that mean something in DNs. */
function oddName(index: number): string {
  const odd = [`Smith, John ${index}`, `Jürgen "Größe" ${index}`, `A+B=C #${index}`, `Back\\slash ${index}`, `O'Brien; <x> ${index}`, `日本 ${index}`];
  return index % 10 < odd.length ? odd[index % 10]! : `Person ${index}`;
}

function escape(value: string): string {
  return [...Buffer.from(value)].map((byte) => (/[A-Za-z0-9 ]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `\\${byte.toString(16).padStart(2, '0')}`)).join('');
}

/**
 * Makes a company: `users` people, half of them with odd DNs, and `groups` groups in a tree (each has two below it) with some cycles, a group that
 * contains itself, and with `everybody` one of all people at the end.
 */
export function makeCorp(options: { base: string; users: number; groups: number; everybody?: boolean; password?: string }): Corp {
  const { base, users, groups, everybody = false, password } = options;
  const peopleBase = `ou=staff,${base}`;
  const groupsBase = `ou=groups,${base}`;
  const people = Array.from({ length: users }, (_, index) => {
    const uid = `u${String(index).padStart(5, '0')}`;
    const cn = oddName(index);
    return { uid, cn, dn: `${index % 2 === 0 ? `cn=${escape(cn)}` : `uid=${uid}`},${peopleBase}`, id: uuidv7() };
  });
  const all = Array.from({ length: groups }, (_, index) => {
    const name = `group ${index}`;
    const own = Array.from({ length: Math.ceil(users / groups) + (index % 7) }, (_none, n) => (index * 37 + n * 11) % users);
    const below = [index * 2 + 1, index * 2 + 2].filter((child) => child < groups);
    // Back to the top from every tenth, and one that contains itself.
    if (index % 10 === 9) below.push(0);
    if (index === 3) below.push(3);
    return { name, dn: `cn=${escape(name)},${groupsBase}`, id: uuidv7(), people: [...new Set(own)], groups: below };
  });
  if (everybody) all.push({ name: 'everybody', dn: `cn=everybody,${groupsBase}`, id: uuidv7(), people: people.map((_, index) => index), groups: [] });
  const line = (name: string, value: string): string => `${name}:: ${Buffer.from(value).toString('base64')}`;
  const record = (dn: string, attributes: [string, string][]): string => [line('dn', dn), ...attributes.map(([name, value]) => line(name, value))].join('\n');
  const unit = (name: string): string => record(`ou=${name},${base}`, [['objectClass', 'organizationalUnit'], ['ou', name]]);
  const ldif = [
    unit('staff'), unit('groups'),
    ...people.map(({ uid, cn, dn, id }) =>
      record(dn, [
        ['objectClass', 'inetOrgPerson'], ['objectClass', 'adLike'], ['objectClass', 'shadowAccount'], ['uid', uid], ['cn', cn], ['sn', cn], ['mail', `${uid}@corp.test`], ['entryUUID', id],
        ...(password === undefined ? [] : [['userPassword', password] as [string, string]]),
      ])),
    ...all.map((group) =>
      record(group.dn, [
        ['objectClass', 'groupOfNames'], ['cn', group.name], ['entryUUID', group.id], ...group.people.map((index) => ['member', people[index]!.dn] as [string, string]),
        ...group.groups.map((index) => ['member', all[index]!.dn] as [string, string]),
      ])),
  ].join('\n\n');
  return {
    ldif: `${ldif}\n`, people, groups: all, peopleBase, groupsBase,
    membersOf: (group, nested) => {
      const names = new Set<string>();
      const seen = new Set<number>();
      const visit = (index: number): void => {
        if (seen.has(index)) return;
        seen.add(index);
        for (const person of all[index]!.people) names.add(people[person]!.uid);
        if (nested) for (const child of all[index]!.groups) visit(child);
      };
      visit(group);
      return names;
    },
  };
}
