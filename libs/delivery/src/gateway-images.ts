import { Injectable } from '@nestjs/common';
import { Access, type ResourceRef } from '@gantry/access';
import { GatewayImages } from '@gantry/clusters';
import { Db, type Context } from '@gantry/platform';
import { Images, Repositories } from '@gantry/registry';
import { SignaturePolicies } from '@gantry/trust';

/** Answers the gateway: which image a reference names, and whose signature policies count where it is to run. */
@Injectable()
export class DeliveryImages extends GatewayImages {
  constructor(
    private readonly db: Db,
    private readonly access: Access,
    private readonly images: Images,
    private readonly repositories: Repositories,
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
    const paths = new Set<string>();
    for (let after = ''; ; ) {
      const some = await this.repositories.visible(ctx, 'repository:pull', 1_000, after, null);
      for (const { path } of some) paths.add(path);
      if (some.length < 1_000) return paths;
      after = some.at(-1)!.path;
    }
  }
}
