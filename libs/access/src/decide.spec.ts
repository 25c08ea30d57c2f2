import fc from 'fast-check';
import { cases, facts, randomDecisions, who } from '../testing/decisions';
import { decide, decideMany, groundsOf, withinLimits, type ResourceRef } from './decide';
import { operations } from './operations';

describe('the decision', () => {
  it.each(cases)('%s', (_why, actor, operation, resource, allowed, visible) => {
    expect(decide(facts, actor, operation, resource)).toMatchObject({ allowed, visible });
  });

  it('ends on a parent chain that bites its tail', () => {
    const loop: ResourceRef = { kind: 'x', id: 'x' };
    loop.parent = loop;
    expect(decide(facts, who('ann'), 'repository:view', loop)).toMatchObject({ allowed: false, visible: false });
  });

  it('agrees with a naive reading of the rules on random facts', () => {
    fc.assert(randomDecisions({ decide, decideMany, groundsOf, withinLimits }, ({ got, wanted }) => expect(got).toEqual(wanted)), { numRuns: 5_000 });
  });

  it('lets nobody and services use almost nothing', () => {
    expect(withinLimits({ ...who('x', null, 'anonymous'), id: null }, 'repository:pull')).toBe(false);
    expect(operations.filter((operation) => withinLimits(who('s', null, 'service'), operation))).toEqual(['repository:pull']);
  });
});
