import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Db, Leases, makeContext, Outbox, requestProblem, uuidv7, type Actor, type Context } from '@gantry/platform';
import { DistributionClient, type BackendRefusal } from './distribution.client';
import { imagePushed, signaturePushed } from './events';
import { maxManifestBytes, readManifest, type ManifestFacts } from './manifest';
import { registryProblem } from './problems';
import { isAttachmentTag, isDigest, isTag, parseRepositoryPath, signedDigest } from './reference';
import { registryContext, Repositories, type KnownRepository } from './repositories';

/** A manifest as it is recorded in a repository. */
export interface RecordedManifest {
  digest: string;
  mediaType: string;
  sizeBytes: number;
}

/** One entry of a referrers list (an OCI descriptor). */
export interface ReferrerDescriptor {
  mediaType: string;
  digest: string;
  size: number;
  artifactType?: string;
  annotations?: Record<string, string>;
}

/** Outcome of a push: recorded, or refused by the storage for the pusher's own fault. */
export type PushOutcome = { pushed: true; digest: string; subjectDigest: string | null } | { pushed: false; refusal: BackendRefusal };

/** A pending push is left to the process that began it for this long; a push to the storage takes at most 30 s, tried twice. */
const pendingSeconds = 90;
const maxReferrers = 1_000;

/**
 * What the registry's listener does besides moving bytes: it records pushes, and answers for tags, manifests and referrers from the record. The
 * record decides what is there; the storage only keeps content.
 */
@Injectable()
export class RegistryFront {
  /** Ends of the queues of pushes to one tag. */
  private readonly turns = new Map<string, Promise<unknown>>();

  constructor(
    private readonly db: Db,
    private readonly repositories: Repositories,
    private readonly distribution: DistributionClient,
    private readonly audit: Audit,
    private readonly outbox: Outbox,
    private readonly leases: Leases,
  ) {}

  /** The repository, made where it is not there: a push creates it. The caller has judged the push (RegistryRights). @throws registry.name-invalid, registry.namespace-unknown */
  async ensureRepository(ctx: Context, path: string): Promise<KnownRepository> {
    const known = await this.repositories.known(ctx, path);
    if (known) return known;
    const place = parseRepositoryPath(path);
    if (!place) throw registryProblem('name-invalid', { detail: 'Repositories are named namespace/name.' });
    try {
      await this.repositories.create(ctx, place);
    } catch (error) {
      // Layers are pushed side by side: another one may just have made it. Anything else is the error itself.
      const made = (error as { code?: string }).code === 'request.name-taken' ? await this.repositories.known(ctx, path) : null;
      if (!made) throw error;
      return made;
    }
    const made = await this.repositories.known(ctx, path);
    if (!made) throw requestProblem('not-found');
    return made;
  }

  /** The manifest that a tag or digest names in this repository, or null. */
  async resolve(ctx: Context, repositoryId: string, reference: string): Promise<RecordedManifest | null> {
    const sql = isDigest(reference)
      ? 'select digest, media_type as "mediaType", size_bytes as "sizeBytes" from registry_manifests where repository_id = $1 and digest = $2'
      : `select m.digest, m.media_type as "mediaType", m.size_bytes as "sizeBytes" from registry_tags t
         join registry_manifests m on m.repository_id = t.repository_id and m.digest = t.digest where t.repository_id = $1 and t.name = $2`;
    const [row] = await this.db.query<{ digest: string; mediaType: string; sizeBytes: string }>(ctx, sql, [repositoryId, reference]);
    return row ? { ...row, sizeBytes: Number(row.sizeBytes) } : null;
  }

  /** The manifest with its bytes, or null. */
  async readManifest(ctx: Context, repository: { id: string; path: string }, reference: string): Promise<(RecordedManifest & { bytes: Buffer }) | null> {
    const recorded = await this.resolve(ctx, repository.id, reference);
    if (!recorded) return null;
    const stored = await this.distribution.manifest(repository.path, recorded.digest);
    return stored && { ...recorded, bytes: stored.bytes };
  }

