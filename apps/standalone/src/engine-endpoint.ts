import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Endpoint } from '@gantry/clusters';
import type { EngineEndpoint } from './engine-api';
import { StartError } from './start-error';

/** The engine of DOCKER_HOST or of our own in the words of the clusters room. @throws StartError for plain TCP, which anybody on the network could use */
export function engineEndpoint(endpoint: EngineEndpoint): Endpoint {
  if (endpoint.host.startsWith('unix://')) return { kind: 'socket', path: endpoint.host.slice('unix://'.length) };
  const url = new URL(endpoint.host);
  if (endpoint.certPath === undefined) throw new StartError(`${endpoint.host} is reached without TLS; set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH to a folder with ca.pem, cert.pem and key.pem`);
  const read = (name: string): string => readFileSync(join(endpoint.certPath ?? '', name), 'utf8');
  return { kind: 'tls', host: url.hostname, port: Number(url.port || 2376), ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') };
}
