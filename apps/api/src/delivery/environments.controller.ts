import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Environments } from '@gantry/delivery';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, page, Route, time, type Input } from '../http/route';

const params = z.strictObject({ environment: idOrName });
const variables = z.record(z.string().min(1).max(128), z.string().max(8192)).describe('values for ${NAME} in Compose files; not for secrets');
const environment = z.object({
  id: z.string(),
  name: z.string(),
  accountId: z.string(),
  clusterId: z.string(),
  variables: z.record(z.string(), z.string()),
  version: z.number().int(),
  createdAt: time,
});
const wanted = z.strictObject({ name: z.string().min(1).max(63), account: idOrName, cluster: idOrName, variables: variables.default({}) });
const changes = z.strictObject({ variables });

/** Where releases can go. */
@Controller('api/v1/environments')
export class EnvironmentsController {
  constructor(@Inject(Environments) private readonly environments: Environments, @Inject(Resources) resources: Resources) {
    resources.register('environment', (ctx, idOrName) => environments.findRef(ctx, idOrName));
  }

  @Route({ method: 'GET', summary: 'List environments', operation: 'environment:view', scope: 'each', query: page, response: listOf(environment) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): Promise<unknown> {
    return this.environments.list(ctx, query);
  }

  @Route({
    method: 'POST', summary: 'Create an environment',
    description: 'Binds a name to a cluster. Needs `environment:create` on the account and `cluster:deploy` on the cluster: whoever may deploy to the environment then deploys to that cluster.',
    operation: 'environment:create', scope: { kind: 'account', field: 'account' }, body: wanted, response: environment, audit: 'environment.create',
  })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof wanted>>): Promise<unknown> {
    return this.environments.create(ctx, body);
  }

  @Route({ method: 'GET', path: ':environment', summary: 'Read an environment', operation: 'environment:view', scope: { kind: 'environment', param: 'environment' }, params, response: environment })
  get(@In() { ctx, params: { environment: id } }: Input<z.output<typeof params>>): Promise<unknown> {
    return this.environments.get(ctx, id);
  }

  @Route({
    method: 'PATCH', path: ':environment', summary: 'Replace an environment’s variables', operation: 'environment:update', scope: { kind: 'environment', param: 'environment' }, params,
    body: changes, response: environment, audit: 'environment.update', ifMatch: true,
  })
  update(@In() { ctx, params: { environment: id }, body, version }: Input<z.output<typeof params>, unknown, z.output<typeof changes>>): Promise<unknown> {
    return this.environments.update(ctx, id, version, body);
  }

  @Route({
    method: 'DELETE', path: ':environment', summary: 'Delete an environment that was never used', operation: 'environment:delete', scope: { kind: 'environment', param: 'environment' }, params,
    audit: 'environment.delete', ifMatch: true,
  })
  async delete(@In() { ctx, params: { environment: id }, version }: Input<z.output<typeof params>>): Promise<void> {
    await this.environments.delete(ctx, id, version);
  }
}
