import { sha256Digest } from '../src/formats/evidence';
import type { EvidenceSource, RawManifest, Referrer } from '../src/formats/evidence';
import type { Pushable } from '../src/formats/sign';

/** A repository in memory. Its maps are open: tests put wrong bytes under right digests to see them refused. */
export class MemoryEvidence implements EvidenceSource {
  readonly manifests = new Map<string, RawManifest>();
  readonly blobs = new Map<string, Buffer>();
  readonly tags = new Map<string, string>();
  /** The registry's own referrers list, by subject; empty as in Distribution 2.8 unless a test fills it. */
  readonly lists = new Map<string, Referrer[]>();
  /** Calls named here fail like an unreachable registry. */
  readonly broken = new Set<keyof EvidenceSource>();

  async manifestByTag(tag: string): Promise<RawManifest | null> {
    this.answer('manifestByTag');
    return this.manifests.get(this.tags.get(tag) ?? '') ?? null;
  }

  async manifestByDigest(digest: string): Promise<RawManifest | null> {
    this.answer('manifestByDigest');
    return this.manifests.get(digest) ?? null;
  }

  async blob(digest: string, maxBytes: number): Promise<Buffer | null> {
    this.answer('blob');
    const bytes = this.blobs.get(digest) ?? null;
    return bytes !== null && bytes.length > maxBytes ? null : bytes;
  }

  async referrers(subject: string): Promise<Referrer[]> {
    this.answer('referrers');
    return this.lists.get(subject) ?? [];
  }

  /** Adds a manifest, tagged or not; answers its digest. */
  addManifest(mediaType: string, bytes: Buffer, tag: string | null = null): string {
    const digest = sha256Digest(bytes);
    this.manifests.set(digest, { digest, mediaType, bytes });
    if (tag !== null) this.tags.set(tag, digest);
    return digest;
  }

  /** Adds a blob; answers its digest. */
  addBlob(bytes: Buffer): string {
    const digest = sha256Digest(bytes);
    this.blobs.set(digest, bytes);
    return digest;
  }

  /** Takes in what a signer made. */
  push(pushable: Pushable): void {
    for (const blob of pushable.blobs) this.addBlob(blob.bytes);
    this.addManifest(pushable.manifest.mediaType, pushable.manifest.bytes, pushable.tag);
  }

  private answer(call: keyof EvidenceSource): void {
    if (this.broken.has(call)) throw new Error(`${call} is broken for this test`);
  }
}
