import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { makeContext, type Context } from '@gantry/platform';
import {
  maxManifestBytes, tokenService, type DistributionClient, type KnownRepository, type RegistryFront, type RegistryRights, type Repositories, type RepositoryAction, type TokenClaims,
} from '@gantry/registry';
import { requestId } from '../http/auth.guard';
import { sendErrors, sendJson, sendProblem } from './oci';
import { relay } from './relay';
import { handleToken, readBody, tokenPath, type TokenDeps } from './token-endpoint';
import { readV2Route, type V2Route } from './v2-route';

/** What the registry's listener needs. */
export interface FrontDeps extends TokenDeps {
  front: RegistryFront;
  rights: RegistryRights;
  repositories: Repositories;
  distribution: DistributionClient;
}

const manifestBodyMillis = 60_000;
/** What a client may still send after an answer that did not wait for its body. */
const lingerMillis = 2_000;
const indexType = 'application/vnd.oci.image.index.v1+json';

interface Visit {
  ctx: Context;
  claims: TokenClaims;
  request: IncomingMessage;
  response: ServerResponse;
}

/**
 * The registry's listener: `/v2`, the token service, and nothing else. Bytes only: who may do what, and what is recorded, is decided in the
 * registry room. Made once per process; `listen` is the caller's.
 */
export function makeRegistryServer(deps: FrontDeps, tls: { cert: Buffer; key: Buffer } | null): Server {
  const options = { maxHeaderSize: 32 * 1024, headersTimeout: 15_000, requestTimeout: 0, keepAliveTimeout: 75_000, connectionsCheckingInterval: 5_000 };
  const handler = (request: IncomingMessage, response: ServerResponse): void => void handle(deps, request, response, false);
  const server: Server = tls ? createSecureServer({ ...options, ...tls, minVersion: 'TLSv1.2' }, handler) : createServer(options, handler);
  // Without this, Node tells a client to send its layer before anybody has looked at its token.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => void handle(deps, request, response, true));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
    else socket.end('HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{"errors":[{"code":"UNSUPPORTED","message":"not an HTTP request that is understood here"}]}');
  });
  return server;
}

async function handle(deps: FrontDeps, request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): Promise<void> {
  const id = requestId(request);
  try {
    endUnreadBodies(request, response);
    const url = request.url ?? '';
    if (url === tokenPath || url.startsWith(`${tokenPath}?`)) {
      if (expectsContinue) response.writeContinue();
      await handleToken(deps, request, response);
      return;
    }
    response.setHeader('x-request-id', id);
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('docker-distribution-api-version', 'registry/2.0');
    const read = readV2Route(request.method ?? '', url);
    if ('refusal' in read) {
      const { status, code, message, allow } = read.refusal;
      sendErrors(response, status, [{ code, message }], allow === undefined ? {} : { allow });
      return;
    }
    const visit = await admit(deps, read.route, request, response, id);
    if (visit) await serve(deps, visit, read.route, () => expectsContinue && response.writeContinue());
  } catch (error) {
    sendProblem(response, error, deps.logger, id);
  }
}

/** A body that nobody will read (the answer is a refusal) is not read to its end: the connection goes, after a moment in which the client can see the answer. */
function endUnreadBodies(request: IncomingMessage, response: ServerResponse): void {
  // A request whose body could not be passed on to the storage has lost it.
  const { socket } = request;
  response.once('finish', () => {
    if (request.complete) return;
    request.resume();
    setTimeout(() => {
      if (!request.complete) socket.destroy();
    }, lingerMillis).unref();
  });
}

/** What the route does to which repository. */
function needs(route: V2Route, method: string): { name: string; action: RepositoryAction } | null {
  if (route.kind === 'ping' || route.kind === 'catalog') return null;
  if (route.kind === 'begin-upload' || route.kind === 'upload') return { name: route.name, action: 'push' };
  return { name: route.name, action: method === 'PUT' ? 'push' : method === 'DELETE' ? 'delete' : 'pull' };
}

/**
 * Lets a request in whose token allows it and whose actor still may; else answers with the challenge, in the same words whether or not the
 * repository exists.
 */
