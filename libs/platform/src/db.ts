import { Client } from 'pg';
import { DataSource, type EntityManager, type EntityTarget, type ObjectLiteral, type Repository } from 'typeorm';
import type { Context } from './context';
import type { Logger } from './log';

type Migration = NonNullable<ConstructorParameters<typeof DataSource>[0]['migrations']>;
type Entities = NonNullable<ConstructorParameters<typeof DataSource>[0]['entities']>;

/** Key of the advisory lock under which migrations run; any constant that is ours alone. */
const migrationLock = 7_263_001;

/** Statements that one connection keeps prepared, at most: ours are few hundred, what is composed at run time must not add up. */
const maxPrepared = 1_000;

/**
 * A connection of the pool that has the server parse and plan each parameterised statement once: by measure that is more than half of the
 * time of the short statements that ours are. A proxy between us and the server must pool sessions, as LISTEN and advisory locks demand anyway.
 */
class PreparingClient extends Client {
  private readonly prepared = new Map<string, string>();

  // pg has the same method in many forms; the one in which TypeORM calls it is text and values.
  override query(...parts: unknown[]): never {
    const [text, values, ...rest] = parts;
    const name = typeof text === 'string' && Array.isArray(values) && values.length > 0 ? this.nameOf(text) : null;
    const call = super.query.bind(this) as (...all: unknown[]) => never;
    return name === null ? call(...parts) : call({ name, text, values }, ...rest);
  }

  private nameOf(text: string): string | null {
    const known = this.prepared.get(text);
    if (known !== undefined || this.prepared.size >= maxPrepared) return known ?? null;
    const name = `s${this.prepared.size}`;
    this.prepared.set(text, name);
    return name;
  }
}

/** How to open the database. `poolSize` counts this process's own connections, the queue has its own. */
export interface DbOptions {
  url: string;
  entities: Entities;
  migrations: Migration;
  poolSize?: number;
  logger: Logger;
}

/**
 * The database of a process: transactions that travel in the `Context`, and LISTEN. Every query goes through the transaction
 * in `ctx` where there is one. No transaction spans network I/O other than the database's.
 */
export class Db {
  private listener: Client | null = null;
  private listening: Promise<void> | null = null;
  private readonly handlers = new Map<string, Set<(payload: string) => void>>();
  private closed = false;

  private constructor(private readonly url: string, readonly dataSource: DataSource, private readonly logger: Logger) {}

  /** Connects; does not migrate. */
  static async open(options: DbOptions): Promise<Db> {
    const dataSource = new DataSource({
      type: 'postgres',
      url: options.url,
      entities: options.entities,
      migrations: options.migrations,
      migrationsTableName: 'platform_migrations',
      migrationsTransactionMode: 'each',
      installExtensions: false,
      applicationName: 'gantry',
      extra: { max: options.poolSize ?? 10, connectionTimeoutMillis: 10_000, Client: PreparingClient },
    });
    await dataSource.initialize();
    return new Db(options.url, dataSource, options.logger);
  }

  /** Runs the outstanding migrations under an advisory lock, so that several processes may start at once. Returns their names. */
  async migrate(): Promise<string[]> {
    const guard = new Client({ connectionString: this.url });
    await guard.connect();
    try {
      await guard.query('select pg_advisory_lock($1)', [migrationLock]);
      return (await this.dataSource.runMigrations()).map((migration) => migration.name);
    } finally {
      await guard.end(); // ends the session and with it the lock
    }
  }

  /** Entity manager of the context's transaction, else of the pool. */
  em(ctx: Context): EntityManager {
    return ctx.tx ?? this.dataSource.manager;
  }

  /** Typed repository on the context's transaction, else on the pool. */
  repo<T extends ObjectLiteral>(ctx: Context, entity: EntityTarget<T>): Repository<T> {
    return this.em(ctx).getRepository(entity);
  }

  /** Runs SQL with positional parameters (`$1`) and returns its rows; for UPDATE and DELETE use RETURNING (rows come back alike). */
  async query<T = Record<string, unknown>>(ctx: Context, sql: string, parameters: unknown[] = []): Promise<T[]> {
    const result: unknown = await this.em(ctx).query(sql, parameters);
    // TypeORM answers [rows, count] for UPDATE and DELETE and plain rows otherwise.
    if (/^\s*(update|delete)\b/i.test(sql) && Array.isArray(result) && result.length === 2 && Array.isArray(result[0])) return result[0] as T[];
    return result as T[];
  }

