import { Problem } from '@gantry/platform';
import { accessProblem } from '../problems';
import { LdaptsSource } from './ldapts-source';
import { identityOf, mayAsk } from './rules';
import { Budget, Session, valuesOf } from './session';
import { checkSettings, everybodyFilter, type DirectorySettings } from './settings';
import type { IdentitySource, SignInOutcome } from './source';

export { LdaptsSource } from './ldapts-source';
export type { DirectorySettings } from './settings';
export { IdentitySource, type DirectoryEntry, type RefusalReason, type SignInOutcome } from './source';

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

  /** Connects, signs in as the reader and counts the people whom the settings find; says what is wrong instead of throwing it. */
  async test(settings: DirectorySettings): Promise<DirectoryTest> {
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
