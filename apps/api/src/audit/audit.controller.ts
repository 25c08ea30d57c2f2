import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Audit } from '@gantry/audit';
import { requestProblem } from '@gantry/platform';
import { In, listOf, page, Route, time, type Input } from '../http/route';

const when = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const filters = page.extend({
  actor: z.string().min(1).max(300).optional().describe('id or name of who acted'),
  action: z.string().min(1).max(100).optional(),
  resourceKind: z.string().min(1).max(50).optional(),
  resourceId: z.string().min(1).max(300).optional(),
  outcome: z.enum(['success', 'refused', 'failed']).optional(),
  requestId: z.string().min(1).max(100).optional(),
  from: when.optional().describe('not before this time'),
  to: when.optional().describe('before this time'),
});
const row = z.object({
  id: z.string(),
  at: time,
  actorKind: z.string(),
  actorId: z.string().nullable(),
  actorName: z.string(),
  credentialId: z.string().nullable(),
  requestId: z.string(),
  address: z.string().nullable(),
  action: z.string(),
  resourceKind: z.string().nullable(),
  resourceId: z.string().nullable(),
  resourceName: z.string().nullable(),
  outcome: z.enum(['success', 'refused', 'failed']),
  detail: z.record(z.string(), z.unknown()),
  count: z.number().int(),
  seq: z.number().int().nullable(),
  hash: z.string().nullable(),
});
const publicKey = z.object({ id: z.string(), pem: z.string() });
const checkpoint = z.object({ seq: z.number().int(), hash: z.string(), at: z.string(), signature: z.string(), keyId: z.string() });

/** The audit log, for administrators. Reading it is on record too. */
@Controller('api/v1/audit')
export class AuditController {
  constructor(@Inject(Audit) private readonly audit: Audit) {}

  @Route({
    method: 'GET', summary: 'Read the audit log', description: 'Newest first. `seq` and `hash` are null until the row is sealed, at most a second later.',
    operation: 'audit:view', scope: 'system', query: filters, response: listOf(row), audit: 'audit.read',
  })
  async list(@In() { ctx, query }: Input<unknown, z.output<typeof filters>>): Promise<unknown> {
    const answer = await this.audit.list(ctx, query);
    const { cursor: _cursor, ...asked } = query;
    await this.audit.record(ctx, { action: 'audit.read', outcome: 'success', detail: { ...asked, rows: answer.items.length } });
    return answer;
  }

  @Route({ method: 'GET', path: 'key', summary: 'Public key that verifies checkpoints', operation: 'audit:view', scope: 'system', response: publicKey })
  key(): z.output<typeof publicKey> {
    return this.audit.publicKey();
  }

  @Route({
    method: 'GET', path: 'checkpoint', summary: 'Newest signed checkpoint', description: 'Keep it elsewhere: `gantry audit verify` then also finds a log whose end was cut off.',
    operation: 'audit:view', scope: 'system', response: checkpoint,
  })
  async checkpoint(@In() { ctx }: Input): Promise<unknown> {
    const found = await this.audit.findCheckpoint(ctx);
    if (!found) throw requestProblem('not-found', { detail: 'Nothing is sealed yet.' });
    return found;
  }
}
