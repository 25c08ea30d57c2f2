import { Controller, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import {
  Access, Accounts, Authenticator, builtInRoles, Collections, gradeOf, operations, Review, systemResource, Tokens, type CollectionFacts, type Operation, type ResourceRef, type ReviewRow,
} from '@gantry/access';
import { Audit } from '@gantry/audit';
import { decodeCursor, toPage, type Context } from '@gantry/platform';
import { streamLines } from '../http/lines';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, page, Route, time, type Input } from '../http/route';
import { stillAllowed } from '../http/still-allowed';

/** Kinds of resources that questions about rights can be about. */
const kinds = [
  'account', 'application', 'cluster', 'collection', 'deployment', 'environment', 'plan', 'release', 'repository', 'signature-policy', 'signing-key', 'system', 'team', 'token', 'trigger',
] as const;
/** Kinds that can be moved between collections. */
const movable = ['application', 'cluster', 'environment', 'repository', 'signing-key'] as const;

const operation = z.enum(operations as [Operation, ...Operation[]]);
const target = { operation, kind: z.enum(kinds), resource: idOrName.describe('id or name; `organization/team` for a team; `system` for kind `system`') };
const question = z.strictObject({ subject: idOrName.describe('user or robot'), ...target });
const holderQuestion = z.strictObject({ ...target, limit: z.coerce.number().int().min(1).max(1_000).default(200) });
const ground = z.object({
  type: z.string(), grantId: z.string().nullable(), role: z.object({ id: z.string(), name: z.string() }).nullable(), subject: z.object({ kind: z.string(), id: z.string(), name: z.string() }),
  collection: z.object({ id: z.string(), path: z.string() }).nullable(), repositoryId: z.string().nullable(),
});
const decision = z.object({ allowed: z.boolean(), visible: z.boolean(), reason: z.string(), grounds: z.array(ground), collections: z.array(z.string()).describe('paths, from the resource’s own to the root') });
const holders = z.object({ items: z.array(z.object({ account: z.object({ id: z.string(), name: z.string(), kind: z.string() }), grounds: z.array(ground) })), more: z.boolean() });
const entry = z.object({ operation: z.string(), kind: z.string(), grade: z.string(), roles: z.array(z.string()).describe('built-in roles that hold it') });
const wish = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('role'), role: idOrName, operations: z.array(z.string().max(100)).max(1_000) }),
  z.strictObject({ type: z.literal('grant'), subject: idOrName, role: idOrName, collection: idOrName }),
  z.strictObject({ type: z.literal('revoke'), grant: z.uuid() }),
]);
const wishes = z.strictObject({ changes: z.array(wish).min(1).max(100) });
const effects = z.object({
  effects: z.array(
    z.object({
      account: z.object({ id: z.string(), name: z.string() }), collection: z.object({ id: z.string(), path: z.string() }).nullable(), repositoryId: z.string().nullable(),
      gains: z.array(z.string()), loses: z.array(z.string()),
    }),
  ),
  more: z.boolean(),
});
const reviewRow = z.object({
  account: z.string(), accountKind: z.enum(['user', 'organization']), source: z.string(), active: z.boolean(),
  by: z.enum(['administrator', 'owner', 'organization-admin', 'member', 'team-admin', 'team-member', 'grant']), through: z.string().describe('team or organization'), role: z.string(),
  on: z.string().describe('path of the collection'), grantId: z.string(), grantedBy: z.string(), grantedAt: z.string(), operations: z.number().int(),
});
const reviewQuery = z.strictObject({ format: z.enum(['csv', 'json']).default('csv') });

/** The catalogue, and questions about rights: why, who, what if. */
@Controller('api/v1')
export class RightsController {
  constructor(
    @Inject(Access) readonly access: Access,
    @Inject(Authenticator) readonly authenticator: Authenticator,
    @Inject(Accounts) private readonly accounts: Accounts,
    @Inject(Tokens) private readonly tokens: Tokens,
    @Inject(Review) private readonly review: Review,
    @Inject(Audit) private readonly audit: Audit,
    @Inject(Resources) private readonly resources: Resources,
  ) {}

  @Route({ method: 'GET', path: 'operations', summary: 'The catalogue of operations', operation: null, scope: 'public', response: listOf(entry) })
  operations(): unknown {
    return { items: operationRows(), next: null };
  }