  /** Up to `limit` tag names after `last`, signatures included, in ASCII order; `more` says that others follow. */
  async tagNames(ctx: Context, repositoryId: string, limit: number, last: string): Promise<{ tags: string[]; more: boolean }> {
    const rows = await this.db.query<{ name: string }>(ctx, 'select name from registry_tags where repository_id = $1 and name > $2 order by name limit $3', [repositoryId, last, limit + 1]);
    return { tags: rows.slice(0, limit).map(({ name }) => name), more: rows.length > limit };
  }

  /** Up to `limit` paths after `last` of what the actor may pull, in ASCII order. */
  async catalog(ctx: Context, limit: number, last: string): Promise<{ repositories: string[]; more: boolean }> {
    const rows = await this.repositories.visible(ctx, 'repository:pull', limit + 1, last, null);
    return { repositories: rows.slice(0, limit).map(({ path }) => path), more: rows.length > limit };
  }

  /** Manifests that are about an image, oldest first, at most 1,000. `artifactType` filters. */
  async referrers(ctx: Context, repositoryId: string, subject: string, artifactType: string | null): Promise<ReferrerDescriptor[]> {
    const rows = await this.db.query<{ mediaType: string; digest: string; size: string; artifactType: string | null; annotations: Record<string, string> | null }>(
      ctx,
      `select media_type as "mediaType", digest, size_bytes as size, artifact_type as "artifactType", annotations from registry_manifests
       where repository_id = $1 and subject_digest = $2 and ($3::text is null or artifact_type = $3) order by pushed_at, digest limit ${maxReferrers}`,
      [repositoryId, subject, artifactType],
    );
    return rows.map(({ size, artifactType: type, annotations, ...row }) => ({ ...row, size: Number(size), ...(type === null ? {} : { artifactType: type }), ...(annotations ? { annotations } : {}) }));
  }

  /**
   * Pushes a manifest under a tag or its digest: the wish is recorded, the storage takes the bytes, then manifest, tag, event and audit row become one
   * transaction. A process that is killed in between leaves the wish to `reconcilePushes`. The caller has judged the push.
   * @throws registry.manifest-invalid, registry.digest-invalid, registry.tag-immutable, registry.backend-unavailable, request.too-large, request.not-found
   */
  async pushManifest(ctx: Context, repository: KnownRepository, reference: string, contentType: string, bytes: Buffer): Promise<PushOutcome> {
    if (bytes.length > maxManifestBytes) throw requestProblem('too-large');
    const facts = readManifest(contentType, bytes);
    const tag = isDigest(reference) ? null : reference;
    if (tag === null && reference !== facts.digest) throw registryProblem('digest-invalid', { detail: `The content has the digest ${facts.digest}.` });
    if (tag !== null && !isTag(tag)) throw requestProblem('invalid', { detail: 'Not a tag.' });
    const push = (): Promise<PushOutcome> => this.push(ctx, repository, tag, facts, bytes);
    return tag === null ? push() : this.inTurn(`${repository.id}/${tag}`, push);
  }

  private async push(ctx: Context, repository: KnownRepository, tag: string | null, facts: ManifestFacts, bytes: Buffer): Promise<PushOutcome> {
    const id = uuidv7();
    await this.db.transaction(ctx, async (tx) => {
      if (tag !== null) await this.assertMovable(tx, repository.id, tag, facts.digest);
      await this.db.query(tx, 'insert into registry_pushes (id, repository_id, tag, digest, facts, actor, request_id) values ($1, $2, $3, $4, $5, $6, $7)', [
        id, repository.id, tag, facts.digest, JSON.stringify(facts), JSON.stringify(ctx.actor), ctx.requestId,
      ]);
    });
    // By tag as well, so that the storage is a registry that can be read without us; the record alone decides what a tag is.
    const refusal = await this.distribution.putManifest(repository.path, tag ?? facts.digest, facts.mediaType, bytes);
    if (refusal) {
      await this.forget(ctx, id);
      return { pushed: false, refusal };
    }
    try {
      await this.record(ctx, repository, { id, tag, facts, since: null });
    } catch (error) {
      if ((error as { code?: string }).code === 'registry.tag-immutable') await this.forget(ctx, id);
      throw error;
    }
    return { pushed: true, digest: facts.digest, subjectDigest: facts.subjectDigest };
  }

