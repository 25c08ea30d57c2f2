import { accessProblem } from '../problems';
import type { DirectorySettings } from './settings';
import type { ClosedReason, DirectoryEntry, RefusalReason } from './source';

/** Where a conversation with the directory was when something went wrong. */
export type Step = 'connect' | 'start-tls' | 'reader-bind' | 'search' | 'user-bind' | 'sign-in';

const doing: Record<Step, string> = {
  connect: 'connecting',
  'start-tls': 'starting TLS',
  'reader-bind': 'signing in the reader account',
  search: 'searching',
  'user-bind': 'checking the password',
  'sign-in': 'signing in',
};

/** Names longer than this are nobody's; directories allow 256 at most. */
export const maxUsernameLength = 256;
const maxPasswordLength = 1024;

/** Whether a name and a password are worth asking the directory about. An empty password never is: see RFC 4513 §5.1.2. */
export function mayAsk(username: string, password: string): boolean {
  if (username.trim() === '' || username.length > maxUsernameLength || /[\p{Cc}\p{Cs}]/u.test(username)) return false;
  return password !== '' && password.length <= maxPasswordLength;
}

/** Text and binary values of one attribute; an absent attribute has none. */
export interface AttributeValues {
  text: string[];
  bytes: Buffer[];
}

/**
 * Makes an entry of what the server sent. `attribute` looks up by name, whatever the server's spelling of it.
 * Throws `access.directory-misconfigured` when there is nothing to know the person by.
 */
export function makeEntry(settings: Pick<DirectorySettings, 'usernameAttribute' | 'fullNameAttribute'>, dn: string, attribute: (name: string) => AttributeValues): DirectoryEntry {
  const externalId = identityOf(attribute);
  const username = attribute(settings.usernameAttribute).text[0];
  // An empty DN would make the password check an anonymous bind.
  if (dn === '' || externalId === null || username === undefined) {
    throw accessProblem('directory-misconfigured', {
      detail: `The reader account may not read entryUUID (or objectGUID) and ${settings.usernameAttribute} of a person who was found.`,
    });
  }
  const first = (name: string): string | null => attribute(name).text.find((value) => value !== '') ?? null;
  const fullName = settings.fullNameAttribute == null ? null : first(settings.fullNameAttribute);
  const closed = closedReason(attribute, Date.now());
  return { externalId, dn, username, displayName: fullName ?? first('displayName') ?? first('cn'), mail: first('mail'), ...(closed ? { closed } : {}) };
}

/** entryUUID (RFC 4530), else objectGUID, as a canonical lower-case uuid; null when neither can be read. */
export function identityOf(attribute: (name: string) => AttributeValues): string | null {
  const uuid = attribute('entryUUID').text[0];
  if (uuid !== undefined && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)) return uuid.toLowerCase();
  const guid = attribute('objectGUID').bytes[0];
  return guid?.length === 16 ? guidToUuid(guid) : null;
}

/** Milliseconds between 1601, where Active Directory's time begins, and 1970. */
const fileTimeEpochMillis = 11_644_473_600_000n;
const neverExpires = 0x7fffffffffffffffn;

/**
 * Whether an entry's attributes say that its account is closed: bit 2 of userAccountControl ([MS-ADTS] §2.2.16), accountExpires in 100 ns since 1601
 * ([MS-ADA1] §2.3: 0 and 2^63-1 are never), shadowExpire in days since 1970 (shadow(5)), nsAccountLock. `nowMillis` since 1970.
 */
export function closedReason(attribute: (name: string) => AttributeValues, nowMillis: number): ClosedReason | null {
  const number = (name: string): bigint | null => {
    const text = attribute(name).text[0];
    return text !== undefined && /^-?\d{1,19}$/.test(text) ? BigInt(text) : null;
  };
  if (((number('userAccountControl') ?? 0n) & 2n) !== 0n || attribute('nsAccountLock').text[0]?.toLowerCase() === 'true') return 'disabled';
  const expires = number('accountExpires');
  if (expires !== null && expires > 0n && expires !== neverExpires && expires / 10_000n - fileTimeEpochMillis <= BigInt(nowMillis)) return 'expired';
  const shadow = number('shadowExpire');
  return shadow !== null && shadow >= 0n && shadow * 86_400_000n <= BigInt(nowMillis) ? 'expired' : null;
}

/** A uuid as the 16 bytes of an objectGUID; the reverse of `guidToUuid`. */
export function uuidToGuid(uuid: string): Buffer {
  return Buffer.from(guidToUuid(Buffer.from(uuid.replaceAll('-', ''), 'hex')).replaceAll('-', ''), 'hex');
}

/** The 16 bytes of an objectGUID as a uuid. Active Directory stores the first three fields little-endian ([MS-DTYP] §2.3.4.2). */
export function guidToUuid(guid: Buffer): string {
  const hex = (...indexes: number[]): string => indexes.map((i) => guid[i]!.toString(16).padStart(2, '0')).join('');
  return [hex(3, 2, 1, 0), hex(5, 4), hex(7, 6), hex(8, 9), hex(10, 11, 12, 13, 14, 15)].join('-');
}

