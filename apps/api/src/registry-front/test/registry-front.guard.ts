import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { Tokens } from '@gantry/access';
import { uuidv7 } from '@gantry/platform';
import { eventually, testContext, testLogger } from '@gantry/platform/testing';
import { digestOf, RegistryFront, Repositories } from '@gantry/registry';
import { auditRows, imageType, makeImage, openRegistryRooms, type MadeImage, type RegistryRooms } from '../../../../../libs/registry/testing';
import { createRegistryFront } from '..';

const system = testContext();
const password = 'correct horse battery';
const indexType = 'application/vnd.oci.image.index.v1+json';
let rooms: RegistryRooms;
let server: Server;
let port: number;

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

function call(method: string, path: string, options: { headers?: OutgoingHttpHeaders; body?: Buffer | string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, method, path, headers: options.headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }));
      response.once('error', reject);
    });
    request.once('error', reject);
    request.end(options.body);
  });
}

const json = (answer: Answer): unknown => JSON.parse(answer.body.toString());
const code = (answer: Answer): string | undefined => (json(answer) as { errors?: { code: string }[] }).errors?.[0]?.code;
const basic = (user: string, secret = password): string => `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`;

/** A client as Docker's: asks, is challenged, fetches a token for the challenge's scope at the challenge's realm, and asks again. */
class Client {
  private readonly tokens = new Map<string, string>();
  constructor(private readonly user: string, private readonly secret = password) {}

  async token(scopes: string[]): Promise<string> {
    const query = new URLSearchParams([['service', 'gantry-registry'], ...scopes.map((scope): [string, string] => ['scope', scope])]);
    const answer = await call('GET', `/auth/token?${query.toString()}`, { headers: { authorization: basic(this.user, this.secret) } });
    if (answer.status !== 200) throw new Error(`no token: ${answer.status} ${answer.body.toString()}`);
    return (json(answer) as { token: string }).token;
  }

  async call(method: string, path: string, options: { headers?: OutgoingHttpHeaders; body?: Buffer | string; extra?: string[] } = {}): Promise<Answer> {
    const key = `${method === 'GET' || method === 'HEAD' ? 'r' : method === 'DELETE' ? 'd' : 'w'}${path.split('/').slice(2, 4).join('/')}${options.extra?.join() ?? ''}`;
    const known = this.tokens.get(key);
    if (known !== undefined) return call(method, path, { ...options, headers: { ...options.headers, authorization: `Bearer ${known}` } });
    const first = await call(method, path, { headers: {} });
    expect(first.status).toBe(401);
    const challenge = first.headers['www-authenticate'] ?? '';
    expect(challenge).toContain(`Bearer realm="http://127.0.0.1:${port}/auth/token",service="gantry-registry"`);
    const scope = /scope="([^"]+)"/.exec(challenge)?.[1];
    const token = await this.token([...(scope === undefined ? [] : [scope]), ...(options.extra ?? [])]);
    this.tokens.set(key, token);
    return call(method, path, { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } });
  }

  async pushBlob(path: string, bytes: Buffer): Promise<Answer> {
    const begun = await this.call('POST', `/v2/${path}/blobs/uploads/`);
    expect(begun.status).toBe(202);
    expect(begun.headers.location).toMatch(new RegExp(`^/v2/${path}/blobs/uploads/`));
    const half = Math.floor(bytes.length / 2);
    const patched = await this.call('PATCH', begun.headers.location!, { body: bytes.subarray(0, half), headers: { 'content-type': 'application/octet-stream', 'transfer-encoding': 'chunked' } });
    expect([patched.status, patched.headers.range]).toEqual([202, `0-${half - 1}`]);
    return this.call('PUT', `${patched.headers.location!}&digest=${encodeURIComponent(digestOf(bytes))}`, { body: bytes.subarray(half), headers: { 'content-type': 'application/octet-stream', 'content-length': bytes.length - half } });
  }

  async push(path: string, reference: string, image: MadeImage): Promise<Answer> {
    for (const blob of image.blobs) expect((await this.pushBlob(path, blob)).status).toBe(201);
    return this.call('PUT', `/v2/${path}/manifests/${reference}`, { body: image.manifest, headers: { 'content-type': imageType } });
  }
}

