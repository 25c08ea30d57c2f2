import { connect } from 'node:net';
import type { INestApplicationContext } from '@nestjs/common';
import type { Account } from '@gantry/access';
import { makeContext, type Actor, type Context } from '@gantry/platform';
import { eventually, testContext } from '@gantry/platform/testing';
import { DistributionClient, digestOf, Images, RegistryFront, RegistryRights, RegistryTokens, Repositories, type KnownRepository } from '../src';
import { auditRows, imageType, makeImage, openRegistryRooms, type MadeImage, type RegistryRooms } from '../testing';

const system = testContext();
let rooms: RegistryRooms;
let repositories: Repositories;
let front: RegistryFront;
let images: Images;
let acme: Account;
let alice: Context;
let bob: Context;

const as = (account: Account): Context => {
  const actor: Actor = { kind: 'user', id: account.id, name: account.name, admin: account.admin, credentialId: null, limits: null };
  return makeContext(actor);
};
const problem = (code: string): Error => expect.objectContaining({ code }) as Error;
const tags = async (repository: KnownRepository): Promise<string[]> => (await front.tagNames(system, repository.id, 100, '')).tags;
const outbox = async (name: string): Promise<Record<string, unknown>[]> =>
  (await rooms.db.query<{ payload: Record<string, unknown> }>(system, 'select payload from platform_outbox where name = $1 order by id', [name])).map((row) => row.payload);

beforeAll(async () => {
  rooms = await openRegistryRooms();
  repositories = rooms.app.get(Repositories);
  front = rooms.app.get(RegistryFront);
  images = rooms.app.get(Images);
  acme = await rooms.accounts.createOrganization(system, { name: 'acme' });
  const owner = await rooms.accounts.createUser(system, { name: 'alice', password: 'correct horse battery' });
  await rooms.accounts.addMember(system, 'acme', 'alice', 'admin');
  alice = as(owner);
  bob = as(await rooms.accounts.createUser(system, { name: 'bob', password: 'correct horse battery' }));
});
afterAll(async () => rooms?.close());

async function push(path: string, reference: string | null, image: MadeImage, ctx = alice): Promise<string> {
  for (const blob of image.blobs) await images.pushBlob(ctx, path, blob);
  return images.pushManifest(ctx, path, reference, imageType, image.manifest);
}

async function made(name: string, immutableTags = false): Promise<KnownRepository> {
  return repositories.create(alice, { namespace: 'acme', name, immutableTags });
}

