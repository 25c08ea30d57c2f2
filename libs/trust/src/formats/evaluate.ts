import type { Finding, ReasonCode, VerifiedSignature } from './findings';
import type { KeyStatus } from './keys';

/** `off` verifies nothing, `audit` records what `enforce` would refuse, `enforce` refuses. */
export type PolicyMode = 'off' | 'audit' | 'enforce';

/** What a scope demands of an image before it runs. */
export interface PolicyRule {
  mode: PolicyMode;
  require: {
    /** Keys whose signature counts, by fingerprint. An empty list can never be satisfied. */
    keyFingerprints: string[];
    /** How many different keys must have signed; at least 1. */
    threshold: number;
  };
  /** A signature counts only when it states each of these exactly. */
  claims?: Record<string, string>;
}

/** What the evaluation needs to know of a key. */
export interface KeyStanding {
  fingerprint: string;
  status: KeyStatus;
  retiredAt?: Date | null;
}

/** What the policy says about one image. */
export interface PolicyVerdict {
  /** Whether the image may run; true in `audit` even when `reason` is set. */
  allowed: boolean;
  mode: PolicyMode;
  /** Why the demand is not met; null when it is met or nothing is demanded. */
  reason: ReasonCode | null;
  /** One or two sentences for people. */
  explanation: string;
  /** Fingerprints of the keys that count, sorted. */
  signers: string[];
}

/**
 * The most telling reason first. An unanswered read comes before all, since the picture is incomplete and trying again may help; then the
 * near misses (a required key did sign), then what was wrong with the candidates, last that there were none.
 */
const TELLING: ReasonCode[] = [
  'BACKEND_ERROR',
  'THRESHOLD',
  'REVOKED',
  'SIGNATURE_EXPIRED',
  'CLAIM_MISMATCH',
  'DIGEST_MISMATCH',
  'AMBIGUOUS_PAYLOAD',
  'BAD_SIGNATURE',
  'UNTRUSTED_KEY',
  'WRONG_TYPE',
  'LIMIT',
  'NO_SIGNATURE',
];

interface Objection {
  reason: ReasonCode;
  detail: string;
}

/**
 * Decides whether findings satisfy a policy. Distinct keys are counted, not signatures; a revoked key never counts, a retired one only for
 * evidence first seen before its retirement; a fingerprint without a key in `keys` counts for nothing.
 */
export function evaluate(policy: PolicyRule, findings: readonly Finding[], keys: readonly KeyStanding[]): PolicyVerdict {
  const { mode } = policy;
  if (mode === 'off') return { allowed: true, mode, reason: null, explanation: 'No signature is demanded here.', signers: [] };
  const required = new Set(policy.require.keyFingerprints);
  const { threshold } = policy.require;
  const standings = new Map(keys.map((key) => [key.fingerprint, key]));
  const signers = new Set<string>();
  const objections: Objection[] = [];
  for (const finding of findings) {
    const objection = finding.ok ? objectionTo(finding, required, standings, policy.claims ?? {}) : finding;
    if (objection !== null) objections.push(objection);
    else if (finding.ok) signers.add(finding.keyFingerprint);
  }
  const counted = [...signers].sort();
  const possible = Number.isInteger(threshold) && threshold >= 1 && required.size >= threshold;
  if (possible && counted.length >= threshold) {
    return {
      allowed: true,
      mode,
      reason: null,
      explanation: `Signed by ${counted.length} of ${threshold} required keys.`,
      signers: counted,
    };
  }
  const main = possible ? mainObjection(counted.length, threshold, objections) : unsatisfiable(required.size, threshold);
  return { allowed: mode === 'audit', mode, reason: main.reason, explanation: main.detail, signers: counted };
}

function objectionTo(
  finding: VerifiedSignature,
  required: Set<string>,
  standings: Map<string, KeyStanding>,
  claims: Record<string, string>,
): Objection | null {
  const key = standings.get(finding.keyFingerprint);
  const name = `key ${finding.keyFingerprint.slice(0, 16)}`;
  if (key === undefined || !required.has(finding.keyFingerprint)) {
    return { reason: 'UNTRUSTED_KEY', detail: `signed by ${name}, which this policy does not name` };
  }
  if (key.status === 'revoked') return { reason: 'REVOKED', detail: `signed by ${name}, which was revoked` };
  if (key.status !== 'active' && !seenBefore(finding.firstSeenAt, key.retiredAt)) {
    return { reason: 'SIGNATURE_EXPIRED', detail: `signed by ${name}, which was retired before this signature was first seen` };
  }
  const missing = Object.entries(claims).find(([claim, value]) => !Object.hasOwn(finding.claims, claim) || finding.claims[claim] !== value);
  if (missing !== undefined) return { reason: 'CLAIM_MISMATCH', detail: `signed by ${name} without the claim ${missing[0]}=${missing[1]}` };
  return null;
}

function seenBefore(firstSeenAt: Date | undefined, retiredAt: Date | null | undefined): boolean {
  return firstSeenAt !== undefined && retiredAt instanceof Date && firstSeenAt < retiredAt;
}

function unsatisfiable(requiredKeys: number, threshold: number): Objection {
  if (requiredKeys === 0) return { reason: 'UNTRUSTED_KEY', detail: 'The policy names no key, so no signature can satisfy it.' };
  return { reason: 'THRESHOLD', detail: `The policy demands ${threshold} of ${requiredKeys} keys, which no image can satisfy.` };
}

function mainObjection(counted: number, threshold: number, objections: Objection[]): Objection {
  const all = [...objections];
  if (counted > 0) all.push({ reason: 'THRESHOLD', detail: `signed by ${counted} of the ${threshold} different keys demanded` });
  if (all.length === 0) all.push({ reason: 'NO_SIGNATURE', detail: 'no signature was found for this digest' });
  all.sort((a, b) => TELLING.indexOf(a.reason) - TELLING.indexOf(b.reason));
  const [main = { reason: 'NO_SIGNATURE', detail: '' }, ...others] = all;
  const rest = [...new Set(others.map((other) => other.reason).filter((reason) => reason !== main.reason))];
  const sentence = `${main.detail.charAt(0).toUpperCase()}${main.detail.slice(1)}.`;
  return { reason: main.reason, detail: rest.length === 0 ? sentence : `${sentence} Also found: ${rest.join(', ')}.` };
}
