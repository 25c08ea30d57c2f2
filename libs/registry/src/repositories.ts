import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { Access, Grants, inScope, type ResourceRef } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { Db, decodeCursor, isUniqueViolation, LOGGER, requestProblem, systemContext, toPage, uuidv7, type Context, type Logger, type Page } from '@gantry/platform';
import { DigestUse } from './digest-use';
import { DistributionClient } from './distribution.client';
import { Manifest, Repository, RepositoryEvent } from './entities';
import { blobsOf } from './manifest';
import { registryProblem } from './problems';
import { isRepositoryComponent, parseRepositoryPath } from './reference';

/** NOTIFY channel on which processes forget what they remember of a repository; the payload is its path. */
const channel = 'gantry_registry';
const maxRemembered = 10_000;
/** Bounds what a lost NOTIFY can cost. Rights are not remembered here. */
const rememberMillis = 10_000;

/** What is needed of a repository to judge and serve a request. */
export interface KnownRepository {
  id: string;
  accountId: string;
  /** `namespace/name` */
  path: string;
  immutableTags: boolean;
}

/** A tag with what it names. */
export interface TagEntry {
  name: string;
  digest: string;
  mediaType: string;
  /** Of manifest and blobs together, for an index of the index itself. */
  sizeBytes: number;
  updatedAt: Date;
  updatedBy: string;
}

/** A manifest with the tags that name it and how many signatures and other attachments it has. */
export interface ManifestEntry extends Manifest {
  tags: string[];
  referrers: number;
}

/** Repositories of the managed registry: what they are, whose they are, and what is in them. */
@Injectable()
export class Repositories implements OnModuleInit, OnModuleDestroy {
  private readonly remembered = new Map<string, { repository: KnownRepository; until: number }>();
  private unlisten: (() => void) | null = null;

