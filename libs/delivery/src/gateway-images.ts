import { Injectable } from '@nestjs/common';
import { Access, type ResourceRef } from '@gantry/access';
import { GatewayImages } from '@gantry/clusters';
import { Db, type Context } from '@gantry/platform';
import { Images, parseRepositoryPath, RegistryRights, Repositories } from '@gantry/registry';
import { SignaturePolicies } from '@gantry/trust';
import { triggersOf } from './image-triggers';

/** Paths that may be pulled: those that there are, and what `would` says of those that there are not. */
class Pullable extends Set<string> {
  constructor(paths: Iterable<string>, private readonly would: (path: string) => boolean) {
    super();
    for (const path of paths) this.add(path);
  }

  override has(path: string): boolean {
    return super.has(path) || this.would(path);
  }
}

/** Answers the gateway: which image a reference names, and whose signature policies count where it is to run. */
@Injectable()
export class DeliveryImages extends GatewayImages {
  constructor(
    private readonly db: Db,
    private readonly access: Access,
    private readonly images: Images,
    private readonly repositories: Repositories,
    private readonly rights: RegistryRights,
    private readonly policies: SignaturePolicies,
  ) {
    super();
  }

  async resolve(ctx: Context, path: string, reference: string): Promise<{ repository: ResourceRef; path: string; digest: string } | null> {
    const repository = await this.repositories.known(ctx, path);
    const image = repository && (await this.images.resolve(ctx, path, reference));
    return image && { repository: this.repositories.ref(repository), path: image.repository, digest: image.digest };
  }

  async policyScopes(ctx: Context, where: { clusterId: string; collectionIds: readonly string[]; repository: ResourceRef | null }): Promise<string[]> {
    const environments = await this.db.query<{ id: string }>(ctx, 'select id from delivery_environments where cluster_id = $1', [where.clusterId]);
    const within = new Set(where.collectionIds);
    const scopes = [
      ...(where.repository ? [`repository:${where.repository.id}`] : []),
      ...where.collectionIds.map((id) => `collection:${id}`),
      // What lies in the environment's collection, or below it, runs beside what is deployed to the environment.
      ...environments.filter(({ id }) => within.has(this.access.findPlacement({ kind: 'environment', id })?.id ?? '')).map(({ id }) => `environment:${id}`),
    ];
    return this.policies.scopesWithPolicy(ctx, scopes);
  }

  async pullable(ctx: Context): Promise<ReadonlySet<string>> {
    const paths: string[] = [];
    for (let after = ''; ; ) {
      const some = await this.repositories.visible(ctx, 'repository:pull', 1_000, after, null);
      for (const { path } of some) paths.push(path);
      if (some.length < 1_000) return new Pullable(paths, (path) => this.couldPull(ctx, path));
      after = some.at(-1)!.path;
    }
  }

  async search(ctx: Context, text: string, limit: number): Promise<{ path: string; description: string }[]> {
    const wanted = text.toLowerCase();
    const found: { path: string; description: string }[] = [];
    for (let after = ''; ; ) {
      const some = await this.repositories.visible(ctx, 'repository:pull', 1_000, after, null);
      for (const { path, description } of some) if (path.includes(wanted) || description.toLowerCase().includes(wanted)) found.push({ path, description });
      if (some.length < 1_000 || found.length >= limit) return found.slice(0, limit);
      after = some.at(-1)!.path;
    }
  }

  async mayPush(ctx: Context, path: string): Promise<boolean> {
    return parseRepositoryPath(path) !== null && this.rights.may(ctx, path, 'push');
  }

  triggers(_ctx: Context, path: string, digest: string): Promise<string[] | null> {
    return triggersOf(this.images.evidence(path), digest);
  }

  /** Whether a repository of this path could be pulled by the right on all that its owner has: what has just been built may not be pushed yet. */
  private couldPull(ctx: Context, path: string): boolean {
    const place = parseRepositoryPath(path);
    const account = place && this.access.findNamespace(place.namespace);
    return account !== null && account !== undefined && this.access.can(ctx, 'repository:pull', { kind: 'repository', id: '', parent: { kind: 'account', id: account.id } }).allowed;
  }
}
