import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Accounts, SecondFactors, Sessions } from '@gantry/access';
import { idOrName, In, listOf, page, Route, type Input } from '../http/route';
import { secondFactor } from './second-factor.controller';
import { session } from './sessions.controller';

const userParams = z.strictObject({ user: idOrName });
const sessionParams = z.strictObject({ user: idOrName, session: z.uuid() });

/** How other users are signed in, for administrators. */
@Controller('api/v1/users')
export class SignInController {
  constructor(
    @Inject(Accounts) private readonly accounts: Accounts,
    @Inject(Sessions) private readonly sessions: Sessions,
    @Inject(SecondFactors) private readonly secondFactors: SecondFactors,
  ) {}

  @Route({ method: 'GET', path: ':user/sessions', summary: 'List a user’s sessions', operation: 'account:administer', scope: 'system', params: userParams, query: page, response: listOf(session) })
  listSessions(@In() { ctx, params, query }: Input<z.output<typeof userParams>, z.output<typeof page>>): Promise<unknown> {
    return this.sessions.listFor(ctx, params.user, query);
  }

  @Route({ method: 'DELETE', path: ':user/sessions', summary: 'End all of a user’s sessions', operation: 'account:administer', scope: 'system', params: userParams, audit: 'session.end' })
  async endSessions(@In() { ctx, params }: Input<z.output<typeof userParams>>): Promise<void> {
    await this.sessions.endFor(ctx, params.user, null);
  }

  @Route({ method: 'DELETE', path: ':user/sessions/:session', summary: 'End one of a user’s sessions', operation: 'account:administer', scope: 'system', params: sessionParams, audit: 'session.end' })
  async endSession(@In() { ctx, params }: Input<z.output<typeof sessionParams>>): Promise<void> {
    await this.sessions.endFor(ctx, params.user, params.session);
  }

  @Route({ method: 'GET', path: ':user/second-factor', summary: 'Has this user a second factor?', operation: 'account:administer', scope: 'system', params: userParams, response: secondFactor })
  async showSecondFactor(@In() { ctx, params }: Input<z.output<typeof userParams>>): Promise<unknown> {
    const user = await this.accounts.getOfKind(ctx, params.user, 'user');
    return this.secondFactors.view(ctx, user.id);
  }

  @Route({
    method: 'DELETE', path: ':user/second-factor', summary: 'Take a user’s second factor away', description: 'For people who have lost device and recovery codes. The user then signs in with the password alone.',
    operation: 'account:administer', scope: 'system', params: userParams, audit: 'second-factor.remove',
  })
  async removeSecondFactor(@In() { ctx, params }: Input<z.output<typeof userParams>>): Promise<void> {
    await this.secondFactors.remove(ctx, params.user);
  }
}