async function admit(deps: FrontDeps, route: V2Route, request: IncomingMessage, response: ServerResponse, id: string): Promise<Visit | null> {
  const need = needs(route, request.method ?? '');
  const scope = need ? `repository:${need.name}:${need.action === 'push' ? 'pull,push' : need.action}` : route.kind === 'catalog' ? 'registry:catalog:*' : null;
  const origin = deps.client.origin(request);
  if (origin === null) {
    sendErrors(response, 400, [{ code: 'UNSUPPORTED', message: 'the Host header is not a host' }]);
    return null;
  }
  const challenge = (error: string | null): null => {
    const parts = [`realm="${origin}${tokenPath}"`, `service="${tokenService}"`, ...(scope === null ? [] : [`scope="${scope}"`]), ...(error === null ? [] : [`error="${error}"`])];
    const denied = error === 'insufficient_scope';
    sendErrors(
      response, 401,
      [denied ? { code: 'DENIED', message: 'requested access to the resource is denied' } : { code: 'UNAUTHORIZED', message: 'authentication required' }],
      { 'www-authenticate': `Bearer ${parts.join(',')}` },
    );
    return null;
  };
  const header = request.headers.authorization;
  const token = /^Bearer ([\w.-]{1,16384})$/i.exec(header ?? '')?.[1];
  const claims = token === undefined ? null : deps.tokens.verify(token);
  if (!claims) return challenge(token === undefined ? null : 'invalid_token');
  const ctx = makeContext(deps.tokens.actor(claims), { requestId: id, address: deps.client.address(request) });
  const visit = { ctx, claims, request, response };
  if (!need) return route.kind === 'ping' || deps.tokens.allowsCatalog(claims) ? visit : challenge('insufficient_scope');
  const may = await deps.rights.may(ctx, need.name, need.action);
  if (may && deps.tokens.allows(claims, need.name, need.action)) return visit;
  // Who may, but shows a token for less, only has to ask for another one.
  if (!may) await deps.front.noteRefusal(ctx, need.name, need.action);
  return challenge('insufficient_scope');
}

async function serve(deps: FrontDeps, visit: Visit, route: V2Route, goOn: () => unknown): Promise<void> {
  const { ctx, request, response } = visit;
  const { method } = request;
  if (route.kind === 'ping') {
    sendJson(response, 200, {});
    return;
  }
  if (route.kind === 'catalog') {
    const { repositories, more } = await deps.front.catalog(ctx, route.page.limit, route.page.last);
    sendJson(response, 200, { repositories }, nextLink(more && repositories[repositories.length - 1], '/v2/_catalog', route.page.limit));
    return;
  }
  const makes = route.kind === 'begin-upload' || (route.kind === 'manifest' && method === 'PUT');
  const repository = makes ? await deps.front.ensureRepository(ctx, route.name) : await deps.repositories.known(ctx, route.name);
  if (!repository) {
    sendErrors(response, 404, [{ code: 'NAME_UNKNOWN', message: 'repository name not known to registry', detail: { name: route.name } }]);
    return;
  }
  switch (route.kind) {
    case 'tags': {
      const { tags, more } = await deps.front.tagNames(ctx, repository.id, route.page.limit, route.page.last);
      sendJson(response, 200, { name: repository.path, tags }, nextLink(more && tags[tags.length - 1], `/v2/${repository.path}/tags/list`, route.page.limit));
      return;
    }
    case 'referrers': {
      const manifests = await deps.front.referrers(ctx, repository.id, route.digest, route.artifactType);
      const filtered: Record<string, string> = route.artifactType === null ? {} : { 'oci-filters-applied': 'artifactType' };
      sendJson(response, 200, { schemaVersion: 2, mediaType: indexType, manifests }, { 'content-type': indexType, ...filtered });
      return;
    }
    case 'manifest':
      if (method === 'PUT') await putManifest(deps, visit, repository, route.reference, goOn);
      else if (method === 'DELETE') {
        await deps.front.deleteReference(ctx, repository, route.reference);
        response.writeHead(202, { 'content-length': 0 }).end();
      } else await getManifest(deps, visit, repository, route.reference);
      return;
    default:
      goOn();
      await relayBlob(deps, visit, repository, route);
  }
}

