import { Injectable } from '@nestjs/common';
import { Access, type Operation, type ResourceRef } from '@gantry/access';
import { Audit } from '@gantry/audit';
import { Clock, Db, decodeCursor, isUniqueViolation, isUuid, requestProblem, toPage, uuidv7, type Context, type FieldError, type Page } from '@gantry/platform';
import { EnrolledKey, SignaturePolicy } from './entities';
import type { PolicyMode } from './formats/evaluate';
import { trustProblem } from './problems';
import { findScopeResource } from './scope';
import { assertTrustName, SigningKeys } from './signing-keys';

/** Most keys that one policy names. */
export const maxPolicyKeys = 100;
/** Most claims that one policy demands. */
export const maxPolicyClaims = 20;
const maxClaimChars = 1_024;

/** What a policy demands. */
export interface PolicyDemand {
  name: string;
  mode: PolicyMode;
  /** Ids of keys that the actor may see. */
  keyIds: string[];
  threshold: number;
  claims: Record<string, string>;
}

/** Signature policies: what each scope demands of an image. Rights on a policy are rights on what its scope stands for. */
@Injectable()
export class SignaturePolicies {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly keys: SigningKeys,
  ) {}

  /** The policy as something to judge rights on. */
  ref(policy: Pick<SignaturePolicy, 'id' | 'scope'>): ResourceRef {
    const parent = findScopeResource(policy.scope);
    return { kind: 'signature-policy', id: policy.id, ...(parent === null ? {} : { parent }) };
  }

  /**
   * Makes the policy of a scope that has none. `audit` and `enforce` need at least `threshold` keys.
   * @throws request.not-found, request.forbidden, request.invalid, request.name-taken, trust.policy-exists, trust.policy-without-keys
   */
  async create(ctx: Context, input: PolicyDemand & { scope: string }): Promise<SignaturePolicy> {
    const resource = findScopeResource(input.scope);
    if (resource === null) throw requestProblem('invalid', { errors: [{ pointer: '/scope', detail: 'not a scope' }] });
    this.access.assertCan(ctx, 'signature-policy:create', resource);
    const demand = checkDemand(input);
    const id = uuidv7();
    const now = this.clock.now();
    return this.write(ctx, async (tx) => {
      await this.holdKeys(tx, demand.keyIds, []);
      await this.db.repo(tx, SignaturePolicy).insert({ id, scope: input.scope, ...demand, createdAt: now, updatedAt: now, version: 1 });
      await this.record(tx, 'create', { id, scope: input.scope, ...demand });
      return this.byId(tx, id);
    });
  }

  /** By id or name, whoever asks; null when there is none. */
  async find(ctx: Context, idOrName: string): Promise<SignaturePolicy | null> {
    return this.db.repo(ctx, SignaturePolicy).findOneBy(isUuid(idOrName) ? { id: idOrName } : { name: idOrName });
  }

  /** The scope's policy, whoever asks; null when it has none. */
  async findByScope(ctx: Context, scope: string): Promise<SignaturePolicy | null> {
    return this.db.repo(ctx, SignaturePolicy).findOneBy({ scope });
  }

  /** Those of the scopes that have a policy other than `off`, whoever asks. */
  async scopesWithPolicy(ctx: Context, scopes: readonly string[]): Promise<string[]> {
    const rows = await this.db.query<{ scope: string }>(ctx, `select scope from trust_policies where scope = any ($1) and mode <> 'off' order by scope`, [scopes]);
    return rows.map(({ scope }) => scope);
  }

  /** Reference of the policy of this id or name, for the guard of the REST API. */
  async findRef(ctx: Context, idOrName: string): Promise<ResourceRef | null> {
    const policy = await this.find(ctx, idOrName);
    return policy && this.ref(policy);
  }

  /** By id or name, when the actor may see it. @throws request.not-found */
  async get(ctx: Context, idOrName: string): Promise<SignaturePolicy> {
    const policy = await this.find(ctx, idOrName);
    if (!policy || !this.access.can(ctx, 'signature-policy:view', this.ref(policy)).allowed) throw requestProblem('not-found');
    return policy;
  }

  /** Policies that the actor sees, by name; `scope` narrows. */
  async list(ctx: Context, options: { limit: number; cursor?: string; scope?: string }): Promise<Page<SignaturePolicy>> {
    let after = decodeCursor(options.cursor, 1)?.[0];
    const found: SignaturePolicy[] = [];
    const batch = Math.max(100, options.limit + 1);
    // What is hidden is known only after reading, so read on until the page is full.
    for (;;) {
      const query = this.db.repo(ctx, SignaturePolicy).createQueryBuilder('policy').orderBy('policy.name').limit(batch);
      if (after !== undefined) query.andWhere('policy.name > :after', { after });
      if (options.scope !== undefined) query.andWhere('policy.scope = :scope', { scope: options.scope });
      const rows = await query.getMany();
      found.push(...this.access.filter(ctx, 'signature-policy:view', rows, (policy) => this.ref(policy)));
      after = rows.at(-1)?.name;
      if (found.length > options.limit || rows.length < batch) return toPage(found, options.limit, (policy) => [policy.name]);
    }
  }

  /**
   * Changes what is given. It holds for every verdict after it; what runs is left alone. Keys that are named anew must be visible to the actor.
   * @throws request.not-found, request.forbidden, request.invalid, request.precondition-failed, request.name-taken, trust.policy-without-keys
   */
  async update(ctx: Context, idOrName: string, version: number, change: Partial<PolicyDemand>): Promise<SignaturePolicy> {
    const seen = await this.judged(ctx, idOrName, 'signature-policy:update');
    return this.write(ctx, async (tx) => {
      const policy = await this.lock(tx, seen.id, version);
      const { name, mode, keyIds, threshold, claims } = policy;
      const demand = checkDemand({ name, mode, keyIds, threshold, claims, ...definedOf(change) });
      await this.holdKeys(tx, demand.keyIds, policy.keyIds);
      await this.db.repo(tx, SignaturePolicy).update(policy.id, { ...demand, updatedAt: this.clock.now(), version: policy.version + 1 });
      await this.record(tx, 'update', { id: policy.id, scope: policy.scope, ...demand }, { formerMode: mode, formerThreshold: threshold, formerKeyIds: keyIds });
      return this.byId(tx, policy.id);
    });
  }

  /** Removes a policy: its scope then demands nothing. @throws request.not-found, request.forbidden, request.precondition-failed */
  async delete(ctx: Context, idOrName: string, version: number): Promise<void> {
    const seen = await this.judged(ctx, idOrName, 'signature-policy:delete');
    await this.db.transaction(ctx, async (tx) => this.remove(tx, await this.lock(tx, seen.id, version)));
  }

  /** Removes the policy of a scope that goes away, in the transaction that removes it; nothing when there is none. The caller has judged that. */
  async deleteScope(ctx: Context, scope: string): Promise<void> {
    await this.db.transaction(ctx, async (tx) => {
      const policy = await this.db.repo(tx, SignaturePolicy).findOne({ where: { scope }, lock: { mode: 'pessimistic_write' } });
      if (policy) await this.remove(tx, policy);
    });
  }

  private async remove(tx: Context, policy: SignaturePolicy): Promise<void> {
    await this.db.repo(tx, SignaturePolicy).delete(policy.id);
    await this.record(tx, 'delete', policy);
  }

  private async judged(ctx: Context, idOrName: string, operation: Operation): Promise<SignaturePolicy> {
    const policy = await this.get(ctx, idOrName);
    this.access.assertCan(ctx, operation, this.ref(policy));
    return policy;
  }

  /** Keeps the keys from being deleted until the transaction ends. */
  private async holdKeys(tx: Context, keyIds: string[], known: string[]): Promise<void> {
    if (keyIds.length === 0) return;
    const keys = await this.db.repo(tx, EnrolledKey).createQueryBuilder('key').where('key.id = any(:keyIds)', { keyIds }).setLock('pessimistic_read').getMany();
    const usable = new Set(keys.filter((key) => known.includes(key.id) || this.access.can(tx, 'signing-key:view', this.keys.ref(key)).allowed).map((key) => key.id));
    const errors: FieldError[] = keyIds.flatMap((id, index) => (usable.has(id) ? [] : [{ pointer: `/keys/${index}`, detail: 'no such signing key' }]));
    if (errors.length > 0) throw requestProblem('invalid', { errors });
  }

  private async write<T>(ctx: Context, work: (tx: Context) => Promise<T>): Promise<T> {
    try {
      return await this.db.transaction(ctx, work);
    } catch (error) {
      // 23503: the collection or repository went away meanwhile.
      if ((error as { driverError?: { code?: string } }).driverError?.code === '23503') throw requestProblem('not-found', { cause: error });
      if (isUniqueViolation(error, 'trust_policies_scope')) throw trustProblem('policy-exists');
      if (isUniqueViolation(error, 'trust_policies_name')) throw requestProblem('name-taken', { errors: [{ pointer: '/name', detail: 'another signature policy has this name' }] });
      throw error;
    }
  }

  private async record(tx: Context, verb: 'create' | 'update' | 'delete', policy: PolicyDemand & { id: string; scope: string }, former: Record<string, unknown> = {}): Promise<void> {
    const { scope, mode, keyIds, threshold, claims } = policy;
    await this.audit.record(tx, {
      action: `signature-policy.${verb}`, outcome: 'success', resource: { kind: 'signature-policy', id: policy.id, name: policy.name },
      detail: { scope, mode, keyIds, threshold, claims, ...former },
    });
  }

  private async lock(tx: Context, id: string, version: number): Promise<SignaturePolicy> {
    const policy = await this.db.repo(tx, SignaturePolicy).findOne({ where: { id }, lock: { mode: 'pessimistic_write' } });
    if (!policy) throw requestProblem('not-found');
    if (policy.version !== version) throw requestProblem('precondition-failed');
    return policy;
  }

  private async byId(ctx: Context, id: string): Promise<SignaturePolicy> {
    return this.db.repo(ctx, SignaturePolicy).findOneByOrFail({ id });
  }
}

