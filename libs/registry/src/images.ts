import { Injectable } from '@nestjs/common';
import { Access } from '@gantry/access';
import type { Context } from '@gantry/platform';
import { DistributionClient } from './distribution.client';
import { digestOf } from './manifest';
import { registryProblem } from './problems';
import { isDigest, isTag } from './reference';
import { RegistryFront } from './registry-front';
import { registryContext, Repositories } from './repositories';

/** An image that a reference names, from our record. */
export interface ResolvedImage {
  repositoryId: string;
  /** `namespace/name` */
  repository: string;
  digest: string;
  mediaType: string;
}

/** A manifest as the registry serves it. */
export interface ServedManifest {
  digest: string;
  mediaType: string;
  bytes: Buffer;
}

/** Reads of one repository by which signatures are found. They answer null for what is absent and throw when they can't tell. */
export interface ImageEvidence {
  manifestByTag(tag: string): Promise<ServedManifest | null>;
  manifestByDigest(digest: string): Promise<ServedManifest | null>;
  /** The whole blob; null when it is absent or longer than `maxBytes`. */
  blob(digest: string, maxBytes: number): Promise<Buffer | null>;
  referrers(subject: string): Promise<{ digest: string; mediaType: string; artifactType: string | null }[]>;
}

/** Images of the managed registry for the rooms above: which digest a reference names, what is known about it, and pushes of our own. */
@Injectable()
export class Images {
  constructor(
    private readonly access: Access,
    private readonly repositories: Repositories,
    private readonly front: RegistryFront,
    private readonly distribution: DistributionClient,
  ) {}

  /** The image that `namespace/name` and a tag or digest name, or null. Does not judge: callers ask `repository:pull` on `Repositories.ref`. */
  async resolve(ctx: Context, path: string, reference: string): Promise<ResolvedImage | null> {
    if (!isDigest(reference) && !isTag(reference)) return null;
    const repository = await this.repositories.known(ctx, path);
    const manifest = repository && (await this.front.resolve(ctx, repository.id, reference));
    return manifest && { repositoryId: repository.id, repository: repository.path, digest: manifest.digest, mediaType: manifest.mediaType };
  }

  /** What the registry holds about the images of a repository, for verifying signatures; nothing where there is no such repository. */
  evidence(path: string): ImageEvidence {
    const ctx = registryContext('evidence');
    const read = async (reference: string): Promise<ServedManifest | null> => {
      const repository = await this.repositories.known(ctx, path);
      return repository && this.front.readManifest(ctx, repository, reference);
    };
    return {
      manifestByTag: async (tag) => (isTag(tag) ? read(tag) : null),
      manifestByDigest: async (digest) => (isDigest(digest) ? read(digest) : null),
      blob: async (digest, maxBytes) => {
        const repository = await this.repositories.known(ctx, path);
        return repository && isDigest(digest) ? this.distribution.blob(repository.path, digest, maxBytes) : null;
      },
      referrers: async (subject) => {
        const repository = await this.repositories.known(ctx, path);
        const list = repository ? await this.front.referrers(ctx, repository.id, subject, null) : [];
        return list.map(({ digest, mediaType, artifactType }) => ({ digest, mediaType, artifactType: artifactType ?? null }));
      },
    };
  }

  /** Stores a blob in an existing repository; answers its digest. @throws request.not-found, request.forbidden, registry.backend-unavailable */
  async pushBlob(ctx: Context, path: string, bytes: Buffer): Promise<string> {
    const repository = await this.repositories.get(ctx, path);
    this.access.assertCan(ctx, 'repository:push', this.repositories.ref(repository));
    const digest = digestOf(bytes);
    await this.distribution.pushBlob(repository.path, digest, bytes);
    return digest;
  }

  /**
   * Pushes a manifest under a tag, or by its digest where `reference` is null, recorded like any push; answers the digest.
   * @throws request.not-found, request.forbidden, registry.backend-refused and what `RegistryFront.pushManifest` throws
   */
  async pushManifest(ctx: Context, path: string, reference: string | null, mediaType: string, bytes: Buffer): Promise<string> {
    const repository = await this.repositories.get(ctx, path);
    this.access.assertCan(ctx, 'repository:push', this.repositories.ref(repository));
    const outcome = await this.front.pushManifest(ctx, repository, reference ?? digestOf(bytes), mediaType, bytes);
    if (!outcome.pushed) throw registryProblem('backend-refused', { detail: outcome.refusal.errors.map((error) => `${error.code}: ${error.message}`).join('; ') || undefined });
    return outcome.digest;
  }
}
