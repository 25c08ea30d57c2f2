import { readFileSync } from 'node:fs';
import type { INestApplicationContext } from '@nestjs/common';
import { Authenticator, ClientCertificates, GatewayCertificate } from '@gantry/access';
import { Clusters, EngineGateway } from '@gantry/clusters';
import { systemContext, type Config, type Logger } from '@gantry/platform';
import { EngineGate } from './gate';
import { makeEngineServer, type EngineServer } from './server';

/** How often is looked whether the gateway's own certificate is due. */
const renewalMillis = 12 * 3_600_000;

/** The engine gateway's listener with the rooms of an application. The caller lets it listen. */
export async function createEngineGateway({ app, config, logger }: { app: INestApplicationContext; config: Config; logger: Logger }): Promise<EngineServer> {
  const certificates = app.get(ClientCertificates);
  const own = app.get(GatewayCertificate);
  const clientCa = await certificates.authority(systemContext('gateway.start'));
  const files = config.tlsCertFile !== null && config.tlsKeyFile !== null ? { cert: readFileSync(config.tlsCertFile), key: readFileSync(config.tlsKeyFile) } : null;
  const gate = new EngineGate({ authenticator: app.get(Authenticator), certificates, clusters: app.get(Clusters), gateway: app.get(EngineGateway) });
  const server = makeEngineServer(gate, { ...(files ?? (await own.current())), clientCa }, logger, { engineMillis: config.engineTimeoutSeconds * 1000 });
  if (files) return server;
  // Ours lasts 90 days, which a process may outlive.
  const renewal = setInterval(() => {
    own.current().then(
      (current) => server.useCertificate({ ...current, clientCa }),
      (error: unknown) => logger.error({ err: error }, 'the gateway’s certificate could not be renewed; the former one goes on'),
    );
  }, renewalMillis);
  renewal.unref();
  server.once('close', () => clearInterval(renewal));
  return server;
}
