import { defineProblems } from '@gantry/platform';

/** Problems of delivery; some are also the `reason.code` of a deployment that did not succeed. */
export const deliveryProblem = defineProblems('delivery', {
  'compose-invalid': { kind: 'invalid', title: 'The Compose file can’t be used', description: 'Correct the places named in `errors` and send the file again.' },
  'image-foreign': { kind: 'unprocessable', title: 'An image is not from this registry', description: 'Push the image to this registry and name it as `namespace/name:tag`.' },
  'image-invalid': { kind: 'unprocessable', title: 'An image reference can’t be read', description: 'Write it as `namespace/name:tag` or `namespace/name@sha256:…`.' },
  'image-unknown': { kind: 'unprocessable', title: 'An image is not in the registry', description: 'Push the image first, or correct its name or tag.' },
  'image-refused': { kind: 'unprocessable', title: 'The signature policy refuses an image', description: 'Sign the image with a key that the environment’s policy demands, and deploy again.' },
  'secret-missing': { kind: 'unprocessable', title: 'A secret has no value', description: 'Set it with PUT /api/v1/applications/{app}/secrets/{name} for this environment.' },
  'revision-missing': { kind: 'unprocessable', title: 'The application has no such revision', description: 'Create a revision with POST /api/v1/applications/{app}/revisions first.' },
  'plan-stale': { kind: 'conflict', title: 'The plan is no longer true', description: 'Something was deployed or changed since, or an hour has passed. Make a new plan.' },
  'plan-refused': { kind: 'unprocessable', title: 'The plan was refused', description: 'Look at the plan’s verdicts, correct what they name, and make a new plan.' },
  'already-finished': { kind: 'conflict', title: 'The deployment is already finished', description: 'A finished deployment can’t be cancelled; roll it back instead.' },
  'no-previous': { kind: 'conflict', title: 'There is no earlier release to return to', description: 'Deploy the release that you want by name.' },
  'in-use': { kind: 'conflict', title: 'It is still in use', description: 'Remove what uses it first.' },
  'hook-signature': { kind: 'unauthenticated', title: 'The signature of the call is not valid', description: 'Sign the exact body with HMAC-SHA-256 and the trigger’s secret, and send it as `X-Hub-Signature-256: sha256=<hex>`.' },
  'hook-unmatched': { kind: 'unprocessable', title: 'The trigger does not deploy this repository', description: 'The repository must be the image of a service of the trigger’s application.' },
  'digest-mismatch': { kind: 'unprocessable', title: 'The digest is not the tag’s', description: 'The tag names another digest in the registry; leave the digest out or send the one that was pushed.' },
  'object-foreign': { kind: 'conflict', title: 'An object of that name belongs to somebody else', description: 'Rename the application, the environment or the object on the cluster.' },
  'external-missing': { kind: 'unprocessable', title: 'An external object is not on the cluster', description: 'Create it on the cluster, or let Gantry create it by removing `external`.' },
  unhealthy: { kind: 'unprocessable', title: 'The services did not become healthy', description: 'The reason is the task’s own error; correct the image or its settings and deploy again.' },
  'deadline-exceeded': { kind: 'unprocessable', title: 'The deployment took too long', description: 'The services were not healthy within GANTRY_DEPLOY_DEADLINE_SECONDS.' },
  'engine-refused': { kind: 'unprocessable', title: 'The engine refused a change', description: 'The reason is the engine’s own message.' },
  cancelled: { kind: 'conflict', title: 'The deployment was cancelled', description: 'Somebody asked for it.' },
});
