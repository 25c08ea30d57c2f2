import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Access, Authenticator, type ResourceRef } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { anonymous, makeContext, Problem, requestProblem, uuidv7, type Context, type FieldError } from '@gantry/platform';
import { Resources } from './resources';
import { ROUTE, type GantryRequest, type RouteOptions } from './route';

const empty = z.strictObject({});

/**
 * The one guard of the REST API, in this order: route declared? → who is it? (401) → is the input valid? (400, 428) → find the object,
 * judge the operation on it (404, 403). A refusal of a change is audited. Handlers run only after it.
 */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    @Inject(Access) private readonly access: Access,
    @Inject(Authenticator) private readonly authenticator: Authenticator,
    @Inject(Audit) private readonly audit: Audit,
    @Inject(Resources) private readonly resources: Resources,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const route = this.reflector.get<RouteOptions | undefined>(ROUTE, context.getHandler());
    if (!route) throw new Error(`the handler ${context.getClass().name}.${context.getHandler().name} has no @Route`);
    const request = context.switchToHttp().getRequest<GantryRequest>();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    const ctx = await this.identify(request, route);
    void reply.header('x-request-id', ctx.requestId);
    const input = this.validate(request, route);
    request.gantry = { ctx, ...input, request, version: this.version(request, route) };
    await this.judge(ctx, route, input);
    return true;
  }

  private async identify(request: GantryRequest, route: RouteOptions): Promise<Context> {
    const base = makeContext(anonymous, { requestId: requestId(request), address: request.ip });
    const header = request.headers.authorization;
    if (header === undefined) {
      if (route.scope === 'public' || route.scope === 'signed') return base;
      throw unauthenticated();
    }
    if (route.scope === 'signed') return base;
    const token = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(header)?.[1];
    const actor = token === undefined ? null : await this.authenticator.bearer(base, token);
    if (!actor) {
      if (route.scope === 'public') return base;
      throw unauthenticated();
    }
    return { ...base, actor };
  }

  private validate(request: GantryRequest, route: RouteOptions): { params: Record<string, string>; query: Record<string, unknown>; body: unknown } {
    const errors: FieldError[] = [];
    const check = (schema: z.ZodType, value: unknown, prefix: string): unknown => {
      const result = schema.safeParse(value);
      if (result.success) return result.data;
      errors.push(...result.error.issues.flatMap((issue) => fieldErrors(issue, prefix)));
      return undefined;
    };
    const params = check(route.params ?? empty, request.params ?? {}, 'path');
    const query = check(route.query ?? empty, request.query ?? {}, 'query');
    let body: unknown;
    if (route.body) body = check(route.body, request.body, '');
    else if (request.body !== undefined && request.body !== null) errors.push({ pointer: '', detail: 'this route takes no body' });
    if (errors.length > 0) throw requestProblem('invalid', { errors });
    return { params: params as Record<string, string>, query: query as Record<string, unknown>, body };
  }

  private version(request: GantryRequest, route: RouteOptions): number {
    if (!route.ifMatch) return 0;
    const header = request.headers['if-match'];
    if (header === undefined) throw requestProblem('precondition-required');
    const version = /^"(\d{1,9})"$/.exec(header)?.[1];
    if (version === undefined) throw requestProblem('invalid', { errors: [{ pointer: 'header/if-match', detail: 'send the ETag as it was given, e.g. "3"' }] });
    return Number(version);
  }

  private async judge(ctx: Context, route: RouteOptions, input: { params: Record<string, string>; query: Record<string, unknown>; body: unknown }): Promise<void> {
    const { scope, operation } = route;
    if (scope === 'public' || scope === 'signed') return;
    if (operation === null) throw new Error(`route "${route.summary}" names no operation`);
    if (scope === 'each' || scope === 'own') {
      if (!this.access.mayUse(ctx, operation)) throw requestProblem('forbidden', { detail: `This credential does not allow ${operation}.` });
      return;
    }
    const find = (kind: string, idOrName: string): Promise<ResourceRef | null> => this.resources.find(ctx, kind, idOrName);
    let resource: ResourceRef | null;
    if (scope === 'system') resource = { kind: 'system', id: 'system' };
    else if (typeof scope === 'function') resource = await scope(input, find, ctx);
    else if ('param' in scope) resource = await find(scope.kind, input.params[scope.param] ?? '');
    else resource = await find(scope.kind, String((input.body as Record<string, unknown>)[scope.field] ?? ''));
    try {
      if (!resource) throw requestProblem('not-found');
      this.access.assertCan(ctx, operation, resource);
    } catch (error) {
      if (route.audit !== undefined && error instanceof Problem) {
        await this.audit.recordRefusal(ctx, {
          action: route.audit,
          outcome: 'refused',
          ...(resource ? { resource: { kind: resource.kind, id: resource.id } } : {}),
          detail: { code: error.code, operation },
        });
      }
      throw error;
    }
  }
}

function unauthenticated(): Problem {
  return requestProblem('unauthenticated', { headers: { 'www-authenticate': 'Bearer realm="gantry"' } });
}

/** The client's `X-Request-Id` where it is harmless (letters, digits, `._-`, at most 64), else a new UUIDv7. */
export function requestId(request: { headers: Record<string, unknown> }): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[\w.-]{1,64}$/.test(given) ? given : uuidv7();
}

/** Turns a zod issue into field errors: a JSON pointer for bodies, `path/…` or `query/…` otherwise. */
export function fieldErrors(issue: z.core.$ZodIssue, prefix: string): FieldError[] {
  const pointer = `${prefix}${issue.path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')}`;
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ pointer: `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, detail: 'unknown field; remove it' }));
  return [{ pointer, detail: issue.message }];
}
