import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { INestApplicationContext } from '@nestjs/common';
import { Authenticator } from '@gantry/access';
import type { Config, Logger } from '@gantry/platform';
import { DistributionClient, RegistryFront, RegistryRights, RegistryTokens, Repositories } from '@gantry/registry';
import { ClientView } from './client';
import { makeRegistryServer } from './front';
import { handleToken, tokenPath, type TokenDeps } from './token-endpoint';

function tokenDeps(app: INestApplicationContext, config: Config, logger: Logger): TokenDeps {
  return { tokens: app.get(RegistryTokens), authenticator: app.get(Authenticator), client: new ClientView(config.trustedProxies), logger };
}

/** The registry's listener (`/v2` and `/auth/token`) with the rooms of an application; TLS where there is a certificate. The caller lets it listen. */
export function createRegistryFront(options: { app: INestApplicationContext; config: Config; logger: Logger; tls: { cert: Buffer; key: Buffer } | null }): Server {
  const { app, config, logger } = options;
  return makeRegistryServer(
    { ...tokenDeps(app, config, logger), front: app.get(RegistryFront), rights: app.get(RegistryRights), repositories: app.get(Repositories), distribution: app.get(DistributionClient) },
    options.tls,
  );
}

interface HookTarget {
  addHook(name: 'onRequest', hook: (request: { raw: IncomingMessage }, reply: { raw: ServerResponse; hijack: () => void }, done: () => void) => void): unknown;
}

/**
 * Serves the token service on the API's listener too, past Nest's pipeline, which would cost most of its speed. Install it before any other hook:
 * its `scope` parameter may come several times. `app` is asked at the first request.
 */
export function installTokenService(fastify: HookTarget, options: { app: () => INestApplicationContext; config: Config; logger: Logger }): void {
  let deps: TokenDeps | null = null;
  fastify.addHook('onRequest', (request, reply, done) => {
    const url = request.raw.url ?? '';
    if (url !== tokenPath && !url.startsWith(`${tokenPath}?`)) {
      done();
      return;
    }
    reply.hijack();
    deps ??= tokenDeps(options.app(), options.config, options.logger);
    void handleToken(deps, request.raw, reply.raw);
  });
}
