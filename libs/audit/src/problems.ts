import { defineProblems } from '@gantry/platform';

/** Problems of the audit log. */
export const auditProblem = defineProblems('audit', {
  'key-missing': {
    kind: 'unavailable',
    title: 'The audit signing key is not configured here',
    description: 'Set GANTRY_AUDIT_KEY_FILE to a PEM private key (Ed25519) and start again.',
  },
  'bad-key': {
    kind: 'invalid',
    title: 'This is not a public key of an audit log',
    description: 'Give the Ed25519 public key as PEM, as `GET /api/v1/audit/key` answers it.',
  },
  'bad-checkpoint': {
    kind: 'invalid',
    title: 'This is not a checkpoint of the audit log',
    description: 'Give the file that `gantry audit checkpoint` wrote, unchanged, and the public key that was saved with it.',
  },
  'export-outrun': {
    kind: 'unavailable',
    title: 'Retention removed rows while they were exported',
    description: 'The export is not complete. Start it again.',
  },
});