beforeAll(async () => {
  rooms = await openRegistryRooms();
  await rooms.accounts.createOrganization(system, { name: 'acme' });
  for (const name of ['alice', 'bob', 'carol']) await rooms.accounts.createUser(system, { name, password });
  await rooms.accounts.addMember(system, 'acme', 'alice', 'admin');
  await rooms.accounts.addMember(system, 'acme', 'carol', 'member');
  server = createRegistryFront({ app: rooms.app, config: rooms.config, logger: testLogger(), tls: null });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => server?.close(resolve));
  await rooms?.close();
});

describe('the token service', () => {
  test('answers as the Docker protocol has it', async () => {
    const answer = await call('GET', '/auth/token?service=gantry-registry&account=alice&offline_token=true&client_id=docker', { headers: { authorization: basic('alice') } });
    expect(answer.status).toBe(200);
    const body = json(answer) as Record<string, unknown>;
    expect(body).toMatchObject({ expires_in: 300, token: body['access_token'] });
    expect(Date.parse(String(body['issued_at']))).toBeGreaterThan(Date.now() - 60_000);
    expect(body).not.toHaveProperty('refresh_token');
    expect((await call('GET', '/v2/', { headers: { authorization: `Bearer ${String(body['token'])}` } })).status).toBe(200);
  });

  test('also takes the OAuth form with a password, and no refresh token', async () => {
    const post = (form: Record<string, string>): Promise<Answer> =>
      call('POST', '/auth/token', { body: new URLSearchParams(form).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    const answer = await post({ grant_type: 'password', service: 'gantry-registry', username: 'alice', password, scope: 'repository:acme/form:pull,push' });
    expect(answer.status).toBe(200);
    expect(json(answer)).toMatchObject({ token_type: 'Bearer', expires_in: 300 });
    expect((await post({ grant_type: 'password', username: 'alice', password: 'wrong wrong wrong' })).status).toBe(401);
    expect((await post({ grant_type: 'refresh_token', refresh_token: 'x' })).status).toBe(400);
    expect((await call('POST', '/auth/token', { body: 'x'.repeat(40_000), headers: { 'content-type': 'application/x-www-form-urlencoded' } })).status).toBe(413);
    expect((await call('POST', '/auth/token', { body: '{}', headers: { 'content-type': 'application/json' } })).status).toBe(415);
  });

  test('nobody, a wrong password and an unknown user are refused alike', async () => {
    const answers = await Promise.all([{}, { authorization: basic('bob', 'wrong wrong wrong') }, { authorization: basic('no-such', password) }, { authorization: 'Basic !!' }].map((headers) => call('GET', '/auth/token?scope=repository:acme/x:pull', { headers })));
    for (const answer of answers) {
      expect(answer.status).toBe(401);
      expect(json(answer)).toEqual({ errors: [{ code: 'UNAUTHORIZED', message: 'incorrect username or password' }] });
    }
    await eventually('the refusal is in the audit log', async () => (await auditRows(rooms, system, 'session.create')).some(({ outcome }) => outcome === 'refused'));
  });

  test('a bad request is the client’s fault', async () => {
    const headers = { authorization: basic('alice') };
    for (const query of ['scope=nonsense', 'service=other', `scope=${'repository:a/b:pull%20'.repeat(60)}`]) expect((await call('GET', `/auth/token?${query}`, { headers })).status).toBe(400);
    expect((await call('DELETE', '/auth/token', { headers })).status).toBe(405);
  });
});

describe('pushing and pulling', () => {
  const image = makeImage('front');
  const alice = new Client('alice');

  test('a push makes the repository, and a pull gives the same bytes', async () => {
    const pushed = await alice.push('acme/web', '1.0', image);
    expect([pushed.status, pushed.headers['docker-content-digest'], pushed.headers.location]).toEqual([201, image.digest, `/v2/acme/web/manifests/${image.digest}`]);
    expect(pushed.headers['oci-subject']).toBeUndefined();
    for (const reference of ['1.0', image.digest]) {
      const pulled = await alice.call('GET', `/v2/acme/web/manifests/${reference}`);
      expect([pulled.status, pulled.headers['content-type'], pulled.headers['docker-content-digest']]).toEqual([200, imageType, image.digest]);
      expect(pulled.body).toEqual(image.manifest);
      const head = await alice.call('HEAD', `/v2/acme/web/manifests/${reference}`);
      expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, String(image.manifest.length), 0]);
    }
    const layer = image.blobs[1]!;
    const blob = await alice.call('GET', `/v2/acme/web/blobs/${digestOf(layer)}`);
    expect(blob.body).toEqual(layer);
    const part = await alice.call('GET', `/v2/acme/web/blobs/${digestOf(layer)}`, { headers: { range: 'bytes=2-4' } });
    expect([part.status, part.body.toString()]).toEqual([206, layer.subarray(2, 5).toString()]);
    expect((await alice.call('HEAD', `/v2/acme/web/blobs/${digestOf(layer)}`)).headers['content-length']).toBe(String(layer.length));
    expect(await auditRows(rooms, system, 'repository.push')).toContainEqual(expect.objectContaining({ actorName: 'alice', resourceName: 'acme/web' }));
  });

  test('a large layer streams unchanged, both ways', async () => {
    const layer = randomBytes(8 * 1024 * 1024);
    expect((await alice.pushBlob('acme/web', layer)).status).toBe(201);
    const back = await alice.call('GET', `/v2/acme/web/blobs/${digestOf(layer)}`);
    expect(createHash('sha256').update(back.body).digest('hex')).toBe(digestOf(layer).slice(7));
  });

  test('wrong content is refused: digest, media type, JSON, missing blobs, size', async () => {
    const put = (reference: string, body: Buffer | string, type = imageType): Promise<Answer> => alice.call('PUT', `/v2/acme/web/manifests/${reference}`, { body, headers: { 'content-type': type } });
    const zero = `sha256:${'0'.repeat(64)}`;
    expect([(await put(zero, image.manifest)).status, code(await put(zero, image.manifest))]).toEqual([400, 'DIGEST_INVALID']);
    expect(code(await put('x', image.manifest, indexType))).toBe('MANIFEST_INVALID');
    expect(code(await put('x', '{"schemaVersion":2', imageType))).toBe('MANIFEST_INVALID');
    expect(code(await put('x', makeImage('absent').manifest))).toBe('MANIFEST_BLOB_UNKNOWN');
    expect((await put('x', Buffer.alloc(4 * 1024 * 1024 + 1, 32))).status).toBe(413);
    expect((await alice.call('GET', '/v2/acme/web/manifests/x')).status).toBe(404);
    const begun = await alice.call('POST', '/v2/acme/web/blobs/uploads/');
    const bad = await alice.call('PUT', `${begun.headers.location!}&digest=${zero}`, { body: 'not that', headers: { 'content-length': 8 } });
    expect([bad.status, code(bad)]).toEqual([400, 'DIGEST_INVALID']);
  });

  test('an immutable tag is not moved', async () => {
    const repositories = rooms.app.get(Repositories);
    const { id, version } = await repositories.get(system, 'acme/web');
    await repositories.update(system, id, version, { immutableTags: true });
    const answer = await alice.push('acme/web', '1.0', makeImage('moved'));
    expect([answer.status, code(answer)]).toEqual([409, 'TAG_INVALID']);
    expect((await alice.push('acme/web', '1.1', makeImage('moved'))).status).toBe(201);
  });

  test('an upload belongs to its repository', async () => {
    await alice.push('acme/second', '1', makeImage('second'));
    const begun = await alice.call('POST', '/v2/acme/web/blobs/uploads/');
    const elsewhere = begun.headers.location!.replace('/acme/web/', '/acme/second/');
    expect((await alice.call('PATCH', elsewhere, { body: 'x', headers: { 'content-length': 1 } })).status).toBeGreaterThanOrEqual(400);
    const status = await alice.call('GET', begun.headers.location!, { extra: ['repository:acme/web:push'] });
    expect(status.status).toBe(204);
    expect((await alice.call('DELETE', begun.headers.location!, { extra: ['repository:acme/web:push'] })).status).toBe(204);
  });

  test('tags and catalogue come in pages', async () => {
    for (const tag of ['b', 'a', 'C']) await alice.push('acme/paged', tag, makeImage('paged'));
    expect(json(await alice.call('GET', '/v2/acme/paged/tags/list'))).toEqual({ name: 'acme/paged', tags: ['C', 'a', 'b'] });
    const first = await alice.call('GET', '/v2/acme/paged/tags/list?n=2');
    expect(json(first)).toEqual({ name: 'acme/paged', tags: ['C', 'a'] });
    expect(first.headers.link).toBe('</v2/acme/paged/tags/list?n=2&last=a>; rel="next"');
    expect(json(await alice.call('GET', '/v2/acme/paged/tags/list?n=2&last=a'))).toEqual({ name: 'acme/paged', tags: ['b'] });
    expect(json(await alice.call('GET', '/v2/acme/paged/tags/list?n=0'))).toEqual({ name: 'acme/paged', tags: [] });
    expect((json(await alice.call('GET', '/v2/_catalog')) as { repositories: string[] }).repositories).toEqual(expect.arrayContaining(['acme/paged', 'acme/web']));
    expect(json(await new Client('bob').call('GET', '/v2/_catalog'))).toEqual({ repositories: [] });
  });

  test('referrers are listed from the record, and the subject is confirmed', async () => {
    const type = 'application/vnd.dev.sigstore.bundle.v0.3+json';
    const bundle = makeImage('bundle', { digest: image.digest, size: image.manifest.length, artifactType: type });
    const pushed = await alice.push('acme/web', bundle.digest, bundle);
    expect([pushed.status, pushed.headers['oci-subject']]).toEqual([201, image.digest]);
    const list = await alice.call('GET', `/v2/acme/web/referrers/${image.digest}`);
    expect(list.headers['content-type']).toBe(indexType);
    expect(json(list)).toEqual({
      schemaVersion: 2, mediaType: indexType,
      manifests: [{ mediaType: imageType, digest: bundle.digest, size: bundle.manifest.length, artifactType: type, annotations: { label: 'bundle' } }],
    });
    const filtered = await alice.call('GET', `/v2/acme/web/referrers/${image.digest}?artifactType=other`);
    expect([filtered.headers['oci-filters-applied'], (json(filtered) as { manifests: [] }).manifests]).toEqual(['artifactType', []]);
  });

  test('deleting: a tag, a manifest, a blob', async () => {
    const gone = makeImage('gone');
    await alice.push('acme/gone', '1', gone);
    await alice.push('acme/gone', '2', gone);
    expect((await alice.call('DELETE', '/v2/acme/gone/manifests/1')).status).toBe(202);
    expect((await alice.call('GET', '/v2/acme/gone/manifests/1')).status).toBe(404);
    expect((await alice.call('GET', '/v2/acme/gone/manifests/2')).status).toBe(200);
    expect((await alice.call('DELETE', `/v2/acme/gone/manifests/${gone.digest}`)).status).toBe(202);
    expect((await alice.call('GET', '/v2/acme/gone/manifests/2')).status).toBe(404);
    expect((await alice.call('DELETE', `/v2/acme/gone/manifests/${gone.digest}`)).status).toBe(404);
    expect((await alice.call('DELETE', `/v2/acme/gone/blobs/${digestOf(gone.blobs[1]!)}`)).status).toBe(202);
    expect((await alice.call('GET', `/v2/acme/gone/blobs/${digestOf(gone.blobs[1]!)}`)).status).toBe(404);
    expect(await auditRows(rooms, system, 'repository.delete-blob')).toHaveLength(1);
  });
});

