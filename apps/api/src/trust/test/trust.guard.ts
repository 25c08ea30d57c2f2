import { uuidv7 } from '@gantry/platform';
import { testContext } from '@gantry/platform/testing';
import { generateSigningKey } from '@gantry/trust';
import { adminPassword, makeHarness, type ApiHarness } from '../../../test/harness';

type Body = Record<string, unknown>;

/** Signing keys, signature policies and verdicts over HTTP, in the whole API. */
describe('trust over HTTP', () => {
  let harness: ApiHarness;
  const tokens: Record<string, string> = {};
  const digest = `sha256:${'ab'.repeat(32)}`;

  const send = async (as: string, method: string, path: string, body?: unknown, version?: number): Promise<{ status: number; body: Body; headers: Record<string, unknown> }> => {
    const headers = version === undefined ? {} : { headers: { 'if-match': `"${version}"` } };
    const answer = await harness.send(method, `/api/v1${path}`, { token: tokens[as]!, ...(body === undefined ? {} : { body }), ...headers });
    return { status: answer.status, headers: answer.headers, body: (answer.body ?? {}) as Body };
  };

  beforeAll(async () => {
    harness = await makeHarness();
    tokens['admin'] = await harness.signIn('admin', adminPassword);
    await send('admin', 'POST', '/organizations', { name: 'acme' });
    for (const [name, role] of [['olga', 'admin'], ['mia', 'member'], ['sid', null]] as const) {
      await send('admin', 'POST', '/users', { name, password: `${name} has a long password` });
      if (role) await send('admin', 'PUT', `/organizations/acme/members/${name}`, { role });
      tokens[name] = await harness.signIn(name, `${name} has a long password`);
    }
    await send('admin', 'POST', '/repositories', { namespace: 'acme', name: 'web' });
    // No engine runs here, and none is asked.
    await harness.db.query(testContext(), `insert into clusters_clusters (id, name, endpoint, swarm_id, engine_version, api_version, node_count, state, checked_at, created_at, version)
      values ($1, 'local', '{"kind":"socket","path":"/nowhere"}', 's', '1', '1.41', 1, 'ready', now(), now(), 1)`, [uuidv7()]);
    expect(await send('admin', 'POST', '/environments', { name: 'prod', account: 'acme', cluster: 'local' })).toMatchObject({ status: 201 });
  }, 300_000);

  afterAll(async () => {
    await harness?.close();
  });

  it('enrols and generates keys, shows them to members, and never shows a private half', async () => {
    const publicKeyPem = generateSigningKey().publicKeyPem;
    const created = await send('olga', 'POST', '/signing-keys', { name: 'release', account: 'acme', publicKeyPem });
    expect(created).toMatchObject({ status: 201, headers: { etag: '"1"' }, body: { name: 'release', status: 'active', canSign: false, algorithm: 'ecdsa-p256' } });
    const generated = await send('olga', 'POST', '/signing-keys', { name: 'ci', account: 'acme', generate: true });
    expect(generated).toMatchObject({ status: 201, body: { canSign: true } });
    expect(JSON.stringify(generated.body)).not.toMatch(/PRIVATE|sealed/);
    expect(await send('mia', 'GET', '/signing-keys?account=acme')).toMatchObject({ status: 200, body: { items: [{ name: 'ci' }, { name: 'release' }], next: null } });
    expect(await send('sid', 'GET', '/signing-keys')).toMatchObject({ status: 200, body: { items: [] } });
    expect((await send('sid', 'GET', '/signing-keys/release')).status).toBe(404);
    expect((await send('mia', 'PATCH', '/signing-keys/release', { name: 'x' }, 1)).status).toBe(403);
    expect((await send('olga', 'PATCH', '/signing-keys/release', { name: 'x' })).status).toBe(428);
    expect((await send('mia', 'POST', '/signing-keys', { name: 'mine', account: 'acme', publicKeyPem })).status).toBe(403);
    expect(await send('olga', 'POST', '/signing-keys', { name: 'twice', account: 'acme', publicKeyPem })).toMatchObject({ status: 409, body: { code: 'trust.key-known' } });
  });

  it('names the field that is wrong', async () => {
    const pointers = async (path: string, body: unknown): Promise<unknown> => {
      const answer = await send('olga', 'POST', path, body);
      expect(answer.status).toBe(400);
      return (answer.body['errors'] as { pointer: string }[]).map((error) => error.pointer);
    };
    expect(await pointers('/signing-keys', { name: 'n', account: 'acme' })).toEqual(['/publicKeyPem']);
    expect(await pointers('/signing-keys', { name: 'n', account: 'acme', publicKeyPem: 'no key' })).toEqual(['/publicKeyPem']);
    expect(await pointers('/signing-keys', { name: 'N', account: 'acme', generate: true, extra: 1 })).toEqual(expect.arrayContaining(['/name', '/extra']));
    expect(await pointers('/signature-policies', { name: 'p', environment: 'prod', mode: 'enforce', keys: ['nobody'] })).toEqual(['/keys/0']);
    expect(await pointers('/signature-policies', { name: 'p', environment: 'prod', mode: 'enforce', keys: [] })).toEqual(['/keys']);
    expect(await pointers('/signing-keys/ci/signatures', { repository: 'acme/web', digest, tag: 'v1' })).toEqual(['/digest']);
  });

  it('makes, changes and removes an environment’s policy, and tells what it means for an image', async () => {
    const demand = { name: 'prod-signed', environment: 'prod', mode: 'enforce', keys: ['release', 'ci'], threshold: 2 };
    expect((await send('mia', 'POST', '/signature-policies', demand)).status).toBe(403);
    expect((await send('sid', 'POST', '/signature-policies', demand)).status).toBe(404);
    const created = await send('olga', 'POST', '/signature-policies', demand);
    expect(created).toMatchObject({ status: 201, body: { mode: 'enforce', threshold: 2, claims: {}, version: 1 } });
    expect(await send('olga', 'POST', '/signature-policies', { ...demand, name: 'other' })).toMatchObject({ status: 409, body: { code: 'trust.policy-exists' } });
    expect(await send('mia', 'GET', '/signature-policies?environment=prod')).toMatchObject({ body: { items: [{ name: 'prod-signed', environmentId: created.body['environmentId'] }] } });
    expect(await send('sid', 'GET', '/signature-policies')).toMatchObject({ status: 200, body: { items: [] } });
    expect((await send('olga', 'DELETE', '/signing-keys/release', undefined, 1)).body).toMatchObject({ code: 'trust.key-in-use' });
    expect(await send('olga', 'PATCH', '/signature-policies/prod-signed', { threshold: 1, keys: ['release'] }, 1)).toMatchObject({ status: 200, body: { threshold: 1, mode: 'enforce', version: 2 } });
    expect(await send('mia', 'GET', `/images/acme/web/${digest}/verdict?environment=prod`)).toMatchObject({ status: 404, body: { code: 'trust.image-unknown' } });
    const [repository] = await harness.db.query<{ id: string }>(testContext(), `select id from registry_repositories where path = 'acme/web'`);
    await harness.db.query(testContext(), `insert into registry_manifests (repository_id, digest, media_type, size_bytes, content_bytes, pushed_by) values ($1, $2, 'application/vnd.oci.image.manifest.v1+json', 2, 2, 'olga')`, [repository!.id, digest]);
    const verdict = await send('mia', 'GET', `/images/acme/web/${digest}/verdict?environment=prod`);
    expect(verdict).toMatchObject({ status: 200, body: { allowed: false, mode: 'enforce', reason: 'NO_SIGNATURE', repository: 'acme/web', digest, policyVersion: 2, findings: [], signers: [] } });
    expect((await send('sid', 'GET', `/images/acme/web/${digest}/verdict?environment=prod`)).status).toBe(404);
    expect((await send('mia', 'GET', `/images/acme/web/${digest}/verdict?environment=nowhere`)).status).toBe(404);
    expect((await send('mia', 'POST', '/signing-keys/ci/signatures', { repository: 'acme/web', digest })).status).toBe(403);
    expect(await send('olga', 'POST', '/signing-keys/ci/signatures', { repository: 'acme/web', digest })).toMatchObject({ status: 503, body: { code: 'registry.backend-unavailable' } });
    expect((await send('olga', 'DELETE', '/signature-policies/prod-signed', undefined, 2)).status).toBe(204);
    expect(await send('mia', 'GET', `/images/acme/web/${digest}/verdict?environment=prod`)).toMatchObject({ body: { allowed: true, mode: 'off', policyId: null } });
    const audit = await send('admin', 'GET', '/audit?limit=100');
    const actions = (audit.body['items'] as { action: string; outcome: string }[]).map(({ action, outcome }) => `${action} ${outcome}`);
    expect(actions).toEqual(expect.arrayContaining(['signature-policy.create success', 'signature-policy.create refused', 'signature-policy.update success', 'signature-policy.delete success', 'image.sign failed', 'image.sign refused', 'signing-key.create success']));
  });

  it('revokes with a reason, for good', async () => {
    expect((await send('olga', 'PATCH', '/signing-keys/ci', { status: 'revoked' }, 1)).body).toMatchObject({ code: 'request.invalid' });
    expect(await send('olga', 'PATCH', '/signing-keys/ci', { status: 'revoked', reason: 'leaked' }, 1)).toMatchObject({ status: 200, body: { status: 'revoked', canSign: false, reason: 'leaked', version: 2 } });
    expect((await send('olga', 'PATCH', '/signing-keys/ci', { status: 'active', reason: 'no' }, 2)).body).toMatchObject({ code: 'trust.key-status' });
    expect((await send('olga', 'DELETE', '/signing-keys/ci', undefined, 2)).body).toMatchObject({ code: 'trust.key-on-record' });
    expect((await send('olga', 'DELETE', '/signing-keys/release', undefined, 1)).status).toBe(204);
  });
});
