import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Findings, findingKinds, findingStates } from '@gantry/clusters';
import { idOrName, In, listOf, page, Route, time, type Input } from '../http/route';

const states = findingStates.filter((state) => state !== 'seen');
const finding = z.object({
  id: z.string(),
  kind: z.enum(findingKinds),
  reason: z.enum(['unknown', 'image-refused']).describe('`unknown`: nobody made it through Gantry; `image-refused`: it is somebody’s, and the policies in force refuse its image'),
  engineId: z.string(),
  nodeId: z.string().describe('empty for what is the swarm’s'),
  name: z.string(),
  image: z.string(),
  detail: z.string(),
  state: z.enum(states),
  note: z.string(),
  done: z.string().describe('what was done to it'),
  fault: z.string().describe('why what was to be done could not be'),
  firstSeen: time,
  lastSeen: time.describe('to five minutes'),
  changedAt: time,
});
const params = z.strictObject({ cluster: idOrName });
const oneParams = z.strictObject({ cluster: idOrName, finding: z.uuid() });
const filters = page.extend({
  state: z.enum(states).optional(), kind: z.enum(findingKinds).optional(), reason: z.enum(['unknown', 'image-refused']).optional(), text: z.string().min(1).max(300).optional().describe('a part of the name, the image or the engine’s id'),
});
const acknowledgement = z.strictObject({ note: z.string().max(2_000).default('') });
const adoption = z.strictObject({ collection: idOrName.describe('id or path') });
const scope = { kind: 'cluster', param: 'cluster' } as const;

type One<B = undefined> = Input<z.output<typeof oneParams>, unknown, B>;

/** What is on clusters without Gantry having made it. */
@Controller('api/v1/clusters')
export class FindingsController {
  constructor(@Inject(Findings) private readonly findings: Findings) {}

  @Route({
    method: 'GET', path: ':cluster/findings', summary: 'List what a cluster has without Gantry', description: 'Newest first. What was there when the cluster was first watched is `baseline`. `PATCH` the cluster’s `watch` to have what appears quarantined.',
    operation: 'cluster:view-findings', scope, params, query: filters, response: listOf(finding),
  })
  list(@In() { ctx, params: { cluster }, query }: Input<z.output<typeof params>, z.output<typeof filters>>): Promise<unknown> {
    return this.findings.list(ctx, cluster, query);
  }

  @Route({ method: 'GET', path: ':cluster/findings/:finding', summary: 'Get a finding', operation: 'cluster:view-findings', scope, params: oneParams, response: finding })
  get(@In() { ctx, params: { cluster, finding: id } }: One): Promise<unknown> {
    return this.findings.get(ctx, cluster, id);
  }

  @Route({
    method: 'POST', path: ':cluster/findings/:finding/acknowledge', summary: 'Say that a finding is known', description: 'It stays listed, is no alarm, and is never stopped. What is quarantined is released instead.',
    operation: 'cluster:manage-findings', scope, params: oneParams, body: acknowledgement, response: finding, status: 200, audit: 'cluster.finding.acknowledge',
  })
  acknowledge(@In() { ctx, params: { cluster, finding: id }, body }: One<z.output<typeof acknowledgement>>): Promise<unknown> {
    return this.findings.acknowledge(ctx, cluster, id, body.note);
  }

  @Route({
    method: 'POST', path: ':cluster/findings/:finding/release', summary: 'Let go what is quarantined', description: 'A worker brings it back to how it was: replicas, restart policy, running or not. It is `releasing` until then, and `acknowledged` after.',
    operation: 'cluster:manage-findings', scope, params: oneParams, response: finding, status: 202, audit: 'cluster.finding.release',
  })
  release(@In() { ctx, params: { cluster, finding: id } }: One): Promise<unknown> {
    return this.findings.release(ctx, cluster, id);
  }

  @Route({
    method: 'POST', path: ':cluster/brake/release', summary: 'Go on with the quarantine', description: 'Where so much was unknown at once that nothing was stopped (`watchBrakedAt`): what has been found until now may be stopped. Acknowledge, or adopt, first what is to go on.',
    operation: 'cluster:manage-findings', scope, params, response: z.object({ stopping: z.number().int().describe('how many things are flagged and will be stopped') }), status: 202, audit: 'cluster.brake.release',
  })
  releaseBrake(@In() { ctx, params: { cluster } }: Input<z.output<typeof params>>): Promise<unknown> {
    return this.findings.releaseBrake(ctx, cluster);
  }

  @Route({
    method: 'POST', path: ':cluster/findings/:finding/adopt', summary: 'Give a finding to a collection', description: 'It belongs to the collection from then on, as if it had been made through the gateway. Needs `<kind>:create` there. Nothing is changed on the engine.',
    operation: 'cluster:manage-findings', scope, params: oneParams, body: adoption, response: finding, status: 200, audit: 'cluster.finding.adopt',
  })
  adopt(@In() { ctx, params: { cluster, finding: id }, body }: One<z.output<typeof adoption>>): Promise<unknown> {
    return this.findings.adopt(ctx, cluster, id, body.collection);
  }
}
