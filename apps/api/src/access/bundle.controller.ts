import { Controller, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Access, ClientCertificates, GatewayCertificate, gatewayHost } from '@gantry/access';
import { Clusters, type Cluster } from '@gantry/clusters';
import { Clock, CONFIG, requestProblem, type Config, type Context } from '@gantry/platform';
import { idOrName, In, listOf, page, Route, time, type Input } from '../http/route';
import { bundleZip, contextZip } from './bundle';
import { label, limits } from './shapes';

const bundleQuery = z.strictObject({
  cluster: idOrName.optional().describe('the cluster to which calls go; without it, the caller names one with each call where there are several'),
  format: z.enum(['zip', 'context']).default('zip').describe('`context`: what `docker context import` takes'),
  name: label.min(1).max(63).optional().describe('by which you recognise the certificate in the list'),
});
const certificateParams = z.strictObject({ certificate: z.uuid() });
const userParams = z.strictObject({ user: idOrName });
const userCertificateParams = z.strictObject({ user: idOrName, certificate: z.uuid() });
const certificate = z.object({
  id: z.string(),
  name: z.string(),
  account: z.object({ id: z.string(), name: z.string() }),
  serial: z.string(),
  fingerprint: z.string().describe('SHA-256'),
  limits: limits.nullable(),
  clusterId: z.string().nullable(),
  createdAt: time,
  expiresAt: time,
  lastUsedAt: time.nullable(),
});

/** Client bundles, and the certificates in them, of who is signed in. */
@Controller('api/v1/me')
export class BundleController {
  constructor(
    @Inject(ClientCertificates) private readonly certificates: ClientCertificates,
    @Inject(GatewayCertificate) private readonly gateway: GatewayCertificate,
    @Inject(Clusters) private readonly clusters: Clusters,
    @Inject(Access) private readonly access: Access,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Route({
    method: 'GET', path: 'bundle', summary: 'Get a client bundle for Docker’s clients',
    description: 'Makes a key and a certificate for `GANTRY_CERTIFICATE_DAYS` and answers both, this once: `ca.pem`, `cert.pem`, `key.pem`, `env.sh`, `env.ps1`, `env.cmd`, and `context.zip` for `docker context import`. Through a token, the certificate has the token’s limits and ends with it.',
    operation: 'certificate:manage', scope: 'own', query: bundleQuery, response: z.string(), media: 'application/zip', audit: 'certificate.issue',
  })
  async bundle(@In() { ctx, query }: Input<unknown, z.output<typeof bundleQuery>>, @Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    const cluster = query.cluster === undefined ? null : await this.cluster(ctx, query.cluster);
    // First what may fail, so that no certificate is made that nobody gets.
    const ca = await this.gateway.trusted();
    const issued = await this.certificates.issue(ctx, { name: query.name ?? cluster?.name, clusterId: cluster?.id });
    const { id, account, expiresAt } = issued.certificate;
    const parts = {
      host: gatewayHost(this.config), port: this.config.enginePort, ca, cert: issued.certificatePem, key: issued.keyPem.reveal(), account: account.name, cluster: cluster?.name ?? null,
      certificateId: id, now: this.clock.now(), expiresAt,
    };
    const archive = query.format === 'context' ? contextZip(parts) : bundleZip(parts);
    reply.hijack();
    reply.raw.writeHead(200, {
      'content-type': 'application/zip', 'content-length': archive.length, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer',
      'content-disposition': `attachment; filename="gantry-${query.format === 'context' ? 'context' : 'bundle'}${cluster ? `-${cluster.name}` : ''}.zip"`,
      'x-request-id': ctx.requestId,
    });
    reply.raw.end(archive);
  }

  private async cluster(ctx: Context, idOrName: string): Promise<Cluster> {
    const cluster = await this.clusters.find(ctx, idOrName);
    if (!cluster) throw requestProblem('not-found');
    this.access.assertCan(ctx, 'cluster:view', this.clusters.ref(cluster));
    return cluster;
  }

  @Route({
    method: 'GET', path: 'certificates', summary: 'List your client certificates', description: 'Those that are still good, and your robots’.',
    operation: 'certificate:manage', scope: 'own', query: page, response: listOf(certificate),
  })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): Promise<unknown> {
    return this.certificates.list(ctx, query);
  }

  @Route({ method: 'DELETE', path: 'certificates/:certificate', summary: 'End one of your client certificates', operation: 'certificate:manage', scope: 'own', params: certificateParams, audit: 'certificate.revoke' })
  async revoke(@In() { ctx, params }: Input<z.output<typeof certificateParams>>): Promise<void> {
    await this.certificates.revoke(ctx, params.certificate);
  }
}

/** Client certificates of others, for administrators. */
@Controller('api/v1/users')
export class UserCertificatesController {
  constructor(@Inject(ClientCertificates) private readonly certificates: ClientCertificates) {}

  @Route({
    method: 'GET', path: ':user/certificates', summary: 'List the client certificates of a user or robot', operation: 'account:administer', scope: 'system', params: userParams, query: page,
    response: listOf(certificate),
  })
  list(@In() { ctx, params, query }: Input<z.output<typeof userParams>, z.output<typeof page>>): Promise<unknown> {
    return this.certificates.listFor(ctx, params.user, query);
  }

  @Route({
    method: 'DELETE', path: ':user/certificates/:certificate', summary: 'End a client certificate of a user or robot', operation: 'account:administer', scope: 'system',
    params: userCertificateParams, audit: 'certificate.revoke',
  })
  async revoke(@In() { ctx, params }: Input<z.output<typeof userCertificateParams>>): Promise<void> {
    await this.certificates.revokeFor(ctx, params.user, params.certificate);
  }
}
