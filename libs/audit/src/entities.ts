import { Column, Entity, PrimaryColumn } from 'typeorm';

/** How an action ended. `refused`: by a rule; `failed`: for another reason. */
export type AuditOutcome = 'success' | 'refused' | 'failed';

/** One row of the audit log. `seq` and `hash` are null until the sequencer has sealed it. */
@Entity('audit_rows')
export class AuditRow {
  @PrimaryColumn('uuid') id!: string;
  @Column('timestamptz') at!: Date;
  @Column('text', { name: 'actor_kind' }) actorKind!: string;
  @Column('text', { name: 'actor_id', nullable: true }) actorId!: string | null;
  @Column('text', { name: 'actor_name' }) actorName!: string;
  @Column('text', { name: 'credential_id', nullable: true }) credentialId!: string | null;
  @Column('text', { name: 'request_id' }) requestId!: string;
  @Column('text', { nullable: true }) address!: string | null;
  @Column('text') action!: string;
  @Column('text', { name: 'resource_kind', nullable: true }) resourceKind!: string | null;
  @Column('text', { name: 'resource_id', nullable: true }) resourceId!: string | null;
  @Column('text', { name: 'resource_name', nullable: true }) resourceName!: string | null;
  @Column('text') outcome!: AuditOutcome;
  @Column('jsonb') detail!: Record<string, unknown>;
  /** How many times it happened: more than 1 for aggregated refusals. */
  @Column('integer') count!: number;
  @Column('bigint', { nullable: true, transformer: { to: (value: number | null) => value, from: (value: string | null) => (value === null ? null : Number(value)) } })
  seq!: number | null;
  @Column('text', { nullable: true }) hash!: string | null;
}

/** Entities of this room. */
export const auditEntities = [AuditRow];
