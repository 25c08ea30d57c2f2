import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, Db, decodeCursor, isUuid, requestProblem, toPage, uuidv7, type Context, type Page } from '@gantry/platform';
import { Access } from './access';
import { builtInRoles } from './built-in-roles';
import { isGrantable } from './decide';
import { isOperation, operations, type Operation } from './operations';
import { accessProblem } from './problems';

/** A named set of operations. */
export interface Role {
  id: string;
  name: string;
  description: string;
  /** Built-in roles have fixed ids and can't be changed. */
  builtIn: boolean;
  /** In catalogue order. */
  operations: Operation[];
  createdAt: Date;
  /** Grows with each change (ETag). */
  version: number;
}

/** A role as it was. */
export interface RoleVersion {
  version: number;
  name: string;
  description: string;
  operations: Operation[];
  changedBy: string;
  changedAt: Date;
}

const builtInById = new Map(builtInRoles.map((role) => [role.id, role]));
const roleName = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;

interface Row {
  id: string;
  name: string;
  description: string;
  built_in: boolean;
  operations: string[];
  created_at: Date;
  version: number;
}

/** Roles: five built in as in Docker Datacenter, three levels of the registry, and custom ones. Callers have judged the operation. */
@Injectable()
export class Roles {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly audit: Audit,
  ) {}

  /** A custom role. @throws access.role-name-taken, access.role-operation, request.invalid */
  async create(ctx: Context, input: { name: string; description?: string; operations: string[] }): Promise<Role> {
    const wished = checkRole(input);
    return this.db.transaction(ctx, async (tx) => {
      const id = uuidv7();
      const made = await this.db.query(
        tx,
        `insert into access_roles (id, name, description, built_in, operations, created_at, version) values ($1, $2, $3, false, $4, $5, 1) on conflict do nothing returning 1`,
        [id, wished.name, input.description ?? '', JSON.stringify(wished.operations), this.clock.now()],
      );
      if (made.length === 0) throw accessProblem('role-name-taken', { errors: [{ pointer: '/name', detail: 'taken' }] });
      const role = await this.get(tx, id);
      await this.remember(tx, role);
      await this.audit.record(tx, { action: 'role.create', outcome: 'success', resource: { kind: 'role', id, name: role.name }, detail: { operations: role.operations } });
      await this.access.publish(tx, [{ type: 'role', role: { id, name: role.name, operations: role.operations } }]);
      return role;
    });
  }

  /** A custom role with the operations of another, built in or not. @throws request.not-found, and as `create` */
  async clone(ctx: Context, idOrName: string, input: { name: string; description?: string }): Promise<Role> {
    const from = await this.get(ctx, idOrName);
    return this.create(ctx, { name: input.name, description: input.description ?? from.description, operations: from.operations });
  }

  /** @throws request.not-found */
  async get(ctx: Context, idOrName: string): Promise<Role> {
    const role = await this.find(ctx, idOrName);
    if (!role) throw requestProblem('not-found');
    return role;
  }

  /** By id or name, or null. */
  async find(ctx: Context, idOrName: string): Promise<Role | null> {
    if (idOrName.includes('\0')) return null;
    const [row] = await this.db.query<Row>(ctx, 'select * from access_roles where id = $1 or name = $1 limit 1', [idOrName]);
    return row ? toRole(row) : null;
  }

  /** All roles by name. */
  async list(ctx: Context, options: { limit: number; cursor?: string }): Promise<Page<Role>> {
    const rows = await this.db.query<Row>(
      ctx, 'select * from access_roles where $1::text is null or name > $1 order by name limit $2', [decodeCursor(options.cursor, 1)?.[0] ?? null, options.limit + 1]);
    return toPage(rows.map(toRole), options.limit, (role) => [role.name]);
  }

  /** What the role was before, newest first. Built-in roles have no history. @throws request.not-found */
  async versions(ctx: Context, idOrName: string): Promise<RoleVersion[]> {
    const role = await this.get(ctx, idOrName);
    const rows = await this.db.query<{ version: number; name: string; description: string; operations: string[]; changed_by: string; changed_at: Date }>(
      ctx, 'select version, name, description, operations, changed_by, changed_at from access_role_versions where role_id = $1 order by version desc limit 200', [role.id]);
    return rows.map(({ changed_by, changed_at, ...row }) => ({ ...row, operations: row.operations.filter(isOperation), changedBy: changed_by, changedAt: changed_at }));
  }

  /**
   * Changes a custom role; every grant of it changes with it, everywhere within a second.
   * @throws request.not-found, request.precondition-failed, access.role-built-in, access.role-name-taken, access.role-operation
   */
  async update(ctx: Context, idOrName: string, version: number, change: { name?: string; description?: string; operations?: string[] }): Promise<Role> {
    return this.db.transaction(ctx, async (tx) => {
      const before = await this.lock(tx, idOrName);
      if (before.version !== version) throw requestProblem('precondition-failed');
      const wished = checkRole({ name: change.name ?? before.name, operations: change.operations ?? before.operations });
      const taken = await this.db.query(tx, 'select 1 from access_roles where name = $1 and id <> $2', [wished.name, before.id]);
      if (taken.length > 0) throw accessProblem('role-name-taken', { errors: [{ pointer: '/name', detail: 'taken' }] });
      await this.db.query(
        tx, 'update access_roles set name = $2, description = $3, operations = $4, version = version + 1 where id = $1 returning 1',
        [before.id, wished.name, change.description ?? before.description, JSON.stringify(wished.operations)]);
      const after = await this.get(tx, before.id);
      await this.remember(tx, after);
      await this.audit.record(tx, {
        action: 'role.update', outcome: 'success', resource: { kind: 'role', id: after.id, name: after.name },
        detail: {
          version: after.version,
          ...(after.name === before.name ? {} : { nameBefore: before.name }),
          added: after.operations.filter((operation) => !before.operations.includes(operation)),
          removed: before.operations.filter((operation) => !after.operations.includes(operation)),
        },
      });
      await this.access.publish(tx, [{ type: 'role', role: { id: after.id, name: after.name, operations: after.operations } }]);
      return after;
    });
  }

  /** Removes a custom role that nobody has. @throws request.not-found, request.precondition-failed, access.role-built-in, access.role-granted */
  async delete(ctx: Context, idOrName: string, version: number): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const role = await this.lock(tx, idOrName);
      if (role.version !== version) throw requestProblem('precondition-failed');
      const [{ grants } = { grants: 0 }] = await this.db.query<{ grants: number }>(tx, 'select count(*)::int as grants from access_grants where role_id = $1', [role.id]);
      const [isDefault] = await this.db.query(tx, 'select 1 from access_settings where default_role_id = $1', [role.id]);
      if (grants > 0 || isDefault) {
        throw accessProblem('role-granted', {
          detail: [grants > 0 ? `${grants} grant${grants === 1 ? '' : 's'} of it exist${grants === 1 ? 's' : ''}; GET /api/v1/grants?role=${role.name} lists them.` : '', isDefault ? 'It is the role that new users get.' : ''].filter(Boolean).join(' '),
        });
      }
      await this.db.query(tx, 'delete from access_roles where id = $1 returning 1', [role.id]);
      await this.audit.record(tx, { action: 'role.delete', outcome: 'success', resource: { kind: 'role', id: role.id, name: role.name }, detail: { operations: role.operations } });
      await this.access.publish(tx, [{ type: 'role-removed', id: role.id }]);
    });
  }

  private async lock(tx: Context, idOrName: string): Promise<Role> {
    const role = await this.get(tx, idOrName);
    if (role.builtIn) throw accessProblem('role-built-in');
    const [row] = await this.db.query<Row>(tx, 'select * from access_roles where id = $1 for update', [role.id]);
    if (!row) throw requestProblem('not-found');
    return toRole(row);
  }

  private async remember(tx: Context, role: Role): Promise<void> {
    await this.db.query(
      tx, 'insert into access_role_versions (role_id, version, name, description, operations, changed_by, changed_at) values ($1, $2, $3, $4, $5, $6, $7) returning 1',
      [role.id, role.version, role.name, role.description, JSON.stringify(role.operations), tx.actor.name, this.clock.now()]);
  }
}

function toRole(row: Row): Role {
  const builtIn = row.built_in ? builtInById.get(row.id) : undefined;
  const set = new Set(builtIn ? builtIn.operations : row.operations);
  return {
    id: row.id, name: row.name, description: builtIn?.description ?? row.description, builtIn: row.built_in, operations: operations.filter((operation) => set.has(operation)),
    createdAt: row.created_at, version: row.version,
  };
}

function checkRole(wish: { name: string; operations: string[] }): { name: string; operations: Operation[] } {
  if (!roleName.test(wish.name) || isUuid(wish.name)) {
    throw requestProblem('invalid', { errors: [{ pointer: '/name', detail: 'lower-case letters, digits and ._- inside; 1 to 63 characters; not a UUID' }] });
  }
  const errors = wish.operations.flatMap((operation, index) => {
    if (isGrantable(operation)) return [];
    return [{ pointer: `/operations/${index}`, detail: isOperation(operation) ? 'is for administrators alone' : 'is not in the catalogue; GET /api/v1/operations lists it' }];
  });
  if (errors.length > 0) throw accessProblem('role-operation', { errors });
  const set = new Set<string>(wish.operations);
  return { name: wish.name, operations: operations.filter((operation) => set.has(operation)) };
}
