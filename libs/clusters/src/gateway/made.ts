import { Transform } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { Inject, Injectable } from '@nestjs/common';
import { Clock, Db, LOGGER, type Context, type Logger } from '@gantry/platform';
import type { EngineClient } from '../engine.client';
import { inspectPath, readSeen } from './objects';

/** Kinds of what is remembered: images, and the containers of a build that runs. */
export type MadeKind = 'image' | 'container';

/** What one message of an engine tells of an image, or of a step's container: whole ids, the beginnings of ids, or names. */
export interface Told {
  kind: MadeKind;
  id: string;
}

/** Which calls tell of images in their answers. `quiet`: a build that says no more than the id. */
export type Teller = 'build' | 'quiet-build' | 'import' | 'load' | 'pull';

/** Longer messages tell of no image. */
const maxLine = 65_536;
const wholeId = 'sha256:[0-9a-f]{64}';
/** Of one answer, so many ids are asked about: a build may print what it likes. */
const maxTold = 1_000;
/** A container is a build's for as long as this at the most, however the process ended that watched the build. */
const buildHours = 24;

/**
 * What a message tells. What a build's RUN prints stands in messages too, and can look like this; so no more is made of it than `Made.remember` does.
 * `reference`: of a pull, what was asked for.
 */
export function readMessage(teller: Teller, line: string, reference: string): Told[] {
  if (!line.includes('{')) return [];
  let message: { stream?: unknown; status?: unknown; aux?: { ID?: unknown } | null };
  try {
    message = JSON.parse(line) as typeof message;
  } catch {
    return [];
  }
  const stream = typeof message.stream === 'string' ? message.stream : '';
  const status = typeof message.status === 'string' ? message.status : '';
  const first = (pattern: RegExp, text: string): string | undefined => pattern.exec(text)?.[1];
  const image = (id: string | undefined): Told[] => (id === undefined ? [] : [{ kind: 'image', id }]);
  switch (teller) {
    case 'build': {
      const container = first(/^ ---> Running in ([0-9a-f]{12})\n?$/, stream);
      if (container !== undefined) return [{ kind: 'container', id: container }];
      return image(first(/^ ---> ([0-9a-f]{12})\n?$/, stream) ?? first(new RegExp(`^(${wholeId})$`), typeof message.aux?.ID === 'string' ? message.aux.ID : ''));
    }
    case 'quiet-build':
      return image(first(new RegExp(`^(${wholeId})\\n?$`), stream));
    case 'import':
      return image(first(new RegExp(`^(${wholeId})$`), status));
    case 'load':
      return image(first(new RegExp(`^Loaded image(?: ID)?: ([\\w][\\w.:/@-]{0,511})\\n?$`), stream));
    case 'pull':
      return /^Status: (?:Downloaded newer image|Image is up to date) for /.test(status) ? image(reference) : [];
  }
}

/**
 * What is made through the gateway without belonging to anybody: images that were built, loaded, imported, committed or pulled from elsewhere and
 * are not in the registry, and the containers of builds. They are remembered by the engine's id, so that they are not taken for what somebody made beside
 * Gantry. That is all this is good for: what may run, and who may see an image, is asked of the registry and its policies, never of this.
 */
@Injectable()
export class Made {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Remembers an image or a container, unless it was found without Gantry before `since`: what was there cannot have been made by a call that began later.
   * Again is harmless.
   */
  async remember(ctx: Context, made: { clusterId: string; nodeId: string; kind: MadeKind; id: string; how: string; since: Date }): Promise<void> {
    await this.db.query(
      ctx,
      `insert into clusters_made (cluster_id, node_id, kind, engine_id, account_id, how, made_at)
       select $1, $2, $3, $4, $5, $6, $7 where not exists (
         select 1 from clusters_findings where cluster_id = $1 and node_id = $2 and kind = $3 and engine_id = $4 and reason = 'unknown' and state not in ('owned', 'gone') and first_seen < $8)
       on conflict do nothing returning 1`,
      [made.clusterId, made.nodeId, made.kind, made.id, ctx.actor.id, made.how, this.clock.now(), made.since],
    );
  }

