import { EqualityFilter, ExtensibleFilter, type Entry, type Filter } from 'ldapts';
import { accessProblem } from '../problems';
import { dnKey, rootOf } from './dn';
import type { DirectoryPlan, GroupMatch, MemberSelection, PlannedSearch } from './plan';
import { identityOf, makeEntry, resultProblem, uuidToGuid } from './rules';
import { Budget, RefusedStep, Session, valuesOf } from './session';
import { and, everybodyFilter, identityFilter, idFilter, parseFilter, wantedAttributes, type DirectorySettings } from './settings';
import type { ClosedReason, DirectoryEntry } from './source';

/** Active Directory says in its root that it is one ([MS-ADTS] §3.1.1.3.4.3). */
const activeDirectoryCapability = '1.2.840.113556.1.4.800';
/** LDAP_MATCHING_RULE_IN_CHAIN ([MS-ADTS] §3.1.1.3.4.4.3). Other servers take it for a filter that matches nothing, without an error. */
const inChainRule = '1.2.840.113556.1.4.1941';
const pageSize = 500;
/** Values of a group to ask Active Directory for at a time; by default it hands out no more. */
const rangeSize = 1_500;
const maxEntries = 1_000_000;
const maxGroups = 20_000;
const atOnce = 8;
const noSuchObject = 32;

/** Everybody whom the user searches find, and how to know them again. */
export interface Roster {
  people: ReadonlyMap<string, DirectoryEntry>;
  /** Ids by what spellings of a DN have in common; null where two people share that. */
  byDn: ReadonlyMap<string, string | null>;
  /** Ids by user name in lower case; the earlier search wins. */
  byName: ReadonlyMap<string, string>;
  /** What an administrator should know: names that two people have, parts that lie on other servers. */
  warnings: string[];
}

/** A group's or search's people, as ids; the group's own id where it has one. */
export interface Selected {
  ids: Set<string>;
  groupId: string | null;
  /** The group's DN as the server has it now: it may have moved. */
  groupDn: string | null;
}

/** What a sign-in finds out about an account besides its password. */
export type Standing = 'present' | ClosedReason | 'not-found';

interface GroupEntry {
  dn: string;
  id: string | null;
  members: string[];
}

/**
 * Reads one directory, which may be several servers, for the length of one piece of work: each server's connection is bound once and never made
 * anew, so that a lost one is an error and not an anonymous view of less. Answers are complete or errors: a referral, a limit, a timeout or a
 * connection that ends in the middle throws `access.directory-unavailable` or `access.directory-misconfigured`.
 */
export class DirectoryReader {
  private readonly sessions = new Map<string, Promise<Session>>();
  private readonly activeDirectory = new Map<Session, Promise<boolean>>();
  private readonly groups = new Map<string, Promise<GroupEntry | null>>();
  /** Keys of DNs, which come again with every group. */
  private readonly keys = new Map<string, string | null>();
  private broken: Error | null = null;

  private constructor(private readonly plan: DirectoryPlan) {}

  /** Runs `work` with a reader and closes its connections. */
  static async use<T>(plan: DirectoryPlan, work: (reader: DirectoryReader) => Promise<T>): Promise<T> {
    const reader = new DirectoryReader(plan);
    try {
      return await work(reader);
    } finally {
      for (const session of reader.sessions.values()) await session.then((open) => open.close()).catch(() => undefined);
    }
  }

  /** Everybody whom the ordered user searches find and whose group matches, disabled people included. */
  async readRoster(): Promise<Roster> {
    const people = new Map<string, DirectoryEntry>();
    const from = new Map<string, number>();
    const warnings: string[] = [];
    for (const [index, search] of this.plan.searches.entries()) {
      const { settings } = search;
      const found = await this.search(settings, settings.searchBase, settings.scope ?? 'sub', everybodyFilter(settings), wantedAttributes(settings));
      // Active Directory's root always points to its own partitions for configuration and names, where nobody is.
      if (found.references > 0 && !(await this.isActiveDirectory(settings))) warnings.push(`${found.references} parts below ${settings.searchBase} lie on other servers, which are not asked.`);
      for (const entry of found.entries) {
        const person = makeEntry(settings, entry.dn, valuesOf(entry));
        if (people.has(person.externalId)) continue;
        people.set(person.externalId, person);
        from.set(person.externalId, index);
      }
    }
    const whole = indexPeople(people, from, []);
    for (const [index, { matchGroup }] of this.plan.searches.entries()) {
      if (matchGroup === null) continue;
      const members = await this.select({ kind: 'group', ...matchGroup }, whole, null);
      if (members === null) throw accessProblem('directory-misconfigured', { detail: `The group ${matchGroup.groupDn}, which people must be in, does not exist.` });
      for (const [id, search] of from) {
        if (search !== index || members.ids.has(id)) continue;
        people.delete(id);
        from.delete(id);
      }
    }
    return indexPeople(people, from, warnings);
  }

