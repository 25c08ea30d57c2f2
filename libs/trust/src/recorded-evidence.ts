import { sha256Digest } from './formats/evidence';
import type { EvidenceSource, RawManifest, Referrer } from './formats/evidence';

/** Larger manifests and blobs are not kept; signatures have a few KiB. */
export const maxKeptBytes = 64 * 1024;
/** Bound of what one verdict keeps. */
const maxKeptTotalBytes = 1024 * 1024;

/** What a registry answered while one image was verified. Contents are named by the digest they really have. */
export interface EvidenceRecord {
  /** Tag → manifest as served; null: there is none. */
  tags: Record<string, ServedManifest | null>;
  /** Digest asked for → manifest as served. */
  manifests: Record<string, ServedManifest | null>;
  /** Digest asked for → digest of the bytes served. */
  blobs: Record<string, string | null>;
  /** Image digest → referrers as listed. */
  referrers: Record<string, Referrer[]>;
  /** False when something was too large to keep, so that the verdict can't be re-run. */
  complete: boolean;
}

/** One manifest in a record: what the registry called it, and the digest of what it gave. */
export interface ServedManifest {
  digest: string;
  mediaType: string;
  content: string;
}

/** Passes reads on to a source and keeps what comes back. What the source failed to answer is left out: re-run, it fails again. */
export class RecordingEvidence implements EvidenceSource {
  readonly record: EvidenceRecord = { tags: {}, manifests: {}, blobs: {}, referrers: {}, complete: true };
  /** Bytes by their digest. */
  readonly bytes = new Map<string, Buffer>();
  private totalBytes = 0;

  constructor(private readonly source: EvidenceSource) {}

  async manifestByTag(tag: string): Promise<RawManifest | null> {
    const manifest = await this.source.manifestByTag(tag);
    this.record.tags[tag] = this.served(manifest);
    return manifest;
  }

  async manifestByDigest(digest: string): Promise<RawManifest | null> {
    const manifest = await this.source.manifestByDigest(digest);
    this.record.manifests[digest] = this.served(manifest);
    return manifest;
  }

  async blob(digest: string, maxBytes: number): Promise<Buffer | null> {
    const bytes = await this.source.blob(digest, maxBytes);
    this.record.blobs[digest] = bytes && this.keep(bytes);
    return bytes;
  }

  async referrers(subject: string): Promise<Referrer[]> {
    const list = await this.source.referrers(subject);
    this.record.referrers[subject] = list.map(({ digest, mediaType, artifactType }) => ({ digest, mediaType, artifactType }));
    return list;
  }

  private served(manifest: RawManifest | null): ServedManifest | null {
    return manifest && { digest: manifest.digest, mediaType: manifest.mediaType, content: this.keep(manifest.bytes) };
  }

  private keep(bytes: Buffer): string {
    const digest = sha256Digest(bytes);
    if (this.bytes.has(digest)) return digest;
    if (bytes.length > maxKeptBytes || this.totalBytes + bytes.length > maxKeptTotalBytes) {
      this.record.complete = false;
      return digest;
    }
    this.totalBytes += bytes.length;
    this.bytes.set(digest, bytes);
    return digest;
  }
}

/** Answers from a record exactly what the registry answered then; anything else fails, as an unanswered read. */
export class KeptEvidence implements EvidenceSource {
  constructor(
    private readonly record: EvidenceRecord,
    private readonly bytes: ReadonlyMap<string, Buffer>,
  ) {}

  async manifestByTag(tag: string): Promise<RawManifest | null> {
    return this.manifest(answerTo(this.record.tags, tag));
  }

  async manifestByDigest(digest: string): Promise<RawManifest | null> {
    return this.manifest(answerTo(this.record.manifests, digest));
  }

  async blob(digest: string): Promise<Buffer | null> {
    const content = answerTo(this.record.blobs, digest);
    return content === null ? null : this.content(content);
  }

  async referrers(subject: string): Promise<Referrer[]> {
    return answerTo(this.record.referrers, subject);
  }

  private manifest(served: ServedManifest | null): RawManifest | null {
    return served && { digest: served.digest, mediaType: served.mediaType, bytes: this.content(served.content) };
  }

  private content(digest: string): Buffer {
    const bytes = this.bytes.get(digest);
    if (bytes === undefined) throw new Error(`${digest} was not kept`);
    return bytes;
  }
}

function answerTo<T>(answers: Record<string, T>, question: string): T {
  const answer = Object.hasOwn(answers, question) ? answers[question] : undefined;
  if (answer === undefined) throw new Error(`no answer to ${question} was recorded`);
  return answer;
}
