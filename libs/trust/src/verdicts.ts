import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Clock, Db, requestProblem, uuidv7, type Context } from '@gantry/platform';
import { Images } from '@gantry/registry';
import { VerdictRow, type VerdictKey } from './entities';
import { collectSignatures } from './formats/collect';
import { isSha256Digest } from './formats/evidence';
import { evaluate } from './formats/evaluate';
import type { PolicyMode, PolicyRule, PolicyVerdict } from './formats/evaluate';
import type { Finding, ReasonCode } from './formats/findings';
import { trustKey } from './formats/keys';
import type { TrustedKey } from './formats/keys';
import { KeptEvidence, RecordingEvidence } from './recorded-evidence';
import { RememberedContent } from './remembered-content';

/** What is asked: may this image run there? */
export interface VerdictQuestion {
  /** `namespace/name`, without host. */
  repository: string;
  /** `sha256:…` of what will run, resolved once by the caller. */
  digest: string;
  /** Scope of the policy, such as `environment:<id>`. */
  scope: string;
}

/** The answer, with what it rests on. */
export interface Verdict extends VerdictQuestion {
  /** Null where the answer was not stored. */
  id: string | null;
  at: Date;
  allowed: boolean;
  mode: PolicyMode;
  /** Why the policy is not met; set also in mode `audit`, where the image may run nevertheless. */
  reason: ReasonCode | null;
  explanation: string;
  /** Keys that counted. */
  signers: { keyId: string; name: string; fingerprint: string }[];
  /** Every candidate signature and what it turned out to be, with digests of what was looked at. */
  findings: Finding[];
  policyId: string | null;
  policyVersion: number | null;
}

interface Standing {
  id: string;
  version: number;
  mode: PolicyMode;
  threshold: number;
  claims: Record<string, string>;
  keys: VerdictKey[];
}

const noPolicy: PolicyVerdict = { allowed: true, mode: 'off', reason: null, explanation: 'No signature policy stands for this scope, so no signature is demanded.', signers: [] };
const keyColumns = `'id', key.id, 'name', key.name, 'accountId', key.account_id, 'fingerprint', key.fingerprint, 'status', key.status, 'retiredAt', key.retired_at, 'publicKeyPem', key.public_pem`;

/** An equal verdict of the same request within this time is not written down again. */
const repeatMillis = 10_000;
const maxRemembered = 1000;

/**
 * Decides whether an image may run in a scope. No decision is remembered from one verdict to the next, only bytes by their digest, so a revoked
 * key, a changed policy and a deleted signature count at once. Under `enforce` whatever can't be read is a refusal; a database that does not answer is an error, and nothing runs without a verdict.
 */