/** Leaves out what is undefined, so that it does not overwrite. */
function definedOf(change: Partial<PolicyDemand>): Partial<PolicyDemand> {
  return Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
}

function checkDemand({ name, mode, keyIds, threshold, claims }: PolicyDemand): PolicyDemand {
  assertTrustName(name);
  const errors: FieldError[] = [];
  const distinct = [...new Set(keyIds)];
  if (distinct.length > maxPolicyKeys) errors.push({ pointer: '/keys', detail: `at most ${maxPolicyKeys} keys` });
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > maxPolicyKeys) errors.push({ pointer: '/threshold', detail: `a whole number from 1 to ${maxPolicyKeys}` });
  const stated = Object.entries(claims);
  if (stated.length > maxPolicyClaims) errors.push({ pointer: '/claims', detail: `at most ${maxPolicyClaims} claims` });
  for (const [claim, value] of stated) {
    if (claim.length === 0 || claim.length > 128 || value.length > maxClaimChars) {
      errors.push({ pointer: `/claims/${claim.replaceAll('~', '~0').replaceAll('/', '~1')}`, detail: `a name of 1 to 128 characters and at most ${maxClaimChars} characters` });
    }
  }
  if (errors.length > 0) throw requestProblem('invalid', { errors });
  if (mode !== 'off' && distinct.length === 0) throw trustProblem('policy-without-keys', { errors: [{ pointer: '/keys', detail: 'name at least one signing key' }] });
  if (mode !== 'off' && threshold > distinct.length) {
    throw trustProblem('policy-without-keys', { errors: [{ pointer: '/threshold', detail: `${threshold} keys are demanded and ${distinct.length} named` }] });
  }
  return { name, mode, keyIds: distinct, threshold, claims };
}
