/** Where a deployment is. The first five work or wait for work, the others are final. */
export const deploymentStates = ['queued', 'planning', 'applying', 'watching', 'rolling-back', 'succeeded', 'rolled-back', 'failed', 'cancelled', 'superseded'] as const;

/** One of `deploymentStates`. */
export type DeploymentState = (typeof deploymentStates)[number];

/**
 * Which state may follow which. `rolling-back` returns the services to the previous release, or removes what a first deployment made;
 * its outcome is `rolled-back`, `failed` (nothing to return to, or the return failed) or `cancelled`.
 */
const transitions: Record<DeploymentState, readonly DeploymentState[]> = {
  queued: ['planning', 'cancelled', 'superseded', 'failed'],
  planning: ['applying', 'cancelled', 'failed'],
  applying: ['watching', 'rolling-back'],
  watching: ['succeeded', 'rolling-back'],
  'rolling-back': ['rolled-back', 'failed', 'cancelled'],
  succeeded: [],
  'rolled-back': [],
  failed: [],
  cancelled: [],
  superseded: [],
};

/** True when nothing will happen to the deployment any more. */
export function isFinal(state: DeploymentState): boolean {
  return transitions[state].length === 0;
}

/** True when a deployment may go from one state to the other. */
export function mayFollow(from: DeploymentState, to: DeploymentState): boolean {
  return transitions[from].includes(to);
}

/** Why a deployment did not succeed: a problem code and a sentence for people. */
export interface DeploymentReason {
  code: string;
  detail: string;
}

/** The final state after a rollback: what asked for it, whether there was a release to return to, whether the return worked. */
export function afterRollback(reason: DeploymentReason, hadPrevious: boolean, restored: boolean): DeploymentState {
  if (!restored) return 'failed';
  if (reason.code === 'delivery.cancelled') return 'cancelled';
  return hadPrevious ? 'rolled-back' : 'failed';
}
