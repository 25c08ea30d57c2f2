import type { Access, ResourceRef } from '@gantry/access';
import type { Context } from '@gantry/platform';
import type { EngineClient } from '../engine.client';
import type { ImageAdmission } from '../judgement';
import { inspectPath } from './objects';
import type { GatewayImages } from './ports';
import { parseReference } from './references';

/** Whom to ask of an image. */
export interface StandingRooms {
  access: Access;
  images: GatewayImages;
  admission: ImageAdmission;
  registryPublicHost: string;
}

/** What was made before, and where it lies. */
export interface StandingWish {
  clusterId: string;
  place: ResourceRef;
  /** As it was asked for when it was made. */
  image: string;
  /** The digests (`repository@digest`) of the image that it really has; asked where the reference names none. */
  digests: () => Promise<readonly string[]>;
  /** Whether the verdict is written down with its evidence. */
  store: boolean;
}

/** Why an image may not go on running. */
export interface StandingRefusal {
  explanation: string;
  reason: string | null;
  repository: string;
  digest: string;
  verdictId: string | null;
}

/**
 * Whether the policies that count now, where something lies, let its image run: for what was made before they did. Rights on the repository are not
 * asked: they were when it was made. Null: it may. An image that is not of our registry may where no policy counts.
 */
export async function judgeStanding({ access, images, admission, registryPublicHost }: StandingRooms, ctx: Context, wish: StandingWish): Promise<StandingRefusal | null> {
  const { parent } = wish.place;
  const environment = parent?.kind === 'environment' ? parent : null;
  const collectionIds = access.collectionsAbove(environment ?? wish.place).map(({ id }) => id);
  const scopesFor = async (repository: ResourceRef | null): Promise<string[]> => {
    const scopes = await images.policyScopes(ctx, { clusterId: wish.clusterId, collectionIds, repository });
    // What was deployed is judged by what its environment demands, as the deployment was; not by the environments beside it.
    return environment ? scopes.filter((scope) => scope === `environment:${environment.id}`) : scopes;
  };
  const named = parseReference(wish.image, registryPublicHost);
  const references = named?.digest ? [wish.image] : await wish.digests();
  let refused: StandingRefusal | null = null;
  let known = false;
  for (const reference of references) {
    const parsed = parseReference(reference, registryPublicHost);
    const found = parsed?.digest ? await images.resolve(ctx, parsed.path, parsed.digest) : null;
    if (!found) continue;
    known = true;
    refused = null;
    for (const scope of await scopesFor(found.repository)) {
      const { allowed, explanation, reason, verdictId } = await admission.admit(ctx, { repository: found.path, digest: found.digest, scope }, { store: wish.store });
      if (allowed) continue;
      refused = { explanation: `${found.path}@${found.digest}: ${explanation}`, reason, repository: found.path, digest: found.digest, verdictId };
      break;
    }
    if (!refused) return null;
  }
  if (known || (await scopesFor(null)).length === 0) return refused;
  return { explanation: `${wish.image.slice(0, 256)} is no image of ${registryPublicHost}, and signatures are demanded here.`, reason: null, repository: '', digest: '', verdictId: null };
}

/** By which digests (`repository@digest`) the engine has an image, by its id or whatever it was called by. @throws EngineError */
export async function digestsOf(engine: EngineClient, image: string): Promise<readonly string[]> {
  if (!/^\w[\w.:/@-]*$/.test(image) || image.includes('..')) return [];
  return ((await engine.inspect(inspectPath('image', image))) as { RepoDigests?: string[] | null } | null)?.RepoDigests ?? [];
}
