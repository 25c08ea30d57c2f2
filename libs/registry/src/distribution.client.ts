import { request as httpRequest, Agent as HttpAgent, type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { request as httpsRequest, Agent as HttpsAgent } from 'node:https';
import type { OnModuleDestroy } from '@nestjs/common';
import type { Clock } from '@gantry/platform';
import { maxManifestBytes, manifestTypes } from './manifest';
import { registryProblem } from './problems';
import { rawGet, type RawRead, type RawSink } from './raw-get';
import type { TokenSigner } from './token-signer';

/** What the storage answered to a call that failed: an OCI error that is the pusher's own, such as MANIFEST_BLOB_UNKNOWN. */
export interface BackendRefusal {
  status: number;
  errors: { code: string; message: string; detail?: unknown }[];
}

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

const callTimeoutMillis = 30_000;
/** Renewed well before its 300 s are over. */
const tokenUseMillis = 200_000;
const maxTokens = 2_000;

/**
 * The one place that opens sockets to CNCF Distribution. Every request carries a token of our own that names one repository; nothing of a
 * client's credentials ever goes there.
 */
export class DistributionClient implements OnModuleDestroy {
  private readonly base: URL;
  private readonly secure: boolean;
  private readonly kept: HttpAgent;
  private readonly tokens = new Map<string, { token: string; until: number }>();

  constructor(url: string, private readonly signer: TokenSigner, private readonly clock: Clock) {
    this.base = new URL(url);
    this.secure = this.base.protocol === 'https:';
    this.kept = this.secure ? new HttpsAgent({ keepAlive: true, maxFreeSockets: 32 }) : new HttpAgent({ keepAlive: true, maxFreeSockets: 32 });
  }

  /** Closes kept connections. */
  onModuleDestroy(): void {
    this.kept.destroy();
  }

  /**
   * Opens a request on one repository for bytes that stream. `path` begins with `/v2/`. `from` adds the right to read another repository (mount).
   * With a body a connection of its own is used: it could not be sent again, should a kept one turn out to be closed.
   */
  open(call: { method: string; repository: string; path: string; headers?: OutgoingHttpHeaders; from?: string | null; hasBody: boolean }): ClientRequest {
    const send = this.secure ? httpsRequest : httpRequest;
    const token = this.token(call.repository, call.from ?? null);
    return send({
      host: this.base.hostname.replace(/^\[|\]$/g, ''),
      port: this.base.port === '' ? (this.secure ? 443 : 80) : Number(this.base.port),
      method: call.method,
      path: `${this.base.pathname.replace(/\/$/, '')}${call.path}`,
      headers: { ...call.headers, authorization: `Bearer ${token}` },
      agent: call.hasBody ? false : this.kept,
    });
  }

  /**
   * Reads a blob into a sink with large buffers; null where the storage is reached over TLS (use `open`). `range` is the client's Range header.
   */
  openRaw(repository: string, digest: string, range: string | null, sink: RawSink): RawRead | null {
    if (this.secure) return null;
    const lines = [
      `GET ${this.base.pathname.replace(/\/$/, '')}/v2/${repository}/blobs/${digest} HTTP/1.1`, `host: ${this.base.host}`, 'connection: close',
      `authorization: Bearer ${this.token(repository, null)}`, ...(range === null ? [] : [`range: ${range}`]),
    ];
    return rawGet({ host: this.base.hostname.replace(/^\[|\]$/g, ''), port: this.base.port === '' ? 80 : Number(this.base.port) }, lines.join('\r\n'), sink);
  }

  /** The manifest's bytes, or null when the repository has none of this digest there. @throws registry.backend-unavailable */
  async manifest(repository: string, digest: string): Promise<{ mediaType: string; bytes: Buffer } | null> {
    const answer = await this.call(repository, 'GET', `/v2/${repository}/manifests/${digest}`, { accept: manifestTypes.join(', ') }, null, maxManifestBytes);
    if (answer.status === 404) return null;
    if (answer.status !== 200) throw unexpected(answer);
    return { mediaType: String(answer.headers['content-type'] ?? '').split(';')[0]!.trim(), bytes: answer.body };
  }

  /** Whether the storage has the manifest in this repository. */
  async hasManifest(repository: string, digest: string): Promise<boolean> {
    const answer = await this.call(repository, 'HEAD', `/v2/${repository}/manifests/${digest}`, { accept: manifestTypes.join(', ') });
    if (answer.status !== 200 && answer.status !== 404) throw unexpected(answer);
    return answer.status === 200;
  }

  /** Stores a manifest under a tag or its digest. Answers null when it is stored, else why not. @throws registry.backend-unavailable: it may be stored or not */
  async putManifest(repository: string, reference: string, mediaType: string, bytes: Buffer): Promise<BackendRefusal | null> {
    const answer = await this.call(repository, 'PUT', `/v2/${repository}/manifests/${reference}`, { 'content-type': mediaType, 'content-length': bytes.length }, bytes);
    if (answer.status === 201) return null;
    if (answer.status >= 500 || answer.status === 401) throw unexpected(answer);
    return { status: answer.status, errors: errorsOf(answer.body) };
  }

  /** Removes a manifest, and with it the storage's tags of it. Absent is well. */
  async deleteManifest(repository: string, digest: string): Promise<void> {
    await this.remove(repository, `/v2/${repository}/manifests/${digest}`);
  }

  /** Takes a blob out of a repository. Absent is well. */
  async deleteBlob(repository: string, digest: string): Promise<void> {
    await this.remove(repository, `/v2/${repository}/blobs/${digest}`);
  }

  /** A whole blob; null when it is absent or longer than `maxBytes`. */
  async blob(repository: string, digest: string, maxBytes: number): Promise<Buffer | null> {
    const answer = await this.call(repository, 'GET', `/v2/${repository}/blobs/${digest}`, {}, null, maxBytes);
    if (answer.status === 404 || answer.status === 0) return null;
    if (answer.status !== 200) throw unexpected(answer);
    return answer.body;
  }

  /** Stores a blob. */
  async pushBlob(repository: string, digest: string, bytes: Buffer): Promise<void> {
    const known = await this.call(repository, 'HEAD', `/v2/${repository}/blobs/${digest}`, {});
    if (known.status === 200) return;
    const begun = await this.call(repository, 'POST', `/v2/${repository}/blobs/uploads/`, { 'content-length': 0 });
    const location = begun.headers.location;
    if (begun.status !== 202 || location === undefined) throw unexpected(begun);
    const target = new URL(location, this.base);
    target.searchParams.set('digest', digest);
    const done = await this.call(repository, 'PUT', target.pathname + target.search, { 'content-type': 'application/octet-stream', 'content-length': bytes.length }, bytes);
    if (done.status !== 201) throw unexpected(done);
  }

  /** Whether Distribution answers as a registry that believes our tokens. */
  async isReachable(): Promise<boolean> {
    try {
      return (await this.call('', 'GET', '/v2/', {})).status === 200;
    } catch {
      return false;
    }
  }

  private async remove(repository: string, path: string): Promise<void> {
    const answer = await this.call(repository, 'DELETE', path, {});
    if (answer.status !== 202 && answer.status !== 404) throw unexpected(answer);
  }

  private async call(repository: string, method: string, path: string, headers: OutgoingHttpHeaders, body: Buffer | null = null, maxBytes = 64 * 1024): Promise<Answer> {
    try {
      return await this.once(repository, method, path, headers, body, maxBytes);
    } catch (error) {
      // A kept connection that the other side had closed meanwhile: everything sent by `call` may be sent twice.
      if ((error as { reused?: boolean }).reused !== true) throw registryProblem('backend-unavailable', { cause: error });
    }
    try {
      return await this.once(repository, method, path, headers, body, maxBytes);
    } catch (error) {
      throw registryProblem('backend-unavailable', { cause: error });
    }
  }

  /** Status 0 stands for an answer longer than `maxBytes`. */
  private once(repository: string, method: string, path: string, headers: OutgoingHttpHeaders, body: Buffer | null, maxBytes: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = this.open({ method, repository, path, headers, hasBody: false });
      request.setTimeout(callTimeoutMillis, () => request.destroy(new Error('no answer in time')));
      request.once('error', (error) => reject(Object.assign(error, { reused: request.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET' })));
      request.once('response', (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length <= maxBytes) chunks.push(chunk);
          else {
            resolve({ status: 0, headers: response.headers, body: Buffer.alloc(0) });
            request.destroy();
          }
        });
        response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }));
        response.once('error', reject);
        response.once('aborted', () => reject(new Error('the answer broke off')));
      });
      request.end(body ?? undefined);
    });
  }

  private token(repository: string, from: string | null): string {
    const now = this.clock.now();
    const key = `${repository} ${from ?? ''}`;
    const known = this.tokens.get(key);
    if (known && known.until > now.getTime()) return known.token;
    const access: { type: string; name: string; actions: string[] }[] = [];
    if (repository !== '') access.push({ type: 'repository', name: repository, actions: ['pull', 'push', 'delete'] });
    if (from !== null) access.push({ type: 'repository', name: from, actions: ['pull'] });
    const token = this.signer.sign({ sub: 'gantry', access }, now);
    if (this.tokens.size >= maxTokens) this.tokens.delete(this.tokens.keys().next().value!);
    this.tokens.delete(key);
    this.tokens.set(key, { token, until: now.getTime() + tokenUseMillis });
    return token;
  }
}

function unexpected(answer: Answer): Error {
  const codes = errorsOf(answer.body).map((error) => error.code);
  return registryProblem('backend-unavailable', { cause: new Error(`the registry behind answered ${answer.status} ${codes.join(' ')}`) });
}

function errorsOf(body: Buffer): BackendRefusal['errors'] {
  try {
    const { errors } = JSON.parse(body.toString()) as { errors?: unknown };
    if (!Array.isArray(errors)) return [];
    return (errors as Record<string, unknown>[]).slice(0, 20).map((error) => ({ code: String(error['code']), message: String(error['message']), detail: error['detail'] }));
  } catch {
    return []; // not the registry's own words
  }
}