/** Active Directory's sub-codes of "invalid credentials" which mean that the account may not sign in now, whatever the password. */
const closedAccount = new Set(['530', '531', '532', '533', '534', '568', '701', '773', '775']);

/** Whether the diagnostic text of a refused bind says that the account is disabled, expired, locked or must change its password. */
export function saysAccountClosed(diagnostic: string): boolean {
  const code = /\bdata ([0-9a-f]+)\b/i.exec(diagnostic)?.[1];
  return code !== undefined && closedAccount.has(code.toLowerCase());
}

/** An LDAP result that is not success (RFC 4511 §4.1.9). */
export interface ResultFailure {
  code: number;
  diagnostic: string;
}

/** What a refused user bind means for the person; throws the problem when it says something about the directory instead. */
export function judgeUserBind(failure: ResultFailure): RefusalReason {
  switch (failure.code) {
    case 49: // invalidCredentials
      return saysAccountClosed(failure.diagnostic) ? 'account-disabled' : 'wrong-credentials';
    case 19: // constraintViolation: too many attempts
    case 53: // unwillingToPerform: 389 Directory Server's inactivated accounts
      return 'account-disabled';
    case 32: // noSuchObject: removed since it was found
    case 48: // inappropriateAuthentication: the entry has no password
      return 'wrong-credentials';
    default:
      throw resultProblem(failure, 'user-bind');
  }
}

const encryptionWanted = new Set([8, 13]);
const transient = new Set([3, 51, 52, 80]);
const unreadable: Record<number, string> = {
  4: 'the directory lists only a part of what was asked for (switch paging on, or raise its limit for the reader account)',
  11: 'the directory lists only a part of what was asked for (raise its limit for the reader account)',
  10: 'the search base is on another server',
  32: 'the search base does not exist',
  34: 'a DN is not well-formed',
  50: 'the reader account may not search there',
};

/** The problem behind a result code that is about the directory, not about the person. */
export function resultProblem({ code }: ResultFailure, step: Step): Error {
  if (encryptionWanted.has(code)) {
    return accessProblem('directory-misconfigured', {
      detail: `The directory demands an encrypted connection (LDAP result ${code}): use ldaps:// or StartTLS.`,
    });
  }
  if (transient.has(code))
    return accessProblem('directory-unavailable', { detail: `The directory could not answer while ${doing[step]} (LDAP result ${code}).` });
  if (step === 'start-tls')
    return accessProblem('directory-misconfigured', { detail: `The directory refused StartTLS (LDAP result ${code}).` });
  if (step === 'reader-bind') {
    return accessProblem('directory-misconfigured', {
      detail: `The directory refused the reader account (LDAP result ${code}): check its DN and password.`,
    });
  }
  const reason = unreadable[code] ?? `the directory refused while ${doing[step]}`;
  return accessProblem('directory-misconfigured', { detail: `${reason.charAt(0).toUpperCase()}${reason.slice(1)} (LDAP result ${code}).` });
}

const unknownAuthority = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
const unreachable: Record<string, string> = {
  ECONNREFUSED: 'nothing listens at its address',
  ENOTFOUND: 'its host name is unknown',
  EAI_AGAIN: 'its host name could not be looked up',
  EHOSTUNREACH: 'its host can’t be reached',
  ENETUNREACH: 'its network can’t be reached',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
};

/** The problem behind a connection that failed, by Node's error code. The text of the error is not repeated: it may hold what was sent. */
export function connectionProblem(error: unknown, step: Step): Error {
  const code = nodeCode(error);
  const reason = unknownAuthority.has(code)
    ? 'its certificate is from an authority that is not trusted here'
    : (unreachable[code] ?? (/^(?:EPROTO|ERR_SSL_|ERR_TLS_|CERT_|INVALID_)/.test(code) ? 'TLS failed' : 'the connection was lost'));
  return accessProblem('directory-unavailable', {
    detail: `The directory failed while ${doing[step]}: ${reason}${code === '' ? '' : ` (${code})`}.`,
    cause: error,
  });
}

/** The problem of a directory that stays silent. */
export function silenceProblem(step: Step): Error {
  return accessProblem('directory-unavailable', { detail: `The directory did not answer in time while ${doing[step]} (timeout).` });
}

function nodeCode(error: unknown): string {
  const { code } = errorParts(error);
  return typeof code === 'string' ? code : '';
}

/** What can be told of anything thrown; libraries throw strings and errors that aren't `Error`s of this realm. */
export function errorParts(error: unknown): { name: string; message: string; code: unknown } {
  if (typeof error !== 'object' || error === null) return { name: '', message: String(error), code: undefined };
  const { name, message, code } = error as { name?: unknown; message?: unknown; code?: unknown };
  return { name: typeof name === 'string' ? name : '', message: typeof message === 'string' ? message : '', code };
}
