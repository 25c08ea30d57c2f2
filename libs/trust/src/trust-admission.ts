import { Injectable } from '@nestjs/common';
import { ImageAdmission, type Admission } from '@gantry/clusters';
import type { Context } from '@gantry/platform';
import { CountingScopes } from './counting-scopes';
import { Verdicts, type Verdict, type VerdictQuestion } from './verdicts';

/**
 * Answers `clusters`: an image may run where the scope's signature policy allows it, and for an environment those of the repository and of the collections
 * in which it lies. Each answer is a stored verdict.
 */
@Injectable()
export class TrustAdmission extends ImageAdmission {
  constructor(
    private readonly verdicts: Verdicts,
    private readonly counting: CountingScopes,
  ) {
    super();
  }

  /** `reason` is a `ReasonCode`. @throws request.invalid when the digest is no sha256 digest */
  async admit(ctx: Context, wish: { repository: string; digest: string; scope: string }, options: { store?: boolean } = {}): Promise<Admission> {
    const { allowed, reason, explanation, id } = await this.strictest(ctx, wish, options);
    return { allowed, reason, explanation, verdictId: id };
  }

  /** The verdict that refuses it, or where none does that of the scope itself. @throws request.invalid when the digest is no sha256 digest */
  async strictest(ctx: Context, wish: VerdictQuestion, options: { store?: boolean } = {}): Promise<Verdict> {
    let own: Verdict | null = null;
    for (const scope of await this.counting.of(ctx, wish)) {
      const verdict = await this.verdicts.verdict(ctx, { ...wish, scope }, options);
      if (!verdict.allowed) return verdict;
      own ??= verdict;
    }
    return own!;
  }
}
