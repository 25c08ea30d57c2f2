import { Inject, Injectable } from '@nestjs/common';
import { Access, Accounts, type ResourceRef } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { CONFIG, Db, decodeCursor, isUniqueViolation, isUuid, requestProblem, Sealer, toPage, uuidv7, type Config, type Context, type FieldError, type Page } from '@gantry/platform';
import { hostAffecting, parseCompose, type ComposeFile, type ComposeNotice } from './compose';
import { Application, Revision, type Environment, type Maker, type Notice } from './entities';
import { Environments, listVisible } from './environments';
import { deliveryProblem } from './problems';
import { parseImageReference } from './references';

/** Names of applications: they begin stack names, which Swarm bounds. */
export const applicationName = /^[a-z0-9](?:[a-z0-9-]{0,21}[a-z0-9])?$/;
const secretName = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?$/;
/** Swarm takes less than 500 KiB. */
const maxSecretBytes = 500 * 1024 - 1;

/** What `autoRedeploy` looks like to people: the environment by id or name. */
export interface AutoRedeployInput {
  environment: string;
  repository: string;
  tag: string;
}

/** A secret as it is listed: never its value. `number` counts the values that it has had. */
export interface SecretInfo {
  name: string;
  environmentId: string;
  number: number;
  updatedAt: Date;
}

/** Applications, the revisions of their Compose files, and the values of their secrets. */
@Injectable()
export class Applications {
  /** Parsed files by revision and variables; revisions never change. */
  private readonly parsed = new Map<string, ComposeFile>();

