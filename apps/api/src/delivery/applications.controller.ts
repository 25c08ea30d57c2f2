import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Applications } from '@gantry/delivery';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, page, Route, time, type Input } from '../http/route';
import { maker, notice } from './shapes';

const params = z.strictObject({ app: idOrName });
const revisionParams = z.strictObject({ app: idOrName, revision: z.string().regex(/^(?:[1-9]\d{0,8}|[0-9a-f-]{36})$/, 'a number or an id') });
const secretParams = z.strictObject({ app: idOrName, name: z.string().min(1).max(128) });
const onApplication = { kind: 'application', param: 'app' } as const;

const autoRedeploy = z
  .strictObject({ environment: idOrName, repository: z.string().min(3).max(255), tag: z.string().min(1).max(128) })
  .nullable()
  .describe('a push of `repository` with a tag that matches `tag` (exact, or with *) is deployed to `environment`');
const compose = z.string().min(1).max(1024 * 1024).describe('the Compose file as text');

const application = z.object({
  id: z.string(),
  name: z.string(),
  accountId: z.string(),
  autoRedeploy: z.object({ environmentId: z.string(), repository: z.string(), tag: z.string() }).nullable(),
  version: z.number().int(),
  createdAt: time,
});
const revision = z.object({ id: z.string(), number: z.number().int(), warnings: z.array(notice), createdBy: maker, createdAt: time });
const secret = z.object({ name: z.string(), environmentId: z.string(), number: z.number().int(), updatedAt: time });

const wanted = z.strictObject({ name: z.string().min(1).max(63), account: idOrName, compose: compose.optional(), autoRedeploy: autoRedeploy.optional() });
const changes = z.strictObject({ autoRedeploy });
const wantedRevision = z.strictObject({ compose });
const wantedSecret = z.strictObject({ environment: idOrName, value: z.string().min(1).max(512_000) });

/** Applications, the revisions of their Compose files, and their secrets. */
@Controller('api/v1/applications')
export class ApplicationsController {
  constructor(@Inject(Applications) private readonly applications: Applications, @Inject(Resources) resources: Resources) {
    resources.register('application', (ctx, idOrName) => applications.findRef(ctx, idOrName));
  }

  @Route({ method: 'GET', summary: 'List applications', operation: 'application:view', scope: 'each', query: page, response: listOf(application) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): Promise<unknown> {
    return this.applications.list(ctx, query);
  }

  @Route({
    method: 'POST', summary: 'Create an application', description: 'With `compose`, its first revision is made too.',
    operation: 'application:create', scope: { kind: 'account', field: 'account' }, body: wanted, response: application, audit: 'application.create',
  })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof wanted>>): Promise<unknown> {
    return this.applications.create(ctx, body);
  }

  @Route({ method: 'GET', path: ':app', summary: 'Read an application', operation: 'application:view', scope: onApplication, params, response: application })
  get(@In() { ctx, params: { app } }: Input<z.output<typeof params>>): Promise<unknown> {
    return this.applications.get(ctx, app);
  }

  @Route({
    method: 'PATCH', path: ':app', summary: 'Change an application’s settings', operation: 'application:update', scope: onApplication, params,
    body: changes, response: application, audit: 'application.update', ifMatch: true,
  })
  update(@In() { ctx, params: { app }, body, version }: Input<z.output<typeof params>, unknown, z.output<typeof changes>>): Promise<unknown> {
    return this.applications.update(ctx, app, version, body);
  }

  @Route({ method: 'DELETE', path: ':app', summary: 'Delete an application that was never deployed', operation: 'application:delete', scope: onApplication, params, audit: 'application.delete', ifMatch: true })
  async delete(@In() { ctx, params: { app }, version }: Input<z.output<typeof params>>): Promise<void> {
    await this.applications.delete(ctx, app, version);
  }

  @Route({ method: 'GET', path: ':app/revisions', summary: 'List revisions, newest first', operation: 'application:view', scope: onApplication, params, query: page, response: listOf(revision) })
  revisions(@In() { ctx, params: { app }, query }: Input<z.output<typeof params>, z.output<typeof page>>): Promise<unknown> {
    return this.applications.revisions(ctx, app, query);
  }

  @Route({
    method: 'POST', path: ':app/revisions', summary: 'Add a revision of the Compose file',
    description: 'The file is checked; `warnings` names what has no effect on Swarm. Variables come from the environment at deployment, and GANTRY_REGISTRY, GANTRY_APPLICATION and GANTRY_ENVIRONMENT from Gantry.',
    operation: 'application:update', scope: onApplication, params, body: wantedRevision, response: revision, audit: 'application.revise',
  })
  revise(@In() { ctx, params: { app }, body }: Input<z.output<typeof params>, unknown, z.output<typeof wantedRevision>>): Promise<unknown> {
    return this.applications.createRevision(ctx, app, body.compose);
  }

  @Route({
    method: 'GET', path: ':app/revisions/:revision', summary: 'Read a revision with its Compose file', operation: 'application:view', scope: onApplication,
    params: revisionParams, response: revision.extend({ compose: z.string() }),
  })
  async revision(@In() { ctx, params: { app, revision: key } }: Input<z.output<typeof revisionParams>>): Promise<unknown> {
    return this.applications.revision(ctx, await this.applications.get(ctx, app), key);
  }

  @Route({ method: 'GET', path: ':app/secrets', summary: 'List the names of secrets that have values', operation: 'application:view', scope: onApplication, params, response: listOf(secret) })
  async secrets(@In() { ctx, params: { app } }: Input<z.output<typeof params>>): Promise<unknown> {
    return { items: await this.applications.secrets(ctx, app), next: null };
  }

  @Route({
    method: 'PUT', path: ':app/secrets/:name', summary: 'Give a secret a new value for one environment',
    description: 'The value is sealed and never shown. It takes effect with the next deployment; a rollback returns to the value that its release had.',
    operation: 'application:update', scope: onApplication, params: secretParams, body: wantedSecret, response: secret, audit: 'application.set-secret',
  })
  setSecret(@In() { ctx, params: { app, name }, body }: Input<z.output<typeof secretParams>, unknown, z.output<typeof wantedSecret>>): Promise<unknown> {
    return this.applications.setSecret(ctx, app, name, body);
  }
}
