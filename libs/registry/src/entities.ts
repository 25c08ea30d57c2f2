import { Column, Entity, PrimaryColumn } from 'typeorm';

const wholeNumber = { to: (value: number) => value, from: (value: string) => Number(value) };

/** A repository of the managed registry: `namespace/name`, belonging to the account that owns the namespace. */
@Entity('registry_repositories')
export class Repository {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'account_id' }) accountId!: string;
  @Column('text') namespace!: string;
  @Column('text') name!: string;
  /** `namespace/name`; the database makes it. */
  @Column({ type: 'text', insert: false, update: false }) path!: string;
  @Column('text') description!: string;
  /** A tag keeps the image that it was first given. */
  @Column('boolean', { name: 'immutable_tags' }) immutableTags!: boolean;
  /** Gone for everybody; a loop still takes its content out of the storage. */
  @Column('boolean') deleting!: boolean;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
  @Column('timestamptz', { name: 'updated_at' }) updatedAt!: Date;
  /** Grows with each change (ETag). */
  @Column('integer') version!: number;
}

/** A manifest or index that was pushed to a repository. */
@Entity('registry_manifests')
export class Manifest {
  @PrimaryColumn('uuid', { name: 'repository_id' }) repositoryId!: string;
  @PrimaryColumn('text') digest!: string;
  @Column('text', { name: 'media_type' }) mediaType!: string;
  /** Of the manifest itself. */
  @Column('bigint', { name: 'size_bytes', transformer: wholeNumber }) sizeBytes!: number;
  /** Of the blobs that it names. */
  @Column('bigint', { name: 'content_bytes', transformer: wholeNumber }) contentBytes!: number;
  /** The image that this is about (OCI 1.1 `subject`). */
  @Column('text', { name: 'subject_digest', nullable: true }) subjectDigest!: string | null;
  /** `artifactType`, else the configuration's media type; null for an index without. */
  @Column('text', { name: 'artifact_type', nullable: true }) artifactType!: string | null;
  @Column('text', { name: 'config_digest', nullable: true }) configDigest!: string | null;
  @Column('jsonb', { nullable: true }) annotations!: Record<string, string> | null;
  @Column('timestamptz', { name: 'pushed_at' }) pushedAt!: Date;
  /** Name of who pushed it first. */
  @Column('text', { name: 'pushed_by' }) pushedBy!: string;
}

/** A tag: the name of one manifest. */
@Entity('registry_tags')
export class Tag {
  @PrimaryColumn('uuid', { name: 'repository_id' }) repositoryId!: string;
  @PrimaryColumn('text') name!: string;
  @Column('text') digest!: string;
  @Column('timestamptz', { name: 'updated_at' }) updatedAt!: Date;
  @Column('text', { name: 'updated_by' }) updatedBy!: string;
}

/** What happened in a repository, newest last by id. */
@Entity('registry_events')
export class RepositoryEvent {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'repository_id' }) repositoryId!: string;
  @Column('text') type!: 'pushed' | 'tag-deleted' | 'manifest-deleted';
  @Column('text', { nullable: true }) tag!: string | null;
  @Column('text') digest!: string;
  @Column('text', { name: 'actor_name' }) actorName!: string;
  @Column('timestamptz') at!: Date;
}

/** Entities of this room. The table of pending pushes is read by SQL alone. */
export const registryEntities = [Repository, Manifest, Tag, RepositoryEvent];
