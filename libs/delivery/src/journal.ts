import { Injectable } from '@nestjs/common';
import { Db, isUuid, requestProblem, type Context } from '@gantry/platform';
import { deploymentChannel } from './jobs';

/** `apply` leads to the new release, `rollback` back to the previous one. */
export type Phase = 'apply' | 'rollback';

/** One step on one object: written as `running` with the wish before the engine is called, as `done` after. */
export interface Step {
  phase: Phase;
  name: string;
  object: string;
  state: 'running' | 'done' | 'failed';
  wish: Record<string, unknown>;
  result: Record<string, unknown> | null;
  startedAt: Date;
  finishedAt: Date | null;
}

/** Something that happened in a deployment; `id` grows. */
export interface DeploymentEvent {
  id: string;
  at: Date;
  type: string;
  data: Record<string, unknown>;
}

/** The durable record of a deployment's steps and events. Each write wakes those who watch. */
@Injectable()
export class Journal {
  constructor(private readonly db: Db) {}

  /** Steps in the order in which they were begun. */
  async steps(ctx: Context, deploymentId: string): Promise<Step[]> {
    return this.db.query<Step & Record<string, unknown>>(ctx, `
      select phase, name, object, state, wish, result, started_at as "startedAt", finished_at as "finishedAt"
      from delivery_steps where deployment_id = $1 order by ordinal`, [deploymentId]);
  }

  /** Writes ahead what is about to be asked of the engine. A step that is begun again keeps its place and takes the new wish. */
  async begin(ctx: Context, deploymentId: string, step: Pick<Step, 'phase' | 'name' | 'object' | 'wish'>): Promise<void> {
    await this.db.query(ctx, `
      with step as (
        insert into delivery_steps (deployment_id, phase, name, object, state, wish) values ($1, $2, $3, $4, 'running', $5)
        on conflict (deployment_id, phase, name, object) do update set state = 'running', wish = excluded.wish returning 1),
      event as (insert into delivery_events (deployment_id, type, data) values ($1, 'step', $6) returning 1)
      select pg_notify('${deploymentChannel}', $7) from step, event`,
      [deploymentId, step.phase, step.name, step.object, JSON.stringify(step.wish), JSON.stringify({ phase: step.phase, step: step.name, object: step.object, state: 'running', ...pick(step.wish) }), deploymentId]);
  }

  /** Closes a step. */
  async end(ctx: Context, deploymentId: string, step: Pick<Step, 'phase' | 'name' | 'object'>, state: 'done' | 'failed', result: Record<string, unknown>): Promise<void> {
    await this.db.query(ctx, `
      with step as (
        update delivery_steps set state = $5, result = $6, finished_at = now()
        where deployment_id = $1 and phase = $2 and name = $3 and object = $4 returning 1),
      event as (insert into delivery_events (deployment_id, type, data) values ($1, 'step', $7) returning 1)
      select pg_notify('${deploymentChannel}', $8) from event`,
      [deploymentId, step.phase, step.name, step.object, state, JSON.stringify(result), JSON.stringify({ phase: step.phase, step: step.name, object: step.object, state, ...result }), deploymentId]);
  }

  /** Appends an event. */
  async event(ctx: Context, deploymentId: string, type: string, data: Record<string, unknown>): Promise<void> {
    await this.db.query(ctx, `
      with event as (insert into delivery_events (deployment_id, type, data) values ($1, $2, $3) returning 1)
      select pg_notify('${deploymentChannel}', $4) from event`, [deploymentId, type, JSON.stringify(data), deploymentId]);
  }

  /** Events after an id (null: from the first), oldest first. @throws request.invalid when `after` is no event id */
  async events(ctx: Context, deploymentId: string, after: string | null, limit: number): Promise<DeploymentEvent[]> {
    if (!isUuid(deploymentId)) throw requestProblem('not-found');
    if (after !== null && !/^\d{1,18}$/.test(after)) throw requestProblem('invalid', { errors: [{ pointer: 'header/last-event-id', detail: 'not the id of an event' }] });
    return this.db.query<DeploymentEvent & Record<string, unknown>>(ctx,
      'select e.id::text as id, e.at, e.type, e.data from delivery_events e where e.deployment_id = $1 and e.id > $2 order by e.id limit $3', [deploymentId, after ?? '0', limit]);
  }
}

function pick(wish: Record<string, unknown>): Record<string, unknown> {
  return 'action' in wish ? { action: wish['action'] } : {};
}
