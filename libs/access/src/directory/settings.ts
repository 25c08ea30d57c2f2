import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { AndFilter, EqualityFilter, FilterParser, OrFilter, PresenceFilter, type Filter } from 'ldapts';
import { accessProblem } from '../problems';
import { findFilterFault } from './filter';

/** How to reach and read one directory. */
export interface DirectorySettings {
  /** `ldap://host[:port]` or `ldaps://host[:port]`, nothing behind it. */
  url: string;
  /** Upgrade an `ldap://` connection before anything else is sent; there is no way back to clear text. */
  startTls: boolean;
  /** The certificate authorities to trust instead of the public ones. */
  caPem: string | null;
  /** The reader account that looks people up. */
  bindDn: string;
  bindPassword: string;
  searchBase: string;
  /** How far below the base to look; the whole subtree by default. */
  scope?: 'sub' | 'one';
  /** The attribute of the name that people read; displayName, then cn by default. */
  fullNameAttribute?: string | null;
  /** The attribute that people type as their name, for example `uid` or `sAMAccountName`. */
  usernameAttribute: string;
  /** An RFC 4515 filter that people must match besides their name. */
  filter: string | null;
  /** For connecting, and again for each operation; a whole sign-in gets three times as much. */
  timeoutSeconds: number;
}

/** Where the directory listens, taken apart. */
export interface DirectoryEndpoint {
  host: string;
  port: number;
  tls: boolean;
}

const identityAttributes = ['entryUUID', 'objectGUID'];
/** What says that an account is closed: Active Directory, shadow(5), 389 Directory Server. */
const closedAttributes = ['userAccountControl', 'accountExpires', 'shadowExpire', 'nsAccountLock'];

/** The attributes to ask for. entryUUID is operational (RFC 4530): a server sends it only when it is named. */
export function wantedAttributes(settings: DirectorySettings): string[] {
  return [
    ...new Set([
      ...identityAttributes, settings.usernameAttribute, ...(settings.fullNameAttribute == null ? [] : [settings.fullNameAttribute]), 'displayName', 'cn', 'mail', ...closedAttributes,
    ]),
  ];
}

/** Refuses settings that can't work before anything is sent. Throws `access.directory-misconfigured` naming the setting. */
export function checkSettings(settings: DirectorySettings): void {
  const { tls } = endpointOf(settings);
  if (tls && settings.startTls) throw wrong('StartTLS is for ldap:// addresses; ldaps:// is encrypted from the start.');
  if (settings.bindDn.trim() === '') throw wrong('The DN of the reader account is empty.');
  // RFC 4513 §5.1.2: a DN with an empty password is an "unauthenticated bind", which some servers answer with success.
  if (settings.bindPassword === '') throw wrong('The password of the reader account is empty.');
  if (settings.searchBase.trim() === '') throw wrong('The search base is empty.');
  if (!isAttributeName(settings.usernameAttribute)) throw wrong('The username attribute is not an attribute name.');
  if (settings.fullNameAttribute != null && !isAttributeName(settings.fullNameAttribute)) throw wrong('The full name’s attribute is not an attribute name.');
  if (!(settings.timeoutSeconds > 0)) throw wrong('The timeout must be longer than zero seconds.');
  authorities(settings);
  ownFilter(settings);
}

/** Whether this can name an attribute (RFC 4512 §1.4). */
export function isAttributeName(text: string): boolean {
  return /^(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)$/.test(text);
}

/** Takes the URL apart. Throws `access.directory-misconfigured`. */
export function endpointOf(settings: DirectorySettings): DirectoryEndpoint {
  if (!URL.canParse(settings.url)) throw wrong('The directory’s address is not a URL.');
  const url = new URL(settings.url);
  if (url.protocol !== 'ldap:' && url.protocol !== 'ldaps:') throw wrong('The directory’s address must begin with ldap:// or ldaps://.');
  const bare = url.username === '' && url.password === '' && url.search === '' && url.hash === '' && ['', '/'].includes(url.pathname);
  if (url.hostname === '' || !bare) throw wrong('The directory’s address must be a host and a port only.');
  const tls = url.protocol === 'ldaps:';
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: url.port === '' ? (tls ? 636 : 389) : Number(url.port), tls };
}

