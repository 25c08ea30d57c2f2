import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Accounts, Sessions } from '@gantry/access';
import { requestProblem } from '@gantry/platform';
import { In, listOf, page, Route, time, type Input } from '../http/route';
import { account, code, limits, password } from './shapes';

const credentials = z.strictObject({ username: z.string().min(1).max(256), password, code: code.optional().describe('of the second factor, where the account has one') });
const started = z.object({ token: z.string(), expiresAt: time, user: account });
/** A session in an answer. */
export const session = z.object({
  id: z.string(), address: z.string().nullable(), userAgent: z.string().nullable(), createdAt: time, lastUsedAt: time, expiresAt: time, current: z.boolean(),
});
const sessionParams = z.strictObject({ session: z.uuid() });
const passwordChange = z.strictObject({ current: password, next: password });
const me = account.extend({
  credential: z.object({ id: z.string().nullable(), limits: limits.nullable() }),
  organizations: z.array(z.object({ id: z.string(), name: z.string(), role: z.enum(['member', 'admin']) })),
});

/** Signing in and out. */
@Controller('api/v1/sessions')
export class SessionsController {
  constructor(@Inject(Sessions) private readonly sessions: Sessions) {}

  @Route({
    method: 'POST', summary: 'Sign in', description: 'Local users, and people of the directory where one is set. Send the token as `Authorization: Bearer …`. An account with a second factor is asked for a code (401 `access.second-factor-required`): send the same again with `code`.',
    operation: null, scope: 'public', body: credentials, response: started, audit: 'session.create',
  })
  async create(@In() { ctx, body, request }: Input<unknown, unknown, z.output<typeof credentials>>): Promise<unknown> {
    const { token, expiresAt, account: user } = await this.sessions.signIn(ctx, { ...body, userAgent: request.headers['user-agent'] });
    return { token, expiresAt, user };
  }

  @Route({ method: 'GET', summary: 'List your sessions', operation: 'session:manage', scope: 'own', query: page, response: listOf(session) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): Promise<unknown> {
    return this.sessions.list(ctx, query);
  }

  @Route({ method: 'DELETE', summary: 'Sign out: end the session you came with', operation: 'session:manage', scope: 'own', audit: 'session.end' })
  async endCurrent(@In() { ctx }: Input): Promise<void> {
    await this.sessions.end(ctx);
  }

  @Route({ method: 'DELETE', path: ':session', summary: 'End one of your sessions', operation: 'session:manage', scope: 'own', params: sessionParams, audit: 'session.end' })
  async end(@In() { ctx, params }: Input<z.output<typeof sessionParams>>): Promise<void> {
    await this.sessions.end(ctx, params.session);
  }
}

/** The account that is signed in. */
@Controller('api/v1/me')
export class MeController {
  constructor(@Inject(Accounts) private readonly accounts: Accounts) {}

  @Route({ method: 'GET', summary: 'Who am I?', operation: 'account:view', scope: 'own', response: me })
  async show(@In() { ctx }: Input): Promise<unknown> {
    if (ctx.actor.id === null) throw requestProblem('not-found');
    const own = await this.accounts.get(ctx, ctx.actor.id);
    return { ...own, credential: { id: ctx.actor.credentialId, limits: ctx.actor.limits }, organizations: await this.accounts.organizationsOf(ctx, own.id) };
  }

  @Route({
    method: 'PUT', path: 'password', summary: 'Change your password', description: '12 to 1024 characters. Ends your other sessions. Local accounts only.',
    operation: 'session:manage', scope: 'own', body: passwordChange, audit: 'account.change-password',
  })
  async changePassword(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof passwordChange>>): Promise<void> {
    await this.accounts.changePassword(ctx, body);
  }
}