  /** One transaction: manifest, tag, event, audit row, outbox. `since`: a push of that time must not take a tag back that has moved after it. */
  private async record(ctx: Context, repository: { id: string; path: string }, push: { id: string; tag: string | null; facts: ManifestFacts; since: Date | null }): Promise<void> {
    const { facts, tag } = push;
    await this.db.transaction(ctx, async (tx) => {
      const open = await this.db.query(tx, 'delete from registry_pushes where id = $1 returning 1', [push.id]);
      if (open.length === 0) return; // recorded by somebody else
      if (tag !== null) await this.assertMovable(tx, repository.id, tag, facts.digest);
      await this.db.query(
        tx,
        `insert into registry_manifests (repository_id, digest, media_type, size_bytes, content_bytes, subject_digest, artifact_type, config_digest, annotations, pushed_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (repository_id, digest) do nothing`,
        [repository.id, facts.digest, facts.mediaType, facts.sizeBytes, facts.contentBytes, facts.subjectDigest, facts.artifactType, facts.configDigest,
          facts.annotations ? JSON.stringify(facts.annotations) : null, ctx.actor.name],
      );
      if (tag !== null) {
        await this.db.query(
          tx,
          `insert into registry_tags (repository_id, name, digest, updated_by, updated_at) values ($1, $2, $3, $4, clock_timestamp())
           on conflict (repository_id, name) do update set digest = excluded.digest, updated_by = excluded.updated_by, updated_at = excluded.updated_at
             where $5::timestamptz is null or registry_tags.updated_at < $5`,
          [repository.id, tag, facts.digest, ctx.actor.name, push.since],
        );
      }
      await this.repositories.note(tx, repository.id, 'pushed', tag, facts.digest);
      const subject = facts.subjectDigest ?? (tag === null ? null : signedDigest(tag));
      await this.audit.record(tx, {
        action: 'repository.push',
        resource: { kind: 'repository', id: repository.id, name: repository.path },
        outcome: 'success',
        detail: { reference: tag ?? facts.digest, digest: facts.digest, mediaType: facts.mediaType, ...(subject === null ? {} : { subject }) },
      });
      if (subject !== null) await this.outbox.emit(tx, signaturePushed, { repositoryId: repository.id, repository: repository.path, subject, digest: facts.digest });
      else if (tag === null || !isAttachmentTag(tag)) {
        await this.outbox.emit(tx, imagePushed, { repositoryId: repository.id, repository: repository.path, tag, digest: facts.digest, mediaType: facts.mediaType });
      }
    });
  }

  /** Also locks the repository against being deleted meanwhile, and the tag against another push. @throws registry.tag-immutable, request.not-found */
  private async assertMovable(tx: Context, repositoryId: string, tag: string, digest: string): Promise<void> {
    const [repository] = await this.db.query<{ immutable: boolean }>(
      tx, 'select immutable_tags as immutable from registry_repositories where id = $1 and not deleting for share', [repositoryId]);
    if (!repository) throw requestProblem('not-found');
    const [known] = await this.db.query<{ digest: string }>(tx, 'select digest from registry_tags where repository_id = $1 and name = $2 for update', [repositoryId, tag]);
    if (repository.immutable && known && known.digest !== digest && !isAttachmentTag(tag)) {
      throw registryProblem('tag-immutable', { detail: `The tag ${tag} is ${known.digest} and can’t be moved in this repository.` });
    }
  }

