import { evaluate } from './evaluate';
import type { KeyStanding, PolicyRule } from './evaluate';
import { REASON_CODES } from './findings';
import type { Finding, ReasonCode, VerifiedSignature } from './findings';

const evidence = { manifestDigest: null, payloadDigest: null };
const good = (keyFingerprint: string, more: Partial<VerifiedSignature> = {}): Finding => ({
  ok: true,
  format: 'cosign-sig',
  keyFingerprint,
  claims: {},
  dockerReference: null,
  evidence,
  ...more,
});
const bad = (reason: ReasonCode): Finding => ({ ok: false, format: 'bundle-v0.3', reason, detail: `found ${reason}`, evidence });
const rule = (keyFingerprints: string[], threshold = 1, more: Partial<PolicyRule> = {}): PolicyRule => ({
  mode: 'enforce',
  require: { keyFingerprints, threshold },
  ...more,
});
const keys: KeyStanding[] = [
  { fingerprint: 'alice', status: 'active' },
  { fingerprint: 'bob', status: 'active' },
  { fingerprint: 'old', status: 'retired', retiredAt: new Date('2026-01-10T00:00:00Z') },
  { fingerprint: 'stolen', status: 'revoked' },
];
const judge = (policy: PolicyRule, findings: Finding[]): [boolean, ReasonCode | null, string[]] => {
  const { allowed, reason, signers } = evaluate(policy, findings, keys);
  return [allowed, reason, signers];
};

describe('evaluate', () => {
  it('allows what enough required keys signed', () => {
    expect(judge(rule(['alice']), [good('alice')])).toEqual([true, null, ['alice']]);
    expect(judge(rule(['alice', 'bob'], 2), [good('bob'), good('alice')])).toEqual([true, null, ['alice', 'bob']]);
    expect(judge(rule(['alice', 'bob'], 1), [good('bob')])).toEqual([true, null, ['bob']]);
  });

  it('counts keys, not signatures', () => {
    expect(judge(rule(['alice', 'bob'], 2), [good('alice'), good('alice', { format: 'bundle-v0.3' })])).toEqual([
      false,
      'THRESHOLD',
      ['alice'],
    ]);
  });

  it('rejects an empty key list and thresholds that mean nothing', () => {
    expect(judge(rule([], 1), [good('alice')])).toEqual([false, 'UNTRUSTED_KEY', []]);
    expect(judge(rule([], 0), [good('alice')])).toEqual([false, 'UNTRUSTED_KEY', []]);
    for (const threshold of [0, -1, 1.5, NaN, Infinity, 2]) {
      expect(judge(rule(['alice'], threshold), [good('alice')]).slice(0, 2)).toEqual([false, 'THRESHOLD']);
    }
    expect(judge(rule(['alice', 'alice'], 2), [good('alice')]).slice(0, 2)).toEqual([false, 'THRESHOLD']);
  });

  it('never counts a revoked key, nor one that is required but unknown, nor one that is known but not required', () => {
    expect(judge(rule(['stolen']), [good('stolen')])).toEqual([false, 'REVOKED', []]);
    expect(judge(rule(['ghost']), [good('ghost')])).toEqual([false, 'UNTRUSTED_KEY', []]);
    expect(judge(rule(['alice']), [good('bob')])).toEqual([false, 'UNTRUSTED_KEY', []]);
    expect(judge(rule(['alice', 'stolen'], 2), [good('alice'), good('stolen')])).toEqual([false, 'THRESHOLD', ['alice']]);
  });

  it('counts a retired key only for what was seen before it was retired', () => {
    expect(judge(rule(['old']), [good('old', { firstSeenAt: new Date('2026-01-09T00:00:00Z') })])).toEqual([true, null, ['old']]);
    expect(judge(rule(['old']), [good('old', { firstSeenAt: new Date('2026-01-10T00:00:00Z') })])).toEqual([
      false,
      'SIGNATURE_EXPIRED',
      [],
    ]);
    expect(judge(rule(['old']), [good('old')])).toEqual([false, 'SIGNATURE_EXPIRED', []]);
  });

  it('demands claims exactly, on the signature that counts', () => {
    const policy = rule(['alice'], 1, { claims: { env: 'prod' } });
    expect(judge(policy, [good('alice', { claims: { env: 'prod', team: 'x' } })])).toEqual([true, null, ['alice']]);
    expect(judge(policy, [good('alice', { claims: { env: 'Prod' } })])).toEqual([false, 'CLAIM_MISMATCH', []]);
    expect(judge(policy, [good('alice'), good('bob', { claims: { env: 'prod' } })])).toEqual([false, 'CLAIM_MISMATCH', []]);
    expect(judge(rule(['alice'], 1, { claims: { constructor: 'x' } }), [good('alice')])).toEqual([false, 'CLAIM_MISMATCH', []]);
  });

  it('lets a good signature pass beside any bad candidate', () => {
    for (const reason of REASON_CODES)
      expect(judge(rule(['alice']), [bad(reason), good('alice'), bad(reason)])).toEqual([true, null, ['alice']]);
  });

  it('never passes on bad candidates, and says why', () => {
    for (const reason of REASON_CODES) expect(judge(rule(['alice']), [bad(reason)])).toEqual([false, reason, []]);
    expect(judge(rule(['alice']), [])).toEqual([false, 'NO_SIGNATURE', []]);
  });

  it('tells the most telling reason and names the others', () => {
    expect(judge(rule(['alice']), [bad('WRONG_TYPE'), bad('DIGEST_MISMATCH')])[1]).toBe('DIGEST_MISMATCH');
    expect(judge(rule(['alice', 'stolen']), [bad('UNTRUSTED_KEY'), good('stolen')])[1]).toBe('REVOKED');
    expect(judge(rule(['alice']), [bad('UNTRUSTED_KEY'), bad('BACKEND_ERROR')])[1]).toBe('BACKEND_ERROR');
    const { explanation } = evaluate(rule(['alice']), [bad('WRONG_TYPE'), bad('DIGEST_MISMATCH')], keys);
    expect(explanation).toBe('Found DIGEST_MISMATCH. Also found: WRONG_TYPE.');
  });

  it('audit allows and keeps the reason; off asks for nothing', () => {
    expect(judge(rule(['alice'], 1, { mode: 'audit' }), [bad('BAD_SIGNATURE')])).toEqual([true, 'BAD_SIGNATURE', []]);
    expect(judge(rule(['alice'], 1, { mode: 'audit' }), [good('alice')])).toEqual([true, null, ['alice']]);
    expect(judge(rule([], 0, { mode: 'off' }), [])).toEqual([true, null, []]);
  });
});
