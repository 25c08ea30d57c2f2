import { Inject, Injectable } from '@nestjs/common';
import { Tokens } from '@gantry/access';
import { Clock, CONFIG, Db, LOGGER, Problem, Sealer, type Config, type Context, type Logger } from '@gantry/platform';
import { Clusters } from '../clusters';
import type { EngineService } from '../engine.types';
import { EngineError, type RegistryAuth } from '../engine.client';
import { GatewayImages } from './ports';
import { parseReference } from './references';

/** How long a credential is good, and how long before its end a service gets another one. */
const lifeMillis = 90 * 86_400_000;
const renewMillis = 30 * 86_400_000;

interface Row {
  cluster_id: string;
  holder_id: string;
  repository_id: string;
  credential_id: string;
  username: string;
  sealed: string;
  expires_at: Date;
}

/** Whose credential, and for which repository. `holderId` is the service's row of ownership. */
interface Holder {
  clusterId: string;
  holderId: string;
  repositoryId: string;
}

const columns = 'cluster_id, holder_id, repository_id, credential_id, username, sealed, expires_at';

/**
 * The credentials with which services that came through the gateway pull: one for each service and repository, good for nothing else, so that no
 * person's token ever lies in a service's spec. Written down before the engine hears of it: whoever dies in between leaves a credential that the
 * next try of the same service uses, or that the sweep ends.
 */
@Injectable()
export class PullCredentials {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly sealer: Sealer,
    private readonly tokens: Tokens,
    private readonly clusters: Clusters,
    private readonly images: GatewayImages,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** The credential of a service (`holderId`: its row of ownership) for a repository; made where there is none that lasts. */
  async ensure(ctx: Context, of: Holder): Promise<RegistryAuth> {
    const [known] = await this.db.query<Row>(ctx, `select ${columns} from clusters_pull_credentials where cluster_id = $1 and holder_id = $2 and repository_id = $3 and expires_at > $4`,
      [of.clusterId, of.holderId, of.repositoryId, new Date(this.clock.now().getTime() + renewMillis)]);
    return known ? this.open(known) : this.mint(ctx, of);
  }

