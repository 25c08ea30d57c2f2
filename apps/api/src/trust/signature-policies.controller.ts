import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { requestProblem, type Context } from '@gantry/platform';
import { findScopeResource, maxPolicyKeys, SignaturePolicies, SigningKeys, type SignaturePolicy } from '@gantry/trust';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, name, page, Route, time, type Input } from '../http/route';
import { claims } from './shapes';

const mode = z.enum(['off', 'audit', 'enforce']).describe('`audit` records what `enforce` would refuse');
const keys = z.array(idOrName).max(maxPolicyKeys).describe('signing keys by id or name');
const threshold = z.number().int().min(1).max(maxPolicyKeys).describe('how many different keys must have signed');
const policyParams = z.strictObject({ policy: idOrName });
const policyQuery = page.extend({ environment: idOrName.optional() });
const newPolicy = z.strictObject({ name, environment: idOrName, mode, keys, threshold: threshold.default(1), claims: claims.default({}).describe('what each counted signature must state') });
const policyChange = z.strictObject({ name: name.optional(), mode: mode.optional(), keys: keys.optional(), threshold: threshold.optional(), claims: claims.optional() });
const policyAnswer = z.object({
  id: z.string(),
  name: z.string(),
  environmentId: z.string().nullable(),
  mode,
  keyIds: z.array(z.string()),
  threshold: z.number().int(),
  claims: z.record(z.string(), z.string()),
  createdAt: time,
  updatedAt: time,
  version: z.number().int(),
});
const policy = { kind: 'signature-policy', param: 'policy' } as const;

/** Signature policies: which signatures an environment demands. */
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
    method: 'GET', summary: 'List signature policies', description: 'By name; `environment` narrows.', operation: 'signature-policy:view', scope: 'each', query: policyQuery,
    response: listOf(policyAnswer),
  })
  async list(@In() { ctx, query }: Input<unknown, z.output<typeof policyQuery>>): Promise<unknown> {
    const { environment, ...rest } = query;
    const scope = environment === undefined ? undefined : await this.findScope(ctx, environment);
    if (scope === null) return { items: [], next: null };
    const { items, next } = await this.policies.list(ctx, { ...rest, ...(scope === undefined ? {} : { scope }) });
    return { items: items.map(answer), next };
  }

  @Route({
    method: 'POST', summary: 'Create the signature policy of an environment', description: 'An environment has one policy; without one, no signature is demanded there.',
    operation: 'signature-policy:create', scope: { kind: 'environment', field: 'environment' }, body: newPolicy, response: policyAnswer, audit: 'signature-policy.create',
  })
  async create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof newPolicy>>): Promise<unknown> {
    const { environment, keys: named, ...demand } = body;
    const scope = await this.findScope(ctx, environment);
    if (scope === null) throw requestProblem('not-found');
    return answer(await this.policies.create(ctx, { ...demand, scope, keyIds: await this.keys.resolve(ctx, named) }));
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
    const { keys: named, ...change } = body;
    const keyIds = named === undefined ? {} : { keyIds: await this.keys.resolve(ctx, named) };
    return answer(await this.policies.update(ctx, params.policy, version, { ...change, ...keyIds }));
  }

  @Route({
    method: 'DELETE', path: ':policy', summary: 'Delete a signature policy', description: 'The environment then demands no signature.',
    operation: 'signature-policy:delete', scope: policy, params: policyParams, ifMatch: true, audit: 'signature-policy.delete',
  })
  async delete(@In() { ctx, params, version }: Input<z.output<typeof policyParams>>): Promise<void> {
    await this.policies.delete(ctx, params.policy, version);
  }

  private async findScope(ctx: Context, environment: string): Promise<string | null> {
    const found = await this.resources.find(ctx, 'environment', environment);
    return found && `${found.kind}:${found.id}`;
  }
}

function answer(row: SignaturePolicy): Record<string, unknown> {
  const resource = findScopeResource(row.scope);
  return { ...row, environmentId: resource?.kind === 'environment' ? resource.id : null };
}