/** What TLS must check: the directory's own name, and its authority. An address is checked as an address (no SNI, RFC 6066 §3). */
export function tlsOptionsOf(settings: DirectorySettings): ConnectionOptions {
  const { host } = endpointOf(settings);
  const ca = authorities(settings);
  return {
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca ? { ca } : {}),
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
  };
}

/** The filter that finds one person: the name as a value, never as filter text. */
export function personFilter(settings: DirectorySettings, username: string): Filter {
  return and(new EqualityFilter({ attribute: settings.usernameAttribute, value: username }), ownFilter(settings));
}

/** The filter that finds everybody who could sign in. */
export function everybodyFilter(settings: DirectorySettings): Filter {
  return and(new PresenceFilter({ attribute: settings.usernameAttribute }), ownFilter(settings));
}

/** The filter that finds one of them by the immutable id: as entryUUID's text or as objectGUID's bytes. */
export function identityFilter(settings: DirectorySettings, id: string, guid: Buffer): Filter {
  return and(idFilter(id, guid), ownFilter(settings));
}

/** The filter that finds an entry by its immutable id. Bytes are sent as bytes: escaped in text they would match nothing. */
export function idFilter(id: string, guid: Buffer): Filter {
  return new OrFilter({ filters: [new EqualityFilter({ attribute: 'entryUUID', value: id }), new EqualityFilter({ attribute: 'objectGUID', value: guid })] });
}

/** Filter text as an administrator wrote it, read. Throws `access.directory-misconfigured` naming the position of what is wrong. */
export function parseFilter(text: string): Filter {
  const plain = readable(text);
  // LDAP libraries replace such marks by the typed name.
  if (plain.includes('{{')) throw wrong('The filter has a placeholder: the name is added to it by itself.');
  const fault = findFilterFault(text);
  if (fault) throw wrong(`The filter is not an LDAP filter (RFC 4515): at character ${fault.position}, ${fault.reason}.`);
  try {
    return FilterParser.parseString(plain);
  } catch (error) {
    throw wrong('The filter is not an LDAP filter (RFC 4515).', error);
  }
}

/** `personFilter` as RFC 4515 text. Every ASCII character that could mean something in a filter or a template is written as an escape. */
export function personFilterText(settings: DirectorySettings, username: string): string {
  const value = username.replace(/[^A-Za-z0-9\u{80}-\u{10ffff}]/gu, (c) => `\\${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  const person = `(${settings.usernameAttribute}=${value})`;
  return settings.filter === null ? person : `(&${person}${readable(settings.filter)})`;
}

/** Both filters; the first alone where there is no second. */
export function and(first: Filter, second: Filter | null): Filter {
  return second === null ? first : new AndFilter({ filters: [first, second] });
}

function ownFilter(settings: DirectorySettings): Filter | null {
  return settings.filter === null ? null : parseFilter(settings.filter);
}

/**
 * The filter with escaped non-ASCII bytes (`\c3\bc`) written as the characters they stand for. Both LDAP libraries read
 * an escaped byte as a character of its own, so that a filter with an umlaut would match nothing, and its negation everybody.
 */
function readable(filter: string): string {
  const text = filter.trim();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    const plain = text.replace(/(?:\\[89a-f][0-9a-f])+/gi, (bytes) => decoder.decode(Buffer.from(bytes.replaceAll('\\', ''), 'hex')));
    return plain.startsWith('(') ? plain : `(${plain})`;
  } catch (error) {
    throw wrong('The filter has escaped bytes that are not UTF-8.', error);
  }
}

function authorities(settings: DirectorySettings): string[] | null {
  if (settings.caPem === null) return null;
  const blocks = settings.caPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw wrong('The certificate authority has no certificate in PEM form.');
  try {
    return blocks.map((block) => new X509Certificate(block).toString());
  } catch (error) {
    throw wrong('The certificate authority can’t be read as PEM.', error);
  }
}

function wrong(detail: string, cause?: unknown): Error {
  return accessProblem('directory-misconfigured', { detail, cause });
}
