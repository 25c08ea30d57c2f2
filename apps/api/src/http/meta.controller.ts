import { Controller, Inject, type Type } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { Res } from '@nestjs/common';
import { z } from 'zod';
import { Db, requestProblem, systemContext } from '@gantry/platform';
import { apiPage, openApi } from './openapi';
import { Route } from './route';

/** Injection token of the list of all controllers. */
export const CONTROLLERS = Symbol('controllers');
/** The product's version, as in package.json. */
export const version = '0.1.0';

const health = z.object({ status: z.literal('ok') });

/** What is asked of the process rather than of a room: health, and the API's own description. */
@Controller()
export class MetaController {
  private document: Record<string, unknown> | null = null;

  constructor(@Inject(CONTROLLERS) private readonly controllers: Type[], @Inject(Db) private readonly db: Db) {}

  @Route({ method: 'GET', path: 'healthz', summary: 'Does the process live?', operation: null, scope: 'public', response: health })
  live(): z.output<typeof health> {
    return { status: 'ok' };
  }

  @Route({ method: 'GET', path: 'readyz', summary: 'Can the process serve? Asks the database.', operation: null, scope: 'public', response: health })
  async ready(): Promise<z.output<typeof health>> {
    try {
      await this.db.query(systemContext('readyz'), 'select 1');
    } catch (error) {
      throw requestProblem('unavailable', { detail: 'The database does not answer.', cause: error });
    }
    return { status: 'ok' };
  }

  @Route({ method: 'GET', path: 'api/openapi.json', summary: 'This document', operation: null, scope: 'public', response: z.record(z.string(), z.unknown()) })
  describe(): Record<string, unknown> {
    return (this.document ??= openApi(this.controllers, version));
  }

  @Route({ method: 'GET', path: 'api/docs', summary: 'The API for people', operation: null, scope: 'public' })
  page(@Res() reply: FastifyReply): void {
    void reply.header('content-type', 'text/html; charset=utf-8').header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'").status(200).send(apiPage(this.describe()));
  }
}
