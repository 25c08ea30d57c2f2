import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { accessEntities, type IssuedCertificate } from '@gantry/access';
import { auditEntities } from '@gantry/audit';
import { anonymous, Clock, Db, makeContext, uuidv7, type Actor, type Config, type Context } from '@gantry/platform';
import { eventually, openTestDatabase, testConfig, testContext, testLogger, testSealer, type TestDatabase } from '@gantry/platform/testing';
import { migrations } from '../../../migrations';
import { codeOf, contextOf, makeAccess, makeUser, type AccessStack } from '../testing';

const entities = [...auditEntities, ...accessEntities];
const day = 86_400;

/** A clock that stands still until it is told to move. */
class TestClock extends Clock {
  private millis = Date.now();
  now(): Date {
    return new Date(this.millis);
  }
  advance(seconds: number): void {
    this.millis += seconds * 1000;
  }
}

const visitor = (): Context => makeContext(anonymous, { address: '192.0.2.1' });
const code = (error: unknown): string => (error as { code?: string }).code ?? String(error);
/** As a TLS listener sees it. */
const shown = (pem: string): { fingerprint: string; raw: Buffer } => {
  const { fingerprint256: fingerprint, raw } = new X509Certificate(pem);
  return { fingerprint, raw };
};

describe('client certificates', () => {
  let database: TestDatabase;
  let clock: TestClock;
  let stack: AccessStack;
  let home: string;
  let config: Config;
  const ctx = testContext();

  beforeEach(async () => {
    database = await openTestDatabase(entities);
    clock = new TestClock();
    home = mkdtempSync(join(tmpdir(), 'gantry-certificates-'));
    config = testConfig({ GANTRY_HOME: home, GANTRY_CERTIFICATE_LIMIT: '3', GANTRY_PUBLIC_URL: 'https://gantry.example.org:8443/x', GANTRY_TOKEN_MAX_DAYS: '90', GANTRY_SESSION_MINUTES: '43200' });
    stack = await makeAccess(database.db, { clock, config });
  });
  afterEach(async () => {
    await stack.close();
    await database.close();
    rmSync(home, { recursive: true, force: true });
  });

  const query = <T>(sql: string, parameters: unknown[] = []): Promise<T[]> => database.db.query<T>(ctx, sql, parameters);
  /** Another process on the same database. */
  const withOther = async (work: (other: AccessStack) => Promise<void>): Promise<void> => {
    const db = await Db.open({ url: database.url, entities, migrations, logger: testLogger() });
    const other = await makeAccess(db, { clock, config });
    try {
      await work(other);
    } finally {
      await other.close();
      await db.close();
    }
  };
  const dump = async (): Promise<string> => {
    const tables = await query<{ name: string }>(`select table_name as name from information_schema.tables where table_schema = 'public'`);
    const all = await Promise.all(tables.map(({ name }) => query<{ text: string }>(`select coalesce(string_agg(to_jsonb(t)::text, ' '), '') as text from ${name} t`)));
    return all.map((found) => found[0]!.text).join('\n');
  };
  const rows = async (action: string): Promise<unknown[]> => {
    await stack.audit.flushRepeats();
    return (await stack.audit.list(ctx, { limit: 200, action })).items.reverse();
  };
  const actorOfToken = async (token: string): Promise<Context> => ({ ...visitor(), actor: (await stack.authenticator.bearer(visitor(), token))! });
  /** Signs in; answers the session's context. */
  const signIn = async (username: string, password = `${username}-password-1`): Promise<Context> => actorOfToken((await stack.sessions.signIn(visitor(), { username, password })).token);
  const user = async (name: string): Promise<Context> => {
    await makeUser(stack, name);
    return signIn(name);
  };
  const who = (issued: IssuedCertificate, at = stack): Promise<Actor | null> => at.authenticator.certificate(visitor(), shown(issued.certificatePem));
  const file = (name: string, text: string): string => {
    writeFileSync(join(home, name), text);
    return join(home, name);
  };
  const openssl = (...argv: string[]): string => {
    const { stdout, stderr } = spawnSync('openssl', argv, { encoding: 'utf8', cwd: home, stdio: ['ignore', 'pipe', 'pipe'] });
    return `${stdout}${stderr}`;
  };

  it('are what OpenSSL takes for a client’s, signed by an authority that two processes make once', async () => {
    await withOther(async (other) => {
      const [one, two] = await Promise.all([stack.certificates.authority(ctx), other.certificates.authority(ctx)]);
      expect(one).toBe(two);
      await Promise.all([stack.gatewayCertificate.trusted(), other.gatewayCertificate.trusted()]);
    });
    expect(await query('select kind from access_authorities order by kind')).toEqual([{ kind: 'client' }, { kind: 'gateway' }]);
    const issued = await stack.certificates.issue(await user('ann'));
    const authority = file('client-ca.pem', await stack.certificates.authority(ctx));
    const gateway = file('gateway-ca.pem', (await stack.gatewayCertificate.current()).ca);
    const cert = file('cert.pem', issued.certificatePem);
    expect(openssl('verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', authority, cert)).toMatch(/cert\.pem: OK\n$/);
    expect(openssl('verify', '-x509_strict', '-CAfile', authority, authority)).toMatch(/client-ca\.pem: OK\n$/);
    expect(openssl('verify', '-purpose', 'sslserver', '-CAfile', authority, cert)).toMatch(/error 26|unsuitable certificate purpose|unsupported certificate purpose/);
    expect(openssl('verify', '-CAfile', gateway, cert)).toMatch(/unable to get local issuer certificate/);
    expect(openssl('x509', '-in', cert, '-noout', '-subject', '-serial', '-fingerprint', '-sha256').toLowerCase().replaceAll(':', '')).toMatch(
      new RegExp(`subject=cn = ann\\nserial=${issued.certificate.serial}\\nsha256 fingerprint=${issued.certificate.fingerprint}`));
    expect(openssl('pkey', '-in', file('key.pem', issued.keyPem.reveal()), '-pubout')).toBe(openssl('x509', '-in', cert, '-noout', '-pubkey'));
    expect(issued.certificate.expiresAt.getTime() - clock.now().getTime()).toBeGreaterThan(30 * day * 1000 - 1000);
    expect(await rows('certificate.issue')).toMatchObject([{ actorName: 'ann', resourceId: issued.certificate.id, detail: { account: 'ann', serial: issued.certificate.serial, limits: null } }]);
  });

  it('leave no private key behind: neither theirs nor, unsealed, an authority’s', async () => {
    const issued = await stack.certificates.issue(await user('ann'));
    await stack.gatewayCertificate.current();
    const everything = await dump();
    expect(everything).not.toContain('PRIVATE KEY');
    expect(everything).not.toContain(issued.keyPem.reveal().split('\n')[1]);
    expect(`${JSON.stringify(issued)} ${String(issued.keyPem)}`).not.toContain('PRIVATE');
    for (const { sealed_key: sealed, kind } of await query<{ sealed_key: string; kind: string }>('select sealed_key, kind from access_authorities')) {
      expect(testSealer().open(sealed, `access.authority:${kind}`).toString()).toMatch(/^-----BEGIN PRIVATE KEY/);
      // A value is good for its own place alone.
      expect(() => testSealer().open(sealed, `access.authority:${kind === 'client' ? 'gateway' : 'client'}`)).toThrow();
    }
  });

  it('say who comes, over TLS, with the gateway’s own certificate at the other end', async () => {
    const ann = await user('ann');
    const issued = await stack.certificates.issue(ann, { clusterId: '0198c0de-0000-7000-8000-00000000000c' });
    const listener = await stack.gatewayCertificate.current();
    const server = createServer({ cert: listener.cert, key: listener.key, ca: await stack.certificates.authority(ctx), requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' }, (incoming, answer) => {
      const peer = (incoming.socket as TLSSocket).getPeerCertificate();
      const found = 'raw' in peer ? stack.authenticator.certificate(visitor(), { fingerprint: peer.fingerprint256, raw: peer.raw }) : Promise.resolve(null);
      found.then((actor) => answer.end(JSON.stringify(actor)), (error: Error) => answer.destroy(error));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const ask = (tls: object, host = 'localhost'): Promise<Actor | null> => new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port, servername: host, agent: false, ca: listener.ca, ...tls }, (answer) => {
        let text = '';
        answer.on('data', (chunk) => (text += String(chunk))).on('end', () => resolve(JSON.parse(text) as Actor | null));
      }).once('error', reject).end();
    });
    try {
      const own = { cert: issued.certificatePem, key: issued.keyPem.reveal() };
      expect(await ask(own)).toEqual({ kind: 'user', id: ann.actor.id, name: 'ann', admin: false, credentialId: issued.certificate.id, limits: null });
      expect(await ask(own, 'gantry.example.org')).not.toBeNull();
      expect(stack.certificates.clusterOf(issued.certificate.id)).toBe('0198c0de-0000-7000-8000-00000000000c');
      expect([stack.certificates.clusterOf(null), stack.certificates.clusterOf(uuidv7())]).toEqual([null, null]);
      expect((await stack.certificates.list(ann)).items[0]?.lastUsedAt).toEqual(clock.now());
      expect(await ask({})).toBeNull();
      await expect(ask(own, 'elsewhere.example.org')).rejects.toThrow(/altnames|does not match/);
      await expect(ask({ ...own, ca: await stack.certificates.authority(ctx) })).rejects.toThrow(/unable to|self.signed|issuer/);
      // Self-made ones: of any name, of an authority that bears the name of ours, and the gateway’s own.
      const selfSigned = openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'self.key', '-subj', '/CN=ann', '-days', '3', '-addext', 'extendedKeyUsage=clientAuth');
      const key = execFileSync('cat', [join(home, 'self.key')], { encoding: 'utf8' });
      expect(await ask({ cert: selfSigned.slice(selfSigned.indexOf('-----BEGIN CERT')), key })).toBeNull();
      expect(await ask({ cert: listener.cert, key: listener.key })).toBeNull();
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('count for what is theirs alone: the bytes, the fingerprint, our signature, the row', async () => {
    const issued = await stack.certificates.issue(await user('ann'));
    const { fingerprint, raw } = shown(issued.certificatePem);
    const authenticate = (fingerprintShown: string, bytes = raw): Promise<Actor | null> => stack.authenticator.certificate(visitor(), { fingerprint: fingerprintShown, raw: bytes });
    expect(await authenticate(createHash('sha256').update(raw).digest('hex'))).toMatchObject({ name: 'ann' });
    expect(await authenticate(fingerprint)).toMatchObject({ name: 'ann' });
    expect(await authenticate('')).toBeNull();
    expect(await authenticate(fingerprint.replace(/..$/, (end) => (end === '00' ? '01' : '00')))).toBeNull();
    const longer = Buffer.concat([raw, Buffer.from([0])]);
    expect(await authenticate(createHash('sha256').update(longer).digest('hex'), longer)).toBeNull();
    // One that our authority has signed, but that is not on record.
    const bob = await stack.certificates.issue(await user('bob'));
    await query('delete from access_client_certificates where id = $1 returning 1', [bob.certificate.id]);
    expect(await who(bob)).toBeNull();
    // One that is on record, but that another authority has signed.
    await withOther(async (other) => {
      await query(`delete from access_authorities where kind = 'client' returning 1`);
      expect(await who(issued, other)).toBeNull();
    });
    expect(await who(issued)).not.toBeNull();
  });

  it('are over when they are over, also where they are remembered', async () => {
    const ann = await user('ann');
    const issued = await stack.certificates.issue(ann, { ttlSeconds: 90 });
    expect(issued.certificate.expiresAt.getTime() - clock.now().getTime()).toBeGreaterThan(89_000);
    expect(new Date(new X509Certificate(issued.certificatePem).validTo)).toEqual(issued.certificate.expiresAt);
    clock.advance(60);
    expect(await who(issued)).not.toBeNull();
    clock.advance(29);
    expect(await who(issued)).not.toBeNull();
    clock.advance(1);
    expect(await who(issued)).toBeNull();
    expect((await stack.certificates.list(ann)).items).toEqual([]);
    for (const ttlSeconds of [0, -1, 59, 30 * day + 1, Number.NaN, Infinity]) expect(await stack.certificates.issue(ann, { ttlSeconds }).catch(code)).toBe('access.certificate-lifetime');
    clock.advance(8 * day);
    await stack.sessions.expire(ctx);
    expect(await query('select 1 from access_client_certificates')).toEqual([]);
  });

  it('are listed and ended by their holder and by administrators, on every replica, and by nobody else', async () => {
    const [ann, bob] = [await user('ann'), await user('bob')];
    const [one, two] = [await stack.certificates.issue(ann, { name: 'laptop' }), await stack.certificates.issue(ann, { name: 'desk' })];
    await withOther(async (other) => {
      expect([await who(one, other), await who(two, other)]).toEqual([expect.anything(), expect.anything()]);
      expect((await stack.certificates.list(ann)).items.map(({ name }) => name)).toEqual(['desk', 'laptop']);
      const first = await stack.certificates.list(ann, { limit: 1 });
      expect((await stack.certificates.list(ann, { limit: 1, cursor: first.next! })).items.map(({ name }) => name)).toEqual(['laptop']);
      expect((await stack.certificates.list(bob)).items).toEqual([]);
      expect((await stack.certificates.listFor(ctx, 'ann')).items).toHaveLength(2);
      for (const id of [one.certificate.id, uuidv7(), 'x']) expect(await stack.certificates.revoke(bob, id).catch(code)).toBe('request.not-found');
      expect(await stack.certificates.revokeFor(ctx, 'bob', one.certificate.id).catch(code)).toBe('request.not-found');
      await stack.certificates.revoke(ann, one.certificate.id);
      await stack.certificates.revokeFor(ctx, 'ann', two.certificate.id);
      expect([await who(one), await who(two)]).toEqual([null, null]);
      await eventually('void there too', async () => (await who(one, other)) === null && (await who(two, other)) === null);
      expect(await stack.certificates.revoke(ann, one.certificate.id).catch(code)).toBe('request.not-found');
      expect(await rows('certificate.revoke')).toMatchObject([{ actorName: 'ann', resourceName: 'laptop' }, { actorName: 'test', resourceName: 'desk' }]);
    });
    await stack.accounts.createOrganization(ctx, { name: 'acme' });
    for (const name of ['acme', 'nobody']) expect(await stack.certificates.listFor(ctx, name).catch(code)).toBe('request.not-found');
  });

  it('end with the account, a password, a second factor of it; none comes back with the account', async () => {
    await withOther(async (other) => {
      const ways: [string, (self: Context, name: string) => Promise<unknown>][] = [
        ['deactivated', async (_self, name) => {
          const account = await stack.accounts.get(ctx, name);
          await stack.accounts.update(ctx, name, account.version, { active: false });
        }],
        ['changed', (self, name) => stack.accounts.changePassword(self, { current: `${name}-password-1`, next: 'another long password' })],
        ['secured', async (self, name) => {
          const { secret } = await stack.secondFactors.begin(self, { password: `${name}-password-1` });
          await stack.secondFactors.confirm(self, { code: codeOf(secret, clock.now()) });
        }],
        ['reset', (_self, name) => stack.accounts.resetPassword(ctx, name, 'another long password')],
      ];
      for (const [name, end] of ways) {
        const self = await user(name);
        const issued = await stack.certificates.issue(self);
        await eventually(`${name}: known there`, () => who(issued, other));
        expect([name, await who(issued), await who(issued, other)]).toEqual([name, expect.anything(), expect.anything()]);
        await end(self, name);
        expect([name, await who(issued)]).toEqual([name, null]);
        await eventually(`${name}: void there too`, async () => (await who(issued, other)) === null);
        const account = await stack.accounts.get(ctx, name);
        if (!account.active) await stack.accounts.update(ctx, name, account.version, { active: true });
        expect([name, await who(issued), await query('select 1 from access_client_certificates where account_id = $1 and revoked_at is null', [account.id])]).toEqual([name, null, []]);
      }
    });
  });

  it('of a token have its limits, last no longer, and end with it', async () => {
    const ann = await user('ann');
    const operations = ['certificate:manage', 'container:view'];
    const made = await stack.tokens.create(ann, { name: 'ci', kind: 'personal', expiresAt: new Date(clock.now().getTime() + 2 * day * 1000), limits: { operations } });
    const through = await actorOfToken(made.token);
    const issued = await stack.certificates.issue(through);
    expect(issued.certificate).toMatchObject({ limits: { operations }, expiresAt: new Date(Math.floor(made.expiresAt.getTime() / 1000) * 1000) });
    expect(await who(issued)).toMatchObject({ name: 'ann', credentialId: issued.certificate.id, limits: { operations } });
    await withOther(async (other) => {
      expect((await who(issued, other))?.limits).toEqual({ operations });
      expect(stack.access.mayUse({ ...visitor(), actor: (await who(issued))! }, 'container:create')).toBe(false);
      await stack.tokens.revoke(ctx, made.id);
      expect(await who(issued)).toBeNull();
      await eventually('void there too', async () => (await who(issued, other)) === null);
    });
    expect(await rows('token.revoke')).toMatchObject([{ detail: { certificates: 1 } }]);
    expect(await stack.certificates.issue(through).catch(code)).toBe('request.unauthenticated');
    // Without limits, but still with the token.
    const free = await stack.tokens.create(ann, { name: 'free', kind: 'personal', expiresAt: new Date(clock.now().getTime() + 80 * day * 1000), limits: null });
    const long = await stack.certificates.issue(await actorOfToken(free.token));
    expect([long.certificate.limits, await who(long)]).toEqual([null, expect.objectContaining({ limits: null })]);
    await stack.tokens.revoke(ann, free.id);
    expect(await who(long)).toBeNull();
  });

  it('of a robot are seen and ended by its owner, and go with it', async () => {
    const ann = await user('ann');
    const made = await stack.tokens.create(ann, { name: 'ci', kind: 'robot', expiresAt: new Date(clock.now().getTime() + day * 1000), limits: { operations: ['certificate:manage', 'image:view'] } });
    const robot = await actorOfToken(made.token);
    const [one, two] = [await stack.certificates.issue(robot), await stack.certificates.issue(robot)];
    expect(await who(one)).toMatchObject({ kind: 'robot', name: 'ann+ci', admin: false, limits: { operations: ['certificate:manage', 'image:view'] } });
    expect((await stack.certificates.list(ann)).items.map(({ account }) => account.name)).toEqual(['ann+ci', 'ann+ci']);
    expect((await stack.certificates.listFor(ctx, 'ann+ci')).items).toHaveLength(2);
    await stack.certificates.issue(ann);
    expect((await stack.certificates.list(robot)).items).toHaveLength(2);
    await stack.certificates.revoke(ann, one.certificate.id);
    expect([await who(one), await who(two)]).toEqual([null, expect.anything()]);
    await stack.tokens.revoke(ann, made.id);
    expect(await who(two)).toBeNull();
    expect(await query('select 1 from access_client_certificates where account_id = $1', [robot.actor.id])).toEqual([]);
  });

  it('are for users and robots who are signed in now, and for nobody else', async () => {
    const ann = await user('ann');
    const issued = await stack.certificates.issue(ann);
    const account = await stack.accounts.get(ctx, 'ann');
    for (const kind of ['service', 'trigger', 'system', 'anonymous'] as const) expect([kind, await stack.certificates.issue(contextOf(account, { kind })).catch(code)]).toEqual([kind, 'access.certificate-owner']);
    expect(await stack.certificates.issue(contextOf(account, { id: null })).catch(code)).toBe('access.certificate-owner');
    // Neither by a certificate, nor by what was ended, nor by a credential of somebody else.
    const bob = await user('bob');
    for (const credentialId of [issued.certificate.id, uuidv7(), null, bob.actor.credentialId]) {
      expect(await stack.certificates.issue(contextOf(account, { credentialId })).catch(code)).toBe('request.unauthenticated');
    }
    await stack.sessions.end(ann);
    expect(await stack.certificates.issue(ann).catch(code)).toBe('request.unauthenticated');
    expect(await who(issued)).not.toBeNull();
    await stack.accounts.update(ctx, 'bob', (await stack.accounts.get(ctx, 'bob')).version, { active: false });
    expect(await stack.certificates.issue(bob).catch(code)).toBe('request.unauthenticated');
    expect(await rows('certificate.issue')).toHaveLength(1);
  });

  it('are at most so many for one account: the one used least recently ends, also when many are made at once', async () => {
    const [ann, bob] = [await user('ann'), await user('bob')];
    await stack.certificates.issue(bob);
    const made: IssuedCertificate[] = [];
    for (let n = 0; n < 3; n += 1) {
      made.push(await stack.certificates.issue(ann, { name: `n${n}` }));
      clock.advance(120);
    }
    await who(made[0]!);
    clock.advance(120);
    made.push(await stack.certificates.issue(ann, { name: 'n3' }));
    expect((await Promise.all(made.map((issued) => who(issued)))).map((actor) => actor !== null)).toEqual([true, false, true, true]);
    expect(await rows('certificate.revoke')).toMatchObject([{ actorName: 'ann', resourceName: 'n1', detail: { reason: 'limit', limit: 3 } }]);
    await Promise.all(Array.from({ length: 6 }, () => stack.certificates.issue(ann)));
    expect((await stack.certificates.list(ann)).items).toHaveLength(3);
    expect((await stack.certificates.list(bob)).items).toHaveLength(1);
  });

  it('of an account that is deactivated at that moment are not made, or end', async () => {
    for (let n = 0; n < 5; n += 1) {
      const self = await user(`u${n}`);
      const { version } = await stack.accounts.get(ctx, `u${n}`);
      const [issued] = await Promise.all([
        stack.certificates.issue(self).catch(code),
        stack.accounts.update(ctx, `u${n}`, version, { active: false }),
      ]);
      if (typeof issued === 'string') expect(issued).toBe('request.unauthenticated');
      expect(await query('select 1 from access_client_certificates where account_id = $1 and revoked_at is null', [self.actor.id])).toEqual([]);
    }
  });

  describe('the gateway’s own', () => {
    it('is kept while it lasts and made anew by the same authority before it ends, without touching a bundle', async () => {
      const issued = await stack.certificates.issue(await user('ann'));
      const [first, same] = await Promise.all([stack.gatewayCertificate.current(), stack.gatewayCertificate.current()]);
      expect(same).toBe(first);
      clock.advance(59 * day);
      expect(await stack.gatewayCertificate.current()).toBe(first);
      clock.advance(2 * day);
      const second = await stack.gatewayCertificate.current();
      expect([second.cert === first.cert, second.ca]).toEqual([false, first.ca]);
      const [before, after] = [new X509Certificate(first.cert), new X509Certificate(second.cert)];
      expect(new Date(before.validTo).getTime() - clock.now().getTime()).toBeLessThan(30 * day * 1000);
      expect(new Date(after.validTo).getTime() - clock.now().getTime()).toBeGreaterThan(89 * day * 1000);
      expect([after.subjectAltName, after.verify(new X509Certificate(second.ca).publicKey)]).toEqual(['DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:gantry.example.org', true]);
      const authority = file('ca.pem', first.ca);
      expect(openssl('verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', 'gantry.example.org', '-CAfile', authority, file('server.pem', first.cert))).toMatch(/OK\n$/);
      expect(openssl('verify', '-purpose', 'sslclient', '-CAfile', authority, file('server.pem', first.cert))).toMatch(/purpose/);
      // Another gateway authority altogether: bundles stay good.
      await query(`delete from access_authorities where kind = 'gateway' returning 1`);
      await withOther(async (other) => {
        expect((await other.gatewayCertificate.current()).ca).not.toBe(first.ca);
        clock.advance(-61 * day);
        expect(await who(issued, other)).toMatchObject({ name: 'ann' });
      });
    });

    it('has no part where the operator gives one: bundles trust what is in that file, and its key stays there', async () => {
      openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'own.key', '-out', 'own.crt', '-subj', '/CN=own', '-days', '3');
      const both = execFileSync('cat', ['own.key', 'own.crt'], { cwd: home, encoding: 'utf8' });
      config = { ...config, tlsCertFile: file('own.pem', both), tlsKeyFile: join(home, 'own.key') };
      await withOther(async (other) => {
        const trusted = await other.gatewayCertificate.trusted();
        expect(trusted).not.toContain('PRIVATE');
        expect(new X509Certificate(trusted).subject).toBe('CN=own');
      });
      config = { ...config, tlsCertFile: join(home, 'own.key') };
      await withOther(async (other) => {
        await expect(other.gatewayCertificate.trusted()).rejects.toThrow(/holds no certificate/);
      });
    });
  });

  it('can’t be signed, but are still known, where the key that sealed their authority is lost', async () => {
    const ann = await user('ann');
    const issued = await stack.certificates.issue(ann);
    await query(`update access_authorities set sealed_key = 'v1:00000000:AAAA' where kind = 'client' returning 1`);
    await withOther(async (other) => {
      expect(await who(issued, other)).toMatchObject({ name: 'ann' });
      await expect(other.certificates.issue(ann)).rejects.toThrow(/GANTRY_SECRET_KEY/);
    });
  });
});
