import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Accounts, Grants, repositoryLevels, Teams, type RepositoryLevel, type ResourceRef, type Team } from '@gantry/access';
import type { Context } from '@gantry/platform';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, page, Route, time, type FindResource, type Input, type RouteInput } from '../http/route';
import { label } from './shapes';

const orgParams = z.strictObject({ org: idOrName });
const params = z.strictObject({ org: idOrName, team: idOrName });
const memberParams = params.extend({ user: idOrName });
const description = z.string().max(1_000).regex(/^[^\0\p{Cs}]*$/u, 'no NUL, no broken characters');
const wanted = z.strictObject({ name: label.min(1).max(63), description: description.default('') });
const change = z.strictObject({ name: label.min(1).max(63).optional(), description: description.optional() });
const team = z.object({ id: z.string(), organizationId: z.string(), name: z.string(), description: z.string(), createdAt: time, version: z.number().int() });
const membership = z.strictObject({ admin: z.boolean().default(false).describe('may change the team and its members') });
const member = z.object({ user: z.object({ id: z.string(), name: z.string() }), admin: z.boolean(), origins: z.array(z.enum(['manual', 'directory'])) });
/** A registry level in a body. */
export const level = z.strictObject({ level: z.enum(Object.keys(repositoryLevels) as [RepositoryLevel, ...RepositoryLevel[]]) });
/** A team's level in an answer. */
export const teamLevel = z.object({ team: z.object({ id: z.string(), name: z.string() }), level: z.string() });

type Params = z.output<typeof params>;
const org = { kind: 'account', param: 'org' } as const;
const scope = (input: RouteInput, find: FindResource): Promise<ResourceRef | null> => find('team', `${input.params['org']}/${input.params['team']}`);

/** Teams of an organization. The organization's administrators make them; a team's administrators keep its members. */
@Controller('api/v1/organizations/:org')
export class TeamsController {
  constructor(
    @Inject(Teams) private readonly teams: Teams,
    @Inject(Accounts) private readonly accounts: Accounts,
    @Inject(Grants) private readonly grants: Grants,
    @Inject(Resources) resources: Resources,
  ) {
    resources.register('team', async (ctx, value) => {
      const [organization = '', name] = value.split('/');
      if (name !== undefined) return teams.findRef(ctx, organization, name);
      const found = await teams.findByPath(ctx, value);
      return found && teams.findRef(ctx, found.organizationId, found.id);
    });
  }

  @Route({ method: 'GET', path: 'teams', summary: 'List teams', description: 'By name.', operation: 'account:view', scope: org, params: orgParams, query: page, response: listOf(team) })
  list(@In() { ctx, params: place, query }: Input<z.output<typeof orgParams>, z.output<typeof page>>): Promise<unknown> {
    return this.teams.list(ctx, place.org, query);
  }

  @Route({ method: 'POST', path: 'teams', summary: 'Make a team', operation: 'team:create', scope: org, params: orgParams, body: wanted, response: team, audit: 'team.create' })
  create(@In() { ctx, params: place, body }: Input<z.output<typeof orgParams>, unknown, z.output<typeof wanted>>): Promise<Team> {
    return this.teams.create(ctx, place.org, body);
  }

  @Route({ method: 'GET', path: 'teams/:team', summary: 'Get a team', operation: 'team:view', scope, params, response: team })
  get(@In() { ctx, params: place }: Input<Params>): Promise<Team> {
    return this.find(ctx, place);
  }

  @Route({ method: 'PATCH', path: 'teams/:team', summary: 'Change a team', operation: 'team:update', scope, params, body: change, response: team, ifMatch: true, audit: 'team.update' })
  async update(@In() { ctx, params: place, body, version }: Input<Params, unknown, z.output<typeof change>>): Promise<Team> {
    return this.teams.update(ctx, (await this.find(ctx, place)).id, version, body);
  }

  @Route({ method: 'DELETE', path: 'teams/:team', summary: 'Delete a team', description: 'With its grants. Its members stay in the organization.', operation: 'team:delete', scope, params, audit: 'team.delete' })
  async delete(@In() { ctx, params: place }: Input<Params>): Promise<void> {
    await this.teams.delete(ctx, (await this.find(ctx, place)).id);
  }

  @Route({ method: 'GET', path: 'teams/:team/members', summary: 'List a team’s members', operation: 'team:view', scope, params, query: page, response: listOf(member) })
  async members(@In() { ctx, params: place, query }: Input<Params, z.output<typeof page>>): Promise<unknown> {
    return this.teams.listMembers(ctx, (await this.find(ctx, place)).id, query);
  }

  @Route({
    method: 'PUT', path: 'teams/:team/members/:user', summary: 'Take a user into a team', description: 'Who is not yet in the organization becomes its member.',
    operation: 'team:manage-members', scope, params: memberParams, body: membership, response: member, audit: 'team.add-member',
  })
  async putMember(@In() { ctx, params: place, body }: Input<z.output<typeof memberParams>, unknown, z.output<typeof membership>>): Promise<unknown> {
    return this.teams.putMember(ctx, (await this.find(ctx, place)).id, place.user, body.admin);
  }

  @Route({ method: 'DELETE', path: 'teams/:team/members/:user', summary: 'Take a user out of a team', operation: 'team:manage-members', scope, params: memberParams, audit: 'team.remove-member' })
  async removeMember(@In() { ctx, params: place }: Input<z.output<typeof memberParams>>): Promise<void> {
    await this.teams.removeMember(ctx, (await this.find(ctx, place)).id, place.user);
  }

  @Route({
    method: 'GET', path: 'repository-levels', summary: 'Levels of teams on all repositories of the organization', operation: 'account:view', scope: org, params: orgParams, response: listOf(teamLevel),
  })
  async levels(@In() { ctx, params: place }: Input<z.output<typeof orgParams>>): Promise<unknown> {
    return { items: await this.grants.listLevels(ctx, await this.namespace(ctx, place.org)), next: null };
  }

  @Route({
    method: 'PUT', path: 'repository-levels/:team', summary: 'Give a team a level on all repositories of the organization', description: '`read-only` pulls, `read-write` pushes too, `admin` also changes and deletes.',
    operation: 'repository:manage-access', scope: org, params, body: level, response: teamLevel, audit: 'grant.create',
  })
  async putLevel(@In() { ctx, params: place, body }: Input<Params, unknown, z.output<typeof level>>): Promise<unknown> {
    return this.grants.putLevel(ctx, await this.namespace(ctx, place.org), place.org, place.team, body.level);
  }

  @Route({
    method: 'DELETE', path: 'repository-levels/:team', summary: 'Take a team’s level on all repositories back', operation: 'repository:manage-access', scope: org, params, audit: 'grant.delete',
  })
  async deleteLevel(@In() { ctx, params: place }: Input<Params>): Promise<void> {
    await this.grants.deleteLevel(ctx, await this.namespace(ctx, place.org), place.org, place.team);
  }

  private find(ctx: Context, place: Params): Promise<Team> {
    return this.teams.get(ctx, place.org, place.team);
  }

  private async namespace(ctx: Context, name: string): Promise<{ organizationId: string; name: string }> {
    const organization = await this.accounts.getOfKind(ctx, name, 'organization');
    return { organizationId: organization.id, name: `/Organizations/${organization.name}` };
  }
}
