import { judgeUserBind } from './rules';
import { Budget, RefusedStep, Session } from './session';
import { IdentitySource, type DirectoryEntry, type SignInOutcome } from './source';
import type { DirectorySettings } from './settings';

/** Signs in with ldapts over any kind of connection: the reader finds exactly one entry, then a second connection binds as it. */
export class LdaptsSource extends IdentitySource {
  async authenticate(settings: DirectorySettings, username: string, password: string): Promise<SignInOutcome> {
    const budget = new Budget(settings.timeoutSeconds);
    const found = await findPerson(settings, budget, username);
    if (found === 'none') return { ok: false, reason: 'wrong-credentials' };
    if (found === 'many') return { ok: false, reason: 'ambiguous' };
    return Session.use(settings, budget, async (session) => {
      try {
        await session.bindUser(found.dn, password);
        return { ok: true, entry: found };
      } catch (error) {
        if (error instanceof RefusedStep) return { ok: false, reason: judgeUserBind(error) };
        throw error;
      }
    });
  }
}

/** Asks, as the reader account, who bears a name. Throws `access.directory-misconfigured` and `access.directory-unavailable`. */
export async function findPerson(settings: DirectorySettings, budget: Budget, username: string): Promise<DirectoryEntry | 'none' | 'many'> {
  return Session.use(settings, budget, async (session) => {
    await session.bindReader();
    return session.findPerson(username);
  });
}
