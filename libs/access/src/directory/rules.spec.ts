import { Problem } from '@gantry/platform';
import { guidToUuid, judgeUserBind, makeEntry, mayAsk, resultProblem, saysAccountClosed } from './rules';
import { checkSettings, endpointOf, personFilterText, tlsOptionsOf, type DirectorySettings } from './settings';

const settings: DirectorySettings = {
  url: 'ldaps://ldap.corp.test',
  startTls: false,
  caPem: null,
  bindDn: 'cn=reader',
  bindPassword: 'secret',
  searchBase: 'dc=corp,dc=test',
  usernameAttribute: 'uid',
  filter: null,
  timeoutSeconds: 5,
};

function codeOf(work: () => unknown): string | null {
  try {
    work();
    return null;
  } catch (error) {
    return error instanceof Problem ? error.code : 'not a problem';
  }
}

describe('directory settings', () => {
  it.each<[string, Partial<DirectorySettings>]>([
    ['no URL', { url: 'ldap.corp.test' }],
    ['another scheme', { url: 'https://ldap.corp.test' }],
    ['something behind the port', { url: 'ldap://ldap.corp.test/dc=corp' }],
    ['a password in the URL', { url: 'ldap://u:p@ldap.corp.test' }],
    ['StartTLS inside TLS', { startTls: true }],
    ['no reader', { bindDn: ' ' }],
    ['a reader without a password', { bindPassword: '' }],
    ['no base', { searchBase: '' }],
    ['filter text as an attribute', { usernameAttribute: 'uid=*)(cn' }],
    ['no time', { timeoutSeconds: 0 }],
    ['no time at all', { timeoutSeconds: Number.NaN }],
    ['an unbalanced filter', { filter: '(cn=a))(uid=*' }],
    ['a template as a filter', { filter: '(cn={{username}})' }],
    ['escaped bytes that are not UTF-8', { filter: '(cn=\\ff\\fe)' }],
    ['no certificate', { caPem: 'hello' }],
    ['a broken certificate', { caPem: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----' }],
  ])('refuse %s', (_what, changes) => {
    expect(codeOf(() => checkSettings(settings))).toBeNull();
    expect(codeOf(() => checkSettings({ ...settings, ...changes }))).toBe('access.directory-misconfigured');
  });

  it('know the usual ports and addresses in brackets', () => {
    expect(endpointOf(settings)).toEqual({ host: 'ldap.corp.test', port: 636, tls: true });
    expect(endpointOf({ ...settings, url: 'ldap://[::1]/' })).toEqual({ host: '::1', port: 389, tls: false });
    expect(endpointOf({ ...settings, url: 'ldap://10.0.0.1:1389' })).toEqual({ host: '10.0.0.1', port: 1389, tls: false });
  });

  it('check the certificate against what was connected to: a name, or an address as such', () => {
    expect(tlsOptionsOf(settings)).toMatchObject({ host: 'ldap.corp.test', servername: 'ldap.corp.test', rejectUnauthorized: true });
    expect(tlsOptionsOf({ ...settings, url: 'ldap://10.0.0.1' })).not.toHaveProperty('servername');
  });

  it('write a name as a value of the filter (RFC 4515 §3)', () => {
    expect(personFilterText(settings, 'a*(b)\\')).toBe('(uid=a\\2a\\28b\\29\\5c)');
    expect(personFilterText({ ...settings, filter: 'cn=J\\c3\\bcrgen' }, 'jürgen')).toBe('(&(uid=jürgen)(cn=Jürgen))');
  });
});

describe('an entry', () => {
  const attributes = (values: Record<string, string[]>) => (name: string) => ({ text: values[name] ?? [], bytes: [] });

  it('needs an id, a name and a DN, and shows what else there is', () => {
    const id = 'F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6';
    const full = { entryUUID: [id], uid: ['ann'], cn: ['Ann'] };
    expect(makeEntry(settings, 'uid=ann', attributes(full))).toEqual({
      externalId: id.toLowerCase(),
      dn: 'uid=ann',
      username: 'ann',
      displayName: 'Ann',
      mail: null,
    });
    for (const lacking of [
      { ...full, entryUUID: [] },
      { ...full, entryUUID: ['1'] },
      { ...full, uid: [] },
    ]) {
      expect(codeOf(() => makeEntry(settings, 'uid=ann', attributes(lacking)))).toBe('access.directory-misconfigured');
    }
    expect(codeOf(() => makeEntry(settings, '', attributes(full)))).toBe('access.directory-misconfigured');
  });

  it('reads an objectGUID’s first three fields as little-endian', () => {
    expect(guidToUuid(Buffer.from('ae4f1df8ec7dd011a76500a0c91e6bf6', 'hex'))).toBe('f81d4fae-7dec-11d0-a765-00a0c91e6bf6');
  });
});

describe('answers of the directory', () => {
  it('close an account by Active Directory’s sub-codes', () => {
    const text = (code: string): string => `80090308: LdapErr: DSID-0C09042A, comment: AcceptSecurityContext error, data ${code}, v2580`;
    for (const code of ['533', '701', '773', '775']) expect(saysAccountClosed(text(code))).toBe(true);
    for (const code of ['52e', '525', '0', '5331']) expect(saysAccountClosed(text(code))).toBe(false);
  });

  it('judge the person for some results of a user bind, and the directory for the others', () => {
    expect([49, 32, 48, 19, 53].map((code) => judgeUserBind({ code, diagnostic: '' }))).toEqual([
      'wrong-credentials',
      'wrong-credentials',
      'wrong-credentials',
      'account-disabled',
      'account-disabled',
    ]);
    expect(codeOf(() => judgeUserBind({ code: 13, diagnostic: '' }))).toBe('access.directory-misconfigured');
    expect(codeOf(() => judgeUserBind({ code: 52, diagnostic: '' }))).toBe('access.directory-unavailable');
  });

  it('never repeat the server’s text', () => {
    expect(resultProblem({ code: 49, diagnostic: 'secret' }, 'reader-bind').message).not.toContain('secret');
  });
});

describe('names and passwords', () => {
  it('are worth asking about when they can be somebody’s', () => {
    expect(mayAsk('jürgen größe', 'x')).toBe(true);
    expect(mayAsk('a'.repeat(256), 'x')).toBe(true);
    for (const name of ['', ' ', 'a'.repeat(257), 'a\0', 'a\u007f', 'a\u0085']) expect(mayAsk(name, 'x')).toBe(false);
    for (const password of ['', 'x'.repeat(1025)]) expect(mayAsk('ann', password)).toBe(false);
  });
});
