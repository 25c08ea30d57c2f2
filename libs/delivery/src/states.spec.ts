import { afterRollback, deploymentStates, isFinal, mayFollow, type DeploymentState } from './states';

describe('states of a deployment', () => {
  it('end in five ways, and nothing follows an end', () => {
    const ends = deploymentStates.filter(isFinal);
    expect(ends).toEqual(['succeeded', 'rolled-back', 'failed', 'cancelled', 'superseded']);
    for (const end of ends) for (const next of deploymentStates) expect(mayFollow(end, next)).toBe(false);
  });

  it('lead from every state to an end', () => {
    const reaches = (from: DeploymentState, seen: DeploymentState[] = []): boolean =>
      isFinal(from) || deploymentStates.some((next) => mayFollow(from, next) && !seen.includes(next) && reaches(next, [...seen, from]));
    for (const state of deploymentStates) expect(reaches(state)).toBe(true);
  });

  it('never end a deployment that has touched the cluster without watching or turning back', () => {
    for (const end of deploymentStates.filter(isFinal)) expect(mayFollow('applying', end)).toBe(false);
    expect(deploymentStates.filter((state) => mayFollow('watching', state))).toEqual(['rolling-back', 'succeeded']);
    expect(mayFollow('rolling-back', 'succeeded')).toBe(false);
  });

  it.each([
    ['delivery.unhealthy', true, true, 'rolled-back'], ['delivery.unhealthy', false, true, 'failed'], ['delivery.unhealthy', true, false, 'failed'],
    ['delivery.cancelled', true, true, 'cancelled'], ['delivery.cancelled', false, true, 'cancelled'], ['delivery.cancelled', true, false, 'failed'],
  ] as const)('%s, previous release %s, restored %s: %s', (code, hadPrevious, restored, expected) => {
    expect(afterRollback({ code, detail: '' }, hadPrevious, restored)).toBe(expected);
  });
});
