import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { Problem, requestProblem, type Logger } from '@gantry/platform';
import { requestId } from './auth.guard';
import type { GantryRequest } from './route';

/** Any thrown value as a `Problem`; foreign errors become `request.internal` with the error as cause. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  // Fastify's own errors (body too large, bad content type, malformed JSON) and Nest's (no such route) carry a 4xx status.
  const status = error instanceof HttpException ? error.getStatus() : (error as { statusCode?: unknown }).statusCode;
  if (status === 404) return requestProblem('not-found', { cause: error });
  if (status === 413) return requestProblem('too-large', { cause: error });
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return requestProblem('invalid', { detail: error instanceof HttpException ? undefined : (error as Error).message, cause: error });
  }
  return requestProblem('internal', { cause: error });
}

/** Body of `application/problem+json` (RFC 9457), with our `code`, `errors` and the request id as `instance`. */
export function problemBody(problem: Problem, id: string): Record<string, unknown> {
  return {
    type: `https://gantry.dev/problems/${problem.code}`,
    title: problem.title,
    status: problem.status,
    detail: problem.detail,
    instance: id,
    code: problem.code,
    ...(problem.errors.length > 0 ? { errors: problem.errors } : {}),
    ...problem.extra,
  };
}

/** The REST face of problems. What is not a `Problem` is logged once and its text is never sent. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<GantryRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const problem = toProblem(error);
    const id = (request as { gantry?: { ctx: { requestId: string } } }).gantry?.ctx.requestId ?? requestId(request);
    if (problem.code === 'request.internal') this.logger.error({ err: problem.cause, requestId: id, method: request.method, url: request.url.split('?')[0] }, 'a request failed');
    if (reply.raw.headersSent) {
      reply.raw.destroy();
      return;
    }
    void reply.headers({ 'content-type': 'application/problem+json', 'x-request-id': id, ...problem.headers }).status(problem.status).send(JSON.stringify(problemBody(problem, id)));
  }
}