  /** The people of a selection, as ids of the roster. Null: there is no such group (any more), nor one of the id `knownId`. */
  async select(selection: MemberSelection, roster: Roster, knownId: string | null): Promise<Selected | null> {
    if (selection.kind === 'search') {
      const settings = this.plan.serverFor(selection.searchBase);
      const { entries } = await this.search(settings, selection.searchBase, selection.scope, parseFilter(selection.filter), ['entryUUID', 'objectGUID']);
      return { ids: keepKnown(entries.map((entry) => identityOf(valuesOf(entry))), roster), groupId: null, groupDn: null };
    }
    const group = await this.findGroup(selection, knownId);
    if (group === null) return null;
    const ids = selection.nested && (await this.hasChainRule(this.plan.serverFor(group.dn)))
      ? await this.membersByRule(group.dn, roster)
      : await this.membersByWalk(selection, group, roster);
    return { ids, groupId: group.id, groupDn: group.dn };
  }

  /** Whether a person is there, may be used, and is in the group that its search demands. */
  async standingOf(externalId: string): Promise<Standing> {
    for (const search of this.plan.searches) {
      const { settings } = search;
      const { entries } = await this.search(
        settings, settings.searchBase, settings.scope ?? 'sub', identityFilter(settings, externalId, uuidToGuid(externalId)), wantedAttributes(settings));
      const [entry] = entries;
      if (entry === undefined) continue;
      // Two searches may find one person; only the group of the second may have them.
      if (!(await this.isInScope(search, entry.dn))) continue;
      return makeEntry(settings, entry.dn, valuesOf(entry)).closed ?? 'present';
    }
    return 'not-found';
  }

  /** The first search that finds somebody of this name, and whom. */
  async findPerson(username: string): Promise<{ search: PlannedSearch; found: DirectoryEntry | 'many' } | null> {
    for (const search of this.plan.searches) {
      const session = await this.session(search.settings);
      const found = await this.step(() => session.findPerson(username, search.settings));
      if (found !== 'none') return { search, found };
    }
    return null;
  }

  /** Whether the person of this DN is in the group that the search demands. Asks from the person upwards: groups may be large. */
  async isInScope({ matchGroup }: PlannedSearch, personDn: string): Promise<boolean> {
    if (matchGroup === null) return true;
    const { groupDn, memberAttribute } = matchGroup;
    const settings = this.plan.serverFor(groupDn);
    if (takesNames(memberAttribute)) {
      const entry = await this.read(this.plan.serverFor(personDn), personDn, [this.plan.serverFor(personDn).usernameAttribute]);
      const names = entry ? valuesOf(entry)(settings.usernameAttribute).text.map((name) => name.toLowerCase()) : [];
      return (await this.group(groupDn, memberAttribute))?.members.some((name) => names.includes(name.toLowerCase())) ?? false;
    }
    if (matchGroup.nested && (await this.hasChainRule(settings))) {
      const filter = new ExtensibleFilter({ matchType: 'memberOf', rule: inChainRule, value: groupDn });
      return (await this.search(this.plan.serverFor(personDn), personDn, 'base', filter, ['objectGUID'])).entries.length > 0;
    }
    const holds = async (dn: string): Promise<boolean> =>
      (await this.search(settings, groupDn, 'base', new EqualityFilter({ attribute: memberAttribute, value: dn }), ['entryUUID'])).entries.length > 0;
    const seen = new Set<string>();
    const queue = [personDn];
    for (let dn = queue.shift(); dn !== undefined; dn = queue.shift()) {
      if (await holds(dn)) return true;
      if (!matchGroup.nested) return false;
      const { entries } = await this.search(settings, rootOf(groupDn), 'sub', new EqualityFilter({ attribute: memberAttribute, value: dn }), ['entryUUID']);
      for (const above of entries) {
        if (seen.has(above.dn)) continue;
        seen.add(above.dn);
        if (seen.size > maxGroups) throw tooMuch(`more than ${maxGroups} groups contain one person`);
        queue.push(above.dn);
      }
    }
    return false;
  }

