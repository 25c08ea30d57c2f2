import { defineProblems } from '@gantry/platform';

/** Problems of repositories, tags and manifests. */
export const registryProblem = defineProblems('registry', {
  'tag-immutable': {
    kind: 'conflict',
    title: 'The tag is immutable',
    description: 'Tags of this repository keep the image they were first given. Push under another tag, or delete the tag first.',
  },
  'name-invalid': {
    kind: 'invalid',
    title: 'This can’t be a repository name',
    description: 'Use lower-case letters and digits, with single `.`, `_`, `__` or dashes between them, at most 128 characters.',
  },
  'namespace-unknown': { kind: 'unprocessable', title: 'Nobody owns this namespace', description: 'A namespace is the name of a user or an organization.' },
  'repository-not-empty': {
    kind: 'conflict',
    title: 'The repository still holds images',
    description: 'Delete its images first, or send `?force=true` to delete them with it.',
  },
  'digest-in-use': {
    kind: 'conflict',
    title: 'The image is in use',
    description: 'A deployment runs this image or could roll back to it. Deploy something else first.',
  },
  'manifest-invalid': { kind: 'invalid', title: 'The manifest is not valid', description: 'Send an OCI or Docker schema 2 manifest or index as plain JSON.' },
  'digest-invalid': { kind: 'invalid', title: 'The digest does not fit', description: 'Digests are `sha256:` and 64 lower-case hex digits of the content’s SHA-256.' },
  'backend-unavailable': {
    kind: 'unavailable',
    title: 'The registry’s storage does not answer',
    description: 'Try again in a moment; the operators see why in the log.',
  },
  'backend-refused': { kind: 'unprocessable', title: 'The registry’s storage refused the content', description: 'Push the blobs that the manifest names first.' },
});
