import { Injectable } from '@nestjs/common';

/**
 * Called before and after each external call of each named step of a deployment, so that tests can end the process or throw there.
 * This one does nothing; a test composition provides another under this class as token.
 */
@Injectable()
export class Faults {
  /** `step` is the step's name (`services`), `object` what it works on (`acme_dev_web`). */
  async point(step: string, when: 'before' | 'after', object: string): Promise<void> {
    void step;
    void when;
    void object;
    return Promise.resolve();
  }
}
