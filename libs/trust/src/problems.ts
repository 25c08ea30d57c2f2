import { defineProblems } from '@gantry/platform';

/** Problems of signing keys, signature policies and signing. */
export const trustProblem = defineProblems('trust', {
  'key-invalid': {
    kind: 'invalid',
    title: 'This is not a key that can be used',
    description: 'Send one PEM block `PUBLIC KEY` of a P-256 (recommended), P-384, Ed25519 or RSA key of 2048 to 8192 bits.',
  },
  'key-known': {
    kind: 'conflict',
    title: 'The key is enrolled already',
    description: 'A key stands for one owner in the whole system. Make a key pair of your own, or ask an administrator whose this one is.',
  },
  'key-in-use': {
    kind: 'conflict',
    title: 'A signature policy names this key',
    description: 'Take it out of the policies first, or retire or revoke it instead.',
  },
  'key-on-record': {
    kind: 'conflict',
    title: 'Retired and revoked keys stay on record',
    description: 'They are kept so that the same key can’t be enrolled again as if nothing had happened.',
  },
  'key-status': {
    kind: 'conflict',
    title: 'The key can’t take this status',
    description: 'Keys go from active to retired to revoked, never back. Enrol a new key instead.',
  },
  'key-cannot-sign': {
    kind: 'conflict',
    title: 'Gantry can’t sign with this key',
    description: 'Only an active key that was generated here has its private half here. Sign with cosign, or name another key.',
  },
  'policy-without-keys': {
    kind: 'invalid',
    title: 'A policy that demands signatures needs keys',
    description: 'Name at least as many keys as `threshold` says, or set the mode to `off`.',
  },
  'policy-exists': {
    kind: 'conflict',
    title: 'There is a signature policy for this already',
    description: 'Change that one; a scope has one policy.',
  },
  'image-unknown': {
    kind: 'not-found',
    title: 'The repository has no such image',
    description: 'Push the image first, and name it by a tag or digest that the repository has.',
  },
  'signing-busy': {
    kind: 'unavailable',
    title: 'Another signature of this image is being written',
    description: 'Try again in a moment.',
  },
  'signatures-unreadable': {
    kind: 'conflict',
    title: 'The image’s signatures can’t be appended to',
    description: 'What lies under its signature tag is not a signature manifest. Delete that tag, then sign again.',
  },
});
