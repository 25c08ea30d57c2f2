import type { DirectorySettings } from './settings';

/** A person as the directory describes them. */
export interface DirectoryEntry {
  /** entryUUID, or objectGUID as a canonical lower-case uuid. Never changes, unlike the DN and the name. */
  externalId: string;
  /** In the server's own spelling: good for a bind and for people to read, not for comparing. */
  dn: string;
  /** The value of the username attribute, in the directory's spelling. */
  username: string;
  displayName: string | null;
  mail: string | null;
  /** Present where the entry says that the account may not be used, whatever its password. */
  closed?: ClosedReason;
}

/** `disabled`: switched off; `expired`: its time is over. A lock after failed attempts is neither. */
export type ClosedReason = 'disabled' | 'expired';

/** Why a sign-in that the directory could judge was refused. */
export type RefusalReason = 'wrong-credentials' | 'account-disabled' | 'ambiguous' | 'out-of-scope';

/** What a directory says about a name and a password. */
export type SignInOutcome = { ok: true; entry: DirectoryEntry } | { ok: false; reason: RefusalReason; /** Whose it is, where that is known. */ entry?: DirectoryEntry };

/**
 * Answers whether a name and a password belong together, over one kind of connection.
 * Implementations get a checked, non-empty name and password, open their own connections and close all of them before they answer.
 * Throws `access.directory-misconfigured` and `access.directory-unavailable`.
 */
export abstract class IdentitySource {
  abstract authenticate(settings: DirectorySettings, username: string, password: string): Promise<SignInOutcome>;
}