  /**
   * Entities by a clause in SQL after the table's name (`where id = $1`), columns by their names in the database. What TypeORM does for the
   * same costs several times the query; on a way that is counted in milliseconds that is felt.
   */
  async load<T extends ObjectLiteral>(ctx: Context, entity: EntityTarget<T>, clause: string, parameters: unknown[]): Promise<T[]> {
    const metadata = this.dataSource.getMetadata(entity);
    const { driver } = this.dataSource;
    const rows = await this.query(ctx, `select ${metadata.columns.map((column) => driver.escape(column.databaseName)).join(', ')} from ${driver.escape(metadata.tableName)} ${clause}`, parameters);
    return rows.map((row) => {
      const loaded = metadata.create() as T;
      for (const column of metadata.columns) column.setEntityValue(loaded, driver.prepareHydratedValue(row[column.databaseName], column));
      return loaded;
    });
  }

  /** The entity of this id, or null. */
  async find<T extends ObjectLiteral & { id: string }>(ctx: Context, entity: EntityTarget<T>, id: string): Promise<T | null> {
    const [found] = await this.load(ctx, entity, 'where id = $1', [id]);
    return found ?? null;
  }

  /** The entity of this id, which is known to be there. */
  async get<T extends ObjectLiteral & { id: string }>(ctx: Context, entity: EntityTarget<T>, id: string): Promise<T> {
    const found = await this.find(ctx, entity, id);
    if (!found) throw new Error(`${this.dataSource.getMetadata(entity).tableName} has no ${id}`);
    return found;
  }

  /**
   * Runs `work` in a transaction (READ COMMITTED) and commits; joins the context's transaction where there is one.
   * Callbacks registered with `afterCommit` run after the outermost commit.
   */
  async transaction<T>(ctx: Context, work: (ctx: Context) => Promise<T>): Promise<T> {
    if (ctx.tx) return work(ctx);
    const afterCommit: (() => void | Promise<void>)[] = [];
    const result = await this.dataSource.transaction((tx) => work({ ...ctx, tx, afterCommit }));
    for (const callback of afterCommit) await callback();
    return result;
  }

  /** Runs `callback` after the context's transaction commits, or at once where there is none. Not durable: use the outbox for work. */
  async afterCommit(ctx: Context, callback: () => void | Promise<void>): Promise<void> {
    if (ctx.afterCommit) ctx.afterCommit.push(callback);
    else await callback();
  }

  /** Sends NOTIFY in the context's transaction (delivered at commit). Payload below 8,000 bytes. */
  async notify(ctx: Context, channel: string, payload = ''): Promise<void> {
    await this.em(ctx).query('select pg_notify($1, $2)', [channel, payload]);
  }

  /**
   * Calls `handler` for each NOTIFY on `channel`, and with `''` after a lost connection was restored (so that what was missed is caught up).
   * Returns a function that ends the subscription.
   */
  async listen(channel: string, handler: (payload: string) => void): Promise<() => void> {
    if (!/^[a-z_]+$/.test(channel)) throw new Error(`bad channel name ${channel}`);
    const known = this.handlers.get(channel);
    const handlers = known ?? new Set();
    handlers.add(handler);
    this.handlers.set(channel, handlers);
    this.listening ??= this.connectListener();
    await this.listening;
    if (!known && this.listener) await this.listener.query(`listen ${channel}`);
    return () => {
      handlers.delete(handler);
    };
  }

  private async connectListener(): Promise<void> {
    const client = new Client({ connectionString: this.url, application_name: 'gantry:listen', keepAlive: true });
    client.on('notification', (message) => {
      for (const handler of this.handlers.get(message.channel) ?? []) handler(message.payload ?? '');
    });
    client.on('error', (error) => this.logger.warn({ error: error.message }, 'the LISTEN connection failed'));
    client.on('end', () => {
      if (this.closed || this.listener !== client) return;
      this.listener = null;
      this.listening = this.reconnectListener();
    });
    await client.connect();
    for (const channel of this.handlers.keys()) await client.query(`listen ${channel}`);
    this.listener = client;
  }

  private async reconnectListener(): Promise<void> {
    while (!this.closed) {
      try {
        await this.connectListener();
        for (const handlers of this.handlers.values()) for (const handler of handlers) handler('');
        return;
      } catch (error) {
        this.logger.warn({ error: (error as Error).message }, 'the database is not reachable for LISTEN; trying again in 1 s');
        await new Promise((resolve) => setTimeout(resolve, 1000).unref());
      }
    }
  }

  /** Closes the pool and the LISTEN connection. */
  async close(): Promise<void> {
    this.closed = true;
    const listener = this.listener;
    this.listener = null;
    await listener?.end();
    await this.dataSource.destroy();
  }
}

/** True when `error` is PostgreSQL's unique violation (23505), optionally of one constraint. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  const cause = error as { code?: string; constraint?: string; driverError?: { code?: string; constraint?: string } };
  const code = cause.driverError?.code ?? cause.code;
  return code === '23505' && (constraint === undefined || (cause.driverError?.constraint ?? cause.constraint) === constraint);
}