describe('repositories', () => {
  test('belong to the account of their namespace, and only those who may see them list them', async () => {
    const repository = await made('listed');
    expect(repository).toMatchObject({ accountId: acme.id, path: 'acme/listed', version: 1 });
    expect((await repositories.list(alice, { limit: 200 })).items.map(({ path }) => path)).toContain('acme/listed');
    expect((await repositories.list(bob, { limit: 200 })).items).toEqual([]);
    expect(await auditRows(rooms, system, 'repository.create')).toContainEqual(expect.objectContaining({ resourceName: 'acme/listed', actorName: 'alice', outcome: 'success' }));
  });

  test('a name is taken once, and has to be one', async () => {
    await made('once');
    await expect(made('once')).rejects.toThrow(problem('request.name-taken'));
    await expect(made('Not')).rejects.toThrow(problem('registry.name-invalid'));
    await expect(made('a/b')).rejects.toThrow(problem('registry.name-invalid'));
    await expect(repositories.create(system, { namespace: 'nobody', name: 'x' })).rejects.toThrow(problem('registry.namespace-unknown'));
  });

  test('pages by path', async () => {
    for (const name of ['page-a', 'page-b', 'page-c']) await made(name);
    const seen: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await repositories.list(alice, { limit: 2, namespace: 'acme', ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.items.map(({ path }) => path));
      if (page.next === null) break;
      cursor = page.next;
    }
    expect(seen).toEqual([...seen].sort());
    expect(seen).toEqual(expect.arrayContaining(['acme/page-a', 'acme/page-b', 'acme/page-c']));
  });

  test('a change needs the version that it is based on', async () => {
    const { id } = await made('changed');
    expect(await repositories.update(alice, id, 1, { description: 'the shop' })).toMatchObject({ description: 'the shop', immutableTags: false, version: 2 });
    await expect(repositories.update(alice, id, 1, { description: 'x' })).rejects.toThrow(problem('request.precondition-failed'));
  });

  test('deleting takes manifests and blobs out of the storage too', async () => {
    const image = makeImage('deleted');
    const { id, path } = await made('deleted');
    await push(path, '1', image);
    await expect(repositories.delete(alice, id, { force: false })).rejects.toThrow(problem('registry.repository-not-empty'));
    rooms.use.used.push(image.digest);
    await expect(repositories.delete(alice, id, { force: true })).rejects.toThrow(problem('registry.digest-in-use'));
    rooms.use.used.length = 0;
    await repositories.delete(alice, id, { force: true });
    const storage = rooms.app.get(DistributionClient);
    expect(await repositories.find(system, path)).toBeNull();
    expect(await storage.hasManifest(path, image.digest)).toBe(false);
    expect(await storage.blob(path, digestOf(image.blobs[1]!), 1000)).toBeNull();
    await made('deleted');
    expect(await images.resolve(system, path, '1')).toBeNull();
  });

  test('a deletion that the storage could not follow is finished later', async () => {
    const image = makeImage('storage down');
    const { id, path } = await made('later');
    await push(path, '1', image);
    await rooms.distribution.kill();
    await repositories.delete(alice, id, { force: true });
    expect(await repositories.find(system, path)).toBeNull();
    await expect(made('later')).rejects.toThrow(problem('request.name-taken'));
    await rooms.distribution.start();
    await front.reconcilePushes(system);
    await made('later');
  });
});

