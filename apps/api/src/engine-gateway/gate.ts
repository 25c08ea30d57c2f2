import type { IncomingHttpHeaders } from 'node:http';
import type { Authenticator, ClientCertificates } from '@gantry/access';
import type { Clusters, EngineGateway, EngineMatch, Passage, RawEngine } from '@gantry/clusters';
import { anonymous, makeContext, type Actor, type Context } from '@gantry/platform';
import type { Gate, Seen } from './server';

/** The gateway's listener asks here: who is it, and what may go on to which engine. */
export class EngineGate implements Gate {
  /** How to ask again whether the credential of a request is still good. */
  private readonly again = new WeakMap<Context, () => Promise<boolean>>();

  constructor(
    private readonly rooms: { authenticator: Authenticator; certificates: ClientCertificates; clusters: Clusters; gateway: EngineGateway },
  ) {}

  /** By the token, where one is sent, and by the client certificate otherwise; null: by neither. A bad token is not made good by a certificate. */
  async identify(seen: Seen): Promise<Context | null> {
    const base = makeContext(anonymous, { address: seen.address });
    const prove = (): Promise<Actor | null> => this.prove(base, seen);
    const actor = await prove();
    if (!actor) return null;
    const ctx = { ...base, actor };
    this.again.set(ctx, async () => (await prove()) !== null);
    return ctx;
  }

  private async prove(ctx: Context, { authorization, certificate }: Seen): Promise<Actor | null> {
    if (authorization !== undefined) {
      const token = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(authorization)?.[1];
      return token === undefined ? null : this.rooms.authenticator.bearer(ctx, token);
    }
    return certificate ? this.rooms.authenticator.certificate(ctx, certificate) : null;
  }

  /** @throws what `EngineGateway.chooseCluster` and `EngineGateway.decide` throw */
  async decide(ctx: Context, match: EngineMatch, request: { headers: IncomingHttpHeaders; cluster: string | undefined; body: Buffer }): Promise<{ engine: RawEngine; passage: Passage }> {
    const { gateway, clusters, certificates } = this.rooms;
    const wanted = request.cluster ?? certificates.clusterOf(ctx.actor.credentialId);
    const cluster = await gateway.chooseCluster(ctx, wanted);
    const auth = request.headers['x-registry-auth'];
    const config = request.headers['x-registry-config'];
    const session = String(request.headers['x-docker-expose-session-uuid'] ?? '');
    const passage = await gateway.decide(ctx, cluster, {
      match, body: request.body, session, registryAuth: typeof auth === 'string' ? auth : undefined, registryConfig: typeof config === 'string' ? config : undefined,
    });
    const isKnown = this.again.get(ctx) ?? (async () => false);
    const { stillAllowed } = passage;
    return { engine: clusters.raw(cluster), passage: { ...passage, stillAllowed: async () => (await isKnown()) && stillAllowed() } };
  }
}
