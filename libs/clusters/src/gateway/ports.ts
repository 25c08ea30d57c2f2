import type { Context } from '@gantry/platform';
import type { ResourceRef } from '@gantry/access';

/** Port: what the gateway must know of images, and of the policies that count where they run. Bound by the apps; boot fails when it is unbound. */
export abstract class GatewayImages {
  /**
   * The image that a path of the managed registry (`namespace/name`) and a tag or digest name, with the repository on which the pull right is
   * judged; null when there is none.
   */
  abstract resolve(ctx: Context, path: string, reference: string): Promise<{ repository: ResourceRef; path: string; digest: string } | null>;
  /**
   * Scopes with a signature policy that count for what runs of this repository (null: of none of ours) on this cluster in a collection: its own, those of the
   * collection and of the ones above it, and those of the environments of the cluster that lie in any of these.
   */
  abstract policyScopes(ctx: Context, where: { clusterId: string; collectionIds: readonly string[]; repository: ResourceRef | null }): Promise<string[]>;
  /** Paths of all repositories that the caller may pull; those that nobody has made yet count where the caller could pull them. */
  abstract pullable(ctx: Context): Promise<{ has(path: string): boolean }>;
  /** Repositories that the caller may pull and that have the text in their path or description, in whatever case; by path, at most `limit`. */
  abstract search(ctx: Context, text: string, limit: number): Promise<{ path: string; description: string }[]>;
  /** Whether the caller may push to a path of the managed registry, as the registry itself would say; also where the push would make the repository. */
  abstract mayPush(ctx: Context, path: string): Promise<boolean>;
  /** What an image makes a build do that begins with it (`ONBUILD`), on any of its platforms; null where that can't be told. */
  abstract triggers(ctx: Context, path: string, digest: string): Promise<string[] | null>;
}
