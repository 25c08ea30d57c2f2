import { z } from 'zod';
import { idOrName, time } from '../http/route';

/** A user or organization in an answer. */
export const account = z.object({
  id: z.string(),
  kind: z.enum(['user', 'robot', 'organization']),
  name: z.string(),
  namespace: z.string().nullable(),
  source: z.enum(['local', 'ldap']),
  displayName: z.string().nullable(),
  mail: z.string().nullable(),
  admin: z.boolean(),
  active: z.boolean(),
  createdAt: time,
  version: z.number().int(),
});

/** What narrows a token; absent lists don't. */
export const limits = z.strictObject({
  operations: z.array(z.string().max(100)).max(200).optional(),
  repositories: z.array(z.uuid()).max(500).optional(),
  collections: z.array(idOrName).max(200).optional().describe('ids or paths; answered as ids. What lies below them is within'),
});

/** A new account's name; the library's rule is stricter and names the reason. */
export const newName = z.string().min(1).max(63);
/** Text without control characters that people read. */
export const label = z.string().max(200).regex(/^[^\p{Cc}\p{Cs}]*$/u, 'no control characters');
/** A code of a second factor as typed: six digits, or a recovery code. */
export const code = z.string().min(1).max(40);
/** Any password as typed. */
export const password = z.string().min(1).max(1024).regex(/^[^\0\p{Cs}]*$/u, 'no NUL, no broken characters');
