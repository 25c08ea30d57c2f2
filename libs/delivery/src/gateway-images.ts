import { Injectable } from '@nestjs/common';
import { Access, type ResourceRef } from '@gantry/access';
import { GatewayImages } from '@gantry/clusters';
import { Db, parseStrictJson, RawNumber, StrictJsonError, type Context, type StrictJson } from '@gantry/platform';
import { Images, parseRepositoryPath, RegistryRights, Repositories, type ImageEvidence } from '@gantry/registry';
import { SignaturePolicies } from '@gantry/trust';

type Json = StrictJson<RawNumber>;

const maxConfigBytes = 4 * 1024 * 1024;
const maxPlatforms = 64;

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

  async mayPush(ctx: Context, path: string): Promise<boolean> {
    return parseRepositoryPath(path) !== null && this.rights.may(ctx, path, 'push');
  }

  async triggers(_ctx: Context, path: string, digest: string): Promise<string[] | null> {
    const evidence = this.images.evidence(path);
    try {
      return await triggersOf(evidence, digest);
    } catch (error) {
      if (error instanceof Unclear || error instanceof StrictJsonError) return null;
      throw error;
    }
  }

  /** Whether a repository of this path could be pulled by the right on all that its owner has: what has just been built may not be pushed yet. */
  private couldPull(ctx: Context, path: string): boolean {
    const place = parseRepositoryPath(path);
    const account = place && this.access.findNamespace(place.namespace);
    return account !== null && account !== undefined && this.access.can(ctx, 'repository:pull', { kind: 'repository', id: '', parent: { kind: 'account', id: account.id } }).allowed;
  }
}

/** What engines might read otherwise than we do. */
class Unclear extends Error {}

async function triggersOf(evidence: ImageEvidence, digest: string): Promise<string[]> {
  const manifest = await readManifest(evidence, digest);
  if (!manifest) throw new Unclear('there is no manifest');
  const list = member(manifest, 'manifests');
  if (list !== undefined && (!Array.isArray(list) || list.length > maxPlatforms || member(manifest, 'config') !== undefined)) throw new Unclear('neither an index nor an image');
  const triggers = new Set<string>();
  for (const each of list === undefined ? [digest] : list.map((part) => member(part, 'digest'))) {
    const image = list === undefined ? manifest : typeof each === 'string' ? await readManifest(evidence, each) : null;
    // A platform that was not pushed can't be pulled.
    if (!image) continue;
    const at = member(member(image, 'config'), 'digest');
    const bytes = typeof at === 'string' ? await evidence.blob(at, maxConfigBytes) : null;
    if (!bytes) throw new Unclear('there is no configuration');
    const found = member(member(parseStrictJson(bytes, { numbers: 'source', maxBytes: maxConfigBytes }), 'config'), 'OnBuild') ?? [];
    if (!Array.isArray(found)) throw new Unclear('no list');
    for (const trigger of found) {
      if (typeof trigger !== 'string') throw new Unclear('no text');
      triggers.add(trigger);
    }
  }
  return [...triggers];
}

async function readManifest(evidence: ImageEvidence, digest: string): Promise<Json | null> {
  const manifest = await evidence.manifestByDigest(digest);
  return manifest && parseStrictJson(manifest.bytes, { numbers: 'source', maxBytes: maxConfigBytes });
}

/** A member by its name; engines would take another one that differs in case alone. */
function member(from: Json | undefined, name: string): Json | undefined {
  if (typeof from !== 'object' || from === null || Array.isArray(from) || from instanceof RawNumber) return undefined;
  const [found, ...more] = Object.keys(from).filter((key) => key.toLowerCase() === name.toLowerCase());
  if (more.length > 0 || (found !== undefined && found !== name)) throw new Unclear(`another spelling of ${name}`);
  return found === undefined ? undefined : from[found];
}