  constructor(
    private readonly db: Db,
    private readonly audit: Audit,
    private readonly access: Access,
    private readonly accounts: Accounts,
    private readonly sealer: Sealer,
    private readonly environments: Environments,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** The resource on which rights are judged. */
  ref(application: Pick<Application, 'id' | 'accountId'>): ResourceRef {
    return { kind: 'application', id: application.id, parent: { kind: 'account', id: application.accountId } };
  }

  /** Makes an application, with its first revision where a Compose file is given. @throws request.name-taken, delivery.compose-invalid, delivery.image-foreign */
  async create(ctx: Context, input: { name: string; account: string; compose?: string; autoRedeploy?: AutoRedeployInput | null }): Promise<Application> {
    if (!applicationName.test(input.name)) throw requestProblem('invalid', { errors: [{ pointer: '/name', detail: '1 to 23 lower-case letters, digits and inner dashes' }] });
    const account = await this.accounts.find(ctx, input.account);
    if (!account || account.kind === 'robot') throw requestProblem('invalid', { errors: [{ pointer: '/account', detail: 'no such user or organization' }] });
    this.access.assertCan(ctx, 'application:create', { kind: 'account', id: account.id });
    const autoRedeploy = await this.autoRedeploy(ctx, input.autoRedeploy ?? null);
    const warnings = input.compose === undefined ? [] : this.check(input.compose);
    return this.db.transaction(ctx, async (tx) => {
      const id = uuidv7();
      try {
        await this.db.repo(tx, Application).insert({ id, name: input.name, accountId: account.id, autoRedeploy: autoRedeploy as never, version: 1 });
      } catch (error) {
        if (isUniqueViolation(error)) throw requestProblem('name-taken', { errors: [{ pointer: '/name', detail: 'another application has this name' }] });
        throw error;
      }
      const collection = this.access.accountCollection(account.id);
      await this.access.place(tx, { kind: 'application', id }, collection);
      // A push acts as a trigger of the application's own, with the rights that triggers have.
      await this.access.place(tx, { kind: 'trigger', id }, collection);
      await this.audit.record(tx, { action: 'application.create', outcome: 'success', resource: { kind: 'application', id, name: input.name }, detail: { account: account.name } });
      if (input.compose !== undefined) await this.insertRevision(tx, { id, name: input.name }, input.compose, warnings);
      return this.get(tx, id);
    });
  }

  /** By id or name, whoever asks; null when there is none. */
  async find(ctx: Context, idOrName: string): Promise<Application | null> {
    if (isUuid(idOrName)) return this.db.find(ctx, Application, idOrName);
    return applicationName.test(idOrName) ? this.db.repo(ctx, Application).findOneBy({ name: idOrName }) : null;
  }

  /** Reference by id or name, or null. */
  async findRef(ctx: Context, idOrName: string): Promise<ResourceRef | null> {
    const application = await this.find(ctx, idOrName);
    return application && this.ref(application);
  }

  /** By id or name, when the actor may see it. @throws request.not-found */
  async get(ctx: Context, idOrName: string): Promise<Application> {
    const application = await this.find(ctx, idOrName);
    if (!application || !this.access.can(ctx, 'application:view', this.ref(application)).visible) throw requestProblem('not-found');
    return application;
  }

  /** Applications that the actor sees, by name. */
  async list(ctx: Context, options: { limit: number; cursor?: string }): Promise<Page<Application>> {
    return listVisible(options, (application) => [application.name],
      (after, limit) => this.db.repo(ctx, Application).createQueryBuilder('a').where(after ? 'a.name > :after' : 'true', { after: after?.[0] }).orderBy('a.name').limit(limit).getMany(),
      (rows) => this.access.filter(ctx, 'application:view', rows, (application) => this.ref(application)));
  }

  /** Changes the settings. `autoRedeploy` needs `environment:deploy` on its environment. @throws request.precondition-failed */
  async update(ctx: Context, idOrName: string, version: number, input: { autoRedeploy: AutoRedeployInput | null }): Promise<Application> {
    const application = await this.get(ctx, idOrName);
    this.access.assertCan(ctx, 'application:update', this.ref(application));
    const autoRedeploy = await this.autoRedeploy(ctx, input.autoRedeploy);
    return this.db.transaction(ctx, async (tx) => {
      const changed = await this.db.query(tx, 'update delivery_applications set auto_redeploy = $3, version = version + 1 where id = $1 and version = $2 returning 1', [application.id, version, autoRedeploy === null ? null : JSON.stringify(autoRedeploy)]);
      if (changed.length === 0) throw requestProblem('precondition-failed');
      await this.db.query(tx, 'delete from delivery_awaited where application_id = $1', [application.id]);
      await this.audit.record(tx, { action: 'application.update', outcome: 'success', resource: { kind: 'application', id: application.id, name: application.name }, detail: { autoRedeploy } });
      return this.get(tx, application.id);
    });
  }

  /** Removes an application that was never deployed. @throws delivery.in-use, request.precondition-failed */
  async delete(ctx: Context, idOrName: string, version: number): Promise<void> {
    const application = await this.get(ctx, idOrName);
    this.access.assertCan(ctx, 'application:delete', this.ref(application));
    await this.db.transaction(ctx, async (tx) => {
      const used = await this.db.query(tx, 'select 1 from delivery_deployments where application_id = $1 limit 1', [application.id]);
      if (used.length > 0) throw deliveryProblem('in-use', { detail: 'The application has been deployed; its releases are on record.' });
      for (const table of ['awaited', 'triggers', 'plans', 'releases', 'secrets', 'revisions']) {
        await this.db.query(tx, `delete from delivery_${table} where application_id = $1`, [application.id]);
      }
      const removed = await this.db.query(tx, 'delete from delivery_applications where id = $1 and version = $2 returning 1', [application.id, version]);
      if (removed.length === 0) throw requestProblem('precondition-failed');
      await this.access.unplace(tx, { kind: 'application', id: application.id });
      await this.access.unplace(tx, { kind: 'trigger', id: application.id });
      await this.audit.record(tx, { action: 'application.delete', outcome: 'success', resource: { kind: 'application', id: application.id, name: application.name } });
    });
  }

  private async autoRedeploy(ctx: Context, input: AutoRedeployInput | null): Promise<Application['autoRedeploy']> {
    if (!input) return null;
    const environment = await this.environments.find(ctx, input.environment);
    if (!environment || !this.access.can(ctx, 'environment:view', this.environments.ref(environment)).visible) {
      throw requestProblem('invalid', { errors: [{ pointer: '/autoRedeploy/environment', detail: 'no such environment' }] });
    }
    this.access.assertCan(ctx, 'environment:deploy', this.environments.ref(environment));
    const { repository } = parseImageReference(input.repository, this.config.registryPublicHost, '/autoRedeploy/repository');
    if (repository !== input.repository) throw requestProblem('invalid', { errors: [{ pointer: '/autoRedeploy/repository', detail: 'namespace/name, without host, tag or digest' }] });
    if (!/^[\w.*-]{1,128}$/.test(input.tag)) throw requestProblem('invalid', { errors: [{ pointer: '/autoRedeploy/tag', detail: 'a tag, in which * stands for any characters' }] });
    return { environmentId: environment.id, repository, tag: input.tag };
  }

  // --- revisions ---

  /** Adds a version of the Compose file. Checked as far as it can be without an environment's variables. @throws delivery.compose-invalid, delivery.image-foreign */
  async createRevision(ctx: Context, idOrName: string, compose: string): Promise<Revision> {
    const application = await this.get(ctx, idOrName);
    this.access.assertCan(ctx, 'application:update', this.ref(application));
    const warnings = this.check(compose);
    return this.db.transaction(ctx, async (tx) => {
      // One writer at a time per application, so that numbers have no gaps and no clashes.
      await this.db.query(tx, 'select 1 from delivery_applications where id = $1 for update', [application.id]);
      return this.insertRevision(tx, application, compose, warnings);
    });
  }

  private async insertRevision(tx: Context, application: Pick<Application, 'id' | 'name'>, compose: string, warnings: Notice[]): Promise<Revision> {
    const id = uuidv7();
    const [row] = await this.db.query<{ number: number }>(tx, `
      insert into delivery_revisions (id, application_id, number, compose, warnings, created_by)
      values ($1, $2, (select coalesce(max(number), 0) + 1 from delivery_revisions where application_id = $2), $3, $4, $5) returning number`,
      [id, application.id, compose, JSON.stringify(warnings), JSON.stringify(maker(tx))]);
    await this.audit.record(tx, { action: 'application.revise', outcome: 'success', resource: { kind: 'application', id: application.id, name: application.name }, detail: { revision: row?.number } });
    return this.db.repo(tx, Revision).findOneByOrFail({ id });
  }

  /** The revision with that number or id, of an application that the actor may see; without one the latest. @throws request.not-found */
  async revision(ctx: Context, application: Pick<Application, 'id'>, numberOrId?: string | number): Promise<Revision> {
    const key = numberOrId === undefined ? undefined : String(numberOrId);
    if (key !== undefined && !isUuid(key) && !/^[1-9]\d{0,8}$/.test(key)) throw requestProblem('not-found');
    const [condition, value] = key === undefined ? ['$2::text is null', null] : isUuid(key) ? ['id = $2', key] : ['number = $2', Number(key)];
    const [found] = await this.db.load(ctx, Revision, `where application_id = $1 and ${condition} order by number desc limit 1`, [application.id, value]);
    if (!found) throw key === undefined ? deliveryProblem('revision-missing') : requestProblem('not-found');
    return found;
  }

  /** Revisions, newest first. */
  async revisions(ctx: Context, idOrName: string, options: { limit: number; cursor?: string }): Promise<Page<Revision>> {
    const application = await this.get(ctx, idOrName);
    const before = Number(decodeCursor(options.cursor, 1)?.[0] ?? 2_147_483_647);
    if (!Number.isInteger(before)) throw requestProblem('invalid', { errors: [{ pointer: 'query/cursor', detail: 'not a cursor of this list' }] });
    const rows = await this.db.repo(ctx, Revision).createQueryBuilder('r').where('r.application_id = :id and r.number < :before', { id: application.id, before: Math.min(before, 2_147_483_647) })
      .orderBy('r.number', 'DESC').limit(options.limit + 1).getMany();
    return toPage(rows, options.limit, (row) => [String(row.number)]);
  }

  /** What can be known of a file without an environment: an undefined variable is a warning here and an error in a plan. */
  private check(compose: string): Notice[] {
    const result = parseCompose(compose, { variables: this.variables({ name: 'application' }, { name: 'environment', variables: {} }) });
    if (!result.ok) {
      const others = result.errors.filter((error) => error.code !== 'variable' || !/ is (not defined|empty)/.test(error.message));
      if (others.length > 0) throw composeProblem(others);
      return result.errors.map(notice);
    }
    for (const [service, { image }] of Object.entries(result.file.services)) parseImageReference(image, this.config.registryPublicHost, imagePointer(service));
    return [
      ...result.warnings.map(notice),
      ...hostAffecting(result.file).map(({ service, option, detail, pointer }) => ({ pointer, line: null, message: `${service} asks the node for ${option} (${detail}); only an administrator may deploy it` })),
      ...Object.entries(result.file.services).filter(([, service]) => service.deploy.updateConfig?.failureAction === 'rollback').map(([service]) => rollbackNotice(service)),
    ];
  }

  /** The revision's file with the environment's variables filled in. @throws delivery.compose-invalid */
  file(application: Pick<Application, 'name'>, environment: Pick<Environment, 'name' | 'variables'>, revision: Pick<Revision, 'id' | 'compose'>): ComposeFile {
    const variables = this.variables(application, environment);
    const key = `${revision.id}\n${JSON.stringify(variables)}`;
    const known = this.parsed.get(key);
    if (known) return known;
    const result = parseCompose(revision.compose, { variables });
    if (!result.ok) throw composeProblem(result.errors);
    if (this.parsed.size >= 200) this.parsed.delete(this.parsed.keys().next().value ?? '');
    this.parsed.set(key, result.file);
    return result.file;
  }

  private variables(application: Pick<Application, 'name'>, environment: Pick<Environment, 'name' | 'variables'>): Record<string, string> {
    return { ...environment.variables, GANTRY_REGISTRY: this.config.registryPublicHost, GANTRY_APPLICATION: application.name, GANTRY_ENVIRONMENT: environment.name };
  }

  // --- secrets ---

  /**
   * Gives a secret a new value for one environment; it takes effect with the next deployment, and earlier releases keep theirs.
   * Needs `application:update` and `environment:deploy`. The value is sealed and never shown again.
   */
  async setSecret(ctx: Context, idOrName: string, name: string, input: { environment: string; value: string }): Promise<SecretInfo> {
    const application = await this.get(ctx, idOrName);
    this.access.assertCan(ctx, 'application:update', this.ref(application));
    const environment = await this.environments.get(ctx, input.environment);
    this.access.assertCan(ctx, 'environment:deploy', this.environments.ref(environment));
    const errors: FieldError[] = [];
    if (!secretName.test(name)) errors.push({ pointer: 'path/name', detail: 'letters, digits and ._- inside; at most 128' });
    const size = Buffer.byteLength(input.value);
    if (size < 1 || size > maxSecretBytes) errors.push({ pointer: '/value', detail: `1 to ${maxSecretBytes} bytes` });
    if (errors.length > 0) throw requestProblem('invalid', { errors });
    const sealed = this.sealer.seal(input.value, secretPurpose(application.id, environment.id, name));
    return this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'select 1 from delivery_applications where id = $1 for update', [application.id]);
      const [row] = await this.db.query<{ number: number; created_at: Date }>(tx, `
        insert into delivery_secrets (application_id, environment_id, name, number, sealed)
        values ($1, $2, $3, (select coalesce(max(number), 0) + 1 from delivery_secrets where application_id = $1 and environment_id = $2 and name = $3), $4)
        returning number, created_at`, [application.id, environment.id, name, sealed]);
      await this.audit.record(tx, { action: 'application.set-secret', outcome: 'success', resource: { kind: 'application', id: application.id, name: application.name }, detail: { name, environment: environment.name, number: row?.number } });
      return { name, environmentId: environment.id, number: row?.number ?? 1, updatedAt: row?.created_at ?? new Date() };
    });
  }

  /** Names of the secrets that have values, with the number of their current one. */
  async secrets(ctx: Context, idOrName: string): Promise<SecretInfo[]> {
    const application = await this.get(ctx, idOrName);
    return this.db.query<SecretInfo & Record<string, unknown>>(ctx, `
      select distinct on (environment_id, name) name, environment_id as "environmentId", number, created_at as "updatedAt"
      from delivery_secrets where application_id = $1 order by environment_id, name, number desc`, [application.id]);
  }

  /** Current values of the named secrets, for a plan. @throws delivery.secret-missing */
  async secretValues(ctx: Context, application: Application, environment: Environment, names: { valueName: string; pointer: string }[]): Promise<{ values: Record<string, Uint8Array>; numbers: Record<string, number> }> {
    if (names.length === 0) return { values: {}, numbers: {} };
    const rows = await this.db.query<{ name: string; number: number; sealed: string }>(ctx, `
      select distinct on (name) name, number, sealed from delivery_secrets
      where application_id = $1 and environment_id = $2 and name = any($3) order by name, number desc`, [application.id, environment.id, names.map(({ valueName }) => valueName)]);
    const found = new Map(rows.map((row) => [row.name, row]));
    const missing = names.filter(({ valueName }) => !found.has(valueName));
    if (missing.length > 0) {
      throw deliveryProblem('secret-missing', {
        detail: `No value in ${environment.name} for: ${missing.map(({ valueName }) => valueName).join(', ')}. Set it with PUT /api/v1/applications/${application.name}/secrets/${missing[0]?.valueName} {"environment": "${environment.name}", "value": …}.`,
        errors: missing.map(({ pointer, valueName }) => ({ pointer: `/compose#${pointer}`, detail: `no value under the name ${valueName}` })),
      });
    }
    return {
      values: Object.fromEntries(rows.map((row) => [row.name, this.sealer.open(row.sealed, secretPurpose(application.id, environment.id, row.name))])),
      numbers: Object.fromEntries(rows.map((row) => [row.name, row.number])),
    };
  }
}

