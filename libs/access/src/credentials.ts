import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Db, Problem, type Context } from '@gantry/platform';
import { Accounts } from './accounts';
import { DirectoryPeople } from './directory-people';
import { Directory } from './directory-settings';
import { Account } from './entities';
import { nameKey } from './names';
import { hashPassword, isOutdatedHash, verifyPassword } from './passwords';
import { accessProblem } from './problems';
import { SecondFactors, type SecondFactorKind } from './second-factors';
import { SignInLimits, type Attempt } from './sign-in-limits';

/** An account that has proven itself. */
export interface Proven {
  account: Account;
  /** What proved it beside the password; null where there is no second factor. */
  factor: SecondFactorKind | null;
}

/** How a code for the second factor could come: with the request, or not at all, where a protocol has no room for one. */
export type CodeSource = { code: string | null } | 'no-codes';

/**
 * Finds the account that a user name and password belong to. A name that a local user has is checked here alone; any other is asked of the
 * directory, where one is set. Failures are counted, limited and audited; wrong codes of a second factor are failures too.
 */
@Injectable()
export class Credentials {
  constructor(
    private readonly db: Db,
    private readonly accounts: Accounts,
    private readonly directory: Directory,
    private readonly people: DirectoryPeople,
    private readonly secondFactors: SecondFactors,
    private readonly limits: SignInLimits,
    private readonly audit: Audit,
  ) {}

  /**
   * The account, or null for wrong credentials (unknown, wrong password, inactive: all alike and equally slow). Creates a directory user's account
   * on its first sign-in. @throws access.too-many-failures, access.name-taken, access.directory-misconfigured, access.directory-unavailable; only to who
   * has the right password: access.second-factor-required, wrong-code, token-needed
   */
  async check(ctx: Context, username: string, password: string, codes: CodeSource): Promise<Proven | null> {
    const attempt = await this.begin(ctx, username);
    let account: Account | null;
    try {
      account = await this.find(ctx, username, password);
    } catch (error) {
      // Nothing was said about the password, so the attempt does not count against the person.
      await attempt.notChecked();
      await this.refused(ctx, username, 'failed', error instanceof Problem ? error.code : 'request.internal');
      throw error;
    }
    if (!account) {
      await this.refused(ctx, username, 'refused', 'access.wrong-credentials');
      return null;
    }
    const factor = await this.checkSecondFactor(ctx, account, codes, attempt);
    await attempt.succeeded();
    return { account, factor };
  }

  private async begin(ctx: Context, username: string): Promise<Attempt> {
    try {
      return await this.limits.attempt(ctx, nameKey(username.slice(0, 256)));
    } catch (error) {
      // Without the name, so that however many are tried from one address are one row a minute.
      if (error instanceof Problem) await this.refused(ctx, '', 'refused', error.code);
      throw error;
    }
  }

  private async checkSecondFactor(ctx: Context, account: Account, codes: CodeSource, attempt: Attempt): Promise<SecondFactorKind | null> {
    if (account.source !== 'local' || !(await this.secondFactors.view(ctx, account.id)).enabled) return null;
    try {
      if (codes === 'no-codes') throw accessProblem('token-needed', { headers: { 'www-authenticate': 'Basic realm="gantry"' } });
      if (codes.code === null) throw accessProblem('second-factor-required');
      const factor = await this.secondFactors.accept(ctx, account, codes.code);
      if (factor === null) throw accessProblem('wrong-code', { errors: [{ pointer: '/code', detail: 'not a code of this moment, or used already' }] });
      return factor;
    } catch (error) {
      const code = error instanceof Problem ? error.code : 'request.internal';
      // The password was right: only a wrong code is a failure.
      if (code !== 'access.wrong-code') await attempt.notChecked();
      await this.refused(ctx, account.name, error instanceof Problem ? 'refused' : 'failed', code);
      throw error;
    }
  }

  private async find(ctx: Context, username: string, password: string): Promise<Account | null> {
    if (username.length === 0 || username.length > 256 || password.length === 0 || password.length > 1024 || /[\p{Cc}]/u.test(username)) {
      await verifyPassword('', null);
      return null;
    }
    const account = await this.accounts.find(ctx, username);
    if (account?.kind === 'user' && account.source === 'local') {
      const [row] = await this.db.query<{ password_hash: string | null }>(ctx, 'select password_hash from access_accounts where id = $1', [account.id]);
      const hash = row?.password_hash ?? null;
      const right = await verifyPassword(password, hash);
      if (right && hash !== null && isOutdatedHash(hash)) {
        await this.db.query(ctx, 'update access_accounts set password_hash = $3 where id = $1 and password_hash = $2 returning 1', [account.id, hash, await hashPassword(password)]);
      }
      return right && account.active ? account : null;
    }
    const answer = await this.directory.authenticate(ctx, username, password);
    if (answer === null) {
      await verifyPassword(password, null);
      return null;
    }
    const known = answer.entry ? await this.accounts.findExternal(ctx, 'ldap', answer.entry.externalId) : account?.source === 'ldap' && account.kind === 'user' ? account : null;
    if (!answer.ok) {
      if (known?.active) await this.closeIfGone(ctx, known);
      return null;
    }
    const { entry } = answer;
    if (known?.active) return known;
    if (known) return (await this.people.comeBack(ctx, known.id, entry)) ? this.accounts.get(ctx, known.id) : null;
    if (!answer.jitProvisioning) return null;
    return this.db.transaction(ctx, async (tx) => {
      const made = await this.accounts.createFromDirectory(tx, entry);
      await this.people.note(tx, made.id, entry);
      return made;
    });
  }

  /** A sign-in that was refused may be that of somebody who has left: then everything that they still hold ends here and now. */
  private async closeIfGone(ctx: Context, account: Account): Promise<void> {
    const standing = await this.directory.standingOf(ctx, account.externalId);
    if (standing !== null && standing !== 'present') await this.people.leave(ctx, account.id, standing);
  }

  private async refused(ctx: Context, username: string, outcome: 'refused' | 'failed', code: string): Promise<void> {
    // What is no account's name may be a password typed into the wrong field, whatever it looks like.
    const name = username === '' ? undefined : (await this.accounts.find(ctx, username))?.name;
    await this.audit.recordRefusal(ctx, {
      action: 'session.create', outcome, resource: { kind: 'account', id: null, ...(name === undefined ? {} : { name }) }, detail: { code },
    });
  }
}

/** 401 for every kind of wrong credentials. */
export function wrongCredentials(): Problem {
  return accessProblem('wrong-credentials');
}