  @Route({
    method: 'GET', path: 'access/explain', summary: 'May this account do that, and why?', description: 'For yourself, for robots that you own, and for anybody if you are an administrator.',
    operation: 'account:view', scope: (input, find) => find('account', String(input.query['subject'])), query: question, response: decision,
  })
  async explain(@In() { ctx, query }: Input<unknown, z.output<typeof question>>): Promise<z.output<typeof decision>> {
    const resource = await this.find(ctx, query.kind, query.resource);
    const account = await this.accounts.get(ctx, query.subject);
    const limits = account.kind === 'robot' ? await this.tokens.findRobotLimits(ctx, account.id) : null;
    const answer = resource ? this.access.explain(account, limits, query.operation, resource) : { allowed: false, visible: false, reason: 'there is no such resource' };
    // What somebody may not see is answered alike whether or not it exists.
    if (!resource || !(answer.visible || ctx.actor.admin)) return { allowed: false, visible: false, reason: ctx.actor.admin ? answer.reason : 'not visible', grounds: [], collections: [] };
    return { ...answer, grounds: this.access.grounds(account, query.operation, resource), collections: this.access.collectionsAbove(resource).map(({ path }) => path) };
  }

  @Route({
    method: 'GET', path: 'access/holders', summary: 'Who may do that, and why?', description: 'Users by name, administrators last. For whoever may look at the grants there.',
    operation: 'grant:view', scope: (input, find) => (input.query['kind'] === 'system' ? Promise.resolve(systemResource) : find(String(input.query['kind']), String(input.query['resource']))),
    query: holderQuestion, response: holders,
  })
  async holders(@In() { ctx, query }: Input<unknown, z.output<typeof holderQuestion>>): Promise<z.output<typeof holders>> {
    const resource = await this.find(ctx, query.kind, query.resource);
    if (!resource) return { items: [], more: false };
    const found = this.review.whoCan(query.operation, resource, query.limit);
    return { items: found.holders, more: found.more };
  }

  @Route({
    method: 'POST', path: 'access/what-if', summary: 'What would change?', description: 'Nothing is changed. Administrators are left out; at most 1,000 effects.',
    operation: 'grant:create', scope: 'system', body: wishes, response: effects, status: 200, audit: 'access.what-if',
  })
  async whatIf(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof wishes>>): Promise<z.output<typeof effects>> {
    const answer = await this.review.whatIf(ctx, body.changes);
    await this.audit.record(ctx, { action: 'access.what-if', outcome: 'success', resource: systemResource, detail: { changes: body.changes.length, effects: answer.effects.length } });
    return answer;
  }

  @Route({
    method: 'GET', path: 'access/review', summary: 'Access review', description: 'Who can do what where, through which grant and group: every user and every way, as CSV or as JSON lines.',
    operation: 'access:review', scope: 'system', query: reviewQuery, response: reviewRow, lines: true,
  })
  async export(@In() { ctx, query, request }: Input<unknown, z.output<typeof reviewQuery>>, @Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    const csv = query.format === 'csv';
    const rows = this.review.rows(ctx);
    await streamLines(reply, csv ? csvOf(rows) : linesOf(rows), stillAllowed(this, request, ctx, 'access:review', systemResource), {
      name: `access-review-${new Date().toISOString().slice(0, 10)}.${csv ? 'csv' : 'jsonl'}`, type: csv ? 'text/csv; charset=utf-8; header=present' : 'application/jsonl; charset=utf-8',
    });
  }

  private async find(ctx: Context, kind: string, name: string): Promise<ResourceRef | null> {
    return kind === 'system' ? systemResource : this.resources.find(ctx, kind, name);
  }
}

/** The catalogue as `GET /api/v1/operations` and the docs show it. */
export function operationRows(): z.output<typeof entry>[] {
  return operations.map((name) => ({
    operation: name, kind: name.slice(0, name.indexOf(':')), grade: gradeOf(name), roles: builtInRoles.filter((role) => role.operations.includes(name)).map((role) => role.id),
  }));
}

const columns: readonly (keyof ReviewRow)[] = ['account', 'accountKind', 'source', 'active', 'by', 'through', 'role', 'on', 'grantId', 'grantedBy', 'grantedAt', 'operations'];

