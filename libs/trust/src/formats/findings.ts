/**
 * The signature room. Files here are pure: bytes in, findings out, no framework, no database, no network.
 *
 *   evidence.ts      how signatures are read from a registry: every byte re-hashed, everything counted against limits
 *   cosign-sig.ts    the tag `sha256-<hex>.sig` of cosign 1 and 2
 *   bundle-v03.ts    the Sigstore bundle v0.3 attached as a referrer, cosign 3's form
 *   collect.ts       both together: image digest in, findings out
 *   evaluate.ts      policy and findings in, verdict out
 *   sign.ts          both forms, written so that real cosign verifies them
 *   keys.ts, strict-json.ts
 *
 * A finding is what one candidate signature turned out to be. A bad candidate is recorded and skipped: it never hides a good one and
 * never passes. A signature says "this key signed this digest"; whether that suffices is the policy's business alone.
 */

/** Why a candidate or an image was refused. Closed: clients and audit rows rely on these words. */
export const REASON_CODES = [
  /** Nothing that claims to be a signature was found. */
  'NO_SIGNATURE',
  /** No trusted key made the signature. The `.sig` form does not name its key, so there a changed payload looks the same. */
  'UNTRUSTED_KEY',
  /** The signature is malformed, or names a trusted key and is not that key's signature over these bytes. */
  'BAD_SIGNATURE',
  /** Content does not have the digest it is addressed by, or the signed digest is another image's. */
  'DIGEST_MISMATCH',
  /** Properly signed, or at least well formed, but not an image signature: an attestation, another payload type. */
  'WRONG_TYPE',
  /** JSON that two readers could understand differently, or not at all. */
  'AMBIGUOUS_PAYLOAD',
  /** The key was retired before this signature was first seen. */
  'SIGNATURE_EXPIRED',
  /** A claim that the policy demands is missing or has another value. */
  'CLAIM_MISMATCH',
  /** Good signatures, but of fewer distinct keys than demanded. */
  'THRESHOLD',
  /** More or larger candidates than are read. */
  'LIMIT',
  /** The registry did not answer; trying again may help. */
  'BACKEND_ERROR',
  /** Signed by a key that was revoked. */
  'REVOKED',
] as const;

/** One of {@link REASON_CODES}. */
export type ReasonCode = (typeof REASON_CODES)[number];

/** Where a signature was found. */
export type SignatureFormat = 'cosign-sig' | 'bundle-v0.3';

/** Digests of what was looked at, so that a verdict can be re-run from kept bytes. Null where it did not come that far. */
export interface Evidence {
  /** The signature manifest. */
  manifestDigest: string | null;
  /** The signed payload blob (`.sig`) or the whole bundle blob. */
  payloadDigest: string | null;
}

/** A signature that holds: this key, this image digest. */
export interface VerifiedSignature {
  ok: true;
  format: SignatureFormat;
  keyFingerprint: string;
  /** What the signer stated beside the digest (`cosign sign -a name=value`); covered by the signature. Only string values are kept. */
  claims: Record<string, string>;
  /** `critical.identity.docker-reference` of the `.sig` form: covered by the signature, but not bound to where the image lies. */
  dockerReference: string | null;
  evidence: Evidence;
  /** Set by a caller that keeps a record of when it first saw this evidence; without it a retired key does not count. */
  firstSeenAt?: Date;
}

/** A candidate that is no signature of the image by a known key. */
export interface RejectedCandidate {
  ok: false;
  format: SignatureFormat;
  reason: ReasonCode;
  /** One sentence for people; holds no bytes of the candidate. */
  detail: string;
  evidence: Evidence;
}

/** What one candidate turned out to be. */
export type Finding = VerifiedSignature | RejectedCandidate;

/** Ends the examination of one candidate; turned into a {@link RejectedCandidate} where candidates are listed. */
export class Refusal extends Error {
  override readonly name = 'Refusal';

  constructor(
    readonly reason: ReasonCode,
    detail: string,
  ) {
    super(detail);
  }
}
