import { z } from 'zod';
import { defineJob } from '@gantry/platform';

/** Wakes a worker for a deployment; the deployment's own row says what is to be done. Tried again by `deliverySweep`, not by the queue. */
export const runDeployment = defineJob('delivery.run-deployment', z.object({ deploymentId: z.uuid() }), { attempts: 1 });

/** NOTIFY channel that carries the id of a deployment with news. */
export const deploymentChannel = 'gantry_deployment';

/** Pull credentials are renewed when they end within this time. */
export const renewMillis = 30 * 86_400_000;
