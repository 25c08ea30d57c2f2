import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { PolicyMode } from './formats/evaluate';
import type { ReasonCode, Finding } from './formats/findings';
import type { KeyAlgorithm, KeyStatus } from './formats/keys';
import type { EvidenceRecord } from './recorded-evidence';

/** A public key whose signatures can count, belonging to an account. With `canSign` its private half is kept here, sealed. */
@Entity('trust_signing_keys')
export class EnrolledKey {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') name!: string;
  @Column('uuid', { name: 'account_id' }) accountId!: string;
  /** SPKI PEM. */
  @Column('text', { name: 'public_pem' }) publicKeyPem!: string;
  /** Lower-case hex SHA-256 of the SPKI DER; unique over all accounts. */
  @Column('text') fingerprint!: string;
  @Column('text') algorithm!: KeyAlgorithm;
  @Column('text') status!: KeyStatus;
  @Column('timestamptz', { name: 'retired_at', nullable: true }) retiredAt!: Date | null;
  @Column('timestamptz', { name: 'revoked_at', nullable: true }) revokedAt!: Date | null;
  /** Why it was retired or revoked. */
  @Column('text', { nullable: true }) reason!: string | null;
  /** PKCS#8 PEM, sealed; dropped when the key is retired or revoked. */
  @Column('text', { name: 'sealed_private', nullable: true, select: false }) sealedPrivate!: string | null;
  /** Whether Gantry can sign with it; the database derives it. */
  @Column({ type: 'boolean', name: 'can_sign', insert: false, update: false }) canSign!: boolean;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
  /** Grows with each change (ETag). */
  @Column('integer') version!: number;
}

/** What a scope demands of images that run there. One a scope; `version` is the revision that verdicts name. */
@Entity('trust_policies')
export class SignaturePolicy {
  @PrimaryColumn('uuid') id!: string;
  /** `kind:id` of the resource for which it stands, such as `environment:<id>`. */
  @Column('text') scope!: string;
  @Column('text') name!: string;
  @Column('text') mode!: PolicyMode;
  @Column('uuid', { name: 'key_ids', array: true }) keyIds!: string[];
  /** How many different keys must have signed. */
  @Column('integer') threshold!: number;
  /** What each counted signature must state. */
  @Column('jsonb') claims!: Record<string, string>;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
  @Column('timestamptz', { name: 'updated_at' }) updatedAt!: Date;
  @Column('integer') version!: number;
}

/** A key as a verdict saw it. */
export interface VerdictKey {
  id: string;
  name: string;
  accountId: string;
  fingerprint: string;
  status: KeyStatus;
  /** ISO 8601, or null. */
  retiredAt: string | null;
  publicKeyPem: string;
}

/** One decision on one image for one scope, with all it rests on, so that it can be re-run. */
@Entity('trust_verdicts')
export class VerdictRow {
  @PrimaryColumn('uuid') id!: string;
  @Column('timestamptz') at!: Date;
  /** `namespace/name`, without host. */
  @Column('text') repository!: string;
  @Column('text') digest!: string;
  @Column('text') scope!: string;
  /** Null where the scope had no policy. */
  @Column('uuid', { name: 'policy_id', nullable: true }) policyId!: string | null;
  @Column('integer', { name: 'policy_version', nullable: true }) policyVersion!: number | null;
  @Column('text') mode!: PolicyMode;
  @Column('boolean') allowed!: boolean;
  @Column('text', { nullable: true }) reason!: ReasonCode | null;
  @Column('text') explanation!: string;
  @Column('jsonb', { nullable: true }) rule!: { threshold: number; claims: Record<string, string> } | null;
  @Column('jsonb') keys!: VerdictKey[];
  /** Fingerprints of the keys that counted. */
  @Column('text', { array: true }) signers!: string[];
  /** `firstSeenAt` is text here. */
  @Column('jsonb') findings!: Finding[];
  /** What the registry answered; null where nothing was asked. */
  @Column('jsonb', { nullable: true }) evidence!: EvidenceRecord | null;
  @Column('text', { name: 'request_id' }) requestId!: string;
}

/** Entities of this room. First-seen times and evidence bytes are read by SQL alone. */
export const trustEntities = [EnrolledKey, SignaturePolicy, VerdictRow];