async function getManifest(deps: FrontDeps, { ctx, request, response }: Visit, repository: KnownRepository, reference: string): Promise<void> {
  const unknown = (): void => sendErrors(response, 404, [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown', detail: { reference } }]);
  const head = request.method === 'HEAD';
  const manifest = head ? await deps.front.resolve(ctx, repository.id, reference) : await deps.front.readManifest(ctx, repository, reference);
  if (!manifest) {
    unknown();
    return;
  }
  const headers = { 'content-type': manifest.mediaType, 'content-length': manifest.sizeBytes, 'docker-content-digest': manifest.digest, etag: `"${manifest.digest}"` };
  if (request.headers['if-none-match'] === `"${manifest.digest}"`) {
    response.writeHead(304, { etag: headers.etag, 'docker-content-digest': manifest.digest }).end();
    return;
  }
  response.writeHead(200, headers);
  response.end('bytes' in manifest ? manifest.bytes : undefined);
}

async function putManifest(deps: FrontDeps, { ctx, request, response }: Visit, repository: KnownRepository, reference: string, goOn: () => unknown): Promise<void> {
  const tooLarge = (): void => sendErrors(response, 413, [{ code: 'SIZE_INVALID', message: `a manifest has at most ${maxManifestBytes} bytes` }], { connection: 'close' });
  if (Number(request.headers['content-length'] ?? 0) > maxManifestBytes) {
    tooLarge();
    return;
  }
  goOn();
  const bytes = await readBody(request, maxManifestBytes, manifestBodyMillis);
  if (!bytes) {
    tooLarge();
    return;
  }
  const outcome = await deps.front.pushManifest(ctx, repository, reference, request.headers['content-type'] ?? '', bytes);
  if (!outcome.pushed) {
    sendErrors(response, outcome.refusal.status, outcome.refusal.errors.length > 0 ? outcome.refusal.errors : [{ code: 'MANIFEST_INVALID', message: 'manifest invalid' }]);
    return;
  }
  response.writeHead(201, {
    location: `/v2/${repository.path}/manifests/${outcome.digest}`,
    'docker-content-digest': outcome.digest,
    'content-length': 0,
    ...(outcome.subjectDigest === null ? {} : { 'oci-subject': outcome.subjectDigest }),
  });
  response.end();
}

async function relayBlob(deps: FrontDeps, visit: Visit, repository: KnownRepository, route: Extract<V2Route, { kind: 'blob' | 'begin-upload' | 'upload' }>): Promise<void> {
  const { ctx, claims, request, response } = visit;
  const { path } = repository;
  const need = needs(route, request.method ?? '')!;
  let target: string;
  let from: string | null = null;
  if (route.kind === 'blob') target = `/v2/${path}/blobs/${route.digest}`;
  else if (route.kind === 'upload') {
    target = `/v2/${path}/blobs/uploads/${route.session}${queryOf({ _state: route.state, digest: route.digest })}`;
  } else {
    // Reading the source is a right of its own; without it this is an ordinary upload.
    if (route.from !== null && deps.tokens.allows(claims, route.from, 'pull') && (await deps.rights.may(ctx, route.from, 'pull'))) from = route.from;
    target = `/v2/${path}/blobs/uploads/${queryOf({ mount: from === null ? null : route.mount, from, digest: route.digest })}`;
  }
  await relay(deps.distribution, request, response, {
    repository: path,
    path: target,
    from,
    ...(route.kind === 'blob' ? { blob: route.digest } : {}),
    allowed: async () => deps.tokens.isLive(claims) && deps.rights.may(ctx, path, need.action),
    ...(route.kind === 'blob' && request.method === 'DELETE'
      ? { onStatus: async (status: number) => (status === 202 ? deps.front.noteBlobDeleted(ctx, repository, route.digest) : undefined) }
      : {}),
  });
}

function queryOf(parameters: Record<string, string | null>): string {
  const given = Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== null);
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

function nextLink(last: string | false | undefined, path: string, limit: number): Record<string, string> {
  return last ? { link: `<${path}?n=${limit}&last=${encodeURIComponent(last)}>; rel="next"` } : {};
}
