import { Injectable } from '@nestjs/common';
import { Access, Accounts, type ResourceRef } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { Clusters } from '@gantry/clusters';
import { Db, decodeCursor, isUniqueViolation, isUuid, requestProblem, toPage, uuidv7, type Context, type Page } from '@gantry/platform';
import { SignaturePolicies } from '@gantry/trust';
import { Environment } from './entities';
import { deliveryProblem } from './problems';

/** Names of environments: they end stack names, which Swarm bounds. */
export const environmentName = /^[a-z0-9](?:[a-z0-9-]{0,14}[a-z0-9])?$/;

/** A variable that Compose files may name; `GANTRY_…` are ours. */
const variableName = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/** Environments: where releases can go. */
@Injectable()
export class Environments {
  constructor(
    private readonly db: Db,
    private readonly audit: Audit,
    private readonly access: Access,
    private readonly accounts: Accounts,
    private readonly clusters: Clusters,
    private readonly policies: SignaturePolicies,
  ) {}

  /** The resource on which rights are judged. */
  ref(environment: Pick<Environment, 'id' | 'accountId'>): ResourceRef {
    return { kind: 'environment', id: environment.id, parent: { kind: 'account', id: environment.accountId } };
  }

  /** Opaque scope under which trust keeps the environment's signature policy. */
  scope(environment: Pick<Environment, 'id'>): string {
    return `environment:${environment.id}`;
  }

  /**
   * Binds a name to a cluster. Needs `environment:create` on the account and `cluster:deploy` on the cluster: with it everybody who may
   * deploy to the environment deploys to that cluster.
   * @throws request.not-found, request.forbidden, request.name-taken, request.invalid
   */
  async create(ctx: Context, input: { name: string; account: string; cluster: string; variables?: Record<string, string> }): Promise<Environment> {
    if (!environmentName.test(input.name)) throw requestProblem('invalid', { errors: [{ pointer: '/name', detail: '1 to 16 lower-case letters, digits and inner dashes' }] });
    const variables = checkVariables(input.variables ?? {});
    const account = await this.accounts.find(ctx, input.account);
    if (!account || account.kind === 'robot') throw requestProblem('invalid', { errors: [{ pointer: '/account', detail: 'no such user or organization' }] });
    this.access.assertCan(ctx, 'environment:create', { kind: 'account', id: account.id });
    const cluster = await this.clusters.get(ctx, input.cluster);
    this.access.assertCan(ctx, 'cluster:deploy', this.clusters.ref(cluster));
    return this.db.transaction(ctx, async (tx) => {
      const id = uuidv7();
      try {
        await this.db.repo(tx, Environment).insert({ id, name: input.name, accountId: account.id, clusterId: cluster.id, variables, version: 1 });
      } catch (error) {
        if (isUniqueViolation(error)) throw requestProblem('name-taken', { errors: [{ pointer: '/name', detail: 'another environment has this name' }] });
        throw error;
      }
      await this.access.place(tx, { kind: 'environment', id }, this.access.accountCollection(account.id));
      await this.audit.record(tx, {
        action: 'environment.create', outcome: 'success', resource: { kind: 'environment', id, name: input.name },
        detail: { account: account.name, cluster: cluster.name, variables: Object.keys(variables) },
      });
      return this.get(tx, id);
    });
  }

  /** By id or name, whoever asks; null when there is none. */
  async find(ctx: Context, idOrName: string): Promise<Environment | null> {
    if (isUuid(idOrName)) return this.db.find(ctx, Environment, idOrName);
    return environmentName.test(idOrName) ? this.db.repo(ctx, Environment).findOneBy({ name: idOrName }) : null;
  }

  /** Reference by id or name, or null. */
  async findRef(ctx: Context, idOrName: string): Promise<ResourceRef | null> {
    const environment = await this.find(ctx, idOrName);
    return environment && this.ref(environment);
  }

  /** By id or name, when the actor may see it. @throws request.not-found */
  async get(ctx: Context, idOrName: string): Promise<Environment> {
    const environment = await this.find(ctx, idOrName);
    if (!environment || !this.access.can(ctx, 'environment:view', this.ref(environment)).visible) throw requestProblem('not-found');
    return environment;
  }

