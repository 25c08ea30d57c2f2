import { z } from 'zod';
import { deploymentStates } from '@gantry/delivery';
import { time } from '../http/route';

/** Who made something. */
export const maker = z.object({ kind: z.string(), id: z.string().nullable(), name: z.string() });

/** What a Compose file's reader has to say about one place. */
export const notice = z.object({ pointer: z.string(), line: z.number().int().nullable(), message: z.string() });

/** Service → image reference in a request. */
export const images = z.record(z.string().min(1).max(63), z.string().min(1).max(512)).describe('service → image, e.g. {"web": "acme/web:1.3"}; services without one take the file’s');

/** A revision's number or id. */
export const revisionKey = z.union([z.int().min(1).max(999_999_999), z.uuid()]);

export const release = z.object({
  id: z.string(),
  applicationId: z.string(),
  revisionId: z.string(),
  images: z.record(z.string(), z.object({ repository: z.string(), digest: z.string(), reference: z.string() })),
  createdAt: time,
});

export const plan = z.object({
  id: z.string(),
  applicationId: z.string(),
  environmentId: z.string(),
  releaseId: z.string(),
  baseDeploymentId: z.string().nullable(),
  allowed: z.boolean(),
  changes: z.array(
    z.object({
      kind: z.enum(['network', 'config', 'secret', 'service']),
      name: z.string(),
      action: z.enum(['create', 'update', 'remove', 'unchanged']),
      fields: z.array(z.object({ path: z.string(), from: z.unknown(), to: z.unknown() })),
    }),
  ),
  verdicts: z.array(
    z.object({ service: z.string(), repository: z.string(), digest: z.string(), reference: z.string(), allowed: z.boolean(), reason: z.string().nullable(), explanation: z.string(), verdictId: z.string().nullable() }),
  ),
  notices: z.array(notice),
  createdBy: maker,
  createdAt: time,
  expiresAt: time,
});

export const deployment = z.object({
  id: z.string(),
  applicationId: z.string(),
  environmentId: z.string(),
  origin: z.enum(['request', 'hook', 'push', 'rollback', 'renewal']),
  state: z.enum(deploymentStates),
  reason: z.object({ code: z.string(), detail: z.string() }).nullable(),
  planId: z.string().nullable(),
  releaseId: z.string().nullable(),
  previousDeploymentId: z.string().nullable(),
  rollbackOf: z.string().nullable(),
  cancelRequested: z.boolean(),
  actor: maker,
  requestId: z.string(),
  createdAt: time,
  startedAt: time.nullable(),
  deadlineAt: time.nullable(),
  finishedAt: time.nullable(),
});

export const step = z.object({
  phase: z.enum(['apply', 'rollback']),
  name: z.string(),
  object: z.string(),
  state: z.enum(['running', 'done', 'failed']),
  startedAt: time,
  finishedAt: time.nullable(),
});

export const event = z.object({ id: z.string(), at: time, type: z.string(), data: z.record(z.string(), z.unknown()) });
