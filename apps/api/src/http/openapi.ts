import 'reflect-metadata';
import type { Type } from '@nestjs/common';
import { z } from 'zod';
import { problemStatus } from '@gantry/platform';
import { ROUTE, routeStatus, type RouteOptions } from './route';

/** A declared route with its full path, as the OpenAPI document and the guard test see it. */
export interface DeclaredRoute {
  controller: string;
  handler: string;
  /** `/api/v1/applications/:app` */
  path: string;
  options: RouteOptions;
}

/** Every handler of the controllers. A handler without `@Route` is listed with `options: undefined` by `undeclaredHandlers`. */
export function declaredRoutes(controllers: Type[]): DeclaredRoute[] {
  return controllers.flatMap((controller) => {
    const prefix = controllerPath(controller);
    return methods(controller).flatMap((handler) => {
      const options = Reflect.getMetadata(ROUTE, handler.method) as RouteOptions | undefined;
      if (!options) return [];
      const path = `/${[prefix, options.path ?? ''].map((part) => part.replace(/^\/+|\/+$/g, '')).filter(Boolean).join('/')}`;
      return [{ controller: controller.name, handler: handler.name, path, options }];
    });
  });
}

/** Names of handlers that Nest would route but that declare nothing; must be empty. */
export function undeclaredHandlers(controllers: Type[]): string[] {
  return controllers.flatMap((controller) =>
    methods(controller)
      .filter(({ method }) => Reflect.getMetadata('path', method) !== undefined && Reflect.getMetadata(ROUTE, method) === undefined)
      .map(({ name }) => `${controller.name}.${name}`),
  );
}

function controllerPath(controller: Type): string {
  const path = Reflect.getMetadata('path', controller) as string | string[] | undefined;
  return Array.isArray(path) ? (path[0] ?? '') : (path ?? '');
}

function methods(controller: Type): { name: string; method: object }[] {
  const prototype = controller.prototype as Record<string, unknown>;
  return Object.getOwnPropertyNames(prototype)
    .filter((name) => name !== 'constructor' && typeof prototype[name] === 'function')
    .map((name) => ({ name, method: prototype[name] as object }));
}

const json = (schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> => {
  const { $schema: _schema, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Record<string, unknown>;
  return rest;
};

/** The OpenAPI 3.1 document of the REST API, made from the same declarations that the guard enforces. */
export function openApi(controllers: Type[], version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of declaredRoutes(controllers)) {
    const { options } = route;
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    const parameters: Record<string, unknown>[] = [];
    const shapes: [('path' | 'query'), z.ZodObject | undefined][] = [['path', options.params], ['query', options.query]];
    for (const [place, shape] of shapes) {
      for (const [name, schema] of Object.entries(shape?.shape ?? {})) {
        parameters.push({ name, in: place, required: place === 'path' || !(schema as z.ZodType).safeParse(undefined).success, schema: json(schema as z.ZodType, 'input') });
      }
    }
    if (options.ifMatch) parameters.push({ name: 'If-Match', in: 'header', required: true, description: 'The ETag of the object as you read it.', schema: { type: 'string' } });
    if (options.method === 'POST' && options.scope !== 'signed') parameters.push({ name: 'Idempotency-Key', in: 'header', required: false, description: 'Makes a repeat of this request answer as the first did; kept 24 h.', schema: { type: 'string', maxLength: 128 } });
    const status = routeStatus(options);
    (paths[path] ??= {})[options.method.toLowerCase()] = {
      operationId: `${route.controller.replace(/Controller$/, '')}.${route.handler}`,
      tags: [route.path.split('/')[3] ?? route.path.split('/')[1] ?? 'api'],
      summary: options.summary,
      description: [options.description, options.operation ? `Needs the operation \`${options.operation}\`.` : 'Needs no sign-in.'].filter(Boolean).join('\n\n'),
      ...(options.scope === 'public' || options.scope === 'signed' ? { security: [] } : {}),
      ...(parameters.length > 0 ? { parameters } : {}),
      ...(options.body ? { requestBody: { required: true, content: { 'application/json': { schema: json(options.body, 'input') } } } } : {}),
      responses: {
        [status]: {
          description: 'Done.',
          ...(options.response
            ? { content: { [options.media ?? (options.lines ? 'application/jsonl' : 'application/json')]: { schema: json(options.response, 'output') }, ...(options.streams ? { 'text/event-stream': { schema: { type: 'string' } } } : {}) } }
            : {}),
        },
        default: { description: 'A problem.', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } },
      },
    };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Gantry', version, description: 'Containers as a Service for Docker Swarm: registry, signatures, policies, deployments, audit.' },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'A session (`POST /api/v1/sessions`) or a token.' } },
      schemas: {
        Problem: {
          type: 'object',
          description: 'RFC 9457 problem.',
          required: ['type', 'title', 'status', 'detail', 'instance', 'code'],
          properties: {
            type: { type: 'string' },
            title: { type: 'string' },
            status: { type: 'integer', enum: [...new Set(Object.values(problemStatus))] },
            detail: { type: 'string' },
            instance: { type: 'string', description: 'The request id.' },
            code: { type: 'string' },
            errors: { type: 'array', items: { type: 'object', properties: { pointer: { type: 'string' }, detail: { type: 'string' } } } },
          },
        },
      },
    },
  };
}

const escape = (text: unknown): string => String(text ?? '').replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** The human page of the API: one file, no scripts, nothing loaded from elsewhere. */
export function apiPage(document: Record<string, unknown>): string {
  const paths = document['paths'] as Record<string, Record<string, { summary: string; description: string; requestBody?: { content: Record<string, { schema: unknown }> }; parameters?: { name: string; in: string; required: boolean }[] }>>;
  const sections = Object.entries(paths)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([path, verbs]) =>
      Object.entries(verbs).map(
        ([verb, operation]) => `<details><summary><code class="${escape(verb)}">${escape(verb.toUpperCase())}</code> <code>${escape(path)}</code> ${escape(operation.summary)}</summary>
<p>${escape(operation.description).replace(/`([^`]*)`/g, '<code>$1</code>')}</p>${
          operation.parameters ? `<ul>${operation.parameters.map((parameter) => `<li><code>${escape(parameter.name)}</code> (${escape(parameter.in)}${parameter.required ? ', required' : ''})</li>`).join('')}</ul>` : ''
        }${operation.requestBody ? `<pre>${escape(JSON.stringify(operation.requestBody.content['application/json']?.schema, null, 1))}</pre>` : ''}</details>`,
      ),
    );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Gantry API</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}summary{cursor:pointer;padding:.3rem 0}pre{background:#f4f4f5;padding:.7rem;overflow:auto}code{font-size:.92em}</style>
<h1>Gantry API</h1><p>The machine-readable form is <a href="/api/openapi.json">/api/openapi.json</a>. Sign in with <code>POST /api/v1/sessions</code>, then send <code>Authorization: Bearer …</code>.</p>
${sections.join('\n')}</html>`;
}
