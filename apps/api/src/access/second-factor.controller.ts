import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { SecondFactors } from '@gantry/access';
import { requestProblem } from '@gantry/platform';
import { In, Route, time, type Input } from '../http/route';
import { code, password } from './shapes';

const beginning = z.strictObject({ password });
const begun = z.object({ secret: z.string(), uri: z.string() });
const confirmation = z.strictObject({ code });
const recovery = z.object({ recoveryCodes: z.array(z.string()) });
const proof = z.strictObject({ password, code });
/** Whether an account has a second factor. */
export const secondFactor = z.object({ enabled: z.boolean(), since: time.nullable(), recoveryCodesLeft: z.number().int() });

/** The second factor of the account that is signed in. */
@Controller('api/v1/me/second-factor')
export class SecondFactorController {
  constructor(@Inject(SecondFactors) private readonly secondFactors: SecondFactors) {}

  @Route({ method: 'GET', summary: 'Have I a second factor?', operation: 'session:manage', scope: 'own', response: secondFactor })
  async show(@In() { ctx }: Input): Promise<unknown> {
    if (ctx.actor.id === null) throw requestProblem('not-found');
    return this.secondFactors.view(ctx, ctx.actor.id);
  }

  @Route({
    method: 'POST', summary: 'Begin a second factor', description: 'Answers the secret (Base32) and its `otpauth:` URI for an authenticator, this once. It is on when its first code was confirmed. Local accounts only.',
    operation: 'session:manage', scope: 'own', body: beginning, response: begun, audit: 'second-factor.begin',
  })
  begin(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof beginning>>): Promise<unknown> {
    return this.secondFactors.begin(ctx, body);
  }

  @Route({
    method: 'POST', path: 'confirm', summary: 'Turn the second factor on',
    description: 'With the first code of the authenticator. Answers ten recovery codes, this once; each does for one sign-in without the device. Ends your other sessions; the password alone is refused by `docker login` from now on.',
    operation: 'session:manage', scope: 'own', body: confirmation, response: recovery, status: 200, audit: 'second-factor.enable',
  })
  confirm(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof confirmation>>): Promise<unknown> {
    return this.secondFactors.confirm(ctx, body);
  }

  @Route({
    method: 'POST', path: 'recovery-codes', summary: 'Replace the recovery codes', operation: 'session:manage', scope: 'own', body: proof, response: recovery, status: 200,
    audit: 'second-factor.renew-recovery-codes',
  })
  renew(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof proof>>): Promise<unknown> {
    return this.secondFactors.renewRecoveryCodes(ctx, body);
  }

  @Route({ method: 'POST', path: 'disable', summary: 'Turn the second factor off', operation: 'session:manage', scope: 'own', body: proof, audit: 'second-factor.disable' })
  async disable(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof proof>>): Promise<void> {
    await this.secondFactors.disable(ctx, body);
  }
}
