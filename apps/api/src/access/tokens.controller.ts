import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Tokens } from '@gantry/access';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, page, Route, time, type Input } from '../http/route';
import { label, limits } from './shapes';

const filters = page.extend({ owner: idOrName.optional().describe('only this account’s tokens and robots') });
const params = z.strictObject({ token: z.uuid() });
const token = z.object({
  id: z.string(),
  kind: z.enum(['personal', 'robot']),
  name: z.string(),
  account: z.object({ id: z.string(), name: z.string() }),
  limits: limits.nullable(),
  createdAt: time,
  expiresAt: time,
  lastUsedAt: time.nullable(),
});
const wanted = z.strictObject({
  name: label.min(1).max(63),
  kind: z.enum(['personal', 'robot']).default('personal'),
  owner: idOrName.optional().describe('the user or organization for which a robot acts; default yourself'),
  expiresAt: z.iso.datetime({ offset: true }).transform((text) => new Date(text)),
  limits: limits.nullable().default(null),
});

/** Tokens of people and robots; good as `Bearer` and as the password of `docker login`. */
@Controller('api/v1/tokens')
export class TokensController {
  constructor(@Inject(Tokens) private readonly tokens: Tokens, @Inject(Resources) resources: Resources) {
    resources.register('token', (ctx, id) => tokens.findRef(ctx, id));
  }

  @Route({ method: 'GET', summary: 'List your tokens and robots', description: 'Administrators see everybody’s; `owner` narrows to one account and its robots.', operation: 'token:manage', scope: 'own', query: filters, response: listOf(token) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof filters>>): Promise<unknown> {
    return this.tokens.list(ctx, query);
  }

  @Route({
    method: 'POST', summary: 'Make a personal token or a robot',
    description: 'The token is shown this once: `gpat_` or `grob_` and 49 letters and digits, the last 6 a CRC-32 of the rest. A robot is an account `<owner>+<name>`, which is also its user name for `docker login`; it needs `limits.operations`.',
    operation: 'token:manage', scope: 'own', body: wanted, response: token.extend({ token: z.string() }), audit: 'token.create',
  })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof wanted>>): Promise<unknown> {
    return this.tokens.create(ctx, body);
  }

  @Route({ method: 'GET', path: ':token', summary: 'Get a token', description: 'Never the token itself.', operation: 'token:manage', scope: { kind: 'token', param: 'token' }, params, response: token })
  get(@In() { ctx, params: { token: id } }: Input<z.output<typeof params>>): Promise<unknown> {
    return this.tokens.get(ctx, id);
  }

  @Route({ method: 'DELETE', path: ':token', summary: 'End a token', operation: 'token:manage', scope: { kind: 'token', param: 'token' }, params, audit: 'token.revoke' })
  async revoke(@In() { ctx, params: { token: id } }: Input<z.output<typeof params>>): Promise<void> {
    await this.tokens.revoke(ctx, id);
  }
}