@Injectable()
export class Verdicts {
  private readonly contents: RememberedContent;
  /** Verdicts that were stored just now: hash of what they say → where and when, oldest first. Never asked for a decision. */
  private readonly written = new Map<string, Pick<VerdictRow, 'id' | 'at'>>();

  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    images: Images,
  ) {
    this.contents = new RememberedContent(images);
  }

  /**
   * The verdict, stored with its evidence unless `store` is false. It is decided anew each time; one that says in all what the same request was
   * told within 10 s is the one stored then. A scope without a policy demands nothing. Reads the registry: never call it
   * inside a transaction. Does not judge rights.
   * @throws request.invalid when the digest is not a sha256 digest
   */
  async verdict(ctx: Context, question: VerdictQuestion, options: { store?: boolean } = {}): Promise<Verdict> {
    if (ctx.tx) throw new Error('a registry is never read inside a transaction');
    const { repository, digest, scope } = question;
    if (!isSha256Digest(digest)) throw requestProblem('invalid', { errors: [{ pointer: '/digest', detail: 'sha256: and 64 lower-case hex digits' }] });
    const policy = await this.standing(ctx, scope);
    const recording = policy === null || policy.mode === 'off' ? null : new RecordingEvidence(this.contents.source(ctx, repository));
    const findings = policy === null || recording === null ? [] : await this.dated(ctx, digest, policy.keys, await collectSignatures(recording, digest, trusted(policy.keys)));
    const outcome = policy === null ? noPolicy : evaluate(ruleOf(policy), findings, standings(policy.keys));
    const row: VerdictRow = {
      id: uuidv7(),
      at: this.clock.now(),
      repository, digest, scope,
      policyId: policy?.id ?? null,
      policyVersion: policy?.version ?? null,
      mode: outcome.mode,
      allowed: outcome.allowed,
      reason: outcome.reason,
      explanation: outcome.explanation,
      rule: policy && { threshold: policy.threshold, claims: policy.claims },
      keys: policy?.keys ?? [],
      signers: outcome.signers,
      findings,
      evidence: recording?.record ?? null,
      requestId: ctx.requestId,
    };
    if (options.store === false) await this.noteSeen(ctx, digest, findings);
    else Object.assign(row, await this.storeOnce(ctx, row, recording?.bytes ?? new Map<string, Buffer>()));
    return verdictOf(row, options.store !== false);
  }

  /** The stored verdict of this id, or null. Does not judge rights. */
  async find(ctx: Context, id: string): Promise<Verdict | null> {
    const row = await this.db.repo(ctx, VerdictRow).findOneBy({ id });
    return row && verdictOf(row, true);
  }

  /**
   * Decides a stored verdict again from the bytes that were kept, asking no registry: what the same policy and keys say of the same evidence.
   * Null when there is no such verdict, nothing was verified, or something was too large to be kept.
   */
  async rerun(ctx: Context, id: string): Promise<PolicyVerdict | null> {
    const row = await this.db.repo(ctx, VerdictRow).findOneBy({ id });
    if (row?.evidence?.complete !== true || row.rule === null) return null;
    const { tags, manifests, blobs } = row.evidence;
    const digests = [...Object.values(tags), ...Object.values(manifests)].map((served) => served?.content).concat(Object.values(blobs).map((content) => content ?? undefined));
    const kept = await this.db.query<{ digest: string; bytes: Buffer }>(ctx, 'select digest, bytes from trust_evidence where digest = any($1)', [digests.filter((digest) => digest !== undefined)]);
    const source = new KeptEvidence(row.evidence, new Map(kept.map(({ digest, bytes }) => [digest, bytes])));
    const findings = await collectSignatures(source, row.digest, trusted(row.keys));
    const seen = new Map(row.findings.flatMap((finding) => (finding.ok && finding.firstSeenAt !== undefined ? [[seenKey(finding), new Date(finding.firstSeenAt)] as const] : [])));
    const dated = findings.map((finding): Finding => {
      const firstSeenAt = finding.ok ? seen.get(seenKey(finding)) : undefined;
      return firstSeenAt === undefined ? finding : { ...finding, firstSeenAt } as Finding;
    });
    return evaluate(ruleOf({ mode: row.mode, ...row.rule, keys: row.keys }), dated, standings(row.keys));
  }

  /**
   * Remembers which signatures an image has by keys that policies name, so that they go on counting when a key is retired before any verdict
   * was asked. Called for each pushed signature; doing it again changes nothing.
   */
  async noteSignatures(ctx: Context, { repository, subject }: { repository: string; subject: string }): Promise<void> {
    if (!isSha256Digest(subject)) return;
    const [row] = await this.db.query<{ keys: VerdictKey[] | null }>(
      ctx,
      `select json_agg(json_build_object(${keyColumns}) order by key.id) as keys from trust_signing_keys key
       where key.status = 'active' and exists (select 1 from trust_policies policy where policy.key_ids @> array[key.id])`,
    );
    const keys = row?.keys ?? [];
    if (keys.length === 0) return;
    await this.noteSeen(ctx, subject, await collectSignatures(this.contents.source(ctx, repository), subject, trusted(keys)));
  }

  /** Remembers that a payload signed by a key exists from now on; an earlier time stays. For `Signer`, in its transaction. */
  async noteSigned(ctx: Context, imageDigest: string, payloadDigests: string[], fingerprint: string): Promise<void> {
    await this.db.query(ctx, insertSeen, [imageDigest, payloadDigests.sort(), payloadDigests.map(() => fingerprint), this.clock.now()]);
  }

  private async standing(ctx: Context, scope: string): Promise<Standing | null> {
    const [policy] = await this.db.query<Standing & { keys: VerdictKey[] | null }>(
      ctx,
      `select policy.id, policy.version, policy.mode, policy.threshold, policy.claims,
         (select json_agg(json_build_object(${keyColumns}) order by key.id) from trust_signing_keys key where key.id = any(policy.key_ids)) as keys
       from trust_policies policy where policy.scope = $1`,
      [scope],
    );
    return policy === undefined ? null : { ...policy, keys: policy.keys ?? [] };
  }

  /** Adds to signatures by retired keys when they were first seen; for others it does not matter. */
  private async dated(ctx: Context, imageDigest: string, keys: VerdictKey[], findings: Finding[]): Promise<Finding[]> {
    const retired = new Set(keys.filter((key) => key.status === 'retired').map((key) => key.fingerprint));
    if (!findings.some((finding) => finding.ok && retired.has(finding.keyFingerprint))) return findings;
    const rows = await this.db.query<{ payload_digest: string; fingerprint: string; first_seen_at: Date }>(
      ctx,
      'select payload_digest, fingerprint, first_seen_at from trust_signatures_seen where image_digest = $1 and fingerprint = any($2)',
      [imageDigest, [...retired]],
    );
    const seen = new Map(rows.map((row) => [`${row.payload_digest} ${row.fingerprint}`, row.first_seen_at]));
    return findings.map((finding) => {
      const firstSeenAt = finding.ok ? seen.get(seenKey(finding)) : undefined;
      return finding.ok && firstSeenAt !== undefined ? { ...finding, firstSeenAt } : finding;
    });
  }

  private async noteSeen(ctx: Context, imageDigest: string, findings: Finding[]): Promise<void> {
    const seen = seenOf(findings);
    if (seen.payloads.length > 0) await this.db.query(ctx, insertSeen, [imageDigest, seen.payloads, seen.fingerprints, this.clock.now()]);
  }

  /** Stores a verdict unless an equal one is; answers which it is. A deployment asks twice, before it is planned and before the engine is called. */
  private async storeOnce(ctx: Context, row: VerdictRow, bytes: ReadonlyMap<string, Buffer>): Promise<Pick<VerdictRow, 'id' | 'at'>> {
    const { id, at, ...said } = row;
    const key = createHash('sha256').update(JSON.stringify(said, sorted)).digest('base64');
    const before = this.written.get(key);
    const ageMillis = before === undefined ? Infinity : at.getTime() - before.at.getTime();
    if (before !== undefined && ageMillis >= 0 && ageMillis < repeatMillis) return before;
    await this.store(ctx, row, bytes);
    this.written.delete(key);
    this.written.set(key, { id, at });
    for (const [oldest] of this.written) {
      if (this.written.size <= maxRemembered) break;
      this.written.delete(oldest);
    }
    return { id, at };
  }

  /** One statement, hence one round trip and one transaction: the verdict, its bytes, and what it saw first. */
  private async store(ctx: Context, row: VerdictRow, bytes: ReadonlyMap<string, Buffer>): Promise<void> {
    const seen = seenOf(row.findings);
    // Sorted, so that two verdicts on one image at once wait for each other instead of locking each other out.
    const kept = [...bytes].sort(([a], [b]) => (a < b ? -1 : 1));
    await this.db.query(
      ctx,
      `with seen as (
         insert into trust_signatures_seen (image_digest, payload_digest, fingerprint, first_seen_at)
         select $4, payload, fingerprint, $2 from unnest($17::text[], $18::text[]) as item(payload, fingerprint) on conflict do nothing),
       evidence as (
         insert into trust_evidence (digest, bytes) select digest, bytes from unnest($19::text[], $20::bytea[]) as item(digest, bytes) on conflict do nothing)
       insert into trust_verdicts (id, at, repository, digest, scope, policy_id, policy_version, mode, allowed, reason, explanation, rule, keys, signers,
         findings, evidence, request_id)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $21)`,
      [
        row.id, row.at, row.repository, row.digest, row.scope, row.policyId, row.policyVersion, row.mode, row.allowed, row.reason, row.explanation,
        row.rule && JSON.stringify(row.rule), JSON.stringify(row.keys), row.signers, JSON.stringify(row.findings), row.evidence && JSON.stringify(row.evidence),
        seen.payloads, seen.fingerprints, kept.map(([digest]) => digest), kept.map(([, content]) => content), row.requestId,
      ],
    );
  }
}

