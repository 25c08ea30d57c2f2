import { readFileSync } from 'node:fs';
import type { INestApplicationContext } from '@nestjs/common';
import { Authenticator, ClientCertificates, GatewayCertificate } from '@gantry/access';
import { Clusters, EngineGateway } from '@gantry/clusters';
import { systemContext, type Config, type Logger } from '@gantry/platform';
import { EngineGate } from './gate';
import { makeEngineServer, type EngineServer } from './server';

/** The engine gateway's listener with the rooms of an application. The caller lets it listen. */
export async function createEngineGateway({ app, config, logger }: { app: INestApplicationContext; config: Config; logger: Logger }): Promise<EngineServer> {
  const certificates = app.get(ClientCertificates);
  const ctx = systemContext('gateway.start');
  const own = config.tlsCertFile !== null && config.tlsKeyFile !== null ? { cert: readFileSync(config.tlsCertFile), key: readFileSync(config.tlsKeyFile) } : await app.get(GatewayCertificate).current();
  const gate = new EngineGate({ authenticator: app.get(Authenticator), certificates, clusters: app.get(Clusters), gateway: app.get(EngineGateway) });
  return makeEngineServer(gate, { cert: own.cert, key: own.key, clientCa: await certificates.authority(ctx) }, logger, { engineMillis: config.engineTimeoutSeconds * 1000 });
}
