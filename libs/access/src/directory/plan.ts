import { parseSchedule } from './cron';
import { depthBelow, parseDn } from './dn';
import { checkSettings, isAttributeName, parseFilter, type DirectorySettings } from './settings';

/** A further directory server, asked for everything whose base lies in its domain. */
export interface DirectoryDomain {
  /** DN that the server is responsible for, for example `dc=eu,dc=corp,dc=com`. */
  domain: string;
  url: string;
  startTls: boolean;
  caPem: string | null;
  bindDn: string;
}

/** Membership of one group. */
export interface GroupMatch {
  groupDn: string;
  /** `member` (DNs) by default; the values of `memberUid` are taken as user names. */
  memberAttribute: string;
  /** Also the members of groups in it, to any depth. */
  nested: boolean;
}

/** One of the ordered searches that find people. On a collision of names the earlier search wins. */
export interface UserSearch {
  searchBase: string;
  scope: 'sub' | 'one';
  usernameAttribute: string;
  fullNameAttribute: string | null;
  filter: string | null;
  /** Only people in this group count. */
  matchGroup: GroupMatch | null;
}

/** Whom a team, an organization's administrators or the system's administrators are made of: a group's members, or whom a search finds. */
export type MemberSelection = ({ kind: 'group' } & GroupMatch) | { kind: 'search'; searchBase: string; scope: 'sub' | 'one'; filter: string };

/** How people and groups are brought over, beyond the one server and search of `DirectorySettings`. */
export interface SyncSettings {
  domains: DirectoryDomain[];
  /** Empty: the one search that `searchBase`, `usernameAttribute` and `filter` of the default server make. */
  userSearches: UserSearch[];
  /** Ask for results page by page (RFC 2696). */
  paging: boolean;
  /** Members of nested groups by Active Directory's matching rule, or by walking; `auto` asks the server what it is. */
  nestedGroups: 'auto' | 'matching-rule' | 'walk';
  /** Who is system administrator among the directory's people; null: that is decided here. */
  adminSync: MemberSelection | null;
  /** Five cron fields in UTC; null: only on demand. */
  schedule: string | null;
  /** Make an account at the first sign-in. */
  jitProvisioning: boolean;
  /** Make accounts for everybody who is found, at a synchronisation. */
  createOnSync: boolean;
  /** Removals of more than this share of a team's or organization's memberships are held. */
  safetySharePercent: number;
  /** How long removals are held. */
  holdHours: number;
}

/** What holds until it is set otherwise. */
export const defaultSyncSettings: SyncSettings = {
  domains: [], userSearches: [], paging: true, nestedGroups: 'auto', adminSync: null, schedule: null, jitProvisioning: true, createOnSync: false, safetySharePercent: 50, holdHours: 72,
};

/** One search on the server that is responsible for its base. */
export interface PlannedSearch {
  settings: DirectorySettings;
  matchGroup: GroupMatch | null;
}

/** Settings with their secrets, ready for use. */
export interface DirectoryPlan {
  searches: PlannedSearch[];
  sync: SyncSettings;
  /** The server that is responsible for a DN: the domain that is its longest suffix, else the default server. Its search base is that DN. */
  serverFor(dn: string): DirectorySettings;
}

/** Puts servers and searches together. `passwords` are the readers' of `sync.domains`, in order. */
export function makePlan(main: DirectorySettings, sync: SyncSettings, passwords: string[]): DirectoryPlan {
  const serverFor = (dn: string): DirectorySettings => {
    let longest = 0;
    let chosen = -1;
    sync.domains.forEach(({ domain }, index) => {
      const depth = depthBelow(dn, domain);
      if (depth > longest) [longest, chosen] = [depth, index];
    });
    const server = sync.domains[chosen];
    if (!server) return { ...main, searchBase: dn };
    const { domain: _domain, ...place } = server;
    return { ...main, ...place, bindPassword: passwords[chosen] ?? '', searchBase: dn };
  };
  const searches = sync.userSearches.map(({ searchBase, matchGroup, ...search }) => ({ settings: { ...serverFor(searchBase), ...search }, matchGroup }));
  return { searches: searches.length > 0 ? searches : [{ settings: main, matchGroup: null }], sync, serverFor };
}

