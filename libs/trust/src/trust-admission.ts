import { Injectable } from '@nestjs/common';
import { ImageAdmission, type Admission } from '@gantry/clusters';
import type { Context } from '@gantry/platform';
import { Verdicts } from './verdicts';

/** Answers `clusters`: an image may run where the scope's signature policy allows it. Each answer is a stored verdict. */
@Injectable()
export class TrustAdmission extends ImageAdmission {
  constructor(private readonly verdicts: Verdicts) {
    super();
  }

  /** `reason` is a `ReasonCode`. @throws request.invalid when the digest is no sha256 digest */
  async admit(ctx: Context, wish: { repository: string; digest: string; scope: string }, options: { store?: boolean } = {}): Promise<Admission> {
    const { allowed, reason, explanation, id } = await this.verdicts.verdict(ctx, wish, options);
    return { allowed, reason, explanation, verdictId: id };
  }
}