  /** Ends all credentials of a service. */
  async end(ctx: Context, clusterId: string, holderId: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const rows = await this.db.query<{ credential_id: string }>(tx, 'delete from clusters_pull_credentials where cluster_id = $1 and holder_id = $2 returning credential_id', [clusterId, holderId]);
      for (const row of rows) await this.tokens.revokeServiceCredential(tx, row.credential_id);
    });
  }

  /** A credential for as long as something is done with it, good for these repositories alone. Whoever dies meanwhile leaves one that ends within the hour. */
  async lend<T>(ctx: Context, of: { subject: string; repositoryIds: string[] }, use: (auth: RegistryAuth) => Promise<T>): Promise<T> {
    const expiresAt = new Date(this.clock.now().getTime() + 3_600_000);
    const { id, username, password } = await this.tokens.createServiceCredential(ctx, { ...of, expiresAt });
    try {
      return await use({ username, password, serverAddress: this.config.registryPublicHost });
    } finally {
      await this.tokens.revokeServiceCredential(ctx, id);
    }
  }

  /** Sweep: ends the credentials of services that are gone, and gives those that go on another one before theirs ends; no task is restarted by that. */
  async sweep(ctx: Context): Promise<void> {
    const gone = await this.db.query<{ cluster_id: string; holder_id: string }>(ctx, `
      select distinct p.cluster_id, p.holder_id from clusters_pull_credentials p where not exists (select 1 from clusters_engine_objects o where o.id = p.holder_id)`);
    for (const { cluster_id: clusterId, holder_id: holderId } of gone) await this.end(ctx, clusterId, holderId);
    const due = await this.db.query<Row & { engine_id: string }>(ctx, `
      select ${columns.split(', ').map((name) => `p.${name}`).join(', ')}, o.engine_id from clusters_pull_credentials p join clusters_engine_objects o on o.id = p.holder_id
      where p.expires_at < $1 and o.engine_id is not null order by random() limit 100`, [new Date(this.clock.now().getTime() + renewMillis)]);
    const away = new Set<string>();
    for (const row of due) {
      if (away.has(row.cluster_id)) continue;
      try {
        await this.renew(ctx, row);
      } catch (error) {
        if (!(error instanceof Problem) && !(error instanceof EngineError)) throw error;
        // A cluster that does not answer is asked once in a pass: others wait for the end of it.
        if (error instanceof Problem) away.add(row.cluster_id);
        this.logger.warn({ cluster: row.cluster_id, service: row.engine_id, error: error.message }, 'the pull credential of a service could not be renewed');
      }
    }
  }

  private async renew(ctx: Context, row: Row & { engine_id: string }): Promise<void> {
    const of = { clusterId: row.cluster_id, holderId: row.holder_id, repositoryId: row.repository_id };
    const engine = await this.clusters.engine(ctx, row.cluster_id);
    const service: EngineService = await engine.service(row.engine_id);
    // A service has the credential of what it runs; that of a repository from before must not take its place.
    if ((await this.repositoryOf(ctx, service)) !== row.repository_id) {
      if (row.expires_at < this.clock.now()) await this.drop(ctx, row);
      return;
    }
    const made = await this.create(ctx, of);
    try {
      // The engine's own spec, unchanged: only the credential that goes with it is another.
      await engine.updateService(service.ID, service.Version.Index, service.Spec as never, made);
    } catch (error) {
      await this.tokens.revokeServiceCredential(ctx, made.id);
      throw error;
    }
    // Whoever dies before this renews once more: the former credential is still on record, and still good.
    await this.db.transaction(ctx, async (tx) => {
      await this.store(tx, of, made);
      await this.tokens.revokeServiceCredential(tx, row.credential_id);
    });
  }

  /** Id of the repository of ours whose image the service runs; null: of none that is there. */
  private async repositoryOf(ctx: Context, { Spec }: EngineService): Promise<string | null> {
    const named = parseReference(Spec.TaskTemplate.ContainerSpec?.Image ?? '', this.config.registryPublicHost);
    const found = named && (await this.images.resolve(ctx, named.path, named.digest ?? named.tag));
    return found?.repository.id ?? null;
  }

  private async drop(ctx: Context, row: Row): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'delete from clusters_pull_credentials where cluster_id = $1 and holder_id = $2 and repository_id = $3 returning 1', [row.cluster_id, row.holder_id, row.repository_id]);
      await this.tokens.revokeServiceCredential(tx, row.credential_id);
    });
  }

  private async mint(ctx: Context, of: Holder): Promise<RegistryAuth> {
    return this.db.transaction(ctx, async (tx) => {
      const made = await this.create(tx, of);
      await this.store(tx, of, made);
      return made;
    });
  }

  private async create(ctx: Context, of: Holder): Promise<RegistryAuth & { id: string; expiresAt: Date }> {
    const expiresAt = new Date(this.clock.now().getTime() + lifeMillis);
    const { id, username, password } = await this.tokens.createServiceCredential(ctx, { subject: `${of.clusterId}/${of.holderId}`, repositoryIds: [of.repositoryId], expiresAt });
    return { id, username, password, expiresAt, serverAddress: this.config.registryPublicHost };
  }

  private async store(tx: Context, of: Holder, made: RegistryAuth & { id: string; expiresAt: Date }): Promise<void> {
    await this.db.query(tx, `insert into clusters_pull_credentials (${columns}) values ($1, $2, $3, $4, $5, $6, $7)
      on conflict (cluster_id, holder_id, repository_id) do update set credential_id = excluded.credential_id, username = excluded.username, sealed = excluded.sealed, expires_at = excluded.expires_at returning 1`,
    [of.clusterId, of.holderId, of.repositoryId, made.id, made.username, this.sealer.seal(made.password, purpose(of)), made.expiresAt]);
  }

  private open(row: Row): RegistryAuth {
    const password = this.sealer.open(row.sealed, purpose({ clusterId: row.cluster_id, holderId: row.holder_id })).toString();
    return { username: row.username, password, serverAddress: this.config.registryPublicHost };
  }
}

function purpose(of: { clusterId: string; holderId: string }): string {
  return `pull-credential:${of.clusterId}/${of.holderId}`;
}
