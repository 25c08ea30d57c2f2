import { z } from 'zod';

/** `sha256:` and 64 lower-case hex digits, the one algorithm that is verified. */
export const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 lower-case hex digits');
/** `namespace/name`, without host, tag and digest. */
export const repositoryPath = z.string().max(255).regex(/^[a-z0-9._-]+\/[a-z0-9._-]+$/, 'namespace/name');
/** Claims beside a signed digest: name → value. */
export const claims = z.record(z.string().min(1).max(128), z.string().max(1_024)).refine((stated) => Object.keys(stated).length <= 20, 'at most 20 claims');
