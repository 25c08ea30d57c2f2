import { Problem } from '@gantry/platform';
import { accessProblem } from '../problems';
import { LdaptsSource } from './ldapts-source';
import { identityOf, mayAsk } from './rules';
import type { DirectoryPlan } from './plan';
import { DirectoryReader, type Standing } from './reader';
import { Budget, Session, valuesOf } from './session';
import { checkSettings, everybodyFilter, type DirectorySettings } from './settings';
import type { IdentitySource, SignInOutcome } from './source';

export { LdaptsSource } from './ldapts-source';
export type { DirectorySettings } from './settings';
export { parseSchedule, type Schedule } from './cron';
export { dnKey } from './dn';
export {
  defaultSyncSettings, findSelectionFaults, findSettingsFaults, makePlan, type DirectoryDomain, type DirectoryPlan, type GroupMatch, type MemberSelection, type SettingsFault, type SyncSettings,
  type UserSearch,
} from './plan';
export { DirectoryReader, type Roster, type Selected, type Standing } from './reader';
export { IdentitySource, type ClosedReason, type DirectoryEntry, type RefusalReason, type SignInOutcome } from './source';

/** What a test of settings found. `entries` counts those who could sign in, up to 10,000. */
export type DirectoryTest = { ok: true; entries: number } | { ok: false; code: string; detail: string };

const countLimit = 10_000;

let loaded: Promise<IdentitySource> | null = null;

/** The passport strategy and what it stands on, loaded at the first sign-in through it: most processes never need them. */
function passport(): Promise<IdentitySource> {
  loaded ??= import('./passport-source.js').then(({ PassportSource }) => new PassportSource());
  return loaded;
}

/** The way to an LDAP directory. Keeps nothing: every call opens its own connections and closes them. */
export class DirectoryClient {
  private readonly ldapts: IdentitySource = new LdaptsSource();

  /**
   * Asks the directory whether the name and the password belong together. Names with control characters or longer than 256 characters
   * and empty passwords are refused without asking. Throws `access.directory-misconfigured` and `access.directory-unavailable`.
   */
  async authenticate(settings: DirectorySettings, username: string, password: string): Promise<SignInOutcome> {
    checkSettings(settings);
    if (!mayAsk(username, password)) return { ok: false, reason: 'wrong-credentials' };
    return (settings.startTls ? this.ldapts : await passport()).authenticate(settings, username, password);
  }

  /**
   * As `authenticate`, over ordered searches on several servers: the first search that finds the name decides. Refuses closed accounts and people
   * outside the group that the search demands, and says who they are.
   */
  async signIn(plan: DirectoryPlan, username: string, password: string): Promise<SignInOutcome> {
    const [first] = plan.searches;
    if (first && plan.searches.length === 1 && first.matchGroup === null) return refuseClosed(await this.authenticate(first.settings, username, password));
    if (!mayAsk(username, password)) return { ok: false, reason: 'wrong-credentials' };
    for (const { settings } of plan.searches) checkSettings(settings);
    return DirectoryReader.use(plan, async (reader) => {
      const person = await reader.findPerson(username);
      if (person === null) return { ok: false, reason: 'wrong-credentials' };
      if (person.found === 'many') return { ok: false, reason: 'ambiguous' };
      const outcome = refuseClosed(await this.authenticate(person.search.settings, username, password));
      if (!outcome.ok || (await reader.isInScope(person.search, outcome.entry.dn))) return outcome;
      return { ok: false, reason: 'out-of-scope', entry: outcome.entry };
    });
  }

  /** How the directory has a person now. Throws as `authenticate` does. */
  async standingOf(plan: DirectoryPlan, externalId: string): Promise<Standing> {
    return DirectoryReader.use(plan, (reader) => reader.standingOf(externalId));
  }

  /** Connects, signs in as the reader and counts the people whom the settings find; says what is wrong instead of throwing it. */
  async test(target: DirectorySettings | DirectoryPlan): Promise<DirectoryTest> {
    let entries = 0;
    for (const settings of 'searches' in target ? target.searches.map((search) => search.settings) : [target]) {
      const tested = await this.testOne(settings);
      if (!tested.ok) return tested;
      entries += tested.entries;
    }
    return { ok: true, entries };
  }

  private async testOne(settings: DirectorySettings): Promise<DirectoryTest> {
    try {
      checkSettings(settings);
      const entries = await Session.use(settings, new Budget(settings.timeoutSeconds), async (session) => {
        await session.bindReader();
        return session.count(everybodyFilter(settings), countLimit, (entry) => {
          if (identityOf(valuesOf(entry)) !== null) return;
          throw accessProblem('directory-misconfigured', { detail: 'The reader account may read neither entryUUID nor objectGUID.' });
        });
      });
      return { ok: true, entries };
    } catch (error) {
      if (error instanceof Problem) return { ok: false, code: error.code, detail: error.detail };
      throw error;
    }
  }
}

/** A right password does not open an account that the directory has closed. */
function refuseClosed(outcome: SignInOutcome): SignInOutcome {
  return outcome.ok && outcome.entry.closed ? { ok: false, reason: 'account-disabled', entry: outcome.entry } : outcome;
}
