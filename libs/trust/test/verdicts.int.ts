import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Access, Accounts, Collections } from '@gantry/access';
import { contextOf } from '@gantry/access/testing';
import { Audit } from '@gantry/audit';
import { Clock, Leases, makeContext, Problem, Sealer, uuidv7, type Context } from '@gantry/platform';
import { testContext } from '@gantry/platform/testing';
import { Images, Repositories } from '@gantry/registry';
import { auditRows, distributionProgram, imageType, makeImage, openRegistryRooms, type RegistryRooms } from '../../registry/testing';
import {
  CountingScopes, generateSigningKey, mergeReferrersIndex, parseSigningKey, sha256Digest, SignaturePolicies, signBundle, Signer, SigningKeys, signLegacy, TrustAdmission, trustEntities, Verdicts,
  findScopeResource, type ReasonCode, type SignaturePolicy, type Verdict, type VerdictQuestion,
} from '../src';
import { referrersTag } from '../src/formats/bundle-v03';
import { COSIGN_PINS, Cosign, findTool, RegistryRepository, readFixtures, startScratchRegistry, type FixtureCase } from '../testing';

const fixtures = readFixtures();

/** A clock that tests move. */
class TestClock extends Clock {
  offsetMillis = 0;
  now(): Date {
    return new Date(Date.now() + this.offsetMillis);
  }
}