  constructor(
    private readonly db: Db,
    private readonly access: Access,
    private readonly grants: Grants,
    private readonly audit: Audit,
    private readonly distribution: DistributionClient,
    private readonly use: DigestUse,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async onModuleInit(): Promise<void> {
    this.unlisten = await this.db.listen(channel, (path) => {
      if (path === '') this.remembered.clear();
      else this.remembered.delete(path);
    });
  }

  onModuleDestroy(): void {
    this.unlisten?.();
  }

  /** The repository as something to judge rights on. */
  ref(repository: { id: string; accountId: string }): ResourceRef {
    return { kind: 'repository', id: repository.id, parent: { kind: 'account', id: repository.accountId } };
  }

  /**
   * Makes a repository in a namespace, owned by the account of that name. The caller has judged `repository:create` on the account.
   * @throws registry.name-invalid, registry.namespace-unknown, request.name-taken
   */
  async create(ctx: Context, wish: { namespace: string; name: string; description?: string; immutableTags?: boolean }): Promise<Repository> {
    if (!isRepositoryComponent(wish.name)) throw registryProblem('name-invalid', { errors: [{ pointer: '/name', detail: 'not a repository name' }] });
    const account = this.access.findNamespace(wish.namespace);
    if (!account) throw registryProblem('namespace-unknown', { errors: [{ pointer: '/namespace', detail: 'no user or organization has this name' }] });
    const id = uuidv7();
    const path = `${wish.namespace}/${wish.name}`;
    if (!parseRepositoryPath(path)) throw registryProblem('name-invalid', { errors: [{ pointer: '/name', detail: 'not a repository name' }] });
    try {
      return await this.db.transaction(ctx, async (tx) => {
        const values = { id, accountId: account.id, namespace: wish.namespace, name: wish.name, description: wish.description ?? '', immutableTags: wish.immutableTags ?? false };
        await this.db.query(tx, 'insert into registry_repositories (id, account_id, namespace, name, description, immutable_tags) values ($1, $2, $3, $4, $5, $6)', Object.values(values));
        await this.access.place(tx, { kind: 'repository', id }, this.access.accountCollection(account.id));
        await this.audit.record(tx, { action: 'repository.create', resource: { kind: 'repository', id, name: path }, outcome: 'success' });
        return this.db.repo(tx, Repository).findOneByOrFail({ id });
      });
    } catch (error) {
      if (isUniqueViolation(error, 'registry_repositories_path')) throw requestProblem('name-taken', { detail: `The repository ${path} exists already.` });
      throw error;
    }
  }

  /** The repository of this id or path, or null. Does not judge. */
  async find(ctx: Context, idOrPath: string): Promise<Repository | null> {
    const where = idOrPath.includes('/') ? { path: idOrPath } : { id: idOrPath };
    if (!('path' in where) && !/^[0-9a-f-]{36}$/.test(where.id)) return null;
    const repository = await this.db.repo(ctx, Repository).findOneBy(where);
    return repository && !repository.deleting ? repository : null;
  }

  /** The repository of this id or path. @throws request.not-found */
  async get(ctx: Context, idOrPath: string): Promise<Repository> {
    const repository = await this.find(ctx, idOrPath);
    if (!repository) throw requestProblem('not-found');
    return repository;
  }

  /** Reference of the repository of this id or path, for the guard of the REST API. */
  async findRef(ctx: Context, idOrPath: string): Promise<ResourceRef | null> {
    const repository = await this.find(ctx, idOrPath);
    return repository && this.ref(repository);
  }

  /** What a request on `/v2` needs of a repository; remembered for a moment, so that a warm token service asks no database. */
  known(ctx: Context, path: string): KnownRepository | null | Promise<KnownRepository | null> {
    const hit = this.remembered.get(path);
    return hit && hit.until > Date.now() ? hit.repository : this.lookUp(ctx, path);
  }

  private async lookUp(ctx: Context, path: string): Promise<KnownRepository | null> {
    this.remembered.delete(path);
    if (!parseRepositoryPath(path)) return null;
    const [repository] = await this.db.query<KnownRepository>(
      ctx, 'select id, account_id as "accountId", path, immutable_tags as "immutableTags" from registry_repositories where path = $1 and not deleting', [path]);
    if (!repository) return null;
    if (this.remembered.size >= maxRemembered) this.remembered.delete(this.remembered.keys().next().value!);
    this.remembered.set(path, { repository, until: Date.now() + rememberMillis });
    return repository;
  }

  /** Repositories that the actor may see, by path. */
  async list(ctx: Context, options: { limit: number; cursor?: string; namespace?: string }): Promise<Page<Repository>> {
    const [after] = decodeCursor(options.cursor, 1) ?? [''];
    const found = await this.visible(ctx, 'repository:view', options.limit + 1, after!, options.namespace ?? null);
    return toPage(found, options.limit, (repository) => [repository.path]);
  }

  /** Up to `limit` repositories after a path on which the actor may do the operation. */
  async visible(ctx: Context, operation: 'repository:view' | 'repository:pull', limit: number, after: string, namespace: string | null): Promise<Repository[]> {
    const scope = ctx.actor.kind === 'service' ? null : this.access.listScope(ctx, operation, 'repository');
    const found: Repository[] = [];
    const batch = Math.max(limit, 200);
    for (let last = after; found.length < limit; ) {
      const query = this.db.repo(ctx, Repository).createQueryBuilder('r').where('not r.deleting and r.path > :last', { last });
      if (scope) query.andWhere(inScope('r.account_id', 'r.id'), { ...scope });
      if (namespace !== null) query.andWhere('r.namespace = :namespace', { namespace });
      const rows = await query.orderBy('r.path').limit(batch).getMany();
      found.push(...this.access.filter(ctx, operation, rows, (row) => this.ref(row)));
      if (rows.length < batch) break;
      last = rows[rows.length - 1]!.path;
    }
    return found.slice(0, limit);
  }

  /** Changes description or tag rule. @throws request.precondition-failed when the version is another */
  async update(ctx: Context, id: string, version: number, change: { description?: string; immutableTags?: boolean }): Promise<Repository> {
    return this.db.transaction(ctx, async (tx) => {
      const [row] = await this.db.query<{ path: string }>(
        tx,
        `update registry_repositories set description = coalesce($3, description), immutable_tags = coalesce($4, immutable_tags), version = version + 1, updated_at = now()
         where id = $1 and version = $2 and not deleting returning path`,
        [id, version, change.description ?? null, change.immutableTags ?? null],
      );
      if (!row) throw requestProblem((await this.find(tx, id)) ? 'precondition-failed' : 'not-found');
      await this.audit.record(tx, { action: 'repository.update', resource: { kind: 'repository', id, name: row.path }, outcome: 'success', detail: { ...change } });
      await this.db.notify(tx, channel, row.path);
      return this.get(tx, id);
    });
  }

  /**
   * Deletes a repository: at once for everybody, then its content from the storage (now, or by `finishDeletions` where that fails).
   * Its name is free again when the content is gone. @throws registry.repository-not-empty, registry.digest-in-use
   */
  async delete(ctx: Context, id: string, options: { force: boolean }): Promise<void> {
    const used = await this.use.usedDigests(ctx, id);
    const repository = await this.db.transaction(ctx, async (tx) => {
      const [row] = await this.db.query<{ id: string; path: string }>(
        tx, 'update registry_repositories set deleting = true, version = version + 1, updated_at = now() where id = $1 and not deleting returning id, path', [id]);
      if (!row) throw requestProblem('not-found');
      const held = await this.db.query<{ digest: string }>(tx, 'select digest from registry_manifests where repository_id = $1', [id]);
      if (held.some(({ digest }) => used.includes(digest))) throw registryProblem('digest-in-use');
      if (held.length > 0 && !options.force) throw registryProblem('repository-not-empty');
      await this.access.unplace(tx, { kind: 'repository', id });
      await this.grants.forgetRepository(tx, id);
      await this.audit.record(tx, { action: 'repository.delete', resource: { kind: 'repository', id, name: row.path }, outcome: 'success', detail: { manifests: held.length } });
      await this.db.notify(tx, channel, row.path);
      return row;
    });
    this.remembered.delete(repository.path);
    try {
      await this.purge(ctx, repository);
    } catch (error) {
      this.logger.warn({ err: error, repository: repository.path }, 'a deleted repository’s content is still in the storage; it is tried again');
    }
  }

  /** Takes the content of deleted repositories out of the storage; a worker calls it from time to time. */
  async finishDeletions(ctx: Context): Promise<void> {
    for (const repository of await this.db.query<{ id: string; path: string }>(ctx, 'select id, path from registry_repositories where deleting order by updated_at limit 100')) {
      await this.purge(ctx, repository);
    }
  }

  /** Blobs stay readable by digest for whoever gets the same name later, unless they are taken out of the repository one by one. */
  private async purge(ctx: Context, repository: { id: string; path: string }): Promise<void> {
    const manifests = await this.db.query<{ digest: string }>(ctx, 'select digest from registry_manifests where repository_id = $1', [repository.id]);
    const blobs = new Set<string>();
    for (const { digest } of manifests) {
      const manifest = await this.distribution.manifest(repository.path, digest);
      if (manifest) for (const blob of blobsOf(manifest.bytes)) blobs.add(blob);
    }
    for (const blob of blobs) await this.distribution.deleteBlob(repository.path, blob);
    for (const { digest } of manifests) await this.distribution.deleteManifest(repository.path, digest);
    await this.db.query(ctx, 'delete from registry_repositories where id = $1 and deleting returning 1', [repository.id]);
  }

  /** Tags by name, without those that hold signatures. */
  async tags(ctx: Context, id: string, page: { limit: number; cursor?: string }): Promise<Page<TagEntry>> {
    const [after] = decodeCursor(page.cursor, 1) ?? [''];
    const rows = await this.db.query<TagEntry & { sizeBytes: string | number }>(
      ctx,
      `select t.name, t.digest, m.media_type as "mediaType", m.size_bytes + m.content_bytes as "sizeBytes", t.updated_at as "updatedAt", t.updated_by as "updatedBy"
       from registry_tags t join registry_manifests m on m.repository_id = t.repository_id and m.digest = t.digest
       where t.repository_id = $1 and t.name > $2 and t.name !~ '^sha256-[0-9a-f]{64}(\\.[a-z0-9]{1,16})?$' order by t.name limit $3`,
      [id, after, page.limit + 1],
    );
    return toPage(rows.map((row) => ({ ...row, sizeBytes: Number(row.sizeBytes) })), page.limit, (tag) => [tag.name]);
  }

  /** One manifest. @throws request.not-found */
  async manifest(ctx: Context, id: string, digest: string): Promise<ManifestEntry> {
    const manifest = await this.db.repo(ctx, Manifest).findOneBy({ repositoryId: id, digest });
    if (!manifest) throw requestProblem('not-found');
    const tags = await this.db.query<{ name: string }>(ctx, 'select name from registry_tags where repository_id = $1 and digest = $2 order by name', [id, digest]);
    const [count] = await this.db.query<{ count: string }>(ctx, 'select count(*) as count from registry_manifests where repository_id = $1 and subject_digest = $2', [id, digest]);
    return { ...manifest, tags: tags.map(({ name }) => name), referrers: Number(count?.count ?? 0) };
  }

  /** What happened in the repository, newest first. */
  async events(ctx: Context, id: string, page: { limit: number; cursor?: string }): Promise<Page<RepositoryEvent>> {
    const [before] = decodeCursor(page.cursor, 1) ?? ['ffffffff-ffff-ffff-ffff-ffffffffffff'];
    if (!/^[0-9a-f-]{36}$/.test(before!)) throw requestProblem('invalid', { errors: [{ pointer: 'query/cursor', detail: 'not a cursor of this list' }] });
    const rows = await this.db.repo(ctx, RepositoryEvent).createQueryBuilder('e').where('e.repository_id = :id and e.id < :before', { id, before }).orderBy('e.id', 'DESC').limit(page.limit + 1).getMany();
    return toPage(rows, page.limit, (event) => [event.id]);
  }

  /**
   * Deletes a tag; the image stays under its digest. @throws request.not-found
   */
  async deleteTag(ctx: Context, id: string, tag: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const [row] = await this.db.query<{ digest: string }>(tx, 'delete from registry_tags where repository_id = $1 and name = $2 returning digest', [id, tag]);
      if (!row) throw requestProblem('not-found');
      await this.note(tx, id, 'tag-deleted', tag, row.digest);
      await this.audit.record(tx, { action: 'repository.delete-tag', resource: await this.named(tx, id), outcome: 'success', detail: { tag, digest: row.digest } });
    });
  }

  /** Deletes a manifest with all its tags, here first and then in the storage. @throws request.not-found, registry.digest-in-use, registry.backend-unavailable */
  async deleteManifest(ctx: Context, id: string, digest: string): Promise<void> {
    if ((await this.use.usedDigests(ctx, id)).includes(digest)) throw registryProblem('digest-in-use');
    const path = await this.db.transaction(ctx, async (tx) => {
      const resource = await this.named(tx, id);
      const tags = await this.db.query<{ name: string }>(tx, 'delete from registry_tags where repository_id = $1 and digest = $2 returning name', [id, digest]);
      const gone = await this.db.query(tx, 'delete from registry_manifests where repository_id = $1 and digest = $2 returning 1', [id, digest]);
      if (gone.length === 0) throw requestProblem('not-found');
      await this.note(tx, id, 'manifest-deleted', null, digest);
      await this.audit.record(tx, { action: 'repository.delete-manifest', resource, outcome: 'success', detail: { digest, tags: tags.map(({ name }) => name) } });
      return resource.name;
    });
    await this.distribution.deleteManifest(path, digest);
  }

  /** Adds an event in the context's transaction. */
  async note(ctx: Context, id: string, type: RepositoryEvent['type'], tag: string | null, digest: string): Promise<void> {
    await this.db.query(ctx, 'insert into registry_events (id, repository_id, type, tag, digest, actor_name) values ($1, $2, $3, $4, $5, $6)', [uuidv7(), id, type, tag, digest, ctx.actor.name]);
  }

  private async named(ctx: Context, id: string): Promise<{ kind: string; id: string; name: string }> {
    return { kind: 'repository', id, name: (await this.get(ctx, id)).path };
  }
}

/** A context for reads that nobody asked for in particular. */
export function registryContext(what: string): Context {
  return systemContext(`registry.${what}`);
}
