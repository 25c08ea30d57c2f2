import { applyDecorators, createParamDecorator, Delete, Get, HttpCode, Patch, Post, Put, SetMetadata, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Operation, ResourceRef } from '@gantry/access';
import type { Context } from '@gantry/platform';

/** Finds the object that a path or body names: id or name → reference, null when there is none. */
export type FindResource = (kind: string, idOrName: string) => Promise<ResourceRef | null>;

/** What the route's input looks like once validated. */
export interface RouteInput {
  params: Record<string, string>;
  query: Record<string, unknown>;
  body: unknown;
}

/**
 * On what the operation is judged:
 * - `system`: on the system as such (administrators);
 * - `each`: the list is filtered item by item by the library method (`access.filter`);
 * - `own`: only on what belongs to the signed-in account itself (its sessions and tokens);
 * - `public`: nobody needs to be signed in;
 * - `signed`: the caller proves itself in another way (webhook signature), checked by the library method;
 * - a path parameter (`{ kind: 'application', param: 'app' }`) or a body field (`{ kind: 'account', field: 'owner' }`);
 * - a function, where several parts name the object (`repositories/{namespace}/{name}`).
 */
export type RouteScope =
  | 'system'
  | 'each'
  | 'own'
  | 'public'
  | 'signed'
  | { kind: string; param: string }
  | { kind: string; field: string }
  | ((input: RouteInput, find: FindResource, ctx: Context) => Promise<ResourceRef | null>);

/** One route: who may call it, what goes in and out. The guard, the OpenAPI document and the guard test read nothing else. */
export interface RouteOptions {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path below the controller's prefix; parameters as `:app`. */
  path?: string;
  summary: string;
  description?: string;
  /** The operation that is judged; null only with scope `public` or `signed`. */
  operation: Operation | null;
  scope: RouteScope;
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** Success answer; undefined means an empty one (204). Fields that the schema does not name are not sent. */
  response?: z.ZodType;
  /** Default 200 (GET, PUT, PATCH), 201 (POST), 204 (no response schema). */
  status?: number;
  /** Action of the audit row that the route writes; required on every route that changes something. */
  audit?: string;
  /** The object's version must come in `If-Match`; it arrives as `input.version`. */
  ifMatch?: boolean;
  /** Answers Server-Sent Events where the client accepts them. */
  streams?: boolean;
  /** Answers JSON lines, one `response` each, as fast as the client reads. */
  lines?: boolean;
  /** Media type of an answer that is not JSON; the handler sends it itself. */
  media?: string;
}

/** Metadata key of `RouteOptions` on a handler. */
export const ROUTE = 'gantry:route';

/** Declares a REST route. Every controller method has one; the boot fails on a route without (see route.guard.ts). */
export function Route(options: RouteOptions): MethodDecorator {
  const verb = { GET: Get, POST: Post, PUT: Put, PATCH: Patch, DELETE: Delete }[options.method];
  return applyDecorators(verb(options.path ?? ''), HttpCode(routeStatus(options)), SetMetadata(ROUTE, options));
}

/** The success status of a route. */
export function routeStatus(options: RouteOptions): number {
  return options.status ?? (options.response === undefined ? 204 : options.method === 'POST' ? 201 : 200);
}

/** What a handler gets: the context and the validated parts of the request. */
export interface Input<P = Record<string, never>, Q = Record<string, never>, B = undefined> {
  ctx: Context;
  params: P;
  query: Q;
  body: B;
  /** From `If-Match`, where the route asks for it; else 0. */
  version: number;
  request: FastifyRequest;
}

/** The request as the guard left it. */
export interface GantryRequest extends FastifyRequest {
  gantry: Input<unknown, unknown, unknown>;
  /** Body bytes as they came, for signatures over the body. */
  rawBody?: Buffer;
}

/** Hands the validated `Input` to a handler: `create(@In() input: Input<{}, {}, z.output<typeof body>>)`. */
export const In = createParamDecorator((_data: unknown, context: ExecutionContext): unknown => context.switchToHttp().getRequest<GantryRequest>().gantry);

/** A time in an answer: ISO 8601, UTC. */
export const time = z
  .date()
  .transform((date) => date.toISOString())
  .pipe(z.iso.datetime());

/** `?limit&cursor` of every list: at most 200 items, default 50; the cursor is opaque. Extend it with filters: `page.extend({…})`. */
export const page = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(512).optional(),
});

/** Answer of every list: `{ items, next }`; `next` is the cursor of the following page or null. */
export function listOf(item: z.ZodType): z.ZodType {
  return z.object({ items: z.array(item), next: z.string().nullable() });
}

/** No query parameters. */
export const noQuery = z.strictObject({});

/** An object's name in paths and bodies: id or name. */
export const idOrName = z.string().min(1).max(300);

/** Lower-case name of accounts, applications, environments and clusters. */
export const name = z.string().regex(/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, 'lower-case letters, digits and ._- inside; 1 to 63 characters');
