import { Injectable } from '@nestjs/common';
import { Access } from '@gantry/access';
import type { Context } from '@gantry/platform';
import { parseRepositoryPath } from './reference';
import { Repositories, type KnownRepository } from './repositories';

/** What a token of the Docker protocol can allow on a repository. */
export type RepositoryAction = 'pull' | 'push' | 'delete';

/** All of them; `*` in a token request means these. */
export const repositoryActions: readonly RepositoryAction[] = ['pull', 'push', 'delete'];

/** Decides on a repository by its name, whether or not it exists: who may make it may push to it, and who may look at its owner's things learns that it is not there. */
@Injectable()
export class RegistryRights {
  constructor(
    private readonly access: Access,
    private readonly repositories: Repositories,
  ) {}

  /** Which of the wished actions the actor has now. Answers at once when the repository is remembered. */
  allowed(ctx: Context, path: string, wished: readonly RepositoryAction[]): RepositoryAction[] | Promise<RepositoryAction[]> {
    const known = this.repositories.known(ctx, path);
    return known instanceof Promise ? known.then((repository) => this.judge(ctx, path, repository, wished)) : this.judge(ctx, path, known, wished);
  }

  /** Whether the actor has this one action now. */
  async may(ctx: Context, path: string, action: RepositoryAction): Promise<boolean> {
    return (await this.allowed(ctx, path, [action])).length === 1;
  }

  private judge(ctx: Context, path: string, repository: KnownRepository | null, wished: readonly RepositoryAction[]): RepositoryAction[] {
    if (repository) {
      const ref = this.repositories.ref(repository);
      return wished.filter((action) => this.access.can(ctx, `repository:${action}`, ref).allowed);
    }
    const place = parseRepositoryPath(path);
    const account = place && this.access.findNamespace(place.namespace);
    if (!account) return [];
    const owner = { kind: 'account', id: account.id };
    const ref = { kind: 'repository', id: '', parent: owner };
    return wished.filter((action) => this.access.can(ctx, `repository:${action}`, ref).allowed && (action !== 'push' || this.access.can(ctx, 'repository:create', owner).allowed));
  }
}
