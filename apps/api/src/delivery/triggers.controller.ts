import { Controller, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Triggers } from '@gantry/delivery';
import { Resources } from '../http/resources';
import { idOrName, In, listOf, page, Route, time, type GantryRequest, type Input } from '../http/route';
import { maker } from './shapes';

const params = z.strictObject({ id: z.uuid() });
const filters = page.extend({ application: idOrName.optional() });
const trigger = z.object({
  id: z.string(),
  applicationId: z.string(),
  environmentId: z.string(),
  service: z.string().nullable(),
  repository: z.string().nullable(),
  createdBy: maker,
  createdAt: time,
});
const wanted = z.strictObject({
  application: idOrName,
  environment: idOrName,
  service: z.string().min(1).max(63).optional().describe('only this service; default every service with an image of the repository'),
  repository: z.string().min(3).max(255).optional().describe('only this repository; default every one of the application’s images'),
});

/** Triggers: how CI starts deployments. */
@Controller('api/v1/triggers')
export class TriggersController {
  constructor(@Inject(Triggers) private readonly triggers: Triggers, @Inject(Resources) resources: Resources) {
    resources.register('trigger', (ctx, id) => triggers.findRef(ctx, id));
  }

  @Route({ method: 'GET', summary: 'List triggers, newest first', operation: 'trigger:view', scope: 'each', query: filters, response: listOf(trigger) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof filters>>): Promise<unknown> {
    return this.triggers.list(ctx, query);
  }

  @Route({
    method: 'POST', summary: 'Create a trigger', description: 'The secret is shown this once. Calls go to `url`, signed with it.',
    operation: 'trigger:create', scope: { kind: 'application', field: 'application' }, body: wanted, response: trigger.extend({ secret: z.string(), url: z.string() }), audit: 'trigger.create',
  })
  async create(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof wanted>>): Promise<unknown> {
    const made = await this.triggers.create(ctx, body);
    return { ...made, url: `/hooks/${made.id}` };
  }

  @Route({ method: 'GET', path: ':id', summary: 'Read a trigger', operation: 'trigger:view', scope: { kind: 'trigger', param: 'id' }, params, response: trigger })
  get(@In() { ctx, params: { id } }: Input<z.output<typeof params>>): Promise<unknown> {
    return this.triggers.get(ctx, id);
  }

  @Route({ method: 'DELETE', path: ':id', summary: 'End a trigger', operation: 'trigger:delete', scope: { kind: 'trigger', param: 'id' }, params, audit: 'trigger.delete' })
  async delete(@In() { ctx, params: { id } }: Input<z.output<typeof params>>): Promise<void> {
    await this.triggers.delete(ctx, id);
  }
}

const hookParams = z.strictObject({ trigger: z.string().min(1).max(100) });
/** Read by the library once the signature was found good: `{repository, tag, digest?}`, or Docker Hub's form. */
const hookBody = z.looseObject({}).describe('{"repository": "acme/web", "tag": "1.2", "digest"?: "sha256:…"}, or the body that Docker Hub sends');

/** Where CI calls. */
@Controller('hooks')
export class HooksController {
  constructor(@Inject(Triggers) private readonly triggers: Triggers) {}

  @Route({
    method: 'POST', path: ':trigger', summary: 'Start a deployment by a signed call',
    description: '`X-Hub-Signature-256: sha256=<HMAC-SHA-256 of the body with the trigger’s secret>` and a delivery id in `X-GitHub-Delivery` or `X-Gantry-Delivery`. The same delivery id starts nothing again for 7 days and answers 200.',
    operation: null, scope: 'signed', params: hookParams, body: hookBody, response: z.object({ deploymentId: z.string() }), status: 202, audit: 'trigger.receive',
  })
  async receive(@In() { ctx, params: { trigger: id }, body, request }: Input<z.output<typeof hookParams>, unknown, z.output<typeof hookBody>>, @Res({ passthrough: true }) reply: FastifyReply): Promise<unknown> {
    const { headers, rawBody } = request as GantryRequest;
    const { deploymentId, repeated } = await this.triggers.receive(ctx, {
      triggerId: id, body, rawBody: rawBody ?? Buffer.alloc(0),
      deliveryId: first(headers['x-github-delivery']) ?? first(headers['x-gantry-delivery']), signature: first(headers['x-hub-signature-256']),
    });
    void reply.header('location', `/api/v1/deployments/${deploymentId}`);
    if (repeated) void reply.status(200);
    return { deploymentId };
  }
}

function first(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
