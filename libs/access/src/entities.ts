import type { ActorLimits } from '@gantry/platform';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Where an account's identity is kept. */
export type AccountSource = 'local' | 'ldap';
/** `user`: a person; `robot`: a machine that acts for its owner; `organization`: owns things, has members, can't sign in. */
export type AccountKind = 'user' | 'robot' | 'organization';
/** `member` sees and pulls what the organization owns; `admin` does everything with it. */
export type MemberRole = 'member' | 'admin';

/** A user, robot or organization, keyed by (source, externalId). */
@Entity('access_accounts')
export class Account {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') source!: AccountSource;
  /** Immutable id at the source: the directory's entryUUID; for local accounts their own id. */
  @Column('text', { name: 'external_id' }) externalId!: string;
  @Column('text') kind!: AccountKind;
  @Column('text') name!: string;
  /** First path component of the account's repositories; null when the name can't be one. */
  @Column('text', { nullable: true }) namespace!: string | null;
  @Column('text', { name: 'display_name', nullable: true }) displayName!: string | null;
  @Column('text', { nullable: true }) mail!: string | null;
  /** System administrator. */
  @Column('boolean') admin!: boolean;
  /** An inactive account can't sign in, and its tokens do nothing. */
  @Column('boolean') active!: boolean;
  /** Account for which a robot acts; null for others. */
  @Column('uuid', { name: 'owner_id', nullable: true }) ownerId!: string | null;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
  /** Grows with each change (ETag). */
  @Column('integer') version!: number;
  /** Grows when what proves the account has changed: a sign-in that began before does not become a session. */
  @Column('integer', { name: 'sign_in_epoch', default: 0 }) signInEpoch!: number;
}

/** One member of an organization. */
@Entity('access_members')
export class Member {
  @PrimaryColumn('uuid', { name: 'organization_id' }) organizationId!: string;
  @PrimaryColumn('uuid', { name: 'user_id' }) userId!: string;
  @Column('text') role!: MemberRole;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
}

/** A session; the token itself is not kept. */
@Entity('access_sessions')
export class Session {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'account_id' }) accountId!: string;
  @Column('text', { select: false }) hash!: string;
  @Column('text', { nullable: true }) address!: string | null;
  /** What the client called itself when it signed in. */
  @Column('text', { name: 'user_agent', nullable: true }) userAgent!: string | null;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
  @Column('timestamptz', { name: 'expires_at' }) expiresAt!: Date;
  /** To the minute. */
  @Column('timestamptz', { name: 'last_used_at' }) lastUsedAt!: Date;
}

/** A personal or robot token; the token itself is not kept. */
@Entity('access_tokens')
export class Token {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') kind!: 'personal' | 'robot';
  /** The user, or the robot's own account. */
  @Column('uuid', { name: 'account_id' }) accountId!: string;
  @Column('text') name!: string;
  @Column('text', { select: false }) hash!: string;
  @Column('jsonb', { nullable: true }) limits!: ActorLimits | null;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
  @Column('timestamptz', { name: 'expires_at' }) expiresAt!: Date;
  @Column('timestamptz', { name: 'last_used_at', nullable: true }) lastUsedAt!: Date | null;
}

/** A node of the collection tree. */
@Entity('access_collections')
export class Collection {
  /** An account's own collection has the account's id. */
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'parent_id', nullable: true }) parentId!: string | null;
  /** `/Organizations/acme`; unique. */
  @Column('text') path!: string;
  @Column('uuid', { name: 'owner_id', nullable: true }) ownerId!: string | null;
}

/** Entities of this room. */
export const accessEntities = [Account, Member, Session, Token, Collection];