function secretPurpose(applicationId: string, environmentId: string, name: string): string {
  return `delivery-secret:${applicationId}:${environmentId}:${name}`;
}

/** The context's actor, as stored beside what it made. */
export function maker(ctx: Context): Maker {
  return { kind: ctx.actor.kind, id: ctx.actor.id, name: ctx.actor.name };
}

/** Where a service's image stands in the Compose file, as problems name it. */
export function imagePointer(service: string): string {
  return `/compose#/services/${service.replaceAll('~', '~0').replaceAll('/', '~1')}/image`;
}

/** Tells that `failure_action: rollback` is done by Gantry, which returns every service and not only the failed one. */
export function rollbackNotice(service: string): Notice {
  return { pointer: `/services/${service}/deploy/update_config/failure_action`, line: null, message: `${service}: on failure Gantry itself returns every service to the previous release; the engine is asked to pause` };
}

function notice(found: ComposeNotice): Notice {
  return { pointer: found.pointer, line: found.line, message: found.message };
}

function composeProblem(errors: ComposeNotice[]) {
  return deliveryProblem('compose-invalid', {
    errors: errors.map((error) => ({ pointer: `/compose#${error.pointer}`, detail: `${error.line === null ? '' : `line ${error.line}: `}${error.message}` })),
  });
}
