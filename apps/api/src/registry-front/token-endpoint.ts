import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticator } from '@gantry/access';
import { anonymous, makeContext, type Actor, type Context, type Logger } from '@gantry/platform';
import { parseScopes, tokenService, type RegistryTokens } from '@gantry/registry';
import { requestId } from '../http/auth.guard';
import type { ClientView } from './client';
import { sendErrors, sendJson, sendProblem, type OciError } from './oci';

/** Path of the token service, on the registry's and on the API's listener. */
export const tokenPath = '/auth/token';

const maxFormBytes = 32 * 1024;
const formMillis = 10_000;

/** What the token service needs. */
export interface TokenDeps {
  tokens: RegistryTokens;
  authenticator: Authenticator;
  client: ClientView;
  logger: Logger;
}

/**
 * The token service of the Docker registry protocol on bare HTTP, since it is asked before every pull and push: `GET` with Basic credentials,
 * and the OAuth 2 form `POST` with `grant_type=password`. There are no refresh tokens: a client would keep one instead of the password, beyond
 * the password's end. Nobody anonymous gets a token.
 */
export async function handleToken(deps: TokenDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const id = requestId(request);
  const call: Call = { ...deps, request, response, headers: { 'x-request-id': id, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } };
  try {
    const base = makeContext(anonymous, { requestId: id, address: deps.client.address(request) });
    if (request.method === 'GET') await answerGet(call, base);
    else if (request.method === 'POST') await answerPost(call, base);
    else refuse(call, 405, { code: 'UNSUPPORTED', message: 'the operation is unsupported' }, { allow: 'GET, POST' });
  } catch (error) {
    if (!response.headersSent) for (const [name, value] of Object.entries(call.headers)) response.setHeader(name, value);
    sendProblem(response, error, deps.logger, id);
  }
}

/** One request with what it is answered with. The headers go out with the head, at once: set one by one, they would be a tenth of a token's cost. */
interface Call extends TokenDeps {
  request: IncomingMessage;
  response: ServerResponse;
  headers: Record<string, string>;
}

function answer(call: Call, status: number, body: unknown): void {
  sendJson(call.response, status, body, call.headers);
}

function refuse(call: Call, status: number, error: OciError, headers: Record<string, string> = {}): void {
  sendErrors(call.response, status, [error], { ...call.headers, ...headers });
}

async function answerGet(call: Call, base: Context): Promise<void> {
  const url = call.request.url ?? '';
  const query = new URLSearchParams(url.includes('?') ? url.slice(url.indexOf('?') + 1) : '');
  if (!isForUs(query, call)) return;
  const scopes = parseScopes(query.getAll('scope'));
  if (!scopes) {
    refuse(call, 400, { code: 'UNSUPPORTED', message: 'a scope is not of the form type:name:action,action, or there are more than 50', detail: { pointer: 'query/scope' } });
    return;
  }
  const credentials = readBasic(call.request.headers.authorization);
  const actor = credentials && (await call.authenticator.basic(base, credentials.username, credentials.password));
  if (!actor) {
    refuseCredentials(call);
    return;
  }
  const { token, expiresIn, issuedAt } = await call.tokens.mint({ ...base, actor }, { scopes });
  answer(call, 200, { token, access_token: token, expires_in: expiresIn, issued_at: issuedAt.toISOString() });
}

async function answerPost(call: Call, base: Context): Promise<void> {
  const { request } = call;
  if (!/^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '')) {
    call.headers['connection'] = 'close';
    refuse(call, 415, { code: 'UNSUPPORTED', message: 'send a form (application/x-www-form-urlencoded)' });
    return;
  }
  const body = await readBody(request, maxFormBytes, formMillis);
  if (!body) {
    call.headers['connection'] = 'close';
    refuse(call, 413, { code: 'SIZE_INVALID', message: 'the form is too large' });
    return;
  }
  const form = new URLSearchParams(body.toString());
  if (!isForUs(form, call)) return;
  if (form.get('grant_type') !== 'password') {
    // RFC 6749 §5.2; clients fall back to GET with Basic on any 4xx.
    answer(call, 400, { error: 'unsupported_grant_type', errors: [{ code: 'UNSUPPORTED', message: 'only grant_type=password is supported' }] });
    return;
  }
  const scopes = parseScopes(form.getAll('scope'));
  if (!scopes) {
    answer(call, 400, { error: 'invalid_scope', errors: [{ code: 'UNSUPPORTED', message: 'a scope is not of the form type:name:action,action' }] });
    return;
  }
  const actor: Actor | null = await call.authenticator.basic(base, form.get('username') ?? '', form.get('password') ?? '');
  if (!actor) {
    refuseCredentials(call);
    return;
  }
  const { token, expiresIn, issuedAt } = await call.tokens.mint({ ...base, actor }, { scopes });
  answer(call, 200, { access_token: token, token, token_type: 'Bearer', expires_in: expiresIn, issued_at: issuedAt.toISOString(), scope: scopes.map((scope) => `${scope.type}:${scope.name}:${scope.actions.join(',')}`).join(' ') });
}

function isForUs(parameters: URLSearchParams, call: Call): boolean {
  const service = parameters.get('service');
  if (service === null || service === tokenService) return true;
  refuse(call, 400, { code: 'UNSUPPORTED', message: `this is the token service of ${tokenService}`, detail: { pointer: 'query/service' } });
  return false;
}

function refuseCredentials(call: Call): void {
  refuse(call, 401, { code: 'UNAUTHORIZED', message: 'incorrect username or password' }, { 'www-authenticate': 'Basic realm="gantry"' });
}

/** User name and password of a Basic header (RFC 7617, UTF-8); null when it is not one. */
export function readBasic(header: string | undefined): { username: string; password: string } | null {
  const encoded = /^Basic ([A-Za-z0-9+/=]{1,4096})$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  return colon < 1 ? null : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** The whole body; null when it is longer than `maxBytes`. Rejects when the client breaks off or takes longer than `withinMillis`. */
export function readBody(request: IncomingMessage, maxBytes: number, withinMillis: number): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const timer = setTimeout(() => {
      reject(new Error('the body did not come in time'));
      request.destroy();
    }, withinMillis);
    const done = (): void => clearTimeout(timer);
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxBytes) chunks.push(chunk);
      else {
        done();
        request.pause();
        resolve(null);
      }
    });
    request.once('end', () => {
      done();
      resolve(Buffer.concat(chunks));
    });
    request.once('error', (error) => {
      done();
      reject(error);
    });
    request.once('close', () => {
      done();
      if (!request.complete) reject(new Error('the client broke off'));
    });
  });
}
