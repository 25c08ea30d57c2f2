import { appendFileSync } from 'node:fs';
import type { INestApplicationContext } from '@nestjs/common';
import { Clusters, type EngineClient } from '@gantry/clusters';
import { Faults } from '@gantry/delivery';
import type { FaultSeam } from './fault-seam';

/**
 * Makes the points of `Faults` act on the seam, and adds points around each change that is asked of an engine (`engine-createService`),
 * which lie inside those of `Faults`: there the engine has done what nobody has written down yet.
 * A deployment that reaches its point stays there; at the last one of all the process dies, so that several deployments die at once,
 * each at its own point. A call that is made on the same object again and again with none in between, as polls are, counts once.
 */
export function armFaults(app: INestApplicationContext, seam: FaultSeam): void {
  const waiting = seam.killAt.map((point) => ({ ...point, left: point.n, last: '' }));
  const point: Faults['point'] = async (step, when, object) => {
    const call = `${step} ${object}`;
    let isReached = false;
    for (const each of waiting) {
      if (each.when !== when || !object.includes(each.part)) continue;
      const isRepeat = each.last === call;
      each.last = call;
      if (isRepeat || each.step !== step) continue;
      each.left -= 1;
      isReached ||= each.left === 0;
    }
    if (seam.traceFile !== null) appendFileSync(seam.traceFile, `${JSON.stringify({ step, when, object, isReached })}\n`);
    if (!isReached) return;
    if (waiting.every(({ left }) => left <= 0)) process.kill(process.pid, 'SIGKILL');
    await new Promise<never>(() => undefined);
  };
  app.get(Faults).point = point;
  const clusters = app.get(Clusters);
  const engine = clusters.engine.bind(clusters);
  clusters.engine = async (...which) => withPoints(await engine(...which), point);
}

/** An engine whose changes are surrounded by points. */
function withPoints(engine: EngineClient, point: Faults['point']): EngineClient {
  return new Proxy(engine, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      const call = member.bind(target) as (...values: unknown[]) => unknown;
      if (typeof name !== 'string' || !/^(create|update|remove)/.test(name)) return call;
      return async (...values: [string | { Name: string }, ...unknown[]]) => {
        const object = typeof values[0] === 'string' ? values[0] : values[0].Name;
        await point(`engine-${name}`, 'before', object);
        const answer = await call(...values);
        await point(`engine-${name}`, 'after', object);
        return answer;
      };
    },
  });
}