/** RFC 4180. A cell that a spreadsheet would take for a formula gets an apostrophe before it. */
async function* csvOf(rows: AsyncIterable<ReviewRow>): AsyncGenerator<string> {
  yield `${columns.join(',')}\r\n`;
  for await (const row of rows) yield `${columns.map((column) => cell(String(row[column]))).join(',')}\r\n`;
}

function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

async function* linesOf(rows: AsyncIterable<ReviewRow>): AsyncGenerator<string> {
  for await (const row of rows) yield `${JSON.stringify(row)}\n`;
}

const collectionParams = z.strictObject({ collection: idOrName });
const collection = z.object({ id: z.string(), parentId: z.string().nullable(), path: z.string(), ownerId: z.string().nullable() });
const collectionView = collection.extend({ builtIn: z.boolean(), createdAt: time, version: z.number().int() });
const newCollection = z.strictObject({ parent: idOrName.describe('id or path'), name: z.string().min(1).max(63) });
const collectionChange = z.strictObject({ name: z.string().min(1).max(63) });
const placementParams = z.strictObject({ kind: z.enum(movable), resource: idOrName });
const placement = z.strictObject({ collection: idOrName.describe('id or path') });
const placed = z.object({ kind: z.string(), id: z.string(), collection });
const place = { kind: 'collection', param: 'collection' } as const;

/** The tree of collections, and moving resources in it. Paths with slashes are sent percent-encoded where they stand in a URL: `%2Fprod%2Fpayments`. */
@Controller('api/v1')
export class CollectionsController {
  constructor(@Inject(Access) private readonly access: Access, @Inject(Collections) private readonly trees: Collections, @Inject(Resources) private readonly resources: Resources) {
    resources.register('collection', async (ctx, value) => access.findCollection(ctx, value));
  }

  @Route({ method: 'GET', path: 'collections', summary: 'List collections', operation: 'collection:view', scope: 'each', query: page, response: listOf(collection) })
  collections(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): unknown {
    const after = decodeCursor(query.cursor, 1)?.[0] ?? '';
    const rows = this.access.listCollections(ctx).filter((item) => item.path > after);
    return toPage<CollectionFacts>(rows, query.limit, (item) => [item.path]);
  }

  @Route({ method: 'GET', path: 'collections/:collection', summary: 'Get a collection', operation: 'collection:view', scope: place, params: collectionParams, response: collectionView })
  get(@In() { ctx, params }: Input<z.output<typeof collectionParams>>): Promise<unknown> {
    return this.trees.get(ctx, params.collection);
  }

  @Route({
    method: 'POST', path: 'collections', summary: 'Make a collection', operation: 'collection:create', scope: { kind: 'collection', field: 'parent' }, body: newCollection, response: collectionView,
    audit: 'collection.create',
  })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof newCollection>>): Promise<unknown> {
    return this.trees.create(ctx, body);
  }

  @Route({
    method: 'PATCH', path: 'collections/:collection', summary: 'Rename a collection', description: 'What lies in it, and the grants on it, stay.',
    operation: 'collection:update', scope: place, params: collectionParams, body: collectionChange, response: collectionView, ifMatch: true, audit: 'collection.update',
  })
  rename(@In() { ctx, params, body, version }: Input<z.output<typeof collectionParams>, unknown, z.output<typeof collectionChange>>): Promise<unknown> {
    return this.trees.rename(ctx, params.collection, version, body.name);
  }

  @Route({
    method: 'DELETE', path: 'collections/:collection', summary: 'Delete an empty collection', description: 'Refused while anything lies in it. The grants on it end.',
    operation: 'collection:delete', scope: place, params: collectionParams, ifMatch: true, audit: 'collection.delete',
  })
  async delete(@In() { ctx, params, version }: Input<z.output<typeof collectionParams>>): Promise<void> {
    await this.trees.delete(ctx, params.collection, version);
  }

  @Route({
    method: 'PUT', path: 'placements/:kind/:resource', summary: 'Move a resource to another collection', description: 'Needs the right to place in both collections.',
    operation: 'collection:place', scope: (input, find) => find(String(input.params['kind']), String(input.params['resource'])), params: placementParams, body: placement, response: placed,
    audit: 'resource.move',
  })
  async move(@In() { ctx, params, body }: Input<z.output<typeof placementParams>, unknown, z.output<typeof placement>>): Promise<unknown> {
    const resource = (await this.resources.find(ctx, params.kind, params.resource)) as ResourceRef;
    return this.trees.move(ctx, resource, params.resource, body.collection);
  }
}