/** Something wrong in settings: where (JSON pointer), and what. */
export interface SettingsFault {
  pointer: string;
  detail: string;
}

/** What is wrong in the settings of searches, servers and synchronisation; empty when they can work. Nothing is sent. */
export function findSettingsFaults(plan: DirectoryPlan, main: DirectorySettings): SettingsFault[] {
  const { sync } = plan;
  const faults: SettingsFault[] = [];
  const attempt = (pointer: string, work: () => void): void => {
    try {
      work();
    } catch (error) {
      faults.push({ pointer, detail: (error as { detail?: string }).detail ?? (error as Error).message });
    }
  };
  const dn = (pointer: string, text: string): void => {
    const names = parseDn(text);
    if (names === null || names.length === 0) faults.push({ pointer, detail: 'not a DN' });
  };
  attempt('', () => checkSettings({ ...main, filter: null }));
  if (main.filter !== null) attempt('/filter', () => void parseFilter(main.filter!));
  const seen = new Set<string>();
  sync.domains.forEach((domain, index) => {
    const pointer = `/domains/${index}`;
    dn(`${pointer}/domain`, domain.domain);
    const key = JSON.stringify(parseDn(domain.domain.toLowerCase()));
    if (seen.has(key)) faults.push({ pointer: `${pointer}/domain`, detail: 'there is another server for this domain' });
    seen.add(key);
    attempt(pointer, () => checkSettings({ ...plan.serverFor(domain.domain), filter: null }));
  });
  sync.userSearches.forEach((search, index) => {
    const pointer = `/userSearches/${index}`;
    dn(`${pointer}/searchBase`, search.searchBase);
    if (search.filter !== null) attempt(`${pointer}/filter`, () => void parseFilter(search.filter!));
    attempt(pointer, () => checkSettings({ ...plan.searches[index]!.settings, filter: null }));
    if (search.matchGroup) faults.push(...findSelectionFaults({ kind: 'group', ...search.matchGroup }, `${pointer}/matchGroup`));
  });
  if (sync.adminSync) faults.push(...findSelectionFaults(sync.adminSync, '/adminSync'));
  if (sync.schedule !== null) {
    const schedule = parseSchedule(sync.schedule);
    if ('fault' in schedule) faults.push({ pointer: '/schedule', detail: schedule.fault });
  }
  if (!(sync.safetySharePercent >= 1 && sync.safetySharePercent <= 100)) faults.push({ pointer: '/safetySharePercent', detail: '1 to 100' });
  if (!(sync.holdHours >= 1 && sync.holdHours <= 8_760)) faults.push({ pointer: '/holdHours', detail: '1 to 8760' });
  return faults;
}

/** What is wrong in a selection of members; `pointer` is where it stands. */
export function findSelectionFaults(selection: MemberSelection, pointer = ''): SettingsFault[] {
  const faults: SettingsFault[] = [];
  const base = selection.kind === 'group' ? selection.groupDn : selection.searchBase;
  if ((parseDn(base)?.length ?? 0) === 0) faults.push({ pointer: `${pointer}/${selection.kind === 'group' ? 'groupDn' : 'searchBase'}`, detail: 'not a DN' });
  if (selection.kind === 'group' && !isAttributeName(selection.memberAttribute)) faults.push({ pointer: `${pointer}/memberAttribute`, detail: 'not an attribute’s name' });
  if (selection.kind === 'search') {
    try {
      parseFilter(selection.filter);
    } catch (error) {
      faults.push({ pointer: `${pointer}/filter`, detail: (error as { detail?: string }).detail ?? '' });
    }
  }
  return faults;
}
