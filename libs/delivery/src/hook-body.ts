import { z } from 'zod';
import { requestProblem } from '@gantry/platform';

/** What a call to `/hooks/{trigger}` asks for. */
export interface HookRequest {
  repository: string;
  tag: string;
  digest: string | null;
}

const repository = z.string().min(3).max(255).regex(/^[a-z0-9][a-z0-9._-]*(?:\/[a-z0-9][a-z0-9._-]*)+$/, 'lower-case namespace/name');
const tag = z.string().regex(/^\w[\w.-]{0,127}$/, '1 to 128 letters, digits or ._-');
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 lower-case hexadecimal digits');

/** Our own form; unknown fields are refused. */
const own = z.strictObject({ repository, tag, digest: digest.optional() });
/** Docker Hub's form has many more fields; only these two are read. */
const dockerHub = z.looseObject({ repository: z.looseObject({ repo_name: repository }), push_data: z.looseObject({ tag }) });

/**
 * Reads the body of a webhook in our own form `{repository, tag, digest?}` or in Docker Hub's (`repository.repo_name`, `push_data.tag`).
 * @throws request.invalid naming the field at fault
 */
export function parseHookBody(body: unknown): HookRequest {
  const hub = typeof body === 'object' && body !== null && ('push_data' in body || typeof (body as { repository?: unknown }).repository === 'object');
  const result = hub ? dockerHub.safeParse(body) : own.safeParse(body);
  if (!result.success) {
    const errors = result.error.issues.flatMap((issue) => {
      const pointer = issue.path.map((part) => `/${String(part)}`).join('');
      if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ pointer: `${pointer}/${key}`, detail: 'unknown field; remove it' }));
      return [{ pointer, detail: issue.message }];
    });
    throw requestProblem('invalid', { errors });
  }
  if ('push_data' in result.data) {
    const data = result.data;
    return { repository: data.repository.repo_name, tag: data.push_data.tag, digest: null };
  }
  const data = result.data;
  return { repository: data.repository, tag: data.tag, digest: data.digest ?? null };
}