  /** A group by its DN, or where it has moved to by its id. */
  private async findGroup(match: GroupMatch, knownId: string | null): Promise<GroupEntry | null> {
    const byDn = await this.group(match.groupDn, match.memberAttribute);
    if (byDn !== null && (knownId === null || byDn.id === knownId)) return byDn;
    if (knownId === null) return byDn;
    const root = rootOf(match.groupDn);
    const { entries } = await this.search(this.plan.serverFor(root), root, 'sub', idFilter(knownId, uuidToGuid(knownId)), ['entryUUID', 'objectGUID']);
    const [moved] = entries;
    // A new group that took the name of one that is gone is what the settings name now.
    return moved === undefined ? byDn : this.group(moved.dn, match.memberAttribute);
  }

  private async membersByRule(groupDn: string, roster: Roster): Promise<Set<string>> {
    const ids = new Set<string>();
    const chain = new ExtensibleFilter({ matchType: 'memberOf', rule: inChainRule, value: groupDn });
    for (const { settings } of this.plan.searches) {
      const { entries } = await this.search(settings, settings.searchBase, settings.scope ?? 'sub', and(chain, everybodyFilter(settings)), ['entryUUID', 'objectGUID']);
      for (const id of keepKnown(entries.map((entry) => identityOf(valuesOf(entry))), roster)) ids.add(id);
    }
    return ids;
  }

  private async membersByWalk(match: GroupMatch, group: GroupEntry, roster: Roster): Promise<Set<string>> {
    const ids = new Set<string>();
    if (takesNames(match.memberAttribute)) {
      for (const name of group.members) {
        const id = roster.byName.get(name.toLowerCase());
        if (id !== undefined) ids.add(id);
      }
      return ids;
    }
    const seen = new Set([this.key(group.dn) ?? group.dn]);
    const queue = [...group.members];
    while (queue.length > 0) {
      const unknown: string[] = [];
      for (const dn of queue.splice(0)) {
        const known = this.key(dn);
        const key = known ?? dn;
        if (seen.has(key)) continue;
        seen.add(key);
        const id = roster.byDn.get(key);
        if (typeof id === 'string') ids.add(id);
        // What is nobody's DN may be a group, or a person whose DN two spellings hide: the server knows.
        else if (match.nested || id === null || known === null) unknown.push(dn);
      }
      for (let at = 0; at < unknown.length; at += atOnce) {
        const found = await Promise.all(unknown.slice(at, at + atOnce).map((dn) => this.group(dn, match.memberAttribute)));
        for (const entry of found) {
          if (entry === null) continue;
          if (entry.id !== null && roster.people.has(entry.id)) ids.add(entry.id);
          else if (match.nested) for (const member of entry.members) queue.push(member);
        }
        if (this.groups.size > maxEntries) throw tooMuch(`the group ${match.groupDn} has more than ${maxEntries} members`);
      }
    }
    return ids;
  }

  /** An entry's id and member values, all of them: Active Directory hands out 1,500 at a time, as `member;range=0-1499`. Null: no such entry. */
  private async group(dn: string, memberAttribute: string): Promise<GroupEntry | null> {
    const key = `${memberAttribute.toLowerCase()}\u0000${this.key(dn) ?? dn}`;
    const known = this.groups.get(key);
    if (known) return known;
    const reading = this.readGroup(dn, memberAttribute);
    this.groups.set(key, reading);
    return reading;
  }

  private async readGroup(dn: string, memberAttribute: string): Promise<GroupEntry | null> {
    const settings = this.plan.serverFor(dn);
    const ranged = await this.isActiveDirectory(settings);
    const members: string[] = [];
    let id: string | null = null;
    let name: string | null = null;
    for (let from = 0; ; ) {
      const entry = await this.read(settings, dn, ['entryUUID', 'objectGUID', ranged ? `${memberAttribute};range=${from}-${from + rangeSize - 1}` : memberAttribute]);
      // It was deleted while we read it: as if it had never been there.
      if (entry === null) return null;
      name = entry.dn;
      const attributes = valuesOf(entry);
      id = identityOf(attributes);
      const range = rangeOf(entry, memberAttribute);
      const values = attributes(range?.key ?? memberAttribute).text;
      for (const value of values) members.push(value);
      if (members.length > maxEntries) throw tooMuch(`the group ${dn} has more than ${maxEntries} members`);
      if (range === null || range.last || values.length === 0) return { dn: name, id, members };
      from += values.length;
    }
  }

  private key(dn: string): string | null {
    let key = this.keys.get(dn);
    if (key === undefined) {
      key = dnKey(dn);
      this.keys.set(dn, key);
    }
    return key;
  }

