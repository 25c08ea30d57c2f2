import { defineProblems } from '@gantry/platform';

/** Problems of the audit log. */
export const auditProblem = defineProblems('audit', {
  'key-missing': {
    kind: 'unavailable',
    title: 'The audit signing key is not configured here',
    description: 'Set GANTRY_AUDIT_KEY_FILE to a PEM private key (Ed25519) and start again.',
  },
});
