import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Grants, type ResourceRef } from '@gantry/access';
import { Repositories, type Repository } from '@gantry/registry';
import { level, teamLevel } from '../access';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, page, Route, time, type FindResource, type Input, type RouteInput } from '../http/route';

const namespace = z.string().regex(/^[a-z0-9._-]{1,63}$/, 'the name of a user or organization, in lower case');
const repositoryName = z.string().regex(/^[a-z0-9._-]{1,128}$/, 'lower-case letters, digits and ._- inside');
const tag = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/, 'a tag');
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 lower-case hex digits');
const description = z.string().max(2_000).regex(/^[^\0\p{Cs}]*$/u, 'no NUL, no broken characters');

const params = z.strictObject({ namespace, name: repositoryName });
const tagParams = params.extend({ tag });
const digestParams = params.extend({ digest });
const teamParams = params.extend({ team: idOrName.describe('of the organization that owns the repository') });
const filters = page.extend({ namespace: namespace.optional().describe('only this account’s repositories') });
const wanted = z.strictObject({
  namespace: namespace.describe('user or organization that owns it'),
  name: repositoryName,
  description: description.default(''),
  immutableTags: z.boolean().default(false).describe('a tag keeps the image that it was first given'),
});
const change = z.strictObject({ description: description.optional(), immutableTags: z.boolean().optional() });
const force = z.strictObject({ force: z.enum(['true', 'false']).default('false').describe('delete its images with it') });
const repository = z.object({
  id: z.string(), namespace: z.string(), name: z.string(), path: z.string(), description: z.string(), immutableTags: z.boolean(), createdAt: time, updatedAt: time, version: z.number().int(),
});
const tagEntry = z.object({ name: z.string(), digest: z.string(), mediaType: z.string(), sizeBytes: z.number(), updatedAt: time, updatedBy: z.string() });
const manifest = z.object({
  digest: z.string(), mediaType: z.string(), sizeBytes: z.number(), contentBytes: z.number(), artifactType: z.string().nullable(), configDigest: z.string().nullable(),
  subjectDigest: z.string().nullable(), annotations: z.record(z.string(), z.string()).nullable(), tags: z.array(z.string()), referrers: z.number(), pushedAt: time, pushedBy: z.string(),
});
const event = z.object({ id: z.string(), type: z.enum(['pushed', 'tag-deleted', 'manifest-deleted']), tag: z.string().nullable(), digest: z.string(), actorName: z.string(), at: time });

type Params = z.output<typeof params>;

const scope = (input: RouteInput, find: FindResource): Promise<ResourceRef | null> => find('repository', `${input.params['namespace']}/${input.params['name']}`);

/** Repositories of the managed registry. A push by who may create one makes it too. */
@Controller('api/v1/repositories')
export class RepositoriesController {
  constructor(@Inject(Repositories) private readonly repositories: Repositories, @Inject(Grants) private readonly grants: Grants, @Inject(Resources) resources: Resources) {
    resources.register('repository', (ctx, value) => repositories.findRef(ctx, value));
  }

  @Route({ method: 'GET', summary: 'List repositories', description: 'By path.', operation: 'repository:view', scope: 'each', query: filters, response: listOf(repository) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof filters>>): Promise<unknown> {
    return this.repositories.list(ctx, query);
  }

  @Route({
    method: 'POST', summary: 'Create a repository', operation: 'repository:create', scope: { kind: 'account', field: 'namespace' }, body: wanted, response: repository, audit: 'repository.create',
  })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof wanted>>): Promise<unknown> {
    return this.repositories.create(ctx, body);
  }

  @Route({ method: 'GET', path: ':namespace/:name', summary: 'Get a repository', operation: 'repository:view', scope, params, response: repository })
  get(@In() { ctx, params: place }: Input<Params>): Promise<Repository> {
    return this.find(ctx, place);
  }

  @Route({
    method: 'PATCH', path: ':namespace/:name', summary: 'Change a repository', operation: 'repository:update', scope, params, body: change, response: repository, ifMatch: true,
    audit: 'repository.update',
  })
  async update(@In() { ctx, params: place, body, version }: Input<Params, unknown, z.output<typeof change>>): Promise<unknown> {
    return this.repositories.update(ctx, (await this.find(ctx, place)).id, version, body);
  }

