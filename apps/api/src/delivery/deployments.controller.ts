import { Controller, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Access, Authenticator, type ResourceRef } from '@gantry/access';
import { Deployments, Plans } from '@gantry/delivery';
import { decodeCursor, encodeCursor, requestProblem } from '@gantry/platform';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, page, Route, type FindResource, type Input, type RouteInput } from '../http/route';
import { stillAllowed } from '../http/still-allowed';
import { streamEvents, wantsEvents } from '../http/sse';
import { deployment, event, images, plan, release, revisionKey, step } from './shapes';

const byId = z.strictObject({ id: z.uuid() });
const filters = page.extend({ application: idOrName.optional(), environment: idOrName.optional() });
const releaseFilters = page.extend({ application: idOrName.optional() });
const eventPage = z.strictObject({ limit: z.coerce.number().int().min(1).max(1000).default(200), cursor: z.string().max(512).optional() });
const wantedPlan = z.strictObject({ application: idOrName, environment: idOrName, revision: revisionKey.optional(), images: images.optional() });
const wantedDeployment = z.union([z.strictObject({ planId: z.uuid() }), wantedPlan]).describe('a plan, or what to plan and deploy at once');
const onDeployment = { kind: 'deployment', param: 'id' } as const;

/** The application in the body, or that of the plan in the body. */
async function wishedApplication({ body }: RouteInput, find: FindResource): Promise<ResourceRef | null> {
  const wish = body as z.output<typeof wantedDeployment>;
  return 'planId' in wish ? find('plan', wish.planId) : find('application', wish.application);
}

/** Releases: revisions with every image pinned. */
@Controller('api/v1/releases')
export class ReleasesController {
  constructor(@Inject(Deployments) private readonly deployments: Deployments, @Inject(Resources) resources: Resources) {
    resources.register('release', (ctx, id) => deployments.findReleaseRef(ctx, id));
  }

  @Route({ method: 'GET', summary: 'List releases, newest first', operation: 'release:view', scope: 'each', query: releaseFilters, response: listOf(release) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof releaseFilters>>): Promise<unknown> {
    return this.deployments.releases(ctx, query);
  }

  @Route({ method: 'GET', path: ':id', summary: 'Read a release', operation: 'release:view', scope: { kind: 'release', param: 'id' }, params: byId, response: release })
  get(@In() { ctx, params: { id } }: Input<z.output<typeof byId>>): Promise<unknown> {
    return this.deployments.release(ctx, id);
  }
}

/** Plans: what deploying would change, with the verdict on each image. */
@Controller('api/v1/plans')
export class PlansController {
  constructor(@Inject(Plans) private readonly plans: Plans, @Inject(Resources) resources: Resources) {
    resources.register('plan', (ctx, id) => plans.findRef(ctx, id));
  }

  @Route({
    method: 'POST', summary: 'Plan a deployment', description: 'Good for an hour, and only as long as nothing else is deployed. A plan that the signature policy refuses has `allowed: false` and says why in `verdicts`.',
    operation: 'plan:create', scope: wishedApplication, body: wantedPlan, response: plan, audit: 'plan.create',
  })
  create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof wantedPlan>>): Promise<unknown> {
    return this.plans.create(ctx, body);
  }

  @Route({ method: 'GET', path: ':id', summary: 'Read a plan', operation: 'plan:view', scope: { kind: 'plan', param: 'id' }, params: byId, response: plan })
  get(@In() { ctx, params: { id } }: Input<z.output<typeof byId>>): Promise<unknown> {
    return this.plans.get(ctx, id);
  }
}

/** Deployments: started here, done by workers, followed by events. */
@Controller('api/v1/deployments')
export class DeploymentsController {
  constructor(
    @Inject(Deployments) private readonly deployments: Deployments,
    @Inject(Access) readonly access: Access,
    @Inject(Authenticator) readonly authenticator: Authenticator,
    @Inject(Resources) resources: Resources,
  ) {
    resources.register('deployment', (ctx, id) => deployments.findRef(ctx, id));
  }

