import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Access, Accounts, operations, systemResource, Tokens, type CollectionFacts, type Operation } from '@gantry/access';
import { decodeCursor, toPage } from '@gantry/platform';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, page, Route, type Input } from '../http/route';

const question = z.strictObject({
  subject: idOrName.describe('user or robot'),
  operation: z.enum(operations as [Operation, ...Operation[]]),
  kind: z.enum(['account', 'application', 'cluster', 'collection', 'environment', 'repository', 'system', 'token']),
  resource: idOrName.describe('id or name; `system` for kind `system`'),
});
const decision = z.object({ allowed: z.boolean(), visible: z.boolean(), reason: z.string() });
const collection = z.object({ id: z.string(), parentId: z.string().nullable(), path: z.string(), ownerId: z.string().nullable() });

/** Who may do what, and why. */
@Controller('api/v1')
export class RightsController {
  constructor(
    @Inject(Access) private readonly access: Access,
    @Inject(Accounts) private readonly accounts: Accounts,
    @Inject(Tokens) private readonly tokens: Tokens,
    @Inject(Resources) private readonly resources: Resources,
  ) {
    resources.register('collection', async (ctx, value) => this.access.findCollection(ctx, value));
  }

  @Route({ method: 'GET', path: 'operations', summary: 'The catalogue of operations', operation: null, scope: 'public', response: listOf(z.string()) })
  operations(): { items: readonly string[]; next: null } {
    return { items: operations, next: null };
  }

  @Route({ method: 'GET', path: 'collections', summary: 'List collections', operation: 'collection:view', scope: 'each', query: page, response: listOf(collection) })
  collections(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): unknown {
    const after = decodeCursor(query.cursor, 1)?.[0] ?? '';
    const rows = this.access.listCollections(ctx).filter((item) => item.path > after);
    return toPage<CollectionFacts>(rows, query.limit, (item) => [item.path]);
  }

  @Route({
    method: 'GET', path: 'access/explain', summary: 'May this account do that, and why?', description: 'For yourself, for robots that you own, and for anybody if you are an administrator.',
    operation: 'account:view', scope: (input, find) => find('account', String(input.query['subject'])), query: question, response: decision,
  })
  async explain(@In() { ctx, query }: Input<unknown, z.output<typeof question>>): Promise<z.output<typeof decision>> {
    const resource = query.kind === 'system' ? systemResource : await this.resources.find(ctx, query.kind, query.resource);
    const account = await this.accounts.get(ctx, query.subject);
    const limits = account.kind === 'robot' ? await this.tokens.findRobotLimits(ctx, account.id) : null;
    const answer = resource
      ? this.access.explain(account, limits, query.operation, resource)
      : { allowed: false, visible: false, reason: 'there is no such resource' };
    // What somebody may not see is answered alike whether or not it exists.
    return answer.visible || ctx.actor.admin ? answer : { ...answer, reason: 'not visible' };
  }
}
