import type { Context } from '@gantry/platform';
import type { Images } from '@gantry/registry';
import { isSha256Digest, sha256Digest } from './formats/evidence';
import type { EvidenceSource } from './formats/evidence';
import { maxKeptBytes } from './recorded-evidence';

const maxTotalBytes = 16 * 1024 * 1024;

/**
 * Reads signatures through the registry's record and remembers contents by digest. What exists, and what a tag names, is asked anew each time;
 * only bytes are remembered, which are what their digest says or not at all. So nothing that is deleted or moved goes on counting, and a
 * verdict on what was looked at before asks the storage nothing.
 */
export class RememberedContent {
  private readonly contents = new Map<string, Buffer>();
  private totalBytes = 0;

  constructor(private readonly images: Images) {}

  /** What one repository holds. */
  source(ctx: Context, repository: string): EvidenceSource {
    const source = this.images.evidence(repository);
    const read = async (reference: string): ReturnType<EvidenceSource['manifestByTag']> => {
      const named = await this.images.resolve(ctx, repository, reference);
      if (named === null) return null;
      const key = `${repository} manifest ${named.digest}`;
      const known = this.contents.get(key);
      if (known !== undefined) return { digest: named.digest, mediaType: named.mediaType, bytes: known };
      const manifest = await source.manifestByDigest(named.digest);
      if (manifest !== null) this.remember(key, named.digest, manifest.bytes);
      return manifest;
    };
    return {
      manifestByTag: read,
      manifestByDigest: async (digest) => (isSha256Digest(digest) ? read(digest) : null),
      referrers: (subject) => source.referrers(subject),
      blob: async (digest, maxBytes) => {
        const key = `${repository} blob ${digest}`;
        const known = this.contents.get(key);
        if (known !== undefined) return known.length > maxBytes ? null : known;
        const bytes = await source.blob(digest, maxBytes);
        if (bytes !== null) this.remember(key, digest, bytes);
        return bytes;
      },
    };
  }

  private remember(key: string, digest: string, bytes: Buffer): void {
    if (bytes.length > maxKeptBytes || this.contents.has(key) || sha256Digest(bytes) !== digest) return;
    this.contents.set(key, bytes);
    this.totalBytes += bytes.length;
    for (const [oldest, content] of this.contents) {
      if (this.totalBytes <= maxTotalBytes) break;
      this.contents.delete(oldest);
      this.totalBytes -= content.length;
    }
  }
}
