import { Injectable } from '@nestjs/common';
import { Sealer, StrictJsonError, parseStrictJson, type Context } from '@gantry/platform';
import type { EngineClient, RegistryAuth } from '../../engine.client';
import { clustersProblem } from '../../problems';
import { PullCredentials } from '../pull-credentials';
import type { KitSalt } from './parameters';
import { BuildSessions } from './sessions';

/** An image that a build begins with or copies from. */
export interface KitPull {
  /** Of our own registry: pinned to its digest. */
  reference: string;
  /** Null: of another registry. */
  repositoryId: string | null;
}

const pullMillis = 15 * 60_000;
const maxLineBytes = 256 * 1024;
/** Connections of one account to BuildKit's own interface; a client has a few for each run. */
const maxAttended = 64;

/** What builds by BuildKit need besides the gateway's rules: sessions, images on the node before the build begins, and caches kept apart. */
@Injectable()
export class KitBuilds {
  /** Builds under way, by the engine's names of them. */
  private readonly underWay = new Map<string, number>();
  /** Connections to BuildKit's own interface, by account. */
  private readonly attended = new Map<string, number>();

  constructor(readonly sessions: BuildSessions, private readonly credentials: PullCredentials, private readonly sealer: Sealer) {}

  /** See `kitQuery`. @param build the client's own name of the build */
  salt(accountId: string, clusterId: string, build: string): KitSalt {
    const of = (purpose: string, more = ''): string => this.sealer.hash(`${clusterId}/${accountId}/${more}`, purpose).slice(0, 40);
    return { host: of('build-cache'), mounts: of('build-mounts'), build: of('build-id', build) };
  }

  /** Notes that a build has begun, until what it answers is called. */
  begin(build: string): () => void {
    this.underWay.set(build, (this.underWay.get(build) ?? 0) + 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      const left = (this.underWay.get(build) ?? 1) - 1;
      if (left > 0) this.underWay.set(build, left);
      else this.underWay.delete(build);
    };
  }

  /**
   * Counts one more connection on which an account speaks to BuildKit, until what it answers is called.
   * @throws clusters.call-forbidden
   */
  attend(accountId: string): () => void {
    const count = this.attended.get(accountId) ?? 0;
    if (count >= maxAttended) throw clustersProblem('call-forbidden', { detail: `You have ${maxAttended} connections to BuildKit open; end one.` });
    this.attended.set(accountId, count + 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      const left = (this.attended.get(accountId) ?? 1) - 1;
      if (left > 0) this.attended.set(accountId, left);
      else this.attended.delete(accountId);
    };
  }

  /** Whether a build of this name is under way in this process. */
  isUnderWay(build: string): boolean {
    return this.underWay.has(build);
  }

  /** By which the engine knows a client's folder again: never that of another account. */
  sharedKey(accountId: string, clusterId: string, given: string): string {
    return this.sealer.hash(`${clusterId}/${accountId}/${given}`, 'build-folder');
  }

  /**
   * Has the engine pull images with a credential that is good for these repositories alone and ends with the pull. BuildKit would ask the
   * client's session for credentials otherwise, which are the person's own.
   * @param platform where it is not the engine's own
   * @throws clusters.engine-failed
   */
  async pull(ctx: Context, engine: EngineClient, clusterId: string, images: readonly KitPull[], platform: string | null, signal: AbortSignal): Promise<void> {
    if (images.length === 0) return;
    const repositoryIds = [...new Set(images.flatMap(({ repositoryId }) => (repositoryId === null ? [] : [repositoryId])))];
    const all = (auth: RegistryAuth | null) => async (): Promise<void> => {
      for (const image of images) await this.pullOne(engine, image.reference, image.repositoryId === null ? null : auth, platform, signal);
    };
    if (repositoryIds.length === 0) await all(null)();
    else await this.credentials.lend(ctx, { subject: `${clusterId}/build`, repositoryIds }, (auth) => all(auth)());
  }

  private async pullOne(engine: EngineClient, reference: string, auth: RegistryAuth | null, platform: string | null, signal: AbortSignal): Promise<void> {
    const until = AbortSignal.any([signal, AbortSignal.timeout(pullMillis)]);
    const answer = await engine.connection.stream({
      method: 'POST', path: `/v${engine.apiVersion}/images/create`, query: { fromImage: reference, ...(platform === null ? {} : { platform }) }, ...(auth ? { registryAuth: auth } : {}), signal: until,
    });
    const end = (): void => void answer.destroy();
    until.addEventListener('abort', end, { once: true });
    let rest = '';
    let failure: string | null = null;
    try {
      for await (const chunk of answer) {
        const lines = (rest + (chunk as Buffer).toString()).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > maxLineBytes) break;
        for (const line of lines) failure = failureIn(line) ?? failure;
      }
    } finally {
      until.removeEventListener('abort', end);
      answer.destroy();
    }
    failure = failureIn(rest) ?? failure;
    if (until.aborted) throw clustersProblem('engine-failed', { detail: `The engine did not pull ${reference} in time.` });
    if (failure !== null) throw clustersProblem('engine-failed', { detail: `The engine could not pull ${reference}: ${failure.slice(0, 300)}` });
  }
}

function failureIn(line: string): string | null {
  if (line.trim() === '') return null;
  try {
    const said = parseStrictJson(Buffer.from(line), { numbers: 'source' }) as { error?: unknown } | null;
    return typeof said === 'object' && said !== null && typeof said.error === 'string' ? said.error : null;
  } catch (error) {
    if (error instanceof StrictJsonError) return 'it says nothing that could be read';
    throw error;
  }
}
