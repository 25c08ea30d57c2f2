import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, Db, requestProblem, uuidv7, type Context } from '@gantry/platform';
import { Access } from './access';
import { chainOf, collectionOf, maxDepth, type CollectionFacts, type ResourceRef } from './decide';
import type { Operation } from './operations';
import { accessProblem } from './problems';

/** Ids of the collections that are always there. */
const builtInIds = /^00000000-0000-7000-8000-00000000000[1-5]$/;
const segment = /^[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?$/;

/** A collection with what changing it needs. */
export interface CollectionView extends CollectionFacts {
  builtIn: boolean;
  createdAt: Date;
  version: number;
}

/** The tree of collections and where resources lie in it. Methods judge the operation themselves, since most touch two places. */
@Injectable()
export class Collections {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly audit: Audit,
  ) {}

  /** By id or path, when the actor sees it. @throws request.not-found */
  async get(ctx: Context, idOrPath: string): Promise<CollectionView> {
    const ref = this.access.findCollection(ctx, idOrPath);
    if (!ref || !this.access.can(ctx, 'collection:view', ref).visible) throw requestProblem('not-found');
    const [row] = await this.db.query<{ id: string; parentId: string | null; path: string; ownerId: string | null; createdAt: Date; version: number }>(
      ctx, 'select id, parent_id as "parentId", path, owner_id as "ownerId", created_at as "createdAt", version from access_collections where id = $1', [ref.id]);
    if (!row) throw requestProblem('not-found');
    return { ...row, builtIn: isFixed(row) };
  }

  /** A collection below another. @throws request.not-found, request.forbidden, access.collection-taken, access.collection-depth, request.invalid */
  async create(ctx: Context, input: { parent: string; name: string }): Promise<CollectionView> {
    if (!segment.test(input.name)) throw requestProblem('invalid', { errors: [{ pointer: '/name', detail: 'letters, digits, spaces and ._- inside; 1 to 63 characters' }] });
    const parent = await this.judged(ctx, 'collection:create', input.parent, '/parent');
    // Below these two lie the collections of accounts, and only those.
    if (parent.path === '/Organizations' || parent.path === '/Shared/Private') {
      throw requestProblem('invalid', { errors: [{ pointer: '/parent', detail: 'only accounts have their collections here; name one of them, or another place' }] });
    }
    return this.db.transaction(ctx, async (tx) => {
      const [locked] = await this.db.query<{ path: string }>(tx, 'select path from access_collections where id = $1 for share', [parent.id]);
      if (!locked) throw requestProblem('not-found');
      const path = `${locked.path === '/' ? '' : locked.path}/${input.name}`;
      if (path.split('/').length > maxDepth / 2) throw accessProblem('collection-depth');
      const id = uuidv7();
      const made = await this.db.query(
        tx, 'insert into access_collections (id, parent_id, path, created_at) values ($1, $2, $3, $4) on conflict do nothing returning 1', [id, parent.id, path, this.clock.now()]);
      if (made.length === 0) throw accessProblem('collection-taken', { errors: [{ pointer: '/name', detail: `${path} exists` }] });
      await this.audit.record(tx, { action: 'collection.create', outcome: 'success', resource: { kind: 'collection', id, name: path } });
      await this.access.publish(tx, [{ type: 'collection', collection: { id, parentId: parent.id, path, ownerId: null } }]);
      return { id, parentId: parent.id, path, ownerId: null, builtIn: false, createdAt: this.clock.now(), version: 1 };
    });
  }

  /** Gives a collection another name; what lies in it and the grants on it stay. @throws request.not-found, request.precondition-failed, access.collection-built-in, access.collection-taken */
  async rename(ctx: Context, idOrPath: string, version: number, name: string): Promise<CollectionView> {
    if (!segment.test(name)) throw requestProblem('invalid', { errors: [{ pointer: '/name', detail: 'letters, digits, spaces and ._- inside; 1 to 63 characters' }] });
    const ref = await this.judged(ctx, 'collection:update', idOrPath);
    await this.db.transaction(ctx, async (tx) => {
      const before = await this.lock(tx, ref.id);
      if (before.version !== version) throw requestProblem('precondition-failed');
      const path = `${before.path.slice(0, before.path.lastIndexOf('/'))}/${name}`;
      const taken = await this.db.query(tx, 'select 1 from access_collections where path = $1 and id <> $2', [path, before.id]);
      if (taken.length > 0) throw accessProblem('collection-taken', { errors: [{ pointer: '/name', detail: `${path} exists` }] });
      const changed = await this.db.query<CollectionFacts>(
        tx,
        `update access_collections set path = $2 || substr(path, length($3) + 1), version = version + (id = $1)::int where id = $1 or starts_with(path, $3 || '/')
         returning id, parent_id as "parentId", path, owner_id as "ownerId"`,
        [before.id, path, before.path],
      );
      await this.audit.record(tx, { action: 'collection.update', outcome: 'success', resource: { kind: 'collection', id: before.id, name: path }, detail: { pathBefore: before.path } });
      await this.access.publish(tx, changed.map((collection) => ({ type: 'collection' as const, collection })));
    });
    return this.get(ctx, ref.id);
  }

  /** Removes an empty collection and the grants on it. @throws request.not-found, request.precondition-failed, access.collection-built-in, access.collection-not-empty */
  async delete(ctx: Context, idOrPath: string, version: number): Promise<void> {
    const ref = await this.judged(ctx, 'collection:delete', idOrPath);
    await this.db.transaction(ctx, async (tx) => {
      const before = await this.lock(tx, ref.id);
      if (before.version !== version) throw requestProblem('precondition-failed');
      const content = await this.db.query<{ kind: string; count: number }>(
        tx,
        `select kind, count(*)::int as count from access_placements where collection_id = $1 group by kind
         union all select 'collection', count(*)::int from access_collections where parent_id = $1 having count(*) > 0 order by kind`,
        [ref.id],
      );
      if (content.length > 0) {
        throw accessProblem('collection-not-empty', {
          detail: `In it: ${content.map(({ kind, count }) => `${count} ${kind}${count === 1 ? '' : 's'}`).join(', ')}. Move or delete them first.`,
          extra: { content: Object.fromEntries(content.map(({ kind, count }) => [kind, count])) },
        });
      }
      const grants = await this.db.query<{ id: string }>(tx, 'delete from access_grants where collection_id = $1 returning id', [ref.id]);
      await this.db.query(tx, 'delete from access_collections where id = $1 returning 1', [ref.id]);
      await this.audit.record(tx, { action: 'collection.delete', outcome: 'success', resource: { kind: 'collection', id: ref.id, name: before.path }, detail: { grantsEnded: grants.length } });
      await this.access.publish(tx, [...grants.map(({ id }) => ({ type: 'grant-removed' as const, id })), { type: 'collection-removed', id: ref.id }]);
    });
  }

  /**
   * Moves a resource to another collection. Needs `collection:place` where it goes, and where it is.
   * @param inherits it may lie in no collection of its own yet; then that counts by which it is judged
   * @throws request.not-found, request.forbidden, access.foreign-collection
   */
  async move(ctx: Context, resource: ResourceRef, name: string, to: string, inherits = false): Promise<{ kind: string; id: string; collection: CollectionFacts }> {
    const from = this.access.findPlacement(resource) ?? (inherits ? (this.access.collectionsAbove(resource)[0] ?? null) : null);
    if (from === null) throw requestProblem('not-found');
    this.access.assertCan(ctx, 'collection:place', { kind: 'collection', id: from.id });
    const target = await this.judged(ctx, 'collection:place', to, '/collection');
    // An account's own collection holds what belongs to that account; giving things away is another matter.
    if (target.ownerId !== null && target.id !== resource.parent?.id && target.ownerId !== this.access.findOwner(resource)) throw accessProblem('foreign-collection');
    await this.db.transaction(ctx, async (tx) => {
      const [locked] = await this.db.query(tx, 'select 1 from access_collections where id = $1 for share', [target.id]);
      if (!locked) throw requestProblem('not-found');
      await this.access.place(tx, resource, target.id);
      await this.audit.record(tx, { action: 'resource.move', outcome: 'success', resource: { kind: resource.kind, id: resource.id, name }, detail: { from: from.path, to: target.path } });
    });
    return { kind: resource.kind, id: resource.id, collection: target };
  }

  private async judged(ctx: Context, operation: Operation, idOrPath: string, pointer?: string): Promise<CollectionFacts> {
    const ref = this.access.findCollection(ctx, idOrPath);
    const facts = ref && this.access.listCollectionFacts().get(ref.id);
    if (pointer !== undefined && (!facts || !this.access.can(ctx, 'collection:view', ref).visible)) throw requestProblem('invalid', { errors: [{ pointer, detail: 'no such collection' }] });
    if (!facts || !ref) throw requestProblem('not-found');
    this.access.assertCan(ctx, operation, ref);
    return facts;
  }

  private async lock(tx: Context, id: string): Promise<{ id: string; path: string; version: number }> {
    const [row] = await this.db.query<{ id: string; path: string; ownerId: string | null; version: number }>(
      tx, 'select id, path, owner_id as "ownerId", version from access_collections where id = $1 for update', [id]);
    if (!row) throw requestProblem('not-found');
    if (isFixed(row)) throw accessProblem('collection-built-in');
    return row;
  }
}

function isFixed(collection: { id: string; ownerId: string | null }): boolean {
  return collection.ownerId !== null || builtInIds.test(collection.id);
}

/** The path of the collection in which a resource is judged, for people. */
export function pathOf(facts: Parameters<typeof collectionOf>[0], resource: ResourceRef): string | null {
  const id = collectionOf(facts, resource);
  if (id === null) return null;
  for (const { path } of chainOf(facts, id)) return path;
  return null;
}
