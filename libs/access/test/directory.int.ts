import { DirectoryClient, LdaptsSource } from '../src/directory';
import { PassportSource } from '../src/directory/passport-source';
import { failingPeer } from '../testing/bad-peers';
import { describeIdentitySource, transports } from '../testing/identity-source';
import { startSlapd, type Slapd } from '../testing/slapd';

describeIdentitySource('passport-ldapauth', () => new PassportSource(), [transports.plain, transports.tls]);
describeIdentitySource('ldapts', () => new LdaptsSource(), [transports.plain, transports.tls, transports.startTls]);

describe('the directory client', () => {
  const client = new DirectoryClient();
  let slapd: Slapd;
  beforeAll(async () => {
    slapd = await startSlapd();
  });
  afterAll(() => slapd.close());

  it('signs in over each kind of connection', async () => {
    for (const { settings } of Object.values(transports)) {
      expect(await client.authenticate(slapd.settings(settings(slapd)), 'ann', slapd.password)).toMatchObject({
        ok: true,
        entry: { username: 'ann' },
      });
    }
  });

  it('refuses empty passwords and impossible names without asking the directory', async () => {
    const peer = await failingPeer(slapd.port, 100, 'cut');
    for (const changes of [{}, { startTls: true, caPem: slapd.caPem }]) {
      const settings = slapd.settings({ url: `ldap://127.0.0.1:${peer.port}`, ...changes });
      for (const [username, password] of [
        ['ann', ''],
        ['', slapd.password],
        ['  ', slapd.password],
        ['ann\0', slapd.password],
        ['an\nn', slapd.password],
        ['ann\u0085', slapd.password],
        ['ann\ud800', slapd.password],
        ['a'.repeat(257), slapd.password],
        ['ann', 'x'.repeat(1025)],
      ] as const) {
        expect(await client.authenticate(settings, username, password)).toEqual({ ok: false, reason: 'wrong-credentials' });
      }
    }
    expect(peer.connections()).toBe(0);
    expect(await client.authenticate(slapd.settings({ url: `ldap://127.0.0.1:${peer.port}` }), 'ann', slapd.password)).toMatchObject({
      ok: true,
    });
    expect(peer.connections()).toBeGreaterThan(0);
    await peer.close();
  });

  it('never falls back to clear text where StartTLS is refused', async () => {
    const clear = await startSlapd({ tls: false });
    const peer = await failingPeer(clear.port, 100, 'cut');
    try {
      const settings = clear.settings({ url: `ldap://127.0.0.1:${peer.port}`, startTls: true, caPem: slapd.caPem });
      await expect(client.authenticate(settings, 'ann', clear.password)).rejects.toMatchObject({
        code: 'access.directory-misconfigured',
        detail: expect.stringContaining('StartTLS') as string,
      });
      expect(peer.received()).not.toContain(clear.readerPassword);
      expect(peer.received().length).toBeGreaterThan(0);
    } finally {
      await peer.close();
      await clear.close();
    }
  });

  it('tests settings: counts people, or says what is wrong', async () => {
    for (const { settings } of Object.values(transports)) {
      expect(await client.test(slapd.settings(settings(slapd)))).toEqual({ ok: true, entries: 9 });
    }
    expect(await client.test(slapd.settings({ filter: '(cn=Ann)' }))).toEqual({ ok: true, entries: 1 });
    for (const [changes, code, detail] of [
      [{ bindPassword: 'wrong' }, 'misconfigured', 'reader account'],
      [{ searchBase: 'ou=nowhere,dc=corp,dc=test' }, 'misconfigured', 'search base'],
      [{ searchBase: `ou=blind,${slapd.base}` }, 'misconfigured', 'entryUUID'],
      [{ url: `ldaps://127.0.0.1:${slapd.tlsPort}`, caPem: slapd.otherCaPem }, 'unavailable', 'authority'],
      [{ url: `ldaps://127.0.0.1:${slapd.port}`, caPem: slapd.caPem, timeoutSeconds: 0.5 }, 'unavailable', 'connecting'],
      [{ url: 'http://127.0.0.1' }, 'misconfigured', 'ldap://'],
    ] as const) {
      expect(await client.test(slapd.settings(changes))).toEqual({
        ok: false,
        code: `access.directory-${code}`,
        detail: expect.stringContaining(detail) as string,
      });
    }
  });
});
