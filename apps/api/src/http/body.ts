import type { FastifyInstance } from 'fastify';
import { requestProblem } from '@gantry/platform';
import type { GantryRequest } from './route';

/** Largest JSON body of the REST API; a Compose file of 1 MiB and its JSON escapes fit. */
export const bodyLimitBytes = 2 * 1024 * 1024;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** True for text that PostgreSQL can store and that means the same everywhere: no NUL, no lone surrogates. */
export function isCleanText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/**
 * Reads a JSON body: valid UTF-8, no `__proto__`, clean text only, at most 64 levels deep. Answers undefined for an empty body.
 * @throws request.invalid naming what is wrong
 */
export function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (error) {
    throw requestProblem('invalid', { errors: [{ pointer: '', detail: 'the body is not valid UTF-8' }], cause: error });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw requestProblem('invalid', { errors: [{ pointer: '', detail: `the body is not valid JSON${faultPlace(error as Error)}` }], cause: error });
  }
  const fault = findFault(value, '', 0);
  if (fault) throw requestProblem('invalid', { errors: [fault] });
  return value;
}

/** Where JSON breaks, where Node says so. Its message quotes the text, which may be a password. */
function faultPlace(error: Error): string {
  const position = /at position (\d+)/.exec(error.message)?.[1];
  return position === undefined ? '' : `, at character ${Number(position) + 1}`;
}

function findFault(value: unknown, pointer: string, depth: number): { pointer: string; detail: string } | null {
  if (typeof value === 'string') return isCleanText(value) ? null : { pointer, detail: 'text must not contain NUL or lone surrogates' };
  if (typeof value !== 'object' || value === null) return null;
  if (depth >= 64) return { pointer, detail: 'nested too deeply (64 levels at most)' };
  for (const [key, inner] of Object.entries(value)) {
    if (key === '__proto__' || !isCleanText(key)) return { pointer, detail: 'a field has a name that is not allowed' };
    const fault = findFault(inner, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, depth + 1);
    if (fault) return fault;
  }
  return null;
}

/** Makes Fastify read bodies our way and keep their bytes for signatures. Anything but JSON is refused. */
export function installBodyParser(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  const read = (request: unknown, body: unknown, done: (error: Error | null, value?: unknown) => void): void => {
    try {
      (request as GantryRequest).rawBody = body as Buffer;
      done(null, parseJson(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  };
  fastify.addContentTypeParser(['application/json', 'application/merge-patch+json'], { parseAs: 'buffer', bodyLimit: bodyLimitBytes }, read);
  fastify.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: bodyLimitBytes }, (request, body, done) => {
    if ((body as Buffer).length === 0) done(null, undefined);
    else done(requestProblem('invalid', { errors: [{ pointer: 'header/content-type', detail: 'send application/json' }] }));
    void request;
  });
}
