import { z } from 'zod';
import { defineEvent } from '@gantry/platform';

/** An image (manifest or index) was pushed; `tag` is null for a push by digest. Pushing the same again tells it again. */
export const imagePushed = defineEvent(
  'registry.image-pushed',
  z.object({ repositoryId: z.string(), repository: z.string(), tag: z.string().nullable(), digest: z.string(), mediaType: z.string() }),
);

/** A signature or other attachment was pushed for the image `subject`: as a referrer, or under a `sha256-<hex>` or `sha256-<hex>.sig` tag. */
export const signaturePushed = defineEvent(
  'registry.signature-pushed',
  z.object({ repositoryId: z.string(), repository: z.string(), subject: z.string(), digest: z.string() }),
);