describe('pushes', () => {
  test('record manifest, tag, event, audit row and outbox together', async () => {
    const image = makeImage('pushed');
    const repository = await made('pushed');
    expect(await push(repository.path, '1.0', image)).toBe(image.digest);
    expect(await images.resolve(system, repository.path, '1.0')).toEqual({ repositoryId: repository.id, repository: repository.path, digest: image.digest, mediaType: imageType });
    expect(await images.resolve(system, repository.path, image.digest)).toMatchObject({ digest: image.digest });
    expect(await repositories.manifest(system, repository.id, image.digest)).toMatchObject({ tags: ['1.0'], pushedBy: 'alice', sizeBytes: image.manifest.length });
    expect((await repositories.events(system, repository.id, { limit: 10 })).items).toMatchObject([{ type: 'pushed', tag: '1.0', digest: image.digest, actorName: 'alice' }]);
    expect(await outbox('registry.image-pushed')).toContainEqual({ repositoryId: repository.id, repository: repository.path, tag: '1.0', digest: image.digest, mediaType: imageType });
    expect(await auditRows(rooms, system, 'repository.push')).toContainEqual(
      expect.objectContaining({ resourceName: repository.path, actorName: 'alice', detail: expect.objectContaining({ reference: '1.0', digest: image.digest }) as object }));
    expect(await rooms.db.query(system, 'select 1 from registry_pushes')).toEqual([]);
  });

  test('what the storage refuses leaves nothing', async () => {
    const repository = await made('refused');
    await expect(images.pushManifest(alice, repository.path, '1', imageType, makeImage('no blobs').manifest)).rejects.toThrow(problem('registry.backend-refused'));
    expect(await tags(repository)).toEqual([]);
    expect(await rooms.db.query(system, 'select 1 from registry_pushes')).toEqual([]);
  });

  test('an immutable tag keeps its image; the same image again and signatures are no move', async () => {
    const repository = await made('immutable', true);
    const [first, second] = [makeImage('first'), makeImage('second')];
    await push(repository.path, '1', first);
    await push(repository.path, '1', first);
    await expect(push(repository.path, '1', second)).rejects.toThrow(problem('registry.tag-immutable'));
    expect(await images.resolve(system, repository.path, '1')).toMatchObject({ digest: first.digest });
    const signatures = `sha256-${first.digest.slice(7)}.sig`;
    await push(repository.path, signatures, makeImage('signature a'));
    await push(repository.path, signatures, makeImage('signature b'));
  });

  test('need the right', async () => {
    const repository = await made('guarded');
    await expect(push(repository.path, '1', makeImage('bob'), bob)).rejects.toThrow(problem('request.not-found'));
  });

  test('a process killed after the storage took the push: the push is recorded later, for who made it', async () => {
    const image = makeImage('killed after');
    const repository = await made('killed-after');
    await push(repository.path, '1', makeImage('before'));
    // The state that a kill between the storage's answer and our transaction leaves.
    for (const blob of image.blobs) await images.pushBlob(alice, repository.path, blob);
    await leavePending(repository, image, '1');
    await rooms.app.get(DistributionClient).putManifest(repository.path, '1', imageType, image.manifest);
    expect(await front.reconcilePushes(system, 3600)).toEqual({ recorded: 0, dropped: 0 });
    expect(await front.reconcilePushes(system, 0)).toEqual({ recorded: 1, dropped: 0 });
    expect(await images.resolve(system, repository.path, '1')).toMatchObject({ digest: image.digest });
    expect(await auditRows(rooms, system, 'repository.push')).toContainEqual(
      expect.objectContaining({ actorName: 'alice', detail: expect.objectContaining({ digest: image.digest }) as object }));
    expect(await front.reconcilePushes(system, 0)).toEqual({ recorded: 0, dropped: 0 });
  });

  test('a process killed before the storage took the push: nothing happened', async () => {
    const image = makeImage('killed before');
    const repository = await made('killed-before');
    await leavePending(repository, image, '1');
    expect(await front.reconcilePushes(system, 0)).toEqual({ recorded: 0, dropped: 1 });
    expect(await tags(repository)).toEqual([]);
  });

  test('a late record does not take a tag back that has moved since', async () => {
    const [old, fresh] = [makeImage('old'), makeImage('fresh')];
    const repository = await made('moved-since');
    for (const blob of old.blobs) await images.pushBlob(alice, repository.path, blob);
    await leavePending(repository, old, '1');
    await rooms.app.get(DistributionClient).putManifest(repository.path, '1', imageType, old.manifest);
    await push(repository.path, '1', fresh);
    expect(await front.reconcilePushes(system, 0)).toEqual({ recorded: 1, dropped: 0 });
    expect(await images.resolve(system, repository.path, '1')).toMatchObject({ digest: fresh.digest });
    expect(await images.resolve(system, repository.path, old.digest)).toMatchObject({ digest: old.digest });
  });

  test('with the storage away the push stays pending, and its later answer decides', async () => {
    const image = makeImage('away');
    const repository = await made('away');
    for (const blob of image.blobs) await images.pushBlob(alice, repository.path, blob);
    await rooms.distribution.kill();
    await expect(images.pushManifest(alice, repository.path, '1', imageType, image.manifest)).rejects.toThrow(problem('registry.backend-unavailable'));
    await rooms.distribution.start();
    expect(await front.reconcilePushes(system, 0)).toEqual({ recorded: 0, dropped: 1 });
    await push(repository.path, '1', image);
  });

  async function leavePending(repository: KnownRepository, image: MadeImage, tag: string): Promise<void> {
    const facts = { digest: image.digest, mediaType: imageType, sizeBytes: image.manifest.length, contentBytes: 1, subjectDigest: null, artifactType: null, configDigest: null, annotations: null };
    await rooms.db.query(system, `insert into registry_pushes (id, repository_id, tag, digest, facts, actor, request_id) values (gen_random_uuid(), $1, $2, $3, $4, $5, 'r')`, [
      repository.id, tag, image.digest, JSON.stringify(facts), JSON.stringify(alice.actor)]);
  }
});

