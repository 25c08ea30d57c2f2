import { Injectable } from '@nestjs/common';
import { Access } from '@gantry/access';
import type { Context } from '@gantry/platform';
import { Repositories } from '@gantry/registry';
import { findScopeResource } from './scope';
import { SignaturePolicies } from './signature-policies';
import type { VerdictQuestion } from './verdicts';

/** Which policies count for an image besides that of the scope in which it is to run. */
@Injectable()
export class CountingScopes {
  constructor(
    private readonly access: Access,
    private readonly repositories: Repositories,
    private readonly policies: SignaturePolicies,
  ) {}

  /**
   * The scope itself, and where that is an environment those of the image's repository and of the collections in which the environment lies that have a
   * policy. All of them must be met.
   */
  async of(ctx: Context, { repository, scope }: Pick<VerdictQuestion, 'repository' | 'scope'>): Promise<string[]> {
    const resource = findScopeResource(scope);
    // Whoever asks for anything else has found out what counts there.
    if (resource?.kind !== 'environment') return [scope];
    const known = await this.repositories.known(ctx, repository);
    return [scope, ...(await this.policies.scopesWithPolicy(ctx, [...(known ? [`repository:${known.id}`] : []), ...this.access.collectionsAbove(resource).map(({ id }) => `collection:${id}`)]))];
  }
}
