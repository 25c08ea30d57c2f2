import type { Problem } from '@gantry/platform';
import type { DirectorySettings, IdentitySource } from '../src/directory';
import { failingPeer, silentPeer, type BadPeer } from './bad-peers';
import { annsGuid, closedPeople, oddPeople, startSlapd, unlistedResult, type Slapd } from './slapd';

/** A way of connecting that an identity source must manage: its settings on a server. */
export interface Transport {
  name: string;
  encrypted: boolean;
  settings(slapd: Slapd): Partial<DirectorySettings>;
}

/** Clear text, TLS from the start, and TLS by upgrade. */
export const transports = {
  plain: { name: 'ldap://', encrypted: false, settings: () => ({}) },
  tls: { name: 'ldaps://', encrypted: true, settings: (slapd) => ({ url: `ldaps://127.0.0.1:${slapd.tlsPort}`, caPem: slapd.caPem }) },
  startTls: { name: 'StartTLS', encrypted: true, settings: (slapd) => ({ startTls: true, caPem: slapd.caPem }) },
} satisfies Record<string, Transport>;

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What every identity source must do over each of its transports, against a real OpenLDAP server. Declares the tests of one source. */
export function describeIdentitySource(name: string, make: () => IdentitySource, over: Transport[]): void {
  describe.each(over)(`${name} over $name`, (transport) => {
    let slapd: Slapd;
    const source = make();
    const settings = (changes: Partial<DirectorySettings> = {}): DirectorySettings =>
      slapd.settings({ ...transport.settings(slapd), ...changes });
    const at = (peer: BadPeer, changes: Partial<DirectorySettings> = {}): DirectorySettings => {
      const url = new URL(settings().url);
      return settings({ url: `${url.protocol}//127.0.0.1:${peer.port}`, ...changes });
    };
    const targetPort = (): number => Number(new URL(settings().url).port);
    const problemOf = async (work: Promise<unknown>): Promise<Problem> => {
      const outcome = await work.then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
      expect(outcome).toHaveProperty('error.code');
      const problem = (outcome as { error: Problem }).error;
      const said = `${problem.message} ${problem.detail}`;
      expect(said).not.toContain(slapd.password);
      expect(said).not.toContain(slapd.readerPassword);
      return problem;
    };
    const refusal = (reason: string) => ({ ok: false, reason });

    beforeAll(async () => {
      slapd = await startSlapd();
    });
    afterAll(() => slapd.close());
    afterEach(() => noSocketsLeft());

    it('finds the person who has the name and the password', async () => {
      expect(await source.authenticate(settings(), 'ann', slapd.password)).toEqual({
        ok: true,
        entry: {
          externalId: expect.stringMatching(uuid) as string,
          dn: `uid=ann,ou=people,${slapd.base}`,
          username: 'ann',
          displayName: 'Ann Archer',
          mail: expect.stringMatching(/@corp\.test$/) as string,
        },
      });
      expect(await source.authenticate(settings(), 'BOB', slapd.password)).toMatchObject({
        ok: true,
        entry: { username: 'bob', displayName: 'Bob Baker', mail: null },
      });
    });

    it('knows a person by an id that a new entry of the same name does not have', async () => {
      const first = await slapd.addPerson({ uid: 'carol', password: 'one' });
      const before = await source.authenticate(settings(), 'carol', 'one');
      await slapd.remove(first);
      await slapd.addPerson({ uid: 'carol', password: 'two' });
      const after = await source.authenticate(settings(), 'carol', 'two');
      await slapd.remove(first);
      expect([before, after]).toMatchObject([{ ok: true }, { ok: true }]);
      expect(before.ok && before.entry.externalId).not.toEqual(after.ok && after.entry.externalId);
    });

    it('refuses a wrong password, an unknown name, and an entry without a password', async () => {
      for (const [username, password] of [
        ['ann', 'wrong'],
        ['ann', `${slapd.password}\0`],
        ['nobody', slapd.password],
        ['nopassword', slapd.password],
      ] as const) {
        expect(await source.authenticate(settings(), username, password)).toEqual(refusal('wrong-credentials'));
      }
    });

    it.each(Object.entries(oddPeople))('signs in somebody with special characters in name or DN: %s', async (_what, username) => {
      expect(await source.authenticate(settings(), username, slapd.password)).toMatchObject({ ok: true, entry: { username } });
      expect(await source.authenticate(settings(), username, 'wrong')).toEqual(refusal('wrong-credentials'));
    });

    it.each([
      '*',
      'an*',
      'ann)(uid=*',
      '*)(uid=ann',
      '*)(|(uid=*',
      'ann)(|(objectClass=*',
      '\\61nn',
      '{{username}}',
      "$'",
      '$`',
      '$&',
      'ann$$',
      'uid=ann',
      '(uid=ann)',
    ])('takes a name as a value, not as filter or template text: %s', async (username) => {
      for (const filter of [null, '(objectClass=inetOrgPerson)']) {
        expect(await source.authenticate(settings({ filter }), username, slapd.password)).toEqual(refusal('wrong-credentials'));
      }
    });

    it('demands the filter besides the name', async () => {
      for (const filter of ['(cn=Ann)', 'cn=Ann', '(|(cn=Ann)(cn=J\\c3\\bcrgen*))', ' (!(cn=J\\c3\\bcrgen*)) ']) {
        expect(await source.authenticate(settings({ filter }), 'ann', slapd.password)).toMatchObject({ ok: true });
      }
      expect(await source.authenticate(settings({ filter: '(cn=J\\c3\\bcrgen*)' }), 'jürgen', slapd.password)).toMatchObject({ ok: true });
      expect(await source.authenticate(settings({ filter: '(cn=Bob Baker)' }), 'ann', slapd.password)).toEqual(
        refusal('wrong-credentials'),
      );
      expect(
        await source.authenticate(settings({ filter: '(!(cn=J\\c3\\bcrgen Gr\\c3\\b6\\c3\\9fe))' }), 'jürgen', slapd.password),
      ).toEqual(refusal('wrong-credentials'));
    });

    it('refuses a name that two people have', async () => {
      expect(await source.authenticate(settings({ searchBase: `ou=twins,${slapd.base}` }), 'twin', slapd.password)).toEqual(
        refusal('ambiguous'),
      );
    });

    it('knows people by objectGUID where there is no entryUUID, and refuses to where there is neither', async () => {
      const ad = settings({ searchBase: `ou=ad,${slapd.base}` });
      expect(await source.authenticate(ad, 'ann', slapd.password)).toMatchObject({ ok: true, entry: { externalId: annsGuid.uuid } });
      const problem = await problemOf(source.authenticate(settings({ searchBase: `ou=blind,${slapd.base}` }), 'ann', slapd.password));
      expect(problem).toMatchObject({ code: 'access.directory-misconfigured', detail: expect.stringContaining('entryUUID') as string });
    });

    it('tells closed accounts from wrong passwords', async () => {
      const ad = settings({ searchBase: `ou=ad,${slapd.base}` });
      for (const uid of ['disabled', 'expired', 'mustchange', 'locked'] satisfies (keyof typeof closedPeople)[]) {
        expect(await source.authenticate(ad, uid, slapd.password)).toEqual(refusal('account-disabled'));
      }
      expect(await source.authenticate(ad, 'unknown', slapd.password)).toEqual(refusal('wrong-credentials'));
    });

    it('survives a result code that it has no name for', async () => {
      const ad = settings({ searchBase: `ou=ad,${slapd.base}` });
      const problem = await problemOf(source.authenticate(ad, unlistedResult.uid, slapd.password));
      expect(problem).toMatchObject({ status: 503, detail: expect.stringContaining(String(unlistedResult.code)) as string });
    });

    it.each([
      ['a wrong reader password', { bindPassword: 'wrong' }, 'reader account'],
      ['an unknown reader', { bindDn: 'cn=nobody,dc=corp,dc=test' }, 'reader account'],
      ['a reader that is not a DN', { bindDn: 'reader' }, 'reader account'],
      ['a search base that does not exist', { searchBase: 'ou=nowhere,dc=corp,dc=test' }, 'search base does not exist'],
      ['a search base on another server', { searchBase: 'ou=remote,ou=people,dc=corp,dc=test' }, 'another server'],
      ['a search base that is not a DN', { searchBase: 'people' }, 'DN'],
    ] satisfies [string, Partial<DirectorySettings>, string][])(
      'says that the settings are wrong, never the password: %s',
      async (_what, changes, detail) => {
        for (const [username, password] of [
          ['ann', slapd.password],
          ['ann', 'wrong'],
          ['nobody', 'wrong'],
        ] as const) {
          const problem = await problemOf(source.authenticate(settings(changes), username, password));
          expect(problem).toMatchObject({
            code: 'access.directory-misconfigured',
            status: 503,
            detail: expect.stringContaining(detail) as string,
          });
        }
      },
    );

    it('says that nothing listens', async () => {
      const peer = await silentPeer();
      await peer.close();
      const problem = await problemOf(source.authenticate(at(peer), 'ann', slapd.password));
      expect(problem).toMatchObject({
        code: 'access.directory-unavailable',
        status: 503,
        detail: expect.stringContaining('ECONNREFUSED') as string,
      });
    });

    it('gives up on a server that is silent from the start', async () => {
      const peer = await silentPeer();
      // A busy machine can only make it look slower than it is: the best of three counts.
      let fastest = Infinity;
      for (let round = 0; round < 3 && fastest >= 3 * 300 + 1000; round += 1) {
        const startedAt = performance.now();
        const problem = await problemOf(source.authenticate(at(peer, { timeoutSeconds: 0.3 }), 'ann', slapd.password));
        expect(problem).toMatchObject({ code: 'access.directory-unavailable', detail: expect.stringContaining('timeout') as string });
        fastest = Math.min(fastest, performance.now() - startedAt);
      }
      expect(fastest).toBeLessThan(3 * 300 + 1000);
      await noSocketsLeft(peer.connections());
      await peer.close();
    });

    it.each(['cut', 'silence'] as const)(
      'says so when the server is lost in the middle (%s), and sends no password in clear text then',
      async (how) => {
        const seen = new Set<string>();
        for (let afterReplies = 0; afterReplies < 8; afterReplies++) {
          const peer = await failingPeer(targetPort(), afterReplies, how);
          const outcome = await source.authenticate(at(peer, { timeoutSeconds: 0.4 }), 'ann', slapd.password).then(
            (result) => (result.ok ? 'ok' : result.reason),
            (error: Problem) => error.code,
          );
          seen.add(outcome);
          if (transport.encrypted) {
            expect(peer.received()).not.toContain(slapd.password);
            expect(peer.received()).not.toContain(slapd.readerPassword);
          }
          await peer.close();
        }
        expect([...seen].filter((outcome) => outcome !== 'ok')).toEqual(['access.directory-unavailable']);
      },
    );

    if (transport.encrypted) {
      it('demands a certificate of the given authority', async () => {
        for (const caPem of [slapd.otherCaPem, null]) {
          const problem = await problemOf(source.authenticate(settings({ caPem }), 'ann', slapd.password));
          expect(problem).toMatchObject({
            code: 'access.directory-unavailable',
            status: 503,
            detail: expect.stringContaining('authority') as string,
          });
        }
      });

      it('demands a certificate for the name that it connected to', async () => {
        const named = (host: string): DirectorySettings => settings({ url: settings().url.replace('127.0.0.1', host) });
        const problem = await problemOf(source.authenticate(named('127.0.0.2'), 'ann', slapd.password));
        expect(problem).toMatchObject({ code: 'access.directory-unavailable', detail: expect.stringContaining('another name') as string });
        expect(await source.authenticate(named('localhost'), 'ann', slapd.password)).toMatchObject({ ok: true });
      });
    }
  });
}

/** Waits until this process holds no TCP connection but those a peer in the same process holds; fails when one stays. */
async function noSocketsLeft(heldByPeers = 0): Promise<void> {
  const open = (): number =>
    process.getActiveResourcesInfo().filter((kind) => /^(?:TCPSocketWrap|TCPWRAP|TLSWRAP|TLSWrap)$/.test(kind)).length;
  const deadline = Date.now() + 30_000;
  while (open() > heldByPeers) {
    if (Date.now() > deadline) throw new Error(`${open()} connections are left open`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
