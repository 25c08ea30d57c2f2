import { Column, Entity, PrimaryColumn } from 'typeorm';

/** How an engine is reached, without secrets; those of `tls` and `ssh` are sealed apart. */
export type StoredEndpoint = { kind: 'socket'; path: string } | { kind: 'tls'; host: string; port: number } | { kind: 'ssh'; address: string; hostKey: string };

/** What the last check saw. */
export type ClusterState = 'ready' | 'unreachable' | 'not-a-manager';

/** What becomes of what appears without Gantry: nobody looks, it is flagged, or it is flagged and stopped as well. */
export const watchModes = ['off', 'flag', 'quarantine'] as const;
/** One of `watchModes`. */
export type WatchMode = (typeof watchModes)[number];

/** One Swarm, reached through one of its managers. */
@Entity('clusters_clusters')
export class Cluster {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') name!: string;
  @Column('jsonb') endpoint!: StoredEndpoint;
  /** Sealed JSON: `{ca, cert, key}`, purpose `clusters.tls`, or `{key}`, purpose `clusters.ssh`; null for sockets. */
  @Column('text', { name: 'sealed_tls', nullable: true }) sealedTls!: string | null;
  @Column('text', { name: 'swarm_id' }) swarmId!: string;
  @Column('text', { name: 'engine_version' }) engineVersion!: string;
  /** The Engine API version that we speak with it. */
  @Column('text', { name: 'api_version' }) apiVersion!: string;
  @Column('integer', { name: 'node_count' }) nodeCount!: number;
  @Column('text') state!: ClusterState;
  /** Why the state is not `ready`, or a warning; else empty. */
  @Column('text', { name: 'state_detail' }) stateDetail!: string;
  @Column('text') watch!: WatchMode;
  /** Under `quarantine`: when more than so many things, or than so many of a hundred, would be stopped at once, none is. */
  @Column('integer', { name: 'watch_brake_count' }) watchBrakeCount!: number;
  @Column('integer', { name: 'watch_brake_percent' }) watchBrakePercent!: number;
  /** Since when that is so, until somebody releases it; null: it is not. */
  @Column('timestamptz', { name: 'watch_braked_at', nullable: true }) watchBrakedAt!: Date | null;
  /** What had been found when somebody released it may be stopped. */
  @Column('timestamptz', { name: 'watch_brake_released_at', nullable: true }) watchBrakeReleasedAt!: Date | null;
  @Column('timestamptz', { name: 'checked_at' }) checkedAt!: Date;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
  @Column('integer') version!: number;
}

/** Entities of this room. */
export const clustersEntities = [Cluster];