  @Route({ method: 'GET', summary: 'List deployments, newest first', operation: 'deployment:view', scope: 'each', query: filters, response: listOf(deployment) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof filters>>): Promise<unknown> {
    return this.deployments.list(ctx, query);
  }

  @Route({
    method: 'POST', summary: 'Deploy', description: 'Answers 202 as soon as the wish is recorded. What the signature policy refuses is 422 `delivery.image-refused`, and nothing is started.',
    operation: 'deployment:create', scope: wishedApplication, body: wantedDeployment, response: deployment, status: 202, audit: 'deployment.create',
  })
  async create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof wantedDeployment>>, @Res({ passthrough: true }) reply: FastifyReply): Promise<unknown> {
    return located(reply, await this.deployments.create(ctx, body));
  }

  @Route({ method: 'GET', path: ':id', summary: 'Read a deployment with its steps', operation: 'deployment:view', scope: onDeployment, params: byId, response: deployment.extend({ steps: z.array(step) }) })
  async get(@In() { ctx, params: { id } }: Input<z.output<typeof byId>>): Promise<unknown> {
    const found = await this.deployments.get(ctx, id);
    return { ...found, steps: await this.deployments.steps(ctx, id) };
  }

  @Route({
    method: 'GET', path: ':id/events', summary: 'Follow a deployment', description: 'With `Accept: text/event-stream` a stream that ends with the deployment and goes on after `Last-Event-ID`; else a page.',
    operation: 'deployment:view', scope: onDeployment, params: byId, query: eventPage, response: listOf(event), streams: true,
  })
  async events(@In() { ctx, params: { id }, query, request }: Input<z.output<typeof byId>, z.output<typeof eventPage>>, @Res({ passthrough: true }) reply: FastifyReply): Promise<unknown> {
    if (!wantsEvents(request)) {
      const { events } = await this.deployments.events(ctx, id, decodeCursor(query.cursor, 1)?.[0] ?? null, query.limit + 1);
      const items = events.slice(0, query.limit);
      const last = items[items.length - 1];
      return { items, next: events.length > query.limit && last ? encodeCursor([last.id]) : null };
    }
    const ref = await this.deployments.findRef(ctx, id);
    if (!ref) throw requestProblem('not-found');
    await streamEvents(request, reply, {
      read: async (after) => {
        const { events, done } = await this.deployments.events(ctx, id, after, 200);
        return { events: events.map(({ id: eventId, at, type, data }) => ({ id: eventId, event: type, data: { at, ...data } })), done };
      },
      wake: (callback) => this.deployments.follow(id, callback),
      // Asked again each time, so that a session that ends or a right that is lost ends the stream.
      allowed: stillAllowed(this, request, ctx, 'deployment:view', ref),
    });
    return undefined;
  }

  @Route({
    method: 'POST', path: ':id/cancel', summary: 'Cancel a deployment', description: 'What waits is dropped; what runs returns to the previous release.',
    operation: 'deployment:cancel', scope: onDeployment, params: byId, response: deployment, status: 202, audit: 'deployment.cancel',
  })
  cancel(@In() { ctx, params: { id } }: Input<z.output<typeof byId>>): Promise<unknown> {
    return this.deployments.cancel(ctx, id);
  }

  @Route({
    method: 'POST', path: ':id/rollback', summary: 'Return to the release before this deployment', description: 'A new deployment of the previous release with the configs and secrets that it had.',
    operation: 'deployment:rollback', scope: onDeployment, params: byId, response: deployment, status: 202, audit: 'deployment.rollback',
  })
  async rollback(@In() { ctx, params: { id } }: Input<z.output<typeof byId>>, @Res({ passthrough: true }) reply: FastifyReply): Promise<unknown> {
    return located(reply, await this.deployments.rollback(ctx, id));
  }
}

function located<T extends { id: string }>(reply: FastifyReply, made: T): T {
  void reply.header('location', `/api/v1/deployments/${made.id}`);
  return made;
}
