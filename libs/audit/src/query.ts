import { isUuid, requestProblem } from '@gantry/platform';
import type { AuditOutcome } from './entities';

/**
 * What is looked for. `actor` is an id or a name; `action` is exact, or a prefix that ends in `*` (`repository.*`); times are inclusive
 * `from`, exclusive `to`.
 */
export interface AuditSearch {
  actor?: string;
  action?: string;
  resourceKind?: string;
  resourceId?: string;
  resourceName?: string;
  outcome?: AuditOutcome;
  requestId?: string;
  from?: Date;
  to?: Date;
}

/** One page of `Audit.list`. */
export interface AuditFilter extends AuditSearch {
  limit: number;
  cursor?: string;
}

/** A row's columns as they are hashed; `at` has microseconds. */
export const chainColumns = `id, to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, actor_kind as "actorKind", actor_id as "actorId",
  actor_name as "actorName", credential_id as "credentialId", request_id as "requestId", address, action, resource_kind as "resourceKind",
  resource_id as "resourceId", resource_name as "resourceName", outcome, detail, count`;

const timeForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

/** SQL of a search, with its parameters. */
export interface AuditSql {
  sql: string;
  parameters: unknown[];
}

/**
 * The query of a page: rows that fit, ordered by time and id, after a place in that order. Each single filter has an index in this very
 * order (`audit_rows_by_…`), so that a page costs as much at the end of the log as at its beginning.
 * @param place time with microseconds and id of the row before the page, as in a cursor. @throws request.invalid when it is no such place
 */
export function auditQuery(search: AuditSearch, options: { limit: number; order: 'asc' | 'desc'; place?: readonly string[] | null; sealedUpTo?: number }): AuditSql {
  const parameters: unknown[] = [];
  const conditions: string[] = [];
  const add = (condition: string, ...values: unknown[]): void => {
    let index = parameters.length;
    parameters.push(...values);
    conditions.push(condition.replaceAll('?', () => `$${(index += 1)}`));
  };
  const { order, place } = options;
  if (place) {
    const [at = '', id = ''] = place;
    if (!timeForm.test(at) || Number.isNaN(Date.parse(at)) || !isUuid(id)) throw requestProblem('invalid', { errors: [{ pointer: 'query/cursor', detail: 'not a cursor of this list' }] });
    add(`(at, id) ${order === 'desc' ? '<' : '>'} (?::timestamptz, ?::uuid)`, at, id);
  }
  // Names never look like ids, so that one index answers.
  if (search.actor !== undefined) add(isUuid(search.actor) ? 'actor_id = ?' : 'actor_name = ?', search.actor);
  if (search.action?.endsWith('*')) {
    const prefix = search.action.slice(0, -1);
    if (prefix !== '') add('action ~>=~ ? and action ~<~ ?', prefix, `${prefix}\u{10ffff}`);
  } else if (search.action !== undefined) add('action = ?', search.action);
  if (search.resourceKind !== undefined) add('resource_kind = ?', search.resourceKind);
  if (search.resourceId !== undefined) add('resource_id = ?', search.resourceId);
  if (search.resourceName !== undefined) add('resource_name = ?', search.resourceName);
  // A constant and not a parameter: the index of what went wrong is a partial one.
  if (search.outcome !== undefined) add(`outcome = '${outcomes[search.outcome]}'`);
  if (search.requestId !== undefined) add('request_id = ?', search.requestId);
  if (search.from !== undefined) add('at >= ?', search.from);
  if (search.to !== undefined) add('at < ?', search.to);
  if (options.sealedUpTo !== undefined) add('seq <= ?', options.sealedUpTo);
  const where = conditions.length > 0 ? `where ${conditions.join(' and ')}` : '';
  parameters.push(options.limit);
  return { sql: `select seq, hash, ${chainColumns} from audit_rows ${where} order by audit_rows.at ${order}, id ${order} limit $${parameters.length}`, parameters };
}

const outcomes = { success: 'success', refused: 'refused', failed: 'failed' } as const satisfies Record<AuditOutcome, string>;

/** Whether a search leaves nothing out. */
export function isEverything(search: AuditSearch): boolean {
  const { action, ...others } = search;
  return (action === undefined || action === '*') && Object.values(others).every((value) => value === undefined);
}