// Real PostgreSQL, real Distribution, what real cosign wrote: every reason for a refusal, from the registry's bytes to the stored verdict.
describe('trust', () => {
  let rooms: RegistryRooms;
  let keys: SigningKeys;
  let policies: SignaturePolicies;
  let verdicts: Verdicts;
  let signer: Signer;
  let images: Images;
  const clock = new TestClock();
  const system = testContext();
  let owner: Context;
  let member: Context;
  let stranger: Context;
  let accountId: string;
  const keyIds: Record<string, string> = {};

  beforeAll(async () => {
    rooms = await openRegistryRooms(trustEntities);
    const { app, db, config } = rooms;
    images = app.get(Images);
    keys = new SigningKeys(db, clock, app.get(Access), app.get(Accounts), app.get(Audit), app.get(Sealer));
    policies = new SignaturePolicies(db, clock, app.get(Access), app.get(Audit), keys);
    verdicts = new Verdicts(db, clock, images);
    signer = new Signer(db, app.get(Leases), app.get(Access), app.get(Audit), app.get(Repositories), images, keys, verdicts, config);
    const accounts = rooms.accounts;
    const acme = await accounts.createOrganization(system, { name: 'acme' });
    accountId = acme.id;
    const people = await Promise.all(['olga', 'mia', 'sid'].map((name) => accounts.createUser(system, { name, password: `${name} has a long password` })));
    await accounts.addMember(system, 'acme', 'olga', 'admin');
    await accounts.addMember(system, 'acme', 'mia', 'member');
    [owner, member, stranger] = people.map((account) => contextOf(account)) as [Context, Context, Context];
    for (const [name, publicKeyPem] of Object.entries(fixtures.keys)) {
      if (name !== 'mallory') keyIds[name] = (await keys.create(owner, { name, account: 'acme', publicKeyPem })).id;
    }
  }, 300_000);

  afterAll(async () => {
    await rooms?.close();
  });

  const problem = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
    } catch (error) {
      if (error instanceof Problem) return error.code;
      throw error;
    }
    return 'none';
  };

  let scopes = 0;
  /** A new environment of acme, with a policy when one is given. */
  async function newScope(policy?: { mode?: 'off' | 'audit' | 'enforce'; keys: string[]; threshold?: number; claims?: Record<string, string> }): Promise<string> {
    const id = uuidv7();
    await rooms.access.place(system, { kind: 'environment', id }, accountId);
    const scope = `environment:${id}`;
    if (policy) {
      const keyIdsOf = policy.keys.map((name) => keyIds[name] ?? name);
      await policies.create(owner, { scope, name: `policy-${(scopes += 1)}`, mode: policy.mode ?? 'enforce', keyIds: keyIdsOf, threshold: policy.threshold ?? 1, claims: policy.claims ?? {} });
    }
    return scope;
  }

  /**
   * Pushes what cosign left behind for one case; answers the repository. Only signed and read bytes are on record, so the configurations that
   * the storage wants to exist are made again: cosign's own where it can be told from the layers, else another one, which no signature covers.
   */
  async function replay(fixture: FixtureCase): Promise<string> {
    const repository = `acme/${fixture.name}`;
    if (await rooms.app.get(Repositories).find(system, repository)) return repository;
    await rooms.app.get(Repositories).create(owner, { namespace: 'acme', name: fixture.name });
    const read = (digest: string): Buffer => readFileSync(join(__dirname, 'fixtures/raw', digest.replace('sha256:', '')));
    for (const digest of fixture.blobs) await images.pushBlob(owner, repository, read(digest));
    const pushed = new Map<string, { mediaType: string; bytes: Buffer }>();
    // Images before the indexes that name them.
    for (const [digest, mediaType] of Object.entries(fixture.manifests).sort(([, a], [, b]) => Number(a.includes('index')) - Number(b.includes('index')))) {
      const bytes = await withConfig(repository, read(digest));
      pushed.set(digest, { mediaType, bytes });
      await images.pushManifest(owner, repository, null, mediaType, bytes);
    }
    for (const [tag, digest] of Object.entries(fixture.tags)) {
      const { mediaType, bytes } = pushed.get(digest)!;
      await images.pushManifest(owner, repository, tag, mediaType, bytes);
    }
    return repository;
  }

  async function withConfig(repository: string, bytes: Buffer): Promise<Buffer> {
    const manifest = JSON.parse(bytes.toString()) as { config?: { digest: string; size: number; mediaType: string }; layers?: { digest: string }[] };
    if (manifest.config === undefined) return bytes;
    const diffIds = (manifest.layers ?? []).map((layer) => layer.digest);
    const created = '0001-01-01T00:00:00Z';
    const guess = { architecture: '', created, history: diffIds.map(() => ({ created })), os: '', rootfs: { type: 'layers', diff_ids: diffIds }, config: {} };
    const config = Buffer.from(manifest.config.size === 2 ? '{}' : JSON.stringify(guess));
    await images.pushBlob(owner, repository, config);
    if (sha256Digest(config) === manifest.config.digest) return bytes;
    return Buffer.from(JSON.stringify({ ...manifest, config: { ...manifest.config, digest: sha256Digest(config), size: config.length } }));
  }

  async function judge(name: string, policy: Parameters<typeof newScope>[0]): Promise<Verdict> {
    const fixture = fixtures.cases.find((candidate) => candidate.name === name)!;
    return verdicts.verdict(owner, { repository: await replay(fixture), digest: fixture.image.digest, scope: await newScope(policy) });
  }

  const everyone = ['alice', 'bob', 'rsa', 'p384', 'ed25519'];
  // A storage takes no list that names what is not there, so the case of a deleted bundle can only be told in memory (collect.spec.ts).
  const cases = fixtures.cases.filter((fixture) => fixture.name !== 'bundle-deleted');
  it.each(cases.map((fixture) => [fixture.name, fixture] as const))('judges %s as cosign’s record says', async (name, fixture) => {
    const verdict = await judge(name, { keys: everyone });
    const expected = new Set(fixture.signers);
    expect(verdict.signers.map((signer) => signer.name).sort()).toEqual([...expected].sort());
    expect(verdict.allowed).toBe(expected.size > 0);
    const reasons = fixture.refused.length > 0 ? fixture.refused : ['NO_SIGNATURE'];
    if (expected.size === 0) expect(reasons).toContain(verdict.reason);
    else expect(verdict.reason).toBeNull();
    // The stored verdict can be decided again without a registry, and says the same.
    const again = await verdicts.rerun(system, verdict.id!);
    expect(again).toEqual({ allowed: verdict.allowed, mode: 'enforce', reason: verdict.reason, explanation: verdict.explanation, signers: verdict.signers.map((signer) => signer.fingerprint).sort() });
    const stored = await verdicts.find(system, verdict.id!);
    expect(stored).toMatchObject({ reason: verdict.reason, repository: `acme/${name}`, policyVersion: 1, digest: fixture.image.digest });
  });

  const refusals: [ReasonCode, string, Parameters<typeof newScope>[0]][] = [
    ['NO_SIGNATURE', 'unsigned', { keys: ['alice'] }],
    ['UNTRUSTED_KEY', 'sig', { keys: ['bob'] }],
    ['UNTRUSTED_KEY', 'bundle-wrong-key', { keys: ['alice'] }],
    ['BAD_SIGNATURE', 'bundle-tampered-payload', { keys: ['alice', 'bob'] }],
    ['DIGEST_MISMATCH', 'sig-copied', { keys: ['alice'] }],
    ['WRONG_TYPE', 'bundle-attestation', { keys: ['bob'] }],
    ['AMBIGUOUS_PAYLOAD', 'sig-duplicate-keys', { keys: ['alice'] }],
    ['CLAIM_MISMATCH', 'sig-claims', { keys: ['alice'], claims: { env: 'somewhere else' } }],
    ['THRESHOLD', 'sig', { keys: ['alice', 'bob'], threshold: 2 }],
    ['THRESHOLD', 'sig-same-signer-twice', { keys: ['alice', 'bob'], threshold: 2 }],
  ];
  it.each(refusals)('refuses with %s: %s', async (reason, name, policy) => {
    const verdict = await judge(name, policy);
    expect(verdict).toMatchObject({ allowed: false, mode: 'enforce', reason });
    const audited = await judge(name, { ...policy!, mode: 'audit' });
    expect(audited).toMatchObject({ allowed: true, mode: 'audit', reason });
  });

  it('counts two keys over both forms, and claims that are stated', async () => {
    expect(await judge('both-forms', { keys: ['alice', 'bob'], threshold: 2 })).toMatchObject({ allowed: true, reason: null });
    const { claims } = (await judge('sig-claims', { keys: ['alice'] })).findings.find((finding) => finding.ok)!;
    expect(Object.keys(claims).length).toBeGreaterThan(0);
    expect(await judge('sig-claims', { keys: ['alice'], claims })).toMatchObject({ allowed: true });
  });

  it('demands nothing without a policy or with one that is off, and says so', async () => {
    const fixture = fixtures.cases.find((candidate) => candidate.name === 'unsigned')!;
    const repository = await replay(fixture);
    const none = await verdicts.verdict(owner, { repository, digest: fixture.image.digest, scope: await newScope() });
    expect(none).toMatchObject({ allowed: true, mode: 'off', reason: null, policyId: null, explanation: expect.stringContaining('No signature policy') });
    expect(await judge('unsigned', { mode: 'off', keys: [] })).toMatchObject({ allowed: true, mode: 'off', policyVersion: 1 });
  });

  it('answers clusters through the admission port', async () => {
    const fixture = fixtures.cases.find((candidate) => candidate.name === 'sig')!;
    const repository = await replay(fixture);
    const admission = new TrustAdmission(verdicts, new CountingScopes(rooms.access, rooms.app.get(Repositories), policies));
    const good = await admission.admit(owner, { repository, digest: fixture.image.digest, scope: await newScope({ keys: ['alice'] }) });
    expect(good).toMatchObject({ allowed: true, reason: null });
    expect(await verdicts.find(system, good.verdictId!)).toMatchObject({ allowed: true });
    expect(await admission.admit(owner, { repository, digest: fixture.image.digest, scope: await newScope({ keys: ['bob'] }) })).toMatchObject({ allowed: false, reason: 'UNTRUSTED_KEY' });
    expect(await problem(verdicts.verdict(owner, { repository, digest: 'sha256:abc', scope: await newScope() }))).toBe('request.invalid');
  });

  it('lets the policies of the repository and of the collections above count in an environment', async () => {
    const fixture = fixtures.cases.find((candidate) => candidate.name === 'sig')!;
    const repository = await replay(fixture);
    const { digest } = fixture.image;
    const admission = new TrustAdmission(verdicts, new CountingScopes(rooms.access, rooms.app.get(Repositories), policies));
    const { id: repositoryId } = (await rooms.app.get(Repositories).find(system, repository))!;
    const trees = new Collections(rooms.db, clock, rooms.access, rooms.audit);
    const inner = await trees.create(owner, { parent: (await trees.create(owner, { parent: '/Organizations/acme', name: 'outer' })).path, name: 'inner' });
    const scope = await newScope({ keys: ['alice'] });
    await rooms.access.place(system, findScopeResource(scope)!, inner.id);
    const admit = async (): Promise<string> => ((answer) => (answer.allowed ? 'allowed' : String(answer.reason)))(await admission.admit(owner, { repository, digest, scope }));
    const stand = (of: string, name: string, key: string, mode: 'off' | 'audit' | 'enforce' = 'enforce'): Promise<SignaturePolicy> => policies.create(owner, { scope: of, name, mode, keyIds: [keyIds[key]!], threshold: 1, claims: {} });
    expect(await admit()).toBe('allowed');
    const ofRepository = await stand(`repository:${repositoryId}`, 'of-repository', 'bob');
    expect(await admit()).toBe('UNTRUSTED_KEY');
    expect((await admission.strictest(owner, { repository, digest, scope }, { store: false })).policyId).toBe(ofRepository.id);
    await policies.update(owner, 'of-repository', 1, { mode: 'audit' });
    expect(await admit()).toBe('allowed');
    await policies.delete(owner, 'of-repository', 2);
    await stand(`collection:${inner.parentId}`, 'of-outer', 'bob');
    expect(await admit()).toBe('UNTRUSTED_KEY');
    await policies.update(owner, 'of-outer', 1, { keyIds: [keyIds['alice']!] });
    expect(await admit()).toBe('allowed');
    await stand(`collection:${inner.id}`, 'of-inner', 'bob');
    expect(await admit()).toBe('UNTRUSTED_KEY');
    // A member sees it, and changes nothing; a stranger sees nothing.
    expect((await policies.get(member, 'of-inner')).mode).toBe('enforce');
    expect(await problem(policies.delete(member, 'of-inner', 1))).toBe('request.forbidden');
    expect(await problem(policies.get(stranger, 'of-inner'))).toBe('request.not-found');
    expect((await policies.list(stranger, { limit: 10, scope: `collection:${inner.id}` })).items).toEqual([]);
    // With the collection goes its policy.
    await rooms.access.unplace(system, findScopeResource(scope)!);
    await trees.delete(owner, inner.id, 1);
    expect(await policies.find(system, 'of-inner')).toBeNull();
    expect(await problem(stand(`collection:${inner.id}`, 'of-nothing', 'bob'))).toBe('request.not-found');
    await policies.delete(owner, 'of-outer', 2);
  });

  it('decides anew each time, but writes what the same request was told just now only once', async () => {
    const repository = await newRepository('repeated');
    const key = await keys.generate(owner, { name: 'repeated', account: 'acme' });
    const digest = await newImage(repository, 'repeated');
    await signer.sign(owner, { keyId: key.id, repository, digest, forms: ['cosign-sig', 'bundle'] });
    const scope = await newScope({ keys: [key.id] });
    const ask = (ctx = owner): Promise<Verdict> => verdicts.verdict(ctx, { repository, digest, scope });
    const first = await ask();
    expect(await ask()).toEqual(first);
    expect(await verdicts.find(system, first.id!)).toMatchObject({ allowed: true, at: first.at });
    const other = await ask(makeContext(owner.actor, { requestId: 'another-request' }));
    expect(other).toMatchObject({ allowed: true });
    expect(other.id).not.toBe(first.id);
    clock.offsetMillis += 10_000;
    const later = await ask();
    expect(later).toMatchObject({ allowed: true });
    expect(later.id).not.toBe(first.id);
    const policy = await policies.get(owner, later.policyId!);
    await policies.update(owner, policy.id, policy.version, { claims: { env: 'prod' } });
    const changed = await ask();
    expect(changed).toMatchObject({ allowed: false, reason: 'CLAIM_MISMATCH', policyVersion: 2 });
    await policies.update(owner, policy.id, 2, { claims: {} });
    await keys.update(owner, 'repeated', 1, { status: 'revoked', reason: 'lost' });
    const revoked = await ask();
    expect(revoked).toMatchObject({ allowed: false, reason: 'REVOKED' });
    expect(await ask()).toEqual(revoked);
    expect(await verdicts.find(system, revoked.id!)).toMatchObject({ allowed: false, reason: 'REVOKED' });
  });

  it('fails closed while the storage does not answer, but for what was verified before', async () => {
    const repository = await newRepository('outage');
    const key = await keys.generate(owner, { name: 'outage', account: 'acme' });
    const scope = await newScope({ keys: [key.id] });
    const digests = await Promise.all(['asked before', 'new'].map((label) => newImage(repository, label)));
    for (const digest of digests) await signer.sign(owner, { keyId: key.id, repository, digest, forms: ['cosign-sig', 'bundle'] });
    const [known, fresh] = digests.map((digest) => ({ repository, digest, scope })) as [VerdictQuestion, VerdictQuestion];
    expect(await verdicts.verdict(owner, known)).toMatchObject({ allowed: true });
    await rooms.distribution.kill();
    try {
      const verdict = await verdicts.verdict(owner, fresh);
      expect(verdict).toMatchObject({ allowed: false, reason: 'BACKEND_ERROR' });
      expect(await verdicts.rerun(system, verdict.id!)).toMatchObject({ allowed: false, reason: 'BACKEND_ERROR' });
      const again = await verdicts.verdict(owner, known);
      expect(again).toMatchObject({ allowed: true });
      expect(await verdicts.rerun(system, again.id!)).toMatchObject({ allowed: true });
    } finally {
      await rooms.distribution.start();
    }
    expect(await verdicts.verdict(owner, fresh)).toMatchObject({ allowed: true });
  });

  it('forgets a signature that is deleted', async () => {
    const repository = await newRepository('deleted');
    const key = await keys.generate(owner, { name: 'deleted', account: 'acme' });
    const digest = await newImage(repository, 'deleted');
    const question = { repository, digest, scope: await newScope({ keys: [key.id] }) };
    const signed = await signer.sign(owner, { keyId: key.id, repository, digest, forms: ['cosign-sig', 'bundle'] });
    expect(await verdicts.verdict(owner, question)).toMatchObject({ allowed: true });
    const { id } = await rooms.app.get(Repositories).get(system, repository);
    for (const { manifestDigest } of signed.signatures) await rooms.app.get(Repositories).deleteManifest(system, id, manifestDigest);
    expect(await verdicts.verdict(owner, question)).toMatchObject({ allowed: false, reason: 'NO_SIGNATURE' });
  });

  it('reads at most a bounded number of candidates', async () => {
    const repository = await newRepository('many');
    const image = await newImage(repository, 'many');
    const layer = Buffer.from('{}');
    const config = Buffer.from('{"many":true}');
    for (const blob of [layer, config]) await images.pushBlob(owner, repository, blob);
    const layers = Array.from({ length: 101 }, () => ({ mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json', digest: sha256Digest(layer), size: layer.length, annotations: { 'dev.cosignproject.cosign/signature': 'AAAA' } }));
    const manifest = { schemaVersion: 2, mediaType: imageType, config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256Digest(config), size: config.length }, layers };
    await images.pushManifest(owner, repository, `${image.replace(':', '-')}.sig`, imageType, Buffer.from(JSON.stringify(manifest)));
    const verdict = await verdicts.verdict(owner, { repository, digest: image, scope: await newScope({ keys: ['alice'] }) });
    expect(verdict.allowed).toBe(false);
    expect(verdict.findings.map((finding) => !finding.ok && finding.reason)).toContain('LIMIT');
  });

  async function newRepository(name: string): Promise<string> {
    await rooms.app.get(Repositories).create(owner, { namespace: 'acme', name });
    return `acme/${name}`;
  }

  async function newImage(repository: string, label: string): Promise<string> {
    const image = makeImage(label);
    for (const blob of image.blobs) await images.pushBlob(owner, repository, blob);
    return images.pushManifest(owner, repository, 'v1', imageType, image.manifest);
  }

  describe('keys over time', () => {
    const both = ['cosign-sig', 'bundle'] as const;

    it('counts a retired key for what was seen before, a revoked one for nothing', async () => {
      const repository = await newRepository('rotation');
      const [before, after, unseen] = [await newImage(repository, 'before'), await newImage(repository, 'after'), await newImage(repository, 'unseen')];
      const pair = generateSigningKey();
      const key = await keys.create(owner, { name: 'old', account: 'acme', publicKeyPem: pair.publicKeyPem });
      const scope = await newScope({ keys: [key.id] });
      await signElsewhere(repository, before, pair.privateKeyPem, 'cosign-sig');
      await signElsewhere(repository, unseen, pair.privateKeyPem, 'bundle');
      // Noted when it was pushed; nobody asked for a verdict yet.
      await verdicts.noteSignatures(system, { repository, subject: before });
      await verdicts.noteSignatures(system, { repository, subject: before });
      const retired = await keys.update(owner, 'old', 1, { status: 'retired', reason: 'yearly rotation' });
      expect(retired).toMatchObject({ status: 'retired', reason: 'yearly rotation', version: 2 });
      clock.offsetMillis += 1_000;
      await signElsewhere(repository, after, pair.privateKeyPem, 'cosign-sig');
      const ask = (digest: string): Promise<Verdict> => verdicts.verdict(owner, { repository, digest, scope });
      const good = await ask(before);
      expect(good).toMatchObject({ allowed: true, reason: null });
      expect(await verdicts.rerun(system, good.id!)).toMatchObject({ allowed: true, reason: null });
      for (const digest of [after, unseen]) {
        expect(await ask(digest)).toMatchObject({ allowed: false, reason: 'SIGNATURE_EXPIRED' });
        // Having been refused once does not make it older.
        expect(await ask(digest)).toMatchObject({ allowed: false, reason: 'SIGNATURE_EXPIRED' });
      }
      await keys.update(owner, 'old', 2, { status: 'revoked', reason: 'the laptop was stolen' });
      expect(await ask(before)).toMatchObject({ allowed: false, reason: 'REVOKED' });
      expect(await verdicts.rerun(system, good.id!)).toMatchObject({ allowed: true });
      expect(await problem(keys.update(owner, 'old', 3, { status: 'active', reason: 'found it' }))).toBe('trust.key-status');
      expect(await problem(keys.delete(owner, 'old', 3))).toBe('trust.key-on-record');
      expect(await problem(keys.create(owner, { name: 'again', account: 'acme', publicKeyPem: pair.publicKeyPem }))).toBe('trust.key-known');
      const rows = await auditRows(rooms, system, 'signing-key.update');
      expect(rows.slice(0, 2).map((row) => row.detail['status'])).toEqual(['revoked', 'retired']);
      expect(rows[0]).toMatchObject({ actorName: 'olga', resourceName: 'old', detail: { reason: 'the laptop was stolen', fingerprint: pair.publicKey.fingerprint } });
    });

    /** Signs as somebody does who holds the private key, and pushes it. */
    async function signElsewhere(repository: string, digest: string, privateKeyPem: string, form: 'cosign-sig' | 'bundle'): Promise<void> {
      const manifest = (await images.evidence(repository).manifestByDigest(digest))!;
      const request = { image: { digest, mediaType: manifest.mediaType, sizeBytes: manifest.bytes.length }, dockerReference: repository, key: parseSigningKey(privateKeyPem) };
      const made = form === 'bundle' ? signBundle(request) : signLegacy(request);
      for (const blob of made.blobs) await images.pushBlob(owner, repository, blob.bytes);
      await images.pushManifest(owner, repository, made.tag, made.manifest.mediaType, made.manifest.bytes);
    }

    it('signs with a generated key until it is retired, in both forms, once', async () => {
      const repository = await newRepository('generated');
      const digest = await newImage(repository, 'generated');
      const key = await keys.generate(owner, { name: 'ci', account: 'acme' });
      expect(key).toMatchObject({ canSign: true, algorithm: 'ecdsa-p256' });
      expect(JSON.stringify(key)).not.toMatch(/sealed|PRIVATE/i);
      const scope = await newScope({ keys: [key.id], claims: { stage: 'build' } });
      const ask = (): Promise<Verdict> => verdicts.verdict(owner, { repository, digest, scope });
      expect(await ask()).toMatchObject({ allowed: false, reason: 'NO_SIGNATURE' });
      await signer.sign(owner, { keyId: 'ci', repository, digest, forms: [...both] });
      expect(await ask()).toMatchObject({ allowed: false, reason: 'CLAIM_MISMATCH' });
      const signed = await signer.sign(owner, { keyId: 'ci', repository, digest, claims: { stage: 'build' }, forms: [...both] });
      expect(signed.signatures.map(({ form }) => form)).toEqual(both);
      const verdict = await ask();
      expect(verdict).toMatchObject({ allowed: true, signers: [{ keyId: key.id, name: 'ci' }] });
      expect(verdict.findings.filter((finding) => finding.ok)).toHaveLength(4);
      const repeated = await signer.sign(owner, { keyId: 'ci', repository, digest, claims: { stage: 'build' }, forms: ['cosign-sig'] });
      expect(repeated.signatures[0]).toEqual(signed.signatures[0]);
      expect((await auditRows(rooms, system, 'image.sign'))[0]).toMatchObject({ outcome: 'success', resourceName: repository, detail: { digest, fingerprint: key.fingerprint } });
      await keys.update(owner, 'ci', 1, { status: 'retired', reason: 'replaced' });
      expect(await ask()).toMatchObject({ allowed: true });
      expect(await problem(signer.sign(owner, { keyId: 'ci', repository, digest, forms: [...both] }))).toBe('trust.key-cannot-sign');
      const [row] = await rooms.db.query(system, 'select sealed_private from trust_signing_keys where id = $1', [key.id]);
      expect(row).toEqual({ sealed_private: null });
    });

    it('writes every signature when many sign one image at once', async () => {
      const repository = await newRepository('crowd');
      const digest = await newImage(repository, 'crowd');
      const crowd = await Promise.all(Array.from({ length: 5 }, (_, index) => keys.generate(owner, { name: `crowd-${index}`, account: 'acme' })));
      await Promise.all(crowd.map((key) => signer.sign(owner, { keyId: key.id, repository, digest, forms: ['cosign-sig'] })));
      const verdict = await verdicts.verdict(owner, { repository, digest, scope: await newScope({ keys: crowd.map((key) => key.id), threshold: 5 }) });
      expect(verdict).toMatchObject({ allowed: true });
    });

    it('never signs with a private half that was put under another key', async () => {
      const [a, b] = [await keys.generate(owner, { name: 'swap-a', account: 'acme' }), await keys.generate(owner, { name: 'swap-b', account: 'acme' })];
      await rooms.db.query(system, 'update trust_signing_keys a set sealed_private = b.sealed_private from trust_signing_keys b where a.id = $1 and b.id = $2 returning 1', [a.id, b.id]);
      await expect(keys.openPrivate(system, a.id)).rejects.toThrow(/another key/);
    });
  });

  describe('rights and rules', () => {
    it('shows keys to members, lets administrators of the owner change them, and hides them from others', async () => {
      const pem = generateSigningKey().publicKeyPem;
      expect(await problem(keys.create(member, { name: 'mine', account: 'acme', publicKeyPem: pem }))).toBe('request.forbidden');
      expect(await problem(keys.create(stranger, { name: 'mine', account: 'acme', publicKeyPem: pem }))).toBe('request.not-found');
      const key = await keys.create(owner, { name: 'rights', account: 'acme', publicKeyPem: pem });
      expect(await keys.get(member, 'rights')).toMatchObject({ id: key.id, canSign: false, status: 'active' });
      expect((await keys.list(member, { limit: 200, account: accountId })).items.map((item) => item.name)).toContain('rights');
      expect(await keys.list(stranger, { limit: 200 })).toEqual({ items: [], next: null });
      expect(await problem(keys.get(stranger, 'rights'))).toBe('request.not-found');
      expect(await problem(keys.update(member, 'rights', 1, { name: 'x' }))).toBe('request.forbidden');
      expect(await problem(keys.update(owner, 'rights', 7, { name: 'x' }))).toBe('request.precondition-failed');
      expect(await problem(keys.update(owner, 'rights', 1, { status: 'revoked' }))).toBe('request.invalid');
      expect(await problem(keys.create(owner, { name: 'rights', account: 'acme', publicKeyPem: generateSigningKey().publicKeyPem }))).toBe('request.name-taken');
      expect(await problem(keys.create(stranger, { name: 'stolen', account: 'sid', publicKeyPem: pem }))).toBe('trust.key-known');
      expect(await problem(keys.create(owner, { name: 'bad', account: 'acme', publicKeyPem: generateSigningKey().privateKeyPem }))).toBe('trust.key-invalid');
      const limited = makeContext({ ...owner.actor, limits: { operations: ['signing-key:view'] } });
      expect(await problem(keys.update(limited, 'rights', 1, { name: 'x' }))).toBe('request.forbidden');
      await keys.delete(owner, 'rights', 1);
      expect(await keys.find(system, 'rights')).toBeNull();
    });

    it('pages through keys', async () => {
      const names: string[] = [];
      for (let cursor: string | undefined; ; ) {
        const { items, next } = await keys.list(owner, { limit: 2, ...(cursor === undefined ? {} : { cursor }) });
        names.push(...items.map((item) => item.name));
        if (next === null) break;
        cursor = next;
      }
      expect(names).toEqual([...names].sort());
      expect(names).toEqual(expect.arrayContaining(Object.keys(keyIds)));
    });

    it('needs the right to sign and the right to push', async () => {
      const repository = await newRepository('signing-rights');
      const digest = await newImage(repository, 'signing-rights');
      const key = await keys.generate(owner, { name: 'signing-rights', account: 'acme' });
      const wish = { keyId: key.id, repository, digest, forms: ['bundle' as const] };
      expect(await problem(signer.sign(member, wish))).toBe('request.forbidden');
      expect(await problem(signer.sign(stranger, wish))).toBe('request.not-found');
      const noPush = makeContext({ ...owner.actor, limits: { operations: ['signing-key:view', 'signing-key:sign', 'repository:pull'] } });
      expect(await problem(signer.sign(noPush, wish))).toMatch(/^request\.(forbidden|not-found)$/);
      expect(await problem(signer.sign(owner, { ...wish, digest: `sha256:${'0'.repeat(64)}` }))).toBe('trust.image-unknown');
      expect(await problem(signer.sign(owner, { ...wish, keyId: 'alice' }))).toBe('trust.key-cannot-sign');
      expect(await images.evidence(repository).referrers(digest)).toEqual([]);
    });

    it('keeps policies to those who may change the environment', async () => {
      const scope = await newScope();
      const demand = { scope, name: 'prod-policy', mode: 'enforce' as const, keyIds: [keyIds['alice']!], threshold: 1, claims: {} };
      expect(await problem(policies.create(member, demand))).toBe('request.forbidden');
      expect(await problem(policies.create(stranger, demand))).toBe('request.not-found');
      expect(await problem(policies.create(owner, { ...demand, keyIds: [] }))).toBe('trust.policy-without-keys');
      expect(await problem(policies.create(owner, { ...demand, threshold: 2 }))).toBe('trust.policy-without-keys');
      expect(await problem(policies.create(owner, { ...demand, keyIds: [uuidv7()] }))).toBe('request.invalid');
      const foreign = await keys.create(stranger, { name: 'of-sid', account: 'sid', publicKeyPem: generateSigningKey().publicKeyPem });
      expect(await problem(policies.create(owner, { ...demand, keyIds: [foreign.id] }))).toBe('request.invalid');
      const policy = await policies.create(owner, demand);
      expect(await problem(policies.create(owner, { ...demand, name: 'second' }))).toBe('trust.policy-exists');
      expect(await policies.get(member, 'prod-policy')).toMatchObject({ id: policy.id, version: 1 });
      expect(await problem(policies.get(stranger, 'prod-policy'))).toBe('request.not-found');
      expect((await policies.list(stranger, { limit: 10 })).items).toEqual([]);
      expect((await policies.list(member, { limit: 10, scope })).items).toHaveLength(1);
      expect(await problem(policies.update(member, policy.id, 1, { mode: 'off' }))).toBe('request.forbidden');
      expect(await problem(policies.update(owner, policy.id, 1, { threshold: 3 }))).toBe('trust.policy-without-keys');
      expect(await problem(keys.delete(owner, 'alice', 1))).toBe('trust.key-in-use');
      const changed = await policies.update(owner, policy.id, 1, { mode: 'audit', keyIds: [keyIds['alice']!, keyIds['bob']!], threshold: 2 });
      expect(changed).toMatchObject({ mode: 'audit', threshold: 2, version: 2, name: 'prod-policy' });
      expect(await problem(policies.update(owner, policy.id, 1, { mode: 'off' }))).toBe('request.precondition-failed');
      expect((await auditRows(rooms, system, 'signature-policy.update'))[0]).toMatchObject({ resourceName: 'prod-policy', detail: { mode: 'audit', formerMode: 'enforce' } });
      await policies.delete(owner, policy.id, 2);
      expect(await policies.findByScope(system, scope)).toBeNull();
    });

    it('lets either the deletion of a key or the policy that names it win, never both', async () => {
      for (let round = 0; round < 8; round += 1) {
        const key = await keys.create(owner, { name: `race-${round}`, account: 'acme', publicKeyPem: generateSigningKey().publicKeyPem });
        const scope = await newScope();
        await Promise.allSettled([
          keys.delete(owner, key.id, 1),
          policies.create(owner, { scope, name: `race-${round}`, mode: 'enforce', keyIds: [key.id], threshold: 1, claims: {} }),
        ]);
        const policy = await policies.findByScope(system, scope);
        expect((await keys.find(system, key.id)) !== null).toBe(policy !== null);
      }
    });
  });

  it('takes milliseconds for a digest not seen before', async () => {
    const repository = await newRepository('speed');
    const key = await keys.generate(owner, { name: 'speed', account: 'acme' });
    const scope = await newScope({ keys: [key.id] });
    const measured: Record<string, number> = {};
    for (const form of ['cosign-sig', 'bundle'] as const) {
      const times: number[] = [];
      for (let index = 0; index < 20; index += 1) {
        const digest = await newImage(repository, `${form} ${index}`);
        await signer.sign(owner, { keyId: key.id, repository, digest, forms: [form] });
        const from = performance.now();
        expect(await verdicts.verdict(owner, { repository, digest, scope })).toMatchObject({ allowed: true });
        times.push(performance.now() - from);
      }
      measured[form] = times.sort((a, b) => a - b)[10]!;
    }
    if (process.env['GANTRY_TEST_TIMES']) process.stderr.write(`verdict p50 ms: ${JSON.stringify(measured)}\n`);
    expect(Object.keys(measured)).toEqual(['cosign-sig', 'bundle']);
  });

  it('writes what stock cosign verifies', async () => {
    const work = await mkdtemp(join(tmpdir(), 'gantry-cosign-'));
    const scratch = await startScratchRegistry(distributionProgram());
    try {
      const repository = await newRepository('cosign');
      const digest = await newImage(repository, 'cosign');
      const key = await keys.generate(owner, { name: 'cosign', account: 'acme' });
      await signer.sign(owner, { keyId: key.id, repository, digest, claims: { env: 'prod' }, forms: ['cosign-sig', 'bundle'] });
      // cosign can't sign in to the storage itself, so it reads a copy of everything that was written.
      const copy = new RegistryRepository(scratch.host, repository);
      const source = images.evidence(repository);
      const layers = makeImage('cosign');
      for (const blob of layers.blobs) await copy.pushBlob(blob);
      await copy.pushManifest(imageType, layers.manifest, 'v1');
      const sig = (await source.manifestByTag(`${digest.replace(':', '-')}.sig`))!;
      const bundle = (await source.manifestByDigest((await source.referrers(digest))[0]!.digest))!;
      for (const manifest of [sig, bundle]) {
        const { config, layers: parts } = JSON.parse(manifest.bytes.toString()) as { config: { digest: string }; layers: { digest: string }[] };
        for (const part of [config, ...parts]) await copy.pushBlob((await source.blob(part.digest, 100_000))!);
      }
      await copy.pushManifest(sig.mediaType, sig.bytes, `${digest.replace(':', '-')}.sig`);
      await writeFile(join(work, 'key.pub'), key.publicKeyPem);
      await writeFile(join(work, 'other.pub'), generateSigningKey().publicKeyPem);
      let verified = 0;
      const judgeBy = async (version: string): Promise<void> => {
        const tool = await findTool(COSIGN_PINS.find((pin) => pin.version === version)!);
        if (tool === null) {
          process.stderr.write(`\n*** NOT VERIFIED: cosign ${version} is no longer in the Debian archive; update COSIGN_PINS ***\n\n`);
          return;
        }
        await mkdir(join(work, version), { recursive: true });
        const cosign = new Cosign(tool, join(work, version));
        const reference = `${scratch.host}/${repository}@${digest}`;
        expect(await cosign.verifies(reference, join(work, 'key.pub'), { env: 'prod' })).toBe(true);
        expect(await cosign.verifies(reference, join(work, 'key.pub'), { env: 'dev' })).toBe(false);
        expect(await cosign.verifies(reference, join(work, 'other.pub'))).toBe(false);
        verified += 1;
      };
      await judgeBy('2.5.0');
      // cosign 3 prefers bundles, so with one there it verifies that. This storage keeps no list of referrers: add the one that stands for it.
      await copy.pushManifest(bundle.mediaType, bundle.bytes);
      const index = mergeReferrersIndex(digest, { blobs: [], manifest: bundle, tag: null })!;
      await copy.pushManifest(index.manifest.mediaType, index.manifest.bytes, referrersTag(digest));
      await judgeBy('3.1.1');
      expect(verified).toBeGreaterThan(0);
    } finally {
      await scratch.stop();
      await rm(work, { recursive: true, force: true });
    }
  }, 300_000);
});