  private async forget(ctx: Context, pushId: string): Promise<void> {
    await this.db.query(ctx, 'delete from registry_pushes where id = $1 returning 1', [pushId]);
  }

  /**
   * Completes what a killed process left: asks the storage about pushes that are still pending after 90 s and records them or drops them, and
   * finishes deletions. A worker calls it from time to time; a second one at the same time does nothing.
   */
  async reconcilePushes(ctx: Context, olderThanSeconds = pendingSeconds): Promise<{ recorded: number; dropped: number }> {
    const outcome = { recorded: 0, dropped: 0 };
    await this.leases.withLease(ctx, 'registry.reconcile', 60, async (lease) => {
      const rows = await this.db.query<{ id: string; repositoryId: string; path: string; deleting: boolean; tag: string | null; digest: string; facts: ManifestFacts; actor: Actor; requestId: string; createdAt: Date }>(
        ctx,
        `select p.id, p.repository_id as "repositoryId", r.path, r.deleting, p.tag, p.digest, p.facts, p.actor, p.request_id as "requestId", p.created_at as "createdAt"
         from registry_pushes p join registry_repositories r on r.id = p.repository_id
         where p.created_at <= clock_timestamp() - make_interval(secs => $1) order by p.id limit 100`,
        [olderThanSeconds],
      );
      for (const row of rows) {
        await lease.assertHeld(ctx);
        if (!row.deleting && (await this.distribution.hasManifest(row.path, row.digest)) && (await this.recordLate(row))) outcome.recorded += 1;
        else {
          await this.forget(ctx, row.id);
          outcome.dropped += 1;
        }
      }
      await this.repositories.finishDeletions(ctx);
    });
    return outcome;
  }

  private async recordLate(row: { id: string; repositoryId: string; path: string; tag: string | null; facts: ManifestFacts; actor: Actor; requestId: string; createdAt: Date }): Promise<boolean> {
    const ctx = makeContext(row.actor, { requestId: row.requestId });
    try {
      await this.record(ctx, { id: row.repositoryId, path: row.path }, { id: row.id, tag: row.tag, facts: row.facts, since: row.createdAt });
      return true;
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'registry.tag-immutable' || code === 'request.not-found') return false;
      throw error;
    }
  }

  /** Deletes a tag, or a manifest by digest. The caller has judged it. @throws request.not-found, registry.digest-in-use */
  async deleteReference(ctx: Context, repository: KnownRepository, reference: string): Promise<void> {
    if (isDigest(reference)) await this.repositories.deleteManifest(ctx, repository.id, reference);
    else await this.repositories.deleteTag(ctx, repository.id, reference);
  }

  /** Notes a refused request on `/v2` in the audit log; repeats are counted. */
  async noteRefusal(ctx: Context, path: string, action: string): Promise<void> {
    const repository = await this.repositories.known(registryContext('audit'), path);
    await this.audit.recordRefusal(ctx, {
      action: `repository.${action}`, outcome: 'refused', resource: { kind: 'repository', id: repository?.id ?? null, name: path }, detail: { code: 'request.forbidden' },
    });
  }

  /** Notes that a blob was deleted. */
  async noteBlobDeleted(ctx: Context, repository: KnownRepository, digest: string): Promise<void> {
    await this.audit.record(ctx, { action: 'repository.delete-blob', resource: { kind: 'repository', id: repository.id, name: repository.path }, outcome: 'success', detail: { digest } });
  }

  /** Runs pushes to one tag one after the other: signers read, add and write back, and the storage has no If-Match. */
  private async inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.turns.get(key);
    const mine = (async () => {
      await before?.catch(() => undefined);
      return work();
    })();
    this.turns.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.turns.get(key) === mine) this.turns.delete(key);
    }
  }
}