  /** Environments that the actor sees, by name. */
  async list(ctx: Context, options: { limit: number; cursor?: string }): Promise<Page<Environment>> {
    return listVisible(options, (environment) => [environment.name],
      (after, limit) => this.db.repo(ctx, Environment).createQueryBuilder('e').where(after ? 'e.name > :after' : 'true', { after: after?.[0] }).orderBy('e.name').limit(limit).getMany(),
      (rows) => this.access.filter(ctx, 'environment:view', rows, (environment) => this.ref(environment)));
  }

  /** Replaces the variables. They take effect with the next deployment. @throws request.precondition-failed */
  async update(ctx: Context, idOrName: string, version: number, input: { variables: Record<string, string> }): Promise<Environment> {
    const environment = await this.get(ctx, idOrName);
    this.access.assertCan(ctx, 'environment:update', this.ref(environment));
    const variables = checkVariables(input.variables);
    return this.db.transaction(ctx, async (tx) => {
      const changed = await this.db.query(tx, 'update delivery_environments set variables = $3, version = version + 1 where id = $1 and version = $2 returning 1', [environment.id, version, JSON.stringify(variables)]);
      if (changed.length === 0) throw requestProblem('precondition-failed');
      await this.audit.record(tx, {
        action: 'environment.update', outcome: 'success', resource: { kind: 'environment', id: environment.id, name: environment.name },
        detail: { variables: Object.keys(variables) },
      });
      return this.get(tx, environment.id);
    });
  }

  /** Removes an environment to which nothing was ever deployed. @throws delivery.in-use */
  async delete(ctx: Context, idOrName: string, version: number): Promise<void> {
    const environment = await this.get(ctx, idOrName);
    this.access.assertCan(ctx, 'environment:delete', this.ref(environment));
    await this.db.transaction(ctx, async (tx) => {
      const used = await this.db.query(tx, `
        select 1 from delivery_deployments where environment_id = $1
        union all select 1 from delivery_plans where environment_id = $1
        union all select 1 from delivery_triggers where environment_id = $1
        union all select 1 from delivery_secrets where environment_id = $1
        union all select 1 from delivery_applications where auto_redeploy ->> 'environmentId' = $2 limit 1`, [environment.id, environment.id]);
      if (used.length > 0) throw deliveryProblem('in-use', { detail: 'Applications were deployed to this environment, or have secrets, triggers or settings for it.' });
      const removed = await this.db.query(tx, 'delete from delivery_environments where id = $1 and version = $2 returning 1', [environment.id, version]);
      if (removed.length === 0) throw requestProblem('precondition-failed');
      await this.policies.deleteScope(tx, this.scope(environment));
      await this.access.unplace(tx, { kind: 'environment', id: environment.id });
      await this.audit.record(tx, { action: 'environment.delete', outcome: 'success', resource: { kind: 'environment', id: environment.id, name: environment.name } });
    });
  }
}

function checkVariables(variables: Record<string, string>): Record<string, string> {
  const entries = Object.entries(variables);
  const errors = entries.flatMap(([name, value]) => {
    const pointer = `/variables/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (!variableName.test(name)) return [{ pointer, detail: 'letters, digits and _, not beginning with a digit; at most 128' }];
    if (name.startsWith('GANTRY_')) return [{ pointer, detail: 'names that begin with GANTRY_ are given by Gantry' }];
    if (value.includes('\0') || value.length > 8192) return [{ pointer, detail: 'at most 8,192 characters, no NUL' }];
    return [];
  });
  if (entries.length > 200) errors.push({ pointer: '/variables', detail: 'at most 200 variables' });
  if (errors.length > 0) throw requestProblem('invalid', { errors });
  return variables;
}

/**
 * A page of what the actor may see: reads on until the page is full, since what is hidden is known only after reading.
 * `fetch(after, limit)` answers rows in the order of `key`.
 */
export async function listVisible<T>(
  options: { limit: number; cursor?: string },
  key: (row: T) => string[],
  fetch: (after: string[] | null, limit: number) => Promise<T[]>,
  visible: (rows: T[]) => T[],
): Promise<Page<T>> {
  let after = decodeCursor(options.cursor, 1);
  const found: T[] = [];
  const batch = Math.max(100, options.limit + 1);
  for (;;) {
    const rows = await fetch(after, batch);
    found.push(...visible(rows));
    const last = rows[rows.length - 1];
    if (found.length > options.limit || rows.length < batch || last === undefined) break;
    after = key(last);
  }
  return toPage(found, options.limit, key);
}
