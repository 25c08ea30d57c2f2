import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Access } from '@gantry/access';
import { requestProblem } from '@gantry/platform';
import { Images } from '@gantry/registry';
import { REASON_CODES, TrustAdmission, trustProblem } from '@gantry/trust';
import { Resources } from '../http/resources';
import { idOrName, In, Route, time, type Input } from '../http/route';
import { digest } from './shapes';

const imageParams = z.strictObject({ namespace: z.string().min(1).max(128), name: z.string().min(1).max(128), digest });
const verdictQuery = z.strictObject({ environment: idOrName });
const reason = z.enum(REASON_CODES);
const finding = z.object({
  ok: z.boolean(),
  format: z.enum(['cosign-sig', 'bundle-v0.3']),
  keyFingerprint: z.string().optional(),
  claims: z.record(z.string(), z.string()).optional(),
  dockerReference: z.string().nullable().optional(),
  reason: reason.optional(),
  detail: z.string().optional(),
  evidence: z.object({ manifestDigest: z.string().nullable(), payloadDigest: z.string().nullable() }),
});
const verdict = z.object({
  repository: z.string(),
  digest: z.string(),
  at: time,
  allowed: z.boolean(),
  mode: z.enum(['off', 'audit', 'enforce']),
  reason: reason.nullable(),
  explanation: z.string(),
  signers: z.array(z.object({ keyId: z.string(), name: z.string(), fingerprint: z.string() })),
  findings: z.array(finding),
  policyId: z.string().nullable(),
  policyVersion: z.number().int().nullable(),
});

/** Whether an image may run somewhere, asked by people. The answer is made anew and not stored; deployments store theirs. */
@Controller('api/v1/images')
export class VerdictsController {
  constructor(
    @Inject(TrustAdmission) private readonly admission: TrustAdmission,
    @Inject(Images) private readonly images: Images,
    @Inject(Access) private readonly access: Access,
    @Inject(Resources) private readonly resources: Resources,
  ) {}

  @Route({
    method: 'GET', path: ':namespace/:name/:digest/verdict', summary: 'May this image run in an environment?',
    description: 'Verifies the image’s signatures now, by the policies that count in `environment` (its own, the repository’s, those of its collections), and says what each candidate turned out to be.',
    operation: 'image:verdict', scope: ({ params }, find) => find('repository', `${params['namespace']}/${params['name']}`), params: imageParams, query: verdictQuery, response: verdict,
  })
  async get(@In() { ctx, params, query }: Input<z.output<typeof imageParams>, z.output<typeof verdictQuery>>): Promise<unknown> {
    const environment = await this.resources.find(ctx, 'environment', query.environment);
    if (environment === null) throw requestProblem('not-found');
    this.access.assertCan(ctx, 'environment:view', environment);
    const repository = `${params.namespace}/${params.name}`;
    if ((await this.images.resolve(ctx, repository, params.digest)) === null) throw trustProblem('image-unknown');
    return this.admission.strictest(ctx, { repository, digest: params.digest, scope: `${environment.kind}:${environment.id}` }, { store: false });
  }
}
