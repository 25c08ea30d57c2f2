import type { RequestListener, Server } from 'node:http';
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

/**
 * Serves the token service on the API's listener too, ahead of the framework, whose way to a route would cost a good part of its speed.
 * `app` is asked at the first request.
 */
export function installTokenService(server: Server, options: { app: () => INestApplicationContext; config: Config; logger: Logger }): void {
  let deps: TokenDeps | null = null;
  const others = server.listeners('request') as RequestListener[];
  server.removeAllListeners('request');
  server.on('request', (request, response) => {
    const url = request.url ?? '';
    if (url !== tokenPath && !url.startsWith(`${tokenPath}?`)) {
      for (const other of others) other.call(server, request, response);
      return;
    }
    deps ??= tokenDeps(options.app(), options.config, options.logger);
    void handleToken(deps, request, response);
  });
}
