import { createHash } from 'node:crypto';
import { parseStrictJson, StrictJsonError } from '@gantry/platform';
import { Refusal } from './findings';
import { asObject } from './json';
import type { JsonObject } from './json';
import { verifyBytes } from './keys';
import type { SignatureScheme, TrustedKey } from './keys';

/** A manifest as the registry serves it. `bytes` are hashed again here; `digest` and `mediaType` are what the registry says. */
export interface RawManifest {
  digest: string;
  mediaType: string;
  bytes: Buffer;
}

/** One entry of a referrers list. Only the digest is used: the rest is unsigned, and cosign 3 writes a wrong artifactType. */
export interface Referrer {
  digest: string;
  mediaType: string;
  artifactType: string | null;
}

/**
 * How the verifiers read one repository. Implementations answer null for what is absent (404), throw when they cannot tell, and need not
 * check any digest. Calls may run side by side.
 */
export interface EvidenceSource {
  manifestByTag(tag: string): Promise<RawManifest | null>;
  manifestByDigest(digest: string): Promise<RawManifest | null>;
  /** The whole blob. Must not keep more than `maxBytes` in memory: null, or any shorter buffer, for a longer one. */
  blob(digest: string, maxBytes: number): Promise<Buffer | null>;
  /** Manifests whose `subject` is this digest (OCI distribution 1.1); empty where the registry has no such list. */
  referrers(subject: string): Promise<Referrer[]>;
}

/** Bounds of one image's verification. What lies beyond is reported as LIMIT, never taken for absent. */
export interface EvidenceLimits {
  /** Layers of the `.sig` manifest read, and separately referrers opened. */
  maxCandidates: number;
  maxManifestBytes: number;
  /** Of one payload or bundle. */
  maxBlobBytes: number;
  /** Of all manifests and blobs together. */
  maxTotalBytes: number;
  /** Public key operations; one P-256 check takes about 0.1 ms. */
  maxVerifications: number;
}

/** 100 candidates is Notation's default too. A cosign payload has about 250 bytes, a bundle about 1.5 KiB; 5,000 checks take 0.5 s. */
export const DEFAULT_EVIDENCE_LIMITS: EvidenceLimits = {
  maxCandidates: 100,
  maxManifestBytes: 1024 * 1024,
  maxBlobBytes: 256 * 1024,
  maxTotalBytes: 16 * 1024 * 1024,
  maxVerifications: 5_000,
};

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** True for `sha256:` and 64 lower-case hex digits, the only digests that are verified here. */
export function isSha256Digest(value: unknown): value is string {
  return typeof value === 'string' && DIGEST.test(value);
}

/** `sha256:<hex>` of these bytes. */
export function sha256Digest(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Strict parse of an object; refused as AMBIGUOUS_PAYLOAD, or LIMIT when too deep or too long. `what` names it in the detail. */
export function parseObject(bytes: Buffer, what: string, maxBytes: number): JsonObject {
  try {
    const object = asObject(parseStrictJson(bytes, { maxBytes }));
    if (object !== null) return object;
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    throw new Refusal(error.fault === 'limit' ? 'LIMIT' : 'AMBIGUOUS_PAYLOAD', `${what}: ${error.message}`);
  }
  throw new Refusal('AMBIGUOUS_PAYLOAD', `${what} is not a JSON object`);
}

/** Reads from a source, believes nothing it says, and keeps the budget of one image's verification. */
export class EvidenceReader {
  private totalBytes = 0;
  private verifications = 0;

  constructor(
    private readonly source: EvidenceSource,
    readonly limits: EvidenceLimits,
  ) {}

  /** The manifest under a tag, hashed again; null when absent. */
  async manifestByTag(tag: string): Promise<RawManifest | null> {
    const manifest = await this.ask(`tag ${tag}`, () => this.source.manifestByTag(tag));
    return manifest && this.checked(manifest, manifest.digest);
  }

  /** The manifest of a digest, hashed again; null when absent. */
  async manifestByDigest(digest: string): Promise<RawManifest | null> {
    const manifest = await this.ask(`manifest ${digest}`, () => this.source.manifestByDigest(digest));
    return manifest && this.checked(manifest, digest);
  }

  /** Digests of the manifests that name this subject, in the registry's order. */
  async referrers(subject: string): Promise<string[]> {
    const list = await this.ask(`referrers of ${subject}`, () => this.source.referrers(subject));
    return list.map((referrer) => referrer.digest);
  }

  /** The blob that an OCI descriptor describes: digest and size both hold. */
  async blob(descriptor: JsonObject): Promise<Buffer> {
    const { digest, size } = descriptor;
    if (!isSha256Digest(digest) || typeof size !== 'number' || size < 0) {
      throw new Refusal('AMBIGUOUS_PAYLOAD', 'a layer descriptor lacks a sha256 digest or a size');
    }
    if (size > this.limits.maxBlobBytes) {
      throw new Refusal('LIMIT', `a payload of ${size} bytes; at most ${this.limits.maxBlobBytes} are read`);
    }
    const bytes = await this.ask(`blob ${digest}`, () => this.source.blob(digest, size));
    if (bytes === null) throw new Refusal('BACKEND_ERROR', `the registry does not have the payload ${digest}`);
    this.spend(bytes.length);
    if (bytes.length !== size || sha256Digest(bytes) !== digest) {
      throw new Refusal('DIGEST_MISMATCH', `the payload served for ${digest} has another digest or size`);
    }
    return bytes;
  }

  /** The first of these keys that made the signature, or null. */
  findSigner(scheme: SignatureScheme, keys: TrustedKey[], message: Buffer, signature: Buffer): TrustedKey | null {
    for (const key of keys) {
      this.verifications += 1;
      if (this.verifications > this.limits.maxVerifications) {
        throw new Refusal('LIMIT', `more than ${this.limits.maxVerifications} signature checks for one image`);
      }
      if (verifyBytes(scheme, key, message, signature)) return key;
    }
    return null;
  }

  private checked(manifest: RawManifest, digest: string): RawManifest {
    if (manifest.bytes.length > this.limits.maxManifestBytes) {
      throw new Refusal('LIMIT', `a manifest of ${manifest.bytes.length} bytes; at most ${this.limits.maxManifestBytes} are read`);
    }
    this.spend(manifest.bytes.length);
    if (sha256Digest(manifest.bytes) !== digest)
      throw new Refusal('DIGEST_MISMATCH', `the manifest served for ${digest} has another digest`);
    return { ...manifest, digest };
  }

  private spend(bytes: number): void {
    this.totalBytes += bytes;
    if (this.totalBytes > this.limits.maxTotalBytes) {
      throw new Refusal('LIMIT', `more than ${this.limits.maxTotalBytes} bytes of signatures for one image`);
    }
  }

  /** What the source throws stays its own business: its text may hold addresses or credentials. */
  private async ask<T>(what: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (cause) {
      throw Object.assign(new Refusal('BACKEND_ERROR', `the registry did not answer for ${what}`), { cause });
    }
  }
}