  private async hasChainRule(settings: DirectorySettings): Promise<boolean> {
    const { nestedGroups } = this.plan.sync;
    if (nestedGroups === 'walk') return false;
    const knows = await this.isActiveDirectory(settings);
    if (nestedGroups === 'matching-rule' && !knows) {
      throw accessProblem('directory-misconfigured', { detail: 'The server is not Active Directory and does not know its matching rule for nested groups: set nestedGroups to auto or walk.' });
    }
    return knows;
  }

  private async isActiveDirectory(settings: DirectorySettings): Promise<boolean> {
    const session = await this.session(settings);
    const known = this.activeDirectory.get(session);
    if (known) return known;
    const asking = this.read(settings, '', ['supportedCapabilities']).then((root) => root !== null && valuesOf(root)('supportedCapabilities').text.includes(activeDirectoryCapability));
    this.activeDirectory.set(session, asking);
    return asking;
  }

  private async read(settings: DirectorySettings, dn: string, attributes: string[]): Promise<Entry | null> {
    const session = await this.session(settings);
    try {
      return (await this.step(() => session.search(dn, { scope: 'base', attributes }), true)).entries[0] ?? null;
    } catch (error) {
      if (error instanceof RefusedStep) {
        if (error.code === noSuchObject) return null;
        throw resultProblem(error, error.step);
      }
      throw error;
    }
  }

  private async search(settings: DirectorySettings, base: string, scope: 'base' | 'one' | 'sub', filter: Filter, attributes: string[]): Promise<{ entries: Entry[]; references: number }> {
    const session = await this.session(settings);
    const found = await this.step(() => session.search(base, { scope, filter, attributes, pageSize: this.plan.sync.paging && scope !== 'base' ? pageSize : null }));
    if (found.entries.length > maxEntries) throw tooMuch(`more than ${maxEntries} entries below ${base}`);
    return found;
  }

  private async session(settings: DirectorySettings): Promise<Session> {
    const { url, startTls, caPem, bindDn } = settings;
    const key = JSON.stringify([url, startTls, caPem, bindDn]);
    const known = this.sessions.get(key);
    if (known) return known;
    const opening = this.step(async () => {
      const session = await Session.open(settings, new Budget(settings.timeoutSeconds, Infinity));
      try {
        await session.bindReader();
        return session;
      } catch (error) {
        await session.close();
        throw error;
      }
    });
    this.sessions.set(key, opening);
    return opening;
  }

  /** After anything but the server's own refusal nothing more is asked: what would answer is not the connection that was bound. */
  private async step<T>(work: () => Promise<T>, raw = false): Promise<T> {
    if (this.broken !== null) throw this.broken;
    try {
      return await work();
    } catch (error) {
      if (error instanceof RefusedStep) throw raw ? error : resultProblem(error, error.step);
      this.broken = error instanceof Error ? error : new Error(String(error));
      throw this.broken;
    }
  }
}

function indexPeople(people: Map<string, DirectoryEntry>, from: Map<string, number>, warnings: string[]): Roster {
  const byDn = new Map<string, string | null>();
  const byName = new Map<string, string>();
  const taken: string[] = [];
  for (const [id, person] of people) {
    const key = dnKey(person.dn);
    if (key !== null) byDn.set(key, byDn.has(key) ? null : id);
    const name = person.username.toLowerCase();
    const other = byName.get(name);
    if (other === undefined) byName.set(name, id);
    else taken.push(`${person.dn} has the user name of ${people.get(other)!.dn}${from.get(other) === from.get(id) ? '' : ', which an earlier search found'}.`);
  }
  return { people, byDn, byName, warnings: [...warnings, ...taken] };
}

function keepKnown(ids: (string | null)[], roster: Roster): Set<string> {
  return new Set(ids.filter((id): id is string => id !== null && roster.people.has(id)));
}

/** The attribute of POSIX groups (RFC 2307) holds user names, others DNs. */
function takesNames(memberAttribute: string): boolean {
  return memberAttribute.toLowerCase() === 'memberuid';
}

/** The ranged form in which values came, if they did ([MS-ADTS] §3.1.1.3.1.3.3). */
function rangeOf(entry: Entry, attribute: string): { key: string; last: boolean } | null {
  const prefix = `${attribute.toLowerCase()};range=`;
  const keys = Object.keys(entry).filter((key) => key.toLowerCase().startsWith(prefix));
  // A plain attribute may come beside, empty.
  const key = keys[0];
  return key === undefined ? null : { key, last: key.endsWith('-*') };
}

function tooMuch(what: string): Error {
  return accessProblem('directory-misconfigured', { detail: `This is more than can be read: ${what}.` });
}