  /** Lets an answer by, and remembers what it tells of before it goes on. What cannot be remembered ends nothing: it is flagged then. */
  tap(wish: { ctx: Context; clusterId: string; nodeId: string; engine: EngineClient; teller: Teller; reference: string }): () => Transform {
    const since = this.clock.now();
    return () => {
      const decoder = new StringDecoder('utf8');
      const containers: string[] = [];
      const known = new Set<string>();
      let rest = '';
      const hear = async (text: string): Promise<void> => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > maxLine) rest = '';
        for (const line of lines) {
          if (line.length > maxLine) continue;
          for (const told of readMessage(wish.teller, line, wish.reference)) {
            if (known.size >= maxTold || known.has(`${told.kind} ${told.id}`)) continue;
            known.add(`${told.kind} ${told.id}`);
            const id = await this.learn(wish, told, since);
            if (told.kind === 'container' && id !== null) containers.push(id);
          }
        }
      };
      const heard = new Transform({
        transform(chunk: Buffer, _encoding, settle) {
          hear(decoder.write(chunk)).then(() => settle(null, chunk), settle);
        },
        flush(settle) {
          hear(`${decoder.end()}\n`).then(() => settle(), settle);
        },
      });
      heard.once('close', () => void this.letGo(wish, containers));
      return heard;
    };
  }

  /** The build is over, and so are its containers; what goes on under such an id is no build's. */
  private async letGo({ ctx, clusterId, nodeId }: { ctx: Context; clusterId: string; nodeId: string }, containers: readonly string[]): Promise<void> {
    try {
      await this.forget(ctx, clusterId, nodeId, 'container', containers);
    } catch (error) {
      this.logger.debug({ cluster: clusterId, error: (error as Error).message }, 'the containers of a build could not be forgotten; the watcher does it when they are gone');
    }
  }

  /** The whole id; null where there is nothing to remember. */
  private async learn({ ctx, clusterId, nodeId, engine, teller }: { ctx: Context; clusterId: string; nodeId: string; engine: EngineClient; teller: Teller }, { kind, id: told }: Told, since: Date): Promise<string | null> {
    try {
      if (/\.\.|\/\//.test(told)) return null;
      const answer = await engine.inspect(inspectPath(kind, told));
      const id = answer === null ? null : (readSeen(kind, answer)?.id ?? null);
      // Engines take names for ids, too.
      const isMeant = teller === 'load' || teller === 'pull' || id === told || id?.replace(/^sha256:/, '').startsWith(told) === true;
      if (id === null || !isMeant) return null;
      await this.remember(ctx, { clusterId, nodeId, kind, id, how: teller === 'quiet-build' ? 'build' : teller, since });
      return id;
    } catch (error) {
      this.logger.warn({ cluster: clusterId, kind, id: told, error: (error as Error).message }, 'what was made could not be remembered');
      return null;
    }
  }

  /** `<kind> <id>` of what was made, among these ids. */
  async among(ctx: Context, clusterId: string, nodeId: string, ids: readonly string[]): Promise<string[]> {
    const rows = await this.db.query<{ key: string }>(
      ctx, `select kind || ' ' || engine_id as key from clusters_made where cluster_id = $1 and node_id = $2 and engine_id = any ($3) and (kind = 'image' or made_at > $4)`,
      [clusterId, nodeId, ids, new Date(this.clock.now().getTime() - buildHours * 3_600_000)]);
    return rows.map(({ key }) => key);
  }

  /** Clusters on which something was made and that nobody watches: on the others the watcher notices what is gone. */
  async unwatched(ctx: Context): Promise<string[]> {
    const rows = await this.db.query<{ id: string }>(ctx, `select id from clusters_clusters where watch = 'off' and exists (select 1 from clusters_made where cluster_id = id)`);
    return rows.map(({ id }) => id);
  }

  /**
   * Forgets what the engine has no longer, so that the same image is found when somebody brings it back. Where something was not seen, the engine is asked for the
   * steps between images too, which its lists leave out. @throws EngineError
   */
  async sweep(ctx: Context, clusterId: string, nodeId: string, engine: EngineClient, seen: ReadonlySet<string>): Promise<void> {
    const rows = await this.db.query<{ kind: MadeKind; id: string }>(ctx, 'select kind, engine_id as id from clusters_made where cluster_id = $1 and node_id = $2', [clusterId, nodeId]);
    if (rows.every(({ id }) => seen.has(id))) return;
    const there = new Set([...(await engine.images({ all: true })).map(({ Id }) => Id), ...(await engine.containers()).map(({ Id }) => Id)]);
    for (const kind of ['image', 'container'] as const) await this.forget(ctx, clusterId, nodeId, kind, rows.filter((row) => row.kind === kind && !there.has(row.id)).map(({ id }) => id));
  }

  private async forget(ctx: Context, clusterId: string, nodeId: string, kind: MadeKind, ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    await this.db.query(ctx, 'delete from clusters_made where cluster_id = $1 and node_id = $2 and kind = $3 and engine_id = any ($4) returning 1', [clusterId, nodeId, kind, ids]);
  }
}
