import { Controller, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Access, Authenticator, systemResource } from '@gantry/access';
import { Audit, SyslogForwarder } from '@gantry/audit';
import { requestProblem } from '@gantry/platform';
import { streamLines } from '../http/lines';
import { In, listOf, page, Route, time, type Input } from '../http/route';
import { stillAllowed } from '../http/still-allowed';

const when = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const search = {
  actor: z.string().min(1).max(300).optional().describe('id or name of who acted'),
  action: z.string().regex(/^[A-Za-z0-9._:-]{0,100}\*?$/, 'an action, or its beginning and *').min(1).optional().describe('`repository.create`, or a prefix: `repository.*`'),
  resourceKind: z.string().min(1).max(50).optional(),
  resourceId: z.string().min(1).max(300).optional(),
  resourceName: z.string().min(1).max(300).optional(),
  outcome: z.enum(['success', 'refused', 'failed']).optional(),
  requestId: z.string().min(1).max(100).optional(),
  from: when.optional().describe('not before this time'),
  to: when.optional().describe('before this time'),
};
const filters = page.extend(search);
const exportFilters = z.strictObject(search);
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
const savedCheckpoint = checkpoint.extend({ publicKey: z.string().nullable() });
const exportLine = z.discriminatedUnion('type', [
  z.object({ type: z.literal('export'), form: z.string(), at: z.string(), complete: z.boolean(), filter: z.record(z.string(), z.unknown()) }),
  z.object({ type: z.literal('removal'), firstSeq: z.number().int(), lastSeq: z.number().int(), hash: z.string(), before: z.string(), at: z.string(), signature: z.string(), keyId: z.string() }),
  row.extend({ type: z.literal('row'), at: z.string(), seq: z.number().int(), hash: z.string() }),
  z.object({ type: z.literal('end'), rows: z.number().int(), checkpoint: checkpoint.nullable() }),
]);
const forwarding = z.object({
  enabled: z.boolean(), connected: z.boolean(), confirmedSeq: z.number().int(), waiting: z.number().int(), fault: z.string().nullable(), changedAt: time.nullable(),
});

/** The audit log, for administrators. Reading it is on record too. */
@Controller('api/v1/audit')
export class AuditController {
  constructor(
    @Inject(Audit) private readonly audit: Audit,
    @Inject(SyslogForwarder) private readonly forwarder: SyslogForwarder,
    @Inject(Authenticator) readonly authenticator: Authenticator,
    @Inject(Access) readonly access: Access,
  ) {}

  @Route({
    method: 'GET', summary: 'Read the audit log', description: 'Newest first. `seq` and `hash` are null until the row is sealed, at most a second later.',
    operation: 'audit:view', scope: 'system', query: filters, response: listOf(row), audit: 'audit.read',
  })
  async list(@In() { ctx, query }: Input<unknown, z.output<typeof filters>>): Promise<unknown> {
    const answer = await this.audit.list(ctx, query);
    const { cursor: _cursor, ...asked } = query;
    await this.audit.recordRead(ctx, { action: 'audit.read', outcome: 'success', detail: { ...asked, rows: answer.items.length } }, asked);
    return answer;
  }

  @Route({
    method: 'GET', path: 'export', summary: 'Export the sealed audit log as JSON lines',
    description: 'Oldest first (by time where it is filtered). The first line says what follows, the last one holds a signed checkpoint; without it the export is not complete. `gantry audit verify --file` verifies an export without filters.',
    operation: 'audit:export', scope: 'system', query: exportFilters, response: exportLine, lines: true, audit: 'audit.export',
  })
  async export(@In() { ctx, query, request }: Input<unknown, z.output<typeof exportFilters>>, @Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    await this.audit.recordRead(ctx, { action: 'audit.export', outcome: 'success', detail: { ...query } }, query);
    await streamLines(reply, this.audit.exportLines(ctx, query), stillAllowed(this, request, ctx, 'audit:export', systemResource));
  }

  @Route({ method: 'GET', path: 'key', summary: 'Public key that verifies checkpoints', operation: 'audit:view', scope: 'system', response: publicKey })
  key(): z.output<typeof publicKey> {
    return this.audit.publicKey();
  }

  @Route({
    method: 'GET', path: 'checkpoint', summary: 'Newest signed checkpoint', description: 'Keep it elsewhere: `gantry audit verify --checkpoint` then also finds a log whose end was cut off, or that was made anew and signed again.',
    operation: 'audit:view', scope: 'system', response: savedCheckpoint,
  })
  async checkpoint(@In() { ctx }: Input): Promise<unknown> {
    const found = await this.audit.findCheckpoint(ctx);
    if (!found) throw requestProblem('not-found', { detail: 'Nothing is sealed yet.' });
    return found;
  }

  @Route({
    method: 'GET', path: 'forwarding', summary: 'How forwarding to syslog stands', description: 'Whether the receiver is reached, what is wrong if not, and how many rows are not known to have arrived.',
    operation: 'audit:view', scope: 'system', response: forwarding,
  })
  forwarding(@In() { ctx }: Input): Promise<unknown> {
    return this.forwarder.status(ctx);
  }
}
