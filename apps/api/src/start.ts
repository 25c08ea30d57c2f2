import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { NestLogger, requestProblem, type Config, type Db, type Logger } from '@gantry/platform';
import { ApiModule } from './api.module';
import { bodyLimitBytes, installBodyParser, isCleanText } from './http/body';
import { problemBody, toProblem } from './http/problem.filter';
import { requestId } from './http/auth.guard';
import { createEngineGateway } from './engine-gateway';
import { createRegistryFront, installTokenService } from './registry-front';

/** A running API process: the Nest application and its listeners. */
export interface RunningApi {
  app: NestFastifyApplication;
  /** Stops accepting, ends open requests within 5 s, and closes all listeners. */
  close(): Promise<void>;
}

type AdapterOptions = NonNullable<ConstructorParameters<typeof FastifyAdapter>[0]>;

/** Certificate and key of all listeners, or null where TLS is ended elsewhere or everything is loopback. */
export function tlsOptions(config: Config): { cert: Buffer; key: Buffer } | null {
  if (config.tlsCertFile === null || config.tlsKeyFile === null) return null;
  return { cert: readFileSync(config.tlsCertFile), key: readFileSync(config.tlsKeyFile) };
}

/** Makes the REST API on a database that is open and migrated, without listening yet. */
export async function createApi(options: { config: Config; logger: Logger; db: Db }): Promise<NestFastifyApplication> {
  const { config, logger } = options;
  const tls = tlsOptions(config);
  const adapterOptions = {
    bodyLimit: bodyLimitBytes,
    trustProxy: config.trustedProxies.length > 0 ? config.trustedProxies : false,
    routerOptions: { maxParamLength: 300 },
    exposeHeadRoutes: false,
    requestTimeout: 60_000,
    forceCloseConnections: true,
    // A URL that can't be decoded never reaches a route; it gets the same face as every other bad request.
    frameworkErrors: (error: Error, request: { headers: Record<string, unknown> }, reply: { code: (status: number) => { header: (name: string, value: string) => { send: (body: string) => void } } }) => {
      const problem = toProblem(error);
      reply.code(problem.status).header('content-type', 'application/problem+json').send(JSON.stringify(problemBody(problem, requestId(request))));
    },
    ...(tls ? { https: tls } : {}),
  } as AdapterOptions;
  const adapter = new FastifyAdapter(adapterOptions);
  const fastify = adapter.getInstance<FastifyInstance>();
  let app: NestFastifyApplication | null = null;
  installTokenService(fastify.server, { app: () => app!, config, logger });
  fastify.addHook('onRequest', async (request, reply) => {
    void reply.headers({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
    for (const [name, value] of Object.entries((request.query ?? {}) as Record<string, unknown>)) {
      if (typeof value !== 'string' || !isCleanText(value) || !isCleanText(name)) throw requestProblem('invalid', { errors: [{ pointer: `query/${name.slice(0, 64)}`, detail: 'give it once, as clean text' }] });
    }
    for (const [name, value] of Object.entries((request.params ?? {}) as Record<string, unknown>)) {
      if (typeof value === 'string' && !isCleanText(value)) throw requestProblem('invalid', { errors: [{ pointer: `path/${name}`, detail: 'not clean text' }] });
    }
  });
  app = await NestFactory.create<NestFastifyApplication>(ApiModule.forRoot(options), adapter, { logger: new NestLogger(logger), bodyParser: false, abortOnError: false });
  installBodyParser(fastify);
  app.enableShutdownHooks([]);
  await app.init();
  await fastify.ready();
  return app;
}

/**
 * Starts the REST API, the registry's listener and, where engines may be reached, the engine gateway on a database that is open and migrated.
 * @throws an `EADDRINUSE` error of Node when a port is taken
 */
export async function startApi(options: { config: Config; logger: Logger; db: Db }): Promise<RunningApi> {
  const { config, logger } = options;
  const app = await createApi(options);
  try {
    await app.listen(config.httpPort, config.bind);
  } catch (error) {
    await app.close();
    throw error;
  }
  const listeners: Server[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(listeners.map((listener) => closed(listener)));
    await app.close();
  };
  try {
    await listen(listeners, createRegistryFront({ app, config, logger, tls: tlsOptions(config) }), config.registryPort, config.bind);
    // Only processes that may reach engines have a gateway to them.
    if (config.role === 'standalone') await listen(listeners, await createEngineGateway({ app, config, logger }), config.enginePort, config.bind);
  } catch (error) {
    await close();
    throw error;
  }
  return { app, close };
}

/** A running engine gateway. */
export interface RunningGateway {
  /** Stops accepting, and ends what is open within 5 s. */
  close(): Promise<void>;
}

/**
 * Starts the engine gateway's listener and nothing else, with the rooms of an application context.
 * @throws an `EADDRINUSE` error of Node when the port is taken
 */
export async function startGateway(options: { app: INestApplicationContext; config: Config; logger: Logger }): Promise<RunningGateway> {
  const { config } = options;
  const listeners: Server[] = [];
  await listen(listeners, await createEngineGateway(options), config.enginePort, config.bind);
  return { close: async () => void (await Promise.all(listeners.map((listener) => closed(listener)))) };
}

async function listen(listeners: Server[], server: Server, port: number, address: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => resolve());
  });
  listeners.push(server);
}

async function closed(server: Server): Promise<void> {
  const timer = setTimeout(() => server.closeAllConnections(), 5_000);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(timer);
}
