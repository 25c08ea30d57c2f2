import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import type { ResourceRef } from '@gantry/access';
import { requestProblem, type Context } from '@gantry/platform';
import { findScopeResource, maxPolicyKeys, SignaturePolicies, SigningKeys, type SignaturePolicy } from '@gantry/trust';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, name, page, Route, time, type FindResource, type Input } from '../http/route';
import { claims } from './shapes';

const mode = z.enum(['off', 'audit', 'enforce']).describe('`audit` records what `enforce` would refuse');
const keys = z.array(idOrName).max(maxPolicyKeys).describe('signing keys by id or name');
const threshold = z.number().int().min(1).max(maxPolicyKeys).describe('how many different keys must have signed');
const policyParams = z.strictObject({ policy: idOrName });
/** What a policy can stand for: kind of the resource, which is also the member that names it. */
const scopeKinds = ['environment', 'collection', 'repository'] as const;
const scopeFields = { environment: idOrName.optional(), collection: idOrName.optional().describe('id or path'), repository: idOrName.optional().describe('id or namespace/name') };
type ScopeFields = { [K in (typeof scopeKinds)[number]]?: string | undefined };
const policyQuery = page.extend(scopeFields);
const newPolicy = z.strictObject({ name, ...scopeFields, mode, keys, threshold: threshold.default(1), claims: claims.default({}).describe('what each counted signature must state') })
  .refine((body) => named(body).length === 1, { path: ['environment'], message: 'name one environment, collection or repository' });
const policyChange = z.strictObject({ name: name.optional(), mode: mode.optional(), keys: keys.optional(), threshold: threshold.optional(), claims: claims.optional() });
const policyAnswer = z.object({
  id: z.string(),
  name: z.string(),
  environmentId: z.string().nullable(),
  collectionId: z.string().nullable(),
  repositoryId: z.string().nullable(),
  mode,
  keyIds: z.array(z.string()),
  threshold: z.number().int(),
  claims: z.record(z.string(), z.string()),
  createdAt: time,
  updatedAt: time,
  version: z.number().int(),
});
const policy = { kind: 'signature-policy', param: 'policy' } as const;

/** Signature policies: which signatures an environment, a collection or a repository demands. */
@Controller('api/v1/signature-policies')
export class SignaturePoliciesController {
  constructor(
    @Inject(SignaturePolicies) private readonly policies: SignaturePolicies,
    @Inject(SigningKeys) private readonly keys: SigningKeys,
    @Inject(Resources) private readonly resources: Resources,
  ) {
    resources.register('signature-policy', (ctx, value) => policies.findRef(ctx, value));
  }

  @Route({
    method: 'GET', summary: 'List signature policies', description: 'By name; `environment`, `collection` or `repository` narrows.', operation: 'signature-policy:view', scope: 'each', query: policyQuery,
    response: listOf(policyAnswer),
  })
  async list(@In() { ctx, query }: Input<unknown, z.output<typeof policyQuery>>): Promise<unknown> {
    const { limit, cursor } = query;
    const asked = named(query);
    if (asked.length > 1) throw requestProblem('invalid', { errors: [{ pointer: `query/${asked[1]}`, detail: 'one environment, collection or repository' }] });
    const scope = asked.length === 0 ? undefined : await this.findScope(ctx, query);
    if (scope === null) return { items: [], next: null };
    const { items, next } = await this.policies.list(ctx, { limit, ...(cursor === undefined ? {} : { cursor }), ...(scope === undefined ? {} : { scope }) });
    return { items: items.map(answer), next };
  }

  @Route({
    method: 'POST', summary: 'Create the signature policy of an environment, a collection or a repository',
    description: 'Each has one policy. What runs must meet all that count: the environment’s, the repository’s, those of the collection in which it lies and of the ones above. Without any, no signature is demanded.',
    operation: 'signature-policy:create', scope: ({ body }, find) => scopeOf(body as ScopeFields, find), body: newPolicy, response: policyAnswer, audit: 'signature-policy.create',
  })
  async create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof newPolicy>>): Promise<unknown> {
    const { keys: wanted, name: title, mode: how, threshold: least, claims: stated } = body;
    const scope = await this.findScope(ctx, body);
    if (scope === null) throw requestProblem('not-found');
    return answer(await this.policies.create(ctx, { name: title, mode: how, threshold: least, claims: stated, scope, keyIds: await this.keys.resolve(ctx, wanted) }));
  }

  @Route({ method: 'GET', path: ':policy', summary: 'Get a signature policy', operation: 'signature-policy:view', scope: policy, params: policyParams, response: policyAnswer })
  async get(@In() { ctx, params }: Input<z.output<typeof policyParams>>): Promise<unknown> {
    return answer(await this.policies.get(ctx, params.policy));
  }

  @Route({
    method: 'PATCH', path: ':policy', summary: 'Change a signature policy', description: 'Holds for every verdict from now on; what runs is left alone.',
    operation: 'signature-policy:update', scope: policy, params: policyParams, body: policyChange, response: policyAnswer, ifMatch: true, audit: 'signature-policy.update',
  })
  async update(@In() { ctx, params, body, version }: Input<z.output<typeof policyParams>, unknown, z.output<typeof policyChange>>): Promise<unknown> {
    const { keys: wanted, ...change } = body;
    const keyIds = wanted === undefined ? {} : { keyIds: await this.keys.resolve(ctx, wanted) };
    return answer(await this.policies.update(ctx, params.policy, version, { ...change, ...keyIds }));
  }

  @Route({
    method: 'DELETE', path: ':policy', summary: 'Delete a signature policy', description: 'What it stood for then demands no signature by itself.',
    operation: 'signature-policy:delete', scope: policy, params: policyParams, ifMatch: true, audit: 'signature-policy.delete',
  })
  async delete(@In() { ctx, params, version }: Input<z.output<typeof policyParams>>): Promise<void> {
    await this.policies.delete(ctx, params.policy, version);
  }

  private async findScope(ctx: Context, fields: ScopeFields): Promise<string | null> {
    const found = await scopeOf(fields, (kind, value) => this.resources.find(ctx, kind, value));
    return found && `${found.kind}:${found.id}`;
  }
}

/** Which of the members that tell what a policy stands for are there. */
function named(fields: ScopeFields): (typeof scopeKinds)[number][] {
  return scopeKinds.filter((kind) => fields[kind] !== undefined);
}

async function scopeOf(fields: ScopeFields, find: FindResource): Promise<ResourceRef | null> {
  const [kind] = named(fields);
  return kind === undefined ? null : find(kind, fields[kind]!);
}

function answer(row: SignaturePolicy): Record<string, unknown> {
  const resource = findScopeResource(row.scope);
  const idOf = (kind: (typeof scopeKinds)[number]): string | null => (resource?.kind === kind ? resource.id : null);
  return { ...row, environmentId: idOf('environment'), collectionId: idOf('collection'), repositoryId: idOf('repository') };
}
