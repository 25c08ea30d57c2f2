import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Grants, Roles, type Role } from '@gantry/access';
import { idOrName, In, listOf, page, Route, time, type Input } from '../http/route';
import { label } from './shapes';

const params = z.strictObject({ role: idOrName });
const operationList = z.array(z.string().max(100)).max(1_000);
const description = z.string().max(1_000).regex(/^[^\0\p{Cs}]*$/u, 'no NUL, no broken characters');
const wanted = z.strictObject({ name: label.min(1).max(63), description: description.default(''), operations: operationList.describe('GET /api/v1/operations lists them') });
const clone = z.strictObject({ name: label.min(1).max(63), description: description.optional() });
const change = z.strictObject({ name: label.min(1).max(63).optional(), description: description.optional(), operations: operationList.optional() });
const role = z.object({ id: z.string(), name: z.string(), description: z.string(), builtIn: z.boolean(), operations: z.array(z.string()), createdAt: time, version: z.number().int() });
const version = z.object({ version: z.number().int(), name: z.string(), description: z.string(), operations: z.array(z.string()), changedBy: z.string(), changedAt: time });

type Params = z.output<typeof params>;

/** Roles: the built-in ones and those that administrators make. Everybody who signs in may read what a role means. */
@Controller('api/v1/roles')
export class RolesController {
  constructor(@Inject(Roles) private readonly roles: Roles) {}

  @Route({ method: 'GET', summary: 'List roles', description: 'By name.', operation: 'role:view', scope: 'each', query: page, response: listOf(role) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): Promise<unknown> {
    return this.roles.list(ctx, query);
  }

  @Route({ method: 'GET', path: ':role', summary: 'Get a role', operation: 'role:view', scope: 'each', params, response: role })
  get(@In() { ctx, params: { role: name } }: Input<Params>): Promise<Role> {
    return this.roles.get(ctx, name);
  }

  @Route({ method: 'GET', path: ':role/versions', summary: 'What a role was before', description: 'Newest first, at most 200.', operation: 'role:view', scope: 'each', params, response: listOf(version) })
  async versions(@In() { ctx, params: { role: name } }: Input<Params>): Promise<unknown> {
    return { items: await this.roles.versions(ctx, name), next: null };
  }

  @Route({ method: 'POST', summary: 'Make a role', operation: 'role:create', scope: 'system', body: wanted, response: role, audit: 'role.create' })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof wanted>>): Promise<Role> {
    return this.roles.create(ctx, body);
  }

  @Route({
    method: 'POST', path: ':role/clone', summary: 'Make a role with the operations of another', operation: 'role:create', scope: 'system', params, body: clone, response: role, audit: 'role.create',
  })
  clone(@In() { ctx, params: { role: name }, body }: Input<Params, unknown, z.output<typeof clone>>): Promise<Role> {
    return this.roles.clone(ctx, name, body);
  }

  @Route({
    method: 'PATCH', path: ':role', summary: 'Change a role', description: 'Every grant of it changes with it. `POST /access/what-if` tells beforehand for whom.',
    operation: 'role:update', scope: 'system', params, body: change, response: role, ifMatch: true, audit: 'role.update',
  })
  update(@In() { ctx, params: { role: name }, body, version: seen }: Input<Params, unknown, z.output<typeof change>>): Promise<Role> {
    return this.roles.update(ctx, name, seen, body);
  }

  @Route({
    method: 'DELETE', path: ':role', summary: 'Delete a role', description: 'Refused while it is granted.', operation: 'role:delete', scope: 'system', params, ifMatch: true, audit: 'role.delete',
  })
  async delete(@In() { ctx, params: { role: name }, version: seen }: Input<Params>): Promise<void> {
    await this.roles.delete(ctx, name, seen);
  }
}

const grantParams = z.strictObject({ grant: z.uuid() });
const grantFilters = page.extend({
  subject: idOrName.optional().describe('user or organization, or `organization/team`'), role: idOrName.optional(), collection: idOrName.optional().describe('id or path'),
});
const grantWish = z.strictObject({
  subject: idOrName.describe('user or organization, or `organization/team`'), role: idOrName, collection: idOrName.describe('id or path, `/prod/payments`; it reaches everything below'),
});
const grant = z.object({
  id: z.string(), subject: z.object({ kind: z.enum(['user', 'team', 'organization']), id: z.string(), name: z.string() }), role: z.object({ id: z.string(), name: z.string() }),
  collection: z.object({ id: z.string(), path: z.string() }).nullable(), repositoryId: z.string().nullable(), createdBy: z.string(), createdAt: time,
});
const settings = z.object({ defaultRole: z.string(), version: z.number().int() });
const settingsChange = z.strictObject({ defaultRole: idOrName });

/** Grants: subject × role × collection. Administrators give and take them. */
@Controller('api/v1')
export class GrantsController {
  constructor(@Inject(Grants) private readonly grants: Grants) {}

  @Route({ method: 'GET', path: 'grants', summary: 'List grants', description: 'In the order in which they were given.', operation: 'grant:view', scope: 'system', query: grantFilters, response: listOf(grant) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof grantFilters>>): Promise<unknown> {
    return this.grants.list(ctx, query);
  }

  @Route({ method: 'GET', path: 'grants/:grant', summary: 'Get a grant', operation: 'grant:view', scope: 'system', params: grantParams, response: grant })
  get(@In() { ctx, params: { grant: id } }: Input<z.output<typeof grantParams>>): Promise<unknown> {
    return this.grants.get(ctx, id);
  }

  @Route({
    method: 'POST', path: 'grants', summary: 'Give a role on a collection', description: 'A grant that is there already is answered as it is.',
    operation: 'grant:create', scope: 'system', body: grantWish, response: grant, audit: 'grant.create',
  })
  async create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof grantWish>>): Promise<unknown> {
    const { grant: made } = await this.grants.create(ctx, body);
    return made;
  }

  @Route({ method: 'DELETE', path: 'grants/:grant', summary: 'Take a grant back', operation: 'grant:delete', scope: 'system', params: grantParams, audit: 'grant.delete' })
  async delete(@In() { ctx, params: { grant: id } }: Input<z.output<typeof grantParams>>): Promise<void> {
    await this.grants.delete(ctx, id);
  }

  @Route({ method: 'GET', path: 'access/settings', summary: 'What new users get', operation: 'grant:view', scope: 'system', response: settings })
  async settings(@In() { ctx }: Input): Promise<unknown> {
    const { role: defaultRole, version: seen } = await this.grants.defaultRole(ctx);
    return { defaultRole, version: seen };
  }

  @Route({
    method: 'PATCH', path: 'access/settings', summary: 'Change what new users get', description: 'The role that a new user is given on `/Shared`; `none` at first. Users who are there keep what they have.',
    operation: 'access:settings', scope: 'system', body: settingsChange, response: settings, ifMatch: true, audit: 'access.update-settings',
  })
  async changeSettings(@In() { ctx, body, version: seen }: Input<unknown, unknown, z.output<typeof settingsChange>>): Promise<unknown> {
    const { role: defaultRole, version: now } = await this.grants.setDefaultRole(ctx, seen, body.defaultRole);
    return { defaultRole, version: now };
  }
}
