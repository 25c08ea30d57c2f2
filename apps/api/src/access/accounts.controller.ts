import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Accounts } from '@gantry/access';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, page, Route, time, type Input } from '../http/route';
import { account, label, newName, password } from './shapes';

const userParams = z.strictObject({ user: idOrName });
const newUser = z.strictObject({
  name: newName,
  password: password.optional().describe('12 to 1024 characters; without one the user can’t sign in yet'),
  admin: z.boolean().default(false),
  displayName: label.nullable().default(null),
  mail: z.email().max(254).nullable().default(null),
});
const userChange = z.strictObject({
  active: z.boolean().optional(),
  admin: z.boolean().optional(),
  displayName: label.nullable().optional(),
  mail: z.email().max(254).nullable().optional(),
  namespace: z.string().min(1).max(63).optional().describe('set once, where the name of the account could not be one; kept in lower case'),
});
const newPassword = z.strictObject({ password });

/** Users. Administrators make, change and deactivate them; a deactivated user's name stays taken. */
@Controller('api/v1/users')
export class UsersController {
  constructor(@Inject(Accounts) private readonly accounts: Accounts, @Inject(Resources) resources: Resources) {
    resources.register('account', (ctx, value) => accounts.findRef(ctx, value));
  }

  @Route({ method: 'GET', summary: 'List users', operation: 'account:view', scope: 'each', query: page, response: listOf(account) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): Promise<unknown> {
    return this.accounts.list(ctx, { ...query, kind: 'user' });
  }

  @Route({ method: 'POST', summary: 'Create a local user', operation: 'account:create', scope: 'system', body: newUser, response: account, audit: 'user.create' })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof newUser>>): Promise<unknown> {
    return this.accounts.createUser(ctx, body);
  }

  @Route({ method: 'GET', path: ':user', summary: 'Get a user', operation: 'account:view', scope: { kind: 'account', param: 'user' }, params: userParams, response: account })
  get(@In() { ctx, params }: Input<z.output<typeof userParams>>): Promise<unknown> {
    return this.accounts.getOfKind(ctx, params.user, 'user');
  }

  @Route({
    method: 'PATCH', path: ':user', summary: 'Change or deactivate a user', description: 'Deactivating ends the user’s sessions; its tokens do nothing any more.',
    operation: 'account:administer', scope: 'system', params: userParams, body: userChange, response: account, ifMatch: true, audit: 'account.update',
  })
  async update(@In() { ctx, params, body, version }: Input<z.output<typeof userParams>, unknown, z.output<typeof userChange>>): Promise<unknown> {
    const user = await this.accounts.getOfKind(ctx, params.user, 'user');
    return this.accounts.update(ctx, user.id, version, body);
  }

  @Route({
    method: 'PUT', path: ':user/password', summary: 'Set a local user’s password', description: '12 to 1024 characters. Ends the user’s sessions.',
    operation: 'account:administer', scope: 'system', params: userParams, body: newPassword, audit: 'account.change-password',
  })
  async setPassword(@In() { ctx, params, body }: Input<z.output<typeof userParams>, unknown, z.output<typeof newPassword>>): Promise<void> {
    await this.accounts.resetPassword(ctx, params.user, body.password);
  }
}

const orgParams = z.strictObject({ org: idOrName });
const memberParams = z.strictObject({ org: idOrName, user: idOrName });
const newOrganization = z.strictObject({ name: newName, displayName: label.nullable().default(null) });
const organizationChange = z.strictObject({ displayName: label.nullable() });
const role = z.strictObject({ role: z.enum(['member', 'admin']) });
const member = z.object({ user: z.object({ id: z.string(), name: z.string() }), role: z.enum(['member', 'admin']), createdAt: time });
const org = { kind: 'account', param: 'org' } as const;

/** Organizations and their members. */
@Controller('api/v1/organizations')
export class OrganizationsController {
  constructor(@Inject(Accounts) private readonly accounts: Accounts) {}

  @Route({ method: 'GET', summary: 'List organizations', operation: 'account:view', scope: 'each', query: page, response: listOf(account) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): Promise<unknown> {
    return this.accounts.list(ctx, { ...query, kind: 'organization' });
  }

  @Route({ method: 'POST', summary: 'Create an organization', operation: 'account:create', scope: 'system', body: newOrganization, response: account, audit: 'organization.create' })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof newOrganization>>): Promise<unknown> {
    return this.accounts.createOrganization(ctx, body);
  }

  @Route({ method: 'GET', path: ':org', summary: 'Get an organization', operation: 'account:view', scope: org, params: orgParams, response: account })
  get(@In() { ctx, params }: Input<z.output<typeof orgParams>>): Promise<unknown> {
    return this.accounts.getOfKind(ctx, params.org, 'organization');
  }

  @Route({
    method: 'PATCH', path: ':org', summary: 'Change an organization', operation: 'account:update', scope: org, params: orgParams, body: organizationChange, response: account,
    ifMatch: true, audit: 'account.update',
  })
  async update(@In() { ctx, params, body, version }: Input<z.output<typeof orgParams>, unknown, z.output<typeof organizationChange>>): Promise<unknown> {
    const organization = await this.accounts.getOfKind(ctx, params.org, 'organization');
    return this.accounts.update(ctx, organization.id, version, body);
  }

  @Route({ method: 'GET', path: ':org/members', summary: 'List members', operation: 'account:view', scope: org, params: orgParams, query: page, response: listOf(member) })
  members(@In() { ctx, params, query }: Input<z.output<typeof orgParams>, z.output<typeof page>>): Promise<unknown> {
    return this.accounts.listMembers(ctx, params.org, query);
  }

  @Route({
    method: 'PUT', path: ':org/members/:user', summary: 'Add a member or change its role', description: '`member` sees and pulls what the organization owns; `admin` does everything with it.',
    operation: 'account:manage-members', scope: org, params: memberParams, body: role, response: member, audit: 'organization.add-member',
  })
  putMember(@In() { ctx, params, body }: Input<z.output<typeof memberParams>, unknown, z.output<typeof role>>): Promise<unknown> {
    return this.accounts.addMember(ctx, params.org, params.user, body.role);
  }

  @Route({
    method: 'DELETE', path: ':org/members/:user', summary: 'Remove a member', operation: 'account:manage-members', scope: org, params: memberParams, audit: 'organization.remove-member',
  })
  async removeMember(@In() { ctx, params }: Input<z.output<typeof memberParams>>): Promise<void> {
    await this.accounts.removeMember(ctx, params.org, params.user);
  }
}
