import type { Context } from '@gantry/platform';

/** The question "which images of this repository are needed?", asked before one is deleted. A room above answers it. */
export abstract class DigestUse {
  /** Digests that run somewhere, or to which a rollback could go. */
  abstract usedDigests(ctx: Context, repositoryId: string): Promise<string[]>;
}