describe('signatures', () => {
  test('referrers and signature tags are told of their subject, and are found as evidence', async () => {
    const image = makeImage('signed');
    const repository = await made('signed');
    await push(repository.path, '1', image);
    const type = 'application/vnd.dev.sigstore.bundle.v0.3+json';
    const bundle = makeImage('bundle', { digest: image.digest, size: image.manifest.length, artifactType: type });
    await push(repository.path, null, bundle);
    const signature = makeImage('sig');
    await push(repository.path, `sha256-${image.digest.slice(7)}.sig`, signature);
    const told = (await outbox('registry.signature-pushed')).filter((event) => event['repository'] === repository.path);
    expect(told).toEqual([bundle, signature].map(({ digest }) => ({ repositoryId: repository.id, repository: repository.path, subject: image.digest, digest })));
    expect((await outbox('registry.image-pushed')).filter((event) => event['repository'] === repository.path)).toHaveLength(1);

    expect(await front.referrers(system, repository.id, image.digest, null)).toEqual([
      { mediaType: imageType, digest: bundle.digest, size: bundle.manifest.length, artifactType: type, annotations: { label: 'bundle' } }]);
    expect(await front.referrers(system, repository.id, image.digest, 'other')).toEqual([]);
    const evidence = images.evidence(repository.path);
    expect((await evidence.manifestByTag(`sha256-${image.digest.slice(7)}.sig`))?.bytes).toEqual(signature.manifest);
    expect(await evidence.manifestByDigest(bundle.digest)).toEqual({ digest: bundle.digest, mediaType: imageType, sizeBytes: bundle.manifest.length, bytes: bundle.manifest });
    expect(await evidence.referrers(image.digest)).toEqual([{ digest: bundle.digest, mediaType: imageType, artifactType: type }]);
    const layer = image.blobs[1]!;
    expect(await evidence.blob(digestOf(layer), layer.length)).toEqual(layer);
    expect(await evidence.blob(digestOf(layer), layer.length - 1)).toBeNull();
    expect(await evidence.blob(`sha256:${'0'.repeat(64)}`, 10)).toBeNull();
    expect((await repositories.tags(system, repository.id, { limit: 10 })).items.map(({ name }) => name)).toEqual(['1']);
    expect(await tags(repository)).toEqual(['1', `sha256-${image.digest.slice(7)}.sig`]);
  });

  test('evidence of a repository holds nothing of another, though the storage shares content', async () => {
    const image = makeImage('elsewhere');
    await push((await made('holder')).path, '1', image);
    const other = await made('other');
    expect(await images.evidence(other.path).manifestByDigest(image.digest)).toBeNull();
    expect(await images.evidence(other.path).blob(digestOf(image.blobs[1]!), 1000)).toBeNull();
    expect(await images.evidence('acme/none').manifestByTag('1')).toBeNull();
  });
});

describe('deleting', () => {
  test('a tag leaves the image, a digest takes its tags with it', async () => {
    const image = makeImage('tags');
    const repository = await made('tags');
    for (const tag of ['1', '2', '3']) await push(repository.path, tag, image);
    await front.deleteReference(alice, repository, '1');
    expect(await tags(repository)).toEqual(['2', '3']);
    rooms.use.used.push(image.digest);
    await expect(front.deleteReference(alice, repository, image.digest)).rejects.toThrow(problem('registry.digest-in-use'));
    rooms.use.used.length = 0;
    await front.deleteReference(alice, repository, image.digest);
    expect(await tags(repository)).toEqual([]);
    expect(await rooms.app.get(DistributionClient).hasManifest(repository.path, image.digest)).toBe(false);
    await expect(front.deleteReference(alice, repository, '2')).rejects.toThrow(problem('request.not-found'));
    expect((await repositories.events(system, repository.id, { limit: 10 })).items.map(({ type }) => type)).toEqual(['manifest-deleted', 'tag-deleted', 'pushed', 'pushed', 'pushed']);
  });
});

