import type { ServerResponse } from 'node:http';
import { Problem, type Logger } from '@gantry/platform';

/** One error as registries write it. */
export interface OciError {
  code: string;
  message: string;
  detail?: unknown;
}

const codes: Record<string, string> = {
  'registry.manifest-invalid': 'MANIFEST_INVALID',
  'registry.digest-invalid': 'DIGEST_INVALID',
  'registry.tag-immutable': 'TAG_INVALID',
  'registry.name-invalid': 'NAME_INVALID',
  'registry.namespace-unknown': 'NAME_UNKNOWN',
  'registry.digest-in-use': 'DENIED',
  'registry.backend-unavailable': 'UNAVAILABLE',
  'request.too-large': 'SIZE_INVALID',
  'request.not-found': 'MANIFEST_UNKNOWN',
};
const codesByKind: Partial<Record<Problem['kind'], string>> = { unauthenticated: 'UNAUTHORIZED', forbidden: 'DENIED', 'not-found': 'NAME_UNKNOWN', 'rate-limited': 'TOOMANYREQUESTS', unavailable: 'UNAVAILABLE' };

/** Answers with a JSON body. */
export function sendJson(response: ServerResponse, status: number, body: unknown, headers: Record<string, string | number> = {}): void {
  // As text: Node then sends head and body in one write.
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers });
  response.end(response.req.method === 'HEAD' ? undefined : text);
}

/** Answers with OCI errors. */
export function sendErrors(response: ServerResponse, status: number, errors: OciError[], headers: Record<string, string | number> = {}): void {
  sendJson(response, status, { errors }, headers);
}

/** The OCI face of anything thrown: problems in their own words, all else as an internal error that is logged here and nowhere else. */
export function sendProblem(response: ServerResponse, error: unknown, logger: Logger, requestId: string): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  if (error instanceof Problem && error.kind !== 'internal') {
    if (error.code === 'registry.backend-unavailable') logger.warn({ err: error.cause, requestId }, 'the registry’s storage does not answer as it should');
    const code = codes[error.code] ?? codesByKind[error.kind] ?? 'UNSUPPORTED';
    sendErrors(response, error.status, [{ code, message: error.detail, detail: { code: error.code } }], error.headers);
    return;
  }
  logger.error({ err: error, requestId, method: response.req.method, path: response.req.url?.split('?')[0] }, 'a registry request failed');
  sendErrors(response, 500, [{ code: 'UNKNOWN', message: 'unknown error', detail: { requestId } }]);
}