describe('who may', () => {
  const image = makeImage('secret');
  const layer = digestOf(image.blobs[1]!);
  const alice = new Client('alice');
  beforeAll(async () => void (await alice.push('acme/secret', '1', image)));

  test('without the right, a repository that exists and one that does not answer in the same words', async () => {
    const bob = new Client('bob');
    const requests: [string, string, string?][] = [
      ['GET', 'manifests/1'], ['HEAD', 'manifests/1'], ['GET', `blobs/${layer}`], ['HEAD', `blobs/${layer}`], ['GET', 'tags/list'], ['GET', `referrers/${image.digest}`],
      ['POST', 'blobs/uploads/'], ['PUT', 'manifests/1', image.manifest.toString()], ['DELETE', `manifests/${image.digest}`], ['DELETE', `blobs/${layer}`],
    ];
    for (const [method, rest, body] of requests) {
      const answers: Answer[] = [];
      for (const name of ['acme/secret', 'acme/absent', 'nobody/absent']) {
        answers.push(await bob.call(method, `/v2/${name}/${rest}`, body === undefined ? {} : { body, headers: { 'content-type': imageType } }));
      }
      const shape = answers.map(({ status, headers, body: answered }) => ({
        status, body: answered.toString(), type: headers['content-type'], length: headers['content-length'],
        challenge: headers['www-authenticate']?.replace(/acme\/secret|acme\/absent|nobody\/absent/, 'NAME'),
      }));
      expect(shape[0]).toMatchObject({ status: 401, challenge: expect.stringContaining('error="insufficient_scope"') as string });
      if (method !== 'HEAD') expect(code(answers[0]!)).toBe('DENIED');
      expect(shape[1]).toEqual(shape[0]);
      expect(shape[2]).toEqual(shape[0]);
    }
    expect((await auditRows(rooms, system, 'repository.push')).some(({ outcome, actorName }) => outcome === 'refused' && actorName === 'bob')).toBe(true);
  });

  test('who may make a repository learns that it is not there', async () => {
    expect([(await alice.call('GET', '/v2/acme/absent/manifests/1')).status, code(await alice.call('GET', '/v2/acme/absent/manifests/1'))]).toEqual([404, 'NAME_UNKNOWN']);
  });

  test('a member pulls but does not push, and not with an old token after leaving', async () => {
    const carol = new Client('carol');
    expect((await carol.call('GET', '/v2/acme/secret/manifests/1')).status).toBe(200);
    expect((await carol.call('POST', '/v2/acme/secret/blobs/uploads/')).status).toBe(401);
    await rooms.accounts.removeMember(system, 'acme', 'carol');
    expect((await carol.call('GET', '/v2/acme/secret/manifests/1')).status).toBe(401);
  });

  test('a token for one repository opens no other, and a token that only pulls does not push', async () => {
    const token = await alice.token(['repository:acme/secret:pull']);
    const headers = { authorization: `Bearer ${token}` };
    expect((await call('GET', '/v2/acme/secret/tags/list', { headers })).status).toBe(200);
    expect((await call('GET', '/v2/acme/web/tags/list', { headers })).status).toBe(401);
    expect((await call('POST', '/v2/acme/secret/blobs/uploads/', { headers })).status).toBe(401);
    expect((await call('GET', '/v2/_catalog', { headers })).status).toBe(401);
    const [head, , signature] = token.split('.');
    const forged = `${head}.${Buffer.from(JSON.stringify({ iss: 'gantry', aud: 'gantry-registry', exp: 4e9, nbf: 1, access: [{ type: 'repository', name: 'acme/secret', actions: ['pull'] }], gantry: {} })).toString('base64url')}.${signature}`;
    const answer = await call('GET', '/v2/acme/secret/tags/list', { headers: { authorization: `Bearer ${forged}` } });
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, expect.stringContaining('error="invalid_token"')]);
  });

  test('a mount needs the right to read the source; otherwise it is an ordinary upload', async () => {
    const mount = `/v2/bob/copy/blobs/uploads/?mount=${layer}&from=acme/secret`;
    const bob = new Client('bob');
    const refused = await bob.call('POST', mount, { extra: ['repository:acme/secret:pull'] });
    expect([refused.status, refused.headers.location]).toEqual([202, expect.stringMatching(/^\/v2\/bob\/copy\/blobs\/uploads\//)]);
    expect((await bob.call('HEAD', `/v2/bob/copy/blobs/${layer}`)).status).toBe(404);
    const mounted = await alice.call('POST', mount.replace('bob/copy', 'acme/copy'), { extra: ['repository:acme/secret:pull'] });
    expect([mounted.status, mounted.headers.location]).toEqual([201, `/v2/acme/copy/blobs/${layer}`]);
    expect((await alice.call('HEAD', `/v2/acme/copy/blobs/${layer}`)).status).toBe(200);
    // By digest a manifest is served only where it was pushed to.
    expect((await alice.call('GET', `/v2/acme/copy/manifests/${image.digest}`)).status).toBe(404);
  });

  test('a service credential pulls its repositories and dies when it is revoked', async () => {
    const { id } = await rooms.app.get(Repositories).get(system, 'acme/secret');
    const tokens = rooms.app.get(Tokens);
    const credential = await tokens.createServiceCredential(system, { subject: 'cluster/service', repositoryIds: [id], expiresAt: new Date(Date.now() + 3_600_000) });
    const node = new Client(credential.username, credential.password);
    expect((await node.call('GET', '/v2/acme/secret/manifests/1')).status).toBe(200);
    expect((await node.call('GET', '/v2/acme/web/manifests/1.0')).status).toBe(401);
    await tokens.revokeServiceCredential(system, credential.id);
    expect((await node.call('GET', '/v2/acme/secret/manifests/1')).status).toBe(401);
  });
});

describe('the listener', () => {
  test('has nothing but /v2 and the token service', async () => {
    for (const path of ['/', '/v1/', '/api/v1/repositories', '/healthz', '/v2/../api', '/auth/tokens']) expect((await call('GET', path)).status).toBe(404);
    expect(json(await call('GET', '/v2/'))).toEqual({ errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] });
  });

  test('sends 100 Continue only to who may send', async () => {
    const dialogue = async (authorization: string): Promise<string> => {
      const socket = connect(port, '127.0.0.1');
      socket.write(`PUT /v2/alice/continue/manifests/1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: ${imageType}\r\nContent-Length: 2\r\n${authorization}\r\n`);
      const line = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString().split('\r\n')[0]!)));
      socket.destroy();
      return line;
    };
    expect(await dialogue('')).toBe('HTTP/1.1 401 Unauthorized');
    expect(await dialogue(`Authorization: Bearer ${await new Client('alice').token(['repository:alice/continue:pull,push'])}\r\n`)).toBe('HTTP/1.1 100 Continue');
  });

  test('an upload that breaks off ends the one to the storage too', async () => {
    const alice = new Client('alice');
    const begun = await alice.call('POST', '/v2/acme/broken/blobs/uploads/');
    const token = await alice.token(['repository:acme/broken:pull,push']);
    const storagePort = Number(new URL(rooms.distribution.url).port).toString(16).toUpperCase().padStart(4, '0');
    // Established connections (state 01) to the storage, as the kernel has them.
    const toStorage = (): number => readFileSync('/proc/net/tcp', 'utf8').split('\n').filter((line) => new RegExp(`^ *\\d+: [0-9A-F:]+ [0-9A-F]{8}:${storagePort} 01 `).test(line)).length;
    const before = toStorage();
    const socket = connect(port, '127.0.0.1');
    socket.write(`PATCH ${begun.headers.location} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1000)}`);
    await eventually('the storage is written to', () => toStorage() > before);
    socket.destroy();
    await eventually('the storage is left alone', () => toStorage() <= before);
    expect((await alice.pushBlob('acme/broken', randomBytes(1000))).status).toBe(201);
  });

  test('an upload that the storage breaks off is answered, and nobody else notices', async () => {
    const alice = new Client('alice');
    const token = await alice.token(['repository:acme/cut:pull,push']);
    const patch = async (location: string | undefined): Promise<{ text: () => string; ended: () => boolean }> => {
      const socket = connect(port, '127.0.0.1');
      let text = '';
      let ended = false;
      socket.on('data', (data) => (text += data.toString('latin1'))).once('close', () => (ended = true)).on('error', () => undefined);
      socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1000)}`);
      return { text: () => text, ended: () => ended };
    };
    const { location } = (await alice.call('POST', '/v2/acme/cut/blobs/uploads/')).headers;
    const before = readFileSync('/proc/net/tcp', 'utf8');
    const storagePort = Number(new URL(rooms.distribution.url).port).toString(16).toUpperCase().padStart(4, '0');
    const toStorage = (table: string): number => table.split('\n').filter((line) => new RegExp(`^ *\\d+: [0-9A-F:]+ [0-9A-F]{8}:${storagePort} 01 `).test(line)).length;
    const cut = await patch(location);
    await eventually('the storage is written to', () => toStorage(readFileSync('/proc/net/tcp', 'utf8')) > toStorage(before));
    await rooms.distribution.kill();
    await eventually('it is answered', () => cut.text().startsWith('HTTP/1.1 503 '));
    const away = await patch(location);
    await eventually('it is answered while the storage is away', () => away.text().startsWith('HTTP/1.1 503 '));
    await eventually('connections with the rest of a body in them are ended', () => cut.ended() && away.ended());
    await rooms.distribution.start();
    expect((await alice.pushBlob('acme/cut', randomBytes(1000))).status).toBe(201);
  });

  test('a stream ends when the right to it is lost', async () => {
    const dora = await rooms.accounts.createUser(system, { name: 'dora', password });
    const client = new Client('dora');
    const layer = randomBytes(48 * 1024 * 1024); // more than the sockets’ buffers hold
    expect((await client.pushBlob('dora/big', layer)).status).toBe(201);
    const token = await client.token(['repository:dora/big:pull']);
    const connections = (): Promise<number> => new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));
    const before = await connections();
    const socket = connect(port, '127.0.0.1');
    socket.write(`GET /v2/dora/big/blobs/${digestOf(layer)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    let length = await new Promise<number>((resolve) => socket.once('data', (data) => {
      socket.pause(); // a client that takes its time
      resolve(data.length);
    }));
    await rooms.accounts.resetPassword(system, dora.name, 'another horse battery');
    await eventually('the stream is ended', async () => (await connections()) <= before, 30);
    const ended = new Promise<number>((resolve) => {
      socket.on('data', (data) => (length += data.length));
      socket.once('error', () => resolve(length));
      socket.once('close', () => resolve(length));
      socket.resume();
    });
    expect(await ended).toBeLessThan(layer.length);
  });

  test('a client that goes away while it reads leaves nothing behind', async () => {
    const alice = new Client('alice');
    const layer = randomBytes(32 * 1024 * 1024);
    await alice.pushBlob('alice/left', layer);
    const token = await alice.token(['repository:alice/left:pull']);
    const connections = (): Promise<number> => new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));
    const before = await connections();
    for (let round = 0; round < 5; round += 1) {
      const socket = connect(port, '127.0.0.1');
      socket.write(`GET /v2/alice/left/blobs/${digestOf(layer)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
      await new Promise((resolve) => socket.once('data', resolve));
      socket.destroy();
    }
    await eventually('the connections are gone', async () => (await connections()) <= before, 30);
    const whole = await alice.call('GET', `/v2/alice/left/blobs/${digestOf(layer)}`);
    expect(digestOf(whole.body)).toBe(digestOf(layer));
  });

  test('the storage being away is said so, and nothing is lost', async () => {
    const alice = new Client('alice');
    const image = makeImage('outage');
    expect((await alice.push('acme/outage', '1', image)).status).toBe(201);
    await rooms.distribution.kill();
    const answers = [await alice.call('GET', `/v2/acme/outage/blobs/${digestOf(image.blobs[0]!)}`), await alice.call('GET', '/v2/acme/outage/manifests/1'), await alice.call('PUT', '/v2/acme/outage/manifests/2', { body: image.manifest, headers: { 'content-type': imageType } })];
    for (const answer of answers) expect([answer.status, code(answer)]).toEqual([503, 'UNAVAILABLE']);
    await rooms.distribution.start();
    expect((await alice.call('GET', '/v2/acme/outage/manifests/1')).status).toBe(200);
    await rooms.app.get(RegistryFront).reconcilePushes(system, 0);
    // The manifest was there before under tag 1, so the wish is fulfilled rather than dropped.
    expect((await alice.call('GET', '/v2/acme/outage/manifests/2')).status).toBe(200);
  });

  test('keeps a request id that is harmless', async () => {
    const id = uuidv7();
    expect((await call('GET', '/v2/', { headers: { 'x-request-id': id } })).headers['x-request-id']).toBe(id);
    expect((await call('GET', '/auth/token', { headers: { 'x-request-id': 'a b' } })).headers['x-request-id']).not.toBe('a b');
  });
});
