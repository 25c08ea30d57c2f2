import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, Db, type Context } from '@gantry/platform';
import { Accounts } from './accounts';
import type { DirectoryEntry, Standing } from './directory';
import type { Account } from './entities';

/** Why somebody's account was closed because of the directory. */
export type LeaveReason = Exclude<Standing, 'present'> | 'out-of-scope';

/** What the directory knows of an account, and whether its account is closed because of that; an administrator's own decision replaces it. */
@Injectable()
export class DirectoryPeople {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly accounts: Accounts,
    private readonly audit: Audit,
  ) {}

  /**
   * Closes the account of somebody who has left: its sessions end, its tokens and robots do nothing from then on. Answers whether it was open.
   * @throws access.last-admin
   */
  async leave(ctx: Context, accountId: string, reason: LeaveReason): Promise<boolean> {
    return this.db.transaction(ctx, async (tx) => {
      const account = await this.lock(tx, accountId);
      if (!account?.active) return false;
      await this.accounts.update(tx, accountId, account.version, { active: false });
      await this.db.query(
        tx,
        `insert into access_directory_people (account_id, dn, username, left_at, left_reason) values ($1, '', $2, $3, $4)
         on conflict (account_id) do update set left_at = excluded.left_at, left_reason = excluded.left_reason returning 1`,
        [accountId, account.name, this.clock.now(), reason],
      );
      await this.audit.record(tx, { action: 'directory.leave', outcome: 'success', resource: { kind: 'account', id: accountId, name: account.name }, detail: { reason } });
      return true;
    });
  }

  /** Opens the account of somebody who is back, if it was closed because of the directory. Answers whether it was. */
  async comeBack(ctx: Context, accountId: string, entry: DirectoryEntry): Promise<boolean> {
    return this.db.transaction(ctx, async (tx) => {
      const account = await this.lock(tx, accountId);
      const [gone] = await this.db.query(tx, 'select 1 from access_directory_people where account_id = $1 and left_at is not null', [accountId]);
      if (!account || account.active || !gone) return false;
      await this.accounts.update(tx, accountId, account.version, { active: true });
      await this.note(tx, accountId, entry);
      await this.audit.record(tx, { action: 'directory.return', outcome: 'success', resource: { kind: 'account', id: accountId, name: account.name } });
      return true;
    });
  }

  /** Remembers where somebody is in the directory, as of now. */
  async note(ctx: Context, accountId: string, entry: Pick<DirectoryEntry, 'dn' | 'username'>): Promise<void> {
    await this.noteAll(ctx, [{ accountId, dn: entry.dn, username: entry.username }]);
  }

  /** As `note`, for many. */
  async noteAll(ctx: Context, people: { accountId: string; dn: string; username: string }[]): Promise<void> {
    await this.db.query(
      ctx,
      `insert into access_directory_people (account_id, dn, username)
       select * from jsonb_to_recordset($1::jsonb) as r("accountId" uuid, dn text, username text)
       on conflict (account_id) do update set dn = excluded.dn, username = excluded.username, left_at = null, left_reason = null returning 1`,
      [JSON.stringify(people)],
    );
  }

  /** Takes over the name that people read and the mail address. */
  async updateProfile(ctx: Context, accountId: string, entry: Pick<DirectoryEntry, 'displayName' | 'mail'>): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const account = await this.lock(tx, accountId);
      if (account) await this.accounts.update(tx, accountId, account.version, { displayName: entry.displayName, mail: entry.mail });
    });
  }

  /** Makes somebody from the directory a system administrator, or no longer one. Answers whether that changed anything. @throws access.last-admin */
  async setAdmin(ctx: Context, accountId: string, admin: boolean): Promise<boolean> {
    return this.db.transaction(ctx, async (tx) => {
      const account = await this.lock(tx, accountId);
      if (!account || account.source !== 'ldap' || account.admin === admin) return false;
      await this.accounts.update(tx, accountId, account.version, { admin });
      return true;
    });
  }

  private async lock(tx: Context, accountId: string): Promise<Account | null> {
    await this.db.query(tx, 'select 1 from access_accounts where id = $1 for update', [accountId]);
    return this.accounts.find(tx, accountId);
  }
}
