import { Inject, Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply } from 'fastify';
import { firstValueFrom, from, type Observable } from 'rxjs';
import { Db, requestProblem, Sealer, type Context } from '@gantry/platform';
import { ROUTE, routeStatus, type GantryRequest, type RouteOptions } from './route';

/**
 * Shapes answers: only what the response schema names is sent, `ETag` comes from an object's `version`, and `Idempotency-Key` on POST
 * replays the first answer for 24 h per actor. Remembered answers are sealed, since some show a secret once, and requests are known by a keyed hash, since
 * some hold a password. Nothing is remembered for nobody: a sign-in is not to be had again by who saw it.
 */
@Injectable()
export class AnswerInterceptor implements NestInterceptor {
  constructor(private readonly reflector: Reflector, @Inject(Db) private readonly db: Db, @Inject(Sealer) private readonly sealer: Sealer) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const route = this.reflector.get<RouteOptions>(ROUTE, context.getHandler());
    const request = context.switchToHttp().getRequest<GantryRequest>();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    const key = request.headers['idempotency-key'];
    const run = async (): Promise<unknown> => shape(route, reply, await firstValueFrom(next.handle(), { defaultValue: undefined }));
    if (route.method !== 'POST' || key === undefined || route.scope === 'public') return from(run());
    return from(this.once(request, reply, route, String(key), run));
  }

  private async once(request: GantryRequest, reply: FastifyReply, route: RouteOptions, key: string, run: () => Promise<unknown>): Promise<unknown> {
    if (!/^[\x21-\x7e]{1,128}$/.test(key)) throw requestProblem('invalid', { errors: [{ pointer: 'header/idempotency-key', detail: '1 to 128 visible ASCII characters' }] });
    const { ctx } = request.gantry;
    const actor = `${ctx.actor.kind}:${ctx.actor.id ?? ctx.address ?? ''}`;
    const hash = this.sealer.hash(`${request.method} ${request.url}\n${request.rawBody?.toString('latin1') ?? ''}`, 'idempotency');
    const claimed = await this.db.query(ctx, 'insert into platform_idempotency (actor, key, request_hash) values ($1, $2, $3) on conflict do nothing returning 1', [actor, key, hash]);
    if (claimed.length === 0) return this.replay(ctx, reply, actor, key, hash);
    try {
      const body = await run();
      const location = reply.getHeader('location');
      await this.db.query(ctx, 'update platform_idempotency set status = $3, headers = $4, body = $5 where actor = $1 and key = $2 returning 1', [
        actor, key, reply.statusCode || routeStatus(route), JSON.stringify(location === undefined ? {} : { location }),
        JSON.stringify(this.sealer.seal(JSON.stringify(body ?? null), 'idempotency')),
      ]);
      return body;
    } catch (error) {
      await this.db.query(ctx, 'delete from platform_idempotency where actor = $1 and key = $2 returning 1', [actor, key]);
      throw error;
    }
  }

  private async replay(ctx: Context, reply: FastifyReply, actor: string, key: string, hash: string): Promise<unknown> {
    const [row] = await this.db.query<{ request_hash: string; status: number | null; headers: Record<string, string>; body: string }>(
      ctx, 'select request_hash, status, headers, body from platform_idempotency where actor = $1 and key = $2', [actor, key]);
    if (!row || row.request_hash !== hash) throw requestProblem('idempotency-conflict');
    if (row.status === null) throw requestProblem('idempotency-conflict', { detail: 'The first request with this key is still running; ask again in a moment.', headers: { 'retry-after': '1' } });
    void reply.status(row.status).headers({ ...row.headers, 'idempotency-replayed': 'true' });
    const body = JSON.parse(this.sealer.open(row.body, 'idempotency').toString()) as unknown;
    return body ?? undefined;
  }
}

function shape(route: RouteOptions, reply: FastifyReply, value: unknown): unknown {
  const version = (value as { version?: unknown } | null | undefined)?.version;
  if (typeof version === 'number') void reply.header('etag', `"${version}"`);
  if (route.response === undefined || reply.sent) return undefined;
  return route.response.parse(value);
}
