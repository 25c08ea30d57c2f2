import { execFile, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { strFromU8, unzipSync } from 'fflate';
import { Access, Accounts, Authenticator, ClientCertificates, GatewayCertificate } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { anonymous, makeContext, uuidv7 } from '@gantry/platform';
import { testContext } from '@gantry/platform/testing';
import { adminPassword, makeHarness, type ApiHarness } from '../../../test/harness';

const password = 'a first long password';
const run = promisify(execFile);
/** Docker's own clients: the newest there is, and that of the oldest engine. */
const clients = ['/usr/local/bin/docker', '/usr/bin/docker'].filter((path) => existsSync(path));

interface Bundle {
  status: number;
  headers: Record<string, unknown>;
  code: string;
  archive: Buffer;
  files: Record<string, string>;
}
interface Listed {
  id: string;
  name: string;
  clusterId: string | null;
  limits: unknown;
  account: { name: string };
}

describe('client bundles', () => {
  const ctx = testContext();
  let harness: ApiHarness;
  let folder: string;
  let server: Server;
  let admin: string;
  const clusterId = uuidv7();

  beforeAll(async () => {
    harness = await makeHarness();
    folder = mkdtempSync(join(tmpdir(), 'gantry-bundles-'));
    admin = await harness.signIn('admin', adminPassword);
    const { app, db, config } = harness;
    await db.query(ctx, `insert into clusters_clusters (id, name, endpoint, api_version, engine_version, swarm_id, node_count, state, checked_at, created_at, version)
      values ($1, 'prod', '{"kind":"socket","path":"/run/nosuch.sock"}', '1.41', '20.10', 's', 1, 'unreachable', now(), now(), 1) returning 1`, [clusterId]);
    await app.get(Access).place(ctx, { kind: 'cluster', id: clusterId }, app.get(Access).systemCollection());
    // An engine gateway that lets in whoever is known, and says who that is.
    const { cert, key } = await app.get(GatewayCertificate).current();
    server = createServer({ cert, key, ca: await app.get(ClientCertificates).authority(ctx), requestCert: true, rejectUnauthorized: false }, (request, response) => {
      const peer = (request.socket as TLSSocket).getPeerCertificate();
      const found = 'raw' in peer ? app.get(Authenticator).certificate(makeContext(anonymous), { fingerprint: peer.fingerprint256, raw: peer.raw }) : Promise.resolve(null);
      found.then(
        (actor) => {
          const ping = request.url?.endsWith('/_ping');
          response.writeHead(actor || ping ? 200 : 401, { 'api-version': '1.41', 'content-type': 'application/json' });
          response.end(ping ? 'OK' : JSON.stringify(actor ? { Version: `as ${actor.name} on ${app.get(ClientCertificates).clusterOf(actor.credentialId)}`, ApiVersion: '1.41', MinAPIVersion: '1.24' } : { message: 'who are you?' }));
        },
        (error: Error) => response.destroy(error),
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    config.enginePort = (server.address() as AddressInfo).port;
  }, 300_000);
  afterAll(async () => {
    server?.closeAllConnections();
    server?.close();
    await harness?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const bundle = async (token: string, search = ''): Promise<Bundle> => {
    const answer = await harness.app.inject({ method: 'GET', url: `/api/v1/me/bundle${search}`, headers: { authorization: `Bearer ${token}` } });
    const good = answer.statusCode === 200;
    return {
      status: answer.statusCode, headers: answer.headers, archive: answer.rawPayload, code: good ? '' : (JSON.parse(answer.payload) as { code: string }).code,
      files: good ? Object.fromEntries(Object.entries(unzipSync(answer.rawPayload)).map(([name, bytes]) => [name, strFromU8(bytes)])) : {},
    };
  };
  const listed = async (token: string, path = 'me'): Promise<Listed[]> => ((await harness.send('GET', `/api/v1/${path}/certificates`, { token })).body as { items: Listed[] }).items;
  const user = async (name: string): Promise<string> => {
    await harness.app.get(Accounts).createUser(ctx, { name, password });
    return harness.signIn(name, password);
  };
  const token = async (as: string, body: Record<string, unknown>): Promise<string> =>
    String(((await harness.send('POST', '/api/v1/tokens', { token: as, body: { expiresAt: new Date(Date.now() + 86_400_000).toISOString(), ...body } })).body as { token: string }).token);
  const unpack = (name: string, archive: Buffer): string => {
    const at = join(folder, name);
    mkdirSync(at);
    writeFileSync(join(at, 'b.zip'), archive);
    expect(spawnSync('unzip', ['-q', 'b.zip'], { cwd: at }).status).toBe(0);
    return at;
  };
  const shell = async (script: string, cwd: string): Promise<string> => {
    const { stdout, stderr } = await run('bash', ['-c', script], { cwd, env: { PATH: process.env['PATH'] ?? '', HOME: cwd, DOCKER_CONFIG: join(cwd, 'config') } }).catch((error: { stdout: string; stderr: string }) => error);
    return stdout + stderr;
  };

  it.each(clients)('let %s in by one command, by a context, and no longer once revoked', async (docker) => {
    const name = docker.includes('local') ? 'ann' : 'bob';
    const own = await user(name);
    const got = await bundle(own);
    expect([got.status, got.headers['content-type'], got.headers['cache-control'], got.headers['content-disposition']]).toEqual([200, 'application/zip', 'no-store', 'attachment; filename="gantry-bundle.zip"']);
    const at = unpack(`zip-${name}`, got.archive);
    const version = `${docker} version --format '{{.Server.Version}}'`;
    expect(await shell(`eval "$(<env.sh)" && ${version}`, at)).toBe(`as ${name} on null\n`);
    expect(await shell(`source env.sh && cd / && ${version}`, at)).toBe(`as ${name} on null\n`);
    expect(await shell(`${docker} context import gantry context.zip && ${docker} --context gantry version --format '{{.Server.Version}}'`, at)).toContain(`\nas ${name} on null\n`);
    const [{ id }] = (await listed(own)) as [Listed];
    expect(got.files['README.txt']).toContain(id);
    expect((await harness.send('DELETE', `/api/v1/me/certificates/${id}`, { token: own })).status).toBe(204);
    expect(await shell(`eval "$(<env.sh)"; ${version}`, at)).toContain('who are you?');
    expect(await listed(own)).toEqual([]);
    // The form for `docker context import` alone, also from a pipe, for one cluster.
    const context = await bundle(admin, '?format=context&cluster=prod');
    expect([context.status, context.headers['content-disposition'], Object.keys(context.files)]).toEqual([
      200, 'attachment; filename="gantry-context-prod.zip"', ['meta.json', 'tls/docker/ca.pem', 'tls/docker/cert.pem', 'tls/docker/key.pem'],
    ]);
    writeFileSync(join(at, 'prod.zip'), context.archive);
    for (const how of [`${docker} context import prod prod.zip`, `cat prod.zip | ${docker} context import piped -`]) expect(await shell(how, at)).toMatch(/Successfully imported context/);
    for (const imported of ['prod', 'piped']) expect(await shell(`${docker} --context ${imported} version --format '{{.Server.Version}}'`, at)).toBe(`as admin on ${clusterId}\n`);
  }, 300_000);

  it('hold a certificate that OpenSSL takes for a client’s, and are on record', async () => {
    const cara = await user('cara');
    const { files } = await bundle(cara, '?name=laptop');
    const at = join(folder, 'openssl');
    mkdirSync(at);
    for (const [name, text] of Object.entries({ ...files, 'client-ca.pem': await harness.app.get(ClientCertificates).authority(ctx) })) if (name.endsWith('.pem')) writeFileSync(join(at, name), text);
    expect(await shell('openssl verify -purpose sslclient -CAfile client-ca.pem cert.pem', at)).toBe('cert.pem: OK\n');
    expect(await shell('openssl pkey -in key.pem -pubout', at)).toBe(await shell('openssl x509 -in cert.pem -noout -pubkey', at));
    const { port } = server.address() as AddressInfo;
    expect(await shell(`openssl s_client -connect 127.0.0.1:${port} -CAfile ca.pem -verify_return_error -verify_ip 127.0.0.1 -cert cert.pem -key key.pem </dev/null`, at)).toMatch(/Verify return code: 0 \(ok\)/);
    const shown = new X509Certificate(files['cert.pem']!);
    expect([shown.subject, (new Date(shown.validTo).getTime() - Date.now()) / 86_400_000]).toEqual(['CN=cara', expect.closeTo(30, 1)]);
    const [row] = (await harness.app.get(Audit).list(ctx, { limit: 10, action: 'certificate.issue' })).items;
    expect(row).toMatchObject({ actorName: 'cara', resourceName: 'laptop', outcome: 'success', detail: { serial: shown.serialNumber.toLowerCase() } });
    expect(await listed(cara)).toMatchObject([{ name: 'laptop', account: { name: 'cara' }, clusterId: null, limits: null }]);
  });

  it('are for a cluster only where the caller may see it', async () => {
    const dan = await user('dan');
    const hidden = await bundle(dan, '?cluster=prod');
    const nothing = await bundle(dan, '?cluster=nosuch');
    expect([hidden.status, hidden.code, nothing.status, nothing.code]).toEqual([404, 'request.not-found', 404, 'request.not-found']);
    expect(await listed(dan)).toEqual([]);
    for (const by of ['prod', clusterId]) expect((await bundle(admin, `?cluster=${by}`)).status).toBe(200);
    expect((await listed(admin)).slice(0, 2)).toMatchObject([{ name: 'prod', clusterId }, { name: 'prod', clusterId }]);
    for (const search of ['?format=tar', '?cluster=', '?name=', `?name=${'x'.repeat(64)}`, '?name=%1b', '?cluster=a&cluster=b', '?days=3', '?cluster=%00']) {
      expect([search, (await bundle(admin, search)).status]).toEqual([search, 400]);
    }
  });

  it('through a token have its limits, and need its leave', async () => {
    const eve = await user('eve');
    const narrow = await token(eve, { name: 'narrow', limits: { operations: ['container:view'] } });
    expect([(await bundle(narrow)).status, (await harness.send('GET', '/api/v1/me/certificates', { token: narrow })).status]).toEqual([403, 403]);
    const operations = ['certificate:manage', 'container:view'];
    const robot = await token(eve, { name: 'ci', kind: 'robot', limits: { operations } });
    const { files, status } = await bundle(robot);
    expect([status, new X509Certificate(files['cert.pem']!).toLegacyObject().subject]).toEqual([200, { CN: 'eve+ci' }]);
    expect(new Date(new X509Certificate(files['cert.pem']!).validTo).getTime()).toBeLessThan(Date.now() + 86_400_000);
    expect((await bundle(robot, '?cluster=prod')).status).toBe(404);
    const [of] = (await listed(eve)) as [Listed];
    expect(of).toMatchObject({ account: { name: 'eve+ci' }, limits: { operations } });
    // Administrators see and end them; nobody else does.
    expect(await listed(admin, 'users/eve%2Bci')).toMatchObject([{ id: of.id }]);
    expect(await listed(admin, 'users/eve')).toMatchObject([{ id: of.id }]);
    for (const path of ['users/eve/certificates', 'users/nosuch/certificates']) expect((await harness.send('GET', `/api/v1/${path}`, { token: eve })).status).toBe(403);
    expect((await harness.send('DELETE', `/api/v1/users/admin/certificates/${of.id}`, { token: admin })).status).toBe(404);
    expect((await harness.send('DELETE', `/api/v1/me/certificates/${of.id}`, { token: admin })).status).toBe(404);
    expect((await harness.send('DELETE', `/api/v1/users/eve/certificates/${of.id}`, { token: admin })).status).toBe(204);
    expect(await listed(eve)).toEqual([]);
    expect((await bundle('gses_forged')).status).toBe(401);
  });
});
