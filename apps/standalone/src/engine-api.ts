import { readFileSync } from 'node:fs';
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { errnoOf } from './proc';
import { StartError } from './start-error';

/** How an engine is reached. */
export interface EngineEndpoint {
  /** As in DOCKER_HOST: `unix:///path` or `tcp://host:port`. */
  host: string;
  /** Folder with `ca.pem`, `cert.pem` and `key.pem` (DOCKER_CERT_PATH), for mutual TLS. */
  certPath?: string;
}

/** An engine's answer; `body` is the parsed JSON, or the text where it isn't JSON. */
export interface EngineAnswer {
  status: number;
  body: unknown;
}

/** One call of the Docker Engine API. Rejects with the system's error when the engine can't be reached in time. */
export function callEngine(endpoint: EngineEndpoint, method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown, timeoutMs = 30_000): Promise<EngineAnswer> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const options: RequestOptions = {
    ...place(endpoint),
    method,
    path,
    agent: false,
    headers: { host: 'engine', ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }) },
    signal: AbortSignal.timeout(timeoutMs),
  };
  return new Promise((resolve, reject) => {
    const call = (endpoint.certPath === undefined ? httpRequest : httpsRequest)(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body: parseBody(Buffer.concat(chunks).toString('utf8')) }));
    });
    call.once('error', reject);
    call.end(text);
  });
}

function place(endpoint: EngineEndpoint): RequestOptions & { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  if (endpoint.host.startsWith('unix://')) return { socketPath: endpoint.host.slice('unix://'.length) };
  const url = endpoint.host.startsWith('tcp://') ? URL.parse(endpoint.host.replace(/^tcp:/, 'http:')) : null;
  if (url === null || url.hostname === '') throw new StartError(`DOCKER_HOST=${endpoint.host} isn't understood; use unix:///path or tcp://host:port`);
  const address = { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port || (endpoint.certPath ? '2376' : '2375') };
  const { certPath } = endpoint;
  if (certPath === undefined) return address;
  try {
    return { ...address, ca: readFileSync(join(certPath, 'ca.pem')), cert: readFileSync(join(certPath, 'cert.pem')), key: readFileSync(join(certPath, 'key.pem')) };
  } catch (cause) {
    throw new StartError(`DOCKER_CERT_PATH=${certPath}: ${cause instanceof Error ? cause.message : 'unreadable'}`, { cause });
  }
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text.trim();
    throw error;
  }
}

/** The words of an engine's refusal (`{"message": …}`). */
export function messageOf(answer: EngineAnswer): string {
  const { body } = answer;
  if (typeof body === 'object' && body !== null && 'message' in body && typeof body.message === 'string') return body.message;
  return `status ${answer.status}`;
}

/** What of `GET /info` the start depends on. */
export interface EngineInfo {
  id: string;
  version: string;
  /** `inactive`, `pending`, `active`, `error` or `locked`. */
  swarmState: string;
  isManager: boolean;
}

/** Reads `GET /info`. Throws StartError with the engine's own words when it refuses. */
export async function getEngineInfo(endpoint: EngineEndpoint): Promise<EngineInfo> {
  const answer = await callEngine(endpoint, 'GET', '/info');
  if (answer.status !== 200) throw new StartError(`the engine ${endpoint.host} refuses: ${messageOf(answer)}`);
  const info = answer.body as { ID?: string; ServerVersion?: string; Swarm?: { LocalNodeState?: string; ControlAvailable?: boolean } };
  return {
    id: info.ID ?? '',
    version: info.ServerVersion ?? '',
    swarmState: info.Swarm?.LocalNodeState ?? 'inactive',
    isManager: info.Swarm?.ControlAvailable === true,
  };
}

/** Whether an engine answers there. Null: yes; else the error's code, such as `ENOENT`, `EACCES`, `ECONNREFUSED`. */
export async function probeEngine(endpoint: EngineEndpoint): Promise<string | null> {
  try {
    const { status } = await callEngine(endpoint, 'GET', '/_ping', undefined, 5000);
    return status === 200 ? null : `status ${status}`;
  } catch (error) {
    if (error instanceof StartError) throw error;
    return errnoOf(error) ?? (error instanceof Error ? error.message : 'error');
  }
}