  @Route({
    method: 'DELETE', path: ':namespace/:name', summary: 'Delete a repository', description: 'Refused while it holds images, unless `force=true`; refused while one of them is in use.',
    operation: 'repository:delete', scope, params, query: force, audit: 'repository.delete',
  })
  async delete(@In() { ctx, params: place, query }: Input<Params, z.output<typeof force>>): Promise<void> {
    await this.repositories.delete(ctx, (await this.find(ctx, place)).id, { force: query.force === 'true' });
  }

  @Route({
    method: 'GET', path: ':namespace/:name/tags', summary: 'List tags', description: 'By name, without the tags that hold signatures.',
    operation: 'repository:view', scope, params, query: page, response: listOf(tagEntry),
  })
  async tags(@In() { ctx, params: place, query }: Input<Params, z.output<typeof page>>): Promise<unknown> {
    return this.repositories.tags(ctx, (await this.find(ctx, place)).id, query);
  }

  @Route({
    method: 'DELETE', path: ':namespace/:name/tags/:tag', summary: 'Delete a tag', description: 'The image stays under its digest.', operation: 'repository:delete', scope, params: tagParams,
    audit: 'repository.delete-tag',
  })
  async deleteTag(@In() { ctx, params: { tag: name, ...place } }: Input<z.output<typeof tagParams>>): Promise<void> {
    await this.repositories.deleteTag(ctx, (await this.find(ctx, place)).id, name);
  }

  @Route({ method: 'GET', path: ':namespace/:name/manifests/:digest', summary: 'Get an image by digest', operation: 'repository:view', scope, params: digestParams, response: manifest })
  async manifest(@In() { ctx, params: { digest: wantedDigest, ...place } }: Input<z.output<typeof digestParams>>): Promise<unknown> {
    return this.repositories.manifest(ctx, (await this.find(ctx, place)).id, wantedDigest);
  }

  @Route({
    method: 'DELETE', path: ':namespace/:name/manifests/:digest', summary: 'Delete an image by digest', description: 'With all its tags. Refused while it is in use.',
    operation: 'repository:delete', scope, params: digestParams, audit: 'repository.delete-manifest',
  })
  async deleteManifest(@In() { ctx, params: { digest: unwanted, ...place } }: Input<z.output<typeof digestParams>>): Promise<void> {
    await this.repositories.deleteManifest(ctx, (await this.find(ctx, place)).id, unwanted);
  }

  @Route({ method: 'GET', path: ':namespace/:name/events', summary: 'What happened in a repository', description: 'Newest first.', operation: 'repository:view', scope, params, query: page, response: listOf(event) })
  async events(@In() { ctx, params: place, query }: Input<Params, z.output<typeof page>>): Promise<unknown> {
    return this.repositories.events(ctx, (await this.find(ctx, place)).id, query);
  }

  @Route({ method: 'GET', path: ':namespace/:name/teams', summary: 'List the levels of teams on a repository', operation: 'repository:view', scope, params, response: listOf(teamLevel) })
  async levels(@In() { ctx, params: place }: Input<Params>): Promise<unknown> {
    const repository = await this.find(ctx, place);
    return { items: await this.grants.listLevels(ctx, { repositoryId: repository.id, name: repository.path }), next: null };
  }

  @Route({
    method: 'PUT', path: ':namespace/:name/teams/:team', summary: 'Give a team a level on a repository', description: '`read-only` pulls, `read-write` pushes too, `admin` also changes and deletes.',
    operation: 'repository:manage-access', scope, params: teamParams, body: level, response: teamLevel, audit: 'grant.create',
  })
  async putLevel(@In() { ctx, params: { team, ...place }, body }: Input<z.output<typeof teamParams>, unknown, z.output<typeof level>>): Promise<unknown> {
    const repository = await this.find(ctx, place);
    return this.grants.putLevel(ctx, { repositoryId: repository.id, name: repository.path }, repository.accountId, team, body.level);
  }

  @Route({
    method: 'DELETE', path: ':namespace/:name/teams/:team', summary: 'Take a team’s level on a repository back', operation: 'repository:manage-access', scope, params: teamParams, audit: 'grant.delete',
  })
  async deleteLevel(@In() { ctx, params: { team, ...place } }: Input<z.output<typeof teamParams>>): Promise<void> {
    const repository = await this.find(ctx, place);
    await this.grants.deleteLevel(ctx, { repositoryId: repository.id, name: repository.path }, repository.accountId, team);
  }

  private find(ctx: Input['ctx'], place: Params): Promise<Repository> {
    return this.repositories.get(ctx, `${place.namespace}/${place.name}`);
  }
}