const insertSeen = `insert into trust_signatures_seen (image_digest, payload_digest, fingerprint, first_seen_at)
  select $1, payload, fingerprint, $4 from unnest($2::text[], $3::text[]) as item(payload, fingerprint) on conflict do nothing`;

/**
 * What identifies a signature in the ledger: who signed which statement. The statement names the image, so it says the same wherever it lies,
 * and a second signature over it by the same key says nothing new.
 */
function seenKey(finding: Finding & { ok: true }): string {
  return `${finding.evidence.payloadDigest} ${finding.keyFingerprint}`;
}

function seenOf(findings: Finding[]): { payloads: string[]; fingerprints: string[] } {
  const keys = findings.flatMap((finding) => (finding.ok && finding.evidence.payloadDigest !== null ? [seenKey(finding)] : []));
  const pairs = [...new Set(keys)].sort().map((key) => key.split(' ') as [string, string]);
  return { payloads: pairs.map(([payload]) => payload), fingerprints: pairs.map(([, fingerprint]) => fingerprint) };
}

/** Replacer for `JSON.stringify`: reads run at once, so their answers come in any order. */
function sorted(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function trusted(keys: VerdictKey[]): TrustedKey[] {
  return keys.map((key) => trustKey(key.publicKeyPem, key.status, retirement(key)));
}

function standings(keys: VerdictKey[]): Pick<TrustedKey, 'fingerprint' | 'status' | 'retiredAt'>[] {
  return keys.map((key) => ({ fingerprint: key.fingerprint, status: key.status, retiredAt: retirement(key) }));
}

function retirement(key: VerdictKey): Date | null {
  return key.retiredAt === null ? null : new Date(key.retiredAt);
}

function ruleOf({ mode, threshold, claims, keys }: Pick<Standing, 'mode' | 'threshold' | 'claims' | 'keys'>): PolicyRule {
  return { mode, require: { keyFingerprints: keys.map((key) => key.fingerprint), threshold }, claims };
}

function verdictOf(row: VerdictRow, stored: boolean): Verdict {
  const { at, repository, digest, scope, allowed, mode, reason, explanation, findings, policyId, policyVersion } = row;
  const signers = row.keys.filter((key) => row.signers.includes(key.fingerprint)).map(({ id, name, fingerprint }) => ({ keyId: id, name, fingerprint }));
  return { id: stored ? row.id : null, at, repository, digest, scope, allowed, mode, reason, explanation, signers, findings, policyId, policyVersion };
}