describe('tokens', () => {
  const scope = (name: string, ...actions: string[]): { type: string; name: string; actions: string[] } => ({ type: 'repository', name, actions });

  test('allow what was asked and is allowed', async () => {
    const tokens = rooms.app.get(RegistryTokens);
    await made('granted');
    const grant = async (ctx: Context, ...scopes: ReturnType<typeof scope>[]): Promise<unknown> => tokens.verify((await tokens.mint(ctx, { scopes })).token)?.access;
    expect(await grant(alice, scope('acme/granted', 'pull', 'push'))).toEqual([scope('acme/granted', 'pull', 'push')]);
    expect(await grant(alice, scope('acme/granted', '*'))).toEqual([scope('acme/granted', 'pull', 'push', 'delete')]);
    expect(await grant(bob, scope('acme/granted', 'pull', 'push'), scope('bob/own', 'pull', 'push'))).toEqual([scope('bob/own', 'pull', 'push')]);
    // A repository that is not there yet: who may make it may push to it.
    expect(await grant(alice, scope('acme/new', 'push'))).toEqual([scope('acme/new', 'push')]);
    expect(await grant(alice, scope('bob/new', 'push'), scope('nobody/new', 'pull'), scope('acme/a/b', 'pull'))).toEqual([]);
  });

  test('a member pulls only, a limited token does what it names', async () => {
    const rights = rooms.app.get(RegistryRights);
    const repository = await made('member');
    const carol = as(await rooms.accounts.createUser(system, { name: 'carol', password: 'correct horse battery' }));
    await rooms.accounts.addMember(system, 'acme', 'carol', 'member');
    expect(await rights.allowed(carol, repository.path, ['pull', 'push', 'delete'])).toEqual(['pull']);
    expect(await rights.may(carol, 'acme/not-there', 'push')).toBe(false);
    const limited: Context = { ...alice, actor: { ...alice.actor, limits: { repositories: [repository.id], operations: ['repository:pull', 'repository:push'] } } };
    expect(await rights.allowed(limited, repository.path, ['pull', 'push', 'delete'])).toEqual(['pull', 'push']);
    expect(await rights.allowed(limited, 'acme/not-there', ['pull', 'push'])).toEqual([]);
    const service: Context = { ...system, actor: { kind: 'service', id: 'c', name: 's', admin: false, credentialId: 'c', limits: { repositories: [repository.id] } } };
    expect(await rights.allowed(service, repository.path, ['pull', 'push'])).toEqual(['pull']);
    await rooms.accounts.removeMember(system, 'acme', 'carol');
    expect(await rights.may(carol, repository.path, 'pull')).toBe(false);
  });

  test('die with a changed password, in every process', async () => {
    const other = (await rooms.another()).get(RegistryTokens);
    const tokens = rooms.app.get(RegistryTokens);
    const dave = as(await rooms.accounts.createUser(system, { name: 'dave', password: 'correct horse battery' }));
    const { token } = await tokens.mint(dave, { scopes: [] });
    expect(tokens.verify(token)).not.toBeNull();
    expect(other.verify(token)).not.toBeNull();
    await rooms.accounts.resetPassword(system, 'dave', 'another horse battery');
    expect(tokens.verify(token)).toBeNull();
    await eventually('the other process knows', () => other.verify(token) === null, 30);
  });
});

test('a second process sees a repository vanish at once', async () => {
  const other: INestApplicationContext = await rooms.another();
  const repository = await made('vanishing');
  expect(await other.get(Repositories).known(system, repository.path)).toMatchObject({ id: repository.id });
  await repositories.delete(alice, repository.id, { force: false });
  await eventually('it is gone there', async () => (await other.get(Repositories).known(system, repository.path)) === null, 9);
});

test('the storage takes nobody without a token of ours', async () => {
  const { port } = new URL(rooms.distribution.url);
  const status = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1', () => socket.end('GET /v2/acme/pushed/tags/list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'));
    socket.once('data', (data) => resolve(data.toString().split('\r\n')[0]!));
    socket.once('error', reject);
  });
  expect(status).toBe('HTTP/1.1 401 Unauthorized');
  expect(await rooms.app.get(DistributionClient).isReachable()).toBe(true);
});
