import { dnKey } from './dn';
import type { Roster } from './reader';
import type { ClosedReason, DirectoryEntry } from './source';

/** An account of the directory's as it is here. */
export interface KnownPerson {
  accountId: string;
  externalId: string;
  name: string;
  displayName: string | null;
  mail: string | null;
  active: boolean;
  /** Where the directory had it last; null when nobody has noted that yet. */
  dn: string | null;
  username: string | null;
  /** Closed because of the directory, not by hand. */
  left: boolean;
}

/** What a synchronisation changes in accounts, in the order in which it does: who leaves comes first. */
export interface PeopleChanges {
  leave: { person: KnownPerson; reason: ClosedReason | 'not-found' }[];
  comeBack: { person: KnownPerson; entry: DirectoryEntry }[];
  /** Another DN or user name: the same account. */
  rename: { person: KnownPerson; entry: DirectoryEntry }[];
  /** Another name for people to read, or mail address. */
  profile: { person: KnownPerson; entry: DirectoryEntry }[];
  /** Seen for the first time where they are; nothing to tell. */
  note: { person: KnownPerson; entry: DirectoryEntry }[];
  create: DirectoryEntry[];
}

/** Compares the accounts here with the people there. */
export function compareAccounts(known: KnownPerson[], roster: Roster, createOnSync: boolean): PeopleChanges {
  const changes: PeopleChanges = { leave: [], comeBack: [], rename: [], profile: [], note: [], create: [] };
  const have = new Set<string>();
  for (const person of known) {
    have.add(person.externalId);
    const entry = roster.people.get(person.externalId);
    if (!entry || entry.closed) {
      if (person.active) changes.leave.push({ person, reason: entry?.closed ?? 'not-found' });
      continue;
    }
    const moved = person.dn !== null && person.dn !== '' && (dnKey(person.dn) !== dnKey(entry.dn) || person.username !== entry.username);
    if (!person.active && person.left) changes.comeBack.push({ person, entry });
    else if (moved) changes.rename.push({ person, entry });
    else if (person.dn === null) changes.note.push({ person, entry });
    if (person.displayName !== entry.displayName || person.mail !== entry.mail) changes.profile.push({ person, entry });
  }
  if (createOnSync) for (const entry of roster.people.values()) if (!have.has(entry.externalId) && !entry.closed) changes.create.push(entry);
  return changes;
}

/**
 * Whether the answer is too little to act on: nobody at all where several people have accounts. It is far more often a reader account that lost its
 * rights than a company that lost its people.
 */
export function isEmptyAnswer(known: KnownPerson[], roster: Roster): boolean {
  return roster.people.size === 0 && known.filter((person) => person.active).length > 1;
}

/** What one team would lose: of `members`, these. */
export interface Loss {
  id: string;
  members: number;
  removals: readonly string[];
}

/**
 * The ids of what loses too much at once: more than the share of its members, or, where all together lose more than the share, every one that loses
 * somebody. One removal alone is never too much.
 */
export function judgeLosses(losses: readonly Loss[], sharePercent: number): Set<string> {
  const tooMuch = (removed: number, members: number): boolean => removed > 1 && removed * 100 > members * sharePercent;
  const removed = losses.reduce((sum, loss) => sum + loss.removals.length, 0);
  const members = losses.reduce((sum, loss) => sum + loss.members, 0);
  const all = tooMuch(removed, members);
  return new Set(losses.filter((loss) => loss.removals.length > 0 && (all || tooMuch(loss.removals.length, loss.members))).map((loss) => loss.id));
}
